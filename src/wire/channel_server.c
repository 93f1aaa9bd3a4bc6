/*
 * The server's end of the channel: see channel_server.h.
 *
 * A stream is the body of one answer. The HTTP library asks it for bytes (stream_read, on one of its threads); when there are
 * none it falls asleep: the connection is suspended. Whoever has something for it (a task, the timer thread, a stream that
 * takes its place) wakes it. The server's lock is never held while the HTTP library is called, so that no order of locks
 * between the two can go wrong; the states between AWAKE and ASLEEP bridge the gap.
 *
 * The library does not look at suspended connections, so the timer thread watches their sockets for the client's end.
 */
#include "wire/channel_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS_NS     INT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)

/* Keeping alive may come this much early, so that one wake-up serves many streams; a poll may end this much late. */
#define COALESCE_NS      SECOND_NS
#define POLL_COALESCE_NS (100 * MS_NS)

#define POLL_TASKS      16   /* in the answer of one poll, at most */
#define READ_BYTES      4096 /* that the library asks for at a time */
#define USER_TIMEOUT_MS 45000u /* unacknowledged bytes for so long: the peer is gone without a word */

enum stream_state {
    STREAM_AWAKE,
    STREAM_FALLING, /* about to be suspended */
    STREAM_ROUSED,  /* woken while falling */
    STREAM_ASLEEP
};

struct stream {
    struct stream *before, *after; /* of the server's list */
    struct stream *next_woken;
    struct divvy_channel_server *server;
    struct MHD_Connection *connection;
    uint64_t reader;
    char client_id[DIVVY_CHANNEL_CLIENT_ID_BYTES];
    enum stream_state state;
    bool is_events;
    bool is_broken;   /* the client is gone */
    bool is_last;     /* `text` is the last there is */
    bool is_complete; /* all of it has been fetched */
    int fd;
    uint32_t given;      /* tasks */
    int64_t wake_ns;     /* keep-alive, or end of the poll */
    char *text;          /* being sent */
    size_t length, sent;
};

struct divvy_channel_server {
    struct divvy_channel_server_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a task has ended, or the server stops, or can stop */
    uint64_t resuming;      /* streams that were woken and whose connections are about to be resumed */
    struct divvy_channel_queue *queue;
    struct stream streams;   /* head of the list */
    uint64_t command_number;
    int64_t min_duration_ns; /* no new deadline of the queue is nearer than this */
    int64_t timer_ns;        /* when the timer thread will look */
    pthread_t timer;
    bool has_timer, is_stopping, is_ending;
    int epoll_fd, event_fd;
};

static struct divvy_channel_time time_now(void) {
    struct timespec monotonic, realtime;

    (void)clock_gettime(CLOCK_MONOTONIC, &monotonic);
    (void)clock_gettime(CLOCK_REALTIME, &realtime);
    return (struct divvy_channel_time){monotonic.tv_sec * SECOND_NS + monotonic.tv_nsec,
                                       realtime.tv_sec * SECOND_NS + realtime.tv_nsec};
}

static void lock(struct divvy_channel_server *server) {
    (void)pthread_mutex_lock(&server->lock);
}

static void unlock(struct divvy_channel_server *server) {
    (void)pthread_mutex_unlock(&server->lock);
}

static void timer_poke(struct divvy_channel_server *server) {
    (void)eventfd_write(server->event_fd, 1);
}

/* ---- waking ---- */

/* Lock held; the stream joins *woken when it is for us to resume it. */
static void stream_wake(struct stream *stream, struct stream **woken) {
    if (stream->state == STREAM_ASLEEP) {
        stream->state = STREAM_AWAKE;
        stream->next_woken = *woken;
        stream->server->resuming++;
        *woken = stream;
    } else if (stream->state == STREAM_FALLING) {
        stream->state = STREAM_ROUSED;
    }
}

/* Lock not held. A stream may be gone as soon as its connection is resumed. */
static void streams_resume(struct divvy_channel_server *server, struct stream *woken) {
    uint64_t count = 0;

    for (struct stream *next; woken; woken = next) {
        next = woken->next_woken;
        MHD_resume_connection(woken->connection);
        count++;
    }
    if (count == 0)
        return;
    lock(server);
    server->resuming -= count;
    if (server->is_stopping && server->resuming == 0)
        (void)pthread_cond_broadcast(&server->changed);
    unlock(server);
}

