/* The shapes of the platform's objects and of ggo's files: see shape.h. */
#include "agent/shape.h"

#define TEXT(key)                                                                                  \
    { key, DIVVY_AGENT_KIND_TEXT, false, 0, 0, NULL }
#define TEXT_NEEDED(key)                                                                           \
    { key, DIVVY_AGENT_KIND_TEXT, true, 0, 0, NULL }
#define ID(key)                                                                                    \
    { key, DIVVY_AGENT_KIND_ID, false, 0, 0, NULL }
#define ID_NEEDED(key)                                                                             \
    { key, DIVVY_AGENT_KIND_ID, true, 0, 0, NULL }
#define NUMBER(key, lo, hi)                                                                        \
    { key, DIVVY_AGENT_KIND_INTEGER, false, lo, hi, NULL }
#define FLAG(key)                                                                                  \
    { key, DIVVY_AGENT_KIND_BOOLEAN, false, 0, 0, NULL }
#define TEXTS(key)                                                                                 \
    { key, DIVVY_AGENT_KIND_TEXTS, false, 0, 0, NULL }
#define TEXTS_NEEDED(key)                                                                          \
    { key, DIVVY_AGENT_KIND_TEXTS, true, 0, 0, NULL }
#define PART(key, of)                                                                              \
    { key, DIVVY_AGENT_KIND_OBJECT, false, 0, 0, &(of) }
#define LIST(key, of)                                                                              \
    { key, DIVVY_AGENT_KIND_OBJECTS, false, 0, 0, &(of) }
#define LIST_NEEDED(key, of)                                                                       \
    { key, DIVVY_AGENT_KIND_OBJECTS, true, 0, 0, &(of) }
#define END                                                                                        \
    { NULL, DIVVY_AGENT_KIND_TEXT, false, 0, 0, NULL }

#define FIELDS(name) static const struct divvy_agent_field name[]

FIELDS(license_fields) = {TEXT("plain"), TEXT("encrypted"), END};
static const struct divvy_agent_shape license = {"license", license_fields};

FIELDS(registered_fields) = {ID_NEEDED("agent_id"), TEXT_NEEDED("agent_secret"),
                             PART("license", license), END};
const struct divvy_agent_shape divvy_agent_shape_registered = {"answer to register",
                                                               registered_fields};

/* The port may be missing: then the agent chooses one. 0 says the same. */
FIELDS(wanted_fields) = {ID_NEEDED("worker_id"),
                         TEXTS_NEEDED("gpu_ids"),
                         NUMBER("vram_mb", 0, INT64_C(1) << 40),
                         NUMBER("compute_percent", 0, 100),
                         TEXT("isolation_mode"),
                         NUMBER("listen_port", 0, 65535),
                         FLAG("enabled"),
                         TEXTS("share_codes"),
                         END};
static const struct divvy_agent_shape wanted = {"worker", wanted_fields};

FIELDS(config_fields) = {NUMBER("config_version", 0, INT64_MAX), LIST_NEEDED("workers", wanted),
                         PART("license", license), END};
const struct divvy_agent_shape divvy_agent_shape_config = {"configuration", config_fields};

FIELDS(status_fields) = {FLAG("success"),
                         NUMBER("config_version", 0, INT64_MAX),
                         {"worker_share_codes", DIVVY_AGENT_KIND_MAP, false, 0, 0, NULL},
                         END};
const struct divvy_agent_shape divvy_agent_shape_status = {"answer to status", status_fields};

FIELDS(gpu_fields) = {TEXT_NEEDED("gpu_id"),
                      NUMBER("gpu_index", 0, 4095),
                      TEXT("vendor"),
                      TEXT("model"),
                      NUMBER("vram_mb", 0, INT64_C(1) << 40),
                      TEXT("driver_version"),
                      TEXT("cuda_version"),
                      TEXT("used_by_worker"),
                      END};
static const struct divvy_agent_shape gpu = {"gpu", gpu_fields};

