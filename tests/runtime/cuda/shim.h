// What a kernel needs to be plain C++: its built-in variables, a launch that is two loops, and a barrier. Threads that share
// memory have a stack each, and run in turns from barrier to barrier; all others run one after another.
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

static inline int atomicMin(int* at, int value) { int old = *at; if (value < old) *at = value; return old; }
static inline int atomicAdd(int* at, int value) { int old = *at; *at += value; return old; }
static inline int atomicMax(int* at, int value) { int old = *at; if (value > old) *at = value; return old; }

static inline int __float_as_int(float value) { int bits; std::memcpy(&bits, &value, sizeof bits); return bits; }
static inline float __int_as_float(int bits) { float value; std::memcpy(&value, &bits, sizeof value); return value; }

struct Size { unsigned blocks, threads, shared, backwards; };  // of a launch; shared: bytes

enum { SHARED = 48 * 1024, MOST_THREADS = 256, STACK = 32 * 1024, UNTOUCHED = 0xff };
enum { WRONG_ARGUMENTS = 2, OVERFLOWED, DIVERGED };
static unsigned char* block_memory();  // SHARED bytes

// The threads of a block, each on a stack of its own, which it keeps from block to block. Jumps lead to and from them,
// since changing contexts asks the system every time.
struct Team {
    jmp_buf outside, inside[MOST_THREADS];
    ucontext_t first, begun[MOST_THREADS];
    std::unique_ptr<char[]> stacks{new char[MOST_THREADS * STACK]};
    bool there[MOST_THREADS] = {}, ended[MOST_THREADS];
    void (*work)(void*);
    void* given;
};
static thread_local Team* team;

static inline void __syncthreads() {
    if (!_setjmp(team->inside[threadIdx.x])) _longjmp(team->outside, 1);
}

static void thread_of_team() {
    while (true) {
        team->work(team->given);
        team->ended[threadIdx.x] = true;
        __syncthreads();
    }
}

// The thread whose turn it is, until it comes to a barrier, or to its end.
static __attribute__((noinline)) void go_on() {
    if (_setjmp(team->outside)) return;
    if (team->there[threadIdx.x]) _longjmp(team->inside[threadIdx.x], 1);
    team->there[threadIdx.x] = true;
    ucontext_t& context = team->begun[threadIdx.x];
    getcontext(&context);
    context.uc_stack.ss_sp = &team->stacks[threadIdx.x * STACK];
    context.uc_stack.ss_size = STACK;
    makecontext(&context, thread_of_team, 0);
    swapcontext(&team->first, &context);
}

// Runs a block; false where some threads came to a barrier that others did not come to.
static bool run_together(const Size& size) {
    std::memset(team->ended, 0, sizeof team->ended);
    for (unsigned ended = 0; ended < size.threads;) {
        ended = 0;
        for (unsigned turn = 0; turn < size.threads; ++turn) {
            threadIdx.x = size.backwards ? size.threads - 1 - turn : turn;
            go_on();
            ended += team->ended[threadIdx.x];
        }
        if (ended && ended < size.threads) return false;
    }
    return true;
}

template <typename... A>
struct Launch {
    void (*kernel)(A...);
    void** given;

    template <size_t... I>
    void call(std::index_sequence<I...>) { kernel(*static_cast<A*>(given[I])...); }
    static void of(void* self) { static_cast<Launch*>(self)->call(std::make_index_sequence<sizeof...(A)>()); }
};

template <typename... A>
static int run(void (*kernel)(A...), Size size, void** given, int count) {
    if (count != (int)sizeof...(A) || size.threads > MOST_THREADS || size.shared > SHARED) return WRONG_ARGUMENTS;
    Launch<A...> launch = {kernel, given};
    const std::unique_ptr<Team> own(size.shared ? new Team : nullptr);
    team = own.get();
    if (team) team->work = Launch<A...>::of, team->given = &launch;
    gridDim.x = size.blocks;
    blockDim.x = size.threads;
    for (blockIdx.x = 0; blockIdx.x < size.blocks; ++blockIdx.x) {
        if (!size.shared) {
            for (threadIdx.x = 0; threadIdx.x < size.threads; ++threadIdx.x) Launch<A...>::of(&launch);
            continue;
        }
        std::memset(block_memory(), UNTOUCHED, SHARED);  // as floats no numbers: what is read before it was written shows
        if (!run_together(size)) return DIVERGED;
        for (unsigned byte = size.shared; byte < SHARED; ++byte)
            if (block_memory()[byte] != UNTOUCHED) return OVERFLOWED;
    }
    return 0;
}
