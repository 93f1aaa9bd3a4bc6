/* The commands and flags of ggo: see grammar.h. */
#include "agent/grammar.h"
#include "agent/verbs.h"

#define F(flag) (UINT64_C(1) << DIVVY_AGENT_##flag)

/* What all commands of a group take. */
#define OF_AGENT                                                                                   \
    (F(CONFIG_DIR) | F(STATE_DIR) | F(SERVER) | F(ACCELERATOR_LIB) | F(WORKER_BINARY) |            \
     F(SINGLE_NODE) | F(ISOLATION_MODE) | F(OUTPUT))
#define OF_USER (F(CONFIG_DIR) | F(SERVER) | F(TOKEN) | F(OUTPUT))

const struct divvy_agent_flag_entry divvy_agent_flags[DIVVY_AGENT_FLAG_MAX] = {
    [DIVVY_AGENT_HELP] = {"help", 'h', DIVVY_AGENT_SWITCH, NULL, "explain"},
    [DIVVY_AGENT_VERBOSE] = {"verbose", 'v', DIVVY_AGENT_SWITCH, NULL,
                             "tell more of what happens, on stderr"},
    [DIVVY_AGENT_CONFIG_DIR] = {"config-dir", 0, DIVVY_AGENT_TEXT, "DIR",
                                "folder of the registration (GGO_CONFIG_DIR)"},
    [DIVVY_AGENT_STATE_DIR] = {"state-dir", 0, DIVVY_AGENT_TEXT, "DIR",
                               "folder of workers.json (TENSOR_FUSION_STATE_DIR)"},
    [DIVVY_AGENT_SERVER] = {"server", 0, DIVVY_AGENT_TEXT, "URL", "the platform (GPU_GO_ENDPOINT)"},
    [DIVVY_AGENT_ACCELERATOR_LIB] = {"accelerator-lib", 0, DIVVY_AGENT_TEXT, "FILE",
                                     "library that finds GPUs; else searched for"},
    [DIVVY_AGENT_WORKER_BINARY] = {"worker-binary", 0, DIVVY_AGENT_TEXT, "FILE",
                                   "program of the workers (tensor-fusion-worker)"},
    [DIVVY_AGENT_SINGLE_NODE] = {"single-node", 0, DIVVY_AGENT_SWITCH, NULL,
                                 "the state folder decides what runs"},
    [DIVVY_AGENT_ISOLATION_MODE] = {"isolation-mode", 0, DIVVY_AGENT_CHOICE,
                                    "shared|soft|partitioned",
                                    "for workers that name none (shared)"},
    [DIVVY_AGENT_OUTPUT] = {"output", 'o', DIVVY_AGENT_CHOICE, "table|json",
                            "for people or for machines (table)"},
    [DIVVY_AGENT_TOKEN] = {"token", 't', DIVVY_AGENT_TEXT, "TOKEN", "credential (GPU_GO_TOKEN)"},
    [DIVVY_AGENT_FORCE] = {"force", 'f', DIVVY_AGENT_SWITCH, NULL,
                           "do not ask, go on over obstacles"},
    [DIVVY_AGENT_AGENT_ID] = {"agent-id", 0, DIVVY_AGENT_TEXT, "ID", "the agent's id"},
    [DIVVY_AGENT_HOSTNAME] = {"hostname", 0, DIVVY_AGENT_TEXT, "NAME", "the machine's name"},
    [DIVVY_AGENT_NAME] = {"name", 0, DIVVY_AGENT_TEXT, "NAME", "the worker's name"},
    [DIVVY_AGENT_GPU_IDS] = {"gpu-ids", 0, DIVVY_AGENT_TEXT, "ID,...", "GPUs of the worker"},
    [DIVVY_AGENT_PORT] = {"port", 0, DIVVY_AGENT_PORT_NR, "PORT", "TCP port of the worker (9001)"},
    [DIVVY_AGENT_ENABLED] = {"enabled", 0, DIVVY_AGENT_SWITCH, NULL, "the worker shall run"},
    [DIVVY_AGENT_DISABLED] = {"disabled", 0, DIVVY_AGENT_SWITCH, NULL, "the worker shall not run"},
    [DIVVY_AGENT_WORKER_ID] = {"worker-id", 0, DIVVY_AGENT_TEXT, "ID", "the worker's id"},
    [DIVVY_AGENT_CONNECTION_IP] = {"connection-ip", 0, DIVVY_AGENT_TEXT, "IP",
                                   "address that clients connect to"},
    [DIVVY_AGENT_EXPIRES_IN] = {"expires-in", 0, DIVVY_AGENT_DURATION, "TIME",
                                "how long the share lasts: 24h, 7d, 2w"},
    [DIVVY_AGENT_MAX_USES] = {"max-uses", 0, DIVVY_AGENT_COUNT, "N",
                              "how often it can be used; 0: no limit"},
    [DIVVY_AGENT_LONG_TERM] = {"long-term", 0, DIVVY_AGENT_SWITCH, NULL, "keep it until ggo clean"},
    [DIVVY_AGENT_OUTPUT_DIR] = {"output-dir", 0, DIVVY_AGENT_TEXT, "DIR", "put env.sh there"},
    [DIVVY_AGENT_YES] = {"yes", 'y', DIVVY_AGENT_SWITCH, NULL, "no questions, no hints: for eval"},
    [DIVVY_AGENT_ALL] = {"all", 0, DIVVY_AGENT_SWITCH, NULL, "all of them"},
    [DIVVY_AGENT_SHARE_LINK] = {"share", 's', DIVVY_AGENT_TEXT, "LINK",
                                "code or link of the share"},
};

