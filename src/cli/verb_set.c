/* divvy set: a tenant's limits, changed while it runs. */
#include "base/cleanup.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/plan.h"
#include "cli/seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct arguments {
    const char *memory, *compute, *weight, *qos, *gpu, *tenant;
    int soft, hard, json;
};

enum {
    OPTION_MEMORY = 0x100,
    OPTION_COMPUTE,
    OPTION_SOFT,
    OPTION_HARD,
    OPTION_WEIGHT,
    OPTION_QOS,
    OPTION_GPU,
    OPTION_JSON
};

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case OPTION_MEMORY:
        arguments->memory = value;
        return 0;
    case OPTION_COMPUTE:
        arguments->compute = value;
        return 0;
    case OPTION_SOFT:
        arguments->soft = 1;
        return 0;
    case OPTION_HARD:
        arguments->hard = 1;
        return 0;
    case OPTION_WEIGHT:
        arguments->weight = value;
        return 0;
    case OPTION_QOS:
        arguments->qos = value;
        return 0;
    case OPTION_GPU:
        arguments->gpu = value;
        return 0;
    case OPTION_JSON:
        arguments->json = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->tenant)
            argp_error(state, "one TENANT at a time, not also '%s'", value);
        arguments->tenant = value;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->tenant)
            argp_error(state, "no TENANT is given (`divvy ps' lists them)");
        else if (arguments->soft && arguments->hard)
            argp_error(state, "--soft and --hard exclude each other");
        else if (!arguments->memory && !arguments->compute && !arguments->weight &&
                 !arguments->qos && !arguments->soft && !arguments->hard)
            argp_error(state, "nothing to change: give --memory, --compute, --soft, --hard, "
                              "--weight or --qos");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"memory", OPTION_MEMORY, "SIZE|none", 0, "Device memory: 8GiB, 8G, 800MiB, 50%", 0},
    {"compute", OPTION_COMPUTE, "PERCENT|none", 0, "Cap of GPU time: 1% to 100%", 0},
    {"soft", OPTION_SOFT, NULL, 0, "The cap may be exceeded while nobody else wants the GPU", 0},
    {"hard", OPTION_HARD, NULL, 0, "The cap holds also when the GPU would be idle", 0},
    {"weight", OPTION_WEIGHT, "N", 0, "Share when several want more than there is", 0},
    {"qos", OPTION_QOS, "CLASS", 0, "low, medium, high or critical", 0},
    {"gpu", OPTION_GPU, "N|UUID", 0, "Only on this one of its GPUs (default: all)", 0},
    {"json", OPTION_JSON, NULL, 0, "For machines: the tenant as it is then", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .args_doc = "TENANT",
    .doc = "Change a tenant's limits while it runs. They hold within a fraction of a second; what "
           "is not named stays.\v"
           "For example:\n"
           "  divvy set train --compute 60%\n"
           "  divvy set train --memory 12GiB --soft\n"
           "  divvy set web --qos high --compute none\n\n"
           "A memory limit below what is in use takes nothing away: nothing more can be had until "
           "use is below it.\n\n"
           "Exit status: 0 when it was changed, 1 when not, 2 for wrong use or a refused limit.",
};

/* Whether a tenant's device is the one that --gpu names. */
static bool use_is(const struct divvy_cli_seen_use *use, const char *gpu) {
    char index[16];

    (void)snprintf(index, sizeof index, "%.0f", use->index);
    return strcmp(gpu, index) == 0 ||
           divvy_core_uuid_text_equal(gpu, strlen(gpu), use->uuid, strlen(use->uuid));
}

/* The memory of the one device that a percentage is about. */
static int device_find(struct divvy_cli_client *client, const struct arguments *arguments,
                       struct divvy_cli_gpu *ret_gpu, struct divvy_error *error) {
    cleanup_free struct divvy_cli_seen_device *devices = NULL;
    struct divvy_cli_seen_tenant tenant;
    char path[DIVVY_CLI_TENANT_PATH_BYTES];
    const struct divvy_cli_seen_use *use = NULL;
    json_t *answer = NULL;
    size_t count = 0;

    if (divvy_cli_client_tenant_path(arguments->tenant, "", path, sizeof path, error) < 0 ||
        divvy_cli_client_call(client, "GET", path, NULL, DIVVY_CLI_CALL_MS, &answer, error) < 0)
        return error->status;
    divvy_cli_seen_tenant_read(answer, &tenant);
    json_decref(answer);
    answer = NULL;
    for (unsigned int i = 0; i < tenant.use_count && !use; i++)
        if (!arguments->gpu || use_is(&tenant.uses[i], arguments->gpu))
            use = &tenant.uses[i];
    if (!use)
        return divvy_error_set(error, -EINVAL, "--gpu '%.60s': the tenant does not use this GPU",
                               arguments->gpu ? arguments->gpu : "");
    if (!arguments->gpu && tenant.use_count > 1)
        return divvy_error_set(error, -EINVAL,
                               "--memory '%.20s': it uses %u GPUs; say of which one by --gpu, or "
                               "write a size such as 8GiB",
                               arguments->memory, tenant.use_count);
    if (divvy_cli_client_call(client, "GET", "/api/v1/node/devices", NULL, DIVVY_CLI_CALL_MS,
                              &answer, error) < 0)
        return error->status;
    (void)divvy_cli_seen_devices_read(answer, &devices, &count);
    json_decref(answer);
    for (size_t i = 0; i < count; i++)
        if (devices[i].memory_bytes > 0 && strcasecmp(devices[i].uuid, use->uuid) == 0) {
            ret_gpu->index = (uint32_t)devices[i].index;
            ret_gpu->memory_bytes = (uint64_t)devices[i].memory_bytes;
            return 0;
        }
    return divvy_error_set(error, -ENODEV,
                           "--memory '%.20s': the daemon does not know how much memory %.48s has; "
                           "write a size such as 8GiB",
                           arguments->memory, use->uuid);
}

