// Patches, float32 or float16: how they are cut out of frames, and what is done with their pixels' colours (colours.py).
// A kernel that ends in _half is the same for float16.

// A float16, as its bits. Pixels of patches are whole levels less a whole mean, of which it holds every one.
struct Half {
    unsigned short bits;
};

#define MORE_EXPONENT 5.192296858534828e33f  // 2^112: float32's exponents are so much more than float16's

__device__ static inline float value_of(float pixel) { return pixel; }
__device__ static inline float value_of(Half pixel) {
    const float size = __int_as_float((pixel.bits & 0x7fff) << 13) * MORE_EXPONENT;
    return pixel.bits & 0x8000 ? -size : size;
}

// What float16 does not hold is cut off, which of pixels is nothing.
__device__ static inline void put(float* pixel, float value) { *pixel = value; }
__device__ static inline void put(Half* pixel, float value) {
    const int size = __float_as_int(fabsf(value) * (1.0f / MORE_EXPONENT)) >> 13;
    pixel->bits = (unsigned short)(value < 0.0f ? size | 0x8000 : size);
}

// Where a patch lies: pixels (height, width, channels) of its frame, rows `pitch` bytes apart; patch pixel (j, i) at
// frame pixel (x + j * step_x, y + i * step_y). Where there is chroma, (height / 2, width / 2, 2), pixels are luma, and
// colours are made of both as `Colours` in formats.py says. The layout is that of PLACE in kernels.py.
struct Place {
    const uint8* pixels;
    long long pitch;
    const uint8* chroma;
    long long chroma_pitch;
    int height, width, channels;
    float x, y, step_x, step_y;
    int red_first, black, gain, blue_u, green_u, green_v, red_v;
};

// Levels of blue, green and red.
struct Colour {
    float levels[3];
};

__device__ static inline float level(int value) {
    value >>= 20;
    return (float)(value < 0 ? 0 : value > 255 ? 255 : value);
}

__device__ static inline Colour colour_at(const Place& place, int x, int y, const Colour& outside) {
    if (x < 0 || y < 0 || x >= place.width || y >= place.height) return outside;
    const uint8* pixel = place.pixels + y * place.pitch + (long long)x * place.channels;
    if (place.chroma) {
        const uint8* pair = place.chroma + y / 2 * place.chroma_pitch + x / 2 * 2;
        const int above_black = pixel[0] > place.black ? pixel[0] - place.black : 0;
        const int luma = above_black * place.gain + (1 << 19), u = pair[0] - 128, v = pair[1] - 128;
        return {{level(luma + place.blue_u * u), level(luma + place.green_u * u + place.green_v * v),
                 level(luma + place.red_v * v)}};
    }
    const int last = place.channels == 1 ? 0 : 2, first = place.red_first ? last : 0;
    return {{(float)pixel[first], (float)pixel[last / 2], (float)pixel[last - first]}};
}

// Patches (count, 3, size, size): bilinear samples rounded to whole levels, as OpenCV makes them, with the mean of blue,
// green and red outside the frame, and the mean taken off. A thread a pixel of a patch.
template <typename Pixel>
__device__ static inline void cut(const Place* __restrict__ places, Pixel* __restrict__ patches, int count, int size,
                                  const Colour& means) {
    long long area = (long long)size * size, at = position();
    if (at >= count * area) return;
    const Place place = places[at / area];
    const float x = place.x + (int)(at % size) * place.step_x, y = place.y + (int)(at % area / size) * place.step_y;
    // Also false where a coordinate is no number, and before one too large becomes an int.
    const bool seen = x > -1.0f && y > -1.0f && x < (float)place.width && y < (float)place.height;
    const int left = seen ? (int)floorf(x) : 0, top = seen ? (int)floorf(y) : 0;
    const float right_share = x - (float)left, bottom_share = y - (float)top;
    const Colour a = seen ? colour_at(place, left, top, means) : means;
    const Colour b = seen ? colour_at(place, left + 1, top, means) : means;
    const Colour c = seen ? colour_at(place, left, top + 1, means) : means;
    const Colour d = seen ? colour_at(place, left + 1, top + 1, means) : means;
    for (int colour = 0; colour < 3; ++colour) {
        const float mean = means.levels[colour];
        const float above = a.levels[colour] + right_share * (b.levels[colour] - a.levels[colour]);
        const float below = c.levels[colour] + right_share * (d.levels[colour] - c.levels[colour]);
        const float value = seen ? rintf(above + bottom_share * (below - above)) : mean;
        put(&patches[(at / area * 3 + colour) * area + at % area], value - mean);
    }
}

