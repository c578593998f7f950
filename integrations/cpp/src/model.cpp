#include "model.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>
#include <utility>

namespace dcfnet {
namespace {

// Constants that this port uses, and the values of those that a file may leave out (runtime/dcfnet/config/constants.py).
const std::map<std::string, double> DEFAULTS = {
    {"margin", 0},     {"redetection_patches", 1}, {"redetection_ms", 0},
    {"min_strength", 0}, {"lost_after", 5},        {"min_confidence", 0.5}, {"lost_confidence", 0.4},
    {"camera_motion", 0}, {"template_turn", 0}, {"rotation_step", 0}};
const std::set<std::string> KNOWN = {
    "patch_size", "padding", "squareness", "label_sigma", "regularisation", "background_penalty", "filter_extent",
    "solver_steps", "temporal_penalty", "colour_share", "colour_rate", "band", "learning_rate", "update_interval",
    "scales", "scale_step", "scale_penalty", "second_pass_distance", "redetection_rings", "min_scale", "max_scale",
    "min_psr", "min_likeness", "confident_psr"};

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

// A name from a file, for a message: at most 40 printable characters.
std::string shown(std::string name) {
    if (name.size() > 40) name.resize(40);
    for (char& letter : name)
        if (letter < ' ' || letter > '~') letter = '?';
    return name;
}

// One field of a protobuf message: a number, or the bytes of a string, of a message or of packed numbers.
struct Field {
    int number;
    std::uint64_t value;
    std::string bytes;
};

std::uint64_t varint(const std::string& message, std::size_t& at) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (at >= message.size()) fail("the file is cut");
        const auto byte = static_cast<unsigned char>(message[at++]);
        value |= static_cast<std::uint64_t>(byte & 127) << shift;
        if (byte < 128) return value;
    }
    fail("not a protobuf file");
}

std::vector<Field> fields(const std::string& message) {
    std::vector<Field> found;
    for (std::size_t at = 0; at < message.size();) {
        const std::uint64_t key = varint(message, at);
        Field field{static_cast<int>(key >> 3), 0, ""};
        const int type = key & 7;
        if (type == 0) {
            field.value = varint(message, at);
        } else {
            if (type != 1 && type != 2 && type != 5) fail("not a protobuf file");
            const std::uint64_t length = type == 2 ? varint(message, at) : type == 1 ? 8 : 4;
            if (length > message.size() - at) fail("the file is cut");
            field.bytes = message.substr(at, length);
            at += length;
        }
        found.push_back(std::move(field));
    }
    return found;
}

// TensorProto: dims 1, data_type 2 (1 is float32), name 8, raw_data 9.
std::pair<std::string, Tensor> tensor_of(const std::string& message) {
    std::string name, raw;
    Tensor tensor;
    std::uint64_t type = 0;
    for (const Field& field : fields(message)) {
        if (field.number == 1 && field.bytes.empty()) tensor.shape.push_back(static_cast<int>(field.value));
        if (field.number == 1)
            for (std::size_t at = 0; at < field.bytes.size();)
                tensor.shape.push_back(static_cast<int>(varint(field.bytes, at)));
        if (field.number == 2) type = field.value;
        if (field.number == 8) name = field.bytes;
        if (field.number == 9) raw = field.bytes;
    }
    std::size_t count = 1;
    for (const int length : tensor.shape) {
        if (length < 1 || count > raw.size()) fail("tensor " + shown(name) + " has a wrong shape");
        count *= static_cast<std::size_t>(length);
    }
    if (type != 1 || raw.size() != 4 * count) fail("tensor " + shown(name) + " is not float32 with raw data");
    tensor.values.resize(count);
    std::memcpy(tensor.values.data(), raw.data(), raw.size());  // little-endian, as on x86 and ARM
    return {name, tensor};
}

// The numbers in a JSON text: {"a": {"b": [1, 2]}} gives a.b.0 and a.b.1. true is 1 and
// false is 0. Strings and null are skipped.
class Json {
  public:
    explicit Json(const std::string& text) : text_(text) { value(""); }
    std::map<std::string, double> numbers;

  private:
    char next() {
        while (at_ < text_.size() && text_[at_] && std::strchr(" \t\r\n,:", text_[at_])) ++at_;
        if (at_ == text_.size()) fail("metadata is not JSON");
        return text_[at_];
    }
    std::string string() {
        const std::size_t end = text_.find('"', ++at_);
        if (end == std::string::npos) fail("metadata is not JSON");
        const std::string found = text_.substr(at_, end - at_);
        at_ = end + 1;
        return found;
    }
    void value(const std::string& name) {
        const std::string prefix = name.empty() ? "" : name + ".";
        const char first = next();
        if (first == '{' || first == '[') {
            if (++depth_ > 8) fail("metadata has too many levels");
            const char last = first == '{' ? '}' : ']';
            ++at_;
            for (int index = 0; next() != last; ++index)
                value(prefix + (first == '{' ? string() : std::to_string(index)));
            ++at_;
            --depth_;
        } else if (first == '"') {
            string();
        } else if (std::strchr("tfn", first)) {
            if (first != 'n') numbers[name] = first == 't';
            while (at_ < text_.size() && std::isalpha(static_cast<unsigned char>(text_[at_]))) ++at_;
        } else {
            const std::string number = text_.substr(at_, 40);
            char* end = nullptr;
            numbers[name] = std::strtod(number.c_str(), &end);
            if (end == number.c_str()) fail("metadata is not JSON");
            at_ += static_cast<std::size_t>(end - number.c_str());
        }
    }
    const std::string& text_;
    std::size_t at_ = 0;
    int depth_ = 0;
};

