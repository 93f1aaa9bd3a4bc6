/*
 * The shape that JSON of others must have: which keys, of which types, in which ranges. What passes comes out with exactly those
 * keys, in the table's order and spelling; what does not is named by its place ("workers[3].listen_port"). Pure.
 */
#ifndef DIVVY_AGENT_SHAPE_H
#define DIVVY_AGENT_SHAPE_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define DIVVY_AGENT_ELEMENTS_MAX 100000u /* of one list */
#define DIVVY_AGENT_TEXT_MAX     8192u   /* bytes of one text */
#define DIVVY_AGENT_ID_MAX       120u

enum divvy_agent_kind {
    DIVVY_AGENT_KIND_TEXT,
    DIVVY_AGENT_KIND_ID, /* text that can be a file's name and a path's part: [A-Za-z0-9._-]+, not beginning with '.' or '-' */
    DIVVY_AGENT_KIND_INTEGER, /* from min to max; 2.0 is one */
    DIVVY_AGENT_KIND_BOOLEAN,
    DIVVY_AGENT_KIND_TEXTS, /* a list of texts that are not empty; null stands for none */
    DIVVY_AGENT_KIND_OBJECT,
    DIVVY_AGENT_KIND_OBJECTS, /* a list; null elements are skipped */
    DIVVY_AGENT_KIND_MAP,     /* of ids to lists of texts */
};

struct divvy_agent_shape;

struct divvy_agent_field {
    const char *key;
    enum divvy_agent_kind kind;
    bool
        is_required; /* null counts as missing, texts must not be empty; lists that are required and missing become empty */
    int64_t min, max; /* of integers, both 0: any */
    const struct divvy_agent_shape *of;
};

/* Fields end with one without a key. */
struct divvy_agent_shape {
    const char *name; /* as messages call it */
    const struct divvy_agent_field *fields;
};

/* The wire's objects. */
extern const struct divvy_agent_shape divvy_agent_shape_registered; /* answer of register */
extern const struct divvy_agent_shape
    divvy_agent_shape_config; /* workers that a machine shall have */
extern const struct divvy_agent_shape divvy_agent_shape_status; /* answer of status */
extern const struct divvy_agent_shape divvy_agent_shape_agent;
extern const struct divvy_agent_shape divvy_agent_shape_agents;
extern const struct divvy_agent_shape divvy_agent_shape_worker;
extern const struct divvy_agent_shape divvy_agent_shape_workers;
extern const struct divvy_agent_shape divvy_agent_shape_share;
extern const struct divvy_agent_shape divvy_agent_shape_shares;
extern const struct divvy_agent_shape divvy_agent_shape_public; /* what a share leads to */
extern const struct divvy_agent_shape divvy_agent_shape_push;   /* a message of the push channel */
extern const struct divvy_agent_shape
    divvy_agent_shape_empty; /* any answer, nothing of it wanted */
/* Files. */
extern const struct divvy_agent_shape divvy_agent_shape_registration; /* config.json */
extern const struct divvy_agent_shape divvy_agent_shape_token;        /* token.json */

/* 0 and *ret_value, a new object; -EPROTO with the place and what is wrong; -ENOMEM. Keys are found in any case. */
int divvy_agent_shape_take(const struct divvy_agent_shape *shape, const json_t *value,
                           json_t **ret_value, struct divvy_error *error);

/* Whether a text is an id as above, of at most DIVVY_AGENT_ID_MAX bytes. */
bool divvy_agent_id_is_valid(const char *text);

#endif
