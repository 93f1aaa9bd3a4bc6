/* What a test orders from the misbehaving libraries: the exported variable `misbehave` of each. */
#ifndef MISBEHAVE_H
#define MISBEHAVE_H

#include <stdint.h>

enum misbehave_mode {
    WELL,         /* two devices, all as it should be */
    OVERCOUNT,    /* counts one above what was asked for */
    HUGE_COUNT,   /* counts of SIZE_MAX */
    UNTERMINATED, /* no text has an end */
    GARBAGE,      /* random bytes, and success */
    TWINS,        /* the same device twice, and one without a name */
};

struct misbehave {
    uint32_t mode;
    uint32_t seed;        /* of GARBAGE; goes on with each use */
    uint32_t fail_at;     /* this call, counted from 1, fails; 0: none */
    int32_t fail_code;    /* how; any number */
    uint32_t calls;       /* so far, init and shutdown too */
    const char *level;    /* a message of this level in each call */
    const char *message;
    uint32_t shutdowns;
    uint32_t listening;   /* a callback is registered */
};

#endif
