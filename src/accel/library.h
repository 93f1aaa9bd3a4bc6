/* Inside the loader: loaded libraries, calls into them, and reading what they wrote. See accel.h for the interface. */
#ifndef DIVVY_ACCEL_LIBRARY_H
#define DIVVY_ACCEL_LIBRARY_H

#include "accel/abi.h"
#include "accel/accel.h"

#include <pthread.h>

#define DIVVY_ACCEL_MEMBER(symbol, need) __typeof__(&symbol) symbol;
struct divvy_accel_functions_1 {
    DIVVY_ACCEL_ABI_1(DIVVY_ACCEL_MEMBER)
};
struct divvy_accel_functions_2 {
    DIVVY_ACCEL_ABI_2(DIVVY_ACCEL_MEMBER)
};
#undef DIVVY_ACCEL_MEMBER

/* One for each file; never unloaded, since it may have threads and its host's addresses. */
struct divvy_accel_library {
    struct divvy_accel_library *next;
    void *handle;
    char *path;
    int generation; /* which of the two is used */
    unsigned int users;
    bool is_whole; /* has what a host needs beyond discovery */
    pthread_mutex_t lock; /* held during calls */
    struct divvy_accel_functions_1 one;
    struct divvy_accel_functions_2 two;
};

struct divvy_accel {
    struct divvy_accel_library *library;
    char vendor[32];
    divvy_accel_log_t log;
    void *log_data;
};

/* --- libraries (library.c) ------------------------------------------------------------------------------------ */

/*
 * Loads the file, or finds it loaded, initialises it, and counts one more user: divvy_accel_library_put. `accel` gets its
 * messages meanwhile. Errors as divvy_accel_open.
 */
int divvy_accel_library_get(const char *path, bool discovery_only, struct divvy_accel *accel, struct divvy_error *error);
void divvy_accel_library_put(struct divvy_accel *accel);

/* Around each call. */
void divvy_accel_enter(struct divvy_accel *accel);
void divvy_accel_leave(struct divvy_accel *accel);

/* The status for what a function returned. `result` is an int: a library may return anything. */
int divvy_accel_result(const struct divvy_accel *accel, const char *function, int result, struct divvy_error *error);

/* -EPROTO with the function's name. */
int divvy_accel_nonsense(const struct divvy_accel *accel, const char *function, struct divvy_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A message of the loader's own about what the library did. */
void divvy_accel_warn(struct divvy_accel *accel, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- reading (read.c) ----------------------------------------------------------------------------------------- */

/* A text field of the ABI, which may lack its end, as clean text. True when nothing had to be changed or cut. */
bool divvy_accel_text_read(const char *field, size_t field_bytes, char *ret_text, size_t size_bytes);

/* A bool may hold any byte. */
bool divvy_accel_bool_read(const bool *field);

/* Finite and not negative, else 0. */
double divvy_accel_figure_read(double value);

/* 0, or -EINVAL for a NULL, empty or overlong id. */
int divvy_accel_id_check(const char *what, const char *id, struct divvy_error *error);

#endif
