#include "transform.h"

#include <algorithm>
#include <cmath>

namespace dcfnet {
namespace {

constexpr double PI = 3.14159265358979323846;

Complex wave(double turns, double height = 1) { return Complex(height * std::polar(1.0, 2 * PI * turns)); }

// The spectrum of one axis of the label, at the frequencies 0 .. band: a Gaussian that wraps around.
std::vector<double> label_axis(int side, double sigma, int band) {
    std::vector<double> axis(band + 1);
    for (int frequency = 0; frequency <= band; ++frequency)
        for (int pixel = 0; pixel < side; ++pixel) {
            const double shift = pixel < (side + 1) / 2 ? pixel : pixel - side;
            axis[frequency] += std::exp(-0.5 * shift * shift / (sigma * sigma)) * std::cos(2 * PI * frequency * pixel / side);
        }
    return axis;
}

}  // namespace

Transform::Transform(const Model& model) : side_(model.config.whole("patch_size") / model.stride) {
    const double sigma = model.config["label_sigma"] * model.config.target_side() / model.stride;
    band_ = std::min(static_cast<int>(std::ceil(model.config["band"] * side_ / (2 * PI * sigma))), (side_ - 1) / 2);
    const int rows = 2 * band_ + 1, columns = band_ + 1;
    const auto axis = label_axis(side_, sigma, band_);
    for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column)
            label_.push_back(static_cast<float>(axis[std::abs(row - band_)] * axis[column]));
    for (int row = 0; row < rows; ++row)
        for (int pixel = 0; pixel < side_; ++pixel) {
            const double window = 0.5 - 0.5 * std::cos(2 * PI * pixel / (side_ - 1));  // Hann
            const double turns = static_cast<double>(pixel) / side_;
            down_.push_back(wave(-turns * (row - band_), window));
            if (row < columns) across_.push_back(wave(-turns * row, window));
        }
    for (int at = 0; at < RESPONSE_SIDE; ++at) {
        const double turns = static_cast<double>(at) / RESPONSE_SIDE;
        for (int row = 0; row < rows; ++row) down_back_.push_back(wave(turns * (row - band_), 1.0 / (side_ * side_)));
        // The other half of a real map's spectrum is mirrored, so each column except the first counts twice.
        for (int column = 0; column < columns; ++column) across_back_.push_back(wave(turns * column, column ? 2 : 1));
    }
}

Spectra Transform::forward(const Maps& maps) const {
    Spectra spectra(maps.channels, band_);
    std::vector<Complex> lines(static_cast<std::size_t>(side_) * spectra.columns);
    for (int channel = 0; channel < maps.channels; ++channel) {
        const float* map = maps.channel(channel);
        for (int y = 0; y < side_; ++y)
            for (int column = 0; column < spectra.columns; ++column) {
                Complex sum = 0;
                for (int x = 0; x < side_; ++x) sum += map[y * side_ + x] * across_[column * side_ + x];
                lines[y * spectra.columns + column] = sum;
            }
        Complex* out = &spectra.values[channel * spectra.area()];
        for (int row = 0; row < spectra.rows; ++row)
            for (int y = 0; y < side_; ++y) {
                const Complex factor = down_[row * side_ + y];
                for (int column = 0; column < spectra.columns; ++column)
                    out[row * spectra.columns + column] += times(factor, lines[y * spectra.columns + column]);
            }
    }
    return spectra;
}

std::vector<float> Transform::inverse(const std::vector<Complex>& spectrum) const {
    const int rows = 2 * band_ + 1, columns = band_ + 1;
    std::vector<float> map(RESPONSE_SIDE * RESPONSE_SIDE);
    std::vector<Complex> line(columns);
    for (int y = 0; y < RESPONSE_SIDE; ++y) {
        std::fill(line.begin(), line.end(), Complex(0));
        for (int row = 0; row < rows; ++row)
            for (int column = 0; column < columns; ++column)
                line[column] += times(down_back_[y * rows + row], spectrum[row * columns + column]);
        for (int x = 0; x < RESPONSE_SIDE; ++x) {
            float sum = 0;
            for (int column = 0; column < columns; ++column) sum += times(line[column], across_back_[x * columns + column]).real();
            map[y * RESPONSE_SIDE + x] = sum;
        }
    }
    return map;
}

}  // namespace dcfnet
