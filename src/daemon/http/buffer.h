/* Text that grows. When memory is out it stays empty and says so at the end. */
#ifndef DIVVY_DAEMON_HTTP_BUFFER_H
#define DIVVY_DAEMON_HTTP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct divvy_http_buffer {
    char *text; /* malloc'd, NUL-terminated; NULL while empty */
    size_t length, room;
    bool is_broken; /* out of memory */
};

void divvy_http_buffer_add(struct divvy_http_buffer *buffer, const char *text);
void divvy_http_buffer_add_bytes(struct divvy_http_buffer *buffer, const char *bytes, size_t length);
void divvy_http_buffer_format(struct divvy_http_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A number as short as it can be: whole ones up to 2^53 without an exponent, others with 15 digits. */
void divvy_http_buffer_number(struct divvy_http_buffer *buffer, double value);
/* `text` with a backslash before each byte of `special`; line breaks become "\n" where `special` has one. */
void divvy_http_buffer_escaped(struct divvy_http_buffer *buffer, const char *text, const char *special);
/* The text, the caller's from now on; NULL when memory was out. The buffer is empty again. */
char *divvy_http_buffer_take(struct divvy_http_buffer *buffer, size_t *ret_length);

#endif
