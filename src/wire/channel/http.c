/* Answers and bodies in pieces: see http.h. */
#include "wire/channel/http.h"

#include "core/parse.h"

#include <errno.h>
#include <string.h>

void divvy_wire_http_answer_init(struct divvy_wire_http_answer *answer) {
    answer->state = DIVVY_WIRE_HTTP_STATUS_LINE;
    answer->status = 0;
    answer->is_event_stream = answer->is_json = answer->is_chunked = answer->has_length = false;
    answer->left = 0;
    answer->header_bytes = answer->line_length = 0;
    answer->line_is_long = false;
}

/* ---- lines of the header ---- */

static int status_line(struct divvy_wire_http_answer *answer) {
    const char *line = answer->line;
    uint64_t status;

    /* "HTTP/1.1 200 OK" */
    if (answer->line_is_long || answer->line_length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
        divvy_core_u64_parse(line + 9, 3, &status, NULL) < 0 || status < 100 || status > 599 ||
        (answer->line_length > 12 && line[12] != ' '))
        return -EPROTO;
    answer->status = (int)status;
    answer->state = DIVVY_WIRE_HTTP_HEADERS;
    return 0;
}

/* Whether a header's value begins with this word, up to its end, ';' or a blank. */
static bool value_is(const char *value, size_t length, const char *word) {
    size_t end = 0;

    while (end < length && value[end] != ';' && value[end] != ' ' && value[end] != ',')
        end++;
    return divvy_core_word_equal(value, end, word);
}

static int header_line(struct divvy_wire_http_answer *answer) {
    const char *line = answer->line, *colon = memchr(line, ':', answer->line_length), *value;
    size_t name_length, length;
    uint64_t bytes;

    if (answer->line_is_long)
        return 0;
    if (!colon || colon == line)
        return -EPROTO;
    name_length = (size_t)(colon - line);
    value = colon + 1;
    length = answer->line_length - name_length - 1;
    while (length > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        length--;
    }
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
        length--;
    if (divvy_core_word_equal(line, name_length, "content-length")) {
        if (divvy_core_u64_parse(value, length, &bytes, NULL) < 0 || (answer->has_length && bytes != answer->left))
            return -EPROTO;
        answer->has_length = true;
        answer->left = bytes;
    } else if (divvy_core_word_equal(line, name_length, "transfer-encoding")) {
        if (!value_is(value, length, "chunked"))
            return -EPROTO;
        answer->is_chunked = true;
    } else if (divvy_core_word_equal(line, name_length, "content-type")) {
        answer->is_event_stream = value_is(value, length, "text/event-stream");
        answer->is_json = value_is(value, length, "application/json");
    }
    return 0;
}

static void headers_end(struct divvy_wire_http_answer *answer) {
    if (answer->status < 200) {
        divvy_wire_http_answer_init(answer); /* "100 Continue" and its like: the answer itself follows */
    } else if (answer->status == 204 || answer->status == 304) {
        answer->state = DIVVY_WIRE_HTTP_DONE;
    } else if (answer->is_chunked) {
        answer->state = DIVVY_WIRE_HTTP_CHUNK_SIZE;
    } else if (answer->has_length) {
        answer->state = answer->left > 0 ? DIVVY_WIRE_HTTP_BODY_LENGTH : DIVVY_WIRE_HTTP_DONE;
    } else {
        answer->state = DIVVY_WIRE_HTTP_BODY_CLOSE;
    }
}

