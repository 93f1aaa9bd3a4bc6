/* Registration with the kubelet: see kubelet.h. */
#include "plugin/kubelet.h"

#include "base/log.h"
#include "core/clock.h"
#include "plugin/answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_PAUSE_NS (DIVVY_NS_PER_SECOND / 4)
#define LAST_PAUSE_NS  (30 * DIVVY_NS_PER_SECOND)
#define LOOK_NS        (10 * DIVVY_NS_PER_SECOND) /* beside inotify */
#define UNWATCHED_NS   DIVVY_NS_PER_SECOND        /* as long as there is no folder to watch */
#define TIMEOUT_NS     (10 * DIVVY_NS_PER_SECOND)
#define ANSWER_BYTES   4096u /* an empty message is expected */
#define METHOD         "/v1beta1.Registration/Register"

static void complain(struct divvy_plugin_kubelet *kubelet, const char *text) {
    if (strncmp(kubelet->complaint, text, sizeof kubelet->complaint - 1) == 0)
        return;
    (void)snprintf(kubelet->complaint, sizeof kubelet->complaint, "%s", text);
    divvy_log_warn("device plugin: not registered with the kubelet, will try again: %s", text);
}

static void folder_watch(struct divvy_plugin_kubelet *kubelet) {
    kubelet->watch = inotify_add_watch(kubelet->source.fd, kubelet->folder,
                                       IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
    kubelet->changed = kubelet->changed || kubelet->watch >= 0;
}

static void ready(struct divvy_source *source, uint32_t events) {
    struct divvy_plugin_kubelet *kubelet = (struct divvy_plugin_kubelet *)source;
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t got;

    (void)events;
    while ((got = read(source->fd, buffer, sizeof buffer)) > 0) {
        kubelet->changed = true;
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const struct inotify_event *)at;

            at += sizeof *event + event->len;
            if (event->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) {
                if (!(event->mask & IN_IGNORED))
                    (void)inotify_rm_watch(source->fd, event->wd);
                if (event->wd == kubelet->watch)
                    kubelet->watch = -1;
            }
        }
    }
}

int divvy_plugin_kubelet_init(struct divvy_plugin_kubelet *kubelet, struct divvy_loop *loop, const char *folder, const char *resource,
                              struct divvy_error *error) {
    int status;

    *kubelet = (struct divvy_plugin_kubelet){.loop = loop, .folder = folder, .resource = resource, .watch = -1, .pause_ns = FIRST_PAUSE_NS};
    kubelet->source.ready = ready;
    kubelet->source.fd = -1;
    if (snprintf(kubelet->socket, sizeof kubelet->socket, "%s/kubelet.sock", folder) >= (int)sizeof kubelet->socket)
        return divvy_error_set(error, -ENAMETOOLONG, "the kubelet's folder has too long a name for sockets: %.120s", folder);
    kubelet->source.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (kubelet->source.fd < 0)
        return divvy_error_set_errno(error, -errno, "no inotify");
    status = divvy_loop_add(loop, &kubelet->source, EPOLLIN);
    if (status < 0)
        return divvy_error_set_errno(error, status, "no inotify");
    return 0;
}

void divvy_plugin_kubelet_done(struct divvy_plugin_kubelet *kubelet) {
    divvy_grpc_client_free(kubelet->client);
    kubelet->client = NULL;
    divvy_loop_close(kubelet->loop, &kubelet->source);
}

/* --- registering ---------------------------------------------------------------------------------------------------------- */

static void answer(void *data, const uint8_t *message, size_t length) {
    (void)data;
    (void)message;
    (void)length;
}

static void pause_grow(struct divvy_plugin_kubelet *kubelet, uint64_t now_ns) {
    kubelet->next_ns = now_ns + kubelet->pause_ns;
    kubelet->pause_ns = 2 * kubelet->pause_ns < LAST_PAUSE_NS ? 2 * kubelet->pause_ns : LAST_PAUSE_NS;
}

static void done(void *data, enum divvy_grpc_status status, const char *text) {
    struct divvy_plugin_kubelet *kubelet = data;
    char whole[DIVVY_GRPC_TEXT_BYTES + 64];

    divvy_grpc_client_free(kubelet->client);
    kubelet->client = NULL;
    if (status == DIVVY_GRPC_OK) {
        kubelet->registered = true;
        kubelet->complaint[0] = '\0';
        divvy_log_info("device plugin: registered %s with the kubelet", kubelet->resource);
        return;
    }
    (void)snprintf(whole, sizeof whole, "%s: %s", divvy_grpc_status_name(status), text);
    complain(kubelet, whole);
}

