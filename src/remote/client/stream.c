/* Requests out, answers in: see stream.h. */
#include "remote/client/stream.h"
#include "remote/client/xenstore.h"

#include "core/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEADER_BYTES sizeof(struct divvy_wire_header)

/* Room for the head of one more frame behind a full batch. */
#define HEAD_BYTES (HEADER_BYTES + DIVVY_WIRE_WORDS_MAX * sizeof(uint64_t))
#define OUT_BYTES  (DIVVY_CLIENT_BATCH_BYTES + HEAD_BYTES)

/* How often, and how far apart, a line is tried that nobody listens to: a relay may be about to connect. */
#define HANGUP_TRIES    20
#define HANGUP_PAUSE_MS 50

static int lost(struct divvy_client *client, int status, const char *text) {
    divvy_client_ring_close(client->ring);
    client->ring = NULL;
    if (client->fd >= 0)
        (void)close(client->fd);
    client->fd = -1;
    client->out_length = 0;
    (void)strncpy(client->text, text, sizeof client->text - 1);
    return status;
}

/* --- out ------------------------------------------------------------------------------------------------- */

static ssize_t vector_send(const struct divvy_client *client, struct iovec *parts, size_t count) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};

    return client->is_socket ? sendmsg(client->fd, &message, MSG_NOSIGNAL) : writev(client->fd, parts, (int)count);
}

/* Waits until a line takes more; a short while for somebody at its other end. Sockets keep their own time. */
static int wait_writable(const struct divvy_client *client) {
    struct pollfd fd = {.fd = client->fd, .events = POLLOUT};
    int got = 0;

    if (client->is_socket)
        return -ETIMEDOUT;
    for (int tries = 0; tries < HANGUP_TRIES; tries++) {
        got = poll(&fd, 1, client->timeout_ms ? (int)client->timeout_ms : -1);
        if (got > 0 && !(fd.revents & POLLHUP))
            return 0;
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        (void)poll(NULL, 0, HANGUP_PAUSE_MS);
    }
    return got > 0 ? -ENOTCONN : -ETIMEDOUT;
}

static int ring_send(struct divvy_client *client, const void *bytes, size_t length) {
    int status = divvy_wire_ring_pipe_write(&client->ring->pipe, client->out, client->out_length);

    if (status == 0)
        status = divvy_wire_ring_pipe_write(&client->ring->pipe, bytes, length);
    if (status < 0)
        return lost(client, status, "the worker does not take requests");
    client->out_length = 0;
    return 0;
}

/* Sends what is waiting and then `bytes`, without copying those. */
static int send_both(struct divvy_client *client, const void *bytes, size_t length) {
    struct iovec parts[2] = {{.iov_base = client->out, .iov_len = client->out_length},
                             {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length}};

    if (client->fd < 0)
        return -ENOTCONN;
    if (client->ring)
        return ring_send(client, bytes, length);
    while (parts[0].iov_len + parts[1].iov_len > 0) {
        ssize_t sent = vector_send(client, parts, 2);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            int status = errno == EAGAIN ? wait_writable(client) : -errno;

            if (status == 0)
                continue;
            return lost(client, status,
                        status == -ENOTCONN ? "nobody listens at the line's other end" : "the worker does not take requests");
        }
        for (size_t i = 0; i < 2 && sent > 0; i++) {
            size_t part = (size_t)sent < parts[i].iov_len ? (size_t)sent : parts[i].iov_len;

            parts[i].iov_base = (char *)parts[i].iov_base + part;
            parts[i].iov_len -= part;
            sent -= (ssize_t)part;
        }
    }
    client->out_length = 0;
    return 0;
}

int divvy_client_stream_flush(struct divvy_client *client) {
    if (client->store)
        return 0;
    if (client->fd < 0)
        return -ENOTCONN;
    return client->out_length ? send_both(client, NULL, 0) : 0;
}

