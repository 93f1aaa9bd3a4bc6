/* Strict parser of the limit objects: see limits_json.h. */
#include "core/limits_json.h"

#include "core/checked.h"
#include "core/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* The text and the place that has been read up to. */
typedef struct {
    const char *text;
    size_t length, at;
    divvy_core_fault_t *fault;
} reader_t;

static int refuse(const reader_t *reader, int status, size_t position, const char *reason) {
    return divvy_core_fault_set(reader->fault, status, position, reason);
}

/*
 * The next byte, or 0 at the end; a NUL byte in the text is refused wherever it stands, as any
 * unknown byte.
 */
static char peek(const reader_t *reader) {
    return reader->at < reader->length ? reader->text[reader->at] : '\0';
}

static bool take(reader_t *reader, char byte) {
    if (reader->at >= reader->length || reader->text[reader->at] != byte)
        return false;
    reader->at++;
    return true;
}

static void blanks_skip(reader_t *reader) {
    while (reader->at < reader->length && memchr(" \t\r\n", reader->text[reader->at], 4))
        reader->at++;
}

static int key_interpret(const reader_t *reader, const char *key, size_t length,
                         divvy_core_limit_t *entry) {
    divvy_core_fault_t inner;
    uint64_t index;

    if (length == 0)
        return refuse(reader, -EINVAL, entry->key_position,
                      "the key is empty; use a device index or a GPU UUID");
    if (divvy_core_u64_parse(key, length, &index, NULL) == 0) {
        if (length > 1 && key[0] == '0')
            return refuse(reader, -EINVAL, entry->key_position,
                          "a device index has no leading zero");
        if (index > DIVVY_CORE_LIMITS_INDEX_MAX)
            return refuse(reader, -EINVAL, entry->key_position,
                          "no machine has a device of this index");
        entry->key = DIVVY_CORE_LIMIT_KEY_INDEX;
        entry->index = (uint32_t)index;
        return 0;
    }
    if (divvy_core_uuid_parse_any(key, length, &entry->uuid, &entry->is_mig, &inner) < 0)
        return refuse(reader, -EINVAL, entry->key_position + inner.position,
                      "the key is neither a device index nor a GPU UUID");
    entry->key = DIVVY_CORE_LIMIT_KEY_UUID;
    return 0;
}

static int key_read(reader_t *reader, divvy_core_limit_t *entry) {
    size_t start;

    if (!take(reader, '"'))
        return refuse(reader, -EINVAL, reader->at, "a key in double quotes is needed here");
    start = reader->at;
    while (reader->at < reader->length && reader->text[reader->at] != '"') {
        unsigned char byte = (unsigned char)reader->text[reader->at];

        if (byte == '\\')
            return refuse(reader, -EINVAL, reader->at,
                          "a key needs no escapes; use a device index or a GPU UUID");
        if (byte < ' ')
            return refuse(reader, -EINVAL, reader->at, "a control character in a key");
        reader->at++;
    }
    entry->key_position = start;
    if (!take(reader, '"'))
        return refuse(reader, -EINVAL, reader->at, "the text ends inside a key");
    return key_interpret(reader, reader->text + start, reader->at - 1 - start, entry);
}

/* Why something that is no whole number stands where a value is needed. */
static const char *value_reason(char byte) {
    switch (byte) {
    case '-':
        return "a negative limit is not accepted";
    case '"':
        return "the value must be a number, without quotes";
    case '{':
    case '[':
        return "the value must be a number, not an object or a list";
    default:
        return "a whole number is needed here";
    }
}

static int value_read(reader_t *reader, divvy_core_limits_kind_t kind, divvy_core_limit_t *entry) {
    size_t start = reader->at;
    uint64_t value = 0;
    char next;

    while (reader->at < reader->length && peek(reader) >= '0' && peek(reader) <= '9') {
        if (divvy_core_u64_mul(value, 10, &value) < 0 ||
            divvy_core_u64_add(value, (uint64_t)(peek(reader) - '0'), &value) < 0)
            return refuse(reader, -ERANGE, start, "the number is too large");
        reader->at++;
    }
    next = peek(reader);
    if (reader->at == start)
        return refuse(reader, -EINVAL, start, value_reason(next));
    if (reader->text[start] == '0' && reader->at - start > 1)
        return refuse(reader, -EINVAL, start, "a number has no leading zero");
    if (next == '.' || next == 'e' || next == 'E')
        return refuse(reader, -EINVAL, reader->at,
                      "a fraction or exponent is not accepted; use a whole number");
    entry->value_position = start;
    entry->value = kind == DIVVY_CORE_LIMITS_PERCENT && value > 100 ? 0 : value;
    return 0;
}

static bool key_equal(const divvy_core_limit_t *a, const divvy_core_limit_t *b) {
    if (a->key != b->key)
        return false;
    return a->key == DIVVY_CORE_LIMIT_KEY_INDEX ? a->index == b->index
                                                : divvy_core_uuid_equal(&a->uuid, &b->uuid);
}

static int entry_read(reader_t *reader, divvy_core_limits_kind_t kind,
                      divvy_core_limits_t *limits) {
    divvy_core_limit_t entry = {0};
    int status = key_read(reader, &entry);

    if (status < 0)
        return status;
    for (size_t i = 0; i < limits->count; i++)
        if (key_equal(&limits->entries[i], &entry))
            return refuse(reader, -EINVAL, entry.key_position, "this device is given twice");
    if (limits->count == DIVVY_CORE_LIMITS_MAX)
        return refuse(reader, -E2BIG, entry.key_position, "more than 64 entries");
    blanks_skip(reader);
    if (!take(reader, ':'))
        return refuse(reader, -EINVAL, reader->at, "a ':' is needed after the key");
    blanks_skip(reader);
    status = value_read(reader, kind, &entry);
    if (status < 0)
        return status;
    limits->entries[limits->count++] = entry;
    return 0;
}

int divvy_core_limits_parse(const char *text, size_t length, divvy_core_limits_kind_t kind,
                            divvy_core_limits_t *ret_limits, divvy_core_fault_t *ret_fault) {
    reader_t reader = {.text = text, .length = length, .fault = ret_fault};

    ret_limits->count = 0;
    blanks_skip(&reader);
    if (!take(&reader, '{'))
        return refuse(&reader, -EINVAL, reader.at, "a JSON object is needed, such as {\"0\": 20}");
    blanks_skip(&reader);
    if (!take(&reader, '}')) {
        do {
            int status;

            blanks_skip(&reader);
            status = entry_read(&reader, kind, ret_limits);
            if (status < 0)
                return status;
            blanks_skip(&reader);
        } while (take(&reader, ','));
        if (!take(&reader, '}'))
            return refuse(&reader, -EINVAL, reader.at, "a ',' or '}' is needed here");
    }
    blanks_skip(&reader);
    if (reader.at < reader.length)
        return refuse(&reader, -EINVAL, reader.at, "something follows the closing '}'");
    return 0;
}
