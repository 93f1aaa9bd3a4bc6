/* The server's life: options, sockets, the HTTP library's threads. */
#include "daemon/http/server.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "daemon/http/listen.h"
#include "daemon/http/metrics_file.h"
#include "daemon/http/mig.h"
#include "wire/channel_server.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int64_t divvy_http_now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool is_set(const char *text) {
    return text && *text;
}

/* The library's own words go to the log at debug: they are about clients, not about us. */
static void library_log(void *argument, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
static void library_log(void *argument, const char *format, va_list arguments) {
    char line[256];

    (void)argument;
    if (!divvy_log_enabled(DIVVY_LOG_DEBUG))
        return;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    divvy_log_debug("http: %s", line);
}

/* Paths and parameters are decoded by us, part by part, so that an encoded '/' stays inside its part. */
static size_t keep_encoded(void *argument, struct MHD_Connection *connection, char *text) {
    (void)argument;
    (void)connection;
    return strlen(text);
}

/* Starts the library on a listening socket, which is the library's from then on. */
static int listener_run(struct divvy_http *http, struct divvy_http_listener *listener, int fd, struct divvy_error *error) {
    unsigned flags = MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, http->tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, http->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };

    if (listener->is_tls)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    listener->mhd = MHD_start_daemon(
        flags, 0, NULL, NULL, divvy_http_serve, listener, MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, DIVVY_HTTP_THREADS, MHD_OPTION_CONNECTION_LIMIT,
        http->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT, http->per_peer, MHD_OPTION_CONNECTION_TIMEOUT,
        http->timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(16 * 1024), MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        (size_t)1024, MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, NULL, MHD_OPTION_NOTIFY_CONNECTION, divvy_http_link_notify,
        listener, MHD_OPTION_NOTIFY_COMPLETED, divvy_http_serve_done, listener, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)(256 * 1024), MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (listener->mhd)
        return 0;
    return divvy_error_set(error, -EINVAL,
                           listener->is_tls ? "the HTTP server does not take the certificate and its key"
                                            : "the HTTP library cannot be started");
}

static int listener_add(struct divvy_http *http, int fd, const struct divvy_http_listener *like, struct divvy_error *error) {
    struct divvy_http_listener *listener = &http->listeners[http->listener_count];
    struct stat ours, now;
    int result;

    *listener = *like;
    listener->http = http;
    if (fstat(fd, &ours) != 0)
        return divvy_error_set_errno(error, -errno, "socket");
    result = listener_run(http, listener, fd, error);
    if (result == 0)
        http->listener_count++;
    else if (fstat(fd, &now) == 0 && now.st_ino == ours.st_ino) /* the library may have closed it */
        divvy_cleanup_close(&fd);
    return result;
}

static int unix_start(struct divvy_http *http, const struct divvy_http_options *options, struct divvy_error *error) {
    const struct divvy_http_listener like = {.is_unix = true};
    int fd = options->socket_fd;

    if (fd < 0 && !is_set(options->socket_path))
        return 0;
    if (strlen(options->socket_path ? options->socket_path : "") >= sizeof http->socket_path) {
        divvy_cleanup_close(&fd);
        return divvy_error_set(error, -ENAMETOOLONG, "the path of the socket has more than %zu characters",
                               sizeof http->socket_path - 1);
    }
    if (fd < 0) {
        fd = divvy_unix_listen(options->socket_path, (mode_t)options->socket_mode, error);
        if (fd < 0)
            return fd;
        http->is_socket_ours = true;
    }
    if (is_set(options->socket_path))
        memcpy(http->socket_path, options->socket_path, strlen(options->socket_path) + 1);
    return listener_add(http, fd, &like, error);
}

static int tcp_start(struct divvy_http *http, const struct divvy_http_options *options, struct divvy_error *error) {
    struct divvy_http_listener like = {.is_tls = http->tls_cert != NULL};
    int fd;

    if (!is_set(options->listen))
        return 0;
    fd = divvy_http_listen_tcp(options->listen, &like.is_loopback, &like.port, error);
    if (fd < 0)
        return fd;
    if (!like.is_loopback) {
        const char *why = NULL;

        if (!divvy_http_auth_has_tokens(http->auth) && !divvy_http_auth_has_keys(http->auth) && !http->cluster.review)
            why = "without a token file or keys for pods' tokens";
        else if (!like.is_tls && !options->allow_plaintext)
            why = "with tokens but without TLS (which allow-plaintext would permit)";
        else if (options->jwt_unverified && !divvy_http_auth_has_keys(http->auth) && !http->cluster.review)
            why = "while pods' tokens are not verified";
        if (why) {
            divvy_cleanup_close(&fd);
            return divvy_error_set(error, -EINVAL, "will not listen on %s, which is not loopback, %s", options->listen, why);
        }
    }
    divvy_log_info("http: listening on %s port %u%s", options->listen, like.port, like.is_tls ? " with TLS" : "");
    return listener_add(http, fd, &like, error);
}

