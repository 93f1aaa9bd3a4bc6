/*
 * Logs of workers. A worker writes straight into its file, so that it needs nobody to read along and goes on when its supervisor
 * ends; a file that has grown long is copied away and cut, which the worker does not notice. Inside this room.
 */
#ifndef DIVVY_BACKEND_LOG_FILE_H
#define DIVVY_BACKEND_LOG_FILE_H

#include "base/error.h"

#include <stdint.h>

/* To append to, mode 0644; the caller's. -EPERM: it is a link or no file. */
int divvy_backend_log_open(const char *path, struct divvy_error *error);

/*
 * A log of `max_bytes` or more becomes <path>.1, the one before <path>.2, … up to `files`; none older are kept. What the worker
 * writes in the instant between the last copied byte and the cut is lost. 1 rotated, 0 not needed, or a negative errno, and
 * the log is as it was.
 */
int divvy_backend_log_rotate(const char *path, uint64_t max_bytes, uint32_t files);

#endif
