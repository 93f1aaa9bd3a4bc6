/* Waiting for the other side of a ring: see pipe.h. */
#include "wire/ring/pipe.h"

#include "core/clock.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

/* Looking pays as long as it costs less than to sleep and be woken: some ten microseconds between two processors. */
#define SPIN_NS       UINT32_C(50000)
#define SPIN_LEAST_NS UINT32_C(2000)

/* A wake-up may be kept back by the other side: so often who sleeps looks for itself. */
#define LOOK_MS 1000

/* Between two looks at the clock. */
#define LOOKS 16

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void divvy_wire_ring_pipe_init(struct divvy_wire_ring_pipe *pipe) {
    pipe->spin_ns = SPIN_NS;
}

void divvy_wire_ring_pipe_wake(const struct divvy_wire_ring_pipe *pipe) {
    const char byte = DIVVY_WIRE_RING_WAKE;

    /* A stream that is full has wake-ups enough. */
    if (pipe->is_socket)
        (void)!send(pipe->stream_fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    else
        (void)!write(pipe->stream_fd, &byte, 1);
}

/* --- the two things that are waited for ------------------------------------------------------------------ */

struct wish {
    ssize_t (*look)(struct divvy_wire_ring *ring, struct iovec ret_pieces[2]);
    bool (*sleep)(struct divvy_wire_ring *ring);
};

static const struct wish wish_bytes = {divvy_wire_ring_there, divvy_wire_ring_sleep};
static const struct wish wish_room = {divvy_wire_ring_room, divvy_wire_ring_wait_room};

static int look(struct divvy_wire_ring_pipe *pipe, const struct wish *wish) {
    struct iovec pieces[2];
    ssize_t bytes = wish->look(&pipe->ring, pieces);

    return bytes < 0 ? (int)bytes : bytes > 0;
}

/* Looks for as long as that paid lately. Gives the processor to others now and then: the other side may need it. */
static int spin(struct divvy_wire_ring_pipe *pipe, const struct wish *wish) {
    uint64_t end_ns = divvy_core_clock_ns() + pipe->spin_ns;

    do {
        for (int i = 0; i < LOOKS; i++) {
            int status = look(pipe, wish);

            if (status != 0) {
                pipe->spin_ns = SPIN_NS;
                return status;
            }
            pause_briefly();
        }
        (void)sched_yield();
    } while (divvy_core_clock_ns() < end_ns);
    return 0;
}

/* Takes the wake-ups that have come. Negative: the stream has ended. */
static int stream_empty(const struct divvy_wire_ring_pipe *pipe) {
    char bytes[64];
    ssize_t got;

    do
        got = pipe->is_socket ? recv(pipe->stream_fd, bytes, sizeof bytes, MSG_DONTWAIT) : read(pipe->stream_fd, bytes, sizeof bytes);
    while (got < 0 && errno == EINTR);
    return got > 0 || (got < 0 && errno == EAGAIN) ? 0 : -ECONNRESET;
}

/* Sleeps at most so long. 0: look again; negative: the stream has ended. */
static int sleep_on_stream(const struct divvy_wire_ring_pipe *pipe, uint64_t left_ms) {
    struct pollfd fd = {.fd = pipe->stream_fd, .events = POLLIN};
    int got = poll(&fd, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS);

    return got > 0 ? stream_empty(pipe) : 0;
}

/* After sleeping: the next wait looks long if this one would have been over soon, else shorter and shorter. */
static void spin_learn(struct divvy_wire_ring_pipe *pipe, uint64_t slept_ns) {
    pipe->spin_ns = slept_ns < 4 * (uint64_t)SPIN_NS          ? SPIN_NS
                    : pipe->spin_ns / 2 > SPIN_LEAST_NS ? pipe->spin_ns / 2
                                                        : SPIN_LEAST_NS;
}

static int wait_for(struct divvy_wire_ring_pipe *pipe, const struct wish *wish) {
    int status = look(pipe, wish);
    uint64_t begun_ns, limit_ms = pipe->timeout_ms ? pipe->timeout_ms : UINT64_MAX;

    if (status == 0)
        status = spin(pipe, wish);
    if (status != 0)
        return status;
    begun_ns = divvy_core_clock_ns();
    while (status == 0) {
        uint64_t gone_ms = (divvy_core_clock_ns() - begun_ns) / DIVVY_NS_PER_MS;
        int ended = 0;

        if (gone_ms >= limit_ms)
            return -ETIMEDOUT;
        if (wish->sleep(&pipe->ring))
            ended = sleep_on_stream(pipe, limit_ms - gone_ms);
        /* What was put in before the end is still taken. */
        status = look(pipe, wish);
        if (status == 0)
            status = ended;
    }
    spin_learn(pipe, divvy_core_clock_ns() - begun_ns);
    return status;
}

int divvy_wire_ring_pipe_wait_bytes(struct divvy_wire_ring_pipe *pipe) {
    return wait_for(pipe, &wish_bytes);
}

int divvy_wire_ring_pipe_look(struct divvy_wire_ring_pipe *pipe) {
    int status = look(pipe, &wish_bytes);

    return status != 0 ? status : spin(pipe, &wish_bytes);
}

int divvy_wire_ring_pipe_wait_room(struct divvy_wire_ring_pipe *pipe) {
    return wait_for(pipe, &wish_room);
}

/* --- copies ---------------------------------------------------------------------------------------------- */

ssize_t divvy_wire_ring_pipe_read(struct divvy_wire_ring_pipe *pipe, void *buffer, size_t size) {
    for (;;) {
        bool wake = false;
        ssize_t got = divvy_wire_ring_read(&pipe->ring, buffer, size, &wake);
        int status;

        if (wake)
            divvy_wire_ring_pipe_wake(pipe);
        if (got != 0)
            return got;
        status = divvy_wire_ring_pipe_wait_bytes(pipe);
        if (status < 0)
            return status;
    }
}

int divvy_wire_ring_pipe_write(struct divvy_wire_ring_pipe *pipe, const void *bytes, size_t size) {
    const char *at = bytes;

    while (size > 0) {
        bool wake = false;
        /* In parts, so that the other side copies out while this one copies in. */
        ssize_t put = divvy_wire_ring_write(&pipe->ring, at, size < DIVVY_WIRE_RING_PART_BYTES ? size : DIVVY_WIRE_RING_PART_BYTES, &wake);
        int status;

        if (wake)
            divvy_wire_ring_pipe_wake(pipe);
        if (put < 0)
            return (int)put;
        at += put;
        size -= (size_t)put;
        if (put > 0)
            continue;
        status = divvy_wire_ring_pipe_wait_room(pipe);
        if (status < 0)
            return status;
    }
    return 0;
}
