/*
 * One connection of the framed protocol in a worker: what the client has made, and the answer that is being written. A process
 * has one session, and one thread uses it.
 */
#ifndef DIVVY_REMOTE_WORKER_SESSION_H
#define DIVVY_REMOTE_WORKER_SESSION_H

#include "remote/worker/driver.h"
#include "remote/worker/handles.h"
#include "remote/worker/staging.h"
#include "remote/worker/vector.h"
#include "wire/frame.h"
#include "wire/pack.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* For bytes that come and go packed. */
struct divvy_worker_packing {
    struct divvy_wire_packer packer;
    char *in, *out; /* a payload each, in what follows */
    char bytes[];
};

struct divvy_worker_session {
    const struct divvy_worker_driver *driver;
    struct divvy_worker_vector *vector; /* of the process */
    struct divvy_worker_handles handles;
    CUcontext current;       /* what the client made current; NULL: nothing */
    uint64_t current_number; /* its number */
    bool is_open;            /* HELLO has been answered */
    bool is_over;            /* to be closed once what is written has been sent */
    bool is_checked;         /* frames have checksums */
    struct divvy_worker_packing *packing; /* bytes of frames may be packed; NULL: not. malloc'ed */
    uint32_t payload_bytes;  /* longest payload, both ways */
    int32_t latched;         /* first error of one-way requests, 0 none */
    uint64_t latched_id;

    char *image; /* a module's image as it comes in; malloc'ed */
    uint64_t image_bytes, image_have;

    char *out; /* frames to be sent; malloc'ed unless it is staging's */
    size_t out_length, out_capacity;
    bool is_out_lent;

    struct divvy_worker_staging staging; /* what comes in */
    uint32_t primaries;                  /* primary contexts that the client has */
    CUdevice primary_device;             /* of the last one */
    bool wants_pinned;                   /* there was a long copy */
};

/* What an operation is given, and fills in. */
struct divvy_worker_request {
    const struct divvy_wire_header *header;
    const uint64_t *in;    /* the words, aligned, as many as the row has */
    const void *bytes;     /* behind them, at any alignment */
    uint32_t bytes_length;
    uint64_t *out;         /* words of the answer, zero */
    void *out_bytes;       /* room for payload_bytes less the words */
    uint32_t out_length;   /* bytes there; also of a failed answer */
};

/* An operation: 0, a CUresult or a DIVVY_WIRE_STATUS_. Requests come with what their row says, and only on open sessions. */
typedef int32_t (*divvy_worker_operation_t)(struct divvy_worker_session *session,
                                            struct divvy_worker_request *request);

/* The operation with this number in the table; NULL where there is none. */
divvy_worker_operation_t divvy_worker_operation_find(uint16_t number);

void divvy_worker_session_init(struct divvy_worker_session *session,
                               const struct divvy_worker_driver *driver,
                               struct divvy_worker_vector *vector);
void divvy_worker_session_done(struct divvy_worker_session *session);

/* Between requests, with nothing to be sent: has the memory that suits what the client has and does. 0 or -ENOMEM. */
int divvy_worker_session_memory(struct divvy_worker_session *session);

/*
 * Carries out the frames in `bytes` and appends the answers to session->out; stops early when is_over, or when more than a
 * payload is waiting to be sent. Returns how many bytes were used up; negative errno when the stream cannot be understood or
 * there is no memory: close it then, after what is in `out` has been sent.
 */
ssize_t divvy_worker_session_take(struct divvy_worker_session *session, const char *bytes, size_t length);

/* The operation copy_in of a request with these words, whose bytes come in parts: carried out for one of them. */
void divvy_worker_session_copy_in(struct divvy_worker_session *session, const struct divvy_wire_header *header,
                                  const uint64_t *words, const void *bytes, uint32_t length);

/* The operation copy_out with these words, to `bytes`: its status. */
int32_t divvy_worker_session_copy_out(struct divvy_worker_session *session, const struct divvy_wire_header *header,
                                      const uint64_t *words, void *bytes);

#endif
