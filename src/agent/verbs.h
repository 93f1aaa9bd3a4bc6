/* The commands of ggo: one function each. They print what they did and return the exit status: 0, 1 failed, 2 wrong use. */
#ifndef DIVVY_AGENT_VERBS_H
#define DIVVY_AGENT_VERBS_H

#include "agent/grammar.h"

enum {
    DIVVY_AGENT_OK = 0,
    DIVVY_AGENT_FAILED = 1,
    DIVVY_AGENT_USAGE = 2,
    DIVVY_AGENT_NOT_EXECUTABLE = 126,
    DIVVY_AGENT_NOT_FOUND = 127
};

int divvy_agent_verb_register(struct divvy_agent_call *call);
int divvy_agent_verb_start(struct divvy_agent_call *call);
int divvy_agent_verb_status(struct divvy_agent_call *call);
int divvy_agent_verb_unregister(struct divvy_agent_call *call);
int divvy_agent_verb_list(struct divvy_agent_call *call);
int divvy_agent_verb_get(struct divvy_agent_call *call);

int divvy_agent_verb_worker_list(struct divvy_agent_call *call);
int divvy_agent_verb_worker_create(struct divvy_agent_call *call);
int divvy_agent_verb_worker_get(struct divvy_agent_call *call);
int divvy_agent_verb_worker_update(struct divvy_agent_call *call);
int divvy_agent_verb_worker_delete(struct divvy_agent_call *call);

int divvy_agent_verb_share_create(struct divvy_agent_call *call); /* also `worker share` */
int divvy_agent_verb_share_list(struct divvy_agent_call *call);
int divvy_agent_verb_share_get(struct divvy_agent_call *call);
int divvy_agent_verb_share_delete(struct divvy_agent_call *call);

int divvy_agent_verb_use(struct divvy_agent_call *call);
int divvy_agent_verb_clean(struct divvy_agent_call *call);
int divvy_agent_verb_launch(struct divvy_agent_call *call);

#endif
