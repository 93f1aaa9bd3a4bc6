/* CloudStack's machines and this host's vGPUs: what the configuration says, and making the latter follow the former. */
#ifndef DIVVY_CLI_CLOUDSTACK_SYNC_H
#define DIVVY_CLI_CLOUDSTACK_SYNC_H

#include "cli/client.h"
#include "cli/cloudstack.h"

#include <stdbool.h>

#define DIVVY_CLOUDSTACK_RULES_MAX 64u
#define DIVVY_CLOUDSTACK_PREFIX    "cs-" /* of the names of assignments that are CloudStack's; others are never touched */

/* What machines of an offering, or with this kind of vGPU, get. */
struct divvy_cloudstack_rule {
    char offering[128], vgpu[128]; /* one of them is set */
    char pool[2], priority[8];     /* empty: the agent's choice; medium */
    uint32_t weight, rate, depth;  /* 0 for the first: the default */
};

struct divvy_cloudstack_config {
    struct divvy_cloudstack cloud;
    char host[128];     /* as CloudStack calls this machine; empty: all hosts */
    char host_tag[64];  /* of the host while there is room; empty: none */
    char socket[108];   /* of a machine's channel, {uuid} and {instance} in it; empty: the agent's choice */
    bool connects;      /* the hypervisor listens there */
    uint32_t interval_s;
    struct divvy_cloudstack_rule rules[DIVVY_CLOUDSTACK_RULES_MAX];
    size_t rule_count;
};

/* Reads a file (docs/CLOUDSTACK.md) and the credentials that it names. -EINVAL with the key's name; -EPERM: others can read the credentials. */
int divvy_cloudstack_config_read(const char *path, struct divvy_cloudstack_config *ret_config, struct divvy_error *error);

/* Which rule a machine falls under, or NULL. Pure. */
const struct divvy_cloudstack_rule *divvy_cloudstack_rule_find(const struct divvy_cloudstack_config *config,
                                                               const struct divvy_cloudstack_vm *vm);

enum divvy_cloudstack_wish {
    DIVVY_CLOUDSTACK_RELEASE, /* it is to have none */
    DIVVY_CLOUDSTACK_KEEP,    /* whatever it has */
    DIVVY_CLOUDSTACK_ASSIGN
};
/* By rule, host and state. Pure. */
enum divvy_cloudstack_wish divvy_cloudstack_wish(const struct divvy_cloudstack_config *config, const struct divvy_cloudstack_vm *vm);

/* What one round did; all counted, and what failed told on standard error once it is known. */
struct divvy_cloudstack_round {
    unsigned int vms, assigned, released, failed;
    json_t *deeds; /* [{vm, uuid, did, error?}], the caller's */
};

/*
 * One round: machines that run get what their rule says, others give it back. `only_tell`: nothing is done. Negative: one of the two lists
 * could not be had whole, and nothing was done; else 0, also where single machines failed.
 */
int divvy_cloudstack_round(const struct divvy_cloudstack_config *config, struct divvy_cli_client *agent, bool only_tell,
                           struct divvy_cloudstack_round *ret_round, struct divvy_error *error);

#endif
