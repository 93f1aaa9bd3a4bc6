/* divvy-vgpu-stub: shows a vGPU on the PCI bus of the QEMU that it starts, and takes its requests to the relay. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "core/clock.h"
#include "core/parse.h"
#include "stub/holder.h"

#define USAGE_STATUS 2
#define PAGE_BYTES   4096u

static const char help[] =
    "usage: divvy-vgpu-stub --relay SOCKET [option ...] -- qemu-system-x86_64 ...\n"
    "\n"
    "Starts QEMU with a vGPU on the PCI bus of its guest, and takes what the guest\n"
    "asks of it to divvy-relay. One such process for each VM; it ends with its QEMU,\n"
    "and QEMU with it. The relay may go and come back meanwhile.\n"
    "\n"
    "  --relay SOCKET       the relay's socket of this VM\n"
    "  --vm-id N            the VM's number (default 1)\n"
    "  --pool LETTER        its pool (default A)\n"
    "  --priority CLASS     low, medium or high (default medium)\n"
    "  --timeout SECONDS    after which a request ends with a timeout (default 35)\n"
    "  --pci-id VEN:DEV     what lspci shows, in hex (default 1af4:1111)\n"
    "  --subsystem VEN:DEV  likewise (default: the same)\n"
    "  --bulk FILE=SIZE     shared memory beside it: an ivshmem device on FILE, which\n"
    "                       is made with mode 0600 if missing; SIZE as 16MiB\n"
    "  --debug              say more on standard error\n"
    "  --registers          print the table of registers and end\n"
    "  -h, --help           this text\n"
    "\n"
    "Pool and priority are what the guest is shown; the relay goes by its own\n"
    "configuration. QEMU 7.2 on Linux, machine q35. Guest memory becomes shared\n"
    "memory of the size behind -m unless the options name a memory-backend.\n"
    "\n"
    "  divvy-vgpu-stub --relay /run/divvy/vm/1.sock --vm-id 1 -- \\\n"
    "    qemu-system-x86_64 -machine q35 -m 512 -nographic -drive file=vm.qcow2\n"
    "\n"
    "In the guest: lspci -nn, and divvy-vgpu info. See docs/VGPU.md.\n";

struct options {
    struct divvy_stub_settings settings;
    char bulk_path[4096 - 256]; /* leaves room for what stands around it in an option of QEMU */
    bool is_debug;
};

static int u32_read(const char *text, uint64_t most, uint32_t *ret_value) {
    uint64_t value;

    if (divvy_core_u64_parse(text, strlen(text), &value, NULL) < 0 || value > most)
        return -EINVAL;
    *ret_value = (uint32_t)value;
    return 0;
}

static int vm_id_read(const char *text, struct options *options) {
    return u32_read(text, UINT32_MAX, &options->settings.identity.vm_id);
}

static int pool_read(const char *text, struct options *options) {
    if (text[0] < 'A' || text[0] > 'Z' || text[1])
        return -EINVAL;
    options->settings.identity.pool_id = text[0];
    return 0;
}

static int priority_read(const char *text, struct options *options) {
    static const char *const names[] = {"low", "medium", "high"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(text, names[i]) == 0) {
            options->settings.identity.priority = (uint8_t)i;
            return 0;
        }
    return -EINVAL;
}

static int timeout_read(const char *text, struct options *options) {
    uint32_t seconds;

    if (u32_read(text, 86400, &seconds) < 0 || seconds == 0)
        return -EINVAL;
    options->settings.timeout_ns = seconds * DIVVY_NS_PER_SECOND;
    return 0;
}

static int pair_read(const char *text, uint16_t *ret_vendor, uint16_t *ret_device) {
    unsigned int words[2] = {0, 0};

    for (int word = 0; word < 2; word++) {
        for (int digit = 0; digit < 4; digit++, text++) {
            static const char digits[] = "0123456789abcdef";
            const char *place = *text ? strchr(digits, divvy_core_ascii_lower(*text)) : NULL;

            if (!place)
                return -EINVAL;
            words[word] = words[word] << 4 | (unsigned int)(place - digits);
        }
        if (*text++ != (word == 0 ? ':' : '\0'))
            return -EINVAL;
    }
    /* A function with vendor ffff does not exist, and firmware takes 0000 for one that is not there. */
    if (words[0] == 0 || words[0] == 0xFFFF)
        return -EINVAL;
    *ret_vendor = (uint16_t)words[0];
    *ret_device = (uint16_t)words[1];
    return 0;
}

static int pci_id_read(const char *text, struct options *options) {
    return pair_read(text, &options->settings.identity.vendor, &options->settings.identity.device);
}

static int subsystem_read(const char *text, struct options *options) {
    return pair_read(text, &options->settings.identity.sub_vendor, &options->settings.identity.sub_device);
}

static int relay_read(const char *text, struct options *options) {
    options->settings.relay = text;
    return 0;
}

