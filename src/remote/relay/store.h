/*
 * Pools and VMs as they were configured, in an SQLite file. The relay reads it at its start and when it is told to, and writes what
 * must survive it (quarantine, faults); `divvy vm' writes the rest. Not thread-safe.
 */
#ifndef DIVVY_REMOTE_RELAY_STORE_H
#define DIVVY_REMOTE_RELAY_STORE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_RELAY_STORE_PATH  "/var/lib/divvy/relay.db"
#define DIVVY_RELAY_ADMIN_PATH  "/run/divvy/relay-admin.sock"
#define DIVVY_RELAY_STORE_POOLS 2u
#define DIVVY_RELAY_ID_MAX      UINT32_C(0x7FFFFFFE)

struct divvy_relay_store_vm {
    uint32_t vm_id;
    char uuid[40];   /* empty: none */
    char name[64];   /* letters, digits, '.', '_', '-' */
    char pool;       /* 'A' or 'B' */
    uint32_t priority, weight, rate, depth; /* 0 to 2; 1 to 100; 0: no limit; 0: the relay's */
    bool quarantined;
    uint32_t error_count;
    char socket[108]; /* empty: none */
    bool connects;    /* the socket is the hypervisor's */
    char created_at[32], updated_at[32]; /* written by the store */
};

struct divvy_relay_store;

/* Opens or makes the file, with its tables and both pools. `busy_ms`: how long another's lock is waited for. 0 or a negative errno. */
int divvy_relay_store_open(const char *path, int busy_ms, struct divvy_relay_store **ret_store, struct divvy_error *error);
void divvy_relay_store_close(struct divvy_relay_store *store); /* NULL is fine */

/* Calls `each` for the VMs in order of their ids until it answers other than 0, which is then the result. */
int divvy_relay_store_each(struct divvy_relay_store *store, int (*each)(const struct divvy_relay_store_vm *vm, void *data), void *data,
                           struct divvy_error *error);

/* One VM by number, UUID or name, whichever `key` is; -ENOENT. */
int divvy_relay_store_find(struct divvy_relay_store *store, const char *key, struct divvy_relay_store_vm *ret_vm,
                           struct divvy_error *error);

/* What is wrong with a VM's values, -EINVAL; or 0. */
int divvy_relay_store_check(const struct divvy_relay_store_vm *vm, struct divvy_error *error);

/* A new VM; vm_id 0: the next free one, which is written back. -EEXIST: id, UUID or name are taken. -EINVAL. */
int divvy_relay_store_add(struct divvy_relay_store *store, struct divvy_relay_store_vm *vm, struct divvy_error *error);
/* All values of the VM that has `vm_id` now. -ENOENT, -EEXIST, -EINVAL. */
int divvy_relay_store_update(struct divvy_relay_store *store, uint32_t vm_id, const struct divvy_relay_store_vm *vm,
                             struct divvy_error *error);
int divvy_relay_store_remove(struct divvy_relay_store *store, uint32_t vm_id, struct divvy_error *error);

/* What the relay itself changes. 0, also where the VM is not registered; or a negative errno. */
int divvy_relay_store_faults(struct divvy_relay_store *store, uint32_t vm_id, bool quarantined, uint32_t error_count,
                             struct divvy_error *error);

#endif
