// Complex numbers, and kernels of matrix_product.py, slot_programs.py and filter_update.py: matrix products, sums, and
// elementwise operations.

struct alignas(8) Complex {
    float real, imaginary;
};

__device__ static inline void add_product(float& sum, float one, float other) { sum += one * other; }

// Each product is added at once, so the compiler can use fused multiply-adds.
__device__ static inline void add_product(Complex& sum, Complex one, Complex other) {
    sum.real += one.real * other.real;
    sum.real -= one.imaginary * other.imaginary;
    sum.imaginary += one.real * other.imaginary;
    sum.imaginary += one.imaginary * other.real;
}

__device__ static inline void add_conjugate_product(Complex& sum, Complex one, Complex other) {
    sum.real += one.real * other.real;
    sum.real += one.imaginary * other.imaginary;
    sum.imaginary += one.real * other.imaginary;
    sum.imaginary -= one.imaginary * other.real;
}

__device__ static inline Complex scaled(Complex value, float by) { return {value.real * by, value.imaginary * by}; }

__device__ static inline Complex moved(Complex from, Complex along, float by) {
    return {from.real + by * along.real, from.imaginary + by * along.imaginary};
}

__device__ static inline float blended(float old, float newest, float rate) { return old + rate * (newest - old); }

__device__ static inline float total(const float* values, int count) {
    float sum = 0.0f;
    for (int index = 0; index < count; ++index) sum += values[index];
    return sum;
}

// R x C numbers of the product of two matrices, left (rows, inner) and right (inner, columns), by one thread, from (row, column)
// on. Numbers outside the matrix are not stored.
template <int R, int C, typename Number>
__device__ static inline void multiply_tile(const Number* left, const Number* right, Number* result, int rows, int inner,
                                            int columns, int row, int column) {
    const Number* rows_from[R];
#pragma unroll
    for (int r = 0; r < R; ++r) rows_from[r] = left + (long long)(row + r < rows ? row + r : rows - 1) * inner;
    const Number* numbers = right + column;
    Number sums[R][C] = {};
#pragma unroll 4
    for (int index = 0; index < inner; ++index, numbers += columns) {
        Number values[C];
#pragma unroll
        for (int c = 0; c < C; ++c) values[c] = column + c < columns ? numbers[c] : Number();
#pragma unroll
        for (int r = 0; r < R; ++r) {
            const Number value = *rows_from[r]++;
#pragma unroll
            for (int c = 0; c < C; ++c) add_product(sums[r][c], value, values[c]);
        }
    }
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
        for (int c = 0; c < C; ++c)
            if (row + r < rows && column + c < columns) result[(long long)(row + r) * columns + column + c] = sums[r][c];
}

// Matrices (stack, rows, inner) times (stack, inner, columns) -> result (stack, rows, columns). `left_step` and `right_step`
// are the distances between two matrices in numbers; 0 means one matrix for the whole stack. One thread computes
// ROWS_PER_THREAD x COLUMNS_PER_THREAD results.
template <typename Number>
__device__ static inline void multiply(const Number* __restrict__ left, const Number* __restrict__ right,
                                       Number* __restrict__ result, int stack, int rows, int inner, int columns,
                                       int left_step, int right_step) {
    const int across = (columns + COLUMNS_PER_THREAD - 1) / COLUMNS_PER_THREAD, down = (rows + ROWS_PER_THREAD - 1) / ROWS_PER_THREAD;
    const long long at = position(), place = at / across / down;
    if (place >= stack) return;
    const int row = (int)(at / across % down) * ROWS_PER_THREAD, column = (int)(at % across) * COLUMNS_PER_THREAD;
    multiply_tile<ROWS_PER_THREAD, COLUMNS_PER_THREAD>(left + place * left_step, right + place * right_step,
                                                       result + place * rows * columns, rows, inner, columns, row, column);
}

extern "C" __global__ void multiply_real(const float* __restrict__ left, const float* __restrict__ right,
                                         float* __restrict__ result, int stack, int rows, int inner, int columns,
                                         int left_step, int right_step) {
    multiply(left, right, result, stack, rows, inner, columns, left_step, right_step);
}

extern "C" __global__ void multiply_complex(const Complex* __restrict__ left, const Complex* __restrict__ right,
                                            Complex* __restrict__ result, int stack, int rows, int inner, int columns,
                                            int left_step, int right_step) {
    multiply(left, right, result, stack, rows, inner, columns, left_step, right_step);
}

// Copies filters from their slots: kept (slots, each) -> taken (targets, each). number: (targets), slot + 1. A target
// without a slot has the number 0, and gets any values. One thread per value.
extern "C" __global__ void take_slots(const float* __restrict__ kept, float* __restrict__ taken,
                                      const int* __restrict__ number, int targets, int each) {
    const long long at = position();
    if (at >= (long long)targets * each) return;
    const long long slot = number[at / each] ? number[at / each] - 1 : 0;
    taken[at] = kept[slot * each + at % each];
}

// The opposite, for new filters. Those of a target without a slot are not copied.
extern "C" __global__ void store_slots(const float* __restrict__ updated, float* __restrict__ kept,
                                       const int* __restrict__ number, int targets, int each) {
    const long long at = position();
    if (at >= (long long)targets * each || !number[at / each]) return;
    kept[(number[at / each] - 1LL) * each + at % each] = updated[at];
}

// Values (count, rows, columns) -> their sums (count). One block per sum: each row is summed by a thread, then one thread adds
// the sums of rows.
extern "C" __global__ void sum_maps(const float* __restrict__ values, float* __restrict__ sums, int rows, int columns) {
    float* row_sums = reinterpret_cast<float*>(shared);
    for (int row = threadIdx.x; row < rows; row += blockDim.x)
        row_sums[row] = total(values + ((long long)blockIdx.x * rows + row) * columns, columns);
    __syncthreads();
    if (threadIdx.x == 0) sums[blockIdx.x] = total(row_sums, rows);
}

// result = old + rate (newest - old) (eq. 13): old (count, repeat, area), newest (count, area). One thread per number.
extern "C" __global__ void blend(const float* __restrict__ old, const float* __restrict__ newest, float* __restrict__ result,
                                 float rate, int count, int repeat, int area) {
    const long long at = position();
    if (at >= (long long)count * repeat * area) return;
    result[at] = blended(old[at], newest[at / area / repeat * area + at % area], rate);
}
