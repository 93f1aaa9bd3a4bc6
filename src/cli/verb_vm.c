/* divvy vm: the virtual machines behind a relay. This finds the part that does what is asked, and reads its command line. */
#include "cli/cli.h"
#include "cli/vm.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_STATE = 0x100,
    OPTION_ADMIN,
    OPTION_JSON,
    OPTION_UUID,
    OPTION_NAME,
    OPTION_ID,
    OPTION_POOL,
    OPTION_POOL_ID,
    OPTION_PRIORITY,
    OPTION_WEIGHT,
    OPTION_RATE,
    OPTION_DEPTH,
    OPTION_SOCKET,
    OPTION_CONNECTS,
    OPTION_SHM,
    OPTION_SHM_SIZE,
    OPTION_QMP,
    OPTION_YES,
    OPTION_PROMETHEUS,
    OPTION_GPU,
    OPTION_GPU_ID,
    OPTION_WORKER,
    OPTION_VMS_MAX,
};

static const struct argp_option options[] = {
    {"vm-name", OPTION_NAME, "NAME", 0, "The VM's name", 0},
    {"vm-uuid", OPTION_UUID, "UUID", 0, "Its UUID", 0},
    {"vm-id", OPTION_ID, "N", 0, "Its number; on Xen the domain's. New VMs: the next free one", 0},
    {"pool", OPTION_POOL, "A|B", 0, "Its pool (A)", 0},
    {"pool-id", OPTION_POOL_ID, "A|B", 0, "The same", 0},
    {"priority", OPTION_PRIORITY, "CLASS", 0, "low, medium or high (medium)", 0},
    {"weight", OPTION_WEIGHT, "N", 0, "1 to 100: its part of GPU time among others (50)", 0},
    {"rate", OPTION_RATE, "N", 0, "Jobs a second; 0: no limit", 0},
    {"queue-depth", OPTION_DEPTH, "N", 0, "Jobs that may wait; 0: the relay's limit", 0},
    {"socket", OPTION_SOCKET, "PATH", 0, "The unix socket of its channel", 0},
    {"connects", OPTION_CONNECTS, NULL, 0, "The hypervisor listens there, the relay connects", 0},
    {"shm", OPTION_SHM, "FILE", 0, "Memory that it shares with the relay (QEMU: ivshmem-plain), or none", 0},
    {"shm-size", OPTION_SHM_SIZE, "SIZE", 0, "Its size, where the file is not there yet", 0},
    {"qmp", OPTION_QMP, "PATH", 0, "The hypervisor's monitor (QEMU: -qmp unix:PATH), or none", 0},
    {"gpu-id", OPTION_GPU_ID, "N", 0, "The GPU's number, as scan-gpus lists it", 0},
    {"worker", OPTION_WORKER, "ADDRESS", 0, "Where the GPU's worker listens: HOST:PORT, PORT or a unix socket", 0},
    {"max-vms", OPTION_VMS_MAX, "N", 0, "So many VMs may share the GPU (8)", 0},
    {"gpu", OPTION_GPU, "sim", 0, "Look at the simulated GPUs", 0},
    {"yes", OPTION_YES, NULL, 0, "Do not ask", 0},
    {"prometheus", OPTION_PROMETHEUS, NULL, 0, "Metrics as Prometheus reads them", 0},
    {"state", OPTION_STATE, "FILE", 0, "The relay's state (DIVVY_RELAY_STATE, else " DIVVY_RELAY_STORE_PATH ")", 0},
    {"admin", OPTION_ADMIN, "SOCKET", 0, "The relay's socket (DIVVY_RELAY_ADMIN, else " DIVVY_RELAY_ADMIN_PATH ")", 0},
    {"json", OPTION_JSON, NULL, 0, "For machines: JSON", 0},
    {0},
};

static const struct part {
    const char *name;
    divvy_cli_vm_part_t *run;
    const char *about;
} parts[] = {
    {"register-vm", divvy_cli_vm_register, "register a VM: --vm-name or --vm-uuid"},
    {"update-vm", divvy_cli_vm_update, "change what is registered"},
    {"set-pool", divvy_cli_vm_update, "move a VM to another pool: VM --pool"},
    {"set-priority", divvy_cli_vm_update, "change its class: VM --priority"},
    {"set-vm-id", divvy_cli_vm_update, "change its number: VM --vm-id"},
    {"set-weight", divvy_cli_vm_update, "change its weight: VM --weight"},
    {"set-rate-limit", divvy_cli_vm_update, "change its limits: VM --rate [--queue-depth]"},
    {"remove-vm", divvy_cli_vm_remove, "forget a VM"},
    {"list-vms", divvy_cli_vm_list, "list the VMs [--pool] [--priority]"},
    {"show-vm", divvy_cli_vm_show, "show one VM"},
    {"show-weights", divvy_cli_vm_list, "list the VMs with their weights"},
    {"show-rate-limits", divvy_cli_vm_list, "list the VMs with their limits"},
    {"list-pools", divvy_cli_vm_pools, "list the pools"},
    {"show-pool", divvy_cli_vm_pools, "show a pool: --pool-id"},
    {"status", divvy_cli_vm_status, "pools, GPUs, VMs and workers"},
    {"quarantine-vm", divvy_cli_vm_quarantine, "put a VM under quarantine"},
    {"clear-quarantine", divvy_cli_vm_clear, "lift it; the VM's faults are zero again"},
    {"show-metrics", divvy_cli_vm_metrics, "what was counted [--prometheus]"},
    {"show-health", divvy_cli_vm_health, "whether there are workers, and how the GPUs are"},
    {"show-connections", divvy_cli_vm_connections, "connections of VMs"},
    {"scan-gpus", divvy_cli_vm_scan_gpus, "list the GPUs of this host and of the pools"},
    {"assign-gpu", divvy_cli_vm_assign_gpu, "put a GPU into a pool: --gpu-id --pool A|B|none"},
    {"scan-vms", divvy_cli_vm_scan, "list the VMs that run on this host"},
    {"set-hook", divvy_cli_vm_set_hook, "the program that stops and starts VMs, or none"},
    {"reload-config", divvy_cli_vm_reload, "have the relay read its state again"},
};

