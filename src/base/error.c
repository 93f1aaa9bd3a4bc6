/* Errors for people: see error.h. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int divvy_error_set(struct divvy_error *error, int status, const char *format, ...) {
    int kept = errno;
    va_list arguments;

    if (error) {
        error->status = status;
        va_start(arguments, format);
        (void)vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    errno = kept;
    return status;
}

int divvy_error_set_errno(struct divvy_error *error, int status, const char *format, ...) {
    int kept = errno;
    va_list arguments;
    size_t length;

    if (error) {
        error->status = status;
        va_start(arguments, format);
        (void)vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        length = strlen(error->text);
        (void)snprintf(error->text + length, sizeof error->text - length, ": %s",
                       strerror(-status));
    }
    errno = kept;
    return status;
}

int divvy_error_prefix(struct divvy_error *error, const char *format, ...) {
    char text[DIVVY_ERROR_TEXT_BYTES];
    va_list arguments;
    int written;
    size_t length;

    if (!error)
        return 0;
    va_start(arguments, format);
    written = vsnprintf(text, sizeof text - 2, format, arguments);
    va_end(arguments);
    length = written < 0 ? 0 : strnlen(text, sizeof text - 3);
    memcpy(text + length, ": ", 2);
    length += 2;
    text[sizeof text - 1] = '\0';
    (void)strncpy(text + length, error->text, sizeof text - 1 - length);
    memcpy(error->text, text, sizeof error->text);
    return error->status;
}
