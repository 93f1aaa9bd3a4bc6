/*
 * The push channel: a WebSocket to the platform, over a connection that libcurl makes (TLS, proxies), kept up by itself: connected, pinged every two
 * minutes, connected anew after 1 s, then 2 s, 4 s, ... at most 5 min (a quarter of chance in it); a channel that held for half a minute begins
 * that row anew. One thread; nothing blocks.
 */
#ifndef DIVVY_AGENT_CHANNEL_H
#define DIVVY_AGENT_CHANNEL_H

#include "agent/platform.h"

#include <stdbool.h>
#include <stdint.h>

struct divvy_agent_channel_events {
    void (*opened)(void *data);                  /* what was pushed before is not known: ask */
    void (*pushed)(void *data, int64_t version); /* the configuration has this version now */
    void *data;
};

struct divvy_agent_channel;

/* `multi` and `platform` are borrowed for as long as the channel lives. NULL: no memory. */
struct divvy_agent_channel *divvy_agent_channel_new(
    CURLM *multi, const struct divvy_agent_platform *platform, const char *agent_id,
    const struct divvy_agent_channel_events *events);
/* NULL is fine. Says farewell if it can. */
void divvy_agent_channel_free(struct divvy_agent_channel *channel);

/* Whether messages can come. */
bool divvy_agent_channel_is_open(const struct divvy_agent_channel *channel);

/* The socket to wait on and for what (POLLIN, POLLOUT); -1: none now. */
int divvy_agent_channel_fd(const struct divvy_agent_channel *channel, short *ret_events);

/* What libcurl says of a transfer; true when it was this channel's. */
bool divvy_agent_channel_done(struct divvy_agent_channel *channel, CURL *curl, CURLcode code);

/* Does what is due; when the next thing is, in nanoseconds of the monotonic clock. */
uint64_t divvy_agent_channel_turn(struct divvy_agent_channel *channel);

#endif
