// A network of two convolutions in one kernel, for backbones/fused_convolutions.py: patches in, features out. The intermediate
// maps between the convolutions are computed GROUP_CHANNELS channels at a time in shared memory, and never leave the chip.
//
// The program is compiled for one geometry. Constants beside those of constants.py:
//   CHANNELS, PATCH_SIDE        of the patches
//   FIRST_PADDING               of the first convolution, 3 x 3 without stride and dilation, with a ReLU
//   INTERMEDIATE_SIDE, GROUPS   of the intermediate maps; GROUPS of GROUP_CHANNELS channels
//   KERNEL, STRIDE, PADDING, DILATION    of the second convolution
//   OUTPUTS, SIDE               channels and side of the features
//   REACH                       channels on each side that the normalisation of a feature reads
// A thread computes WARP_OUTPUTS channels of PIXELS features. tiles.cu has the constants of tiles.
//
// Weights are padded with zeros: first (GROUPS, CHANNELS, 3, 3) and first_bias (GROUPS), Fours of GROUP_CHANNELS numbers;
// second (GROUPS, KERNEL, KERNEL, GROUP_CHANNELS, WARPS, WARP_OUTPUTS), second_bias (WARPS, WARP_OUTPUTS).

#define RUNS ((COLUMNS + RUN_LENGTH - 1) / RUN_LENGTH)  // runs of neighbouring intermediate pixels in a row
#define WINDOW_ROWS (ROWS + 2)                          // patch pixels that a tile reads
#define WINDOW_COLUMNS (RUNS * RUN_LENGTH + 2)
#define TAPS (KERNEL * KERNEL)
#define GROUP_WEIGHTS (TAPS * GROUP_CHANNELS * WARPS * (WARP_OUTPUTS / 4))  // Fours of the second convolution, per group

// Loads the patch pixels (CHANNELS, WINDOW_ROWS, WINDOW_COLUMNS) from (left, top) on; pixels outside the patch are 0.
template <typename Pixel>
__device__ static inline void load_window(const Pixel* __restrict__ patch, float* window, int left, int top) {
    for (int at = threadIdx.x / LANES; at < CHANNELS * WINDOW_ROWS; at += WARPS) {
        const int y = top + at % WINDOW_ROWS;
        const Pixel* row = patch + ((long long)(at / WINDOW_ROWS) * PATCH_SIDE + y) * PATCH_SIDE + left;
        for (int column = threadIdx.x % LANES; column < WINDOW_COLUMNS; column += LANES) {
            const bool inside = left + column >= 0 && y >= 0 && left + column < PATCH_SIDE && y < PATCH_SIDE;
            window[at * WINDOW_COLUMNS + column] = inside ? value_of(row[column]) : 0.0f;
        }
    }
}

// The first convolution and its ReLU, GROUP_CHANNELS channels of every intermediate pixel of the tile, which begins at (left,
// top). Pixels in the padding of the second convolution are 0. A thread computes runs of RUN_LENGTH pixels.
__device__ static inline void first_convolution(const float* window, const Four* __restrict__ weights, Four bias,
                                                Four* intermediate, int left, int top) {
    for (int run = threadIdx.x; run < ROWS * RUNS; run += BLOCK_THREADS) {
        const int row = run / RUNS, start = run % RUNS * RUN_LENGTH;
        const float* pixels = window + row * WINDOW_COLUMNS + start;
        const Four* weight = weights;
        Four sums[RUN_LENGTH];
#pragma unroll
        for (int k = 0; k < RUN_LENGTH; ++k) sums[k] = bias;
        for (int channel = 0; channel < CHANNELS; ++channel, pixels += (WINDOW_ROWS - 3) * WINDOW_COLUMNS)
            for (int down = 0; down < 3; ++down, pixels += WINDOW_COLUMNS, weight += 3) {
                float values[RUN_LENGTH + 2];
#pragma unroll
                for (int k = 0; k < RUN_LENGTH + 2; ++k) values[k] = pixels[k];
#pragma unroll
                for (int across = 0; across < 3; ++across) {
                    const Four four = weight[across];
#pragma unroll
                    for (int k = 0; k < RUN_LENGTH; ++k)
#pragma unroll
                        for (int j = 0; j < GROUP_CHANNELS; ++j)
                            sums[k].values[j] += values[k + across] * four.values[j];
                }
            }
        const bool padding_row = top + row < 0 || top + row >= INTERMEDIATE_SIDE;
#pragma unroll
        for (int k = 0; k < RUN_LENGTH; ++k) {
            const int column = start + k, x = left + column;
            const bool padding = padding_row || x < 0 || x >= INTERMEDIATE_SIDE;
#pragma unroll
            for (int j = 0; j < GROUP_CHANNELS; ++j)
                sums[k].values[j] = padding || sums[k].values[j] < 0.0f ? 0.0f : sums[k].values[j];
            if (column < COLUMNS) intermediate[row * PITCH + stored_column(column)] = sums[k];
        }
    }
}

