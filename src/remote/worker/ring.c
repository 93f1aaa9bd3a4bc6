/* Memory that a relay hands over: see ring.h. */
#include "remote/worker/ring.h"

#include "base/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* One message: the relay sends greeting and file together. */
static int greeting_receive(int fd, struct divvy_wire_ring_greeting *ret_greeting, int *ret_file) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = ret_greeting, .iov_len = sizeof *ret_greeting};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
    const struct cmsghdr *found;
    ssize_t got;

    do
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    while (got < 0 && errno == EINTR);
    found = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (found && found->cmsg_level == SOL_SOCKET && found->cmsg_type == SCM_RIGHTS && found->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_file, CMSG_DATA(found), sizeof(int));
    if (got < 0)
        return -errno;
    return got == (ssize_t)sizeof *ret_greeting && *ret_file >= 0 && ret_greeting->magic == DIVVY_WIRE_RING_GREETING &&
                   ret_greeting->version >> 16 == DIVVY_WIRE_RING_VERSION >> 16
               ? 0
               : -EPROTO;
}

static int map(int file, uint64_t memory_bytes, void **ret_memory) {
    struct stat found;
    void *memory;

    if (fstat(file, &found) < 0)
        return -errno;
    if (!S_ISREG(found.st_mode) || (uint64_t)found.st_size != memory_bytes || divvy_wire_ring_size_check(memory_bytes) < 0)
        return -EINVAL;
    memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *ret_memory = memory;
    return 0;
}

int divvy_worker_ring_take_over(int fd, struct divvy_worker_ring *ret_ring) {
    struct divvy_wire_ring_pipe pipe = {.stream_fd = fd, .is_socket = true};
    struct divvy_wire_ring_greeting greeting = {0};
    cleanup_close int file = -1;
    void *memory = NULL;
    int status = greeting_receive(fd, &greeting, &file);

    if (status == 0)
        status = map(file, greeting.memory_bytes, &memory);
    if (status == 0)
        status = divvy_wire_ring_take_over(memory, greeting.memory_bytes, &pipe.ring);
    if (status < 0)
        return status;
    divvy_wire_ring_pipe_init(&pipe);
    greeting.version = DIVVY_WIRE_RING_VERSION;
    greeting.status = DIVVY_WIRE_RING_STATUS_OK;
    if (send(fd, &greeting, sizeof greeting, MSG_NOSIGNAL) != (ssize_t)sizeof greeting)
        return -ECONNRESET;
    *ret_ring = (struct divvy_worker_ring){.pipe = pipe, .memory = memory, .memory_bytes = greeting.memory_bytes};
    return 0;
}

/* --- turns ----------------------------------------------------------------------------------------------- */

/* So often it is looked whether the relay wants the turn back: a system call, which small requests should not all pay for. */
#define TURN_LOOK_NS DIVVY_NS_PER_MS

static int relay_tell(const struct divvy_worker_ring *ring, char what) {
    return send(ring->pipe.stream_fd, &what, 1, MSG_NOSIGNAL) == 1 ? 0 : -ECONNRESET;
}

/* Looks for a byte of the relay's among those that have come, or waits for it. 1: it came; 0; negative: the relay is gone. */
static int relay_hear(const struct divvy_worker_ring *ring, char what, bool waits) {
    char bytes[64];
    ssize_t got;

    do {
        do
            got = recv(ring->pipe.stream_fd, bytes, sizeof bytes, waits ? 0 : MSG_DONTWAIT);
        while (got < 0 && errno == EINTR);
        if (got > 0 && memchr(bytes, what, (size_t)got))
            return 1;
    } while (got > 0 && waits);
    return got > 0 || (got < 0 && errno == EAGAIN) ? 0 : -ECONNRESET;
}

/* The turn ends when the GPU has done all. */
static int turn_end(struct divvy_worker_ring *ring) {
    struct divvy_worker_request request = {0};

    if (!ring->has_turn)
        return 0;
    (void)divvy_worker_operation_find(DIVVY_WIRE_OP_DRAIN)(ring->session, &request);
    ring->has_turn = false;
    return relay_tell(ring, DIVVY_WIRE_RING_TURN_OVER);
}

