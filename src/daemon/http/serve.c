/* A request from its headers to its answer: route, credential, body, handler. Called by the HTTP library's threads. */
#include "daemon/http/server.h"

#include "core/parse.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether a process of another pid namespace: the root of a container is not the root of the machine. */
static bool peer_is_foreign(pid_t pid) {
    char path[64];
    struct stat ours, theirs;

    if (stat("/proc/self/ns/pid", &ours) != 0)
        return false; /* no /proc: there is no telling */
    if (pid <= 0)
        return true;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    return stat(path, &theirs) != 0 || theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev;
}

static void peer_of_link(struct divvy_http_request *request) {
    const struct divvy_http_link *link = request->link;

    request->credential = DIVVY_HTTP_CREDENTIAL_NONE;
    if (link->is_known) {
        bool is_root = link->uid == 0;

        if (is_root && geteuid() == 0 && peer_is_foreign(link->pid)) {
            request->credential = DIVVY_HTTP_CREDENTIAL_LOCAL;
            return;
        }
        request->peer.known = true;
        request->peer.uid = link->uid;
        request->peer.pid = link->pid;
        request->peer.admin = is_root || link->uid == geteuid();
        request->credential = request->peer.admin ? DIVVY_HTTP_CREDENTIAL_ADMIN : DIVVY_HTTP_CREDENTIAL_USER;
    }
}

/* "localhost", "127.0.0.1:8001", "[::1]:8001": what a browser that was led here by a foreign name does not say. */
static bool host_is_loopback(const char *host) {
    size_t length;

    if (!host)
        return true; /* HTTP/1.0 */
    length = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    length += host[length] == ']';
    return (host[length] == '\0' || host[length] == ':') && divvy_core_host_is_loopback(host, length);
}

static void credential_bad(struct divvy_http_request *request, const char *fault) {
    request->credential = DIVVY_HTTP_CREDENTIAL_BAD;
    request->credential_fault = fault;
    request->peer.admin = false;
}

/* What became of a pod's token that the cluster was asked about, or is to be. */
static void review_take(struct divvy_http_request *request, int status, const char *fault) {
    request->peer.admin = false;
    request->credential = DIVVY_HTTP_CREDENTIAL_POD;
    request->is_unreviewed = status == -EINPROGRESS;
    if (status == -EAGAIN)
        divvy_http_fail(request, 503, "%s", fault);
    else if (status < 0 && status != -EINPROGRESS)
        credential_bad(request, fault);
}

/* Where no keys are configured. What is known is taken; else the request waits for a worker to ask, when its body has come. */
static void review_begin(struct divvy_http_request *request, const char *token) {
    const struct divvy_http *http = request->http;
    const char *fault = NULL;
    int status = divvy_http_auth_claims(http->auth, token, time(NULL), &fault);

    if (status == 0)
        status = http->cluster.review(http->cluster.data, token, divvy_http_auth_audience(http->auth), false, &request->peer, &fault);
    review_take(request, status, fault);
}

void divvy_http_review(struct divvy_http_request *request) {
    struct divvy_http *http = request->http;
    const char *token = divvy_http_header(request, MHD_HTTP_HEADER_AUTHORIZATION) + strlen("Bearer "), *fault = NULL;
    char audience[256];
    int status;

    pthread_rwlock_rdlock(&http->auth_lock);
    snprintf(audience, sizeof audience, "%s", divvy_http_auth_audience(http->auth) ? divvy_http_auth_audience(http->auth) : "");
    pthread_rwlock_unlock(&http->auth_lock);
    status = http->cluster.review(http->cluster.data, token, audience, true, &request->peer, &fault);
    review_take(request, status, fault);
    if (request->credential == DIVVY_HTTP_CREDENTIAL_BAD)
        divvy_http_fail(request, 401, "%s", request->credential_fault);
}

/* A credential in the request counts in place of the channel's own, or besides: a pod's token on the unix socket. */
static void bearer_read(struct divvy_http_request *request, const char *header) {
    struct divvy_http *http = request->http;
    const struct divvy_http_listener *listener = request->link->listener;
    struct divvy_http_pod pod;
    const char *fault = NULL, *token;

    request->has_authorization = true;
    if (strncasecmp(header, "Bearer ", 7) != 0 || header[7] == '\0') {
        credential_bad(request, "Invalid authorization header format");
        return;
    }
    token = header + 7;
    pthread_rwlock_rdlock(&http->auth_lock);
    if (divvy_http_auth_token_is_known(http->auth, token)) {
        request->peer.admin = true;
        request->credential = DIVVY_HTTP_CREDENTIAL_ADMIN;
    } else if (!strchr(token, '.')) {
        credential_bad(request, "Authentication failed");
    } else if (http->cluster.review && !divvy_http_auth_has_keys(http->auth)) {
        review_begin(request, token);
    } else if (divvy_http_auth_pod(http->auth, token, time(NULL), listener->is_unix || listener->is_loopback, &pod, &fault) !=
               0) {
        credential_bad(request, fault);
    } else {
        memcpy(request->peer.pod, pod.pod, sizeof pod.pod);
        memcpy(request->peer.namespace, pod.namespace, sizeof pod.namespace);
        memcpy(request->peer.pod_uid, pod.pod_uid, sizeof pod.pod_uid);
        request->peer.admin = false;
        request->credential = DIVVY_HTTP_CREDENTIAL_POD;
    }
    pthread_rwlock_unlock(&http->auth_lock);
}