#define PART_COUNT (sizeof parts / sizeof parts[0])

static void usage_print(FILE *out) {
    (void)fputs("Usage: divvy vm WHAT [VM] [OPTION...]\n"
                "The virtual machines behind divvy-relay, whose GPU work it takes to workers.\n\n",
                out);
    for (size_t i = 0; i < PART_COUNT; i++)
        (void)fprintf(out, "  %-17s %s\n", parts[i].name, parts[i].about);
    (void)fputs("\nFor example:\n"
                "  divvy vm register-vm --vm-name web --pool B --socket /run/divvy/web.sock\n"
                "  divvy vm set-weight web --weight 80\n"
                "  divvy vm show-metrics\n\n"
                "`divvy vm WHAT --help' explains one. Changes hold at once where a relay runs,\n"
                "and survive its restart.\n\n"
                "Exit status: 0 when it was done, 1 when it was not, 2 for wrong use.\n",
                out);
}

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct divvy_cli_vm_arguments *a = state->input;
    const struct {
        int key;
        const char **text;
        int *flag;
    } targets[] = {
        {OPTION_STATE, &a->state, NULL},       {OPTION_ADMIN, &a->admin, NULL},   {OPTION_UUID, &a->uuid, NULL},
        {OPTION_NAME, &a->name, NULL},         {OPTION_ID, &a->id, NULL},         {OPTION_POOL, &a->pool, NULL},
        {OPTION_POOL_ID, &a->pool, NULL},      {OPTION_WEIGHT, &a->weight, NULL}, {OPTION_PRIORITY, &a->priority, NULL},
        {OPTION_RATE, &a->rate, NULL},         {OPTION_DEPTH, &a->depth, NULL},   {OPTION_SOCKET, &a->socket, NULL},
        {OPTION_JSON, NULL, &a->json},         {OPTION_YES, NULL, &a->yes},       {OPTION_CONNECTS, NULL, &a->connects},
        {OPTION_PROMETHEUS, NULL, &a->prometheus},
        {OPTION_GPU, &a->gpu, NULL},           {OPTION_GPU_ID, &a->gpu_id, NULL}, {OPTION_WORKER, &a->worker, NULL},
        {OPTION_VMS_MAX, &a->vms_max, NULL},   {OPTION_SHM, &a->shm, NULL},       {OPTION_SHM_SIZE, &a->shm_size, NULL},
        {OPTION_QMP, &a->qmp, NULL},
    };

    if (key == ARGP_KEY_ARG && state->arg_num == 0) {
        a->vm = value;
        return 0;
    }
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (targets[i].key == key) {
            if (targets[i].text)
                *targets[i].text = value;
            else
                *targets[i].flag = 1;
            return 0;
        }
    return ARGP_ERR_UNKNOWN;
}

static int part_run(const struct part *part, int argc, char **argv) {
    const char *state = getenv("DIVVY_RELAY_STATE"), *admin = getenv("DIVVY_RELAY_ADMIN");
    struct divvy_cli_vm_arguments arguments = {.state = state && state[0] ? state : DIVVY_RELAY_STORE_PATH,
                                               .admin = admin && admin[0] ? admin : DIVVY_RELAY_ADMIN_PATH};
    char doc[256], name[64];
    const struct argp parser = {.options = options, .parser = argument_take, .args_doc = "[VM]", .doc = doc};

    (void)snprintf(doc, sizeof doc, "divvy vm %s: %s.\vVM is a name, a UUID or an id.\n\nExit status: 0 when it was done, 1 when it was not, 2 for wrong use.",
                   part->name, part->about);
    (void)snprintf(name, sizeof name, "divvy vm %s", part->name);
    argv[0] = name;
    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    return part->run(part->name, &arguments);
}

int divvy_cli_verb_vm(int argc, char **argv) {
    if (argc < 2) {
        usage_print(stderr);
        return DIVVY_CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0 || strcmp(argv[1], "help") == 0) {
        usage_print(stdout);
        return DIVVY_CLI_OK;
    }
    for (size_t i = 0; i < PART_COUNT; i++)
        if (strcmp(parts[i].name, argv[1]) == 0)
            return part_run(&parts[i], argc - 1, argv + 1);
    divvy_cli_complain("vm", "there is no '%.40s' (`divvy vm help' lists what there is)", argv[1]);
    return DIVVY_CLI_USAGE;
}

int divvy_cli_vm_fail(const char *what, const struct divvy_error *error) {
    (void)fprintf(stderr, "divvy vm %s: %s\n", what, error->text);
    return error->status == -EINVAL ? DIVVY_CLI_USAGE : DIVVY_CLI_FAILED;
}
