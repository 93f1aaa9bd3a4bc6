/* HTTP over the daemon's unix socket: see client.h. */
#include "cli/client.h"

#include "base/cleanup.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* More than 16384 tenants with all that is said of them, and less than what would hurt. */
#define ANSWER_MAX_BYTES (64u << 20)
#define CONNECT_MS       2000L
#define URL_BYTES        (DIVVY_CLI_TENANT_PATH_BYTES + 32)

struct divvy_cli_client {
    CURL *curl;
    struct curl_slist *headers;
    char path[DIVVY_CLI_SOCKET_BYTES];
};

struct answer {
    char *bytes;
    size_t length, room;
    bool too_large;
};

/* ---- where it listens ---- */

static int socket_add(struct divvy_cli_sockets *sockets, const char *folder, const char *file,
                      struct divvy_error *error) {
    char path[4096];
    int length = snprintf(path, sizeof path, "%s%s", folder, file);

    if (length < 0 || (size_t)length >= DIVVY_CLI_SOCKET_BYTES)
        return divvy_error_set(error, -ENAMETOOLONG,
                               "%.100s...: a socket's path has at most %d characters; set "
                               "DIVVY_SOCKET to a shorter one",
                               folder, DIVVY_CLI_SOCKET_BYTES - 1);
    for (unsigned int i = 0; i < sockets->count; i++)
        if (strcmp(sockets->paths[i], path) == 0)
            return 0;
    memcpy(sockets->paths[sockets->count++], path, (size_t)length + 1);
    return 0;
}

int divvy_cli_sockets_find(struct divvy_cli_sockets *ret_sockets, struct divvy_error *error) {
    static const char of_node[] = "/run/divvy/divvyd.sock";
    const char *given = getenv("DIVVY_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");
    struct divvy_cli_sockets sockets = {.given = given && given[0]};
    char own[48];
    int status;

    if (sockets.given) {
        status = socket_add(&sockets, given, "", error);
    } else if (runtime && runtime[0] == '/') {
        status = socket_add(&sockets, runtime, "/divvy/divvyd.sock", error);
    } else if (geteuid() == 0) {
        status = 0;
    } else {
        (void)snprintf(own, sizeof own, "/dev/shm/divvy-%u", (unsigned int)geteuid());
        status = socket_add(&sockets, own, "/divvyd.sock", error);
    }
    if (status < 0)
        return status;
    if (!sockets.given)
        (void)socket_add(&sockets, of_node, "", error);
    *ret_sockets = sockets;
    return 0;
}

/* 0 when somebody answers who may be believed; *ret_uid says who it is otherwise. */
static int socket_try(const char *path, bool trusted, uid_t *ret_uid) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t length = sizeof peer;
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    if (trusted)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return -errno;
    *ret_uid = peer.uid;
    return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

/* ---- a client ---- */

static int client_new(const char *path, struct divvy_cli_client **ret_client,
                      struct divvy_error *error) {
    struct divvy_cli_client *client = calloc(1, sizeof *client);

    /* Nothing of TLS is needed, and starting it takes longer than all the rest. */
    if (client && curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK)
        client->curl = curl_easy_init();
    if (!client || !client->curl) {
        free(client);
        return divvy_error_set_errno(error, -ENOMEM, "cannot make an HTTP client");
    }
    (void)snprintf(client->path, sizeof client->path, "%s", path);
    client->headers = curl_slist_append(NULL, "Content-Type: application/json");
    *ret_client = client;
    return 0;
}

