/* The device plugin: its thread, its service, its watchers. See plugin.h. */
#include "plugin/plugin.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"
#include "plugin/answer.h"
#include "plugin/inside.h"
#include "plugin/links.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEVICES_NS   (DIVVY_NS_PER_SECOND / 4) /* how often health is looked at: the monitor samples once a second */
#define SERVE_NS     DIVVY_NS_PER_SECOND       /* until the next try to have a socket */
#define UNWATCHED_NS (15 * DIVVY_NS_PER_SECOND) /* a kubelet that took our registration and does not ask for the list has lost us */

struct watcher {
    struct watcher *next;
    struct divvy_plugin *plugin;
    struct divvy_grpc_call *call;
};

struct divvy_plugin_node divvy_plugin_node_now(const struct divvy_plugin *plugin) {
    const struct divvy_plugin_hooks *hooks = &plugin->options.hooks;

    return (struct divvy_plugin_node){.devices = plugin->devices,
                                      .device_count = plugin->device_count,
                                      .slots = plugin->options.slots,
                                      .policy = plugin->options.policy,
                                      .device_root = plugin->options.device_root,
                                      .library_dir = plugin->options.library_dir,
                                      .preload_file = plugin->options.preload_file,
                                      .slots_dir = plugin->options.slots_dir,
                                      .fails_open = hooks->fails_open && hooks->fails_open(hooks->data)};
}

/* --- devices and who watches them ----------------------------------------------------------------------------------------- */

static bool devices_differ(const struct divvy_node_device *a, const struct divvy_node_device *b) {
    return strcmp(a->uuid_text, b->uuid_text) != 0 || a->healthy != b->healthy || a->numa_node != b->numa_node;
}

/* Whether the list has changed for the kubelet. */
static bool devices_look(struct divvy_plugin *plugin) {
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    size_t count = plugin->options.hooks.devices(plugin->options.hooks.data, devices);
    bool changed = count != plugin->device_count;

    for (size_t i = 0; i < count && !changed; i++)
        changed = devices_differ(&devices[i], &plugin->devices[i]);
    memcpy(plugin->devices, devices, count * sizeof *devices);
    plugin->device_count = count;
    return changed;
}

static int list_send(struct divvy_plugin *plugin, struct divvy_grpc_call *call) {
    struct divvy_plugin_node node = divvy_plugin_node_now(plugin);
    cleanup_free uint8_t *bytes = NULL;
    size_t length;

    if (divvy_plugin_answer_list(&node, &bytes, &length) < 0)
        return -ENOMEM;
    return divvy_grpc_call_send(call, bytes, length);
}

static void watchers_tell(struct divvy_plugin *plugin) {
    struct watcher *watcher = plugin->watchers, *next;
    size_t healthy = 0;

    for (size_t i = 0; i < plugin->device_count; i++)
        healthy += plugin->devices[i].healthy;
    divvy_log_info("device plugin: %zu devices of %u slots, %zu of them healthy", plugin->device_count, plugin->options.slots, healthy);
    for (; watcher; watcher = next) {
        /* One whose kubelet takes nothing goes away here. */
        next = watcher->next;
        (void)list_send(plugin, watcher->call);
    }
}

static void watcher_gone(struct divvy_grpc_call *call, void *data) {
    struct watcher *watcher = data;
    struct divvy_plugin *plugin = watcher->plugin;

    (void)call;
    for (struct watcher **at = &plugin->watchers; *at; at = &(*at)->next)
        if (*at == watcher) {
            *at = watcher->next;
            break;
        }
    if (!plugin->watchers)
        plugin->unwatched_ns = divvy_core_clock_ns();
    free(watcher);
}

/* --- the service ---------------------------------------------------------------------------------------------------------- */

static enum divvy_grpc_status status_of(int status) {
    switch (status) {
    case -EINVAL:
        return DIVVY_GRPC_INVALID_ARGUMENT;
    case -ENODEV:
    case -ENOENT:
        return DIVVY_GRPC_FAILED_PRECONDITION;
    default:
        return DIVVY_GRPC_INTERNAL;
    }
}

static void reply(struct divvy_grpc_call *call, int status, uint8_t *bytes, size_t length, const struct divvy_error *error) {
    if (status < 0)
        divvy_grpc_call_finish(call, status_of(status), error->text);
    else if (divvy_grpc_call_send(call, bytes, length) == 0)
        divvy_grpc_call_finish(call, DIVVY_GRPC_OK, NULL);
    free(bytes);
}

static void options_get(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    struct divvy_error error = {0, "no memory"};
    uint8_t *bytes = NULL;
    size_t answer_length = 0;
    int status = divvy_plugin_answer_options(&bytes, &answer_length);

    (void)data;
    (void)request;
    (void)length;
    reply(call, status, bytes, answer_length, &error);
}

