// Kernels of filter_update.py: dcf.py and spatial_penalty.py with few passes through memory. Spectra are (targets, channels,
// area), area = rows x columns = K x (B+1) frequencies as in transform.py. One thread computes one frequency of one target
// and loops over the channels, so a sum over channels needs one thread only. A sum over frequencies is computed once per
// target, by `sum_maps`, for the kernel that needs it.

// Responses (targets * scales + targets, area) to search spectra (targets, scales, channels, area) (eq. 3): first those of the
// filters at each scale, then those of the first filters at the middle scale. One thread per frequency of a response.
extern "C" __global__ void respond(const Complex* __restrict__ search, const Complex* __restrict__ filters,
                                   const Complex* __restrict__ first, Complex* __restrict__ responses, int targets,
                                   int scales, int channels, int area) {
    const long long at = position(), map = at / area, each = (long long)channels * area, later = (long long)targets * scales;
    if (map >= later + targets) return;
    const bool of_first = map >= later;
    const long long target = of_first ? map - later : map / scales;
    const Complex* features = search + (of_first ? target * scales + scales / 2 : map) * each + at % area;
    const Complex* filter = (of_first ? first : filters) + target * each + at % area;
    Complex sum = {0.0f, 0.0f};
    for (int channel = 0; channel < channels; ++channel, features += area, filter += area)
        add_conjugate_product(sum, *filter, *features);
    responses[at] = sum;
}

// An update in closed form (eqs. 2 and 13). Inputs: templates, label (area), old numerator and denominator. Outputs: numerator
// and energy of the newest template, the blended numerator and denominator, and their filter. One thread per frequency.
extern "C" __global__ void update(const Complex* __restrict__ templates, const float* __restrict__ label,
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
        const long long index = start + (long long)channel * area;
        const Complex value = scaled(templates[index], height), old = old_numerator[index];
        newest[index] = value;
        numerator[index] = {blended(old.real, value.real, rate), blended(old.imaginary, value.imaginary, rate)};
        filter[index] = {numerator[index].real / divisor, numerator[index].imaginary / divisor};
    }
}

// Spectra (maps, rows, columns) times m^2 across the map: the first half of SpatialPenalty.masked; a matrix product with its
// rows follows. across, mirrored: (columns, columns). One thread per frequency.
extern "C" __global__ void mask_columns(const Complex* __restrict__ spectra, const Complex* __restrict__ across,
                                        const Complex* __restrict__ mirrored, Complex* __restrict__ result, int maps,
                                        int rows, int columns) {
    const long long at = position(), area = (long long)rows * columns;
    if (at >= maps * area) return;
    const int column = (int)(at % columns), row = (int)(at % area / columns);
    const Complex *kept = spectra + at / area * area + row * columns;
    const Complex *mirror = spectra + at / area * area + (rows - 1 - row) * columns;
    Complex sum = {0.0f, 0.0f};
    for (int index = 0; index < columns; ++index) {
        add_product(sum, kept[index], across[index * columns + column]);
        add_conjugate_product(sum, mirror[index], mirrored[index * columns + column]);
    }
    result[at] = sum;
}

// The weights in the equations of spatial_penalty.py for one target: gamma, mu, diagonal = lambda + gamma + mu, and
// preconditioner, the diagonal that remains if P is the same at every place.
struct Weights {
    float gamma, mu, diagonal, preconditioner;
};

// energy_sum: of the template's energy. The other arguments are as in SpatialPenalty.
__device__ static inline Weights weights_of(float energy_sum, int rows, int columns, float regularisation, float weight,
                                            float temporal, float share) {
    const float mean = energy_sum / (rows * columns);
    const float gamma = weight * mean, mu = temporal * mean, diagonal = regularisation + gamma + mu;
    return {gamma, mu, diagonal, diagonal - gamma * (1.0f - share)};
}

