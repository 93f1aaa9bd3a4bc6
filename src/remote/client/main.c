/* divvy-client: uses a GPU that a worker serves. Options, verbs, and what verbs share. */
#include "remote/client/tool.h"

#include "core/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USUAL_WORKER  "127.0.0.1:5000"
#define TIMEOUT_MS    60000u
#define TIMEOUT_S_MAX 86400u

static const struct tool_verb verbs[] = {
    {"vector-add", "A B", "add two lists of numbers on the GPU: 1,2,3 4,5,6", 2, 2, tool_vector_add},
    {"job", "JSON", "send a request of the JSON dialect, print the answer", 1, 1, tool_job},
    {"devices", "", "the GPUs that the worker serves", 0, 0, tool_devices},
    {"saxpy", "[ELEMENTS]", "y = a x + y, and check it", 0, 1, tool_saxpy},
    {"matmul", "[ROWS]", "the product of two square matrices, and check it", 0, 1, tool_matmul},
    {"bandwidth", "[BYTES]", "how fast copies to and from the GPU are", 0, 1, tool_bandwidth},
    {"latency", "[COUNT]", "how long a request takes there and back", 0, 1, tool_latency},
    {"launches", "[COUNT]", "how many kernels a second can be launched", 0, 1, tool_launches},
};

static const struct {
    const char *option;
    uint32_t wish;
} wishes[] = {{"--checksum", DIVVY_CLIENT_CHECKSUMS}, {"--compress", DIVVY_CLIENT_COMPRESS}};

/* The wish that an option stands for, or 0. */
static uint32_t wish_find(const char *option) {
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++)
        if (strcmp(wishes[i].option, option) == 0)
            return wishes[i].wish;
    return 0;
}

