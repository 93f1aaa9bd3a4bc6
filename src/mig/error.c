/* Errors of the MIG library: see error.h. */
#include "mig/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 3, 0)))
text_write(struct divvy_mig_error *error, int status, const char *format, va_list arguments) {
    int kept = errno;

    error->status = status;
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    for (char *at = error->text; *at; at++) /* names come from drivers, files and the environment */
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    errno = kept;
}

int divvy_mig_error_set(struct divvy_mig_error *error, int status, const char *format, ...) {
    va_list arguments;

    if (!error)
        return status;
    va_start(arguments, format);
    text_write(error, status, format, arguments);
    va_end(arguments);
    return status;
}

int divvy_mig_error_set_errno(struct divvy_mig_error *error, int status, const char *format, ...) {
    va_list arguments;
    size_t length;

    if (!error)
        return status;
    va_start(arguments, format);
    text_write(error, status, format, arguments);
    va_end(arguments);
    length = strlen(error->text);
    (void)snprintf(error->text + length, sizeof error->text - length, ": %s", strerrordesc_np(-status));
    return status;
}
