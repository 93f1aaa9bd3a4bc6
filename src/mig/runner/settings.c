/* The environment: see settings.h. */
#include "mig/runner/settings.h"

#include "core/checked.h"
#include "core/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

static const char *text_of(const char *value) {
    return value ? value : "";
}

/* Set, and neither empty nor 0. */
static bool is_on(const char *value) {
    return value && value[0] && strcmp(value, "0") != 0;
}

static int amount_read(const char *variable, const char *value, uint64_t unit_bytes, const char *unit, uint64_t *ret_bytes,
                       struct divvy_error *error) {
    uint64_t number;
    int status;

    *ret_bytes = 0;
    if (!value || !value[0])
        return 0;
    status = divvy_core_u64_parse(value, strlen(value), &number, NULL);
    if (status == 0)
        status = divvy_core_u64_mul(number, unit_bytes, ret_bytes);
    if (status < 0)
        return divvy_error_set(error, status, "%s: '%.60s' is no number of %s; write digits only (0 or empty: no limit)",
                               variable, value, unit);
    return 0;
}

int divvy_runner_settings_read(struct divvy_runner_settings *ret_settings, struct divvy_error *error) {
    const char *prefetch = text_of(getenv("HYPERCORE_PREFETCH"));
    struct divvy_runner_settings s = {
        .profile = text_of(getenv("HC_MIG_PROFILE")),
        .model_id = text_of(getenv("MODEL_ID")),
        .debug = is_on(getenv("HC_DEBUG")),
        .prefetch = strcmp(prefetch, "1") == 0,
        .no_limiter = is_on(getenv("HYPERCORE_DISABLE_SHIM")),
        .no_meminfo = is_on(getenv("HYPERCORE_DISABLE_FUSE")),
    };

    if (!s.prefetch && is_on(prefetch))
        s.bad_prefetch = prefetch;
    if (amount_read("HYPERCORE_VRAM_LIMIT_BYTES", getenv("HYPERCORE_VRAM_LIMIT_BYTES"), 1, "bytes", &s.vram_limit_bytes,
                    error) < 0 ||
        amount_read("HYPERCORE_CPU_MEM_MB", getenv("HYPERCORE_CPU_MEM_MB"), MIB, "MiB", &s.memory_bytes, error) < 0)
        return error->status;
    *ret_settings = s;
    return 0;
}