int divvy_cli_client_open(const struct divvy_cli_sockets *sockets,
                          struct divvy_cli_client **ret_client, struct divvy_error *error) {
    int worst = -ENOTCONN;
    unsigned int worst_at = 0;
    uid_t uid = 0;

    for (unsigned int i = 0; i < sockets->count; i++) {
        int status = socket_try(sockets->paths[i], sockets->given, &uid);

        if (status == 0)
            return client_new(sockets->paths[i], ret_client, error);
        if (worst == -ENOTCONN && (status == -EACCES || status == -EPERM)) {
            worst = status;
            worst_at = i;
        }
    }
    if (worst == -EACCES)
        return divvy_error_set(
            error, worst,
            "%s: this user may not talk to divvyd there; ask its owner, or unset "
            "DIVVY_SOCKET to use a daemon of your own",
            sockets->paths[worst_at]);
    if (worst == -EPERM)
        return divvy_error_set(error, worst,
                               "%s: who answers there is user %u, neither root nor you; set "
                               "DIVVY_SOCKET to this path if that is meant",
                               sockets->paths[worst_at], (unsigned int)uid);
    return divvy_error_set(error, -ENOTCONN,
                           "no divvyd answers at %s: start it with 'divvyd', or start a tenant "
                           "with 'divvy run'",
                           sockets->paths[0]);
}

int divvy_cli_client_find(struct divvy_cli_client **ret_client, struct divvy_error *error) {
    struct divvy_cli_sockets sockets;
    int status = divvy_cli_sockets_find(&sockets, error);

    return status < 0 ? status : divvy_cli_client_open(&sockets, ret_client, error);
}

void divvy_cli_client_free(struct divvy_cli_client *client) {
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    curl_slist_free_all(client->headers);
    free(client);
}

const char *divvy_cli_client_path(const struct divvy_cli_client *client) {
    return client->path;
}

/* ---- a call ---- */

static size_t answer_take(const char *bytes, size_t size, size_t count, void *data) {
    struct answer *answer = data;
    size_t more = size * count;

    if (more > ANSWER_MAX_BYTES - answer->length) {
        answer->too_large = true;
        return 0;
    }
    if (answer->length + more + 1 > answer->room) {
        size_t room = (answer->length + more + 1) * 2;
        char *grown = realloc(answer->bytes, room);

        if (!grown)
            return 0;
        answer->bytes = grown;
        answer->room = room;
    }
    memcpy(answer->bytes + answer->length, bytes, more);
    answer->length += more;
    answer->bytes[answer->length] = '\0';
    return more;
}

static int status_errno(long status) {
    switch (status) {
    case 400:
    case 413:
    case 422:
        return -EINVAL;
    case 401:
    case 403:
        return -EPERM;
    case 404:
        return -ENOENT;
    case 409:
        return -EBUSY;
    case 501:
        return -EOPNOTSUPP;
    case 503:
        return -EAGAIN;
    default:
        return -EREMOTEIO;
    }
}

static int answer_refusal(const struct divvy_cli_client *client, long status, const json_t *answer,
                          struct divvy_error *error) {
    const char *text = json_string_value(json_object_get(answer, "error"));
    char clean[DIVVY_ERROR_TEXT_BYTES];

    if (!text)
        return divvy_error_set(error, status_errno(status),
                               "divvyd at %s answered with status %ld and no reason", client->path,
                               status);
    divvy_text_clean(text, clean, sizeof clean);
    return divvy_error_set(error, status_errno(status), "%s", clean);
}

static int transport_failure(const struct divvy_cli_client *client, CURLcode code,
                             unsigned int timeout_ms, const struct answer *answer,
                             struct divvy_error *error) {
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return divvy_error_set(error, -ETIMEDOUT,
                               "divvyd at %s does not answer within %u s; is it overloaded or "
                               "stopped?",
                               client->path, (timeout_ms + 999) / 1000);
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        return divvy_error_set(error, -ENOTCONN, "divvyd at %s went away (%s)", client->path,
                               curl_easy_strerror(code));
    case CURLE_OUT_OF_MEMORY:
        return divvy_error_set_errno(error, -ENOMEM, "cannot ask divvyd");
    default:
        if (answer->too_large)
            return divvy_error_set(error, -EPROTO, "divvyd at %s answered more than %u MiB",
                                   client->path, ANSWER_MAX_BYTES >> 20);
        return divvy_error_set(error, -EPROTO, "who answers at %s does not speak HTTP (%s)",
                               client->path, curl_easy_strerror(code));
    }
}

