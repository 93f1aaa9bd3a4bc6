/*
 * The VMs behind a relay of this host, as its state file has them (remote/relay/store.h): shapes, and what an orchestrator does with
 * them. Blocks on the file and on the relay.
 */
#ifndef DIVVY_DAEMON_HTTP_VGPU_H
#define DIVVY_DAEMON_HTTP_VGPU_H

#include "base/error.h"
#include "daemon/http/http.h"
#include "remote/relay/store.h"

#include <jansson.h>
#include <stdbool.h>

/* What a body of a POST asks for. */
struct divvy_http_vgpu_wish {
    struct divvy_relay_store_vm vm; /* pool 0: whichever has most room */
    bool has_priority, has_weight, has_rate, has_depth, has_socket; /* else the defaults, or what there is */
};

/* -EINVAL with the field's name in `error`. Pure. */
int divvy_http_vgpu_wish_read(const json_t *body, struct divvy_http_vgpu_wish *ret_wish, struct divvy_error *error);

/* An assignment, and with what a stub would be started for it. NULL: no memory. Pure. */
json_t *divvy_http_vgpu_json(const struct divvy_relay_store_vm *vm);
/* {total, used, free, pools: […], gpus: […]}. */
json_t *divvy_http_vgpu_capacity_json(const struct divvy_relay_store_capacity pools[DIVVY_RELAY_STORE_POOLS],
                                      const struct divvy_relay_store_gpu *gpus, size_t gpu_count);

/* Opens the state; it is not made here. -ENODEV: no relay was set up. */
int divvy_http_vgpu_open(const struct divvy_http_vgpu *vgpu, struct divvy_relay_store **ret_store, struct divvy_error *error);

/* The VM with this name or UUID; numbers do not count, for they are given again. -ENOENT. */
int divvy_http_vgpu_find(struct divvy_relay_store *store, const char *key, struct divvy_relay_store_vm *ret_vm,
                         struct divvy_error *error);

/*
 * Registers a VM and has the relay take it. *ret_is_new false: there is one with the same values already. *ret_is_live: a relay runs and
 * has it. -EEXIST: the name, UUID or id is another's, or its values are others; -EDQUOT: no room; -EINVAL; what the relay said, and
 * then nothing is registered.
 */
int divvy_http_vgpu_create(const struct divvy_http_vgpu *vgpu, struct divvy_relay_store *store,
                           const struct divvy_http_vgpu_wish *wish, struct divvy_relay_store_vm *ret_vm, bool *ret_is_new,
                           bool *ret_is_live, struct divvy_error *error);

/* 1: it is gone; 0: there was none. The relay is told in any case. */
int divvy_http_vgpu_destroy(const struct divvy_http_vgpu *vgpu, struct divvy_relay_store *store, const char *key,
                            struct divvy_error *error);

/* What the relay counted, an object, the caller's. *ret_usage NULL: none runs. */
int divvy_http_vgpu_metrics(const struct divvy_http_vgpu *vgpu, json_t **ret_usage, struct divvy_error *error);

#endif