/* Packs the bytes of a request where that is worth it. The flag that says so, or 0. */
static uint16_t request_pack(struct divvy_client *client, const void **bytes, uint32_t *length) {
    struct divvy_client_packing *packing = client->packing;
    size_t packed = packing ? divvy_wire_pack(&packing->packer, *bytes, *length, packing->bytes) : 0;

    if (packed == 0)
        return 0;
    *bytes = packing->bytes;
    *length = (uint32_t)packed;
    return DIVVY_WIRE_PACKED;
}

int divvy_client_stream_put(struct divvy_client *client, uint16_t op, const void *words, const void *bytes,
                            uint32_t length, uint64_t *ret_id) {
    size_t words_bytes = divvy_wire_op_find(op)->in_words * sizeof(uint64_t);
    struct divvy_wire_header header = {.magic = DIVVY_WIRE_MAGIC, .op = op, .id = client->next_id++};
    char *at = client->out + client->out_length;

    if (client->store) {
        (void)strncpy(client->text, "XenStore carries jobs only (vector-add, job)", sizeof client->text - 1);
        return -EOPNOTSUPP;
    }
    if (client->fd < 0)
        return -ENOTCONN;
    header.flags = request_pack(client, &bytes, &length);
    header.length = (uint32_t)words_bytes + length;
    if (client->is_agreed && client->features & DIVVY_WIRE_FEATURE_CHECKSUM) {
        header.flags |= DIVVY_WIRE_CHECKED;
        header.checksum = divvy_wire_checksum(divvy_wire_checksum(0, words, words_bytes), bytes, length);
    }
    memcpy(at, &header, HEADER_BYTES);
    if (words_bytes)
        memcpy(at + HEADER_BYTES, words, words_bytes);
    client->out_length += HEADER_BYTES + words_bytes;
    if (ret_id)
        *ret_id = header.id;
    if (client->out_length + length > DIVVY_CLIENT_BATCH_BYTES)
        return send_both(client, bytes, length);
    if (length)
        memcpy(client->out + client->out_length, bytes, length);
    client->out_length += length;
    return 0;
}

/* --- in -------------------------------------------------------------------------------------------------- */

/* A port of a virtual machine is looked at for a while first: its processor asleep, and woken up again, is dear. */
static int wait_readable(struct divvy_client *client) {
    struct pollfd fd = {.fd = client->fd, .events = POLLIN};
    int got;

    if (client->is_socket)
        return 0;
    divvy_core_spin_begin(&client->spin);
    while ((got = poll(&fd, 1, 0)) == 0 && divvy_core_spin_goes_on(&client->spin))
        ;
    while (got == 0 || (got < 0 && errno == EINTR)) {
        got = poll(&fd, 1, client->timeout_ms ? (int)client->timeout_ms : -1);
        if (got == 0)
            return -ETIMEDOUT;
    }
    divvy_core_spin_end(&client->spin);
    return 0;
}

static int ring_read(struct divvy_client *client, void *buffer, size_t size, size_t *ret_got) {
    ssize_t got = divvy_wire_ring_pipe_read(&client->ring->pipe, buffer, size);

    if (got < 0)
        return lost(client, (int)got,
                    got == -ETIMEDOUT    ? "the worker does not answer in time"
                    : got == -ECONNRESET ? "the relay has closed the connection"
                                         : "the other side breaks the rules of the shared memory");
    *ret_got = (size_t)got;
    return 0;
}

/* An answer mostly comes at once: it is looked for before the thread sleeps. */
static ssize_t socket_read(struct divvy_client *client, void *buffer, size_t size) {
    ssize_t got;

    divvy_core_spin_begin(&client->spin);
    do
        got = recv(client->fd, buffer, size, MSG_DONTWAIT);
    while (got < 0 && errno == EAGAIN && divvy_core_spin_goes_on(&client->spin));
    if (got < 0 && errno == EAGAIN)
        got = recv(client->fd, buffer, size, 0);
    divvy_core_spin_end(&client->spin);
    return got;
}

