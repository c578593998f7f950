// Tiles of features, for features.cu and tensor_features.cu. A block computes a tile of TILE_WIDTH x TILE_HEIGHT features, at
// most PIXELS * LANES, from ROWS x COLUMNS intermediate pixels. Neighbouring features read every STRIDE-th intermediate
// column. So these columns are stored next to each other, in groups of PART columns. PITCH is the distance of two rows.
// fused_convolutions.py chooses the tile.

#define BLOCK_THREADS (WARPS * LANES)

// Where an intermediate column is stored in its row.
__device__ static inline int stored_column(int column) { return column % STRIDE * PART + column / STRIDE; }

// The tile of a block: where it begins in the features and in the intermediate map, and its patch.
struct Tile {
    int left, top, intermediate_left, intermediate_top;
    long long patch;
};

__device__ static inline Tile tile_of_block() {
    const int across = (SIDE + TILE_WIDTH - 1) / TILE_WIDTH, down = (SIDE + TILE_HEIGHT - 1) / TILE_HEIGHT;
    const int tile = blockIdx.x % (across * down), left = tile % across * TILE_WIDTH, top = tile / across * TILE_HEIGHT;
    return {left, top, left * STRIDE - PADDING, top * STRIDE - PADDING, (long long)(blockIdx.x / (across * down))};
}

// Normalises the sums of a tile that begins at (left, top) into features (OUTPUTS, SIDE, SIDE). pitch: numbers from the sums
// of a channel to those of the next one.
__device__ static inline void store_features(const float* sums, int pitch, const float* __restrict__ band,
                                             const float* __restrict__ offset, float* __restrict__ features, int left,
                                             int top) {
    for (int pixel = threadIdx.x; pixel < TILE_WIDTH * TILE_HEIGHT; pixel += BLOCK_THREADS) {
        const int x = left + pixel % TILE_WIDTH, y = top + pixel / TILE_WIDTH;
        if (x >= SIDE || y >= SIDE) continue;
        float values[OUTPUTS];  // with all loops unrolled these are registers, each squared once
#pragma unroll
        for (int channel = 0; channel < OUTPUTS; ++channel) values[channel] = sums[channel * pitch + pixel];
#pragma unroll
        for (int channel = 0; channel < OUTPUTS; ++channel)
            features[((long long)channel * SIDE + y) * SIDE + x] =
                normalised(values, 1, band, offset, channel, OUTPUTS, REACH);
    }
}
