/* Credentials of a cluster: see config.h. */
#include "kube/config.h"

#include "base/cleanup.h"
#include "core/parse.h"
#include "core/sys.h"
#include "kube/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES (1u << 20)

static void blob_free(struct divvy_kube_blob *blob) {
    if (blob->bytes)
        explicit_bzero(blob->bytes, blob->length);
    free(blob->bytes);
    *blob = (struct divvy_kube_blob){NULL, 0};
}

void divvy_kube_config_done(struct divvy_kube_config *config) {
    blob_free(&config->ca);
    blob_free(&config->cert);
    blob_free(&config->key);
    blob_free(&config->token);
}

static int blob_copy(const char *text, struct divvy_kube_blob *ret_blob) {
    *ret_blob = (struct divvy_kube_blob){strdup(text), strlen(text)};
    return ret_blob->bytes ? 0 : -ENOMEM;
}

static int digit64(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

int divvy_kube_base64_decode(const char *text, struct divvy_kube_blob *ret_blob) {
    char *bytes = malloc(strlen(text) / 4 * 3 + 4);
    uint32_t bits = 0;
    unsigned digits = 0, padding = 0;
    size_t length = 0;
    bool good = true;

    if (!bytes)
        return -ENOMEM;
    for (; *text && good; text++) {
        int digit = digit64(*text);

        if (strchr(" \t\r\n", *text))
            continue;
        padding += *text == '=';
        good = *text == '=' ? padding <= 2 : digit >= 0 && padding == 0;
        bits = bits << 6 | (uint32_t)(digit < 0 ? 0 : digit);
        if (++digits % 4 == 0) {
            bytes[length++] = (char)(bits >> 16 & 255);
            bytes[length++] = (char)(bits >> 8 & 255);
            bytes[length++] = (char)(bits & 255);
            bits = 0;
        }
    }
    if (!good || digits % 4 != 0 || digits == 0) {
        free(bytes);
        return -EINVAL;
    }
    length -= padding;
    bytes[length] = '\0';
    *ret_blob = (struct divvy_kube_blob){bytes, length};
    return 0;
}

/* `secret`: nobody else may be able to put another one in its place. */
static int file_read(const char *path, bool secret, struct divvy_kube_blob *ret_blob, struct divvy_error *error) {
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    ssize_t length = 0;
    char *bytes;

    if (fd < 0 || fstat(fd, &status) < 0)
        return divvy_error_set_errno(error, -errno, "cannot read %.180s", path);
    if (!S_ISREG(status.st_mode) || status.st_size > (off_t)FILE_BYTES)
        return divvy_error_set(error, -EINVAL, "%.180s is no file, or longer than 1 MiB", path);
    if (secret && (status.st_mode & S_IWOTH))
        return divvy_error_set(error, -EPERM, "%.180s can be written to by everybody: chmod o-w", path);
    bytes = malloc((size_t)status.st_size + 1);
    if (!bytes)
        return divvy_error_set(error, -ENOMEM, "out of memory");
    length = divvy_core_sys_read(fd, bytes, (size_t)status.st_size);
    if (length < 0) {
        free(bytes);
        return divvy_error_set_errno(error, (int)length, "cannot read %.180s", path);
    }
    bytes[length] = '\0';
    *ret_blob = (struct divvy_kube_blob){bytes, (size_t)length};
    return 0;
}

/* A token is one line of printable characters: nothing that could end its header. */
static int token_check(struct divvy_kube_blob *token, const char *from, struct divvy_error *error) {
    while (token->length > 0 && strchr(" \t\r\n", token->bytes[token->length - 1]))
        token->bytes[--token->length] = '\0';
    for (size_t i = 0; i < token->length; i++)
        if (token->bytes[i] <= ' ' || token->bytes[i] > '~')
            return divvy_error_set(error, -EINVAL, "%.180s: the token is not one line of printable characters", from);
    if (token->length == 0 || token->length >= DIVVY_KUBE_TOKEN_BYTES)
        return divvy_error_set(error, -EINVAL, "%.180s: the token is empty or too long", from);
    return 0;
}

static int server_set(struct divvy_kube_config *config, const char *server, struct divvy_error *error) {
    size_t length = strlen(server), host_length;
    bool is_https = strncmp(server, "https://", 8) == 0, is_http = strncmp(server, "http://", 7) == 0;

    while (length > 0 && server[length - 1] == '/')
        length--;
    if ((!is_https && !is_http) || length >= sizeof config->server || length < 9 || strpbrk(server, " ?#@\t\r\n"))
        return divvy_error_set(error, -EINVAL, "the server '%.150s' is no https://HOST:PORT", server);
    /* The host in front of a port or path: no name that only begins like this machine's own. */
    host_length = !is_http ? 0 : server[7] == '[' ? strcspn(server + 7, "]") + 1 : strcspn(server + 7, ":/");
    if (is_http && !divvy_core_host_is_loopback(server + 7, host_length))
        return divvy_error_set(error, -EINVAL, "the server '%.150s' is to be reached without TLS, which only this machine's own may", server);
    memcpy(config->server, server, length);
    config->server[length] = '\0';
    return 0;
}

/* --- kubeconfig ------------------------------------------------------------------------------------------------------- */

struct kubeconfig {
    const char *path;
    struct divvy_error *error;
};

static int bad(const struct kubeconfig *file, const char *why) {
    return divvy_error_set(file->error, -EINVAL, "%.120s: %.120s", file->path, why);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));

    return text && *text ? text : NULL;
}

