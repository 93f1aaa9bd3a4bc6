/* What the tests of the MIG library share: a folder of their own, the fake NVML, files made by hand. */
#ifndef DIVVY_TESTS_MIG_COMMON_H
#define DIVVY_TESTS_MIG_COMMON_H

#include "divvy/mig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

/* A new folder, and "locks" in it as lock folder (not made): cmocka's setup and teardown. */
int test_folder_make(void **state);
int test_folder_remove(void **state);
extern char test_folder[128], test_locks[160];

/* The fake NVML with these devices (see tests/fakes/mig); NULL for the others: unset. To be closed. */
struct divvy_mig *test_open(const char *devices);
void test_env(const char *name, const char *value);

/* Lists, with nothing failing. */
struct divvy_mig_list *test_list(struct divvy_mig *mig);

/* UUID of the instance in a slot, the list's; fails the test when there is none. */
const char *test_uuid(const struct divvy_mig_list *list, uint32_t gpu, uint32_t slot);

/* Options for the lock folder of the test. */
struct divvy_mig_options test_options(void);

/* Reserves, with the fake opened and closed around: the status. */
int test_reserve(const char *profile, const struct divvy_mig_options *options,
                 struct divvy_mig_reservation **ret_reservation, struct divvy_mig_error *error);

/* A lock file made by hand, its time set that many seconds back; returns its path (static). */
const char *test_lock_write(const char *uuid, const char *text, long age_s);
const char *test_lock_path(const char *uuid);
bool test_exists(const char *path);
/* Seconds since the file's time was set, or -1 when there is no file. */
double test_age_s(const char *path);
/* Pid of a process that is dead and reaped. */
pid_t test_dead_pid(void);
/* "pid=… ts=…\n" of now or seconds before it (static). */
const char *test_line(pid_t pid, long age_s);

uint64_t test_now_ns(void);

#endif
