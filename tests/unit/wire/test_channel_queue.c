/*
 * The task queues of the channel: the rules one by one, then random operations against a naive model that keeps everything in
 * one array and searches it.
 */
#include "wire/channel_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#define S INT64_C(1000000000)

static const uint64_t seed[2] = {1, 2};

static struct divvy_channel_time at(int64_t seconds) {
    return (struct divvy_channel_time){seconds * S, (1700000000 + seconds) * S};
}

static struct divvy_channel_queue *make(const struct divvy_channel_limits *limits) {
    struct divvy_channel_queue *queue = NULL;

    assert_int_equal(divvy_channel_queue_new(limits, seed, NULL, NULL, &queue), 0);
    return queue;
}

static void put(struct divvy_channel_queue *queue, const char *client, const char *data, int64_t seconds, char *ret_id) {
    struct divvy_channel_time now = at(seconds);

    assert_int_equal(divvy_channel_queue_put(queue, client, data, strlen(data), 0, &now, ret_id), 0);
}

static uint64_t open_reader(struct divvy_channel_queue *queue, const char *client, bool breaks, int64_t seconds) {
    struct divvy_channel_time now = at(seconds);
    uint64_t reader = 0;

    assert_int_equal(divvy_channel_queue_reader_open(queue, client, breaks, NULL, &now, &reader), 0);
    assert_true(reader != 0);
    return reader;
}

/* The id of the task that is delivered, or "" when there is none. */
static int take_id(struct divvy_channel_queue *queue, uint64_t reader, int64_t seconds, char *ret_id) {
    struct divvy_channel_time now = at(seconds);
    char *text;
    size_t length;
    int status = divvy_channel_queue_take(queue, reader, &now, &text, &length);

    ret_id[0] = '\0';
    if (status == 0) {
        assert_int_equal(strlen(text), length);
        assert_int_equal(sscanf(text, "{\"id\":\"%36[0-9a-f-]\"", ret_id), 1);
        free(text);
    }
    return status;
}

static int give(struct divvy_channel_queue *queue, const char *client, const char *id, bool success, int64_t seconds) {
    struct divvy_channel_time now = at(seconds);
    struct divvy_channel_result result = {success, "{\"id\":1}", success ? NULL : "no"};

    return divvy_channel_queue_result(queue, client, id, &result, &now);
}

static void shape(void **state) {
    struct divvy_channel_queue *queue = make(NULL);
    struct divvy_channel_time now = {5 * S, 1767225600 * S + 250000000};
    char id[DIVVY_CHANNEL_TASK_ID_BYTES], expected[512], *text;
    uint64_t reader = open_reader(queue, "worker_7", false, 1);
    size_t length;

    (void)state;
    assert_int_equal(divvy_channel_queue_put(queue, "worker_7", "{\"id\":1,\"kind\":\"Suspend\"}", 25, 9, &now, id), 0);
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '4');
    assert_non_null(strchr("89ab", id[19]));
    now.realtime_ns += S;
    assert_int_equal(divvy_channel_queue_take(queue, reader, &now, &text, &length), 0);
    (void)snprintf(expected, sizeof expected,
                   "{\"id\":\"%s\",\"data\":{\"id\":1,\"kind\":\"Suspend\"},\"state\":\"Processing\","
                   "\"created_at\":\"2026-01-01T00:00:00.250Z\",\"updated_at\":\"2026-01-01T00:00:01.250Z\","
                   "\"client_id\":\"worker_7\"}",
                   id);
    assert_string_equal(text, expected);
    free(text);
    divvy_channel_queue_free(queue);
}

