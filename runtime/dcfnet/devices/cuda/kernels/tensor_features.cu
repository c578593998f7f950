// The network of features.cu on tensor cores, for backbones/tensor_convolutions.py: patches in, features out. Patches, weights
// and intermediate maps are float16; every sum, the biases and the normalisation are float32. Both convolutions are products
// of matrices whose left factor is never stored: its rows are pixels, its columns the numbers that a pixel of the result reads.
//
// Constants: those of features.cu and tiles.cu, with GROUPS of TENSOR_CHANNELS intermediate channels. A patch has at most
// PIXEL_NUMBERS channels. A warp computes ROW_TILES * TENSOR_ROWS features in all channels.
//
// Weights are the right factors, padded with zeros, as Fragments: lane by lane, for 16 rows and 16 columns.
//   first (GROUPS, 2, 3, LANES): the 16 rows of a kernel row are four pixels of PIXEL_NUMBERS channels; the fourth has weight
//         0. A weight is the sum of two float16, because rounding to one of them would cost most of the accuracy
//   second (GROUPS, KERNEL, KERNEL, 2, LANES): the rows are the channels of the group, the columns half of the outputs
// first_bias (GROUPS, TENSOR_CHANNELS), second_bias (MAX_OUTPUTS).

#define PIXEL_WORDS (PIXEL_NUMBERS / 2)  // of a patch pixel: two float16 in a word
#define STORED ((ROWS * PITCH + TENSOR_ROWS - 1) / TENSOR_ROWS * TENSOR_ROWS)  // intermediate pixels in shared memory
#define OUTSIDE 0x8000u                                                         // mark of a place: see find_places
#define WINDOW_ROWS (ROWS + 2)  // patch pixels that a tile reads
#define WINDOW_COLUMNS (COLUMNS + 3)
#define OUTPUT_TILES (MAX_OUTPUTS / 8)
#define ROW_TILES (PIXELS * LANES / (WARPS * TENSOR_ROWS))
#define SUMS_PITCH (PIXELS * LANES + 4)  // four more: the lanes of a warp then write to different banks

// Two right factors of multiply_add, for neighbouring columns of the result.
struct alignas(16) Fragments {
    unsigned words[4];
};

__device__ static inline unsigned packed(float low, float high) { return packed_halves(low, high); }
__device__ static inline unsigned packed(Half low, Half high) { return low.bits | (unsigned)high.bits << 16; }

// Loads the patch pixels (WINDOW_ROWS, WINDOW_COLUMNS, PIXEL_NUMBERS) from (left, top) on, as float16; all else is 0.
template <typename Pixel>
__device__ static inline void load_window(const Pixel* __restrict__ patch, unsigned* window, int left, int top) {
    for (int at = threadIdx.x; at < WINDOW_ROWS * WINDOW_COLUMNS; at += BLOCK_THREADS) {
        const int x = left + at % WINDOW_COLUMNS, y = top + at / WINDOW_COLUMNS;
        const bool inside = x >= 0 && y >= 0 && x < PATCH_SIDE && y < PATCH_SIDE;
        Pixel values[PIXEL_NUMBERS] = {};
#pragma unroll
        for (int channel = 0; channel < CHANNELS; ++channel)
            if (inside) values[channel] = patch[(channel * PATCH_SIDE + y) * PATCH_SIDE + x];
#pragma unroll
        for (int word = 0; word < PIXEL_WORDS; ++word)
            window[at * PIXEL_WORDS + word] = packed(values[2 * word], values[2 * word + 1]);
    }
}

// For each stored intermediate pixel the word of `window` where its patch pixels begin. OUTSIDE is added for a pixel in the
// padding of the second convolution. The tile begins at (left, top). Nothing reads the stored pixels between columns.
__device__ static inline void find_places(unsigned short* places, int left, int top) {
    for (int at = threadIdx.x; at < STORED; at += BLOCK_THREADS) {
        const int row = at / PITCH < ROWS ? at / PITCH : 0, stored = at % PITCH;
        const int wanted = stored % PART * STRIDE + stored / PART, column = wanted < COLUMNS ? wanted : 0;
        const int x = left + column, y = top + row;
        const bool inside = x >= 0 && y >= 0 && x < INTERMEDIATE_SIDE && y < INTERMEDIATE_SIDE;
        places[at] = (unsigned short)((row * WINDOW_COLUMNS + column) * PIXEL_WORDS | (inside ? 0u : OUTSIDE));
    }
}

