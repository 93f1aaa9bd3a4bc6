/* divvy run: one tenant, limited, nothing else to set up. */
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/gpu.h"
#include "cli/member.h"
#include "cli/plan.h"
#include "cli/supervise.h"
#include "base/alone.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UP_LIMIT  "TENSOR_FUSION_CUDA_UP_LIMIT"
#define MEM_LIMIT "TENSOR_FUSION_CUDA_MEM_LIMIT"

struct arguments {
    const char *memory, *compute, *gpu, *name, *qos, *weight;
    int soft, no_daemon;
    char **program;
};

/* What was found out before anything is started. */
struct plan {
    struct divvy_install install;
    divvy_core_size_t memory;
    uint64_t memory_bytes;
    unsigned int percent;
    uint64_t weight; /* 0: not given */
    const struct divvy_cli_gpu *gpu;
    char name[DIVVY_CLI_NAME_MAX + 1];
};

enum {
    OPTION_MEMORY = 0x100,
    OPTION_COMPUTE,
    OPTION_GPU,
    OPTION_NAME,
    OPTION_QOS,
    OPTION_WEIGHT,
    OPTION_SOFT,
    OPTION_NO_DAEMON
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
    case OPTION_GPU:
        arguments->gpu = value;
        return 0;
    case OPTION_NAME:
        arguments->name = value;
        return 0;
    case OPTION_QOS:
        arguments->qos = value;
        return 0;
    case OPTION_WEIGHT:
        arguments->weight = value;
        return 0;
    case OPTION_SOFT:
        arguments->soft = 1;
        return 0;
    case OPTION_NO_DAEMON:
        arguments->no_daemon = 1;
        return 0;
    case ARGP_KEY_ARG:
        /* The program, and all that follows is its own. */
        arguments->program = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no PROGRAM is given");
        return 0;
    case ARGP_KEY_END:
        /* Only a daemon can weigh tenants against each other. */
        if (arguments->no_daemon && (arguments->qos || arguments->weight || arguments->soft))
            argp_error(state, "--qos, --weight and --soft need the daemon: not with --no-daemon");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"memory", OPTION_MEMORY, "SIZE", 0, "Device memory for the tenant: 8GiB, 8G, 800MiB, 50%", 0},
    {"compute", OPTION_COMPUTE, "PERCENT", 0, "Share of GPU time: 1% to 100%", 0},
    {"gpu", OPTION_GPU, "sim|N|UUID", 0, "The GPU; `sim' is the simulated one (default: the first)",
     0},
    {"name", OPTION_NAME, "TENANT", 0, "Name of the tenant (default: made up)", 0},
    {"soft", OPTION_SOFT, NULL, 0, "The share may be exceeded while nobody else wants the GPU", 0},
    {"weight", OPTION_WEIGHT, "N", 0, "Share when several want more than there is", 0},
    {"qos", OPTION_QOS, "CLASS", 0, "low, medium (default), high or critical", 0},
    {"no-daemon", OPTION_NO_DAEMON, NULL, 0,
     "Without divvyd: the limiter alone keeps the limits, less exactly", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .args_doc = "-- PROGRAM [ARGUMENT...]",
    .doc = "Run PROGRAM as one tenant of a GPU: all its processes together get the memory and the "
           "share of GPU "
           "time given here, and see a GPU of that size.\v"
           "Without --memory or --compute that resource is not limited. Without a GPU the "
           "simulated one is used.\n\n"
           "divvyd, started when none runs, deals out the GPU time; without it the limits still "
           "hold. `divvy ps' and `divvy top' show the tenant, `divvy set' changes it.\n\n"
           "For example:\n"
           "  divvy run --memory 8GiB --compute 30% -- python3 train.py\n"
           "  divvy run --memory 50% --qos high --name web -- ./serve\n\n"
           "Exit status: that of PROGRAM, 128+N when signal N ended it, 127 when it is not found, "
           "126 when it cannot "
           "be run, 2 when an argument is wrong (nothing is started then), 1 for other failures.",
};

static int limits_check(const struct arguments *arguments, struct plan *plan,
                        struct divvy_error *error) {
    int status = 0;

    if (arguments->memory)
        status = divvy_cli_plan_memory_parse(arguments->memory, &plan->memory, error);
    else
        status = divvy_cli_plan_variable_check(MEM_LIMIT, getenv(MEM_LIMIT), 1, error);
    if (status < 0)
        return status;
    if (arguments->weight &&
        divvy_cli_plan_weight_parse(arguments->weight, &plan->weight, error) < 0)
        return error->status;
    if (arguments->qos && divvy_cli_plan_qos_check(arguments->qos, error) < 0)
        return error->status;
    if (arguments->compute)
        return divvy_cli_plan_compute_parse(arguments->compute, &plan->percent, error);
    return divvy_cli_plan_variable_check(UP_LIMIT, getenv(UP_LIMIT), 0, error);
}

