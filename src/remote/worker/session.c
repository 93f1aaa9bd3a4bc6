/* Frames in, answers out: see session.h. What operations do is in operation_*.c. */
#include "remote/worker/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define HEADER_BYTES sizeof(struct divvy_wire_header)
#define SERVER_NAME  "divvy-worker"

void divvy_worker_session_init(struct divvy_worker_session *session,
                               const struct divvy_worker_driver *driver,
                               struct divvy_worker_vector *vector) {
    *session = (struct divvy_worker_session){
        .driver = driver, .vector = vector, .payload_bytes = DIVVY_WIRE_PAYLOAD_HELLO_BYTES};
    divvy_worker_staging_init(&session->staging, driver);
}

static void out_give_back(struct divvy_worker_session *session) {
    if (!session->is_out_lent)
        return;
    session->out = NULL;
    session->out_capacity = 0;
    session->is_out_lent = false;
}

void divvy_worker_session_done(struct divvy_worker_session *session) {
    divvy_worker_handles_done(&session->handles);
    out_give_back(session);
    divvy_worker_staging_done(&session->staging);
    free(session->image);
    free(session->out);
    free(session->packing);
    session->image = session->out = NULL;
    session->packing = NULL;
}

int divvy_worker_session_memory(struct divvy_worker_session *session) {
    struct divvy_worker_staging *staging = &session->staging;

    if (session->primaries == 0) {
        out_give_back(session);
        return divvy_worker_staging_unpin(staging, session->current);
    }
    if (!session->wants_pinned || staging->context)
        return 0;
    divvy_worker_staging_pin(staging, session->primary_device, HEADER_BYTES + session->payload_bytes, session->current);
    if (!staging->out)
        return 0;
    free(session->out);
    session->out = staging->out;
    session->out_capacity = 2 * staging->piece_bytes;
    session->is_out_lent = true;
    return 0;
}

/* Room for an answer of the longest kind behind what is waiting. */
static int out_have(struct divvy_worker_session *session, size_t payload_bytes) {
    size_t needed = session->out_length + HEADER_BYTES + payload_bytes;
    char *grown;

    if (needed <= session->out_capacity)
        return 0;
    if (session->is_out_lent)
        return -ENOMEM; /* cannot be: what waits and what is added are no longer than a payload each */
    needed = needed < 4096 ? 4096 : needed * 2;
    grown = realloc(session->out, needed);
    if (!grown)
        return -ENOMEM;
    session->out = grown;
    session->out_capacity = needed;
    return 0;
}

/* Puts the header before `length` bytes of payload that are in place already. */
static void answer_end(struct divvy_worker_session *session, const struct divvy_wire_header *request,
                       int32_t status, uint16_t flags, uint32_t length) {
    char *at = session->out + session->out_length;
    struct divvy_wire_header header = {
        .magic = DIVVY_WIRE_MAGIC,
        .op = request->op,
        .flags = DIVVY_WIRE_ANSWER | flags,
        .length = length,
        .status = status,
        .id = request->id,
    };

    if (session->is_checked) {
        header.flags |= DIVVY_WIRE_CHECKED;
        header.checksum = divvy_wire_checksum(0, at + HEADER_BYTES, length);
    }
    memcpy(at, &header, HEADER_BYTES);
    session->out_length += HEADER_BYTES + length;
}

static int refuse(struct divvy_worker_session *session, const struct divvy_wire_header *request, int32_t status,
                  const char *text) {
    uint32_t length = (uint32_t)strlen(text);

    if (out_have(session, length) < 0)
        return -ENOMEM;
    memcpy(session->out + session->out_length + HEADER_BYTES, text, length);
    answer_end(session, request, status, 0, length);
    return 0;
}

/* --- the handshake --------------------------------------------------------------------------------------- */

static int packing_have(struct divvy_worker_session *session, size_t payload_bytes) {
    struct divvy_worker_packing *packing = malloc(sizeof *packing + 2 * payload_bytes);

    if (!packing)
        return -ENOMEM;
    packing->in = packing->bytes;
    packing->out = packing->bytes + payload_bytes;
    session->packing = packing;
    return 0;
}

