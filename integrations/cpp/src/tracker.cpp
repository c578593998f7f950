#include "tracker.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace dcfnet {
namespace {

constexpr double LEVEL_CHANGE = 1.3, WEAK_RESPONSE = 0.5, LIGHT_LIMIT = 16, LIGHT_STEP = 1.0 / 1024;  // light.py
constexpr double REDETECTION_STEP = 0.4, REDETECTED_PSR = 0.5, REDETECTED_PEAK = 0.75;                // redetection/
constexpr double TYPICAL_RATE = 0.1;                                                                  // typical_response.py

}  // namespace

Tracker::Tracker(const Model& model)
    : model_(model), network_(model), transform_(model), update_(model, transform_), colours_(model) {
    const int half = model.config.whole("scales") / 2;
    for (int k = -half; k <= half; ++k) scales_.push_back(std::pow(model.config["scale_step"], k));
}

Pair Tracker::region_of(Pair size) const {
    const Config& config = model_.config;
    return to_step_grid(search_region(size, config["padding"], config["squareness"]), config.whole("patch_size"));
}

void Tracker::init(const Frame& frame, Box box) {
    const Box target = target_box(box, frame.size());
    const Pair size{target.w, target.h}, centre{target.x + (target.w - 1) / 2, target.y + (target.h - 1) / 2};
    const Texture texture = texture_of(frame, centre, region_of(size));
    if (!texture.textured) throw std::invalid_argument("box: the region around it has one flat colour; choose a box with texture");
    State state;
    state.centre = state.confident_centre = to_centre_grid(centre);
    state.size = state.initial_size = state.confident_size = size;
    state.frame_size = frame.size();
    state.size_limits = dcfnet::size_limits(size, frame.size(), model_.config["min_scale"], model_.config["max_scale"]);
    state.level = texture.level;
    const Maps patch = sample_patch(frame, state.centre, region_of(size), model_.config.whole("patch_size"), model_.mean, 1);
    filters_.assign(1, update_.initial(transform_.forward(network_.features(patch))));
    histograms_ = colours_.histograms(patch);
    state_ = state;
}

Result Tracker::rejected(const char* reason) const { return {box_of(state_.centre, state_.size), 0, 0, 0, 0, "lost", reason}; }

Result Tracker::update(const Frame* frame) {
    if (filters_.empty()) throw std::logic_error("update before init");
    if (!frame || !frame->pixels) return rejected("no_frame");
    State state = state_;
    const bool resized = frame->width != state.frame_size.x || frame->height != state.frame_size.y;
    if (resized) follow_resolution(state, frame->size());
    if (std::min(state.size.x, state.size.y) < MIN_TARGET_SIDE) return rejected("bad_frame");
    const Texture texture = texture_of(*frame, state.centre, region_of(state.size));
    if (!texture.textured) return rejected("no_texture");
    first_ = Search();
    const Detection first = search(*frame, state, &first_);
    const Detection lit = follow_light(*frame, state, first, texture.level);
    Result result = track(*frame, state, lit, texture.level);
    if (resized && result.reason == "found") result.reason = "resolution_changed";
    return result;
}

// Pixel centres are at integers, so the corner of a frame is at -0.5.
void Tracker::follow_resolution(State& state, Pair frame_size) const {
    const Pair factor = frame_size / state.frame_size, half{0.5, 0.5};
    for (Pair* centre : {&state.centre, &state.confident_centre}) *centre = to_centre_grid((*centre + half) * factor - half);
    for (Pair* size : {&state.size, &state.initial_size, &state.confident_size}) *size = *size * factor;
    state.frame_size = frame_size;
    state.size_limits = dcfnet::size_limits(state.initial_size, frame_size, model_.config["min_scale"], model_.config["max_scale"]);
}

