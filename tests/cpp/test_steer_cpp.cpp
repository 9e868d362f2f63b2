// The golden numbers through sda.hpp, within the tolerances of tests/core/golden.rs.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "sda.hpp"

namespace {

// What follows a field's name in a case, which is a line of JSON.
const char *field(const std::string &line, const char *name) {
    const auto at = line.find('"' + std::string(name) + "\":");
    return at == std::string::npos ? "" : line.c_str() + at + std::string(name).size() + 3;
}

double number(const char *text, char **end = nullptr) {
    static const std::string masked = "\"-inf\"";
    if (std::string_view(text).substr(0, masked.size()) == masked) {
        if (end != nullptr) {
            *end = const_cast<char *>(text) + masked.size();
        }
        return -std::numeric_limits<double>::infinity();
    }
    return std::strtod(text, end);
}

template <class T> std::vector<T> row(const char *text) {
    std::vector<T> values;
    for (char *end = nullptr; *text == '[' || *text == ','; text = end) {
        values.push_back(static_cast<T>(number(text + 1, &end)));
    }
    return values;
}

void check_case(const std::string &line) {
    auto params = sda::defaults<sda_params>();
    params.amplification = static_cast<float>(number(field(line, "a")));
    params.k = static_cast<float>(number(field(line, "k")));
    params.temperature = static_cast<float>(number(field(line, "t0")));
    if (std::string_view(field(line, "temp_fn")).substr(0, 7) == "\"sharp\"") {
        params.sigma = 0.01f;
        params.t_min = 0.2f;
    }
    auto instructed = row<float>(field(line, "logits_instr"));
    const auto plain = row<float>(field(line, "logits_plain"));
    const auto expected = row<double>(field(line, "logprobs"));
    std::vector<float> logprobs(instructed.size());
    const sda_step step = sda::steer(instructed, plain, params, logprobs).value();
    CHECK(std::fabs(step.divergence - number(field(line, "js"))) <= 1e-6);
    const double temperature = number(field(line, "temperature"));
    CHECK(std::fabs(step.temperature - temperature) <= 1e-6 * temperature);
    CHECK(!expected.empty() && expected.size() == logprobs.size());
    for (std::size_t i = 0; i < expected.size(); i++) {
        const double want = std::isinf(expected[i])
                                ? expected[i]
                                : std::fmax(expected[i], -static_cast<double>(std::numeric_limits<float>::max()));
        const double allowed = want > -30.0 ? 2e-5 : 1e-6 * std::fabs(want);
        CHECK(logprobs[i] == want || std::fabs(logprobs[i] - want) <= allowed);
    }
    // In place, and as one instruction of several.
    const sda::view<const float> one[] = {instructed};
    const float weight[] = {1.0f};
    std::vector<float> many(instructed.size());
    const auto info = sda::steer_many(instructed, plain, one, weight, params, many).value();
    CHECK(info.temperature == step.temperature && many == logprobs);
    CHECK(sda::steer(instructed, plain, params, instructed).has_value() && instructed == logprobs);
}

void errors() {
    const std::vector<float> four(4, 0.0f), five(5, 0.0f);
    std::vector<float> out(4);
    auto params = sda::defaults<sda_params>();
    const auto short_row = sda::steer(four, five, params, out);
    CHECK(!short_row && short_row.error().status == SDA_ERR_LENGTH);
    CHECK(short_row.error().text == "rows have 4, 5 and 4 elements, expected one length");
    const std::vector<sda::view<const float>> nine(SDA_MOST_INSTRUCTIONS + 1, four);
    const std::vector<float> weights(nine.size(), 1.0f);
    CHECK(sda::steer_many(four, four, nine, weights, params, out).error().status == SDA_ERR_PARAM);
    CHECK(sda::steer_many(four, four, {nine.data(), 2}, {weights.data(), 1}, params, out).error().status == SDA_ERR_LENGTH);
    CHECK(sda::amplify(SDA_AMPLIFY_LINEAR, 25.0f).value() == 0.75f);
    try {
        sda::amplify(-1, 25.0f).value();
        CHECK(false);
    } catch (const sda::error &error) {
        CHECK(error.status() == SDA_ERR_PARAM && std::string(error.what()) == sda_status_str(SDA_ERR_PARAM));
    }
    // Settings of another version.
    params.struct_size = 1;
    CHECK(sda::steer(four, four, params, out).error().status == SDA_ERR_VERSION);
}

} // namespace

int main() {
    std::ifstream file(SDA_TEST_DATA "/steer_small.json");
    int cases = 0;
    for (std::string line; std::getline(file, line);) {
        if (*field(line, "logits_instr") != '\0') {
            check_case(line);
            cases++;
        }
    }
    CHECK(cases == 40);
    errors();
    return finish("test_steer_cpp");
}
