/*
 * Jobs through XenStore: see xenstore.h. Speaks to the store by its own packets, as a kernel's device has them too; libxenstore would do
 * the same, and a static program for small guests could not load it.
 */
#include "remote/client/xenstore.h"

#include "wire/xen/message.h"
#include "wire/xen/packet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES    (DIVVY_WIRE_XEN_HEADER_BYTES + DIVVY_WIRE_XEN_PAYLOAD_BYTES)
#define WITHDRAW_MS 2000 /* to take a request back when time is over */
#define TURN_MS     5    /* between looks at another process' lock */

struct divvy_client_xenstore {
    int fd;
    bool is_device, is_watching;
    uint32_t timeout_ms;
    int64_t deadline_ms; /* of what is under way; INT64_MAX: none */
    uint64_t events;     /* so many came */
    size_t in_end;
    char in[IN_BYTES];
    struct divvy_wire_xen_packet packet; /* the last answer, and its payload */
    char payload[DIVVY_WIRE_XEN_PAYLOAD_BYTES];
};

static int64_t now_ms(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- packets -------------------------------------------------------------------------------------------------------- */

static int wait_for(struct divvy_client_xenstore *store, short events) {
    struct pollfd fd = {.fd = store->fd, .events = events};
    int64_t left = store->deadline_ms - now_ms();
    int got;

    if (left <= 0)
        return -ETIMEDOUT;
    got = poll(&fd, 1, store->deadline_ms == INT64_MAX ? -1 : (int)left);
    return got < 0 && errno != EINTR ? -errno : 0;
}

static int send_all(struct divvy_client_xenstore *store, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = store->is_device ? write(store->fd, bytes, length) : send(store->fd, bytes, length, MSG_NOSIGNAL);
        int status = sent >= 0 || errno == EINTR ? 0 : errno == EAGAIN ? wait_for(store, POLLOUT) : -errno;

        if (status < 0)
            return status;
        bytes += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t)sent : 0;
    }
    return 0;
}

/* The next packet: an event, or an answer. */
static int packet_take(struct divvy_client_xenstore *store) {
    for (;;) {
        size_t whole;
        ssize_t got;
        int status;

        if (store->in_end >= DIVVY_WIRE_XEN_HEADER_BYTES) {
            status = divvy_wire_xen_packet_read((const uint8_t *)store->in, &store->packet);
            if (status < 0)
                return -EPROTO;
            whole = DIVVY_WIRE_XEN_HEADER_BYTES + store->packet.length;
            if (store->in_end >= whole) {
                memcpy(store->payload, store->in + DIVVY_WIRE_XEN_HEADER_BYTES, store->packet.length);
                store->in_end -= whole;
                memmove(store->in, store->in + whole, store->in_end);
                return 0;
            }
        }
        got = read(store->fd, store->in + store->in_end, sizeof store->in - store->in_end);
        if (got == 0)
            return -ECONNRESET;
        status = got > 0 || errno == EINTR ? 0 : errno == EAGAIN ? wait_for(store, POLLIN) : -errno;
        if (status < 0)
            return status;
        store->in_end += got > 0 ? (size_t)got : 0;
    }
}

/* What the store says instead of an answer. */
static int error_number(const char *name, size_t length) {
    static const struct {
        const char *name;
        int number;
    } known[] = {{"ENOENT", ENOENT}, {"EACCES", EACCES}, {"ENOSPC", ENOSPC}, {"EPERM", EPERM}, {"E2BIG", E2BIG},
                 {"EINVAL", EINVAL}, {"ENOMEM", ENOMEM}, {"EAGAIN", EAGAIN}, {"EIO", EIO}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(name, known[i].name, length) == 0)
            return -known[i].number;
    return -EPROTO;
}

/*
 * Asks the store and waits; the answer is store->payload. One request at a time, so the first packet that is no event is its answer:
 * Linux' device does not repeat the number of every request.
 */
static int ask(struct divvy_client_xenstore *store, uint32_t type, const char *node, const char *value, size_t length) {
    char bytes[DIVVY_WIRE_XEN_HEADER_BYTES + 64 + DIVVY_WIRE_XEN_VALUE_BYTES];
    size_t path = strlen(node) + 1;
    const struct divvy_wire_xen_packet packet = {type, 1, 0, (uint32_t)(path + length)};
    int status;

    divvy_wire_xen_packet_write(&packet, (uint8_t *)bytes);
    memcpy(bytes + DIVVY_WIRE_XEN_HEADER_BYTES, node, path);
    if (length > 0)
        memcpy(bytes + DIVVY_WIRE_XEN_HEADER_BYTES + path, value, length);
    status = send_all(store, bytes, DIVVY_WIRE_XEN_HEADER_BYTES + path + length);
    while (status == 0 && (status = packet_take(store)) == 0) {
        if (store->packet.type != DIVVY_WIRE_XEN_EVENT)
            return store->packet.type == type                  ? 0 :
                   store->packet.type == DIVVY_WIRE_XEN_ERROR ? error_number(store->payload, store->packet.length) :
                                                                 -EPROTO;
        store->events++;
    }
    return status;
}

