/*
 * What the daemon says of devices, tenants and events, read from its JSON into plain values for
 * tables. Text is made fit for a terminal on the way. Fields that are missing, null or of another
 * type are unknown, never an error: a daemon of another version may know less or more.
 */
#ifndef DIVVY_CLI_SEEN_H
#define DIVVY_CLI_SEEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_CLI_SEEN_DEVICES 16u /* of a tenant, and of the node */
#define DIVVY_CLI_SEEN_UNKNOWN (-1.0)

/* Numbers are doubles: exact up to 2^53, and DIVVY_CLI_SEEN_UNKNOWN when unknown or without limit. */
struct divvy_cli_seen_use {
    char uuid[48];
    double index;
    double limit_bytes; /* unknown: no limit */
    double used_bytes, peak_bytes, refused;
    double compute_percent; /* asked; unknown: no cap */
    double share_percent;   /* got */
    double weight, busy_ns, waited_ns, waiting, launches;
    bool soft;
    char mode[16];
};

struct divvy_cli_seen_tenant {
    char id[128];
    char state[16], qos[16], source[16];
    bool frozen;
    double owner_uid, process_count;
    double created_s; /* since 1970 */
    unsigned int use_count;
    struct divvy_cli_seen_use uses[DIVVY_CLI_SEEN_DEVICES];
};

struct divvy_cli_seen_device {
    char uuid[48], model[96];
    bool simulated, healthy;
    double index, memory_bytes, used_bytes, promised_bytes;
    double utilisation_percent, temperature_c, power_w, tenants;
};

struct divvy_cli_seen_node {
    char name[128], version[32];
    bool simulated;
    double uptime_s;
};

struct divvy_cli_seen_event {
    uint64_t number;
    double time_s; /* since 1970 */
    char kind[32], tenant[128], text[256];
};

void divvy_cli_seen_tenant_read(const json_t *object, struct divvy_cli_seen_tenant *ret_tenant);
void divvy_cli_seen_device_read(const json_t *object, struct divvy_cli_seen_device *ret_device);
void divvy_cli_seen_node_read(const json_t *object, struct divvy_cli_seen_node *ret_node);
void divvy_cli_seen_event_read(const json_t *object, struct divvy_cli_seen_event *ret_event);

/*
 * All of {"tenants": [...]} or {"devices": [...]}: malloc'ed, the caller frees; NULL and 0 when
 * there are none. -EPROTO: there is no such array; -ENOMEM.
 */
int divvy_cli_seen_tenants_read(const json_t *answer, struct divvy_cli_seen_tenant **ret_tenants,
                                size_t *ret_count);
int divvy_cli_seen_devices_read(const json_t *answer, struct divvy_cli_seen_device **ret_devices,
                                size_t *ret_count);

/* Whether `divvy ps` shows it without --all: it has processes, or was stopped on purpose. */
bool divvy_cli_seen_is_active(const struct divvy_cli_seen_tenant *tenant);

/* RFC 3339 text, seconds or nanoseconds since 1970, as seconds; unknown for anything else. */
double divvy_cli_seen_time(const json_t *value);

#endif
