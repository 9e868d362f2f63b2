/* A host's own judge: its score steers, its failure does not. */
#include <string.h>

#include "check.h"
#include "sda.h"

struct script {
    int32_t status;
    float score;
    int calls;
};

static int32_t judge(void *user_data, const sda_judge_request *request, float *score) {
    struct script *script = user_data;
    script->calls++;
    CHECK(request->struct_size == sizeof *request);
    CHECK(strcmp(request->draft, "Because.") == 0);
    *score = script->score;
    return script->status;
}

int main(void) {
    sda_judge_request request;
    struct script script = {SDA_OK, 50.0f, 0};
    sda_judgement judgement;
    float a;

    CHECK(sda_judge_request_init(&request, sizeof request) == SDA_OK);
    request.query = "Why?";
    request.draft = "Because.";
    request.instruction = "Be kind.";
    CHECK(sda_judgement_init(&judgement, sizeof judgement) == SDA_OK);
    CHECK(sda_amplify(SDA_AMPLIFY_SIGMOID, 50.0f, &a) == SDA_OK);
    CHECK(sda_judge_amplify(judge, &script, &request, SDA_AMPLIFY_SIGMOID, SDA_ON_FAILURE_ERROR, NULL, 0,
                            &judgement) == SDA_OK);
    CHECK(judgement.arm == SDA_ARM_STEERED && judgement.score == 50.0f);
    CHECK(judgement.amplification == a && script.calls == 1);

    script.status = SDA_ERR_IO;
    CHECK(sda_judge_amplify(judge, &script, &request, SDA_AMPLIFY_SIGMOID, SDA_ON_FAILURE_ERROR, NULL, 0,
                            &judgement) == SDA_ERR_JUDGE);
    CHECK(sda_judge_amplify(judge, &script, &request, SDA_AMPLIFY_SIGMOID, SDA_ON_FAILURE_PLAIN, NULL, 0,
                            &judgement) == SDA_OK);
    CHECK(judgement.arm == SDA_ARM_PLAIN && judgement.judge_status == SDA_ERR_IO);
    CHECK(judgement.amplification == 0.0f);

    char prompt[8192];
    size_t length = 0;
    CHECK(sda_judge_prompt(&request, NULL, SDA_REPLY_LINE, NULL, 0, prompt, sizeof prompt, &length) ==
          SDA_OK);
    CHECK(strlen(prompt) == length && strstr(prompt, "Be kind.") != NULL);

    float score = 0.0f;
    char why[256];
    CHECK(sda_judge_parse(&request, "Fine.\nSCORE: 40", why, sizeof why, &score) == SDA_OK);
    CHECK(score == 40.0f);
    CHECK(sda_judge_parse(&request, "40", why, sizeof why, &score) == SDA_ERR_JUDGE);
    CHECK(strstr(why, "no score") != NULL && score == 40.0f);
    return finish("test_judge");
}
