/* Registration and credentials: see config.h. */
#include "agent/config.h"

#include "agent/shape.h"
#include "base/json/file.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- times ---- */

void divvy_agent_time_format(int64_t seconds, char ret_text[DIVVY_AGENT_TIME_BYTES]) {
    time_t whole = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&whole, &parts) ||
        strftime(ret_text, DIVVY_AGENT_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        ret_text[0] = '\0';
}

int divvy_agent_time_parse(const char *text, int64_t *ret_seconds) {
    struct tm parts = {0};
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    unsigned int hours = 0, minutes = 0;
    int64_t shift = 0;
    int length = 0;

    if (!at)
        return -EINVAL;
    if (*at == '.')
        at += 1 + strspn(at + 1, "0123456789");
    if ((*at == '+' || *at == '-') && sscanf(at + 1, "%2u:%2u%n", &hours, &minutes, &length) == 2 &&
        hours < 24 && minutes < 60) {
        shift = (int64_t)(hours * 3600 + minutes * 60) * (*at == '+' ? 1 : -1);
        at += 1 + length;
    } else if (*at == 'Z' || *at == 'z') {
        at++;
    } else {
        return -EINVAL;
    }
    if (*at)
        return -EINVAL;
    *ret_seconds = (int64_t)timegm(&parts) - shift;
    return 0;
}

/* ---- registration ---- */

/* Secrets that others can read are a mistake of whoever made the file: mended and told. */
static void mode_mend(const char *path) {
    struct stat status;

    if (stat(path, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 077)) {
        divvy_log_warn("%s could be read by others (mode %04o); it is 0600 now", path,
                       status.st_mode & 07777);
        if (chmod(path, 0600) < 0)
            divvy_log_warn("%s: its mode cannot be changed: %s", path, strerror(errno));
    }
}

static int file_take(const char *path, const struct divvy_agent_shape *shape, json_t **ret_value,
                     struct divvy_error *error) {
    json_t *raw;
    int status = divvy_json_file_read(path, &raw, error);

    /* -EINVAL is kept for wrong use. */
    if (status == -EINVAL) {
        status = -EPROTO;
        if (error)
            error->status = status;
    }
    if (status < 0)
        return status;
    mode_mend(path);
    status = divvy_agent_shape_take(shape, raw, ret_value, error);
    json_decref(raw);
    if (status < 0)
        (void)divvy_error_prefix(error, "%.100s", path);
    return status;
}

/* Copies a text of `object`; false when it does not fit. Missing: "". */
static bool text_copy(const json_t *object, const char *key, char *ret_text, size_t size_bytes) {
    const char *text = json_string_value(json_object_get(object, key));

    return (size_t)snprintf(ret_text, size_bytes, "%s", text ? text : "") < size_bytes;
}

int divvy_agent_registration_read(const struct divvy_agent_paths *paths,
                                  struct divvy_agent_registration *ret_registration,
                                  struct divvy_error *error) {
    struct divvy_agent_registration registration = {0};
    char path[PATH_MAX];
    json_t *value;
    int status;

    divvy_agent_path_join(paths->config, "config.json", path);
    status = file_take(path, &divvy_agent_shape_registration, &value, error);
    if (status == -ENOENT)
        return divvy_error_set(
            error, status,
            "this machine is not registered (no %.120s); run 'ggo agent register --token TOKEN'",
            path);
    if (status < 0)
        return status;
    if (!text_copy(value, "agent_id", registration.agent_id, sizeof registration.agent_id) ||
        !text_copy(value, "agent_secret", registration.secret, sizeof registration.secret) ||
        !text_copy(value, "server_url", registration.server_url, sizeof registration.server_url)) {
        status = divvy_error_set(error, -EPROTO, "%.150s: a text is too long", path);
    } else {
        registration.config_version = json_integer_value(json_object_get(value, "config_version"));
        registration.license = json_incref(json_object_get(value, "license"));
        *ret_registration = registration;
    }
    json_decref(value);
    return status;
}

