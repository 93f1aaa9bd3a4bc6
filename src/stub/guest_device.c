/* BAR0 of the vGPU through sysfs. */
#include "stub/guest_device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "core/clock.h"
#include "core/sys.h"
#include "wire/vgpu/words.h"

#define DEVICES "/sys/bus/pci/devices"

/* Looking again at once pays for answers within this time; after it the processor is given away in between. */
#define SPIN_NS DIVVY_NS_PER_MS

static int __attribute__((format(printf, 3, 4))) fail(struct divvy_stub_guest *guest, int status, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(guest->fault, sizeof guest->fault, format, arguments);
    va_end(arguments);
    return status;
}

/* A file of sysfs with one hexadecimal number; UINT32_MAX when it cannot be read. */
static uint32_t hex_read(const char *folder, const char *name) {
    char path[320], text[32];
    unsigned int value;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (divvy_core_sys_read_file(path, text, sizeof text) <= 0 || sscanf(text, "0x%x", &value) != 1)
        return UINT32_MAX;
    return value;
}

static int find(struct divvy_stub_guest *guest) {
    DIR *directory = opendir(DEVICES);
    struct dirent *entry;
    int status = -ENODEV;

    if (!directory)
        return fail(guest, -ENODEV, "no PCI bus here: cannot read %s: %s", DEVICES, strerror(errno));
    while (status < 0 && (entry = readdir(directory))) {
        char folder[sizeof guest->path];

        if (entry->d_name[0] == '.' ||
            (size_t)snprintf(folder, sizeof folder, "%s/%s", DEVICES, entry->d_name) >= sizeof folder)
            continue;
        /* The class tells it from the QEMU VGA adapter, whose device number is the same. */
        if (hex_read(folder, "class") == DIVVY_STUB_CLASS && hex_read(folder, "vendor") == DIVVY_STUB_VENDOR &&
            hex_read(folder, "device") == DIVVY_STUB_DEVICE) {
            memcpy(guest->path, folder, sizeof folder);
            status = 0;
        }
    }
    (void)closedir(directory);
    return status < 0 ? fail(guest, status, "no vGPU on the PCI bus (%04x:%04x, class 1200); with other ids name it by --device",
                             DIVVY_STUB_VENDOR, DIVVY_STUB_DEVICE)
                      : 0;
}

/* Without memory decoding every read is all ones. Firmware switches it on; who boots without has it done here. */
static void decoding_enable(const struct divvy_stub_guest *guest) {
    char path[320];
    int fd;

    (void)snprintf(path, sizeof path, "%s/enable", guest->path);
    fd = divvy_core_sys_open(path, O_WRONLY, 0);
    if (fd >= 0)
        (void)divvy_core_sys_write(fd, "1", 1);
    divvy_core_sys_close(&fd);
}

static int map(struct divvy_stub_guest *guest) {
    char path[320];
    struct stat status;
    void *bar;
    int fd;

    (void)snprintf(path, sizeof path, "%s/resource0", guest->path);
    fd = divvy_core_sys_open(path, O_RDWR | O_SYNC, 0);
    if (fd < 0)
        return fail(guest, fd, "cannot open %s: %s%s", path, strerror(-fd),
                    fd == -EACCES ? " (root only, unless root lets others)" : "");
    if (divvy_core_sys_fstat(fd, &status) < 0 || status.st_size < (off_t)DIVVY_STUB_BAR_BYTES) {
        divvy_core_sys_close(&fd);
        return fail(guest, -ENODEV, "%s is smaller than the vGPU's registers", path);
    }
    /* Requests of two processes must not meet in the one buffer. */
    if (flock(fd, LOCK_EX) != 0) {
        int kept = -errno;

        divvy_core_sys_close(&fd);
        return fail(guest, kept, "cannot lock %s: %s", path, strerror(-kept));
    }
    bar = mmap(NULL, DIVVY_STUB_BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bar == MAP_FAILED) {
        int kept = -errno;

        divvy_core_sys_close(&fd);
        return fail(guest, kept, "cannot map %s: %s", path, strerror(-kept));
    }
    guest->words = bar;
    guest->lock_fd = fd;
    return 0;
}

int divvy_stub_guest_open(struct divvy_stub_guest *guest, const char *address) {
    uint32_t version;
    int status;

    *guest = (struct divvy_stub_guest){.lock_fd = -1};
    if (!address)
        status = find(guest);
    else if (strchr(address, '/') || (size_t)snprintf(guest->path, sizeof guest->path, "%s/%s", DEVICES, address) >=
                                         sizeof guest->path)
        status = fail(guest, -ENODEV, "'%s' is no PCI address like 0000:00:03.0", address);
    else
        status = 0;
    if (status < 0)
        return status;
    decoding_enable(guest);
    status = map(guest);
    if (status < 0)
        return status;
    version = divvy_stub_guest_read(guest, DIVVY_STUB_REG_PROTOCOL_VER);
    if (version >> 16 == DIVVY_WIRE_VGPU_VERSION >> 16)
        return 0;
    divvy_stub_guest_close(guest);
    return fail(guest, -EPROTO, "%s speaks version %u.%u of the protocol, not 1.x%s", guest->path, version >> 16,
                version & 0xFFFF, version == UINT32_MAX ? " (all ones: the device is gone)" : "");
}

