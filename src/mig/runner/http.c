/* Heads and bodies of HTTP/1: see http.h. */
#include "mig/runner/http.h"

#include "core/checked.h"
#include "core/parse.h"

#include <errno.h>
#include <string.h>

/* ---- heads ---- */

int divvy_runner_http_head_find(const char *bytes, size_t length, size_t *searched) {
    size_t limit = length < DIVVY_RUNNER_HTTP_HEAD_BYTES ? length : DIVVY_RUNNER_HTTP_HEAD_BYTES;

    for (size_t i = *searched; i < limit; i++) {
        if (bytes[i] == '\0' || (bytes[i] == '\n' && (i == 0 || bytes[i - 1] != '\r')))
            return -EPROTO;
        if (bytes[i] == '\n' && i >= 3 && bytes[i - 2] == '\n')
            return (int)(i + 1);
    }
    *searched = limit;
    return length >= DIVVY_RUNNER_HTTP_HEAD_BYTES ? -E2BIG : 0;
}

/* What the fields of a head say of its body. */
struct fields {
    bool has_length, has_coding, is_chunked, is_close, is_keep_alive, is_upgrade;
    uint64_t length_bytes;
};

static bool is_token_byte(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte));
}

static bool is_token(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!is_token_byte(text[i]))
            return false;
    return length > 0;
}

/* Each element of a comma-separated list; empty ones are skipped. false at its end. */
static bool list_next(const char **at, const char *end, const char **ret_word, size_t *ret_length) {
    while (*at < end && (**at == ',' || **at == ' ' || **at == '\t'))
        (*at)++;
    *ret_word = *at;
    while (*at < end && **at != ',')
        (*at)++;
    *ret_length = (size_t)(*at - *ret_word);
    while (*ret_length > 0 && ((*ret_word)[*ret_length - 1] == ' ' || (*ret_word)[*ret_length - 1] == '\t'))
        (*ret_length)--;
    return *ret_length > 0;
}

static int field_length(struct fields *fields, const char *value, size_t length) {
    uint64_t bytes;

    /* "5, 5" and repeated fields are legal when equal; nobody needs them, and readers differ. */
    if (fields->has_length || length > 19 || divvy_core_u64_parse(value, length, &bytes, NULL) < 0)
        return -EPROTO;
    fields->has_length = true;
    fields->length_bytes = bytes;
    return 0;
}

static int field_coding(struct fields *fields, const char *value, size_t length) {
    if (fields->has_coding)
        return -EPROTO;
    fields->has_coding = true;
    fields->is_chunked = divvy_core_word_equal(value, length, "chunked");
    return fields->is_chunked ? 0 : -EOPNOTSUPP;
}

static int field_connection(struct fields *fields, const char *value, size_t length) {
    const char *at = value, *end = value + length, *word;
    size_t size;

    while (list_next(&at, end, &word, &size)) {
        fields->is_close |= divvy_core_word_equal(word, size, "close");
        fields->is_keep_alive |= divvy_core_word_equal(word, size, "keep-alive");
        fields->is_upgrade |= divvy_core_word_equal(word, size, "upgrade");
    }
    return 0;
}

static const struct {
    const char *name;
    int (*take)(struct fields *fields, const char *value, size_t length);
} known_fields[] = {
    {"content-length", field_length}, {"transfer-encoding", field_coding}, {"connection", field_connection}};

/* One line, without its end. */
static int field_take(struct fields *fields, const char *line, size_t length) {
    const char *colon = memchr(line, ':', length), *value;
    size_t left;

    /* A name holds no blank: folded lines and blanks before the colon end here too. */
    if (!colon || !is_token(line, (size_t)(colon - line)))
        return -EPROTO;
    value = colon + 1;
    left = length - (size_t)(value - line);
    if (memchr(value, '\r', left))
        return -EPROTO;
    for (; left > 0 && (*value == ' ' || *value == '\t'); left--)
        value++;
    while (left > 0 && (value[left - 1] == ' ' || value[left - 1] == '\t'))
        left--;
    for (size_t i = 0; i < sizeof known_fields / sizeof known_fields[0]; i++)
        if (divvy_core_word_equal(line, (size_t)(colon - line), known_fields[i].name))
            return known_fields[i].take(fields, value, left);
    return 0;
}

/* The lines behind the first, up to the empty one that ends the head. */
static int fields_parse(const char *at, const char *end, struct fields *ret_fields) {
    unsigned int count = 0;

    *ret_fields = (struct fields){0};
    while (at + 2 < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        int status;

        if (!line_end || line_end == at || line_end[-1] != '\r' || ++count > DIVVY_RUNNER_HTTP_FIELDS)
            return -EPROTO;
        status = field_take(ret_fields, at, (size_t)(line_end - 1 - at));
        if (status < 0)
            return status;
        at = line_end + 1;
    }
    if (end - at != 2 || at[0] != '\r' || at[1] != '\n')
        return -EPROTO;
    return ret_fields->has_length && ret_fields->has_coding ? -EPROTO : 0;
}

