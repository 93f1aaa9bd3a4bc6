/* Connections of workers: see connections.h. */
#include "agent/connections.h"

#include "agent/config.h"
#include "agent/paths.h"
#include "base/cleanup.h"
#include "core/parse.h"
#include "core/sys.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int is_edge(char byte) {
    return byte == '\0' || byte == ' ' || byte == '\t' || byte == '\r';
}

/* The field up to the next ',' without what stands around it. */
static size_t field_take(const char **at, size_t *left, const char **ret_field) {
    const char *comma = memchr(*at, ',', *left);
    size_t size = comma ? (size_t)(comma - *at) : *left;

    *ret_field = *at;
    *at += comma ? size + 1 : size;
    *left -= comma ? size + 1 : size;
    while (size > 0 && is_edge((*ret_field)[size - 1]))
        size--;
    while (size > 0 && is_edge(**ret_field))
        (*ret_field)++, size--;
    return size;
}

/* An optional number; false when there is something that is none. */
static int number_take(const char **at, size_t *left, uint64_t most, uint64_t *ret_number) {
    const char *field;
    size_t size = field_take(at, left, &field);

    *ret_number = 0;
    return size == 0 ||
           (divvy_core_u64_parse(field, size, ret_number, NULL) == 0 && *ret_number <= most);
}

static json_t *line_take(const char *line, size_t length, const char *when) {
    char address[INET6_ADDRSTRLEN];
    unsigned char bytes[sizeof(struct in6_addr)];
    const char *field;
    size_t size = field_take(&line, &length, &field);
    uint64_t port, pid;
    json_t *entry;

    if (size == 0 || size >= sizeof address)
        return NULL;
    memcpy(address, field, size);
    address[size] = '\0';
    if ((inet_pton(AF_INET, address, bytes) != 1 && inet_pton(AF_INET6, address, bytes) != 1) ||
        !number_take(&line, &length, 65535, &port) || !number_take(&line, &length, INT32_MAX, &pid))
        return NULL;
    entry = json_pack("{s:s}", "client_ip", address);
    if (entry && port > 0)
        (void)json_object_set_new(entry, "client_port", json_integer((json_int_t)port));
    if (entry && pid > 0)
        (void)json_object_set_new(entry, "client_pid", json_integer((json_int_t)pid));
    if (entry)
        (void)json_object_set_new(entry, "connected_at", json_string(when));
    return entry;
}

json_t *divvy_agent_connections_parse(const char *bytes, size_t length, const char *when) {
    json_t *list = json_array();

    while (list && length > 0 && json_array_size(list) < DIVVY_AGENT_CONNECTIONS_MAX) {
        const char *end = memchr(bytes, '\n', length);
        size_t size = end ? (size_t)(end - bytes) : length;
        json_t *entry = line_take(bytes, size, when);

        if (entry && json_array_append_new(list, entry) < 0) {
            json_decref(list);
            return NULL;
        }
        bytes += end ? size + 1 : size;
        length -= end ? size + 1 : size;
    }
    return list;
}

json_t *divvy_agent_connections_read(const char *state_folder, const char *worker) {
    static char bytes[DIVVY_AGENT_CONNECTIONS_BYTES];
    char name[NAME_MAX], path[PATH_MAX], when[DIVVY_AGENT_TIME_BYTES];
    struct stat status;
    ssize_t length;
    cleanup_close int fd = -1;

    if (strchr(worker, '/') || worker[0] == '.')
        return json_array();
    (void)snprintf(name, sizeof name, "connections/%.200s.txt", worker);
    divvy_agent_path_join(state_folder, name, path);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return json_array();
    length = divvy_core_sys_read(fd, bytes, sizeof bytes);
    divvy_agent_time_format((int64_t)status.st_mtime, when);
    return divvy_agent_connections_parse(bytes, length < 0 ? 0 : (size_t)length, when);
}
