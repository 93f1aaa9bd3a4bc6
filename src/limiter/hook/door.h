/*
 * The tenant's door, a word of its control page (page/control.h): shut while the daemon has frozen the tenant and saved its
 * device memory. Whatever would go to the driver meanwhile waits here, rings the bell, and goes on when everything is back: the
 * driver itself would make it wait too, but would not tell anybody. While the door is watched, whoever comes by leaves word.
 *
 * Every hook of a function that needs the device passes the door first: two loads and a comparison while it is open. Launches
 * need not: a door that is not open comes with an armed gate and another lease word, so they come to the slow path, which asks.
 */
#ifndef DIVVY_LIMITER_HOOK_DOOR_H
#define DIVVY_LIMITER_HOOK_DOOR_H

#include "limiter/hook/door_table.h"

#include <stdbool.h>
#include <stdint.h>

/* The word: of the control page, or one that is always 0. */
extern const uint32_t *divvy_door;

/* Leave word, and wait as long as the door is shut and there is a daemon. errno is kept; nothing may be locked. */
void divvy_door_wait(void);

static inline void divvy_door_pass(void) {
    if (__builtin_expect(__atomic_load_n(divvy_door, __ATOMIC_RELAXED) != 0, 0))
        divvy_door_wait();
}

/* For whoever must not wait. */
bool divvy_door_is_shut(void);

/* This process has its slot in the usage page: the daemon may know that it looks at its door. */
void divvy_door_attached(void);

/*
 * Hooks of DIVVY_DOOR_HOOKS, divvy_hook_<symbol>: through the door to the driver. And divvy_doorway_<symbol>: through the door
 * to the hook of that name, for all others but launches. Arguments are passed on as they came.
 */
#define DIVVY_DOOR_DECLARE(symbol) void divvy_hook_##symbol(void);
DIVVY_DOOR_HOOKS(DIVVY_DOOR_DECLARE)
#undef DIVVY_DOOR_DECLARE

#endif
