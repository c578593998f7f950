// Kernel of reading.py: response maps are read where they lie, as response.py reads them. A block reads a target's maps,
// one after another, all of its threads a map.

#define READERS 256  // threads of a block: as in reading.py

// What some levels of a response map hold: the highest and the first pixel that has it, the lowest, and the sum and the sum
// of squares of all less the map's `pivot`. broken: INFINITE and NOT_A_NUMBER, as far as there are such levels.
#define INFINITE 1
#define NOT_A_NUMBER 2
#define GREATEST 3.402823466e38f  // that a float32 can be
struct Summary {
    double sum, squares;
    float high, low;
    int pixel, broken;
};

__device__ static inline Summary joined(const Summary& one, const Summary& other) {
    Summary both = one;
    both.sum += other.sum;
    both.squares += other.squares;
    both.broken |= other.broken;
    if (other.low < one.low) both.low = other.low;
    if (other.high > one.high || (other.high == one.high && other.pixel < one.pixel)) {
        both.high = other.high;
        both.pixel = other.pixel;
    }
    return both;
}

// The summary of all that the block's first `count` threads have; `own` is each one's, `held` has room for READERS.
__device__ static inline Summary of_all(const Summary& own, Summary* held, int count) {
    __syncthreads();  // what was read of the one before has been read
    held[threadIdx.x] = own;
    while (count > 1) {
        const int half = (count + 1) / 2;
        __syncthreads();
        if ((int)threadIdx.x < count - half) held[threadIdx.x] = joined(held[threadIdx.x], held[threadIdx.x + half]);
        count = half;
    }
    __syncthreads();
    return held[0];
}

// A level that most of a map is near to, that of the farthest shift, so that sums lose nothing to a common offset.
__device__ static inline double pivot(const float* map, int side) { return map[side / 2 * side + side / 2]; }

// A whole map (side, side).
__device__ static inline Summary summarised(const float* map, int side, Summary* held) {
    const int area = side * side, count = area < READERS ? area : READERS;
    const double middle = pivot(map, side);
    Summary own = {0.0, 0.0, map[threadIdx.x % area], map[threadIdx.x % area], (int)threadIdx.x, 0};
    for (int pixel = threadIdx.x; pixel < area; pixel += READERS) {
        const float level = map[pixel];
        const double apart = level - middle;
        own.sum += apart;
        own.squares += apart * apart;
        if (level > own.high) {
            own.high = level;
            own.pixel = pixel;
        }
        if (level < own.low) own.low = level;
        if (level != level) own.broken |= NOT_A_NUMBER;
        else if (fabsf(level) > GREATEST) own.broken |= INFINITE;
    }
    return of_all(own, held, count);
}

// Place on a circle of `side` -> signed shift.
__device__ static inline double signed_shift(double place, int side) { return place > side / 2.0 ? place - side : place; }

// Offset of the top of the parabola through three neighbours, at most half a pixel; 0 where they are level.
__device__ static inline double parabola(double before, double peak, double after) {
    const double curvature = 2.0 * peak - before - after;
    if (curvature <= 0.0) return 0.0;
    const double offset = 0.5 * (after - before) / curvature;
    return offset < -0.5 ? -0.5 : offset > 0.5 ? 0.5 : offset;
}

// numerator / denominator, 0 where the denominator vanishes.
__device__ static inline double ratio(double numerator, double denominator) {
    return denominator < 1e-12 ? 0.0 : numerator / denominator;
}

// Which scale of a target's pyramid wins, and what its map holds: the highest weighted peak, nearest to the middle where
// they tie. What is no number counts as the highest, as it does in NumPy's argmax, so that a broken map is told and not
// passed over. maps: (scales, side, side).
struct Winner {
    int scale;
    Summary map;
};

