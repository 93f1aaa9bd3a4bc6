/* Whether a program in the guest has the port open: see monitor.h. */
#include "remote/relay/monitor.h"

#include "remote/relay/channel.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_BYTES   ((size_t)64 << 10)
#define LINE_BYTES   ((size_t)1 << 20) /* longer is no monitor */
#define RECONNECT_NS (1000 * DIVVY_NS_PER_MS)
#define GONE_NS      (200 * DIVVY_NS_PER_MS) /* a program that comes after another has greeted by then, which frees what that one had */
#define ASK_NS       (500 * DIVVY_NS_PER_MS) /* a port without an id makes no events: asked so often while something is there */

static const char begin[] = "{\"execute\": \"qmp_capabilities\"}\n";
static const char query[] = "{\"execute\": \"query-chardev\", \"id\": \"divvy\"}\n";

struct divvy_relay_monitor {
    struct divvy_source source; /* first: the loop hands it back */
    struct divvy_later dead;
    struct divvy_relay_vm *vm; /* NULL: closed */
    struct divvy_relay_bytes in;
    uint64_t connect_at_ns; /* next attempt; 0: connected */
    uint64_t closed_ns;     /* since when nobody has the port open; 0: somebody has, or it is not known, or all is done */
    uint64_t asked_ns;      /* 0: it has not greeted yet */
    bool is_last;           /* what is asked now decides */
    bool told;              /* that it is of no use */
};

/* --- what a monitor says --------------------------------------------------------------------------------------- */

/* Logged once for each time that the monitor is of use. */
static void useless(struct divvy_relay_monitor *monitor, const char *why) {
    if (!monitor->told)
        divvy_log_warn("VM-%s: its monitor %s %s: that a program in it ends is seen when the next one begins", monitor->vm->config.name,
                       monitor->vm->config.qmp, why);
    monitor->told = true;
}

static int say(const struct divvy_relay_monitor *monitor, const char *text) {
    size_t length = strlen(text);

    return send(monitor->source.fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length ? 0 : -ECONNRESET;
}

static int ask(struct divvy_relay_monitor *monitor) {
    monitor->asked_ns = divvy_core_clock_ns();
    return say(monitor, query);
}

static bool is_socket(const json_t *chardev, const char *path) {
    const char *name = json_string_value(json_object_get(chardev, "filename"));
    const char *at = name ? strstr(name, "unix:") : NULL;
    size_t length = strlen(path);

    return at && strncmp(at + 5, path, length) == 0 && (at[5 + length] == '\0' || at[5 + length] == ',');
}

static void port_take(struct divvy_relay_monitor *monitor, bool is_open) {
    bool is_last = monitor->is_last;

    monitor->is_last = false;
    if (is_open || is_last)
        monitor->closed_ns = 0;
    else if (monitor->closed_ns == 0)
        monitor->closed_ns = divvy_core_clock_ns();
    if (!is_open && is_last)
        divvy_relay_channels_hung_up(monitor->vm);
    else if (!is_open)
        divvy_relay_deadline(monitor->vm->relay, monitor->closed_ns + GONE_NS);
}

static void chardevs_take(struct divvy_relay_monitor *monitor, const json_t *chardevs) {
    const json_t *chardev;
    size_t i;

    json_array_foreach(chardevs, i, chardev) {
        if (!is_socket(chardev, monitor->vm->config.socket))
            continue;
        monitor->told = false;
        port_take(monitor, json_is_true(json_object_get(chardev, "frontend-open")));
        return;
    }
    useless(monitor, "knows no socket of this path");
}

/* 0, or negative: the connection ends. */
static int object_take(struct divvy_relay_monitor *monitor, const json_t *object) {
    const char *event = json_string_value(json_object_get(object, "event"));
    const char *id = json_string_value(json_object_get(object, "id"));

    if (json_object_get(object, "QMP"))
        return say(monitor, begin) < 0 || ask(monitor) < 0 ? -ECONNRESET : 0;
    if (event)
        return strcmp(event, "VSERPORT_CHANGE") == 0 ? ask(monitor) : 0;
    if (json_object_get(object, "error")) {
        useless(monitor, "refuses to tell");
        return -EPROTO;
    }
    if (id && strcmp(id, "divvy") == 0)
        chardevs_take(monitor, json_object_get(object, "return"));
    return 0;
}

static int lines_take(struct divvy_relay_monitor *monitor) {
    int status = 0;
    char *end;

    while (status == 0 && divvy_relay_bytes_length(&monitor->in) > 0 &&
           (end = memchr(divvy_relay_bytes_front(&monitor->in), '\n', divvy_relay_bytes_length(&monitor->in)))) {
        size_t length = (size_t)(end - divvy_relay_bytes_front(&monitor->in));
        json_t *object = json_loadb(divvy_relay_bytes_front(&monitor->in), length, 0, NULL);

        divvy_relay_bytes_consume(&monitor->in, length + 1);
        if (json_is_object(object)) {
            status = object_take(monitor, object);
        } else {
            useless(monitor, "is none of QEMU's");
            status = -EPROTO;
        }
        json_decref(object);
    }
    if (status == 0 && divvy_relay_bytes_length(&monitor->in) > LINE_BYTES) {
        useless(monitor, "is none of QEMU's");
        status = -EPROTO;
    }
    return status;
}

/* --- its socket -------------------------------------------------------------------------------------------------- */

static void leave(struct divvy_relay_monitor *monitor) {
    divvy_loop_close(&monitor->vm->relay->loop, &monitor->source);
    divvy_relay_bytes_done(&monitor->in);
    monitor->closed_ns = monitor->asked_ns = 0;
    monitor->is_last = false;
    monitor->connect_at_ns = divvy_core_clock_ns() + RECONNECT_NS;
    divvy_relay_deadline(monitor->vm->relay, monitor->connect_at_ns);
}

static void ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_monitor *monitor = (struct divvy_relay_monitor *)(void *)source;
    int64_t got;

    (void)events;
    if (!monitor->vm || source->fd < 0)
        return;
    got = divvy_relay_bytes_receive(&monitor->in, source->fd, READ_BYTES);
    if (got == -EAGAIN)
        return;
    if (got <= 0 || lines_take(monitor) < 0)
        leave(monitor);
}

