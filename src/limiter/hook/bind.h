/*
 * Exchanging what loaded objects have bound to the driver for the hooks: for objects that searched
 * their own libraries before anything preloaded (RTLD_DEEPBIND).
 */
#ifndef DIVVY_LIMITER_HOOK_BIND_H
#define DIVVY_LIMITER_HOOK_BIND_H

/* All objects but the vendor's own. Nothing happens while no driver is loaded. Keeps the protection
 * of memory. */
void divvy_bind_exchange(void);

#endif
