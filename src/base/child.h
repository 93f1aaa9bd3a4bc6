/*
 * Short-lived children that do what must not be able to hurt their parent: load a driver, try a
 * library. Linux only; the calling program must have one thread.
 */
#ifndef DIVVY_BASE_CHILD_H
#define DIVVY_BASE_CHILD_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* What became of a child. */
struct divvy_child_result {
    size_t length;   /* bytes that it wrote to its pipe and that fitted */
    int wait_status; /* as of waitpid; meaningless when timed_out */
    int timed_out;   /* it was killed at the deadline */
};

/*
 * Forks, and in the child runs body(data, fd): what it writes to fd comes back in `buffer` (at most
 * size_bytes; more is dropped). Its return value becomes the exit status (0 to 255). The child's
 * descriptors 0 and 1 are /dev/null, and 2 is /dev/null or, when errors_too, the same pipe as fd.
 * After timeout_ns it is killed with SIGKILL. Blocks until the child is gone. 0, or a negative
 * errno when no child could be had.
 */
int divvy_child_collect(int (*body)(void *data, int fd), void *data, int errors_too,
                        uint64_t timeout_ns, void *buffer, size_t size_bytes,
                        struct divvy_child_result *ret_result, struct divvy_error *error);

#endif