static struct stream *stream_of(struct divvy_channel_server *server, const char *client_id) {
    return divvy_channel_queue_reader_context(server->queue, divvy_channel_queue_reader(server->queue, client_id));
}

/* ---- the body of an answer ---- */

/* The stream's next text; takes `text` over. */
static void text_set(struct stream *stream, char *text, size_t length) {
    free(stream->text);
    stream->text = text;
    stream->length = length;
    stream->sent = 0;
}

static bool text_format(struct stream *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool text_format(struct stream *stream, const char *format, ...) {
    va_list arguments;
    char *text;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return false;
    text_set(stream, text, (size_t)length);
    return true;
}

/* The last words. */
static bool text_end(struct stream *stream, const char *reason) {
    stream->is_last = true;
    if (stream->is_events)
        return text_format(stream, "event: error\ndata: {\"error\":\"%s\"}\n\n", reason);
    return text_format(stream, stream->given > 0 ? "]" : "[]");
}

/* Lock held. True: there is text. False: nothing to say now (*ret_failed: and never again). */
static bool text_next(struct stream *stream, bool *ret_failed) {
    struct divvy_channel_server *server = stream->server;
    struct divvy_channel_time now = time_now();
    char *item;
    size_t length;
    int status;
    bool done;

    *ret_failed = true;
    if (stream->is_broken || stream->is_last)
        return false;
    if (server->is_stopping)
        return text_end(stream, "the server is stopping");
    if (!stream->is_events && stream->given == POLL_TASKS)
        return text_end(stream, "");
    status = divvy_channel_queue_take(server->queue, stream->reader, &now, &item, &length);
    if (status == 0) {
        done = stream->is_events ? text_format(stream, "data: %s\n\n", item)
                                 : text_format(stream, "%c%s", stream->given > 0 ? ',' : '[', item);
        free(item);
        stream->given++;
        stream->wake_ns = stream->is_events ? now.monotonic_ns + server->options.keep_alive_ns : stream->wake_ns;
        return done;
    }
    if (status == -ESTALE)
        return text_end(stream, "another stream of this client took over");
    if (status != -EAGAIN)
        return text_end(stream, "out of memory");
    if (!stream->is_events && (stream->given > 0 || now.monotonic_ns >= stream->wake_ns))
        return text_end(stream, "");
    if (stream->is_events && now.monotonic_ns >= stream->wake_ns - COALESCE_NS) {
        stream->wake_ns = now.monotonic_ns + server->options.keep_alive_ns;
        return text_format(stream, ": keep-alive\n\n");
    }
    *ret_failed = false;
    return false;
}

/* Have the client's end noticed while the connection is suspended. */
static void socket_watch(struct stream *stream) {
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = stream->reader};
    int epoll_fd = stream->server->epoll_fd;

    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, stream->fd, &event) < 0 && errno == ENOENT)
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, stream->fd, &event);
}

/* Called with the lock held, returns without it. */
static void stream_sleep(struct stream *stream) {
    struct divvy_channel_server *server = stream->server;
    bool is_roused;

    stream->state = STREAM_FALLING;
    unlock(server);
    MHD_suspend_connection(stream->connection);
    lock(server);
    is_roused = stream->state == STREAM_ROUSED || server->is_stopping;
    stream->state = is_roused ? STREAM_AWAKE : STREAM_ASLEEP;
    if (!is_roused) {
        socket_watch(stream);
        if (stream->wake_ns < server->timer_ns)
            timer_poke(server);
    }
    unlock(server);
    if (is_roused)
        MHD_resume_connection(stream->connection);
}

static ssize_t stream_read(void *context, uint64_t position, char *buffer, size_t room) {
    struct stream *stream = context;
    struct divvy_channel_server *server = stream->server;
    size_t bytes;
    bool failed = false;

    (void)position;
    lock(server);
    if (stream->sent == stream->length && !text_next(stream, &failed)) {
        if (!failed) {
            stream_sleep(stream);
            return 0;
        }
        stream->is_complete = stream->is_last && !stream->is_broken;
        unlock(server);
        return stream->is_complete ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
    }
    bytes = stream->length - stream->sent;
    if (bytes > room)
        bytes = room;
    memcpy(buffer, stream->text + stream->sent, bytes);
    stream->sent += bytes;
    unlock(server);
    return (ssize_t)bytes;
}

