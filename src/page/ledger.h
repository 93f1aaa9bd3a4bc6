/*
 * What the slots need of the ledger: settling what a dead process had under way. Inside the room
 * only.
 */
#ifndef DIVVY_PAGE_LEDGER_H
#define DIVVY_PAGE_LEDGER_H

#include "page/page.h"

/*
 * Decide whether the last announced operation of a cell took effect, and commit it if so. The
 * caller owns the slot, or has claimed it from a dead owner. Returns the contribution. May be
 * repeated after a death of the caller.
 */
uint64_t divvy_page_cell_settle(struct divvy_page *page, unsigned slot, unsigned device);

/* Settle, then take the contribution to zero as the slot's next operation. May be repeated after a
 * death. */
void divvy_page_cell_empty(struct divvy_page *page, unsigned slot, unsigned device);

#endif
