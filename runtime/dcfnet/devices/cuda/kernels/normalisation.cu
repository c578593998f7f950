// The normalisation of backbones: local response normalisation over channels.

// A feature divided by (offset + band . squares)^(3/4), where band (channels, channels) is zero beyond `reach` channels to
// each side. values: the features at one position, `stride` numbers from channel to channel.
__device__ static inline float normalised(const float* values, long long stride, const float* __restrict__ band,
                                          const float* __restrict__ offset, int channel, int channels, int reach) {
    const int first = channel - reach > 0 ? channel - reach : 0;
    const int last = channel + reach < channels - 1 ? channel + reach : channels - 1;
    float energy = offset[channel];
#pragma unroll
    for (int other = first; other <= last; ++other) {
        const float value = values[other * stride];
        energy += band[channel * channels + other] * (value * value);
    }
    const float root = sqrtf(energy);
    return values[channel * stride] / (root * sqrtf(root));
}

// Features (count, channels, area) -> normalised features. One thread per feature.
extern "C" __global__ void normalise(const float* __restrict__ features, const float* __restrict__ band,
                                     const float* __restrict__ offset, float* __restrict__ result, int count,
                                     int channels, int area, int reach) {
    const long long at = position();
    if (at >= (long long)count * channels * area) return;
    const int channel = (int)(at / area % channels);
    result[at] = normalised(features + (at - (long long)channel * area), area, band, offset, channel, channels, reach);
}