/* --- a job ---------------------------------------------------------------------------------------------------------- */

static int turn_take(struct divvy_client_xenstore *store) {
    const struct timespec pause = {.tv_nsec = TURN_MS * 1000000L};

    if (!store->is_device)
        return 0; /* each connection has a file of its own, so there is nothing to lock */
    while (flock(store->fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (now_ms() >= store->deadline_ms)
            return -ETIMEDOUT;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int request_write(struct divvy_client_xenstore *store, const char *request, uint32_t length, uint32_t tag) {
    const struct divvy_wire_xen_head head = {divvy_wire_xen_pieces(length), length, tag};
    char value[DIVVY_WIRE_XEN_HEAD_BYTES + DIVVY_WIRE_XEN_VALUE_BYTES], name[32];
    size_t head_bytes = divvy_wire_xen_head_write(&head, value);
    int status = ask(store, DIVVY_WIRE_XEN_RM, "gpu/request", NULL, 0); /* what a process left that was killed */

    if (status == -ENOENT)
        status = 0;
    for (uint32_t i = 0; i < head.pieces && status == 0; i++) {
        (void)snprintf(name, sizeof name, "gpu/request/%u", i);
        status = ask(store, DIVVY_WIRE_XEN_WRITE, name, request + i * DIVVY_WIRE_XEN_VALUE_BYTES, divvy_wire_xen_piece_bytes(length, i));
    }
    if (head.pieces == 0)
        memcpy(value + head_bytes, request, length);
    return status < 0 ? status :
                        ask(store, DIVVY_WIRE_XEN_WRITE, "gpu/request", value, head_bytes + (head.pieces == 0 ? length : 0));
}

/* The pieces of an answer, behind each other. */
static int pieces_read(struct divvy_client_xenstore *store, const struct divvy_wire_xen_head *head, char *ret_bytes) {
    size_t there = 0;
    char name[32];
    int status = 0;

    for (uint32_t i = 0; i < head->pieces && status == 0; i++) {
        (void)snprintf(name, sizeof name, "gpu/response/%u", i);
        status = ask(store, DIVVY_WIRE_XEN_READ, name, NULL, 0);
        if (status == 0 && store->packet.length > head->length - there)
            status = -EPROTO;
        if (status == 0) {
            memcpy(ret_bytes + there, store->payload, store->packet.length);
            there += store->packet.length;
        }
    }
    return status < 0 ? status : there == head->length ? 0 : -EPROTO;
}

/* The answer with this tag: 1; 0: it is not there yet. Others are left to whoever they are for. */
static int response_read(struct divvy_client_xenstore *store, uint32_t tag, char **ret_answer, size_t *ret_length) {
    struct divvy_wire_xen_head head;
    size_t start;
    char *bytes;
    int status = ask(store, DIVVY_WIRE_XEN_READ, "gpu/response", NULL, 0);

    if (status < 0)
        return status == -ENOENT ? 0 : status;
    if (divvy_wire_xen_head_read(store->payload, store->packet.length, &head, &start) < 0 || head.tag != tag)
        return 0;
    bytes = malloc((size_t)head.length + 1);
    if (!bytes)
        return -ENOMEM;
    if (head.pieces == 0)
        memcpy(bytes, store->payload + start, head.length);
    else
        status = pieces_read(store, &head, bytes);
    if (status < 0) {
        free(bytes);
        return status == -ENOENT ? -EPROTO : status;
    }
    (void)ask(store, DIVVY_WIRE_XEN_RM, "gpu/response", NULL, 0); /* the next request is none the worse if it stays */
    bytes[head.length] = '\0';
    *ret_answer = bytes;
    *ret_length = head.length;
    return 1;
}

static int response_wait(struct divvy_client_xenstore *store, uint32_t tag, char **ret_answer, size_t *ret_length) {
    for (;;) {
        uint64_t before = store->events;
        int status = response_read(store, tag, ret_answer, ret_length);

        if (status != 0)
            return status < 0 ? status : 0;
        /* An event that came while it was read may be about what came just after. */
        while (store->events == before) {
            status = packet_take(store);
            if (status < 0)
                return status;
            store->events += store->packet.type == DIVVY_WIRE_XEN_EVENT;
        }
    }
}

/* Whether a relay has this request under way. */
static bool is_taken(struct divvy_client_xenstore *store, uint32_t tag) {
    struct divvy_wire_xen_head head;
    size_t start;

    return ask(store, DIVVY_WIRE_XEN_READ, "gpu/taken", NULL, 0) == 0 &&
           divvy_wire_xen_head_read(store->payload, store->packet.length, &head, &start) == 0 && head.tag == tag;
}

/*
 * Takes a request back whose time is over. A relay takes requests in a transaction, and removes gpu/taken when the answer is there: the
 * order of these looks leaves no gap. 1: the answer has come after all; else -ETIMEDOUT and what is to be said.
 */
static int withdraw(struct divvy_client_xenstore *store, uint32_t tag, char **ret_answer, size_t *ret_length, const char **ret_text) {
    int status;

    store->deadline_ms = now_ms() + WITHDRAW_MS;
    status = ask(store, DIVVY_WIRE_XEN_RM, "gpu/request", NULL, 0);
    *ret_text = "the request is not answered in time; it may have been done";
    if ((status < 0 && status != -ENOENT) || is_taken(store, tag))
        return -ETIMEDOUT;
    status = response_read(store, tag, ret_answer, ret_length);
    if (status == 0)
        *ret_text = "nobody took the request from XenStore, it was not done: is divvy-relay --xenstore at work?";
    return status > 0 ? 1 : -ETIMEDOUT;
}

static const char *write_text(int status) {
    return status == -EACCES || status == -EPERM ? "XenStore refuses gpu/request: the host must make /local/domain/N/gpu for this domain "
                                                   "and give it to it" :
           status == -ENOSPC                     ? "this domain's quota in XenStore is used up" :
                                                   "the request cannot be written to XenStore";
}

static int too_long(char **ret_answer, size_t *ret_length) {
    static const char text[] = "{\"error\": {\"code\": 2, \"message\": \"a request through XenStore is at most 486400 bytes long\"}}";
    _Static_assert(DIVVY_WIRE_XEN_MESSAGE_BYTES == 486400, "as the text says");
    char *answer = strdup(text);

    if (!answer)
        return -ENOMEM;
    *ret_answer = answer;
    *ret_length = sizeof text - 1;
    return 0;
}

int divvy_client_xenstore_job(struct divvy_client_xenstore *store, const char *request, size_t length_bytes, char **ret_answer,
                              size_t *ret_length_bytes, const char **ret_text) {
    uint32_t tag = 0;
    int status = 0;

    if (length_bytes > DIVVY_WIRE_XEN_MESSAGE_BYTES)
        return too_long(ret_answer, ret_length_bytes);
    if (getrandom(&tag, sizeof tag, 0) != sizeof tag)
        return -EIO;
    store->deadline_ms = store->timeout_ms ? now_ms() + store->timeout_ms : INT64_MAX;
    *ret_text = "another process uses XenStore all the time";
    status = turn_take(store);
    if (status == 0 && !store->is_watching) {
        *ret_text = "XenStore does not answer";
        status = ask(store, DIVVY_WIRE_XEN_WATCH, "gpu/response", "divvy", sizeof "divvy");
        store->is_watching = status == 0;
    }
    if (status < 0)
        return status;
    status = request_write(store, request, (uint32_t)length_bytes, tag);
    if (status < 0) {
        *ret_text = write_text(status);
        store->deadline_ms = now_ms() + WITHDRAW_MS;
        (void)ask(store, DIVVY_WIRE_XEN_RM, "gpu/request", NULL, 0);
        return status;
    }
    *ret_text = "the answer cannot be read from XenStore";
    status = response_wait(store, tag, ret_answer, ret_length_bytes);
    if (status == -ETIMEDOUT)
        status = withdraw(store, tag, ret_answer, ret_length_bytes, ret_text) > 0 ? 0 : -ETIMEDOUT;
    if (status == 0 && store->is_device)
        (void)flock(store->fd, LOCK_UN);
    return status;
}

/* --- beginning and end ---------------------------------------------------------------------------------------------- */

static int socket_open(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, status;

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    status = -errno;
    (void)close(fd);
    return status;
}

int divvy_client_xenstore_open(const char *path, uint32_t timeout_ms, struct divvy_client_xenstore **ret_store) {
    const char *configured = getenv("XENSTORED_PATH");
    struct divvy_client_xenstore *store;
    struct stat found;
    int fd;

    if (!path[0])
        path = configured && configured[0]       ? configured :
               access("/dev/xen/xenbus", F_OK) == 0 ? "/dev/xen/xenbus" :
                                                      "/proc/xen/xenbus"; /* old kernels */
    if (stat(path, &found) < 0)
        return -errno;
    fd = S_ISSOCK(found.st_mode) ? socket_open(path) : open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return S_ISSOCK(found.st_mode) ? fd : -errno;
    store = calloc(1, sizeof *store);
    if (!store) {
        (void)close(fd);
        return -ENOMEM;
    }
    store->fd = fd;
    store->is_device = !S_ISSOCK(found.st_mode);
    store->timeout_ms = timeout_ms;
    *ret_store = store;
    return 0;
}

void divvy_client_xenstore_close(struct divvy_client_xenstore *store) {
    if (!store)
        return;
    (void)close(store->fd);
    free(store);
}
