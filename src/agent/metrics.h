/*
 * Figures of this machine and its GPUs, as the platform takes them: read at regular times by a thread of its own, since a driver that hangs must hold up
 * nobody. GPUs that are made up, or that no library shows, have no figures; none is invented.
 */
#ifndef DIVVY_AGENT_METRICS_H
#define DIVVY_AGENT_METRICS_H

#include <jansson.h>
#include <stdint.h>

struct divvy_agent_metrics;

/*
 * `library` as for divvy_agent_gpus_find; copied. `ready` is called by the thread when there is something to take, and must be quick. NULL: no memory, or no
 * thread to be had.
 */
struct divvy_agent_metrics *divvy_agent_metrics_new(const char *library, uint64_t every_ns,
                                                    void (*ready)(void *data), void *data);

/* The body of a metrics post that was not taken before, a new reference; or NULL. */
json_t *divvy_agent_metrics_take(struct divvy_agent_metrics *metrics);

/* Ends the thread; one that is stuck in a driver is left behind. NULL is fine. */
void divvy_agent_metrics_free(struct divvy_agent_metrics *metrics);

#endif