static void credential_find(struct divvy_http_request *request) {
    const char *header = divvy_http_header(request, MHD_HTTP_HEADER_AUTHORIZATION);
    const struct divvy_http_listener *listener = request->link->listener;
    bool is_open;

    peer_of_link(request);
    if (header) {
        bearer_read(request, header);
        return;
    }
    pthread_rwlock_rdlock(&request->http->auth_lock);
    is_open = listener->is_loopback && !divvy_http_auth_has_tokens(request->http->auth);
    pthread_rwlock_unlock(&request->http->auth_lock);
    if (!is_open)
        return;
    if (host_is_loopback(divvy_http_header(request, MHD_HTTP_HEADER_HOST)))
        request->credential = DIVVY_HTTP_CREDENTIAL_LOCAL;
    else
        credential_bad(request, "this port answers to localhost only");
}

/* 0, or the status of the refusal. */
static int right_check(struct divvy_http_request *request) {
    static const enum divvy_http_credential needed[DIVVY_HTTP_FOR_MAX] = {
        [DIVVY_HTTP_FOR_ANYBODY] = DIVVY_HTTP_CREDENTIAL_NONE, [DIVVY_HTTP_FOR_READERS] = DIVVY_HTTP_CREDENTIAL_LOCAL,
        [DIVVY_HTTP_FOR_PODS] = DIVVY_HTTP_CREDENTIAL_POD,     [DIVVY_HTTP_FOR_USERS] = DIVVY_HTTP_CREDENTIAL_USER,
        [DIVVY_HTTP_FOR_ADMINS] = DIVVY_HTTP_CREDENTIAL_ADMIN,
    };
    enum divvy_http_credential least = needed[request->route->right];

    if (least == DIVVY_HTTP_CREDENTIAL_NONE)
        return 0;
    if (request->credential == DIVVY_HTTP_CREDENTIAL_BAD)
        return divvy_http_fail(request, 401, "%s", request->credential_fault);
    if (request->credential >= least)
        return 0;
    if (request->credential == DIVVY_HTTP_CREDENTIAL_NONE || request->credential == DIVVY_HTTP_CREDENTIAL_LOCAL)
        return divvy_http_fail(request, 401, "Missing authorization header");
    return divvy_http_fail(request, 403, "this is for %s",
                           least == DIVVY_HTTP_CREDENTIAL_ADMIN ? "administrators"
                                                                : "users of the unix socket and administrators");
}

/* Length that the client says its body has; 0 when it does not say. */
static uint64_t body_length_told(const struct divvy_http_request *request) {
    const char *text = divvy_http_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return text ? strtoull(text, NULL, 10) : 0;
}

static int too_large(struct divvy_http_request *request) {
    return divvy_http_fail(request, 413, "the body is longer than %u bytes", DIVVY_HTTP_BODY_MAX);
}

/* What can be said before the body has come. 0: go on. */
static int head_check(struct divvy_http_request *request, const char *method, const char *url) {
    const char *id;
    size_t id_length;
    uint64_t told = body_length_told(request);

    request->route = divvy_http_route_find(method, url, &id, &id_length, request->allow);
    if (!request->route) {
        if (request->allow[0])
            return divvy_http_fail(request, 405, "%s is not for this path; it takes %s", request->method, request->allow);
        return divvy_http_fail(request, 404, "no such path");
    }
    if (id && divvy_http_percent_decode(id, id_length, request->id, sizeof request->id) < 0)
        return divvy_http_fail(request, 400, "the name in the path is too long or not well encoded");
    credential_find(request);
    if (right_check(request) != 0)
        return request->status;
    if (request->link->same_peer >= request->http->per_peer)
        return divvy_http_fail(request, 503, "this user has %u connections already", request->link->same_peer);
    if (told > DIVVY_HTTP_DRAIN_MAX || (told > DIVVY_HTTP_BODY_MAX && divvy_http_header(request, MHD_HTTP_HEADER_EXPECT)))
        return too_large(request);
    return 0;
}

