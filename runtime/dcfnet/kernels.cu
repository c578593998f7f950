// What all kernels begin with, and those of texture.py and, layer by layer, backbones/native.py. The other files follow, as
// one program (SOURCES of kernels.py). Most threads make their numbers by themselves; those of features.cu and peaks.cu share memory. All is plain C++, too, and is proven on
// a CPU (tests/runtime/cuda). Arrays are contiguous, and laid out as the functions of the same purpose say; counts of threads
// may be more than there is to do.

typedef unsigned char uint8;

__device__ static inline long long position() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

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
