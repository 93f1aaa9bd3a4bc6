/* One client: see serve.h. */
#include "remote/worker/serve.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "core/spin.h"
#include "remote/worker/job.h"
#include "remote/worker/ring.h"
#include "remote/worker/session.h"
#include "wire/json_frame.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define LONG_BYTES (64u << 10) /* frames that are read alone */

/* A client that takes nothing of its answers for so long is given up. */
#define SEND_TIMEOUT_S 60

/* How long the process may go on for a client that is gone: it may be reading what came before the end. */
#define GONE_NS (2 * 1000000000L)

/* --- the watch on the client ----------------------------------------------------------------------------- */

struct watch {
    int fd;         /* a duplicate of its own */
    int stop_fds[2]; /* a pipe; closing its writing end ends the watch */
    pthread_t thread;
    bool runs;
};

/*
 * The serving thread may be waiting for the GPU, for as long as a kernel takes, when the client vanishes. Ending the process is
 * what frees a client's memory in every case.
 */
static void *watch_run(void *data) {
    struct watch *watch = data;
    struct pollfd fds[2] = {{.fd = watch->fd, .events = POLLRDHUP}, {.fd = watch->stop_fds[0], .events = POLLIN}};
    struct timespec grace = {.tv_sec = GONE_NS / 1000000000L, .tv_nsec = GONE_NS % 1000000000L};

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    if (fds[1].revents == 0 && ppoll(&fds[1], 1, &grace, NULL) == 0)
        _exit(0);
    return NULL;
}

static void watch_start(struct watch *watch, int fd) {
    watch->runs = false;
    watch->fd = dup(fd);
    if (watch->fd < 0)
        return;
    if (pipe(watch->stop_fds) < 0) {
        divvy_cleanup_close(&watch->fd);
        return;
    }
    watch->runs = pthread_create(&watch->thread, NULL, watch_run, watch) == 0;
}

static void watch_stop(struct watch *watch) {
    if (watch->fd < 0)
        return;
    divvy_cleanup_close(&watch->stop_fds[1]);
    if (watch->runs)
        (void)pthread_join(watch->thread, NULL);
    divvy_cleanup_close(&watch->stop_fds[0]);
    divvy_cleanup_close(&watch->fd);
}

/* --- bytes ----------------------------------------------------------------------------------------------- */

static int send_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 0;
}

/* Bytes read, 0 at the end, negative errno. */
static ssize_t receive(int fd, char *buffer, size_t size) {
    static _Thread_local struct divvy_core_spin spin = {.window_ns = DIVVY_CORE_SPIN_WINDOW_NS};
    ssize_t got;

    divvy_core_spin_begin(&spin);
    do
        got = recv(fd, buffer, size, MSG_DONTWAIT);
    while (got < 0 && errno == EAGAIN && divvy_core_spin_goes_on(&spin));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        do
            got = recv(fd, buffer, size, 0);
        while (got < 0 && errno == EINTR);
    divvy_core_spin_end(&spin);
    return got < 0 ? -errno : got;
}

/* --- JSON ------------------------------------------------------------------------------------------------ */

struct json_client {
    int fd;
    struct divvy_worker_vector *vector;
    struct divvy_wire_json_frame frame;
    char *request; /* the object so far; malloc'ed */
    size_t length, capacity;
};

static int request_append(struct json_client *client, const char *bytes, size_t length) {
    if (client->length + length > client->capacity) {
        size_t capacity = (client->length + length) * 2;
        char *grown = realloc(client->request, capacity);

        if (!grown)
            return -ENOMEM;
        client->request = grown;
        client->capacity = capacity;
    }
    memcpy(client->request + client->length, bytes, length);
    client->length += length;
    return 0;
}

/* Takes over `answer`; a line's end follows it. */
static int answer_send(int fd, char *answer, size_t length) {
    cleanup_free char *owned = answer;

    if (!owned)
        return -ENOMEM;
    /* In the place of the NUL, so that it is one packet. */
    owned[length] = '\n';
    return send_all(fd, owned, length + 1);
}

static int json_refuse(int fd, int code, const char *message) {
    size_t length = 0;
    char *answer = divvy_worker_job_refuse(code, message, &length);

    return answer_send(fd, answer, length);
}

