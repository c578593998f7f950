// The response of the colours (runtime/dcfnet/filter/colour_histogram.py).
#pragma once

#include <vector>

#include "model.h"
#include "network.h"
#include "response.h"

namespace dcfnet {

// Histograms of the target and of its surroundings; the sum of each is 1.
struct Histograms {
    std::vector<float> target, surroundings;
};

class Colours {
  public:
    explicit Colours(const Model& model);
    Histograms histograms(const Maps& patch) const;
    void update(Histograms& histograms, const Maps& patch) const;
    // The probability of the target at each shift, in [0, 1]; [0, 0] is shift zero.
    Map response(const Maps& patch, const Histograms& histograms) const;

  private:
    int bin(const Maps& patch, int row, int column) const;
    std::array<float, 3> mean_;
    int step_, side_;             // patch pixels from one counted pixel to the next; counted pixels per side
    float rate_;
    std::vector<int> parts_;      // side x side: 1 target, 2 surroundings, 0 neither
    std::vector<float> windows_;  // RESPONSE_SIDE x side: means over the target's side at each shift
};

}  // namespace dcfnet