void divvy_stub_guest_close(struct divvy_stub_guest *guest) {
    if (guest->words)
        (void)munmap((void *)guest->words, DIVVY_STUB_BAR_BYTES);
    guest->words = NULL;
    divvy_core_sys_close(&guest->lock_fd);
}

uint32_t divvy_stub_guest_read(const struct divvy_stub_guest *guest, uint32_t offset) {
    return guest->words[offset / 4];
}

void divvy_stub_guest_write(const struct divvy_stub_guest *guest, uint32_t offset, uint32_t value) {
    guest->words[offset / 4] = value;
}

/* Waits while the device is busy; its status, or -ETIMEDOUT, -EIO. */
static int wait_idle(const struct divvy_stub_guest *guest, uint64_t deadline_ns) {
    uint64_t begun_ns = divvy_core_clock_ns();

    for (;;) {
        uint32_t status = divvy_stub_guest_read(guest, DIVVY_STUB_REG_STATUS);
        uint64_t now_ns = divvy_core_clock_ns();
        struct timespec pause = divvy_core_clock_timespec(100 * DIVVY_NS_PER_US);

        if (status >= DIVVY_STUB_STATUS_MAX)
            return -EIO;
        if (status != DIVVY_STUB_STATUS_BUSY)
            return (int)status;
        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        if (now_ns - begun_ns > SPIN_NS)
            (void)nanosleep(&pause, NULL);
    }
}

static int response_take(struct divvy_stub_guest *guest, struct divvy_stub_guest_result *ret_result) {
    uint32_t length = divvy_stub_guest_read(guest, DIVVY_STUB_REG_RESPONSE_LEN);
    uint8_t bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];

    if (length > sizeof bytes)
        return fail(guest, -EIO, "the device says that its response has %u bytes", length);
    for (uint32_t i = 0; i < length; i += 4)
        divvy_wire_u32_put(bytes + i, divvy_stub_guest_read(guest, DIVVY_STUB_RESPONSE_OFFSET + i));
    if (divvy_wire_vgpu_response_read(bytes, length, &ret_result->body) != DIVVY_WIRE_VGPU_CODE_NONE)
        return fail(guest, -EIO, "the device's response of %u bytes is malformed", length);
    memcpy(ret_result->data, bytes + ret_result->body.data_offset, ret_result->body.data_bytes);
    return 0;
}

int divvy_stub_guest_submit(struct divvy_stub_guest *guest, const uint8_t *bytes, uint32_t size, uint32_t length,
                            uint64_t timeout_ns, struct divvy_stub_guest_result *ret_result) {
    uint64_t begun_ns = divvy_core_clock_ns();
    int status = wait_idle(guest, begun_ns + timeout_ns);

    if (status < 0)
        return fail(guest, status == -ETIMEDOUT ? -EBUSY : status,
                    status == -EIO ? "the device is gone" : "a request of somebody else does not end");
    for (uint32_t i = 0; i < size && i < DIVVY_STUB_BUFFER_BYTES; i += 4) {
        uint8_t word[4] = {0};

        memcpy(word, bytes + i, size - i < 4 ? size - i : 4);
        divvy_stub_guest_write(guest, DIVVY_STUB_REQUEST_OFFSET + i, divvy_wire_u32_get(word));
    }
    divvy_stub_guest_write(guest, DIVVY_STUB_REG_REQUEST_LEN, length);
    memset(ret_result, 0, sizeof *ret_result);
    begun_ns = divvy_core_clock_ns();
    divvy_stub_guest_write(guest, DIVVY_STUB_REG_DOORBELL, 1);
    status = wait_idle(guest, begun_ns + timeout_ns);
    ret_result->took_ns = divvy_core_clock_ns() - begun_ns;
    if (status < 0)
        return fail(guest, status, status == -EIO ? "the device is gone" : "the request did not end in time");
    if (status == DIVVY_STUB_STATUS_DONE)
        return response_take(guest, ret_result);
    if (status == DIVVY_STUB_STATUS_IDLE)
        return fail(guest, -EIO, "the device was reset meanwhile");
    ret_result->code = divvy_stub_guest_read(guest, DIVVY_STUB_REG_ERROR_CODE);
    return ret_result->code ? 0 : fail(guest, -EIO, "the device failed without a code");
}
