/* What the verbs of the program divvy share. */
#ifndef DIVVY_CLI_CLI_H
#define DIVVY_CLI_CLI_H

#include "base/error.h"

/* Exit statuses of divvy itself; divvy run passes on the program's. */
enum {
    DIVVY_CLI_OK = 0,
    DIVVY_CLI_FAILED = 1,
    DIVVY_CLI_USAGE = 2,            /* bad input; nothing was started */
    DIVVY_CLI_NOT_EXECUTABLE = 126, /* divvy run: the program was found but cannot be run */
    DIVVY_CLI_NOT_FOUND = 127,      /* divvy run: no such program */
};

/* Each verb gets its own arguments, argv[0] being "divvy VERB", and returns the exit status. */
int divvy_cli_verb_run(int argc, char **argv);
int divvy_cli_verb_gpus(int argc, char **argv);
int divvy_cli_verb_doctor(int argc, char **argv);
int divvy_cli_verb_ps(int argc, char **argv);
int divvy_cli_verb_top(int argc, char **argv);
int divvy_cli_verb_set(int argc, char **argv);
int divvy_cli_verb_freeze(int argc, char **argv);
int divvy_cli_verb_resume(int argc, char **argv);
int divvy_cli_verb_snapshot(int argc, char **argv);
int divvy_cli_verb_events(int argc, char **argv);
int divvy_cli_verb_rm(int argc, char **argv);
int divvy_cli_verb_page(int argc, char **argv);
int divvy_cli_verb_mig(int argc, char **argv);
int divvy_cli_verb_bootstrap(int argc, char **argv);
int divvy_cli_verb_cloudstack(int argc, char **argv);
int divvy_cli_verb_vm(int argc, char **argv);
int divvy_cli_verb_help(int argc, char **argv);

/* One line on stderr: "divvy VERB: text". */
void divvy_cli_complain(const char *verb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints the error for a person; DIVVY_CLI_USAGE for -EINVAL and -ERANGE, else DIVVY_CLI_FAILED. */
int divvy_cli_fail(const char *verb, const struct divvy_error *error);

#endif
