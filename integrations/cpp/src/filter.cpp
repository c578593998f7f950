#include "filter.h"

#include <cmath>

namespace dcfnet {
namespace {

constexpr double PI = 3.14159265358979323846;
constexpr double STEEPNESS = 4;   // m = exp(-|u|^4)
constexpr int FIRST_STEPS = 10;   // solver steps of a first filter, which starts from zero
constexpr double TINY = 1e-30;    // prevents division by zero after convergence
constexpr int FINE = 16;          // samples of m^2 per map pixel

std::vector<float> energy_of(const Spectra& spectra) {
    std::vector<float> energy(spectra.area());
    for (std::size_t at = 0; at < spectra.values.size(); ++at) energy[at % spectra.area()] += std::norm(spectra.values[at]);
    return energy;
}

// result += x_l sum_k conj(x_k) w_k, with x the spectra of the template.
void add_data_term(Spectra& result, const Spectra& x, const Spectra& w) {
    const std::size_t area = x.area();
    std::vector<Complex> sums(area);
    for (std::size_t at = 0; at < x.values.size(); ++at) sums[at % area] += times(std::conj(x.values[at]), w.values[at]);
    for (std::size_t at = 0; at < x.values.size(); ++at) result.values[at] += times(x.values[at], sums[at % area]);
}

void add(Spectra& result, const Spectra& other, float factor) {
    for (std::size_t at = 0; at < result.values.size(); ++at) result.values[at] += factor * other.values[at];
}

Spectra zeros_like(const Spectra& other) { return Spectra(other.channels, other.columns - 1); }

}  // namespace

FilterUpdate::FilterUpdate(const Model& model, const Transform& transform)
    : label_(transform.label()),
      regularisation_(static_cast<float>(model.config["regularisation"])),
      rate_(static_cast<float>(model.config.rate_per_update("learning_rate"))),
      weight_(static_cast<float>(model.config["background_penalty"])),
      temporal_(static_cast<float>(model.config["temporal_penalty"] / model.config["update_interval"])),
      steps_(model.config.whole("solver_steps")),
      rows_(2 * transform.band() + 1),
      columns_(transform.band() + 1) {
    const int side = transform.side(), band = transform.band(), fine = FINE * side;
    const double reach = model.config["filter_extent"] * model.config.target_side() / 2 / model.stride;
    std::vector<double> squared(fine);  // m^2 along one axis
    double mean = 0;
    for (int at = 0; at < fine; ++at) {
        const double distance = std::abs((at + 0.5) / FINE - side / 2.0) / reach;
        squared[at] = std::exp(-2 * std::pow(distance, STEEPNESS));
        mean += squared[at] / fine;
    }
    share_ = static_cast<float>(1 - mean * mean);
    std::vector<Complex> spectrum;  // of m^2, at the differences of two frequencies
    for (int order = -2 * band; order <= 2 * band; ++order) {
        std::complex<double> sum = 0;
        for (int at = 0; at < fine; ++at) sum += squared[at] * std::polar(1.0, -2 * PI * order * at / fine);
        // The origin of a map's spectrum is the centre of its first pixel, half a pixel from the edge.
        spectrum.push_back(Complex(sum / static_cast<double>(fine) * std::polar(1.0, PI * order * (1 - 1.0 / FINE) / side)));
    }
    const auto at = [&](int difference) { return spectrum[difference + 2 * band]; };
    for (int i = 0; i < rows_; ++i)
        for (int j = 0; j < rows_; ++j) mask_rows_.push_back(at(i - j));
    for (int i = 0; i < columns_; ++i)
        for (int j = 0; j < columns_; ++j) {
            mask_columns_.push_back(at(j - i));
            mask_mirrored_.push_back(i ? at(j + i) : 0);  // frequency zero is its own mirror image
        }
}

Spectra FilterUpdate::learnt(const Spectra& spectra) const {
    Spectra numerator = spectra;
    for (std::size_t at = 0; at < numerator.values.size(); ++at) numerator.values[at] *= label_[at % label_.size()];
    return numerator;
}

Filters FilterUpdate::initial(const Spectra& spectra) const {
    const Spectra numerator = learnt(spectra);
    Filters filters{numerator, numerator, numerator, numerator, energy_of(spectra)};
    solve(filters, spectra, numerator, nullptr);
    filters.first = filters.filter;
    return filters;
}

void FilterUpdate::update(Filters& filters, const Spectra& spectra) const {
    const Spectra newest = learnt(spectra), before = filters.focused;
    const auto energy = energy_of(spectra);
    for (std::size_t at = 0; at < newest.values.size(); ++at)
        filters.numerator.values[at] += rate_ * (newest.values[at] - filters.numerator.values[at]);
    for (std::size_t at = 0; at < energy.size(); ++at)
        filters.denominator[at] += rate_ * (energy[at] - filters.denominator[at]);
    solve(filters, spectra, newest, &before);
}

// The closed form of eq. 2 from the blended parts, the focused filter from the newest template, and their mean.
void FilterUpdate::solve(Filters& filters, const Spectra& spectra, const Spectra& newest, const Spectra* before) const {
    filters.filter = filters.numerator;
    for (std::size_t at = 0; at < filters.filter.values.size(); ++at)
        filters.filter.values[at] /= filters.denominator[at % filters.denominator.size()] + regularisation_;
    filters.focused = filters.filter;
    if (weight_ == 0) return;
    filters.focused = focused(spectra, newest, before);
    for (std::size_t at = 0; at < filters.filter.values.size(); ++at)
        filters.filter.values[at] = (filters.filter.values[at] + filters.focused.values[at]) * 0.5f;
}

// Conjugate gradients, from the previous filter or from zero.
Spectra FilterUpdate::focused(const Spectra& spectra, const Spectra& numerator, const Spectra* before) const {
    Equations equations{spectra, energy_of(spectra), 0, 0, 0};
    double mean = 0;
    for (const float value : equations.energy) mean += value / static_cast<double>(equations.energy.size());
    equations.gamma = static_cast<float>(weight_ * mean);
    equations.mu = before ? static_cast<float>(temporal_ * mean) : 0;
    equations.diagonal = regularisation_ + equations.gamma + equations.mu;
    Spectra filter = before ? *before : zeros_like(numerator), residual = numerator;
    if (before) {
        add(residual, *before, equations.mu);
        add(residual, left_side(equations, *before), -1);
    }
    Spectra direction = preconditioned(equations, residual);
    double squared_norm = inner(residual, direction);
    for (int left = (before ? steps_ : FIRST_STEPS) - 1; left >= 0; --left) {
        const Spectra product = left_side(equations, direction);
        const auto step_length = static_cast<float>(squared_norm / (inner(direction, product) + TINY));
        add(filter, direction, step_length);
        if (left == 0) break;
        add(residual, product, -step_length);
        Spectra conditioned = preconditioned(equations, residual);
        const double last = squared_norm;
        squared_norm = inner(residual, conditioned);
        add(conditioned, direction, static_cast<float>(squared_norm / (last + TINY)));
        direction = conditioned;
    }
    return filter;
}

Spectra FilterUpdate::left_side(const Equations& equations, const Spectra& filter) const {
    Spectra result = zeros_like(filter);
    add_data_term(result, equations.spectra, filter);
    add(result, filter, equations.diagonal);
    subtract_masked(result, filter, equations.gamma);
    return result;
}

// The solution for this right side if the penalty were the same at every pixel: Sherman-Morrison.
Spectra FilterUpdate::preconditioned(const Equations& equations, const Spectra& right) const {
    const float diagonal = equations.diagonal - equations.gamma * (1 - share_);
    Spectra data = zeros_like(right), result = right;
    add_data_term(data, equations.spectra, right);
    for (std::size_t at = 0; at < result.values.size(); ++at) {
        const float divisor = equations.energy[at % equations.energy.size()] + diagonal;
        result.values[at] = (right.values[at] - data.values[at] / divisor) / diagonal;
    }
    return result;
}

// result -= gamma times the spectra of the maps times m^2: a product along the rows, then one along the columns.
void FilterUpdate::subtract_masked(Spectra& result, const Spectra& filter, float gamma) const {
    std::vector<Complex> lines(filter.area());
    for (int channel = 0; channel < filter.channels; ++channel) {
        const Complex* in = &filter.values[channel * filter.area()];
        Complex* out = &result.values[channel * filter.area()];
        for (int row = 0; row < rows_; ++row)
            for (int column = 0; column < columns_; ++column) {
                Complex sum = 0;
                for (int k = 0; k < columns_; ++k) {
                    sum += times(in[row * columns_ + k], mask_columns_[k * columns_ + column]);
                    sum += times(std::conj(in[(rows_ - 1 - row) * columns_ + k]), mask_mirrored_[k * columns_ + column]);
                }
                lines[row * columns_ + column] = sum;
            }
        for (int row = 0; row < rows_; ++row)
            for (int k = 0; k < rows_; ++k) {
                const Complex factor = gamma * mask_rows_[row * rows_ + k];
                for (int column = 0; column < columns_; ++column)
                    out[row * columns_ + column] -= times(factor, lines[k * columns_ + column]);
            }
    }
}

// Inner product of the maps of two spectra over all channels, times a constant: each column but the first counts twice.
double FilterUpdate::inner(const Spectra& one, const Spectra& other) const {
    double sum = 0;
    for (std::size_t at = 0; at < one.values.size(); ++at) {
        const Complex a = one.values[at], b = other.values[at];
        const double product = static_cast<double>(a.real()) * b.real() + static_cast<double>(a.imag()) * b.imag();
        sum += at % columns_ ? 2 * product : product;
    }
    return sum;
}

std::vector<Complex> respond(const Spectra& search, const Spectra& filter) {
    std::vector<Complex> sums(search.area());
    for (std::size_t at = 0; at < search.values.size(); ++at)
        sums[at % search.area()] += times(std::conj(filter.values[at]), search.values[at]);
    return sums;
}

}  // namespace dcfnet
