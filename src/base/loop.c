/* The loop: see loop.h. */
#include "base/loop.h"

#include "base/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>

#define EVENTS 64

int divvy_loop_init(struct divvy_loop *loop) {
    loop->first = NULL;
    loop->spin = (struct divvy_core_spin){0};
    loop->last = &loop->first;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd < 0 ? -errno : 0;
}

void divvy_loop_done(struct divvy_loop *loop) {
    divvy_cleanup_close(&loop->epoll_fd);
}

static int control(const struct divvy_loop *loop, int operation, struct divvy_source *source, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};

    return epoll_ctl(loop->epoll_fd, operation, source->fd, &event) < 0 ? -errno : 0;
}

int divvy_loop_add(struct divvy_loop *loop, struct divvy_source *source, uint32_t events) {
    return control(loop, EPOLL_CTL_ADD, source, events);
}

int divvy_loop_change(struct divvy_loop *loop, struct divvy_source *source, uint32_t events) {
    return control(loop, EPOLL_CTL_MOD, source, events);
}

void divvy_loop_close(struct divvy_loop *loop, struct divvy_source *source) {
    if (source->fd < 0)
        return;
    /* A child between fork and exec may hold the same file: it would stay in the loop. */
    (void)control(loop, EPOLL_CTL_DEL, source, 0);
    divvy_cleanup_close(&source->fd);
}

void divvy_loop_queue(struct divvy_loop *loop, struct divvy_later *later) {
    if (later->is_queued)
        return;
    later->is_queued = true;
    later->next = NULL;
    *loop->last = later;
    loop->last = &later->next;
}

/* Those that are queued now; what they queue has its turn in the next. */
static void queued_run(struct divvy_loop *loop) {
    struct divvy_later *later = loop->first;

    loop->first = NULL;
    loop->last = &loop->first;
    while (later) {
        struct divvy_later *next = later->next;

        later->is_queued = false;
        later->run(later);
        later = next;
    }
}

static int timeout_ms(const struct divvy_loop *loop, uint64_t deadline_ns) {
    uint64_t now_ns = divvy_core_clock_ns();

    if (loop->first || deadline_ns <= now_ns)
        return 0;
    if (deadline_ns - now_ns > 3600 * DIVVY_NS_PER_SECOND)
        return 3600 * 1000;
    /* Rounded up: a turn that comes too early would only be taken again. */
    return (int)((deadline_ns - now_ns + DIVVY_NS_PER_MS - 1) / DIVVY_NS_PER_MS);
}

static int events_wait(struct divvy_loop *loop, struct epoll_event *events, uint64_t deadline_ns) {
    int count = 0, timeout = timeout_ms(loop, deadline_ns);

    if (timeout == 0 || loop->spin.window_ns == 0)
        return epoll_wait(loop->epoll_fd, events, EVENTS, timeout);
    divvy_core_spin_begin(&loop->spin);
    while (divvy_core_spin_goes_on(&loop->spin) && (count = epoll_wait(loop->epoll_fd, events, EVENTS, 0)) == 0)
        ;
    if (count == 0)
        count = epoll_wait(loop->epoll_fd, events, EVENTS, timeout);
    divvy_core_spin_end(&loop->spin);
    return count;
}

void divvy_loop_turn(struct divvy_loop *loop, uint64_t deadline_ns) {
    struct epoll_event events[EVENTS];
    int count = events_wait(loop, events, deadline_ns);

    for (int i = 0; i < count; i++) {
        struct divvy_source *source = events[i].data.ptr;

        source->ready(source, events[i].events);
    }
    queued_run(loop);
}
