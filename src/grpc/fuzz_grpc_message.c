/*
 * Fuzz target of messages and headers: a stream cut into other pieces must give the same messages, and texts and times must
 * survive being written and read.
 */
#include "grpc/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES 1000u

struct outcome {
    enum divvy_grpc_status status;
    uint32_t messages, hash;
    int between;
};

static struct outcome read_all(const uint8_t *data, size_t size, size_t step) {
    struct divvy_grpc_reader reader = {.max_bytes = MAX_BYTES};
    struct outcome outcome = {DIVVY_GRPC_OK, 0, 0, 0};

    while (size > 0 && outcome.status == DIVVY_GRPC_OK) {
        size_t part = step < size ? step : size, taken;
        int whole;
        /* A copy of the exact length lets the address sanitizer see a read beyond the end. */
        uint8_t *copy = malloc(part);

        if (!copy)
            break;
        memcpy(copy, data, part);
        outcome.status = divvy_grpc_reader_feed(&reader, copy, part, &taken, &whole);
        free(copy);
        if (outcome.status != DIVVY_GRPC_OK)
            break;
        if (taken == 0 || taken > part || reader.length > MAX_BYTES)
            abort();
        for (size_t i = 0; whole && i < reader.length; i++)
            outcome.hash = outcome.hash * 31 + reader.message[i];
        outcome.messages += whole != 0;
        data += taken;
        size -= taken;
    }
    outcome.between = divvy_grpc_reader_is_between(&reader);
    divvy_grpc_reader_done(&reader);
    return outcome;
}

static void texts_compare(const uint8_t *data, size_t size) {
    char text[DIVVY_GRPC_TEXT_BYTES], again[DIVVY_GRPC_TEXT_BYTES], encoded[3 * DIVVY_GRPC_TEXT_BYTES];
    char time[DIVVY_GRPC_TIMEOUT_BYTES];
    uint64_t ns, ns_again;

    divvy_grpc_text_decode((const char *)data, size, text);
    divvy_grpc_text_decode(encoded, divvy_grpc_text_encode(text, encoded), again);
    if (strcmp(text, again) != 0)
        abort();
    (void)divvy_grpc_status_parse((const char *)data, size);
    if (divvy_grpc_timeout_parse((const char *)data, size, &ns) < 0)
        return;
    divvy_grpc_timeout_format(ns, time);
    if (divvy_grpc_timeout_parse(time, strlen(time), &ns_again) < 0 || (ns != UINT64_MAX && ns_again < ns))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct outcome whole = read_all(data, size, size), bytes = read_all(data, size, 1), some = read_all(data, size, 7);

    if (memcmp(&whole, &bytes, sizeof whole) != 0 || memcmp(&whole, &some, sizeof whole) != 0)
        abort();
    texts_compare(data, size);
    return 0;
}
