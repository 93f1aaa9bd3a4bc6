/* Shared memory as a client has it: a file of this host, or the BAR of an ivshmem device in a VM. See ring.h. */
#include "remote/client/ring.h"

#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES   "/sys/bus/pci/devices"
#define PORTS     "/sys/class/virtio-ports"
#define PORT_NAME "org.divvy.0"

/* --- what a VM has ---------------------------------------------------------------------------------------- */

/* The first words of a small file, without white space at its end; empty when it cannot be read. */
static void line_read(const char *folder, const char *entry, const char *name, char *ret_text, size_t room) {
    char path[512];
    FILE *file;

    ret_text[0] = '\0';
    if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", folder, entry, name) >= sizeof path)
        return;
    file = fopen(path, "re");
    if (file && fgets(ret_text, (int)room, file))
        ret_text[strcspn(ret_text, "\r\n")] = '\0';
    if (file)
        (void)fclose(file);
}

/* Calls `is_it` for the entries of a folder, in no order, until one is. 0 or -ENODEV. */
static int entry_find(const char *folder, bool (*is_it)(const char *entry), char *ret_entry, size_t room) {
    DIR *directory = opendir(folder);
    struct dirent *entry;
    int status = -ENODEV;

    while (directory && status < 0 && (entry = readdir(directory)))
        if (entry->d_name[0] != '.' && is_it(entry->d_name) && (size_t)snprintf(ret_entry, room, "%s", entry->d_name) < room)
            status = 0;
    if (directory)
        (void)closedir(directory);
    return status;
}

static bool is_port(const char *entry) {
    char name[64];

    line_read(PORTS, entry, "name", name, sizeof name);
    return strcmp(name, PORT_NAME) == 0;
}

static bool is_ivshmem(const char *entry) {
    char vendor[32], device[32];

    line_read(DEVICES, entry, "vendor", vendor, sizeof vendor);
    line_read(DEVICES, entry, "device", device, sizeof device);
    return strcmp(vendor, "0x1af4") == 0 && strcmp(device, "0x1110") == 0;
}

int divvy_client_ring_port_find(char *ret_path, size_t room) {
    char entry[128];
    int status = entry_find(PORTS, is_port, entry, sizeof entry);

    return status < 0 ? status : (size_t)snprintf(ret_path, room, "/dev/%s", entry) < room ? 0 : -ENAMETOOLONG;
}

int divvy_client_ring_device_find(char *ret_path, size_t room) {
    char entry[128], path[sizeof DEVICES + sizeof entry + 16];
    int status = entry_find(DEVICES, is_ivshmem, entry, sizeof entry), fd;

    if (status < 0)
        return status;
    /* Without memory decoding every read is all ones. Firmware switches it on; who boots without has it done here. */
    (void)snprintf(path, sizeof path, DEVICES "/%s/enable", entry);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "1", 1);
        (void)close(fd);
    }
    return (size_t)snprintf(ret_path, room, DEVICES "/%s/resource2", entry) < room ? 0 : -ENAMETOOLONG;
}

/* --- the session ------------------------------------------------------------------------------------------- */

static int memory_map(const char *path, struct divvy_client_ring *ring) {
    int fd = open(path, O_RDWR | O_CLOEXEC), status = 0;
    struct stat found;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &found) < 0)
        status = -errno;
    else if (!S_ISREG(found.st_mode) || divvy_wire_ring_size_check((uint64_t)found.st_size) < 0)
        status = -EINVAL;
    if (status == 0) {
        ring->memory_bytes = (uint64_t)found.st_size;
        ring->memory = mmap(NULL, ring->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (ring->memory == MAP_FAILED) {
            ring->memory = NULL;
            status = -errno;
        }
    }
    (void)close(fd);
    return status;
}

static int stream_put(const struct divvy_wire_ring_pipe *pipe, const void *bytes, size_t length) {
    ssize_t put;

    do
        put = pipe->is_socket ? send(pipe->stream_fd, bytes, length, MSG_NOSIGNAL) : write(pipe->stream_fd, bytes, length);
    while (put < 0 && errno == EINTR);
    return put == (ssize_t)length ? 0 : put < 0 ? -errno : -EAGAIN;
}

