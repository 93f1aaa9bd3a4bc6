/* What the relay tells of itself. */
#ifndef DIVVY_REMOTE_RELAY_REPORT_H
#define DIVVY_REMOTE_RELAY_REPORT_H

#include "remote/relay/relay.h"

/* Each appends to `out`. 0 or -ENOMEM. */
int divvy_relay_report_metrics(const struct divvy_relay *relay, struct divvy_relay_bytes *out);
int divvy_relay_report_prometheus(const struct divvy_relay *relay, struct divvy_relay_bytes *out);
int divvy_relay_report_health(const struct divvy_relay *relay, struct divvy_relay_bytes *out);
int divvy_relay_report_connections(const struct divvy_relay *relay, struct divvy_relay_bytes *out);

#endif
