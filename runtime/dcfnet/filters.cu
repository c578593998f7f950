// Kernels of fused.py: what dcf.py and spatial.py say by operators, in few passes through memory. Spectra are (targets,
// channels, area), area = rows x columns = K x (B+1) frequencies as in fourier.py. A thread has one frequency of one target
// and walks its channels, so that sums over channels need no other thread; sums over frequencies are made in two steps,
// rows by `sum_rows`, and their sum by whoever needs it.

// Answers (targets, scales, area) of filters to search spectra (targets, scales, channels, area) (eq. 3). A thread a
// frequency of an answer.
extern "C" __global__ void respond(const Complex* __restrict__ search, const Complex* __restrict__ filters,
                                   Complex* __restrict__ made, int targets, int scales, int channels, int area) {
    const long long at = position(), map = at / area, each = (long long)channels * area;
    if (at >= (long long)targets * scales * area) return;
    const Complex *seen = search + map * each + at % area, *filter = filters + map / scales * each + at % area;
    Complex sum = {0.0f, 0.0f};
    for (int channel = 0; channel < channels; ++channel, seen += area, filter += area)
        add_conjugate_product(sum, *filter, *seen);
    made[at] = sum;
}

// A lesson in closed form (eqs. 2 and 13). template and label (area) -> newest numerator, and energy (targets, area);
// numerator and denominator (targets, area) blended towards them; the filter of those. A thread a frequency.
extern "C" __global__ void learn(const Complex* __restrict__ templates, const float* __restrict__ label,
                                 const Complex* __restrict__ old_numerator, const float* __restrict__ old_denominator,
                                 Complex* __restrict__ newest, float* __restrict__ energy,
                                 Complex* __restrict__ numerator, float* __restrict__ denominator,
                                 Complex* __restrict__ filter, float rate, float regularisation, int targets,
                                 int channels, int area) {
    const long long at = position(), start = at / area * channels * area + at % area;
    if (at >= (long long)targets * area) return;
    float sum = 0.0f;
    for (int channel = 0; channel < channels; ++channel) {
        const Complex value = templates[start + (long long)channel * area];
        sum += value.real * value.real + value.imaginary * value.imaginary;
    }
    energy[at] = sum;
    denominator[at] = blended(old_denominator[at], sum, rate);
    const float divisor = denominator[at] + regularisation, height = label[at % area];
    for (int channel = 0; channel < channels; ++channel) {
        const long long place = start + (long long)channel * area;
        const Complex made = scaled(templates[place], height), old = old_numerator[place];
        newest[place] = made;
        numerator[place] = {blended(old.real, made.real, rate), blended(old.imaginary, made.imaginary, rate)};
        filter[place] = {numerator[place].real / divisor, numerator[place].imaginary / divisor};
    }
}

// Spectra (maps, rows, columns) times m^2 across the map: as SpatialPenalty.inside of spatial.py, whose product with its
// rows is still to come. across, mirrored: (columns, columns). A thread a frequency.
extern "C" __global__ void fold(const Complex* __restrict__ spectra, const Complex* __restrict__ across,
                                const Complex* __restrict__ mirrored, Complex* __restrict__ made, int maps, int rows,
                                int columns) {
    const long long at = position(), area = (long long)rows * columns;
    if (at >= maps * area) return;
    const int column = (int)(at % columns), row = (int)(at % area / columns);
    const Complex *kept = spectra + at / area * area + row * columns;
    const Complex *other = spectra + at / area * area + (rows - 1 - row) * columns;
    Complex sum = {0.0f, 0.0f};
    for (int index = 0; index < columns; ++index) {
        add_product(sum, kept[index], across[index * columns + column]);
        add_conjugate_product(sum, other[index], mirrored[index * columns + column]);
    }
    made[at] = sum;
}

// The equations of spatial.py for one target: gamma, mu, and diagonal, lambda + gamma + mu; nearly, what is left of it
// where P is taken for the same at every place.
struct Weights {
    float gamma, mu, diagonal, nearly;
};

