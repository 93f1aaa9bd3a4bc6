/*
 * Text into a fixed buffer, without stdio or locale. What does not fit is cut and remembered; the
 * buffer always ends in NUL. No allocation, no errno, async-signal-safe.
 */
#ifndef DIVVY_CORE_TEXT_H
#define DIVVY_CORE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *bytes;     /* the caller's buffer */
    size_t capacity; /* its size, NUL included */
    size_t length;   /* bytes written, NUL not included */
    bool is_cut;     /* something did not fit */
} divvy_core_text_t;

/* Starts an empty text in `buffer` (borrowed); capacity_bytes >= 1. */
void divvy_core_text_init(divvy_core_text_t *text, char *buffer, size_t capacity_bytes);

void divvy_core_text_add(divvy_core_text_t *text, const char *string);
void divvy_core_text_add_bytes(divvy_core_text_t *text, const char *bytes, size_t length_bytes);
void divvy_core_text_add_u64(divvy_core_text_t *text, uint64_t value);

/*
 * Bytes as a person reads them: the largest binary unit that divides them exactly ("8 GiB"), else
 * one decimal.
 */
void divvy_core_text_add_size(divvy_core_text_t *text, uint64_t size_bytes);

/*
 * The conversions of printf that messages need: %s %.*s %c %d %i %u %x %p %%, with l, ll, z and a
 * zero-padded or blank-padded width. NULL for %s reads "(null)". Anything else is written as it
 * stands.
 */
void divvy_core_text_format(divvy_core_text_t *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void divvy_core_text_vformat(divvy_core_text_t *text, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

#endif