int divvy_agent_registration_write(const struct divvy_agent_paths *paths,
                                   const struct divvy_agent_registration *registration,
                                   struct divvy_error *error) {
    char path[PATH_MAX], aside[PATH_MAX];
    json_t *value = NULL, *license = registration->license;
    int lock = -1, status = divvy_agent_folder_make(paths->config, 0755, error);

    divvy_agent_path_join(paths->config, "config.json", path);
    if (status == 0)
        status = divvy_json_file_lock(path, &lock, error);
    if (status < 0)
        return status;
    status = divvy_json_file_read(path, &value, NULL);
    if ((status < 0 && status != -ENOENT) || (value && !json_is_object(value))) {
        if (divvy_json_file_set_aside(path, aside, NULL) == 0)
            divvy_log_warn("%s cannot be used and was kept as %s", path, aside);
        json_decref(value);
        value = NULL;
    }
    if (!value)
        value = json_object();
    if (json_object_set_new(value, "config_version", json_integer(registration->config_version)) <
            0 ||
        json_object_set_new(value, "agent_id", json_string(registration->agent_id)) < 0 ||
        json_object_set_new(value, "agent_secret", json_string(registration->secret)) < 0 ||
        json_object_set_new(value, "server_url", json_string(registration->server_url)) < 0 ||
        json_object_set_new(value, "license",
                            license ? json_incref(license)
                                    : json_pack("{s:s, s:s}", "plain", "", "encrypted", "")) < 0)
        status = divvy_error_set_errno(error, -ENOMEM, "%.150s", path);
    else
        status = divvy_json_file_write(path, value, 0600, error);
    json_decref(value);
    (void)close(lock);
    return status;
}

void divvy_agent_registration_done(struct divvy_agent_registration *registration) {
    explicit_bzero(registration->secret, sizeof registration->secret);
    json_decref(registration->license);
    registration->license = NULL;
}

/* ---- whom to ask, and as who ---- */

/* NULL when not set or empty. */
static const char *variable_get(const char *name) {
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

int divvy_agent_server_find(const struct divvy_agent_call *call, const char *preferred,
                            struct divvy_agent_platform *platform, struct divvy_error *error) {
    const char *url = call->values[DIVVY_AGENT_SERVER];
    int status;

    if (!url)
        url = variable_get("GPU_GO_ENDPOINT");
    if (!url && preferred && preferred[0])
        url = preferred;
    status = divvy_agent_server_set(platform, url ? url : DIVVY_AGENT_SERVER_DEFAULT, error);
    if (status == 0 && divvy_agent_server_is_open(platform))
        divvy_log_warn("%s is not encrypted: credentials can be read on the way; use https",
                       platform->server);
    return status;
}

/* token.json, unless its time is over. */
static int token_file_take(const struct divvy_agent_paths *paths,
                           struct divvy_agent_platform *platform, struct divvy_error *error) {
    char path[PATH_MAX];
    json_t *value;
    int64_t until;
    const char *expires;
    int status;

    if (!paths->user[0])
        return -ENOENT;
    divvy_agent_path_join(paths->user, "token.json", path);
    status = file_take(path, &divvy_agent_shape_token, &value, error);
    if (status < 0)
        return status;
    expires = json_string_value(json_object_get(value, "expires_at"));
    if (expires && expires[0] && divvy_agent_time_parse(expires, &until) == 0 &&
        until <= (int64_t)time(NULL))
        status = divvy_error_set(error, -EPERM,
                                 "the token in %.120s was good until %.30s; get a new one", path,
                                 expires);
    else
        status = divvy_agent_credential_set(
            platform, json_string_value(json_object_get(value, "token")), error);
    json_decref(value);
    return status;
}

int divvy_agent_user_find(const struct divvy_agent_call *call,
                          const struct divvy_agent_paths *paths,
                          struct divvy_agent_platform *platform, struct divvy_error *error) {
    static struct divvy_agent_registration registration;
    const char *token = call->values[DIVVY_AGENT_TOKEN];
    int status;

    if (!token)
        token = variable_get("GPU_GO_TOKEN");
    if (!token)
        token = variable_get("GPU_GO_USER_TOKEN");
    if (token)
        return divvy_agent_credential_set(platform, token, error);
    status = divvy_agent_registration_read(paths, &registration, error);
    if (status == 0) {
        status = divvy_agent_credential_set(platform, registration.secret, error);
        divvy_agent_registration_done(&registration);
        return status;
    }
    status = token_file_take(paths, platform, error);
    if (status == -ENOENT)
        return divvy_error_set(error, status, "no token: give --token TOKEN or set GPU_GO_TOKEN");
    return status;
}

int divvy_agent_user_open(const struct divvy_agent_call *call,
                          struct divvy_agent_platform *platform, struct divvy_error *error) {
    static struct divvy_agent_registration registration;
    struct divvy_agent_paths paths;
    int status = divvy_agent_paths_find(call->values[DIVVY_AGENT_CONFIG_DIR],
                                        call->values[DIVVY_AGENT_STATE_DIR], &paths, error);
    bool is_registered =
        status == 0 && divvy_agent_registration_read(&paths, &registration, NULL) == 0;

    if (status == 0)
        status = divvy_agent_server_find(call, is_registered ? registration.server_url : NULL,
                                         platform, error);
    if (status == 0)
        status = divvy_agent_user_find(call, &paths, platform, error);
    if (is_registered)
        divvy_agent_registration_done(&registration);
    return status;
}
