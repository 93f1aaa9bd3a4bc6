/*
 * The command line of ggo as data: commands, flags, what each takes. Parsing, help, the manual page and the advice in error
 * messages all come from this one table (grammar_table.c). Pure but for the printing; one thread.
 */
#ifndef DIVVY_AGENT_GRAMMAR_H
#define DIVVY_AGENT_GRAMMAR_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum divvy_agent_flag {
    DIVVY_AGENT_HELP,
    DIVVY_AGENT_VERBOSE,
    DIVVY_AGENT_CONFIG_DIR,
    DIVVY_AGENT_STATE_DIR,
    DIVVY_AGENT_SERVER,
    DIVVY_AGENT_ACCELERATOR_LIB,
    DIVVY_AGENT_WORKER_BINARY,
    DIVVY_AGENT_SINGLE_NODE,
    DIVVY_AGENT_ISOLATION_MODE,
    DIVVY_AGENT_OUTPUT,
    DIVVY_AGENT_TOKEN,
    DIVVY_AGENT_FORCE,
    DIVVY_AGENT_AGENT_ID,
    DIVVY_AGENT_HOSTNAME,
    DIVVY_AGENT_NAME,
    DIVVY_AGENT_GPU_IDS,
    DIVVY_AGENT_PORT,
    DIVVY_AGENT_ENABLED,
    DIVVY_AGENT_DISABLED,
    DIVVY_AGENT_WORKER_ID,
    DIVVY_AGENT_CONNECTION_IP,
    DIVVY_AGENT_EXPIRES_IN,
    DIVVY_AGENT_MAX_USES,
    DIVVY_AGENT_LONG_TERM,
    DIVVY_AGENT_OUTPUT_DIR,
    DIVVY_AGENT_YES,
    DIVVY_AGENT_ALL,
    DIVVY_AGENT_SHARE_LINK,
    DIVVY_AGENT_FLAG_MAX
};

enum divvy_agent_flag_kind {
    DIVVY_AGENT_SWITCH,   /* no value, or =true, =false */
    DIVVY_AGENT_TEXT,     /* not empty */
    DIVVY_AGENT_PORT_NR,  /* 1024 to 65535 */
    DIVVY_AGENT_COUNT,    /* 0 to 2^31 - 1 */
    DIVVY_AGENT_DURATION, /* 90m, 24h, 7d, 2w, 1h30m */
    DIVVY_AGENT_CHOICE,   /* one of the words */
};

struct divvy_agent_flag_entry {
    const char *name; /* without "--" */
    char letter;      /* 0: none */
    enum divvy_agent_flag_kind kind;
    const char *value; /* how help calls it; the words of a choice, separated by '|' */
    const char *about;
};

struct divvy_agent_call;

struct divvy_agent_command {
    const char *path;      /* "agent register" */
    const char *arguments; /* how help calls them, "" for none */
    unsigned int arguments_min, arguments_max;
    bool is_rest;   /* from the first argument on everything is another program's */
    uint64_t flags; /* bit 1 << enum divvy_agent_flag; help and verbose need none */
    int (*run)(struct divvy_agent_call *call);
    const char *about;    /* one line, no full stop */
    const char *examples; /* lines that begin with two blanks */
};

/* A group of commands: its word and what it is about. */
struct divvy_agent_group {
    const char *name;
    const char *about;
};

/* What a command line said. */
struct divvy_agent_call {
    const struct divvy_agent_command *command;
    const char *values
        [DIVVY_AGENT_FLAG_MAX]; /* borrowed from argv; NULL: not given. Switches: "true" or "false" */
    uint64_t numbers[DIVVY_AGENT_FLAG_MAX]; /* of ports, counts and durations (seconds) */
    const char **arguments;                 /* argument_count of them, then NULL; owned */
    unsigned int argument_count;
    bool is_json;
};

/* The tables; each ends with an entry without a name or path, but for the flags, which have DIVVY_AGENT_FLAG_MAX. */
extern const struct divvy_agent_flag_entry divvy_agent_flags[DIVVY_AGENT_FLAG_MAX];
extern const struct divvy_agent_command divvy_agent_commands[];
extern const struct divvy_agent_group divvy_agent_groups[];

/*
 * Reads a command line. 0: *ret_call is filled, to be freed with divvy_agent_call_done. -EINVAL: wrong use, with what is meant
 * probably. 1: help was asked for; ret_call->command is the command it was asked about or NULL, and *ret_group the group or NULL.
 */
int divvy_agent_grammar_parse(int argc, char **argv, struct divvy_agent_call *ret_call,
                              const struct divvy_agent_group **ret_group,
                              struct divvy_error *error);
void divvy_agent_call_done(struct divvy_agent_call *call);

/* Whether a switch is on. */
bool divvy_agent_call_on(const struct divvy_agent_call *call, enum divvy_agent_flag flag);

/* "7d", "24h", "1h30m", "90s", "2w": seconds, above 0 and at most a hundred years; -EINVAL. */
int divvy_agent_duration_parse(const char *text, uint64_t *ret_seconds);

/* Help about a command, about a group, or with both NULL about all. At most 80 columns. */
void divvy_agent_help_print(FILE *out, const struct divvy_agent_command *command,
                            const struct divvy_agent_group *group);

/* The part of the manual page that tells commands and flags, as mdoc. */
void divvy_agent_manual_print(FILE *out);

#endif