static int read_some(struct divvy_client *client, void *buffer, size_t size, size_t *ret_got) {
    ssize_t got;

    if (client->fd < 0)
        return -ENOTCONN;
    if (client->ring)
        return ring_read(client, buffer, size, ret_got);
    do {
        if (wait_readable(client) < 0)
            return lost(client, -ETIMEDOUT, "the worker does not answer in time");
        got = client->is_socket ? socket_read(client, buffer, size) : read(client->fd, buffer, size);
    } while (got < 0 && errno == EINTR);
    if (got == 0)
        return lost(client, -ECONNRESET, "the worker has closed the connection");
    if (got < 0)
        return errno == EAGAIN ? lost(client, -ETIMEDOUT, "the worker does not answer in time")
                               : lost(client, -errno, "the connection to the worker is lost");
    *ret_got = (size_t)got;
    return 0;
}

/* Small pieces come through the buffer; the rest of long ones goes to its place at once. */
static int read_all(struct divvy_client *client, void *buffer, size_t length) {
    char *at = buffer;

    while (length > 0) {
        size_t ready = client->in_end - client->in_start, part = ready < length ? ready : length;
        int status;

        if (part > 0) {
            memcpy(at, client->in + client->in_start, part);
            client->in_start += part;
        } else if (length >= DIVVY_CLIENT_BATCH_BYTES) {
            status = read_some(client, at, length, &part);
            if (status < 0)
                return status;
        } else {
            client->in_start = client->in_end = 0;
            status = read_some(client, client->in, DIVVY_CLIENT_BATCH_BYTES, &client->in_end);
            if (status < 0)
                return status;
        }
        at += part;
        length -= part;
    }
    return 0;
}

/* An answer as it comes: what is left of its payload, and the checksum of what was read. */
struct taking {
    struct divvy_wire_header header;
    uint32_t left, checksum;
};

static int part_take(struct divvy_client *client, struct taking *taking, void *buffer, size_t length) {
    int status = read_all(client, buffer, length);

    taking->left -= (uint32_t)length;
    if (status == 0 && taking->header.flags & DIVVY_WIRE_CHECKED)
        taking->checksum = divvy_wire_checksum(taking->checksum, buffer, length);
    return status;
}

/* The text of a failed answer; what is too long is read and dropped. */
static int text_take(struct divvy_client *client, struct taking *taking) {
    uint32_t kept = taking->left < sizeof client->text - 1 ? taking->left : (uint32_t)sizeof client->text - 1;
    int status = part_take(client, taking, client->text, kept);
    char scrap[256];

    if (status < 0)
        return status;
    client->text[kept] = '\0';
    while (taking->left > 0 && status == 0)
        status = part_take(client, taking, scrap, taking->left < sizeof scrap ? taking->left : sizeof scrap);
    return status;
}

static int failure_take(struct divvy_client *client, struct taking *taking) {
    uint64_t id;
    int status;

    if (!(taking->header.flags & DIVVY_WIRE_LATCHED))
        return text_take(client, taking);
    if (taking->left < sizeof id)
        return lost(client, -EPROTO, "the worker's answer is malformed");
    status = part_take(client, taking, &id, sizeof id);
    if (status == 0)
        status = text_take(client, taking);
    if (status == 0 && client->text[0] == '\0')
        (void)strncpy(client->text, "a one-way request before has failed", sizeof client->text - 1);
    return status;
}

static int packed_take(struct divvy_client *client, struct taking *taking, struct divvy_client_answer *answer) {
    struct divvy_client_packing *packing = client->packing;
    size_t packed = taking->left, length = 0;
    int status;

    if (!packing || packed > sizeof packing->bytes)
        return lost(client, -EPROTO, "the worker's answer is malformed");
    status = part_take(client, taking, packing->bytes, packed);
    if (status == 0 && divvy_wire_unpack(packing->bytes, packed, answer->bytes, answer->capacity, &length) < 0)
        return lost(client, -EPROTO, "the worker's answer cannot be unpacked");
    answer->length = (uint32_t)length;
    return status;
}