/* The entry of this name of one of the lists; its member `what`. */
static const json_t *entry_find(const json_t *root, const char *list, const char *name, const char *what) {
    const json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(root, list), i, entry) {
        const char *found = text_of(entry, "name");

        if (found && strcmp(found, name) == 0)
            return json_object_get(entry, what);
    }
    return NULL;
}

/* Relative to the folder of the kubeconfig. */
static int path_read(const struct kubeconfig *file, const char *path, bool secret, struct divvy_kube_blob *ret_blob) {
    const char *slash = strrchr(file->path, '/');
    char whole[PATH_MAX];

    if (*path != '/' && slash)
        (void)snprintf(whole, sizeof whole, "%.*s/%.2000s", (int)(slash - file->path), file->path, path);
    else
        (void)snprintf(whole, sizeof whole, "%.4000s", path);
    return file_read(whole, secret, ret_blob, file->error);
}

/* KEY-data in Base64, or KEY that names a file. Neither: nothing. */
static int material_read(const struct kubeconfig *file, const json_t *object, const char *key, bool secret, struct divvy_kube_blob *ret_blob) {
    char data_key[40];
    const char *data, *path = text_of(object, key);
    int status;

    (void)snprintf(data_key, sizeof data_key, "%s-data", key);
    data = text_of(object, data_key);
    if (!data)
        return path ? path_read(file, path, secret, ret_blob) : 0;
    status = divvy_kube_base64_decode(data, ret_blob);
    return status < 0 ? divvy_error_set(file->error, status, "%.120s: %s is not Base64", file->path, data_key) : 0;
}

static int cluster_read(const struct kubeconfig *file, const json_t *cluster, struct divvy_kube_config *config) {
    const char *server = text_of(cluster, "server"), *insecure = text_of(cluster, "insecure-skip-tls-verify");
    int status;

    if (!server)
        return bad(file, "its current context names no cluster with a server");
    if (insecure && strcmp(insecure, "false") != 0)
        return bad(file, "insecure-skip-tls-verify is not done here: give certificate-authority");
    if (text_of(cluster, "tls-server-name") || text_of(cluster, "proxy-url"))
        return bad(file, "tls-server-name and proxy-url are not supported");
    status = server_set(config, server, file->error);
    return status < 0 ? divvy_error_prefix(file->error, "%.100s", file->path)
                      : material_read(file, cluster, "certificate-authority", false, &config->ca);
}