static int tls_read(const struct divvy_http_options *options, char **ret_cert, char **ret_key, struct divvy_error *error) {
    int result;

    *ret_cert = *ret_key = NULL;
    if (!is_set(options->tls_cert) && !is_set(options->tls_key))
        return 0;
    if (!is_set(options->tls_cert) || !is_set(options->tls_key))
        return divvy_error_set(error, -EINVAL, "TLS needs a certificate and its key, and only one is given");
    result = divvy_http_file_read(options->tls_cert, false, ret_cert, NULL, error);
    if (result == 0)
        result = divvy_http_file_read(options->tls_key, true, ret_key, NULL, error);
    return result;
}

static void tls_free(char *cert, char *key) {
    if (key)
        explicit_bzero(key, strlen(key));
    free(key);
    free(cert);
}

static void metrics_settings(const struct divvy_http_options *options, struct divvy_metrics_file_settings *settings) {
    *settings = (struct divvy_metrics_file_settings){
        .path = options->metrics_path,
        .interval_ns = options->metrics_interval_ns,
        .is_json = options->metrics_json,
        .labels = options->metrics_labels,
        .pool = options->pool,
        .workers = options->single.usages,
        .workers_data = options->single.data,
    };
}

static int parts_start(struct divvy_http *http, const struct divvy_http_options *options, struct divvy_error *error) {
    struct divvy_metrics_file_settings settings;
    int result = tls_read(options, &http->tls_cert, &http->tls_key, error);

    if (result == 0)
        result = divvy_http_auth_new(options->token_file, options->jwt_key_file, options->jwt_audience, options->jwt_unverified,
                                     &http->auth, error);
    if (result == 0)
        result = divvy_http_channel_start(http, error);
    if (result == 0)
        result = divvy_http_mig_start(options->mig_library, options->mig_lock_dir, options->mig_kept, &http->mig, error);
    if (result == 0)
        result = divvy_http_sleep_start(http, error);
    if (result == 0)
        result = unix_start(http, options, error);
    if (result == 0)
        result = tcp_start(http, options, error);
    metrics_settings(options, &settings);
    if (result == 0)
        result = divvy_metrics_file_start(http->daemon, &settings, &http->metrics_file, error);
    return result;
}

int divvy_http_start(struct divvy_daemon *daemon, const struct divvy_http_options *options, struct divvy_http **ret_server,
                     struct divvy_error *error) {
    struct divvy_http *http = calloc(1, sizeof *http);
    int result;

    if (!http) {
        int fd = options->socket_fd;

        divvy_cleanup_close(&fd);
        return divvy_error_set(error, -ENOMEM, "out of memory");
    }
    http->daemon = daemon;
    http->started_ns = divvy_http_now_ns();
    http->connections_max = options->connections_max ? options->connections_max : 2048;
    http->per_peer = options->connections_per_peer ? options->connections_per_peer : 512;
    http->timeout_s = options->request_timeout_s ? options->request_timeout_s : 30;
    http->hide_others = options->hide_others;
    http->single = options->single;
    http->cluster = options->cluster;
    http->vgpu = options->vgpu;
    http->work_last = &http->work_first;
    pthread_rwlock_init(&http->auth_lock, NULL);
    pthread_mutex_init(&http->link_lock, NULL);
    pthread_mutex_init(&http->sleep_lock, NULL);
    pthread_mutex_init(&http->retired_lock, NULL);
    pthread_cond_init(&http->sleep_work, NULL);
    result = parts_start(http, options, error);
    if (result < 0) {
        divvy_http_stop(http);
        return result;
    }
    *ret_server = http;
    return 0;
}

void divvy_http_retired_reap(struct divvy_http *http) {
    for (size_t i = 0; i < DIVVY_HTTP_RETIRED; i++) {
        const union MHD_DaemonInfo *info = NULL;
        struct MHD_Daemon *mhd = NULL;

        pthread_mutex_lock(&http->retired_lock);
        if (http->retired[i])
            info = MHD_get_daemon_info(http->retired[i], MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        if (info && info->num_connections == 0) {
            mhd = http->retired[i];
            http->retired[i] = NULL;
        }
        pthread_mutex_unlock(&http->retired_lock);
        if (mhd)
            MHD_stop_daemon(mhd);
    }
}

static struct MHD_Daemon **retired_place(struct divvy_http *http) {
    for (size_t i = 0; i < DIVVY_HTTP_RETIRED; i++)
        if (!http->retired[i])
            return &http->retired[i];
    return NULL;
}

/*
 * The same socket with another certificate: the library cannot change it, so it is started once more on the socket, and the
 * old threads go on with the connections that they have.
 */
static int listener_renew(struct divvy_http *http, struct divvy_http_listener *listener, struct divvy_error *error) {
    struct MHD_Daemon *old = listener->mhd, **place;
    int result = -EBUSY, fd;

    pthread_mutex_lock(&http->retired_lock);
    place = retired_place(http);
    if (place) {
        fd = MHD_quiesce_daemon(old);
        result = listener_run(http, listener, fd, error);
        if (result == 0)
            *place = old;
    } else {
        divvy_error_set(error, result, "too many connections still use older certificates");
    }
    pthread_mutex_unlock(&http->retired_lock);
    return result;
}

static int tls_replace(struct divvy_http *http, char *cert, char *key, struct divvy_error *error) {
    char *old_cert = http->tls_cert, *old_key = http->tls_key;
    int result = 0;

    http->tls_cert = cert;
    http->tls_key = key;
    for (size_t i = 0; i < http->listener_count && result == 0; i++)
        if (http->listeners[i].is_tls)
            result = listener_renew(http, &http->listeners[i], error);
    if (result == 0) {
        tls_free(old_cert, old_key);
        return 0;
    }
    http->tls_cert = old_cert;
    http->tls_key = old_key;
    tls_free(cert, key);
    return result;
}

static bool same_text(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "") == 0;
}