static void reach(struct divvy_relay_monitor *monitor) {
    struct divvy_relay_endpoint endpoint;
    char text[DIVVY_RELAY_PATH_BYTES + 8];
    int waits, fd;

    (void)snprintf(text, sizeof text, "unix:%s", monitor->vm->config.qmp);
    fd = divvy_relay_endpoint_parse(text, &endpoint, NULL) < 0 ? -EINVAL : divvy_relay_endpoint_connect(&endpoint, &waits);
    monitor->source.fd = fd < 0 ? -1 : fd;
    monitor->connect_at_ns = 0;
    if (fd < 0 || divvy_loop_add(&monitor->vm->relay->loop, &monitor->source, EPOLLIN) < 0)
        leave(monitor);
}

int divvy_relay_monitor_open(struct divvy_relay_vm *vm, struct divvy_error *error) {
    struct divvy_relay_monitor *monitor;

    if (!vm->config.qmp[0])
        return 0;
    monitor = calloc(1, sizeof *monitor);
    if (!monitor)
        return divvy_error_set_errno(error, -ENOMEM, "VM %s", vm->config.name);
    monitor->source = (struct divvy_source){.fd = -1, .ready = ready};
    monitor->vm = vm;
    vm->monitor = monitor;
    reach(monitor);
    return 0;
}

static void free_late(struct divvy_later *later) {
    free((char *)later - offsetof(struct divvy_relay_monitor, dead));
}

void divvy_relay_monitor_close(struct divvy_relay_vm *vm) {
    struct divvy_relay_monitor *monitor = vm->monitor;

    if (!monitor)
        return;
    vm->monitor = NULL;
    monitor->vm = NULL;
    divvy_loop_close(&vm->relay->loop, &monitor->source);
    divvy_relay_bytes_done(&monitor->in);
    monitor->dead.run = free_late;
    divvy_loop_queue(&vm->relay->loop, &monitor->dead);
}

/* When the next thing is due. */
static uint64_t due_ns(const struct divvy_relay_monitor *monitor) {
    if (monitor->connect_at_ns != 0)
        return monitor->connect_at_ns;
    if (monitor->asked_ns == 0)
        return UINT64_MAX;
    if (monitor->closed_ns != 0 && !monitor->is_last)
        return monitor->closed_ns + GONE_NS;
    return monitor->is_last || divvy_relay_channels_have_left(monitor->vm) ? monitor->asked_ns + ASK_NS : UINT64_MAX;
}

void divvy_relay_monitor_tick(struct divvy_relay_vm *vm, uint64_t now_ns, uint64_t *next_ns) {
    struct divvy_relay_monitor *monitor = vm->monitor;

    if (!monitor)
        return;
    if (now_ns >= due_ns(monitor) && monitor->connect_at_ns != 0) {
        reach(monitor);
    } else if (now_ns >= due_ns(monitor)) {
        monitor->is_last = monitor->closed_ns != 0;
        if (ask(monitor) < 0)
            leave(monitor);
    }
    if (due_ns(monitor) < *next_ns)
        *next_ns = due_ns(monitor);
}