static int name_choose(const struct arguments *arguments, struct plan *plan,
                       struct divvy_error *error) {
    const char *outer = getenv("DIVVY_TENANT");

    if (outer && outer[0])
        return divvy_error_set(
            error, -EINVAL,
            "this is already inside the tenant '%.64s' (DIVVY_TENANT is set); a tenant cannot be "
            "divided again, start the other one outside",
            outer);
    if (!arguments->name) {
        divvy_cli_plan_name_default(arguments->program[0], getpid(), plan->name);
        return 0;
    }
    if (divvy_cli_plan_name_check(arguments->name, error) < 0)
        return error->status;
    (void)snprintf(plan->name, sizeof plan->name, "%s", arguments->name);
    return 0;
}

static int parts_find(struct plan *plan, struct divvy_error *error) {
    if (divvy_install_find(&plan->install, error) < 0)
        return error->status;
    if (!plan->install.limiter[0])
        return divvy_error_set(error, -ENOENT,
                               "libcuda_limiter.so is not where this divvy is installed (../lib or "
                               "../lib/divvy); install it again");
    /* The dynamic loader would split such a path and preload nothing. */
    if (strpbrk(plan->install.limiter, ": \t"))
        return divvy_error_set(
            error, -ENOENT,
            "%.150s: a path with ':' or blanks cannot be preloaded; install divvy "
            "elsewhere",
            plan->install.limiter);
    return 0;
}

/* MIG instances and other things that the user pinned by hand are left as they are. */
static bool is_pinned_to_instance(const char *visible) {
    return visible && strncasecmp(visible, "MIG-", 4) == 0;
}

/*
 * The device. The CUDA driver is asked when its own total decides (a percentage, or nearly all of
 * the memory) or when CUDA_VISIBLE_DEVICES has to be interpreted; else NVML is enough, and much
 * faster.
 */
static int gpu_choose(const struct arguments *arguments, struct plan *plan,
                      struct divvy_cli_gpu_list *list, struct divvy_error *error) {
    bool as_program = !arguments->gpu && getenv("CUDA_VISIBLE_DEVICES");
    unsigned int flags = 0;
    bool fell_back;

    if (as_program)
        flags = DIVVY_CLI_GPU_AS_PROGRAM;
    else if (arguments->memory && plan->memory.kind == DIVVY_CORE_SIZE_PERCENT)
        flags = DIVVY_CLI_GPU_WITH_CUDA;
    if (divvy_cli_gpu_list_choose(&plan->install, arguments->gpu, flags, list, &fell_back, error) <
            0 ||
        divvy_cli_gpu_pick(list, arguments->gpu, &plan->gpu, error) < 0)
        return error->status;
    if (arguments->memory && plan->memory.kind == DIVVY_CORE_SIZE_BYTES &&
        !plan->gpu->has_driver_facts && plan->memory.value > plan->gpu->memory_bytes / 10 * 9 &&
        (divvy_cli_gpu_list_choose(&plan->install, arguments->gpu, DIVVY_CLI_GPU_WITH_CUDA, list,
                                   &fell_back, error) < 0 ||
         divvy_cli_gpu_pick(list, arguments->gpu, &plan->gpu, error) < 0))
        return error->status;
    if (fell_back)
        divvy_cli_complain("run", "no GPU here; using the simulated GPU");
    if (arguments->memory &&
        divvy_cli_plan_memory_resolve(&plan->memory, plan->gpu, &plan->memory_bytes, error) < 0)
        return error->status;
    return 0;
}

static int variable_set(const char *name, const char *value, struct divvy_error *error) {
    if (value && setenv(name, value, 1) == 0)
        return 0;
    return divvy_error_set_errno(error, -ENOMEM, "cannot set %s", name);
}

static int list_variable_front(const char *name, const char *first, struct divvy_error *error) {
    cleanup_free char *list = divvy_install_list_front(first, getenv(name));

    return variable_set(name, list, error);
}

