// Kernels of reading.py: response maps are read where they lie, as response.py reads them.

// What a row of a response map holds: its highest level and the first column that has it, its lowest, and the sum and the
// sum of squares of its levels less the map's `pivot`. broken: INFINITE and NOT_A_NUMBER, as far as there are such levels.
#define INFINITE 1
#define NOT_A_NUMBER 2
#define GREATEST 3.402823466e38f  // that a float32 can be
struct Row {
    double sum, squares;
    float high, low;
    int column, broken;
};

// A level that most of a map is near to, that of the farthest shift, so that sums lose nothing to a common offset.
__device__ static inline double pivot(const float* map, int side) { return map[side / 2 * side + side / 2]; }

// Rows (maps, side) of maps (maps, side, side). A thread a row.
extern "C" __global__ void summarise(const float* __restrict__ maps, Row* __restrict__ rows, int count, int side) {
    const long long at = position();
    if (at >= (long long)count * side) return;
    const float* map = maps + at / side * side * side;
    const float* levels = maps + at * side;
    const double middle = pivot(map, side);
    Row row = {0.0, 0.0, levels[0], levels[0], 0, 0};
    for (int column = 0; column < side; ++column) {
        const float level = levels[column];
        const double apart = level - middle;
        row.sum += apart;
        row.squares += apart * apart;
        if (level > row.high) {
            row.high = level;
            row.column = column;
        }
        if (level < row.low) row.low = level;
        if (level != level) row.broken |= NOT_A_NUMBER;
        else if (fabsf(level) > GREATEST) row.broken |= INFINITE;
    }
    rows[at] = row;
}

// A whole map from its rows. row: the first one that has its highest level.
struct Whole {
    Row all;
    int row;
};

__device__ static inline Whole whole(const Row* rows, int side) {
    Whole map = {rows[0], 0};
    for (int index = 1; index < side; ++index) {
        const Row next = rows[index];
        map.all.sum += next.sum;
        map.all.squares += next.squares;
        map.all.broken |= next.broken;
        if (next.low < map.all.low) map.all.low = next.low;
        if (next.high > map.all.high) {
            map.all.high = next.high;
            map.all.column = next.column;
            map.row = index;
        }
    }
    return map;
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

// Which scale of a target's pyramid wins: the highest weighted peak, nearest to the middle where they tie. What is no
// number counts as the highest, as it does in NumPy's argmax, so that a broken map is told and not passed over.
__device__ static inline int winner(const Row* rows, const double* weights, int scales, int side) {
    const int middle = scales / 2;
    int best = middle;
    double highest = 0.0;
    for (int turn = 0; turn < scales; ++turn) {  // the middle, one below, one above, two below, ...
        const int scale = middle + (turn % 2 ? -(turn + 1) / 2 : turn / 2);
        const Row map = whole(rows + (long long)scale * side, side).all;
        if (map.broken & NOT_A_NUMBER) return scale;
        const double weighted = map.high * weights[scale];
        if (turn == 0 || weighted > highest) {
            highest = weighted;
            best = scale;
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

// Numbers that are said of a target.
#define READ 6

// Peaks (targets, READ), winning scale, shift along x and y, value, PSR and APCE, of maps (targets, scales, side, side)
// and their rows; shift and value say the maps `placed` and theirs, which may be the same. `excluded` pixels to each
// side of a peak are no sidelobe. As response.py reads them. A thread a target.
extern "C" __global__ void read_peaks(const float* maps, const Row* rows, const float* placed, const Row* placed_rows,
                                      const double* __restrict__ weights, double* __restrict__ peaks, int targets,
                                      int scales, int side, int excluded) {
    const long long target = position();
    if (target >= targets) return;
    double* peak = peaks + target * READ;
    const int scale = winner(rows + target * scales * side, weights, scales, side);
    const long long at = target * scales + scale;
    const float* map = maps + at * side * side;
    const Whole found = whole(rows + at * side, side), there = whole(placed_rows + at * side, side);
    peak[0] = scale;
    for (int index = 1; index < READ; ++index) peak[index] = 0.0;
    if (found.all.broken) return;
    if (!there.all.broken) {
        locate(placed + at * side * side, there.all.column, there.row, side, peak + 1);
        peak[3] = there.all.high;
    }
    const int y = found.row, x = found.all.column;
    const double value = found.all.high, middle = pivot(map, side), low = found.all.low;
    const int window = 2 * excluded + 1, number = side * side - window * window;
    if (side > window) {
        double sum = found.all.sum, squares = found.all.squares;
        for (int row = 0; row < window; ++row)
            for (int column = 0; column < window; ++column) {
                const int place = (y + side + row - excluded) % side * side + (x + side + column - excluded) % side;
                const double apart = map[place] - middle;
                sum -= apart;
                squares -= apart * apart;
            }
        const double mean = sum / number, variance = squares / number - mean * mean;
        peak[4] = ratio(value - middle - mean, sqrt(variance > 0.0 ? variance : 0.0));
    }
    const double lift = middle - low, area = (double)side * side;
    peak[5] = ratio((value - low) * (value - low), (found.all.squares + 2.0 * lift * found.all.sum) / area + lift * lift);
}
