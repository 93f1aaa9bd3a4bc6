/* The push channel: see channel.h. */
#include "agent/channel.h"

#include "agent/shape.h"
#include "agent/websocket.h"
#include "base/log.h"
#include "core/clock.h"
#include "core/sys.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDSHAKE_NS (15 * DIVVY_NS_PER_SECOND)
#define PING_NS      (120 * DIVVY_NS_PER_SECOND)
#define HELD_NS      (30 * DIVVY_NS_PER_SECOND)
#define DELAY_NS     DIVVY_NS_PER_SECOND
#define DELAY_MAX_NS (300 * DIVVY_NS_PER_SECOND)

enum state {
    WAITING,    /* until due_ns */
    CONNECTING, /* libcurl does it */
    SHAKING,    /* hands, until due_ns */
    OPEN,       /* pinged at due_ns */
};

struct divvy_agent_channel {
    CURLM *multi;
    const struct divvy_agent_platform *platform;
    char *path, *host;
    struct divvy_agent_channel_events events;
    enum state state;
    CURL *curl; /* in `multi` unless WAITING */
    struct divvy_agent_ws *ws;
    int fd;
    uint64_t due_ns, delay_ns, opened_ns;
    struct divvy_error last; /* the last reason that was told */
};

static void drop(struct divvy_agent_channel *channel) {
    divvy_agent_ws_free(channel->ws);
    channel->ws = NULL;
    channel->fd = -1;
    if (channel->curl) {
        (void)curl_multi_remove_handle(channel->multi, channel->curl);
        curl_easy_cleanup(channel->curl);
        channel->curl = NULL;
    }
}

/* A delay with chance in it, so that not all machines come back at the same moment. */
static uint64_t with_chance(uint64_t delay_ns) {
    uint32_t random = 0;

    (void)divvy_core_sys_getrandom(&random, sizeof random);
    return delay_ns - delay_ns / 8 + delay_ns / 4 * random / UINT32_MAX;
}

/* It is over; told once for each reason. */
static void lose(struct divvy_agent_channel *channel, const struct divvy_error *error) {
    uint64_t now = divvy_core_clock_ns();

    if (strcmp(channel->last.text, error->text) != 0)
        divvy_log_info("%s; asking now and then instead", error->text);
    channel->last = *error;
    if (channel->state == OPEN && now - channel->opened_ns >= HELD_NS)
        channel->delay_ns = DELAY_NS;
    drop(channel);
    channel->state = WAITING;
    channel->due_ns = now + with_chance(channel->delay_ns);
    channel->delay_ns = channel->delay_ns * 2 < DELAY_MAX_NS ? channel->delay_ns * 2 : DELAY_MAX_NS;
}

static void message_take(void *data, const char *bytes, size_t length) {
    struct divvy_agent_channel *channel = data;
    json_t *value = json_loadb(bytes, length, JSON_DECODE_ANY, NULL), *taken = NULL;
    struct divvy_error error = {0};

    /* What cannot be read is told of and does not end the channel. */
    if (!value || divvy_agent_shape_take(&divvy_agent_shape_push, value, &taken, &error) < 0)
        divvy_log_warn("the push channel sent what makes no sense (%s)",
                       value ? error.text : "no JSON");
    else
        channel->events.pushed(channel->events.data,
                               json_integer_value(json_object_get(taken, "config_version")));
    json_decref(taken);
    json_decref(value);
}

/* ---- connecting ---- */

static void connect_begin(struct divvy_agent_channel *channel) {
    CURL *curl = curl_easy_init();
    CURLcode code = CURLE_OK;
    struct divvy_error error;

    channel->curl = curl;
    if (curl) {
        code |= curl_easy_setopt(curl, CURLOPT_URL, channel->platform->server);
        code |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        code |= curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
        code |= curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        /* Through a proxy as a tunnel: it shall not read along what looks like HTTP. */
        code |= curl_easy_setopt(curl, CURLOPT_HTTPPROXYTUNNEL, 1L);
        code |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        code |= curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
        code |= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                                 (long)(HANDSHAKE_NS / DIVVY_NS_PER_MS));
        /* Libcurl reuses a connection of this kind for nothing else. */
        code |= curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    }
    channel->state = CONNECTING;
    if (!curl || code != CURLE_OK || curl_multi_add_handle(channel->multi, curl) != CURLM_OK) {
        (void)divvy_error_set_errno(&error, -ENOMEM, "the push channel");
        lose(channel, &error);
    }
}

bool divvy_agent_channel_done(struct divvy_agent_channel *channel, CURL *curl, CURLcode code) {
    uint8_t key[DIVVY_AGENT_WS_KEY_BYTES];
    curl_socket_t fd = CURL_SOCKET_BAD;
    struct divvy_error error;

    if (!channel || !channel->curl || curl != channel->curl)
        return false;
    if (channel->state != CONNECTING)
        return true;
    if (code != CURLE_OK || curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD) {
        (void)divvy_error_set(&error, -ENOTCONN, "the push channel cannot be opened (%s)",
                              curl_easy_strerror(code));
        lose(channel, &error);
        return true;
    }
    if (divvy_core_sys_getrandom(key, sizeof key) == 0)
        channel->ws = divvy_agent_ws_new(channel->host, channel->path, channel->platform->credential,
                                         key, message_take, channel);
    channel->fd = fd;
    channel->state = SHAKING;
    channel->due_ns = divvy_core_clock_ns() + HANDSHAKE_NS;
    if (!channel->ws) {
        (void)divvy_error_set_errno(&error, -ENOMEM, "the push channel");
        lose(channel, &error);
    }
    return true;
}

