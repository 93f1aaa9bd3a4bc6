/* XenStore as a channel: what the connection (xen.c) and the requests of domains (xen_domain.c) know of each other. */
#ifndef DIVVY_REMOTE_RELAY_XEN_H
#define DIVVY_REMOTE_RELAY_XEN_H

#include "remote/relay/channel.h"
#include "wire/xen/packet.h"

#define DIVVY_RELAY_XEN_DOMAINS_MAX 1024u /* that ask at a time; more have to wait for their next event */

/* Numbers of requests to the store, which its answers repeat. */
enum {
    DIVVY_RELAY_XEN_ID_WATCH = 1,
    DIVVY_RELAY_XEN_ID_SCAN,   /* the list of domains */
    DIVVY_RELAY_XEN_ID_REMOVE, /* it does not matter whether there was something */
    DIVVY_RELAY_XEN_ID_WRITE,
    DIVVY_RELAY_XEN_ID_DOMAIN = 16,  /* and up: by place */
    DIVVY_RELAY_XEN_ID_LIFE = 65536, /* and up: by domain; is it there? */
};

enum divvy_relay_xen_stage {
    DIVVY_RELAY_XEN_STARTING,  /* a transaction, in which all is done until the job begins */
    DIVVY_RELAY_XEN_ASKING,    /* its request is being read */
    DIVVY_RELAY_XEN_GATHERING, /* the request's pieces are */
    DIVVY_RELAY_XEN_TAKING,    /* the transaction is ending */
    DIVVY_RELAY_XEN_RUNNING,   /* it is a job, which will be answered */
    DIVVY_RELAY_XEN_LOOKING,   /* there is no request: is there one that a relay before this took? */
};

/* A domain whose request is under way: one at a time, the next is looked for when it is answered. */
struct divvy_relay_xen_domain {
    uint32_t domain; /* 0: nobody's place */
    enum divvy_relay_xen_stage stage;
    bool again;     /* there was an event meanwhile */
    bool is_scan;   /* not by an event, but because the relay has just come */
    bool is_tagged; /* the requester knows heads (wire/xen/message.h); `tag` is its */
    bool is_broken; /* a piece is missing */
    uint32_t transaction, tag, pieces, arrived, length;
    uint32_t code; /* and `message`: it is no job, but will be refused; 0: a job */
    const char *message;
    struct divvy_relay_bytes request;
};

struct divvy_relay_xen {
    struct divvy_source source;
    struct divvy_relay *relay;
    struct divvy_relay_endpoint endpoint;
    struct divvy_relay_bytes in, out;
    uint64_t sent;
    uint64_t connect_at_ns; /* 0: connected, or on the way */
    bool told_down, is_watching;
    struct divvy_log_site write_site;
    struct divvy_relay_xen_domain domains[DIVVY_RELAY_XEN_DOMAINS_MAX];
    struct divvy_relay_front front;
};

/* Appends a request to what is sent to the store; nothing while there is no connection. `packet` has type, request and transaction. */
void divvy_relay_xen_put(struct divvy_relay_xen *xen, struct divvy_wire_xen_packet packet, const char *payload, size_t length);
/* Sends what can be sent now. */
void divvy_relay_xen_flush(struct divvy_relay_xen *xen);

extern const struct divvy_relay_front divvy_relay_xen_front;

/* A domain may have a request: looks. */
void divvy_relay_xen_domain_ask(struct divvy_relay_xen *xen, uint32_t domain, bool is_scan);
/* An answer of the store about the domain at a place, which is less than DIVVY_RELAY_XEN_DOMAINS_MAX. */
void divvy_relay_xen_domain_step(struct divvy_relay_xen *xen, uint32_t place, const struct divvy_wire_xen_packet *packet,
                                 const char *payload);
/* The domain is no more: nobody waits for its job's answer, and a VM that only it made goes. */
void divvy_relay_xen_domain_gone(struct divvy_relay_xen *xen, uint32_t domain);
/* The store is gone: forgets what is under way, apart from jobs, which will be answered to nobody. */
void divvy_relay_xen_domains_drop(struct divvy_relay_xen *xen, bool with_jobs);

#endif
