// dcfnet_track MODEL.onnx PRESET FRAMES.ppm X,Y,W,H [VECTORS]
//
// FRAMES.ppm: one or many images in the format PPM (P6, 8 bits), one after another. Prints a line for each frame:
// frame,x,y,w,h,peak,psr,status,reason. VECTORS: a folder for the arrays of each frame, see docs/formats.md.

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
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

// The next number of a PPM header.
int header_number(std::istream& stream) {
    while (std::isspace(stream.peek()) || stream.peek() == '#') {
        if (stream.peek() == '#') stream.ignore(1000, '\n');
        else stream.get();
    }
    int number = 0;
    stream >> number;
    return number;
}

// Reads the next image into `pixels`, BGR, and returns it as a frame; a frame without pixels at the end of the file.
Frame read_ppm(std::istream& stream, std::vector<std::uint8_t>& pixels) {
    while (std::isspace(stream.peek())) stream.get();
    if (stream.peek() == std::char_traits<char>::eof()) return {nullptr, 0, 0, 0};
    char kind[2] = {};
    stream.read(kind, 2);
    const int width = header_number(stream), height = header_number(stream), levels = header_number(stream);
    stream.get();  // one space before the pixels
    if (!stream || kind[0] != 'P' || kind[1] != '6' || levels != 255 || width < 1 || height < 1 || width > 1 << 15 || height > 1 << 15)
        throw std::runtime_error("a frame is not a PPM image (P6, 255 levels, at most 32768 x 32768 pixels)");
    pixels.resize(3 * static_cast<std::size_t>(width) * height);
    stream.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
    if (!stream) throw std::runtime_error("the last frame is cut");
    for (std::size_t at = 0; at < pixels.size(); at += 3) std::swap(pixels[at], pixels[at + 2]);  // RGB to BGR
    return {pixels.data(), width, height, 3 * static_cast<std::ptrdiff_t>(width)};
}

Box parse_box(const std::string& text) {
    Box box{};
    if (std::sscanf(text.c_str(), "%lf,%lf,%lf,%lf", &box.x, &box.y, &box.w, &box.h) != 4)
        throw std::invalid_argument("the box must be four numbers X,Y,W,H");
    return box;
}

int run(int count, char** words) {
    if (count != 5 && count != 6) {
        std::fprintf(stderr, "usage: dcfnet_track MODEL.onnx PRESET FRAMES.ppm X,Y,W,H [VECTORS]\n");
        return 2;
    }
    Tracker tracker(read_model(words[1], words[2]));
    std::ifstream stream(words[3], std::ios::binary);
    if (!stream) throw std::runtime_error(std::string(words[3]) + ": cannot be read");
    std::vector<std::uint8_t> pixels;
    std::printf("frame,x,y,w,h,peak,psr,status,reason\n");
    for (int index = 0;; ++index) {
        const Frame frame = read_ppm(stream, pixels);
        if (!frame.pixels && index == 0) throw std::runtime_error(std::string(words[3]) + ": has no frames");
        if (!frame.pixels) return 0;
        if (index == 0) {
            const Box box = parse_box(words[4]);
            tracker.init(frame, box);
            std::printf("0,%.4f,%.4f,%.4f,%.4f,,,,\n", box.x, box.y, box.w, box.h);
            continue;
        }
        const Result found = tracker.update(&frame);
        std::printf("%d,%.4f,%.4f,%.4f,%.4f,%.5f,%.4f,%s,%s\n", index, found.box.x, found.box.y, found.box.w, found.box.h,
                    found.peak, found.psr, found.status.c_str(), found.reason.c_str());
        if (count == 6) write_vectors(words[5], index, tracker);
    }
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
