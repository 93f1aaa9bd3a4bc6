/* divvy: the command line. One file per verb; this one finds the verb. */
#include "cli/cli.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
};

static const struct verb verbs[] = {
    {"run", divvy_cli_verb_run, "run a program on a share of a GPU"},
    {"gpus", divvy_cli_verb_gpus, "list the GPUs"},
    {"doctor", divvy_cli_verb_doctor, "tell what would stop divvy from working here"},
    {"help", divvy_cli_verb_help, "explain a verb"},
};

#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

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

static void usage_print(FILE *out) {
    (void)fputs("Usage: divvy VERB [OPTION...]\n"
                "Divides GPUs: gives each program a memory size and a share of GPU time.\n"
                "\n",
                out);
    for (size_t i = 0; i < VERB_COUNT; i++)
        (void)fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].about);
    (void)fputs("\n"
                "For example:\n"
                "  divvy run --memory 8GiB --compute 30% -- python3 train.py\n"
                "\n"
                "`divvy VERB --help' explains a verb; `divvy --version' prints the version.\n",
                out);
}

static const struct verb *verb_find(const char *name) {
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int verb_run(const struct verb *verb, int argc, char **argv) {
    char name[64];

    (void)snprintf(name, sizeof name, "divvy %s", verb->name);
    argv[0] = name;
    return verb->run(argc, argv);
}

int divvy_cli_verb_help(int argc, char **argv) {
    char help_option[] = "--help";
    char *help_argv[] = {NULL, help_option, NULL};
    const struct verb *verb;

    (void)argv;
    if (argc < 2 || argv[1][0] == '-') {
        usage_print(stdout);
        return DIVVY_CLI_OK;
    }
    verb = verb_find(argv[1]);
    if (!verb) {
        divvy_cli_complain("help", "no verb is called '%s' (`divvy help' lists them)", argv[1]);
        return DIVVY_CLI_USAGE;
    }
    if (verb->run == divvy_cli_verb_help) {
        usage_print(stdout);
        return DIVVY_CLI_OK;
    }
    return verb_run(verb, 2, help_argv);
}

int main(int argc, char **argv) {
    const struct verb *verb;

    argp_err_exit_status = DIVVY_CLI_USAGE;
    if (argc < 2) {
        usage_print(stderr);
        return DIVVY_CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "-?") == 0) {
        usage_print(stdout);
        return DIVVY_CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        (void)puts("divvy " DIVVY_VERSION);
        return DIVVY_CLI_OK;
    }
    verb = verb_find(argv[1]);
    if (!verb) {
        (void)fprintf(stderr, "divvy: no verb is called '%s' (`divvy --help' lists them)\n",
                      argv[1]);
        return DIVVY_CLI_USAGE;
    }
    return verb_run(verb, argc - 1, argv + 1);
}