/* What a successful answer carries. */
static int result_take(struct divvy_client *client, struct taking *taking, size_t words_bytes, struct divvy_client_answer *answer) {
    int status;

    if (taking->left < words_bytes || (!(taking->header.flags & DIVVY_WIRE_PACKED) && taking->left - words_bytes > answer->capacity))
        return lost(client, -EPROTO, "the worker's answer is malformed");
    status = part_take(client, taking, answer->words, words_bytes);
    if (status < 0)
        return status;
    if (taking->header.flags & DIVVY_WIRE_PACKED)
        return packed_take(client, taking, answer);
    answer->length = taking->left;
    return answer->length ? part_take(client, taking, answer->bytes, answer->length) : 0;
}

int divvy_client_stream_take(struct divvy_client *client, uint16_t op, uint64_t id,
                             struct divvy_client_answer *answer) {
    size_t words_bytes = divvy_wire_op_find(op)->out_words * sizeof(uint64_t);
    bool is_checked = client->is_agreed && client->features & DIVVY_WIRE_FEATURE_CHECKSUM;
    struct taking taking = {.checksum = 0};
    char raw[HEADER_BYTES];
    int status = read_all(client, raw, sizeof raw);

    if (status < 0)
        return status;
    if (divvy_wire_header_read(raw, client->payload_bytes, &taking.header) < 0 || !(taking.header.flags & DIVVY_WIRE_ANSWER) ||
        taking.header.id != id || taking.header.op != op || taking.header.status < 0 ||
        (is_checked && !(taking.header.flags & DIVVY_WIRE_CHECKED)))
        return lost(client, -EPROTO, "what answers is no worker, or answers something else");
    taking.left = taking.header.length;
    status = taking.header.status != 0 ? failure_take(client, &taking) : result_take(client, &taking, words_bytes, answer);
    if (status < 0)
        return status;
    if (taking.header.flags & DIVVY_WIRE_CHECKED && taking.checksum != taking.header.checksum)
        return lost(client, -EBADMSG, "an answer's checksum is wrong: the connection changes what it carries");
    return taking.header.status;
}

/* --- beginning and end ----------------------------------------------------------------------------------- */

/* One more piece behind what lies in the buffer. */
static int read_more(struct divvy_client *client) {
    size_t got = 0;
    int status;

    memmove(client->in, client->in + client->in_start, client->in_end - client->in_start);
    client->in_end -= client->in_start;
    client->in_start = 0;
    status = read_some(client, client->in + client->in_end, DIVVY_CLIENT_BATCH_BYTES - client->in_end, &got);
    client->in_end += got;
    return status;
}

/*
 * A serial line outlasts the programs that use it: answers to one that was killed may still be on the way. They are passed over,
 * up to the answer to the hello with this id, which no other program has chosen.
 */
static int line_join(struct divvy_client *client, uint64_t id) {
    for (;;) {
        struct divvy_wire_header header;
        int status = 0;

        while (status == 0 && client->in_end - client->in_start < HEADER_BYTES)
            status = read_more(client);
        if (status < 0)
            return status;
        if (divvy_wire_header_read(client->in + client->in_start, client->payload_bytes, &header) == 0 &&
            (header.flags & DIVVY_WIRE_ANSWER) && header.op == DIVVY_WIRE_OP_HELLO && header.id == id)
            return 0;
        client->in_start++;
    }
}

static int handshake(struct divvy_client *client) {
    const struct divvy_wire_hello_in in = {.version = DIVVY_WIRE_VERSION,
                                           .header_bytes = HEADER_BYTES,
                                           .payload_bytes = DIVVY_WIRE_PAYLOAD_BYTES,
                                           .features = client->features};
    char name[DIVVY_WIRE_PAYLOAD_HELLO_BYTES];
    struct divvy_client_answer answer = {.bytes = name, .capacity = sizeof name};
    struct divvy_wire_hello_out out;
    uint64_t id;
    int status = divvy_client_stream_put(client, DIVVY_WIRE_OP_HELLO, &in, NULL, 0, &id);

    if (status == 0)
        status = divvy_client_stream_flush(client);
    if (status == 0 && !client->is_socket)
        status = line_join(client, id);
    if (status == 0)
        status = divvy_client_stream_take(client, DIVVY_WIRE_OP_HELLO, id, &answer);
    if (status != 0)
        return status < 0 ? status : -EPROTO;
    memcpy(&out, answer.words, sizeof out);
    if (out.version >> 16 != DIVVY_WIRE_VERSION >> 16 || out.header_bytes != HEADER_BYTES || out.features & ~client->features ||
        out.payload_bytes < DIVVY_WIRE_PAYLOAD_HELLO_BYTES || out.payload_bytes > in.payload_bytes)
        return -EPROTO;
    client->payload_bytes = (uint32_t)out.payload_bytes;
    client->features = out.features;
    client->is_agreed = true;
    if (!(out.features & DIVVY_WIRE_FEATURE_PACKED)) {
        free(client->packing);
        client->packing = NULL;
    }
    return 0;
}

