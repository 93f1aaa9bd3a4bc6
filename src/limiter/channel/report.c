/* Reports to the daemon: see report.h. */
#include "limiter/channel/report.h"

#include "core/clock.h"
#include "core/uuid.h"
#include "limiter/channel/lease.h"
#include "limiter/hook/control.h"
#include "limiter/hook/process.h"

#include <string.h>

#define ENDS_NS    (DIVVY_NS_PER_MS * 3 / 10) /* before the end of a lease: about what the report takes */
#define LOOK_NS    (4 * DIVVY_NS_PER_MS)   /* inside a lease: is there still something to do? */
#define REST_NS    (100 * DIVVY_NS_PER_MS) /* otherwise */
#define PROGRESS_NS (50 * DIVVY_NS_PER_MS) /* between reports that tell of use only */
#define PAUSE_NS   DIVVY_NS_PER_MS         /* between any two: a program that comes and goes does not flood */

/* Of one device: what decides whether there is news. */
struct look {
    struct divvy_channel_lease_state lease;
    bool has_ended; /* it is not only about to */
    uint64_t waiting, busy_ns, inflight_ns, drain_ns, launches;
};

static struct look told[DIVVY_PAGE_DEVICES]; /* in the newest report */
static uint64_t told_door;
static uint64_t told_ns;                     /* when that was; 0: never */

void divvy_channel_report_reset(void) {
    memset(told, 0, sizeof told);
    told_door = 0;
    told_ns = 0;
}

static struct look look_at(unsigned device, uint64_t now_ns) {
    const struct divvy_page_usage *usage = &divvy_process.page->slots[divvy_process.slot].usage[device];
    struct look look = {
        .waiting = __atomic_load_n(&usage->waiting, __ATOMIC_RELAXED),
        .busy_ns = __atomic_load_n(&usage->busy_ns, __ATOMIC_RELAXED),
        .inflight_ns = __atomic_load_n(&usage->inflight_ns, __ATOMIC_RELAXED),
        .drain_ns = __atomic_load_n(&usage->drain_ns, __ATOMIC_RELAXED),
        .launches = __atomic_load_n(&usage->launches, __ATOMIC_RELAXED),
    };

    divvy_channel_lease_state(device, now_ns, &look.lease);
    look.drain_ns = look.inflight_ns > 0 && look.drain_ns > now_ns ? look.drain_ns - now_ns : 0;
    look.has_ended = look.lease.is_over;
    if (look.lease.is_measured && look.lease.left_ns <= ENDS_NS) {
        look.lease.is_over = true;
        if (look.drain_ns < look.lease.left_ns)
            look.drain_ns = look.lease.left_ns;
    }
    return look;
}

static bool is_idle(const struct look *look) {
    return look->waiting == 0 && look->inflight_ns == 0;
}

/* The daemon would do something else if it knew. */
static bool is_urgent(const struct look *look, const struct look *before) {
    if (look->lease.number != before->lease.number || look->lease.is_over != before->lease.is_over)
        return look->lease.is_over;
    if (look->has_ended && !before->has_ended) /* what was still begun is known now */
        return look->busy_ns != before->busy_ns || look->inflight_ns != before->inflight_ns;
    if (look->waiting > 0 && before->waiting == 0)
        return true;
    return is_idle(look) != is_idle(before);
}

static bool is_changed(const struct look *look, const struct look *before) {
    return look->busy_ns != before->busy_ns || look->inflight_ns != before->inflight_ns || look->launches != before->launches;
}

static void device_add(divvy_core_text_t *body, unsigned device, const struct look *look, bool is_first) {
    char uuid[DIVVY_CORE_UUID_TEXT_BYTES];
    divvy_core_uuid_t raw;

    memcpy(raw.bytes, &divvy_process.page->devices[device].uuid, sizeof raw.bytes);
    divvy_core_uuid_format(&raw, uuid);
    divvy_core_text_format(
        body,
        "%s{\"uuid\":\"%s\",\"waiting\":%llu,\"busy_ns\":%llu,\"used_bytes\":%llu,\"launches\":%llu,\"inflight_ns\":%llu,"
        "\"drain_ns\":%llu,\"lease\":%llu,\"over\":%s}",
        is_first ? "" : ",", uuid, (unsigned long long)look->waiting, (unsigned long long)look->busy_ns,
        (unsigned long long)__atomic_load_n(&divvy_process.page->devices[device].used.low, __ATOMIC_RELAXED),
        (unsigned long long)look->launches, (unsigned long long)look->inflight_ns, (unsigned long long)look->drain_ns,
        (unsigned long long)look->lease.number, look->lease.is_over ? "true" : "false");
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

bool divvy_channel_report_make(const char *client_id, uint64_t now_ns, divvy_core_text_t *body, uint64_t *ret_next_ns) {
    struct look looks[DIVVY_PAGE_DEVICES];
    bool urgent, changed = false, is_first = true;
    uint64_t next_ns = REST_NS;
    uint64_t door = __atomic_load_n(&divvy_process.page->slots[divvy_process.slot].door, __ATOMIC_SEQ_CST);

    urgent = door != told_door;
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        if (!divvy_control_link.devices[i])
            continue;
        looks[i] = look_at(i, now_ns);
        urgent = urgent || is_urgent(&looks[i], &told[i]);
        changed = changed || is_changed(&looks[i], &told[i]);
        if (!looks[i].has_ended && looks[i].lease.is_measured)
            next_ns = earlier(next_ns, looks[i].lease.left_ns > ENDS_NS
                                           ? earlier(LOOK_NS, looks[i].lease.left_ns - ENDS_NS)
                                           : looks[i].lease.left_ns);
    }
    if (told_ns != 0 && !urgent && !(changed && now_ns - told_ns >= PROGRESS_NS)) {
        *ret_next_ns = next_ns;
        return false;
    }
    if (told_ns != 0 && now_ns - told_ns < PAUSE_NS) {
        *ret_next_ns = PAUSE_NS - (now_ns - told_ns);
        return false;
    }
    divvy_core_text_format(body, "{\"client_id\":\"%s\",\"devices\":[", client_id);
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        if (!divvy_control_link.devices[i])
            continue;
        device_add(body, i, &looks[i], is_first);
        told[i] = looks[i];
        is_first = false;
    }
    divvy_core_text_format(body, "],\"door\":%llu}", (unsigned long long)door);
    told_door = door;
    told_ns = now_ns;
    *ret_next_ns = next_ns;
    return !body->is_cut;
}
