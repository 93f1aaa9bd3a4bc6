/*
 * JSON files: read whole, written so that whoever reads meanwhile, or after a crash at any instruction, finds the old or the
 * new content and nothing else. Any thread may call anything; all of it blocks on the disk. Paths are borrowed.
 */
#ifndef DIVVY_BASE_JSON_FILE_H
#define DIVVY_BASE_JSON_FILE_H

#include "base/error.h"

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>

/* Longer files are not read: nothing that divvy keeps comes near it. */
#define DIVVY_JSON_FILE_BYTES (64u << 20)

/*
 * Reads a regular file. *ret_value is the caller's reference; of a key that stands twice the last one counts. -ENOENT without
 * such a file; -EINVAL when it is no JSON (an empty file is none), with line and column in `error`; -EFBIG; -EISDIR and
 * -ENODEV for what is no file; else as open and read fail.
 */
int divvy_json_file_read(const char *path, json_t **ret_value, struct divvy_error *error);

/*
 * Writes with two blanks of indent and a line's end, to a file of its own name beside `path` which then takes its place. File
 * and folder have reached the disk on return. A link at `path` is replaced, not followed. `mode` is the file's, whatever the
 * umask is. On failure `path` is as it was, and nothing is left beside it.
 */
int divvy_json_file_write(const char *path, const json_t *value, mode_t mode,
                          struct divvy_error *error);

/*
 * Waits until nobody else holds the lock of `path`, the file "PATH.lock" (made with mode 0600 and never removed). For changes
 * that read first. *ret_fd holds it until it is closed or the process ends.
 */
int divvy_json_file_lock(const char *path, int *ret_fd, struct divvy_error *error);

/*
 * Renames a file that cannot be used to "PATH.unreadable-N", N the first from 1 that is free, so that it is kept and a new
 * one can be written. *ret_path gets its new name.
 */
int divvy_json_file_set_aside(const char *path, char ret_path[PATH_MAX], struct divvy_error *error);

#endif
