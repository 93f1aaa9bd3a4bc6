/* A folder of state for a test, in memory where the system has such a place. */
#ifndef TESTS_BACKEND_ROOM_H
#define TESTS_BACKEND_ROOM_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct room {
    char path[64];
    int fd;
};

void room_open(struct room *room);
void room_close(struct room *room); /* removes it with all that is in it */

void room_write(const struct room *room, const char *name, const char *text); /* in place, not by rename */
void room_replace(const struct room *room, const char *name, const char *text); /* by rename */
char *room_read(const struct room *room, const char *name);                   /* malloc'd; NULL: there is none */
/* How many files' names begin so. */
size_t room_count(const struct room *room, const char *prefix);

/* Fails the test with the error's text unless status is 0. */
void must(int status, const struct divvy_error *error);

/* A small generator: the same numbers for the same seed. */
uint32_t room_random(uint64_t *seed);
/* DIVVY_TEST_SEED, or the time; printed. */
uint64_t room_seed(void);

/* A TCP port that was free a moment ago. */
uint16_t room_port(void);

#endif
