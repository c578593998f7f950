// Kernel of peaks.py: reads the peaks of response maps as filter/response.py does. A block reads the maps of one target, one
// after another, with all of its threads.

// Statistics of some values of a response map. high, pixel: the highest value and the first pixel with it. low: the lowest
// value. sum, squares: sums of (value - pivot) and of its square. invalid: INFINITE, NOT_A_NUMBER or both, if they occur.
#define INFINITE 1
#define NOT_A_NUMBER 2
#define LARGEST 3.402823466e38f  // largest float32
struct Statistics {
    double sum, squares;
    float high, low;
    int pixel, invalid;
};

__device__ static inline Statistics merged(const Statistics& one, const Statistics& other) {
    Statistics both = one;
    both.sum += other.sum;
    both.squares += other.squares;
    both.invalid |= other.invalid;
    if (other.low < one.low) both.low = other.low;
    if (other.high > one.high || (other.high == one.high && other.pixel < one.pixel)) {
        both.high = other.high;
        both.pixel = other.pixel;
    }
    return both;
}

// The statistics of the block's first `count` threads together. own: of this thread. memory: for READER_THREADS of them.
__device__ static inline Statistics reduce(const Statistics& own, Statistics* memory, int count) {
    __syncthreads();  // the previous result has been read
    memory[threadIdx.x] = own;
    while (count > 1) {
        const int half = (count + 1) / 2;
        __syncthreads();
        if ((int)threadIdx.x < count - half) memory[threadIdx.x] = merged(memory[threadIdx.x], memory[threadIdx.x + half]);
        count = half;
    }
    __syncthreads();
    return memory[0];
}

// The value at the largest shift. Most values are close to it, so sums of differences from it keep their precision.
__device__ static inline double pivot(const float* map, int side) { return map[side / 2 * side + side / 2]; }

// Statistics of a whole map (side, side).
__device__ static inline Statistics statistics_of(const float* map, int side, Statistics* memory) {
    const int area = side * side, count = area < READER_THREADS ? area : READER_THREADS;
    const double middle = pivot(map, side);
    Statistics own = {0.0, 0.0, map[threadIdx.x % area], map[threadIdx.x % area], (int)threadIdx.x, 0};
    for (int pixel = threadIdx.x; pixel < area; pixel += READER_THREADS) {
        const float level = map[pixel];
        const double difference = level - middle;
        own.sum += difference;
        own.squares += difference * difference;
        if (level > own.high) {
            own.high = level;
            own.pixel = pixel;
        }
        if (level < own.low) own.low = level;
        if (level != level) own.invalid |= NOT_A_NUMBER;
        else if (fabsf(level) > LARGEST) own.invalid |= INFINITE;
    }
    return reduce(own, memory, count);
}

// Position on a circle of length `side` -> signed shift.
__device__ static inline double signed_shift(double position, int side) {
    return position > side / 2.0 ? position - side : position;
}

// Offset of the vertex of the parabola through three neighbours, at most half a pixel; 0 if they are equal.
__device__ static inline double parabola(double before, double peak, double after) {
    const double curvature = 2.0 * peak - before - after;
    if (curvature <= 0.0) return 0.0;
    const double offset = 0.5 * (after - before) / curvature;
    return offset < -0.5 ? -0.5 : offset > 0.5 ? 0.5 : offset;
}

// numerator / denominator, 0 if the denominator is 0.
__device__ static inline double ratio(double numerator, double denominator) {
    return denominator < 1e-12 ? 0.0 : numerator / denominator;
}

// The winning scale of a target's pyramid, and the statistics of its map. The scale with the highest weighted peak wins; of
// equal peaks, the scale nearest to the middle. NaN counts as the highest, so that an invalid map is reported. maps: (scales,
// side, side).
struct Winner {
    int scale;
    Statistics map;
};