static int chunk_size(struct divvy_wire_http_answer *answer) {
    uint64_t size = 0;
    size_t digits = 0;

    for (; digits < answer->line_length; digits++) {
        char byte = divvy_core_ascii_lower(answer->line[digits]);

        if (!((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f')))
            break;
        if (digits == 15)
            return -EPROTO;
        size = size << 4 | (uint64_t)(byte <= '9' ? byte - '0' : byte - 'a' + 10);
    }
    if (digits == 0 || (digits < answer->line_length && answer->line[digits] != ';' && answer->line[digits] != ' '))
        return -EPROTO;
    answer->left = size;
    answer->state = size > 0 ? DIVVY_WIRE_HTTP_CHUNK : DIVVY_WIRE_HTTP_TRAILER;
    answer->header_bytes = 0;
    return 0;
}

/* A whole line, without its end. */
static int line_take(struct divvy_wire_http_answer *answer) {
    int status = 0;

    if (answer->line_length > 0 && !answer->line_is_long && answer->line[answer->line_length - 1] == '\r')
        answer->line_length--;
    switch (answer->state) {
    case DIVVY_WIRE_HTTP_STATUS_LINE:
        status = status_line(answer);
        break;
    case DIVVY_WIRE_HTTP_HEADERS:
        if (answer->line_length == 0)
            headers_end(answer);
        else
            status = header_line(answer);
        break;
    case DIVVY_WIRE_HTTP_CHUNK_SIZE:
        status = answer->line_is_long ? -EPROTO : chunk_size(answer);
        break;
    case DIVVY_WIRE_HTTP_CHUNK_END:
        status = answer->line_length == 0 ? 0 : -EPROTO;
        answer->state = DIVVY_WIRE_HTTP_CHUNK_SIZE;
        break;
    default: /* DIVVY_WIRE_HTTP_TRAILER */
        if (answer->line_length == 0)
            answer->state = DIVVY_WIRE_HTTP_DONE;
        break;
    }
    answer->line_length = 0;
    answer->line_is_long = false;
    return status;
}

static int line_feed(struct divvy_wire_http_answer *answer, char byte) {
    if (++answer->header_bytes > DIVVY_WIRE_HTTP_HEADER_BYTES)
        return -EMSGSIZE;
    if (byte == '\n')
        return line_take(answer);
    if (answer->line_length < sizeof answer->line)
        answer->line[answer->line_length++] = byte;
    else
        answer->line_is_long = true;
    return 0;
}

static bool is_in_body(const struct divvy_wire_http_answer *answer) {
    return answer->state == DIVVY_WIRE_HTTP_BODY_LENGTH || answer->state == DIVVY_WIRE_HTTP_BODY_CLOSE ||
           answer->state == DIVVY_WIRE_HTTP_CHUNK;
}

/* As much of the body as there is; bytes used, or what the sink said. */
static int64_t body_feed(struct divvy_wire_http_answer *answer, const char *bytes, size_t length, divvy_wire_http_sink_t *sink,
                         void *context) {
    int status;

    if (answer->state != DIVVY_WIRE_HTTP_BODY_CLOSE && length > answer->left)
        length = (size_t)answer->left;
    status = sink(context, bytes, length);
    if (status < 0)
        return status;
    if (answer->state == DIVVY_WIRE_HTTP_BODY_CLOSE)
        return (int64_t)length;
    answer->left -= length;
    if (answer->left == 0)
        answer->state = answer->state == DIVVY_WIRE_HTTP_CHUNK ? DIVVY_WIRE_HTTP_CHUNK_END : DIVVY_WIRE_HTTP_DONE;
    return (int64_t)length;
}

int divvy_wire_http_answer_feed(struct divvy_wire_http_answer *answer, const char *bytes, size_t length, divvy_wire_http_sink_t *sink,
                           void *context) {
    size_t at = 0;

    while (at < length && answer->state != DIVVY_WIRE_HTTP_DONE) {
        int64_t used = 1;

        if (is_in_body(answer)) {
            used = body_feed(answer, bytes + at, length - at, sink, context);
            if (used < 0)
                return (int)used;
        } else {
            int status = line_feed(answer, bytes[at]);

            if (status < 0)
                return status;
        }
        at += (size_t)used;
    }
    return 0;
}

int divvy_wire_http_answer_end(struct divvy_wire_http_answer *answer) {
    if (answer->state == DIVVY_WIRE_HTTP_BODY_CLOSE)
        answer->state = DIVVY_WIRE_HTTP_DONE;
    return answer->state == DIVVY_WIRE_HTTP_DONE ? 0 : -EPIPE;
}

/* ---- Server-Sent Events ---- */

void divvy_wire_sse_init(struct divvy_wire_sse *sse, divvy_wire_sse_event_t *event, void *context) {
    sse->event = event;
    sse->context = context;
    sse->dropped = 0;
    sse->is_error = sse->is_too_large = sse->has_data = sse->after_return = sse->skip_blank = false;
    sse->data_length = sse->line_length = 0;
    sse->field = DIVVY_WIRE_SSE_NAME;
}

static void data_add(struct divvy_wire_sse *sse, char byte) {
    if (sse->data_length < sizeof sse->data)
        sse->data[sse->data_length++] = byte;
    else
        sse->is_too_large = true;
}

/* An empty line: the event is whole. */
static int event_end(struct divvy_wire_sse *sse) {
    bool is_whole = sse->has_data && !sse->is_too_large, is_error = sse->is_error;
    size_t length = sse->data_length;

    if (sse->is_too_large)
        sse->dropped++;
    sse->is_error = sse->is_too_large = sse->has_data = false;
    sse->data_length = 0;
    return is_whole ? sse->event(sse->context, is_error, sse->data, length) : 0;
}

/* The name is whole: what its value is to be taken for. A second line of data is joined by a line break. */
static void field_begin(struct divvy_wire_sse *sse) {
    if (sse->line_length == 4 && memcmp(sse->name, "data", 4) == 0) {
        if (sse->has_data)
            data_add(sse, '\n');
        sse->has_data = true;
        sse->field = DIVVY_WIRE_SSE_DATA;
    } else {
        sse->field = sse->line_length == 5 && memcmp(sse->name, "event", 5) == 0 ? DIVVY_WIRE_SSE_EVENT : DIVVY_WIRE_SSE_IGNORED;
    }
    sse->line_length = 0;
    sse->skip_blank = true;
}

static int sse_line_end(struct divvy_wire_sse *sse) {
    int status = 0;

    if (sse->field == DIVVY_WIRE_SSE_NAME && sse->line_length == 0)
        status = event_end(sse);
    else if (sse->field == DIVVY_WIRE_SSE_NAME)
        field_begin(sse); /* a name without value */
    else if (sse->field == DIVVY_WIRE_SSE_EVENT)
        sse->is_error = sse->line_length == 5 && memcmp(sse->name, "error", 5) == 0;
    sse->field = DIVVY_WIRE_SSE_NAME;
    sse->line_length = 0;
    sse->skip_blank = false;
    return status;
}

static void sse_byte(struct divvy_wire_sse *sse, char byte) {
    if (sse->field == DIVVY_WIRE_SSE_NAME && byte == ':') {
        field_begin(sse);
        return;
    }
    if (sse->skip_blank) {
        sse->skip_blank = false;
        if (byte == ' ')
            return;
    }
    if (sse->field == DIVVY_WIRE_SSE_DATA) {
        data_add(sse, byte);
        return;
    }
    /* Names and kinds that do not fit are none that we know. */
    if (sse->line_length < sizeof sse->name)
        sse->name[sse->line_length++] = byte;
}

int divvy_wire_sse_feed(struct divvy_wire_sse *sse, const char *bytes, size_t length) {
    for (size_t at = 0; at < length; at++) {
        bool is_second = sse->after_return && bytes[at] == '\n';

        sse->after_return = bytes[at] == '\r';
        if (is_second)
            continue;
        if (bytes[at] == '\n' || bytes[at] == '\r') {
            int status = sse_line_end(sse);

            if (status < 0)
                return status;
        } else {
            sse_byte(sse, bytes[at]);
        }
    }
    return 0;
}

/* ---- an array ---- */

void divvy_wire_array_init(struct divvy_wire_array *array, struct divvy_wire_sse *sse) {
    *array = (struct divvy_wire_array){.sse = sse};
}

static int element_end(struct divvy_wire_array *array) {
    array->sse->has_data = array->sse->data_length > 0 || array->sse->is_too_large;
    array->count += array->sse->has_data;
    return event_end(array->sse);
}

/* A byte within an element. */
static void element_add(struct divvy_wire_array *array, char byte) {
    if (array->in_string) {
        if (array->is_escaped)
            array->is_escaped = false;
        else if (byte == '\\')
            array->is_escaped = true;
        else if (byte == '"')
            array->in_string = false;
    } else if (byte == '"') {
        array->in_string = true;
    }
    if (array->in_string || byte == '"' || !memchr(" \t\r\n", byte, 4))
        data_add(array->sse, byte);
}

static int array_byte(struct divvy_wire_array *array, char byte) {
    if (array->is_done || array->depth == 0) {
        if (byte == '[' && !array->is_done) {
            array->depth = 1;
            return 0;
        }
        return memchr(" \t\r\n", byte, 4) ? 0 : -EPROTO;
    }
    if (!array->in_string) {
        if (byte == '[' || byte == '{')
            array->depth++;
        else if (byte == ']' || byte == '}')
            array->depth--;
        if (array->depth == 0) {
            array->is_done = true;
            return element_end(array);
        }
        if (array->depth == 1 && byte == ',')
            return element_end(array);
    }
    element_add(array, byte);
    return 0;
}

int divvy_wire_array_feed(struct divvy_wire_array *array, const char *bytes, size_t length) {
    for (size_t at = 0; at < length; at++) {
        int status = array_byte(array, bytes[at]);

        if (status < 0)
            return status;
    }
    return 0;
}
