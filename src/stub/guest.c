/* divvy-vgpu: drives the vGPU from within a VM, without a kernel module. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/parse.h"
#include "stub/guest_device.h"

#define USAGE_STATUS  2
#define TIMEOUT_NS    (40 * DIVVY_NS_PER_SECOND) /* more than the stub's own */
#define ELEMENTS_MAX  (DIVVY_WIRE_VGPU_WORDS_MAX / 2)
#define BENCH_MOST    UINT64_C(1000000)
#define BENCH_DEFAULT 1000

static const char help[] =
    "usage: divvy-vgpu [--device ADDRESS] [--json] COMMAND\n"
    "\n"
    "Drives the vGPU of this virtual machine through /sys/bus/pci: no kernel module\n"
    "is needed, but the right to open resource0, which is root's.\n"
    "\n"
    "  info                what the device says of itself, and the GPU behind it\n"
    "  nop                 one empty request there and back\n"
    "  vector-add A B      adds two lists of whole numbers: vector-add 1,2,3 4,5,6\n"
    "                      (at most 124 elements, 32 bits each)\n"
    "  bench [--count N]   times N empty requests (default 1000)\n"
    "  check               writes bad requests and looks at how they are refused\n"
    "\n"
    "  --device ADDRESS    PCI address, as 0000:00:03.0 (default: the first vGPU)\n"
    "  --json              one JSON object on standard output\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0 done, 1 failed (the message says why), 2 wrong usage.\n";

struct tool {
    struct divvy_stub_guest guest;
    const char *address;
    bool json;
    uint64_t count;
    int argument_count;
    char **arguments;
};

