/*
 * Pools and VMs as they were configured, in an SQLite file. The relay reads it at its start and when it is told to, and writes what
 * must survive it (quarantine, faults); `divvy vm' writes the rest. Not thread-safe.
 */
#ifndef DIVVY_REMOTE_RELAY_STORE_H
#define DIVVY_REMOTE_RELAY_STORE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_RELAY_STORE_PATH  "/var/lib/divvy/relay.db"
#define DIVVY_RELAY_ADMIN_PATH  "/run/divvy/relay-admin.sock"
#define DIVVY_RELAY_STORE_POOLS 2u
#define DIVVY_RELAY_ID_MAX      UINT32_C(0x7FFFFFFE)
#define DIVVY_RELAY_STORE_GPUS_MAX    64u
#define DIVVY_RELAY_STORE_GPU_VMS     8u /* of a GPU for which nobody says another number */
#define DIVVY_RELAY_STORE_GPU_VMS_MAX 256u

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
    char shm[108];      /* a file of memory that it shares; empty: none */
    uint64_t shm_bytes; /* its size; 0: the file's own, or the relay's */
    char qmp[108];      /* the hypervisor's monitor, where it has the socket too; empty: none */
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

/*
 * A new VM; vm_id 0: the next free one, which is written back. -EEXIST: id, UUID or name are taken. -EDQUOT: the pool has GPUs and they
 * take no more. -EINVAL.
 */
int divvy_relay_store_add(struct divvy_relay_store *store, struct divvy_relay_store_vm *vm, struct divvy_error *error);
/* All values of the VM that has `vm_id` now. -ENOENT, -EEXIST, -EINVAL; -EDQUOT: its new pool takes no more. */
int divvy_relay_store_update(struct divvy_relay_store *store, uint32_t vm_id, const struct divvy_relay_store_vm *vm,
                             struct divvy_error *error);
int divvy_relay_store_remove(struct divvy_relay_store *store, uint32_t vm_id, struct divvy_error *error);

/* What the relay itself changes. 0, also where the VM is not registered; or a negative errno. */
int divvy_relay_store_faults(struct divvy_relay_store *store, uint32_t vm_id, bool quarantined, uint32_t error_count,
                             struct divvy_error *error);

/* --- GPUs and pools (store_gpus.c) ---------------------------------------------------------------------------------------- */

struct divvy_relay_store_gpu {
    uint32_t gpu_id;  /* NVML's index, 0 to GPUS_MAX - 1 */
    char uuid[48];    /* empty: not known */
    char name[96];    /* its model; empty: not known */
    char pool;        /* 'A' or 'B' */
    char worker[128]; /* where its worker listens; empty: the relay's command line says which workers serve the pool */
    uint32_t vms_max; /* so many VMs share it, 0 to 256 */
};

/* GPUs in order of their numbers; `ret_gpus` has room for DIVVY_RELAY_STORE_GPUS_MAX. */
int divvy_relay_store_gpus(struct divvy_relay_store *store, struct divvy_relay_store_gpu *ret_gpus, size_t *ret_count,
                           struct divvy_error *error);
/* Puts a GPU into a pool, or changes what is known of it. -EINVAL. */
int divvy_relay_store_gpu_set(struct divvy_relay_store *store, const struct divvy_relay_store_gpu *gpu, struct divvy_error *error);
/* Takes it out of its pool. -ENOENT. */
int divvy_relay_store_gpu_remove(struct divvy_relay_store *store, uint32_t gpu_id, struct divvy_error *error);

/* What a pool's GPUs take, and how many VMs it has. More used than total: the limit was lowered after they came. */
struct divvy_relay_store_capacity {
    uint32_t gpus, total, used;
};
int divvy_relay_store_capacity(struct divvy_relay_store *store, struct divvy_relay_store_capacity ret_pools[DIVVY_RELAY_STORE_POOLS],
                               struct divvy_error *error);

/* Settings by name, for programs around the relay. -ENOENT: not set; -ENOSPC: longer than `size`. */
int divvy_relay_store_setting_get(struct divvy_relay_store *store, const char *name, char *ret_value, size_t size,
                                  struct divvy_error *error);
/* NULL or empty: not set any more. */
int divvy_relay_store_setting_set(struct divvy_relay_store *store, const char *name, const char *value, struct divvy_error *error);

#endif
