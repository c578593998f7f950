// The model file: weights and constants (docs/formats.md, "The model file").
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

namespace dcfnet {

struct Tensor {
    std::vector<int> shape;
    std::vector<float> values;
};

// The constants of a preset, by the names of TrackerConfig. All are numbers.
class Config {
  public:
    explicit Config(std::map<std::string, double> values) : values_(std::move(values)) {}
    // Throws std::runtime_error for a constant that the model file must have, and does not.
    double operator[](const std::string& name) const;
    int whole(const std::string& name) const { return static_cast<int>((*this)[name]); }
    // Side of the target in the patch, px.
    double target_side() const { return (*this)["patch_size"] / (1 + (*this)["padding"]); }
    // Weight of one update, if the weight per frame is `name`: it forgets as much as `update_interval` frames.
    double rate_per_update(const std::string& name) const;

  private:
    std::map<std::string, double> values_;
};

struct Model {
    std::map<std::string, Tensor> weights;
    Config config;
    std::array<float, 3> mean;  // blue, green, red
    int stride;                 // patch pixels per feature
};

// Reads a model and one of its presets. Throws std::runtime_error for a file that is not a model, and for a model that
// this port does not support: it needs fp32, one filter for all channels, and one patch per scale, as in `dcfnet`.
Model read_model(const std::string& file, const std::string& preset);

}  // namespace dcfnet
