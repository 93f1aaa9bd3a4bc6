/* Pools and VMs in SQLite: see store.h. */
#include "remote/relay/store_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The ranges stand here too, so that nobody who writes the file by hand gives the relay what it cannot use. */
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS pools (pool_id TEXT PRIMARY KEY CHECK (pool_id IN ('A', 'B')), pool_name TEXT NOT NULL,"
    " description TEXT NOT NULL DEFAULT '', enabled INTEGER NOT NULL DEFAULT 1,"
    " created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);"
    "INSERT OR IGNORE INTO pools (pool_id, pool_name) VALUES ('A', 'Pool A'), ('B', 'Pool B');"
    "CREATE TABLE IF NOT EXISTS vms (vm_id INTEGER PRIMARY KEY CHECK (vm_id BETWEEN 1 AND 2147483646), vm_uuid TEXT UNIQUE,"
    " vm_name TEXT NOT NULL UNIQUE, pool_id TEXT NOT NULL DEFAULT 'A' REFERENCES pools (pool_id),"
    " priority INTEGER NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 2),"
    " weight INTEGER NOT NULL DEFAULT 50 CHECK (weight BETWEEN 1 AND 100),"
    " max_jobs_per_sec INTEGER NOT NULL DEFAULT 0 CHECK (max_jobs_per_sec BETWEEN 0 AND 1000000),"
    " max_queue_depth INTEGER NOT NULL DEFAULT 0 CHECK (max_queue_depth BETWEEN 0 AND 16384),"
    " quarantined INTEGER NOT NULL DEFAULT 0, error_count INTEGER NOT NULL DEFAULT 0 CHECK (error_count BETWEEN 0 AND 1000000000),"
    " socket TEXT NOT NULL DEFAULT '', connects INTEGER NOT NULL DEFAULT 0,"
    " created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);"
    "CREATE TABLE IF NOT EXISTS gpus (gpu_id INTEGER PRIMARY KEY CHECK (gpu_id BETWEEN 0 AND 63), uuid TEXT NOT NULL DEFAULT '',"
    " gpu_name TEXT NOT NULL DEFAULT '', pool_id TEXT NOT NULL REFERENCES pools (pool_id), worker TEXT NOT NULL DEFAULT '',"
    " max_vms INTEGER NOT NULL DEFAULT 8 CHECK (max_vms BETWEEN 0 AND 256),"
    " created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);"
    "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);";

/* What tables have got since; a state that is older gets it when it is opened. */
static const struct {
    const char *name, *add;
} columns_since[] = {
    {"shm", "ALTER TABLE vms ADD COLUMN shm TEXT NOT NULL DEFAULT ''"},
    {"shm_bytes", "ALTER TABLE vms ADD COLUMN shm_bytes INTEGER NOT NULL DEFAULT 0 CHECK (shm_bytes >= 0)"},
    {"qmp", "ALTER TABLE vms ADD COLUMN qmp TEXT NOT NULL DEFAULT ''"},
};

#define COLUMNS                                                                                                                  \
    "vm_id, vm_uuid, vm_name, pool_id, priority, weight, max_jobs_per_sec, max_queue_depth, quarantined, error_count, socket, "  \
    "connects, created_at, updated_at, shm, shm_bytes, qmp"

int divvy_relay_store_failed(struct divvy_relay_store *store, const char *what, struct divvy_error *error) {
    int code = sqlite3_errcode(store->db);

    return divvy_error_set(error,
                           code == SQLITE_CONSTRAINT ? -EEXIST :
                           code == SQLITE_BUSY       ? -EBUSY :
                                                       -EIO,
                           "%s: %.160s", what, sqlite3_errmsg(store->db));
}

static bool has_column(sqlite3 *db, const char *name) {
    return sqlite3_table_column_metadata(db, NULL, "vms", name, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

/* Two programs may come to it at once: who finds that the other has done it goes on. */
static int columns_add(sqlite3 *db) {
    for (size_t i = 0; i < sizeof columns_since / sizeof columns_since[0]; i++)
        if (!has_column(db, columns_since[i].name) && sqlite3_exec(db, columns_since[i].add, NULL, NULL, NULL) != SQLITE_OK &&
            !has_column(db, columns_since[i].name))
            return SQLITE_ERROR;
    return SQLITE_OK;
}

int divvy_relay_store_open(const char *path, int busy_ms, struct divvy_relay_store **ret_store, struct divvy_error *error) {
    struct divvy_relay_store *store = calloc(1, sizeof *store);
    mode_t mask;
    int status;

    if (!store)
        return divvy_error_set(error, -ENOMEM, "no memory");
    mask = umask(0077);
    status = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    (void)umask(mask);
    if (status == SQLITE_OK) {
        (void)sqlite3_busy_timeout(store->db, busy_ms);
        status = sqlite3_exec(store->db, schema, NULL, NULL, NULL);
        if (status == SQLITE_OK)
            status = columns_add(store->db);
    }
    if (status != SQLITE_OK) {
        (void)divvy_error_set(error, -EIO, "the state %.120s: %.100s", path, sqlite3_errmsg(store->db));
        divvy_relay_store_close(store);
        return -EIO;
    }
    *ret_store = store;
    return 0;
}

void divvy_relay_store_close(struct divvy_relay_store *store) {
    if (!store)
        return;
    (void)sqlite3_close(store->db);
    free(store);
}

void divvy_relay_store_text(sqlite3_stmt *row, int column, char *ret_text, size_t size) {
    const unsigned char *text = sqlite3_column_text(row, column);

    (void)snprintf(ret_text, size, "%s", text ? (const char *)text : "");
}

static void row_read(sqlite3_stmt *row, struct divvy_relay_store_vm *vm) {
    char pool[4];

    *vm = (struct divvy_relay_store_vm){.vm_id = (uint32_t)sqlite3_column_int64(row, 0),
                                        .priority = (uint32_t)sqlite3_column_int64(row, 4),
                                        .weight = (uint32_t)sqlite3_column_int64(row, 5),
                                        .rate = (uint32_t)sqlite3_column_int64(row, 6),
                                        .depth = (uint32_t)sqlite3_column_int64(row, 7),
                                        .quarantined = sqlite3_column_int(row, 8) != 0,
                                        .error_count = (uint32_t)sqlite3_column_int64(row, 9),
                                        .connects = sqlite3_column_int(row, 11) != 0,
                                        .shm_bytes = (uint64_t)sqlite3_column_int64(row, 15)};
    divvy_relay_store_text(row, 1, vm->uuid, sizeof vm->uuid);
    divvy_relay_store_text(row, 2, vm->name, sizeof vm->name);
    divvy_relay_store_text(row, 3, pool, sizeof pool);
    vm->pool = pool[0];
    divvy_relay_store_text(row, 10, vm->socket, sizeof vm->socket);
    divvy_relay_store_text(row, 12, vm->created_at, sizeof vm->created_at);
    divvy_relay_store_text(row, 13, vm->updated_at, sizeof vm->updated_at);
    divvy_relay_store_text(row, 14, vm->shm, sizeof vm->shm);
    divvy_relay_store_text(row, 16, vm->qmp, sizeof vm->qmp);
}

int divvy_relay_store_each(struct divvy_relay_store *store, int (*each)(const struct divvy_relay_store_vm *vm, void *data), void *data,
                           struct divvy_error *error) {
    struct divvy_relay_store_vm vm;
    sqlite3_stmt *row;
    int status = 0, step;

    if (sqlite3_prepare_v2(store->db, "SELECT " COLUMNS " FROM vms ORDER BY vm_id", -1, &row, NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state", error);
    while ((step = sqlite3_step(row)) == SQLITE_ROW && status == 0) {
        row_read(row, &vm);
        status = each(&vm, data);
    }
    if (status == 0 && step != SQLITE_DONE)
        status = divvy_relay_store_failed(store, "the state", error);
    (void)sqlite3_finalize(row);
    return status;
}

/* by_id: the key is a number and nothing else counts. */
static int vm_by_key(struct divvy_relay_store *store, const char *key, bool by_id, struct divvy_relay_store_vm *ret_vm,
                     struct divvy_error *error) {
    sqlite3_stmt *row;
    int step;

    if (sqlite3_prepare_v2(store->db,
                           by_id ? "SELECT " COLUMNS " FROM vms WHERE vm_id = CAST(?1 AS INTEGER)" :
                                   "SELECT " COLUMNS " FROM vms WHERE vm_uuid = ?1 COLLATE NOCASE OR vm_name = ?1 OR"
                                   " CAST(vm_id AS TEXT) = ?1 ORDER BY vm_name = ?1 DESC LIMIT 1",
                           -1, &row, NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state", error);
    (void)sqlite3_bind_text(row, 1, key, -1, SQLITE_STATIC);
    step = sqlite3_step(row);
    if (step == SQLITE_ROW)
        row_read(row, ret_vm);
    (void)sqlite3_finalize(row);
    if (step == SQLITE_ROW)
        return 0;
    return step == SQLITE_DONE ? divvy_error_set(error, -ENOENT, "no VM is registered as '%.60s'", key) :
                                 divvy_relay_store_failed(store, "the state", error);
}

int divvy_relay_store_find(struct divvy_relay_store *store, const char *key, struct divvy_relay_store_vm *ret_vm,
                           struct divvy_error *error) {
    return vm_by_key(store, key, false, ret_vm, error);
}

static bool is_uuid(const char *text) {
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    return length == 36;
}

int divvy_relay_store_check(const struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    if (!vm->name[0] || vm->name[strspn(vm->name, letters)])
        return divvy_error_set(error, -EINVAL, "a VM's name has letters, digits, '.', '_' and '-'");
    if (vm->uuid[0] && !is_uuid(vm->uuid))
        return divvy_error_set(error, -EINVAL, "'%.40s' is no UUID", vm->uuid);
    if (vm->pool != 'A' && vm->pool != 'B')
        return divvy_error_set(error, -EINVAL, "a pool is A or B");
    if (vm->priority > 2)
        return divvy_error_set(error, -EINVAL, "a priority is low, medium or high");
    if (vm->weight < 1 || vm->weight > 100)
        return divvy_error_set(error, -EINVAL, "a weight is 1 to 100");
    if (vm->rate > 1000000 || vm->depth > 16384)
        return divvy_error_set(error, -EINVAL, "a rate is 0 to 1000000 jobs a second, a queue 0 to 16384 jobs deep");
    if (vm->shm[0] && !vm->socket[0])
        return divvy_error_set(error, -EINVAL, "memory that is shared needs a socket beside it, for wake-ups");
    if (vm->qmp[0] && (!vm->socket[0] || !vm->connects))
        return divvy_error_set(error, -EINVAL, "a monitor tells of a socket that the hypervisor has: give --socket and --connects");
    if (vm->shm_bytes > INT64_MAX)
        return divvy_error_set(error, -EINVAL, "so much memory cannot be shared");
    if (vm->vm_id > DIVVY_RELAY_ID_MAX)
        return divvy_error_set(error, -EINVAL, "a VM's id is 1 to %u", DIVVY_RELAY_ID_MAX);
    return 0;
}

/* Runs a statement whose parameters are the VM's values, and ?13 a number. Rows that it changed, or a negative errno. */
static int vm_write(struct divvy_relay_store *store, const char *statement, const struct divvy_relay_store_vm *vm, uint32_t number,
                    struct divvy_error *error) {
    sqlite3_stmt *row;
    const char pool[2] = {vm->pool};
    int step;

    if (sqlite3_prepare_v2(store->db, statement, -1, &row, NULL) != SQLITE_OK)
        return divvy_relay_store_failed(store, "the state", error);
    (void)sqlite3_bind_int64(row, 1, vm->vm_id);
    if (vm->uuid[0])
        (void)sqlite3_bind_text(row, 2, vm->uuid, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(row, 3, vm->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(row, 4, pool, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(row, 5, vm->priority);
    (void)sqlite3_bind_int64(row, 6, vm->weight);
    (void)sqlite3_bind_int64(row, 7, vm->rate);
    (void)sqlite3_bind_int64(row, 8, vm->depth);
    (void)sqlite3_bind_int64(row, 9, vm->quarantined);
    (void)sqlite3_bind_int64(row, 10, vm->error_count);
    (void)sqlite3_bind_text(row, 11, vm->socket, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(row, 12, vm->connects);
    (void)sqlite3_bind_int64(row, 13, number);
    (void)sqlite3_bind_text(row, 14, vm->shm, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(row, 15, (sqlite3_int64)vm->shm_bytes);
    (void)sqlite3_bind_text(row, 16, vm->qmp, -1, SQLITE_STATIC);
    step = sqlite3_step(row);
    if (step != SQLITE_DONE)
        (void)divvy_relay_store_failed(store, "the state", error);
    (void)sqlite3_finalize(row);
    if (step == SQLITE_DONE)
        return sqlite3_changes(store->db);
    if (step == SQLITE_CONSTRAINT)
        return divvy_error_set(error, -EEXIST, "a VM with this id, UUID or name is registered already");
    return error ? error->status : -EIO;
}

/* Whether the pool's GPUs take one more VM: 0, or -EDQUOT. A pool without GPUs has no limit. */
static int room_check(struct divvy_relay_store *store, char pool, struct divvy_error *error) {
    struct divvy_relay_store_capacity capacity[DIVVY_RELAY_STORE_POOLS];
    const struct divvy_relay_store_capacity *c = &capacity[pool - 'A'];
    int status = divvy_relay_store_capacity(store, capacity, error);

    if (status == 0 && c->gpus > 0 && c->used >= c->total)
        return divvy_error_set(error, -EDQUOT, "pool %c is full: its GPUs take %u VMs", pool, c->total);
    return status;
}

/* What is checked and what is written happen as one. */
static int begin(struct divvy_relay_store *store, struct divvy_error *error) {
    return sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK ? 0 : divvy_relay_store_failed(store, "the state", error);
}

static int end(struct divvy_relay_store *store, int status, struct divvy_error *error) {
    if (status >= 0 && sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return status;
    if (status >= 0)
        status = divvy_relay_store_failed(store, "the state", error);
    (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static int vm_insert(struct divvy_relay_store *store, struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    int status = room_check(store, vm->pool, error);

    if (status < 0)
        return status;
    status = vm_write(store,
                      "INSERT INTO vms (vm_id, vm_uuid, vm_name, pool_id, priority, weight, max_jobs_per_sec, max_queue_depth,"
                      " quarantined, error_count, socket, connects, shm, shm_bytes, qmp) SELECT CASE ?1 WHEN 0 THEN (SELECT min(n) FROM (SELECT 1 AS n UNION"
                      " SELECT vm_id + 1 FROM vms) WHERE n NOT IN (SELECT vm_id FROM vms)) ELSE ?1 END,"
                      " ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?14, ?15, ?16 WHERE ?13 = 0",
                      vm, 0, error);
    if (status < 0)
        return status;
    vm->vm_id = (uint32_t)sqlite3_last_insert_rowid(store->db);
    return 0;
}

int divvy_relay_store_add(struct divvy_relay_store *store, struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    int status = divvy_relay_store_check(vm, error);

    if (status == 0)
        status = begin(store, error);
    if (status < 0)
        return status;
    status = vm_insert(store, vm, error);
    return end(store, status, error);
}

int divvy_relay_store_update(struct divvy_relay_store *store, uint32_t vm_id, const struct divvy_relay_store_vm *vm,
                             struct divvy_error *error) {
    struct divvy_relay_store_vm old;
    char key[16];
    int status = divvy_relay_store_check(vm, error);

    if (status == 0)
        status = begin(store, error);
    if (status < 0)
        return status;
    (void)snprintf(key, sizeof key, "%u", vm_id);
    if (vm_by_key(store, key, true, &old, error) == 0 && old.pool != vm->pool)
        status = room_check(store, vm->pool, error);
    if (status == 0)
        status = vm_write(store,
                      "UPDATE vms SET vm_id = ?1, vm_uuid = ?2, vm_name = ?3, pool_id = ?4, priority = ?5, weight = ?6,"
                      " max_jobs_per_sec = ?7, max_queue_depth = ?8, quarantined = ?9, error_count = ?10, socket = ?11, connects = ?12,"
                      " shm = ?14, shm_bytes = ?15, qmp = ?16,"
                      " updated_at = CURRENT_TIMESTAMP WHERE vm_id = ?13",
                      vm, vm_id, error);
    status = end(store, status, error);
    if (status < 0)
        return status;
    return status > 0 ? 0 : divvy_error_set(error, -ENOENT, "no VM is registered with id %u", vm_id);
}

int divvy_relay_store_remove(struct divvy_relay_store *store, uint32_t vm_id, struct divvy_error *error) {
    const struct divvy_relay_store_vm none = {.pool = 'A'};
    int status = vm_write(store, "DELETE FROM vms WHERE vm_id = ?13", &none, vm_id, error);

    if (status < 0)
        return status;
    return status > 0 ? 0 : divvy_error_set(error, -ENOENT, "no VM is registered with id %u", vm_id);
}

int divvy_relay_store_faults(struct divvy_relay_store *store, uint32_t vm_id, bool quarantined, uint32_t error_count,
                             struct divvy_error *error) {
    const struct divvy_relay_store_vm values = {.pool = 'A', .quarantined = quarantined, .error_count = error_count};
    int status = vm_write(store, "UPDATE vms SET quarantined = ?9, error_count = ?10 WHERE vm_id = ?13", &values, vm_id, error);

    return status < 0 ? status : 0;
}