static void refuses(void **state) {
    struct divvy_channel_limits limits = {.clients = 2, .data_bytes = 16};
    struct divvy_channel_queue *queue = make(&limits);
    struct divvy_channel_time now = at(1);
    char id[DIVVY_CHANNEL_TASK_ID_BYTES], longest[DIVVY_CHANNEL_CLIENT_ID_BYTES + 1];
    static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa9", "a\n", "a\"b"};
    uint64_t reader;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(divvy_channel_queue_put(queue, bad[i], "1", 1, 0, &now, id), -EINVAL);
        assert_int_equal(divvy_channel_queue_reader_open(queue, bad[i], true, NULL, &now, &reader), -EINVAL);
    }
    memset(longest, 'a', sizeof longest);
    longest[DIVVY_CHANNEL_CLIENT_ID_BYTES] = '\0';
    assert_int_equal(divvy_channel_queue_put(queue, longest, "1", 1, 0, &now, id), -EINVAL);
    longest[DIVVY_CHANNEL_CLIENT_ID_BYTES - 1] = '\0';
    assert_int_equal(divvy_channel_queue_put(queue, longest, "1", 1, 0, &now, id), 0);
    assert_int_equal(divvy_channel_queue_put(queue, longest, "", 0, 0, &now, id), -EINVAL);
    assert_int_equal(divvy_channel_queue_put(queue, longest, "1\n", 2, 0, &now, id), -EINVAL);
    assert_int_equal(divvy_channel_queue_put(queue, longest, "12345678901234567", 17, 0, &now, id), -E2BIG);
    put(queue, "b", "1", 1, id);
    assert_int_equal(divvy_channel_queue_put(queue, "c", "1", 1, 0, &now, id), -EUSERS);
    assert_int_equal(divvy_channel_queue_reader_open(queue, "c", true, NULL, &now, &reader), -EUSERS);
    assert_int_equal(give(queue, "b", id, true, 1), -ENOENT); /* never delivered */
    assert_int_equal(give(queue, "nobody", id, true, 1), -ENOENT);
    assert_int_equal(give(queue, "b", "00000000-0000-4000-8000-00000000000", true, 1), -ENOENT);
    assert_int_equal(give(queue, "b", "", true, 1), -ENOENT);
    divvy_channel_queue_free(queue);
    limits = (struct divvy_channel_limits){.clients = 1u << 20};
    assert_int_equal(divvy_channel_queue_new(&limits, seed, NULL, NULL, &queue), -EINVAL);
}

static void full_queue_tells(void **state) {
    struct divvy_channel_queue *queue = make(NULL);
    struct divvy_channel_time now = at(1);
    struct divvy_channel_figures figures;
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    uint32_t queued, processing, history;

    (void)state;
    for (int i = 0; i < 1000; i++)
        put(queue, "a", "1", 1, id);
    assert_int_equal(divvy_channel_queue_put(queue, "a", "1", 1, 0, &now, id), -ENOBUFS);
    put(queue, "b", "1", 1, id);
    divvy_channel_queue_figures(queue, &figures);
    assert_int_equal(figures.queued, 1001);
    assert_int_equal(figures.refused, 1);
    now = at(601);
    assert_true(divvy_channel_queue_expire(queue, &now) <= 901 * S);
    divvy_channel_queue_figures(queue, &figures);
    assert_int_equal(figures.expired, 1001);
    divvy_channel_queue_counts(queue, "a", &queued, &processing, &history);
    assert_int_equal(queued + processing, 0);
    assert_int_equal(history, 100);
    now = at(901);
    assert_true(divvy_channel_queue_expire(queue, &now) == INT64_MAX);
    divvy_channel_queue_figures(queue, &figures);
    assert_int_equal(figures.clients, 0);
    assert_int_equal(figures.bytes, 0);
    divvy_channel_queue_free(queue);
}

/* A reader that dies after each delivery loses nothing, and order stays. */
static void reader_dies(void **state) {
    struct divvy_channel_queue *queue = make(NULL);
    char ids[3][DIVVY_CHANNEL_TASK_ID_BYTES], id[DIVVY_CHANNEL_TASK_ID_BYTES];
    struct divvy_channel_time now = at(2);
    uint64_t reader;

    (void)state;
    for (int i = 0; i < 3; i++)
        put(queue, "a", "1", 1, ids[i]);
    for (int death = 0; death < 100; death++) {
        reader = open_reader(queue, "a", true, 2);
        for (int i = 0; i <= death % 3; i++) {
            assert_int_equal(take_id(queue, reader, 2, id), 0);
            assert_string_equal(id, ids[i]);
        }
        if (death % 2)
            divvy_channel_queue_reader_close(queue, reader, true, &now);
    }
    reader = open_reader(queue, "a", true, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take_id(queue, reader, 3, id), 0);
        assert_string_equal(id, ids[i]);
        assert_int_equal(give(queue, "a", id, true, 3), 0);
        assert_int_equal(give(queue, "a", id, false, 3), 0); /* the answer was lost, it comes again */
    }
    assert_int_equal(take_id(queue, reader, 3, id), -EAGAIN);
    divvy_channel_queue_free(queue);
}

