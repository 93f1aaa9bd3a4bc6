/* vGPUs follow CloudStack's machines: see cloudstack_sync.h. */
#include "cli/cloudstack_sync.h"

#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH_BYTES 160

/* --- who gets what ---------------------------------------------------------------------------------------------------------- */

const struct divvy_cloudstack_rule *divvy_cloudstack_rule_find(const struct divvy_cloudstack_config *config,
                                                               const struct divvy_cloudstack_vm *vm) {
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct divvy_cloudstack_rule *rule = &config->rules[i];

        if (rule->offering[0] ? strcmp(rule->offering, vm->offering) == 0 :
                                strcmp(rule->vgpu, vm->vgpu) == 0 || strcmp(rule->vgpu, vm->profile) == 0)
            return rule;
    }
    return NULL;
}

enum divvy_cloudstack_wish divvy_cloudstack_wish(const struct divvy_cloudstack_config *config, const struct divvy_cloudstack_vm *vm) {
    static const struct {
        const char *state;
        enum divvy_cloudstack_wish wish;
    } states[] = {
        {"Running", DIVVY_CLOUDSTACK_ASSIGN},    {"Starting", DIVVY_CLOUDSTACK_ASSIGN},   {"Migrating", DIVVY_CLOUDSTACK_KEEP},
        {"Stopping", DIVVY_CLOUDSTACK_KEEP},     {"Stopped", DIVVY_CLOUDSTACK_RELEASE},   {"Shutdown", DIVVY_CLOUDSTACK_RELEASE},
        {"Destroyed", DIVVY_CLOUDSTACK_RELEASE}, {"Expunging", DIVVY_CLOUDSTACK_RELEASE}, {"Error", DIVVY_CLOUDSTACK_RELEASE},
    };
    enum divvy_cloudstack_wish wish = DIVVY_CLOUDSTACK_KEEP; /* of a state that is not known here */

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(states[i].state, vm->state) == 0)
            wish = states[i].wish;
    if (wish != DIVVY_CLOUDSTACK_ASSIGN)
        return wish;
    if (config->host[0] && !vm->host[0])
        return DIVVY_CLOUDSTACK_KEEP; /* it has begun to start, and nobody knows where */
    if (config->host[0] && strcmp(config->host, vm->host) != 0)
        return DIVVY_CLOUDSTACK_RELEASE;
    return divvy_cloudstack_rule_find(config, vm) ? DIVVY_CLOUDSTACK_ASSIGN : DIVVY_CLOUDSTACK_RELEASE;
}

/* --- one machine ------------------------------------------------------------------------------------------------------------ */

struct doing {
    const struct divvy_cloudstack_config *config;
    struct divvy_cli_client *agent;
    bool only_tell;
    struct divvy_cloudstack_round *round;
};

/* Counts and remembers what was done to a machine; `error` empty: it was. */
static void told(const struct doing *doing, const char *name, const char *uuid, const char *did, const struct divvy_error *error) {
    json_t *deed = json_pack("{s:s, s:s, s:s}", "vm", name, "uuid", uuid, "did", did);

    if (error->status < 0) {
        doing->round->failed++;
        (void)json_object_set_new(deed, "error", json_string(error->text));
    } else if (strcmp(did, "assigned") == 0) {
        doing->round->assigned++;
    } else {
        doing->round->released++;
    }
    (void)json_array_append_new(doing->round->deeds, deed);
}

/* The socket's path of a machine by the template. */
static int socket_path(const struct divvy_cloudstack_config *config, const struct divvy_cloudstack_vm *vm, char ret_path[108],
                       struct divvy_error *error) {
    const struct {
        const char *name, *value;
    } holes[] = {{"{uuid}", vm->id}, {"{instance}", vm->instance}};
    size_t used = 0;

    for (const char *at = config->socket; *at;) {
        const char *piece = NULL;

        for (size_t i = 0; i < sizeof holes / sizeof holes[0] && !piece; i++)
            if (strncmp(at, holes[i].name, strlen(holes[i].name)) == 0) {
                piece = holes[i].value;
                at += strlen(holes[i].name);
                if (!piece[0] || strchr(piece, '/'))
                    return divvy_error_set(error, -EINVAL, "the socket wants %s, which CloudStack does not tell to this key", holes[i].name);
            }
        if (used + (piece ? strlen(piece) : 1) >= 108)
            return divvy_error_set(error, -EINVAL, "the socket's path is too long");
        if (piece)
            used += (size_t)snprintf(ret_path + used, 108 - used, "%s", piece);
        else
            ret_path[used++] = *at++;
    }
    ret_path[used] = '\0';
    return 0;
}

