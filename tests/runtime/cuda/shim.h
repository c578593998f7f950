// What the kernels need to be plain C++: CUDA's built-in variables, a launch that is two loops, and a barrier. In a launch
// with shared memory each thread has its own stack, and the threads run in turn from barrier to barrier. In other launches
// the threads run one after another. Operations of a whole warp (tensor_cores.h) have a barrier of the warp.
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#define __global__
#define __device__
#define __shared__ thread_local
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct Index { unsigned x, y, z; };
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

static inline int atomicMin(int* address, int value) { int old = *address; if (value < old) *address = value; return old; }
static inline int atomicAdd(int* address, int value) { int old = *address; *address += value; return old; }
static inline int atomicMax(int* address, int value) { int old = *address; if (value > old) *address = value; return old; }

static inline int __float_as_int(float value) { int bits; std::memcpy(&bits, &value, sizeof bits); return bits; }
static inline float __int_as_float(int bits) { float value; std::memcpy(&value, &bits, sizeof value); return value; }

struct Size { unsigned blocks, threads, shared, backwards; };  // of a launch; shared: bytes

enum { SHARED = 48 * 1024, MAX_THREADS = 256, WARP = 32, STACK = 32 * 1024, UNTOUCHED = 0xff };
enum { WRONG_ARGUMENTS = 2, OVERFLOWED, DIVERGED };
static unsigned char* block_memory();  // SHARED bytes

// The threads of a block. Each has its own stack, also for later blocks. They switch with longjmp, because every change of a
// ucontext is a system call.
struct Team {
    jmp_buf scheduler, inside[MAX_THREADS];
    ucontext_t first, contexts[MAX_THREADS];
    std::unique_ptr<char[]> stacks{new char[MAX_THREADS * STACK]};
    bool started[MAX_THREADS] = {}, ended[MAX_THREADS], in_warp_barrier;
    void (*work)(void*);
    void* argument;
};
static thread_local Team* team;

static inline void __syncthreads() {
    if (!_setjmp(team->inside[threadIdx.x])) _longjmp(team->scheduler, 1);
}

static inline void wait_for_warp() {
    team->in_warp_barrier = true;
    __syncthreads();
}

static void run_thread() {
    while (true) {
        team->work(team->argument);
        team->ended[threadIdx.x] = true;
        __syncthreads();
    }
}

// Runs the thread `threadIdx.x` until its next barrier or its end.
static __attribute__((noinline)) void resume_thread() {
    if (_setjmp(team->scheduler)) return;
    if (team->started[threadIdx.x]) _longjmp(team->inside[threadIdx.x], 1);
    team->started[threadIdx.x] = true;
    ucontext_t& context = team->contexts[threadIdx.x];
    getcontext(&context);
    context.uc_stack.ss_sp = &team->stacks[threadIdx.x * STACK];
    context.uc_stack.ss_size = STACK;
    makecontext(&context, run_thread, 0);
    swapcontext(&team->first, &context);
}

// Runs `threads` threads from `first` on, a warp, until their next barrier of the block, or their end; adds those that ended.
// Returns false if some threads reached a barrier of the warp that others did not reach.
static bool run_warp(unsigned first, unsigned threads, const Size& size, unsigned& ended) {
    for (unsigned waiting = WARP; waiting;) {
        waiting = ended = 0;
        for (unsigned index = 0; index < threads; ++index) {
            threadIdx.x = first + (size.backwards ? threads - 1 - index : index);
            team->in_warp_barrier = false;
            resume_thread();
            waiting += team->in_warp_barrier;
            ended += team->ended[threadIdx.x];
        }
        if (waiting && waiting < WARP) return false;
    }
    return true;
}

// Runs a block. Returns false if some threads reached a barrier that others did not reach.
static bool run_block(const Size& size) {
    std::memset(team->ended, 0, sizeof team->ended);
    const unsigned warps = (size.threads + WARP - 1) / WARP;
    for (unsigned ended = 0; ended < size.threads;) {
        ended = 0;
        for (unsigned index = 0; index < warps; ++index) {
            const unsigned first = (size.backwards ? warps - 1 - index : index) * WARP, rest = size.threads - first;
            unsigned ended_here;
            if (!run_warp(first, rest < WARP ? rest : (unsigned)WARP, size, ended_here)) return false;
            ended += ended_here;
        }
        if (ended && ended < size.threads) return false;
    }
    return true;
}

template <typename... A>
struct Launch {
    void (*kernel)(A...);
    void** arguments;

    template <size_t... I>
    void call(std::index_sequence<I...>) { kernel(*static_cast<A*>(arguments[I])...); }
    static void of(void* self) { static_cast<Launch*>(self)->call(std::make_index_sequence<sizeof...(A)>()); }
};

template <typename... A>
static int run(void (*kernel)(A...), Size size, void** arguments, int count) {
    if (count != (int)sizeof...(A) || size.threads > MAX_THREADS || size.shared > SHARED) return WRONG_ARGUMENTS;
    Launch<A...> launch = {kernel, arguments};
    const std::unique_ptr<Team> own(size.shared ? new Team : nullptr);
    team = own.get();
    if (team) team->work = Launch<A...>::of, team->argument = &launch;
    gridDim.x = size.blocks;
    blockDim.x = size.threads;
    for (blockIdx.x = 0; blockIdx.x < size.blocks; ++blockIdx.x) {
        if (!size.shared) {
            for (threadIdx.x = 0; threadIdx.x < size.threads; ++threadIdx.x) Launch<A...>::of(&launch);
            continue;
        }
        std::memset(block_memory(), UNTOUCHED, SHARED);  // NaN as floats: a read before the first write is found
        if (!run_block(size)) return DIVERGED;
        for (unsigned byte = size.shared; byte < SHARED; ++byte)
            if (block_memory()[byte] != UNTOUCHED) return OVERFLOWED;
    }
    return 0;
}