/* Lock held: the reader ends; whoever wants to know is told. */
static void reader_close(struct stream *stream, bool is_broken) {
    struct divvy_channel_server *server = stream->server;
    struct divvy_channel_time now = time_now();

    if (!divvy_channel_queue_reader_is_open(server->queue, stream->reader))
        return;
    divvy_channel_queue_reader_close(server->queue, stream->reader, is_broken, &now);
    if (server->options.presence)
        server->options.presence(server->options.context, stream->client_id, false);
}

/* The answer is over, or was never queued. Events may be lost on a stream that ends, however it ends: they come again. */
static void stream_free(void *context) {
    struct stream *stream = context;
    struct divvy_channel_server *server = stream->server;

    lock(server);
    reader_close(stream, stream->is_events || !stream->is_complete);
    stream->before->after = stream->after;
    stream->after->before = stream->before;
    unlock(server);
    free(stream->text);
    free(stream);
}

/* Lock held: make the stream the client's reader. The old one is woken to hear of it. */
static int reader_open(struct stream *stream, struct stream **woken) {
    struct divvy_channel_server *server = stream->server;
    struct divvy_channel_time now = time_now();
    struct stream *old = stream_of(server, stream->client_id);
    int status;

    if (server->is_stopping)
        return -ESHUTDOWN;
    status = divvy_channel_queue_reader_open(server->queue, stream->client_id, !old || old->is_events || !old->is_complete,
                                             stream, &now, &stream->reader);
    if (status < 0)
        return status;
    if (old)
        stream_wake(old, woken);
    else if (server->options.presence)
        server->options.presence(server->options.context, stream->client_id, true);
    stream->after = &server->streams;
    stream->before = server->streams.before;
    stream->before->after = stream;
    server->streams.before = stream;
    return 0;
}

static struct stream *stream_new(struct divvy_channel_server *server, const char *client_id, bool is_events, int64_t wait_ns,
                                 struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct stream *stream = calloc(1, sizeof *stream);
    unsigned timeout_ms = USER_TIMEOUT_MS;

    if (!stream)
        return NULL;
    stream->server = server;
    stream->connection = connection;
    stream->is_events = is_events;
    stream->fd = info ? info->connect_fd : -1;
    memcpy(stream->client_id, client_id, strlen(client_id) + 1);
    (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    if (wait_ns <= 0 || wait_ns > DIVVY_CHANNEL_POLL_NS)
        wait_ns = DIVVY_CHANNEL_POLL_NS;
    stream->wake_ns = time_now().monotonic_ns + (is_events ? server->options.keep_alive_ns : wait_ns);
    if (is_events && !text_format(stream, ": open\n\n")) {
        free(stream);
        return NULL;
    }
    return stream;
}

int divvy_channel_server_events(struct divvy_channel_server *server, const char *client_id, bool is_stream, int64_t wait_ns,
                                struct MHD_Connection *connection, struct MHD_Response **ret_response) {
    struct MHD_Response *response;
    struct stream *stream, *woken = NULL;
    int status;

    if (!divvy_channel_client_id_is_valid(client_id))
        return -EINVAL;
    stream = stream_new(server, client_id, is_stream, wait_ns, connection);
    if (!stream)
        return -ENOMEM;
    lock(server);
    status = reader_open(stream, &woken);
    unlock(server);
    streams_resume(server, woken);
    if (status < 0) {
        free(stream->text);
        free(stream);
        return status;
    }
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READ_BYTES, stream_read, stream, stream_free);
    if (!response) {
        stream_free(stream);
        return -ENOMEM;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, is_stream ? "text/event-stream" : "application/json");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    *ret_response = response;
    return 0;
}

/* ---- the timer thread ---- */

