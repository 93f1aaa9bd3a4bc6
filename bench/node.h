/* A divvyd of this bench's own, and tenants that it makes by the daemon's HTTP API. */
#ifndef DIVVY_BENCH_NODE_H
#define DIVVY_BENCH_NODE_H

#include "bench.h"

struct node {
    const struct bench *bench;
    pid_t pid; /* of divvyd, 0 not running */
    char folder[96], socket[128];
    const char *const *options; /* more of divvyd's, NULL-terminated; NULL: none. Set before it is started */
};

/* What a tenant asks for; 0 or NULL leaves it out. */
struct node_wish {
    unsigned int percent, weight;
    uint64_t memory_bytes;
    const char *qos;
    bool soft;
    const char *pod; /* makes it the tenant of this pod, in the namespace "bench" */
};

/* Makes the folder of a node, and starts nothing yet: node_restart does. */
void node_prepare(struct node *node, const struct bench *bench);
/* Starts divvyd and waits until it is ready. */
void node_start(struct node *node, const struct bench *bench);
/* Ends it, and removes its folder. */
void node_stop(struct node *node);
/* Ends it with a signal at once, or starts it again where it was. */
void node_kill(struct node *node, int signal);
void node_restart(struct node *node);

/* One request; the answer's body goes to `ret_body`. Returns the status, or -1 when nobody answers. */
int node_request(const struct node *node, const char *method, const char *path, const char *body,
                 char *ret_body, size_t room);

/* Makes a tenant; the folder for DIVVY_TENANT_DIR goes to ret_folder (256 bytes). Failure ends the bench. */
void node_tenant(const struct node *node, const char *id, const struct node_wish *wish,
                 char *ret_folder);
void node_tenant_set(const struct node *node, const char *id, const struct node_wish *wish);
void node_tenant_remove(const struct node *node, const char *id);

/* bench_start with the limiter, as a process of the tenant. */
pid_t node_run(const struct node *node, const char *folder, const char *program,
               const char *const arguments[], FILE **ret_out);

#endif