// sums: of the rows of the template's energy. The others are as SpatialPenalty has them.
__device__ static inline Weights weights_of(const float* sums, int rows, int columns, float regularisation, float weight,
                                            float temporal, float share) {
    const float mean = total(sums, rows) / (rows * columns);
    const float gamma = weight * mean, mu = temporal * mean, diagonal = regularisation + gamma + mu;
    return {gamma, mu, diagonal, diagonal - gamma * (1.0f - share)};
}

// Part of an inner product of maps that one number of their spectra is; see SpatialPenalty._inner for `twice`.
__device__ static inline float inner(Complex one, Complex other) {
    return one.real * other.real + one.imaginary * other.imaginary;
}

// The filter for a residual, were P the same at every place, and the part of their inner product: of one frequency of
// all channels, `area` apart. along: the sum over channels of the template's conjugate times the residual.
__device__ static inline float nearly_solve(const Complex* templates, const Complex* residual, Complex* solved,
                                            Complex along, float energy, float nearly, int channels, int area) {
    const Complex share = {along.real / (energy + nearly), along.imaginary / (energy + nearly)};
    float sum = 0.0f;
    for (int channel = 0; channel < channels; ++channel, templates += area, residual += area, solved += area) {
        Complex taken = {0.0f, 0.0f};
        add_product(taken, *templates, share);
        *solved = {(residual->real - taken.real) / nearly, (residual->imaginary - taken.imaginary) / nearly};
        sum += inner(*residual, *solved);
    }
    return sum;
}

// Left side of the equations of spatial.py for one number of a filter; answer: the filter's to the template, at this
// frequency; inside: the number of the filter times m^2.
__device__ static inline Complex image_of(Complex templated, Complex answer, Complex filter, Complex inside,
                                          float diagonal, float gamma) {
    Complex made = {0.0f, 0.0f};
    add_product(made, templated, answer);
    return {made.real + diagonal * filter.real - gamma * inside.real,
            made.imaginary + diagonal * filter.imaginary - gamma * inside.imaginary};
}

// Of every frequency of all channels what a lesson under the penalty begins with: the residual of the filter before, the
// first direction, and the part of their inner product. inside: `before` times m^2. A thread a frequency.
extern "C" __global__ void begin(const Complex* __restrict__ templates, const Complex* __restrict__ newest,
                                 const Complex* __restrict__ before, const Complex* __restrict__ inside,
                                 const float* __restrict__ energy, const float* __restrict__ sums,
                                 const float* __restrict__ twice, Complex* residual, Complex* direction,
                                 float* __restrict__ parts, float regularisation, float weight, float temporal,
                                 float share, int targets, int channels, int rows, int columns) {
    const int area = rows * columns;
    const long long at = position(), start = at / area * channels * area + at % area;
    if (at >= (long long)targets * area) return;
    const Weights weights = weights_of(sums + at / area * rows, rows, columns, regularisation, weight, temporal, share);
    Complex answer = {0.0f, 0.0f}, along = {0.0f, 0.0f};
    for (int channel = 0; channel < channels; ++channel) {
        const long long place = start + (long long)channel * area;
        add_conjugate_product(answer, templates[place], before[place]);
    }
    for (int channel = 0; channel < channels; ++channel) {
        const long long place = start + (long long)channel * area;
        Complex image = image_of(templates[place], answer, before[place], inside[place], weights.diagonal, weights.gamma);
        residual[place] = {newest[place].real + weights.mu * before[place].real - image.real,
                           newest[place].imaginary + weights.mu * before[place].imaginary - image.imaginary};
        add_conjugate_product(along, templates[place], residual[place]);
    }
    parts[at] = twice[at % columns] * nearly_solve(templates + start, residual + start, direction + start, along,
                                                   energy[at], weights.nearly, channels, area);
}

