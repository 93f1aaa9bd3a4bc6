/* ggo agent register and unregister: a machine joins the platform and leaves it. */
#include "agent/config.h"
#include "agent/gpus.h"
#include "agent/output.h"
#include "agent/pidfile.h"
#include "agent/verbs.h"
#include "base/json/file.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SHARE_CODES_SUFFIX "_share_codes"

/* Addresses at which others may reach this machine. */
static json_t *addresses_list(void) {
    json_t *list = json_array();
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) < 0)
        return list;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "";

        if (!at->ifa_addr || !(at->ifa_flags & IFF_UP) || (at->ifa_flags & IFF_LOOPBACK))
            continue;
        if (at->ifa_addr->sa_family == AF_INET)
            (void)inet_ntop(AF_INET,
                            &((const struct sockaddr_in *)(const void *)at->ifa_addr)->sin_addr,
                            text, sizeof text);
        else if (at->ifa_addr->sa_family == AF_INET6 &&
                 !IN6_IS_ADDR_LINKLOCAL(
                     &((const struct sockaddr_in6 *)(const void *)at->ifa_addr)->sin6_addr))
            (void)inet_ntop(AF_INET6,
                            &((const struct sockaddr_in6 *)(const void *)at->ifa_addr)->sin6_addr,
                            text, sizeof text);
        if (text[0])
            (void)json_array_append_new(list, json_string(text));
    }
    freeifaddrs(all);
    return list;
}

/* The machine's architecture as Go calls it: that is what the platform knows. */
static const char *architecture(const struct utsname *system) {
    if (strcmp(system->machine, "x86_64") == 0)
        return "amd64";
    return strcmp(system->machine, "aarch64") == 0 ? "arm64" : system->machine;
}

static json_t *body_make(const char *token, const struct divvy_agent_gpus *gpus) {
    struct utsname system = {0};

    (void)uname(&system);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "token", token, "hostname", system.nodename,
                     "os", "linux", "arch", architecture(&system), "gpus",
                     divvy_agent_gpus_wire(gpus), "network_ips", addresses_list());
}

/* Whether the platform still knows the registration of before: 0 it does not, -EEXIST it does, else why that is not known. */
static int former_check(const struct divvy_agent_paths *paths,
                        const struct divvy_agent_platform *platform, struct divvy_error *error) {
    static struct divvy_agent_registration former;
    static struct divvy_agent_platform as_former;
    int status = divvy_agent_registration_read(paths, &former, NULL);

    if (status < 0)
        return 0;
    as_former = *platform;
    status = divvy_agent_credential_set(&as_former, former.secret, error);
    if (status == 0)
        status = divvy_agent_platform_call(&as_former, DIVVY_AGENT_API_CONFIG, former.agent_id,
                                           NULL, NULL, NULL, error);
    if (status == 0)
        status = divvy_error_set(error, -EEXIST,
                                 "this machine is registered as %.120s; --force registers it anew",
                                 former.agent_id);
    else if (status == -EPERM || status == -ENOENT) {
        divvy_log_info("the registration %s is no longer known to the platform and is replaced",
                       former.agent_id);
        status = 0;
    }
    divvy_agent_registration_done(&former);
    return status;
}

static int answer_keep(const struct divvy_agent_paths *paths,
                       const struct divvy_agent_platform *platform, const json_t *answer,
                       const struct divvy_agent_gpus *gpus, struct divvy_error *error) {
    static struct divvy_agent_registration registration;
    char path[PATH_MAX];
    json_t *list = divvy_agent_gpus_file(gpus);
    const char *secret = json_string_value(json_object_get(answer, "agent_secret"));
    int status = 0, lock = -1;

    memset(&registration, 0, sizeof registration);
    (void)snprintf(registration.agent_id, sizeof registration.agent_id, "%s",
                   json_string_value(json_object_get(answer, "agent_id")));
    if ((size_t)snprintf(registration.secret, sizeof registration.secret, "%s", secret) >=
        sizeof registration.secret)
        status = divvy_error_set(error, -EPROTO, "the platform's agent_secret is too long");
    (void)snprintf(registration.server_url, sizeof registration.server_url, "%s", platform->server);
    registration.license = json_incref(json_object_get(answer, "license"));
    if (status == 0)
        status = divvy_agent_registration_write(paths, &registration, error);
    divvy_agent_path_join(paths->config, "gpus.json", path);
    if (status == 0)
        status = divvy_json_file_lock(path, &lock, error);
    if (status == 0)
        status = divvy_json_file_write(path, list, 0644, error);
    if (lock >= 0)
        (void)close(lock);
    divvy_agent_registration_done(&registration);
    json_decref(list);
    return status;
}

/* What was typed is not left for others to see in the list of processes. */
static void token_hide(const struct divvy_agent_call *call) {
    char *token = (char *)call->values[DIVVY_AGENT_TOKEN];

    if (token)
        memset(token, '*', strlen(token));
}

