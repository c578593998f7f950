#include "geometry.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace dcfnet {
namespace {

constexpr double PI = 3.14159265358979323846;
constexpr double CENTRES_A_PIXEL = 16, STEPS_A_PIXEL = 1024;

// std::nearbyint rounds halves to the even number, as NumPy does.
double to_step(double region, int patch_size) {
    return std::max(std::nearbyint(region * (STEPS_A_PIXEL / patch_size)), 1.0) * (patch_size / STEPS_A_PIXEL);
}

}  // namespace

Box box_of(Pair centre, Pair size) { return {centre.x - (size.x - 1) / 2, centre.y - (size.y - 1) / 2, size.x, size.y}; }

Box target_box(Box box, Pair frame_size) {
    for (const double value : {box.x, box.y, box.w, box.h})
        if (!std::isfinite(value)) throw std::invalid_argument("box: every number must be finite");
    if (std::min(box.w, box.h) < MIN_TARGET_SIDE) throw std::invalid_argument("box: width and height must be at least 3 px");
    const double left = std::max(box.x, 0.0), top = std::max(box.y, 0.0);
    const double right = std::min(box.x + box.w, frame_size.x), bottom = std::min(box.y + box.h, frame_size.y);
    if (right - left < 1 || bottom - top < 1) throw std::invalid_argument("box: less than one pixel of it is in the frame");
    const double w = std::max(right - left, MIN_TARGET_SIDE), h = std::max(bottom - top, MIN_TARGET_SIDE);
    return {std::max(std::min(left, frame_size.x - w), 0.0), std::max(std::min(top, frame_size.y - h), 0.0), w, h};
}

Pair to_centre_grid(Pair centre) {
    return {std::nearbyint(centre.x * CENTRES_A_PIXEL) / CENTRES_A_PIXEL, std::nearbyint(centre.y * CENTRES_A_PIXEL) / CENTRES_A_PIXEL};
}

Pair to_step_grid(Pair region, int patch_size) { return {to_step(region.x, patch_size), to_step(region.y, patch_size)}; }

Pair search_region(Pair size, double padding, double squareness) {
    const double side = std::sqrt(size.x * size.y);
    return {size.x * std::pow(side / size.x, squareness) * (1 + padding), size.y * std::pow(side / size.y, squareness) * (1 + padding)};
}

Pair limit_centre(Pair centre, Pair frame_size) {
    return {std::min(std::max(centre.x, 0.0), frame_size.x - 1), std::min(std::max(centre.y, 0.0), frame_size.y - 1)};
}

Pair size_limits(Pair initial_size, Pair frame_size, double min_scale, double max_scale) {
    const double least = std::max(min_scale, std::max(MIN_TARGET_SIDE / initial_size.x, MIN_TARGET_SIDE / initial_size.y));
    const double frame = std::min(std::max(frame_size.x / initial_size.x, 1.0), std::max(frame_size.y / initial_size.y, 1.0));
    return {least, std::max(std::min(max_scale, frame), least)};
}

Pair limit_size(Pair size, Pair initial_size, Pair limits) {
    const double scale = size.x / initial_size.x, limited = std::min(std::max(scale, limits.x), limits.y);
    return limited == scale ? size : initial_size * limited;
}

std::vector<Pair> ring_offsets(int rings) {
    std::vector<Pair> places{{0, 0}};
    for (int ring = 1; ring <= rings; ++ring)
        for (int k = 0; k < 4 * ring; ++k) {
            const double angle = k * PI / (4 * ring), x = std::cos(angle), y = std::sin(angle);
            const double distance = ring / std::max(std::abs(x), std::abs(y));
            places.push_back({distance * x, distance * y});
            places.push_back({-distance * x, -distance * y});
        }
    return places;
}

std::vector<Pair> frame_offsets(int left, int top, int right, int bottom) {
    std::vector<Pair> places;
    for (int y = -std::max(top, 0); y <= std::max(bottom, 0); ++y)
        for (int x = -std::max(left, 0); x <= std::max(right, 0); ++x) places.push_back({double(x), double(y)});
    std::stable_sort(places.begin(), places.end(), [](Pair a, Pair b) {
        return std::max(std::abs(a.x), std::abs(a.y)) < std::max(std::abs(b.x), std::abs(b.y));
    });
    return places;
}

}  // namespace dcfnet
