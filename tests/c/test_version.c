/* The library that is loaded, its header and the installed files name one version. */
#include <string.h>

#include "check.h"
#include "sda.h"

int main(void) {
    char version[64];

    CHECK(strcmp(sda_version(), SDA_TEST_VERSION) == 0);
    snprintf(version, sizeof version, "%d.%d.%d", SDA_VERSION_MAJOR, SDA_VERSION_MINOR, SDA_VERSION_PATCH);
    CHECK(strcmp(version, SDA_TEST_VERSION) == 0);
    CHECK(sda_abi_version() == SDA_ABI_VERSION);
    return finish("test_version");
}
