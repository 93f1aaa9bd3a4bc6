/*
 * Requests of domains through XenStore. The way of a request, which is a job at most once whenever the relay or the requester goes:
 *
 *   in one transaction gpu/request is read, with its pieces, and removed, and gpu/taken written; then the job begins
 *   gpu/response is written, gpu/taken removed
 *
 * Who finds neither gpu/taken nor gpu/response after it removed its request knows that it was not done. A relay that comes and finds
 * gpu/taken answers that the job may have been done. A requester without a tag could take that answer for another's: for one, gpu/taken
 * goes before gpu/response is written, so that the worst is no answer.
 */
#include "remote/relay/xen.h"

#include "core/parse.h"
#include "wire/xen/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REMOVE DIVVY_RELAY_XEN_ID_REMOVE
#define WRITE  DIVVY_RELAY_XEN_ID_WRITE

static const char no_memory[] = "the relay has no memory for this request";
static const char too_long[] = "a request through XenStore is at most 486400 bytes long";
_Static_assert(DIVVY_WIRE_XEN_MESSAGE_BYTES == 486400, "as too_long says");

/* --- nodes ---------------------------------------------------------------------------------------------------------- */

/* A request about a node of the domain. `value` NULL: the path alone, as reading and removing have it. */
static void node_put(struct divvy_relay_xen *xen, uint32_t type, uint32_t id, const struct divvy_relay_xen_domain *at, const char *name,
                     const char *value, size_t length) {
    const struct divvy_wire_xen_packet packet = {type, id, at->transaction, 0};
    char payload[128 + DIVVY_WIRE_XEN_VALUE_BYTES + DIVVY_WIRE_XEN_HEAD_BYTES];
    size_t path = (size_t)snprintf(payload, 128, "/local/domain/%u/gpu/%s", at->domain, name) + 1;

    if (value)
        memcpy(payload + path, value, length);
    divvy_relay_xen_put(xen, packet, payload, path + (value ? length : 0));
}

static void piece_name(char ret_name[32], const char *node, uint32_t index) {
    (void)snprintf(ret_name, 32, "%s/%u", node, index);
}

/* The answer of somebody who knows heads: in one node, or in pieces and then the node that names them. */
static void tagged_write(struct divvy_relay_xen *xen, const struct divvy_relay_xen_domain *at, const char *text, uint32_t length) {
    const struct divvy_wire_xen_head head = {divvy_wire_xen_pieces(length), length, at->tag};
    char value[DIVVY_WIRE_XEN_HEAD_BYTES + DIVVY_WIRE_XEN_VALUE_BYTES], name[32];
    size_t head_bytes = divvy_wire_xen_head_write(&head, value);

    for (uint32_t i = 0; i < head.pieces; i++) {
        piece_name(name, "response", i);
        node_put(xen, DIVVY_WIRE_XEN_WRITE, WRITE, at, name, text + i * DIVVY_WIRE_XEN_VALUE_BYTES,
                 divvy_wire_xen_piece_bytes(length, i));
    }
    if (head.pieces == 0)
        memcpy(value + head_bytes, text, length);
    node_put(xen, DIVVY_WIRE_XEN_WRITE, WRITE, at, "response", value, head_bytes + (head.pieces == 0 ? length : 0));
}

/* --- places --------------------------------------------------------------------------------------------------------- */

static struct divvy_relay_xen_domain *place_find(struct divvy_relay_xen *xen, uint32_t domain) {
    for (uint32_t i = 0; i < DIVVY_RELAY_XEN_DOMAINS_MAX; i++)
        if (xen->domains[i].domain == domain)
            return &xen->domains[i];
    return NULL;
}

static uint32_t place_id(const struct divvy_relay_xen *xen, const struct divvy_relay_xen_domain *at) {
    return DIVVY_RELAY_XEN_ID_DOMAIN + (uint32_t)(at - xen->domains);
}

/* Nothing is under way any more; looks again if there was an event. */
static void place_end(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at) {
    uint32_t domain = at->domain;
    bool again = at->again;

    divvy_relay_bytes_done(&at->request);
    *at = (struct divvy_relay_xen_domain){0};
    if (again)
        divvy_relay_xen_domain_ask(xen, domain, false);
}

static void transaction_start(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at) {
    const struct divvy_wire_xen_packet packet = {DIVVY_WIRE_XEN_START, place_id(xen, at), 0, 0};

    at->stage = DIVVY_RELAY_XEN_STARTING;
    divvy_relay_xen_put(xen, packet, "", 1);
}