// The contribution of one frequency of two spectra to the inner product of their maps; see SpatialPenalty._inner for `twice`.
__device__ static inline float inner(Complex one, Complex other) {
    return one.real * other.real + one.imaginary * other.imaginary;
}

// Preconditions a residual at one frequency of all channels, `area` apart, and returns their part of the inner product.
// along: the sum over channels of the conjugate template times the residual.
__device__ static inline float precondition(const Complex* templates, const Complex* residual, Complex* conditioned,
                                            Complex along, float energy, float preconditioner, int channels, int area) {
    const Complex share = {along.real / (energy + preconditioner), along.imaginary / (energy + preconditioner)};
    float sum = 0.0f;
    for (int channel = 0; channel < channels; ++channel, templates += area, residual += area, conditioned += area) {
        Complex projected = {0.0f, 0.0f};
        add_product(projected, *templates, share);
        *conditioned = {(residual->real - projected.real) / preconditioner,
                        (residual->imaginary - projected.imaginary) / preconditioner};
        sum += inner(*residual, *conditioned);
    }
    return sum;
}

// Left side of the equations of spatial_penalty.py for one number of an iterate. response: of the iterate to the template, at
// this frequency. masked: this number of the iterate times m^2.
__device__ static inline Complex left_side_of(Complex templated, Complex response, Complex iterate, Complex masked,
                                              float diagonal, float gamma) {
    Complex result = {0.0f, 0.0f};
    add_product(result, templated, response);
    return {result.real + diagonal * iterate.real - gamma * masked.real,
            result.imaginary + diagonal * iterate.imaginary - gamma * masked.imaginary};
}

// Starts conjugate gradients at the previous filter: computes its residual, the first search direction, and the partial sums
// of their inner product. masked: `previous` times m^2. One thread per frequency, for all channels.
extern "C" __global__ void initial_residual(const Complex* __restrict__ templates, const Complex* __restrict__ newest,
                                            const Complex* __restrict__ previous, const Complex* __restrict__ masked,
                                            const float* __restrict__ energy, const float* __restrict__ energy_sums,
                                            const float* __restrict__ twice, Complex* residual, Complex* direction,
                                            float* __restrict__ parts, float regularisation, float weight,
                                            float temporal, float share, int targets, int channels, int rows,
                                            int columns) {
    const int area = rows * columns;
    const long long at = position(), start = at / area * channels * area + at % area;
    if (at >= (long long)targets * area) return;
    const Weights weights =
        weights_of(energy_sums[at / area], rows, columns, regularisation, weight, temporal, share);
    Complex response = {0.0f, 0.0f}, along = {0.0f, 0.0f};
    for (int channel = 0; channel < channels; ++channel) {
        const long long index = start + (long long)channel * area;
        add_conjugate_product(response, templates[index], previous[index]);
    }
    for (int channel = 0; channel < channels; ++channel) {
        const long long index = start + (long long)channel * area;
        Complex left =
            left_side_of(templates[index], response, previous[index], masked[index], weights.diagonal, weights.gamma);
        residual[index] = {newest[index].real + weights.mu * previous[index].real - left.real,
                           newest[index].imaginary + weights.mu * previous[index].imaginary - left.imaginary};
        add_conjugate_product(along, templates[index], residual[index]);
    }
    parts[at] = twice[at % columns] * precondition(templates + start, residual + start, direction + start, along,
                                                   energy[at], weights.preconditioner, channels, area);
}