static int bulk_read(const char *text, struct options *options) {
    const char *equals = strrchr(text, '=');
    divvy_core_size_t size;
    size_t length;

    if (!equals || equals == text)
        return -EINVAL;
    length = (size_t)(equals - text);
    if (length >= sizeof options->bulk_path ||
        divvy_core_size_parse(equals + 1, strlen(equals + 1), &size, NULL) < 0 || size.kind != DIVVY_CORE_SIZE_BYTES)
        return -EINVAL;
    /* A BAR is a power of two. */
    if (size.value < PAGE_BYTES || size.value > UINT64_C(1) << 40 || (size.value & (size.value - 1)) != 0)
        return -EINVAL;
    memcpy(options->bulk_path, text, length);
    options->bulk_path[length] = '\0';
    options->settings.bulk.path = options->bulk_path;
    options->settings.bulk.bytes = size.value;
    options->settings.identity.capabilities |= DIVVY_STUB_CAP_SHARED_MEMORY;
    return 0;
}

static int debug_read(const char *text, struct options *options) {
    (void)text;
    options->is_debug = true;
    return 0;
}

static const struct {
    const char *name;
    bool has_value;
    int (*read)(const char *text, struct options *options);
    const char *wanted;
} table[] = {
    {"relay", true, relay_read, "the path of a socket"},
    {"vm-id", true, vm_id_read, "a number below 4294967296"},
    {"pool", true, pool_read, "one letter, A to Z"},
    {"priority", true, priority_read, "low, medium or high"},
    {"timeout", true, timeout_read, "1 to 86400 seconds"},
    {"pci-id", true, pci_id_read, "VVVV:DDDD in hex, as 1af4:1111"},
    {"subsystem", true, subsystem_read, "VVVV:DDDD in hex, as 1af4:1111"},
    {"bulk", true, bulk_read, "FILE=SIZE, the size a power of two from 4KiB on"},
    {"debug", false, debug_read, NULL},
};

enum { OPTIONS = sizeof table / sizeof *table, HELP = OPTIONS, REGISTERS };

static void registers_print(void) {
    size_t count;
    const struct divvy_stub_register *rows = divvy_stub_registers(&count);

    for (size_t i = 0; i < count; i++)
        printf("| %03X | %s | %s | %s |\n", rows[i].offset, rows[i].name, rows[i].access_text, rows[i].meaning);
    printf("| 040-43F | request buffer | RW | %u bytes |\n", DIVVY_STUB_BUFFER_BYTES);
    printf("| 440-83F | response buffer | RO | %u bytes |\n", DIVVY_STUB_BUFFER_BYTES);
    printf("| 840-FFF | reserved | - | reads 0 |\n");
}

static int __attribute__((format(printf, 1, 2))) usage(const char *format, ...) {
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "divvy-vgpu-stub: %s; see --help\n", text);
    return USAGE_STATUS;
}

/* -1: go on; else the status to end with. */
static int options_read(int argc, char **argv, struct options *options) {
    struct option longs[OPTIONS + 3] = {{0}};
    int found;

    for (int i = 0; i < OPTIONS; i++)
        longs[i] = (struct option){table[i].name, table[i].has_value, NULL, i};
    longs[HELP] = (struct option){"help", no_argument, NULL, HELP};
    longs[REGISTERS] = (struct option){"registers", no_argument, NULL, REGISTERS};
    opterr = 0;
    while ((found = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
        if (found == 'h' || found == HELP)
            return fputs(help, stdout) < 0 || fflush(stdout) != 0;
        if (found == REGISTERS) {
            registers_print();
            return fflush(stdout) != 0;
        }
        if (found == '?' || found == ':')
            return found == '?' ? usage("unknown option '%s'", argv[optind - 1]) : usage("%s needs a value", argv[optind - 1]);
        if (table[found].read(optarg, options) < 0)
            return usage("--%s: expected %s", table[found].name, table[found].wanted);
    }
    if (!options->settings.relay)
        return usage("--relay SOCKET is missing");
    if (optind >= argc)
        return usage("the command line of QEMU is missing: end the options with --");
    options->settings.machine = argv + optind;
    return -1;
}

int main(int argc, char **argv) {
    static struct options options = {
        .settings = {.identity = {.vm_id = 1,
                                  .pool_id = 'A',
                                  .priority = 1,
                                  .vendor = DIVVY_STUB_VENDOR,
                                  .device = DIVVY_STUB_DEVICE,
                                  .capabilities = DIVVY_STUB_CAP_BASIC},
                     .timeout_ns = 35 * DIVVY_NS_PER_SECOND}};
    struct divvy_stub_identity *identity = &options.settings.identity;
    struct divvy_error error = {0};
    int status = options_read(argc, argv, &options);

    if (status >= 0)
        return status;
    if (identity->sub_vendor == 0) {
        identity->sub_vendor = identity->vendor;
        identity->sub_device = identity->device;
    }
    if (divvy_log_open(&(struct divvy_log_settings){.level = options.is_debug ? DIVVY_LOG_DEBUG : DIVVY_LOG_INFO,
                                                    .program = "divvy-vgpu-stub"},
                       &error) < 0)
        return 1;
    status = divvy_stub_holder_run(&options.settings, &error);
    if (error.status)
        divvy_log_error("%s", error.text);
    divvy_log_close();
    return status;
}