// Steps 2 to 4, and the shift in frame pixels: one patch per scale, the filter, the colours, the peak.
Tracker::Detection Tracker::search(const Frame& frame, const State& state, Search* details) const {
    const Config& config = model_.config;
    const int patch_size = config.whole("patch_size"), middle = static_cast<int>(scales_.size()) / 2;
    const Pair region = region_of(state.size);
    Search found;
    for (const double scale : scales_) {
        const Pair scaled = to_step_grid(region * scale, patch_size);
        found.patches.push_back(sample_patch(frame, state.centre, scaled, patch_size, model_.mean, state.light));
        found.features.push_back(network_.features(found.patches.back()));
        found.spectra.push_back(transform_.forward(found.features.back()));
        found.maps.push_back(transform_.inverse(respond(found.spectra.back(), filters_[0].filter)));
    }
    found.position_maps = found.maps;
    const auto share = static_cast<float>(config["colour_share"]);
    const Map colour = share > 0 ? colours_.response(found.patches[middle], histograms_) : Map();
    for (Map& map : found.position_maps)
        for (std::size_t at = 0; at < colour.size(); ++at) map[at] += share * (colour[at] - map[at]);
    const Map first_map = transform_.inverse(respond(found.spectra[middle], filters_[0].first));
    const Peak peak = found.peak = read_peak(found.maps, found.position_maps, first_map, config["scale_penalty"]);
    if (details) *details = std::move(found);
    const double scale = scales_[peak.scale];
    const Pair shift = Pair{peak.shift_x, peak.shift_y} / RESPONSE_SIDE * (region * scale);
    return {peak, to_centre_grid(state.centre + shift), state.size * scale, peak.psr, false};
}

// After a sudden change of the grey level: a search with pixels in the light that the filter has learnt.
Tracker::Detection Tracker::follow_light(const Frame& frame, State& state, const Detection& first, double level) const {
    const double factor = state.level > 0 && level > 0 ? state.level / level : state.light;
    const double limited = std::min(std::max(factor, 1 / LIGHT_LIMIT), LIGHT_LIMIT);
    const double light = std::nearbyint(limited / LIGHT_STEP) * LIGHT_STEP, ratio = light / state.light;
    if (!(std::max(ratio, 1 / ratio) > LEVEL_CHANGE)) return first;
    const double typical = state.typical_psr * state.typical_peak, strength = first.peak.psr * first.peak.value;
    if (typical != 0 && strength >= WEAK_RESPONSE * typical) return first;
    State lit = state;
    lit.light = light;
    const Detection found = search(frame, lit);
    if (found.peak.psr * found.peak.value <= strength) return first;
    state.light = light;
    return found;
}

// After a large move: a search that is centred on the new position. The higher peak counts.
Tracker::Detection Tracker::second_pass(const Frame& frame, const State& state, const Detection& first) const {
    const Pair moved = (first.centre - state.centre) / state.size;
    if (std::max(std::abs(moved.x), std::abs(moved.y)) <= model_.config["second_pass_distance"]) return first;
    State there = state;
    there.centre = limit_centre(first.centre, state.frame_size);
    const Detection second = search(frame, there);
    Detection better = second.peak.value > first.peak.value ? second : first;
    better.lowest_psr = std::min(first.lowest_psr, second.lowest_psr);
    return better;
}

bool Tracker::unlike(const State& state, const Detection& detection) const {
    const double threshold = model_.config["min_likeness"] * state.typical_psr * state.typical_peak;
    return detection.peak.psr * detection.peak.value < threshold;
}

// A lost target is also searched for at other positions.
Tracker::Detection Tracker::redetect(const Frame& frame, const State& state, const Detection& present) const {
    const Config& config = model_.config;
    const bool lost = present.peak.psr < config["min_psr"] || unlike(state, present);
    if (config["redetection_rings"] == 0 || state.frames_since_confident == 0 || !lost) return present;
    for (int turn = 0; turn < config.whole("redetection_patches"); ++turn) {
        State there = state;
        there.centre = redetection_centre(state, turn);
        there.size = state.confident_size;
        Detection found = search(frame, there);
        found.redetected = true;
        const double needed = std::max(REDETECTED_PSR * state.typical_psr, config["confident_psr"]);
        if (found.lowest_psr >= needed && found.peak.value >= REDETECTED_PEAK * state.typical_peak &&
            found.peak.value > present.peak.value)
            return found;
    }
    return present;
}

