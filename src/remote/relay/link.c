/*
 * Connections to workers for jobs of the JSON dialect. Each VM has its own, so that nothing that one VM sends can shift the answers
 * of another. A job that was sent is never sent again: if its worker goes, the answer is an error.
 */
#include "remote/relay/relay.h"
#include "wire/json_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_BYTES ((size_t)64 << 10)

struct divvy_relay_link {
    struct divvy_source source;
    struct divvy_later dead;
    struct divvy_relay_vm *vm;
    struct divvy_relay_worker *worker;
    struct divvy_relay_job *job; /* NULL: idle */
    bool is_connecting, wants_out, is_closed;
    bool serves_once; /* the last answer had no line's end: a worker that closes after each */
    uint64_t connect_until_ns;
    size_t sent; /* of the job's request */
    struct divvy_relay_bytes in;
    struct divvy_wire_json_frame frame;
    size_t looked_at;
};

static void link_free_late(struct divvy_later *later) {
    struct divvy_relay_link *link = (struct divvy_relay_link *)(void *)((char *)later - offsetof(struct divvy_relay_link, dead));

    divvy_relay_bytes_done(&link->in);
    free(link);
}

/* Ends a connection. Its memory lasts until the loop's turn is over: an event for it may still be on the way. */
static void link_close(struct divvy_relay_link *link) {
    if (link->is_closed)
        return;
    link->is_closed = true;
    divvy_loop_close(&link->vm->relay->loop, &link->source);
    if (link->job) {
        link->job->link = NULL;
        divvy_relay_worker_leave(link->worker, link->job);
    }
    link->job = NULL;
    if (link->vm->link == link)
        link->vm->link = NULL;
    link->dead.run = link_free_late;
    divvy_loop_queue(&link->vm->relay->loop, &link->dead);
}

static void link_fail(struct divvy_relay_link *link, const char *message) {
    struct divvy_relay_job *job = link->job;

    link_close(link);
    if (job)
        divvy_relay_job_finish(job, NULL, 0, 3, message, DIVVY_NODE_VMQ_FAILED);
}

/* The way to the worker is closed; the job was not sent, so another worker may have it. */
static void link_unreachable(struct divvy_relay_link *link, int status) {
    struct divvy_relay_job *job = link->job;
    struct divvy_relay_worker *other;

    divvy_relay_worker_failed(link->vm->relay, link->worker, status);
    link_close(link);
    if (!job)
        return;
    other = divvy_relay_worker_choose(job->vm);
    if (other)
        divvy_relay_link_start(job, other);
    else
        divvy_relay_job_finish(job, NULL, 0, 3, "no worker can be reached", DIVVY_NODE_VMQ_FAILED);
}

static void link_watch(struct divvy_relay_link *link, bool wants_out) {
    if (link->wants_out == wants_out)
        return;
    link->wants_out = wants_out;
    (void)divvy_loop_change(&link->vm->relay->loop, &link->source, EPOLLIN | (wants_out ? EPOLLOUT : 0));
}

static void link_send(struct divvy_relay_link *link) {
    const struct divvy_relay_bytes *request = &link->job->request;
    size_t length = divvy_relay_bytes_length(request);

    while (link->sent < length) {
        ssize_t put = send(link->source.fd, divvy_relay_bytes_front(request) + link->sent, length - link->sent,
                           MSG_NOSIGNAL | MSG_DONTWAIT);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN) {
            link_watch(link, true);
            return;
        }
        if (put < 0) {
            link_fail(link, "the worker went away");
            return;
        }
        link->sent += (size_t)put;
    }
    link_watch(link, false);
}

static void link_answer(struct divvy_relay_link *link, size_t end) {
    struct divvy_relay_job *job = link->job;
    bool has_line_end = divvy_relay_bytes_length(&link->in) > end;
    struct divvy_relay_bytes in = link->in;

    divvy_relay_worker_answered(link->vm->relay, link->worker);
    divvy_relay_worker_leave(link->worker, job);
    link->job = NULL;
    job->link = NULL;
    link->in = (struct divvy_relay_bytes){0};
    link->looked_at = 0;
    /* Half-sent requests, answers without a line's end (a worker that serves once) or with more behind: not to be used again. */
    link->serves_once = !has_line_end || link->sent < divvy_relay_bytes_length(&job->request);
    if (link->serves_once)
        link_close(link);
    divvy_relay_job_finish(job, divvy_relay_bytes_front(&in), end, 0, NULL, DIVVY_NODE_VMQ_DONE);
    /* The memory of short answers serves for the next; the link is there until the turn is over, even when it was closed. */
    divvy_relay_bytes_consume(&in, divvy_relay_bytes_length(&in));
    if (link->is_closed || link->in.data)
        divvy_relay_bytes_done(&in);
    else
        link->in = in;
}

