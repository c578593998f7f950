// Patches: how they are cropped from frames, and the colours of their pixels (filter/colour_histogram.py). A kernel whose
// name ends in _half works on float16 patches.

// Place (PLACE of frame.py): where a patch is. pixels (height, width, channels) of its frame have rows `pitch` bytes apart;
// patch pixel (j, i) is at frame pixel (x + j * step_x + i * skew_x, y + i * step_y + j * skew_y). The skew of a patch that is
// not turned is 0. The levels of its pixels are multiplied by `light`.
// If `chroma` (height / 2, width / 2, 2) is not null, `pixels` is luma; `Colours` of pixel_formats.py has the formula for BGR.

// Levels of blue, green and red.
struct Colour {
    float levels[3];
};

__device__ static inline float level(int value) {
    value >>= COLOUR_SHIFT;
    return (float)(value < 0 ? 0 : value > 255 ? 255 : value);
}

__device__ static inline Colour pixel_at(const Place& place, int x, int y) {
    const uint8* pixel = place.pixels + y * place.pitch + (long long)x * place.channels;
    if (place.chroma) {
        const uint8* pair = place.chroma + y / 2 * place.chroma_pitch + x / 2 * 2;
        const int above_black = pixel[0] > place.black ? pixel[0] - place.black : 0;
        const int luma = above_black * place.gain + (1 << (COLOUR_SHIFT - 1)), u = pair[0] - 128, v = pair[1] - 128;
        return {{level(luma + place.blue_u * u), level(luma + place.green_u * u + place.green_v * v),
                 level(luma + place.red_v * v)}};
    }
    const int last = place.channels == 1 ? 0 : 2, first = place.red_first ? last : 0;
    return {{(float)pixel[first], (float)pixel[last / 2], (float)pixel[last - first]}};
}

// The colour of a pixel in the light of the filter; `outside` for a pixel outside the frame. At a light of 1 it is exactly
// the colour in the frame.
__device__ static inline Colour colour_at(const Place& place, int x, int y, const Colour& outside) {
    if (x < 0 || y < 0 || x >= place.width || y >= place.height) return outside;
    Colour pixel = pixel_at(place, x, y);
    for (int colour = 0; colour < 3; ++colour) pixel.levels[colour] = fminf(rintf(pixel.levels[colour] * place.light), 255.0f);
    return pixel;
}

// Patches (count, 3, size, size): bilinear samples rounded to whole levels, as OpenCV computes them, minus the mean; outside
// the frame a sample is the mean. One thread per patch pixel.
template <typename Pixel>
__device__ static inline void sample(const Place* __restrict__ places, Pixel* __restrict__ patches, int count, int size,
                                  const Colour& means) {
    long long area = (long long)size * size, at = position();
    if (at >= count * area) return;
    const Place place = places[at / area];
    const int column = (int)(at % size), row = (int)(at % area / size);
    const float x = place.x + column * place.step_x + row * place.skew_x;
    const float y = place.y + row * place.step_y + column * place.skew_y;
    // False for NaN, and tested before a large coordinate becomes an int.
    const bool inside = x > -1.0f && y > -1.0f && x < (float)place.width && y < (float)place.height;
    const int left = inside ? (int)floorf(x) : 0, top = inside ? (int)floorf(y) : 0;
    const float right_share = x - (float)left, bottom_share = y - (float)top;
    const Colour a = inside ? colour_at(place, left, top, means) : means;
    const Colour b = inside ? colour_at(place, left + 1, top, means) : means;
    const Colour c = inside ? colour_at(place, left, top + 1, means) : means;
    const Colour d = inside ? colour_at(place, left + 1, top + 1, means) : means;
    for (int colour = 0; colour < 3; ++colour) {
        const float mean = means.levels[colour];
        const float above = a.levels[colour] + right_share * (b.levels[colour] - a.levels[colour]);
        const float below = c.levels[colour] + right_share * (d.levels[colour] - c.levels[colour]);
        const float value = inside ? rintf(above + bottom_share * (below - above)) : mean;
        put(&patches[(at / area * 3 + colour) * area + at % area], value - mean);
    }
}

