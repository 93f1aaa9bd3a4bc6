/*
 * A platform for tests of ggo: platform PORT-FILE. Listens on 127.0.0.1, writes its port to the file, and speaks the API of the real one: agents,
 * workers, shares, status, and the push channel as a WebSocket. Knows two credentials: tmp_good registers, user_good is the user's.
 *
 * Steered by POST /test/NAME, each with a JSON object:
 *   fault   {"path": part of a path, "kind": "401" | "500" | ... | "slow" | "cut" | "empty" | "garbage" | "shape" | "huge", "count": N}
 *   workers {"agent_id": s, "workers": [...], "silent": b}   what the machine shall run; pushed unless silent
 *   push    {"text": s}         a message to everybody on a channel
 *   channel {"enabled": b}      off: channels are closed and refused
 *   forget  {"agent_id": s}     the registration is gone
 * GET /test/state tells all: agents, what they said last, how many requests each path got, and open channels.
 */
#include <jansson.h>
#include <microhttpd.h>
#include <openssl/evp.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHANNELS_MAX = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static json_t *agents, *workers, *shares, *counts, *faults;
static int last_id;
static bool channels_enabled = true;
static struct channel {
    int fd;
    char agent[128];
    unsigned int pings;
} channels[CHANNELS_MAX];
static unsigned int channels_seen, pings_seen;

struct request {
    char *body;
    size_t length;
};

/* ---- answers ---- */

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned int status,
                                   const char *text) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result;

    (void)MHD_add_response_header(response, "Content-Type", "application/json");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Takes the value over. */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status,
                              json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT);
    enum MHD_Result result = answer_text(connection, status, text ? text : "null");

    free(text);
    json_decref(value);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned int status,
                              const char *why) {
    return answer(connection, status, json_pack("{s:s}", "error", why));
}

static ssize_t cut_read(void *data, uint64_t position, char *buffer, size_t size) {
    (void)data;
    if (position > 0 || size < 8)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    memcpy(buffer, "{\"agents", 8);
    return 8;
}

