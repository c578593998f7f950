// Kernels of products.py, graphs.py and fused.py: products of matrices, sums, and numbers blended or settled one by one.

struct alignas(8) Complex {
    float real, imaginary;
};

__device__ static inline void add_product(float& sum, float one, float other) { sum += one * other; }

// Two sums of products each, so that every product is added as it is made.
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

__device__ static inline float blended(float old, float fresh, float rate) { return old + rate * (fresh - old); }

__device__ static inline float total(const float* values, int count) {
    float sum = 0.0f;
    for (int index = 0; index < count; ++index) sum += values[index];
    return sum;
}

// Rows and columns of a product that a thread makes at once: of as many numbers read it makes the more products. As in
// products.py.
#define ROWS_AT_ONCE 4
#define COLUMNS_AT_ONCE 3

// Matrices (stack, rows, inner) times (stack, inner, columns) -> (stack, rows, columns). A matrix is `step` numbers after
// the one before; a step of 0 is one matrix for the whole stack. A thread ROWS_AT_ONCE rows of COLUMNS_AT_ONCE columns, and
// drops what is beyond the last.
template <typename Number>
__device__ static inline void multiply(const Number* __restrict__ left, const Number* __restrict__ right,
                                       Number* __restrict__ made, int stack, int rows, int inner, int columns,
                                       int left_step, int right_step) {
    const int across = (columns + COLUMNS_AT_ONCE - 1) / COLUMNS_AT_ONCE, down = (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    const long long at = position(), place = at / across / down;
    if (place >= stack) return;
    const int row = (int)(at / across % down) * ROWS_AT_ONCE, column = (int)(at % across) * COLUMNS_AT_ONCE;
    const Number* rows_from[ROWS_AT_ONCE];
#pragma unroll
    for (int r = 0; r < ROWS_AT_ONCE; ++r)
        rows_from[r] = left + place * left_step + (long long)(row + r < rows ? row + r : rows - 1) * inner;
    const Number* numbers = right + place * right_step + column;
    Number sums[ROWS_AT_ONCE][COLUMNS_AT_ONCE] = {};
#pragma unroll 4
    for (int index = 0; index < inner; ++index, numbers += columns) {
        Number values[COLUMNS_AT_ONCE];
#pragma unroll
        for (int c = 0; c < COLUMNS_AT_ONCE; ++c) values[c] = column + c < columns ? numbers[c] : Number();
#pragma unroll
        for (int r = 0; r < ROWS_AT_ONCE; ++r) {
            const Number value = *rows_from[r]++;
#pragma unroll
            for (int c = 0; c < COLUMNS_AT_ONCE; ++c) add_product(sums[r][c], value, values[c]);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS_AT_ONCE; ++r)
#pragma unroll
        for (int c = 0; c < COLUMNS_AT_ONCE; ++c)
            if (row + r < rows && column + c < columns)
                made[(place * rows + row + r) * columns + column + c] = sums[r][c];
}

extern "C" __global__ void multiply_real(const float* __restrict__ left, const float* __restrict__ right,
                                         float* __restrict__ made, int stack, int rows, int inner, int columns,
                                         int left_step, int right_step) {
    multiply(left, right, made, stack, rows, inner, columns, left_step, right_step);
}

extern "C" __global__ void multiply_complex(const Complex* __restrict__ left, const Complex* __restrict__ right,
                                            Complex* __restrict__ made, int stack, int rows, int inner, int columns,
                                            int left_step, int right_step) {
    multiply(left, right, made, stack, rows, inner, columns, left_step, right_step);
}

// What was made for `targets`, `each` numbers of them, into what is kept, for those that it is `wanted` for. A thread a
// number.
extern "C" __global__ void settle(const float* __restrict__ made, float* __restrict__ kept,
                                  const int* __restrict__ wanted, int targets, int each) {
    const long long at = position();
    if (at >= (long long)targets * each || !wanted[at / each]) return;
    kept[at] = made[at];
}

// Values (count, columns) -> sums of rows (count). A thread a row.
extern "C" __global__ void sum_rows(const float* __restrict__ values, float* __restrict__ sums, int count, int columns) {
    const long long at = position();
    if (at >= count) return;
    float sum = 0.0f;
    for (int column = 0; column < columns; ++column) sum += values[at * columns + column];
    sums[at] = sum;
}

// made = old + rate (fresh - old) (eq. 13): old (count, repeat, area), fresh (count, area). A thread a number.
extern "C" __global__ void blend(const float* __restrict__ old, const float* __restrict__ fresh, float* __restrict__ made,
                                 float rate, int count, int repeat, int area) {
    const long long at = position();
    if (at >= (long long)count * repeat * area) return;
    made[at] = blended(old[at], fresh[at / area / repeat * area + at % area], rate);
}