__device__ static inline Winner winner(const float* maps, const double* weights, int scales, int side, Summary* held) {
    Winner best = {};
    double highest = 0.0;
    for (int turn = 0; turn < scales; ++turn) {  // the middle, one below, one above, two below, ...
        const int scale = scales / 2 + (turn % 2 ? -(turn + 1) / 2 : turn / 2);
        const Summary map = summarised(maps + (long long)scale * side * side, side, held);
        if (map.broken & NOT_A_NUMBER) return {scale, map};
        const double weighted = map.high * weights[scale];
        if (turn == 0 || weighted > highest) {
            highest = weighted;
            best = {scale, map};
        }
    }
    return best;
}

// Shift along x and y of the top of the parabola through pixel (x, y) of a map.
__device__ static inline void locate(const float* map, int x, int y, int side, double* shift) {
    const int above = (y + side - 1) % side, below = (y + 1) % side, left = (x + side - 1) % side, right = (x + 1) % side;
    const double value = map[y * side + x];
    shift[0] = signed_shift(x + parabola(map[y * side + left], value, map[y * side + right]), side);
    shift[1] = signed_shift(y + parabola(map[above * side + x], value, map[below * side + x]), side);
}

// Of a map, the sums over the pixels to `excluded` on each side of (x, y), which are no sidelobe.
__device__ static inline Summary around(const float* map, int x, int y, int side, int excluded, Summary* held) {
    const int window = 2 * excluded + 1;
    if (side <= window) return {};  // there is nothing else
    const double middle = pivot(map, side);
    Summary own = {};
    for (int at = threadIdx.x; at < window * window; at += READERS) {
        const int row = at / window, column = at % window;
        const int place = (y + side + row - excluded) % side * side + (x + side + column - excluded) % side;
        const double apart = map[place] - middle;
        own.sum += apart;
        own.squares += apart * apart;
    }
    return of_all(own, held, window * window < READERS ? window * window : READERS);
}

// Peak-to-sidelobe ratio of a map, and its average peak-to-correlation energy.
__device__ static inline void tell(const Summary& map, const Summary& peak, double middle, int side, int excluded,
                                   double* psr, double* apce) {
    const int window = 2 * excluded + 1, number = side * side - window * window;
    if (side > window) {
        const double mean = (map.sum - peak.sum) / number, squares = map.squares - peak.squares;
        const double variance = squares / number - mean * mean;
        *psr = ratio(map.high - middle - mean, sqrt(variance > 0.0 ? variance : 0.0));
    }
    const double value = map.high, low = map.low, lift = middle - low, area = (double)side * side;
    *apce = ratio((value - low) * (value - low), (map.squares + 2.0 * lift * map.sum) / area + lift * lift);
}

// Numbers that are said of a target.
#define READ 6

// Peaks (targets, READ), winning scale, shift along x and y, value, PSR and APCE, of maps (targets, scales, side, side);
// shift and value say the maps `placed`, which may be the same. `excluded` pixels to each side of a peak are no sidelobe.
// As response.py reads them.
extern "C" __global__ void __launch_bounds__(READERS)
    read_peaks(const float* maps, const float* placed, const double* __restrict__ weights, double* __restrict__ peaks,
               int scales, int side, int excluded) {
    Summary* held = reinterpret_cast<Summary*>(shared);
    const long long target = blockIdx.x, each = (long long)side * side;
    const Winner found = winner(maps + target * scales * each, weights, scales, side, held);
    const long long at = (target * scales + found.scale) * each;
    const float *map = maps + at, *where = placed + at;
    const Summary there = placed == maps ? found.map : summarised(where, side, held);
    const Summary peak = around(map, found.map.pixel % side, found.map.pixel / side, side, excluded, held);
    if (threadIdx.x) return;
    double* told = peaks + target * READ;
    told[0] = found.scale;
    for (int index = 1; index < READ; ++index) told[index] = 0.0;
    if (found.map.broken) return;
    if (!there.broken) {
        locate(where, there.pixel % side, there.pixel / side, side, told + 1);
        told[3] = there.high;
    }
    tell(found.map, peak, pivot(map, side), side, excluded, told + 4, told + 5);
}
