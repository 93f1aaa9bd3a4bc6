/*
 * What this room keeps in the usage page: `spare` of struct divvy_page_compute, shared by the tenant's processes. A tenant
 * can spoil its own account only; readers treat the words as data.
 */
#ifndef DIVVY_LIMITER_COMPUTE_ACCOUNT_H
#define DIVVY_LIMITER_COMPUTE_ACCOUNT_H

enum {
    DIVVY_COMPUTE_PAGE_PAID_NS,  /* CLOCK_MONOTONIC at which what was charged is paid for; 0: nothing yet */
    DIVVY_COMPUTE_PAGE_PERMILLE, /* the share that word is kept at; 0: it rests, leases decide */
};

#endif
