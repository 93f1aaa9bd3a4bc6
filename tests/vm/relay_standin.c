/*
 * Stands in for the relay where only a stub is tested: one listening socket for each VM, requests computed here at once.
 * vgpu_relay_standin [--misbehave HOW] NAME=SOCKET ...   Runs until SIGTERM. Lines on standard output: what came from whom.
 * HOW: garbage (answers with what is no frame), short (a response too short), silent (never answers), busy, quarantine.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/vgpu/frame.h"

enum { VMS_MAX = 32 };

static struct vm {
    const char *name;
    int listen_fd, fd;
    uint8_t in[DIVVY_WIRE_VGPU_HEADER_BYTES + DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    size_t in_bytes;
} vms[VMS_MAX];
static const char *misbehave = "";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void compute(const struct divvy_wire_vgpu_body *request, struct divvy_wire_vgpu_body *response, const char **data) {
    static const char name[] = "stand-in";

    memset(response, 0, sizeof *response);
    *data = NULL;
    switch (request->code) {
    case DIVVY_WIRE_VGPU_OP_NOP:
        return;
    case DIVVY_WIRE_VGPU_OP_VECTOR_ADD:
        if (request->word_count == 0 || request->word_count % 2) {
            response->code = DIVVY_WIRE_VGPU_CODE_INVALID;
            return;
        }
        response->word_count = request->word_count / 2;
        for (uint32_t i = 0; i < response->word_count; i++)
            response->words[i] = request->words[i] + request->words[response->word_count + i];
        return;
    case DIVVY_WIRE_VGPU_OP_DEVICE_INFO:
        response->data_bytes = sizeof name - 1;
        *data = name;
        return;
    default:
        response->code = DIVVY_WIRE_VGPU_CODE_UNSUPPORTED;
    }
}

static bool answer(struct vm *vm, const struct divvy_wire_vgpu_header *header, const uint8_t *payload) {
    struct divvy_wire_vgpu_header back = {.kind = DIVVY_WIRE_VGPU_RESPONSE, .request_id = header->request_id};
    struct divvy_wire_vgpu_body request, response;
    uint8_t out[DIVVY_WIRE_VGPU_HEADER_BYTES + DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    const char *data;
    int length;

    if (header->kind != DIVVY_WIRE_VGPU_REQUEST)
        return header->kind == DIVVY_WIRE_VGPU_PONG;
    printf("Received GPU request from %s\n", vm->name);
    if (strcmp(misbehave, "silent") == 0)
        return true;
    memset(&response, 0, sizeof response);
    data = NULL;
    response.code = divvy_wire_vgpu_request_read(payload, header->payload_bytes, &request);
    if (response.code == DIVVY_WIRE_VGPU_CODE_NONE)
        compute(&request, &response, &data);
    length = divvy_wire_vgpu_response_write(&response, data, out + DIVVY_WIRE_VGPU_HEADER_BYTES);
    if (strcmp(misbehave, "short") == 0)
        length = 8;
    if (strcmp(misbehave, "busy") == 0 || strcmp(misbehave, "quarantine") == 0) {
        back.kind = misbehave[0] == 'b' ? DIVVY_WIRE_VGPU_BUSY : DIVVY_WIRE_VGPU_QUARANTINED;
        length = 0;
    }
    back.payload_bytes = (uint32_t)length;
    divvy_wire_vgpu_header_write(&back, out);
    if (strcmp(misbehave, "garbage") == 0)
        memset(out, 0xEE, sizeof out);
    return write(vm->fd, out, DIVVY_WIRE_VGPU_HEADER_BYTES + (size_t)length) > 0;
}

/* Reads what came; false: the connection is to be closed. */
static bool serve(struct vm *vm) {
    struct divvy_wire_vgpu_header header;
    ssize_t got = read(vm->fd, vm->in + vm->in_bytes, sizeof vm->in - vm->in_bytes);

    if (got <= 0)
        return false;
    vm->in_bytes += (size_t)got;
    while (vm->in_bytes >= DIVVY_WIRE_VGPU_HEADER_BYTES) {
        size_t whole;

        if (divvy_wire_vgpu_header_read(vm->in, &header) < 0)
            return false;
        whole = DIVVY_WIRE_VGPU_HEADER_BYTES + (size_t)header.payload_bytes;
        if (vm->in_bytes < whole)
            break;
        if (!answer(vm, &header, vm->in + DIVVY_WIRE_VGPU_HEADER_BYTES))
            return false;
        vm->in_bytes -= whole;
        memmove(vm->in, vm->in + whole, vm->in_bytes);
    }
    return true;
}

static void listen_at(struct vm *vm, char *text) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *path = strchr(text, '=');

    if (!path || strlen(path + 1) >= sizeof address.sun_path) {
        fprintf(stderr, "NAME=SOCKET is expected, not %s\n", text);
        exit(2);
    }
    *path++ = '\0';
    memcpy(address.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    vm->name = text;
    vm->fd = -1;
    vm->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (vm->listen_fd < 0 || bind(vm->listen_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(vm->listen_fd, 4) != 0)
        die(path);
}

int main(int argc, char **argv) {
    struct pollfd fds[2 * VMS_MAX];
    int first = 1, count;

    if (argc > 2 && strcmp(argv[1], "--misbehave") == 0) {
        misbehave = argv[2];
        first = 3;
    }
    count = argc - first;
    if (count < 1 || count > VMS_MAX)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < count; i++)
        listen_at(&vms[i], argv[first + i]);
    for (;;) {
        for (int i = 0; i < count; i++) {
            fds[2 * i] = (struct pollfd){.fd = vms[i].listen_fd, .events = POLLIN};
            fds[2 * i + 1] = (struct pollfd){.fd = vms[i].fd, .events = POLLIN};
        }
        if (poll(fds, 2 * (nfds_t)count, -1) < 0 && errno != EINTR)
            die("poll");
        for (int i = 0; i < count; i++) {
            if (fds[2 * i + 1].revents && !serve(&vms[i])) {
                close(vms[i].fd);
                vms[i].fd = -1;
            }
            if (!fds[2 * i].revents)
                continue;
            if (vms[i].fd >= 0)
                close(vms[i].fd);
            vms[i].fd = accept4(vms[i].listen_fd, NULL, NULL, SOCK_CLOEXEC);
            vms[i].in_bytes = 0;
        }
    }
}
