#include "response.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "transform.h"

namespace dcfnet {
namespace {

constexpr int SIDE = RESPONSE_SIDE;
constexpr int EXCLUDED = 3;  // px on each side of the peak that do not belong to the sidelobe

bool finite(const Map& map) {
    return std::all_of(map.begin(), map.end(), [](float value) { return std::isfinite(value); });
}

int highest(const Map& map) { return static_cast<int>(std::max_element(map.begin(), map.end()) - map.begin()); }

// Offset of the vertex of the parabola through three pixels, in [-0.5, 0.5].
double vertex(double before, double peak, double after) {
    const double curvature = 2 * peak - before - after;
    return curvature <= 0 ? 0 : std::clamp(0.5 * (after - before) / curvature, -0.5, 0.5);
}

double signed_shift(double position) { return position > SIDE / 2.0 ? position - SIDE : position; }

double ratio(double numerator, double denominator) { return denominator < 1e-12 ? 0 : numerator / denominator; }

// The middle scale wins a tie, then the nearer ones.
int best_scale(const std::vector<Map>& maps, double penalty) {
    const int middle = static_cast<int>(maps.size()) / 2;
    std::vector<int> order(maps.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return std::abs(a - middle) < std::abs(b - middle); });
    int best = middle;
    double most = 0;
    for (const int scale : order) {
        const double value = maps[scale][highest(maps[scale])] * std::pow(penalty, std::abs(scale - middle));
        if (scale == middle || value > most) {
            best = scale;
            most = value;
        }
    }
    return best;
}

void read_sharpness(const Map& map, Peak& peak) {
    const int at = highest(map), row = at / SIDE, column = at % SIDE;
    double sum = 0, low = map[at], inside = 0;
    for (const float value : map) {
        sum += value;
        low = std::min<double>(low, value);
    }
    const auto around = [&](int dy, int dx) {
        return static_cast<double>(map[(row + dy + SIDE) % SIDE * SIDE + (column + dx + SIDE) % SIDE]);
    };
    for (int dy = -EXCLUDED; dy <= EXCLUDED; ++dy)
        for (int dx = -EXCLUDED; dx <= EXCLUDED; ++dx) inside += around(dy, dx);
    const int number = SIDE * SIDE - (2 * EXCLUDED + 1) * (2 * EXCLUDED + 1);
    const double mean = (sum - inside) / number;
    double squares = 0, excluded = 0, above = 0;
    for (const float value : map) {
        squares += (value - mean) * (value - mean);
        above += (value - low) * (value - low);
    }
    for (int dy = -EXCLUDED; dy <= EXCLUDED; ++dy)
        for (int dx = -EXCLUDED; dx <= EXCLUDED; ++dx) excluded += (around(dy, dx) - mean) * (around(dy, dx) - mean);
    peak.psr = ratio(map[at] - mean, std::sqrt(std::max((squares - excluded) / number, 0.0)));
    peak.apce = ratio((map[at] - low) * (map[at] - low), above / (SIDE * SIDE));
}

}  // namespace

Peak read_peak(const std::vector<Map>& maps, const std::vector<Map>& position_maps, const Map& first_map, double penalty) {
    Peak peak;
    peak.scale = best_scale(maps, penalty);
    const Map &map = maps[peak.scale], &position = position_maps[peak.scale];
    if (!finite(map)) return peak;
    read_sharpness(map, peak);
    if (!finite(position)) return peak;
    const int at = highest(position), row = at / SIDE, column = at % SIDE;
    const auto pixel = [&](int y, int x) { return static_cast<double>(position[(y + SIDE) % SIDE * SIDE + (x + SIDE) % SIDE]); };
    peak.shift_x = signed_shift(column + vertex(pixel(row, column - 1), position[at], pixel(row, column + 1)));
    peak.shift_y = signed_shift(row + vertex(pixel(row - 1, column), position[at], pixel(row + 1, column)));
    peak.value = position[at];
    peak.likeness = std::isfinite(first_map[at]) ? first_map[at] : 0;
    return peak;
}

}  // namespace dcfnet