/* Lock held: wakes what is due; when to look again. */
static int64_t timers_run(struct divvy_channel_server *server, struct stream **woken) {
    struct divvy_channel_time now = time_now();
    int64_t next_ns = divvy_channel_queue_expire(server->queue, &now);

    if (next_ns > now.monotonic_ns + server->min_duration_ns)
        next_ns = now.monotonic_ns + server->min_duration_ns;
    for (struct stream *stream = server->streams.after; stream != &server->streams; stream = stream->after) {
        int64_t early_ns = stream->is_events ? COALESCE_NS : 0;

        if (stream->state != STREAM_ASLEEP)
            continue;
        if (stream->wake_ns - early_ns <= now.monotonic_ns)
            stream_wake(stream, woken);
        else if (stream->wake_ns < next_ns)
            next_ns = stream->wake_ns;
    }
    if (next_ns < now.monotonic_ns + POLL_COALESCE_NS)
        next_ns = now.monotonic_ns + POLL_COALESCE_NS;
    return next_ns;
}

/* Lock held: a client has gone. What it was given can go to its next reader at once. */
static void hung_up(struct divvy_channel_server *server, uint64_t reader, struct stream **woken) {
    struct stream *stream = divvy_channel_queue_reader_context(server->queue, reader);

    if (!stream || stream->state != STREAM_ASLEEP)
        return;
    stream->is_broken = true;
    reader_close(stream, true);
    stream_wake(stream, woken);
}

static void *timer_main(void *context) {
    struct divvy_channel_server *server = context;
    struct epoll_event events[64];
    bool is_ending = false;

    while (!is_ending) {
        struct stream *woken = NULL;
        int64_t wait_ms;
        int count;

        lock(server);
        server->timer_ns = timers_run(server, &woken);
        wait_ms = (server->timer_ns - time_now().monotonic_ns) / MS_NS + 1;
        unlock(server);
        streams_resume(server, woken);
        woken = NULL;
        count = epoll_wait(server->epoll_fd, events, 64, wait_ms < 0 ? 0 : wait_ms > 3600000 ? 3600000 : (int)wait_ms);
        lock(server);
        for (int i = 0; i < count; i++) {
            eventfd_t value;

            if (events[i].data.u64 != 0)
                hung_up(server, events[i].data.u64, &woken);
            else
                (void)eventfd_read(server->event_fd, &value);
        }
        is_ending = server->is_ending;
        unlock(server);
        streams_resume(server, woken);
    }
    return NULL;
}

/* ---- life ---- */

/* From the queue, lock held. */
static void task_finished(void *context, const struct divvy_channel_task *task) {
    struct divvy_channel_server *server = context;

    (void)pthread_cond_broadcast(&server->changed);
    if (server->options.finished)
        server->options.finished(server->options.context, task);
}

static int64_t smallest_duration(const struct divvy_channel_limits *limits) {
    int64_t durations[] = {limits->lease_ns, limits->task_ns, limits->client_ns}, smallest = 60 * SECOND_NS;

    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++)
        if (durations[i] > 0 && durations[i] < smallest)
            smallest = durations[i];
    return smallest;
}

static int timer_start(struct divvy_channel_server *server) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    int status;

    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll_fd < 0 || server->event_fd < 0 ||
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->event_fd, &event) < 0)
        return -errno;
    status = pthread_create(&server->timer, NULL, timer_main, server);
    server->has_timer = status == 0;
    return -status;
}

int divvy_channel_server_new(const struct divvy_channel_server_options *options, struct divvy_channel_server **ret_server) {
    struct divvy_channel_server *server = calloc(1, sizeof *server);
    pthread_condattr_t attributes;
    uint64_t seed[2];
    int status;

    if (!server)
        return -ENOMEM;
    if (options)
        server->options = *options;
    if (server->options.keep_alive_ns <= 0)
        server->options.keep_alive_ns = DIVVY_CHANNEL_KEEP_ALIVE_NS;
    server->streams.before = server->streams.after = &server->streams;
    server->epoll_fd = server->event_fd = -1;
    server->min_duration_ns = smallest_duration(&server->options.limits);
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&server->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    status = getrandom(seed, sizeof seed, 0) == (ssize_t)sizeof seed ? 0 : -EIO;
    if (status == 0)
        status = divvy_channel_queue_new(&server->options.limits, seed, task_finished, server, &server->queue);
    if (status == 0)
        status = timer_start(server);
    if (status < 0) {
        divvy_channel_server_free(server);
        return status;
    }
    *ret_server = server;
    return 0;
}

