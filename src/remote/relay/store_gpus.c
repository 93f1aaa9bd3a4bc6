/* GPUs of pools, what they take, and settings: see store.h. */
#include "remote/relay/store_inside.h"

#include <errno.h>
#include <string.h>

int divvy_relay_store_gpus(struct divvy_relay_store *store, struct divvy_relay_store_gpu *ret_gpus, size_t *ret_count,
                           struct divvy_error *error) {
    sqlite3_stmt *row;
    int step;

    *ret_count = 0;
    if (sqlite3_prepare_v2(store->db, "SELECT gpu_id, uuid, gpu_name, pool_id, worker, max_vms FROM gpus ORDER BY gpu_id", -1, &row,
                           NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state's GPUs", error);
    while ((step = sqlite3_step(row)) == SQLITE_ROW && *ret_count < DIVVY_RELAY_STORE_GPUS_MAX) {
        struct divvy_relay_store_gpu *gpu = &ret_gpus[(*ret_count)++];
        char pool[4];

        *gpu = (struct divvy_relay_store_gpu){.gpu_id = (uint32_t)sqlite3_column_int64(row, 0),
                                              .vms_max = (uint32_t)sqlite3_column_int64(row, 5)};
        divvy_relay_store_text(row, 1, gpu->uuid, sizeof gpu->uuid);
        divvy_relay_store_text(row, 2, gpu->name, sizeof gpu->name);
        divvy_relay_store_text(row, 3, pool, sizeof pool);
        gpu->pool = pool[0];
        divvy_relay_store_text(row, 4, gpu->worker, sizeof gpu->worker);
    }
    if (step != SQLITE_DONE && step != SQLITE_ROW)
        (void)divvy_relay_store_failed(store, "the state's GPUs", error);
    (void)sqlite3_finalize(row);
    return step == SQLITE_DONE || step == SQLITE_ROW ? 0 : -EIO;
}

int divvy_relay_store_gpu_set(struct divvy_relay_store *store, const struct divvy_relay_store_gpu *gpu, struct divvy_error *error) {
    const char pool[2] = {gpu->pool};
    sqlite3_stmt *row;
    int step;

    if (gpu->gpu_id >= DIVVY_RELAY_STORE_GPUS_MAX)
        return divvy_error_set(error, -EINVAL, "a GPU's number is 0 to %u", DIVVY_RELAY_STORE_GPUS_MAX - 1);
    if (gpu->pool != 'A' && gpu->pool != 'B')
        return divvy_error_set(error, -EINVAL, "a pool is A or B");
    if (gpu->vms_max > DIVVY_RELAY_STORE_GPU_VMS_MAX)
        return divvy_error_set(error, -EINVAL, "a GPU takes 0 to %u VMs", DIVVY_RELAY_STORE_GPU_VMS_MAX);
    if (sqlite3_prepare_v2(store->db,
                           "INSERT INTO gpus (gpu_id, uuid, gpu_name, pool_id, worker, max_vms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                           " ON CONFLICT (gpu_id) DO UPDATE SET uuid = ?2, gpu_name = ?3, pool_id = ?4, worker = ?5, max_vms = ?6,"
                           " updated_at = CURRENT_TIMESTAMP",
                           -1, &row, NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state's GPUs", error);
    (void)sqlite3_bind_int64(row, 1, gpu->gpu_id);
    (void)sqlite3_bind_text(row, 2, gpu->uuid, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(row, 3, gpu->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(row, 4, pool, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(row, 5, gpu->worker, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(row, 6, gpu->vms_max);
    step = sqlite3_step(row);
    (void)sqlite3_finalize(row);
    return step == SQLITE_DONE ? 0 : divvy_relay_store_failed(store, "the state's GPUs", error);
}

int divvy_relay_store_gpu_remove(struct divvy_relay_store *store, uint32_t gpu_id, struct divvy_error *error) {
    sqlite3_stmt *row;
    int step;

    if (sqlite3_prepare_v2(store->db, "DELETE FROM gpus WHERE gpu_id = ?1", -1, &row, NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state's GPUs", error);
    (void)sqlite3_bind_int64(row, 1, gpu_id);
    step = sqlite3_step(row);
    (void)sqlite3_finalize(row);
    if (step != SQLITE_DONE)
        return divvy_relay_store_failed(store, "the state's GPUs", error);
    return sqlite3_changes(store->db) > 0 ? 0 : divvy_error_set(error, -ENOENT, "GPU %u is in no pool", gpu_id);
}

int divvy_relay_store_capacity(struct divvy_relay_store *store, struct divvy_relay_store_capacity ret_pools[DIVVY_RELAY_STORE_POOLS],
                               struct divvy_error *error) {
    sqlite3_stmt *row;
    int step;

    memset(ret_pools, 0, DIVVY_RELAY_STORE_POOLS * sizeof *ret_pools);
    /* One statement, so that the numbers are of one moment. */
    if (sqlite3_prepare_v2(store->db,
                           "SELECT pool_id, (SELECT count(*) FROM gpus g WHERE g.pool_id = p.pool_id),"
                           " (SELECT ifnull(sum(max_vms), 0) FROM gpus g WHERE g.pool_id = p.pool_id),"
                           " (SELECT count(*) FROM vms v WHERE v.pool_id = p.pool_id) FROM pools p",
                           -1, &row, NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state's pools", error);
    while ((step = sqlite3_step(row)) == SQLITE_ROW) {
        char pool[4];

        divvy_relay_store_text(row, 0, pool, sizeof pool);
        if (pool[0] == 'A' || pool[0] == 'B')
            ret_pools[pool[0] - 'A'] = (struct divvy_relay_store_capacity){.gpus = (uint32_t)sqlite3_column_int64(row, 1),
                                                                           .total = (uint32_t)sqlite3_column_int64(row, 2),
                                                                           .used = (uint32_t)sqlite3_column_int64(row, 3)};
    }
    (void)sqlite3_finalize(row);
    return step == SQLITE_DONE ? 0 : divvy_relay_store_failed(store, "the state's pools", error);
}

int divvy_relay_store_setting_get(struct divvy_relay_store *store, const char *name, char *ret_value, size_t size,
                                  struct divvy_error *error) {
    sqlite3_stmt *row;
    int step, status = 0;

    if (sqlite3_prepare_v2(store->db, "SELECT value FROM settings WHERE name = ?1", -1, &row, NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state's settings", error);
    (void)sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
    step = sqlite3_step(row);
    if (step == SQLITE_ROW && (size_t)sqlite3_column_bytes(row, 0) >= size)
        status = divvy_error_set(error, -ENOSPC, "the setting %s is too long", name);
    else if (step == SQLITE_ROW)
        divvy_relay_store_text(row, 0, ret_value, size);
    else if (step == SQLITE_DONE)
        status = divvy_error_set(error, -ENOENT, "%s is not set", name);
    else
        status = divvy_relay_store_failed(store, "the state's settings", error);
    (void)sqlite3_finalize(row);
    return status;
}

int divvy_relay_store_setting_set(struct divvy_relay_store *store, const char *name, const char *value, struct divvy_error *error) {
    bool is_set = value && value[0];
    sqlite3_stmt *row;
    int step;

    if (sqlite3_prepare_v2(store->db,
                           is_set ? "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)" : "DELETE FROM settings WHERE name = ?1", -1,
                           &row, NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state's settings", error);
    (void)sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
    if (is_set)
        (void)sqlite3_bind_text(row, 2, value, -1, SQLITE_STATIC);
    step = sqlite3_step(row);
    (void)sqlite3_finalize(row);
    return step == SQLITE_DONE ? 0 : divvy_relay_store_failed(store, "the state's settings", error);
}
