/*
 * The agent's talk with the platform while it runs: its status told when something changed and every hour, the configuration fetched when it is
 * another, the push channel, and, while that is away, asking every half minute instead. What fails is tried again, later and later, at most every
 * five minutes. One thread, one curl multi handle; nothing blocks.
 */
#ifndef DIVVY_AGENT_LINK_H
#define DIVVY_AGENT_LINK_H

#include "agent/channel.h"
#include "agent/platform.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct divvy_agent_link_events {
    json_t *(*status)(void *data); /* the body of a status post, a new reference */
    /* A configuration, borrowed; 0 when it is applied, else it is fetched again later. */
    int (*config)(void *data, const json_t *config);
    void (*codes)(void *data, const json_t *by_worker); /* share codes, borrowed */
    json_t *(*metrics)(void *data); /* the body of a metrics post that is to go out now, or NULL */
    void *data;
};

struct divvy_agent_link;

/* `version` is that of the configuration applied last. `platform` is borrowed. NULL: no memory. */
struct divvy_agent_link *divvy_agent_link_new(const struct divvy_agent_platform *platform,
                                              const char *agent_id, int64_t version,
                                              const struct divvy_agent_link_events *events);
void divvy_agent_link_free(struct divvy_agent_link *link); /* NULL is fine */

/* Something is worth telling; it is told with whatever follows within a fifth of a second. */
void divvy_agent_link_tell(struct divvy_agent_link *link);

CURLM *divvy_agent_link_multi(struct divvy_agent_link *link);
int divvy_agent_link_fd(const struct divvy_agent_link *link,
                        short *ret_events); /* of the channel, -1: none */

/* Does what is due; when the next thing is. */
uint64_t divvy_agent_link_turn(struct divvy_agent_link *link);

/* A last status, with "event": "shutdown"; waits for at most two seconds. */
void divvy_agent_link_farewell(struct divvy_agent_link *link);

#endif
