// Kernels of cuda.py and backbones/native.py. A thread makes its numbers by itself: no barrier and no shared memory, so
// that every body is plain C++, too, and is proven on a CPU (tests/runtime/cuda). Arrays are contiguous, and laid out as
// the functions of the same purpose say; counts of threads may be more than there is to do.

typedef unsigned char uint8;

__device__ static inline long long position() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// Where a patch lies: pixels (height, width, channels) of its frame, rows `pitch` bytes apart; patch pixel (j, i) at
// frame pixel (x + j * step_x, y + i * step_y). Where there is chroma, (height / 2, width / 2, 2), pixels are luma, and
// colours are made of both as `Colours` in formats.py says. The layout is that of PLACE in kernels.py.
struct Place {
    const uint8* pixels;
    long long pitch;
    const uint8* chroma;
    long long chroma_pitch;
    int height, width, channels;
    float x, y, step_x, step_y;
    int red_first, black, gain, blue_u, green_u, green_v, red_v;
};

// Levels of blue, green and red.
struct Colour {
    float levels[3];
};

__device__ static inline float level(int value) {
    value >>= 20;
    return (float)(value < 0 ? 0 : value > 255 ? 255 : value);
}

__device__ static inline Colour colour_at(const Place& place, int x, int y, const Colour& outside) {
    if (x < 0 || y < 0 || x >= place.width || y >= place.height) return outside;
    const uint8* pixel = place.pixels + y * place.pitch + (long long)x * place.channels;
    if (place.chroma) {
        const uint8* pair = place.chroma + y / 2 * place.chroma_pitch + x / 2 * 2;
        const int above_black = pixel[0] > place.black ? pixel[0] - place.black : 0;
        const int luma = above_black * place.gain + (1 << 19), u = pair[0] - 128, v = pair[1] - 128;
        return {{level(luma + place.blue_u * u), level(luma + place.green_u * u + place.green_v * v),
                 level(luma + place.red_v * v)}};
    }
    const int last = place.channels == 1 ? 0 : 2, first = place.red_first ? last : 0;
    return {{(float)pixel[first], (float)pixel[last / 2], (float)pixel[last - first]}};
}

// Patches (count, 3, size, size): bilinear samples rounded to whole levels, as OpenCV makes them, with the mean of blue,
// green and red outside the frame, and the mean taken off. A thread a pixel of a patch.
extern "C" __global__ void crop(const Place* __restrict__ places, float* __restrict__ patches, int count, int size,
                                float blue, float green, float red) {
    long long area = (long long)size * size, at = position();
    if (at >= count * area) return;
    const Place place = places[at / area];
    const float x = place.x + (int)(at % size) * place.step_x, y = place.y + (int)(at % area / size) * place.step_y;
    // Also false where a coordinate is no number, and before one too large becomes an int.
    const bool seen = x > -1.0f && y > -1.0f && x < (float)place.width && y < (float)place.height;
    const int left = seen ? (int)floorf(x) : 0, top = seen ? (int)floorf(y) : 0;
    const float right_share = x - (float)left, bottom_share = y - (float)top;
    const Colour means = {{blue, green, red}};
    const Colour a = seen ? colour_at(place, left, top, means) : means;
    const Colour b = seen ? colour_at(place, left + 1, top, means) : means;
    const Colour c = seen ? colour_at(place, left, top + 1, means) : means;
    const Colour d = seen ? colour_at(place, left + 1, top + 1, means) : means;
    for (int colour = 0; colour < 3; ++colour) {
        const float mean = means.levels[colour];
        const float above = a.levels[colour] + right_share * (b.levels[colour] - a.levels[colour]);
        const float below = c.levels[colour] + right_share * (d.levels[colour] - c.levels[colour]);
        const float value = seen ? rintf(above + bottom_share * (below - above)) : mean;
        patches[(at / area * 3 + colour) * area + at % area] = value - mean;
    }
}

// Pixels of a frame that its texture is judged by: (x + j * step_x, y + i * step_y) for j < columns, i < rows. The
// layout is that of GRID in kernels.py.
struct Grid {
    const uint8* pixels;
    long long pitch;
    int channels, x, y, step_x, step_y, columns, rows;
};

