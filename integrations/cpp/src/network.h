// The network of the model `dcfnet`: two convolutions and the normalisation.
#pragma once

#include <vector>

#include "model.h"

namespace dcfnet {

// Maps of one patch, channels x side x side, row by row.
struct Maps {
    int channels, side;
    std::vector<float> values;
    const float* channel(int index) const { return &values[static_cast<std::size_t>(index) * side * side]; }
};

class Network {
  public:
    explicit Network(const Model& model);
    // A patch (3, S, S), BGR without the mean -> features (C, S / stride, S / stride).
    Maps features(const Maps& patch) const;

  private:
    struct Convolution {
        int outputs, inputs, kernel, stride;
        std::vector<float> weights;  // (kernel, kernel, inputs, outputs): the innermost loop runs over the outputs
        std::vector<float> bias;
    };
    static Convolution convolution(const Tensor& weight, const Tensor& bias, int stride);
    static std::vector<float> convolve(const Convolution& layer, const std::vector<float>& padded, int side, int result);
    Convolution first_, second_;
    std::vector<float> band_, offset_;  // of the normalisation: (C, C) and (C,)
};

}  // namespace dcfnet
