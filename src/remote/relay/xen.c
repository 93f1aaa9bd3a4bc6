/*
 * XenStore as a channel: a domain writes its request to /local/domain/N/gpu/request and finds the answer in .../gpu/response. Which
 * domain it is follows from the path, which no other domain may write. This is the connection to the store: the relay watches
 * /local/domain, looks at all domains once when it has come, and asks several things at a time, which are answered in order.
 */
#include "remote/relay/xen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define READ_BYTES   ((size_t)64 << 10)
#define RECONNECT_NS (500 * DIVVY_NS_PER_MS)

static void xen_ready(struct divvy_source *source, uint32_t events);

void divvy_relay_xen_put(struct divvy_relay_xen *xen, struct divvy_wire_xen_packet packet, const char *payload, size_t length) {
    uint8_t header[DIVVY_WIRE_XEN_HEADER_BYTES];

    if (xen->source.fd < 0)
        return;
    packet.length = (uint32_t)length;
    divvy_wire_xen_packet_write(&packet, header);
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
    divvy_relay_xen_domains_drop(xen, false);
    xen->is_watching = false;
    xen->connect_at_ns = divvy_core_clock_ns() + RECONNECT_NS;
    divvy_relay_deadline(xen->relay, xen->connect_at_ns);
}

void divvy_relay_xen_flush(struct divvy_relay_xen *xen) {
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
    divvy_relay_xen_put(xen, (struct divvy_wire_xen_packet){DIVVY_WIRE_XEN_WATCH, DIVVY_RELAY_XEN_ID_WATCH, 0, 0}, watch, sizeof watch);
    divvy_relay_xen_flush(xen);
}

/* --- what the store says -------------------------------------------------------------------------------------------- */

/* Domains that there are; one may have asked before the relay came. */
static void scan_take(struct divvy_relay_xen *xen, const char *names, size_t length) {
    uint32_t domain;

    for (const char *end; (end = memchr(names, '\0', length)); length -= (size_t)(end + 1 - names), names = end + 1)
        if (divvy_wire_xen_domain_parse(names, (size_t)(end - names), &domain) == 0)
            divvy_relay_xen_domain_ask(xen, domain, true);
}

static int watch_take(struct divvy_relay_xen *xen, const struct divvy_wire_xen_packet *packet) {
    static const char domains[] = "/local/domain";

    if (packet->type == DIVVY_WIRE_XEN_ERROR)
        return -EACCES;
    if (xen->told_down || !xen->is_watching)
        divvy_log_info("XenStore at %s is watched", xen->endpoint.text);
    xen->told_down = false;
    xen->is_watching = true;
    divvy_relay_xen_put(xen, (struct divvy_wire_xen_packet){DIVVY_WIRE_XEN_DIRECTORY, DIVVY_RELAY_XEN_ID_SCAN, 0, 0}, domains,
                        sizeof domains);
    return 0;
}

static void event_take(struct divvy_relay_xen *xen, const char *payload, size_t length) {
    uint32_t domain;
    char path[64];
    int bytes;

    if (divvy_wire_xen_event_domain(payload, length, &domain) == 0) {
        divvy_relay_xen_domain_ask(xen, domain, false);
    } else if (divvy_wire_xen_event_life(payload, length, &domain) == 0) {
        bytes = snprintf(path, sizeof path, "/local/domain/%u", domain);
        divvy_relay_xen_put(xen, (struct divvy_wire_xen_packet){DIVVY_WIRE_XEN_READ, DIVVY_RELAY_XEN_ID_LIFE + domain, 0, 0}, path,
                            (size_t)bytes + 1);
    }
}

static void life_take(struct divvy_relay_xen *xen, const struct divvy_wire_xen_packet *packet, const char *payload) {
    static const char none[] = "ENOENT";
    uint32_t domain = packet->request - DIVVY_RELAY_XEN_ID_LIFE;

    if (packet->type == DIVVY_WIRE_XEN_ERROR && packet->length == sizeof none && memcmp(payload, none, sizeof none) == 0)
        divvy_relay_xen_domain_gone(xen, domain);
}

static int packet_take(struct divvy_relay_xen *xen, const struct divvy_wire_xen_packet *packet, const char *payload) {
    if (packet->type == DIVVY_WIRE_XEN_EVENT) {
        event_take(xen, payload, packet->length);
        return 0;
    }
    if (packet->request == DIVVY_RELAY_XEN_ID_WATCH)
        return watch_take(xen, packet);
    if (packet->request == DIVVY_RELAY_XEN_ID_SCAN && packet->type == DIVVY_WIRE_XEN_DIRECTORY)
        scan_take(xen, payload, packet->length);
    else if (packet->request >= DIVVY_RELAY_XEN_ID_DOMAIN &&
             packet->request < DIVVY_RELAY_XEN_ID_DOMAIN + DIVVY_RELAY_XEN_DOMAINS_MAX)
        divvy_relay_xen_domain_step(xen, packet->request - DIVVY_RELAY_XEN_ID_DOMAIN, packet, payload);
    else if (packet->request > DIVVY_RELAY_XEN_ID_LIFE)
        life_take(xen, packet, payload);
    else if (packet->request == DIVVY_RELAY_XEN_ID_WRITE && packet->type == DIVVY_WIRE_XEN_ERROR)
        divvy_log_write(&xen->write_site, DIVVY_LOG_WARN, NULL, 0, "XenStore does not take an answer: %.*s",
                        (int)strnlen(payload, packet->length), payload);
    return 0;
}

static int packets_take(struct divvy_relay_xen *xen) {
    struct divvy_wire_xen_packet packet;
    int status = 0;

    while (status == 0 && xen->source.fd >= 0 && divvy_relay_bytes_length(&xen->in) >= DIVVY_WIRE_XEN_HEADER_BYTES) {
        const char *bytes = divvy_relay_bytes_front(&xen->in);

        status = divvy_wire_xen_packet_read((const uint8_t *)bytes, &packet);
        if (status < 0 || divvy_relay_bytes_length(&xen->in) < DIVVY_WIRE_XEN_HEADER_BYTES + packet.length)
            break;
        status = packet_take(xen, &packet, bytes + DIVVY_WIRE_XEN_HEADER_BYTES);
        divvy_relay_bytes_consume(&xen->in, DIVVY_WIRE_XEN_HEADER_BYTES + packet.length);
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
        divvy_relay_xen_flush(xen);
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
    xen->front = divvy_relay_xen_front;
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
    divvy_relay_xen_domains_drop(xen, true);
    divvy_relay_bytes_done(&xen->in);
    divvy_relay_bytes_done(&xen->out);
    free(xen);
}
