/* divvy: the command line. One file per verb; this one finds the verb. */
#include "cli/cli.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
};

static const struct verb verbs[] = {
    {"run", divvy_cli_verb_run, "run a program on a share of a GPU"},
    {"ps", divvy_cli_verb_ps, "list the tenants of this node"},
    {"top", divvy_cli_verb_top, "watch GPUs and tenants"},
    {"set", divvy_cli_verb_set, "change a tenant's limits while it runs"},
    {"freeze", divvy_cli_verb_freeze, "stop a tenant's GPU work"},
    {"resume", divvy_cli_verb_resume, "let a frozen or saved tenant go on"},
    {"snapshot", divvy_cli_verb_snapshot, "save a tenant's device memory and free it"},
    {"rm", divvy_cli_verb_rm, "forget a tenant"},
    {"events", divvy_cli_verb_events, "tell what happened on this node"},
    {"page", divvy_cli_verb_page, "show a tenant's shared pages"},
    {"gpus", divvy_cli_verb_gpus, "list the GPUs"},
    {"mig", divvy_cli_verb_mig, "find and reserve slices of GPUs (MIG)"},
    {"vm", divvy_cli_verb_vm, "the virtual machines behind a relay"},
    {"cloudstack", divvy_cli_verb_cloudstack, "vGPUs for Apache CloudStack's machines"},
    {"bootstrap", divvy_cli_verb_bootstrap, "bring the libraries to containers"},
    {"doctor", divvy_cli_verb_doctor, "tell what would stop divvy from working here"},
    {"help", divvy_cli_verb_help, "explain a verb"},
};

#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static void usage_print(FILE *out) {
    (void)fputs("Usage: divvy VERB [OPTION...]\n"
                "Divides GPUs: gives each program a memory size and a share of GPU time.\n"
                "\n",
                out);
    for (size_t i = 0; i < VERB_COUNT; i++)
        (void)fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].about);
    (void)fputs("\n"
                "For example:\n"
                "  divvy run --memory 8GiB --compute 30% --name train -- python3 train.py\n"
                "  divvy top\n"
                "  divvy set train --compute 60%\n"
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
