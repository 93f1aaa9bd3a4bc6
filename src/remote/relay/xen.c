/*
 * XenStore as a channel: a domain writes its request to /local/domain/N/gpu/request and finds the answer in .../gpu/response. Which
 * domain it is follows from the path, which no other domain may write. The relay watches /local/domain, reads and removes a request,
 * and writes the answer. Requests to the store are answered in order of their numbers; several are under way at a time.
 */
#include "remote/relay/channel.h"
#include "remote/relay/xen_packet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define READ_BYTES   ((size_t)64 << 10)
#define RECONNECT_NS (500 * DIVVY_NS_PER_MS)
#define ASKED_MAX    1024u /* reads that are under way; more domains at a time have to wait for their event */
#define WATCH_ID     1u
#define ANSWER_ID    2u
#define READ_ID      16u /* and up: reads, by their place */

struct divvy_relay_xen {
    struct divvy_source source;
    struct divvy_relay *relay;
    struct divvy_relay_endpoint endpoint;
    struct divvy_relay_bytes in, out;
    uint64_t sent;
    uint64_t connect_at_ns; /* 0: connected, or on the way */
    bool told_down, is_watching;
    /*
     * Domains whose request is being read; 0: free. One read at a time for each: two would find the same request. `again`: there was
     * an event meanwhile.
     */
    struct {
        uint32_t domain;
        bool again;
    } asked[ASKED_MAX];
    struct divvy_relay_front front;
};

static void xen_ready(struct divvy_source *source, uint32_t events);

static void xen_put(struct divvy_relay_xen *xen, uint32_t type, uint32_t request, const char *payload, size_t length) {
    const struct divvy_relay_xen_packet packet = {type, request, 0, (uint32_t)length};
    uint8_t header[DIVVY_RELAY_XEN_HEADER_BYTES];

    if (xen->source.fd < 0)
        return;
    divvy_relay_xen_packet_write(&packet, header);
    if (divvy_relay_bytes_append(&xen->out, header, sizeof header) < 0 || divvy_relay_bytes_append(&xen->out, payload, length) < 0)
        divvy_log_error("no memory for XenStore");
}

static void xen_lost(struct divvy_relay_xen *xen, int status) {
    if (!xen->told_down)
        divvy_log_warn("XenStore at %s cannot be reached: %s", xen->endpoint.text, strerror(-status));
    xen->told_down = true;
    divvy_loop_close(&xen->relay->loop, &xen->source);
    divvy_relay_bytes_done(&xen->in);
    divvy_relay_bytes_done(&xen->out);
    memset(xen->asked, 0, sizeof xen->asked);
    xen->is_watching = false;
    xen->connect_at_ns = divvy_core_clock_ns() + RECONNECT_NS;
    divvy_relay_deadline(xen->relay, xen->connect_at_ns);
}

static void xen_flush(struct divvy_relay_xen *xen) {
    int status = xen->source.fd < 0 ? 0 : divvy_relay_bytes_send(&xen->out, xen->source.fd, &xen->sent);

    if (status < 0)
        xen_lost(xen, status);
    else if (xen->source.fd >= 0)
        (void)divvy_loop_change(&xen->relay->loop, &xen->source,
                                EPOLLIN | (divvy_relay_bytes_length(&xen->out) > 0 ? EPOLLOUT : 0));
}