/* Everything that the tenant is told, in this process's environment, which the program inherits. */
static int environment_prepare(const struct plan *plan, const struct divvy_cli_gpu_list *list,
                               const char *folder, struct divvy_error *error) {
    char limit[DIVVY_CLI_LIMIT_TEXT_BYTES], uuid[DIVVY_CORE_UUID_TEXT_BYTES];
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");

    if (plan->memory_bytes) {
        divvy_cli_plan_limit_format(plan->gpu, plan->memory_bytes, limit);
        if (variable_set(MEM_LIMIT, limit, error) < 0)
            return error->status;
    }
    if (plan->percent) {
        divvy_cli_plan_limit_format(plan->gpu, plan->percent, limit);
        if (variable_set(UP_LIMIT, limit, error) < 0)
            return error->status;
    }
    /* The tenant has one GPU; by UUID, since CUDA and NVML may count in different orders. */
    divvy_cli_gpu_uuid_format(plan->gpu, uuid);
    if ((list->count > 1 || visible) && !is_pinned_to_instance(visible) &&
        variable_set("CUDA_VISIBLE_DEVICES", uuid, error) < 0)
        return error->status;
    if (list->simulated && plan->install.simulated_dir[0] &&
        list_variable_front("LD_LIBRARY_PATH", plan->install.simulated_dir, error) < 0)
        return error->status;
    if (variable_set("DIVVY_TENANT", plan->name, error) < 0 ||
        (folder && variable_set("DIVVY_TENANT_DIR", folder, error) < 0))
        return error->status;
    return list_variable_front("LD_PRELOAD", plan->install.limiter, error);
}

/*
 * The daemon, if there is one or one can be had, with what to ask of it in *ret_member. -ENOTCONN:
 * without one the tenant is on its own, and a line has said so. -EOPNOTSUPP: what was asked for only
 * a daemon can give.
 */
static int daemon_find(const struct arguments *arguments, const struct plan *plan,
                       struct divvy_cli_member *ret_member, struct divvy_error *error) {
    char uuid[DIVVY_CORE_UUID_TEXT_BYTES];
    struct divvy_cli_client *client = NULL;
    struct divvy_cli_wish wish = {
        .id = plan->name,
        .gpu = uuid,
        .memory_bytes = plan->memory_bytes,
        .percent = plan->percent,
        .soft = arguments->soft,
        .weight = plan->weight,
        .qos = arguments->qos,
    };
    int status = divvy_cli_daemon_ensure(&plan->install, &client, error);

    divvy_cli_gpu_uuid_format(plan->gpu, uuid);
    if (!arguments->memory)
        wish.memory_bytes = divvy_cli_plan_variable_value(getenv(MEM_LIMIT), 1, plan->gpu);
    if (!arguments->compute)
        wish.percent = (unsigned int)divvy_cli_plan_variable_value(getenv(UP_LIMIT), 0, plan->gpu);
    if (status == 0)
        status = divvy_cli_member_gpu_check(client, uuid, error);
    if (status == 0)
        status = divvy_cli_member_init(ret_member, client, &wish, error);
    divvy_cli_client_free(client);
    if (status == 0)
        return 0;
    if (arguments->qos || arguments->weight || arguments->soft) {
        (void)divvy_error_prefix(error, "--qos, --weight and --soft need the daemon");
        return -EOPNOTSUPP;
    }
    divvy_cli_complain("run", "%s; running without the daemon", error->text);
    return -ENOTCONN;
}

/* Without a daemon: the name is a folder of its own. */
static int run_alone(const struct arguments *arguments, const struct plan *plan,
                     const struct divvy_cli_gpu_list *list) {
    struct divvy_error error = {0};
    struct divvy_alone tenant;

    if (divvy_alone_open(plan->name, &tenant, &error) < 0) {
        (void)divvy_cli_fail("run", &error);
        return error.status == -EBUSY ? DIVVY_CLI_USAGE : DIVVY_CLI_FAILED;
    }
    if (environment_prepare(plan, list, tenant.path, &error) < 0) {
        divvy_alone_remove(&tenant);
        return divvy_cli_fail("run", &error);
    }
    return divvy_cli_supervise(arguments->program, &tenant, NULL);
}

int divvy_cli_verb_run(int argc, char **argv) {
    static struct divvy_cli_gpu_list list;
    static struct plan plan;
    static struct divvy_cli_member member;
    struct arguments arguments = {0};
    struct divvy_error error = {0};
    int status;

    if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &arguments) != 0 || !arguments.program)
        return DIVVY_CLI_USAGE;
    if (limits_check(&arguments, &plan, &error) < 0 || name_choose(&arguments, &plan, &error) < 0 ||
        parts_find(&plan, &error) < 0 || gpu_choose(&arguments, &plan, &list, &error) < 0)
        return divvy_cli_fail("run", &error);
    if (arguments.no_daemon)
        return run_alone(&arguments, &plan, &list);
    status = daemon_find(&arguments, &plan, &member, &error);
    if (status == -ENOTCONN)
        return run_alone(&arguments, &plan, &list);
    if (status < 0) {
        divvy_cli_complain("run", "%s", error.text);
        return DIVVY_CLI_FAILED;
    }
    /* What stands in the environment already is stronger. */
    if (environment_prepare(&plan, &list, NULL, &error) < 0 ||
        (member.fails_open && !getenv("DIVVY_FAIL_POLICY") &&
         variable_set("DIVVY_FAIL_POLICY", "open", &error) < 0))
        return divvy_cli_fail("run", &error);
    return divvy_cli_supervise(arguments.program, NULL, &member);
}