// Constants with other values would need too much memory or time, or divide by zero (TrackerConfig.rules has all rules).
const std::map<std::string, std::pair<double, double>> RANGES = {
    {"patch_size", {16, 1024}},    {"padding", {1e-6, 10}},     {"squareness", {0, 1}},      {"label_sigma", {1e-6, 1}},
    {"filter_extent", {1e-6, 10}}, {"solver_steps", {1, 100}},  {"band", {1, 20}},           {"update_interval", {1, 100}},
    {"scales", {1, 15}},           {"scale_step", {1, 2}},      {"redetection_rings", {0, 100}},
    {"redetection_patches", {1, 100}}};

Config config_of(const std::map<std::string, std::string>& metadata, const std::string& preset) {
    auto values = DEFAULTS;
    for (const auto& [name, number] : Json(metadata.at("dcfnet.config")).numbers) values[name] = number;
    const auto presets = Json(metadata.at("dcfnet.presets")).numbers;
    bool found = false;
    for (const auto& [name, number] : presets)
        if (name.rfind(preset + ".", 0) == 0) {
            values[name.substr(preset.size() + 1)] = number;
            found = true;
        }
    if (!found) fail("the model has no preset " + preset);
    for (const auto& [name, number] : values)
        if (!KNOWN.count(name) && !DEFAULTS.count(name)) fail("this port does not know the constant " + shown(name));
    for (const char* name : {"margin", "min_strength", "redetection_ms", "camera_motion", "template_turn", "rotation_step"})
        if (values[name] != 0) fail(std::string("this port does not support ") + name);
    for (const auto& [name, range] : RANGES)
        if (!(values[name] >= range.first && values[name] <= range.second)) fail("the constant " + name + " is out of range");
    return Config(values);
}

// Shapes of the weights: two convolutions that halve the resolution, and the normalisation of C channels.
void check_shapes(const std::map<std::string, Tensor>& weights, int stride) {
    const auto shape = [&](const char* name) {
        const auto found = weights.find(name);
        return found == weights.end() ? std::vector<int>() : found->second.shape;
    };
    const std::vector<int> first = shape("conv0.weight"), second = shape("conv1.weight");
    const int hidden = first.empty() ? 0 : first[0], channels = second.empty() ? 0 : second[0], kernel = stride + 2;
    if (first != std::vector<int>{hidden, 3, 3, 3} || shape("conv0.bias") != std::vector<int>{hidden} ||
        second != std::vector<int>{channels, hidden, kernel, kernel} || shape("conv1.bias") != std::vector<int>{channels} ||
        shape("norm.band") != std::vector<int>{channels, channels, 1, 1} || shape("norm.offset") != std::vector<int>{channels})
        fail("its weights are not those of two convolutions and the normalisation; use the model dcfnet");
}

}  // namespace

double Config::operator[](const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) fail("the model does not set the constant " + name);
    return found->second;
}

double Config::rate_per_update(const std::string& name) const {
    return 1 - std::pow(1 - (*this)[name], (*this)["update_interval"]);
}

Model read_model(const std::string& file, const std::string& preset) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) fail(file + ": cannot be read");
    const std::string content((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    try {
        std::map<std::string, std::string> metadata;
        std::map<std::string, Tensor> weights;
        const auto parts = fields(content);  // ModelProto: graph 7, metadata_props 14
        for (const Field& field : parts) {
            if (field.number != 14) continue;
            std::string key, value;
            for (const Field& part : fields(field.bytes)) (part.number == 1 ? key : value) = part.bytes;
            metadata[key] = value;
        }
        if (metadata["dcfnet.format"] != "4") fail("its format must be 4");
        const std::string folded = metadata["dcfnet.folded"];
        if (metadata.count("dcfnet.levels") || !(folded.empty() || folded == "[]"))
            fail("this port supports neither levels nor folded steps; use the model dcfnet");
        for (const Field& field : parts)
            for (const Field& part : field.number == 7 ? fields(field.bytes) : std::vector<Field>())
                if (part.number == 5) weights.insert(tensor_of(part.bytes));  // GraphProto: initializer 5
        auto input = Json(metadata.at("dcfnet.input")).numbers;
        std::array<float, 3> mean{};
        for (int k = 0; k < 3; ++k) mean[k] = static_cast<float>(input.at("mean." + std::to_string(k)));
        const int stride = static_cast<int>(input.at("stride"));
        if (stride < 1 || stride > 16) fail("its stride must be from 1 to 16");
        check_shapes(weights, stride);
        const Config config = config_of(metadata, preset);
        if (config.whole("patch_size") % stride) fail("patch_size must be a multiple of the stride");
        return {weights, config, mean, stride};
    } catch (const std::exception& error) {
        fail(file + ": " + error.what());
    }
}

}  // namespace dcfnet
