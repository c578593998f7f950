// The network of two convolutions in one kernel, for backbones/native.py: patches in, features out. What lies between the
// convolutions is made CHANNELS_AT_ONCE channels at a time in memory that a block shares, and never leaves the chip.

#define LANES 32
#define WARPS 4              // of a block
#define OUTPUTS_AT_ONCE 8    // channels of the features that a thread sums, and all of its warp
#define CHANNELS_AT_ONCE 4
#define LARGE 8              // pixels that a thread sums: of features_large, and of features_small
#define SMALL 2
#define FIRST_AT_ONCE 5      // neighbouring places between that a thread makes at once

// The network, and in which pieces it is done; the layout is that of PLAN in fusion.py. The first convolution is 3 x 3,
// without stride and dilation. Weights are filled up with zeros: first (groups, channels, 3, 3) and first_bias (groups),
// Fours of CHANNELS_AT_ONCE; second (groups, kernel, kernel, CHANNELS_AT_ONCE, WARPS, OUTPUTS_AT_ONCE) and second_bias
// (WARPS, OUTPUTS_AT_ONCE). A tile is what a block makes: width x height features, of rows x columns places between, of two
// pixels more along each axis. Columns between that neighbouring features read together lie together: every `stride`th of
// them, `part` in all; rows lie `pitch` places apart.
struct Plan {
    const Four *first, *first_bias, *second;
    const float *second_bias, *band, *offset;
    int channels, patch_side, first_padding, between_side, groups;
    int kernel, stride, padding, dilation, outputs, side, reach;
    int width, height, rows, columns, part, pitch;
};

// Whole runs of places are made, the last one of a row with what is beyond.
__device__ static inline int seen_columns(const Plan& plan) {
    return (plan.columns + FIRST_AT_ONCE - 1) / FIRST_AT_ONCE * FIRST_AT_ONCE + 2;
}

// Where a column of the places between lies in its row.
__device__ static inline int sorted(int column, const Plan& plan) {
    return column % plan.stride * plan.part + column / plan.stride;
}

// The pixels (channels, rows + 2, seen_columns) of a patch (channels, side, side) that a tile is made of, from (left, top)
// on, with nothing outside.
template <typename Pixel>
__device__ static inline void see(const Pixel* __restrict__ patch, float* seen, const Plan& plan, int left, int top) {
    const int rows = plan.rows + 2, columns = seen_columns(plan), side = plan.patch_side;
    for (int at = threadIdx.x / LANES; at < plan.channels * rows; at += WARPS) {
        const int y = top + at % rows;
        const Pixel* row = patch + ((long long)(at / rows) * side + y) * side + left;
        for (int column = threadIdx.x % LANES; column < columns; column += LANES) {
            const bool inside = left + column >= 0 && y >= 0 && left + column < side && y < side;
            seen[at * columns + column] = inside ? value_of(row[column]) : 0.0f;
        }
    }
}