static void help_print(void) {
    (void)puts("Usage: divvy-client [--worker ADDRESS] [OPTION...] VERB [ARGUMENT...]\n"
               "Use a GPU that a divvy-worker serves, here or elsewhere.\n");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        (void)printf("  %-10s %-10s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].text);
    (void)puts("\n"
               "  -w, --worker ADDRESS  HOST:PORT (numeric host), unix:PATH, serial:PATH, or\n"
               "                        xenstore[:PATH] in a guest of Xen, for jobs alone;\n"
               "                        shm:FILE[,STREAM], memory shared with a relay, or shm:\n"
               "                        in a guest that has ivshmem and a virtio-serial port\n"
               "                        (default: $DIVVY_WORKER, else " USUAL_WORKER ")\n"
               "      --timeout SECONDS wait so long for an answer (default 60; 0: for ever)\n"
               "      --checksum        every frame carries a checksum; a wrong one ends it\n"
               "      --compress        pack what is long: for slow links\n"
               "      --json            print for programs\n"
               "  -h, --help            this text\n"
               "  -V, --version         the version\n"
               "\n"
               "For example:\n"
               "  divvy-client -w 192.168.1.100:5000 vector-add 1,2,3 4,5,6\n"
               "  divvy-client -w unix:/run/gpu.sock bandwidth 64MiB\n"
               "\n"
               "Exit status: 0; 1 when the worker cannot be reached, the GPU refuses or a result\n"
               "is wrong; 2 when an argument is wrong.");
}

int tool_misuse(const char *format, ...) {
    va_list arguments;

    (void)fputs("divvy-client: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputs("; see divvy-client --help\n", stderr);
    return TOOL_USAGE;
}

int tool_fail(const struct tool *tool, const char *what, int status) {
    const char *text = tool->client ? divvy_client_text(tool->client) : "";
    int length = (int)strcspn(text, "\n");

    if (status < 0)
        (void)fprintf(stderr, "divvy-client: %s: %.*s%s%s\n", what, length, text, length ? ": " : "", strerror(-status));
    else
        (void)fprintf(stderr, "divvy-client: %s: the worker answers %d%s%.*s\n", what, status, length ? ": " : "", length,
                      text);
    return TOOL_FAILED;
}

bool tool_number(const struct tool *tool, int index, uint64_t usual, uint64_t least, uint64_t most,
                 uint64_t *ret_number) {
    divvy_core_size_t size;
    const char *text;

    if (index >= tool->argc) {
        *ret_number = usual;
        return true;
    }
    text = tool->argv[index];
    if (divvy_core_size_parse(text, strlen(text), &size, NULL) < 0 || size.kind != DIVVY_CORE_SIZE_BYTES ||
        size.value < least || size.value > most) {
        (void)tool_misuse("'%.32s': a number from %llu to %llu is needed", text, (unsigned long long)least,
                          (unsigned long long)most);
        return false;
    }
    *ret_number = size.value;
    return true;
}

int tool_kernel(struct tool *tool, const char *ptx, const char *name, struct divvy_client_function *ret_function) {
    uint64_t context, module;
    int status = divvy_client_context_primary(tool->client, 0, &context);

    if (status == 0)
        status = divvy_client_module_load(tool->client, ptx, strlen(ptx) + 1, &module);
    return status != 0 ? status : divvy_client_function_get(tool->client, module, name, ret_function);
}

static int verb_run(struct tool *tool, const struct tool_verb *verb, uint32_t timeout_ms) {
    int status;

    if (tool->argc < verb->argc_min || tool->argc > verb->argc_max)
        return tool_misuse("%s takes %s", verb->name, verb->arguments[0] ? verb->arguments : "no arguments");
    status = divvy_client_open_with(tool->worker, timeout_ms, tool->wishes, &tool->client);
    if (status == -EINVAL)
        return tool_misuse("'%.100s' is no address of a worker", tool->worker);
    if (status < 0)
        return tool_fail(tool, tool->worker, status);
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++)
        if (tool->wishes & wishes[i].wish & ~divvy_client_granted(tool->client))
            (void)fprintf(stderr, "divvy-client: %s cannot be had over %s, and is left out\n", wishes[i].option, tool->worker);
    status = verb->run(tool);
    divvy_client_close(tool->client);
    if (fflush(stdout) != 0 && status == TOOL_OK)
        return TOOL_FAILED;
    return status;
}

/* The value of an option that may stand in the next argument; NULL: there is none. */
static const char *value_take(char **argv, int *at) {
    return argv[*at + 1] ? argv[++*at] : NULL;
}

int main(int argc, char **argv) {
    const char *configured = getenv("DIVVY_WORKER");
    struct tool tool = {.worker = configured && configured[0] ? configured : USUAL_WORKER};
    uint32_t timeout_ms = TIMEOUT_MS;
    int at = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        const char *option = argv[at], *value;
        uint64_t seconds;
        uint32_t wish;

        if (strcmp(option, "-h") == 0 || strcmp(option, "--help") == 0) {
            help_print();
            return TOOL_OK;
        }
        if (strcmp(option, "-V") == 0 || strcmp(option, "--version") == 0) {
            (void)puts("divvy-client " DIVVY_VERSION);
            return TOOL_OK;
        }
        if (strcmp(option, "--json") == 0) {
            tool.json = true;
            continue;
        }
        wish = wish_find(option);
        if (wish) {
            tool.wishes |= wish;
            continue;
        }
        if (strcmp(option, "-w") != 0 && strcmp(option, "--worker") != 0 && strcmp(option, "--timeout") != 0)
            return tool_misuse("unknown option %.64s", option);
        value = value_take(argv, &at);
        if (!value)
            return tool_misuse("%s needs a value", option);
        if (strcmp(option, "--timeout") != 0)
            tool.worker = value;
        else if (divvy_core_u64_parse(value, strlen(value), &seconds, NULL) < 0 || seconds > TIMEOUT_S_MAX)
            return tool_misuse("--timeout '%.32s': seconds up to %u are needed", value, TIMEOUT_S_MAX);
        else
            timeout_ms = (uint32_t)seconds * 1000;
    }
    if (at >= argc)
        return tool_misuse("no verb is given");
    tool.argc = argc - at - 1;
    tool.argv = argv + at + 1;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].name, argv[at]) == 0)
            return verb_run(&tool, &verbs[i], timeout_ms);
    return tool_misuse("no verb is called '%.32s'", argv[at]);
}
