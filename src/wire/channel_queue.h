/*
 * Task queues of the two-way channel: one per client, at-least-once. Pure: no clock, thread, socket or randomness; times and
 * a seed come in as arguments. Not thread-safe; channel_server.h puts a lock around it.
 *
 * A task is Queued, then Processing while it is leased to the client's reader, then Completed or Failed. A lease that ends
 * without a result, or a reader whose stream breaks, puts the task back to its place in the queue (tasks keep the order in
 * which they were made). A task that is older than task_ns fails, whatever its state. Nothing is dropped silently: whoever
 * made a task is told how it ended by the `finished` function, once.
 *
 * A client is known from its first task or its first reader on. It has one reader at a time, the newest. Without reader and
 * unfinished tasks it is forgotten after client_ns, or sooner where its place is needed.
 */
#ifndef DIVVY_WIRE_CHANNEL_QUEUE_H
#define DIVVY_WIRE_CHANNEL_QUEUE_H

#include "wire/channel/channel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum divvy_channel_state {
    DIVVY_CHANNEL_QUEUED,
    DIVVY_CHANNEL_PROCESSING,
    DIVVY_CHANNEL_COMPLETED,
    DIVVY_CHANNEL_FAILED,
    DIVVY_CHANNEL_STATE_MAX
};

/* "Queued", ...; NULL when out of range. */
const char *divvy_channel_state_name(enum divvy_channel_state state);

/* Bounds; a zero stands for the default in brackets. */
struct divvy_channel_limits {
    uint32_t clients;     /* [16384] at most 1048575 */
    uint32_t unfinished;  /* [1000] tasks of one client, queued or leased */
    uint32_t history;     /* [100] finished tasks kept for each client */
    size_t data_bytes;    /* [16384] of one task's data, and of one result with its error */
    uint64_t total_bytes; /* [64 MiB] of everything that is kept, bookkeeping included */
    int64_t lease_ns;     /* [60 s] from delivery to result */
    int64_t task_ns;      /* [600 s] life of a task that nobody finishes */
    int64_t client_ns;    /* [300 s] life of a client without reader and tasks */
};

struct divvy_channel_time {
    int64_t monotonic_ns; /* what deadlines go by; a step back counts as standing still */
    int64_t realtime_ns;  /* what created_at and updated_at say */
};

/* A task as others see it; strings are borrowed from the queue, valid until its next call. */
struct divvy_channel_task {
    char id[DIVVY_CHANNEL_TASK_ID_BYTES]; /* UUID, version 4 */
    const char *client_id;
    enum divvy_channel_state state;
    uint32_t deliveries;
    uint64_t tag;       /* as it was given with the task */
    const char *data;   /* JSON; NULL once finished, except while `finished` is called */
    const char *result; /* JSON or NULL */
    const char *error;  /* or NULL */
    int64_t created_ns, updated_ns; /* realtime */
};

/* Called from within the functions below when a task has ended. It must not call them. */
typedef void divvy_channel_finished_t(void *context, const struct divvy_channel_task *task);

struct divvy_channel_queue;

/* `limits` and `finished` may be NULL. `seed` should be random: ids are made of it. 0, -EINVAL (limits) or -ENOMEM. */
int divvy_channel_queue_new(const struct divvy_channel_limits *limits, const uint64_t seed[2],
                            divvy_channel_finished_t *finished, void *context, struct divvy_channel_queue **ret_queue);
/* Unfinished tasks are not reported. NULL is fine. */
void divvy_channel_queue_free(struct divvy_channel_queue *queue);

/* 1 to DIVVY_CHANNEL_CLIENT_ID_BYTES - 1 of letters, digits, '.', '_', '-'. */
bool divvy_channel_client_id_is_valid(const char *id);

/*
 * Put a task at the end of the client's queue. `data` is one JSON value, copied as it is (the caller vouches for it); `tag` is
 * the caller's own. -EINVAL client id; -E2BIG data; -ENOBUFS the client has as many as it may; -EUSERS no room for another
 * client; -ENOSPC all memory is in use; -ENOMEM.
 */
