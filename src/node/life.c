/* The life of a worker's process: see life.h. */
#include "node/life.h"

#include <stddef.h>

#define SECOND INT64_C(1000000000)

static int64_t or_else(int64_t value, int64_t usual) {
    return value > 0 ? value : usual;
}

void divvy_node_life_init(struct divvy_node_life *life, const struct divvy_node_life_params *params) {
    static const struct divvy_node_life_params none;
    const struct divvy_node_life_params *given = params ? params : &none;

    *life = (struct divvy_node_life){
        .params = {.delay_ns = or_else(given->delay_ns, 3 * SECOND),
                   .delay_max_ns = or_else(given->delay_max_ns, 60 * SECOND),
                   .healthy_ns = or_else(given->healthy_ns, 60 * SECOND),
                   .grace_ns = or_else(given->grace_ns, 10 * SECOND)},
        .phase = DIVVY_NODE_LIFE_STOPPED,
    };
}

void divvy_node_life_want(struct divvy_node_life *life, bool wanted, int64_t now_ns) {
    if (wanted && !life->wanted && life->phase == DIVVY_NODE_LIFE_STOPPED) {
        life->phase = DIVVY_NODE_LIFE_WAITING;
        life->retry_ns = now_ns;
        life->failures = 0;
    }
    if (!wanted && life->phase == DIVVY_NODE_LIFE_WAITING)
        life->phase = DIVVY_NODE_LIFE_STOPPED;
    if (!wanted)
        life->again = false;
    else if (!life->wanted && life->phase != DIVVY_NODE_LIFE_RUNNING && life->phase != DIVVY_NODE_LIFE_WAITING)
        life->again = true; /* it was asked to end before it was wanted again */
    life->wanted = wanted;
}

void divvy_node_life_restart(struct divvy_node_life *life, int64_t now_ns) {
    if (!life->wanted)
        return;
    life->again = life->phase != DIVVY_NODE_LIFE_WAITING;
    life->failures = 0;
    if (life->phase == DIVVY_NODE_LIFE_WAITING)
        life->retry_ns = now_ns;
}

enum divvy_node_life_action divvy_node_life_due(const struct divvy_node_life *life, int64_t now_ns) {
    switch (life->phase) {
    case DIVVY_NODE_LIFE_STOPPED:
        return life->wanted ? DIVVY_NODE_LIFE_NOTHING : DIVVY_NODE_LIFE_FORGET;
    case DIVVY_NODE_LIFE_WAITING:
        return now_ns >= life->retry_ns ? DIVVY_NODE_LIFE_START : DIVVY_NODE_LIFE_NOTHING;
    case DIVVY_NODE_LIFE_RUNNING:
        return !life->wanted || life->again ? DIVVY_NODE_LIFE_TERMINATE : DIVVY_NODE_LIFE_NOTHING;
    case DIVVY_NODE_LIFE_STOPPING:
        return now_ns >= life->deadline_ns ? DIVVY_NODE_LIFE_KILL : DIVVY_NODE_LIFE_NOTHING;
    default:
        return DIVVY_NODE_LIFE_NOTHING;
    }
}

int64_t divvy_node_life_next_ns(const struct divvy_node_life *life) {
    if (life->phase == DIVVY_NODE_LIFE_WAITING)
        return life->retry_ns;
    if (life->phase == DIVVY_NODE_LIFE_STOPPING)
        return life->deadline_ns;
    return divvy_node_life_due(life, 0) == DIVVY_NODE_LIFE_NOTHING ? INT64_MAX : 0;
}

void divvy_node_life_started(struct divvy_node_life *life, int64_t now_ns) {
    life->phase = DIVVY_NODE_LIFE_RUNNING;
    life->again = false;
    life->started_ns = now_ns;
    if (life->starts < UINT32_MAX)
        life->starts++;
}

/* The delay before the next start: it doubles with every failure in a row. */
static void wait_for_next(struct divvy_node_life *life, int64_t now_ns) {
    int64_t delay_ns = life->params.delay_ns;

    for (uint32_t i = 0; i < life->failures && delay_ns < life->params.delay_max_ns; i++)
        delay_ns *= 2;
    if (delay_ns > life->params.delay_max_ns)
        delay_ns = life->params.delay_max_ns;
    if (life->failures < UINT32_MAX)
        life->failures++;
    life->phase = DIVVY_NODE_LIFE_WAITING;
    life->retry_ns = now_ns + delay_ns;
}

void divvy_node_life_failed(struct divvy_node_life *life, int64_t now_ns) {
    if (life->wanted)
        wait_for_next(life, now_ns);
    else
        life->phase = DIVVY_NODE_LIFE_STOPPED;
}

void divvy_node_life_terminated(struct divvy_node_life *life, int64_t now_ns) {
    life->phase = DIVVY_NODE_LIFE_STOPPING;
    life->deadline_ns = now_ns + life->params.grace_ns;
}

void divvy_node_life_killed(struct divvy_node_life *life, int64_t now_ns) {
    (void)now_ns;
    life->phase = DIVVY_NODE_LIFE_KILLED;
}

void divvy_node_life_ended(struct divvy_node_life *life, int64_t now_ns) {
    bool by_itself = life->phase == DIVVY_NODE_LIFE_RUNNING && !life->again;

    if (!life->wanted) {
        life->phase = DIVVY_NODE_LIFE_STOPPED;
        return;
    }
    if (!by_itself) { /* it ended because it was to begin anew */
        life->again = false;
        life->failures = 0;
        life->phase = DIVVY_NODE_LIFE_WAITING;
        life->retry_ns = now_ns;
        return;
    }
    if (now_ns - life->started_ns >= life->params.healthy_ns)
        life->failures = 0;
    wait_for_next(life, now_ns);
}

const char *divvy_node_life_phase_name(enum divvy_node_life_phase phase) {
    static const char *const names[] = {"stopped", "waiting", "running", "stopping", "killed"};

    _Static_assert(sizeof names / sizeof names[0] == DIVVY_NODE_LIFE_PHASE_MAX, "a name for each phase");
    return (unsigned)phase < DIVVY_NODE_LIFE_PHASE_MAX ? names[phase] : NULL;
}