// The first convolution and its ReLU for CHANNELS_AT_ONCE channels of every place between, which begin at (left, top):
// nothing where the second convolution is padded. A thread a run of FIRST_AT_ONCE places.
__device__ static inline void make_between(const float* seen, const Four* __restrict__ weights, Four bias, Four* between,
                                           const Plan& plan, int left, int top) {
    const int runs = (plan.columns + FIRST_AT_ONCE - 1) / FIRST_AT_ONCE, columns = seen_columns(plan);
    for (int run = threadIdx.x; run < plan.rows * runs; run += WARPS * LANES) {
        const int row = run / runs, start = run % runs * FIRST_AT_ONCE;
        const float* pixels = seen + row * columns + start;
        const Four* weight = weights;
        Four sums[FIRST_AT_ONCE];
#pragma unroll
        for (int k = 0; k < FIRST_AT_ONCE; ++k) sums[k] = bias;
        for (int channel = 0; channel < plan.channels; ++channel, pixels += (plan.rows - 1) * columns)
            for (int down = 0; down < 3; ++down, pixels += columns, weight += 3) {
                float values[FIRST_AT_ONCE + 2];
#pragma unroll
                for (int k = 0; k < FIRST_AT_ONCE + 2; ++k) values[k] = pixels[k];
#pragma unroll
                for (int across = 0; across < 3; ++across) {
                    const Four four = weight[across];
#pragma unroll
                    for (int k = 0; k < FIRST_AT_ONCE; ++k)
#pragma unroll
                        for (int j = 0; j < CHANNELS_AT_ONCE; ++j)
                            sums[k].values[j] += values[k + across] * four.values[j];
                }
            }
        const bool outside = top + row < 0 || top + row >= plan.between_side;
#pragma unroll
        for (int k = 0; k < FIRST_AT_ONCE; ++k) {
            const int column = start + k, x = left + column;
            const bool nothing = outside || x < 0 || x >= plan.between_side;
#pragma unroll
            for (int j = 0; j < CHANNELS_AT_ONCE; ++j)
                sums[k].values[j] = nothing || sums[k].values[j] < 0.0f ? 0.0f : sums[k].values[j];
            if (column < plan.columns) between[row * plan.pitch + sorted(column, plan)] = sums[k];
        }
    }
}

// Adds to PIXELS sums of OUTPUTS_AT_ONCE channels what CHANNELS_AT_ONCE channels between have to say. weights: (kernel,
// kernel, CHANNELS_AT_ONCE, WARPS, OUTPUTS_AT_ONCE). places: where the pixels begin in `between`; taps: where from there
// each of `count` weights of the kernel has its place.
template <int PIXELS>
__device__ static inline void add_second(const Four* between, const Four* weights, const int* taps, int count,
                                         const int (&places)[PIXELS], float (&sums)[PIXELS][OUTPUTS_AT_ONCE]) {
    const int apart = WARPS * OUTPUTS_AT_ONCE / 4;  // Fours from one channel's weights to the next one's
    const Four* weight = weights + threadIdx.x / LANES * (OUTPUTS_AT_ONCE / 4);
    for (int tap = 0; tap < count; ++tap, weight += CHANNELS_AT_ONCE * apart) {
        const Four* from = between + taps[tap];
        Four fours[CHANNELS_AT_ONCE][OUTPUTS_AT_ONCE / 4];
#pragma unroll
        for (int j = 0; j < CHANNELS_AT_ONCE; ++j)
#pragma unroll
            for (int k = 0; k < OUTPUTS_AT_ONCE / 4; ++k) fours[j][k] = weight[j * apart + k];
#pragma unroll
        for (int pixel = 0; pixel < PIXELS; ++pixel) {
            const Four values = from[places[pixel]];
#pragma unroll
            for (int j = 0; j < CHANNELS_AT_ONCE; ++j)
#pragma unroll
                for (int k = 0; k < OUTPUTS_AT_ONCE; ++k)
                    sums[pixel][k] += values.values[j] * fours[j][k / 4].values[k % 4];
        }
    }
}

// Features (outputs, side, side) of a tile that begins at (left, top), of sums (channels, pixels).
__device__ static inline void make_features(const float* sums, float* __restrict__ features, const Plan& plan, int pixels,
                                            int left, int top) {
    for (int pixel = threadIdx.x; pixel < plan.width * plan.height; pixel += WARPS * LANES) {
        const int x = left + pixel % plan.width, y = top + pixel / plan.width;
        if (x >= plan.side || y >= plan.side) continue;
        for (int channel = 0; channel < plan.outputs; ++channel)
            features[((long long)channel * plan.side + y) * plan.side + x] =
                normalised(sums + pixel, pixels, plan.band, plan.offset, channel, plan.outputs, plan.reach);
    }
}

extern __shared__ Four shared[];

