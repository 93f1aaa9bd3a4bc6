/* divvy vm: what is asked of a relay that runs. */
#include "base/cleanup.h"
#include "base/table.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/vm.h"
#include "remote/relay/admin.h"
#include "wire/vgpu/words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define ANSWER_S 10

static int relay_connect(const char *path, struct divvy_error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval timeout = {.tv_sec = ANSWER_S};
    cleanup_close int fd = -1;

    if (strlen(path) >= sizeof address.sun_path)
        return divvy_error_set(error, -EINVAL, "'%.60s...' is too long for a unix socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return divvy_error_set_errno(error, errno == ENOENT || errno == ECONNREFUSED ? -ENOTCONN : -errno,
                                     "no relay answers at %.120s", path);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    return divvy_cleanup_keep(&fd);
}

static int read_all(int fd, void *bytes, size_t length, struct divvy_error *error) {
    for (size_t got = 0; got < length;) {
        ssize_t count = recv(fd, (char *)bytes + got, length - got, 0);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return divvy_error_set(error, count == 0 ? -EPROTO : -ETIMEDOUT, "the relay did not answer in full");
        got += (size_t)count;
    }
    return 0;
}

/* The text behind the head of a reply: malloc'd, a string. */
static int text_read(int fd, uint32_t length, char **ret_text, struct divvy_error *error) {
    char *text = calloc(1, (size_t)length + 1);

    if (!text)
        return divvy_error_set(error, -ENOMEM, "no memory for the answer");
    if (read_all(fd, text, length, error) < 0) {
        free(text);
        return error->status;
    }
    *ret_text = text;
    return 0;
}

int divvy_cli_vm_ask(const char *admin, uint32_t command, uint32_t parameter, char **ret_text, struct divvy_error *error) {
    cleanup_close int fd = relay_connect(admin, error);
    uint8_t request[DIVVY_RELAY_ADMIN_REQUEST_BYTES] = {0}, reply[DIVVY_RELAY_ADMIN_REPLY_BYTES];
    char *text = NULL;
    uint32_t length;

    if (fd < 0)
        return error->status;
    divvy_wire_u32_put(request, DIVVY_RELAY_ADMIN_MAGIC);
    divvy_wire_u32_put(request + 4, command);
    divvy_wire_u32_put(request + 8, parameter);
    if (send(fd, request, sizeof request, MSG_NOSIGNAL) != (ssize_t)sizeof request)
        return divvy_error_set_errno(error, -errno, "the relay takes no request");
    if (read_all(fd, reply, sizeof reply, error) < 0)
        return error->status;
    length = divvy_wire_u32_get(reply + 8);
    if (divvy_wire_u32_get(reply) != DIVVY_RELAY_ADMIN_MAGIC || length > DIVVY_RELAY_ADMIN_TEXT_BYTES)
        return divvy_error_set(error, -EPROTO, "what answers at %.100s is no relay", admin);
    if (text_read(fd, length, &text, error) < 0)
        return error->status;
    if (divvy_wire_u32_get(reply + 4) != 0) {
        int status = -(int)(divvy_wire_u32_get(reply + 4) & 0xFFF);

        if (text[0])
            (void)divvy_error_set(error, status, "the relay: %.200s", text);
        else
            (void)divvy_error_set_errno(error, status, "the relay refused");
        free(text);
        return error->status;
    }
    *ret_text = text;
    return 0;
}

int divvy_cli_vm_push(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    struct divvy_error error = {0};
    char *text = NULL;
    int status = divvy_cli_vm_ask(arguments->admin, DIVVY_RELAY_ADMIN_RELOAD, 0, &text, &error);

    free(text);
    if (status == 0)
        return DIVVY_CLI_OK;
    if (status == -ENOTCONN) {
        (void)fprintf(stderr, "divvy vm %s: no relay runs: it is remembered, and holds when one starts\n", what);
        return DIVVY_CLI_OK;
    }
    (void)divvy_error_prefix(&error, "it is remembered, but does not hold yet");
    return divvy_cli_vm_fail(what, &error);
}

int divvy_cli_vm_reload(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    struct divvy_error error = {0};
    char *text = NULL;

    if (divvy_cli_vm_ask(arguments->admin, DIVVY_RELAY_ADMIN_RELOAD, 0, &text, &error) < 0)
        return divvy_cli_vm_fail(what, &error);
    free(text);
    return DIVVY_CLI_OK;
}

/* --- what the relay tells ------------------------------------------------------------------------------------------------ */

static json_t *ask_json(const char *what, const struct divvy_cli_vm_arguments *arguments, uint32_t command) {
    struct divvy_error error = {0};
    char *text = NULL;
    json_t *answer;

    if (divvy_cli_vm_ask(arguments->admin, command, 0, &text, &error) < 0) {
        (void)divvy_cli_vm_fail(what, &error);
        return NULL;
    }
    answer = json_loads(text, 0, NULL);
    free(text);
    if (!answer)
        divvy_cli_complain("vm", "the relay's answer makes no sense");
    return answer;
}