__device__ static inline Winner winner(const float* maps, const double* weights, int scales, int side, Statistics* memory) {
    Winner best = {};
    double highest = 0.0;
    for (int turn = 0; turn < scales; ++turn) {  // the middle, one below, one above, two below, ...
        const int scale = scales / 2 + (turn % 2 ? -(turn + 1) / 2 : turn / 2);
        const Statistics map = statistics_of(maps + (long long)scale * side * side, side, memory);
        if (map.invalid & NOT_A_NUMBER) return {scale, map};
        const double weighted = map.high * weights[scale];
        if (turn == 0 || weighted > highest) {
            highest = weighted;
            best = {scale, map};
        }
    }
    return best;
}

// Shift along x and y of the vertex of the parabolas through pixel (x, y) of a map.
__device__ static inline void locate(const float* map, int x, int y, int side, double* shift) {
    const int above = (y + side - 1) % side, below = (y + 1) % side, left = (x + side - 1) % side, right = (x + 1) % side;
    const double value = map[y * side + x];
    shift[0] = signed_shift(x + parabola(map[y * side + left], value, map[y * side + right]), side);
    shift[1] = signed_shift(y + parabola(map[above * side + x], value, map[below * side + x]), side);
}

// The sums over the window of `excluded` pixels to each side of (x, y), which does not belong to the sidelobe.
__device__ static inline Statistics around(const float* map, int x, int y, int side, int excluded, Statistics* memory) {
    const int window = 2 * excluded + 1;
    if (side <= window) return {};  // there is no sidelobe
    const double middle = pivot(map, side);
    Statistics own = {};
    for (int at = threadIdx.x; at < window * window; at += READER_THREADS) {
        const int row = at / window, column = at % window;
        const int pixel = (y + side + row - excluded) % side * side + (x + side + column - excluded) % side;
        const double difference = map[pixel] - middle;
        own.sum += difference;
        own.squares += difference * difference;
    }
    return reduce(own, memory, window * window < READER_THREADS ? window * window : READER_THREADS);
}

// Peak-to-sidelobe ratio of a map, and its average peak-to-correlation energy.
__device__ static inline void sharpness(const Statistics& map, const Statistics& peak, double middle, int side, int excluded,
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

// Peaks (targets, NUMBERS_PER_TARGET): winning scale, shift along x and y, value, PSR, APCE and likeness, of maps (targets,
// scales, side, side). `position_maps`, which may be the same array, give shift and value. `first_maps` (targets, side, side)
// give the likeness. The window of `excluded` pixels to each side of a peak does not belong to the sidelobe. See read_maps of
// response.py.
extern "C" __global__ void __launch_bounds__(READER_THREADS)
    read_peaks(const float* maps, const float* position_maps, const float* first_maps, const double* __restrict__ weights,
               double* __restrict__ peaks, int scales, int side, int excluded) {
    Statistics* memory = reinterpret_cast<Statistics*>(shared);
    const long long target = blockIdx.x, each = (long long)side * side;
    const Winner found = winner(maps + target * scales * each, weights, scales, side, memory);
    const long long at = (target * scales + found.scale) * each;
    const float *map = maps + at, *position_map = position_maps + at;
    const Statistics position = position_maps == maps ? found.map : statistics_of(position_map, side, memory);
    const Statistics peak = around(map, found.map.pixel % side, found.map.pixel / side, side, excluded, memory);
    if (threadIdx.x) return;
    double* numbers = peaks + target * NUMBERS_PER_TARGET;
    numbers[0] = found.scale;
    for (int index = 1; index < NUMBERS_PER_TARGET; ++index) numbers[index] = 0.0;
    if (found.map.invalid) return;
    if (!position.invalid) {
        const float likeness = first_maps[target * each + position.pixel];
        if (fabsf(likeness) <= LARGEST) numbers[6] = likeness;  // false for NaN
        locate(position_map, position.pixel % side, position.pixel / side, side, numbers + 1);
        numbers[3] = position.high;
    }
    sharpness(found.map, peak, pivot(map, side), side, excluded, numbers + 4, numbers + 5);
}
