// Peaks of response maps (runtime/dcfnet/filter/response.py). A map has RESPONSE_SIDE x RESPONSE_SIDE pixels.
#pragma once

#include <vector>

namespace dcfnet {

using Map = std::vector<float>;

struct Peak {
    double shift_x = 0, shift_y = 0;  // response pixels, signed
    double value = 0;                 // of the position map; 1 is the peak of the label
    double psr = 0, apce = 0;         // of the response map
    double likeness = 0;              // response of the first filter at the same pixel
    int scale = 0;                    // index of the winning scale
};

// The winning scale and its peak. maps, position_maps: one per scale; first_map: the response of the first filter.
Peak read_peak(const std::vector<Map>& maps, const std::vector<Map>& position_maps, const Map& first_map, double penalty);

}  // namespace dcfnet
