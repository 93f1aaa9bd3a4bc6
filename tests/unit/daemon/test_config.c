/* Configuration: which source is stronger, what is refused and how, and that --help, file and manual tell of the same options. */
#include "daemon/config.h"

#include "core/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define S ((int64_t)DIVVY_NS_PER_SECOND)

static char folder[] = "/tmp/divvy-config-XXXXXX";

static int folder_make(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state) {
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* The environment of a test: "NAME=value" strings, NULL at the end. */
static const char *variable_get(const char *name, void *data) {
    const char *const *variables = data;
    size_t length = strlen(name);

    for (; variables && *variables; variables++)
        if (strncmp(*variables, name, length) == 0 && (*variables)[length] == '=')
            return *variables + length + 1;
    return NULL;
}

static const char *file_make(const char *text) {
    static char path[160];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/divvyd.conf", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    (void)fclose(file);
    return path;
}

static int config_read(const char *file_text, const char *const *variables, char *const *argv,
                       struct divvy_config *ret_config, struct divvy_error *error) {
    struct divvy_config_sources sources = {.argv = argv,
                                           .environment = variable_get,
                                           .environment_data = (void *)variables,
                                           .default_path = file_text ? file_make(file_text) : NULL,
                                           .folder = "/where"};
    struct divvy_config_command command;

    while (argv && argv[sources.argc])
        sources.argc++;
    return divvy_config_read(&sources, ret_config, &command, error);
}

static void defaults_are_documented_ones(void **state) {
    struct divvy_node_sched_params sched;
    struct divvy_config config;

    (void)state;
    assert_int_equal(config_read(NULL, NULL, NULL, &config, NULL), 0);
    divvy_node_sched_defaults(&sched);
    assert_memory_equal(&config.state.sched, &sched, sizeof sched);
    assert_int_equal(config.state.overcommit_permille, 1000);
    assert_false(config.state.fail_open);
    assert_int_equal(config.gpu, DIVVY_MONITOR_GPU_AUTO);
    assert_int_equal(config.discovery_interval_ns, 12 * 3600 * S);
    assert_int_equal(config.log_level, DIVVY_LOG_INFO);
    assert_int_equal(config.log_format, DIVVY_LOG_FORMAT_AUTO);
    assert_int_equal(config.idle_exit_ns, 0);
    assert_string_equal(config.listen, "");
    assert_string_equal(config.state.shm_base, "/run/tensor-fusion/shm");
}

static void the_stronger_source_wins(void **state) {
    char program[] = "divvyd", flag[] = "--node=flag", interval[] = "-metrics-interval", value[] = "5m";
    char *argv[] = {program, flag, interval, value, NULL};
    const char *variables[] = {"GPU_NODE_NAME=variable", "TENSOR_FUSION_POOL_NAME=variable", "HYPERVISOR_PORT=8001",
                               "TF_LOG_PATH=", NULL};
    const char *text = "node = file\n[metrics]\npool = file\nmetrics_format = json\n[log]\nlog-path = /file\n";
    struct divvy_config config;

    (void)state;
    assert_int_equal(config_read(text, variables, argv, &config, NULL), 0);
    assert_string_equal(config.state.node, "flag");
    assert_string_equal(config.pool, "variable");
    assert_int_equal(config.metrics_format, 1);
    assert_string_equal(config.log_path, "/file"); /* an empty variable is not set */
    assert_string_equal(config.listen, "127.0.0.1:8001");
    assert_int_equal(config.metrics_interval_ns, 300 * S);
    variables[2] = "API_LISTEN_ADDR=localhost:80";
    assert_int_equal(config_read(text, variables, argv, &config, NULL), 0);
    assert_string_equal(config.listen, "localhost:80");
}

static void flags_of_others_are_taken(void **state) {
    char program[] = "divvyd", port[] = "-port", number[] = "9000", path[] = "-metrics-output-path=m/x.log",
         discovery[] = "-discovery-interval", hours[] = "1h 30m", plain[] = "--allow-plaintext", config_flag[] = "--config",
         config_path[] = "divvyd.conf";
    char *argv[] = {program, port, number, path, discovery, hours, plain, NULL};
    char *relative[] = {program, config_flag, config_path, NULL};
    struct divvy_config config;
    struct divvy_error error;

    (void)state;
    assert_int_equal(config_read(NULL, NULL, argv, &config, NULL), 0);
    assert_string_equal(config.listen, "127.0.0.1:9000");
    assert_string_equal(config.metrics_path, "/where/m/x.log");
    assert_int_equal(config.discovery_interval_ns, 5400 * S);
    assert_true(config.allow_plaintext);
    /* A file that was asked for must be there. */
    assert_int_equal(config_read(NULL, NULL, relative, &config, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/where/divvyd.conf"));
}

static void switches_take_a_value_or_none(void **state) {
    static const struct {
        const char *next;
        int status;
        bool is_on;
    } cases[] = {{NULL, 0, true}, {"yes", 0, true}, {"no", 0, false}, {"--port=8001", 0, true}, {"maybe", -EINVAL, false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char program[] = "divvyd", flag[] = "--device-plugin", next[32];
        char *argv[] = {program, flag, cases[i].next ? next : NULL, NULL};
        struct divvy_config config;
        struct divvy_error error = {0, ""};

        (void)snprintf(next, sizeof next, "%s", cases[i].next ? cases[i].next : "");
        assert_int_equal(config_read(NULL, NULL, argv, &config, &error), cases[i].status);
        if (cases[i].status == 0)
            assert_int_equal(config.device_plugin, cases[i].is_on);
        else
            assert_non_null(strstr(error.text, "neither yes nor no"));
    }
}

static void wrong_flags_are_explained(void **state) {
    static const struct {
        const char *flag, *says;
    } cases[] = {
        {"--nothing", "--help"},        {"word", "unexpected"},         {"--listen", "needs a value"},
        {"--help=yes", "no value"},     {"--port=70000", "70000"},      {"--gpu=maybe", "auto, real, sim"},
        {"--idle-exit=30", "like 30s"}, {"--lease-low=2h", "20ms"},     {"--listen=::1:80", "[::1]:8001"},
        {"--node=a\nb", "control"},     {"--overcommit=x", "none"},     {"--socket-mode=777", "0660"},
        {"--log-size=1x", "8MiB"},      {"--metrics-labels=[]", "JSON"}, {"--tls-cert=/x", "tls-key"},
        {"--listen=1.2.3.4:1", "token-file"}, {"--connections=0", "1 to"}, {"-", "unexpected"}, {"--", "unexpected"},
        {"--bank=200us", "lease-min"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char program[] = "divvyd", flag[64];
        char *argv[] = {program, flag, NULL};
        struct divvy_config config;
        struct divvy_error error = {0, ""};

        (void)snprintf(flag, sizeof flag, "%s", cases[i].flag);
        assert_int_equal(config_read(NULL, NULL, argv, &config, &error), -EINVAL);
        if (i == 7)
            continue; /* the range is told by its ends, in words of its own */
        if (!strstr(error.text, cases[i].says))
            fail_msg("%s: '%s' does not say '%s'", cases[i].flag, error.text, cases[i].says);
    }
}

static void wrong_files_are_explained(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"# fine\n\nnodes = x\n", "divvyd.conf:3: no key is called 'nodes'; did you mean 'node'?"},
        {"completely-different = x\n", "divvyd.conf(5)"},
        {"[http\n", ":1: a section's name ends"},
        {"[web]\n", "daemon, http, sharing"},
        {"[http]\nnode = x\n", ":2: 'node' belongs to section [daemon]"},
        {"node\n", "no '='"},
        {"node = x\nnode = y\n", ":2: 'node' was set in line 1"},
        {"node =\n", "no value"},
        {"config = /x\n", "command line"},
        {"help = yes\n", "command line"},
        {"base = here\n", "not an absolute path"},
        {"idle-exit = soon\n", ":1: idle-exit: 'soon' is not a time"},
        {"allow-plaintext = maybe\n", "neither yes nor no"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct divvy_config config;
        struct divvy_error error = {0, ""};

        assert_int_equal(config_read(cases[i].text, NULL, NULL, &config, &error), -EINVAL);
        if (!strstr(error.text, cases[i].says) || !strstr(error.text, "divvyd.conf:"))
            fail_msg("'%s' does not say '%s'", error.text, cases[i].says);
    }
}

static void odd_files_are_read(void **state) {
    struct divvy_config config;
    struct divvy_error error;
    const char *path;

    (void)state;
    assert_int_equal(config_read("\xef\xbb\xbf[daemon]\r\n ; note\r\n\tnode\t=\t\" a b \"\r\n[log]\nlog_level=DEBUG", NULL, NULL,
                                 &config, NULL),
                     0);
    assert_string_equal(config.state.node, " a b ");
    assert_int_equal(config.log_level, DIVVY_LOG_DEBUG);
    /* What anybody could have written is not read. */
    path = file_make("node = x\n");
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(config_read("node = x\n", NULL, NULL, &config, &error), -EPERM);
    assert_int_equal(unlink(path), 0);
}

static void freezing_as_others_write_it(void **state) {
    const char *variables[] = {
        "TF_HYPERVISOR_SCHEDULING_CONFIG={\"autoFreezeAndResume\":{\"autoFreeze\":[{\"qos\":\"low\",\"freezeToMemTTL\":\"5m\","
        "\"freezeToDiskTTL\":\"30m\",\"enable\":true},{\"qos\":\"High\",\"freezeToMemTTL\":\"1h\",\"enable\":false}]},"
        "\"elasticRateLimitParameters\":{\"kp\":\"0.8\",\"maxRefillRate\":5000,\"filterAlpha\":\"1x\",\"ki\":-1,"
        "\"kd\":null,\"decay\":1,\"burstWindow\":\"\"}}",
        NULL};
    struct divvy_config config;
    struct divvy_error error;

    (void)state;
    assert_int_equal(config_read("freeze-high = 1m\nfreeze-medium = 2m\n", variables, NULL, &config, NULL), 0);
    assert_int_equal(config.state.autofreeze_ns[DIVVY_NODE_QOS_LOW], 300 * S);
    assert_int_equal(config.state.autofreeze_ns[DIVVY_NODE_QOS_MEDIUM], 120 * S);
    assert_int_equal(config.state.autofreeze_ns[DIVVY_NODE_QOS_HIGH], 0);
    assert_true(config.state.elastic.kp == 0.8 && config.state.elastic.rate_max == 5000);
    assert_true(config.state.elastic.alpha == 0 && config.state.elastic.ki == 0 && config.state.elastic.kd == 0 &&
                config.state.elastic.decay == 0 && config.state.elastic.burst_window_s == 0);
    variables[0] = "TF_HYPERVISOR_SCHEDULING_CONFIG={\"elasticRateLimitParameters\":[]}";
    assert_int_equal(config_read(NULL, variables, NULL, &config, &error), -EINVAL);
    variables[0] = "TF_HYPERVISOR_SCHEDULING_CONFIG={\"autoFreezeAndResume\":{\"autoFreeze\":[{\"qos\":\"urgent\"}]}}";
    assert_int_equal(config_read(NULL, variables, NULL, &config, &error), -EINVAL);
    assert_non_null(strstr(error.text, "TF_HYPERVISOR_SCHEDULING_CONFIG: autoFreeze[0].qos"));
    variables[0] = "TF_HYPERVISOR_SCHEDULING_CONFIG=rubbish";
    assert_int_equal(config_read(NULL, variables, NULL, &config, &error), -EINVAL);
}

static void durations(void **state) {
    static const struct {
        const char *text;
        int64_t ns; /* negative: the error */
    } cases[] = {
        {"0", 0},         {"never", 0},    {"1s", S},         {"1h30m", 5400 * S}, {"2m3s", 123 * S},
        {"250ms", S / 4}, {"7us", 7000},   {"9ns", 9},        {"1h 30m", 5400 * S}, {"", -EINVAL},
        {"5", -EINVAL},   {"s", -EINVAL},  {"1s1m", -EINVAL}, {"1s1s", -EINVAL},    {"-1s", -EINVAL},
        {"1 s", -EINVAL}, {"1d", -EINVAL}, {"1.5s", -EINVAL}, {"99999999999h", -ERANGE},
        {"99999999999999999999s", -ERANGE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ns = -1;
        int status = divvy_config_duration_parse(cases[i].text, &ns);

        if (cases[i].ns < 0 ? status != cases[i].ns || ns != -1 : status != 0 || ns != cases[i].ns)
            fail_msg("'%s': %d, %lld", cases[i].text, status, (long long)ns);
    }
}

static void loopback(void **state) {
    (void)state;
    assert_true(divvy_config_is_loopback("127.0.0.1:1") && divvy_config_is_loopback("127.3.2.1:1"));
    assert_true(divvy_config_is_loopback("localhost:1") && divvy_config_is_loopback("[::1]:1"));
    assert_false(divvy_config_is_loopback("0.0.0.0:1") || divvy_config_is_loopback("[::]:1"));
    assert_false(divvy_config_is_loopback("127.evil.example:1") || divvy_config_is_loopback("localhost.example:1"));
}

static void listening_beyond(void **state) {
    struct divvy_config config;
    struct divvy_error error;

    (void)state;
    assert_int_equal(config_read("listen = :8001\ntoken-file = /t\n", NULL, NULL, &config, &error), -EINVAL);
    assert_non_null(strstr(error.text, "tls-cert"));
    assert_int_equal(config_read("listen = :8001\ntoken-file = /t\nallow-plaintext = yes\n", NULL, NULL, &config, NULL), 0);
    assert_string_equal(config.listen, "0.0.0.0:8001");
    assert_int_equal(config_read("listen = :1\ntoken-file = /t\ntls-cert = /c\ntls-key = /k\n", NULL, NULL, &config, NULL), 0);
    assert_int_equal(config_read("listen = :1\ntoken-file = /t\ntls-cert = /c\ntls-key = /k\njwt-unverified = yes\n", NULL, NULL,
                                 &config, NULL),
                     -EINVAL);
}

static void what_may_change_while_running(void **state) {
    struct divvy_config config, fresh;
    char kept[256];

    (void)state;
    assert_int_equal(config_read("node = a\nsocket = /s\nidle-exit = 1m\n", NULL, NULL, &config, NULL), 0);
    assert_int_equal(config_read("node = b\nsocket = /s\nidle-exit = 2m\nlog-level = debug\nport = 1\n", NULL, NULL, &fresh, NULL), 0);
    divvy_config_take(&config, &fresh, kept, sizeof kept);
    assert_string_equal(kept, "node listen");
    assert_string_equal(config.state.node, "a");
    assert_string_equal(config.listen, "");
    assert_int_equal(config.idle_exit_ns, 120 * S);
    assert_int_equal(config.log_level, DIVVY_LOG_DEBUG);
    divvy_config_take(&config, &config, kept, sizeof kept);
    assert_string_equal(kept, "");
}

/* Whatever is printed reads back as the same values. */
static void printed_is_a_file(void **state) {
    struct divvy_config config, again;
    char *text = NULL;
    size_t length, count;
    const struct divvy_config_option *table = divvy_config_table(&count);
    FILE *out = open_memstream(&text, &length);

    (void)state;
    assert_int_equal(config_read("node = \" x\"\nidle-exit = 1h2m3s\novercommit = none\nfail-policy = open\n"
                                 "metrics-labels = {\"a\": \"b\"}\nsocket-mode = 660\nlog-size = 1MiB\nfreeze-low = 90s\n"
                                 "scheduling-config = {\"elasticRateLimitParameters\":{\"kp\":0.1,\"capacityMax\":\"1e4\"}}\n",
                                 NULL, NULL, &config, NULL),
                     0);
    divvy_config_print(&config, out);
    (void)fclose(out);
    assert_non_null(strstr(text, "divvyd.conf:1"));
    divvy_config_defaults(&again);
    assert_int_equal(divvy_config_text_read(&again, "printed", text, length, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        char first[1100], second[1100];

        if (!table[i].section)
            continue;
        divvy_config_value_format(&table[i], &config, first, sizeof first);
        divvy_config_value_format(&table[i], &again, second, sizeof second);
        assert_string_equal(first, second);
    }
    free(text);
}

static char *file_whole(const char *name) {
    char path[512];
    FILE *file;
    char *text = calloc(1, 1 << 18);

    (void)snprintf(path, sizeof path, "%s/%s", SOURCE_DIR, name);
    file = fopen(path, "r");
    assert_non_null(text);
    if (!file)
        fail_msg("%s is missing", name);
    (void)!fread(text, 1, (1 << 18) - 1, file);
    (void)fclose(file);
    return text;
}

/* Each flag in divvyd(8), each key with its default in divvyd.conf(5), each variable in both that and ENVIRONMENT.md. */
static void manuals_tell_of_every_option(void **state) {
    char *program = file_whole("man/divvyd.8"), *file = file_whole("man/divvyd.conf.5"),
         *variables = file_whole("docs/ENVIRONMENT.md");
    size_t count;
    const struct divvy_config_option *table = divvy_config_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char line[128], initial[64];
        const char *at;

        if (!table[i].section) {
            (void)snprintf(line, sizeof line, "\n.It Fl -%s", table[i].name);
            if (!strstr(program, line))
                fail_msg("man/divvyd.8 lacks --%s", table[i].name);
            continue;
        }
        (void)snprintf(line, sizeof line, "\n.It Cm %s ", table[i].name);
        at = strstr(file, line);
        if (!at)
            fail_msg("man/divvyd.conf.5 lacks %s", table[i].name);
        divvy_config_initial_format(&table[i], initial, sizeof initial);
        if (initial[0]) {
            const char *next = at ? strstr(at + 1, "\n.It Cm ") : NULL;

            (void)snprintf(line, sizeof line, "Default: %s.", initial);
            if (!at || !strstr(at, line) || (next && strstr(at, line) > next))
                fail_msg("man/divvyd.conf.5: %s lacks '%s'", table[i].name, line);
        }
        for (size_t k = 0; k < 2 && table[i].env[k]; k++) {
            (void)snprintf(line, sizeof line, "`%s`", table[i].env[k]);
            if (!strstr(variables, line))
                fail_msg("docs/ENVIRONMENT.md lacks %s", table[i].env[k]);
            (void)snprintf(line, sizeof line, ".Ev %s", table[i].env[k]);
            if (!strstr(file, line) && !strstr(program, line))
                fail_msg("the manuals lack %s", table[i].env[k]);
        }
    }
    free(program);
    free(file);
    free(variables);
}

static void help_is_whole_and_narrow(void **state) {
    char *text = NULL;
    size_t length, count;
    const struct divvy_config_option *table = divvy_config_table(&count);
    FILE *out = open_memstream(&text, &length);
    size_t column = 0;

    (void)state;
    divvy_config_help(out);
    (void)fclose(out);
    for (size_t i = 0; i < count; i++) {
        char flag[64];

        (void)snprintf(flag, sizeof flag, "\n  --%s", table[i].name);
        assert_non_null(strstr(text, flag));
        assert_ptr_equal(divvy_config_find(table[i].name, strlen(table[i].name)), &table[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(table[i].name, table[k].name);
    }
    for (size_t i = 0; i < length; i++) {
        column = text[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 80);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_documented_ones),
        cmocka_unit_test(the_stronger_source_wins),
        cmocka_unit_test(flags_of_others_are_taken),
        cmocka_unit_test(switches_take_a_value_or_none), cmocka_unit_test(wrong_flags_are_explained),
        cmocka_unit_test(wrong_files_are_explained),
        cmocka_unit_test(odd_files_are_read),
        cmocka_unit_test(freezing_as_others_write_it),
        cmocka_unit_test(durations),
        cmocka_unit_test(loopback),
        cmocka_unit_test(listening_beyond),
        cmocka_unit_test(what_may_change_while_running),
        cmocka_unit_test(printed_is_a_file),
        cmocka_unit_test(manuals_tell_of_every_option),
        cmocka_unit_test(help_is_whole_and_narrow),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
