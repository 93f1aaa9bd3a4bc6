/* What the verbs share that do something to tenants: arguments, the round over them, output. */
#ifndef DIVVY_CLI_ACT_H
#define DIVVY_CLI_ACT_H

#include "base/error.h"
#include "cli/client.h"

#include <argp.h>
#include <stdio.h>

struct divvy_cli_targets {
    int json;
    int count;
    char **ids; /* part of argv */
};

#define DIVVY_CLI_OPTION_JSON 0x1000

/* For a verb's argp parser: takes --json (DIVVY_CLI_OPTION_JSON) and the names of tenants. */
error_t divvy_cli_targets_take(int key, char *value, struct argp_state *state,
                               struct divvy_cli_targets *targets);

/*
 * The command line of a verb that takes tenants and --json only; `doc` is argp's. 0, or DIVVY_CLI_USAGE; ends the program for --help
 * and wrong use.
 */
int divvy_cli_targets_parse(int argc, char **argv, const char *doc,
                            struct divvy_cli_targets *ret_targets);

/* What was done to one tenant. */
struct divvy_cli_deed {
    json_t *answer;  /* the tenant now, or NULL; a reference for the caller */
    const char *did; /* "frozen": for people */
};

typedef int divvy_cli_act_t(struct divvy_cli_client *client, const char *id, void *data,
                            struct divvy_cli_deed *ret_deed, struct divvy_error *error);

/*
 * Does it to each tenant, also when it fails for one before; prints a line for each, or with
 * targets->json one object {"tenants": [...]}, and a line on stderr for each failure. Returns the
 * exit status: the worst of all.
 */
int divvy_cli_act_on_each(const char *verb, const struct divvy_cli_targets *targets,
                          divvy_cli_act_t *act, void *data);

/* POST to the tenant's path with `tail`, the answer into ret_deed. */
int divvy_cli_act_post(struct divvy_cli_client *client, const char *id, const char *tail,
                       unsigned int timeout_ms, struct divvy_cli_deed *ret_deed,
                       struct divvy_error *error);

/* Puts a remedy behind an error about a tenant, where there is one. */
void divvy_cli_act_advise(struct divvy_error *error);

/* Prints a JSON value with a line break behind it; takes the reference. 0 or DIVVY_CLI_FAILED. */
int divvy_cli_json_print(json_t *value, int indent, FILE *out);

#endif
