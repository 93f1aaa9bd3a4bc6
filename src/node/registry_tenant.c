/*
 * Tenants: what may be asked for, making, changing and removing. Everything is checked before anything is touched, so a refusal
 * leaves the registry as it was.
 */
#include "node/registry_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/text.h"

#define SIZE_TEXT_BYTES 32

static int refuse(char *why, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(char *why, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (why)
        (void)vsnprintf(why, DIVVY_NODE_TEXT_BYTES, format, arguments);
    va_end(arguments);
    return status;
}

static const char *size_text(uint64_t bytes, char text[SIZE_TEXT_BYTES]) {
    divvy_core_text_t buffer;
    divvy_core_text_init(&buffer, text, SIZE_TEXT_BYTES);
    divvy_core_text_add_size(&buffer, bytes);
    return text;
}

static bool in_alphabet(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

/* `what` names it in the refusal. Fields are of DIVVY_NODE_ID_BYTES and may lack their NUL. */
static int check_name(const char *name, const char *what, bool with_slashes, char *why) {
    size_t length = strnlen(name, DIVVY_NODE_ID_BYTES), part = 0;
    if (length == 0)
        return refuse(why, -EINVAL, "the %s is empty", what);
    if (length == DIVVY_NODE_ID_BYTES)
        return refuse(why, -EINVAL, "the %s is longer than %u characters", what, DIVVY_NODE_ID_BYTES - 1);
    for (size_t at = 0; at <= length; at++) {
        char c = name[at];
        if (c != '\0' && !(with_slashes && c == '/')) {
            if (!in_alphabet(c))
                return refuse(why, -EINVAL, "the %s may hold letters, digits, '.', '_'%s '-' only", what,
                              with_slashes ? ", '/' and" : " and");
            continue;
        }
        size_t part_length = at - part;
        if (part_length == 0)
            return refuse(why, -EINVAL, "the %s has a '/' at an end or two in a row", what);
        if (name[part] == '.' && (part_length == 1 || (part_length == 2 && name[part + 1] == '.')))
            return refuse(why, -EINVAL, "the %s has a part \"%.*s\"", what, (int)part_length, name + part);
        part = at + 1;
    }
    return 0;
}

static uint32_t default_weight(uint32_t compute_permille) {
    return compute_permille == DIVVY_NODE_PERMILLE_NONE ? DIVVY_NODE_WEIGHT_DEFAULT : compute_permille;
}

static int check_limits(uint64_t limit_bytes, uint32_t compute_permille, uint32_t weight, char *why) {
    if (limit_bytes == 0)
        return refuse(why, -EINVAL, "a memory limit of 0 bytes leaves nothing to run in");
    if (compute_permille == 0 || compute_permille > DIVVY_NODE_PERMILLE_NONE)
        return refuse(why, -EINVAL, "a share of %u.%u %% of GPU time is not within 0.1 and 100 %%", compute_permille / 10,
                      compute_permille % 10);
    if (weight == 0 || weight > DIVVY_NODE_SCHED_WEIGHT_MAX)
        return refuse(why, -EINVAL, "a weight of %u is not within 1 and %u", weight, DIVVY_NODE_SCHED_WEIGHT_MAX);
    return 0;
}

/* Whether a device may promise `more` instead of `instead_of`, which it promises now. */
static int check_memory(const struct divvy_node_registry *registry, uint32_t device, uint64_t more, uint64_t instead_of,
                        uint32_t overcommit_permille, char *why) {
    uint64_t size = registry->devices[device].memory_bytes;
    unsigned __int128 promised = registry->promised[device].memory_bytes;
    char wanted[SIZE_TEXT_BYTES], free_text[SIZE_TEXT_BYTES], may_text[SIZE_TEXT_BYTES];
    if (more == DIVVY_NODE_MEMORY_NONE || size == 0 || (instead_of != DIVVY_NODE_MEMORY_NONE && more <= instead_of))
        return 0;
    if (more > size)
        return refuse(why, -EINVAL, "%s are more than the %s that device %u has", size_text(more, wanted),
                      size_text(size, may_text), registry->devices[device].index);
    if (overcommit_permille == UINT32_MAX)
        return 0;
    if (instead_of != DIVVY_NODE_MEMORY_NONE)
        promised -= instead_of;
    uint64_t may = divvy_core_u64_scale(size, overcommit_permille, 1000);
    uint64_t left = promised < may ? may - (uint64_t)promised : 0;
    if (more <= left)
        return 0;
    return refuse(why, -EDQUOT, "%s asked for, but of the %s of device %u that may be promised %s are left",
                  size_text(more, wanted), size_text(may, may_text), registry->devices[device].index,
                  size_text(left, free_text));
}

static void promise(struct divvy_node_registry *registry, const struct divvy_node_binding *binding) {
    struct divvy_node_sums *sums = &registry->promised[binding->device];
    if (binding->limit_bytes != DIVVY_NODE_MEMORY_NONE)
        sums->memory_bytes += binding->limit_bytes;
    sums->compute_permille += binding->compute_permille;
    sums->tenants++;
}

static void take_back(struct divvy_node_registry *registry, const struct divvy_node_binding *binding) {
    struct divvy_node_sums *sums = &registry->promised[binding->device];
    if (binding->limit_bytes != DIVVY_NODE_MEMORY_NONE)
        sums->memory_bytes -= binding->limit_bytes;
    sums->compute_permille -= binding->compute_permille;
    sums->tenants--;
}

/* --- making --------------------------------------------------------------------------------------------------------- */

static int check_names(const struct divvy_node_spec *spec, char *why) {
    int r = check_name(spec->id, "name", true, why);
    if (r == 0 && spec->pod[0])
        r = check_name(spec->pod, "pod's name", false, why);
    if (r == 0 && spec->namespace[0])
        r = check_name(spec->namespace, "namespace", false, why);
    if (r == 0 && spec->container[0])
        r = check_name(spec->container, "container's name", false, why);
    if (r == 0 && ((unsigned)spec->qos >= DIVVY_NODE_QOS_MAX || (unsigned)spec->source >= DIVVY_NODE_SOURCE_MAX))
        r = refuse(why, -EINVAL, "no such class of service or source");
    return r;
}

static int make_bindings(const struct divvy_node_registry *registry, const struct divvy_node_spec *spec,
                         uint32_t overcommit_permille, struct divvy_node_tenant *tenant, char *why) {
    if (spec->binding_count == 0)
        return refuse(why, -EINVAL, "no device is named");
    if (spec->binding_count > DIVVY_NODE_DEVICES)
        return refuse(why, -EINVAL, "more than %u devices are named", DIVVY_NODE_DEVICES);
    for (uint32_t i = 0; i < spec->binding_count; i++) {
        struct divvy_node_binding binding = {
            .device = spec->bindings[i].device,
            .limit_bytes = spec->bindings[i].limit_bytes,
            .compute_permille = spec->bindings[i].compute_permille,
            .soft = spec->bindings[i].soft,
            .weight = spec->bindings[i].weight,
        };
        if (binding.device >= registry->device_count)
            return refuse(why, -EINVAL, "there is no such device");
        for (uint32_t other = 0; other < i; other++)
            if (tenant->bindings[other].device == binding.device)
                return refuse(why, -EINVAL, "device %u is named twice", registry->devices[binding.device].index);
        if (binding.weight == 0)
            binding.weight = default_weight(binding.compute_permille);
        int r = check_limits(binding.limit_bytes, binding.compute_permille, spec->bindings[i].weight ? binding.weight : 1, why);
        if (r == 0)
            r = check_memory(registry, binding.device, binding.limit_bytes, DIVVY_NODE_MEMORY_NONE, overcommit_permille, why);
        if (r < 0)
            return r;
        tenant->bindings[i] = binding;
    }
    tenant->binding_count = spec->binding_count;
    return 0;
}

static void fill(struct divvy_node_tenant *tenant, const struct divvy_node_spec *spec, int64_t realtime_ns) {
    memcpy(tenant->id, spec->id, sizeof tenant->id);
    memcpy(tenant->pod, spec->pod, sizeof tenant->pod);
    memcpy(tenant->namespace, spec->namespace, sizeof tenant->namespace);
    memcpy(tenant->container, spec->container, sizeof tenant->container);
    memcpy(tenant->labels, spec->labels, sizeof tenant->labels);
    tenant->labels[sizeof tenant->labels - 1] = '\0';
    memcpy(tenant->pod_uid, spec->pod_uid, sizeof tenant->pod_uid);
    tenant->pod_uid[sizeof tenant->pod_uid - 1] = '\0';
    tenant->source = spec->source;
    tenant->state = DIVVY_NODE_TENANT_IDLE;
    tenant->qos = spec->qos;
    tenant->owner_uid = spec->owner_uid;
    tenant->keeper_pid = spec->keeper_pid;
    tenant->created_ns = realtime_ns;
}

int divvy_node_registry_tenant_add(struct divvy_node_registry *registry, const struct divvy_node_spec *spec,
                                   int64_t realtime_ns, uint32_t overcommit_permille, struct divvy_node_tenant **ret_tenant,
                                   char why[DIVVY_NODE_TEXT_BYTES]) {
    int r = check_names(spec, why);
    if (r < 0)
        return r;
    if (divvy_node_record_find(registry, spec->id))
        return refuse(why, -EEXIST, "there is already a tenant \"%s\"", spec->id);
    struct divvy_node_record *record = calloc(1, sizeof *record);
    if (!record)
        return refuse(why, -ENOMEM, "out of memory");
    r = make_bindings(registry, spec, overcommit_permille, &record->tenant, why);
    if (r < 0) {
        free(record);
        return r;
    }
    fill(&record->tenant, spec, realtime_ns);
    r = divvy_node_record_enter(registry, record);
    if (r < 0) {
        free(record);
        return r == -ENOSPC ? refuse(why, r, "there are %u tenants, no more are taken", DIVVY_NODE_TENANTS_MAX)
                            : refuse(why, r, "out of memory");
    }
    for (uint32_t i = 0; i < record->tenant.binding_count; i++)
        promise(registry, &record->tenant.bindings[i]);
    *ret_tenant = &record->tenant;
    return 0;
}

/* --- changing and removing ------------------------------------------------------------------------------------------ */

static struct divvy_node_binding changed(const struct divvy_node_binding *before, const struct divvy_node_change *change) {
    struct divvy_node_binding after = *before;
    if (change->fields & DIVVY_NODE_CHANGE_MEMORY)
        after.limit_bytes = change->limit_bytes;
    if (change->fields & DIVVY_NODE_CHANGE_COMPUTE)
        after.compute_permille = change->compute_permille;
    if (change->fields & DIVVY_NODE_CHANGE_SOFT)
        after.soft = change->soft;
    bool follows = change->fields & DIVVY_NODE_CHANGE_WEIGHT ? change->weight == 0
                                                             : before->weight == default_weight(before->compute_permille);
    if (follows)
        after.weight = default_weight(after.compute_permille);
    else if (change->fields & DIVVY_NODE_CHANGE_WEIGHT)
        after.weight = change->weight;
    return after;
}

static int check_change(const struct divvy_node_registry *registry, const struct divvy_node_binding *before,
                        const struct divvy_node_binding *after, uint32_t overcommit_permille, char *why) {
    /* A share of 0 would be refused for the weight that follows from it. */
    int r = check_limits(after->limit_bytes, after->compute_permille, after->compute_permille ? after->weight : 1, why);
    if (r < 0)
        return r;
    return check_memory(registry, after->device, after->limit_bytes, before->limit_bytes, overcommit_permille, why);
}

int divvy_node_registry_tenant_change(struct divvy_node_registry *registry, const char *id,
                                      const struct divvy_node_change *change, uint32_t overcommit_permille,
                                      char why[DIVVY_NODE_TEXT_BYTES]) {
    struct divvy_node_record *record = divvy_node_record_find(registry, id);
    if (!record)
        return refuse(why, -ENOENT, "there is no tenant \"%s\"", id);
    struct divvy_node_tenant *tenant = &record->tenant;
    if (change->fields & DIVVY_NODE_CHANGE_QOS && (unsigned)change->qos >= DIVVY_NODE_QOS_MAX)
        return refuse(why, -EINVAL, "no such class of service");
    struct divvy_node_binding after[DIVVY_NODE_DEVICES];
    bool meant[DIVVY_NODE_DEVICES] = {false}, any = change->device < 0;
    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        meant[i] = change->device < 0 || tenant->bindings[i].device == (uint32_t)change->device;
        if (!meant[i])
            continue;
        any = true;
        after[i] = changed(&tenant->bindings[i], change);
        int r = check_change(registry, &tenant->bindings[i], &after[i], overcommit_permille, why);
        if (r < 0)
            return r;
    }
    if (!any)
        return refuse(why, -ENOENT, "\"%s\" does not use that device", id);
    for (uint32_t i = 0; i < tenant->binding_count; i++) {
        if (!meant[i])
            continue;
        take_back(registry, &tenant->bindings[i]);
        tenant->bindings[i] = after[i];
        promise(registry, &tenant->bindings[i]);
    }
    if (change->fields & DIVVY_NODE_CHANGE_QOS)
        tenant->qos = change->qos;
    return 0;
}

int divvy_node_registry_tenant_remove(struct divvy_node_registry *registry, const char *id) {
    struct divvy_node_record *record = divvy_node_record_find(registry, id);
    if (!record)
        return -ENOENT;
    for (uint32_t i = 0; i < record->tenant.binding_count; i++)
        take_back(registry, &record->tenant.bindings[i]);
    divvy_node_record_drop(registry, record);
    return 0;
}
