/* Connections: who is at the other end, how many of them, and an end for those that are too slow. */
#include "daemon/http/server.h"

#include <sys/socket.h>

static uint32_t same_peer_count(const struct divvy_http *http, const struct divvy_http_link *link) {
    uint32_t count = 0;

    for (const struct divvy_http_link *other = http->links; other; other = other->next)
        if (other->is_known && other->uid == link->uid)
            count++;
    return count;
}

static void link_begin(struct divvy_http_listener *listener, struct MHD_Connection *connection, void **socket_context) {
    struct divvy_http *http = listener->http;
    struct divvy_http_link *link = calloc(1, sizeof *link);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred peer;
    socklen_t length = sizeof peer;

    *socket_context = link;
    if (!link)
        return; /* serve() refuses a connection without */
    link->listener = listener;
    link->fd = info ? info->connect_fd : -1;
    if (listener->is_unix && getsockopt(link->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && length == sizeof peer) {
        link->is_known = true;
        link->uid = peer.uid;
        link->pid = peer.pid;
    }
    atomic_store(&link->phase, DIVVY_HTTP_READING);
    atomic_store(&link->since_ns, divvy_http_now_ns());
    pthread_mutex_lock(&http->link_lock);
    /* Root has no limit of its own, so that a crowd of users cannot lock the administrator out. */
    if (link->is_known && link->uid != 0)
        link->same_peer = same_peer_count(http, link);
    link->next = http->links;
    link->back = &http->links;
    if (link->next)
        link->next->back = &link->next;
    http->links = link;
    /* Up to twice the limit are told why; beyond that there is nobody to talk to. */
    if (link->same_peer >= 2 * http->per_peer)
        (void)shutdown(link->fd, SHUT_RDWR);
    pthread_mutex_unlock(&http->link_lock);
}

static void link_end(struct divvy_http_link *link) {
    struct divvy_http *http = link->listener->http;

    pthread_mutex_lock(&http->link_lock);
    *link->back = link->next;
    if (link->next)
        link->next->back = link->back;
    pthread_mutex_unlock(&http->link_lock);
    free(link);
}

void divvy_http_link_notify(void *listener, struct MHD_Connection *connection, void **socket_context,
                            enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        link_begin(listener, connection, socket_context);
    } else if (*socket_context) {
        link_end(*socket_context);
        *socket_context = NULL;
    }
}

void divvy_http_link_phase(struct divvy_http_link *link, enum divvy_http_phase phase) {
    if (!link)
        return;
    atomic_store(&link->since_ns, divvy_http_now_ns());
    atomic_store(&link->phase, (int)phase);
}

void divvy_http_links_reap(struct divvy_http *http, int64_t now_ns) {
    int64_t limit_ns = (int64_t)http->timeout_s * 1000000000;

    pthread_mutex_lock(&http->link_lock);
    for (struct divvy_http_link *link = http->links; link; link = link->next) {
        int64_t age_ns = now_ns - atomic_load(&link->since_ns);
        int phase = atomic_load(&link->phase);

        /* The library itself ends connections on which nothing moves; these move, but too slowly. */
        if ((phase == DIVVY_HTTP_READING && age_ns > 2 * limit_ns) || (phase == DIVVY_HTTP_SENDING && age_ns > 4 * limit_ns))
            (void)shutdown(link->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&http->link_lock);
}

size_t divvy_http_links_count(struct divvy_http *http, size_t *ret_busy) {
    size_t count = 0, busy = 0;

    pthread_mutex_lock(&http->link_lock);
    for (const struct divvy_http_link *link = http->links; link; link = link->next) {
        int phase = atomic_load(&link->phase);

        count++;
        busy += phase != DIVVY_HTTP_READING;
    }
    pthread_mutex_unlock(&http->link_lock);
    *ret_busy = busy;
    return count;
}