static void list_and_watch(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    struct divvy_plugin *plugin = data;
    struct watcher *watcher = calloc(1, sizeof *watcher);

    (void)request;
    (void)length;
    if (!watcher) {
        divvy_grpc_call_finish(call, DIVVY_GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *watcher = (struct watcher){plugin->watchers, plugin, call};
    plugin->watchers = watcher;
    divvy_grpc_call_keep(call, watcher, watcher_gone);
    (void)list_send(plugin, call);
}

static void preferred_get(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    struct divvy_plugin_node node = divvy_plugin_node_now(data);
    struct divvy_error error = {0, ""};
    uint8_t *bytes = NULL;
    size_t answer_length = 0;
    int status = divvy_plugin_answer_preferred(&node, request, length, &bytes, &answer_length, &error);

    reply(call, status, bytes, answer_length, &error);
}

static void allocate(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    struct divvy_plugin_node node = divvy_plugin_node_now(data);
    struct divvy_error error = {0, ""};
    uint8_t *bytes = NULL;
    size_t answer_length = 0;
    int status = divvy_plugin_answer_allocate(&node, request, length, &bytes, &answer_length, &error);

    if (status < 0)
        divvy_log_warn("device plugin: Allocate refused: %s", error.text);
    reply(call, status, bytes, answer_length, &error);
}

static void container_start(void *data, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    divvy_plugin_start_begin(data, call, request, length);
}

static const struct divvy_grpc_method methods[] = {
    {"/v1beta1.DevicePlugin/GetDevicePluginOptions", options_get},
    {"/v1beta1.DevicePlugin/ListAndWatch", list_and_watch},
    {"/v1beta1.DevicePlugin/GetPreferredAllocation", preferred_get},
    {"/v1beta1.DevicePlugin/Allocate", allocate},
    {"/v1beta1.DevicePlugin/PreStartContainer", container_start},
};

/* The kubelet empties its folder when it starts; whoever else removes our socket has the same coming. */
static void serve(struct divvy_plugin *plugin, uint64_t now_ns) {
    struct divvy_grpc_server_options options = {
        .path = plugin->socket, .methods = methods, .method_count = sizeof methods / sizeof methods[0], .data = plugin};
    struct divvy_error error = {0, ""};

    if (plugin->server && divvy_grpc_server_is_there(plugin->server))
        return;
    if (plugin->server) {
        divvy_log_info("device plugin: its socket was removed; serving it anew");
        divvy_grpc_server_free(plugin->server);
        plugin->server = NULL;
        divvy_plugin_kubelet_again(&plugin->kubelet, now_ns);
    }
    if (now_ns < plugin->serve_ns)
        return;
    if (divvy_grpc_server_new(&plugin->loop, &options, &plugin->server, &error) == 0) {
        plugin->complaint[0] = '\0';
        return;
    }
    plugin->serve_ns = now_ns + SERVE_NS;
    if (strcmp(plugin->complaint, error.text) != 0)
        divvy_log_warn("device plugin: cannot be served, will try again: %s", error.text);
    (void)snprintf(plugin->complaint, sizeof plugin->complaint, "%s", error.text);
}

/* --- the thread ----------------------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void watch_check(struct divvy_plugin *plugin, uint64_t now_ns) {
    if (!plugin->kubelet.registered || plugin->watchers) {
        plugin->unwatched_ns = now_ns;
    } else if (now_ns - plugin->unwatched_ns >= UNWATCHED_NS) {
        divvy_log_warn("device plugin: the kubelet does not ask for the devices; registering again");
        plugin->unwatched_ns = now_ns;
        divvy_plugin_kubelet_again(&plugin->kubelet, now_ns);
    }
}

static uint64_t tick(struct divvy_plugin *plugin) {
    uint64_t now_ns = divvy_core_clock_ns(), due_ns;

    if (now_ns >= plugin->devices_ns) {
        plugin->devices_ns = now_ns + DEVICES_NS;
        if (devices_look(plugin))
            watchers_tell(plugin);
    }
    serve(plugin, now_ns);
    watch_check(plugin, now_ns);
    due_ns = earlier(plugin->devices_ns, divvy_plugin_kubelet_tick(&plugin->kubelet, plugin->server != NULL, now_ns));
    if (plugin->server)
        due_ns = earlier(due_ns, divvy_grpc_server_tick(plugin->server, now_ns));
    return earlier(due_ns, divvy_plugin_start_tick(plugin, now_ns));
}

static void *run(void *data) {
    struct divvy_plugin *plugin = data;

    while (!plugin->stopping)
        divvy_loop_turn(&plugin->loop, tick(plugin));
    divvy_grpc_server_free(plugin->server);
    divvy_plugin_start_done(plugin);
    divvy_plugin_kubelet_done(&plugin->kubelet);
    /* What was freed goes now. */
    divvy_loop_turn(&plugin->loop, 0);
    divvy_loop_turn(&plugin->loop, 0);
    return NULL;
}

static void bell(struct divvy_source *source, uint32_t events) {
    struct divvy_plugin *plugin = (struct divvy_plugin *)source;
    uint64_t count;

    (void)events;
    plugin->stopping = read(source->fd, &count, sizeof count) == (ssize_t)sizeof count;
}

static void release(struct divvy_plugin *plugin) {
    if (plugin->bell.fd >= 0)
        divvy_cleanup_close(&plugin->bell.fd);
    divvy_cleanup_close(&plugin->links_fd);
    if (plugin->has_loop)
        divvy_loop_done(&plugin->loop);
    for (size_t i = 0; i < sizeof plugin->texts / sizeof plugin->texts[0]; i++)
        free(plugin->texts[i]);
    free(plugin);
}

static int options_take(struct divvy_plugin *plugin, const struct divvy_plugin_options *options, struct divvy_error *error) {
    const char **places[] = {&plugin->options.kubelet_dir, &plugin->options.pod_resources, &plugin->options.resource, &plugin->options.device_root,
                             &plugin->options.library_dir, &plugin->options.preload_file,  &plugin->options.slots_dir};

    _Static_assert(sizeof places / sizeof places[0] == sizeof plugin->texts / sizeof plugin->texts[0], "a text for each");
    plugin->options = *options;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        plugin->texts[i] = strdup(*places[i]);
        *places[i] = plugin->texts[i];
        if (!plugin->texts[i])
            return divvy_error_set_errno(error, -ENOMEM, "the device plugin");
    }
    if (divvy_plugin_resource_check(options->resource) < 0)
        return divvy_error_set(error, -EINVAL, "'%.100s' is no name of a resource; it is DOMAIN/NAME, such as divvy.io/gpu", options->resource);
    if (options->slots < 1 || options->slots > DIVVY_PLUGIN_SLOTS_MAX)
        return divvy_error_set(error, -EINVAL, "a device has 1 to %u slots, not %u", DIVVY_PLUGIN_SLOTS_MAX, options->slots);
    if (snprintf(plugin->socket, sizeof plugin->socket, "%s/" DIVVY_PLUGIN_ENDPOINT, options->kubelet_dir) >= (int)sizeof plugin->socket)
        return divvy_error_set(error, -ENAMETOOLONG, "the kubelet's folder has too long a name for sockets: %.120s", options->kubelet_dir);
    return 0;
}

