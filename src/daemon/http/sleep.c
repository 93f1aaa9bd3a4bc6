/*
 * Requests whose answer takes a while. The HTTP library has few threads: a handler that may block runs on one of the workers, and
 * one that waits for an event is asked again when there is one, while their connections sleep.
 */
#include "daemon/http/server.h"

#include <errno.h>
#include <signal.h>

#define EVENT_WAIT_MS 250u
#define EVENT_BATCH   32u

static void *worker_main(void *argument) {
    struct divvy_http *http = argument;

    pthread_mutex_lock(&http->sleep_lock);
    for (;;) {
        struct divvy_http_request *request = http->work_first;

        if (!request) {
            if (http->is_stopping)
                break;
            pthread_cond_wait(&http->sleep_work, &http->sleep_lock);
            continue;
        }
        http->work_first = request->next;
        if (!http->work_first)
            http->work_last = &http->work_first;
        if (http->is_stopping) {
            divvy_http_fail(request, 503, "the daemon is ending");
        } else {
            pthread_mutex_unlock(&http->sleep_lock);
            if (request->is_unreviewed)
                divvy_http_review(request); /* its handler comes after that */
            else if (request->route->handler(request) == DIVVY_HTTP_LATER)
                divvy_http_fail(request, 500, "a slow route cannot wait");
            pthread_mutex_lock(&http->sleep_lock);
        }
        request->is_asleep = false;
        MHD_resume_connection(request->connection);
    }
    pthread_mutex_unlock(&http->sleep_lock);
    return NULL;
}

bool divvy_http_sleep_work(struct divvy_http_request *request) {
    struct divvy_http *http = request->http;
    bool taken = false;

    pthread_mutex_lock(&http->sleep_lock);
    if (!http->is_stopping) {
        request->is_asleep = taken = true;
        request->next = NULL;
        MHD_suspend_connection(request->connection);
        *http->work_last = request;
        http->work_last = &request->next;
        pthread_cond_signal(&http->sleep_work);
    }
    pthread_mutex_unlock(&http->sleep_lock);
    return taken;
}

bool divvy_http_sleep_wait(struct divvy_http_request *request) {
    struct divvy_http *http = request->http;
    bool taken = false;

    pthread_mutex_lock(&http->sleep_lock);
    if (!http->is_stopping) {
        request->is_asleep = taken = true;
        MHD_suspend_connection(request->connection);
        request->next = http->waiting;
        http->waiting = request;
        if (http->event_last > request->wait_after) { /* came since the handler looked */
            http->waiting = request->next;
            request->is_asleep = false;
            MHD_resume_connection(request->connection);
        }
    }
    pthread_mutex_unlock(&http->sleep_lock);
    return taken;
}

/* Wakes those that wait for what there is now. Lock held. */
static void waiting_wake(struct divvy_http *http, bool all, int64_t now_ns) {
    struct divvy_http_request **place = &http->waiting, *request;

    while ((request = *place)) {
        bool due =
            all || http->event_last > request->wait_after || (request->deadline_ns != 0 && now_ns >= request->deadline_ns);

        if (!due) {
            place = &request->next;
            continue;
        }
        *place = request->next;
        request->is_asleep = false;
        if (all)
            request->deadline_ns = 1;
        MHD_resume_connection(request->connection);
    }
}

static void streams_wake(struct divvy_http *http, bool all, bool events, int64_t now_ns) {
    struct divvy_http_stream *stream = http->streams, *next;

    for (; stream; stream = next) {
        next = stream->next;
        if (all || (events && stream->wants_events) || now_ns >= stream->keepalive_ns)
            divvy_http_stream_resume_locked(stream);
    }
}

/* Follows the node's events, so that those who wait for them need no thread each; and looks after slow connections. */
static void *waker_main(void *argument) {
    struct divvy_http *http = argument;
    struct divvy_node_event *events = calloc(EVENT_BATCH, sizeof *events);
    uint64_t last = 0;
    int64_t reaped_ns = 0;

    for (;;) {
        uint32_t count = events ? divvy_daemon_events(http->daemon, last, EVENT_WAIT_MS, events, EVENT_BATCH) : 0;
        int64_t now_ns = divvy_http_now_ns();
        bool stop;

        if (count > 0)
            last = events[count - 1].number;
        if (now_ns - reaped_ns > 500000000) {
            reaped_ns = now_ns;
            divvy_http_links_reap(http, now_ns);
            divvy_http_retired_reap(http);
        }
        pthread_mutex_lock(&http->sleep_lock);
        http->event_last = last;
        stop = http->is_stopping;
        waiting_wake(http, stop, now_ns);
        streams_wake(http, stop, count > 0, now_ns);
        pthread_mutex_unlock(&http->sleep_lock);
        if (stop)
            break;
        if (!events) { /* no memory: keep deadlines and the reaper going */
            struct timespec pause = {.tv_nsec = EVENT_WAIT_MS * 1000000L};

            nanosleep(&pause, NULL);
        }
    }
    free(events);
    return NULL;
}

int divvy_http_sleep_start(struct divvy_http *http, struct divvy_error *error) {
    sigset_t all, kept;
    int result = 0;

    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept);
    for (; result == 0 && http->worker_count < DIVVY_HTTP_WORKERS; http->worker_count += result == 0)
        result = pthread_create(&http->workers[http->worker_count], NULL, worker_main, http);
    if (result == 0)
        result = pthread_create(&http->waker, NULL, waker_main, http);
    http->has_waker = result == 0;
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    return result == 0 ? 0 : divvy_error_set_errno(error, -result, "threads of the HTTP server cannot be made");
}

void divvy_http_sleep_stop(struct divvy_http *http) {
    pthread_mutex_lock(&http->sleep_lock);
    http->is_stopping = true;
    pthread_cond_broadcast(&http->sleep_work);
    pthread_mutex_unlock(&http->sleep_lock);
    for (uint32_t i = 0; i < http->worker_count; i++)
        pthread_join(http->workers[i], NULL);
    if (http->has_waker)
        pthread_join(http->waker, NULL);
    http->worker_count = 0;
    http->has_waker = false;
}
