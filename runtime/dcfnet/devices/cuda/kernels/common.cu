// Code that all kernels share. The files of a program (program.py) are compiled as one text, with constants.py as -D
// options. Arrays are contiguous. A launch may have more threads than there is work. Every kernel is also valid C++, but for
// tensor_cores.cu: the tests compile it with g++ and run it on a CPU (tests/runtime/cuda). Only the threads of features.cu,
// tensor_features.cu, peaks.cu and separable.cu, and those of sum_maps, cooperate, through shared memory. In
// tensor_features.cu those of a warp also do. All other threads work alone.

typedef unsigned char uint8;

// Index of this thread in the launch.
__device__ static inline long long position() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// Four numbers that one read of 16 bytes loads.
struct alignas(16) Four {
    float values[4];
};

extern __shared__ Four shared[];  // shared memory of a block; the launch sets its size