/* ---- bytes ---- */

/* 0, or why the connection is over. */
static int bytes_send(struct divvy_agent_channel *channel, struct divvy_error *error) {
    for (;;) {
        size_t length, sent = 0;
        const char *bytes = divvy_agent_ws_output(channel->ws, &length);
        CURLcode code;

        if (length == 0)
            return 0;
        code = curl_easy_send(channel->curl, bytes, length, &sent);
        divvy_agent_ws_sent(channel->ws, sent);
        if (code == CURLE_AGAIN)
            return 0;
        if (code != CURLE_OK)
            return divvy_error_set(error, -EPIPE, "the push channel broke (%s)",
                                   curl_easy_strerror(code));
    }
}

static int bytes_take(struct divvy_agent_channel *channel, struct divvy_error *error) {
    for (;;) {
        char bytes[4096];
        size_t length = 0;
        CURLcode code = curl_easy_recv(channel->curl, bytes, sizeof bytes, &length);
        int status;

        if (code == CURLE_AGAIN)
            return 0;
        if (code != CURLE_OK || length == 0)
            return divvy_error_set(error, -EPIPE, "the push channel was cut (%s)",
                                   code == CURLE_OK ? "the platform hung up"
                                                    : curl_easy_strerror(code));
        status = divvy_agent_ws_feed(channel->ws, bytes, length, error);
        if (status < 0) {
            struct divvy_error none;

            (void)bytes_send(channel, &none);
            return status;
        }
    }
}

static void open_note(struct divvy_agent_channel *channel) {
    if (channel->state != SHAKING || !divvy_agent_ws_is_open(channel->ws))
        return;
    channel->state = OPEN;
    channel->opened_ns = divvy_core_clock_ns();
    channel->due_ns = channel->opened_ns + PING_NS;
    channel->last.text[0] = '\0';
    divvy_log_info("the push channel is open");
    channel->events.opened(channel->events.data);
}

/* ---- what is due ---- */

static void due_do(struct divvy_agent_channel *channel) {
    struct divvy_error error;

    switch (channel->state) {
    case WAITING:
        connect_begin(channel);
        break;
    case CONNECTING:
        break;
    case SHAKING:
        (void)divvy_error_set(&error, -ETIMEDOUT, "the push channel does not answer");
        lose(channel, &error);
        break;
    case OPEN:
        if (divvy_agent_ws_ping(channel->ws) < 0) {
            (void)divvy_error_set(&error, -ETIMEDOUT, "the push channel gives no sign of life");
            lose(channel, &error);
        } else {
            channel->due_ns = divvy_core_clock_ns() + PING_NS;
        }
        break;
    }
}

uint64_t divvy_agent_channel_turn(struct divvy_agent_channel *channel) {
    struct divvy_error error = {0};

    if (channel->state >= SHAKING) {
        int status = bytes_take(channel, &error);

        open_note(channel);
        if (status == 0)
            status = bytes_send(channel, &error);
        if (status < 0)
            lose(channel, &error);
    }
    if (channel->state != CONNECTING && divvy_core_clock_ns() >= channel->due_ns)
        due_do(channel);
    if (channel->state == OPEN && bytes_send(channel, &error) < 0)
        lose(channel, &error);
    return channel->state == CONNECTING ? UINT64_MAX : channel->due_ns;
}

bool divvy_agent_channel_is_open(const struct divvy_agent_channel *channel) {
    return channel && channel->state == OPEN;
}

int divvy_agent_channel_fd(const struct divvy_agent_channel *channel, short *ret_events) {
    size_t length = 0;

    if (!channel || channel->state < SHAKING)
        return -1;
    (void)divvy_agent_ws_output(channel->ws, &length);
    *ret_events = length > 0 ? POLLIN | POLLOUT : POLLIN;
    return channel->fd;
}

/* ---- life ---- */

/* Host header and path of the channel, from the server's URL. */
static int place_find(struct divvy_agent_channel *channel, const char *agent_id) {
    CURLU *parts = curl_url();
    char *host = NULL, *port = NULL, *path = NULL;
    int status = -ENOMEM;

    if (parts && curl_url_set(parts, CURLUPART_URL, channel->platform->server, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PATH, &path, 0) == CURLUE_OK) {
        size_t length = strlen(path);

        while (length > 0 && path[length - 1] == '/')
            length--;
        (void)curl_url_get(parts, CURLUPART_PORT, &port, 0);
        status = asprintf(&channel->host, "%s%s%s", host, port ? ":" : "", port ? port : "") < 0
                     ? -ENOMEM
                     : 0;
        if (status == 0 && asprintf(&channel->path, "%.*s/ws/%s", (int)length, path, agent_id) < 0)
            status = -ENOMEM;
    }
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_url_cleanup(parts);
    return status;
}

struct divvy_agent_channel *divvy_agent_channel_new(
    CURLM *multi, const struct divvy_agent_platform *platform, const char *agent_id,
    const struct divvy_agent_channel_events *events) {
    struct divvy_agent_channel *channel = calloc(1, sizeof *channel);

    if (!channel)
        return NULL;
    channel->multi = multi;
    channel->platform = platform;
    channel->events = *events;
    channel->fd = -1;
    channel->delay_ns = DELAY_NS;
    if (place_find(channel, agent_id) < 0) {
        divvy_agent_channel_free(channel);
        return NULL;
    }
    return channel;
}

void divvy_agent_channel_free(struct divvy_agent_channel *channel) {
    if (!channel)
        return;
    drop(channel);
    free(channel->host);
    free(channel->path);
    free(channel);
}
