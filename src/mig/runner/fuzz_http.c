/*
 * Fuzz target of the proxy's reading of HTTP: a head and a body that come in one piece and byte by byte are the same message,
 * and nothing is both framed and refused. The first byte chooses request or answer.
 */
#include "mig/runner/http.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The head's length as it is found when bytes come one at a time. */
static int find_slowly(const char *bytes, size_t length) {
    size_t searched = 0;
    int found = 0;

    for (size_t have = 1; have <= length && found == 0; have++)
        found = divvy_runner_http_head_find(bytes, have, &searched);
    return found;
}

/* Bytes of the body and how it ended: 1 done, 0 more to come, -1 no body. */
static int body_take(const struct divvy_runner_http_head *head, const char *bytes, size_t length, size_t step, size_t *ret_taken) {
    struct divvy_runner_http_body body;
    size_t at = 0;

    divvy_runner_http_body_begin(&body, head);
    while (at < length && !body.is_done) {
        size_t part = step < length - at ? step : length - at, taken;

        if (divvy_runner_http_body_take(&body, bytes + at, part, &taken) < 0)
            return -1;
        if (taken > part || (taken < part && !body.is_done))
            abort();
        at += taken;
    }
    *ret_taken = at;
    return body.is_done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_runner_http_head head;
    size_t searched = 0, fast = 0, slow = 0;
    int length, status, ended;
    char *bytes;

    if (size < 2 || !(bytes = malloc(size - 1)))
        return 0;
    memcpy(bytes, data + 1, size - 1);
    length = divvy_runner_http_head_find(bytes, size - 1, &searched);
    if (length != find_slowly(bytes, size - 1) || length > (int)size - 1)
        abort();
    if (length > 0) {
        status = data[0] & 1 ? divvy_runner_http_request_parse(bytes, (size_t)length, &head)
                             : divvy_runner_http_answer_parse(bytes, (size_t)length, data[0] & 2, data[0] & 4, &head);
        if (status == 0) {
            if ((data[0] & 1) && (head.framing == DIVVY_RUNNER_HTTP_CLOSE || head.framing == DIVVY_RUNNER_HTTP_TUNNEL))
                abort();
            ended = body_take(&head, bytes + length, size - 1 - (size_t)length, SIZE_MAX, &fast);
            if (ended != body_take(&head, bytes + length, size - 1 - (size_t)length, 1, &slow) || (ended >= 0 && fast != slow))
                abort();
        }
    }
    free(bytes);
    return 0;
}