static int call_prepare(struct divvy_cli_client *client, const char *method, const char *path,
                        const char *body, unsigned int timeout_ms, struct answer *answer) {
    CURL *curl = client->curl;
    char url[URL_BYTES];
    CURLcode code;

    if ((size_t)snprintf(url, sizeof url, "http://divvyd%s", path) >= sizeof url)
        return -ENAMETOOLONG;
    /* Keeps the connection; forgets all options of the call before. */
    curl_easy_reset(curl);
    code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->path);
    code |= curl_easy_setopt(curl, CURLOPT_URL, url);
    code |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    /* Whatever http_proxy says, the daemon is here. */
    code |= curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    code |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    code |= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    code |= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    code |= curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    code |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_take);
    code |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (body) {
        code |= curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
        code |= curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        code |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    } else if (strcmp(method, "POST") == 0) {
        code |= curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
        code |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    return code == CURLE_OK ? 0 : -ENOMEM;
}

/* What a complete answer means. */
static int answer_judge(const struct divvy_cli_client *client, const char *method, const char *path,
                        const struct answer *answer, json_t **ret_answer,
                        struct divvy_error *error) {
    json_t *value = NULL;
    long http_status = 0;
    int status = 0;

    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http_status);
    if (answer->length > 0)
        value = json_loadb(answer->bytes, answer->length, JSON_REJECT_DUPLICATES, NULL);
    if (http_status < 200 || http_status > 299)
        status = answer_refusal(client, http_status, value, error);
    else if (answer->length > 0 && !json_is_object(value))
        status = divvy_error_set(error, -EPROTO,
                                 "divvyd at %s answered %.60s %.100s with what is no JSON object",
                                 client->path, method, path);
    if (status == 0 && ret_answer)
        *ret_answer = json_incref(value);
    json_decref(value);
    return status;
}

int divvy_cli_client_call(struct divvy_cli_client *client, const char *method, const char *path,
                          const json_t *body, unsigned int timeout_ms, json_t **ret_answer,
                          struct divvy_error *error) {
    cleanup_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct answer answer = {0};
    CURLcode code;
    int status =
        body && !text ? -ENOMEM : call_prepare(client, method, path, text, timeout_ms, &answer);

    if (status < 0)
        return divvy_error_set_errno(error, status, "cannot ask divvyd for %.120s", path);
    code = curl_easy_perform(client->curl);
    if (code == CURLE_OK)
        status = answer_judge(client, method, path, &answer, ret_answer, error);
    else
        status = transport_failure(client, code, timeout_ms, &answer, error);
    free(answer.bytes);
    return status;
}

int divvy_cli_client_tenant_path(const char *id, const char *tail, char *ret_path,
                                 size_t size_bytes, struct divvy_error *error) {
    static const char prefix[] = "/api/v1/tenants/";
    char path[DIVVY_CLI_TENANT_PATH_BYTES];
    size_t length = sizeof prefix - 1;

    if (!id[0] || strlen(id) > 127)
        return divvy_error_set(error, -EINVAL,
                               "'%.60s': a tenant's name has 1 to 127 characters; 'divvy ps --all' "
                               "lists them",
                               id);
    memcpy(path, prefix, length);
    for (const char *at = id; *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr("._-", *at);

        length += (size_t)snprintf(path + length, sizeof path - length, plain ? "%c" : "%%%02X",
                                   (unsigned char)*at);
    }
    /* A lone "." or ".." would be taken for a step in the path. */
    if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
        return divvy_error_set(error, -EINVAL, "'%s' is no tenant's name", id);
    if ((size_t)snprintf(ret_path, size_bytes, "%s%s", path, tail) >= size_bytes)
        return divvy_error_set_errno(error, -ENAMETOOLONG, "%.120s", id);
    return 0;
}
