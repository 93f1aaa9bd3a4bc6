/* Strict JSON in place: see json.h. */
#include "wire/channel/json.h"

#include "core/checked.h"

#include <errno.h>
#include <string.h>

typedef struct {
    const char *text;
    size_t length, at;
} reader_t;

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

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static int hex_value(char byte) {
    if (is_digit(byte))
        return byte - '0';
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* ---- UTF-8 ---- */

/* Bytes of the well-formed sequence at the begin of the text, 0 when there is none. */
static size_t utf8_length(const unsigned char *at, size_t left) {
    size_t bytes = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;

    if (bytes == 0 || bytes > left)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and what is beyond U+10FFFF show in the second byte. */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
        (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return bytes;
}

static size_t utf8_write(uint32_t code, char *bytes) {
    if (code < 0x80) {
        bytes[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    bytes[0] = (char)(0xf0 | code >> 18);
    bytes[1] = (char)(0x80 | (code >> 12 & 0x3f));
    bytes[2] = (char)(0x80 | (code >> 6 & 0x3f));
    bytes[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* ---- strings ---- */

/* Four hexadecimal digits. */
static bool unit_read(reader_t *reader, uint32_t *ret_unit) {
    uint32_t unit = 0;

    if (reader->length - reader->at < 4)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        int value = hex_value(reader->text[reader->at++]);

        if (value < 0)
            return false;
        unit = unit << 4 | (uint32_t)value;
    }
    *ret_unit = unit;
    return true;
}

/* What follows a backslash, as a code point. */
static bool escape_read(reader_t *reader, uint32_t *ret_code) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char name = peek(reader);
    const char *found = name ? strchr(names, name) : NULL;
    uint32_t high, low;

    reader->at++;
    if (found) {
        *ret_code = (unsigned char)values[found - names];
        return true;
    }
    if (name != 'u' || !unit_read(reader, &high) || (high >= 0xdc00 && high <= 0xdfff))
        return false;
    if (high < 0xd800 || high > 0xdbff) {
        *ret_code = high;
        return true;
    }
    if (!take(reader, '\\') || !take(reader, 'u') || !unit_read(reader, &low) || low < 0xdc00 || low > 0xdfff)
        return false;
    *ret_code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static bool string_check(reader_t *reader) {
    if (!take(reader, '"'))
        return false;
    while (reader->at < reader->length) {
        unsigned char byte = (unsigned char)reader->text[reader->at];
        size_t bytes;
        uint32_t code;

        if (byte == '"') {
            reader->at++;
            return true;
        }
        if (byte == '\\') {
            reader->at++;
            if (reader->at >= reader->length || !escape_read(reader, &code))
                return false;
            continue;
        }
        bytes = byte < ' ' ? 0 : utf8_length((const unsigned char *)reader->text + reader->at, reader->length - reader->at);
        if (bytes == 0)
            return false;
        reader->at += bytes;
    }
    return false;
}

int divvy_wire_json_string(divvy_wire_json_t value, char *buffer, size_t size) {
    reader_t reader = {value.text, value.length, 1};
    size_t used = 0;

    if (value.length < 2 || value.text[0] != '"' || size == 0)
        return -EINVAL;
    while (reader.at < value.length - 1) {
        char bytes[4];
        size_t count = 1;
        uint32_t code;

        bytes[0] = value.text[reader.at++];
        if (bytes[0] == '\\') {
            if (!escape_read(&reader, &code) || code == 0)
                return -EINVAL;
            count = utf8_write(code, bytes);
        }
        if (used + count >= size)
            return -ENAMETOOLONG;
        memcpy(buffer + used, bytes, count);
        used += count;
    }
    buffer[used] = '\0';
    return 0;
}

void divvy_wire_json_add_string(divvy_core_text_t *text, const char *bytes, size_t length) {
    divvy_core_text_add_bytes(text, "\"", 1);
    for (size_t at = 0; at < length;) {
        size_t count = utf8_length((const unsigned char *)bytes + at, length - at);

        if (count == 0)
            divvy_core_text_add_bytes(text, "?", 1);
        else if (count == 1 && (unsigned char)bytes[at] < ' ')
            divvy_core_text_format(text, "\\u%04x", (unsigned)(unsigned char)bytes[at]);
        else if (count == 1 && (bytes[at] == '"' || bytes[at] == '\\'))
            divvy_core_text_format(text, "\\%c", bytes[at]);
        else
            divvy_core_text_add_bytes(text, bytes + at, count);
        at += count ? count : 1;
    }
    divvy_core_text_add_bytes(text, "\"", 1);
}

/* ---- other values ---- */

static size_t digits_skip(reader_t *reader) {
    size_t start = reader->at;

    while (is_digit(peek(reader)))
        reader->at++;
    return reader->at - start;
}

static bool number_check(reader_t *reader) {
    (void)take(reader, '-');
    if (!take(reader, '0') && digits_skip(reader) == 0)
        return false;
    if (take(reader, '.') && digits_skip(reader) == 0)
        return false;
    if (peek(reader) == 'e' || peek(reader) == 'E') {
        reader->at++;
        if (!take(reader, '+'))
            (void)take(reader, '-');
        if (digits_skip(reader) == 0)
            return false;
    }
    return true;
}

static bool word_check(reader_t *reader, const char *word) {
    size_t length = strlen(word);

    if (reader->length - reader->at < length || memcmp(reader->text + reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

/* A value that is neither object nor array. */
static bool scalar_check(reader_t *reader) {
    switch (peek(reader)) {
    case '"':
        return string_check(reader);
    case 't':
        return word_check(reader, "true");
    case 'f':
        return word_check(reader, "false");
    case 'n':
        return word_check(reader, "null");
    default:
        return number_check(reader);
    }
}

/* After '{' or ',' of an object: the name and its colon. */
static bool name_check(reader_t *reader) {
    blanks_skip(reader);
    if (!string_check(reader))
        return false;
    blanks_skip(reader);
    return take(reader, ':');
}

/* What is open, from the outermost on: '{' or '['. */
typedef struct {
    char open[DIVVY_WIRE_JSON_DEPTH_MAX];
    unsigned depth;
} nesting_t;

/* Opens objects and arrays until a scalar or an empty one has been read. */
static int value_begin(reader_t *reader, nesting_t *nesting) {
    for (;;) {
        char byte;

        blanks_skip(reader);
        byte = peek(reader);
        if (byte != '{' && byte != '[')
            return scalar_check(reader) ? 0 : -EINVAL;
        if (nesting->depth == DIVVY_WIRE_JSON_DEPTH_MAX)
            return -E2BIG;
        reader->at++;
        blanks_skip(reader);
        if (take(reader, byte == '{' ? '}' : ']'))
            return 0;
        nesting->open[nesting->depth++] = byte;
        if (byte == '{' && !name_check(reader))
            return -EINVAL;
    }
}

/* After a value: closes what ends here. 1: a comma, and another value begins; 0: nothing is open. */
static int value_end(reader_t *reader, nesting_t *nesting) {
    while (nesting->depth > 0) {
        char open = nesting->open[nesting->depth - 1];

        blanks_skip(reader);
        if (take(reader, ','))
            return open == '{' && !name_check(reader) ? -EINVAL : 1;
        if (!take(reader, open == '{' ? '}' : ']'))
            return -EINVAL;
        nesting->depth--;
    }
    return 0;
}

static int value_check(reader_t *reader) {
    nesting_t nesting = {.depth = 0};
    int status;

    do {
        status = value_begin(reader, &nesting);
        if (status == 0)
            status = value_end(reader, &nesting);
    } while (status > 0);
    return status;
}

int divvy_wire_json_check(const char *text, size_t length, divvy_wire_json_t *ret_value) {
    reader_t reader = {text, length, 0};
    size_t start;
    int status;

    blanks_skip(&reader);
    start = reader.at;
    status = value_check(&reader);
    if (status < 0)
        return status;
    *ret_value = (divvy_wire_json_t){text + start, reader.at - start};
    blanks_skip(&reader);
    return reader.at == length ? 0 : -EINVAL;
}

/* ---- looking into a checked text ---- */

static divvy_wire_json_t value_take(reader_t *reader) {
    size_t start;

    blanks_skip(reader);
    start = reader->at;
    (void)value_check(reader);
    return (divvy_wire_json_t){reader->text + start, reader->at - start};
}

int divvy_wire_json_member(divvy_wire_json_t object, const char *name, divvy_wire_json_t *ret_value) {
    reader_t reader = {object.text, object.length, 1};
    size_t length = strlen(name);
    unsigned found = 0;
    divvy_wire_json_t result = {NULL, 0};

    if (object.length < 2 || object.text[0] != '{')
        return -ENOENT;
    blanks_skip(&reader);
    while (peek(&reader) == '"') {
        size_t start = reader.at + 1;
        divvy_wire_json_t value;
        bool is_it;

        (void)string_check(&reader);
        is_it = reader.at - 1 - start == length && memcmp(reader.text + start, name, length) == 0;
        blanks_skip(&reader);
        (void)take(&reader, ':');
        value = value_take(&reader);
        if (is_it) {
            result = value;
            found++;
        }
        blanks_skip(&reader);
        if (!take(&reader, ','))
            break;
        blanks_skip(&reader);
    }
    if (found != 1)
        return found == 0 ? -ENOENT : -EEXIST;
    *ret_value = result;
    return 0;
}

bool divvy_wire_json_next(divvy_wire_json_t array, size_t *at, divvy_wire_json_t *ret_value) {
    reader_t reader = {array.text, array.length, *at ? *at : 1};

    if (array.length < 2 || array.text[0] != '[')
        return false;
    blanks_skip(&reader);
    if (*at)
        (void)take(&reader, ',');
    blanks_skip(&reader);
    if (reader.at >= array.length || peek(&reader) == ']')
        return false;
    *ret_value = value_take(&reader);
    *at = reader.at;
    return true;
}

int divvy_wire_json_u64(divvy_wire_json_t value, uint64_t *ret_value) {
    uint64_t number = 0;

    if (value.length == 0)
        return -EINVAL;
    for (size_t at = 0; at < value.length; at++) {
        if (!is_digit(value.text[at]))
            return -EINVAL;
        if (divvy_core_u64_mul(number, 10, &number) < 0 ||
            divvy_core_u64_add(number, (uint64_t)(value.text[at] - '0'), &number) < 0)
            return -ERANGE;
    }
    *ret_value = number;
    return 0;
}

int divvy_wire_json_bool(divvy_wire_json_t value, bool *ret_value) {
    if (value.length == 0 || (value.text[0] != 't' && value.text[0] != 'f'))
        return -EINVAL;
    *ret_value = value.text[0] == 't';
    return 0;
}

bool divvy_wire_json_is_null(divvy_wire_json_t value) {
    return value.length > 0 && value.text[0] == 'n';
}
