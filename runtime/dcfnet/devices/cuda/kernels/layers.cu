// Kernel of backbones/native.py: a convolution, for networks that features.cu does not support.

// Maps (count, channels, side, side) -> result (count, outputs, result_side, result_side): a convolution with its bias, and a
// ReLU if `rectified`. weights: (groups, channels, kernel, kernel, OUTPUTS_PER_THREAD), bias: (groups, OUTPUTS_PER_THREAD);
// the outputs are in groups, padded with zeros. One thread per pixel and group.
extern "C" __global__ void convolve(const float* __restrict__ maps, const float* __restrict__ weights,
                                    const float* __restrict__ bias, float* __restrict__ result, int count, int channels,
                                    int side, int outputs, int result_side, int kernel, int stride, int padding,
                                    int dilation, int rectified) {
    const int groups = (outputs + OUTPUTS_PER_THREAD - 1) / OUTPUTS_PER_THREAD;
    const long long area = (long long)result_side * result_side, at = position();
    if (at >= count * groups * area) return;
    const int group = (int)(at / area % groups);
    const long long patch = at / area / groups;
    const int left = (int)(at % result_side) * stride - padding, top = (int)(at % area / result_side) * stride - padding;
    const float* weight = weights + (long long)group * channels * kernel * kernel * OUTPUTS_PER_THREAD;
    float sums[OUTPUTS_PER_THREAD];
#pragma unroll
    for (int k = 0; k < OUTPUTS_PER_THREAD; ++k) sums[k] = bias[group * OUTPUTS_PER_THREAD + k];
    for (int channel = 0; channel < channels; ++channel) {
        const float* map = maps + (patch * channels + channel) * side * side;
        for (int row = 0; row < kernel; ++row) {
            const int y = top + row * dilation;
            for (int column = 0; column < kernel; ++column, weight += OUTPUTS_PER_THREAD) {
                const int x = left + column * dilation;
                if (x < 0 || y < 0 || x >= side || y >= side) continue;
                const float value = map[y * side + x];
                const Four* fours = reinterpret_cast<const Four*>(weight);
#pragma unroll
                for (int k = 0; k < OUTPUTS_PER_THREAD / 4; ++k) {
                    const Four four = fours[k];
#pragma unroll
                    for (int j = 0; j < 4; ++j) sums[4 * k + j] += value * four.values[j];
                }
            }
        }
    }
#pragma unroll
    for (int k = 0; k < OUTPUTS_PER_THREAD; ++k) {
        const int output = group * OUTPUTS_PER_THREAD + k;
        if (output < outputs) {
            const float sum = rectified && sums[k] < 0.0f ? 0.0f : sums[k];
            result[(patch * outputs + output) * area + at % area] = sum;
        }
    }
}