/* One byte of the stream, until the deadline. */
static int stream_byte(const struct divvy_wire_ring_pipe *pipe, uint64_t end_ns, char *ret_byte) {
    for (;;) {
        uint64_t now_ns = divvy_core_clock_ns();
        uint64_t left_ms = now_ns < end_ns ? (end_ns - now_ns) / DIVVY_NS_PER_MS + 1 : 0;
        struct pollfd fd = {.fd = pipe->stream_fd, .events = POLLIN};
        ssize_t got;

        if (left_ms == 0)
            return -ETIMEDOUT;
        if (poll(&fd, 1, left_ms < 1000 ? (int)left_ms : 1000) < 0 && errno != EINTR)
            return -errno;
        if (fd.revents == 0)
            continue;
        got = read(pipe->stream_fd, ret_byte, 1);
        if (got == 1)
            return 0;
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return got == 0 ? -ECONNRESET : -errno;
    }
}

/* The answer to our greeting. What is left on the stream of a session before is passed over. */
static int answer_take(const struct divvy_wire_ring_pipe *pipe, uint64_t session, uint64_t end_ns,
                       struct divvy_wire_ring_greeting *ret_answer) {
    struct divvy_wire_ring_greeting answer;
    char first;
    int status;

    do {
        do
            status = stream_byte(pipe, end_ns, &first);
        while (status == 0 && first == DIVVY_WIRE_RING_WAKE);
        if (status == 0 && first != (char)(DIVVY_WIRE_RING_GREETING & 0xFF))
            return -EPROTO;
        memcpy(&answer, &first, 1);
        for (size_t i = 1; i < sizeof answer && status == 0; i++)
            status = stream_byte(pipe, end_ns, (char *)&answer + i);
        if (status == 0 && answer.magic != DIVVY_WIRE_RING_GREETING)
            return -EPROTO;
    } while (status == 0 && answer.session != session);
    if (status == 0)
        *ret_answer = answer;
    return status;
}

static const int refusals[DIVVY_WIRE_RING_STATUS_MAX] = {
    [DIVVY_WIRE_RING_STATUS_VERSION] = -EPROTO,
    [DIVVY_WIRE_RING_STATUS_SIZE] = -ESTALE,
    [DIVVY_WIRE_RING_STATUS_NONE] = -ESTALE,
    [DIVVY_WIRE_RING_STATUS_BUSY] = -EBUSY,
};

static int greet(struct divvy_client_ring *ring, uint32_t timeout_ms) {
    struct divvy_wire_ring_greeting greeting = {.magic = DIVVY_WIRE_RING_GREETING,
                                                .version = DIVVY_WIRE_RING_VERSION,
                                                .memory_bytes = ring->memory_bytes},
                                    answer = {0};
    uint64_t end_ns = timeout_ms ? divvy_core_clock_ns() + timeout_ms * DIVVY_NS_PER_MS : UINT64_MAX;
    int status;

    if (getrandom(&greeting.session, sizeof greeting.session, 0) != (ssize_t)sizeof greeting.session)
        return -errno;
    status = stream_put(&ring->pipe, &greeting, sizeof greeting);
    if (status == 0)
        status = answer_take(&ring->pipe, greeting.session, end_ns, &answer);
    if (status < 0)
        return status;
    if (answer.status != DIVVY_WIRE_RING_STATUS_OK)
        return answer.status < DIVVY_WIRE_RING_STATUS_MAX ? refusals[answer.status] : -EPROTO;
    return divvy_wire_ring_attach(ring->memory, ring->memory_bytes, greeting.session, &ring->pipe.ring);
}

int divvy_client_ring_open(const char *path, int stream_fd, bool is_socket, uint32_t timeout_ms,
                           struct divvy_client_ring **ret_ring) {
    struct divvy_client_ring *ring = calloc(1, sizeof *ring);
    int status;

    if (!ring)
        return -ENOMEM;
    ring->pipe = (struct divvy_wire_ring_pipe){.stream_fd = stream_fd, .is_socket = is_socket, .timeout_ms = timeout_ms};
    divvy_wire_ring_pipe_init(&ring->pipe);
    status = memory_map(path, ring);
    if (status == 0)
        status = greet(ring, timeout_ms);
    if (status == 0)
        *ret_ring = ring;
    else
        divvy_client_ring_close(ring);
    /* The file is there but is not laid out as the host said: it is not the host's. */
    return status == -EAGAIN ? -ESTALE : status;
}

void divvy_client_ring_close(struct divvy_client_ring *ring) {
    const char end = DIVVY_WIRE_RING_END;

    if (!ring)
        return;
    if (!ring->pipe.is_socket)
        (void)stream_put(&ring->pipe, &end, 1);
    if (ring->memory)
        (void)munmap(ring->memory, ring->memory_bytes);
    free(ring);
}
