/*
 * Plays the QEMU of a stub, and the guest in it: fake_qemu [-m SIZE] SCRIPT -device x-pci-proxy-dev,...,fd=N. Places BAR0 as
 * firmware does, then follows SCRIPT, a list with commas: nop (prints the code and the milliseconds it took), add (1 + 2),
 * bad (opcode 0xFFF), who (the registers with VM, pool and class), wait-PATH (until a file is there), flood (a megabyte to standard error), garbage (breaks the link's
 * protocol and waits), sleep (until killed), reset. Answers of the device go to standard output.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stub/registers.h"
#include "wire/vgpu/frame.h"
#include "wire/vgpu/words.h"

#define BAR UINT64_C(0xFEBF1000)

static int link_fd = -1;

static void must(bool good, const char *what) {
    if (good)
        return;
    printf("fake_qemu: %s\n", what);
    exit(9);
}

/* A message of the link and its answer: header {i32 command, pad, u64 size}, data; RET likewise. */
static uint64_t ask(int32_t command, const void *data, uint64_t size) {
    uint8_t bytes[64];
    struct {
        int32_t command, pad;
        uint64_t size, value;
    } answer;
    size_t got = 0;

    memcpy(bytes, &(struct { int32_t command, pad; uint64_t size; }){command, 0, size}, 16);
    memcpy(bytes + 16, data, size);
    must(write(link_fd, bytes, 16 + size) == (ssize_t)(16 + size), "the device is gone");
    while (got < sizeof answer) {
        ssize_t more = read(link_fd, (uint8_t *)&answer + got, sizeof answer - got);

        must(more > 0, "the device does not answer");
        got += (size_t)more;
    }
    must(answer.command == 1 && answer.size == 8, "the answer is no RET");
    return answer.value;
}

static uint64_t config(int32_t command, uint32_t address, uint32_t value) {
    const struct {
        uint32_t address, value;
        int32_t length;
    } access = {address, value, 4};

    return ask(command, &access, sizeof access);
}

static uint64_t bar(int32_t command, uint32_t offset, uint32_t value) {
    const struct {
        uint64_t address, value;
        uint32_t size;
        uint8_t is_memory, pad[3];
    } access = {BAR + offset, value, 4, 1, {0}};

    return ask(command, &access, sizeof access);
}

static uint32_t get(uint32_t offset) {
    return (uint32_t)bar(5, offset, 0);
}

static void put(uint32_t offset, uint32_t value) {
    (void)bar(4, offset, value);
}

static uint64_t now_ms(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void pause_ms(long ms) {
    (void)nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void request(const char *name, uint32_t opcode, uint32_t words) {
    struct divvy_wire_vgpu_body body = {.code = opcode, .word_count = words, .words = {1, 2}};
    uint8_t bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    int length = divvy_wire_vgpu_request_write(&body, NULL, bytes);
    uint64_t begun_ms = now_ms();
    uint32_t status;

    for (int i = 0; i < length; i += 4)
        put(DIVVY_STUB_REQUEST_OFFSET + (uint32_t)i, divvy_wire_u32_get(bytes + i));
    put(DIVVY_STUB_REG_REQUEST_LEN, (uint32_t)length);
    put(DIVVY_STUB_REG_DOORBELL, 1);
    while ((status = get(DIVVY_STUB_REG_STATUS)) == DIVVY_STUB_STATUS_BUSY)
        pause_ms(1);
    printf("%s: code %u result %u\n", name, get(DIVVY_STUB_REG_ERROR_CODE), status == 2 ? get(0x440 + 32) : 0);
    printf("%s took %" PRIu64 " ms\n", name, now_ms() - begun_ms);
}

static void step(const char *name) {
    if (strcmp(name, "nop") == 0) {
        request(name, DIVVY_WIRE_VGPU_OP_NOP, 0);
    } else if (strcmp(name, "add") == 0) {
        request(name, DIVVY_WIRE_VGPU_OP_VECTOR_ADD, 2);
    } else if (strcmp(name, "bad") == 0) {
        request(name, 0xFFF, 0);
    } else if (strcmp(name, "who") == 0) {
        printf("who: VM %u pool %c priority %u\n", get(DIVVY_STUB_REG_VM_ID), (char)get(DIVVY_STUB_REG_POOL_ID),
               get(DIVVY_STUB_REG_PRIORITY));
    } else if (strncmp(name, "wait-", 5) == 0) {
        for (int i = 0; access(name + 5, F_OK) != 0 && i < 20000; i++)
            pause_ms(1);
    } else if (strcmp(name, "flood") == 0) {
        for (int i = 0; i < 16384; i++)
            must(write(STDERR_FILENO, "a line of sixty-four bytes that QEMU says when its device is go\n", 64) == 64, "flood");
    } else if (strcmp(name, "garbage") == 0) {
        uint8_t bytes[16];

        memset(bytes, 0xEE, sizeof bytes);
        must(write(link_fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes, "the device is gone");
        pause_ms(20000);
    } else if (strcmp(name, "reset") == 0) {
        (void)ask(7, "", 0);
    } else if (strcmp(name, "sleep") == 0) {
        pause_ms(60000);
    } else {
        must(false, name);
    }
}

int main(int argc, char **argv) {
    char *script = NULL, *place = NULL;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        const char *fd = strstr(argv[i], "x-pci-proxy-dev") ? strstr(argv[i], "fd=") : NULL;

        if (fd)
            link_fd = (int)strtol(fd + 3, NULL, 10);
        else if (strcmp(argv[i], "-m") == 0)
            i++;
        else if (argv[i][0] != '-' && !script)
            script = argv[i];
    }
    must(link_fd >= 0 && script, "no link, or no script");
    must(config(3, 0, 0) == 0x11111af4, "the ids");
    for (uint32_t i = 0; i < 7; i++)
        (void)config(2, 0x10 + 4 * i, UINT32_MAX);
    must(config(3, 0x10, 0) == 0xFFFFF000, "the size of BAR0");
    (void)config(2, 0x10, (uint32_t)BAR);
    (void)config(2, 4, 2);
    for (char *name = strtok_r(script, ",", &place); name; name = strtok_r(NULL, ",", &place))
        step(name);
    return 3;
}