static int turn_have(struct divvy_worker_ring *ring) {
    uint64_t now_ns = divvy_core_clock_ns();
    int status = 0;

    if (ring->has_turn && now_ns - ring->looked_ns >= TURN_LOOK_NS) {
        ring->looked_ns = now_ns;
        status = relay_hear(ring, DIVVY_WIRE_RING_TURN_ASK, false);
        if (status > 0)
            status = turn_end(ring);
    }
    if (status < 0 || ring->has_turn)
        return status;
    status = relay_tell(ring, DIVVY_WIRE_RING_TURN_WANT);
    if (status == 0)
        status = relay_hear(ring, DIVVY_WIRE_RING_TURN_GIVE, true);
    if (status <= 0)
        return status < 0 ? status : -ECONNRESET;
    ring->has_turn = true;
    ring->looked_ns = divvy_core_clock_ns();
    return 0;
}

int divvy_worker_ring_wait(struct divvy_worker_ring *ring) {
    int status = divvy_wire_ring_pipe_look(&ring->pipe);

    if (status == 0)
        status = turn_end(ring);
    if (status == 0)
        status = divvy_wire_ring_pipe_wait_bytes(&ring->pipe);
    return status < 0 ? status : turn_have(ring);
}

int divvy_worker_ring_send(struct divvy_worker_ring *ring, const void *bytes, size_t size) {
    struct iovec pieces[2];
    ssize_t room = divvy_wire_ring_room(&ring->pipe.ring, pieces);
    int status = room < 0 ? (int)room : (size_t)room < size ? turn_end(ring) : 0;

    return status < 0 ? status : divvy_wire_ring_pipe_write(&ring->pipe, bytes, size);
}

/* --- copies ---------------------------------------------------------------------------------------------- */

/* Below this a copy in between costs less than it saves. */
#define LARGE_BYTES 4096u

/*
 * So much of a copy is worth a command of the device, which costs as much as copying 0.1 to 0.5 MiB; and so often more is waited for, as long
 * as more comes.
 */
#define PART_BYTES (1u << 20)
#define PART_TRIES 8

/* The beginning of a frame, as it was when it was looked at: what lies in the memory may change. */
struct head {
    struct divvy_wire_header header;
    union {
        uint64_t words[3];
        struct divvy_wire_copy_in_in in;
        struct divvy_wire_copy_out_in out;
    };
};

static void pieces_read(const struct iovec pieces[2], void *bytes, size_t length) {
    size_t first = length < pieces[0].iov_len ? length : pieces[0].iov_len;

    memcpy(bytes, pieces[0].iov_base, first);
    if (length > first)
        memcpy((char *)bytes + first, pieces[1].iov_base, length - first);
}

static void pieces_write(const struct iovec pieces[2], const void *bytes, size_t length) {
    size_t first = length < pieces[0].iov_len ? length : pieces[0].iov_len;

    memcpy(pieces[0].iov_base, bytes, first);
    if (length > first)
        memcpy(pieces[1].iov_base, (const char *)bytes + first, length - first);
}

/* What of the pieces lies behind the first `skipped` bytes. */
static void pieces_skip(struct iovec pieces[2], size_t skipped) {
    for (int i = 0; i < 2; i++) {
        size_t part = skipped < pieces[i].iov_len ? skipped : pieces[i].iov_len;

        pieces[i].iov_base = (char *)pieces[i].iov_base + part;
        pieces[i].iov_len -= part;
        skipped -= part;
    }
}

static void take(struct divvy_wire_ring_pipe *pipe, size_t bytes) {
    bool wake;

    divvy_wire_ring_take(&pipe->ring, bytes, &wake);
    if (wake)
        divvy_wire_ring_pipe_wake(pipe);
}

/* The words of a copy of this session that is worth it; false for all else. */
static bool head_read(const struct divvy_worker_session *session, const struct iovec pieces[2], size_t there, struct head *head) {
    size_t words_bytes;

    if (there < sizeof head->header)
        return false;
    pieces_read(pieces, &head->header, sizeof head->header);
    if (divvy_wire_header_read(&head->header, session->payload_bytes, &head->header) < 0 || head->header.flags || !session->is_open ||
        (head->header.op != DIVVY_WIRE_OP_COPY_IN && head->header.op != DIVVY_WIRE_OP_COPY_OUT))
        return false;
    words_bytes = head->header.op == DIVVY_WIRE_OP_COPY_IN ? sizeof head->in : sizeof head->out;
    if (there < sizeof head->header + words_bytes || head->header.length < words_bytes)
        return false;
    pieces_read(pieces, head, sizeof head->header + words_bytes);
    /* Read a second time: it must be the frame that was judged. */
    return divvy_wire_header_read(&head->header, session->payload_bytes, &head->header) == 0 && !head->header.flags &&
           words_bytes == (head->header.op == DIVVY_WIRE_OP_COPY_IN    ? sizeof head->in
                           : head->header.op == DIVVY_WIRE_OP_COPY_OUT ? sizeof head->out
                                                                       : 0) &&
           head->header.length >= words_bytes;
}

