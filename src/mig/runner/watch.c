/* Watching the program: see watch.h. */
#include "mig/runner/watch.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "core/checked.h"
#include "core/clock.h"
#include "mig/runner/meminfo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <unistd.h>

#define METRICS_PORT  8001u /* the first of those that are tried where none is asked for */
#define METRICS_PORTS 64u
#define DATAGRAMS     64 /* taken in one go */

/* Looking at all processes takes time: never more than a fiftieth of it. */
#define RESIDENT_SHARE   50u
#define RESIDENT_MAX_NS  (10 * DIVVY_NS_PER_SECOND)

/* ---- device memory ---- */

static void usage_look(struct divvy_runner_watch *w) {
    const struct divvy_runner_usage *u = &w->usage;

    if (divvy_runner_usage_look(&w->usage) > 0)
        divvy_log_warn("quota exceeded: %llu bytes wanted, %llu left of %llu; %llu allocations refused so far",
                       (unsigned long long)u->wanted_bytes,
                       (unsigned long long)divvy_core_u64_sub_floored(u->limit_bytes, u->used_bytes),
                       (unsigned long long)u->limit_bytes, (unsigned long long)u->refused);
}

/* Until the page tells: the limit as asked for, or what the devices have. */
static uint64_t vram_limit(const struct divvy_runner_watch *w) {
    uint64_t bytes = 0;

    if (w->usage.page)
        return w->usage.limit_bytes;
    for (uint32_t i = 0; w->slice && i < w->slice->count; i++)
        bytes = divvy_core_u64_add_saturated(bytes, w->slice->devices[i].memory_bytes);
    if (w->plan->vram_limit_bytes && (bytes == 0 || w->plan->vram_limit_bytes < bytes))
        bytes = w->plan->vram_limit_bytes;
    return bytes ? bytes : DIVVY_RUNNER_UNKNOWN;
}

/* ---- host memory ---- */

static uint64_t memory_limit(const struct divvy_runner_watch *w) {
    struct sysinfo info;

    if (w->plan->memory_bytes)
        return w->plan->memory_bytes;
    return sysinfo(&info) < 0 ? DIVVY_RUNNER_UNKNOWN : divvy_core_u64_mul_saturated(info.totalram, info.mem_unit);
}

static void resident_look(struct divvy_runner_watch *w, uint64_t now_ns) {
    uint64_t took_ns, pause_ns;

    if (now_ns < w->resident_ns)
        return;
    if (divvy_runner_processes_find(&w->processes, getpid()) >= 0)
        w->resident_bytes = divvy_runner_processes_resident(&w->processes);
    took_ns = divvy_core_clock_ns() - now_ns;
    pause_ns = took_ns * RESIDENT_SHARE;
    pause_ns = pause_ns < DIVVY_RUNNER_WATCH_NS ? DIVVY_RUNNER_WATCH_NS : pause_ns;
    w->resident_ns = now_ns + (pause_ns > RESIDENT_MAX_NS ? RESIDENT_MAX_NS : pause_ns);
    if (w->meminfo_fd >= 0)
        divvy_runner_meminfo_update(w->meminfo_fd, w->plan->memory_bytes, w->resident_bytes);
}

/* ---- /metrics ---- */

static const char *metrics_tell(void *data, size_t *ret_length) {
    struct divvy_runner_watch *w = data;
    struct divvy_runner_proxy_counts proxy = {0};
    struct divvy_runner_figures figures;

    usage_look(w);
    resident_look(w, divvy_core_clock_ns());
    if (w->proxy)
        divvy_runner_proxy_counts(w->proxy, &proxy);
    figures = (struct divvy_runner_figures){
        .instance = w->plan->instance,
        .mig_uuid = w->slice && w->slice->reservation ? w->slice->device.uuid : "",
        .profile = w->slice && w->slice->reservation ? w->slice->device.profile : "",
        .model_id = w->plan->model_id,
        .latency = &w->latency,
        .is_running = w->is_running,
        .restarts = w->restarts,
        .quota_exceeded = w->usage.refused,
        .vram_used_bytes = !w->has_limiter ? DIVVY_RUNNER_UNKNOWN : w->is_running ? w->usage.used_bytes : 0,
        .vram_limit_bytes = vram_limit(w),
        .memory_used_bytes = w->resident_bytes,
        .memory_limit_bytes = memory_limit(w),
        .requests = proxy.requests + w->latency.told + w->latency.errors,
        .errors = proxy.errors + w->latency.errors,
        .proxy_refused = w->proxy ? proxy.refused : DIVVY_RUNNER_UNKNOWN,
        .proxy_connections = proxy.connections,
    };
    *ret_length = divvy_runner_metrics_render(&figures, w->text, sizeof w->text);
    return w->text;
}

