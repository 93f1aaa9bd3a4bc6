/*
 * Fuzz target of what the channel's client reads from the network. The first byte chooses how the rest is cut into pieces;
 * cut or whole, the reading must come to the same. Whatever JSON is accepted must be so again in the place where it was found.
 */
#include "wire/channel/client.h"
#include "wire/channel/duration.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct divvy_wire_http_answer answer;
    struct divvy_wire_sse sse;
    struct divvy_wire_array array;
    uint64_t events, hash;
    int status;
};

static uint64_t hash_of(uint64_t hash, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static void json_try(const char *text, size_t length) {
    divvy_wire_json_t value, member, element;
    struct divvy_wire_command command;
    char string[64];
    size_t at = 0;
    uint64_t number;

    if (divvy_wire_json_check(text, length, &value) < 0)
        return;
    if (value.text < text || value.text + value.length > text + length || value.length == 0)
        abort();
    if (divvy_wire_json_member(value, "id", &member) == 0) {
        if (member.text < text || member.text + member.length > text + length ||
            divvy_wire_json_check(member.text, member.length, &element) < 0)
            abort();
        (void)divvy_wire_json_u64(member, &number);
        (void)divvy_wire_json_string(member, string, sizeof string);
    }
    while (divvy_wire_json_next(value, &at, &element))
        if (divvy_wire_json_check(element.text, element.length, &member) < 0)
            abort();
    if (divvy_wire_command_parse(value, &command) == 0 && command.kind > DIVVY_CHANNEL_KIND_MAX)
        abort();
}

static int event(void *context, bool is_error, const char *data, size_t length) {
    struct reading *reading = context;

    if (length > DIVVY_WIRE_SSE_DATA_BYTES)
        abort();
    reading->events++;
    reading->hash = hash_of(reading->hash + is_error, data, length);
    json_try(data, length);
    return 0;
}

static int body(void *context, const char *bytes, size_t length) {
    struct reading *reading = context;

    return reading->answer.is_event_stream ? divvy_wire_sse_feed(&reading->sse, bytes, length)
                                           : divvy_wire_array_feed(&reading->array, bytes, length);
}

static void begin(struct reading *reading) {
    reading->events = reading->hash = 0;
    reading->status = 0;
    divvy_wire_http_answer_init(&reading->answer);
    divvy_wire_sse_init(&reading->sse, event, reading);
    divvy_wire_array_init(&reading->array, &reading->sse);
}

static void feed(struct reading *reading, const char *bytes, size_t length) {
    if (reading->status == 0)
        reading->status = divvy_wire_http_answer_feed(&reading->answer, bytes, length, body, reading);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct reading whole, cut;
    size_t step;
    int64_t duration_ns;
    char *text;

    if (size == 0)
        return 0;
    step = data[0] % 7 + 1;
    text = malloc(size); /* the exact length shows a read beyond the end */
    if (!text)
        return 0;
    size--;
    memcpy(text, data + 1, size);
    begin(&whole);
    feed(&whole, text, size);
    begin(&cut);
    for (size_t at = 0; at < size; at += step)
        feed(&cut, text + at, size - at < step ? size - at : step);
    if (whole.events != cut.events || whole.hash != cut.hash || whole.status != cut.status ||
        whole.answer.state != cut.answer.state)
        abort();
    json_try(text, size);
    if (divvy_wire_duration_parse(text, size, &duration_ns) == 0 && duration_ns <= 0)
        abort();
    free(text);
    return 0;
}
