/*
 * The memory that the driver holds for graphs of this process (see graph.h). Per device of the
 * page: charged is what the driver said it holds (CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT) plus what
 * launches under way may add.
 */
#ifndef DIVVY_LIMITER_MEMORY_GRAPH_POOL_H
#define DIVVY_LIMITER_MEMORY_GRAPH_POOL_H

#include <stdbool.h>

/* Credit what the driver gave back. `trim`: ask it to give back what is unused, first. Never waits
 * for a lock. */
void divvy_graph_pool_reconcile(unsigned page_device, bool trim);

/* All devices; one load if no graph of this process ever allocated. */
void divvy_graph_pool_reconcile_all(void);

void divvy_graph_pool_fork_child(void);

#endif
