// dcfnet_track MODEL.onnx PRESET FRAMES.raw WIDTH HEIGHT X,Y,W,H [VECTORS]
//
// FRAMES.raw: frames of WIDTH x HEIGHT pixels, BGR, 3 bytes per pixel, one after another. Prints a line for each frame:
// frame,x,y,w,h,peak,psr,status,reason. VECTORS: a folder for the arrays of each frame, see docs/formats.md.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tracker.h"

using namespace dcfnet;

namespace {

// Writes values as a .npy file: float32, with this shape.
void write_npy(const std::string& file, const std::vector<float>& values, const std::string& shape) {
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }";
    while ((10 + header.size() + 1) % 64) header += ' ';
    header += '\n';
    std::ofstream stream(file, std::ios::binary);
    stream.write("\x93NUMPY\x01\x00", 8);
    const unsigned char length[] = {static_cast<unsigned char>(header.size() & 255), static_cast<unsigned char>(header.size() >> 8)};
    stream.write(reinterpret_cast<const char*>(length), 2) << header;
    stream.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
    if (!stream) throw std::runtime_error(file + ": cannot be written");
}

template <typename Part>
std::vector<float> joined(const std::vector<Part>& parts) {
    std::vector<float> all;
    for (const Part& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

std::vector<float> real(const Spectra& spectra) {
    const auto* first = reinterpret_cast<const float*>(spectra.values.data());
    return {first, first + 2 * spectra.values.size()};
}

void write_vectors(const std::string& folder, int frame, const Tracker& tracker) {
    const Search& search = tracker.first_search();
    if (search.maps.empty()) return;  // the frame was rejected
    char number[16];
    std::snprintf(number, sizeof number, "/%03d_", frame);
    const std::string start = folder + number, scales = std::to_string(search.maps.size()) + ", ";
    std::vector<std::vector<float>> patches, features, spectra;
    for (const Maps& maps : search.patches) patches.push_back(maps.values);
    for (const Maps& maps : search.features) features.push_back(maps.values);
    for (const Spectra& each : search.spectra) spectra.push_back(real(each));
    const auto square = [](int side) { return std::to_string(side) + ", " + std::to_string(side); };
    const Spectra& filter = tracker.filters().filter;
    const std::string frequencies = std::to_string(filter.rows) + ", " + std::to_string(filter.columns) + ", 2";
    const std::string channels = std::to_string(filter.channels) + ", ";
    write_npy(start + "patches.npy", joined(patches), scales + "3, " + square(search.patches[0].side));
    write_npy(start + "features.npy", joined(features), scales + channels + square(search.features[0].side));
    write_npy(start + "spectra.npy", joined(spectra), scales + channels + frequencies);
    write_npy(start + "responses.npy", joined(search.maps), scales + square(RESPONSE_SIDE));
    write_npy(start + "position_maps.npy", joined(search.position_maps), scales + square(RESPONSE_SIDE));
    const Peak& peak = search.peak;
    std::vector<float> numbers;
    for (const double value : {peak.shift_x, peak.shift_y, peak.value, peak.psr, peak.apce, peak.likeness, double(peak.scale)})
        numbers.push_back(static_cast<float>(value));
    write_npy(start + "peak.npy", numbers, "7,");
    write_npy(start + "filter.npy", real(filter), channels + frequencies);
}

Box parse_box(const std::string& text) {
    Box box{};
    if (std::sscanf(text.c_str(), "%lf,%lf,%lf,%lf", &box.x, &box.y, &box.w, &box.h) != 4)
        throw std::invalid_argument("the box must be four numbers X,Y,W,H");
    return box;
}

int run(int count, char** words) {
    if (count != 7 && count != 8) {
        std::fprintf(stderr, "usage: dcfnet_track MODEL.onnx PRESET FRAMES.raw WIDTH HEIGHT X,Y,W,H [VECTORS]\n");
        return 2;
    }
    Tracker tracker(read_model(words[1], words[2]));
    const int width = std::atoi(words[4]), height = std::atoi(words[5]);
    if (width < 1 || height < 1) throw std::invalid_argument("width and height must be whole numbers above 0");
    std::ifstream stream(words[3], std::ios::binary);
    std::vector<std::uint8_t> pixels(3 * static_cast<std::size_t>(width) * height);
    const Frame frame{pixels.data(), width, height, 3 * static_cast<std::ptrdiff_t>(width)};
    std::printf("frame,x,y,w,h,peak,psr,status,reason\n");
    int index = 0;
    for (; stream.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size())); ++index) {
        if (index == 0) {
            const Box box = parse_box(words[6]);
            tracker.init(frame, box);
            std::printf("0,%.4f,%.4f,%.4f,%.4f,,,,\n", box.x, box.y, box.w, box.h);
            continue;
        }
        const Result found = tracker.update(&frame);
        std::printf("%d,%.4f,%.4f,%.4f,%.4f,%.5f,%.4f,%s,%s\n", index, found.box.x, found.box.y, found.box.w, found.box.h,
                    found.peak, found.psr, found.status.c_str(), found.reason.c_str());
        if (count == 8) write_vectors(words[7], index, tracker);
    }
    if (index == 0) throw std::runtime_error(std::string(words[3]) + ": has no complete frame");
    return 0;
}

}  // namespace

int main(int count, char** words) {
    try {
        return run(count, words);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "dcfnet_track: %s\n", error.what());
        return 1;
    }
}
