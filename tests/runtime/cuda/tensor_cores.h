// The operations of tensor_cores.cu on the host. It replaces that file. A warp's threads wait for each other in multiply_add.

// The nearest float16, a tie to the even one, as its bits.
static inline unsigned half_bits(float value) {
    const unsigned sign = value < 0.0f || (value == 0.0f && std::signbit(value)) ? 0x8000 : 0;
    const float size = fabsf(value);
    if (size != size) return 0x7fff;
    const unsigned bits = (unsigned)__float_as_int(size);
    if (size < 6.103515625e-05f)  // 2^-14: smaller numbers are multiples of 2^-24, and so are the sums with 1/2
        return sign | (unsigned)(__float_as_int(size + 0.5f) - __float_as_int(0.5f));
    const unsigned rounded = (bits - 0x38000000u + 0xfffu + (bits >> 13 & 1u)) >> 13;
    return sign | (rounded > 0x7c00u ? 0x7c00u : rounded);
}

static inline unsigned packed_halves(float low, float high) { return half_bits(low) | half_bits(high) << 16; }

// The matrices of two calls of a warp: a lane may begin the next call before others have read those of this one.
struct Matrices { float left[16][16], right[8][16]; };  // right: by column
static thread_local Matrices matrices[2];
static thread_local unsigned calls[WARP];

// The indices are those of the PTX ISA, "Matrix Fragments for mma.m16n8k16", for the elements a0 to a7, b0 to b3, c0 to c3.
static inline void multiply_add(float (&sums)[4], const unsigned (&left)[4], unsigned right0, unsigned right1) {
    const unsigned lane = threadIdx.x % WARP, group = lane >> 2, member = lane % 4;
    Matrices& both = matrices[calls[lane]++ % 2];
    const unsigned right[2] = {right0, right1};
    for (unsigned i = 0; i < 8; ++i) {
        const Half half = {(unsigned short)(left[i / 2] >> 16 * (i & 1))};
        const unsigned row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
        both.left[row][member * 2 + (i & 1) + (i < 4 ? 0 : 8)] = value_of(half);
    }
    for (unsigned i = 0; i < 4; ++i) {
        const Half half = {(unsigned short)(right[i / 2] >> 16 * (i & 1))};
        both.right[group][member * 2 + (i & 1) + (i < 2 ? 0 : 8)] = value_of(half);
    }
    wait_for_warp();
    for (unsigned i = 0; i < 4; ++i) {
        const float *row = both.left[i < 2 ? group : group + 8], *column = both.right[member * 2 + (i & 1)];
        for (unsigned k = 0; k < 16; ++k) sums[i] += row[k] * column[k];
    }
}
