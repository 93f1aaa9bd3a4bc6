/*
 * What commands print on stdout: for people as tables and lines, for machines as one JSON object: {"items":[...],"total":N},
 * {"item":{...}} or {"success":true,"message":...,"id":...}. Errors go to stderr, whatever the output is.
 */
#ifndef DIVVY_AGENT_OUTPUT_H
#define DIVVY_AGENT_OUTPUT_H

#include "agent/grammar.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

/* A column of a table: the value of a key. Lists of texts are joined, other lists counted. Ends with one without a key. */
struct divvy_agent_column {
    const char *key;
    const char *title;
    bool right;
};

/* All return an exit status: 0, or 1 when stdout cannot take it. */
int divvy_agent_print_items(const struct divvy_agent_call *call, const json_t *items,
                            const struct divvy_agent_column *columns, const char *none);
int divvy_agent_print_item(const struct divvy_agent_call *call, const json_t *item);
int divvy_agent_print_action(const struct divvy_agent_call *call, const char *id,
                             const char *format, ...) __attribute__((format(printf, 3, 4)));
/* As it stands. */
int divvy_agent_print_json(const json_t *value);

/* "ggo COMMAND: text" on stderr; 2 for -EINVAL, else 1. */
int divvy_agent_fail(const struct divvy_agent_call *call, const struct divvy_error *error);

/* A yes-or-no question on the terminal; true without asking when --force or --yes is given. -ENOTTY in *error without a terminal. */
bool divvy_agent_confirm(const struct divvy_agent_call *call, struct divvy_error *error,
                         const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Asks for a value on the terminal; malloc'ed, not empty. NULL and *error when there is none to be had. */
char *divvy_agent_ask(const char *flag, const char *question, struct divvy_error *error);

#endif
