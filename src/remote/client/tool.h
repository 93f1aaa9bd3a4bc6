/* The program divvy-client: what its verbs share. */
#ifndef DIVVY_REMOTE_CLIENT_TOOL_H
#define DIVVY_REMOTE_CLIENT_TOOL_H

#include "divvy/client.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

struct tool {
    struct divvy_client *client;
    const char *worker; /* its address */
    bool json;
    uint32_t wishes; /* DIVVY_CLIENT_ */
    int argc; /* of the verb */
    char **argv;
};

struct tool_verb {
    const char *name;
    const char *arguments;
    const char *text;
    int argc_min, argc_max;
    int (*run)(struct tool *tool); /* the program's exit status */
};

/* One line on standard error; TOOL_FAILED or, for tool_misuse, TOOL_USAGE. `status` is what a function of the client said. */
int tool_fail(const struct tool *tool, const char *what, int status);
int tool_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The argument as a number in a range; false after having complained. Missing: `usual`. */
bool tool_number(const struct tool *tool, int index, uint64_t usual, uint64_t least, uint64_t most,
                 uint64_t *ret_number);

/* The primary context of the first device, with a kernel of some PTX; a status of the client. */
int tool_kernel(struct tool *tool, const char *ptx, const char *name, struct divvy_client_function *ret_function);

int tool_vector_add(struct tool *tool);
int tool_job(struct tool *tool);
int tool_devices(struct tool *tool);
int tool_saxpy(struct tool *tool);
int tool_matmul(struct tool *tool);
int tool_bandwidth(struct tool *tool);
int tool_latency(struct tool *tool);
int tool_launches(struct tool *tool);

#endif