struct column {
    const char *title, *key;
    bool right;
};

/* The objects of an array as a table. */
static int table_print(const json_t *array, const struct column *columns, unsigned int count) {
    struct divvy_table_column titles[12];
    struct divvy_table *table;
    const json_t *object;
    size_t i;
    int status;

    for (unsigned int c = 0; c < count; c++)
        titles[c] = (struct divvy_table_column){columns[c].title, columns[c].right};
    table = divvy_table_new(titles, count);
    json_array_foreach(array, i, object) for (unsigned int c = 0; c < count; c++) {
        const json_t *value = json_object_get(object, columns[c].key);
        char cell[128], clean[128];

        if (json_is_string(value))
            (void)snprintf(cell, sizeof cell, "%s", json_string_value(value));
        else if (json_is_real(value))
            (void)snprintf(cell, sizeof cell, "%.1f%%", 100 * json_real_value(value));
        else if (json_is_boolean(value))
            (void)snprintf(cell, sizeof cell, "%s", json_is_true(value) ? "yes" : "no");
        else
            (void)snprintf(cell, sizeof cell, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        divvy_text_clean(cell, clean, sizeof clean);
        divvy_table_add(table, clean, DIVVY_TINT_NONE);
    }
    status = table ? divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout)) : -ENOMEM;
    divvy_table_free(table);
    return status < 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}

int divvy_cli_vm_metrics(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    static const struct column columns[] = {
        {"VM", "name", false},       {"ID", "vm_id", true},          {"JOBS", "jobs", true},     {"ERRORS", "errors", true},
        {"REFUSED", "rejected", true}, {"WAIT", "queued", true},     {"P50US", "p50_us", true},  {"P95US", "p95_us", true},
        {"P99US", "p99_us", true},   {"GPU", "utilisation", true}, {"QUARANTINE", "quarantined", false},
    };
    struct divvy_error error = {0};
    cleanup_free char *text = NULL;
    json_t *answer;
    int status;

    if (arguments->prometheus) {
        if (divvy_cli_vm_ask(arguments->admin, DIVVY_RELAY_ADMIN_METRICS, 1, &text, &error) < 0)
            return divvy_cli_vm_fail(what, &error);
        return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
    }
    answer = ask_json(what, arguments, DIVVY_RELAY_ADMIN_METRICS);
    if (!answer)
        return DIVVY_CLI_FAILED;
    if (arguments->json)
        return divvy_cli_json_print(answer, 2, stdout);
    (void)printf("jobs %" JSON_INTEGER_FORMAT ", errors %" JSON_INTEGER_FORMAT ", refused %" JSON_INTEGER_FORMAT
                 ", context switches %" JSON_INTEGER_FORMAT ", resets %" JSON_INTEGER_FORMAT "\n\n",
                 json_integer_value(json_object_get(answer, "jobs")), json_integer_value(json_object_get(answer, "errors")),
                 json_integer_value(json_object_get(answer, "rejected")),
                 json_integer_value(json_object_get(answer, "context_switches")),
                 json_integer_value(json_object_get(answer, "gpu_resets")));
    status = table_print(json_object_get(answer, "vms"), columns, sizeof columns / sizeof columns[0]);
    json_decref(answer);
    return status;
}

int divvy_cli_vm_health(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    static const struct column columns[] = {
        {"WORKER", "address", false}, {"POOLS", "pools", false}, {"REACHABLE", "reachable", false}, {"RUNNING", "running", true}};
    json_t *answer = ask_json(what, arguments, DIVVY_RELAY_ADMIN_HEALTH);
    int status;

    if (!answer)
        return DIVVY_CLI_FAILED;
    if (arguments->json)
        return divvy_cli_json_print(answer, 2, stdout);
    (void)printf("%s; up for %" JSON_INTEGER_FORMAT " s; GPUs: %s\n\n",
                 json_is_true(json_object_get(answer, "healthy")) ? "healthy" : "no worker can be reached",
                 json_integer_value(json_object_get(answer, "uptime_s")), json_string_value(json_object_get(answer, "gpu")));
    status = table_print(json_object_get(answer, "workers"), columns, sizeof columns / sizeof columns[0]);
    json_decref(answer);
    return status;
}

int divvy_cli_vm_connections(const char *what, const struct divvy_cli_vm_arguments *arguments) {
    static const struct column columns[] = {{"VM", "name", false},      {"ID", "vm_id", true},      {"AGE", "age_s", true},
                                            {"RX", "rx_bytes", true}, {"TX", "tx_bytes", true}, {"DIALECT", "dialect", false}};
    json_t *answer = ask_json(what, arguments, DIVVY_RELAY_ADMIN_CONNECTIONS);
    int status;

    if (!answer)
        return DIVVY_CLI_FAILED;
    if (arguments->json)
        return divvy_cli_json_print(answer, 2, stdout);
    status = table_print(json_object_get(answer, "connections"), columns, sizeof columns / sizeof columns[0]);
    json_decref(answer);
    return status;
}