// Adds GROUP_CHANNELS intermediate channels to the sums of PIXELS features in WARP_OUTPUTS channels. weights: (KERNEL, KERNEL,
// GROUP_CHANNELS, WARPS, WARP_OUTPUTS). starts: where the window of each feature begins in `intermediate`. taps: offset of
// each weight of the kernel from there.
__device__ static inline void add_second_convolution(const Four* intermediate, const Four* weights, const int* taps,
                                                     const int (&starts)[PIXELS], float (&sums)[PIXELS][WARP_OUTPUTS]) {
    const int channel_step = WARPS * WARP_OUTPUTS / 4;  // Fours from the weights of one channel to the next
    const Four* weight = weights + threadIdx.x / LANES * (WARP_OUTPUTS / 4);
    for (int tap = 0; tap < TAPS; ++tap, weight += GROUP_CHANNELS * channel_step) {
        const Four* from = intermediate + taps[tap];
        Four fours[GROUP_CHANNELS][WARP_OUTPUTS / 4];
#pragma unroll
        for (int j = 0; j < GROUP_CHANNELS; ++j)
#pragma unroll
            for (int k = 0; k < WARP_OUTPUTS / 4; ++k) fours[j][k] = weight[j * channel_step + k];
#pragma unroll
        for (int pixel = 0; pixel < PIXELS; ++pixel) {
            const Four values = from[starts[pixel]];
#pragma unroll
            for (int j = 0; j < GROUP_CHANNELS; ++j)
#pragma unroll
                for (int k = 0; k < WARP_OUTPUTS; ++k)
                    sums[pixel][k] += values.values[j] * fours[j][k / 4].values[k % 4];
        }
    }
}

template <typename Pixel>
__device__ static inline void compute_tile(const Pixel* __restrict__ patches, const Four* __restrict__ first,
                                           const Four* __restrict__ first_bias, const Four* __restrict__ second,
                                           const float* __restrict__ second_bias, const float* __restrict__ band,
                                           const float* __restrict__ offset, float* __restrict__ features) {
    const Tile tile = tile_of_block();
    Four *intermediate = shared, *weights = intermediate + ROWS * PITCH;
    int* taps = reinterpret_cast<int*>(weights + GROUP_WEIGHTS);
    float* window = reinterpret_cast<float*>(taps + TAPS);
    for (int tap = threadIdx.x; tap < TAPS; tap += BLOCK_THREADS)
        taps[tap] = tap / KERNEL * DILATION * PITCH + stored_column(tap % KERNEL * DILATION);
    load_window(patches + tile.patch * CHANNELS * PATCH_SIDE * PATCH_SIDE, window,
                tile.intermediate_left - FIRST_PADDING, tile.intermediate_top - FIRST_PADDING);

    const int lane = threadIdx.x % LANES, outputs = threadIdx.x / LANES * WARP_OUTPUTS;
    int starts[PIXELS];
    float sums[PIXELS][WARP_OUTPUTS];
#pragma unroll
    for (int pixel = 0; pixel < PIXELS; ++pixel) {
        const int at = pixel * LANES + lane, y = at / TILE_WIDTH;  // results beyond the tile are not stored
        starts[pixel] = y < TILE_HEIGHT ? y * STRIDE * PITCH + at % TILE_WIDTH : 0;
#pragma unroll
        for (int k = 0; k < WARP_OUTPUTS; ++k) sums[pixel][k] = second_bias[outputs + k];
    }
    for (int group = 0; group < GROUPS; ++group) {
        __syncthreads();  // the window is loaded, and the previous group has been read
        for (int at = threadIdx.x; at < GROUP_WEIGHTS; at += BLOCK_THREADS)
            weights[at] = second[group * GROUP_WEIGHTS + at];
        first_convolution(window, first + group * CHANNELS * 9, first_bias[group], intermediate, tile.intermediate_left,
                          tile.intermediate_top);
        __syncthreads();
        add_second_convolution(intermediate, weights, taps, starts, sums);
    }
    __syncthreads();  // the sums replace the intermediate pixels
    float* kept = reinterpret_cast<float*>(shared);
#pragma unroll
    for (int pixel = 0; pixel < PIXELS; ++pixel)
#pragma unroll
        for (int k = 0; k < WARP_OUTPUTS; ++k)
            kept[((outputs + k) * PIXELS + pixel) * LANES + lane] = sums[pixel][k];
    __syncthreads();
    store_features(kept, PIXELS * LANES, band, offset, features + tile.patch * OUTPUTS * SIDE * SIDE, tile.left,
                   tile.top);
}

// Patches (count, CHANNELS, PATCH_SIDE, PATCH_SIDE) -> features (count, OUTPUTS, SIDE, SIDE). One block per tile.
extern "C" __global__ void __launch_bounds__(WARPS* LANES, 3)
    features(const float* __restrict__ patches, const Four* __restrict__ first, const Four* __restrict__ first_bias,
             const Four* __restrict__ second, const float* __restrict__ second_bias, const float* __restrict__ band,
             const float* __restrict__ offset, float* __restrict__ features) {
    compute_tile(patches, first, first_bias, second, second_bias, band, offset, features);
}

extern "C" __global__ void __launch_bounds__(WARPS* LANES, 3)
    features_half(const Half* __restrict__ patches, const Four* __restrict__ first, const Four* __restrict__ first_bias,
                  const Four* __restrict__ second, const float* __restrict__ second_bias, const float* __restrict__ band,
                  const float* __restrict__ offset, float* __restrict__ features) {
    compute_tile(patches, first, first_bias, second, second_bias, band, offset, features);
}