static int __attribute__((format(printf, 2, 3))) say(int status, const char *format, ...) {
    va_list arguments;

    (void)fputs("divvy-vgpu: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    return status;
}

/* Sends a request that is well formed; 0, whatever the answer, or the exit status with the reason told. */
static int request_send(struct tool *tool, const struct divvy_wire_vgpu_body *body,
                        struct divvy_stub_guest_result *ret_result) {
    uint8_t bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    int length = divvy_wire_vgpu_request_write(body, NULL, bytes);

    if (length < 0)
        return say(1, "the request does not fit into the device's buffer");
    if (divvy_stub_guest_submit(&tool->guest, bytes, (uint32_t)length, (uint32_t)length, TIMEOUT_NS, ret_result) < 0)
        return say(1, "%s", tool->guest.fault);
    return 0;
}

static int refused(uint32_t code) {
    return say(1, "the request failed: %s (code %u)", divvy_wire_vgpu_code_text(code), code);
}

/* The same where only a good answer will do. */
static int request(struct tool *tool, const struct divvy_wire_vgpu_body *body, struct divvy_stub_guest_result *ret_result) {
    int status = request_send(tool, body, ret_result);

    return status == 0 && ret_result->code != DIVVY_WIRE_VGPU_CODE_NONE ? refused(ret_result->code) : status;
}

/* --- info ----------------------------------------------------------------------------------------------- */

static void text_clean(uint8_t *text, uint32_t length) {
    for (uint32_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            text[i] = '?';
}

static int info(struct tool *tool) {
    const struct divvy_wire_vgpu_body body = {.code = DIVVY_WIRE_VGPU_OP_DEVICE_INFO};
    struct divvy_stub_guest_result result;
    uint32_t version = divvy_stub_guest_read(&tool->guest, DIVVY_STUB_REG_PROTOCOL_VER);
    uint32_t caps = divvy_stub_guest_read(&tool->guest, DIVVY_STUB_REG_CAPABILITIES);
    uint32_t pool = divvy_stub_guest_read(&tool->guest, DIVVY_STUB_REG_POOL_ID) & 0xFF;
    uint32_t priority = divvy_stub_guest_read(&tool->guest, DIVVY_STUB_REG_PRIORITY);
    uint32_t vm_id = divvy_stub_guest_read(&tool->guest, DIVVY_STUB_REG_VM_ID);
    const char *name = strrchr(tool->guest.path, '/') + 1;
    uint32_t words[2] = {0}; /* multiprocessors, MiB of memory */
    int status;

    if (pool < 'A' || pool > 'Z')
        pool = '?';
    if (!tool->json)
        printf("device        %s\nprotocol      %u.%u\nvm            %u\npool          %c\npriority      %u\n"
               "capabilities  0x%x\n",
               name, version >> 16, version & 0xFFFF, vm_id, (int)pool, priority, caps);
    (void)fflush(stdout);
    status = request_send(tool, &body, &result);
    if (status == 0 && result.code != DIVVY_WIRE_VGPU_CODE_NONE && result.code != DIVVY_WIRE_VGPU_CODE_UNSUPPORTED)
        status = refused(result.code);
    if (status != 0)
        result.body.data_bytes = 0;
    text_clean(result.data, result.body.data_bytes);
    if (status == 0 && result.body.word_count >= 2)
        memcpy(words, result.body.words, sizeof words);
    if (tool->json)
        printf("{\"device\": \"%s\", \"protocol\": \"%u.%u\", \"vm\": %u, \"pool\": \"%c\", \"priority\": %u, "
               "\"capabilities\": %u, \"gpu\": \"%.*s\", \"multiprocessors\": %u, \"memory_mib\": %u}\n",
               name, version >> 16, version & 0xFFFF, vm_id, (int)pool, priority, caps, (int)result.body.data_bytes,
               (const char *)result.data, words[0], words[1]);
    else if (status == 0 && result.code == DIVVY_WIRE_VGPU_CODE_UNSUPPORTED)
        printf("gpu           (the relay does not tell)\n");
    else if (status == 0)
        printf("gpu           %.*s\nprocessors    %u\nmemory        %u MiB\n", (int)result.body.data_bytes,
               (const char *)result.data, words[0], words[1]);
    return status;
}

/* --- nop, vector-add ------------------------------------------------------------------------------------ */

static int nop(struct tool *tool) {
    const struct divvy_wire_vgpu_body body = {.code = DIVVY_WIRE_VGPU_OP_NOP};
    struct divvy_stub_guest_result result;
    int status = request(tool, &body, &result);

    if (status == 0)
        printf(tool->json ? "{\"took_us\": %.1f}\n" : "done in %.1f us\n", (double)result.took_ns / 1e3);
    return status;
}

/* Whole numbers with commas between them; how many, or -EINVAL. */
static int list_read(const char *text, uint32_t *ret_words) {
    uint32_t count = 0;

    for (;;) {
        char *end;
        long long value;

        errno = 0;
        value = strtoll(text, &end, 10);
        if (end == text || errno || value < INT32_MIN || value > INT32_MAX || count == ELEMENTS_MAX)
            return -EINVAL;
        ret_words[count++] = (uint32_t)value;
        if (*end == '\0')
            return (int)count;
        if (*end != ',')
            return -EINVAL;
        text = end + 1;
    }
}

static int vector_add(struct tool *tool) {
    struct divvy_wire_vgpu_body body = {.code = DIVVY_WIRE_VGPU_OP_VECTOR_ADD};
    struct divvy_stub_guest_result result;
    uint32_t second[ELEMENTS_MAX];
    int a, b, status;

    a = list_read(tool->arguments[0], body.words);
    b = list_read(tool->arguments[1], second);
    if (a < 0 || b < 0)
        return say(USAGE_STATUS, "'%s' is no list of 1 to %u whole numbers of 32 bits, as 1,2,3", tool->arguments[a < 0 ? 0 : 1],
                   ELEMENTS_MAX);
    if (a != b)
        return say(USAGE_STATUS, "the lists have %d and %d elements; they must be of one length", a, b);
    memcpy(body.words + a, second, (size_t)b * sizeof *second);
    body.word_count = (uint32_t)(a + b);
    status = request(tool, &body, &result);
    if (status != 0)
        return status;
    if (result.body.word_count != (uint32_t)a)
        return say(1, "the answer has %u elements instead of %d", result.body.word_count, a);
    printf(tool->json ? "{\"result\": [" : "GPU Result: [");
    for (int i = 0; i < a; i++)
        printf("%s%d", i ? ", " : "", (int32_t)result.body.words[i]);
    printf(tool->json ? "]}\n" : "]\n");
    return 0;
}

/* --- bench ------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

    return first < second ? -1 : first > second;
}

static int bench(struct tool *tool) {
    const struct divvy_wire_vgpu_body body = {.code = DIVVY_WIRE_VGPU_OP_NOP};
    struct divvy_stub_guest_result result;
    uint64_t *took_ns = calloc(tool->count, sizeof *took_ns);
    int status = took_ns ? 0 : say(1, "no memory for %llu figures", (unsigned long long)tool->count);

    for (uint64_t i = 0; status == 0 && i < tool->count; i++) {
        status = request(tool, &body, &result);
        took_ns[i] = result.took_ns;
    }
    if (status == 0) {
        double figures[4];
        const unsigned int permille[] = {500, 950, 990, 1000};

        qsort(took_ns, tool->count, sizeof *took_ns, ascending);
        for (int i = 0; i < 4; i++) {
            uint64_t place = (tool->count - 1) * permille[i] / 1000;

            figures[i] = (double)took_ns[place] / 1e3;
        }
        printf(tool->json ? "{\"count\": %llu, \"p50_us\": %.1f, \"p95_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n"
                          : "%llu requests, doorbell to done: p50 %.1f us, p95 %.1f us, p99 %.1f us, max %.1f us\n",
               (unsigned long long)tool->count, figures[0], figures[1], figures[2], figures[3]);
    }
    free(took_ns);
    return status;
}

/* --- check ------------------------------------------------------------------------------------------------ */

/* A request of eight words, and the code that it deserves. `length` is what REQUEST_LEN says. */
static const struct bad_request {
    const char *what;
    uint32_t version, opcode, flags, param_count, data_offset, data_length, length, code;
} bad_requests[] = {
    {"an empty request", DIVVY_WIRE_VGPU_VERSION, 0, 0, 0, 0, 0, 0, DIVVY_WIRE_VGPU_CODE_EMPTY},
    {"a request of 1025 bytes", DIVVY_WIRE_VGPU_VERSION, 0, 0, 0, 0, 0, 1025, DIVVY_WIRE_VGPU_CODE_TOO_LARGE},
    {"a length of all ones", DIVVY_WIRE_VGPU_VERSION, 0, 0, 0, 0, 0, UINT32_MAX, DIVVY_WIRE_VGPU_CODE_TOO_LARGE},
    {"an opcode without a meaning", DIVVY_WIRE_VGPU_VERSION, 0xFFF, 0, 0, 0, 0, 32, DIVVY_WIRE_VGPU_CODE_UNSUPPORTED},
    {"a wrong version", 0x00020000, 0, 0, 0, 0, 0, 32, DIVVY_WIRE_VGPU_CODE_INVALID},
    {"unknown flags", DIVVY_WIRE_VGPU_VERSION, 0, 0x80, 0, 0, 0, 32, DIVVY_WIRE_VGPU_CODE_INVALID},
    {"half a header", DIVVY_WIRE_VGPU_VERSION, 0, 0, 0, 0, 0, 16, DIVVY_WIRE_VGPU_CODE_INVALID},
    {"more parameters than bytes", DIVVY_WIRE_VGPU_VERSION, 1, 0, 249, 0, 0, 32, DIVVY_WIRE_VGPU_CODE_INVALID},
    {"data outside the request", DIVVY_WIRE_VGPU_VERSION, 0, 0, 0, 0xFFFFFFF0, 32, 32, DIVVY_WIRE_VGPU_CODE_INVALID},
};

static bool bad_request_is_refused(struct tool *tool, const struct bad_request *bad) {
    const uint32_t words[] = {bad->version, bad->opcode, bad->flags, bad->param_count, bad->data_offset, bad->data_length, 0, 0};
    struct divvy_stub_guest_result result;

    if (divvy_stub_guest_submit(&tool->guest, (const uint8_t *)words, sizeof words, bad->length, TIMEOUT_NS, &result) < 0) {
        (void)say(1, "%s: %s", bad->what, tool->guest.fault);
        return false;
    }
    if (result.code != bad->code)
        (void)say(1, "%s: code %u instead of %u", bad->what, result.code, bad->code);
    return result.code == bad->code;
}

static bool registers_behave(struct tool *tool) {
    static const uint32_t patterns[] = {0, UINT32_MAX, 0xA5A5A5A5, 0x5A5A5A5A};
    struct divvy_stub_guest *guest = &tool->guest;
    uint32_t version = divvy_stub_guest_read(guest, DIVVY_STUB_REG_PROTOCOL_VER);
    bool good = true;

    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        divvy_stub_guest_write(guest, DIVVY_STUB_REG_SCRATCH, patterns[i]);
        good = divvy_stub_guest_read(guest, DIVVY_STUB_REG_SCRATCH) == patterns[i] && good;
    }
    divvy_stub_guest_write(guest, DIVVY_STUB_REG_PROTOCOL_VER, 0);
    good = divvy_stub_guest_read(guest, DIVVY_STUB_REG_PROTOCOL_VER) == version && good;
    /* The bad requests before this have raised the bit. */
    good = (divvy_stub_guest_read(guest, DIVVY_STUB_REG_IRQ_STATUS) & DIVVY_STUB_IRQ_FAILED) && good;
    divvy_stub_guest_write(guest, DIVVY_STUB_REG_IRQ_STATUS, DIVVY_STUB_IRQ_FAILED);
    good = !(divvy_stub_guest_read(guest, DIVVY_STUB_REG_IRQ_STATUS) & DIVVY_STUB_IRQ_FAILED) && good;
    good = divvy_stub_guest_read(guest, DIVVY_STUB_BAR_BYTES - 4) == 0 && good;
    if (!good)
        (void)say(1, "a register does not read back what it should");
    return good;
}

static int check(struct tool *tool) {
    size_t count = sizeof bad_requests / sizeof *bad_requests, good = 0;
    bool registers_are_good;

    for (size_t i = 0; i < count; i++)
        good += bad_request_is_refused(tool, &bad_requests[i]);
    registers_are_good = registers_behave(tool);
    printf(tool->json ? "{\"refused\": %zu, \"of\": %zu, \"registers\": %s}\n"
                      : "%zu of %zu bad requests refused as they should be, registers %s\n",
           good, count, registers_are_good ? (tool->json ? "true" : "good") : (tool->json ? "false" : "bad"));
    return good == count && registers_are_good ? 0 : 1;
}

/* --- command line ------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int (*run)(struct tool *tool);
    int arguments;
} commands[] = {
    {"info", info, 0}, {"nop", nop, 0}, {"vector-add", vector_add, 2}, {"bench", bench, 0}, {"check", check, 0},
};

static int run(struct tool *tool, const char *name) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        int status;

        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (tool->argument_count != commands[i].arguments)
            return say(USAGE_STATUS, "%s takes %d arguments; see --help", name, commands[i].arguments);
        if (divvy_stub_guest_open(&tool->guest, tool->address) < 0)
            return say(1, "%s", tool->guest.fault);
        status = commands[i].run(tool);
        divvy_stub_guest_close(&tool->guest);
        return fflush(stdout) != 0 ? say(1, "cannot write: %s", strerror(errno)) : status;
    }
    return say(USAGE_STATUS, "no command '%s'; see --help", name);
}

int main(int argc, char **argv) {
    enum { DEVICE = 1, JSON };
    static const struct option longs[] = {{"device", required_argument, NULL, DEVICE},
                                          {"json", no_argument, NULL, JSON},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct tool tool = {.count = BENCH_DEFAULT};
    const char *name;
    int found;

    opterr = 0;
    /* Lists may begin with a minus: what is no known option of ours stays an argument once the command is there. */
    while ((found = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
        if (found == DEVICE)
            tool.address = optarg;
        else if (found == JSON)
            tool.json = true;
        else if (found == 'h')
            return fputs(help, stdout) < 0 || fflush(stdout) != 0;
        else
            return say(USAGE_STATUS, "%s '%s'; see --help", found == ':' ? "a value is missing after" : "unknown option",
                       argv[optind - 1]);
    }
    if (optind >= argc)
        return say(USAGE_STATUS, "which command? info, nop, vector-add, bench or check; see --help");
    name = argv[optind++];
    if (argc - optind == 2 && strcmp(name, "bench") == 0 && strcmp(argv[optind], "--count") == 0) {
        if (divvy_core_u64_parse(argv[optind + 1], strlen(argv[optind + 1]), &tool.count, NULL) < 0 || tool.count == 0 ||
            tool.count > BENCH_MOST)
            return say(USAGE_STATUS, "--count takes 1 to %llu", (unsigned long long)BENCH_MOST);
        optind += 2;
    }
    tool.argument_count = argc - optind;
    tool.arguments = argv + optind;
    return run(&tool, name);
}
