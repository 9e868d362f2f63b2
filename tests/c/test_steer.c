/* One step on rows of logits. The rows are exactly as long as they must be, for the sanitizer to see. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "sda.h"

int main(void) {
    sda_params params;
    sda_step step;
    CHECK(sda_params_init(&params, sizeof params) == SDA_OK);
    params.amplification = 0.5f;
    params.temperature = 1.0f;
    params.sigma = INFINITY;
    for (size_t n = 1; n < 80; n++) {
        float *instructed = malloc(n * sizeof(float));
        float *plain = malloc(n * sizeof(float));
        float *out = malloc(n * sizeof(float));
        double sum = 0.0;
        double expected_sum = 0.0;
        for (size_t i = 0; i < n; i++) {
            instructed[i] = (float)(i * 7 % 11) * 0.3f;
            plain[i] = (float)(i * 5 % 13) * 0.2f;
        }
        CHECK(sda_steer(instructed, plain, n, &params, out, &step) == SDA_OK);
        CHECK(step.temperature == 1.0f && step.divergence >= 0.0f);
        /* softmax(instructed + k a (instructed - plain)); constants cancel, here k a is 1. */
        for (size_t i = 0; i < n; i++) {
            sum += exp(out[i]);
            expected_sum += exp(2.0 * instructed[i] - plain[i]);
        }
        CHECK(fabs(sum - 1.0) < 1e-5);
        for (size_t i = 0; i < n; i++) {
            CHECK(fabs(out[i] - (2.0 * instructed[i] - plain[i] - log(expected_sum))) < 1e-4);
        }
        CHECK(sda_steer(instructed, plain, n, &params, plain, &step) == SDA_ERR_PARAM);
        CHECK(sda_steer(instructed, plain, n, &params, instructed, &step) == SDA_OK);
        for (size_t i = 0; i < n; i++) {
            CHECK(instructed[i] == out[i]);
        }
        /* Two instructions of half a weight, whose rows are the instructed one, are that one with a weight of 1. */
        {
            const float *rows[2];
            const float weights[2] = {0.5f, 0.5f};
            float *copy = malloc(n * sizeof(float));
            float *many = malloc(n * sizeof(float));
            sda_step_info info;
            rows[0] = instructed;
            rows[1] = copy;
            memcpy(copy, out, n * sizeof(float));
            CHECK(sda_step_info_init(&info, sizeof info) == SDA_OK);
            CHECK(sda_steer(out, plain, n, &params, many, &step) == SDA_OK);
            CHECK(sda_steer_many(out, plain, rows, weights, 2, n, &params, copy, &info) == SDA_ERR_PARAM);
            CHECK(sda_steer_many(out, plain, rows, weights, 2, n, &params, out, &info) == SDA_OK);
            CHECK(info.gain == 1.0f && info.temperature == 1.0f);
            for (size_t i = 0; i < n; i++) {
                CHECK(fabs(out[i] - many[i]) < 1e-4);
            }
            CHECK(sda_steer_many(out, plain, rows, weights, SDA_MOST_INSTRUCTIONS + 1, n, &params, many, NULL)
                  == SDA_ERR_PARAM);
            free(copy);
            free(many);
        }
        plain[n - 1] = NAN;
        CHECK(sda_steer(instructed, plain, n, &params, out, &step) == SDA_ERR_NOT_FINITE);
        free(instructed);
        free(plain);
        free(out);
    }
    return finish("test_steer");
}
