// The transform between maps and spectra, for the frequencies of the label only (runtime/dcfnet/filter/transform.py).
#pragma once

#include <complex>
#include <vector>

#include "model.h"
#include "network.h"

namespace dcfnet {

using Complex = std::complex<float>;
constexpr int RESPONSE_SIDE = 64;  // px of each response map

// The product without the tests for infinity that std::complex does.
inline Complex times(Complex a, Complex b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

// Spectra of maps: channels x rows x columns, for the vertical frequencies -band .. band and the horizontal ones 0 .. band.
struct Spectra {
    int channels, rows, columns;
    std::vector<Complex> values;
    Spectra(int channels, int band)
        : channels(channels), rows(2 * band + 1), columns(band + 1),
          values(static_cast<std::size_t>(channels) * rows * columns) {}
    std::size_t area() const { return static_cast<std::size_t>(rows) * columns; }
};

class Transform {
  public:
    explicit Transform(const Model& model);
    int side() const { return side_; }
    int band() const { return band_; }
    // The spectrum of the Gaussian label, rows x columns; it is real.
    const std::vector<float>& label() const { return label_; }
    // Maps times the cosine window -> spectra; unnormalised.
    Spectra forward(const Maps& maps) const;
    // One spectrum, rows x columns -> a map, RESPONSE_SIDE x RESPONSE_SIDE; [0, 0] is shift zero.
    std::vector<float> inverse(const std::vector<Complex>& spectrum) const;

  private:
    int side_, band_;
    std::vector<float> label_;
    std::vector<Complex> down_, across_;            // (rows, side) and (columns, side), with the window
    std::vector<Complex> down_back_, across_back_;  // (RESPONSE_SIDE, rows) and (RESPONSE_SIDE, columns)
};

}  // namespace dcfnet
