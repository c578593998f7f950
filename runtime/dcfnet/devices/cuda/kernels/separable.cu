// Products of three matrices, for separable.py: transforms between maps and spectra, and means of maps, along both axes. One
// block computes one map; the product of the first two matrices stays in shared memory. Every number is the sum of the same
// products in the same order as with two products of matrices.cu.

// The product of two matrices, left (rows, inner) and right (inner, columns), by all threads of a block.
template <int R, int C, typename Number>
__device__ static inline void multiply_in_block(const Number* left, const Number* right, Number* result, int rows, int inner,
                                                int columns) {
    const int across = (columns + C - 1) / C, down = (rows + R - 1) / R;
    for (int tile = threadIdx.x; tile < across * down; tile += SEPARABLE_THREADS)
        multiply_tile<R, C>(left, right, result, rows, inner, columns, tile / across * R, tile % across * C);
}

// left (rows, height) x each of maps (count, height, width) x right (width, columns) -> result (count, rows, columns).
extern "C" __global__ void __launch_bounds__(SEPARABLE_THREADS)
    along_both_axes(const float* __restrict__ left, const float* __restrict__ maps, const float* __restrict__ right,
                    float* __restrict__ result, int rows, int height, int width, int columns) {
    float* product = reinterpret_cast<float*>(shared);
    multiply_in_block<4, 4>(left, maps + (long long)blockIdx.x * height * width, product, rows, height, width);
    __syncthreads();
    multiply_in_block<4, 4>(product, right, result + (long long)blockIdx.x * rows * columns, rows, width, columns);
}

// Maps (count, side, side) -> spectra (count, rows, columns): Transform.forward. down: (rows, side). across: (side, 2 columns),
// real and imaginary parts interleaved.
extern "C" __global__ void __launch_bounds__(SEPARABLE_THREADS)
    to_spectra(const Complex* __restrict__ down, const float* __restrict__ maps, const float* __restrict__ across,
               Complex* __restrict__ spectra, int side, int rows, int columns) {
    float* product = reinterpret_cast<float*>(shared);
    multiply_in_block<4, 4>(maps + (long long)blockIdx.x * side * side, across, product, side, side, 2 * columns);
    __syncthreads();
    multiply_in_block<2, 2>(down, reinterpret_cast<const Complex*>(product),
                            spectra + (long long)blockIdx.x * rows * columns, rows, side, columns);
}

// Spectra (count, rows, columns) -> maps (count, side, side): Transform.inverse. down: (side, rows). across: (2 columns, side).
extern "C" __global__ void __launch_bounds__(SEPARABLE_THREADS)
    to_maps(const Complex* __restrict__ down, const Complex* __restrict__ spectra, const float* __restrict__ across,
            float* __restrict__ maps, int side, int rows, int columns) {
    Complex* product = reinterpret_cast<Complex*>(shared);
    multiply_in_block<2, 2>(down, spectra + (long long)blockIdx.x * rows * columns, product, side, rows, columns);
    __syncthreads();
    multiply_in_block<4, 4>(reinterpret_cast<const float*>(product), across, maps + (long long)blockIdx.x * side * side,
                            side, 2 * columns, side);
}