/* "HTTP/1.x": its last digit, or an error. */
static int version_parse(const char *text, size_t length) {
    if (length != 8 || memcmp(text, "HTTP/", 5) != 0)
        return -EPROTO;
    if (memcmp(text, "HTTP/1.", 7) != 0 || (text[7] != '0' && text[7] != '1'))
        return -EOPNOTSUPP;
    return text[7] - '0';
}

static void connection_judge(const struct fields *fields, int minor, struct divvy_runner_http_head *ret_head) {
    ret_head->is_last = fields->is_close || (minor == 0 && !fields->is_keep_alive);
    ret_head->length_bytes = fields->has_length ? fields->length_bytes : 0;
}

int divvy_runner_http_request_parse(const char *head, size_t length, struct divvy_runner_http_head *ret_head) {
    const char *line_end = memchr(head, '\r', length), *target, *version;
    struct fields fields;
    int minor, status;

    *ret_head = (struct divvy_runner_http_head){0};
    if (!line_end || line_end + 2 > head + length || line_end[1] != '\n')
        return -EPROTO;
    target = memchr(head, ' ', (size_t)(line_end - head));
    version = target ? memchr(target + 1, ' ', (size_t)(line_end - target - 1)) : NULL;
    if (!version || !is_token(head, (size_t)(target - head)) || version == target + 1)
        return -EPROTO;
    ret_head->method_length = (size_t)(target - head);
    ret_head->target_at = ret_head->method_length + 1;
    ret_head->target_length = (size_t)(version - target - 1);
    for (size_t i = 0; i < ret_head->target_length; i++)
        if ((unsigned char)target[1 + i] <= ' ' || target[1 + i] == 0x7f)
            return -EPROTO;
    minor = version_parse(version + 1, (size_t)(line_end - version - 1));
    if (minor < 0)
        return minor;
    status = fields_parse(line_end + 2, head + length, &fields);
    if (status < 0)
        return status;
    if (ret_head->method_length == 7 && memcmp(head, "CONNECT", 7) == 0)
        return -EOPNOTSUPP;
    /* Chunks came with 1.1; a 1.0 proxy before us would not have understood them. */
    if (fields.is_chunked && minor == 0)
        return -EPROTO;
    connection_judge(&fields, minor, ret_head);
    ret_head->is_head = ret_head->method_length == 4 && memcmp(head, "HEAD", 4) == 0;
    ret_head->is_upgrade = fields.is_upgrade;
    if (fields.is_chunked)
        ret_head->framing = DIVVY_RUNNER_HTTP_CHUNKED;
    else if (ret_head->length_bytes > 0)
        ret_head->framing = DIVVY_RUNNER_HTTP_LENGTH;
    return 0;
}

/* "HTTP/1.1 200 OK": the status, or an error. */
static int status_parse(const char *line, size_t length) {
    uint64_t status;

    if (length < 12 || line[8] != ' ' || (length > 12 && line[12] != ' ') ||
        divvy_core_u64_parse(line + 9, 3, &status, NULL) < 0 || status < 100 || status > 599)
        return -EPROTO;
    return (int)status;
}

int divvy_runner_http_answer_parse(const char *head, size_t length, bool is_head, bool is_upgrade,
                                   struct divvy_runner_http_head *ret_head) {
    const char *line_end = memchr(head, '\r', length);
    struct fields fields;
    int minor, status;

    *ret_head = (struct divvy_runner_http_head){0};
    if (!line_end || line_end + 2 > head + length || line_end[1] != '\n' || line_end - head < 12)
        return -EPROTO;
    minor = version_parse(head, 8);
    if (minor < 0)
        return minor;
    status = status_parse(head, (size_t)(line_end - head));
    if (status < 0)
        return status;
    ret_head->status = (unsigned int)status;
    status = fields_parse(line_end + 2, head + length, &fields);
    if (status < 0)
        return status;
    connection_judge(&fields, minor, ret_head);
    if (ret_head->status == 101) {
        ret_head->framing = DIVVY_RUNNER_HTTP_TUNNEL;
        return is_upgrade ? 0 : -EPROTO;
    }
    if (is_head || ret_head->status < 200 || ret_head->status == 204 || ret_head->status == 304)
        return 0;
    if (fields.is_chunked)
        ret_head->framing = DIVVY_RUNNER_HTTP_CHUNKED;
    else if (!fields.has_length)
        ret_head->framing = DIVVY_RUNNER_HTTP_CLOSE;
    else if (ret_head->length_bytes > 0)
        ret_head->framing = DIVVY_RUNNER_HTTP_LENGTH;
    return 0;
}