static void replaced_reader(void **state) {
    struct divvy_channel_queue *queue = make(NULL);
    char made[DIVVY_CHANNEL_TASK_ID_BYTES], id[DIVVY_CHANNEL_TASK_ID_BYTES];
    struct divvy_channel_time now = at(1);
    uint64_t first = open_reader(queue, "a", true, 1), second, third;

    (void)state;
    put(queue, "a", "1", 1, made);
    assert_int_equal(take_id(queue, first, 1, id), 0);
    second = open_reader(queue, "a", true, 1);
    assert_int_equal(take_id(queue, first, 1, id), -ESTALE);
    assert_false(divvy_channel_queue_reader_is_open(queue, first));
    divvy_channel_queue_reader_close(queue, first, true, &now); /* late: not the reader any more */
    assert_true(divvy_channel_queue_reader(queue, "a") == second);
    assert_int_equal(take_id(queue, second, 1, id), 0);
    assert_string_equal(id, made);
    third = open_reader(queue, "a", false, 1); /* a poll after a poll: the lease goes on */
    assert_int_equal(take_id(queue, third, 1, id), -EAGAIN);
    assert_int_equal(give(queue, "a", made, true, 1), 0);
    divvy_channel_queue_free(queue);
}

static void late_results(void **state) {
    struct divvy_channel_limits limits = {.lease_ns = 10 * S, .task_ns = 100 * S};
    struct divvy_channel_queue *queue = make(&limits);
    char made[DIVVY_CHANNEL_TASK_ID_BYTES], id[DIVVY_CHANNEL_TASK_ID_BYTES];
    uint64_t reader = open_reader(queue, "a", true, 0);
    struct divvy_channel_task task;
    struct divvy_channel_time now;

    (void)state;
    put(queue, "a", "1", 0, made);
    assert_int_equal(take_id(queue, reader, 0, id), 0);
    now = at(10);
    assert_true(divvy_channel_queue_expire(queue, &now) == 100 * S);
    assert_int_equal(divvy_channel_queue_task(queue, "a", made, &task), 0);
    assert_int_equal(task.state, DIVVY_CHANNEL_QUEUED);
    assert_int_equal(give(queue, "a", made, true, 11), 0); /* done, if late: no second delivery */
    assert_int_equal(take_id(queue, reader, 11, id), -EAGAIN);
    assert_int_equal(divvy_channel_queue_task(queue, "a", made, &task), 0);
    assert_int_equal(task.state, DIVVY_CHANNEL_COMPLETED);
    assert_string_equal(task.result, "{\"id\":1}");
    assert_null(task.data);

    put(queue, "a", "1", 20, made);
    assert_int_equal(take_id(queue, reader, 20, id), 0);
    now = at(120);
    (void)divvy_channel_queue_expire(queue, &now);
    assert_int_equal(give(queue, "a", made, true, 121), -ENOENT); /* its maker was told that it failed */
    divvy_channel_queue_free(queue);
}

/* Memory stays below the bound: history goes first, then producers are told. */
static void memory_is_bounded(void **state) {
    struct divvy_channel_limits limits = {.total_bytes = 64 * 1024, .data_bytes = 4096};
    struct divvy_channel_queue *queue = make(&limits);
    struct divvy_channel_figures figures;
    struct divvy_channel_time now = at(1);
    char data[4096], id[DIVVY_CHANNEL_TASK_ID_BYTES];
    uint64_t reader = open_reader(queue, "a", true, 1);
    int status;

    (void)state;
    memset(data, '1', sizeof data);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(divvy_channel_queue_put(queue, "a", data, sizeof data, 0, &now, id), 0);
        assert_int_equal(take_id(queue, reader, 1, id), 0);
        assert_int_equal(give(queue, "a", id, true, 1), 0);
        divvy_channel_queue_figures(queue, &figures);
        assert_true(figures.bytes <= limits.total_bytes);
    }
    do
        status = divvy_channel_queue_put(queue, "b", data, sizeof data, 0, &now, id);
    while (status == 0);
    assert_int_equal(status, -ENOSPC);
    divvy_channel_queue_figures(queue, &figures);
    assert_true(figures.bytes <= limits.total_bytes);
    divvy_channel_queue_free(queue);
}

