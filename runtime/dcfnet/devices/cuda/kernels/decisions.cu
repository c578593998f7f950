// Kernels of slot_programs.py: what is decided about targets. tracking/ has the same formulas
// (steps.py, search.py, light.py, typical_response.py, status.py, geometry.py). One thread per target.
//
// All numbers are float64, and the program is compiled without fused multiply-adds. So a result has the same bits as in
// NumPy, except for `pow` (a squareness other than 0, 0.5 and 1) and for the confidence (logarithms, exponential).
// Structures: Rules, Target and Outcome of devices/records.py.

// search.py: the detection at a peak (7 numbers of `read_peaks`), from the centre of the search.
__device__ static inline void set_detection(const Rules& rules, const Target& target, Pair centre, const double* peak,
                                            Outcome& found) {
    const double scale = rules.scale[(int)peak[0]];
    const Pair region = search_region(rules, target.size);
    found.winner = (int)peak[0];
    found.shift[0] = peak[1];
    found.shift[1] = peak[2];
    found.value = peak[3];
    found.psr = found.lowest_psr = peak[4];
    found.apce = peak[5];
    found.likeness = peak[6];
    found.centre[0] = to_centre_grid(rules, centre.x + peak[1] / rules.response_side * (region.x * scale));
    found.centre[1] = to_centre_grid(rules, centre.y + peak[2] / rules.response_side * (region.y * scale));
    found.size[0] = target.size[0] * scale;
    found.size[1] = target.size[1] * scale;
}

// typical_response.py: `unlike`, `occluded`.
__device__ static inline bool unlike(const Rules& rules, const Target& target, const Outcome& found) {
    return found.psr * found.value < rules.min_likeness * target.typical[0] * target.typical[1];
}

__device__ static inline bool occluded(const Rules& rules, const Target& target, const Outcome& found) {
    if (rules.min_strength == 0.0) return false;
    const double threshold = rules.min_strength * (target.occluded_frames > 0 ? rules.visible_again : 1.0);
    const double typical = target.typical[0] * target.typical[1] * target.typical[2];
    return (typical > 0.0 ? found.psr * found.value * found.likeness / typical : 1.0) < threshold;
}

// light.py: whether the light has changed and the response is weak, so that the tracker searches in another light.
__device__ static inline bool in_other_light(const Rules& rules, const Target& target, const Outcome& found) {
    const bool known = target.level > 0.0 && found.level > 0.0;
    const double factor = known ? target.level / found.level : target.light;
    const double light = rint(within(factor, 1.0 / rules.light_limit, rules.light_limit) / rules.light_step) * rules.light_step;
    const double ratio = light / target.light, typical = target.typical[0] * target.typical[1];
    if (!(most(ratio, 1.0 / ratio) > rules.level_change)) return false;
    return typical == 0.0 || found.psr * found.value < rules.weak_response * typical;
}

// rotation.py: whether the peak of a target that does not turn is so weak that the tracker searches at other angles.
__device__ static inline bool perhaps_turned(const Rules& rules, const Target& target, const Outcome& found) {
    return rules.weak_peak > 0.0 && found.value < rules.weak_peak * target.typical[1];
}

// search.py: whether the target moved so far that it is searched again.
__device__ static inline bool moved_far(const Rules& rules, const Target& target, const Outcome& found) {
    return fabs(found.centre[0] - target.centre[0]) / target.size[0] > rules.second_pass_distance ||
           fabs(found.centre[1] - target.centre[1]) / target.size[1] > rules.second_pass_distance;
}

// model/confidence.py: `terms_of` and `of_terms`. target: with the typical response before this frame.
__device__ static inline double confidence_of(const Rules& rules, const Target& target, const Outcome& found) {
    const double typical = target.typical[0] * target.typical[1] * target.typical[2];
    const double strength = typical > 0.0 ? typical : found.lowest_psr * found.value * found.likeness;
    const double terms[CONFIDENCE_TERMS] = {found.likeness, log(most(found.likeness, 0.01)), found.value,
                                            log1p(most(found.lowest_psr, 0.0)), log(most(strength, 0.1))};
    double score = rules.bias;
    for (int index = 0; index < CONFIDENCE_TERMS; ++index) score += rules.weights[index] * terms[index];
    return 1.0 / (1.0 + exp(-within(score, -50.0, 50.0)));
}

// The mean grey level of a region, above black, and whether it has texture (io/texture.py). levels: of `extremes`.
__device__ static inline double level_of(const Place& frame, const int* levels) {
    const int colours = frame.channels < 3 ? frame.channels : 3;
    const double samples = COARSE_SAMPLES * COARSE_SAMPLES * colours;
    return most((levels[6] + levels[7] + levels[8]) / samples - frame.black, 0.0);
}

