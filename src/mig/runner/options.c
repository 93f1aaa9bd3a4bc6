/* The command line: see options.h. */
#include "mig/runner/options.h"

#include "core/parse.h"
#include "divvy/mig.h"
#include "mig/runner/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: divvy-runner [OPTION...] --target PROGRAM [--args ARGUMENT...]\n"
    "       divvy-runner [OPTION...] --target PROGRAM [-- ARGUMENT...]\n"
    "       divvy-runner [OPTION...] --model FILE\n"
    "\n"
    "Runs PROGRAM on a slice of a GPU (a MIG instance) that is reserved for it, or on\n"
    "the whole GPU where there are no slices, and gives the slice back at the end.\n"
    "\n"
    "What runs:\n"
    "  --target PROGRAM      looked up in PATH; no shell is involved\n"
    "  --args ARGUMENT...    all that follows is PROGRAM's; a single string is split\n"
    "                        into words as a shell would, quotes honoured\n"
    "  --args=STRING         such a string, with options behind it\n"
    "  --model FILE          program, limits and port from a model file (JSON)\n"
    "  --restart WHEN        never (with --target), on-failure, always (--model)\n"
    "  --restart-limit N     give up after N new starts (0: never)\n"
    "  --kill-after TIME     SIGKILL so long after SIGTERM or SIGINT (90s, 1m30s)\n"
    "\n"
    "The slice:\n"
    "  --profile PROFILE     instead of HC_MIG_PROFILE: 1g.10gb, 3g.40gb, custom.8192\n"
    "  --on-busy WHAT        when all that fit are taken: fail (default), wait or\n"
    "                        fallback (run with CUDA_VISIBLE_DEVICES as it is)\n"
    "  --wait-timeout TIME   wait, but no longer than this\n"
    "  --bigger              take a bigger slice when none of the profile is free\n"
    "  --create              create a slice when none is free, destroy it at the end\n"
    "  --gpu GPU             only slices of this GPU: its number or UUID\n"
    "  --require-slice       no slice, no run: never on a whole GPU instead (75)\n"
    "  --lock-dir FOLDER     where reservations are kept (/var/run/hypercore/mig)\n"
    "  --simulate            use the simulated GPU that comes with divvy\n"
    "\n"
    "What can be seen:\n"
    "  --instance NAME       the runner's name in metrics (default: runner-PID)\n"
    "  --metrics ADDRESS     serve /metrics there: PORT, HOST:PORT, or off; default:\n"
    "                        the first free port of 127.0.0.1:8001 to 8064\n"
    "  --proxy ADDRESS       a proxy before the model's port, which measures latency\n"
    "  --model-port PORT     where the model listens on 127.0.0.1 (8080)\n"
    "  --latency-socket PATH where the model may tell latencies itself\n"
    "  --log-format FORMAT   text, json, journal or auto\n"
    "  --help, --version\n"
    "\n"
    "Environment: HC_MIG_PROFILE, HC_MIG_TTL, HC_DEBUG, HYPERCORE_VRAM_LIMIT_BYTES,\n"
    "HYPERCORE_CPU_MEM_MB, HYPERCORE_PREFETCH, MODEL_ID; divvy-runner(1) explains.\n"
    "\n"
    "For example:\n"
    "  HC_MIG_PROFILE=1g.10gb divvy-runner --target python3 --args server.py\n"
    "  divvy-runner --proxy 9000 --model-port 8080 --target ./serve -- --port 8080\n"
    "\n"
    "Exit status: PROGRAM's; 128+N when signal N ended it; 127 not found, 126 not\n"
    "executable; 75 no slice was free; 2 wrong arguments; 1 other failures.\n";

/* Where in the options a value goes, by kind. */
typedef int (*take_t)(struct divvy_runner_options *o, const char *value, struct divvy_error *error);

static int choose(const char *value, const char *const *words, const char *option, struct divvy_error *error) {
    for (int i = 0; words[i]; i++)
        if (divvy_core_word_equal(value, strlen(value), words[i]))
            return i;
    return divvy_error_set(error, -EINVAL, "%s: '%.40s' is none of %s, %s and %s", option, value, words[0], words[1],
                           words[2]);
}

#define TEXT(member)                                                                                                   \
    static int take_##member(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {           \
        o->member = value;                                                                                             \
        return value[0] ? 0 : divvy_error_set(error, -EINVAL, "an option has an empty value");                         \
    }