/* "xenstore" or "xenstore:PATH": the path, or NULL for other addresses. */
static const char *store_path(const char *address) {
    static const char name[] = "xenstore";

    if (strncmp(address, name, sizeof name - 1) != 0)
        return NULL;
    address += sizeof name - 1;
    return *address == ':' ? address + 1 : *address == '\0' ? address : NULL;
}

/* Memory is not a slow link. */
static int wishes_take(struct divvy_client *client, uint32_t wishes) {
    _Static_assert(DIVVY_CLIENT_CHECKSUMS == DIVVY_WIRE_FEATURE_CHECKSUM && DIVVY_CLIENT_COMPRESS == DIVVY_WIRE_FEATURE_PACKED,
                   "wishes are features");
    client->features = client->ring ? wishes & ~DIVVY_CLIENT_COMPRESS : wishes;
    if (client->features & DIVVY_WIRE_FEATURE_PACKED)
        client->packing = malloc(sizeof *client->packing);
    return client->features & DIVVY_WIRE_FEATURE_PACKED && !client->packing ? -ENOMEM : 0;
}

int divvy_client_open(const char *address, uint32_t timeout_ms, struct divvy_client **ret_client) {
    return divvy_client_open_with(address, timeout_ms, 0, ret_client);
}

int divvy_client_open_with(const char *address, uint32_t timeout_ms, uint32_t wishes, struct divvy_client **ret_client) {
    struct divvy_client *client;
    const char *path = store_path(address);
    int status = -ENOMEM;

    if (wishes & ~(DIVVY_CLIENT_CHECKSUMS | DIVVY_CLIENT_COMPRESS))
        return -EINVAL;
    client = calloc(1, sizeof *client);
    if (!client)
        return -ENOMEM;
    client->fd = -1;
    client->timeout_ms = timeout_ms;
    client->payload_bytes = DIVVY_WIRE_PAYLOAD_HELLO_BYTES;
    client->next_id = 1;
    if (path) {
        status = divvy_client_xenstore_open(path, timeout_ms, &client->store);
        if (status < 0)
            free(client);
        else
            *ret_client = client;
        return status;
    }
    client->out = malloc(OUT_BYTES);
    client->in = malloc(DIVVY_CLIENT_BATCH_BYTES);
    if (client->out && client->in)
        status = divvy_client_stream_connect(client, address);
    if (status == 0 && !client->is_socket)
        client->next_id = (uint64_t)getpid() << 40 ^ divvy_core_clock_ns();
    if (status == 0)
        status = wishes_take(client, wishes);
    if (status == 0)
        status = handshake(client);
    if (status < 0) {
        divvy_client_close(client);
        return status;
    }
    *ret_client = client;
    return 0;
}

void divvy_client_close(struct divvy_client *client) {
    if (!client)
        return;
    divvy_client_ring_close(client->ring);
    if (client->fd >= 0)
        (void)close(client->fd);
    divvy_client_xenstore_close(client->store);
    free(client->out);
    free(client->in);
    free(client->packing);
    free(client);
}

uint32_t divvy_client_granted(const struct divvy_client *client) {
    return client->is_agreed ? (uint32_t)client->features : 0;
}

const char *divvy_client_text(const struct divvy_client *client) {
    return client->text;
}
