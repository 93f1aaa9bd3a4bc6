/* GET /metrics. */
#include "daemon/http/copies.h"
#include "daemon/http/metrics.h"
#include "daemon/http/mig.h"
#include "daemon/http/server.h"

#include <stdlib.h>

#ifndef DIVVY_VERSION
#define DIVVY_VERSION "0"
#endif

int divvy_http_get_metrics(struct divvy_http_request *request) {
    struct divvy_http_mig_allocation *allocations = NULL;
    struct divvy_http_mig_device *mig = NULL;
    size_t mig_count = 0, mig_allocations = 0;
    struct divvy_http_copies copies;
    struct divvy_daemon_health health;
    size_t length = 0, busy;
    char *text = NULL;
    int result = divvy_http_copies_get(request, &copies);

    divvy_daemon_health(request->daemon, &health);
    if (result == 0)
        result = divvy_http_mig_devices_known(request->http->mig, &mig, &mig_count);
    if (result == 0)
        result = divvy_http_mig_allocations(request->http->mig, &allocations, &mig_allocations);
    if (result == 0) {
        const struct divvy_metrics_figures figures = {
            .version = DIVVY_VERSION,
            .node = divvy_daemon_settings(request->daemon)->node,
            .health = &health,
            .devices = copies.devices,
            .device_count = copies.device_count,
            .tenants = copies.tenants,
            .tenant_count = copies.tenant_count,
            .connections = divvy_http_links_count(request->http, &busy),
            .mig = mig,
            .mig_count = mig_count,
            .mig_allocations = mig_allocations,
        };

        text = divvy_metrics_render(&figures, &length);
    }
    divvy_http_copies_free(&copies);
    free(allocations);
    free(mig);
    if (result < 0)
        return divvy_http_fail_errno(request, result, NULL);
    if (!text)
        return divvy_http_answer_empty(request, 500);
    return divvy_http_answer_text(request, 200, DIVVY_METRICS_TYPE, text, length);
}