static void link_read(struct divvy_relay_link *link) {
    int64_t got = divvy_relay_bytes_receive(&link->in, link->source.fd, READ_BYTES);
    size_t start, end;
    int status;

    if (got == -EAGAIN)
        return;
    if (got <= 0 || !link->job) {
        link_fail(link, got == -ENOMEM ? "the relay has no memory for the answer" : "the worker went away before it answered");
        return;
    }
    status = divvy_wire_json_frame_feed(&link->frame, divvy_relay_bytes_front(&link->in) + link->looked_at,
                                        divvy_relay_bytes_length(&link->in) - link->looked_at, &start, &end);
    if (status < 0) {
        link_fail(link, "the worker answered what is no JSON object");
        return;
    }
    if (link->looked_at == 0)
        divvy_relay_bytes_consume(&link->in, start); /* white space before it */
    else
        start = 0;
    if (status == 1)
        link_answer(link, link->looked_at + end - start);
    else
        link->looked_at = divvy_relay_bytes_length(&link->in);
}

static void link_connected(struct divvy_relay_link *link) {
    int status = 0;
    socklen_t length = sizeof status;

    (void)getsockopt(link->source.fd, SOL_SOCKET, SO_ERROR, &status, &length);
    if (status != 0) {
        link_unreachable(link, -status);
        return;
    }
    link->is_connecting = false;
    link->job->sent_ns = divvy_core_clock_ns();
    link_send(link);
}

static void link_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_link *link = (struct divvy_relay_link *)(void *)source;

    if (link->is_closed)
        return;
    if (link->is_connecting) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            link_connected(link);
        return;
    }
    if ((events & EPOLLOUT) && link->job)
        link_send(link);
    if (!link->is_closed && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        link_read(link);
}

static struct divvy_relay_link *link_open(struct divvy_relay_vm *vm, struct divvy_relay_worker *worker, int *ret_status) {
    struct divvy_relay_link *link = calloc(1, sizeof *link);
    int waits = 0, fd;

    *ret_status = -ENOMEM;
    if (!link)
        return NULL;
    fd = divvy_relay_endpoint_connect(&worker->endpoint, &waits);
    link->source = (struct divvy_source){.fd = fd, .ready = link_ready};
    link->vm = vm;
    link->worker = worker;
    link->is_connecting = link->wants_out = waits;
    link->connect_until_ns = divvy_core_clock_ns() + vm->relay->settings.connect_timeout_ns;
    divvy_relay_deadline(vm->relay, waits ? link->connect_until_ns : UINT64_MAX);
    *ret_status = fd < 0 ? fd : divvy_loop_add(&vm->relay->loop, &link->source, EPOLLIN | (waits ? EPOLLOUT : 0));
    if (*ret_status == 0)
        return link;
    divvy_loop_close(&vm->relay->loop, &link->source);
    free(link);
    return NULL;
}

void divvy_relay_link_start(struct divvy_relay_job *job, struct divvy_relay_worker *worker) {
    struct divvy_relay_vm *vm = job->vm;
    struct divvy_relay_link *link = vm->link;
    int status = 0;

    if (link && (link->worker != worker || recv(link->source.fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN)) {
        link_close(link);
        link = NULL;
    }
    if (!link)
        link = link_open(vm, worker, &status);
    if (!link) {
        struct divvy_relay_worker *other;

        divvy_relay_worker_failed(vm->relay, worker, status);
        other = divvy_relay_worker_choose(vm);
        if (other)
            divvy_relay_link_start(job, other);
        else
            divvy_relay_job_finish(job, NULL, 0, 3, "no worker can be reached", DIVVY_NODE_VMQ_FAILED);
        return;
    }
    vm->link = link;
    link->job = job;
    link->sent = 0;
    job->link = link;
    divvy_relay_worker_take(worker, job);
    if (link->is_connecting)
        return;
    job->sent_ns = divvy_core_clock_ns();
    link_send(link);
}

void divvy_relay_link_abandon(struct divvy_relay_link *link) {
    if (link)
        link_close(link);
}

void divvy_relay_link_tick(struct divvy_relay_vm *vm, uint64_t now_ns, uint64_t *next_ns) {
    struct divvy_relay_link *link = vm->link;

    if (!link || !link->is_connecting)
        return;
    if (now_ns >= link->connect_until_ns)
        link_unreachable(link, -ETIMEDOUT);
    else if (link->connect_until_ns < *next_ns)
        *next_ns = link->connect_until_ns;
}

void divvy_relay_link_free(struct divvy_relay_vm *vm) {
    if (vm->link)
        link_close(vm->link);
}