static json_t *wish_json(const struct doing *doing, const struct divvy_cloudstack_vm *vm, struct divvy_error *error) {
    const struct divvy_cloudstack_rule *rule = divvy_cloudstack_rule_find(doing->config, vm);
    char name[64], path[108];
    json_t *wish;

    if (socket_path(doing->config, vm, path, error) < 0)
        return NULL;
    (void)snprintf(name, sizeof name, DIVVY_CLOUDSTACK_PREFIX "%s", vm->id);
    wish = json_pack("{s:s, s:s, s:I, s:I}", "name", name, "uuid", vm->id, "max_jobs_per_sec", (json_int_t)rule->rate, "max_queue_depth",
                     (json_int_t)rule->depth);
    if (rule->pool[0])
        (void)json_object_set_new(wish, "pool", json_string(rule->pool));
    (void)json_object_set_new(wish, "priority", json_string(rule->priority[0] ? rule->priority : "medium"));
    (void)json_object_set_new(wish, "weight", json_integer(rule->weight ? rule->weight : 50));
    if (path[0]) {
        (void)json_object_set_new(wish, "socket", json_string(path));
        (void)json_object_set_new(wish, "connects", json_boolean(doing->config->connects));
    }
    return wish;
}

/* The assignment of a machine among those that there are, or NULL. */
static const json_t *assignment_find(const json_t *assignments, const char *uuid) {
    const json_t *one;
    size_t i;

    json_array_foreach(assignments, i, one) {
        const char *text = json_string_value(json_object_get(one, "uuid"));

        if (text && strcasecmp(text, uuid) == 0)
            return one;
    }
    return NULL;
}

static void assign(const struct doing *doing, const struct divvy_cloudstack_vm *vm, const json_t *there) {
    struct divvy_error error = {0};
    json_t *wish = wish_json(doing, vm, &error), *answer = NULL;
    bool is_same = there && wish;
    const char *key;
    json_t *value;

    json_object_foreach(wish, key, value) is_same = is_same && json_equal(value, json_object_get(there, key));
    if (wish && !is_same && !doing->only_tell)
        (void)divvy_cli_client_call(doing->agent, "POST", "/api/v1/vgpu/assignments", wish, DIVVY_CLI_CALL_MS, &answer, &error);
    if (!is_same)
        told(doing, vm->name, vm->id, "assigned", &error);
    json_decref(wish);
    json_decref(answer);
}

static void release(const struct doing *doing, const char *name, const char *uuid) {
    struct divvy_error error = {0};
    char path[PATH_BYTES];
    json_t *answer = NULL;

    (void)snprintf(path, sizeof path, "/api/v1/vgpu/assignments/" DIVVY_CLOUDSTACK_PREFIX "%.40s", uuid);
    if (!doing->only_tell)
        (void)divvy_cli_client_call(doing->agent, "DELETE", path, NULL, DIVVY_CLI_CALL_MS, &answer, &error);
    told(doing, name, uuid, "released", &error);
    json_decref(answer);
}

/* --- the round ---------------------------------------------------------------------------------------------------------------- */

static const struct divvy_cloudstack_vm *vm_find(const struct divvy_cloudstack_vm *vms, size_t count, const char *uuid) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(vms[i].id, uuid) == 0)
            return &vms[i];
    return NULL;
}

/* Assignments of CloudStack whose machine is to have none any more. One that the list lacks is asked about before. */
static void releases(const struct doing *doing, const struct divvy_cloudstack_vm *vms, size_t count, const json_t *assignments) {
    const json_t *one;
    size_t i;

    json_array_foreach(assignments, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *uuid = name && strncmp(name, DIVVY_CLOUDSTACK_PREFIX, strlen(DIVVY_CLOUDSTACK_PREFIX)) == 0 ?
                               name + strlen(DIVVY_CLOUDSTACK_PREFIX) :
                               NULL;
        const struct divvy_cloudstack_vm *vm = uuid ? vm_find(vms, count, uuid) : NULL;
        struct divvy_error error = {0};
        int exists;

        if (!uuid)
            continue;
        if (vm && divvy_cloudstack_wish(doing->config, vm) != DIVVY_CLOUDSTACK_RELEASE)
            continue;
        exists = vm ? 0 : divvy_cloudstack_vm_exists(&doing->config->cloud, uuid, &error);
        if (exists == 0)
            release(doing, vm ? vm->name : name, uuid);
        else if (exists < 0)
            told(doing, name, uuid, "released", &error);
    }
}

