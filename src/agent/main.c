/* ggo: finds the command and runs it. */
#include "agent/grammar.h"
#include "agent/output.h"
#include "agent/verbs.h"
#include "base/log.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static int complain(const struct divvy_error *error) {
    (void)fprintf(stderr, "ggo: %s\n", error->text);
    return DIVVY_AGENT_USAGE;
}

/* `ggo help [COMMAND...]` is `ggo [COMMAND...] --help`. */
static int help(int argc, char **argv) {
    struct divvy_agent_call call = {0};
    const struct divvy_agent_group *group = NULL;
    struct divvy_error error = {0};
    char option[] = "--help";
    char *line[5] = {argv[0]};
    int count = 1, status;

    for (int i = 2; i < argc && count < 3; i++)
        line[count++] = argv[i];
    line[count++] = option;
    status = divvy_agent_grammar_parse(count, line, &call, &group, &error);
    if (status < 0)
        return complain(&error);
    divvy_agent_help_print(stdout, call.command, group);
    divvy_agent_call_done(&call);
    return DIVVY_AGENT_OK;
}

static int run(struct divvy_agent_call *call) {
    struct divvy_log_settings log = {
        .level = divvy_agent_call_on(call, DIVVY_AGENT_VERBOSE) ? DIVVY_LOG_DEBUG : DIVVY_LOG_WARN,
        .program = "ggo"};
    struct divvy_error error = {0};
    int status;

    /* Whoever starts the agent wants to see what it does. */
    if (call->command->run == divvy_agent_verb_start && log.level == DIVVY_LOG_WARN)
        log.level = DIVVY_LOG_INFO;
    if (divvy_log_open(&log, &error) < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fprintf(stderr, "ggo: %s\n",
                      error.text[0] ? error.text : "libcurl cannot be initialised");
        return DIVVY_AGENT_FAILED;
    }
    status = call->command->run(call);
    curl_global_cleanup();
    divvy_log_close();
    return status;
}

int main(int argc, char **argv) {
    struct divvy_agent_call call = {0};
    const struct divvy_agent_group *group = NULL;
    struct divvy_error error = {0};
    int status;

    if (argc < 2) {
        divvy_agent_help_print(stderr, NULL, NULL);
        return DIVVY_AGENT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        (void)puts("ggo (divvy) " DIVVY_VERSION);
        return DIVVY_AGENT_OK;
    }
    if (strcmp(argv[1], "--manual") == 0) {
        divvy_agent_manual_print(stdout);
        return DIVVY_AGENT_OK;
    }
    if (strcmp(argv[1], "help") == 0)
        return help(argc, argv);
    status = divvy_agent_grammar_parse(argc, argv, &call, &group, &error);
    if (status < 0)
        return complain(&error);
    if (status == 1) {
        divvy_agent_help_print(stdout, call.command, group);
        divvy_agent_call_done(&call);
        return DIVVY_AGENT_OK;
    }
    status = run(&call);
    divvy_agent_call_done(&call);
    return status;
}