template <int PIXELS, typename Pixel>
__device__ static inline void make_tile(const Pixel* __restrict__ patches, const Plan& plan, float* __restrict__ features) {
    const int across = (plan.side + plan.width - 1) / plan.width, down = (plan.side + plan.height - 1) / plan.height;
    const int tile = blockIdx.x % (across * down), left = tile % across * plan.width, top = tile / across * plan.height;
    const int between_left = left * plan.stride - plan.padding, between_top = top * plan.stride - plan.padding;
    const long long patch = blockIdx.x / (across * down);
    const int count = plan.kernel * plan.kernel, each = count * CHANNELS_AT_ONCE * WARPS * (OUTPUTS_AT_ONCE / 4);
    Four *between = shared, *weights = between + plan.rows * plan.pitch;
    int* taps = reinterpret_cast<int*>(weights + each);
    float* seen = reinterpret_cast<float*>(taps + count);
    for (int tap = threadIdx.x; tap < count; tap += WARPS * LANES)
        taps[tap] = tap / plan.kernel * plan.dilation * plan.pitch + sorted(tap % plan.kernel * plan.dilation, plan);
    see(patches + patch * plan.channels * plan.patch_side * plan.patch_side, seen, plan,
        between_left - plan.first_padding, between_top - plan.first_padding);

    const int lane = threadIdx.x % LANES, outputs = threadIdx.x / LANES * OUTPUTS_AT_ONCE;
    int places[PIXELS];
    float sums[PIXELS][OUTPUTS_AT_ONCE];
#pragma unroll
    for (int pixel = 0; pixel < PIXELS; ++pixel) {
        const int at = pixel * LANES + lane, y = at / plan.width;  // behind the tile's last: makes what nobody reads
        places[pixel] = y < plan.height ? y * plan.stride * plan.pitch + at % plan.width : 0;
#pragma unroll
        for (int k = 0; k < OUTPUTS_AT_ONCE; ++k) sums[pixel][k] = plan.second_bias[outputs + k];
    }
    for (int group = 0; group < plan.groups; ++group) {
        __syncthreads();  // the pixels are there, and the group before is no longer read
        for (int at = threadIdx.x; at < each; at += WARPS * LANES) weights[at] = plan.second[group * each + at];
        make_between(seen, plan.first + group * plan.channels * 9, plan.first_bias[group], between, plan, between_left,
                     between_top);
        __syncthreads();
        add_second<PIXELS>(between, weights, taps, count, places, sums);
    }
    __syncthreads();  // the sums take the place of what they were made of
    float* kept = reinterpret_cast<float*>(shared);
#pragma unroll
    for (int pixel = 0; pixel < PIXELS; ++pixel)
#pragma unroll
        for (int k = 0; k < OUTPUTS_AT_ONCE; ++k)
            kept[((outputs + k) * PIXELS + pixel) * LANES + lane] = sums[pixel][k];
    __syncthreads();
    make_features(kept, features + patch * plan.outputs * plan.side * plan.side, plan, PIXELS * LANES, left, top);
}

// Patches (count, channels, patch_side, patch_side) -> features (count, outputs, side, side). A block a tile; in
// large ones, of which least is made twice, or in small ones, so that few patches keep a whole GPU busy.
extern "C" __global__ void __launch_bounds__(WARPS* LANES, 3)
    features_large(const float* __restrict__ patches, const Plan* __restrict__ plan, float* __restrict__ features) {
    make_tile<LARGE>(patches, *plan, features);
}

extern "C" __global__ void __launch_bounds__(WARPS* LANES, 3)
    features_large_half(const Half* __restrict__ patches, const Plan* __restrict__ plan, float* __restrict__ features) {
    make_tile<LARGE>(patches, *plan, features);
}

extern "C" __global__ void __launch_bounds__(WARPS* LANES, 3)
    features_small(const float* __restrict__ patches, const Plan* __restrict__ plan, float* __restrict__ features) {
    make_tile<SMALL>(patches, *plan, features);
}

extern "C" __global__ void __launch_bounds__(WARPS* LANES, 3)
    features_small_half(const Half* __restrict__ patches, const Plan* __restrict__ plan, float* __restrict__ features) {
    make_tile<SMALL>(patches, *plan, features);
}