static int register_do(const struct divvy_agent_call *call, const struct divvy_agent_paths *paths,
                       json_t **ret_answer, struct divvy_agent_gpus *gpus,
                       struct divvy_error *error) {
    static struct divvy_agent_platform platform;
    const char *token =
        call->values[DIVVY_AGENT_TOKEN] ? call->values[DIVVY_AGENT_TOKEN] : getenv("GPU_GO_TOKEN");
    struct divvy_error why = {0};
    json_t *body;
    int status;

    if (!token || !token[0])
        return divvy_error_set(error, -EINVAL,
                               "a token is missing: give --token TOKEN or set GPU_GO_TOKEN; the "
                               "platform hands it out");
    status = divvy_agent_credential_set(&platform, token, error);
    if (status == 0)
        status = divvy_agent_server_find(call, NULL, &platform, error);
    if (status == 0 && !divvy_agent_call_on(call, DIVVY_AGENT_FORCE))
        status = former_check(paths, &platform, error);
    /* The folder is tried before the platform hears of this machine. */
    if (status == 0)
        status = divvy_agent_folder_make(paths->config, 0755, error);
    if (status == 0)
        status =
            divvy_agent_gpus_find(call->values[DIVVY_AGENT_ACCELERATOR_LIB], gpus, &why, error);
    if (status < 0)
        return status;
    if (gpus->count == 0)
        divvy_log_warn("no GPU was found (%s); this machine can use GPUs of others but serves none",
                       why.text);
    body = body_make(platform.credential, gpus);
    token_hide(call);
    status = body ? divvy_agent_platform_call(&platform, DIVVY_AGENT_API_REGISTER, NULL, NULL, body,
                                              ret_answer, error)
                  : divvy_error_set_errno(error, -ENOMEM, "the request");
    json_decref(body);
    if (status < 0)
        return status;
    return answer_keep(paths, &platform, *ret_answer, gpus, error);
}

int divvy_agent_verb_register(struct divvy_agent_call *call) {
    static struct divvy_agent_gpus gpus;
    struct divvy_agent_paths paths;
    struct divvy_error error = {0};
    json_t *answer = NULL;
    const char *id;
    int status = divvy_agent_paths_find(call->values[DIVVY_AGENT_CONFIG_DIR],
                                        call->values[DIVVY_AGENT_STATE_DIR], &paths, &error);

    if (status == 0)
        status = register_do(call, &paths, &answer, &gpus, &error);
    if (status < 0) {
        json_decref(answer);
        return divvy_agent_fail(call, &error);
    }
    id = json_string_value(json_object_get(answer, "agent_id"));
    status = divvy_agent_print_action(call, id, "registered as %s with %u GPU%s%s", id, gpus.count,
                                      gpus.count == 1 ? "" : "s",
                                      call->is_json ? "" : "; 'ggo agent start' runs its workers");
    json_decref(answer);
    return status;
}

/* ---- and away ---- */

/* Whatever the registration put into the configuration folder. */
static void leftovers_remove(const struct divvy_agent_paths *paths) {
    static const char *const names[] = {"gpus.json", "workers.json"};
    char path[PATH_MAX];
    DIR *folder = opendir(paths->config);
    const struct dirent *entry;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        divvy_agent_path_join(paths->config, names[i], path);
        (void)unlink(path);
    }
    while (folder && (entry = readdir(folder))) {
        size_t length = strlen(entry->d_name), tail = sizeof SHARE_CODES_SUFFIX - 1;

        if (length > tail && strcmp(entry->d_name + length - tail, SHARE_CODES_SUFFIX) == 0)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        (void)closedir(folder);
}

static int unregister_ask(const struct divvy_agent_call *call,
                          struct divvy_agent_registration *registration,
                          struct divvy_error *error) {
    static struct divvy_agent_platform platform;
    const char *token = call->values[DIVVY_AGENT_TOKEN];
    int status = divvy_agent_credential_set(&platform, token ? token : registration->secret, error);

    if (status == 0)
        status = divvy_agent_server_find(call, registration->server_url, &platform, error);
    if (status == 0)
        status = divvy_agent_platform_call(&platform, DIVVY_AGENT_API_AGENT_DELETE,
                                           registration->agent_id, NULL, NULL, NULL, error);
    /* Gone already is as good. */
    return status == -ENOENT ? 0 : status;
}

int divvy_agent_verb_unregister(struct divvy_agent_call *call) {
    static struct divvy_agent_registration registration;
    struct divvy_agent_paths paths;
    struct divvy_error error = {0};
    char path[PATH_MAX], id[sizeof registration.agent_id];
    bool is_forced = divvy_agent_call_on(call, DIVVY_AGENT_FORCE);
    int status = divvy_agent_paths_find(call->values[DIVVY_AGENT_CONFIG_DIR],
                                        call->values[DIVVY_AGENT_STATE_DIR], &paths, &error);
    pid_t running;

    if (status == 0)
        status = divvy_agent_registration_read(&paths, &registration, &error);
    if (status < 0)
        return divvy_agent_fail(call, &error);
    memcpy(id, registration.agent_id, sizeof id);
    running = divvy_agent_pidfile_look(paths.state);
    if (running && !is_forced)
        status = divvy_error_set(&error, -EBUSY,
                                 "the agent runs (pid %d); stop it first, or give --force",
                                 (int)running);
    if (status == 0)
        status = unregister_ask(call, &registration, &error);
    divvy_agent_registration_done(&registration);
    if (status < 0 && !(is_forced && !(running && status == -EBUSY))) {
        if (!running)
            (void)snprintf(error.text + strlen(error.text), sizeof error.text - strlen(error.text),
                           "; --force forgets it here all the same");
        return divvy_agent_fail(call, &error);
    }
    if (status < 0)
        divvy_log_warn("the platform was not told: %s", error.text);
    divvy_agent_path_join(paths.config, "config.json", path);
    if (unlink(path) < 0) {
        (void)divvy_error_set_errno(&error, -errno, "cannot remove %.150s", path);
        return divvy_agent_fail(call, &error);
    }
    leftovers_remove(&paths);
    return divvy_agent_print_action(call, id, "%s is no longer registered", id);
}
