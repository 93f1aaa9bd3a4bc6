/* divvy bootstrap: what an init container, or the node's DaemonSet, does so that programs of containers find divvy's libraries. */
#include "base/install.h"
#include "cli/bootstrap.h"
#include "cli/cli.h"
#include "core/parse.h"

#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USUAL_TO     "/tensor-fusion"
#define USUAL_CONFIG "/tensor-fusion-conf"

enum { OPTION_TO = 0x100, OPTION_CONFIG, OPTION_AS, OPTION_REMOTE, OPTION_SMI, OPTION_JSON };

struct arguments {
    struct divvy_cli_bootstrap bootstrap;
    const char *smi;
    bool json;
};

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case OPTION_TO:
        arguments->bootstrap.to_dir = value;
        return 0;
    case OPTION_CONFIG:
        arguments->bootstrap.config_dir = value;
        return 0;
    case OPTION_AS:
        arguments->bootstrap.as_path = value;
        return 0;
    case OPTION_REMOTE:
        arguments->bootstrap.is_remote = true;
        return 0;
    case OPTION_SMI:
        arguments->smi = value;
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "there is nothing to name here: '%s'", value);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"to", OPTION_TO, "FOLDER", 0, "Where the libraries go (" USUAL_TO ")", 0},
    {"config", OPTION_CONFIG, "FOLDER", 0, "Where ld.so.preload and zz_tensor-fusion.conf go (" USUAL_CONFIG ")", 0},
    {"as", OPTION_AS, "PATH", 0, "What containers call the folder of libraries (" USUAL_TO ")", 0},
    {"remote", OPTION_REMOTE, NULL, 0, "Preload the client of a GPU elsewhere, not the limiter", 0},
    {"nvidia-smi", OPTION_SMI, "FILE", 0, "Copy this too; default: the one in PATH, `none' for none", 0},
    {"json", OPTION_JSON, NULL, 0, "For machines: one JSON object", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .doc = "Put divvy's libraries and the dynamic loader's files into folders that containers mount: "
           "for an init container, or for all pods of a node. Files are replaced, never overwritten.\v"
           "A container mounts the folder of libraries, and of the other one the file ld.so.preload at "
           "/etc/ld.so.preload. Programs of any glibc since 2.17 load them; those of musl, and "
           "static ones, are not touched.\n\n"
           "For example:\n"
           "  divvy bootstrap --to /host/lib --config /host/conf --as /usr/lib/divvy\n\n"
           "Environment: DISABLE_GPU_LIMITER=1 leaves the limiter out, RUN_INSIDE_GPU_NODE=true "
           "nvidia-smi.\n\n"
           "Exit status: 0, 1 when something is missing or cannot be written, 2 for wrong use.",
};

static bool is_on(const char *variable) {
    const char *value = getenv(variable);

    return value && (strcmp(value, "1") == 0 || divvy_core_word_equal(value, strlen(value), "true"));
}

/* The program that the container runtime brings, where there is one. */
static const char *smi_find(const char *wanted) {
    static char path[1024];
    const char *search = getenv("PATH");

    if (wanted)
        return strcmp(wanted, "none") == 0 ? NULL : wanted;
    if (is_on("RUN_INSIDE_GPU_NODE"))
        return NULL;
    while (search && *search) {
        size_t length = strcspn(search, ":");

        if (length > 0 && length < sizeof path - 16) {
            (void)snprintf(path, sizeof path, "%.*s/nvidia-smi", (int)length, search);
            if (access(path, X_OK) == 0)
                return path;
        }
        search += length + (search[length] == ':');
    }
    return NULL;
}

static int json_tell(const struct divvy_cli_bootstrap *bootstrap, const struct divvy_cli_bootstrap_done *done) {
    json_t *copied = json_array(), *preloaded = json_array(), *object;
    int status = 0;

    for (unsigned int i = 0; i < done->copied; i++)
        status |= json_array_append_new(copied, json_string(done->copied_names[i]));
    for (unsigned int i = 0; i < done->preloaded; i++)
        status |= json_array_append_new(preloaded, json_sprintf("%s/%s", bootstrap->as_path, done->preloaded_names[i]));
    object = json_pack("{s:s, s:s, s:o, s:o}", "libraries", bootstrap->to_dir, "config", bootstrap->config_dir, "copied", copied,
                       "preload", preloaded);
    if (status == 0 && object)
        status = json_dumpf(object, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(object);
    return status == 0 && object ? DIVVY_CLI_OK : DIVVY_CLI_FAILED;
}

static void text_tell(const struct divvy_cli_bootstrap *bootstrap, const struct divvy_cli_bootstrap_done *done) {
    (void)printf("%s:", bootstrap->to_dir);
    for (unsigned int i = 0; i < done->copied; i++)
        (void)printf(" %s", done->copied_names[i]);
    (void)printf("\n%s/ld.so.preload:", bootstrap->config_dir);
    for (unsigned int i = 0; i < done->preloaded; i++)
        (void)printf(" %s/%s", bootstrap->as_path, done->preloaded_names[i]);
    (void)putchar('\n');
}

int divvy_cli_verb_bootstrap(int argc, char **argv) {
    static struct divvy_cli_bootstrap_done done;
    static struct divvy_install install;
    struct arguments arguments = {.bootstrap = {.to_dir = USUAL_TO, .config_dir = USUAL_CONFIG, .as_path = USUAL_TO}};
    struct divvy_error error = {0};
    char *slash;

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    if (divvy_install_find(&install, &error) < 0)
        return divvy_cli_fail("bootstrap", &error);
    slash = strrchr(install.limiter, '/');
    if (!slash) {
        divvy_cli_complain("bootstrap", "libcuda_limiter.so is not installed beside this program");
        return DIVVY_CLI_FAILED;
    }
    *slash = '\0';
    arguments.bootstrap.libraries_dir = install.limiter;
    arguments.bootstrap.has_limiter = !is_on("DISABLE_GPU_LIMITER");
    arguments.bootstrap.nvidia_smi = smi_find(arguments.smi);
    if (divvy_cli_bootstrap_run(&arguments.bootstrap, &done, &error) < 0)
        return divvy_cli_fail("bootstrap", &error);
    if (!arguments.bootstrap.has_limiter && !arguments.bootstrap.is_remote)
        divvy_cli_complain("bootstrap", "DISABLE_GPU_LIMITER is set: programs of containers are not limited");
    if (arguments.json)
        return json_tell(&arguments.bootstrap, &done);
    text_tell(&arguments.bootstrap, &done);
    return DIVVY_CLI_OK;
}
