// Kernel of texture.py: the contrast and the grey level of regions of frames.

// Grid (GRID of sampling.py): the pixels of one texture check, (x + j * step_x, y + i * step_y) for j < columns, i < rows.

// How often pixel `at` of `pixels` in a row is among the COARSE_SAMPLES of texture_of: more than once in a short row.
__device__ static inline int coarse_samples(int at, int pixels) {
    int found = 0;
    for (int sample = 0; sample < COARSE_SAMPLES; ++sample) found += sample * (pixels - 1) / (COARSE_SAMPLES - 1) == at;
    return found;
}

// Of up to three colours over each grid (count, 3, 3): the lowest level, the highest one, and the sum over the coarse
// samples; `levels` starts as 255, 0 and 0. One thread per pixel of a grid of `side` x `side`; a grid may be smaller.
extern "C" __global__ void extremes(const Grid* __restrict__ grids, int* levels, int count, int side) {
    long long area = (long long)side * side, at = position();
    if (at >= count * area) return;
    const Grid grid = grids[at / area];
    const int column = (int)(at % side), row = (int)(at % area / side);
    if (column >= grid.columns || row >= grid.rows) return;
    const long long x = grid.x + (long long)column * grid.step_x, y = grid.y + (long long)row * grid.step_y;
    const int samples = coarse_samples(column, grid.columns) * coarse_samples(row, grid.rows);
    for (int colour = 0; colour < 3 && colour < grid.channels; ++colour) {
        const int level = grid.pixels[y * grid.pitch + x * grid.channels + colour];
        atomicMin(&levels[at / area * 9 + colour], level);
        atomicMax(&levels[at / area * 9 + 3 + colour], level);
        if (samples) atomicAdd(&levels[at / area * 9 + 6 + colour], samples * level);
    }
}
