/* What changes devices: partitions, limits, snapshots. See accel.h. */
#include "accel/library.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int whole_check(const struct divvy_accel *accel, struct divvy_error *error) {
    return accel->library->is_whole
               ? 0
               : divvy_error_set(error, -EOPNOTSUPP, "%s has functions for discovery only", accel->library->path);
}

/* --- partitions ------------------------------------------------------------------------------------------------- */

static int variable_check(const struct divvy_accel_variable *variable) {
    return variable->key[0] && variable->value[0] && !strchr(variable->key, '=') ? 0 : -EPROTO;
}

/* "KEY=VALUE", or an empty slot (also what lacks a value: TensorFusion's hosts drop those too). */
static int variable_read_2(const char *slot, struct divvy_accel_partition *partition) {
    struct divvy_accel_variable *to = &partition->variables[partition->variable_count];
    char text[MAX_ENV_VALUE_LENGTH];
    char *equals;

    if (!divvy_accel_text_read(slot, MAX_ENV_VALUE_LENGTH, text, sizeof text))
        return -EPROTO;
    equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return 0;
    *equals = '\0';
    if (strlen(text) >= sizeof to->key)
        return -EPROTO;
    memcpy(to->key, text, strlen(text) + 1);
    memcpy(to->value, equals + 1, strlen(equals + 1) + 1);
    partition->variable_count++;
    return 0;
}

/* "HOST=GUEST". */
static int node_read(const char *slot, struct divvy_accel_partition *partition) {
    struct divvy_accel_node *to = &partition->nodes[partition->node_count];
    char text[MAX_PARTITION_DEVICE_NODE_LENGTH];
    char *equals;

    if (!divvy_accel_text_read(slot, sizeof text, text, sizeof text))
        return -EPROTO;
    if (!text[0])
        return 0;
    equals = strchr(text, '=');
    if (!equals)
        return -EPROTO;
    *equals = '\0';
    if (text[0] != '/' || equals[1] != '/' || strlen(text) >= sizeof to->host || strlen(equals + 1) >= sizeof to->guest)
        return -EPROTO;
    memcpy(to->host, text, strlen(text) + 1);
    memcpy(to->guest, equals + 1, strlen(equals + 1) + 1);
    partition->node_count++;
    return 0;
}

static int partition_read_2(const Accel2PartitionResult *from, struct divvy_accel_partition *to) {
    int status = 0;
    uint32_t type;

    memcpy(&type, &from->type, sizeof type);
    if (type > PARTITION_TYPE_DEVICE_NODE)
        return -EPROTO;
    to->is_by_nodes = type == PARTITION_TYPE_DEVICE_NODE;
    if (!divvy_accel_text_read(from->deviceUUID, sizeof from->deviceUUID, to->uuid, sizeof to->uuid) || !to->uuid[0])
        return -EPROTO;
    for (size_t i = 0; status == 0 && i < MAX_PARTITION_ENVS; i++)
        status = variable_read_2(from->envVars[i], to);
    for (size_t i = 0; status == 0 && to->is_by_nodes && i < MAX_PARTITION_DEVICE_NODES; i++)
        status = node_read(from->deviceNodes[i], to);
    return status;
}

static int partition_read_1(const Accel1PartitionAssignment *from, struct divvy_accel_partition *to) {
    if (from->envVarCount > MAX_PARTITION_ENVS ||
        !divvy_accel_text_read(from->partitionUUID, sizeof from->partitionUUID, to->uuid, sizeof to->uuid) || !to->uuid[0])
        return -EPROTO;
    for (size_t i = 0; i < from->envVarCount; i++) {
        struct divvy_accel_variable *variable = &to->variables[to->variable_count];

        if (!divvy_accel_text_read(from->envVars[i].key, sizeof from->envVars[i].key, variable->key, sizeof variable->key) ||
            !divvy_accel_text_read(from->envVars[i].value, sizeof from->envVars[i].value, variable->value, sizeof variable->value) ||
            variable_check(variable) < 0)
            return -EPROTO;
        to->variable_count++;
    }
    return 0;
}