static int user_read(const struct kubeconfig *file, const json_t *user, struct divvy_kube_config *config) {
    static const char *const refused[] = {"exec", "auth-provider", "username", "password", "as"};
    const char *token = text_of(user, "token"), *token_file = text_of(user, "tokenFile");
    int status;

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (json_object_get(user, refused[i]))
            return bad(file, "its user is of a kind that is not supported: use a certificate, token or tokenFile");
    status = material_read(file, user, "client-certificate", false, &config->cert);
    if (status == 0)
        status = material_read(file, user, "client-key", true, &config->key);
    if (status == 0 && token_file)
        status = path_read(file, token_file, true, &config->token);
    else if (status == 0 && token && blob_copy(token, &config->token) < 0)
        status = divvy_error_set(file->error, -ENOMEM, "out of memory");
    if (status < 0)
        return status;
    if (!config->cert.bytes != !config->key.bytes)
        return bad(file, "a client certificate needs its key, and the other way round");
    if (!config->cert.bytes && !config->token.bytes)
        return bad(file, "its user has neither a certificate nor a token");
    return config->token.bytes ? token_check(&config->token, token_file ? token_file : file->path, file->error) : 0;
}

static int contexts_read(const struct kubeconfig *file, const json_t *root, struct divvy_kube_config *config) {
    const char *current = text_of(root, "current-context"), *cluster, *user;
    const json_t *context = current ? entry_find(root, "contexts", current, "context") : NULL;
    int status;

    cluster = text_of(context, "cluster");
    user = text_of(context, "user");
    if (!cluster || !user)
        return bad(file, "current-context names no context with a cluster and a user");
    status = cluster_read(file, entry_find(root, "clusters", cluster, "cluster"), config);
    return status < 0 ? status : user_read(file, entry_find(root, "users", user, "user"), config);
}

static int kubeconfig_read(const char *path, struct divvy_kube_config *config, struct divvy_error *error) {
    const struct kubeconfig file = {path, error};
    struct divvy_kube_blob text = {NULL, 0};
    json_t *root = NULL;
    int status = file_read(path, true, &text, error);

    if (status < 0)
        return status;
    status = divvy_kube_yaml_parse(text.bytes, text.length, &root, error);
    if (status < 0)
        (void)divvy_error_prefix(error, "%.120s", path);
    else
        status = contexts_read(&file, root, config);
    json_decref(root);
    blob_free(&text);
    return status;
}

/* --- in a container --------------------------------------------------------------------------------------------------- */

static int account_read(const char *account, const char *host, const char *port, struct divvy_kube_config *config,
                        struct divvy_error *error) {
    char text[PATH_MAX];
    int status;

    if (!host || !*host || !port || !*port)
        return divvy_error_set(error, -EINVAL,
                               "this is no container of a cluster (KUBERNETES_SERVICE_HOST is not set): name a kubeconfig");
    (void)snprintf(text, sizeof text, strchr(host, ':') ? "https://[%.200s]:%.10s" : "https://%.200s:%.10s", host, port);
    status = server_set(config, text, error);
    (void)snprintf(text, sizeof text, "%.3000s/ca.crt", account);
    if (status == 0)
        status = file_read(text, true, &config->ca, error);
    (void)snprintf(text, sizeof text, "%.3000s/token", account);
    if (status == 0)
        status = file_read(text, true, &config->token, error);
    return status < 0 ? status : token_check(&config->token, text, error);
}

int divvy_kube_config_read(const char *kubeconfig, const char *account, const char *host, const char *port,
                           struct divvy_kube_config *ret_config, struct divvy_error *error) {
    struct divvy_kube_config config = {.server = ""};
    int status = kubeconfig && *kubeconfig
                     ? kubeconfig_read(kubeconfig, &config, error)
                     : account_read(account ? account : DIVVY_KUBE_SERVICE_ACCOUNT, host, port, &config, error);

    if (status < 0)
        divvy_kube_config_done(&config);
    else
        *ret_config = config;
    return status;
}
