// Where targets are searched; tracking/geometry.py and search.py have the same formulas. A part of the program of
// decisions.cu, which says how numbers are computed. One thread per target.
// Structures: Rules, Target and Outcome of devices/records.py.

struct Pair {
    double x, y;
};

// As np.minimum and np.maximum for numbers.
__device__ static inline double least(double one, double other) { return other < one ? other : one; }
__device__ static inline double most(double one, double other) { return other > one ? other : one; }
__device__ static inline double within(double value, double low, double high) { return least(most(value, low), high); }

// geometry.py: `to_step_grid`, `search_region`, `to_centre_grid`, `limit_centre`.
__device__ static inline double to_step_grid(const Rules& rules, double region) {
    return most(rint(region * rules.steps_per_region), 1.0) * rules.region_per_step;
}

__device__ static inline double shaped(const Rules& rules, double side, double length) {
    const double ratio = side / length;
    const double factor = rules.squareness == 0.5 ? sqrt(ratio) : pow(ratio, rules.squareness);
    return to_step_grid(rules, length * factor * rules.padding_factor);
}

__device__ static inline Pair search_region(const Rules& rules, const double* size) {
    const double side = sqrt(size[0] * size[1]);
    return {shaped(rules, side, size[0]), shaped(rules, side, size[1])};
}

__device__ static inline double to_centre_grid(const Rules& rules, double position) {
    return rint(position * rules.centres_a_pixel) / rules.centres_a_pixel;
}

__device__ static inline Pair limit_centre(const double* centre, const Target& target) {
    return {within(centre[0], 0.0, target.frame_size[0] - 1.0), within(centre[1], 0.0, target.frame_size[1] - 1.0)};
}

// Whether the target can be searched for in this frame: otherwise the host scales the state or rejects the frame.
__device__ static inline bool searchable(const Rules& rules, const Target& target, const Place& frame) {
    return target.frame_size[0] == frame.width && target.frame_size[1] == frame.height &&
           target.size[0] >= rules.least_side && target.size[1] >= rules.least_side;
}

// Writes position, steps and light of a patch of this region, as `patch_places` of sampling.py.
__device__ static inline void set_place(const Rules& rules, Pair centre, Pair region, double light, Place& place) {
    const double half = (rules.patch_size - 1.0) / 2.0;
    const double step_x = region.x * rules.patch_factor / rules.patch_size;
    const double step_y = region.y * rules.patch_factor / rules.patch_size;
    place.x = (float)(centre.x - half * step_x);
    place.y = (float)(centre.y - half * step_y);
    place.step_x = (float)step_x;
    place.step_y = (float)step_y;
    place.skew_x = place.skew_y = 0;
    place.light = (float)light;
}

// One axis of `grid_of` of io/texture.py: first pixel, step and number of the examined pixels of a side of `length` pixels.
__device__ static inline void set_axis(double centre, double region, int length, int& low, int& step, int& count) {
    low = (int)most(floor(centre - region / 2.0), 0.0);
    const int end = (int)ceil(centre + region / 2.0) + 1, after = end > low + 1 ? end : low + 1;
    const int high = after < length ? after : length;
    step = (high - low) / TEXTURE_SAMPLES > 1 ? (high - low) / TEXTURE_SAMPLES : 1;
    count = high > low ? (high - low + step - 1) / step : 0;
}

// The places (count, patches) of the search patches, and the grids (count) of the texture checks. The first place of a
// target has its frame. A target without the flag SEARCH keeps its places. levels (count, 3, 3): see `extremes`.
extern "C" __global__ void place_searches(const Rules* __restrict__ rules_at, const Target* __restrict__ targets,
                                          const Outcome* __restrict__ before, Place* places, Grid* __restrict__ grids,
                                          int* __restrict__ levels, int count) {
    const long long at = position();
    if (at >= count) return;
    const Rules& rules = rules_at[0];
    const Target& target = targets[at];
    Place* own = places + at * rules.patches;
    Grid grid = {};
    for (int index = 0; index < 9; ++index) levels[at * 9 + index] = index < 3 ? 255 : 0;
    if (before[at].flags & FLAG_SEARCH && searchable(rules, target, own[0])) {
        const bool second = before[at].flags & FLAG_SECOND;
        const Pair own_centre = {target.centre[0], target.centre[1]};
        const Pair centre = second ? limit_centre(before[at].centre, target) : own_centre;
        const Pair region = search_region(rules, target.size);
        if (!second) {
            grid.pixels = own[0].pixels;
            grid.pitch = own[0].pitch;
            grid.channels = own[0].channels;
            set_axis(centre.x, region.x, own[0].width, grid.x, grid.step_x, grid.columns);
            set_axis(centre.y, region.y, own[0].height, grid.y, grid.step_y, grid.rows);
        }
        for (int index = rules.patches - 1; index >= 0; --index) {
            Pair scaled = region;
            if (rules.patches > 1) {
                scaled.x = to_step_grid(rules, region.x * rules.scale[index]);
                scaled.y = to_step_grid(rules, region.y * rules.scale[index]);
            }
            own[index] = own[0];
            set_place(rules, centre, scaled, target.light, own[index]);
        }
    }
    grids[at] = grid;
}