static int assign_1(struct divvy_accel *accel, const char *template_id, const char *device_uuid,
                    struct divvy_accel_partition *to, struct divvy_error *error) {
    Accel1PartitionAssignment *assignment = calloc(1, sizeof *assignment);
    unsigned char done;
    bool returned;
    int status;

    if (!assignment)
        return divvy_error_set_errno(error, -ENOMEM, "cannot make a partition");
    memcpy(assignment->templateId, template_id, strlen(template_id));
    memcpy(assignment->deviceUUID, device_uuid, strlen(device_uuid));
    divvy_accel_enter(accel);
    returned = accel->library->one.AssignPartition(assignment);
    divvy_accel_leave(accel);
    memcpy(&done, &returned, 1);
    if (!done)
        status = divvy_error_set(error, -EIO, "%s: AssignPartition of template '%s' on %s failed", accel->library->path,
                                 template_id, device_uuid);
    else
        status = partition_read_1(assignment, to);
    free(assignment);
    return status;
}

static int assign_2(struct divvy_accel *accel, const char *template_id, const char *device_uuid,
                    struct divvy_accel_partition *to, struct divvy_error *error) {
    Accel2PartitionResult *made = calloc(1, sizeof *made);
    int status;

    if (!made)
        return divvy_error_set_errno(error, -ENOMEM, "cannot make a partition");
    divvy_accel_enter(accel);
    status = divvy_accel_result(accel, "AccelAssignPartition",
                                (int)accel->library->two.AccelAssignPartition(template_id, device_uuid, made), error);
    divvy_accel_leave(accel);
    if (status == 0)
        status = partition_read_2(made, to);
    free(made);
    return status;
}

int divvy_accel_partition_assign(struct divvy_accel *accel, const char *template_id, const char *device_uuid,
                                 struct divvy_accel_partition *ret_partition, struct divvy_error *error) {
    struct divvy_accel_partition *made;
    int status = whole_check(accel, error);

    if (status == 0)
        status = divvy_accel_id_check("the partition's template", template_id, error);
    if (status == 0)
        status = divvy_accel_id_check("the device's UUID", device_uuid, error);
    if (status < 0)
        return status;
    made = calloc(1, sizeof *made);
    if (!made)
        return divvy_error_set_errno(error, -ENOMEM, "cannot make a partition");
    status = accel->library->generation == 1 ? assign_1(accel, template_id, device_uuid, made, error)
                                             : assign_2(accel, template_id, device_uuid, made, error);
    if (status == -EPROTO && made->uuid[0])
        /* It made something that cannot be used. */
        (void)divvy_accel_partition_remove(accel, made->uuid, device_uuid, NULL);
    if (status == -EPROTO)
        status = divvy_accel_nonsense(accel, "assigning a partition", error, "its UUID, type, variables or nodes");
    if (status == 0)
        *ret_partition = *made;
    free(made);
    return status;
}

int divvy_accel_partition_remove(struct divvy_accel *accel, const char *partition_uuid, const char *device_uuid,
                                 struct divvy_error *error) {
    int status = whole_check(accel, error);
    bool first = accel->library->generation == 1;
    int result;

    if (status == 0)
        status = divvy_accel_id_check("the partition's UUID", partition_uuid, error);
    if (status == 0)
        status = divvy_accel_id_check("the device's UUID", device_uuid, error);
    if (status < 0)
        return status;
    divvy_accel_enter(accel);
    if (first) {
        bool returned = accel->library->one.RemovePartition(partition_uuid, device_uuid);

        result = divvy_accel_bool_read(&returned) ? ACCEL_SUCCESS : ACCEL_ERROR_OPERATION_FAILED;
    } else {
        result = (int)accel->library->two.AccelRemovePartition(partition_uuid, device_uuid);
    }
    divvy_accel_leave(accel);
    return divvy_accel_result(accel, first ? "RemovePartition" : "AccelRemovePartition", result, error);
}

/* --- limits ------------------------------------------------------------------------------------------------------ */

static int limit_check(const struct divvy_accel *accel, const char *worker_id, const char *device_uuid, struct divvy_error *error) {
    int status = whole_check(accel, error);

    if (status == 0)
        status = divvy_accel_id_check("the worker's id", worker_id, error);
    return status < 0 ? status : divvy_accel_id_check("the device's UUID", device_uuid, error);
}