/*
 * What is there for a copy, in one piece: waits for something, and then lets the client go on for a little while, as every part of
 * a copy is a command of its own for the device.
 */
static ssize_t part_wait(struct divvy_worker_ring *ring, uint32_t left, struct iovec *ret_piece) {
    struct iovec pieces[2];
    size_t before = 0;
    int status = divvy_worker_ring_wait(ring);

    for (int i = 0; status >= 0; i++) {
        if (divvy_wire_ring_there(&ring->pipe.ring, pieces) < 0)
            return -EPROTO;
        if (pieces[0].iov_len >= left || pieces[0].iov_len >= PART_BYTES || pieces[1].iov_len > 0 ||
            (i >= PART_TRIES && pieces[0].iov_len == before))
            break;
        before = pieces[0].iov_len;
        (void)sched_yield();
    }
    if (status < 0)
        return status;
    *ret_piece = pieces[0];
    return (ssize_t)(pieces[0].iov_len < left ? pieces[0].iov_len : left);
}

/* To the device as it comes: the client puts in the next part while the device takes this one. */
static int copy_in(struct divvy_worker_ring *ring, struct head *head) {
    uint32_t left = head->header.length - (uint32_t)sizeof head->in;

    take(&ring->pipe, sizeof head->header + sizeof head->in);
    while (left > 0) {
        struct iovec piece;
        ssize_t part = part_wait(ring, left, &piece);

        if (part < 0)
            return (int)part;
        divvy_worker_session_copy_in(ring->session, &head->header, head->words, piece.iov_base, (uint32_t)part);
        take(&ring->pipe, (size_t)part);
        head->in.to += (uint64_t)part;
        left -= (uint32_t)part;
    }
    return 1;
}

static int copy_out(struct divvy_wire_ring_pipe *pipe, struct divvy_worker_session *session, const struct head *head) {
    struct divvy_wire_header answer = {
        .magic = DIVVY_WIRE_MAGIC, .op = head->header.op, .flags = DIVVY_WIRE_ANSWER, .id = head->header.id};
    struct divvy_wire_copy_out_in part = head->out;
    struct iovec pieces[2], payload[2];
    ssize_t room = divvy_wire_ring_room(&pipe->ring, pieces);
    bool wake;

    if (room < 0)
        return -EPROTO;
    if ((uint64_t)room < sizeof answer + head->out.size_bytes)
        return 0;
    take(pipe, sizeof head->header + sizeof head->out);
    memcpy(payload, pieces, sizeof payload);
    pieces_skip(payload, sizeof answer);
    for (int i = 0; i < 2 && answer.status == 0 && answer.length < head->out.size_bytes; i++) {
        part.size_bytes = head->out.size_bytes - answer.length;
        if (part.size_bytes > payload[i].iov_len)
            part.size_bytes = payload[i].iov_len;
        if (part.size_bytes > 0)
            answer.status = divvy_worker_session_copy_out(session, &head->header, (const uint64_t *)(const void *)&part,
                                                          payload[i].iov_base);
        answer.length += (uint32_t)part.size_bytes;
        part.from += part.size_bytes;
    }
    if (answer.status != 0)
        answer.length = 0;
    pieces_write(pieces, &answer, sizeof answer);
    divvy_wire_ring_put(&pipe->ring, sizeof answer + answer.length, &wake);
    if (wake)
        divvy_wire_ring_pipe_wake(pipe);
    return 1;
}

int divvy_worker_ring_copy(struct divvy_worker_ring *ring) {
    struct divvy_wire_ring_pipe *pipe = &ring->pipe;
    struct divvy_worker_session *session = ring->session;
    struct iovec pieces[2];
    ssize_t there = divvy_wire_ring_there(&pipe->ring, pieces);
    struct head head = {0};
    int status;

    if (there < 0)
        return -EPROTO;
    status = divvy_worker_session_memory(session);
    if (status < 0)
        return status;
    if (!head_read(session, pieces, (size_t)there, &head))
        return 0;
    if (head.header.op == DIVVY_WIRE_OP_COPY_IN)
        return head.header.length >= LARGE_BYTES ? copy_in(ring, &head) : 0;
    /* What the usual way answers otherwise is left to it. */
    return session->latched == 0 && head.header.length == sizeof head.out && head.out.size_bytes >= LARGE_BYTES &&
                   head.out.size_bytes <= session->payload_bytes
               ? copy_out(pipe, session, &head)
               : 0;
}
