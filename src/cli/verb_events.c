/* divvy events: what happened on this node, and what happens. */
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/seen.h"
#include "core/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_S       25u
#define RECONNECT_MS 500u

struct arguments {
    int follow, json;
    const char *since;
};

enum { OPTION_FOLLOW = 'f', OPTION_SINCE = 0x100, OPTION_JSON };

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case OPTION_FOLLOW:
        arguments->follow = 1;
        return 0;
    case OPTION_SINCE:
        arguments->since = value;
        return 0;
    case OPTION_JSON:
        arguments->json = 1;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"follow", OPTION_FOLLOW, NULL, 0, "Go on with what happens from now on, until ^C", 0},
    {"since", OPTION_SINCE, "N", 0, "Only events after number N", 0},
    {"json", OPTION_JSON, NULL, 0, "For machines: one JSON object a line", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .doc = "Tell what happened on this node: number, time, kind, tenant, and a line about it. The "
           "daemon keeps the last few thousand events.\v"
           "For example:\n"
           "  divvy events\n"
           "  divvy events --follow --json | jq 'select(.kind == \"memory-refused\")'\n"
           "  divvy events --since 120\n\n"
           "With --follow, a daemon that is started again is found again; its numbers begin at 1 "
           "then.\n\n"
           "Exit status: 0; 1 when the daemon cannot be asked; 2 for wrong use.",
};

static int event_print(const json_t *object, int json, bool colour) {
    struct divvy_cli_seen_event event;
    char when[DIVVY_CLI_VALUE_BYTES];

    if (json)
        return divvy_cli_json_print(json_incref((json_t *)object), 0, stdout) ? -EIO : 0;
    divvy_cli_seen_event_read(object, &event);
    divvy_cli_format_time(event.time_s, when);
    (void)printf("%s%5" PRIu64 "  %s%s  %-16s  %s%s%s\n",
                 colour ? divvy_tint_code(DIVVY_TINT_DIM) : "", event.number, when,
                 colour ? divvy_tint_code(DIVVY_TINT_NONE) : "", event.kind, event.tenant,
                 event.tenant[0] && event.text[0] ? ": " : "", event.text);
    return fflush(stdout) == 0 ? 0 : -EIO;
}

/* One round: what there is after *after, waiting for it as long as told. */
static int events_take(struct divvy_cli_client *client, const struct arguments *arguments,
                       unsigned int wait_s, uint64_t *after, struct divvy_error *error) {
    char path[96];
    json_t *answer = NULL;
    const json_t *events;
    json_int_t last;
    bool is_list;
    int status;

    (void)snprintf(path, sizeof path, "/api/v1/events?after=%" PRIu64 "&wait=%u", *after, wait_s);
    status = divvy_cli_client_call(client, "GET", path, NULL, wait_s * 1000 + DIVVY_CLI_CALL_MS,
                                   &answer, error);
    if (status < 0)
        return status;
    events = json_object_get(answer, "events");
    is_list = json_is_array(events);
    last = json_integer_value(json_object_get(answer, "last"));
    for (size_t i = 0; status == 0 && i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        json_int_t number = json_integer_value(json_object_get(event, "number"));

        status = event_print(event, arguments->json, divvy_table_colour(stdout));
        if (number > 0 && (uint64_t)number > *after)
            *after = (uint64_t)number;
    }
    json_decref(answer);
    if (status < 0)
        return divvy_error_set_errno(error, status, "cannot write");
    if (!is_list)
        return divvy_error_set(error, -EPROTO, "divvyd at %s: no list of events",
                               divvy_cli_client_path(client));
    /* Fewer than we have seen: it was started anew and counts from the beginning. */
    if (last >= 0 && (uint64_t)last < *after)
        *after = 0;
    return 0;
}

static void reconnect(struct divvy_cli_client **client, struct divvy_error *error) {
    divvy_cli_client_free(*client);
    *client = NULL;
    divvy_cli_complain("events", "%s; waiting for it", error->text);
    while (divvy_cli_client_find(client, error) < 0)
        (void)usleep(RECONNECT_MS * 1000);
}

static int since_parse(const char *since, uint64_t *ret_after, struct divvy_error *error) {
    divvy_core_fault_t fault;

    if (since && divvy_core_u64_parse(since, strlen(since), ret_after, &fault) < 0)
        return divvy_error_set(error, -EINVAL,
                               "--since '%.40s': character %zu: %s; write the number of an event",
                               since, fault.position + 1, fault.reason);
    return 0;
}

int divvy_cli_verb_events(int argc, char **argv) {
    struct arguments arguments = {0};
    struct divvy_cli_client *client = NULL;
    struct divvy_error error = {0};
    uint64_t after = 0, before;
    int status;

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    if (since_parse(arguments.since, &after, &error) < 0 ||
        divvy_cli_client_find(&client, &error) < 0)
        return divvy_cli_fail("events", &error);
    /* The daemon gives a part at a time: until there is no more. */
    do {
        before = after;
        status = events_take(client, &arguments, 0, &after, &error);
    } while (status == 0 && after > before);
    while (arguments.follow && (status == 0 || status == -ENOTCONN || status == -EAGAIN)) {
        bool anew = status < 0;

        if (anew)
            reconnect(&client, &error);
        /* One that counts anew would wait for its number to come up to ours. */
        status = events_take(client, &arguments, anew ? 0 : WAIT_S, &after, &error);
    }
    divvy_cli_client_free(client);
    return status < 0 ? divvy_cli_fail("events", &error) : DIVVY_CLI_OK;
}
