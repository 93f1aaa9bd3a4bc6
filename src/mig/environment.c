/* What the environment says of reservations. */
#include "mig/reservation.h"

#include <stdlib.h>

void divvy_mig_options_read_environment(struct divvy_mig_options *options) {
    const char *ttl = getenv("HC_MIG_TTL"), *folder = getenv("HC_MIG_LOCK_DIR");
    int64_t ttl_ns = DIVVY_MIG_TTL_NS;

    if (ttl && *ttl && divvy_mig_ttl_parse(ttl, &ttl_ns) < 0)
        divvy_mig_say(options->log, options->log_data, DIVVY_MIG_LOG_WARN,
                      "HC_MIG_TTL='%.60s' is no duration such as 10m, 90s or 1h30m; 5m is used", ttl);
    options->ttl_ns = ttl_ns;
    if (folder && *folder)
        options->lock_dir = folder;
}
