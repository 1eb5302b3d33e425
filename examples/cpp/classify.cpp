// Classify clips with an ONNX file of a bundle, and with nothing else: what it needs to know the
// file says itself.
//
//   classify model.fp32.onnx clip.raw...
//
// A .raw file holds the clips of one video as the network takes them: uint8 [clips, time, height,
// width, channel], RGB, sampled, scaled and cropped as the file's metadata says
// (`python -m export.describe model.fp32.onnx`). Normalisation is part of the graph. For each file
// a line is printed: name, label, score.
//
// Exit status: 0 done, 1 a clip cannot be used, 2 wrong use, or a model that cannot be used.

#include <openvino/openvino.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void append_utf8(std::string& text, unsigned code) {
    if (code < 0x80) {
        text += static_cast<char>(code);
    } else if (code < 0x800) {
        text += static_cast<char>(0xC0 | code >> 6);
        text += static_cast<char>(0x80 | (code & 0x3F));
    } else {
        text += static_cast<char>(0xE0 | code >> 12);
        text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
        text += static_cast<char>(0x80 | (code & 0x3F));
    }
}

// A JSON list of strings. A program that has a JSON library uses that.
std::vector<std::string> strings_of(const std::string& json) {
    const std::string plain = "\"\\/", letters = "bfnrt", meant = "\b\f\n\r\t";
    std::vector<std::string> found;
    std::size_t at = json.find('[');
    while (at != std::string::npos && (at = json.find('"', at + 1)) != std::string::npos) {
        std::string text;
        for (++at; json.at(at) != '"'; ++at) {
            if (json[at] != '\\') {
                text += json[at];
                continue;
            }
            const char escaped = json.at(++at);
            if (plain.find(escaped) != std::string::npos) {
                text += escaped;
            } else if (letters.find(escaped) != std::string::npos) {
                text += meant[letters.find(escaped)];
            } else {  // \u and four digits; only control characters are written so
                append_utf8(text, static_cast<unsigned>(std::stoul(json.substr(at + 1, 4), nullptr, 16)));
                at += 4;
            }
        }
        found.push_back(text);
    }
    return found;
}

// Mean over the clips of their softmax.
std::vector<double> scores_of(const float* logits, std::size_t clips, std::size_t classes) {
    std::vector<double> scores(classes, 0.0);
    for (std::size_t clip = 0; clip < clips; ++clip, logits += classes) {
        const double largest = *std::max_element(logits, logits + classes);
        double sum = 0;
        for (std::size_t k = 0; k < classes; ++k) sum += std::exp(logits[k] - largest);
        for (std::size_t k = 0; k < classes; ++k)
            scores[k] += std::exp(logits[k] - largest) / sum / static_cast<double>(clips);
    }
    return scores;
}

int classify(const std::string& file, const std::vector<std::string>& videos) {
    ov::Core core;
    const auto model = core.read_model(file);
    // OpenVINO keeps the metadata of an ONNX file below "framework"; in ONNX Runtime it is
    // Ort::Session::GetModelMetadata().LookupCustomMetadataMapAllocated.
    if (!model->has_rt_info({"framework", "clipduet.classes"}))
        throw std::runtime_error(file + " does not say its classes");
    const auto classes =
        strings_of(model->get_rt_info<std::string>({"framework", "clipduet.classes"}));

    const auto input = model->input();
    const auto shape = input.get_partial_shape();
    if (input.get_element_type() != ov::element::u8 || shape.size() != 5)
        throw std::runtime_error(file + " does not take uint8 clips");
    std::size_t size = 1;
    for (std::size_t axis = 1; axis < 5; ++axis)
        size *= static_cast<std::size_t>(shape[axis].get_length());

    // By itself the CPU may take bfloat16.
    auto compiled = core.compile_model(
        model, "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = compiled.create_infer_request();

    int status = 0;
    for (const auto& video : videos) {
        std::ifstream stream(video, std::ios::binary);
        std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(stream), {}};
        if (bytes.empty() || bytes.size() % size) {
            std::fprintf(stderr, "%s: %zu bytes; a clip has %zu\n", video.c_str(), bytes.size(),
                         size);
            status = 1;
            continue;
        }
        const std::size_t clips = bytes.size() / size;
        ov::Shape whole{clips};
        for (std::size_t axis = 1; axis < 5; ++axis)
            whole.push_back(static_cast<std::size_t>(shape[axis].get_length()));
        request.set_input_tensor(ov::Tensor(ov::element::u8, whole, bytes.data()));
        request.infer();
        const auto logits = request.get_output_tensor();
        if (logits.get_shape() != ov::Shape{clips, classes.size()})
            throw std::runtime_error(file + " has other outputs than classes");
        const auto scores = scores_of(logits.data<float>(), clips, classes.size());
        const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
        std::printf("%s\t%s\t%.6f\n", video.c_str(), classes[best].c_str(), scores[best]);
    }
    return status;
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 3) {
        std::fprintf(stderr, "usage: %s MODEL.onnx CLIP.raw...\n", arguments[0]);
        return 2;
    }
    try {
        return classify(arguments[1], {arguments + 2, arguments + count});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
}