// Lowest and highest level (count, 2, 3) of up to three colours over each grid; `found` enters as 255 and 0. A thread a
// pixel of a grid of `side` x `side`, most of which are there.
extern "C" __global__ void extremes(const Grid* __restrict__ grids, int* found, int count, int side) {
    long long area = (long long)side * side, at = position();
    if (at >= count * area) return;
    const Grid grid = grids[at / area];
    const int column = (int)(at % side), row = (int)(at % area / side);
    if (column >= grid.columns || row >= grid.rows) return;
    const long long x = grid.x + (long long)column * grid.step_x, y = grid.y + (long long)row * grid.step_y;
    for (int colour = 0; colour < 3 && colour < grid.channels; ++colour) {
        const int level = grid.pixels[y * grid.pitch + x * grid.channels + colour];
        atomicMin(&found[at / area * 6 + colour], level);
        atomicMax(&found[at / area * 6 + 3 + colour], level);
    }
}

// Channels that a thread sums at once: it reads a pixel once for as many products. As in backbones/native.py.
#define AT_ONCE 16

// Four weights in one read of 16 bytes.
struct alignas(16) Four {
    float values[4];
};

// Maps (count, channels, side, side) -> made (count, outputs, made_side, made_side): a convolution with its bias, and
// what is below zero cut off where `rectified`. weights: (groups, channels, kernel, kernel, AT_ONCE), bias: (groups,
// AT_ONCE), the outputs in groups, filled up with zeros. A thread a pixel and group. Direct, in float32; tensor cores
// would come here, as a product of matrices over tiles in shared memory, in half precision or TF32.
extern "C" __global__ void convolve(const float* __restrict__ maps, const float* __restrict__ weights,
                                    const float* __restrict__ bias, float* __restrict__ made, int count, int channels,
                                    int side, int outputs, int made_side, int kernel, int stride, int padding,
                                    int dilation, int rectified) {
    const int groups = (outputs + AT_ONCE - 1) / AT_ONCE;
    const long long area = (long long)made_side * made_side, at = position();
    if (at >= count * groups * area) return;
    const int group = (int)(at / area % groups);
    const long long patch = at / area / groups;
    const int left = (int)(at % made_side) * stride - padding, top = (int)(at % area / made_side) * stride - padding;
    const float* weight = weights + (long long)group * channels * kernel * kernel * AT_ONCE;
    float sums[AT_ONCE];
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k) sums[k] = bias[group * AT_ONCE + k];
    for (int channel = 0; channel < channels; ++channel) {
        const float* map = maps + (patch * channels + channel) * side * side;
        for (int row = 0; row < kernel; ++row) {
            const int y = top + row * dilation;
            for (int column = 0; column < kernel; ++column, weight += AT_ONCE) {
                const int x = left + column * dilation;
                if (x < 0 || y < 0 || x >= side || y >= side) continue;
                const float value = map[y * side + x];
                const Four* fours = reinterpret_cast<const Four*>(weight);
#pragma unroll
                for (int k = 0; k < AT_ONCE / 4; ++k) {
                    const Four four = fours[k];
#pragma unroll
                    for (int j = 0; j < 4; ++j) sums[4 * k + j] += value * four.values[j];
                }
            }
        }
    }
#pragma unroll
    for (int k = 0; k < AT_ONCE; ++k) {
        const int output = group * AT_ONCE + k;
        if (output < outputs) {
            const float sum = rectified && sums[k] < 0.0f ? 0.0f : sums[k];
            made[(patch * outputs + output) * area + at % area] = sum;
        }
    }
}

// Features (count, channels, area) divided by (offset + band . squares)^(3/4), with the squares of `reach` channels to
// each side: band (channels, channels) has nothing beyond. A thread a feature.
extern "C" __global__ void normalise(const float* __restrict__ features, const float* __restrict__ band,
                                     const float* __restrict__ offset, float* __restrict__ made, int count,
                                     int channels, int area, int reach) {
    const long long at = position();
    if (at >= (long long)count * channels * area) return;
    const int channel = (int)(at / area % channels);
    const int first = channel - reach > 0 ? channel - reach : 0;
    const int last = channel + reach < channels - 1 ? channel + reach : channels - 1;
    const float* neighbours = features + (at - (long long)channel * area);
    float energy = offset[channel];
    for (int other = first; other <= last; ++other) {
        const float value = neighbours[(long long)other * area];
        energy += band[channel * channels + other] * (value * value);
    }
    const float root = sqrtf(energy);
    made[at] = features[at] / (root * sqrtf(root));
}

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

