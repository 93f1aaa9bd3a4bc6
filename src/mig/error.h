/* One line for a person, as the public header has it. */
#ifndef DIVVY_MIG_ERROR_H
#define DIVVY_MIG_ERROR_H

#include "divvy/mig.h"

/* Sets status and text, cut where it is too long; returns status. `error` may be NULL. errno is kept. */
int divvy_mig_error_set(struct divvy_mig_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and the system's words for the status behind the text. */
int divvy_mig_error_set_errno(struct divvy_mig_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
