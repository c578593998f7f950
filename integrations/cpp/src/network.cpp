#include "network.h"

#include <algorithm>
#include <cmath>

namespace dcfnet {
namespace {

// Maps (side, side, channels) with one row and one column of zeros on each side.
std::vector<float> padded(const std::vector<float>& maps, int side, int channels) {
    const std::size_t row = static_cast<std::size_t>(side) * channels, wide = row + 2 * static_cast<std::size_t>(channels);
    std::vector<float> result(wide * (side + 2));
    for (int y = 0; y < side; ++y)
        std::copy_n(&maps[y * row], row, &result[(y + 1) * wide + channels]);
    return result;
}

}  // namespace

Network::Network(const Model& model)
    : first_(convolution(model.weights.at("conv0.weight"), model.weights.at("conv0.bias"), 1)),
      second_(convolution(model.weights.at("conv1.weight"), model.weights.at("conv1.bias"), model.stride)),
      band_(model.weights.at("norm.band").values),
      offset_(model.weights.at("norm.offset").values) {}

Network::Convolution Network::convolution(const Tensor& weight, const Tensor& bias, int stride) {
    const int outputs = weight.shape.at(0), inputs = weight.shape.at(1), kernel = weight.shape.at(2);
    Convolution layer{outputs, inputs, kernel, stride, std::vector<float>(weight.values.size()), bias.values};
    for (int o = 0; o < outputs; ++o)
        for (int i = 0; i < inputs; ++i)
            for (int k = 0; k < kernel * kernel; ++k)
                layer.weights[(k * inputs + i) * outputs + o] = weight.values[(o * inputs + i) * kernel * kernel + k];
    return layer;
}

// padded: (side, side, inputs) -> (result, result, outputs).
std::vector<float> Network::convolve(const Convolution& layer, const std::vector<float>& padded, int side, int result) {
    std::vector<float> maps(static_cast<std::size_t>(result) * result * layer.outputs);
    const int outputs = layer.outputs, span = layer.kernel * layer.inputs;
    for (int y = 0; y < result; ++y)
        for (int x = 0; x < result; ++x) {
            float* sums = &maps[(static_cast<std::size_t>(y) * result + x) * outputs];
            std::copy(layer.bias.begin(), layer.bias.end(), sums);
            const float* weights = layer.weights.data();
            for (int row = 0; row < layer.kernel; ++row) {
                const float* input = &padded[(static_cast<std::size_t>(y * layer.stride + row) * side + x * layer.stride) * layer.inputs];
                for (int i = 0; i < span; ++i, weights += outputs)
                    for (int o = 0; o < outputs; ++o) sums[o] += input[i] * weights[o];
            }
        }
    return maps;
}

Maps Network::features(const Maps& patch) const {
    const int side = patch.side, result = side / second_.stride, channels = second_.outputs;
    std::vector<float> pixels(patch.values.size());
    for (int c = 0; c < patch.channels; ++c)
        for (int at = 0; at < side * side; ++at) pixels[at * patch.channels + c] = patch.channel(c)[at];
    auto hidden = convolve(first_, padded(pixels, side, patch.channels), side + 2, side);
    for (float& value : hidden) value = std::max(value, 0.0f);
    const auto maps = convolve(second_, padded(hidden, side, first_.outputs), side + 2, result);
    Maps features{channels, result, std::vector<float>(maps.size())};
    for (int at = 0; at < result * result; ++at) {
        const float* x = &maps[static_cast<std::size_t>(at) * channels];
        for (int c = 0; c < channels; ++c) {
            float divisor = offset_[c];
            for (int k = 0; k < channels; ++k) divisor += band_[c * channels + k] * (x[k] * x[k]);
            const float root = std::sqrt(divisor);
            features.values[static_cast<std::size_t>(c) * result * result + at] = x[c] / (root * std::sqrt(root));
        }
    }
    return features;
}

}  // namespace dcfnet