static void clock_steps_back(void **state) {
    struct divvy_channel_limits limits = {.lease_ns = 10 * S};
    struct divvy_channel_queue *queue = make(&limits);
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    uint64_t reader = open_reader(queue, "a", true, 1000);
    struct divvy_channel_time now = at(5);

    (void)state;
    put(queue, "a", "1", 1000, id);
    assert_int_equal(take_id(queue, reader, 3, id), 0); /* leased from 1000 on, not from 3 */
    assert_true(divvy_channel_queue_expire(queue, &now) == 1010 * S);
    divvy_channel_queue_free(queue);
}

/* ---- model ---- */

#define CLIENTS 6
#define LIMIT_CLIENTS 4
#define LIMIT_UNFINISHED 5
#define LIMIT_HISTORY 3
#define LEASE 7
#define LIFE 40
#define CLIENT_LIFE 30

struct model_task {
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    int client;
    enum divvy_channel_state state;
    int deliveries;
    bool expired, kept; /* kept: in the history */
    int64_t made, lease_end, finished;
    uint64_t reader, finish_order;
};

struct model_client {
    bool known;
    uint64_t reader;
    int64_t idle_since;
    uint64_t idle_order;
    bool idle;
};

struct model {
    struct model_task *tasks;
    size_t count, room;
    struct model_client clients[CLIENTS];
    uint64_t orders;
    uint64_t told; /* calls of finished */
};

static void told(void *context, const struct divvy_channel_task *task) {
    struct model *model = context;

    assert_true(task->state == DIVVY_CHANNEL_COMPLETED || task->state == DIVVY_CHANNEL_FAILED);
    assert_non_null(task->data);
    model->told++;
}

static uint32_t model_unfinished(const struct model *model, int client, enum divvy_channel_state state) {
    uint32_t count = 0;

    for (size_t i = 0; i < model->count; i++)
        count += model->tasks[i].client == client && model->tasks[i].state == state && !model->tasks[i].kept;
    return count;
}

static void model_settle(struct model *model, int client, int64_t now) {
    struct model_client *c = &model->clients[client];
    bool idle = c->known && c->reader == 0 && model_unfinished(model, client, DIVVY_CHANNEL_QUEUED) == 0 &&
                model_unfinished(model, client, DIVVY_CHANNEL_PROCESSING) == 0;

    if (idle && !c->idle) {
        c->idle_since = now;
        c->idle_order = ++model->orders;
    }
    c->idle = idle;
}

static void model_forget(struct model *model, int client) {
    for (size_t i = 0; i < model->count; i++)
        if (model->tasks[i].client == client)
            model->tasks[i].client = -1;
    memset(&model->clients[client], 0, sizeof model->clients[client]);
}

static int model_oldest_idle(const struct model *model) {
    int oldest = -1;

    for (int i = 0; i < CLIENTS; i++)
        if (model->clients[i].idle && (oldest < 0 || model->clients[i].idle_order < model->clients[oldest].idle_order))
            oldest = i;
    return oldest;
}

/* Make the client known; false when there is no room. */
static bool model_client(struct model *model, int client) {
    int known = 0;

    if (model->clients[client].known)
        return true;
    for (int i = 0; i < CLIENTS; i++)
        known += model->clients[i].known;
    if (known == LIMIT_CLIENTS) {
        int oldest = model_oldest_idle(model);

        if (oldest < 0)
            return false;
        model_forget(model, oldest);
    }
    model->clients[client].known = true;
    return true;
}

static void model_finish(struct model *model, struct model_task *task, bool success, int64_t now) {
    int client = task->client;
    struct model_task *oldest = NULL;
    int kept = 0;

    task->state = success ? DIVVY_CHANNEL_COMPLETED : DIVVY_CHANNEL_FAILED;
    task->kept = true;
    task->finish_order = ++model->orders;
    for (size_t i = 0; i < model->count; i++) {
        struct model_task *other = &model->tasks[i];

        if (other->client != client || !other->kept)
            continue;
        kept++;
        if (!oldest || other->finish_order < oldest->finish_order)
            oldest = other;
    }
    if (kept > LIMIT_HISTORY)
        oldest->client = -1;
    model_settle(model, client, now);
}