int divvy_channel_queue_put(struct divvy_channel_queue *queue, const char *client_id, const char *data, size_t length,
                            uint64_t tag, const struct divvy_channel_time *now, char ret_id[DIVVY_CHANNEL_TASK_ID_BYTES]);

/*
 * A new reader of the client: replaces the one that is there, whose leased tasks return to the queue if `breaks_old` (a stream
 * that is replaced is broken; a long poll that is answered is not). `context` is the caller's own. *ret_reader is never 0.
 * -EINVAL, -EUSERS, -ENOSPC, -ENOMEM.
 */
int divvy_channel_queue_reader_open(struct divvy_channel_queue *queue, const char *client_id, bool breaks_old, void *context,
                                    const struct divvy_channel_time *now, uint64_t *ret_reader);
/* The reader is gone. `is_broken`: what it was given may not have arrived and goes back. A replaced reader changes nothing. */
void divvy_channel_queue_reader_close(struct divvy_channel_queue *queue, uint64_t reader, bool is_broken,
                                      const struct divvy_channel_time *now);
bool divvy_channel_queue_reader_is_open(const struct divvy_channel_queue *queue, uint64_t reader);
/* What the reader was opened with; NULL when it is not open. */
void *divvy_channel_queue_reader_context(const struct divvy_channel_queue *queue, uint64_t reader);
/* The client's reader, or 0. */
uint64_t divvy_channel_queue_reader(const struct divvy_channel_queue *queue, const char *client_id);

/*
 * Lease the first task to the reader. *ret_text is its TaskItem in JSON on one line, malloc'd, for the caller to free.
 * -EAGAIN nothing is queued; -ESTALE the reader was replaced or closed; -ENOMEM.
 */
int divvy_channel_queue_take(struct divvy_channel_queue *queue, uint64_t reader, const struct divvy_channel_time *now,
                             char **ret_text, size_t *ret_length);

struct divvy_channel_result {
    bool success;
    const char *result; /* JSON, or NULL for null */
    const char *error;  /* or NULL */
};

/*
 * A result for a task. Accepted while the task is leased, and also when it was delivered and has gone back to the queue
 * (the work was done, a second delivery would only repeat it). A repeat for a task that has its result is 0 and changes
 * nothing. -ENOENT: no such client or task, never delivered, or expired; -E2BIG; -ENOMEM.
 */
int divvy_channel_queue_result(struct divvy_channel_queue *queue, const char *client_id, const char *task_id,
                               const struct divvy_channel_result *result, const struct divvy_channel_time *now);

/* A task, unfinished or in the history. -ENOENT. */
int divvy_channel_queue_task(const struct divvy_channel_queue *queue, const char *client_id, const char *task_id,
                             struct divvy_channel_task *ret_task);

/*
 * End what has run out of time. To be called when the deadline that it returns (monotonic ns; INT64_MAX: none) has come; the
 * deadline may come nearer by put, reader_close and take, never below the durations of the limits.
 */
int64_t divvy_channel_queue_expire(struct divvy_channel_queue *queue, const struct divvy_channel_time *now);

struct divvy_channel_figures {
    uint32_t clients, readers;
    uint64_t queued, processing; /* now */
    uint64_t bytes;              /* kept now */
    uint64_t put, delivered, requeued, completed, failed, expired, refused; /* since the start */
};
void divvy_channel_queue_figures(const struct divvy_channel_queue *queue, struct divvy_channel_figures *ret_figures);
/* Of one client; all 0 when it is not known. */
void divvy_channel_queue_counts(const struct divvy_channel_queue *queue, const char *client_id, uint32_t *ret_queued,
                                uint32_t *ret_processing, uint32_t *ret_history);

/* Time in RFC 3339, UTC with milliseconds: "2026-01-31T12:00:00.250Z". */
#define DIVVY_CHANNEL_TIME_BYTES 32
void divvy_channel_time_format(int64_t realtime_ns, char ret_text[DIVVY_CHANNEL_TIME_BYTES]);

#endif