int divvy_accel_memory_limit(struct divvy_accel *accel, const char *worker_id, const char *device_uuid, uint64_t bytes,
                             struct divvy_error *error) {
    bool first = accel->library->generation == 1;
    int result, status = limit_check(accel, worker_id, device_uuid, error);

    if (status < 0)
        return status;
    if (bytes == 0)
        return divvy_error_set(error, -EINVAL, "a hard memory limit of 0 bytes");
    divvy_accel_enter(accel);
    result = first ? (int)accel->library->one.SetMemHardLimit(worker_id, device_uuid, bytes)
                   : (int)accel->library->two.AccelSetMemHardLimit(device_uuid, bytes);
    divvy_accel_leave(accel);
    return divvy_accel_result(accel, first ? "SetMemHardLimit" : "AccelSetMemHardLimit", result, error);
}

int divvy_accel_compute_limit(struct divvy_accel *accel, const char *worker_id, const char *device_uuid, uint32_t percent,
                              struct divvy_error *error) {
    bool first = accel->library->generation == 1;
    int result, status = limit_check(accel, worker_id, device_uuid, error);

    if (status < 0)
        return status;
    if (percent == 0 || percent > 100)
        return divvy_error_set(error, -EINVAL, "a hard compute limit of %u percent", percent);
    divvy_accel_enter(accel);
    result = first ? (int)accel->library->one.SetComputeUnitHardLimit(worker_id, device_uuid, percent)
                   : (int)accel->library->two.AccelSetComputeUnitHardLimit(device_uuid, percent);
    divvy_accel_leave(accel);
    return divvy_accel_result(accel, first ? "SetComputeUnitHardLimit" : "AccelSetComputeUnitHardLimit", result, error);
}

/* --- snapshots --------------------------------------------------------------------------------------------------- */

static int freeze_1(struct divvy_accel *accel, const pid_t *pids, size_t count, const char *device_uuid, bool resume) {
    Accel1ProcessArray *processes = calloc(1, sizeof *processes);
    int result;

    if (!processes)
        return ACCEL_ERROR_INTERNAL;
    if (count > 0)
        memcpy(processes->processIds, pids, count * sizeof *pids);
    processes->processCount = count;
    if (device_uuid)
        memcpy(processes->deviceUUID, device_uuid, strlen(device_uuid));
    result = resume ? (int)accel->library->one.Resume(processes) : (int)accel->library->one.Snapshot(processes);
    free(processes);
    return result;
}

static int freeze_2(struct divvy_accel *accel, const pid_t *pids, size_t count, const char *device_uuid, bool resume) {
    pid_t *copy = count > 0 ? malloc(count * sizeof *copy) : NULL; /* the ABI lets the library write to it */
    Accel2SnapshotContext context = {.processIds = copy, .processCount = count, .deviceUUID = device_uuid};
    int result;

    if (count > 0) {
        if (!copy)
            return ACCEL_ERROR_INTERNAL;
        memcpy(copy, pids, count * sizeof *copy);
    }
    result = resume ? (int)accel->library->two.AccelResume(&context) : (int)accel->library->two.AccelSnapshot(&context);
    free(copy);
    return result;
}

static int freeze(struct divvy_accel *accel, const pid_t *pids, size_t count, const char *device_uuid, bool resume,
                  struct divvy_error *error) {
    static const char *const names[2][2] = {{"Snapshot", "Resume"}, {"AccelSnapshot", "AccelResume"}};
    int result, status = whole_check(accel, error);

    if (status == 0 && (count > DIVVY_ACCEL_PROCESSES_MAX || (count > 0) == (device_uuid != NULL)))
        status = divvy_error_set(error, -EINVAL, "a snapshot is of 1 to %u processes or of a device", DIVVY_ACCEL_PROCESSES_MAX);
    if (status == 0 && device_uuid)
        status = divvy_accel_id_check("the device's UUID", device_uuid, error);
    if (status < 0)
        return status;
    divvy_accel_enter(accel);
    result = accel->library->generation == 1 ? freeze_1(accel, pids, count, device_uuid, resume)
                                             : freeze_2(accel, pids, count, device_uuid, resume);
    divvy_accel_leave(accel);
    return divvy_accel_result(accel, names[accel->library->generation - 1][resume], result, error);
}

int divvy_accel_snapshot(struct divvy_accel *accel, const pid_t *pids, size_t count, const char *device_uuid,
                         struct divvy_error *error) {
    return freeze(accel, pids, count, device_uuid, false, error);
}

int divvy_accel_resume(struct divvy_accel *accel, const pid_t *pids, size_t count, const char *device_uuid,
                       struct divvy_error *error) {
    return freeze(accel, pids, count, device_uuid, true, error);
}