/* 0, or negative when the connection is to end. */
static int json_take(struct json_client *client, const char *bytes, size_t length) {
    while (length > 0) {
        size_t start = 0, end = 0, answer_length = 0;
        int status = divvy_wire_json_frame_feed(&client->frame, bytes, length, &start, &end);
        char *answer;

        if (status < 0) {
            (void)json_refuse(client->fd, status == -EMSGSIZE ? DIVVY_WIRE_CODE_TOO_LARGE : DIVVY_WIRE_CODE_INVALID,
                              status == -EMSGSIZE ? "the object is longer than 64 MiB"
                                                  : "a JSON object is needed here, nested at most 64 deep");
            return status;
        }
        if (request_append(client, bytes + start, end - start) < 0) {
            (void)json_refuse(client->fd, DIVVY_WIRE_CODE_TOO_LARGE, "no memory");
            return -ENOMEM;
        }
        bytes += end;
        length -= end;
        if (status == 0)
            continue;
        answer = divvy_worker_job_answer(client->vector, NULL, client->request, client->length, &answer_length);
        client->length = 0;
        status = answer_send(client->fd, answer, answer_length);
        if (status < 0)
            return status;
    }
    return 0;
}

static void json_serve(int fd, struct divvy_worker_vector *vector) {
    struct json_client client = {.fd = fd, .vector = vector};
    cleanup_free char *buffer = malloc(READ_BYTES);
    ssize_t got;

    if (!buffer)
        return;
    while ((got = receive(fd, buffer, READ_BYTES)) > 0)
        if (json_take(&client, buffer, (size_t)got) < 0)
            break;
    if (got == 0 && client.frame.depth > 0)
        (void)json_refuse(fd, DIVVY_WIRE_CODE_INVALID, "the object does not end");
    free(client.request);
}

/* --- frames ---------------------------------------------------------------------------------------------- */

/* How frames come and go: over a socket, or through memory that a relay has handed over. */
struct way {
    int fd;
    struct divvy_worker_ring *ring; /* NULL: the socket */
};

static ssize_t way_receive(const struct way *way, char *buffer, size_t size) {
    ssize_t got = way->ring ? divvy_wire_ring_pipe_read(&way->ring->pipe, buffer, size) : receive(way->fd, buffer, size);

    return got == -ECONNRESET ? 0 : got;
}

static int out_flush(const struct way *way, struct divvy_worker_session *session) {
    int status = way->ring ? divvy_worker_ring_send(way->ring, session->out, session->out_length)
                           : send_all(way->fd, session->out, session->out_length);

    session->out_length = 0;
    return status;
}

/* Everything that is there is done before answers are sent: one system call for many. */
static int frames_do(const struct way *way, struct divvy_worker_session *session) {
    struct divvy_worker_staging *input = &session->staging;

    for (;;) {
        ssize_t used =
            divvy_worker_session_take(session, input->pieces[input->at].bytes + input->start, input->end - input->start);

        if (used >= 0)
            input->start += (size_t)used;
        if (out_flush(way, session) < 0)
            return -EPIPE;
        if (used < 0)
            return (int)used;
        if (used == 0 || session->is_over)
            return session->is_over ? -ECONNRESET : 0;
    }
}

/* Bytes of the frame that begins where input does, header and all; 0: its header is not there. */
static size_t frame_length(const struct divvy_worker_session *session) {
    const struct divvy_worker_staging *input = &session->staging;
    struct divvy_wire_header header;

    if (input->end - input->start < sizeof header ||
        divvy_wire_header_read(input->pieces[input->at].bytes + input->start, session->payload_bytes, &header) < 0)
        return 0;
    return sizeof header + header.length;
}

/*
 * Reads once. Long frames mostly follow others of the same length: each is read to its end and no further, so that the next one lies at the
 * beginning of a piece and need not be moved. `*length` is that of the last long frame, 0: the last one was not.
 */
static ssize_t input_read(const struct way *way, struct divvy_worker_session *session, size_t *length) {
    struct divvy_worker_staging *input = &session->staging;
    size_t most = sizeof(struct divvy_wire_header) + session->payload_bytes, there = input->end - input->start;
    size_t whole = frame_length(session), room;

    if (whole > 0 || there >= sizeof(struct divvy_wire_header))
        *length = whole >= LONG_BYTES ? whole : 0;
    if (!input->context && divvy_worker_staging_grow(input, 2 * (most > READ_BYTES ? most : READ_BYTES)) < 0)
        return -ENOMEM;
    divvy_worker_staging_room(input, *length > there ? *length : most, session->current);
    room = input->piece_bytes - input->end;
    if (*length > there && *length - there < room)
        room = *length - there;
    return way_receive(way, input->pieces[input->at].bytes + input->end, room);
}

