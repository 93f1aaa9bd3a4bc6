/*
 * The runner's one loop: descriptors and what is to be called when they are ready. One thread; nothing here allocates.
 */
#ifndef DIVVY_MIG_RUNNER_LOOP_H
#define DIVVY_MIG_RUNNER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* A descriptor in the loop; embedded in what it belongs to, which stays where it is as long as the loop runs. */
struct divvy_runner_source {
    int fd; /* -1: none; owned by whoever has the source */
    void (*ready)(struct divvy_runner_source *source, uint32_t events); /* events of epoll; a stray call does no harm */
};

/* Something that goes on in the next turn, after others have had theirs. */
struct divvy_runner_later {
    struct divvy_runner_later *next;
    bool is_queued;
    void (*run)(struct divvy_runner_later *later);
};

struct divvy_runner_loop {
    int epoll_fd;
    struct divvy_runner_later *first, **last;
};

/* 0 or a negative errno. */
int divvy_runner_loop_init(struct divvy_runner_loop *loop);
void divvy_runner_loop_done(struct divvy_runner_loop *loop);

/* Events as of epoll (EPOLLIN, EPOLLET, …). 0 or a negative errno. */
int divvy_runner_loop_add(struct divvy_runner_loop *loop, struct divvy_runner_source *source, uint32_t events);
int divvy_runner_loop_change(struct divvy_runner_loop *loop, struct divvy_runner_source *source, uint32_t events);
/* Takes it out and closes the descriptor; harmless on -1. */
void divvy_runner_loop_close(struct divvy_runner_loop *loop, struct divvy_runner_source *source);

void divvy_runner_loop_queue(struct divvy_runner_loop *loop, struct divvy_runner_later *later);

/* Waits for events, at most until deadline_ns of CLOCK_MONOTONIC, and serves those that came. */
void divvy_runner_loop_turn(struct divvy_runner_loop *loop, uint64_t deadline_ns);

#endif
