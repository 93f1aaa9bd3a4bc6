/*
 * A loop of epoll: descriptors and what is to be called when they are ready. One thread; nothing here allocates.
 */
#ifndef DIVVY_BASE_LOOP_H
#define DIVVY_BASE_LOOP_H

#include "core/spin.h"

#include <stdbool.h>
#include <stdint.h>

/* A descriptor in the loop; embedded in what it belongs to, which stays where it is as long as the loop runs. */
struct divvy_source {
    int fd; /* -1: none; owned by whoever has the source */
    void (*ready)(struct divvy_source *source, uint32_t events); /* events of epoll; a stray call does no harm */
};

/* Something that goes on in the next turn, after others have had theirs. */
struct divvy_later {
    struct divvy_later *next;
    bool is_queued;
    void (*run)(struct divvy_later *later);
};

struct divvy_loop {
    int epoll_fd;
    struct divvy_core_spin spin; /* window 0 unless the owner sets one */
    struct divvy_later *first, **last;
};

/* 0 or a negative errno. */
int divvy_loop_init(struct divvy_loop *loop);
void divvy_loop_done(struct divvy_loop *loop);

/* Events as of epoll (EPOLLIN, EPOLLET, …). 0 or a negative errno. */
int divvy_loop_add(struct divvy_loop *loop, struct divvy_source *source, uint32_t events);
int divvy_loop_change(struct divvy_loop *loop, struct divvy_source *source, uint32_t events);
/* Takes it out and closes the descriptor; harmless on -1. */
void divvy_loop_close(struct divvy_loop *loop, struct divvy_source *source);

void divvy_loop_queue(struct divvy_loop *loop, struct divvy_later *later);

/* Waits for events, at most until deadline_ns of CLOCK_MONOTONIC, and serves those that came. */
void divvy_loop_turn(struct divvy_loop *loop, uint64_t deadline_ns);

#endif
