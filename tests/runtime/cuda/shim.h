// What a kernel without barriers needs to be plain C++: its built-in variables, and a launch that is two loops.
#include <cmath>
#include <cstring>
#include <utility>

#define __global__
#define __device__
#define __restrict__ __restrict

struct Index { unsigned x, y, z; };
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

static inline int atomicMin(int* at, int value) { int old = *at; if (value < old) *at = value; return old; }
static inline int atomicAdd(int* at, int value) { int old = *at; *at += value; return old; }
static inline int atomicMax(int* at, int value) { int old = *at; if (value > old) *at = value; return old; }

template <typename... A, size_t... I>
static void launch(void (*kernel)(A...), unsigned blocks, unsigned threads, void** given, std::index_sequence<I...>) {
    gridDim.x = blocks;
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel(*static_cast<A*>(given[I])...);
}

template <typename... A>
static int run(void (*kernel)(A...), unsigned blocks, unsigned threads, void** given, int count) {
    if (count != (int)sizeof...(A)) return 2;
    launch(kernel, blocks, threads, given, std::make_index_sequence<sizeof...(A)>());
    return 0;
}
