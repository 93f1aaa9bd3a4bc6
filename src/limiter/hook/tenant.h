/*
 * Which tenant this process belongs to, and where that tenant's page lies. page/page.h tells the
 * rules.
 */
#ifndef DIVVY_LIMITER_HOOK_TENANT_H
#define DIVVY_LIMITER_HOOK_TENANT_H

#include "page/page.h"

#include <stdbool.h>

/* Whether somebody set the tenant up: DIVVY_TENANT_DIR names its folder. */
bool divvy_tenant_is_set_up(void);

/*
 * Open the tenant's page, creating it if need be. *ret_fd may come back -1 (page without a file).
 * -errno after one line on stderr when the folder that was named cannot be used, or its file is not
 * a page.
 */
int divvy_tenant_open(const struct divvy_page_identity *self, struct divvy_page **ret_page,
                      int *ret_fd);

#endif
