// The tracker: one target, one camera (runtime/dcfnet/tracking/steps.py).
#pragma once

#include <string>
#include <vector>

#include "colours.h"
#include "filter.h"
#include "geometry.h"
#include "model.h"
#include "network.h"
#include "patches.h"
#include "response.h"
#include "transform.h"

namespace dcfnet {

struct Result {
    Box box;
    double peak, psr, apce, likeness;
    std::string status, reason;  // the words of dcfnet.Status and dcfnet.Reason
};

// What a search pass computed, for comparisons with the golden vectors.
struct Search {
    std::vector<Maps> patches, features;  // one per scale
    std::vector<Spectra> spectra;
    std::vector<Map> maps, position_maps;
    Peak peak;
};

class Tracker {
  public:
    explicit Tracker(const Model& model);
    // Learns the target in `box` of the frame. Throws std::invalid_argument for a box that cannot be tracked.
    void init(const Frame& frame, Box box);
    // Finds the target in the next frame. frame: nullptr for a frame that is missing. Throws std::logic_error before init.
    Result update(const Frame* frame);
    // The first search pass of the last update.
    const Search& first_search() const { return first_; }
    const Filters& filters() const { return filters_.at(0); }

  private:
    struct Detection {
        Peak peak;
        Pair centre, size;
        double lowest_psr;
        bool redetected;
    };
    struct State {
        Pair centre, size, initial_size, frame_size, size_limits, confident_centre, confident_size;
        double typical_psr = 0, typical_peak = 0, level = 0, light = 1;
        long updates = 0, frames_since_confident = 0;
    };
    Pair region_of(Pair size) const;
    Detection search(const Frame& frame, const State& state, Search* details = nullptr) const;
    void follow_resolution(State& state, Pair frame_size) const;
    Detection follow_light(const Frame& frame, State& state, const Detection& first, double level) const;
    Detection second_pass(const Frame& frame, const State& state, const Detection& first) const;
    Detection redetect(const Frame& frame, const State& state, const Detection& present) const;
    Pair redetection_centre(const State& state, int turn) const;
    bool unlike(const State& state, const Detection& detection) const;
    Result track(const Frame& frame, State state, const Detection& first, double level);
    void learn(const Frame& frame, const State& state);
    Result rejected(const char* reason) const;

    Model model_;
    Network network_;
    Transform transform_;
    FilterUpdate update_;
    Colours colours_;
    std::vector<double> scales_;
    State state_;
    std::vector<Filters> filters_;  // empty before init, then one
    Histograms histograms_;
    Search first_;
};

}  // namespace dcfnet
