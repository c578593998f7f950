// Kernels of cuda.py and backbones/native.py; the other files follow, as one program (SOURCES of kernels.py). Most threads
// make their numbers by themselves; those of features.cu and peaks.cu share memory. All is plain C++, too, and is proven on
// a CPU (tests/runtime/cuda). Arrays are contiguous, and laid out as the functions of the same purpose say; counts of threads
// may be more than there is to do.

typedef unsigned char uint8;

__device__ static inline long long position() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

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
extern "C" __global__ void crop(const Place* __restrict__ places, float* __restrict__ patches, int count, int size,
                                float blue, float green, float red) {
    long long area = (long long)size * size, at = position();
    if (at >= count * area) return;
    const Place place = places[at / area];
    const float x = place.x + (int)(at % size) * place.step_x, y = place.y + (int)(at % area / size) * place.step_y;
    // Also false where a coordinate is no number, and before one too large becomes an int.
    const bool seen = x > -1.0f && y > -1.0f && x < (float)place.width && y < (float)place.height;
    const int left = seen ? (int)floorf(x) : 0, top = seen ? (int)floorf(y) : 0;
    const float right_share = x - (float)left, bottom_share = y - (float)top;
    const Colour means = {{blue, green, red}};
    const Colour a = seen ? colour_at(place, left, top, means) : means;
    const Colour b = seen ? colour_at(place, left + 1, top, means) : means;
    const Colour c = seen ? colour_at(place, left, top + 1, means) : means;
    const Colour d = seen ? colour_at(place, left + 1, top + 1, means) : means;
    for (int colour = 0; colour < 3; ++colour) {
        const float mean = means.levels[colour];
        const float above = a.levels[colour] + right_share * (b.levels[colour] - a.levels[colour]);
        const float below = c.levels[colour] + right_share * (d.levels[colour] - c.levels[colour]);
        const float value = seen ? rintf(above + bottom_share * (below - above)) : mean;
        patches[(at / area * 3 + colour) * area + at % area] = value - mean;
    }
}

// Pixels of a frame that its texture is judged by: (x + j * step_x, y + i * step_y) for j < columns, i < rows. The
// layout is that of GRID in kernels.py.
struct Grid {
    const uint8* pixels;
    long long pitch;
    int channels, x, y, step_x, step_y, columns, rows;
};

// Lowest and highest level (count, 2, 3) of up to three colours over each grid; `found` enters as 255 and 0. A thread a
// pixel of a grid of `side` x `side`, most of which are there.
extern "C" __global__ void extremes(const Grid* __restrict__ grids, int* found, int count, int side) {
    long long area = (long long)side * side, at = position();
    if (at >= count * area) return;
    const Grid grid = grids[at / area];
    const int column = (int)(at % side), row = (int)(at % area / side);
    if (column >= grid.columns || row >= grid.rows) return;
    const long long x = grid.x + (long long)column * grid.step_x, y = grid.y + (long long)row * grid.step_y;
    for (int colour = 0; colour < 3 && colour < grid.channels; ++colour) {
        const int level = grid.pixels[y * grid.pitch + x * grid.channels + colour];
        atomicMin(&found[at / area * 6 + colour], level);
        atomicMax(&found[at / area * 6 + 3 + colour], level);
    }
}

// Channels that a thread sums at once: it reads a pixel once for as many products. As in backbones/native.py.
#define AT_ONCE 16

// Four weights in one read of 16 bytes.
struct alignas(16) Four {
    float values[4];
};

// Maps (count, channels, side, side) -> made (count, outputs, made_side, made_side): a convolution with its bias, and
// what is below zero cut off where `rectified`. weights: (groups, channels, kernel, kernel, AT_ONCE), bias: (groups,
// AT_ONCE), the outputs in groups, filled up with zeros. A thread a pixel and group; for networks that features.cu is not for.
extern "C" __global__ void convolve(const float* __restrict__ maps, const float* __restrict__ weights,
                                    const float* __restrict__ bias, float* __restrict__ made, int count, int channels,
                                    int side, int outputs, int made_side, int kernel, int stride, int padding,
                                    int dilation, int rectified) {
    const int groups = (outputs + AT_ONCE - 1) / AT_ONCE;
    const long long area = (long long)made_side * made_side, at = position();
    if (at >= count * groups * area) return;
    const int group = (int)(at / area % groups);
    const long long patch = at / area / groups;
    const int left = (int)(at % made_side) * stride - padding, top = (int)(at % area / made_side) * stride - padding;
    const float* weight = weights + (long long)group * channels * kernel * kernel * AT_ONCE;
    float sums[AT_ONCE];
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k) sums[k] = bias[group * AT_ONCE + k];
    for (int channel = 0; channel < channels; ++channel) {
        const float* map = maps + (patch * channels + channel) * side * side;
        for (int row = 0; row < kernel; ++row) {
            const int y = top + row * dilation;
            for (int column = 0; column < kernel; ++column, weight += AT_ONCE) {
                const int x = left + column * dilation;
                if (x < 0 || y < 0 || x >= side || y >= side) continue;
                const float value = map[y * side + x];
                const Four* fours = reinterpret_cast<const Four*>(weight);
#pragma unroll
                for (int k = 0; k < AT_ONCE / 4; ++k) {
                    const Four four = fours[k];
#pragma unroll
                    for (int j = 0; j < 4; ++j) sums[4 * k + j] += value * four.values[j];
                }
            }
        }
    }
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k) {
        const int output = group * AT_ONCE + k;
        if (output < outputs) {
            const float sum = rectified && sums[k] < 0.0f ? 0.0f : sums[k];
            made[(patch * outputs + output) * area + at % area] = sum;
        }
    }
}

