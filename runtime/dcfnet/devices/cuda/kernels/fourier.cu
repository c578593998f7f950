// What surrounds the transforms of cuFFT (filter/fourier_transform.py): window, kept frequencies, and the inverse's grid.

// The middle (side, side) of maps (count, side + 2 margin, side + 2 margin) times the window (side, side), in rows of `pitch`
// numbers whose end is 0. One thread per number of the result (count, side, pitch).
extern "C" __global__ void window_maps(const float* __restrict__ maps, const float* __restrict__ window,
                                       float* __restrict__ windowed, int count, int side, int margin, int pitch) {
    const long long at = position(), area = (long long)side * pitch;
    if (at >= count * area) return;
    const int x = (int)(at % pitch), y = (int)(at % area / pitch), whole = side + 2 * margin;
    const long long from = (at / area * whole + y + margin) * whole + x + margin;
    windowed[at] = x < side ? maps[from] * window[y * side + x] : 0.0f;
}

// The frequencies -band..band, 0..band of whole spectra (count, side, side / 2 + 1). One thread per kept number.
extern "C" __global__ void keep_band(const Complex* __restrict__ spectra, Complex* __restrict__ kept, int count, int side,
                                     int band) {
    const int columns = band + 1, rows = 2 * band + 1;
    const long long at = position(), area = (long long)rows * columns;
    if (at >= count * area) return;
    const int frequency = (int)(at % area / columns) - band, row = frequency < 0 ? frequency + side : frequency;
    kept[at] = spectra[(at / area * side + row) * (side / 2 + 1) + at % columns];
}

// The opposite: whole spectra (count, grid, grid / 2 + 1), the kept frequencies times `factor`, all others 0. One thread per
// number of the result, because the inverse overwrites its input.
extern "C" __global__ void spread_band(const Complex* __restrict__ kept, Complex* __restrict__ spectra, int count, int grid,
                                       int band, float factor) {
    const int half = grid / 2 + 1;
    const long long at = position(), area = (long long)grid * half;
    if (at >= count * area) return;
    const int x = (int)(at % half), row = (int)(at % area / half), frequency = row > grid / 2 ? row - grid : row;
    Complex value = {0.0f, 0.0f};
    if (x <= band && frequency >= -band && frequency <= band) {
        value = kept[(at / area * (2 * band + 1) + frequency + band) * (band + 1) + x];
        value.real *= factor;
        value.imaginary *= factor;
    }
    spectra[at] = value;
}

// Every (grid / side)th number of maps (count, grid, grid), along both axes. One thread per number of the result.
extern "C" __global__ void thin_maps(const float* __restrict__ maps, float* __restrict__ thinned, int count, int grid,
                                     int side) {
    const int step = grid / side;
    const long long at = position(), area = (long long)side * side;
    if (at >= count * area) return;
    thinned[at] = maps[(at / area * grid + at % area / side * step) * grid + at % side * step];
}
