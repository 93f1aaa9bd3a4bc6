/*
 * Task queues of the channel: see channel_queue.h. All durations are the same for all tasks and clients, so every list of
 * deadlines is a queue in order of time and expiry looks at its head only.
 */
#include "wire/channel_queue.h"

#include "core/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)

/* A reader's number is its count shifted by this, plus the place of its client. */
#define PLACE_BITS 20

/* Doubly linked, circular through a head. */
struct link {
    struct link *before, *after;
};

struct client;

struct task {
    struct link in_client; /* queued, leased or history of its client */
    struct link by_age;    /* all unfinished, or all finished, oldest first */
    struct link by_lease;  /* all leased, first to end first; alone when not leased */
    struct client *client;
    uint64_t high, low; /* the UUID */
    uint64_t sequence;  /* order of making */
    uint64_t reader;    /* whom it is leased to */
    uint64_t tag;
    enum divvy_channel_state state;
    uint32_t deliveries;
    bool is_expired;
    int64_t created_ns, updated_ns; /* realtime */
    int64_t made_at_ns, lease_end_ns; /* monotonic */
    char *data, *result, *error;
    size_t bytes; /* counted in the total */
};

struct client {
    struct client *next; /* in its bucket */
    struct link idle;    /* alone unless without reader and unfinished tasks */
    struct link queued, leased, history;
    uint32_t queued_count, leased_count, history_count;
    uint32_t place;
    uint64_t reader; /* 0: none */
    void *reader_context;
    int64_t idle_since_ns;
    char id[DIVVY_CHANNEL_CLIENT_ID_BYTES];
};

struct divvy_channel_queue {
    struct divvy_channel_limits limits;
    divvy_channel_finished_t *finished;
    void *context;
    uint64_t random[2], hash_seed;
    uint64_t sequence, reader_count;
    int64_t now_ns;
    struct link unfinished, finished_tasks, leased, idle;
    struct client **buckets, **places;
    uint32_t bucket_mask, places_used, free_count;
    uint32_t *free_places;
    struct divvy_channel_figures figures;
};

/* ---- lists ---- */

static void link_init(struct link *head) {
    head->before = head->after = head;
}

static bool link_is_empty(const struct link *head) {
    return head->after == head;
}

static void link_remove(struct link *node) {
    node->before->after = node->after;
    node->after->before = node->before;
    link_init(node);
}

static void link_before(struct link *place, struct link *node) {
    node->before = place->before;
    node->after = place;
    place->before->after = node;
    place->before = node;
}

#define OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* ---- small things ---- */

const char *divvy_channel_state_name(enum divvy_channel_state state) {
    static const char *const names[] = {"Queued", "Processing", "Completed", "Failed"};

    return (unsigned)state < DIVVY_CHANNEL_STATE_MAX ? names[state] : NULL;
}