static int begin(struct divvy_plugin *plugin, struct divvy_error *error) {
    sigset_t all, before;
    int status = divvy_loop_init(&plugin->loop);

    if (status < 0)
        return divvy_error_set_errno(error, status, "the device plugin");
    plugin->has_loop = true;
    plugin->bell.ready = bell;
    plugin->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (plugin->bell.fd < 0)
        return divvy_error_set_errno(error, -errno, "the device plugin");
    if ((status = divvy_loop_add(&plugin->loop, &plugin->bell, EPOLLIN)) < 0)
        return divvy_error_set_errno(error, status, "the device plugin");
    plugin->links_fd = divvy_plugin_links_open(plugin->options.slots_dir, error);
    if (plugin->links_fd < 0)
        return plugin->links_fd;
    status = divvy_plugin_kubelet_init(&plugin->kubelet, &plugin->loop, plugin->options.kubelet_dir, plugin->options.resource, error);
    if (status == 0) {
        /* Signals are the main thread's. */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        status = -pthread_create(&plugin->thread, NULL, run, plugin);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (status < 0)
            (void)divvy_error_set_errno(error, status, "the device plugin has no thread");
    }
    if (status < 0)
        divvy_plugin_kubelet_done(&plugin->kubelet);
    return status;
}

int divvy_plugin_start(const struct divvy_plugin_options *options, struct divvy_plugin **ret_plugin, struct divvy_error *error) {
    struct divvy_plugin *plugin = calloc(1, sizeof *plugin);
    int status;

    if (!plugin)
        return divvy_error_set_errno(error, -ENOMEM, "the device plugin");
    plugin->bell.fd = plugin->links_fd = -1;
    status = options_take(plugin, options, error);
    if (status == 0)
        status = begin(plugin, error);
    if (status < 0) {
        release(plugin);
        return status;
    }
    *ret_plugin = plugin;
    return 0;
}

void divvy_plugin_stop(struct divvy_plugin *plugin) {
    uint64_t one = 1;

    if (!plugin)
        return;
    (void)!write(plugin->bell.fd, &one, sizeof one);
    (void)pthread_join(plugin->thread, NULL);
    release(plugin);
}
