/*
 * The kubelet from its plugin's side: registers with it, sees it come anew (inotify on its folder, and a look now and then), and
 * registers again. Embedded; one thread, the loop's; nothing blocks.
 */
#ifndef DIVVY_PLUGIN_KUBELET_H
#define DIVVY_PLUGIN_KUBELET_H

#include "base/error.h"
#include "base/loop.h"
#include "grpc/client.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DIVVY_PLUGIN_ENDPOINT "divvy.sock" /* our socket in the kubelet's folder */

struct divvy_plugin_kubelet {
    struct divvy_source source; /* first: inotify */
    struct divvy_loop *loop;
    const char *folder, *resource; /* borrowed */
    char socket[108];
    int watch; /* -1: the folder is not watched */
    struct divvy_grpc_client *client; /* a registration under way */
    bool registered;
    bool changed; /* something happened in the folder */
    struct {
        dev_t device;
        ino_t inode;
        int64_t changed_ns;
    } asked; /* the socket that was registered with */
    uint64_t next_ns, pause_ns; /* of the next try */
    uint64_t look_ns;           /* of the next look without a hint */
    char complaint[256];        /* told last */
};

/* -EMFILE and others; -ENAMETOOLONG. */
int divvy_plugin_kubelet_init(struct divvy_plugin_kubelet *kubelet, struct divvy_loop *loop, const char *folder, const char *resource,
                              struct divvy_error *error);
void divvy_plugin_kubelet_done(struct divvy_plugin_kubelet *kubelet);

/*
 * To be called between turns of the loop; when it wants to be called again at the latest. `served`: our socket is there; without
 * it nothing is registered.
 */
uint64_t divvy_plugin_kubelet_tick(struct divvy_plugin_kubelet *kubelet, bool served, uint64_t now_ns);
/* Forget that we are registered: the kubelet has. */
void divvy_plugin_kubelet_again(struct divvy_plugin_kubelet *kubelet, uint64_t now_ns);

#endif