static void xen_connect(struct divvy_relay_xen *xen) {
    static const char watch[] = "/local/domain\0divvy"; /* its own NUL ends the token */
    int waits, fd = divvy_relay_endpoint_connect(&xen->endpoint, &waits);
    int status;

    if (fd < 0) {
        xen_lost(xen, fd);
        return;
    }
    xen->source = (struct divvy_source){.fd = fd, .ready = xen_ready};
    status = divvy_loop_add(&xen->relay->loop, &xen->source, EPOLLIN);
    if (status < 0) {
        xen_lost(xen, status);
        return;
    }
    xen->connect_at_ns = 0;
    xen_put(xen, DIVVY_RELAY_XEN_WATCH, WATCH_ID, watch, sizeof watch);
    xen_flush(xen);
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void response_write(struct divvy_relay_xen *xen, uint32_t domain, const char *text, size_t length) {
    char payload[DIVVY_RELAY_XEN_PAYLOAD_BYTES];
    int path = snprintf(payload, sizeof payload, "/local/domain/%u/gpu/response", domain);

    memcpy(payload + path + 1, text, length);
    xen_put(xen, DIVVY_RELAY_XEN_WRITE, ANSWER_ID, payload, (size_t)path + 1 + length);
    xen_flush(xen);
}

static struct divvy_relay_xen *xen_of(struct divvy_relay_front *front) {
    return (struct divvy_relay_xen *)(void *)((char *)front - offsetof(struct divvy_relay_xen, front));
}

static void error_write(struct divvy_relay_xen *xen, uint32_t domain, const struct divvy_relay_bytes *request, uint32_t code,
                        const char *message) {
    struct divvy_relay_bytes text = {0};

    if (divvy_relay_json_error(&text, request, code, message) == 0) {
        if (divvy_relay_bytes_length(&text) > DIVVY_RELAY_XEN_VALUE_BYTES) {
            divvy_relay_bytes_done(&text);
            (void)divvy_relay_json_error(&text, NULL, code, message);
        }
        response_write(xen, domain, text.data, divvy_relay_bytes_length(&text));
    }
    divvy_relay_bytes_done(&text);
}

static void front_answer(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length) {
    if (length > DIVVY_RELAY_XEN_VALUE_BYTES)
        error_write(xen_of(front), job->request_id, NULL, 2, "the answer is too large for XenStore");
    else
        response_write(xen_of(front), job->request_id, json, length);
    divvy_relay_vm_sent(job->vm);
}

static void front_refuse(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message) {
    error_write(xen_of(front), job->request_id, &job->request, code, message);
    divvy_relay_vm_sent(job->vm);
}

/* --- requests ------------------------------------------------------------------------------------------------------- */

/* The VM of a domain: registered under this id, or one that nobody registered, with the default values. */
static struct divvy_relay_vm *vm_of(struct divvy_relay_xen *xen, uint32_t domain) {
    struct divvy_relay_vm *vm = divvy_relay_vm_by_id(xen->relay, domain);
    struct divvy_relay_vm_config config = {.vm_id = domain, .params = xen->relay->settings.unregistered};
    struct divvy_error error = {0};

    if (vm)
        return vm;
    (void)snprintf(config.name, sizeof config.name, "dom%u", domain);
    if (divvy_relay_vm_add(xen->relay, &config, &vm, &error) < 0) {
        divvy_log_error("domain %u: %s", domain, error.text);
        return NULL;
    }
    vm->is_unregistered = true;
    return vm;
}

static void request_submit(struct divvy_relay_xen *xen, uint32_t domain, const char *value, size_t length) {
    const struct divvy_relay_job model = {.request_id = domain};
    struct divvy_wire_json_frame frame = {0};
    struct divvy_relay_bytes request = {0};
    struct divvy_relay_vm *vm;
    char path[64];
    size_t start, end;
    int path_length = snprintf(path, sizeof path, "/local/domain/%u/gpu/request", domain);

    if (length == 0)
        return; /* somebody made the node, or cleared it */
    /* Nodes count against the domain's quota; and the next request is an event again. */
    xen_put(xen, DIVVY_RELAY_XEN_RM, ANSWER_ID, path, (size_t)path_length + 1);
    vm = vm_of(xen, domain);
    if (!vm) {
        error_write(xen, domain, NULL, 7, "the relay serves no more VMs");
        return;
    }
    vm->rx_bytes += length;
    if (divvy_wire_json_frame_feed(&frame, value, length, &start, &end) != 1) {
        divvy_log_write(&vm->offence_site, DIVVY_LOG_WARN, NULL, 0, "VM-%s (id %u) wrote what is no JSON object to XenStore",
                        vm->config.name, domain);
        error_write(xen, domain, NULL, 1, "a request is one JSON object");
        return;
    }
    if (divvy_relay_bytes_append(&request, value + start, end - start) < 0 || divvy_relay_bytes_append(&request, "\n", 1) < 0) {
        divvy_relay_bytes_done(&request);
        error_write(xen, domain, NULL, 7, "the relay has no memory for this request");
        return;
    }
    divvy_relay_vm_received(vm);
    divvy_relay_submit(vm, &xen->front, &model, &request);
}

static void request_ask(struct divvy_relay_xen *xen, uint32_t domain) {
    uint32_t free_place = ASKED_MAX;
    char path[64];
    int length = snprintf(path, sizeof path, "/local/domain/%u/gpu/request", domain);

    for (uint32_t i = 0; i < ASKED_MAX; i++) {
        if (xen->asked[i].domain == domain) {
            xen->asked[i].again = true;
            return;
        }
        if (xen->asked[i].domain == 0 && free_place == ASKED_MAX)
            free_place = i;
    }
    if (free_place == ASKED_MAX) {
        divvy_log_warn("too many domains ask through XenStore at a time");
        return;
    }
    xen->asked[free_place].domain = domain;
    xen->asked[free_place].again = false;
    xen_put(xen, DIVVY_RELAY_XEN_READ, READ_ID + free_place, path, (size_t)length + 1);
}

static void event_take(struct divvy_relay_xen *xen, const char *payload, size_t length) {
    uint32_t domain;

    if (divvy_relay_xen_event_domain(payload, length, &domain) == 0)
        request_ask(xen, domain);
}

/* The answer to a read. The request's node is removed before it is read again, so nothing is taken twice. */
static void read_take(struct divvy_relay_xen *xen, const struct divvy_relay_xen_packet *packet, const char *payload) {
    uint32_t place = packet->request - READ_ID, domain = xen->asked[place].domain;
    bool again = xen->asked[place].again;

    xen->asked[place].domain = 0;
    if (domain == 0)
        return;
    if (packet->type == DIVVY_RELAY_XEN_READ)
        request_submit(xen, domain, payload, packet->length);
    if (again)
        request_ask(xen, domain);
}

static int packet_take(struct divvy_relay_xen *xen, const struct divvy_relay_xen_packet *packet, const char *payload) {
    if (packet->type == DIVVY_RELAY_XEN_EVENT) {
        event_take(xen, payload, packet->length);
        return 0;
    }
    if (packet->request == WATCH_ID) {
        if (packet->type == DIVVY_RELAY_XEN_ERROR)
            return -EACCES;
        if (xen->told_down || !xen->is_watching)
            divvy_log_info("XenStore at %s is watched", xen->endpoint.text);
        xen->told_down = false;
        xen->is_watching = true;
    } else if (packet->request >= READ_ID && packet->request < READ_ID + ASKED_MAX) {
        read_take(xen, packet, payload);
    } else if (packet->type == DIVVY_RELAY_XEN_ERROR)
        divvy_log_debug("XenStore: %.*s", (int)strnlen(payload, packet->length), payload);
    return 0;
}

static int packets_take(struct divvy_relay_xen *xen) {
    struct divvy_relay_xen_packet packet;
    int status = 0;

    while (status == 0 && xen->source.fd >= 0 && divvy_relay_bytes_length(&xen->in) >= DIVVY_RELAY_XEN_HEADER_BYTES) {
        const char *bytes = divvy_relay_bytes_front(&xen->in);

        status = divvy_relay_xen_packet_read((const uint8_t *)bytes, &packet);
        if (status < 0 || divvy_relay_bytes_length(&xen->in) < DIVVY_RELAY_XEN_HEADER_BYTES + packet.length)
            break;
        status = packet_take(xen, &packet, bytes + DIVVY_RELAY_XEN_HEADER_BYTES);
        divvy_relay_bytes_consume(&xen->in, DIVVY_RELAY_XEN_HEADER_BYTES + packet.length);
    }
    return status;
}

static void xen_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_xen *xen = (struct divvy_relay_xen *)(void *)source;
    int64_t got;
    int status = 0;

    if (source->fd < 0)
        return;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        got = divvy_relay_bytes_receive(&xen->in, source->fd, READ_BYTES);
        status = got > 0 ? packets_take(xen) : got == -EAGAIN ? 0 : got == 0 ? -ECONNRESET : (int)got;
    }
    if (status < 0)
        xen_lost(xen, status);
    else
        xen_flush(xen);
}

