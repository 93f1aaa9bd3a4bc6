/* The command line: all forms of --args, and what is refused. */
#include "mig/runner/options.h"

#include "divvy/mig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MOST 16

static int parse(const char *const *words, struct divvy_runner_options *ret_options, struct divvy_error *error) {
    char *argv[MOST + 2] = {(char *)(uintptr_t) "divvy-runner"};
    int argc = 1;

    while (words[argc - 1]) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argc++;
    }
    return divvy_runner_options_parse(argc, argv, ret_options, error);
}

static void program_forms(void **state) {
    static const struct {
        const char *words[MOST], *program[8];
    } cases[] = {
        {{"--target", "env"}, {"env"}},
        {{"--target=env"}, {"env"}},
        {{"--target", "python3", "--args", "/opt/models/server.py"}, {"python3", "/opt/models/server.py"}},
        {{"--target", "echo", "--args", "MIG device reserved"}, {"echo", "MIG", "device", "reserved"}},
        {{"--target", "sh", "--args", "-c 'exit 7'"}, {"sh", "-c", "exit 7"}},
        {{"--target", "p", "--args", "a", "b c", "d"}, {"p", "a", "b c", "d"}},
        {{"--target", "p", "--args", "--metrics", "off"}, {"p", "--metrics", "off"}},
        {{"--target", "p", "--args"}, {"p"}},
        {{"--target", "p", "--args", ""}, {"p"}},
        {{"--args='a b' c", "--target", "p"}, {"p", "a b", "c"}},
        {{"--target", "p", "--", "--flag", "x"}, {"p", "--flag", "x"}},
        {{"--target", "p", "--", "-c 'exit 7'"}, {"p", "-c 'exit 7'"}},
        {{"--target", "p", "--", "--args", "a b"}, {"p", "--args", "a b"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct divvy_runner_options options;
        size_t k = 0;

        assert_int_equal(parse(cases[i].words, &options, NULL), 0);
        for (; cases[i].program[k]; k++)
            assert_string_equal(options.arguments[k], cases[i].program[k]);
        assert_null(options.arguments[k]);
        divvy_runner_options_done(&options);
    }
}

static void values(void **state) {
    static const char *const words[] = {"--target",   "p",      "--on-busy",    "fallback", "--profile", "1g.10gb",
                                        "--instance", "web-1",  "--metrics",    "*:9100",   "--proxy=[::1]:9000",
                                        "--restart",  "always", "--kill-after", "1m30s",    NULL};
    struct divvy_runner_options options;
    char text[DIVVY_RUNNER_ADDRESS_BYTES];

    (void)state;
    assert_int_equal(parse(words, &options, NULL), 0);
    assert_int_equal(options.busy, DIVVY_RUNNER_BUSY_FALLBACK);
    assert_int_equal(options.wait_ns, DIVVY_MIG_WAIT_FOREVER);
    assert_string_equal(options.profile, "1g.10gb");
    assert_string_equal(options.instance, "web-1");
    divvy_runner_address_format(&options.metrics, text);
    assert_string_equal(text, "0.0.0.0:9100");
    divvy_runner_address_format(&options.proxy, text);
    assert_string_equal(text, "[::1]:9000");
    assert_int_equal(options.restart, DIVVY_RUNNER_RESTART_ALWAYS);
    assert_int_equal(options.kill_after_ns, INT64_C(90000000000));
    assert_int_equal(options.model_port, 8080);
    divvy_runner_options_done(&options);
}

static void refused(void **state) {
    static const struct {
        const char *words[MOST], *part;
    } cases[] = {
        {{NULL}, "--target"},
        {{"--metrics", "off"}, "--target"},
        {{"--target"}, "needs a value"},
        {{"--target", ""}, "empty"},
        {{"--targe", "x"}, "no option '--targe'"},
        {{"--target", "p", "x"}, "'x' belongs to no option"},
        {{"-x"}, "'-x'"},
        {{"--create=yes", "--target", "p"}, "takes no value"},
        {{"--target", "p", "--args", "'open"}, "does not end"},
        {{"--target", "p", "--args=a", "--", "b"}, "twice"},
        {{"--target", "p", "--model", "f"}, "--model"},
        {{"--model", "f", "--args", "x"}, "model_args"},
        {{"--target", "p", "--on-busy", "panic"}, "panic"},
        {{"--target", "p", "--wait-timeout", "5"}, "duration"},
        {{"--target", "p", "--instance", "a b"}, "no name"},
        {{"--target", "p", "--instance", "../x"}, "no name"},
        {{"--target", "p", "--metrics", "host:80"}, "--metrics"},
        {{"--target", "p", "--metrics", ":80"}, "--metrics"},
        {{"--target", "p", "--metrics", "127.0.0.1:65536"}, "--metrics"},
        {{"--target", "p", "--metrics", "[::1:80"}, "--metrics"},
        {{"--target", "p", "--proxy", ""}, "--proxy"},
        {{"--target", "p", "--model-port", "0"}, "--model-port"},
        {{"--target", "p", "--restart", "maybe"}, "--restart"},
        {{"--target", "p", "--restart-limit", "-1"}, "--restart-limit"},
        {{"--target", "p", "--log-format", "xml"}, "--log-format"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct divvy_runner_options options;
        struct divvy_error error = {0};

        assert_int_equal(parse(cases[i].words, &options, &error), -EINVAL);
        if (!strstr(error.text, cases[i].part))
            fail_msg("case %zu: %s", i, error.text);
        divvy_runner_options_done(&options);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(program_forms), cmocka_unit_test(values), cmocka_unit_test(refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