extern "C" __global__ void crop(const Place* __restrict__ places, float* __restrict__ patches, int count, int size,
                                float blue, float green, float red) {
    cut(places, patches, count, size, {{blue, green, red}});
}

extern "C" __global__ void crop_half(const Place* __restrict__ places, Half* __restrict__ patches, int count, int size,
                                     float blue, float green, float red) {
    cut(places, patches, count, size, {{blue, green, red}});
}

// Colours are told in LEVELS levels of each of blue, green and red: as in colours.py.
#define LEVELS 16
#define BINS (LEVELS * LEVELS * LEVELS)

// The bin of a pixel of a patch, whose colours lie `area` numbers apart; mean: of blue, green and red, taken off it.
template <typename Pixel>
__device__ static inline int bin_of(const Pixel* pixel, long long area, const float* mean) {
    int bin = 0;
    for (int colour = 0; colour < 3; ++colour)
        bin = bin * LEVELS + (int)((value_of(pixel[colour * area]) + mean[colour]) * (LEVELS / 256.0f));
    return bin;
}

// Every `step`th pixel of patches (3, size, size), `side` of them along each axis; a patch begins `apart` numbers after
// the one before. How often each colour is in parts 1 and 2 of its patch: counts (patches, 2, BINS), which enter as zeros;
// parts (side, side). A thread a pixel.
template <typename Pixel>
__device__ static inline void count_bins(const Pixel* __restrict__ patches, const float* __restrict__ mean,
                                         const int* __restrict__ parts, int* counts, int number, int size, int step,
                                         int side, int apart) {
    const long long area = (long long)side * side, at = position();
    if (at >= number * area) return;
    const int part = parts[at % area], row = (int)(at % area / side) * step, column = (int)(at % side) * step;
    if (!part) return;
    const Pixel* pixel = patches + at / area * apart + (long long)row * size + column;
    atomicAdd(&counts[(at / area * 2 + part - 1) * BINS + bin_of(pixel, (long long)size * size, mean)], 1);
}

extern "C" __global__ void count_colours(const float* __restrict__ patches, const float* __restrict__ mean,
                                         const int* __restrict__ parts, int* counts, int number, int size, int step,
                                         int side, int apart) {
    count_bins(patches, mean, parts, counts, number, size, step, side, apart);
}

extern "C" __global__ void count_colours_half(const Half* __restrict__ patches, const float* __restrict__ mean,
                                              const int* __restrict__ parts, int* counts, int number, int size, int step,
                                              int side, int apart) {
    count_bins(patches, mean, parts, counts, number, size, step, side, apart);
}

// How likely each of these pixels is the target's, found (patches, side, side), by the histograms (patches, 2, BINS) of
// target and surroundings; `unseen` is the share that a colour has which neither has. A thread a pixel.
template <typename Pixel>
__device__ static inline void judge(const Pixel* __restrict__ patches, const float* __restrict__ mean,
                                    const float* __restrict__ histograms, float* __restrict__ found, int number, int size,
                                    int step, int side, int apart, float unseen) {
    const long long area = (long long)side * side, at = position();
    if (at >= number * area) return;
    const int row = (int)(at % area / side) * step, column = (int)(at % side) * step;
    const Pixel* pixel = patches + at / area * apart + (long long)row * size + column;
    const float* target = histograms + at / area * 2 * BINS + bin_of(pixel, (long long)size * size, mean);
    found[at] = (target[0] + unseen / 2) / (target[0] + target[BINS] + unseen);
}

extern "C" __global__ void likelihood(const float* __restrict__ patches, const float* __restrict__ mean,
                                      const float* __restrict__ histograms, float* __restrict__ found, int number,
                                      int size, int step, int side, int apart, float unseen) {
    judge(patches, mean, histograms, found, number, size, step, side, apart, unseen);
}

extern "C" __global__ void likelihood_half(const Half* __restrict__ patches, const float* __restrict__ mean,
                                           const float* __restrict__ histograms, float* __restrict__ found, int number,
                                           int size, int step, int side, int apart, float unseen) {
    judge(patches, mean, histograms, found, number, size, step, side, apart, unseen);
}