/* The host has the tag while it has room. 0, also without a tag; or what went wrong. */
static int host_tag(const struct doing *doing, struct divvy_error *error) {
    const struct divvy_cloudstack_config *config = doing->config;
    json_t *capacity = NULL, *response = NULL, *parameters;
    const json_t *host;
    char tags[512] = "", wanted[sizeof config->host_tag];
    const char *there, *id;
    bool has = false, has_room;
    int status;

    if (!config->host_tag[0] || doing->only_tell)
        return 0;
    status = divvy_cli_client_call(doing->agent, "GET", "/api/v1/vgpu/capacity", NULL, DIVVY_CLI_CALL_MS, &capacity, error);
    if (status < 0)
        return status;
    has_room = json_integer_value(json_object_get(capacity, "free")) > 0;
    json_decref(capacity);
    parameters = json_pack("{s:s, s:s}", "name", config->host, "type", "Routing");
    status = divvy_cloudstack_call(&config->cloud, "listHosts", parameters, &response, error);
    json_decref(parameters);
    if (status < 0)
        return status;
    host = json_array_get(json_object_get(response, "host"), 0);
    id = json_string_value(json_object_get(host, "id"));
    there = json_string_value(json_object_get(host, "hosttags"));
    if (!id || (there && strlen(there) >= sizeof tags - sizeof config->host_tag)) {
        json_decref(response);
        return divvy_error_set(error, -ENOENT, "CloudStack has no host %.60s, or its tags are too long", config->host);
    }
    memcpy(wanted, config->host_tag, sizeof wanted);
    for (const char *at = there ? there : ""; *at;) { /* the others, in their order */
        size_t length = strcspn(at, ",");

        if (length == strlen(wanted) && strncmp(at, wanted, length) == 0)
            has = true;
        else if (length > 0)
            (void)snprintf(tags + strlen(tags), sizeof tags - strlen(tags), "%s%.*s", tags[0] ? "," : "", (int)length, at);
        at += length + (at[length] == ',');
    }
    if (has_room)
        (void)snprintf(tags + strlen(tags), sizeof tags - strlen(tags), "%s%s", tags[0] ? "," : "", wanted);
    parameters = json_pack("{s:s, s:s}", "id", id, "hosttags", tags);
    json_decref(response);
    response = NULL;
    if (has != has_room)
        status = divvy_cloudstack_call(&config->cloud, "updateHost", parameters, &response, error);
    json_decref(parameters);
    json_decref(response);
    return status;
}

int divvy_cloudstack_round(const struct divvy_cloudstack_config *config, struct divvy_cli_client *agent, bool only_tell,
                           struct divvy_cloudstack_round *ret_round, struct divvy_error *error) {
    struct doing doing = {.config = config, .agent = agent, .only_tell = only_tell, .round = ret_round};
    cleanup_free struct divvy_cloudstack_vm *vms = NULL;
    json_t *answer = NULL;
    const json_t *assignments;
    size_t count = 0;
    int status;

    *ret_round = (struct divvy_cloudstack_round){.deeds = json_array()};
    status = divvy_cli_client_call(agent, "GET", "/api/v1/vgpu/assignments", NULL, DIVVY_CLI_CALL_MS, &answer, error);
    if (status < 0)
        return status;
    assignments = json_object_get(answer, "assignments");
    status = json_is_array(assignments) ? divvy_cloudstack_vms(&config->cloud, &vms, &count, error) :
                                          divvy_error_set(error, -EPROTO, "the agent's answer has no assignments");
    if (status == 0) {
        ret_round->vms = (unsigned int)count;
        releases(&doing, vms, count, assignments); /* first, for room */
        for (size_t i = 0; i < count; i++)
            if (divvy_cloudstack_wish(config, &vms[i]) == DIVVY_CLOUDSTACK_ASSIGN)
                assign(&doing, &vms[i], assignment_find(assignments, vms[i].id));
        status = host_tag(&doing, error);
    }
    json_decref(answer);
    return status;
}
