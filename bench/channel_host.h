/*
 * The smallest HTTP daemon around a channel server, for benches and tests: the three routes below DIVVY_CHANNEL_BASE, without
 * credentials, on the loopback or on a unix socket.
 */
#ifndef DIVVY_BENCH_CHANNEL_HOST_H
#define DIVVY_BENCH_CHANNEL_HOST_H

#include "wire/channel_server.h"

#include <stddef.h>
#include <stdint.h>

struct channel_host {
    /*
     * What else is served, or NULL: fills `text` with the answer to a request with this path and these values of its query (NULL
     * and 0 when absent) and returns the status. May be set after the start, before the first client comes.
     */
    int (*other)(void *context, const char *method, const char *path, const char *container, int pid, char *text, size_t size);
    void *context;
    struct divvy_channel_server *server;
    struct MHD_Daemon *http;
    uint16_t port; /* of 127.0.0.1, or 0 */
};

/* `path`: a unix socket to make, or NULL; then `port` (0: any). 0 or negative errno. */
int channel_host_start(struct channel_host *host, const struct divvy_channel_server_options *options, const char *path,
                       uint16_t port);
void channel_host_stop(struct channel_host *host);

#endif
