/* The command line of ggo: what is read, what is refused, and that help and manual page say what the table says. */
#include "agent/grammar.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct divvy_agent_call call;
static const struct divvy_agent_group *group;
static struct divvy_error error;

/* A line of words, separated by blanks. */
static int parse(const char *line) {
    static char text[512];
    char *argv[64] = {"ggo"};
    int argc = 1;

    divvy_agent_call_done(&call);
    memset(&call, 0, sizeof call);
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *at = text, *word; (word = strsep(&at, " "));)
        argv[argc++] = word;
    return divvy_agent_grammar_parse(argc, argv, &call, &group, &error);
}

static void lines_that_are_read(void **state) {
    (void)state;
    assert_int_equal(parse("agent register -t abc --server=http://x -v"), 0);
    assert_string_equal(call.command->path, "agent register");
    assert_string_equal(call.values[DIVVY_AGENT_TOKEN], "abc");
    assert_string_equal(call.values[DIVVY_AGENT_SERVER], "http://x");
    assert_true(divvy_agent_call_on(&call, DIVVY_AGENT_VERBOSE));
    assert_int_equal(parse("--config-dir /c agent -ojson status"), 0);
    assert_true(call.is_json);
    assert_string_equal(call.values[DIVVY_AGENT_CONFIG_DIR], "/c");
    assert_int_equal(parse("worker create --enabled=false --port 65535"), 0);
    assert_false(divvy_agent_call_on(&call, DIVVY_AGENT_ENABLED));
    assert_int_equal(call.numbers[DIVVY_AGENT_PORT], 65535);
    assert_int_equal(parse("share create w --expires-in 1w2d3h"), 0);
    assert_int_equal(call.numbers[DIVVY_AGENT_EXPIRES_IN], 7 * 86400 + 2 * 86400 + 3 * 3600);
    assert_int_equal(parse("launch -s code prog -s --server x -- y"), 0);
    assert_int_equal(call.argument_count, 6);
    assert_string_equal(call.arguments[1], "-s");
    assert_string_equal(call.arguments[4], "--");
    assert_int_equal(parse("worker get -- -f"), 0);
    assert_string_equal(call.arguments[0], "-f");
    assert_int_equal(parse("use abc --output /folder"), 0);
    assert_int_equal(parse("worker create --help --what"), 1);
    assert_string_equal(call.command->path, "worker create");
    assert_int_equal(parse("worker -h"), 1);
    assert_null(call.command);
    assert_string_equal(group->name, "worker");
}

static void lines_that_are_refused(void **state) {
    static const struct {
        const char *line, *part;
    } cases[] = {{"worker", "a command is missing"},
                 {"agnt status", "did you mean 'agent'"},
                 {"agent sttus", "did you mean 'agent status'"},
                 {"agent zzzzzz", "--help"},
                 {"status", "no command"},
                 {"agent status --force", "no option --force here"},
                 {"--all agent status", "no option --all here"},
                 {"agent status -y", "no option -y"},
                 {"agent register --token", "needs a value"},
                 {"agent register --token=", "an empty value"},
                 {"agent start --single-node=yes", "true or false"},
                 {"agent start --isolation-mode hard", "shared|soft|partitioned"},
                 {"worker create --port 1023", "1024 to 65535"},
                 {"worker create --port 9001x", "1024 to 65535"},
                 {"worker create --port 99999999999999999999", "1024 to 65535"},
                 {"share create --max-uses 2147483648", "from 0"},
                 {"share create --expires-in 0h", "24h, 7d"},
                 {"share create --expires-in 5", "24h, 7d"},
                 {"share create --expires-in 99999999999999999999d", "24h, 7d"},
                 {"share create --expires-in 100000w", "24h, 7d"},
                 {"worker get", "ID is missing"},
                 {"worker get a b", "one argument too many"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].line), -EINVAL);
        if (!strstr(error.text, cases[i].part))
            fail_msg("'%s' says '%s'", cases[i].line, error.text);
    }
}

/* Many flags in front of no command, and words of random bytes: refused or read, never worse. */
static void random_lines(void **state) {
    static const char *const words[] = {"agent", "worker", "share",     "use",      "launch", "get",
                                        "start", "-o",     "json",      "--output", "-v",     "--",
                                        "-",     "--port", "=",         "--port=",  "7d",     "-ff",
                                        "",      "x",      "--enabled", "-s"};
    const char *given = getenv("DIVVY_TEST_SEED");
    unsigned int seed = given ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 20000; i++) {
        char line[512] = "";
        size_t length = 0;

        for (int n = rand() % 60; n > 0 && length < 440; n--)
            length += (size_t)snprintf(line + length, sizeof line - length, "%s ",
                                       words[(size_t)rand() % (sizeof words / sizeof words[0])]);
        assert_true(parse(line) <= 1);
    }
    divvy_agent_call_done(&call);
}

static char *printed(void (*print)(FILE *out)) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void every_help(FILE *out) {
    divvy_agent_help_print(out, NULL, NULL);
    for (const struct divvy_agent_group *at = divvy_agent_groups; at->name; at++)
        divvy_agent_help_print(out, NULL, at);
    for (const struct divvy_agent_command *at = divvy_agent_commands; at->path; at++)
        divvy_agent_help_print(out, at, NULL);
}

static void help_fits(void **state) {
    char *text = printed(every_help);

    (void)state;
    for (const char *at = text; *at; at += strcspn(at, "\n") + 1)
        if (strcspn(at, "\n") > 80)
            fail_msg("more than 80 columns: %.*s", (int)strcspn(at, "\n"), at);
    free(text);
}

static void the_manual_page_is_this(void **state) {
    char *text = printed(divvy_agent_manual_print), page[65536] = "";
    FILE *file = fopen(MANUAL, "r");

    (void)state;
    assert_non_null(file);
    assert_true(fread(page, 1, sizeof page - 1, file) > 0);
    (void)fclose(file);
    if (!strstr(page, text))
        fail_msg("man/ggo.1 does not hold what 'ggo --manual' prints");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_that_are_read),
                                       cmocka_unit_test(lines_that_are_refused),
                                       cmocka_unit_test(random_lines), cmocka_unit_test(help_fits),
                                       cmocka_unit_test(the_manual_page_is_this)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
