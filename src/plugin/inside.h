/* The plugin from inside: for plugin.c and start.c only. All of it is the thread's. */
#ifndef DIVVY_PLUGIN_INSIDE_H
#define DIVVY_PLUGIN_INSIDE_H

#include "base/loop.h"
#include "grpc/server.h"
#include "plugin/answer.h"
#include "plugin/kubelet.h"
#include "plugin/plugin.h"

#include <pthread.h>

struct watcher;

/* A container that waits for its start until somebody knows whose it is. */
struct divvy_plugin_start;

struct divvy_plugin {
    struct divvy_source bell; /* first: ends the thread */
    struct divvy_loop loop;
    bool has_loop, stopping;
    pthread_t thread;
    struct divvy_plugin_options options;
    char *texts[7]; /* of the options */
    char socket[108];
    struct divvy_grpc_server *server; /* NULL: there is none now */
    uint64_t serve_ns;                /* of the next try */
    char complaint[DIVVY_ERROR_TEXT_BYTES];
    struct divvy_plugin_kubelet kubelet;
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    size_t device_count;
    uint64_t devices_ns; /* of the next look */
    struct watcher *watchers;
    uint64_t unwatched_ns; /* since when nobody watches */

    /* start.c */
    int links_fd;
    struct divvy_plugin_start *starts;
    struct divvy_grpc_client *asking; /* who holds what */
    struct divvy_plugin_holders asked;
    bool asked_came, asked_broken;
    uint64_t ask_ns;      /* of the next question; UINT64_MAX: none is needed */
    char reason[256];     /* why the last question had no answer; empty: it had */
    char told[256];       /* the reason that was logged last */
    uint32_t odd;         /* how many containers the last answer had that were left out */
    uint8_t missed[DIVVY_NODE_DEVICES][DIVVY_PLUGIN_SLOTS_MAX]; /* answers in a row in which nobody held a slot that has a link */
};

struct divvy_plugin_node divvy_plugin_node_now(const struct divvy_plugin *plugin);

void divvy_plugin_start_begin(struct divvy_plugin *plugin, struct divvy_grpc_call *call, const uint8_t *request, size_t length);
uint64_t divvy_plugin_start_tick(struct divvy_plugin *plugin, uint64_t now_ns);
void divvy_plugin_start_done(struct divvy_plugin *plugin);

#endif