/* Waits for the next frames and carries them out. Negative when the connection is to end. */
static int frames_receive(const struct way *way, struct divvy_worker_session *session, size_t *length) {
    int status = divvy_worker_session_memory(session);
    ssize_t got = status < 0 ? status : input_read(way, session, length);

    if (got <= 0)
        return got < 0 && way->ring ? (int)got : -ECONNRESET;
    session->staging.end += (size_t)got;
    return frames_do(way, session);
}

/* In shared memory: waits for bytes and a turn; a large copy that comes next goes its own way. 1 when there was one. */
static int ring_receive(struct divvy_worker_ring *ring) {
    int status = divvy_worker_ring_wait(ring);

    return status < 0 || ring->session->staging.start != ring->session->staging.end ? status : divvy_worker_ring_copy(ring);
}

static void frames_serve(const struct way *way, const struct divvy_worker_driver *driver, struct divvy_worker_vector *vector) {
    struct divvy_worker_session session;
    size_t length = 0;
    int status = 0;

    divvy_worker_session_init(&session, driver, vector);
    if (way->ring) {
        way->ring->session = &session;
        session.staging.shared = way->ring->memory;
        session.staging.shared_bytes = way->ring->memory_bytes;
    }
    while (status >= 0) {
        status = way->ring ? ring_receive(way->ring) : 0;
        if (status == 0)
            status = frames_receive(way, &session, &length);
    }
    if (status != -EPIPE && status != -ECONNRESET)
        divvy_log_warn("client dropped: %s",
                       status == -EMSGSIZE ? "a frame longer than agreed"
                       : status == -EBADMSG ? "a frame whose checksum is wrong"
                       : status == -ENOMEM  ? "out of memory"
                                            : "what it sent is no frame");
    divvy_worker_session_done(&session);
}

/* An answer is lost when a socket is closed that has unread bytes: they are read, within bounds, before it is. */
static void drain(int fd) {
    struct timeval timeout = {.tv_usec = 200000};
    char scrap[4096];

    (void)shutdown(fd, SHUT_WR);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    for (int i = 0; i < 64 && receive(fd, scrap, sizeof scrap) > 0; i++)
        ;
}

static void ring_serve(int fd, const struct divvy_worker_driver *driver, struct divvy_worker_vector *vector) {
    struct divvy_worker_ring ring;
    int status = divvy_worker_ring_take_over(fd, &ring);

    if (status < 0)
        divvy_log_warn("shared memory that was handed over cannot be used: %s", strerror(-status));
    else
        frames_serve(&(struct way){.fd = fd, .ring = &ring}, driver, vector);
}

/* --- the first byte -------------------------------------------------------------------------------------- */

enum divvy_worker_served divvy_worker_serve(int fd, const struct divvy_worker_driver *driver,
                                            struct divvy_worker_vector *vector) {
    enum divvy_worker_served served = DIVVY_WORKER_SERVED_NOTHING;
    struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    unsigned char first = 0;
    struct watch watch;
    ssize_t got;

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    do
        got = recv(fd, &first, 1, MSG_PEEK);
    while (got < 0 && errno == EINTR);
    if (got <= 0) {
        (void)close(fd);
        return served;
    }
    if (first == (DIVVY_WIRE_MAGIC & 0xFF)) {
        watch_start(&watch, fd);
        frames_serve(&(struct way){.fd = fd}, driver, vector);
        watch_stop(&watch);
        served = DIVVY_WORKER_SERVED_FRAMES;
    } else if (first == (DIVVY_WIRE_RING_GREETING & 0xFF)) {
        watch_start(&watch, fd);
        ring_serve(fd, driver, vector);
        watch_stop(&watch);
        served = DIVVY_WORKER_SERVED_FRAMES;
    } else if (divvy_wire_json_begins(first)) {
        json_serve(fd, vector);
        served = DIVVY_WORKER_SERVED_JSON;
    } else {
        (void)json_refuse(fd, DIVVY_WIRE_CODE_INVALID, "a JSON object or a frame is needed here");
    }
    if (served != DIVVY_WORKER_SERVED_FRAMES)
        drain(fd);
    (void)close(fd);
    return served;
}