Pair Tracker::redetection_centre(const State& state, int turn) const {
    const Config& config = model_.config;
    const Pair step = region_of(state.confident_size) * REDETECTION_STEP, last = state.frame_size - Pair{1, 1};
    const long frames = state.frames_since_confident - 1;
    const Pair left = state.confident_centre / step, right = (last - state.confident_centre) / step;
    const auto whole = [](double steps) { return static_cast<int>(std::floor(steps)); };
    const auto places = turn ? frame_offsets(whole(left.x), whole(left.y), whole(right.x), whole(right.y))
                             : ring_offsets(config.whole("redetection_rings"));
    const long visited = turn ? frames * (config.whole("redetection_patches") - 1) + turn - 1 : frames;
    const Pair offset = places[static_cast<std::size_t>(visited) % places.size()];
    return limit_centre(to_centre_grid(state.confident_centre + offset * step), state.frame_size);
}

// Steps 5 and 6: position, size, status, and the update of the filter.
Result Tracker::track(const Frame& frame, State state, const Detection& first, double level) {
    const Config& config = model_.config;
    const Detection detection = redetect(frame, state, second_pass(frame, state, first));
    const Peak& peak = detection.peak;
    const Pair limited = limit_size(detection.size, state.initial_size, state.size_limits);
    const bool clear = peak.psr >= config["min_psr"] && peak.psr > 0, similar = !unlike(state, detection);
    const bool found = clear && similar, confident = detection.lowest_psr >= config["confident_psr"];
    const Pair position = found ? detection.centre : state.centre, last = state.frame_size - Pair{1, 1};
    const bool in_view = position.x > 0 && position.y > 0 && position.x < last.x && position.y < last.y;
    const bool kept = found && in_view;
    if (found) state.centre = limit_centre(detection.centre, state.frame_size);
    if (kept) state.size = limited;
    if (kept && confident) {
        const double rate = state.typical_psr == 0 ? 1 : TYPICAL_RATE, peak_rate = state.typical_peak == 0 ? 1 : TYPICAL_RATE;
        state.confident_centre = state.centre;
        state.confident_size = state.size;
        state.typical_psr += rate * (peak.psr - state.typical_psr);
        state.typical_peak += peak_rate * (peak.value - state.typical_peak);
        state.level = level * state.light;
        state.frames_since_confident = 0;
    } else {
        ++state.frames_since_confident;
    }
    const long interval = config.whole("update_interval");
    if (kept && state.updates % interval == interval - 1) learn(frame, state);
    ++state.updates;
    state_ = state;
    Result result{box_of(state.centre, state.size), peak.value, detection.lowest_psr, peak.apce, peak.likeness, "lost", ""};
    if (!clear) result.reason = "low_psr";
    else if (!in_view) result.reason = "out_of_view";
    else if (!similar) result.reason = "unlike";
    else {
        const bool at_limit = limited.x != detection.size.x || limited.y != detection.size.y;
        result.status = confident ? "tracked" : "uncertain";
        result.reason = !confident ? "low_psr" : detection.redetected ? "redetected" : at_limit ? "scale_limit" : "found";
    }
    return result;
}

void Tracker::learn(const Frame& frame, const State& state) {
    const int patch_size = model_.config.whole("patch_size");
    const Maps patch = sample_patch(frame, state.centre, region_of(state.size), patch_size, model_.mean, state.light);
    update_.update(filters_[0], transform_.forward(network_.features(patch)));
    colours_.update(histograms_, patch);
}

}  // namespace dcfnet