// A feature divided by (offset + band . squares)^(3/4), with the squares of `reach` channels to each side: band (channels,
// channels) has nothing beyond. values: of one place, channels `apart` numbers from each other.
__device__ static inline float normalised(const float* values, long long apart, const float* __restrict__ band,
                                          const float* __restrict__ offset, int channel, int channels, int reach) {
    const int first = channel - reach > 0 ? channel - reach : 0;
    const int last = channel + reach < channels - 1 ? channel + reach : channels - 1;
    float energy = offset[channel];
    for (int other = first; other <= last; ++other) {
        const float value = values[other * apart];
        energy += band[channel * channels + other] * (value * value);
    }
    const float root = sqrtf(energy);
    return values[channel * apart] / (root * sqrtf(root));
}

// Features (count, channels, area), normalised. A thread a feature.
extern "C" __global__ void normalise(const float* __restrict__ features, const float* __restrict__ band,
                                     const float* __restrict__ offset, float* __restrict__ made, int count,
                                     int channels, int area, int reach) {
    const long long at = position();
    if (at >= (long long)count * channels * area) return;
    const int channel = (int)(at / area % channels);
    made[at] = normalised(features + (at - (long long)channel * area), area, band, offset, channel, channels, reach);
}

// Colours are told in LEVELS levels of each of blue, green and red: as in colours.py.
#define LEVELS 16
#define BINS (LEVELS * LEVELS * LEVELS)

// The bin of a pixel of a patch, whose colours lie `area` numbers apart; mean: of blue, green and red, taken off it.
__device__ static inline int bin_of(const float* pixel, long long area, const float* mean) {
    int bin = 0;
    for (int colour = 0; colour < 3; ++colour)
        bin = bin * LEVELS + (int)((pixel[colour * area] + mean[colour]) * (LEVELS / 256.0f));
    return bin;
}

// Every `step`th pixel of patches (3, size, size), `side` of them along each axis; a patch begins `apart` numbers after
// the one before. How often each colour is in parts 1 and 2 of its patch: counts (patches, 2, BINS), which enter as zeros;
// parts (side, side). A thread a pixel.
extern "C" __global__ void count_colours(const float* __restrict__ patches, const float* __restrict__ mean,
                                         const int* __restrict__ parts, int* counts, int number, int size, int step,
                                         int side, int apart) {
    const long long area = (long long)side * side, at = position();
    if (at >= number * area) return;
    const int part = parts[at % area], row = (int)(at % area / side) * step, column = (int)(at % side) * step;
    if (!part) return;
    const float* pixel = patches + at / area * apart + (long long)row * size + column;
    atomicAdd(&counts[(at / area * 2 + part - 1) * BINS + bin_of(pixel, (long long)size * size, mean)], 1);
}

// How likely each of these pixels is the target's, found (patches, side, side), by the histograms (patches, 2, BINS) of
// target and surroundings; `unseen` is the share that a colour has which neither has. A thread a pixel.
extern "C" __global__ void likelihood(const float* __restrict__ patches, const float* __restrict__ mean,
                                      const float* __restrict__ histograms, float* __restrict__ found, int number,
                                      int size, int step, int side, int apart, float unseen) {
    const long long area = (long long)side * side, at = position();
    if (at >= number * area) return;
    const int row = (int)(at % area / side) * step, column = (int)(at % side) * step;
    const float* pixel = patches + at / area * apart + (long long)row * size + column;
    const float* target = histograms + at / area * 2 * BINS + bin_of(pixel, (long long)size * size, mean);
    found[at] = (target[0] + unseen / 2) / (target[0] + target[BINS] + unseen);
}