static const char *health_tell(void *data, int *ret_is_well) {
    const struct divvy_runner_watch *w = data;

    *ret_is_well = w->is_running;
    return w->is_running ? "running\n" : "not running\n";
}

/* Without a wish the first port of a row that is free, so that several runners of a machine do not meet. */
static int metrics_listen(const struct divvy_runner_plan *plan, struct divvy_error *error) {
    struct divvy_runner_address address = plan->options.metrics;
    char text[DIVVY_RUNNER_ADDRESS_BYTES];
    int fd = -EADDRINUSE;

    if (plan->options.has_metrics) {
        fd = divvy_runner_address_listen(&address, error);
    } else {
        (void)divvy_runner_address_parse("0", &address, error);
        for (unsigned int i = 0; i < METRICS_PORTS && fd == -EADDRINUSE; i++) {
            divvy_runner_address_port_set(&address, (uint16_t)(METRICS_PORT + i));
            fd = divvy_runner_address_listen(&address, error);
        }
    }
    if (fd < 0)
        return fd;
    divvy_runner_address_format(&address, text);
    divvy_log_info("metrics: http://%s/metrics", text);
    return fd;
}

static int metrics_begin(struct divvy_runner_watch *w, struct divvy_error *error) {
    struct divvy_runner_serve_source source = {.metrics = metrics_tell, .health = health_tell, .data = w};
    int fd;

    if (w->plan->options.no_metrics)
        return 0;
    fd = metrics_listen(w->plan, error);
    if (fd >= 0)
        return divvy_runner_serve_new(w->loop, fd, &source, &w->serve, error);
    (void)divvy_error_prefix(error, "metrics");
    if (w->plan->options.has_metrics)
        return fd;
    /* Nobody asked for it here: the program is more important. */
    divvy_log_warn("%s; there will be none", error->text);
    return 0;
}

/* ---- latencies ---- */

