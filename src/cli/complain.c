/* Errors on stderr: see cli.h. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void divvy_cli_complain(const char *verb, const char *format, ...) {
    va_list arguments;

    (void)fprintf(stderr, "divvy %s: ", verb);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}

int divvy_cli_fail(const char *verb, const struct divvy_error *error) {
    divvy_cli_complain(verb, "%s", error->text);
    return error->status == -EINVAL || error->status == -ERANGE ? DIVVY_CLI_USAGE
                                                                : DIVVY_CLI_FAILED;
}
