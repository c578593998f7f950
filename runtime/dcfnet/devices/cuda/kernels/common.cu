// What all kernels share. The files of a program (program.py) are compiled as one text, with the constants of constants.py
// as -D options. Arrays are contiguous. A kernel may be launched with more threads than it has work for. Every kernel is
// also plain C++: the tests compile it with g++ and run it on a CPU (tests/runtime/cuda). Most threads work alone; those of
// features.cu and peaks.cu use shared memory.

typedef unsigned char uint8;

// Index of this thread in the launch.
__device__ static inline long long position() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// Four numbers that one read of 16 bytes loads.
struct alignas(16) Four {
    float values[4];
};

extern __shared__ Four shared[];  // shared memory of a block; the launch sets its size