int divvy_http_reload(struct divvy_http *server, const struct divvy_http_options *options, struct divvy_error *error) {
    struct divvy_metrics_file_settings settings;
    struct divvy_http_auth *auth = NULL, *old;
    char *cert = NULL, *key = NULL;
    int result = divvy_http_auth_new(options->token_file, options->jwt_key_file, options->jwt_audience, options->jwt_unverified,
                                     &auth, error);

    if (result == 0)
        result = tls_read(options, &cert, &key, error);
    for (size_t i = 0; result == 0 && i < server->listener_count; i++) {
        const struct divvy_http_listener *listener = &server->listeners[i];

        if (listener->is_unix)
            continue;
        if (listener->is_tls != (cert != NULL))
            result = divvy_error_set(error, -EINVAL, "TLS cannot be switched on or off while the server runs");
        else if (!listener->is_loopback && !divvy_http_auth_has_tokens(auth) && !divvy_http_auth_has_keys(auth) &&
                 !server->cluster.review)
            result = divvy_error_set(error, -EINVAL, "a port that is not loopback cannot be left without tokens");
        else if (!listener->is_loopback && options->jwt_unverified && !divvy_http_auth_has_keys(auth) &&
                 !server->cluster.review)
            result = divvy_error_set(error, -EINVAL, "pods' tokens must be verified where the port is not loopback");
    }
    metrics_settings(options, &settings);
    if (result == 0)
        result = divvy_metrics_file_reload(server->metrics_file, &settings, error);
    if (result == 0 && (!same_text(cert, server->tls_cert) || !same_text(key, server->tls_key))) {
        result = tls_replace(server, cert, key, error);
        cert = key = NULL;
    }
    tls_free(cert, key);
    if (result < 0) {
        divvy_http_auth_free(auth);
        return result;
    }
    pthread_rwlock_wrlock(&server->auth_lock);
    old = server->auth;
    server->auth = auth;
    server->hide_others = options->hide_others;
    pthread_rwlock_unlock(&server->auth_lock);
    divvy_http_auth_free(old);
    return 0;
}

/* No new connections; those that are being served get two seconds. The sockets stay open until the threads have ended. */
static void requests_finish(struct divvy_http *http, int fds[DIVVY_HTTP_LISTENERS]) {
    int64_t deadline_ns = divvy_http_now_ns() + 2000000000;
    size_t busy = 1;

    for (size_t i = 0; i < http->listener_count; i++)
        fds[i] = MHD_quiesce_daemon(http->listeners[i].mhd);
    divvy_http_channel_stop(http);
    divvy_http_sleep_stop(http);
    while (divvy_http_links_count(http, &busy) > 0 && busy > 0 && divvy_http_now_ns() < deadline_ns) {
        struct timespec pause = {.tv_nsec = 5000000};

        nanosleep(&pause, NULL);
    }
}

void divvy_http_stop(struct divvy_http *http) {
    int fds[DIVVY_HTTP_LISTENERS];

    if (!http)
        return;
    divvy_metrics_file_stop(http->metrics_file);
    if (http->is_socket_ours && http->socket_path[0])
        (void)unlink(http->socket_path);
    requests_finish(http, fds);
    for (size_t i = 0; i < http->listener_count; i++) {
        MHD_stop_daemon(http->listeners[i].mhd);
        divvy_cleanup_close(&fds[i]);
    }
    for (size_t i = 0; i < DIVVY_HTTP_RETIRED; i++)
        if (http->retired[i])
            MHD_stop_daemon(http->retired[i]);
    divvy_channel_server_free(http->channel);
    divvy_http_mig_stop(http->mig);
    divvy_http_auth_free(http->auth);
    tls_free(http->tls_cert, http->tls_key);
    pthread_cond_destroy(&http->sleep_work);
    pthread_mutex_destroy(&http->sleep_lock);
    pthread_mutex_destroy(&http->link_lock);
    pthread_mutex_destroy(&http->retired_lock);
    pthread_rwlock_destroy(&http->auth_lock);
    free(http);
}

struct divvy_channel_server *divvy_http_channel(struct divvy_http *server) {
    return server->channel;
}
