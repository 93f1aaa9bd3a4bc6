/* The client's end of the channel: see client.h. */
#include "wire/channel/client.h"

#include "core/hash.h"
#include "core/parse.h"
#include "core/sys.h"
#include "core/text.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool is_stopping(const struct divvy_wire_client *client) {
    return __atomic_load_n(&client->is_stopping, __ATOMIC_ACQUIRE) != 0;
}

static bool path_is_valid(const char *path) {
    size_t length = strlen(path);

    if (length == 0 || length > 512 || path[0] != '/')
        return false;
    for (size_t at = 0; at < length; at++)
        if (path[at] <= ' ' || path[at] > '~')
            return false;
    return true;
}

static bool id_is_valid(const char *id) {
    size_t length = strlen(id);

    return length > 0 && length < DIVVY_CHANNEL_CLIENT_ID_BYTES &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

static void or_default(uint64_t *value, uint64_t otherwise) {
    if (*value == 0)
        *value = otherwise;
}

static int event_open(int *ret_fd) {
    int host_errno = errno, fault = 0;

    *ret_fd = (int)syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (*ret_fd < 0)
        fault = errno;
    errno = host_errno;
    return -fault;
}

static void event_raise(int fd) {
    uint64_t one = 1;

    if (fd >= 0)
        (void)divvy_core_sys_write(fd, &one, sizeof one);
}

int divvy_wire_client_init(struct divvy_wire_client *client, const struct divvy_wire_client_settings *settings) {
    if (!settings->handle || !path_is_valid(settings->base) || !id_is_valid(settings->client_id))
        return -EINVAL;
    memset(client, 0, sizeof *client);
    client->settings = *settings;
    or_default(&client->settings.request_ns, DIVVY_WIRE_CLIENT_REQUEST_NS);
    or_default(&client->settings.connect_ns, DIVVY_WIRE_CLIENT_CONNECT_NS);
    or_default(&client->settings.pause_ns, DIVVY_WIRE_CLIENT_PAUSE_NS);
    or_default(&client->settings.pause_max_ns, DIVVY_WIRE_CLIENT_PAUSE_MAX_NS);
    or_default(&client->settings.healthy_ns, DIVVY_WIRE_CLIENT_HEALTHY_NS);
    or_default(&client->settings.silence_ns, DIVVY_WIRE_CLIENT_SILENCE_NS);
    client->pause_ns = client->settings.pause_ns;
    client->stop_fd = client->wake_fd = client->stream_fd = client->call_fd = -1;
    if (divvy_core_sys_getrandom(&client->random, sizeof client->random) < 0)
        client->random = divvy_core_clock_ns() ^ (uint64_t)divvy_core_sys_gettid();
    if (settings->can_stop) {
        int status = event_open(&client->stop_fd);

        if (status < 0)
            return status;
    }
    return settings->can_wake ? event_open(&client->wake_fd) : 0;
}

void divvy_wire_client_done(struct divvy_wire_client *client) {
    divvy_core_sys_close(&client->stop_fd);
    divvy_core_sys_close(&client->wake_fd);
}

void divvy_wire_client_forked(struct divvy_wire_client *client) {
    divvy_core_sys_close(&client->stop_fd);
    divvy_core_sys_close(&client->wake_fd);
    divvy_core_sys_close(&client->stream_fd);
    divvy_core_sys_close(&client->call_fd);
}

void divvy_wire_client_stop(struct divvy_wire_client *client) {
    __atomic_store_n(&client->is_stopping, 1, __ATOMIC_RELEASE);
    event_raise(client->stop_fd);
    event_raise(client->wake_fd);
}

void divvy_wire_client_wake(struct divvy_wire_client *client) {
    event_raise(client->wake_fd);
}

/* A deadline that never overflows. */
static uint64_t after(uint64_t duration_ns) {
    uint64_t now_ns = divvy_core_clock_ns();

    return duration_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + duration_ns;
}

/* ---- requests ---- */

/* The token as a header line, when there is one that can be sent. */
static void token_add(struct divvy_wire_client *client, divvy_core_text_t *request) {
    ssize_t length;

    if (!client->settings.token_path)
        return;
    length = divvy_core_sys_read_file(client->settings.token_path, client->token, sizeof client->token);
    while (length > 0 && (client->token[length - 1] == '\n' || client->token[length - 1] == '\r' ||
                          client->token[length - 1] == ' '))
        length--;
    for (ssize_t at = 0; at < length; at++)
        if (client->token[at] <= ' ' || client->token[at] > '~')
            return;
    if (length <= 0)
        return;
    divvy_core_text_add(request, "Authorization: Bearer ");
    divvy_core_text_add_bytes(request, client->token, (size_t)length);
    divvy_core_text_add(request, "\r\n");
    memset(client->token, 0, sizeof client->token);
}

/* A new connection in *fd, with the request on it. 0 or a negative errno. */
static int request_send(struct divvy_wire_client *client, int *fd, const char *method, const char *target, const char *accept,
                        const char *body, size_t length) {
    divvy_core_text_t request;
    int status = 0;

    if (!path_is_valid(target))
        return -EINVAL;
    divvy_core_text_init(&request, client->request, sizeof client->request);
    divvy_core_text_format(&request, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\nUser-Agent: divvy\r\nConnection: close\r\n",
                           method, target, client->settings.address.host, accept);
    token_add(client, &request);
    if (body)
        divvy_core_text_format(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n", length);
    divvy_core_text_add(&request, "\r\n");
    if (body)
        divvy_core_text_add_bytes(&request, body, length);
    if (request.is_cut)
        status = -EINVAL;
    else
        *fd = divvy_wire_socket_connect(&client->settings.address, after(client->settings.connect_ns), client->stop_fd);
    if (status == 0 && *fd < 0) {
        status = *fd;
        *fd = -1;
    }
    if (status == 0)
        status = divvy_wire_socket_send(*fd, request.bytes, request.length, after(client->settings.request_ns), client->stop_fd);
    memset(client->request, 0, request.length); /* it held the token */
    if (status < 0)
        divvy_core_sys_close(fd);
    return status;
}

static int body_take(void *context, const char *bytes, size_t length) {
    struct divvy_wire_client *client = context;
    size_t room = sizeof client->body - 1 - client->body_length;

    if (length > room) {
        length = room;
        client->body_is_cut = true;
    }
    memcpy(client->body + client->body_length, bytes, length);
    client->body_length += length;
    return 0;
}

/* Reads until the answer is whole, or cannot become so. */
static int answer_receive(struct divvy_wire_client *client, int fd, uint64_t deadline_ns) {
    struct divvy_wire_http_answer *answer = &client->call_answer;
    char bytes[1024];

    divvy_wire_http_answer_init(answer);
    while (answer->state != DIVVY_WIRE_HTTP_DONE) {
        ssize_t got = divvy_wire_socket_receive(fd, bytes, sizeof bytes, deadline_ns, client->stop_fd);
        int status;

        if (got < 0)
            return (int)got;
        status = got == 0 ? divvy_wire_http_answer_end(answer)
                          : divvy_wire_http_answer_feed(answer, bytes, (size_t)got, body_take, client);
        if (status < 0)
            return status;
        /* A body without end that trickles, or is far too large, is not waited for. */
        if (client->body_is_cut || divvy_core_clock_ns() >= deadline_ns)
            return client->body_is_cut ? 0 : -ETIMEDOUT;
    }
    return 0;
}

int divvy_wire_client_call(struct divvy_wire_client *client, const char *method, const char *target, const char *body,
                           size_t length, struct divvy_wire_client_answer *ret_answer) {
    int status;

    if (length >= DIVVY_WIRE_CLIENT_BODY_BYTES)
        return -EINVAL;
    status = request_send(client, &client->call_fd, method, target, "application/json", body, length);
    client->body_length = 0;
    client->body_is_cut = false;
    if (status == 0)
        status = answer_receive(client, client->call_fd, after(client->settings.request_ns));
    divvy_core_sys_close(&client->call_fd);
    if (status < 0)
        return status;
    client->body[client->body_length] = '\0';
    *ret_answer = (struct divvy_wire_client_answer){client->call_answer.status, client->body, client->body_length,
                                                    client->body_is_cut};
    return 0;
}

/* ---- results ---- */

/* "2026-01-31T12:00:00Z" without the C library's calendar, which reads files and locks. */
static void time_add(divvy_core_text_t *text) {
    struct timespec now;
    int64_t days, era, day_of_era, year_of_era, day_of_year, month, second;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    days = now.tv_sec / 86400 + 719468; /* from 1 March of the year 0 */
    second = now.tv_sec % 86400;
    era = days / 146097;
    day_of_era = days % 146097;
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153; /* 0 is March */
    divvy_core_text_format(text, "\"%04u-%02u-%02uT%02u:%02u:%02uZ\"", (unsigned)(year_of_era + era * 400 + (month >= 10)),
                           (unsigned)(month < 10 ? month + 3 : month - 9),
                           (unsigned)(day_of_year - (153 * month + 2) / 5 + 1), (unsigned)(second / 3600),
                           (unsigned)(second / 60 % 60), (unsigned)(second % 60));
}

/* Strings of the host's own making end within their arrays, whatever a handler did. */
static void result_format(struct divvy_wire_client *client, const char *task_id, const struct divvy_wire_client_result *result,
                          divvy_core_text_t *body) {
    size_t result_length = strnlen(result->result, sizeof result->result);
    size_t error_length = strnlen(result->error, sizeof result->error);
    divvy_wire_json_t value;

    divvy_core_text_format(body, "{\"task_id\":\"%s\",\"client_id\":\"%s\",\"success\":%s,\"result\":", task_id,
                           client->settings.client_id, result->success ? "true" : "false");
    if (divvy_wire_json_check(result->result, result_length, &value) == 0)
        divvy_core_text_add_bytes(body, value.text, value.length);
    else
        divvy_core_text_add(body, "null");
    divvy_core_text_add(body, ",\"error\":");
    if (error_length > 0)
        divvy_wire_json_add_string(body, result->error, error_length);
    else
        divvy_core_text_add(body, "null");
    divvy_core_text_add(body, ",\"timestamp\":");
    time_add(body);
    divvy_core_text_add(body, "}");
}

/* Whether another try may help. */
static bool is_worth_retrying(int status, const struct divvy_wire_client_answer *answer) {
    if (status < 0)
        return status != -ECANCELED && status != -EINVAL;
    return answer->status == 408 || answer->status == 429 || answer->status >= 500;
}

static void result_post(struct divvy_wire_client *client, const char *task_id, const struct divvy_wire_client_result *result) {
    char bytes[2 * DIVVY_WIRE_CLIENT_RESULT_BYTES + 6 * DIVVY_WIRE_CLIENT_ERROR_BYTES + 512], target[1024];
    uint64_t pause_ns = client->settings.pause_ns;
    divvy_core_text_t body, path;

    divvy_core_text_init(&body, bytes, sizeof bytes);
    result_format(client, task_id, result, &body);
    divvy_core_text_init(&path, target, sizeof target);
    divvy_core_text_format(&path, "%s/result", client->settings.base);
    for (unsigned try = 1; !is_stopping(client); try++) {
        struct divvy_wire_client_answer answer = {0};
        int status = divvy_wire_client_call(client, "POST", target, body.bytes, body.length, &answer);

        if (status == 0 && answer.status >= 200 && answer.status < 300)
            return;
        if (try == DIVVY_WIRE_CLIENT_RESULT_TRIES || !is_worth_retrying(status, &answer) ||
            divvy_wire_socket_wait(after(pause_ns), client->stop_fd) == -ECANCELED)
            break;
        pause_ns *= 2;
    }
    /* One that was on its way when we were told to stop may have arrived. */
    if (!is_stopping(client))
        client->figures.unsent++;
}

/* ---- tasks ---- */

/* Where the task's result is remembered; *ret_is_known: it is there already. */
static struct divvy_wire_client_result *done_slot(struct divvy_wire_client *client, const char *id, bool *ret_is_known) {
    uint32_t slot;

    for (uint32_t at = 0; at < DIVVY_WIRE_CLIENT_DONE && at < client->done_count; at++)
        if (strcmp(client->done[at].id, id) == 0) {
            *ret_is_known = true;
            return &client->done[at].result;
        }
    slot = client->done_count % DIVVY_WIRE_CLIENT_DONE;
    client->done_count++;
    /* The count would wrap to a ring that looks empty. */
    if (client->done_count == 0)
        client->done_count = DIVVY_WIRE_CLIENT_DONE;
    memcpy(client->done[slot].id, id, DIVVY_CHANNEL_TASK_ID_BYTES);
    memset(&client->done[slot].result, 0, sizeof client->done[slot].result);
    *ret_is_known = false;
    return &client->done[slot].result;
}

static int task_parse(const char *text, size_t length, struct divvy_wire_client_task *ret_task) {
    divvy_wire_json_t item, id;

    if (divvy_wire_json_check(text, length, &item) < 0 || divvy_wire_json_member(item, "id", &id) < 0 ||
        divvy_wire_json_member(item, "data", &ret_task->data) < 0 ||
        divvy_wire_json_string(id, ret_task->id, sizeof ret_task->id) < 0)
        return -EINVAL;
    /* It goes back in a JSON text and a log line as it is. */
    return strspn(ret_task->id, "0123456789abcdefABCDEF-") == strlen(ret_task->id) && ret_task->id[0] ? 0 : -EINVAL;
}

/* An event of the stream, or an element of a poll's answer. */
static int event_take(void *context, bool is_error, const char *data, size_t length) {
    struct divvy_wire_client *client = context;
    struct divvy_wire_client_task task;
    struct divvy_wire_client_result *result;
    bool is_known;

    if (is_error)
        return -ECONNABORTED;
    if (task_parse(data, length, &task) < 0) {
        client->figures.poison++;
        return 0;
    }
    client->pause_ns = client->settings.pause_ns;
    client->busy++;
    result = done_slot(client, task.id, &is_known);
    if (is_known) {
        client->figures.repeats++;
    } else {
        client->figures.tasks++;
        client->settings.handle(client->settings.context, &task, result);
    }
    client->tick_ns = 0; /* what the task asked for may want to be looked at more often */
    result_post(client, task.id, result);
    return is_stopping(client) ? -ECANCELED : 0;
}

/* ---- streams ---- */

static int stream_body(void *context, const char *bytes, size_t length) {
    struct divvy_wire_client *client = context;

    if (client->answer.status != 200)
        return 0;
    if (client->answer.is_event_stream)
        return divvy_wire_sse_feed(&client->sse, bytes, length);
    return client->answer.is_json ? divvy_wire_array_feed(&client->array, bytes, length) : -EPROTO;
}

/* The stream is open; or has ended, or was never open. */
static void tell(struct divvy_wire_client *client, bool is_connected) {
    if (is_connected) {
        client->figures.streams++;
        client->tick_ns = 0;
    }
    if (client->settings.connected)
        client->settings.connected(client->settings.context, is_connected);
}

/* Somebody woke the client: a tick is due. */
static void woken(struct divvy_wire_client *client) {
    uint64_t count;

    (void)divvy_core_sys_read(client->wake_fd, &count, sizeof count);
    client->tick_ns = 0;
}

/* The next bytes, with ticks meanwhile where somebody wants them. */
static ssize_t stream_wait(struct divvy_wire_client *client, uint64_t deadline_ns, bool is_open) {
    int cancel_fd = is_open && client->wake_fd >= 0 ? client->wake_fd : client->stop_fd;

    for (;;) {
        uint64_t until_ns = deadline_ns;
        ssize_t got;

        if (is_open && client->settings.tick) {
            if (divvy_core_clock_ns() >= client->tick_ns)
                client->tick_ns = after(client->settings.tick(client->settings.context));
            if (client->tick_ns < until_ns)
                until_ns = client->tick_ns;
        }
        got = divvy_wire_socket_receive(client->stream_fd, client->received, sizeof client->received, until_ns, cancel_fd);
        if (got == -ECANCELED && cancel_fd == client->wake_fd && !is_stopping(client)) {
            woken(client);
            continue;
        }
        if (got != -ETIMEDOUT || divvy_core_clock_ns() >= deadline_ns)
            return got;
    }
}

/* Reads the answer to its end. 0: it ended as it should. */
static int stream_receive(struct divvy_wire_client *client) {
    uint64_t begin_ns = divvy_core_clock_ns(), header_ns = after(client->settings.request_ns);
    bool is_open = false;
    int status = 0;

    while (status == 0 && client->answer.state != DIVVY_WIRE_HTTP_DONE && !is_stopping(client)) {
        ssize_t got = stream_wait(client, is_open ? after(client->settings.silence_ns) : header_ns, is_open);

        if (got < 0)
            status = (int)got;
        else if (got == 0)
            status = divvy_wire_http_answer_end(&client->answer);
        else
            status = divvy_wire_http_answer_feed(&client->answer, client->received, (size_t)got, stream_body, client);
        /* Headers that come a byte at a time are not waited for any longer than headers that do not come. */
        if (!is_open && status == 0 && divvy_core_clock_ns() >= header_ns)
            status = -ETIMEDOUT;
        if (!is_open && client->answer.status == 200 && client->answer.state > DIVVY_WIRE_HTTP_HEADERS) {
            is_open = true;
            tell(client, true);
        }
        if (is_open && divvy_core_clock_ns() - begin_ns >= client->settings.healthy_ns)
            client->pause_ns = client->settings.pause_ns;
    }
    return client->answer.status == 200 ? status : -EPROTO;
}

/* One stream, or one poll. True: the next one may follow without a pause. */
static bool stream_run(struct divvy_wire_client *client) {
    uint64_t begin_ns = divvy_core_clock_ns();
    char target[1024];
    divvy_core_text_t path;
    int status = 0;

    if (client->settings.prepare)
        status = client->settings.prepare(client->settings.context);
    divvy_core_text_init(&path, target, sizeof target);
    divvy_core_text_format(&path, "%s/events/%s", client->settings.base, client->settings.client_id);
    if (status >= 0)
        status = request_send(client, &client->stream_fd, "GET", target,
                              client->settings.is_polling ? "application/json" : "text/event-stream", NULL, 0);
    client->busy = 0;
    divvy_wire_http_answer_init(&client->answer);
    divvy_wire_sse_init(&client->sse, event_take, client);
    divvy_wire_array_init(&client->array, &client->sse);
    if (status == 0)
        status = stream_receive(client);
    divvy_core_sys_close(&client->stream_fd);
    client->figures.poison += client->sse.dropped;
    /* A poll that is answered at once without a task is no reason to ask again at once. */
    if (status == 0 && !client->answer.is_event_stream &&
        (client->busy > 0 || divvy_core_clock_ns() - begin_ns >= client->settings.pause_ns))
        return true;
    tell(client, false);
    return false;
}

static void pause_between(struct divvy_wire_client *client) {
    uint64_t half_ns = client->pause_ns / 2, extra_ns;

    client->random = divvy_core_hash_mix(client->random + UINT64_C(0x9E3779B97F4A7C15));
    extra_ns = half_ns > 0 ? client->random % half_ns : 0;
    (void)divvy_wire_socket_wait(after(half_ns + extra_ns), client->stop_fd);
    client->pause_ns = client->pause_ns * 2 < client->settings.pause_max_ns ? client->pause_ns * 2
                                                                             : client->settings.pause_max_ns;
}

void divvy_wire_client_run(struct divvy_wire_client *client) {
    while (!is_stopping(client))
        if (!stream_run(client) && !is_stopping(client))
            pause_between(client);
}

/* ---- limiter commands ---- */

/* A string member of a lease; absent and null leave it empty. */
static int word_read(divvy_wire_json_t data, const char *name, char *buffer, size_t size) {
    divvy_wire_json_t value;
    int status = divvy_wire_json_member(data, name, &value);

    if (status == -ENOENT || (status == 0 && divvy_wire_json_is_null(value)))
        return 0;
    return status == 0 ? divvy_wire_json_string(value, buffer, size) : status;
}

static int number_read(divvy_wire_json_t data, const char *name, uint64_t *ret_number) {
    divvy_wire_json_t value;
    int status = divvy_wire_json_member(data, name, &value);

    return status == 0 ? divvy_wire_json_u64(value, ret_number) : status;
}

/* The members of a lease that may be absent. */
static int lease_read(divvy_wire_json_t data, struct divvy_wire_command *command) {
    const struct {
        const char *name;
        uint64_t *value;
        bool *is_there;
    } members[] = {
        {"begin", &command->begin_ns, NULL},         {"length", &command->length_ns, NULL},
        {"budget", &command->budget_ns, NULL},       {"memory", &command->memory_bytes, &command->has_limits},
        {"permille", &command->permille, &command->has_limits},
        {"door", &command->door, NULL},
    };
    bool is_whole = true;

    if (word_read(data, "device", command->device, sizeof command->device) < 0 ||
        word_read(data, "mode", command->mode, sizeof command->mode) < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        int status = number_read(data, members[i].name, members[i].value);

        if (status < 0 && status != -ENOENT)
            return -EINVAL;
        if (members[i].is_there && status == 0)
            *members[i].is_there = true;
        else if (members[i].is_there)
            is_whole = false;
    }
    return command->has_limits && !is_whole ? -EINVAL : 0;
}

static enum divvy_channel_kind kind_find(divvy_wire_json_t value) {
    static const char *const names[] = DIVVY_CHANNEL_KIND_NAMES;
    char name[32];
    int kind = 0;

    if (divvy_wire_json_string(value, name, sizeof name) < 0)
        return DIVVY_CHANNEL_KIND_MAX;
    while (kind < DIVVY_CHANNEL_KIND_MAX && strcmp(names[kind], name) != 0)
        kind++;
    return (enum divvy_channel_kind)kind;
}

int divvy_wire_command_parse(divvy_wire_json_t data, struct divvy_wire_command *ret_command) {
    struct divvy_wire_command command = {0};
    divvy_wire_json_t kind;

    if (number_read(data, "id", &command.number) < 0 || divvy_wire_json_member(data, "kind", &kind) < 0 ||
        kind.text[0] != '"')
        return -EINVAL;
    command.kind = kind_find(kind);
    if (command.kind == DIVVY_CHANNEL_LEASE && lease_read(data, &command) < 0)
        return -EINVAL;
    *ret_command = command;
    return 0;
}

void divvy_wire_command_answer(const struct divvy_wire_command *command, bool success, const char *message,
                               struct divvy_wire_client_result *ret_result) {
    divvy_core_text_t text;

    ret_result->success = success;
    divvy_core_text_init(&text, ret_result->result, sizeof ret_result->result);
    divvy_core_text_format(&text, "{\"id\":%llu,\"success\":%s,\"message\":", (unsigned long long)command->number,
                           success ? "true" : "false");
    /* An escaped byte takes six: a message that fits even so always leaves a whole text. */
    if (message)
        divvy_wire_json_add_string(&text, message, strnlen(message, (sizeof ret_result->result - 96) / 6));
    else
        divvy_core_text_add(&text, "null");
    divvy_core_text_add(&text, "}");
}