__device__ static inline bool has_texture(const int* levels) {
    for (int colour = 0; colour < 3; ++colour)
        if (levels[3 + colour] - levels[colour] > FLAT_RANGE) return true;
    return false;
}

// Writes the box of a target, and its status and reason.
__device__ static inline void conclude(const Target& target, int status, int reason, Outcome& found) {
    found.left = target.centre[0] - (target.size[0] - 1.0) / 2.0;
    found.top = target.centre[1] - (target.size[1] - 1.0) / 2.0;
    found.width = target.size[0];
    found.height = target.size[1];
    found.status = status;
    found.reason = reason;
}

// typical_response.py: `running_response`.
__device__ static inline void follow_response(const Outcome& found, double rate, double* means) {
    const double now[3] = {found.psr, found.value, found.likeness};
    for (int index = 0; index < 3; ++index) {
        const double old = means[index];
        means[index] = old + (old == 0.0 ? 1.0 : rate) * (now[index] - old);
    }
}

// first_filter.py: `record_sure`.
__device__ static inline void record_sure(const Rules& rules, const Outcome& found, Target& target) {
    for (int axis = 0; axis < 2; ++axis) {
        target.sure_centre[axis] = target.centre[axis];
        target.sure_size[axis] = target.size[axis];
    }
    follow_response(found, rules.sure_rate, target.sure_response);
}

// typical_response.py: `record_confident`.
__device__ static inline void record_confident(const Rules& rules, const Outcome& found, Target& target) {
    for (int axis = 0; axis < 2; ++axis) {
        target.confident_centre[axis] = target.centre[axis];
        target.confident_size[axis] = target.size[axis];
    }
    follow_response(found, rules.typical_rate, target.typical);
    target.level = found.level * target.light;
    target.frames_since_confident = target.skipped = 0;
}

// `_track` of steps.py after the search passes: the new state, and the result. Returns whether the filter is to be updated.
// view: of the frame, or null.
__device__ static inline bool decide_target(const Rules& rules, const uint8* view, Target& target, Outcome& found) {
    const Pair inside = limit_centre(found.centre, target);
    const double scale = found.size[0] / target.initial_size[0];
    const double limited = within(scale, target.size_limits[0], target.size_limits[1]);
    const bool at_limit = limited != scale && (target.initial_size[0] * limited != found.size[0] ||
                                               target.initial_size[1] * limited != found.size[1]);
    const bool clear = found.psr >= rules.min_psr && found.psr > 0.0, similar = !unlike(rules, target, found);
    const bool visible = !occluded(rules, target, found), is_found = clear && similar;
    const bool confident = found.lowest_psr >= rules.confident_psr;
    const double* seen = is_found ? found.centre : target.centre;
    const bool in_view = seen[0] > 0.0 && seen[1] > 0.0 && seen[0] < target.frame_size[0] - 1.0 && seen[1] < target.frame_size[1] - 1.0;
    const bool kept = is_found && in_view, sure = kept && visible;
    const bool due = target.updates % rules.update_interval == rules.update_interval - 1;
    if (is_found) {
        target.centre[0] = inside.x;
        target.centre[1] = inside.y;
    }
    if (kept)
        for (int axis = 0; axis < 2; ++axis)
            target.size[axis] = limited == scale ? found.size[axis] : target.initial_size[axis] * limited;
    target.frames_since_confident += 1;
    target.occluded_frames = visible ? 0 : target.occluded_frames + 1;
    target.updates += 1;
    found.confidence = rules.with_confidence ? confidence_of(rules, target, found) : 0.0;
    if (sure && confident) record_confident(rules, found, target);
    const bool probable = !rules.with_confidence || found.confidence >= rules.min_confidence;
    if (rules.with_confidence)
        target.doubtful_frames = found.confidence < rules.lost_confidence ? target.doubtful_frames + 1 : 0;
    if (rules.whole_frame) {  // the target is not doubtful
        target.candidate_frames = target.positions_searched = 0;
        if (rules.with_confidence && found.confidence >= rules.sure_confidence) record_sure(rules, found, target);
        if (view)
            for (int cell = 0; cell < VIEW_SIDE * VIEW_SIDE; ++cell) (&target.view[0][0])[cell] = view[cell];
    }
    // status.py
    if (!clear) conclude(target, STATUS_LOST, REASON_LOW_PSR, found);
    else if (!in_view) conclude(target, STATUS_LOST, REASON_OUT_OF_VIEW, found);
    else if (!similar) conclude(target, STATUS_LOST, REASON_UNLIKE, found);
    else if (!visible && target.occluded_frames > rules.lost_after) conclude(target, STATUS_LOST, REASON_OCCLUDED, found);
    else if (target.doubtful_frames > rules.lost_after) conclude(target, STATUS_LOST, REASON_LOW_CONFIDENCE, found);
    else if (!visible) conclude(target, STATUS_UNCERTAIN, REASON_OCCLUDED, found);
    else if (!confident) conclude(target, STATUS_UNCERTAIN, REASON_LOW_PSR, found);
    else if (!probable) conclude(target, STATUS_UNCERTAIN, REASON_LOW_CONFIDENCE, found);
    else conclude(target, STATUS_TRACKED, at_limit ? REASON_SCALE_LIMIT : REASON_FOUND, found);
    return sure && due;
}

