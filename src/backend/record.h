/*
 * Who runs: a file for each worker below <state>/run, one line each, written by the worker's process before it becomes the worker.
 * Inside this room.
 */
#ifndef DIVVY_BACKEND_RECORD_H
#define DIVVY_BACKEND_RECORD_H

#include "backend/filestate.h"

#include <sys/types.h>

#define DIVVY_BACKEND_RECORD_NAME_BYTES 224u
#define DIVVY_BACKEND_BOOT_BYTES        40u

struct divvy_backend_record {
    pid_t pid;
    uint64_t start_ticks;
    char boot[DIVVY_BACKEND_BOOT_BYTES]; /* pids and ticks mean something within one boot only */
    uint64_t command; /* a digest of how it was started */
    uint16_t port;
    char id[DIVVY_BACKEND_ID_BYTES];
};

/* The name of a worker's file without its ending: the id where it is short and plain, else made so. */
void divvy_backend_record_name(const char *id, char ret_name[DIVVY_BACKEND_RECORD_NAME_BYTES]);
/* This boot's name; empty where the system does not tell it. */
void divvy_backend_record_boot(char ret_boot[DIVVY_BACKEND_BOOT_BYTES]);

/* Async-signal-safe: fills pid and start time of the calling process in, and writes. 0 or a negative errno. */
int divvy_backend_record_write(int fd, struct divvy_backend_record *record);
/* -ENOENT: none, or nobody wrote it; -EBADMSG: it is broken. */
int divvy_backend_record_read(int run_fd, const char *name, struct divvy_backend_record *ret_record);
/* A record's text, which ends in NUL: 0 or -EBADMSG. */
int divvy_backend_record_parse(const char *line, struct divvy_backend_record *ret_record);
/* Whether the process that wrote it lives: this boot, this pid, this start time. */
bool divvy_backend_record_is_alive(const struct divvy_backend_record *record, const char *boot);

#endif