TEXT(target)
TEXT(model_file)
TEXT(profile)
TEXT(gpu)
TEXT(lock_dir)
TEXT(latency_socket)

#define SWITCH(member)                                                                                                 \
    static int take_##member(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {           \
        (void)value;                                                                                                   \
        (void)error;                                                                                                   \
        o->member = true;                                                                                              \
        return 0;                                                                                                      \
    }
SWITCH(bigger)
SWITCH(create)
SWITCH(require_slice)
SWITCH(simulate)

/* A label of every series, and a file name: what needs no quoting anywhere. */
static int take_instance(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    size_t length = strlen(value);

    if (length == 0 || length > 48 ||
        strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != length || value[0] == '.' ||
        value[0] == '-')
        return divvy_error_set(error, -EINVAL,
                               "--instance: '%.60s' is no name; use letters, digits, '.', '_' and '-', at most 48, the "
                               "first a letter, digit or '_'",
                               value);
    o->instance = value;
    return 0;
}

static int take_busy(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    static const char *const words[] = {"fail", "wait", "fallback", NULL};
    int place = choose(value, words, "--on-busy", error);

    if (place >= 0)
        o->busy = (enum divvy_runner_busy)place;
    return place < 0 ? place : 0;
}

static int duration_take(const char *option, const char *value, int64_t *ret_ns, struct divvy_error *error) {
    int status = divvy_mig_ttl_parse(value, ret_ns);

    return status < 0 ? divvy_error_set(error, -EINVAL, "%s: '%.40s' is no duration; write 90s, 1h30m or 300ms", option, value)
                      : 0;
}

static int take_wait(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    o->busy = DIVVY_RUNNER_BUSY_WAIT;
    return duration_take("--wait-timeout", value, &o->wait_ns, error);
}

static int take_kill_after(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    return duration_take("--kill-after", value, &o->kill_after_ns, error);
}

static int take_metrics(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    o->no_metrics = strcmp(value, "off") == 0;
    o->has_metrics = !o->no_metrics;
    if (o->no_metrics || divvy_runner_address_parse(value, &o->metrics, error) == 0)
        return 0;
    (void)divvy_error_prefix(error, "--metrics");
    return -EINVAL;
}

static int take_proxy(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    o->has_proxy = true;
    if (divvy_runner_address_parse(value, &o->proxy, error) == 0)
        return 0;
    (void)divvy_error_prefix(error, "--proxy");
    return -EINVAL;
}

static int take_model_port(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    uint64_t port;

    if (divvy_core_u64_parse(value, strlen(value), &port, NULL) < 0 || port < 1 || port > UINT16_MAX)
        return divvy_error_set(error, -EINVAL, "--model-port: '%.40s' is no port; ports are 1 to 65535", value);
    o->model_port = (uint16_t)port;
    o->has_model_port = true;
    return 0;
}

static int take_restart(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    static const char *const words[] = {"never", "on-failure", "always", NULL};
    int place = choose(value, words, "--restart", error);

    if (place < 0)
        return place;
    o->restart = (enum divvy_runner_restart)place;
    o->has_restart = true;
    return 0;
}

static int take_restart_limit(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    uint64_t limit;

    if (divvy_core_u64_parse(value, strlen(value), &limit, NULL) < 0 || limit > UINT32_MAX)
        return divvy_error_set(error, -EINVAL, "--restart-limit: '%.40s' is no number of starts", value);
    o->restart_limit = (uint32_t)limit;
    return 0;
}

static int take_log_format(struct divvy_runner_options *o, const char *value, struct divvy_error *error) {
    if (divvy_log_format_parse(value, &o->log_format) == 0)
        return 0;
    return divvy_error_set(error, -EINVAL, "--log-format: '%.40s' is none of text, json, journal and auto", value);
}

