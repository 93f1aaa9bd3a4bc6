/*
 * What ggo keeps about its registration and its user's credential: config/config.json and ~/.gpugo/token.json, both with mode 0600.
 * One thread. Keys of others in the files stay.
 */
#ifndef DIVVY_AGENT_CONFIG_H
#define DIVVY_AGENT_CONFIG_H

#include "agent/grammar.h"
#include "agent/paths.h"
#include "agent/platform.h"
#include "base/error.h"

#include <jansson.h>
#include <stdint.h>

struct divvy_agent_registration {
    char agent_id[128];
    char secret[DIVVY_AGENT_CREDENTIAL_BYTES];
    char server_url[DIVVY_AGENT_URL_BYTES]; /* "": not told */
    int64_t config_version;
    json_t *license; /* object, or NULL */
};

/* -ENOENT: not registered; -EPROTO, -EINVAL: the file cannot be used, with its name and why. Freed by _done. */
int divvy_agent_registration_read(const struct divvy_agent_paths *paths,
                                  struct divvy_agent_registration *ret_registration,
                                  struct divvy_error *error);
/* Makes the folder too. A file that cannot be used is kept aside under another name. */
int divvy_agent_registration_write(const struct divvy_agent_paths *paths,
                                   const struct divvy_agent_registration *registration,
                                   struct divvy_error *error);
void divvy_agent_registration_done(struct divvy_agent_registration *registration);

/*
 * The server: --server, GPU_GO_ENDPOINT, `preferred` when not NULL or empty, the default. Warns of http to other machines. The order of
 * `agent start` is another: it puts the file's in front of the variable.
 */
int divvy_agent_server_find(const struct divvy_agent_call *call, const char *preferred,
                            struct divvy_agent_platform *platform, struct divvy_error *error);

/* The user's credential: --token, GPU_GO_TOKEN, GPU_GO_USER_TOKEN, the agent's secret, token.json unless it is over. -ENOENT: none. */
int divvy_agent_user_find(const struct divvy_agent_call *call,
                          const struct divvy_agent_paths *paths,
                          struct divvy_agent_platform *platform, struct divvy_error *error);

/* Paths, server and user of a command that talks to the platform as its user. */
int divvy_agent_user_open(const struct divvy_agent_call *call,
                          struct divvy_agent_platform *platform, struct divvy_error *error);

/* Seconds since 1970 of an RFC 3339 time; -EINVAL. */
int divvy_agent_time_parse(const char *text, int64_t *ret_seconds);
#define DIVVY_AGENT_TIME_BYTES 32
/* "2026-11-28T10:15:14Z" */
void divvy_agent_time_format(int64_t seconds, char ret_text[DIVVY_AGENT_TIME_BYTES]);

#endif
