// Kernels of products.py, graphs.py and fused.py: products of matrices, sums, and numbers blended or settled one by one.

struct alignas(8) Complex {
    float real, imaginary;
};

__device__ static inline void add_product(float& sum, float one, float other) { sum += one * other; }

__device__ static inline void add_product(Complex& sum, Complex one, Complex other) {
    sum.real += one.real * other.real - one.imaginary * other.imaginary;
    sum.imaginary += one.real * other.imaginary + one.imaginary * other.real;
}

__device__ static inline void add_conjugate_product(Complex& sum, Complex one, Complex other) {
    sum.real += one.real * other.real + one.imaginary * other.imaginary;
    sum.imaginary += one.real * other.imaginary - one.imaginary * other.real;
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

// Rows of a product that a thread makes at once: it reads a number of the right matrix once for as many sums. As in
// products.py.
#define ROWS_AT_ONCE 4

// Matrices (stack, rows, inner) times (stack, inner, columns) -> (stack, rows, columns). A matrix is `step` numbers after
// the one before; a step of 0 is one matrix for the whole stack. A thread ROWS_AT_ONCE rows of a column.
template <typename Number>
__device__ static inline void multiply(const Number* left, const Number* right, Number* made, int stack, int rows,
                                       int inner, int columns, int left_step, int right_step) {
    const long long at = position(), groups = (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    if (at >= stack * groups * columns) return;
    const int column = (int)(at % columns);
    const long long first = at / columns % groups * ROWS_AT_ONCE, place = at / columns / groups;
    const int count = rows - first < ROWS_AT_ONCE ? (int)(rows - first) : ROWS_AT_ONCE;
    const Number* across = left + place * left_step + first * inner;
    const Number* down = right + place * right_step + column;
    Number sums[ROWS_AT_ONCE] = {};
    for (int index = 0; index < inner; ++index, down += columns) {
        const Number value = *down;
#pragma unroll
        for (int row = 0; row < ROWS_AT_ONCE; ++row)
            if (row < count) add_product(sums[row], across[(long long)row * inner + index], value);
    }
#pragma unroll
    for (int row = 0; row < ROWS_AT_ONCE; ++row)
        if (row < count) made[(place * rows + first + row) * columns + column] = sums[row];
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