void divvy_relay_xen_tick(struct divvy_relay_xen *xen, uint64_t now_ns, uint64_t *next_ns) {
    if (xen->connect_at_ns != 0 && now_ns >= xen->connect_at_ns)
        xen_connect(xen);
    if (xen->connect_at_ns != 0 && xen->connect_at_ns < *next_ns)
        *next_ns = xen->connect_at_ns;
}

int divvy_relay_xen_open(struct divvy_relay *relay, const char *path, struct divvy_error *error) {
    struct divvy_relay_xen *xen = calloc(1, sizeof *xen);
    char text[DIVVY_RELAY_PATH_BYTES + 8];

    if (!xen)
        return divvy_error_set(error, -ENOMEM, "no memory");
    xen->relay = relay;
    xen->source.fd = -1;
    xen->front = (struct divvy_relay_front){front_answer, front_refuse};
    (void)snprintf(text, sizeof text, "unix:%s", path);
    if (divvy_relay_endpoint_parse(text, &xen->endpoint, error) < 0) {
        free(xen);
        return divvy_error_prefix(error, "XenStore");
    }
    relay->xen = xen;
    xen_connect(xen);
    return 0;
}

void divvy_relay_xen_close(struct divvy_relay *relay) {
    struct divvy_relay_xen *xen = relay->xen;

    if (!xen)
        return;
    relay->xen = NULL;
    divvy_loop_close(&relay->loop, &xen->source);
    divvy_relay_bytes_done(&xen->in);
    divvy_relay_bytes_done(&xen->out);
    free(xen);
}
