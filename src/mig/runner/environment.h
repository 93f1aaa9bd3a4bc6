/* What the program finds in its environment, put into this process's own, which it inherits. */
#ifndef DIVVY_MIG_RUNNER_ENVIRONMENT_H
#define DIVVY_MIG_RUNNER_ENVIRONMENT_H

#include "mig/runner/plan.h"
#include "mig/runner/slice.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Sets it all. `folder`: of the tenant; `latency_socket`: NULL none. Whether the limiter is in it comes back in *ret_has_limiter.
 * -ENOMEM, or -ENOENT: the limiter is needed for a limit and not installed.
 */
int divvy_runner_environment_set(const struct divvy_runner_plan *plan, const struct divvy_runner_slice *slice,
                                 const char *folder, const char *latency_socket, bool *ret_has_limiter,
                                 struct divvy_error *error);

/*
 * The value of TENSOR_FUSION_CUDA_MEM_LIMIT: so many bytes on each GPU that the slice's devices are, or are part of; without any,
 * on the first. Its length; 0: it does not fit. Pure.
 */
size_t divvy_runner_limit_format(const struct divvy_runner_slice *slice, uint64_t bytes, char *ret_text, size_t size_bytes);

#endif