FIELDS(connection_fields) = {TEXT("client_ip"), NUMBER("client_port", 0, 65535),
                             NUMBER("client_pid", 0, INT32_MAX), TEXT("connected_at"), END};
static const struct divvy_agent_shape connection = {"connection", connection_fields};

FIELDS(worker_fields) = {TEXT_NEEDED("worker_id"),
                         TEXT("agent_id"),
                         TEXT("agent_hostname"),
                         TEXT("name"),
                         TEXTS_NEEDED("gpu_ids"),
                         LIST("gpus", gpu),
                         NUMBER("listen_port", 0, 65535),
                         FLAG("enabled"),
                         FLAG("is_default"),
                         TEXT("status"),
                         NUMBER("pid", 0, INT32_MAX),
                         NUMBER("restarts", 0, INT64_MAX),
                         LIST("connections", connection),
                         TEXT("started_at"),
                         TEXT("created_at"),
                         END};
const struct divvy_agent_shape divvy_agent_shape_worker = {"worker", worker_fields};

FIELDS(workers_fields) = {LIST_NEEDED("workers", divvy_agent_shape_worker), END};
const struct divvy_agent_shape divvy_agent_shape_workers = {"list of workers", workers_fields};

FIELDS(agent_fields) = {TEXT_NEEDED("agent_id"),
                        TEXT("hostname"),
                        TEXT("status"),
                        TEXT("os"),
                        TEXT("arch"),
                        TEXTS("network_ips"),
                        LIST("gpus", gpu),
                        LIST("workers", divvy_agent_shape_worker),
                        NUMBER("gpu_count", 0, INT32_MAX),
                        TEXT("gpu_summary"),
                        TEXT("last_seen_at"),
                        TEXT("created_at"),
                        END};
const struct divvy_agent_shape divvy_agent_shape_agent = {"agent", agent_fields};

FIELDS(agents_fields) = {LIST_NEEDED("agents", divvy_agent_shape_agent), END};
const struct divvy_agent_shape divvy_agent_shape_agents = {"list of agents", agents_fields};

FIELDS(share_fields) = {TEXT_NEEDED("share_id"),
                        TEXT("short_code"),
                        TEXT("short_link"),
                        TEXT("worker_id"),
                        TEXT("hardware_vendor"),
                        TEXT("connection_url"),
                        TEXT("expires_at"),
                        NUMBER("max_uses", 0, INT64_MAX),
                        NUMBER("used_count", 0, INT64_MAX),
                        TEXT("created_at"),
                        END};
const struct divvy_agent_shape divvy_agent_shape_share = {"share", share_fields};

FIELDS(shares_fields) = {LIST_NEEDED("shares", divvy_agent_shape_share), END};
const struct divvy_agent_shape divvy_agent_shape_shares = {"list of shares", shares_fields};

FIELDS(public_fields) = {TEXT_NEEDED("worker_id"), TEXT("hardware_vendor"),
                         TEXT_NEEDED("connection_url"), TEXT("agent_arch"), END};
const struct divvy_agent_shape divvy_agent_shape_public = {"share", public_fields};

FIELDS(push_fields) = {{"config_version", DIVVY_AGENT_KIND_INTEGER, true, 0, INT64_MAX, NULL}, END};
const struct divvy_agent_shape divvy_agent_shape_push = {"pushed message", push_fields};

FIELDS(empty_fields) = {END};
const struct divvy_agent_shape divvy_agent_shape_empty = {"answer", empty_fields};

FIELDS(registration_fields) = {NUMBER("config_version", 0, INT64_MAX),
                               ID_NEEDED("agent_id"),
                               TEXT_NEEDED("agent_secret"),
                               TEXT("server_url"),
                               PART("license", license),
                               END};
const struct divvy_agent_shape divvy_agent_shape_registration = {"registration",
                                                                 registration_fields};

FIELDS(token_fields) = {TEXT_NEEDED("token"), TEXT("created_at"), TEXT("expires_at"), END};
const struct divvy_agent_shape divvy_agent_shape_token = {"token", token_fields};
