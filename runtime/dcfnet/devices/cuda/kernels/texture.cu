// Kernel of texture.py: the contrast of regions of frames.

// The pixels of one texture check: (x + j * step_x, y + i * step_y) for j < columns, i < rows. GRID of sampling.py has the
// same layout.
struct Grid {
    const uint8* pixels;
    long long pitch;
    int channels, x, y, step_x, step_y, columns, rows;
};

// Lowest and highest level (count, 2, 3) of up to three colours over each grid; `levels` starts as 255 and 0. One thread
// per pixel of a grid of `side` x `side`; a grid may be smaller.
extern "C" __global__ void extremes(const Grid* __restrict__ grids, int* levels, int count, int side) {
    long long area = (long long)side * side, at = position();
    if (at >= count * area) return;
    const Grid grid = grids[at / area];
    const int column = (int)(at % side), row = (int)(at % area / side);
    if (column >= grid.columns || row >= grid.rows) return;
    const long long x = grid.x + (long long)column * grid.step_x, y = grid.y + (long long)row * grid.step_y;
    for (int colour = 0; colour < 3 && colour < grid.channels; ++colour) {
        const int level = grid.pixels[y * grid.pitch + x * grid.channels + colour];
        atomicMin(&levels[at / area * 6 + colour], level);
        atomicMax(&levels[at / area * 6 + 3 + colour], level);
    }
}
