// The headers in a program that is built without exceptions: errors are looked at.
#include <vector>

#include "check.h"
#include "sda.hpp"

int main() {
    auto params = sda::defaults<sda_params>();
    std::vector<float> row(8, 1.0f);
    auto request = sda::defaults<sda_judge_request>();
    request.query = "Why?";
    request.draft = "Because.";
    request.instruction = "Be kind.";
    CHECK(sda::sampler::make(8, params).has_value());
    CHECK(sda::steer(row, std::vector<float>(8, 2.0f), params, row).has_value());
    CHECK(sda::judge_amplify([](const sda_judge_request &) { return 50.0f; }, request)->arm == SDA_ARM_STEERED);
    params.t_min = -1.0f;
    const auto refused = sda::sampler::make(8, params);
    CHECK(!refused && refused.error().status == SDA_ERR_PARAM);
    CHECK(refused.error().text.find("t_min is -1") != std::string::npos);
    return finish("no_exceptions");
}
