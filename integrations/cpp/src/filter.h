// The filter: eqs. 2, 3 and 13 of the paper, and the focused filter (runtime/dcfnet/filter/update.py).
#pragma once

#include <vector>

#include "model.h"
#include "transform.h"

namespace dcfnet {

// What the next update needs. The response uses `filter`, the mean of the closed form and of the focused filter.
struct Filters {
    Spectra numerator, filter, focused, first;
    std::vector<float> denominator;  // rows x columns
};

class FilterUpdate {
  public:
    FilterUpdate(const Model& model, const Transform& transform);
    // The filters of a target, from the spectra of its first template.
    Filters initial(const Spectra& spectra) const;
    // Blends the filters towards a new template.
    void update(Filters& filters, const Spectra& spectra) const;

  private:
    // The equations of one template (runtime/dcfnet/filter/spatial_penalty.py).
    struct Equations {
        const Spectra& spectra;
        std::vector<float> energy;  // summed over the channels, rows x columns
        float diagonal, gamma, mu;
    };
    Spectra learnt(const Spectra& spectra) const;
    void solve(Filters& filters, const Spectra& spectra, const Spectra& newest, const Spectra* before) const;
    Spectra focused(const Spectra& spectra, const Spectra& numerator, const Spectra* before) const;
    Spectra left_side(const Equations& equations, const Spectra& filter) const;
    Spectra preconditioned(const Equations& equations, const Spectra& right) const;
    void subtract_masked(Spectra& result, const Spectra& filter, float gamma) const;
    double inner(const Spectra& one, const Spectra& other) const;

    std::vector<float> label_;
    float regularisation_, rate_, weight_, temporal_, share_;
    int steps_, rows_, columns_;
    std::vector<Complex> mask_rows_, mask_columns_, mask_mirrored_;  // the product with m^2, see `build_mask`
};

// The spectrum of the response (eq. 3), rows x columns.
std::vector<Complex> respond(const Spectra& search, const Spectra& filter);

}  // namespace dcfnet
