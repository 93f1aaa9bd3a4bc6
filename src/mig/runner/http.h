/*
 * Messages of HTTP/1.0 and 1.1 as one that passes them on must see them: where a head ends, how its body is framed, where the
 * body ends. What two readers could take for two different messages is refused (bare line feeds, a length beside chunks, two
 * lengths, folded lines, blanks before a colon, codings other than a last "chunked"), so that nothing can be smuggled past
 * one of them. Pure, no allocation; all input is hostile.
 */
#ifndef DIVVY_MIG_RUNNER_HTTP_H
#define DIVVY_MIG_RUNNER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_RUNNER_HTTP_HEAD_BYTES    16384u /* of one head, its empty line included; longer ones are refused */
#define DIVVY_RUNNER_HTTP_FIELDS        200u
#define DIVVY_RUNNER_HTTP_CHUNK_BYTES   256u  /* of the line before a chunk, with its extensions */
#define DIVVY_RUNNER_HTTP_TRAILER_BYTES 8192u /* of all lines behind the last chunk */

enum divvy_runner_http_framing {
    DIVVY_RUNNER_HTTP_NONE,    /* no body */
    DIVVY_RUNNER_HTTP_LENGTH,  /* length_bytes of it */
    DIVVY_RUNNER_HTTP_CHUNKED,
    DIVVY_RUNNER_HTTP_CLOSE,   /* until the connection ends; answers only */
    DIVVY_RUNNER_HTTP_TUNNEL,  /* not HTTP any more: the answer was 101 */
};

struct divvy_runner_http_head {
    enum divvy_runner_http_framing framing;
    uint64_t length_bytes;
    bool is_last;    /* the connection ends behind this message: "close", or 1.0 without "keep-alive" */
    bool is_head;    /* requests: HEAD, whose answer has no body */
    bool is_upgrade; /* requests: asks for another protocol */
    unsigned int status;                   /* answers */
    size_t method_length;                  /* requests; the method begins the head */
    size_t target_at, target_length;       /* requests */
};

/*
 * Bytes of the head at the beginning of `bytes`, its empty line included; 0: there is more of it to come. `*searched` is 0 at
 * first and carries what was looked at between calls. -EPROTO when what is here can be no head (a bare LF, a NUL); -E2BIG.
 */
int divvy_runner_http_head_find(const char *bytes, size_t length, size_t *searched);

/* A whole head. 0; -EPROTO; -EOPNOTSUPP a version or coding that is not known, or CONNECT. On failure *ret_head is undefined. */
int divvy_runner_http_request_parse(const char *head, size_t length, struct divvy_runner_http_head *ret_head);
/* Likewise an answer to a request, which was HEAD or asked for an upgrade. */
int divvy_runner_http_answer_parse(const char *head, size_t length, bool is_head, bool is_upgrade,
                                   struct divvy_runner_http_head *ret_head);

/* Where in a body one is. */
struct divvy_runner_http_body {
    enum divvy_runner_http_framing framing;
    int state;             /* of chunks; internal */
    uint64_t left_bytes;   /* of the body, or of the chunk */
    uint32_t line_bytes;   /* of the line in hand; behind the last chunk, of all lines */
    bool any;              /* digits, or bytes of the line */
    bool is_done;
};

void divvy_runner_http_body_begin(struct divvy_runner_http_body *body, const struct divvy_runner_http_head *head);

/*
 * How many of these bytes belong to the body; is_done once that was its end (a body that the connection's end ends is never
 * done here). -EPROTO: no chunk.
 */
int divvy_runner_http_body_take(struct divvy_runner_http_body *body, const char *bytes, size_t length, size_t *ret_taken);

/* How many bytes that are to come need not be looked at; UINT64_MAX: none ever. _skip says that so many went by. */
uint64_t divvy_runner_http_body_plain(const struct divvy_runner_http_body *body);
void divvy_runner_http_body_skip(struct divvy_runner_http_body *body, uint64_t bytes);

#endif
