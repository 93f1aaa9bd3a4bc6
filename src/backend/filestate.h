/*
 * State files: arrays of JSON objects, each with an id, that several programs read and write at the same time.
 *
 * | schema                      | file                   | id        | written by                                  |
 * |-----------------------------|------------------------|-----------|---------------------------------------------|
 * | DIVVY_BACKEND_WORKERS       | <state>/workers.json   | WorkerUID | TensorFusion's hypervisor, ggo, divvyd      |
 * | DIVVY_BACKEND_AGENT_WORKERS | <config>/workers.json  | worker_id | ggo                                         |
 * | DIVVY_BACKEND_DEVICES       | <state>/devices.json   | UUID      | TensorFusion's hypervisor, ggo, divvyd      |
 * | DIVVY_BACKEND_AGENT_GPUS    | <config>/gpus.json     | gpu_id    | ggo                                         |
 *
 * Reading. A missing or empty file is an empty array; an empty one that is there only when it stays so for a fifth of a second, since
 * programs that write in place empty it first. Elements that are null are skipped, of several with one id the last counts,
 * keys are found whatever their case. Elements without an id are left alone: they are not shown, and stay in the file. A file that is no
 * array, is cut off, too large, no regular file or of another schema is an error (-EBADMSG, -EFBIG), never an empty array: whoever
 * reads keeps what it knew.
 *
 * Writing. One writer at a time holds <file>.lock; it reads, changes and writes a file of a name of its own, which is
 * brought to disk and renamed over the old one: a reader sees the file before or after, whole. Programs that do not know the lock
 * are noticed when they write in between, and the change is made again on top of theirs. What is not changed stays as it was:
 * foreign keys, order of keys and of elements, the file's mode. An unreadable file is never overwritten: it is kept beside as
 * <file>.unreadable-<time> and the change is made to the last content that this object read.
 *
 * An object belongs to one thread at a time; any number of objects, also of one process, may stand for one file.
 */
#ifndef DIVVY_BACKEND_FILESTATE_H
#define DIVVY_BACKEND_FILESTATE_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_BACKEND_FILE_BYTES   (64u << 20) /* larger files are refused: a hundred thousand workers */
#define DIVVY_BACKEND_ID_BYTES     128u        /* of an id, NUL included; longer ones are none */
#define DIVVY_BACKEND_STATE_FOLDER "/tmp/tensor-fusion-state" /* without TENSOR_FUSION_STATE_DIR */
#define DIVVY_BACKEND_WORKERS_FILE "workers.json"
#define DIVVY_BACKEND_DEVICES_FILE "devices.json"

enum divvy_backend_schema {
    DIVVY_BACKEND_WORKERS,
    DIVVY_BACKEND_AGENT_WORKERS,
    DIVVY_BACKEND_DEVICES,
    DIVVY_BACKEND_AGENT_GPUS,
    DIVVY_BACKEND_SCHEMA_MAX
};

/*
 * Descriptor of a folder of state, made with mode 0755 (parents too) when missing; the caller's. -EPERM: it is a link, belongs
 * to another user, or others may write to it.
 */
int divvy_backend_folder_open(const char *path, struct divvy_error *error);

/* Whether that could be done, without making anything: 0, also where it would be made, or as there. Whose it is is not asked. */
int divvy_backend_folder_check(const char *path, struct divvy_error *error);

struct divvy_backend_filestate;

/*
 * `folder_fd` is duplicated. Removes what writers that were killed left behind. Watches the folder; where the system has no watch
 * to give, _fd is -1 and _changed is to be asked now and then.
 */
int divvy_backend_filestate_open(int folder_fd, const char *name, enum divvy_backend_schema schema,
                                 struct divvy_backend_filestate **ret_state, struct divvy_error *error);
void divvy_backend_filestate_close(struct divvy_backend_filestate *state); /* NULL is fine */

/* What was odd about a file that could be read. */
struct divvy_backend_findings {
    uint32_t duplicates; /* elements whose id comes again */
    uint32_t nameless;   /* elements without a usable id */
};

/*
 * The elements, a new array of new objects, each with an id that is not empty and shorter than DIVVY_BACKEND_ID_BYTES.
 * ret_findings may be NULL. -EBADMSG, -EFBIG, -ENOMEM and what the file system says.
 */
int divvy_backend_filestate_read(struct divvy_backend_filestate *state, json_t **ret_array,
                                 struct divvy_backend_findings *ret_findings, struct divvy_error *error);

/*
 * The elements during a change; all of these take constant time. Places stay while the change runs: one whose element was removed
 * is empty, new elements come behind. `id` of find and remove may be any text.
 */
struct divvy_backend_entries;
size_t divvy_backend_entries_count(const struct divvy_backend_entries *entries); /* of places */
json_t *divvy_backend_entries_at(const struct divvy_backend_entries *entries, size_t place); /* borrowed; NULL: empty, or beyond the end */
json_t *divvy_backend_entries_find(const struct divvy_backend_entries *entries, const char *id); /* borrowed, or NULL */
/* The element of this id, appended with its id alone when there is none; borrowed. NULL: no memory, or no usable id. */
json_t *divvy_backend_entries_put(struct divvy_backend_entries *entries, const char *id);
int divvy_backend_entries_remove(struct divvy_backend_entries *entries, const char *id); /* 0 or -ENOENT */

/*
 * One change under the lock: `body` edits the elements, returns 0 to have them written, DIVVY_BACKEND_UNCHANGED to leave the file as it
 * is (which is then the result), a negative errno to give up. It may run more than once, each time on fresh elements. When this
 * returns 0 the change is on disk. -ETIMEDOUT: somebody has held the lock for ten seconds.
 */
#define DIVVY_BACKEND_UNCHANGED 1
typedef int (*divvy_backend_change_t)(void *data, struct divvy_backend_entries *entries, struct divvy_error *error);
int divvy_backend_filestate_change(struct divvy_backend_filestate *state, divvy_backend_change_t body, void *data,
                                   struct divvy_error *error);

/* Changes of one element: its keys are set to those of `object` (others stay), or it goes. _remove of what is not there: -ENOENT. */
int divvy_backend_filestate_put(struct divvy_backend_filestate *state, const json_t *object, struct divvy_error *error);
int divvy_backend_filestate_remove(struct divvy_backend_filestate *state, const char *id, struct divvy_error *error);

/* Readable when the file may have changed; -1: there is no watch. Never read from it. */
int divvy_backend_filestate_fd(const struct divvy_backend_filestate *state);
/* Whether the file is another than the one read last; makes the descriptor quiet until the next change. */
bool divvy_backend_filestate_changed(struct divvy_backend_filestate *state);

/* The name that an unreadable file got in the last change, or "" when there was none. */
const char *divvy_backend_filestate_aside(const struct divvy_backend_filestate *state);

/* --- objects ---------------------------------------------------------------------------------------------------------------- */

/* The value of a key in any case (an exact match goes first), borrowed; NULL when there is none, or it is null. */
json_t *divvy_backend_object_get(const json_t *object, const char *key);
/* Sets it; a key that is there in another case keeps its spelling, all keep their place. Takes `value` over. 0 or -ENOMEM. */
int divvy_backend_object_set(json_t *object, const char *key, json_t *value);
/* A string without NUL that fits, copied: 0. Missing: 0 and "". -EINVAL: another type, or it holds a NUL; -ENAMETOOLONG. */
int divvy_backend_object_text(const json_t *object, const char *key, char *ret_text, size_t size_bytes);
/* The id of an element of this schema, or NULL when it has none that is usable. */
const char *divvy_backend_object_id(const json_t *object, enum divvy_backend_schema schema);

#endif