static int hello_answer(struct divvy_worker_session *session, const struct divvy_wire_header *request,
                        const char *payload) {
    struct divvy_wire_hello_in in;
    struct divvy_wire_hello_out out = {.header_bytes = HEADER_BYTES};

    memcpy(&in, payload, sizeof in);
    if (in.version >> 16 != DIVVY_WIRE_VERSION >> 16 || in.header_bytes != HEADER_BYTES ||
        in.payload_bytes < DIVVY_WIRE_PAYLOAD_HELLO_BYTES) {
        session->is_over = true;
        return refuse(session, request, DIVVY_WIRE_STATUS_VERSION,
                      "this worker speaks version 1 with headers of 32 bytes and payloads of at least 4096");
    }
    out.version = in.version < DIVVY_WIRE_VERSION ? in.version : DIVVY_WIRE_VERSION;
    out.payload_bytes = in.payload_bytes < DIVVY_WIRE_PAYLOAD_BYTES ? in.payload_bytes : DIVVY_WIRE_PAYLOAD_BYTES;
    out.features = in.features & DIVVY_WIRE_FEATURES;
    if (out.features & DIVVY_WIRE_FEATURE_PACKED && packing_have(session, out.payload_bytes) < 0)
        out.features &= ~DIVVY_WIRE_FEATURE_PACKED;
    if (out_have(session, sizeof out + sizeof SERVER_NAME) < 0)
        return -ENOMEM;
    memcpy(session->out + session->out_length + HEADER_BYTES, &out, sizeof out);
    memcpy(session->out + session->out_length + HEADER_BYTES + sizeof out, SERVER_NAME, sizeof SERVER_NAME - 1);
    answer_end(session, request, 0, 0, sizeof out + sizeof SERVER_NAME - 1);
    session->is_open = true;
    session->payload_bytes = (uint32_t)out.payload_bytes;
    session->is_checked = out.features & DIVVY_WIRE_FEATURE_CHECKSUM;
    return 0;
}

/* --- requests -------------------------------------------------------------------------------------------- */

static void latch(struct divvy_worker_session *session, int32_t status, uint64_t id) {
    if (session->latched || status == 0)
        return;
    session->latched = status;
    session->latched_id = id;
}

static int latched_answer(struct divvy_worker_session *session, const struct divvy_wire_header *request) {
    if (out_have(session, sizeof(uint64_t)) < 0)
        return -ENOMEM;
    memcpy(session->out + session->out_length + HEADER_BYTES, &session->latched_id, sizeof(uint64_t));
    answer_end(session, request, session->latched, DIVVY_WIRE_LATCHED, sizeof(uint64_t));
    session->latched = 0;
    return 0;
}

static int oneway_run(struct divvy_worker_session *session, struct divvy_worker_request *request,
                      divvy_worker_operation_t operation) {
    latch(session, operation(session, request), request->header->id);
    return 0;
}

/* The bytes of an answer, packed in their place where that is worth it. The flag that says so, or 0. */
static uint16_t answer_pack(struct divvy_worker_session *session, char *bytes, uint32_t *length) {
    struct divvy_worker_packing *packing = session->packing;
    size_t packed = packing ? divvy_wire_pack(&packing->packer, bytes, *length, packing->out) : 0;

    if (packed == 0)
        return 0;
    memcpy(bytes, packing->out, packed);
    *length = (uint32_t)packed;
    return DIVVY_WIRE_PACKED;
}

static int request_unpack(struct divvy_worker_session *session, struct divvy_worker_request *request) {
    size_t words_bytes = request->header->length - request->bytes_length, length = 0;
    struct divvy_worker_packing *packing = session->packing;
    int status = divvy_wire_unpack(request->bytes, request->bytes_length, packing->in, session->payload_bytes - words_bytes, &length);

    request->bytes = packing->in;
    request->bytes_length = (uint32_t)length;
    return status;
}

