// Steers one step, and looks whether headers, library and the project's sda_VERSION are of one version.
#include <cstdio>
#include <string>
#include <vector>

#include "sda.hpp"

int main() {
    const std::vector<float> instructed = {1.0f, 2.0f}, plain = {2.0f, 1.0f};
    std::vector<float> logprobs(2);
    auto params = sda::defaults<sda_params>();
    params.amplification = 1.0f;
    const auto step = sda::steer(instructed, plain, params, logprobs);
    if (!step || logprobs[1] <= logprobs[0] || sda_abi_version() != SDA_ABI_VERSION) {
        std::puts("the step is wrong");
        return 1;
    }
    if (std::string(sda_version()) != SDA_TEST_VERSION) {
        std::printf("libsda is %s, the project has %s\n", sda_version(), SDA_TEST_VERSION);
        return 1;
    }
    return 0;
}
