/* One request of the JSON dialect and its answer: docs/PROTOCOL.md. */
#ifndef DIVVY_REMOTE_WORKER_JOB_H
#define DIVVY_REMOTE_WORKER_JOB_H

#include "remote/worker/vector.h"

#include <stddef.h>

/*
 * The answer to `length` bytes of JSON text, whatever is in them: malloc'ed, without a line's end, *ret_length bytes and a NUL.
 * NULL only without memory. Blocks until the GPU has done the job.
 */
char *divvy_worker_job_answer(struct divvy_worker_vector *vector, CUcontext current,
                              const char *text, size_t length, size_t *ret_length);

/* The answer that says only what is wrong; `code` is an enum divvy_wire_code. As above. */
char *divvy_worker_job_refuse(int code, const char *message, size_t *ret_length);

#endif