/* The HTTP library must not be stopped while a connection is suspended: none is when this returns. */
void divvy_channel_server_stop(struct divvy_channel_server *server) {
    struct stream *woken = NULL;

    lock(server);
    server->is_stopping = true;
    for (struct stream *stream = server->streams.after; stream != &server->streams; stream = stream->after)
        stream_wake(stream, &woken);
    (void)pthread_cond_broadcast(&server->changed);
    unlock(server);
    streams_resume(server, woken);
    lock(server);
    while (server->resuming > 0)
        (void)pthread_cond_wait(&server->changed, &server->lock);
    unlock(server);
}

void divvy_channel_server_free(struct divvy_channel_server *server) {
    if (!server)
        return;
    if (server->has_timer) {
        lock(server);
        server->is_stopping = server->is_ending = true;
        unlock(server);
        timer_poke(server);
        (void)pthread_join(server->timer, NULL);
    }
    if (server->epoll_fd >= 0)
        (void)close(server->epoll_fd);
    if (server->event_fd >= 0)
        (void)close(server->event_fd);
    divvy_channel_queue_free(server->queue);
    (void)pthread_cond_destroy(&server->changed);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}

/* ---- producers ---- */

int divvy_channel_server_send(struct divvy_channel_server *server, const char *client_id, const json_t *data, uint64_t tag,
                              char ret_id[DIVVY_CHANNEL_TASK_ID_BYTES]) {
    char *text = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY), id[DIVVY_CHANNEL_TASK_ID_BYTES];
    struct divvy_channel_time now = time_now();
    struct stream *stream, *woken = NULL;
    int status = -ESHUTDOWN;

    if (!text)
        return -ENOMEM;
    lock(server);
    if (!server->is_stopping)
        status = divvy_channel_queue_put(server->queue, client_id, text, strlen(text), tag, &now, id);
    stream = status == 0 ? stream_of(server, client_id) : NULL;
    if (stream)
        stream_wake(stream, &woken);
    unlock(server);
    streams_resume(server, woken);
    free(text);
    if (status == 0 && ret_id)
        memcpy(ret_id, id, sizeof id);
    return status;
}

static json_t *order_json(const struct divvy_channel_order *order, uint64_t number) {
    static const char *const names[] = DIVVY_CHANNEL_KIND_NAMES;
    json_t *data;

    if ((unsigned)order->kind >= DIVVY_CHANNEL_KIND_MAX || order->begin_ns > INT64_MAX || order->length_ns > INT64_MAX ||
        order->budget_ns > INT64_MAX || order->door > INT64_MAX || order->memory_bytes > INT64_MAX || order->permille > INT64_MAX)
        return NULL;
    data = json_pack("{s:I, s:s}", "id", (json_int_t)number, "kind", names[order->kind]);
    if (!data || order->kind != DIVVY_CHANNEL_LEASE)
        return data;
    if ((order->device && json_object_set_new(data, "device", json_string(order->device)) < 0) ||
        (order->mode && json_object_set_new(data, "mode", json_string(order->mode)) < 0) ||
        json_object_set_new(data, "begin", json_integer((json_int_t)order->begin_ns)) < 0 ||
        json_object_set_new(data, "length", json_integer((json_int_t)order->length_ns)) < 0 ||
        (order->budget_ns && json_object_set_new(data, "budget", json_integer((json_int_t)order->budget_ns)) < 0) ||
        (order->door && json_object_set_new(data, "door", json_integer((json_int_t)order->door)) < 0) ||
        (order->has_limits && (json_object_set_new(data, "memory", json_integer((json_int_t)order->memory_bytes)) < 0 ||
                               json_object_set_new(data, "permille", json_integer((json_int_t)order->permille)) < 0))) {
        json_decref(data);
        return NULL;
    }
    return data;
}

int divvy_channel_server_command(struct divvy_channel_server *server, const char *client_id,
                                 const struct divvy_channel_order *order, uint64_t *ret_number,
                                 char ret_id[DIVVY_CHANNEL_TASK_ID_BYTES]) {
    uint64_t number = __atomic_add_fetch(&server->command_number, 1, __ATOMIC_RELAXED);
    json_t *data = order_json(order, number);
    int status;

    if (!data)
        return -EINVAL;
    status = divvy_channel_server_send(server, client_id, data, number, ret_id);
    json_decref(data);
    if (status == 0 && ret_number)
        *ret_number = number;
    return status;
}