static int memory_add(struct divvy_cli_client *client, const struct arguments *arguments,
                      json_t *change, struct divvy_error *error) {
    static struct divvy_cli_gpu gpu;
    divvy_core_size_t size;
    uint64_t bytes;

    if (strcasecmp(arguments->memory, "none") == 0)
        return json_object_set_new(change, "memory_limit_bytes", json_null());
    if (divvy_cli_plan_memory_parse(arguments->memory, &size, error) < 0)
        return error->status;
    bytes = size.value;
    if (size.kind == DIVVY_CORE_SIZE_PERCENT &&
        (device_find(client, arguments, &gpu, error) < 0 ||
         divvy_cli_plan_memory_resolve(&size, &gpu, &bytes, error) < 0))
        return error->status;
    if (bytes > INT64_MAX)
        return divvy_error_set(error, -ERANGE, "--memory '%.40s': no GPU has so much",
                               arguments->memory);
    return json_object_set_new(change, "memory_limit_bytes", json_integer((json_int_t)bytes));
}

/* What can be judged without the daemon comes first. */
static int change_make(const struct arguments *arguments, json_t *change,
                       struct divvy_error *error) {
    unsigned int percent;
    uint64_t weight;

    if (arguments->compute && strcasecmp(arguments->compute, "none") == 0) {
        (void)json_object_set_new(change, "compute_percent", json_null());
    } else if (arguments->compute) {
        if (divvy_cli_plan_compute_parse(arguments->compute, &percent, error) < 0)
            return error->status;
        (void)json_object_set_new(change, "compute_percent", json_integer(percent));
    }
    if (arguments->weight) {
        if (divvy_cli_plan_weight_parse(arguments->weight, &weight, error) < 0)
            return error->status;
        (void)json_object_set_new(change, "weight", json_integer((json_int_t)weight));
    }
    if (arguments->qos) {
        if (divvy_cli_plan_qos_check(arguments->qos, error) < 0)
            return error->status;
        (void)json_object_set_new(change, "qos", json_string(arguments->qos));
    }
    if (arguments->soft || arguments->hard)
        (void)json_object_set_new(change, "soft", json_boolean(arguments->soft));
    if (arguments->gpu)
        (void)json_object_set_new(change, "gpu", json_string(arguments->gpu));
    return 0;
}

static void tenant_print(const json_t *answer) {
    struct divvy_cli_seen_tenant tenant;
    char memory[DIVVY_CLI_VALUE_BYTES], compute[DIVVY_CLI_VALUE_BYTES];

    divvy_cli_seen_tenant_read(answer, &tenant);
    (void)printf("%s: qos %s", tenant.id, tenant.qos);
    for (unsigned int i = 0; i < tenant.use_count; i++) {
        const struct divvy_cli_seen_use *use = &tenant.uses[i];

        divvy_cli_format_size(use->limit_bytes, memory);
        divvy_cli_format_percent(use->compute_percent, compute);
        (void)printf("; GPU %.0f: memory %s, compute %s%s, weight %.0f", use->index,
                     use->limit_bytes < 0 ? "not limited" : memory,
                     use->compute_percent < 0 ? "not capped" : compute,
                     use->compute_percent < 0 ? ""
                     : use->soft              ? " (soft)"
                                              : " (hard)",
                     use->weight);
    }
    (void)putchar('\n');
}

static int change_send(struct divvy_cli_client *client, const struct arguments *arguments,
                       json_t *change, json_t **ret_answer, struct divvy_error *error) {
    char path[DIVVY_CLI_TENANT_PATH_BYTES];

    if (divvy_cli_client_tenant_path(arguments->tenant, "", path, sizeof path, error) < 0 ||
        (arguments->memory && memory_add(client, arguments, change, error) < 0))
        return error->status;
    return divvy_cli_client_call(client, "PATCH", path, change, DIVVY_CLI_CALL_MS, ret_answer,
                                 error);
}

int divvy_cli_verb_set(int argc, char **argv) {
    struct arguments arguments = {0};
    struct divvy_cli_client *client = NULL;
    struct divvy_error error = {0};
    divvy_core_size_t size;
    json_t *change = json_object(), *answer = NULL;
    int status;

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    status = change_make(&arguments, change, &error);
    if (status == 0 && arguments.memory && strcasecmp(arguments.memory, "none") != 0)
        status = divvy_cli_plan_memory_parse(arguments.memory, &size, &error);
    if (status == 0)
        status = divvy_cli_client_find(&client, &error);
    if (status == 0) {
        status = change_send(client, &arguments, change, &answer, &error);
        if (status < 0) {
            divvy_cli_act_advise(&error);
            (void)divvy_error_prefix(&error, "%.64s", arguments.tenant);
        }
    }
    divvy_cli_client_free(client);
    json_decref(change);
    if (status < 0)
        return divvy_cli_fail("set", &error);
    if (arguments.json)
        return divvy_cli_json_print(answer, 2, stdout);
    tenant_print(answer);
    json_decref(answer);
    return DIVVY_CLI_OK;
}