// The flags that are left after a search pass. first: the outcome of the first pass, if this is the second.
__device__ static inline int decide_pass(const Rules& rules, const Place& frame, const int* levels, const double* peak,
                                         const uint8* view, Target& target, Outcome& found) {
    if (found.flags & FLAG_SECOND) {
        Outcome again = found;
        set_detection(rules, target, limit_centre(found.centre, target), peak, again);
        const double lowest = least(found.lowest_psr, again.lowest_psr);
        if (again.value > found.value) found = again;
        found.lowest_psr = lowest;
    } else {
        found = Outcome();
        if (!has_texture(levels)) {
            conclude(target, STATUS_LOST, REASON_NO_TEXTURE, found);
            return 0;
        }
        found.level = level_of(frame, levels);
        set_detection(rules, target, {target.centre[0], target.centre[1]}, peak, found);
        if (in_other_light(rules, target, found) || perhaps_turned(rules, target, found)) return FLAG_HOST;
        if (moved_far(rules, target, found)) return FLAG_SECOND;
    }
    // The host searches for the target at other positions. After the first frame without it: only if there is a cut.
    const bool unseen = found.psr < rules.min_psr || unlike(rules, target, found) || occluded(rules, target, found);
    if (unseen && rules.redetection && (rules.whole_frame || target.frames_since_confident > 0)) return FLAG_HOST;
    if (rules.whole_frame && target.doubtful_frames > rules.lost_after && !unseen) return FLAG_HOST;
    return decide_target(rules, view, target, found) ? FLAG_UPDATE : 0;
}

// The outcomes (count) of a search pass, the targets (count) after it, and the places (count) of the template patches of
// filters that are to be updated. peaks (count, NUMBERS_PER_TARGET). before: flags, and for a second pass the first outcome.
// views: of `read_views`.
extern "C" __global__ void decide(const Rules* __restrict__ rules_at, const Target* __restrict__ targets,
                                  const Outcome* __restrict__ before, const Place* __restrict__ places,
                                  const int* __restrict__ levels, const double* __restrict__ peaks,
                                  const uint8* __restrict__ views, Target* __restrict__ after,
                                  Outcome* __restrict__ outcomes, Place* __restrict__ updates, int count) {
    const long long at = position();
    if (at >= count) return;
    const Rules& rules = rules_at[0];
    const Place& frame = places[at * rules.patches];
    const double* peak = peaks + at * NUMBERS_PER_TARGET;
    Target target = targets[at];
    Outcome found = before[at];
    Place update = {};
    if (!(found.flags & FLAG_SEARCH)) {  // the host asked for the peak alone
        set_detection(rules, target, {target.centre[0], target.centre[1]}, peak, found);
        found.flags = 0;
    } else {
        const uint8* view = found.flags & FLAG_VIEW ? views + at * VIEW_SIDE * VIEW_SIDE : nullptr;
        const bool searched = searchable(rules, target, frame);
        found.flags = searched ? decide_pass(rules, frame, levels + at * 9, peak, view, target, found) : FLAG_REPEAT;
    }
    const Pair region = search_region(rules, target.size);
    const double largest = rules.patches > 1 ? rules.scale[rules.scales - 1] : 1.0;
    found.reach[0] = to_step_grid(rules, region.x * largest) * rules.patch_factor;
    found.reach[1] = to_step_grid(rules, region.y * largest) * rules.patch_factor;
    if (found.flags & FLAG_UPDATE) {
        update = frame;
        set_place(rules, {target.centre[0], target.centre[1]}, region, target.light, update);
    }
    after[at] = target;
    outcomes[at] = found;
    updates[at] = update;
}
