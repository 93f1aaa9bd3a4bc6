/*
 * The proxy before the model's port: passes HTTP/1 through as it is and measures how long answers take, so that models need not.
 *
 * Each client's connection has a connection of its own to the model. Bytes are passed on unchanged; the proxy only follows where
 * messages begin and end, and lets no head through that it does not fully understand (http.h). Long bodies are spliced. After
 * an answer of 101 the connection is a tunnel. A latency is the time from a request's whole head to the last byte of the
 * answer as the model gave it; interim answers (1xx) and tunnels have none.
 *
 * What it says itself: 400, 408, 431, 501, 505 of requests; 502 (the model broke off, or what it said is no HTTP), 503 (it
 * cannot be reached). Bounds: DIVVY_RUNNER_PROXY_CONNECTIONS, two buffers each; when all are taken a newcomer takes the place of
 * the one that has been quiet longest and waits for no answer. Times: see proxy.c.
 *
 * One thread, the loop's.
 */
#ifndef DIVVY_MIG_RUNNER_PROXY_H
#define DIVVY_MIG_RUNNER_PROXY_H

#include "base/error.h"
#include "mig/runner/latency.h"
#include "base/loop.h"

#include <netinet/in.h>
#include <stdint.h>

#define DIVVY_RUNNER_PROXY_CONNECTIONS 256u

/* Since the proxy began. */
struct divvy_runner_proxy_counts {
    uint64_t requests;    /* answered, by the model or for it */
    uint64_t errors;      /* of those, with a status of 500 and more */
    uint64_t refused;     /* heads and bodies that are no HTTP, or came too slowly */
    uint64_t displaced;   /* connections that made room */
    uint32_t connections; /* now */
};

struct divvy_runner_proxy;

/*
 * Serves `listen_fd` (listening, taken over also on failure) for the model at `model`. Latencies go to *latency, which
 * stays the caller's. -ENOMEM and others.
 */
int divvy_runner_proxy_new(struct divvy_loop *loop, int listen_fd, const struct sockaddr_in *model,
                           struct divvy_runner_latency *latency, struct divvy_runner_proxy **ret_proxy,
                           struct divvy_error *error);

/* To be called about once a second: ends what has been waited for too long, gives memory back. */
void divvy_runner_proxy_tick(struct divvy_runner_proxy *proxy, uint64_t now_ns);

void divvy_runner_proxy_counts(const struct divvy_runner_proxy *proxy, struct divvy_runner_proxy_counts *ret_counts);

/* Closes everything. NULL is fine. */
void divvy_runner_proxy_free(struct divvy_runner_proxy *proxy);

#endif
