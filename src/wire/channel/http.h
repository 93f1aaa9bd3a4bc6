/*
 * Reading an HTTP/1.1 answer, and the two kinds of bodies that carry tasks, as they come in pieces: pure, bounded, nothing
 * allocated. What is malformed ends the answer; what is merely too large for its buffer is skipped and counted.
 */
#ifndef DIVVY_WIRE_CHANNEL_HTTP_H
#define DIVVY_WIRE_CHANNEL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_HTTP_LINE_BYTES   1024  /* of a header line; longer ones are not understood, and skipped */
#define DIVVY_WIRE_HTTP_HEADER_BYTES 32768 /* of all header lines; more ends the answer */

/* Takes a piece of the body. 0, or a negative errno that ends the reading. */
typedef int divvy_wire_http_sink_t(void *context, const char *bytes, size_t length);

enum divvy_wire_http_state {
    DIVVY_WIRE_HTTP_STATUS_LINE,
    DIVVY_WIRE_HTTP_HEADERS,
    DIVVY_WIRE_HTTP_BODY_LENGTH, /* so many bytes */
    DIVVY_WIRE_HTTP_BODY_CLOSE,  /* until the connection ends */
    DIVVY_WIRE_HTTP_CHUNK_SIZE,
    DIVVY_WIRE_HTTP_CHUNK,
    DIVVY_WIRE_HTTP_CHUNK_END,
    DIVVY_WIRE_HTTP_TRAILER,
    DIVVY_WIRE_HTTP_DONE
};

struct divvy_wire_http_answer {
    enum divvy_wire_http_state state;
    int status; /* 100 to 599; 0 not yet known */
    bool is_event_stream, is_json; /* by Content-Type */
    bool is_chunked, has_length;
    uint64_t left;       /* of the body or the chunk */
    size_t header_bytes;
    size_t line_length;
    bool line_is_long;
    char line[DIVVY_WIRE_HTTP_LINE_BYTES];
};

void divvy_wire_http_answer_init(struct divvy_wire_http_answer *answer);

/*
 * Bytes from the connection. 0 (look at answer->state for the end), -EPROTO (not HTTP/1.x, or malformed), -EMSGSIZE (headers
 * without end), or what the sink said. Bytes behind the end are ignored.
 */
int divvy_wire_http_answer_feed(struct divvy_wire_http_answer *answer, const char *bytes, size_t length, divvy_wire_http_sink_t *sink,
                           void *context);

/* The connection has ended: 0 if the answer is whole, -EPIPE if not. */
int divvy_wire_http_answer_end(struct divvy_wire_http_answer *answer);

/* ---- Server-Sent Events ---- */

#define DIVVY_WIRE_SSE_DATA_BYTES 24576 /* data of an event: what the server lets through, and its envelope */

/* An event with data; `is_error`: it was named "error". 0, or a negative errno that ends the reading. */
typedef int divvy_wire_sse_event_t(void *context, bool is_error, const char *data, size_t length);

struct divvy_wire_sse {
    divvy_wire_sse_event_t *event;
    void *context;
    uint64_t dropped; /* events that were too large */
    bool is_error, is_too_large, has_data;
    bool after_return; /* the last byte was a CR */
    size_t data_length;
    size_t line_length; /* of the field name, then of what has been seen */
    enum { DIVVY_WIRE_SSE_NAME, DIVVY_WIRE_SSE_DATA, DIVVY_WIRE_SSE_EVENT, DIVVY_WIRE_SSE_IGNORED } field;
    bool skip_blank; /* one blank after the colon is no part of the value */
    char name[16];
    char data[DIVVY_WIRE_SSE_DATA_BYTES];
};

void divvy_wire_sse_init(struct divvy_wire_sse *sse, divvy_wire_sse_event_t *event, void *context);
int divvy_wire_sse_feed(struct divvy_wire_sse *sse, const char *bytes, size_t length);

/* ---- an array of tasks ---- */

/* Cuts the elements out of an array, each at most DIVVY_WIRE_SSE_DATA_BYTES: uses the buffer of a struct divvy_wire_sse. */
struct divvy_wire_array {
    struct divvy_wire_sse *sse; /* its event function gets the elements */
    uint64_t count;        /* elements so far */
    unsigned depth;        /* brackets that are open */
    bool in_string, is_escaped, is_done;
};

void divvy_wire_array_init(struct divvy_wire_array *array, struct divvy_wire_sse *sse);
/* -EPROTO: no array. Whether elements are valid JSON is for the event function to find out. */
int divvy_wire_array_feed(struct divvy_wire_array *array, const char *bytes, size_t length);

#endif
