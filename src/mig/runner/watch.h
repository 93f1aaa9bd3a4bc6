/*
 * What the runner sees of its program: device memory and refusals (usage page), host memory (/proc), latencies (socket, proxy);
 * and what it tells of it: /metrics, /proc/meminfo of the program, lines of the log.
 */
#ifndef DIVVY_MIG_RUNNER_WATCH_H
#define DIVVY_MIG_RUNNER_WATCH_H

#include "mig/runner/latency.h"
#include "base/loop.h"
#include "mig/runner/metrics.h"
#include "mig/runner/plan.h"
#include "mig/runner/processes.h"
#include "mig/runner/proxy.h"
#include "mig/runner/serve.h"
#include "mig/runner/slice.h"
#include "mig/runner/usage.h"

#define DIVVY_RUNNER_WATCH_NS (250 * UINT64_C(1000000)) /* between looks */

struct divvy_runner_watch {
    const struct divvy_runner_plan *plan;
    const struct divvy_runner_slice *slice;
    struct divvy_loop *loop;
    struct divvy_runner_latency latency;
    struct divvy_runner_usage usage;
    struct divvy_runner_processes processes;
    struct divvy_runner_proxy *proxy;   /* NULL none */
    struct divvy_runner_serve *serve;   /* NULL none */
    struct divvy_source datagrams;
    char latency_path[PATH_MAX];        /* of the socket; empty none */
    int meminfo_fd;                     /* -1 none */
    bool has_limiter;                   /* device memory is counted */
    bool is_running;
    uint64_t restarts;
    uint64_t resident_bytes;
    uint64_t look_ns, second_ns, resident_ns; /* when each is due */
    char text[DIVVY_RUNNER_METRICS_BYTES];
};

/* Listens where the plan says; -EADDRINUSE and others. To be ended by _end, whatever came. */
int divvy_runner_watch_listen(struct divvy_runner_watch *watch, const struct divvy_runner_plan *plan,
                              struct divvy_loop *loop, struct divvy_error *error);

/* Watches in the tenant's folder: usage page, latency socket. */
int divvy_runner_watch_begin(struct divvy_runner_watch *watch, const struct divvy_runner_slice *slice, const char *folder,
                             struct divvy_error *error);

/* What is due now; when to come again. */
uint64_t divvy_runner_watch_tick(struct divvy_runner_watch *watch, uint64_t now_ns);

/* A last look, when the program has ended. */
void divvy_runner_watch_settle(struct divvy_runner_watch *watch);

void divvy_runner_watch_end(struct divvy_runner_watch *watch);

#endif