static const struct {
    const char *name;
    take_t take;
    bool has_value;
} table[] = {
    {"target", take_target, true},
    {"model", take_model_file, true},
    {"profile", take_profile, true},
    {"on-busy", take_busy, true},
    {"wait-timeout", take_wait, true},
    {"bigger", take_bigger, false},
    {"create", take_create, false},
    {"gpu", take_gpu, true},
    {"require-slice", take_require_slice, false},
    {"lock-dir", take_lock_dir, true},
    {"simulate", take_simulate, false},
    {"instance", take_instance, true},
    {"metrics", take_metrics, true},
    {"proxy", take_proxy, true},
    {"model-port", take_model_port, true},
    {"latency-socket", take_latency_socket, true},
    {"restart", take_restart, true},
    {"restart-limit", take_restart_limit, true},
    {"kill-after", take_kill_after, true},
    {"log-format", take_log_format, true},
};

/* One of the table's, at argv[*at]: moves *at to its last word. */
static int option_take(struct divvy_runner_options *o, int argc, char **argv, int *at, struct divvy_error *error) {
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strlen(table[i].name) != length || memcmp(table[i].name, name, length) != 0)
            continue;
        if (!table[i].has_value && equals)
            return divvy_error_set(error, -EINVAL, "--%s takes no value", table[i].name);
        if (table[i].has_value && !equals && *at + 1 >= argc)
            return divvy_error_set(error, -EINVAL, "--%s needs a value", table[i].name);
        return table[i].take(o, !table[i].has_value ? NULL : equals ? equals + 1 : argv[++*at], error);
    }
    return divvy_error_set(error, -EINVAL, "there is no option '%.60s'; see --help", argv[*at]);
}

/* What belongs to the program: `count` words, or one string to be split. */
static int arguments_keep(struct divvy_runner_options *o, char **words, size_t count, const char *string,
                          struct divvy_error *error) {
    if (o->arguments)
        return divvy_error_set(error, -EINVAL, "the program's arguments are given twice");
    if (string) {
        if (divvy_runner_words_split(string, &o->words, &count, error) < 0) {
            (void)divvy_error_prefix(error, "--args");
            return error->status;
        }
        words = o->words;
    }
    o->arguments = calloc(count + 2, sizeof *o->arguments);
    if (!o->arguments)
        return divvy_error_set_errno(error, -ENOMEM, "cannot keep the program's arguments");
    for (size_t i = 0; i < count; i++)
        o->arguments[i + 1] = words[i];
    return 0;
}

static int all_check(struct divvy_runner_options *o, struct divvy_error *error) {
    if (!o->target && !o->model_file)
        return divvy_error_set(error, -EINVAL, "no program is given: --target PROGRAM, or --model FILE; see --help");
    if (o->target && o->model_file)
        return divvy_error_set(error, -EINVAL, "--target and --model both say what is to run; give one of them");
    if (o->model_file && o->arguments)
        return divvy_error_set(error, -EINVAL, "--args goes with --target; a model file has its own model_args");
    if (o->model_file)
        return 0;
    if (!o->arguments && arguments_keep(o, NULL, 0, NULL, error) < 0)
        return error->status;
    o->arguments[0] = (char *)(uintptr_t)o->target;
    return 0;
}

int divvy_runner_options_parse(int argc, char **argv, struct divvy_runner_options *ret_options, struct divvy_error *error) {
    struct divvy_runner_options *o = ret_options;
    int status = 0;

    *o = (struct divvy_runner_options){.wait_ns = DIVVY_MIG_WAIT_FOREVER, .model_port = 8080};
    for (int at = 1; at < argc && status == 0; at++) {
        const char *word = argv[at];
        size_t left = (size_t)(argc - at - 1);

        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            (void)fputs(help, stdout);
            return 1;
        }
        if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
            (void)puts("divvy-runner " DIVVY_VERSION);
            return 1;
        }
        if (strcmp(word, "--") == 0 || strcmp(word, "--args") == 0) {
            bool is_string = word[2] && left == 1;

            status = arguments_keep(o, argv + at + 1, left, is_string ? argv[at + 1] : NULL, error);
            break;
        }
        if (strncmp(word, "--args=", 7) == 0)
            status = arguments_keep(o, NULL, 0, word + 7, error);
        else if (strncmp(word, "--", 2) == 0)
            status = option_take(o, argc, argv, &at, error);
        else
            status = divvy_error_set(error, -EINVAL,
                                     "'%.60s' belongs to no option; the program's arguments go behind --args or --", word);
    }
    return status < 0 ? status : all_check(o, error);
}

void divvy_runner_options_done(struct divvy_runner_options *options) {
    free(options->words);
    free(options->arguments);
    options->words = options->arguments = NULL;
}
