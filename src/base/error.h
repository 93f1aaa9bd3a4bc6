/*
 * An error for a person: a negative errno and one line of text, in fixed memory. A function that
 * takes one as its last argument fills it on failure and returns its status; callers add context on
 * the way up; whoever can judge it prints it.
 */
#ifndef DIVVY_BASE_ERROR_H
#define DIVVY_BASE_ERROR_H

#define DIVVY_ERROR_TEXT_BYTES 256

struct divvy_error {
    int status; /* negative errno, 0 = no error yet */
    char
        text[DIVVY_ERROR_TEXT_BYTES]; /* lower case, no full stop, no line break; cut when longer */
};

/* Sets status and text; returns status. `error` may be NULL. errno is kept. */
int divvy_error_set(struct divvy_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and the system's words for the status behind the text. */
int divvy_error_set_errno(struct divvy_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts context and ": " before the text; returns the status. `error` may be NULL (then 0). */
int divvy_error_prefix(struct divvy_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