static int call_run(struct divvy_worker_session *session, struct divvy_worker_request *request,
                    const struct divvy_wire_op *row, divvy_worker_operation_t operation) {
    uint32_t words = row->out_words * (uint32_t)sizeof(uint64_t);
    uint64_t out[DIVVY_WIRE_WORDS_MAX] = {0};
    uint16_t flags = 0;
    int32_t status;
    char *payload;

    if (row->kind == DIVVY_WIRE_SYNC && session->latched)
        return latched_answer(session, request->header);
    if (out_have(session, session->payload_bytes) < 0)
        return -ENOMEM;
    payload = session->out + session->out_length + HEADER_BYTES;
    request->out = out;
    request->out_bytes = payload + words;
    status = operation(session, request);
    if (status != 0) {
        memmove(payload, payload + words, request->out_length);
        words = 0;
    } else {
        flags = answer_pack(session, payload + words, &request->out_length);
    }
    memcpy(payload, out, words);
    answer_end(session, request->header, status, flags, words + request->out_length);
    return 0;
}

static int request_run(struct divvy_worker_session *session, const struct divvy_wire_header *header,
                       const char *payload) {
    const struct divvy_wire_op *row = divvy_wire_op_find(header->op);
    divvy_worker_operation_t operation = row ? divvy_worker_operation_find(header->op) : NULL;
    struct divvy_worker_request request = {.header = header};
    uint64_t in[DIVVY_WIRE_WORDS_MAX];
    int status = row ? divvy_wire_payload_check(header, row, payload) : 0;

    if (header->flags & DIVVY_WIRE_ANSWER || (session->is_checked && !(header->flags & DIVVY_WIRE_CHECKED)) ||
        (header->flags & DIVVY_WIRE_PACKED && !session->packing))
        return -EPROTO;
    if (status == -EBADMSG)
        return -EBADMSG;
    if (!row)
        return refuse(session, header, DIVVY_WIRE_STATUS_UNSUPPORTED, "unknown operation");
    if (session->is_open == (header->op == DIVVY_WIRE_OP_HELLO))
        return refuse(session, header, DIVVY_WIRE_STATUS_SEQUENCE, "hello comes first, and once");
    if (status < 0 && row->kind == DIVVY_WIRE_ONEWAY) {
        latch(session, DIVVY_WIRE_STATUS_MALFORMED, header->id);
        return 0;
    }
    if (status < 0)
        return refuse(session, header, DIVVY_WIRE_STATUS_MALFORMED, "words or bytes that the operation does not have");
    if (!operation)
        return hello_answer(session, header, payload);
    memcpy(in, payload, row->in_words * sizeof(uint64_t));
    request.in = in;
    request.bytes = payload + row->in_words * sizeof(uint64_t);
    request.bytes_length = header->length - row->in_words * (uint32_t)sizeof(uint64_t);
    if (header->flags & DIVVY_WIRE_PACKED && request_unpack(session, &request) < 0)
        return -EPROTO;
    return row->kind == DIVVY_WIRE_ONEWAY ? oneway_run(session, &request, operation)
                                          : call_run(session, &request, row, operation);
}

ssize_t divvy_worker_session_take(struct divvy_worker_session *session, const char *bytes, size_t length) {
    size_t used = 0;

    while (length - used >= HEADER_BYTES && !session->is_over && session->out_length <= session->payload_bytes) {
        struct divvy_wire_header header;
        int status = divvy_wire_header_read(bytes + used, session->payload_bytes, &header);

        if (status < 0)
            return status;
        if (length - used < HEADER_BYTES + header.length)
            break;
        status = request_run(session, &header, bytes + used + HEADER_BYTES);
        if (status < 0)
            return status;
        used += HEADER_BYTES + header.length;
    }
    return (ssize_t)used;
}

void divvy_worker_session_copy_in(struct divvy_worker_session *session, const struct divvy_wire_header *header,
                                  const uint64_t *words, const void *bytes, uint32_t length) {
    struct divvy_worker_request request = {.header = header, .in = words, .bytes = bytes, .bytes_length = length};

    (void)oneway_run(session, &request, divvy_worker_operation_find(DIVVY_WIRE_OP_COPY_IN));
}

int32_t divvy_worker_session_copy_out(struct divvy_worker_session *session, const struct divvy_wire_header *header,
                                      const uint64_t *words, void *bytes) {
    struct divvy_worker_request request = {.header = header, .in = words, .out_bytes = bytes};

    return divvy_worker_operation_find(DIVVY_WIRE_OP_COPY_OUT)(session, &request);
}
