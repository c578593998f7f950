// Frames, patches and the check of texture (runtime/dcfnet/devices/cpu.py, runtime/dcfnet/io/texture.py).
#pragma once

#include <array>
#include <cstdint>

#include "geometry.h"
#include "network.h"

namespace dcfnet {

// A frame in the memory of the caller: rows of width x 3 bytes, BGR, `pitch` bytes apart.
struct Frame {
    const std::uint8_t* pixels;
    int width, height;
    std::ptrdiff_t pitch;
    Pair size() const { return {static_cast<double>(width), static_cast<double>(height)}; }
    const std::uint8_t* pixel(int x, int y) const { return pixels + y * pitch + 3 * x; }
};

// The patch (3, size, size) of a region: bilinear samples, rounded to whole levels, minus the mean. Outside the frame a
// sample is the mean. light: factor of the levels in the frame.
Maps sample_patch(const Frame& frame, Pair centre, Pair region, int size, const std::array<float, 3>& mean, double light);

struct Texture {
    bool textured;  // whether a colour varies by more than 8 levels in the region
    double level;   // mean grey level of a few pixels of the region, 0 to 255
};

Texture texture_of(const Frame& frame, Pair centre, Pair region);

}  // namespace dcfnet