// A group of channels of the first convolution, with its ReLU, for every stored pixel. Pixels in the padding of the second
// convolution are 0. A warp computes TENSOR_ROWS pixels at a time.
__device__ static inline void first_convolution(const unsigned* window, const unsigned short* places,
                                                const Fragments* __restrict__ weights, const float* __restrict__ bias,
                                                unsigned* intermediate) {
    const int lane = threadIdx.x % LANES, group = lane / 4, member = lane % 4;
    Fragments rights[2 * 3];
#pragma unroll
    for (int k = 0; k < 2 * 3; ++k) rights[k] = weights[k * LANES + lane];
    const float biases[2][2] = {{bias[2 * member], bias[2 * member + 1]}, {bias[2 * member + 8], bias[2 * member + 9]}};
    for (int first = threadIdx.x / LANES * TENSOR_ROWS; first < STORED; first += WARPS * TENSOR_ROWS) {
        const unsigned found[2] = {places[first + group], places[first + group + 8]};
        const unsigned* pixels[2] = {window + found[0] % OUTSIDE + member, window + found[1] % OUTSIDE + member};
        float sums[2][4];
#pragma unroll
        for (int tile = 0; tile < 2; ++tile)
#pragma unroll
            for (int k = 0; k < 4; ++k) sums[tile][k] = biases[tile][k % 2];
#pragma unroll
        for (int down = 0; down < 3; ++down) {
            const int row = down * WINDOW_COLUMNS * PIXEL_WORDS;
            const unsigned values[4] = {pixels[0][row], pixels[1][row], pixels[0][row + 4], pixels[1][row + 4]};
#pragma unroll
            for (int k = down; k < 2 * 3; k += 3) {
                multiply_add(sums[0], values, rights[k].words[0], rights[k].words[1]);
                multiply_add(sums[1], values, rights[k].words[2], rights[k].words[3]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int tile = 0; tile < 2; ++tile) {
                const float low = fmaxf(sums[tile][2 * half], 0.0f), high = fmaxf(sums[tile][2 * half + 1], 0.0f);
                intermediate[(first + group + 8 * half) * TENSOR_STEP + 4 * tile + member] =
                    found[half] < OUTSIDE ? packed_halves(low, high) : 0;
            }
    }
}

// Adds a group of intermediate channels to the sums of ROW_TILES * TENSOR_ROWS features. weights: (KERNEL, KERNEL, 2, LANES).
// starts: words before the window of the features `group` and `group + 8` of each tile in `intermediate`.
__device__ static inline void add_second_convolution(const unsigned* intermediate, const Fragments* __restrict__ weights,
                                                     const int (&starts)[ROW_TILES][2],
                                                     float (&sums)[ROW_TILES][OUTPUT_TILES][4]) {
    const Fragments* weight = weights + threadIdx.x % LANES;
    for (int down = 0; down < KERNEL; ++down)
#pragma unroll
        for (int across = 0; across < KERNEL; ++across, weight += 2 * LANES) {
            const unsigned* from = intermediate + (down * DILATION * PITCH + stored_column(across * DILATION)) * TENSOR_STEP;
            const Fragments rights[2] = {weight[0], weight[LANES]};
#pragma unroll
            for (int tile = 0; tile < ROW_TILES; ++tile) {
                const unsigned *upper = from + starts[tile][0], *lower = from + starts[tile][1];
                const unsigned values[4] = {upper[0], lower[0], upper[4], lower[4]};
#pragma unroll
                for (int output = 0; output < OUTPUT_TILES; ++output) {
                    const unsigned* right = rights[output / 2].words + output % 2 * 2;
                    multiply_add(sums[tile][output], values, right[0], right[1]);
                }
            }
        }
}

template <typename Pixel>
__device__ static inline void compute_tile(const Pixel* __restrict__ patches, const Fragments* __restrict__ first,
                                           const float* __restrict__ first_bias, const Fragments* __restrict__ second,
                                           const float* __restrict__ second_bias, const float* __restrict__ band,
                                           const float* __restrict__ offset, float* __restrict__ features) {
    const Tile tile = tile_of_block();
    unsigned *intermediate = reinterpret_cast<unsigned*>(shared), *window = intermediate + STORED * TENSOR_STEP;
    unsigned short* places = reinterpret_cast<unsigned short*>(window + WINDOW_ROWS * WINDOW_COLUMNS * PIXEL_WORDS);
    find_places(places, tile.intermediate_left, tile.intermediate_top);
    load_window(patches + tile.patch * CHANNELS * PATCH_SIDE * PATCH_SIDE, window,
                tile.intermediate_left - FIRST_PADDING, tile.intermediate_top - FIRST_PADDING);

    const int lane = threadIdx.x % LANES, group = lane / 4, member = lane % 4;
    const int begin = threadIdx.x / LANES * ROW_TILES * TENSOR_ROWS + group;  // the first feature of this lane
    int starts[ROW_TILES][2];
    float sums[ROW_TILES][OUTPUT_TILES][4];
#pragma unroll
    for (int row = 0; row < ROW_TILES; ++row) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int at = begin + row * TENSOR_ROWS + 8 * half, y = at / TILE_WIDTH;  // results beyond the tile are not stored
            starts[row][half] = (y < TILE_HEIGHT ? y * STRIDE * PITCH + at % TILE_WIDTH : 0) * TENSOR_STEP + member;
        }
#pragma unroll
        for (int output = 0; output < OUTPUT_TILES; ++output)
#pragma unroll
            for (int k = 0; k < 4; ++k) sums[row][output][k] = second_bias[8 * output + 2 * member + k % 2];
    }
    for (int part = 0; part < GROUPS; ++part) {
        __syncthreads();  // window and places are there, and the previous group has been read
        first_convolution(window, places, first + part * 2 * 3 * LANES, first_bias + part * TENSOR_CHANNELS, intermediate);
        __syncthreads();
        add_second_convolution(intermediate, second + part * KERNEL * KERNEL * 2 * LANES, starts, sums);
    }
    __syncthreads();  // the sums replace the intermediate pixels
    float* kept = reinterpret_cast<float*>(shared);
#pragma unroll
    for (int row = 0; row < ROW_TILES; ++row)
#pragma unroll
        for (int output = 0; output < OUTPUT_TILES; ++output)
#pragma unroll
            for (int k = 0; k < 4; ++k)
                kept[(8 * output + 2 * member + k % 2) * SUMS_PITCH + begin + row * TENSOR_ROWS + k / 2 * 8] =
                    sums[row][output][k];
    __syncthreads();
    store_features(kept, SUMS_PITCH, band, offset, features + tile.patch * OUTPUTS * SIDE * SIDE, tile.left,
                   tile.top);
}

// Patches (count, CHANNELS, PATCH_SIDE, PATCH_SIDE) -> features (count, OUTPUTS, SIDE, SIDE). One block per tile.
extern "C" __global__ void __launch_bounds__(WARPS* LANES, 4)
    tensor_features(const float* __restrict__ patches, const Fragments* __restrict__ first,
                    const float* __restrict__ first_bias, const Fragments* __restrict__ second,
                    const float* __restrict__ second_bias, const float* __restrict__ band,
                    const float* __restrict__ offset, float* __restrict__ features) {
    compute_tile(patches, first, first_bias, second, second_bias, band, offset, features);
}

extern "C" __global__ void __launch_bounds__(WARPS* LANES, 4)
    tensor_features_half(const Half* __restrict__ patches, const Fragments* __restrict__ first,
                         const float* __restrict__ first_bias, const Fragments* __restrict__ second,
                         const float* __restrict__ second_bias, const float* __restrict__ band,
                         const float* __restrict__ offset, float* __restrict__ features) {
    compute_tile(patches, first, first_bias, second, second_bias, band, offset, features);
}
