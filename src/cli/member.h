/*
 * A tenant that the daemon keeps: entered with its limits, and taken out when its last process is
 * gone. Who enters it is its keeper; when the keeper is gone the daemon takes it out by itself.
 */
#ifndef DIVVY_CLI_MEMBER_H
#define DIVVY_CLI_MEMBER_H

#include "base/error.h"
#include "cli/client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct divvy_cli_member {
    struct divvy_cli_sockets socket; /* of the daemon */
    char id[129];
    json_t *spec; /* what POST /api/v1/tenants takes, but for keeper_pid */
    bool fails_open; /* the daemon's fail-policy, for DIVVY_FAIL_POLICY */
};

/* What is asked for on one GPU. */
struct divvy_cli_wish {
    const char *id;
    const char *gpu;       /* UUID */
    uint64_t memory_bytes; /* 0: no limit */
    unsigned int percent;  /* 0: no cap */
    int soft;
    uint64_t weight; /* 0: the daemon's choice */
    const char *qos; /* NULL: the daemon's choice */
};

/* Remembers the daemon behind a client, what it says of its node, and what to ask of it. -ENOMEM, or as a call fails. */
int divvy_cli_member_init(struct divvy_cli_member *member, struct divvy_cli_client *client,
                          const struct divvy_cli_wish *wish, struct divvy_error *error);

/* Whether the daemon has this GPU and takes work for it; -ENODEV with the reason. */
int divvy_cli_member_gpu_check(struct divvy_cli_client *client, const char *uuid,
                               struct divvy_error *error);

/*
 * Enters the tenant with the calling process as its keeper. ret_folder (size_bytes) is what goes
 * into DIVVY_TENANT_DIR. -EBUSY: the name is taken.
 */
int divvy_cli_member_enter(const struct divvy_cli_member *member, char *ret_folder,
                           size_t size_bytes, struct divvy_error *error);

/*
 * Takes it out. Errors are no errors here: where the daemon does not answer, the next one finds
 * that nobody keeps the tenant any more.
 */
void divvy_cli_member_leave(const struct divvy_cli_member *member);

#endif
