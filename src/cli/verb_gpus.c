/* divvy gpus: the GPUs of this machine, or the simulated ones. */
#include "cli/cli.h"
#include "cli/gpu.h"
#include "core/text.h"

#include <argp.h>
#include <jansson.h>
#include <stdio.h>

struct arguments {
    const char *gpu;
    int json;
};

enum { OPTION_GPU = 0x100, OPTION_JSON };

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case OPTION_GPU:
        arguments->gpu = value;
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
    {"gpu", OPTION_GPU, "sim|N|UUID", 0, "Show only this one; `sim' is the simulated GPU", 0},
    {"json", OPTION_JSON, NULL, 0, "For machines: one JSON object", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .doc = "List the GPUs that divvy can divide.\v"
           "MEMORY is what a program sees as the device's total. A GPU of the kind MIG is split "
           "into instances, which stand below it: they can be used, it cannot. Without a GPU the "
           "simulated one is listed.",
};

static void table_print(const struct divvy_cli_gpu_list *list, const struct divvy_cli_gpu *only) {
    (void)printf("%-4s %-28s %-10s %5s  %-9s  %s\n", "GPU", "NAME", "MEMORY", "SMS", "KIND",
                 "UUID");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct divvy_cli_gpu *gpu = &list->gpus[i];
        char memory[32], uuid[DIVVY_CORE_UUID_TEXT_BYTES], sms[16] = "-", number[24];
        divvy_core_text_t text;

        if (only && gpu != only)
            continue;
        divvy_core_text_init(&text, memory, sizeof memory);
        divvy_core_text_add_size(&text, gpu->memory_bytes);
        divvy_cli_gpu_uuid_format(gpu, uuid);
        if (gpu->sm_count)
            (void)snprintf(sms, sizeof sms, "%u", gpu->sm_count);
        (void)snprintf(number, sizeof number, gpu->is_instance ? "%u:%u" : "%u", gpu->index,
                       gpu->instance);
        (void)printf("%-4s %-28s %-10s %5s  %-9s  %s\n", number, gpu->name, memory, sms,
                     gpu->mig           ? "MIG"
                     : list->simulated ? "simulated"
                                       : "real",
                     uuid);
    }
}

static json_t *gpu_object(const struct divvy_cli_gpu *gpu, int simulated) {
    char uuid[DIVVY_CORE_UUID_TEXT_BYTES];

    divvy_cli_gpu_uuid_format(gpu, uuid);
    return json_pack("{s:i, s:o, s:s, s:s, s:I, s:o, s:b, s:s, s:b}", "index", (int)gpu->index,
                     "instance",
                     gpu->is_instance ? json_integer((json_int_t)gpu->instance) : json_null(), "uuid",
                     uuid, "name", gpu->name, "memory_bytes", (json_int_t)gpu->memory_bytes,
                     "sm_count",
                     gpu->sm_count ? json_integer((json_int_t)gpu->sm_count) : json_null(),
                     "simulated", simulated, "pci", gpu->pci, "mig", (int)gpu->mig);
}

static int json_print(const struct divvy_cli_gpu_list *list, const struct divvy_cli_gpu *only) {
    json_t *gpus = json_array();
    json_t *root = json_pack("{s:i, s:o}", "driver_version", list->cuda.version, "gpus", gpus);
    int status = root ? 0 : -1;

    for (uint32_t i = 0; status == 0 && i < list->count; i++)
        if (!only || only == &list->gpus[i])
            status = json_array_append_new(gpus, gpu_object(&list->gpus[i], list->simulated));
    if (status == 0)
        status = json_dumpf(root, stdout, JSON_INDENT(2));
    json_decref(root);
    if (status == 0)
        (void)putchar('\n');
    return status == 0 ? DIVVY_CLI_OK : DIVVY_CLI_FAILED;
}

int divvy_cli_verb_gpus(int argc, char **argv) {
    static struct divvy_cli_gpu_list list;
    static struct divvy_install install;
    struct arguments arguments = {0};
    const struct divvy_cli_gpu *only = NULL;
    struct divvy_error error = {0};
    bool fell_back;

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    if (divvy_install_find(&install, &error) < 0 ||
        divvy_cli_gpu_list_choose(&install, arguments.gpu, DIVVY_CLI_GPU_WITH_CUDA, &list,
                                  &fell_back, &error) < 0)
        return divvy_cli_fail("gpus", &error);
    if (arguments.gpu && divvy_cli_gpu_pick(&list, arguments.gpu, &only, &error) < 0)
        return divvy_cli_fail("gpus", &error);
    if (fell_back)
        divvy_cli_complain("gpus", "no GPU here; showing the simulated one");
    if (arguments.json)
        return json_print(&list, only);
    table_print(&list, only);
    return DIVVY_CLI_OK;
}
