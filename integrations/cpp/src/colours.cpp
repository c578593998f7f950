#include "colours.h"

#include <algorithm>
#include <cmath>

#include "transform.h"

namespace dcfnet {
namespace {

constexpr int LEVELS = 16, BINS = LEVELS * LEVELS * LEVELS;
constexpr double CORE = 0.8, AROUND = 2;  // target sizes: inside CORE is target, from 1 to AROUND are surroundings
constexpr float UNSEEN = 1e-3f;           // a colour in neither histogram has the probability 0.5

}  // namespace

Colours::Colours(const Model& model)
    : mean_(model.mean),
      step_(model.stride),
      side_((model.config.whole("patch_size") + model.stride - 1) / model.stride),
      rate_(static_cast<float>(model.config.rate_per_update("colour_rate"))) {
    const int patch_size = model.config.whole("patch_size");
    const double target_side = model.config.target_side();
    std::vector<double> position(side_);  // px from the middle of the patch
    for (int k = 0; k < side_; ++k) position[k] = k * step_ - (patch_size - 1) / 2.0;
    for (const double y : position)
        for (const double x : position) {
            const double distance = 2 * std::max(std::abs(x), std::abs(y)) / target_side;
            parts_.push_back(distance < CORE ? 1 : distance >= 1 && distance < AROUND ? 2 : 0);
        }
    for (int at = 0; at < RESPONSE_SIDE; ++at) {
        const int turn = at < RESPONSE_SIDE / 2 ? at : at - RESPONSE_SIDE;
        const double middle = static_cast<double>(turn) / RESPONSE_SIDE * patch_size;
        std::vector<double> covered;
        double sum = 0;
        for (const double x : position) {
            const double low = std::max(middle - target_side / 2, x - step_ / 2.0);
            covered.push_back(std::max(std::min(middle + target_side / 2, x + step_ / 2.0) - low, 0.0));
            sum += covered.back();
        }
        for (const double share : covered) windows_.push_back(static_cast<float>(share / sum));
    }
}

int Colours::bin(const Maps& patch, int row, int column) const {
    int bin = 0;
    for (int c = 0; c < 3; ++c) {
        const float level = patch.channel(c)[row * step_ * patch.side + column * step_] + mean_[c];
        bin = bin * LEVELS + static_cast<int>(level * (LEVELS / 256.0f));
    }
    return bin;
}

Histograms Colours::histograms(const Maps& patch) const {
    Histograms found{std::vector<float>(BINS), std::vector<float>(BINS)};
    for (int row = 0; row < side_; ++row)
        for (int column = 0; column < side_; ++column) {
            const int part = parts_[row * side_ + column];
            if (part) (part == 1 ? found.target : found.surroundings)[bin(patch, row, column)] += 1;
        }
    for (int part : {1, 2}) {
        const auto number = std::max<std::ptrdiff_t>(std::count(parts_.begin(), parts_.end(), part), 1);
        for (float& value : part == 1 ? found.target : found.surroundings) value *= 1.0f / static_cast<float>(number);
    }
    return found;
}

void Colours::update(Histograms& histograms, const Maps& patch) const {
    const Histograms newest = this->histograms(patch);
    for (int k = 0; k < BINS; ++k) {
        histograms.target[k] += rate_ * (newest.target[k] - histograms.target[k]);
        histograms.surroundings[k] += rate_ * (newest.surroundings[k] - histograms.surroundings[k]);
    }
}

Map Colours::response(const Maps& patch, const Histograms& histograms) const {
    std::vector<float> pixels;
    for (int row = 0; row < side_; ++row)
        for (int column = 0; column < side_; ++column) {
            const int at = bin(patch, row, column);
            const float target = histograms.target[at], around = histograms.surroundings[at];
            pixels.push_back((target + UNSEEN / 2) / (target + around + UNSEEN));
        }
    Map map(RESPONSE_SIDE * RESPONSE_SIDE);
    std::vector<float> line(side_);
    for (int y = 0; y < RESPONSE_SIDE; ++y) {
        std::fill(line.begin(), line.end(), 0.0f);
        for (int row = 0; row < side_; ++row)
            for (int column = 0; column < side_; ++column) line[column] += windows_[y * side_ + row] * pixels[row * side_ + column];
        for (int x = 0; x < RESPONSE_SIDE; ++x)
            for (int column = 0; column < side_; ++column) map[y * RESPONSE_SIDE + x] += line[column] * windows_[x * side_ + column];
    }
    return map;
}

}  // namespace dcfnet