static void model_break(struct model *model, uint64_t reader) {
    for (size_t i = 0; i < model->count; i++) {
        struct model_task *task = &model->tasks[i];

        if (task->client >= 0 && task->state == DIVVY_CHANNEL_PROCESSING && task->reader == reader)
            task->state = DIVVY_CHANNEL_QUEUED;
    }
}

static void model_expire(struct model *model, int64_t now) {
    for (size_t i = 0; i < model->count; i++) {
        struct model_task *task = &model->tasks[i];

        if (task->client >= 0 && !task->kept && task->made + LIFE <= now) {
            task->expired = true;
            model_finish(model, task, false, now);
        }
    }
    for (size_t i = 0; i < model->count; i++) {
        struct model_task *task = &model->tasks[i];

        if (task->client >= 0 && task->state == DIVVY_CHANNEL_PROCESSING && task->lease_end <= now)
            task->state = DIVVY_CHANNEL_QUEUED;
    }
    for (int i = 0; i < CLIENTS; i++)
        if (model->clients[i].idle && model->clients[i].idle_since + CLIENT_LIFE <= now)
            model_forget(model, i);
}

static struct model_task *model_first(struct model *model, int client) {
    for (size_t i = 0; i < model->count; i++)
        if (model->tasks[i].client == client && model->tasks[i].state == DIVVY_CHANNEL_QUEUED)
            return &model->tasks[i];
    return NULL;
}

static const char *name_of(int client) {
    static const char names[CLIENTS][4] = {"c0", "c1", "c2", "c3", "c4", "c5"};

    return names[client];
}

static void compare(struct divvy_channel_queue *queue, const struct model *model) {
    struct divvy_channel_figures figures;
    uint32_t known = 0, readers = 0, all_queued = 0, all_processing = 0;

    for (int i = 0; i < CLIENTS; i++) {
        uint32_t queued, processing, history, kept = 0;

        divvy_channel_queue_counts(queue, name_of(i), &queued, &processing, &history);
        for (size_t t = 0; t < model->count; t++)
            kept += model->tasks[t].client == i && model->tasks[t].kept;
        assert_int_equal(queued, model_unfinished(model, i, DIVVY_CHANNEL_QUEUED));
        assert_int_equal(processing, model_unfinished(model, i, DIVVY_CHANNEL_PROCESSING));
        assert_int_equal(history, kept);
        assert_true(divvy_channel_queue_reader(queue, name_of(i)) == model->clients[i].reader);
        known += model->clients[i].known;
        readers += model->clients[i].reader != 0;
        all_queued += queued;
        all_processing += processing;
    }
    divvy_channel_queue_figures(queue, &figures);
    assert_int_equal(figures.clients, known);
    assert_int_equal(figures.readers, readers);
    assert_int_equal(figures.queued, all_queued);
    assert_int_equal(figures.processing, all_processing);
    assert_int_equal(figures.completed + figures.failed, model->told);
}

static void step_put(struct divvy_channel_queue *queue, struct model *model, int client, int64_t now) {
    struct divvy_channel_time time = at(now);
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    int status = divvy_channel_queue_put(queue, name_of(client), "{}", 2, 0, &time, id);

    if (!model_client(model, client)) {
        assert_int_equal(status, -EUSERS);
    } else if (model_unfinished(model, client, DIVVY_CHANNEL_QUEUED) +
                   model_unfinished(model, client, DIVVY_CHANNEL_PROCESSING) ==
               LIMIT_UNFINISHED) {
        assert_int_equal(status, -ENOBUFS);
    } else {
        struct model_task *task = &model->tasks[model->count++];

        assert_int_equal(status, 0);
        assert_true(model->count <= model->room);
        *task = (struct model_task){.client = client, .made = now};
        memcpy(task->id, id, sizeof id);
        model_settle(model, client, now);
    }
}