// The left side for a search direction, and the partial sums of their inner product. One thread per frequency.
extern "C" __global__ void left_side(const Complex* __restrict__ templates, const Complex* __restrict__ direction,
                                     const Complex* __restrict__ masked, const float* __restrict__ energy_sums,
                                     const float* __restrict__ twice, Complex* __restrict__ result,
                                     float* __restrict__ parts, float regularisation, float weight, float temporal,
                                     float share, int targets, int channels, int rows, int columns) {
    const int area = rows * columns;
    const long long at = position(), start = at / area * channels * area + at % area;
    if (at >= (long long)targets * area) return;
    const Weights weights =
        weights_of(energy_sums[at / area], rows, columns, regularisation, weight, temporal, share);
    Complex response = {0.0f, 0.0f};
    float sum = 0.0f;
    for (int channel = 0; channel < channels; ++channel) {
        const long long index = start + (long long)channel * area;
        add_conjugate_product(response, templates[index], direction[index]);
    }
    for (int channel = 0; channel < channels; ++channel) {
        const long long index = start + (long long)channel * area;
        result[index] =
            left_side_of(templates[index], response, direction[index], masked[index], weights.diagonal, weights.gamma);
        sum += inner(direction[index], result[index]);
    }
    parts[at] = twice[at % columns] * sum;
}

// The ratio of two inner products: a step length, or the weight of the last direction in the next one.
#define TINY 1e-30f
__device__ static inline float ratio_of(float numerator, float denominator) { return numerator / (denominator + TINY); }

// One step of conjugate gradients: computes the next iterate, updates the residual in place, and computes the preconditioned
// residual and the partial sums of the inner product of both. norms: the previous such product. curvatures: the
// inner product of the direction and its left side. One thread per frequency.
extern "C" __global__ void advance(const Complex* __restrict__ templates, const Complex* __restrict__ iterate,
                                   const Complex* __restrict__ direction, const Complex* __restrict__ left,
                                   const float* __restrict__ energy, const float* __restrict__ energy_sums,
                                   const float* __restrict__ twice, const float* __restrict__ norms,
                                   const float* __restrict__ curvatures, Complex* __restrict__ next, Complex* residual,
                                   Complex* conditioned, float* __restrict__ parts, float regularisation, float weight,
                                   float temporal, float share, int targets, int channels, int rows, int columns) {
    const int area = rows * columns;
    const long long at = position(), start = at / area * channels * area + at % area, target = at / area;
    if (at >= (long long)targets * area) return;
    const Weights weights =
        weights_of(energy_sums[target], rows, columns, regularisation, weight, temporal, share);
    const float step_length = ratio_of(norms[target], curvatures[target]);
    Complex along = {0.0f, 0.0f};
    for (int channel = 0; channel < channels; ++channel) {
        const long long index = start + (long long)channel * area;
        next[index] = moved(iterate[index], direction[index], step_length);
        residual[index] = moved(residual[index], left[index], -step_length);
        add_conjugate_product(along, templates[index], residual[index]);
    }
    parts[at] = twice[at % columns] * precondition(templates + start, residual + start, conditioned + start, along,
                                                   energy[at], weights.preconditioner, channels, area);
}

// The next search direction: the preconditioned residual plus a share of the last direction, which changes in place. norms,
// last_norms: as in `advance`. One thread per number.
extern "C" __global__ void next_direction(const Complex* __restrict__ conditioned, const float* __restrict__ norms,
                                          const float* __restrict__ last_norms, Complex* direction, int targets, int each) {
    const long long at = position();
    if (at >= (long long)targets * each) return;
    direction[at] = moved(conditioned[at], direction[at], ratio_of(norms[at / each], last_norms[at / each]));
}

// The last step: the focused filter, and its mean with the closed-form filter. One thread per number.
extern "C" __global__ void last_step(const Complex* __restrict__ iterate, const Complex* __restrict__ direction,
                                     const Complex* __restrict__ closed, const float* __restrict__ norms,
                                     const float* __restrict__ curvatures, Complex* __restrict__ focused,
                                     Complex* __restrict__ mean, int targets, int each) {
    const long long at = position();
    if (at >= (long long)targets * each) return;
    focused[at] = moved(iterate[at], direction[at], ratio_of(norms[at / each], curvatures[at / each]));
    mean[at] = {(closed[at].real + focused[at].real) * 0.5f, (closed[at].imaginary + focused[at].imaginary) * 0.5f};
}