/* Lock held. -EAGAIN while the task is not finished. */
static int outcome_get(struct divvy_channel_server *server, const char *client_id, const char *task_id,
                       struct divvy_channel_outcome *ret_outcome) {
    struct divvy_channel_outcome outcome = {0};
    struct divvy_channel_task task;
    int status = divvy_channel_queue_task(server->queue, client_id, task_id, &task);

    if (status < 0)
        return status;
    if (task.state != DIVVY_CHANNEL_COMPLETED && task.state != DIVVY_CHANNEL_FAILED)
        return server->is_stopping ? -ESHUTDOWN : -EAGAIN;
    outcome.success = task.state == DIVVY_CHANNEL_COMPLETED;
    outcome.result = task.result ? strdup(task.result) : NULL;
    outcome.error = task.error ? strdup(task.error) : NULL;
    if ((task.result && !outcome.result) || (task.error && !outcome.error)) {
        free(outcome.result);
        free(outcome.error);
        return -ENOMEM;
    }
    *ret_outcome = outcome;
    return 0;
}

int divvy_channel_server_wait(struct divvy_channel_server *server, const char *client_id, const char *task_id,
                              int64_t timeout_ns, struct divvy_channel_outcome *ret_outcome) {
    int64_t end_ns = time_now().monotonic_ns;
    struct timespec end;
    int status, waited = 0;

    end_ns = timeout_ns > INT64_MAX - end_ns ? INT64_MAX : end_ns + timeout_ns;
    end = (struct timespec){end_ns / SECOND_NS, end_ns % SECOND_NS};
    lock(server);
    for (;;) {
        status = outcome_get(server, client_id, task_id, ret_outcome);
        if (status != -EAGAIN || waited == ETIMEDOUT)
            break;
        waited = pthread_cond_timedwait(&server->changed, &server->lock, &end);
    }
    unlock(server);
    return status == -EAGAIN ? -ETIMEDOUT : status;
}

bool divvy_channel_server_is_there(struct divvy_channel_server *server, const char *client_id) {
    bool is_there;

    lock(server);
    is_there = divvy_channel_queue_reader(server->queue, client_id) != 0;
    unlock(server);
    return is_there;
}

void divvy_channel_server_figures(struct divvy_channel_server *server, struct divvy_channel_figures *ret_figures) {
    lock(server);
    divvy_channel_queue_figures(server->queue, ret_figures);
    unlock(server);
}

/* ---- what clients post ---- */

/* A JSON object of a request, or NULL with the status in *ret_status. */
static json_t *body_read(const char *body, size_t length, int *ret_status, struct divvy_error *error) {
    json_error_t fault;
    json_t *object = json_loadb(body, length, JSON_REJECT_DUPLICATES, &fault);

    if (json_is_object(object))
        return object;
    *ret_status = MHD_HTTP_BAD_REQUEST;
    (void)divvy_error_set(error, -EINVAL, "%s", object ? "the body must be a JSON object" : fault.text);
    json_decref(object);
    return NULL;
}

/* Whose message it is, and whether it may be. NULL with the status in *ret_status. */
static const char *sender_check(const json_t *object, const char *client_id, int *ret_status, struct divvy_error *error) {
    const char *claimed = json_string_value(json_object_get(object, "client_id"));

    if (!claimed) {
        *ret_status = MHD_HTTP_BAD_REQUEST;
        (void)divvy_error_set(error, -EINVAL, "client_id must be a string");
        return NULL;
    }
    if (client_id && strcmp(claimed, client_id) != 0) {
        *ret_status = MHD_HTTP_FORBIDDEN;
        (void)divvy_error_set(error, -EPERM, "client_id is not the caller's own");
        return NULL;
    }
    return claimed;
}

