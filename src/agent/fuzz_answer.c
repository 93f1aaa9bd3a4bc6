/*
 * Fuzz target of the platform's answers: the first byte is the call, the second the status, the rest what came. Nothing crashes; what is refused
 * is told in one line without the credential; what passes, passes again and stays as it is.
 */
#include "agent/platform.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const long statuses[] = {200, 201, 204, 400, 401, 404, 429, 500, 503, 0};
    static const char credential[] = "verysecret";
    struct divvy_error error = {0};
    json_t *answer = NULL, *again = NULL;
    enum divvy_agent_api api;
    long status;

    if (size < 2)
        return 0;
    api = (enum divvy_agent_api)(data[0] % DIVVY_AGENT_API_MAX);
    status = statuses[data[1] % (sizeof statuses / sizeof statuses[0])];
    if (divvy_agent_answer_judge(api, credential, status, (const char *)data + 2, size - 2, &answer,
                                 &error) < 0) {
        if (!error.text[0] || strchr(error.text, '\n') || strstr(error.text, credential) || answer)
            abort();
        return 0;
    }
    if (answer) {
        char *text = json_dumps(answer, JSON_COMPACT);

        if (!text ||
            divvy_agent_answer_judge(api, credential, status, text, strlen(text), &again, &error) <
                0 ||
            !json_equal(answer, again))
            abort();
        free(text);
    }
    json_decref(again);
    json_decref(answer);
    return 0;
}
