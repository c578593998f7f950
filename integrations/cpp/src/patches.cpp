#include "patches.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace dcfnet {
namespace {

constexpr int FLAT_RANGE = 8, SAMPLES = 32, COARSE_SAMPLES = 12;

// Examined pixels along one axis: low, low + step, ... below high.
struct Range {
    int low, high, step;
};

Range range_of(double centre, double region, int length) {
    const int low = static_cast<int>(std::max(std::floor(centre - region / 2), 0.0));
    const int high = std::min(std::max(static_cast<int>(std::ceil(centre + region / 2)) + 1, low + 1), length);
    return {low, high, std::max((high - low) / SAMPLES, 1)};
}

// Smallest and largest level of each colour.
class Contrast {
  public:
    void add(const std::uint8_t* pixel) {
        for (int c = 0; c < 3; ++c) {
            low_[c] = std::min(low_[c], pixel[c]);
            high_[c] = std::max(high_[c], pixel[c]);
        }
    }
    bool clear() const {
        for (int c = 0; c < 3; ++c)
            if (high_[c] - low_[c] > FLAT_RANGE) return true;
        return false;
    }

  private:
    std::array<std::uint8_t, 3> low_{255, 255, 255}, high_{0, 0, 0};
};

}  // namespace

Maps sample_patch(const Frame& frame, Pair centre, Pair region, int size, const std::array<float, 3>& mean, double light) {
    Maps patch{3, size, std::vector<float>(3 * static_cast<std::size_t>(size) * size)};
    std::array<float, 256> lit;  // the level of each level in the light of the filter
    for (int level = 0; level < 256; ++level)
        lit[level] = std::min(std::nearbyint(level * static_cast<float>(light)), 255.0f);
    const Pair step = region / size, corner = centre - step * ((size - 1) / 2.0);
    const auto level = [&](int x, int y, int c) {
        return x < 0 || y < 0 || x >= frame.width || y >= frame.height ? mean[c] : lit[frame.pixel(x, y)[c]];
    };
    for (int row = 0; row < size; ++row)
        for (int column = 0; column < size; ++column) {
            const auto x = static_cast<float>(corner.x + column * step.x), y = static_cast<float>(corner.y + row * step.y);
            if (!(x > -1 && y > -1 && x < frame.width && y < frame.height)) continue;  // the mean, so 0
            const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
            const float right_share = x - left, bottom_share = y - top;
            for (int c = 0; c < 3; ++c) {
                const float a = level(left, top, c), b = level(left + 1, top, c);
                const float d = level(left, top + 1, c), e = level(left + 1, top + 1, c);
                const float above = a + right_share * (b - a), below = d + right_share * (e - d);
                const float value = std::nearbyint(above + bottom_share * (below - above));
                patch.values[(static_cast<std::size_t>(c) * size + row) * size + column] = value - mean[c];
            }
        }
    return patch;
}

Texture texture_of(const Frame& frame, Pair centre, Pair region) {
    const Range columns = range_of(centre.x, region.x, frame.width), rows = range_of(centre.y, region.y, frame.height);
    if (columns.high <= columns.low || rows.high <= rows.low) return {false, 0};
    const auto coarse = [](const Range& range, int k) {
        return range.low + k * ((range.high - range.low - 1) / range.step) / (COARSE_SAMPLES - 1) * range.step;
    };
    Contrast contrast;
    double sum = 0;
    for (int i = 0; i < COARSE_SAMPLES; ++i)
        for (int j = 0; j < COARSE_SAMPLES; ++j) {
            const std::uint8_t* pixel = frame.pixel(coarse(columns, j), coarse(rows, i));
            contrast.add(pixel);
            sum += pixel[0] + pixel[1] + pixel[2];
        }
    const double grey = sum / (COARSE_SAMPLES * COARSE_SAMPLES * 3);
    if (contrast.clear()) return {true, grey};
    for (int y = rows.low; y < rows.high; y += rows.step)
        for (int x = columns.low; x < columns.high; x += columns.step) contrast.add(frame.pixel(x, y));
    return {contrast.clear(), grey};
}

}  // namespace dcfnet