/* ---- bodies ---- */

enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_LINE_END, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF, TRAILER, TRAILER_END };

void divvy_runner_http_body_begin(struct divvy_runner_http_body *body, const struct divvy_runner_http_head *head) {
    *body = (struct divvy_runner_http_body){.framing = head->framing,
                                            .state = CHUNK_SIZE,
                                            .left_bytes = head->framing == DIVVY_RUNNER_HTTP_LENGTH ? head->length_bytes : 0,
                                            .is_done = head->framing == DIVVY_RUNNER_HTTP_NONE};
}

static int hex_value(char byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte = divvy_core_ascii_lower(byte);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The line before a chunk: "1a2b;name=value". */
static int size_byte(struct divvy_runner_http_body *body, char byte) {
    int digit = hex_value(byte);

    if (body->state == CHUNK_SIZE && digit >= 0) {
        if (body->left_bytes >> 56)
            return -EPROTO;
        body->left_bytes = body->left_bytes << 4 | (uint64_t)digit;
        body->any = true;
        return 0;
    }
    if (!body->any)
        return -EPROTO;
    if (byte == '\r')
        body->state = CHUNK_LINE_END;
    else if (body->state == CHUNK_EXTENSION || byte == ';' || byte == ' ' || byte == '\t')
        body->state = CHUNK_EXTENSION;
    else
        return -EPROTO;
    return byte == '\n' || byte == '\0' ? -EPROTO : 0;
}

static int line_end_byte(struct divvy_runner_http_body *body, char byte) {
    if (byte != '\n')
        return -EPROTO;
    body->state = body->left_bytes > 0 ? CHUNK_DATA : TRAILER;
    body->any = false;
    body->line_bytes = 0;
    return 0;
}

/* Lines behind the last chunk; an empty one ends the body. */
static int trailer_byte(struct divvy_runner_http_body *body, char byte) {
    if (body->state == TRAILER_END) {
        if (byte != '\n')
            return -EPROTO;
        body->is_done = !body->any;
        body->any = false;
        body->state = TRAILER;
        return 0;
    }
    if (byte == '\r')
        body->state = TRAILER_END;
    else
        body->any = true;
    return byte == '\n' || byte == '\0' ? -EPROTO : 0;
}

static int chunk_byte(struct divvy_runner_http_body *body, char byte) {
    switch (body->state) {
    case CHUNK_SIZE:
    case CHUNK_EXTENSION:
        return ++body->line_bytes > DIVVY_RUNNER_HTTP_CHUNK_BYTES ? -EPROTO : size_byte(body, byte);
    case CHUNK_LINE_END:
        return line_end_byte(body, byte);
    case CHUNK_DATA_CR:
        body->state = CHUNK_DATA_LF;
        return byte == '\r' ? 0 : -EPROTO;
    case CHUNK_DATA_LF:
        body->state = CHUNK_SIZE;
        return byte == '\n' ? 0 : -EPROTO;
    default:
        return ++body->line_bytes > DIVVY_RUNNER_HTTP_TRAILER_BYTES ? -EPROTO : trailer_byte(body, byte);
    }
}

static size_t smaller(uint64_t a, size_t b) {
    return a < b ? (size_t)a : b;
}

int divvy_runner_http_body_take(struct divvy_runner_http_body *body, const char *bytes, size_t length, size_t *ret_taken) {
    size_t taken = 0;

    while (taken < length && !body->is_done) {
        size_t plain = smaller(divvy_runner_http_body_plain(body), length - taken);
        int status;

        if (plain > 0) {
            divvy_runner_http_body_skip(body, plain);
            taken += plain;
            continue;
        }
        status = chunk_byte(body, bytes[taken]);
        if (status < 0)
            return status;
        taken++;
    }
    *ret_taken = taken;
    return 0;
}

uint64_t divvy_runner_http_body_plain(const struct divvy_runner_http_body *body) {
    if (body->is_done)
        return 0;
    if (body->framing == DIVVY_RUNNER_HTTP_CLOSE || body->framing == DIVVY_RUNNER_HTTP_TUNNEL)
        return UINT64_MAX;
    if (body->framing == DIVVY_RUNNER_HTTP_LENGTH || body->state == CHUNK_DATA)
        return body->left_bytes;
    return 0;
}

void divvy_runner_http_body_skip(struct divvy_runner_http_body *body, uint64_t bytes) {
    if (body->framing == DIVVY_RUNNER_HTTP_CLOSE || body->framing == DIVVY_RUNNER_HTTP_TUNNEL)
        return;
    body->left_bytes = divvy_core_u64_sub_floored(body->left_bytes, bytes);
    if (body->left_bytes > 0)
        return;
    if (body->framing == DIVVY_RUNNER_HTTP_LENGTH)
        body->is_done = true;
    else
        body->state = CHUNK_DATA_CR;
}