static int result_apply(struct divvy_channel_server *server, const char *sender, const json_t *object,
                        struct divvy_error *error) {
    const char *task_id = json_string_value(json_object_get(object, "task_id"));
    const json_t *success = json_object_get(object, "success"), *result = json_object_get(object, "result"),
                 *reason = json_object_get(object, "error");
    char *text = NULL;
    int status;

    if (!task_id || !json_is_boolean(success) || (reason && !json_is_null(reason) && !json_is_string(reason))) {
        (void)divvy_error_set(error, -EINVAL, "task_id must be a string, success a boolean, error a string or null");
        return MHD_HTTP_BAD_REQUEST;
    }
    if (result && !json_is_null(result)) {
        text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!text)
            return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    {
        struct divvy_channel_result given = {json_is_true(success), text, json_string_value(reason)};
        struct divvy_channel_time now = time_now();

        lock(server);
        status = divvy_channel_queue_result(server->queue, sender, task_id, &given, &now);
        unlock(server);
    }
    free(text);
    if (status == 0)
        return MHD_HTTP_OK;
    if (status == -E2BIG) {
        (void)divvy_error_set(error, status, "the result is too large");
        return MHD_HTTP_BAD_REQUEST;
    }
    (void)divvy_error_set(error, status, status == -ENOENT ? "this client has no such task in processing" : "out of memory");
    return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

int divvy_channel_server_result(struct divvy_channel_server *server, const char *client_id, const char *body, size_t length,
                                struct divvy_error *error) {
    int status = MHD_HTTP_OK;
    json_t *object = body_read(body, length, &status, error);
    const char *sender = object ? sender_check(object, client_id, &status, error) : NULL;

    if (sender)
        status = result_apply(server, sender, object, error);
    json_decref(object);
    return status;
}

/* A member that counts: absent is 0; false when it is not a whole number from 0 on. */
static bool count_read(const json_t *object, const char *name, uint64_t *ret_value) {
    const json_t *value = json_object_get(object, name);

    if (value && (!json_is_integer(value) || json_integer_value(value) < 0))
        return false;
    *ret_value = value ? (uint64_t)json_integer_value(value) : 0;
    return true;
}

static bool report_read(const json_t *object, struct divvy_channel_report *report) {
    const json_t *devices = json_object_get(object, "devices");

    if (!json_is_array(devices) || json_array_size(devices) > DIVVY_CHANNEL_REPORT_DEVICES ||
        !count_read(object, "door", &report->door))
        return false;
    report->count = (uint32_t)json_array_size(devices);
    for (uint32_t i = 0; i < report->count; i++) {
        const json_t *device = json_array_get(devices, i);
        const char *uuid = json_string_value(json_object_get(device, "uuid"));

        if (!uuid || strlen(uuid) >= sizeof report->devices[i].uuid ||
            !count_read(device, "waiting", &report->devices[i].waiting) ||
            !count_read(device, "busy_ns", &report->devices[i].busy_ns) ||
            !count_read(device, "used_bytes", &report->devices[i].used_bytes) ||
            !count_read(device, "launches", &report->devices[i].launches) ||
            !count_read(device, "inflight_ns", &report->devices[i].inflight_ns) ||
            !count_read(device, "drain_ns", &report->devices[i].drain_ns) ||
            !count_read(device, "lease", &report->devices[i].lease))
            return false;
        report->devices[i].is_over = json_is_true(json_object_get(device, "over"));
        memcpy(report->devices[i].uuid, uuid, strlen(uuid) + 1);
    }
    return true;
}

static int report_apply(struct divvy_channel_server *server, const char *sender, const json_t *object,
                        struct divvy_error *error) {
    struct divvy_channel_report report = {.client_id = sender};
    int status;

    if (!report_read(object, &report)) {
        (void)divvy_error_set(error, -EINVAL, "devices must be a list of at most %d objects with uuid and counts",
                              DIVVY_CHANNEL_REPORT_DEVICES);
        return MHD_HTTP_BAD_REQUEST;
    }
    status = server->options.report ? server->options.report(server->options.context, &report) : -ENOENT;
    if (status == 0)
        return MHD_HTTP_OK;
    (void)divvy_error_set_errno(error, status, "the report was not taken");
    return status == -ENOENT  ? MHD_HTTP_NOT_FOUND
           : status == -EBUSY ? MHD_HTTP_TOO_MANY_REQUESTS
                              : MHD_HTTP_INTERNAL_SERVER_ERROR;
}

int divvy_channel_server_report(struct divvy_channel_server *server, const char *client_id, const char *body, size_t length,
                                struct divvy_error *error) {
    int status = MHD_HTTP_OK;
    json_t *object = body_read(body, length, &status, error);
    const char *sender = object ? sender_check(object, client_id, &status, error) : NULL;

    if (sender)
        status = report_apply(server, sender, object, error);
    json_decref(object);
    return status;
}