static enum MHD_Result answer_cut(struct MHD_Connection *connection) {
    struct MHD_Response *response =
        MHD_create_response_from_callback(4096, 64, cut_read, NULL, NULL);
    enum MHD_Result result = MHD_queue_response(connection, 200, response);

    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_huge(struct MHD_Connection *connection) {
    size_t length = (size_t)40 << 20;
    char *bytes = malloc(length);
    struct MHD_Response *response;
    enum MHD_Result result;

    memset(bytes, ' ', length);
    response = MHD_create_response_from_buffer(length, bytes, MHD_RESPMEM_MUST_FREE);
    result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* Whether a fault is due for this path; does it. */
static bool fault_do(struct MHD_Connection *connection, const char *path,
                     enum MHD_Result *ret_result) {
    char kind[32] = "";
    json_t *fault;
    size_t index;
    static const struct {
        const char *kind, *text;
    } texts[] = {
        {"empty", ""},
        {"garbage", "{\"agent_id\": \x01"},
        {"shape", "{\"agent_id\": 7, \"config_version\": \"x\", \"workers\": 3, \"agents\": {}}"},
        {"list", "[]"}};

    (void)pthread_mutex_lock(&lock);
    json_array_foreach(faults, index, fault) {
        json_int_t count = json_integer_value(json_object_get(fault, "count"));

        if (count > 0 && strstr(path, json_string_value(json_object_get(fault, "path")))) {
            (void)json_object_set_new(fault, "count", json_integer(count - 1));
            (void)snprintf(kind, sizeof kind, "%s",
                           json_string_value(json_object_get(fault, "kind")));
            break;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    if (!kind[0])
        return false;
    if (strcmp(kind, "slow") == 0) {
        (void)sleep(2);
        return false;
    }
    if (strcmp(kind, "cut") == 0) {
        *ret_result = answer_cut(connection);
        return true;
    }
    if (strcmp(kind, "huge") == 0) {
        *ret_result = answer_huge(connection);
        return true;
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(kind, texts[i].kind) == 0) {
            *ret_result = answer_text(connection, 200, texts[i].text);
            return true;
        }
    *ret_result =
        refuse(connection, (unsigned int)strtoul(kind, NULL, 10), "this test wants it so");
    return true;
}

/* ---- push channel ---- */

static void frame_write(int fd, unsigned char opcode, const char *bytes, size_t length) {
    unsigned char frame[4 + 4096] = {(unsigned char)(0x80 | opcode)};
    size_t head = 2;

    if (length > 4096)
        length = 4096;
    if (length < 126) {
        frame[1] = (unsigned char)length;
    } else {
        frame[1] = 126;
        frame[2] = (unsigned char)(length >> 8);
        frame[3] = (unsigned char)length;
        head = 4;
    }
    memcpy(frame + head, bytes, length);
    (void)send(fd, frame, head + length, MSG_NOSIGNAL);
}

/* The lock is held. `agent` NULL: everybody. */
static void push(const char *agent, const char *text) {
    for (int i = 0; i < CHANNELS_MAX; i++)
        if (channels[i].fd > 0 && (!agent || strcmp(channels[i].agent, agent) == 0))
            frame_write(channels[i].fd, 1, text, strlen(text));
}

struct upgrade {
    char agent[128];
};

struct reader {
    struct MHD_UpgradeResponseHandle *handle;
    int fd, slot;
};

static bool exactly(int fd, unsigned char *bytes, size_t length) {
    for (size_t got = 0; got < length;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ssize_t more;

        if (poll(&wait, 1, -1) < 0)
            return false;
        more = recv(fd, bytes + got, length - got, 0);
        if (more < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (more <= 0)
            return false;
        got += (size_t)more;
    }
    return true;
}

/* Frames of the client: they must be masked; a ping is answered, a close ends it. */
static void *reader_run(void *data) {
    struct reader reader = *(struct reader *)data;
    unsigned char head[6], payload[128];

    free(data);
    while (exactly(reader.fd, head, 6)) {
        size_t length = head[1] & 0x7f;

        if (!(head[1] & 0x80) || length > 125 || !exactly(reader.fd, payload, length))
            break;
        for (size_t i = 0; i < length; i++)
            payload[i] ^= head[2 + i % 4];
        if ((head[0] & 0x0f) == 8)
            break;
        if ((head[0] & 0x0f) == 9) {
            (void)pthread_mutex_lock(&lock);
            pings_seen++;
            frame_write(reader.fd, 10, (const char *)payload, length);
            (void)pthread_mutex_unlock(&lock);
        }
    }
    (void)pthread_mutex_lock(&lock);
    channels[reader.slot].fd = 0;
    (void)pthread_mutex_unlock(&lock);
    (void)MHD_upgrade_action(reader.handle, MHD_UPGRADE_ACTION_CLOSE);
    return NULL;
}

static void upgraded(void *data, struct MHD_Connection *connection, void *request,
                     const char *extra, size_t extra_length, MHD_socket fd,
                     struct MHD_UpgradeResponseHandle *handle) {
    struct upgrade *upgrade = data;
    struct reader *reader = calloc(1, sizeof *reader);
    pthread_t thread;
    int slot = 0;

    (void)connection;
    (void)request;
    (void)extra;
    (void)extra_length;
    (void)pthread_mutex_lock(&lock);
    while (slot < CHANNELS_MAX && channels[slot].fd > 0)
        slot++;
    if (slot < CHANNELS_MAX) {
        channels[slot].fd = fd;
        (void)snprintf(channels[slot].agent, sizeof channels[slot].agent, "%s", upgrade->agent);
        channels_seen++;
    }
    (void)pthread_mutex_unlock(&lock);
    free(upgrade);
    *reader = (struct reader){.handle = handle, .fd = fd, .slot = slot};
    if (slot == CHANNELS_MAX || pthread_create(&thread, NULL, reader_run, reader) != 0) {
        free(reader);
        (void)MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
        return;
    }
    (void)pthread_detach(thread);
}

static enum MHD_Result channel_open(struct MHD_Connection *connection, const char *agent) {
    const char *key = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Sec-WebSocket-Key");
    struct upgrade *upgrade;
    struct MHD_Response *response;
    unsigned char digest[EVP_MAX_MD_SIZE], accept[64];
    unsigned int length = 0;
    char both[128];
    enum MHD_Result result;

    if (!key)
        return refuse(connection, 400, "no key");
    (void)snprintf(both, sizeof both, "%.40s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    (void)EVP_Digest(both, strlen(both), digest, &length, EVP_sha1(), NULL);
    (void)EVP_EncodeBlock(accept, digest, (int)length);
    upgrade = calloc(1, sizeof *upgrade);
    (void)snprintf(upgrade->agent, sizeof upgrade->agent, "%s", agent);
    response = MHD_create_response_for_upgrade(upgraded, upgrade);
    (void)MHD_add_response_header(response, "Upgrade", "websocket");
    (void)MHD_add_response_header(response, "Sec-WebSocket-Accept", (const char *)accept);
    result = MHD_queue_response(connection, 101, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- the API; the lock is held ---- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static json_t *found_in(json_t *list, const char *key, const char *id) {
    json_t *each;
    size_t index;

    json_array_foreach(list, index, each) if (strcmp(text_of(each, key), id) == 0) return each;
    return NULL;
}

static void removed_from(json_t *list, const json_t *which) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_array_get(list, i) == which) {
            (void)json_array_remove(list, i);
            return;
        }
}

static json_t *without(const json_t *object, const char *const *keys) {
    json_t *copy = json_deep_copy(object);

    for (; *keys; keys++)
        (void)json_object_del(copy, *keys);
    return copy;
}

static json_t *agent_public(const json_t *agent) {
    static const char *const hidden[] = {"agent_secret", "config", "last_status", "last_metrics",
                                         NULL};

    return without(agent, hidden);
}

static enum MHD_Result agent_register(struct MHD_Connection *connection, const char *credential,
                                      const json_t *body) {
    char id[32], secret[32];
    json_t *agent;

    if (strcmp(credential, "tmp_good") != 0 || strcmp(text_of(body, "token"), "tmp_good") != 0)
        return refuse(connection, 401, "unknown token tmp_bad");
    if (!json_is_array(json_object_get(body, "gpus")) || !text_of(body, "hostname")[0] ||
        strcmp(text_of(body, "os"), "linux") != 0)
        return refuse(connection, 422, "hostname, os or gpus are missing");
    last_id++;
    (void)snprintf(id, sizeof id, "agent_%d", last_id);
    (void)snprintf(secret, sizeof secret, "secret_%d", last_id);
    agent = json_pack("{s:s, s:s, s:s, s:s, s:O, s:O, s:s, s:{s:i, s:[], s:{}}}", "agent_id", id,
                      "agent_secret", secret, "hostname", text_of(body, "hostname"), "status",
                      "online", "gpus", json_object_get(body, "gpus"), "network_ips",
                      json_object_get(body, "network_ips"), "created_at", "2026-01-05T10:00:00Z",
                      "config", "config_version", 1, "workers", "license");
    if (!agent)
        return refuse(connection, 422, "the body makes no sense");
    (void)json_array_append_new(agents, agent);
    return answer(connection, 201,
                  json_pack("{s:s, s:s, s:{s:s, s:s}}", "agent_id", id, "agent_secret", secret,
                            "license", "plain", "", "encrypted", ""));
}

static enum MHD_Result agent_serve(struct MHD_Connection *connection, const char *method,
                                   const char *credential, const char *rest, const json_t *body) {
    char id[128] = "";
    const char *slash = strchr(rest, '/'), *tail = slash ? slash : "";
    json_t *agent;
    bool is_user = strcmp(credential, "user_good") == 0, is_agent;

    (void)snprintf(id, sizeof id, "%.*s", slash ? (int)(slash - rest) : (int)strlen(rest), rest);
    agent = found_in(agents, "agent_id", id);
    is_agent = agent && strcmp(credential, text_of(agent, "agent_secret")) == 0;
    if (!is_user && !is_agent)
        return refuse(connection, 401, "bad credential");
    if (!agent)
        return refuse(connection, 404, "no such agent");
    if (strcmp(tail, "/config") == 0 && strcmp(method, "GET") == 0 && is_agent)
        return answer(connection, 200, json_incref(json_object_get(agent, "config")));
    if (strcmp(tail, "/status") == 0 && strcmp(method, "POST") == 0 && is_agent) {
        (void)json_object_set(agent, "last_status", (json_t *)body);
        return answer(
            connection, 200,
            json_pack("{s:b, s:O}", "success", 1, "config_version",
                      json_object_get(json_object_get(agent, "config"), "config_version")));
    }
    if (strcmp(tail, "/metrics") == 0 && strcmp(method, "POST") == 0 && is_agent) {
        (void)json_object_set(agent, "last_metrics", (json_t *)body);
        return answer_text(connection, 200, "{}");
    }
    if (!tail[0] && strcmp(method, "GET") == 0)
        return answer(connection, 200, agent_public(agent));
    if (!tail[0] && strcmp(method, "DELETE") == 0) {
        removed_from(agents, agent);
        return answer_text(connection, 204, "");
    }
    return refuse(connection, 405, "not that way");
}

static enum MHD_Result agents_list(struct MHD_Connection *connection) {
    json_t *list = json_array(), *agent;
    size_t index;

    json_array_foreach(agents, index, agent)(void) json_array_append_new(list, agent_public(agent));
    return answer(connection, 200, json_pack("{s:o}", "agents", list));
}

/* Workers that were made by the API become part of their machine's configuration. */
static void config_follow(const char *agent_id) {
    json_t *agent = found_in(agents, "agent_id", agent_id),
           *config = json_object_get(agent, "config"), *list = json_array(), *worker;
    json_int_t version = json_integer_value(json_object_get(config, "config_version")) + 1;
    size_t index;
    char text[64];

    json_array_foreach(workers, index,
                       worker) if (strcmp(text_of(worker, "agent_id"), agent_id) == 0)(void)
        json_array_append_new(list, json_pack("{s:s, s:O, s:O, s:O}", "worker_id",
                                              text_of(worker, "worker_id"), "gpu_ids",
                                              json_object_get(worker, "gpu_ids"), "listen_port",
                                              json_object_get(worker, "listen_port"), "enabled",
                                              json_object_get(worker, "enabled")));
    if (!config) {
        json_decref(list);
        return;
    }
    (void)json_object_set_new(config, "workers", list);
    (void)json_object_set_new(config, "config_version", json_integer(version));
    (void)snprintf(text, sizeof text, "{\"config_version\": %lld}", (long long)version);
    push(agent_id, text);
}

static enum MHD_Result workers_serve(struct MHD_Connection *connection, const char *method,
                                     const char *id, const json_t *body) {
    json_t *worker = id ? found_in(workers, "worker_id", id) : NULL, *list;
    const char *of = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "agent_id");
    char name[32];
    size_t index;

    if (id && !worker)
        return refuse(connection, 404, "no such worker");
    if (!id && strcmp(method, "POST") == 0) {
        if (!found_in(agents, "agent_id", text_of(body, "agent_id")))
            return refuse(connection, 404, "no such agent");
        (void)snprintf(name, sizeof name, "wk_%d", ++last_id);
        worker = json_pack("{s:s, s:s}", "worker_id", name, "status", "pending");
        (void)json_object_update(worker, (json_t *)body);
        (void)json_array_append(workers, worker);
        config_follow(text_of(body, "agent_id"));
        return answer(connection, 201, worker);
    }
    if (!id) {
        list = json_array();
        json_array_foreach(workers, index,
                           worker) if (!of || strcmp(of, text_of(worker, "agent_id")) == 0)(void)
            json_array_append(list, worker);
        return answer(connection, 200, json_pack("{s:o}", "workers", list));
    }
    if (strcmp(method, "PATCH") == 0) {
        (void)json_object_update(worker, (json_t *)body);
        config_follow(text_of(worker, "agent_id"));
    } else if (strcmp(method, "DELETE") == 0) {
        char agent[128];

        (void)snprintf(agent, sizeof agent, "%s", text_of(worker, "agent_id"));
        removed_from(workers, worker);
        config_follow(agent);
        return answer_text(connection, 204, "");
    }
    return answer(connection, 200, json_incref(worker));
}

static enum MHD_Result shares_serve(struct MHD_Connection *connection, const char *method,
                                    const char *id, const json_t *body) {
    json_t *share = id ? found_in(shares, "share_id", id) : NULL;
    char name[32], code[32], link[96], url[128];

    if (id && !share)
        return refuse(connection, 404, "no such share");
    if (strcmp(method, "DELETE") == 0 && share) {
        removed_from(shares, share);
        return answer_text(connection, 200, "{}");
    }
    if (strcmp(method, "GET") == 0)
        return answer(connection, 200, json_pack("{s:O}", "shares", shares));
    if (!found_in(workers, "worker_id", text_of(body, "worker_id")))
        return refuse(connection, 404, "no such worker");
    last_id++;
    (void)snprintf(name, sizeof name, "sh_%d", last_id);
    (void)snprintf(code, sizeof code, "code%d", last_id);
    (void)snprintf(link, sizeof link, "https://gpu.tf/s/%s", code);
    (void)snprintf(url, sizeof url, "native+%.40s+9001+%.40s-1", text_of(body, "connection_ip"),
                   text_of(body, "worker_id"));
    share = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "share_id", name, "short_code", code,
                      "short_link", link, "hardware_vendor", "nvidia", "connection_url", url,
                      "used_count", 0);
    (void)json_object_update(share, (json_t *)body);
    (void)json_array_append(shares, share);
    return answer(connection, 201, share);
}

static enum MHD_Result share_public(struct MHD_Connection *connection, const char *code) {
    json_t *share = found_in(shares, "short_code", code);

    if (!share)
        return refuse(connection, 404, "no such share");
    return answer(connection, 200,
                  json_pack("{s:s, s:s, s:s}", "worker_id", text_of(share, "worker_id"),
                            "hardware_vendor", "nvidia", "connection_url",
                            text_of(share, "connection_url")));
}

/* ---- steering ---- */

static enum MHD_Result workers_steer(struct MHD_Connection *connection, const json_t *body) {
    json_t *agent = found_in(agents, "agent_id", text_of(body, "agent_id")),
           *config = json_object_get(agent, "config");
    json_int_t version = json_integer_value(json_object_get(config, "config_version")) + 1;
    char text[64];

    if (!config)
        return refuse(connection, 404, "no such agent");
    (void)json_object_set(config, "workers", json_object_get(body, "workers"));
    (void)json_object_set_new(config, "config_version", json_integer(version));
    (void)snprintf(text, sizeof text, "{\"config_version\": %lld}", (long long)version);
    if (!json_is_true(json_object_get(body, "silent")))
        push(text_of(body, "agent_id"), text);
    return answer_text(connection, 200, "{}");
}

static enum MHD_Result state_tell(struct MHD_Connection *connection) {
    unsigned int open = 0;

    for (int i = 0; i < CHANNELS_MAX; i++)
        open += channels[i].fd > 0;
    return answer(connection, 200,
                  json_pack("{s:O, s:O, s:O, s:O, s:i, s:i, s:i}", "agents", agents, "workers",
                            workers, "shares", shares, "counts", counts, "channels", (int)open,
                            "channels_seen", (int)channels_seen, "pings", (int)pings_seen));
}

static enum MHD_Result steer(struct MHD_Connection *connection, const char *what,
                             const json_t *body) {
    if (strcmp(what, "state") == 0)
        return state_tell(connection);
    if (strcmp(what, "workers") == 0)
        return workers_steer(connection, body);
    if (strcmp(what, "fault") == 0) {
        (void)json_array_append(faults, (json_t *)body);
    } else if (strcmp(what, "push") == 0) {
        push(NULL, text_of(body, "text"));
    } else if (strcmp(what, "forget") == 0) {
        removed_from(agents, found_in(agents, "agent_id", text_of(body, "agent_id")));
    } else if (strcmp(what, "channel") == 0) {
        channels_enabled = json_is_true(json_object_get(body, "enabled"));
        for (int i = 0; i < CHANNELS_MAX && !channels_enabled; i++)
            if (channels[i].fd > 0)
                (void)shutdown(channels[i].fd, SHUT_RDWR);
    } else {
        return refuse(connection, 404, "no such lever");
    }
    return answer_text(connection, 200, "{}");
}

/* ---- requests ---- */

static enum MHD_Result route(struct MHD_Connection *connection, const char *method,
                             const char *path, const json_t *body) {
    static const char api[] = "/api/v1/";
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    const char *credential = header && strncmp(header, "Bearer ", 7) == 0 ? header + 7 : "", *rest;

    if (strncmp(path, "/test/", 6) == 0)
        return steer(connection, path + 6, body);
    if (strncmp(path, "/ws/", 4) == 0) {
        json_t *agent = found_in(agents, "agent_id", path + 4);

        if (!channels_enabled)
            return refuse(connection, 404, "no channel here");
        if (!agent || strcmp(credential, text_of(agent, "agent_secret")) != 0)
            return refuse(connection, 401, "bad credential");
        return channel_open(connection, path + 4);
    }
    if (strncmp(path, "/s/", 3) == 0)
        return share_public(connection, path + 3);
    if (strncmp(path, api, sizeof api - 1) != 0)
        return refuse(connection, 404, "no such path");
    rest = path + sizeof api - 1;
    if (strcmp(rest, "agents/register") == 0)
        return agent_register(connection, credential, body);
    if (strncmp(rest, "agents/", 7) == 0)
        return agent_serve(connection, method, credential, rest + 7, body);
    if (strcmp(credential, "user_good") != 0 && strncmp(credential, "secret_", 7) != 0)
        return refuse(connection, 401, "bad credential");
    if (strcmp(rest, "agents") == 0)
        return agents_list(connection);
    if (strcmp(rest, "workers") == 0 || strncmp(rest, "workers/", 8) == 0)
        return workers_serve(connection, method, rest[7] ? rest + 8 : NULL, body);
    if (strcmp(rest, "shares") == 0 || strncmp(rest, "shares/", 7) == 0)
        return shares_serve(connection, method, rest[6] ? rest + 7 : NULL, body);
    return refuse(connection, 404, "no such path");
}

static void count_up(const char *method, const char *path) {
    char key[256];

    (void)snprintf(key, sizeof key, "%s %s", method, path);
    (void)json_object_set_new(counts, key,
                              json_integer(json_integer_value(json_object_get(counts, key)) + 1));
}

static enum MHD_Result serve(void *data, struct MHD_Connection *connection, const char *path,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_length, void **context) {
    struct request *request = *context;
    enum MHD_Result result;
    json_t *body;

    (void)data;
    (void)version;
    if (!request) {
        *context = calloc(1, sizeof *request);
        return *context ? MHD_YES : MHD_NO;
    }
    if (*upload_length > 0) {
        request->body = realloc(request->body, request->length + *upload_length);
        memcpy(request->body + request->length, upload, *upload_length);
        request->length += *upload_length;
        *upload_length = 0;
        return MHD_YES;
    }
    if (strncmp(path, "/test/", 6) != 0) {
        (void)pthread_mutex_lock(&lock);
        count_up(method, path);
        (void)pthread_mutex_unlock(&lock);
        if (fault_do(connection, path, &result))
            return result;
    }
    body = request->length ? json_loadb(request->body, request->length, 0, NULL) : NULL;
    if (request->length && !body)
        return refuse(connection, 400, "no JSON");
    (void)pthread_mutex_lock(&lock);
    result = route(connection, method, path, body);
    (void)pthread_mutex_unlock(&lock);
    json_decref(body);
    return result;
}

static void request_done(void *data, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
    struct request *request = *context;

    (void)data;
    (void)connection;
    (void)code;
    if (request)
        free(request->body);
    free(request);
}

int main(int argc, char **argv) {
    struct MHD_Daemon *daemon;
    FILE *file;
    sigset_t ends;
    int signal;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: platform PORT-FILE\n");
        return 2;
    }
    agents = json_array();
    workers = json_array();
    shares = json_array();
    faults = json_array();
    counts = json_object();
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
    daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_UPGRADE, 0,
        NULL, NULL, serve, NULL, MHD_OPTION_SOCK_ADDR,
        &(struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        MHD_OPTION_NOTIFY_COMPLETED, request_done, NULL, MHD_OPTION_END);
    file = daemon ? fopen(argv[1], "w") : NULL;
    if (!file) {
        (void)fprintf(stderr, "platform: cannot listen, or cannot write %s\n", argv[1]);
        return 1;
    }
    (void)fprintf(file, "%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    (void)fclose(file);
    (void)sigwait(&ends, &signal);
    /* Connections that were upgraded are never given back to the daemon: the process ends with them. */
    _exit(0);
}