const struct divvy_agent_group divvy_agent_groups[] = {
    {"agent", "join this machine to the platform and run its workers"},
    {"worker", "manage workers: servers of GPUs on a machine"},
    {"share", "let others use a worker"},
    {NULL, NULL},
};

const struct divvy_agent_command divvy_agent_commands[] = {
    {"agent register", "", 0, 0, false, OF_AGENT | F(TOKEN) | F(FORCE), divvy_agent_verb_register,
     "register this machine and its GPUs with the platform",
     "  ggo agent register --token tmp_abc\n"
     "  GPU_GO_MOCK_GPUS=2 ggo agent register --token tmp_abc   two GPUs that are none\n"},
    {"agent start", "", 0, 0, false, OF_AGENT, divvy_agent_verb_start,
     "run the workers of this machine, until stopped",
     "  ggo agent start\n"
     "  ggo agent start --single-node --worker-binary ./tensor-fusion-worker\n"},
    {"agent status", "", 0, 0, false, OF_AGENT, divvy_agent_verb_status,
     "tell what is known here, without asking the platform", "  ggo agent status -o json\n"},
    {"agent unregister", "", 0, 0, false, OF_AGENT | F(FORCE) | F(TOKEN),
     divvy_agent_verb_unregister, "remove this machine from the platform",
     "  ggo agent unregister\n"
     "  ggo agent unregister --force   also when the platform cannot be reached\n"},
    {"agent list", "", 0, 0, false, OF_AGENT | F(TOKEN), divvy_agent_verb_list,
     "list your machines", "  ggo agent list\n"},
    {"agent get", "ID", 1, 1, false, OF_AGENT | F(TOKEN), divvy_agent_verb_get, "show a machine",
     "  ggo agent get agent_1 -o json\n"},
    {"worker list", "", 0, 0, false, OF_USER | F(AGENT_ID) | F(HOSTNAME),
     divvy_agent_verb_worker_list, "list workers", "  ggo worker list --hostname gpu-box\n"},
    {"worker create", "", 0, 0, false,
     OF_USER | F(AGENT_ID) | F(NAME) | F(GPU_IDS) | F(PORT) | F(ENABLED),
     divvy_agent_verb_worker_create, "create a worker; what is missing is asked for on a terminal",
     "  ggo worker create --agent-id agent_1 --name train --gpu-ids gpu-0,gpu-1\n"},
    {"worker get", "ID", 1, 1, false, OF_USER, divvy_agent_verb_worker_get, "show a worker",
     "  ggo worker get wk_1\n"},
    {"worker update", "ID", 1, 1, false,
     OF_USER | F(NAME) | F(GPU_IDS) | F(PORT) | F(ENABLED) | F(DISABLED),
     divvy_agent_verb_worker_update, "change a worker", "  ggo worker update wk_1 --disabled\n"},
    {"worker delete", "ID", 1, 1, false, OF_USER | F(FORCE), divvy_agent_verb_worker_delete,
     "delete a worker", "  ggo worker delete wk_1 --force\n"},
    {"worker share", "[NAME]", 0, 1, false,
     OF_USER | F(WORKER_ID) | F(CONNECTION_IP) | F(EXPIRES_IN) | F(MAX_USES),
     divvy_agent_verb_share_create, "share a worker: the same as share create",
     "  ggo worker share train --connection-ip 10.0.0.5\n"},
    {"share create", "[WORKER-NAME]", 0, 1, false,
     OF_USER | F(WORKER_ID) | F(CONNECTION_IP) | F(EXPIRES_IN) | F(MAX_USES),
     divvy_agent_verb_share_create, "make a link by which a worker can be used",
     "  ggo share create --worker-id wk_1 --connection-ip 10.0.0.5 --expires-in 7d\n"},
    {"share list", "", 0, 0, false, OF_USER, divvy_agent_verb_share_list, "list your shares",
     "  ggo share list\n"},
    {"share get", "CODE", 1, 1, false, OF_USER, divvy_agent_verb_share_get,
     "show what a share leads to", "  ggo share get https://gpu.tf/s/abc123\n"},
    {"share delete", "ID", 1, 1, false, OF_USER | F(FORCE), divvy_agent_verb_share_delete,
     "withdraw a share", "  ggo share delete sh_1 --force\n"},
    {"use", "CODE", 1, 1, false, F(SERVER) | F(LONG_TERM) | F(OUTPUT) | F(OUTPUT_DIR) | F(YES),
     divvy_agent_verb_use, "prepare a shell for a shared GPU", "  eval \"$(ggo use abc123 -y)\"\n"},
    {"clean", "[CODE]", 0, 1, false, F(ALL) | F(YES), divvy_agent_verb_clean, "undo ggo use",
     "  eval \"$(ggo clean --all -y)\"\n"},
    {"launch", "PROGRAM [ARGUMENT...]", 1, 1, true, F(SHARE_LINK) | F(SERVER),
     divvy_agent_verb_launch, "run a program on a shared GPU",
     "  ggo launch -s abc123 python3 train.py\n"},
    {NULL, NULL, 0, 0, false, 0, NULL, NULL, NULL},
};