// The left side of the equations for a direction, and the part of the inner product of both. A thread a frequency.
extern "C" __global__ void image(const Complex* __restrict__ templates, const Complex* __restrict__ direction,
                                 const Complex* __restrict__ inside, const float* __restrict__ sums,
                                 const float* __restrict__ twice, Complex* __restrict__ made, float* __restrict__ parts,
                                 float regularisation, float weight, float temporal, float share, int targets,
                                 int channels, int rows, int columns) {
    const int area = rows * columns;
    const long long at = position(), start = at / area * channels * area + at % area;
    if (at >= (long long)targets * area) return;
    const Weights weights = weights_of(sums + at / area * rows, rows, columns, regularisation, weight, temporal, share);
    Complex answer = {0.0f, 0.0f};
    float sum = 0.0f;
    for (int channel = 0; channel < channels; ++channel) {
        const long long place = start + (long long)channel * area;
        add_conjugate_product(answer, templates[place], direction[place]);
    }
    for (int channel = 0; channel < channels; ++channel) {
        const long long place = start + (long long)channel * area;
        made[place] = image_of(templates[place], answer, direction[place], inside[place], weights.diagonal, weights.gamma);
        sum += inner(direction[place], made[place]);
    }
    parts[at] = twice[at % columns] * sum;
}

// How far a step of the descent goes, from the rows' sums of two inner products; and the same for the turn after it.
#define TINY 1e-30f
__device__ static inline float length_of(const float* above, const float* below, int rows) {
    return total(above, rows) / (total(below, rows) + TINY);
}

// A step along a direction, and from there the next direction but for its turn: `filter` enters as what it was before;
// residual changes. descent, through: of the direction with the residual, and with its image. A thread a frequency.
extern "C" __global__ void descend(const Complex* __restrict__ templates, const Complex* __restrict__ filter,
                                   const Complex* __restrict__ direction, const Complex* __restrict__ image,
                                   const float* __restrict__ energy, const float* __restrict__ sums,
                                   const float* __restrict__ twice, const float* __restrict__ descent,
                                   const float* __restrict__ through, Complex* __restrict__ made, Complex* residual,
                                   Complex* solved, float* __restrict__ parts, float regularisation, float weight,
                                   float temporal, float share, int targets, int channels, int rows, int columns) {
    const int area = rows * columns;
    const long long at = position(), start = at / area * channels * area + at % area, target = at / area;
    if (at >= (long long)targets * area) return;
    const Weights weights = weights_of(sums + target * rows, rows, columns, regularisation, weight, temporal, share);
    const float length = length_of(descent + target * rows, through + target * rows, rows);
    Complex along = {0.0f, 0.0f};
    for (int channel = 0; channel < channels; ++channel) {
        const long long place = start + (long long)channel * area;
        made[place] = moved(filter[place], direction[place], length);
        residual[place] = moved(residual[place], image[place], -length);
        add_conjugate_product(along, templates[place], residual[place]);
    }
    parts[at] = twice[at % columns] * nearly_solve(templates + start, residual + start, solved + start, along, energy[at],
                                                   weights.nearly, channels, area);
}

// The next direction: what solves nearly, turned by the direction before, which changes. A thread a number.
extern "C" __global__ void turn(const Complex* __restrict__ solved, const float* __restrict__ descent,
                                const float* __restrict__ last, Complex* direction, int targets, int each, int rows) {
    const long long at = position();
    if (at >= (long long)targets * each) return;
    const long long first = at / each * rows;
    direction[at] = moved(solved[at], direction[at], length_of(descent + first, last + first, rows));
}

// The last step: the focused filter, and the mean of it and the closed one. A thread a number.
extern "C" __global__ void conclude(const Complex* __restrict__ filter, const Complex* __restrict__ direction,
                                    const Complex* __restrict__ closed, const float* __restrict__ descent,
                                    const float* __restrict__ through, Complex* __restrict__ focused,
                                    Complex* __restrict__ mean, int targets, int each, int rows) {
    const long long at = position();
    if (at >= (long long)targets * each) return;
    const long long first = at / each * rows;
    focused[at] = moved(filter[at], direction[at], length_of(descent + first, through + first, rows));
    mean[at] = {(closed[at].real + focused[at].real) * 0.5f, (closed[at].imaginary + focused[at].imaginary) * 0.5f};
}