static void transaction_end(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, bool commits) {
    const struct divvy_wire_xen_packet packet = {DIVVY_WIRE_XEN_END, commits ? place_id(xen, at) : REMOVE, at->transaction, 0};

    divvy_relay_xen_put(xen, packet, commits ? "T" : "F", 2);
    at->transaction = 0;
}

void divvy_relay_xen_domains_drop(struct divvy_relay_xen *xen, bool with_jobs) {
    for (uint32_t i = 0; i < DIVVY_RELAY_XEN_DOMAINS_MAX; i++) {
        if (!with_jobs && xen->domains[i].stage == DIVVY_RELAY_XEN_RUNNING)
            continue;
        divvy_relay_bytes_done(&xen->domains[i].request);
        xen->domains[i] = (struct divvy_relay_xen_domain){0};
    }
}

void divvy_relay_xen_domain_ask(struct divvy_relay_xen *xen, uint32_t domain, bool is_scan) {
    struct divvy_relay_xen_domain *at = place_find(xen, domain);

    if (at) {
        at->again = true;
        return;
    }
    at = place_find(xen, 0);
    if (!at) {
        divvy_log_warn("too many domains ask through XenStore at a time");
        return;
    }
    *at = (struct divvy_relay_xen_domain){.domain = domain, .is_scan = is_scan};
    transaction_start(xen, at);
}