static void step_open(struct divvy_channel_queue *queue, struct model *model, int client, bool breaks, int64_t now) {
    struct divvy_channel_time time = at(now);
    uint64_t reader;
    int status = divvy_channel_queue_reader_open(queue, name_of(client), breaks, NULL, &time, &reader);

    if (!model_client(model, client)) {
        assert_int_equal(status, -EUSERS);
        return;
    }
    assert_int_equal(status, 0);
    if (breaks && model->clients[client].reader)
        model_break(model, model->clients[client].reader);
    model->clients[client].reader = reader;
    model_settle(model, client, now);
}

static void step_close(struct divvy_channel_queue *queue, struct model *model, int client, bool breaks, int64_t now) {
    struct divvy_channel_time time = at(now);
    uint64_t reader = model->clients[client].reader;

    divvy_channel_queue_reader_close(queue, reader, breaks, &time);
    if (reader == 0)
        return;
    if (breaks)
        model_break(model, reader);
    model->clients[client].reader = 0;
    model_settle(model, client, now);
}

static void step_take(struct divvy_channel_queue *queue, struct model *model, int client, int64_t now) {
    uint64_t reader = model->clients[client].reader;
    struct model_task *first = model_first(model, client);
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    int status = take_id(queue, reader, now, id);

    if (reader == 0) {
        assert_int_equal(status, -ESTALE);
    } else if (!first) {
        assert_int_equal(status, -EAGAIN);
    } else {
        assert_int_equal(status, 0);
        assert_string_equal(id, first->id);
        first->state = DIVVY_CHANNEL_PROCESSING;
        first->lease_end = now + LEASE;
        first->reader = reader;
        first->deliveries++;
    }
}

static void step_result(struct divvy_channel_queue *queue, struct model *model, size_t index, bool success, int64_t now) {
    struct model_task *task = &model->tasks[index];
    int client = task->client >= 0 ? task->client : 0, status;

    status = give(queue, name_of(client), task->id, success, now);
    if (task->client < 0 || task->deliveries == 0 || task->expired) {
        assert_int_equal(status, -ENOENT);
        return;
    }
    assert_int_equal(status, 0);
    if (!task->kept)
        model_finish(model, task, success, now);
}

static void against_model(void **state) {
    const char *given = getenv("DIVVY_TEST_SEED");
    unsigned random = given ? (unsigned)strtoul(given, NULL, 10) : 20261128u;
    struct divvy_channel_limits limits = {LIMIT_CLIENTS, LIMIT_UNFINISHED, LIMIT_HISTORY, 0,
                                          0,             LEASE * S,        LIFE * S,      CLIENT_LIFE * S};

    (void)state;
    print_message("seed %u\n", random);
    for (int run = 0; run < 40; run++) {
        struct model model = {.room = 1000};
        struct divvy_channel_queue *queue;
        int64_t now = 1;

        model.tasks = calloc(model.room, sizeof *model.tasks);
        assert_non_null(model.tasks);
        assert_int_equal(divvy_channel_queue_new(&limits, seed, told, &model, &queue), 0);
        for (int step = 0; step < 1000; step++) {
            int client = rand_r(&random) % CLIENTS, kind = rand_r(&random) % 100;
            struct divvy_channel_time time;

            if (kind < 25)
                step_put(queue, &model, client, now);
            else if (kind < 35)
                step_open(queue, &model, client, kind % 2, now);
            else if (kind < 42)
                step_close(queue, &model, client, kind % 2, now);
            else if (kind < 65)
                step_take(queue, &model, client, now);
            else if (kind < 85 && model.count > 0)
                step_result(queue, &model, (size_t)rand_r(&random) % model.count, kind % 3, now);
            else
                now += rand_r(&random) % (kind == 99 ? 60 : 3);
            time = at(now);
            (void)divvy_channel_queue_expire(queue, &time);
            model_expire(&model, now);
            compare(queue, &model);
        }
        divvy_channel_queue_free(queue);
        free(model.tasks);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape),           cmocka_unit_test(refuses),      cmocka_unit_test(full_queue_tells),
        cmocka_unit_test(reader_dies),     cmocka_unit_test(replaced_reader), cmocka_unit_test(late_results),
        cmocka_unit_test(memory_is_bounded), cmocka_unit_test(clock_steps_back), cmocka_unit_test(against_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