static int proxy_begin(struct divvy_runner_watch *w, struct divvy_error *error) {
    struct sockaddr_in model = {
        .sin_family = AF_INET, .sin_port = htons(w->plan->model_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct divvy_runner_address address = w->plan->options.proxy;
    char text[DIVVY_RUNNER_ADDRESS_BYTES];
    int fd;

    if (!w->plan->options.has_proxy)
        return 0;
    fd = divvy_runner_address_listen(&address, error);
    if (fd >= 0 && divvy_runner_address_port(&address) == w->plan->model_port) {
        (void)close(fd);
        fd = divvy_error_set(error, -EINVAL, "the model's own port is %u", w->plan->model_port);
    }
    if (fd < 0) {
        (void)divvy_error_prefix(error, "proxy");
        return fd;
    }
    divvy_runner_address_format(&address, text);
    divvy_log_info("proxy: %s to the model at 127.0.0.1:%u", text, w->plan->model_port);
    return divvy_runner_proxy_new(w->loop, fd, &model, &w->latency, &w->proxy, error);
}

static void datagrams_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_runner_watch *w =
        (struct divvy_runner_watch *)((char *)source - offsetof(struct divvy_runner_watch, datagrams));
    char datagram[DIVVY_RUNNER_DATAGRAM_BYTES];

    (void)events;
    for (int i = 0; i < DATAGRAMS; i++) {
        ssize_t length = recv(source->fd, datagram, sizeof datagram, MSG_DONTWAIT | MSG_TRUNC);

        if (length < 0)
            return;
        if ((size_t)length > sizeof datagram)
            w->latency.refused++;
        else
            divvy_runner_latency_take(&w->latency, datagram, (size_t)length);
    }
}

static int datagrams_begin(struct divvy_runner_watch *w, const char *folder, struct divvy_error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *wished = w->plan->options.latency_socket;
    cleanup_close int fd = -1;
    struct stat status;
    int length = wished ? snprintf(address.sun_path, sizeof address.sun_path, "%s", wished)
                        : snprintf(address.sun_path, sizeof address.sun_path, "%s/latency", folder);

    if ((size_t)length >= sizeof address.sun_path)
        return divvy_error_set(error, -ENAMETOOLONG, "latency socket: the path is longer than %zu bytes; choose another by --latency-socket",
                               sizeof address.sun_path - 1);
    /* A socket that an earlier runner left; anything else is not ours to remove. */
    if (lstat(address.sun_path, &status) == 0 && S_ISSOCK(status.st_mode))
        (void)unlink(address.sun_path);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return divvy_error_set_errno(error, -errno, "latency socket: %s", address.sun_path);
    (void)snprintf(w->latency_path, sizeof w->latency_path, "%s", address.sun_path);
    w->datagrams.fd = divvy_cleanup_keep(&fd);
    return divvy_loop_add(w->loop, &w->datagrams, EPOLLIN);
}

/* ---- the whole ---- */

int divvy_runner_watch_listen(struct divvy_runner_watch *w, const struct divvy_runner_plan *plan,
                              struct divvy_loop *loop, struct divvy_error *error) {
    *w = (struct divvy_runner_watch){.plan = plan, .loop = loop, .meminfo_fd = -1};
    w->datagrams = (struct divvy_source){.fd = -1, .ready = datagrams_ready};
    w->usage.limit_bytes = DIVVY_RUNNER_UNKNOWN;
    if (metrics_begin(w, error) < 0 || proxy_begin(w, error) < 0)
        return error->status;
    return 0;
}

int divvy_runner_watch_begin(struct divvy_runner_watch *w, const struct divvy_runner_slice *slice, const char *folder,
                             struct divvy_error *error) {
    w->slice = slice;
    divvy_runner_usage_init(&w->usage, folder);
    return datagrams_begin(w, folder, error);
}

uint64_t divvy_runner_watch_tick(struct divvy_runner_watch *w, uint64_t now_ns) {
    if (now_ns >= w->look_ns) {
        w->look_ns = now_ns + DIVVY_RUNNER_WATCH_NS;
        usage_look(w);
        /* Without a view to keep up to date, memory is looked at when somebody asks. */
        if (w->meminfo_fd >= 0)
            resident_look(w, now_ns);
    }
    if (now_ns >= w->second_ns) {
        w->second_ns = now_ns + DIVVY_NS_PER_SECOND;
        if (w->proxy)
            divvy_runner_proxy_tick(w->proxy, divvy_core_clock_coarse_ns());
        if (w->serve)
            divvy_runner_serve_tick(w->serve, divvy_core_clock_coarse_ns());
        divvy_log_tick();
    }
    return w->look_ns < w->second_ns ? w->look_ns : w->second_ns;
}

void divvy_runner_watch_settle(struct divvy_runner_watch *w) {
    usage_look(w);
    if (w->datagrams.fd >= 0)
        datagrams_ready(&w->datagrams, 0);
}

void divvy_runner_watch_end(struct divvy_runner_watch *w) {
    divvy_runner_proxy_free(w->proxy);
    divvy_runner_serve_free(w->serve);
    divvy_loop_close(w->loop, &w->datagrams);
    if (w->latency_path[0])
        (void)unlink(w->latency_path);
    divvy_runner_usage_done(&w->usage);
    divvy_runner_processes_done(&w->processes);
    divvy_cleanup_close(&w->meminfo_fd);
}
