/*
 * The life of a worker's process as decisions: what is to be done next, given what is wished and what has happened. No process,
 * clock or file in here: times are arguments, and all of one clock.
 */
#ifndef DIVVY_NODE_LIFE_H
#define DIVVY_NODE_LIFE_H

#include <stdbool.h>
#include <stdint.h>

enum divvy_node_life_phase {
    DIVVY_NODE_LIFE_STOPPED,  /* does not run and shall not */
    DIVVY_NODE_LIFE_WAITING,  /* shall run, and will be started at retry_ns */
    DIVVY_NODE_LIFE_RUNNING,
    DIVVY_NODE_LIFE_STOPPING, /* was asked to end */
    DIVVY_NODE_LIFE_KILLED,   /* was killed, its end is awaited */
    DIVVY_NODE_LIFE_PHASE_MAX
};

enum divvy_node_life_action {
    DIVVY_NODE_LIFE_NOTHING,
    DIVVY_NODE_LIFE_START,
    DIVVY_NODE_LIFE_TERMINATE, /* ask it to end */
    DIVVY_NODE_LIFE_KILL,
    DIVVY_NODE_LIFE_FORGET, /* it is gone and nobody wants it */
    DIVVY_NODE_LIFE_ACTION_MAX
};

/* A field that is 0 has the value in brackets. */
struct divvy_node_life_params {
    int64_t delay_ns;     /* before the first new start [3 s] */
    int64_t delay_max_ns; /* it doubles up to this [60 s] */
    int64_t healthy_ns;   /* a run this long begins the row anew [60 s] */
    int64_t grace_ns;     /* from asking to killing [10 s] */
};

struct divvy_node_life {
    struct divvy_node_life_params params;
    enum divvy_node_life_phase phase;
    bool wanted;
    bool again;          /* a new start is wished for when it has ended: its command has changed */
    uint32_t failures;   /* ends in a row, none of which came after a healthy run */
    uint32_t starts;
    int64_t started_ns;  /* of the running or last run */
    int64_t retry_ns;    /* phase WAITING */
    int64_t deadline_ns; /* phase STOPPING */
};

void divvy_node_life_init(struct divvy_node_life *life, const struct divvy_node_life_params *params);

/* What is wished. A worker that waits to be started again keeps waiting; one that is being stopped starts again once it is gone. */
void divvy_node_life_want(struct divvy_node_life *life, bool wanted, int64_t now_ns);
/* Stop and start again, at once. */
void divvy_node_life_restart(struct divvy_node_life *life, int64_t now_ns);

/* What is due now. START, TERMINATE and KILL are to be done, and then reported by the functions below. */
enum divvy_node_life_action divvy_node_life_due(const struct divvy_node_life *life, int64_t now_ns);
/* When to ask again if nothing happens; INT64_MAX: never. */
int64_t divvy_node_life_next_ns(const struct divvy_node_life *life);

void divvy_node_life_started(struct divvy_node_life *life, int64_t now_ns);
void divvy_node_life_failed(struct divvy_node_life *life, int64_t now_ns); /* could not be started */
void divvy_node_life_terminated(struct divvy_node_life *life, int64_t now_ns);
void divvy_node_life_killed(struct divvy_node_life *life, int64_t now_ns);
void divvy_node_life_ended(struct divvy_node_life *life, int64_t now_ns); /* its process is gone */

const char *divvy_node_life_phase_name(enum divvy_node_life_phase phase); /* "running"; NULL out of range */

#endif
