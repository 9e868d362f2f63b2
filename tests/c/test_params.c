/* Settings, versions and status texts. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "sda.h"

int main(void) {
    struct {
        sda_params params;
        unsigned char after[16];
    } room;
    memset(&room, 0xAB, sizeof room);
    CHECK(sda_params_init(NULL, sizeof room.params) == SDA_ERR_NULL);
    CHECK(sda_params_init(&room.params, 4) == SDA_ERR_VERSION);
    CHECK(sda_params_init(&room.params, sizeof room.params) == SDA_OK);
    CHECK(room.params.struct_size == sizeof room.params);
    CHECK(room.params.k == 2.0f && room.params.amplification == 0.0f && room.params.flags == 0);
    CHECK(room.params.top_p == 1.0f && isinf(room.params.max_kl) && room.params.max_kl > 0);
    CHECK(isinf(room.params.mean_kl) && room.params.mean_kl > 0);
    for (size_t i = 0; i < sizeof room.after; i++) {
        CHECK(room.after[i] == 0xAB);
    }
    CHECK(sda_abi_version() == SDA_ABI_VERSION);
    CHECK(strlen(sda_version()) >= 5);
    for (int status = -40; status < 10; status++) {
        CHECK(sda_status_str(status) != NULL && sda_status_str(status)[0] != 0);
    }
    float a = -1.0f;
    CHECK(sda_amplify(SDA_AMPLIFY_LINEAR, 25.0f, &a) == SDA_OK && a == 0.75f);
    CHECK(sda_amplify(99, 25.0f, &a) == SDA_ERR_PARAM && a == 0.75f);
    CHECK(sda_amplify(SDA_AMPLIFY_LINEAR, 101.0f, &a) == SDA_ERR_PARAM);
    return finish("test_params");
}