extern "C" __global__ void crop(const Place* __restrict__ places, float* __restrict__ patches, int count, int size,
                                float blue, float green, float red) {
    sample(places, patches, count, size, {{blue, green, red}});
}

extern "C" __global__ void crop_half(const Place* __restrict__ places, Half* __restrict__ patches, int count, int size,
                                     float blue, float green, float red) {
    sample(places, patches, count, size, {{blue, green, red}});
}

#define BINS (COLOUR_LEVELS * COLOUR_LEVELS * COLOUR_LEVELS)

// The bin of a pixel of a patch. Its colours are `area` numbers apart. mean: of blue, green and red, to add again.
template <typename Pixel>
__device__ static inline int bin_of(const Pixel* pixel, long long area, const float* mean) {
    int bin = 0;
    for (int colour = 0; colour < 3; ++colour)
        bin = bin * COLOUR_LEVELS + (int)((value_of(pixel[colour * area]) + mean[colour]) * (COLOUR_LEVELS / 256.0f));
    return bin;
}

// Counts of colours in parts 1 and 2 of patches (3, size, size), at every `step`th pixel, `side` of them along each axis:
// counts (patches, 2, BINS), which start as zeros; parts (side, side). A patch begins `patch_stride` numbers after the
// previous one. One thread per pixel.
template <typename Pixel>
__device__ static inline void count_pixels(const Pixel* __restrict__ patches, const float* __restrict__ mean,
                                         const int* __restrict__ parts, int* counts, int number, int size, int step,
                                         int side, int patch_stride) {
    const long long area = (long long)side * side, at = position();
    if (at >= number * area) return;
    const int part = parts[at % area], row = (int)(at % area / side) * step, column = (int)(at % side) * step;
    if (!part) return;
    const Pixel* pixel = patches + at / area * patch_stride + (long long)row * size + column;
    atomicAdd(&counts[(at / area * 2 + part - 1) * BINS + bin_of(pixel, (long long)size * size, mean)], 1);
}

extern "C" __global__ void count_colours(const float* __restrict__ patches, const float* __restrict__ mean,
                                         const int* __restrict__ parts, int* counts, int number, int size, int step,
                                         int side, int patch_stride) {
    count_pixels(patches, mean, parts, counts, number, size, step, side, patch_stride);
}

extern "C" __global__ void count_colours_half(const Half* __restrict__ patches, const float* __restrict__ mean,
                                              const int* __restrict__ parts, int* counts, int number, int size, int step,
                                              int side, int patch_stride) {
    count_pixels(patches, mean, parts, counts, number, size, step, side, patch_stride);
}

// The probability that each of these pixels belongs to the target: probability (patches, side, side), from the histograms
// (patches, 2, BINS) of target and surroundings. `unseen`: see UNSEEN of colour_histogram.py. One thread per pixel.
template <typename Pixel>
__device__ static inline void estimate(const Pixel* __restrict__ patches, const float* __restrict__ mean,
                                    const float* __restrict__ histograms, float* __restrict__ probability, int number, int size,
                                    int step, int side, int patch_stride, float unseen) {
    const long long area = (long long)side * side, at = position();
    if (at >= number * area) return;
    const int row = (int)(at % area / side) * step, column = (int)(at % side) * step;
    const Pixel* pixel = patches + at / area * patch_stride + (long long)row * size + column;
    const float* target = histograms + at / area * 2 * BINS + bin_of(pixel, (long long)size * size, mean);
    probability[at] = (target[0] + unseen / 2) / (target[0] + target[BINS] + unseen);
}

extern "C" __global__ void likelihood(const float* __restrict__ patches, const float* __restrict__ mean,
                                      const float* __restrict__ histograms, float* __restrict__ probability, int number,
                                      int size, int step, int side, int patch_stride, float unseen) {
    estimate(patches, mean, histograms, probability, number, size, step, side, patch_stride, unseen);
}

extern "C" __global__ void likelihood_half(const Half* __restrict__ patches, const float* __restrict__ mean,
                                           const float* __restrict__ histograms, float* __restrict__ probability, int number,
                                           int size, int step, int side, int patch_stride, float unseen) {
    estimate(patches, mean, histograms, probability, number, size, step, side, patch_stride, unseen);
}
