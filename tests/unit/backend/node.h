/* A whole node for tests: fake devices, all controllers, a folder of state. */
#ifndef TESTS_BACKEND_NODE_H
#define TESTS_BACKEND_NODE_H

#include "backend/workers.h"
#include "room.h"

struct node {
    struct room room;
    char fake[80];   /* folder of the fake accelerator library */
    char logs[96];
    const char *worker_binary; /* before node_start */
    struct divvy_backend_devices *devices;
    struct divvy_backend_allocations *allocations;
    struct divvy_backend_single *single;
    struct divvy_backend_workers *workers;
    struct divvy_error error;
};

void node_room(struct node *node);  /* the folders, with devices GPU-A and GPU-B */
void node_start(struct node *node); /* all controllers */
void node_halt(struct node *node);  /* as divvyd ends: workers go on */
void node_end(struct node *node);   /* halts, and removes all; no worker may be left */

void node_fake(const struct node *node, const char *file, const char *text); /* NULL: removes it */
size_t node_partitions(const struct node *node);                             /* on the fake devices */

struct divvy_node_worker node_worker(const char *uid, const char *device, uint64_t gib, unsigned int percent);
struct divvy_backend_worker node_view(struct node *node, const char *uid);
/* Waits until the worker's status is so, or fails. */
void node_await(struct node *node, const char *uid, enum divvy_node_worker_status status);
void node_gone_await(struct node *node, const char *uid); /* no allocation and no process of it */

#endif