bool divvy_channel_client_id_is_valid(const char *id) {
    size_t length = strnlen(id, DIVVY_CHANNEL_CLIENT_ID_BYTES);

    if (length == 0 || length == DIVVY_CHANNEL_CLIENT_ID_BYTES)
        return false;
    return strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

void divvy_channel_time_format(int64_t realtime_ns, char ret_text[DIVVY_CHANNEL_TIME_BYTES]) {
    time_t seconds = (time_t)(realtime_ns / SECOND_NS);
    int milliseconds = (int)(realtime_ns % SECOND_NS / 1000000);
    struct tm date;

    if (milliseconds < 0) {
        milliseconds += 1000;
        seconds--;
    }
    (void)gmtime_r(&seconds, &date);
    (void)strftime(ret_text, DIVVY_CHANNEL_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &date);
    (void)snprintf(ret_text + strlen(ret_text), DIVVY_CHANNEL_TIME_BYTES - strlen(ret_text), ".%03dZ",
                   milliseconds % 1000);
}

static uint64_t random_next(struct divvy_channel_queue *queue) {
    queue->random[0] += UINT64_C(0x9E3779B97F4A7C15);
    return divvy_core_hash_pair(queue->random[0], queue->random[1]);
}

static void id_format(const struct task *task, char ret_id[DIVVY_CHANNEL_TASK_ID_BYTES]) {
    (void)snprintf(ret_id, DIVVY_CHANNEL_TASK_ID_BYTES, "%08x-%04x-%04x-%04x-%04x%08x", (unsigned)(task->high >> 32),
                   (unsigned)(task->high >> 16) & 0xffff, (unsigned)task->high & 0xffff, (unsigned)(task->low >> 48),
                   (unsigned)(task->low >> 32) & 0xffff, (unsigned)task->low);
}

static int digit_value(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool id_parse(const char *text, uint64_t *ret_high, uint64_t *ret_low) {
    uint64_t half[2] = {0, 0};
    unsigned digits = 0;

    for (unsigned at = 0; at < DIVVY_CHANNEL_TASK_ID_BYTES - 1; at++) {
        int value = digit_value(text[at]);

        if (at == 8 || at == 13 || at == 18 || at == 23) {
            if (text[at] != '-')
                return false;
            continue;
        }
        if (value < 0)
            return false;
        half[digits / 16] = half[digits / 16] << 4 | (uint64_t)value;
        digits++;
    }
    *ret_high = half[0];
    *ret_low = half[1];
    return text[DIVVY_CHANNEL_TASK_ID_BYTES - 1] == '\0';
}

static void clock_set(struct divvy_channel_queue *queue, const struct divvy_channel_time *now) {
    if (now->monotonic_ns > queue->now_ns)
        queue->now_ns = now->monotonic_ns;
}

/* Saturating: durations may be as long as somebody likes. */
static int64_t deadline(int64_t from_ns, int64_t duration_ns) {
    return from_ns > INT64_MAX - duration_ns ? INT64_MAX : from_ns + duration_ns;
}

/* ---- clients ---- */

static uint32_t bucket_of(const struct divvy_channel_queue *queue, const char *id) {
    uint64_t hash = queue->hash_seed;
    size_t length = strlen(id);

    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = 0;

        memcpy(&word, id + at, length - at < 8 ? length - at : 8);
        hash = divvy_core_hash_pair(hash, word);
    }
    return (uint32_t)hash & queue->bucket_mask;
}

static struct client *client_find(const struct divvy_channel_queue *queue, const char *id) {
    struct client *client = NULL;

    if (divvy_channel_client_id_is_valid(id))
        client = queue->buckets[bucket_of(queue, id)];
    while (client && strcmp(client->id, id) != 0)
        client = client->next;
    return client;
}

static void task_free(struct divvy_channel_queue *queue, struct task *task) {
    link_remove(&task->in_client);
    link_remove(&task->by_age);
    link_remove(&task->by_lease);
    queue->figures.bytes -= task->bytes;
    free(task->data);
    free(task->result);
    free(task->error);
    free(task);
}

static void tasks_free(struct divvy_channel_queue *queue, struct link *head) {
    while (!link_is_empty(head))
        task_free(queue, OWNER(head->after, struct task, in_client)); /* unlinks it. NOLINT(clang-analyzer-unix.Malloc) */
}

static void client_free(struct divvy_channel_queue *queue, struct client *client) {
    struct client **at = &queue->buckets[bucket_of(queue, client->id)];

    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    tasks_free(queue, &client->queued);
    tasks_free(queue, &client->leased);
    tasks_free(queue, &client->history);
    link_remove(&client->idle);
    queue->places[client->place] = NULL;
    queue->free_places[queue->free_count++] = client->place;
    queue->figures.clients--;
    queue->figures.bytes -= sizeof *client;
    free(client);
}

/* Room for `bytes` more, at the cost of the oldest history. */
static bool bytes_reserve(struct divvy_channel_queue *queue, size_t bytes) {
    while (queue->figures.bytes + bytes > queue->limits.total_bytes && !link_is_empty(&queue->finished_tasks)) {
        struct task *oldest = OWNER(queue->finished_tasks.after, struct task, by_age);

        oldest->client->history_count--; /* each round has another. NOLINT(clang-analyzer-unix.Malloc) */
        task_free(queue, oldest);
    }
    if (queue->figures.bytes + bytes > queue->limits.total_bytes)
        return false;
    queue->figures.bytes += bytes;
    return true;
}

static int client_make(struct divvy_channel_queue *queue, const char *id, struct client **ret_client) {
    struct client *client;
    uint32_t bucket;

    if (queue->figures.clients == queue->limits.clients) {
        if (link_is_empty(&queue->idle))
            return -EUSERS;
        client_free(queue, OWNER(queue->idle.after, struct client, idle));
    }
    if (!bytes_reserve(queue, sizeof *client))
        return -ENOSPC;
    client = calloc(1, sizeof *client);
    if (!client) {
        queue->figures.bytes -= sizeof *client;
        return -ENOMEM;
    }
    link_init(&client->idle);
    link_init(&client->queued);
    link_init(&client->leased);
    link_init(&client->history);
    memcpy(client->id, id, strlen(id) + 1);
    client->place = queue->free_count > 0 ? queue->free_places[--queue->free_count] : queue->places_used++;
    queue->places[client->place] = client;
    bucket = bucket_of(queue, id);
    client->next = queue->buckets[bucket];
    queue->buckets[bucket] = client;
    queue->figures.clients++;
    *ret_client = client;
    return 0;
}

static int client_get(struct divvy_channel_queue *queue, const char *id, struct client **ret_client) {
    if (!divvy_channel_client_id_is_valid(id))
        return -EINVAL;
    *ret_client = client_find(queue, id);
    return *ret_client ? 0 : client_make(queue, id, ret_client);
}

/* Into or out of the list of those that may be forgotten. */
static void client_settle(struct divvy_channel_queue *queue, struct client *client) {
    bool is_idle = client->reader == 0 && client->queued_count == 0 && client->leased_count == 0;

    if (is_idle && link_is_empty(&client->idle)) {
        client->idle_since_ns = queue->now_ns;
        link_before(&queue->idle, &client->idle);
    } else if (!is_idle) {
        link_remove(&client->idle);
    }
}

/* ---- tasks ---- */

static struct task *task_in(struct link *head, uint64_t high, uint64_t low) {
    for (struct link *at = head->after; at != head; at = at->after) {
        struct task *task = OWNER(at, struct task, in_client);

        if (task->high == high && task->low == low)
            return task;
    }
    return NULL;
}

static struct task *task_find(const struct divvy_channel_queue *queue, const char *client_id, const char *task_id) {
    struct client *client = client_find(queue, client_id);
    uint64_t high, low;
    struct task *task;

    if (!client || !id_parse(task_id, &high, &low))
        return NULL;
    task = task_in(&client->leased, high, low);
    if (!task)
        task = task_in(&client->queued, high, low);
    return task ? task : task_in(&client->history, high, low);
}

static void task_describe(const struct task *task, struct divvy_channel_task *ret_task) {
    *ret_task = (struct divvy_channel_task){
        .client_id = task->client->id,
        .state = task->state,
        .deliveries = task->deliveries,
        .tag = task->tag,
        .data = task->data,
        .result = task->result,
        .error = task->error,
        .created_ns = task->created_ns,
        .updated_ns = task->updated_ns,
    };
    id_format(task, ret_task->id);
}

/* Out of the queue or the lease; the state is set by the caller. */
static void task_unlink(struct task *task) {
    if (task->state == DIVVY_CHANNEL_QUEUED)
        task->client->queued_count--;
    else
        task->client->leased_count--;
    link_remove(&task->in_client);
    link_remove(&task->by_lease);
    task->reader = 0;
}

static void task_requeue(struct divvy_channel_queue *queue, struct task *task, int64_t realtime_ns) {
    struct client *client = task->client;
    struct link *place = client->queued.after;

    task_unlink(task);
    while (place != &client->queued && OWNER(place, struct task, in_client)->sequence < task->sequence)
        place = place->after;
    link_before(place, &task->in_client);
    client->queued_count++;
    task->state = DIVVY_CHANNEL_QUEUED;
    task->updated_ns = realtime_ns;
    queue->figures.requeued++;
    queue->figures.processing--;
    queue->figures.queued++;
}

/* Into the history; whoever waits for the task is told. */
static void task_finish(struct divvy_channel_queue *queue, struct task *task, bool success, int64_t realtime_ns) {
    struct client *client = task->client;
    struct divvy_channel_task seen;

    if (task->state == DIVVY_CHANNEL_QUEUED)
        queue->figures.queued--;
    else
        queue->figures.processing--;
    task_unlink(task);
    link_remove(&task->by_age);
    task->state = success ? DIVVY_CHANNEL_COMPLETED : DIVVY_CHANNEL_FAILED;
    task->updated_ns = realtime_ns;
    if (success)
        queue->figures.completed++;
    else
        queue->figures.failed++;
    link_before(&client->history, &task->in_client);
    link_before(&queue->finished_tasks, &task->by_age);
    client->history_count++;
    task_describe(task, &seen);
    if (queue->finished)
        queue->finished(queue->context, &seen);
    if (task->data) {
        size_t bytes = strlen(task->data) + 1;

        free(task->data);
        task->data = NULL;
        task->bytes -= bytes;
        queue->figures.bytes -= bytes;
    }
    if (client->history_count > queue->limits.history) {
        client->history_count--;
        task_free(queue, OWNER(client->history.after, struct task, in_client));
    }
    client_settle(queue, client);
}

/* ---- life ---- */

static int limits_check(struct divvy_channel_limits *limits) {
#define DEFAULT(member, value)                                                                                                 \
    do {                                                                                                                       \
        if (limits->member == 0)                                                                                               \
            limits->member = (value);                                                                                          \
    } while (0)
    DEFAULT(clients, 16384);
    DEFAULT(unfinished, 1000);
    DEFAULT(history, 100);
    DEFAULT(data_bytes, 16384);
    DEFAULT(total_bytes, UINT64_C(64) << 20);
    DEFAULT(lease_ns, 60 * SECOND_NS);
    DEFAULT(task_ns, 600 * SECOND_NS);
    DEFAULT(client_ns, 300 * SECOND_NS);
#undef DEFAULT
    if (limits->clients >= 1u << PLACE_BITS || limits->lease_ns < 0 || limits->task_ns < 0 || limits->client_ns < 0)
        return -EINVAL;
    return 0;
}

int divvy_channel_queue_new(const struct divvy_channel_limits *limits, const uint64_t seed[2],
                            divvy_channel_finished_t *finished, void *context, struct divvy_channel_queue **ret_queue) {
    struct divvy_channel_queue *queue = calloc(1, sizeof *queue);
    uint32_t buckets = 16;
    int status;

    if (!queue)
        return -ENOMEM;
    if (limits)
        queue->limits = *limits;
    status = limits_check(&queue->limits);
    if (status < 0) {
        free(queue);
        return status;
    }
    while (buckets < queue->limits.clients)
        buckets *= 2;
    queue->bucket_mask = buckets - 1;
    queue->buckets = calloc(buckets, sizeof *queue->buckets);
    queue->places = calloc(queue->limits.clients, sizeof *queue->places);
    queue->free_places = calloc(queue->limits.clients, sizeof *queue->free_places);
    link_init(&queue->unfinished);
    link_init(&queue->finished_tasks);
    link_init(&queue->leased);
    link_init(&queue->idle);
    queue->finished = finished;
    queue->context = context;
    queue->random[0] = seed[0];
    queue->random[1] = seed[1];
    queue->now_ns = INT64_MIN;
    queue->hash_seed = random_next(queue);
    if (!queue->buckets || !queue->places || !queue->free_places) {
        divvy_channel_queue_free(queue);
        return -ENOMEM;
    }
    *ret_queue = queue;
    return 0;
}

void divvy_channel_queue_free(struct divvy_channel_queue *queue) {
    if (!queue)
        return;
    for (uint32_t place = 0; place < queue->places_used; place++)
        if (queue->places[place])
            client_free(queue, queue->places[place]);
    free(queue->buckets);
    free(queue->places);
    free(queue->free_places);
    free(queue);
}

/* ---- what producers do ---- */

static struct task *task_make(struct client *client, const char *data, size_t length) {
    struct task *task = calloc(1, sizeof *task);

    if (!task)
        return NULL;
    task->data = malloc(length + 1);
    if (!task->data) {
        free(task);
        return NULL;
    }
    memcpy(task->data, data, length);
    task->data[length] = '\0';
    link_init(&task->in_client);
    link_init(&task->by_age);
    link_init(&task->by_lease);
    task->client = client;
    task->bytes = sizeof *task + length + 1;
    return task;
}

static int put(struct divvy_channel_queue *queue, struct client *client, const char *data, size_t length,
               struct task **ret_task) {
    size_t bytes = sizeof(struct task) + length + 1;
    struct task *task;

    if (client->queued_count + client->leased_count >= queue->limits.unfinished)
        return -ENOBUFS;
    if (!bytes_reserve(queue, bytes))
        return -ENOSPC;
    task = task_make(client, data, length);
    if (!task) {
        queue->figures.bytes -= bytes;
        return -ENOMEM;
    }
    task->high = (random_next(queue) & ~UINT64_C(0xf000)) | UINT64_C(0x4000);
    task->low = (random_next(queue) & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
    task->sequence = ++queue->sequence;
    link_before(&client->queued, &task->in_client);
    link_before(&queue->unfinished, &task->by_age);
    client->queued_count++;
    *ret_task = task;
    return 0;
}

int divvy_channel_queue_put(struct divvy_channel_queue *queue, const char *client_id, const char *data, size_t length,
                            uint64_t tag, const struct divvy_channel_time *now, char ret_id[DIVVY_CHANNEL_TASK_ID_BYTES]) {
    struct client *client;
    struct task *task = NULL;
    int status;

    clock_set(queue, now);
    if (length == 0 || memchr(data, '\0', length) || memchr(data, '\n', length) || memchr(data, '\r', length))
        return -EINVAL;
    status = length > queue->limits.data_bytes ? -E2BIG : client_get(queue, client_id, &client);
    if (status == 0) {
        status = put(queue, client, data, length, &task);
        client_settle(queue, client);
    }
    if (status < 0) {
        queue->figures.refused++;
        return status;
    }
    task->tag = tag;
    task->created_ns = task->updated_ns = now->realtime_ns;
    task->made_at_ns = queue->now_ns;
    queue->figures.put++;
    queue->figures.queued++;
    id_format(task, ret_id);
    return 0;
}

int divvy_channel_queue_task(const struct divvy_channel_queue *queue, const char *client_id, const char *task_id,
                             struct divvy_channel_task *ret_task) {
    const struct task *task = task_find(queue, client_id, task_id);

    if (!task)
        return -ENOENT;
    task_describe(task, ret_task);
    return 0;
}

/* ---- what readers do ---- */

static struct client *client_of(const struct divvy_channel_queue *queue, uint64_t reader) {
    uint64_t place = reader & ((UINT64_C(1) << PLACE_BITS) - 1);
    struct client *client = reader != 0 && place < queue->places_used ? queue->places[place] : NULL;

    return client && client->reader == reader ? client : NULL;
}

/* Everything that this reader holds goes back. */
static void reader_break(struct divvy_channel_queue *queue, struct client *client, uint64_t reader, int64_t realtime_ns) {
    for (struct link *at = client->leased.after, *after; at != &client->leased; at = after) {
        struct task *task = OWNER(at, struct task, in_client);

        after = at->after;
        if (task->reader == reader)
            task_requeue(queue, task, realtime_ns);
    }
}

int divvy_channel_queue_reader_open(struct divvy_channel_queue *queue, const char *client_id, bool breaks_old, void *context,
                                    const struct divvy_channel_time *now, uint64_t *ret_reader) {
    struct client *client;
    int status;

    clock_set(queue, now);
    status = client_get(queue, client_id, &client);
    if (status < 0)
        return status;
    if (client->reader == 0)
        queue->figures.readers++;
    else if (breaks_old)
        reader_break(queue, client, client->reader, now->realtime_ns);
    client->reader = ++queue->reader_count << PLACE_BITS | client->place;
    client->reader_context = context;
    client_settle(queue, client);
    *ret_reader = client->reader;
    return 0;
}

void divvy_channel_queue_reader_close(struct divvy_channel_queue *queue, uint64_t reader, bool is_broken,
                                      const struct divvy_channel_time *now) {
    struct client *client = client_of(queue, reader);

    clock_set(queue, now);
    if (!client)
        return;
    if (is_broken)
        reader_break(queue, client, reader, now->realtime_ns);
    client->reader = 0;
    queue->figures.readers--;
    client_settle(queue, client);
}

bool divvy_channel_queue_reader_is_open(const struct divvy_channel_queue *queue, uint64_t reader) {
    return client_of(queue, reader) != NULL;
}

void *divvy_channel_queue_reader_context(const struct divvy_channel_queue *queue, uint64_t reader) {
    const struct client *client = client_of(queue, reader);

    return client ? client->reader_context : NULL;
}

uint64_t divvy_channel_queue_reader(const struct divvy_channel_queue *queue, const char *client_id) {
    const struct client *client = client_find(queue, client_id);

    return client ? client->reader : 0;
}

/* The TaskItem; client ids and UUIDs need no escapes, data is JSON already. */
static int item_format(const struct task *task, char **ret_text) {
    char id[DIVVY_CHANNEL_TASK_ID_BYTES], created[DIVVY_CHANNEL_TIME_BYTES], updated[DIVVY_CHANNEL_TIME_BYTES];

    id_format(task, id);
    divvy_channel_time_format(task->created_ns, created);
    divvy_channel_time_format(task->updated_ns, updated);
    return asprintf(ret_text,
                    "{\"id\":\"%s\",\"data\":%s,\"state\":\"%s\",\"created_at\":\"%s\",\"updated_at\":\"%s\","
                    "\"client_id\":\"%s\"}",
                    id, task->data, divvy_channel_state_name(task->state), created, updated, task->client->id);
}

int divvy_channel_queue_take(struct divvy_channel_queue *queue, uint64_t reader, const struct divvy_channel_time *now,
                             char **ret_text, size_t *ret_length) {
    struct client *client = client_of(queue, reader);
    struct task *task;
    int64_t updated_ns;
    char *text;
    int length;

    clock_set(queue, now);
    if (!client)
        return -ESTALE;
    if (link_is_empty(&client->queued))
        return -EAGAIN;
    task = OWNER(client->queued.after, struct task, in_client);
    updated_ns = task->updated_ns;
    task->state = DIVVY_CHANNEL_PROCESSING;
    task->updated_ns = now->realtime_ns;
    length = item_format(task, &text);
    if (length < 0) {
        task->state = DIVVY_CHANNEL_QUEUED;
        task->updated_ns = updated_ns;
        return -ENOMEM;
    }
    link_remove(&task->in_client);
    link_before(&client->leased, &task->in_client);
    link_before(&queue->leased, &task->by_lease);
    client->queued_count--;
    client->leased_count++;
    task->deliveries++;
    task->reader = reader;
    task->lease_end_ns = deadline(queue->now_ns, queue->limits.lease_ns);
    queue->figures.queued--;
    queue->figures.processing++;
    queue->figures.delivered++;
    *ret_text = text;
    *ret_length = (size_t)length;
    return 0;
}

/* A copy of text that may be NULL; false when there is no memory. */
static bool text_copy(const char *text, char **ret_copy) {
    *ret_copy = text ? strdup(text) : NULL;
    return *ret_copy || !text;
}

int divvy_channel_queue_result(struct divvy_channel_queue *queue, const char *client_id, const char *task_id,
                               const struct divvy_channel_result *result, const struct divvy_channel_time *now) {
    struct task *task = task_find(queue, client_id, task_id);
    size_t bytes = (result->result ? strlen(result->result) + 1 : 0) + (result->error ? strlen(result->error) + 1 : 0);

    clock_set(queue, now);
    if (!task || task->is_expired || task->deliveries == 0)
        return -ENOENT;
    if (task->state == DIVVY_CHANNEL_COMPLETED || task->state == DIVVY_CHANNEL_FAILED)
        return 0;
    if (bytes > queue->limits.data_bytes)
        return -E2BIG;
    /* A result is never refused for want of history: what it takes comes from its own task or from older history. */
    if (!bytes_reserve(queue, bytes))
        return -ENOMEM;
    if (!text_copy(result->result, &task->result) || !text_copy(result->error, &task->error)) {
        free(task->result);
        task->result = NULL;
        queue->figures.bytes -= bytes;
        return -ENOMEM;
    }
    task->bytes += bytes;
    task_finish(queue, task, result->success, now->realtime_ns);
    return 0;
}

/* ---- time ---- */

static void leases_expire(struct divvy_channel_queue *queue, int64_t realtime_ns) {
    while (!link_is_empty(&queue->leased)) {
        struct task *task = OWNER(queue->leased.after, struct task, by_lease);

        if (task->lease_end_ns > queue->now_ns)
            return;
        task_requeue(queue, task, realtime_ns);
    }
}

static void tasks_expire(struct divvy_channel_queue *queue, int64_t realtime_ns) {
    while (!link_is_empty(&queue->unfinished)) {
        struct task *task = OWNER(queue->unfinished.after, struct task, by_age);

        if (deadline(task->made_at_ns, queue->limits.task_ns) > queue->now_ns)
            return;
        task->is_expired = true;
        task->error = strdup(task->deliveries > 0 ? "expired: delivered, no result came" : "expired: never delivered");
        if (task->error) {
            size_t bytes = strlen(task->error) + 1;

            task->bytes += bytes;
            queue->figures.bytes += bytes;
        }
        queue->figures.expired++;
        task_finish(queue, task, false, realtime_ns);
    }
}

static void clients_expire(struct divvy_channel_queue *queue) {
    while (!link_is_empty(&queue->idle)) {
        struct client *client = OWNER(queue->idle.after, struct client, idle);

        if (deadline(client->idle_since_ns, queue->limits.client_ns) > queue->now_ns)
            return;
        client_free(queue, client);
    }
}

static void earlier(int64_t *at_ns, int64_t other_ns) {
    if (other_ns < *at_ns)
        *at_ns = other_ns;
}

int64_t divvy_channel_queue_expire(struct divvy_channel_queue *queue, const struct divvy_channel_time *now) {
    int64_t next_ns = INT64_MAX;

    clock_set(queue, now);
    tasks_expire(queue, now->realtime_ns);
    leases_expire(queue, now->realtime_ns);
    clients_expire(queue);
    if (!link_is_empty(&queue->leased))
        earlier(&next_ns, OWNER(queue->leased.after, struct task, by_lease)->lease_end_ns);
    if (!link_is_empty(&queue->unfinished))
        earlier(&next_ns, deadline(OWNER(queue->unfinished.after, struct task, by_age)->made_at_ns, queue->limits.task_ns));
    if (!link_is_empty(&queue->idle))
        earlier(&next_ns, deadline(OWNER(queue->idle.after, struct client, idle)->idle_since_ns, queue->limits.client_ns));
    return next_ns;
}

/* ---- figures ---- */

void divvy_channel_queue_figures(const struct divvy_channel_queue *queue, struct divvy_channel_figures *ret_figures) {
    *ret_figures = queue->figures;
}

void divvy_channel_queue_counts(const struct divvy_channel_queue *queue, const char *client_id, uint32_t *ret_queued,
                                uint32_t *ret_processing, uint32_t *ret_history) {
    const struct client *client = client_find(queue, client_id);

    *ret_queued = client ? client->queued_count : 0;
    *ret_processing = client ? client->leased_count : 0;
    *ret_history = client ? client->history_count : 0;
}