// How often each bin, int (maps, area) below `number`, is in parts 1 and 2 of its map: counts (maps, 2, number), which
// enter as zeros; parts (area). A thread a pixel.
extern "C" __global__ void count_bins(const int* __restrict__ bins, const int* __restrict__ parts, int* counts, int maps,
                                      int area, int number) {
    const long long at = position();
    if (at >= (long long)maps * area) return;
    const int part = parts[at % area];
    if (part) atomicAdd(&counts[(at / area * 2 + part - 1) * number + bins[at]], 1);
}

// found (maps, area): what the table of each map, (maps, number), has for its bins. A thread a pixel.
extern "C" __global__ void look_up(const float* __restrict__ table, const int* __restrict__ bins,
                                   float* __restrict__ found, int maps, int area, int number) {
    const long long at = position();
    if (at < (long long)maps * area) found[at] = table[at / area * number + bins[at]];
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

struct alignas(8) Complex {
    float real, imaginary;
};

__device__ static inline void add_product(float& sum, float one, float other) { sum += one * other; }

__device__ static inline void add_product(Complex& sum, Complex one, Complex other) {
    sum.real += one.real * other.real - one.imaginary * other.imaginary;
    sum.imaginary += one.real * other.imaginary + one.imaginary * other.real;
}

// Rows of a product that a thread makes at once: it reads a number of the right matrix once for as many sums. As in
// products.py.
#define ROWS_AT_ONCE 4

// Matrices (stack, rows, inner) times (stack, inner, columns) -> (stack, rows, columns). A matrix is `step` numbers after
// the one before; a step of 0 is one matrix for the whole stack. A thread ROWS_AT_ONCE rows of a column.
template <typename Number>
__device__ static inline void multiply(const Number* left, const Number* right, Number* made, int stack, int rows,
                                       int inner, int columns, int left_step, int right_step) {
    const long long at = position(), groups = (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    if (at >= stack * groups * columns) return;
    const int column = (int)(at % columns);
    const long long first = at / columns % groups * ROWS_AT_ONCE, place = at / columns / groups;
    const int count = rows - first < ROWS_AT_ONCE ? (int)(rows - first) : ROWS_AT_ONCE;
    const Number* across = left + place * left_step + first * inner;
    const Number* down = right + place * right_step + column;
    Number sums[ROWS_AT_ONCE] = {};
    for (int index = 0; index < inner; ++index, down += columns) {
        const Number value = *down;
#pragma unroll
        for (int row = 0; row < ROWS_AT_ONCE; ++row)
            if (row < count) add_product(sums[row], across[(long long)row * inner + index], value);
    }
#pragma unroll
    for (int row = 0; row < ROWS_AT_ONCE; ++row)
        if (row < count) made[(place * rows + first + row) * columns + column] = sums[row];
}

extern "C" __global__ void multiply_real(const float* __restrict__ left, const float* __restrict__ right,
                                         float* __restrict__ made, int stack, int rows, int inner, int columns,
                                         int left_step, int right_step) {
    multiply(left, right, made, stack, rows, inner, columns, left_step, right_step);
}

extern "C" __global__ void multiply_complex(const Complex* __restrict__ left, const Complex* __restrict__ right,
                                            Complex* __restrict__ made, int stack, int rows, int inner, int columns,
                                            int left_step, int right_step) {
    multiply(left, right, made, stack, rows, inner, columns, left_step, right_step);
}

// What was made for `targets`, `each` numbers of them, into what is kept, for those that it is `wanted` for. A thread a
// number.
extern "C" __global__ void settle(const float* __restrict__ made, float* __restrict__ kept,
                                  const int* __restrict__ wanted, int targets, int each) {
    const long long at = position();
    if (at >= (long long)targets * each || !wanted[at / each]) return;
    kept[at] = made[at];
}
