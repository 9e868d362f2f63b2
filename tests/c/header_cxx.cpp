// The header in C++, linked and called.
#include "sda.h"

#include "check.h"

int main() {
    sda_params params;
    CHECK(sda_params_init(&params, sizeof params) == SDA_OK);
    CHECK(sda_abi_version() == SDA_ABI_VERSION);
    sda_sampler *sampler = nullptr;
    CHECK(sda_sampler_new(nullptr, 8, &params, nullptr, 0, &sampler) == SDA_OK);
    sda_sampler_free(sampler);
    return finish("header_cxx");
}