void divvy_relay_xen_domain_gone(struct divvy_relay_xen *xen, uint32_t domain) {
    struct divvy_relay_vm *vm = divvy_relay_vm_by_id(xen->relay, domain);
    struct divvy_relay_xen_domain *at = place_find(xen, domain);

    /* An answer would make nodes for a domain that is no more. Others than jobs find no node and end. */
    if (at && at->stage == DIVVY_RELAY_XEN_RUNNING) {
        at->again = false;
        place_end(xen, at);
    }
    if (!vm)
        return;
    divvy_relay_front_leave(vm, &xen->front);
    if (!vm->is_unregistered)
        return;
    divvy_log_info("VM-%s is gone with its domain", vm->config.name);
    divvy_relay_vm_remove(vm);
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void error_make(struct divvy_relay_bytes *ret_text, const struct divvy_relay_bytes *request, uint32_t code, const char *message,
                       size_t room) {
    if (divvy_relay_json_error(ret_text, request, code, message) < 0 || divvy_relay_bytes_length(ret_text) <= room)
        return;
    divvy_relay_bytes_done(ret_text); /* an id that long cannot be repeated */
    (void)divvy_relay_json_error(ret_text, NULL, code, message);
}

/* Answers the domain's request and ends it. */
static void respond(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, const char *text, size_t length) {
    size_t room = at->is_tagged ? DIVVY_WIRE_XEN_MESSAGE_BYTES : DIVVY_WIRE_XEN_VALUE_BYTES;
    struct divvy_relay_bytes other = {0};

    if (length > room) {
        error_make(&other, NULL, 2, "the answer is too large for XenStore", room);
        text = other.data;
        length = divvy_relay_bytes_length(&other);
    }
    if (!at->is_tagged)
        node_put(xen, DIVVY_WIRE_XEN_RM, REMOVE, at, "taken", NULL, 0);
    /* Pieces of an answer that nobody fetched are in the way, and count. */
    node_put(xen, DIVVY_WIRE_XEN_RM, REMOVE, at, "response", NULL, 0);
    if (text && at->is_tagged)
        tagged_write(xen, at, text, (uint32_t)length);
    else if (text)
        node_put(xen, DIVVY_WIRE_XEN_WRITE, WRITE, at, "response", text, length);
    if (at->is_tagged)
        node_put(xen, DIVVY_WIRE_XEN_RM, REMOVE, at, "taken", NULL, 0);
    divvy_relay_bytes_done(&other);
    place_end(xen, at);
    divvy_relay_xen_flush(xen);
}

static void respond_error(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, const struct divvy_relay_bytes *request,
                          uint32_t code, const char *message) {
    struct divvy_relay_bytes text = {0};

    error_make(&text, request, code, message, DIVVY_WIRE_XEN_VALUE_BYTES - DIVVY_WIRE_XEN_HEAD_BYTES);
    respond(xen, at, text.data, divvy_relay_bytes_length(&text));
    divvy_relay_bytes_done(&text);
}

static struct divvy_relay_xen *xen_of(struct divvy_relay_front *front) {
    return (struct divvy_relay_xen *)(void *)((char *)front - offsetof(struct divvy_relay_xen, front));
}

/* The place of a job that is answered; NULL: it was begun through a connection to the store that is no more. */
static struct divvy_relay_xen_domain *place_of(struct divvy_relay_xen *xen, const struct divvy_relay_job *job) {
    struct divvy_relay_xen_domain *at = place_find(xen, job->request_id);

    return at && at->stage == DIVVY_RELAY_XEN_RUNNING ? at : NULL;
}

static void front_answer(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length) {
    struct divvy_relay_xen_domain *at = place_of(xen_of(front), job);

    if (at)
        respond(xen_of(front), at, json, length);
    job->vm->tx_bytes += length;
    divvy_relay_vm_sent(job->vm);
}

static void front_refuse(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message) {
    struct divvy_relay_xen_domain *at = place_of(xen_of(front), job);

    if (at)
        respond_error(xen_of(front), at, &job->request, code, message);
    divvy_relay_vm_sent(job->vm);
}

const struct divvy_relay_front divvy_relay_xen_front = {front_answer, front_refuse};

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

/* Ends the transaction that makes the request this relay's: a job, or with a `code` one that will be refused. */
static void take(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, uint32_t code, const char *message) {
    const struct divvy_wire_xen_head head = {.tag = at->tag};
    char text[DIVVY_WIRE_XEN_HEAD_BYTES] = "-";

    if (at->is_tagged)
        (void)divvy_wire_xen_head_write(&head, text);
    at->code = code;
    at->message = message;
    at->stage = DIVVY_RELAY_XEN_TAKING;
    node_put(xen, DIVVY_WIRE_XEN_WRITE, WRITE, at, "taken", text, strlen(text));
    node_put(xen, DIVVY_WIRE_XEN_RM, REMOVE, at, "request", NULL, 0);
    transaction_end(xen, at, true);
}

/* The request is all there: what is no object is refused. */
static void judge(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at) {
    struct divvy_wire_json_frame frame = {0};
    size_t start, end;

    if (divvy_wire_json_frame_feed(&frame, divvy_relay_bytes_front(&at->request), divvy_relay_bytes_length(&at->request), &start,
                                   &end) != 1) {
        take(xen, at, 1, "a request is one JSON object");
        return;
    }
    at->request.end = at->request.start + end;
    at->request.start += start;
    if (divvy_relay_bytes_append(&at->request, "\n", 1) < 0)
        take(xen, at, 7, no_memory);
    else
        take(xen, at, 0, NULL);
}

static void begin(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at) {
    const struct divvy_relay_job model = {.request_id = at->domain};
    struct divvy_relay_bytes request = at->request;
    struct divvy_relay_vm *vm = vm_of(xen, at->domain);

    if (!vm) {
        respond_error(xen, at, NULL, 7, "the relay serves no more VMs");
        return;
    }
    vm->rx_bytes += divvy_relay_bytes_length(&request);
    if (at->code != 0) {
        if (at->code == 1)
            divvy_log_write(&vm->offence_site, DIVVY_LOG_WARN, NULL, 0, "VM-%s (id %u) wrote to XenStore what is no request: %s",
                            vm->config.name, at->domain, at->message);
        respond_error(xen, at, NULL, at->code, at->message);
        return;
    }
    at->request = (struct divvy_relay_bytes){0};
    at->stage = DIVVY_RELAY_XEN_RUNNING; /* the answer may come at once */
    divvy_relay_vm_received(vm);
    divvy_relay_submit(vm, &xen->front, &model, &request);
}

static void gather(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at) {
    char name[32];

    at->stage = DIVVY_RELAY_XEN_GATHERING;
    for (uint32_t i = 0; i < at->pieces; i++) {
        piece_name(name, "request", i);
        node_put(xen, DIVVY_WIRE_XEN_READ, place_id(xen, at), at, name, NULL, 0);
    }
}

/* --- answers of the store ------------------------------------------------------------------------------------------- */

static void step_starting(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, const char *number, size_t length) {
    uint64_t transaction;

    if (!number || length == 0 || divvy_core_u64_parse(number, length - 1, &transaction, NULL) < 0 || transaction == 0 ||
        transaction > UINT32_MAX) {
        divvy_log_write(&xen->write_site, DIVVY_LOG_WARN, NULL, 0, "XenStore begins no transaction");
        place_end(xen, at);
        return;
    }
    divvy_relay_bytes_done(&at->request);
    at->arrived = 0;
    at->again = at->is_broken = false;
    at->transaction = (uint32_t)transaction;
    at->stage = DIVVY_RELAY_XEN_ASKING;
    node_put(xen, DIVVY_WIRE_XEN_READ, place_id(xen, at), at, "request", NULL, 0);
}

static void step_asking(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, const char *value, size_t length) {
    struct divvy_wire_xen_head head = {0};
    size_t start = 0;
    int status;

    if (!value || length == 0) { /* gone, or somebody made the node only, or its pieces come first */
        transaction_end(xen, at, false);
        if (value || !at->is_scan) {
            place_end(xen, at);
            return;
        }
        at->stage = DIVVY_RELAY_XEN_LOOKING;
        node_put(xen, DIVVY_WIRE_XEN_READ, place_id(xen, at), at, "taken", NULL, 0);
        return;
    }
    status = divvy_wire_xen_head_read(value, length, &head, &start);
    at->is_tagged = status == 0 || status == -EMSGSIZE;
    at->tag = head.tag;
    at->pieces = head.pieces;
    at->length = head.length;
    if (status == -EMSGSIZE)
        take(xen, at, 2, too_long);
    else if (status == -EINVAL)
        take(xen, at, 1, "its head is wrong");
    else if (at->pieces > 0)
        gather(xen, at);
    else if (divvy_relay_bytes_append(&at->request, value + start, length - start) < 0)
        take(xen, at, 7, no_memory);
    else
        judge(xen, at);
}

/* Pieces come in their order, as they were asked for. */
static void step_gathering(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, const char *value, size_t length) {
    at->is_broken = at->is_broken || !value || length > at->length - divvy_relay_bytes_length(&at->request) ||
                    divvy_relay_bytes_append(&at->request, value, length) < 0;
    if (++at->arrived < at->pieces)
        return;
    if (at->is_broken || divvy_relay_bytes_length(&at->request) != at->length)
        take(xen, at, 1, "pieces are missing, or are not as long as its head says");
    else
        judge(xen, at);
}

static void step_taking(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, const struct divvy_wire_xen_packet *packet,
                        const char *payload) {
    static const char changed[] = "EAGAIN"; /* somebody was at these nodes meanwhile */

    if (packet->type == DIVVY_WIRE_XEN_END) {
        begin(xen, at);
    } else if (packet->length == sizeof changed && memcmp(payload, changed, sizeof changed) == 0) {
        transaction_start(xen, at);
    } else {
        divvy_log_write(&xen->write_site, DIVVY_LOG_WARN, NULL, 0, "XenStore does not let a request be taken: %.*s",
                        (int)strnlen(payload, packet->length), payload);
        place_end(xen, at);
    }
}

/* What a relay took that is no more. Whoever waits is told; nobody does the job again. */
static void step_looking(struct divvy_relay_xen *xen, struct divvy_relay_xen_domain *at, const char *value, size_t length) {
    struct divvy_wire_xen_head head = {0};
    size_t start;

    if (!value) {
        place_end(xen, at);
        return;
    }
    at->is_tagged = divvy_wire_xen_head_read(value, length, &head, &start) == 0;
    at->tag = head.tag;
    divvy_log_warn("a request of domain %u was under way when the relay ended", at->domain);
    respond_error(xen, at, NULL, 3, "the relay ended while the request was under way; it may have been done");
}

void divvy_relay_xen_domain_step(struct divvy_relay_xen *xen, uint32_t place, const struct divvy_wire_xen_packet *packet,
                                 const char *payload) {
    struct divvy_relay_xen_domain *at = &xen->domains[place];
    const char *value = packet->type == DIVVY_WIRE_XEN_READ ? payload : NULL;

    if (at->domain == 0)
        return;
    switch (at->stage) {
    case DIVVY_RELAY_XEN_STARTING:
        step_starting(xen, at, packet->type == DIVVY_WIRE_XEN_START ? payload : NULL, packet->length);
        break;
    case DIVVY_RELAY_XEN_ASKING:
        step_asking(xen, at, value, packet->length);
        break;
    case DIVVY_RELAY_XEN_GATHERING:
        step_gathering(xen, at, value, packet->length);
        break;
    case DIVVY_RELAY_XEN_TAKING:
        step_taking(xen, at, packet, payload);
        break;
    case DIVVY_RELAY_XEN_RUNNING:
        break; /* a store that answers more than it was asked */
    case DIVVY_RELAY_XEN_LOOKING:
        step_looking(xen, at, value, packet->length);
        break;
    }
}
