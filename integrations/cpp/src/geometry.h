// Boxes, centres, sizes and regions in frame pixels (runtime/dcfnet/tracking/geometry.py). Pixel centres are at integers.
#pragma once

#include <vector>

namespace dcfnet {

struct Pair {
    double x = 0, y = 0;  // or width and height
    Pair operator+(Pair other) const { return {x + other.x, y + other.y}; }
    Pair operator-(Pair other) const { return {x - other.x, y - other.y}; }
    Pair operator*(Pair other) const { return {x * other.x, y * other.y}; }
    Pair operator/(Pair other) const { return {x / other.x, y / other.y}; }
    Pair operator*(double factor) const { return {x * factor, y * factor}; }
    Pair operator/(double divisor) const { return {x / divisor, y / divisor}; }
};

struct Box {
    double x, y, w, h;
};

constexpr double MIN_TARGET_SIDE = 3;  // px

Box box_of(Pair centre, Pair size);
// The box, cut to the frame. Throws std::invalid_argument for a box that cannot be tracked.
Box target_box(Box box, Pair frame_size);
// Centres rounded to 1/16 px, so that they are equal on all devices.
Pair to_centre_grid(Pair centre);
// Regions whose patch pixels are a multiple of 1/1024 px apart.
Pair to_step_grid(Pair region, int patch_size);
Pair search_region(Pair size, double padding, double squareness);
Pair limit_centre(Pair centre, Pair frame_size);
// Smallest and largest size / initial size.
Pair size_limits(Pair initial_size, Pair frame_size, double min_scale, double max_scale);
Pair limit_size(Pair size, Pair initial_size, Pair limits);
// Offsets for redetection, in steps: the middle, then square rings, opposite sides in turn.
std::vector<Pair> ring_offsets(int rings);
// A grid over the whole frame, the nearest first. Arguments: whole steps to each border.
std::vector<Pair> frame_offsets(int left, int top, int right, int bottom);

}  // namespace dcfnet
