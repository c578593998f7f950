// The views of frames, which show camera cuts; tracking/redetection/camera_cuts.py has the same formula. A part of the
// program of decisions.cu. One thread per cell.

// First sample along a side of `length` pixels, and the distance of two samples: as `_samples` of camera_cuts.py.
__device__ static inline void view_samples(int length, int& start, int& step) {
    const int count = VIEW_SIDE * CELL_SAMPLES;
    step = length / count;
    start = (length - (count - 1) * step) / 2;
}

// The views (count, VIEW_SIDE * VIEW_SIDE) of the frames of targets with the flag VIEW: the mean levels of the cells; 0
// for a small frame. Without the flag a view has no values. The first of `patches` places of a target has its frame.
extern "C" __global__ void read_views(const Outcome* __restrict__ before, const Place* __restrict__ places,
                                      uint8* __restrict__ views, int patches, int count) {
    const long long cells = VIEW_SIDE * VIEW_SIDE, at = position();
    if (at >= count * cells) return;
    if (!(before[at / cells].flags & FLAG_VIEW)) return;
    const Place& frame = places[at / cells * patches];
    const int row = (int)(at % cells) / VIEW_SIDE, column = (int)(at % cells) % VIEW_SIDE;
    const int colours = frame.channels < 3 ? frame.channels : 3;
    int left, top, step_x, step_y, sum = 0;
    view_samples(frame.width, left, step_x);
    view_samples(frame.height, top, step_y);
    if (step_x < 1 || step_y < 1) {
        views[at] = 0;
        return;
    }
    for (int sample = 0; sample < CELL_SAMPLES * CELL_SAMPLES; ++sample) {
        const long long y = top + (long long)(row * CELL_SAMPLES + sample / CELL_SAMPLES) * step_y;
        const long long x = left + (long long)(column * CELL_SAMPLES + sample % CELL_SAMPLES) * step_x;
        for (int colour = 0; colour < colours; ++colour) sum += frame.pixels[y * frame.pitch + x * frame.channels + colour];
    }
    views[at] = (uint8)(sum / (CELL_SAMPLES * CELL_SAMPLES * colours));
}
