// Patch pixels as float32 or float16.

// A float16, as its bits. A patch pixel is a whole level minus a whole mean, and float16 represents every such number.
struct Half {
    unsigned short bits;
};

#define EXPONENT_OFFSET 5.192296858534828e33f  // 2^112: the difference of the exponent biases of float32 and float16

__device__ static inline float value_of(float pixel) { return pixel; }
__device__ static inline float value_of(Half pixel) {
    const float size = __int_as_float((pixel.bits & 0x7fff) << 13) * EXPONENT_OFFSET;
    return pixel.bits & 0x8000 ? -size : size;
}

// Stores a value. For Half, bits that float16 does not have are cut off; patch pixels have no such bits.
__device__ static inline void put(float* pixel, float value) { *pixel = value; }
__device__ static inline void put(Half* pixel, float value) {
    const int size = __float_as_int(fabsf(value) * (1.0f / EXPONENT_OFFSET)) >> 13;
    pixel->bits = (unsigned short)(value < 0.0f ? size | 0x8000 : size);
}
