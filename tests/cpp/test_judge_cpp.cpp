// A host's own judge through sda.hpp: its score steers, its failure does not, its exception comes back.
#include <optional>
#include <stdexcept>
#include <string>

#include "check.h"
#include "sda.hpp"

int main() {
    auto request = sda::defaults<sda_judge_request>();
    request.query = "Why?";
    request.draft = "Because.";
    request.instruction = "Be kind.";

    int calls = 0;
    auto judge = [&](const sda_judge_request &asked) -> std::optional<float> {
        calls++;
        CHECK(std::string(asked.draft) == "Because.");
        return 50.0f;
    };
    const sda_judgement judgement = sda::judge_amplify(judge, request).value();
    CHECK(judgement.arm == SDA_ARM_STEERED && judgement.score == 50.0f && calls == 1);
    CHECK(judgement.amplification == sda::amplify(SDA_AMPLIFY_SIGMOID, 50.0f).value());

    const auto none = [](const sda_judge_request &) { return std::optional<float>(); };
    CHECK(sda::judge_amplify(none, request).error().status == SDA_ERR_JUDGE);
    const auto plain = sda::judge_amplify(none, request, SDA_AMPLIFY_SIGMOID, SDA_ON_FAILURE_PLAIN).value();
    CHECK(plain.arm == SDA_ARM_PLAIN && plain.judge_status == SDA_ERR_JUDGE && plain.amplification == 0.0f);

    const auto broken = [](const sda_judge_request &) -> float { throw std::out_of_range("no judge"); };
    try {
        (void)sda::judge_amplify(broken, request, SDA_AMPLIFY_SIGMOID, SDA_ON_FAILURE_PLAIN);
        CHECK(false);
    } catch (const std::out_of_range &error) {
        CHECK(std::string(error.what()) == "no judge");
    }

    const std::string prompt = sda::judge_prompt(request, SDA_REPLY_LINE).value();
    CHECK(prompt.find("Be kind.") != std::string::npos && prompt.back() != '\0');
    CHECK(sda::judge_prompt(request, SDA_REPLY_LINE, "no place for it").error().status == SDA_ERR_PARAM);

    CHECK(sda::judge_parse("Fine.\nSCORE: 40", &request).value() == 40.0f);
    const auto refused = sda::judge_parse("40");
    CHECK(refused.error().status == SDA_ERR_JUDGE && refused.error().text.find("no score") != std::string::npos);
    CHECK(sda::judge_parse(std::string_view("SCORE: 4\0" "0", 10)).error().status == SDA_ERR_ENCODING);
    return finish("test_judge_cpp");
}