static void registration_begin(struct divvy_plugin_kubelet *kubelet, const struct stat *found) {
    struct divvy_grpc_client_options options = {.socket_path = kubelet->socket,
                                                .path = METHOD,
                                                .timeout_ns = TIMEOUT_NS,
                                                .answer_max_bytes = ANSWER_BYTES,
                                                .message = answer,
                                                .done = done,
                                                .data = kubelet};
    uint8_t *request;

    if (divvy_plugin_request_register(DIVVY_PLUGIN_ENDPOINT, kubelet->resource, &request, &options.length) < 0)
        return;
    options.request = request;
    kubelet->asked.device = found->st_dev;
    kubelet->asked.inode = found->st_ino;
    kubelet->asked.changed_ns = (int64_t)found->st_ctim.tv_sec * (int64_t)DIVVY_NS_PER_SECOND + found->st_ctim.tv_nsec;
    (void)divvy_grpc_client_new(kubelet->loop, &options, &kubelet->client);
    free(request);
}

/* Inode numbers are used again soon: the time tells two sockets of one number apart. */
static bool is_asked(const struct divvy_plugin_kubelet *kubelet, const struct stat *found) {
    return kubelet->asked.device == found->st_dev && kubelet->asked.inode == found->st_ino &&
           kubelet->asked.changed_ns == (int64_t)found->st_ctim.tv_sec * (int64_t)DIVVY_NS_PER_SECOND + found->st_ctim.tv_nsec;
}

void divvy_plugin_kubelet_again(struct divvy_plugin_kubelet *kubelet, uint64_t now_ns) {
    kubelet->registered = false;
    pause_grow(kubelet, now_ns);
}

/* Whether the kubelet is the one that was asked; another one is asked at once. */
static int kubelet_look(struct divvy_plugin_kubelet *kubelet, struct stat *ret_found, uint64_t now_ns) {
    kubelet->changed = false;
    kubelet->look_ns = now_ns + LOOK_NS;
    if (stat(kubelet->socket, ret_found) < 0) {
        if (kubelet->registered)
            divvy_log_info("device plugin: the kubelet is gone");
        kubelet->registered = false;
        return -errno;
    }
    if (kubelet->asked.inode && !is_asked(kubelet, ret_found)) {
        if (kubelet->registered)
            divvy_log_info("device plugin: the kubelet has started anew");
        kubelet->registered = false;
        kubelet->asked.inode = 0;
        kubelet->pause_ns = FIRST_PAUSE_NS;
        kubelet->next_ns = now_ns;
        divvy_grpc_client_free(kubelet->client);
        kubelet->client = NULL;
    }
    return 0;
}

uint64_t divvy_plugin_kubelet_tick(struct divvy_plugin_kubelet *kubelet, bool served, uint64_t now_ns) {
    uint64_t due_ns = divvy_grpc_client_tick(kubelet->client, now_ns);
    struct stat found;

    if (kubelet->watch < 0)
        folder_watch(kubelet);
    if (kubelet->changed || now_ns >= kubelet->look_ns ||
        (!kubelet->registered && !kubelet->client && now_ns >= kubelet->next_ns)) {
        int status = kubelet_look(kubelet, &found, now_ns);

        if (status < 0) {
            char text[160];

            (void)snprintf(text, sizeof text, "%s: %s", kubelet->socket, strerror(-status));
            complain(kubelet, text);
            kubelet->next_ns = now_ns + UNWATCHED_NS;
        } else if (!kubelet->registered && !kubelet->client && served && now_ns >= kubelet->next_ns) {
            pause_grow(kubelet, now_ns);
            registration_begin(kubelet, &found);
            due_ns = now_ns;
        }
    }
    if (kubelet->watch < 0 && now_ns + UNWATCHED_NS < due_ns)
        due_ns = now_ns + UNWATCHED_NS;
    if (!kubelet->registered && !kubelet->client && kubelet->next_ns < due_ns)
        due_ns = kubelet->next_ns > now_ns ? kubelet->next_ns : now_ns + FIRST_PAUSE_NS;
    return kubelet->look_ns < due_ns ? kubelet->look_ns : due_ns;
}