static enum MHD_Result body_take(struct divvy_http_request *request, const char *data, size_t size) {
    request->body_seen += size;
    if (request->body_seen > DIVVY_HTTP_DRAIN_MAX)
        return MHD_NO;
    if (request->is_refused || request->body_refused || request->body_seen > DIVVY_HTTP_BODY_MAX) {
        request->body_refused = true;
        return MHD_YES;
    }
    if (request->body_length + size + 1 > request->body_room) {
        size_t room = request->body_room ? request->body_room * 2 : 1024;
        char *larger;

        while (room < request->body_length + size + 1)
            room *= 2;
        larger = realloc(request->body, room);
        if (!larger)
            return MHD_NO;
        request->body = larger;
        request->body_room = room;
    }
    memcpy(request->body + request->body_length, data, size);
    request->body_length += size;
    request->body[request->body_length] = '\0';
    return MHD_YES;
}

static void headers_add(const struct divvy_http_request *request, struct MHD_Response *response) {
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (request->answer_type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, request->answer_type);
    if (request->allow[0])
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, request->allow);
    if (request->status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (request->status == 413)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

static enum MHD_Result answer_send(struct divvy_http_request *request) {
    enum divvy_http_phase phase = request->stream || request->response ? DIVVY_HTTP_STREAMING : DIVVY_HTTP_SENDING;
    struct MHD_Response *response;
    enum MHD_Result result;

    if (request->response) {
        response = request->response;
        request->response = NULL;
    } else if (request->stream) {
        response = divvy_http_stream_response(request->stream);
        request->stream = NULL; /* the response's now, also when there is none */
    } else {
        response = MHD_create_response_from_buffer(request->answer_length, request->answer, MHD_RESPMEM_MUST_FREE);
        if (response)
            request->answer = NULL;
        if (response)
            headers_add(request, response);
    }
    if (!response)
        return MHD_NO;
    divvy_http_link_phase(request->link, phase);
    result = MHD_queue_response(request->connection, (unsigned)request->status, response);
    MHD_destroy_response(response);
    return result;
}

static struct divvy_http_request *request_new(struct divvy_http_listener *listener, struct MHD_Connection *connection,
                                              const char *method) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct divvy_http_request *request;

    if (!info || !info->socket_context)
        return NULL;
    request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->http = listener->http;
    request->daemon = listener->http->daemon;
    request->connection = connection;
    request->link = info->socket_context;
    snprintf(request->method, sizeof request->method, "%s", method);
    return request;
}

/* Runs the handler, or lets the connection sleep until that is done. True: there is an answer. */
static bool handler_run(struct divvy_http_request *request) {
    divvy_http_link_phase(request->link, DIVVY_HTTP_WORKING);
    if (request->body_refused) {
        too_large(request);
        return true;
    }
    if (request->is_unreviewed && request->route->right != DIVVY_HTTP_FOR_ANYBODY) {
        if (divvy_http_sleep_work(request))
            return false;
        divvy_http_fail(request, 503, "the daemon is ending");
        return true;
    }
    if (request->status != 0)
        return true; /* by a worker */
    if (request->route->is_slow && !request->is_run) {
        request->is_run = true;
        if (divvy_http_sleep_work(request))
            return false;
        divvy_http_fail(request, 503, "the daemon is ending");
        return true;
    }
    request->is_run = true;
    if (request->route->handler(request) != DIVVY_HTTP_LATER)
        return true;
    if (divvy_http_sleep_wait(request))
        return false;
    request->deadline_ns = 1; /* long over: the handler makes the best of it */
    if (request->route->handler(request) == DIVVY_HTTP_LATER)
        divvy_http_fail(request, 503, "the daemon is ending");
    return true;
}

enum MHD_Result divvy_http_serve(void *listener, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *upload_data, size_t *upload_data_size, void **state) {
    struct divvy_http_request *request = *state;

    (void)version;
    if (!request) {
        request = *state = request_new(listener, connection, method);
        if (!request)
            return MHD_NO;
        divvy_daemon_touch(request->daemon);
        if (head_check(request, method, url) == 0)
            return MHD_YES;
        /* A body that is on its way already is read first: closing on it would lose the answer as well. */
        request->is_refused = true;
        return divvy_http_header(request, MHD_HTTP_HEADER_EXPECT) || body_length_told(request) > DIVVY_HTTP_DRAIN_MAX
                   ? answer_send(request)
                   : MHD_YES;
    }
    if (*upload_data_size > 0) {
        size_t size = *upload_data_size;

        *upload_data_size = 0;
        return body_take(request, upload_data, size);
    }
    return request->is_refused || handler_run(request) ? answer_send(request) : MHD_YES;
}

void divvy_http_serve_done(void *listener, struct MHD_Connection *connection, void **state,
                           enum MHD_RequestTerminationCode code) {
    struct divvy_http_request *request = *state;

    (void)listener;
    (void)connection;
    (void)code;
    if (!request)
        return;
    divvy_http_link_phase(request->link, DIVVY_HTTP_READING);
    if (request->stream)
        request->stream->free(request->stream);
    if (request->response)
        MHD_destroy_response(request->response);
    free(request->body);
    free(request->answer);
    free(request);
    *state = NULL;
}
