/* Memory that a relay hands over: see ring.h. */
#include "remote/worker/ring.h"

#include "base/cleanup.h"

#include <errno.h>
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

int divvy_worker_ring_take_over(int fd, struct divvy_wire_ring_pipe *ret_pipe) {
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
    *ret_pipe = pipe;
    return 0;
}
