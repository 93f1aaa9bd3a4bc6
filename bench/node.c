/* A divvyd of the bench's own: see node.h. */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define READY_SECONDS 10

static void daemon_spawn(struct node *node) {
    char program[PATH_MAX + 16], base[128], log[128];
    posix_spawn_file_actions_t actions;
    int status;

    (void)snprintf(program, sizeof program, "%.*s/bin/divvyd", PATH_MAX - 1, node->bench->build);
    (void)snprintf(base, sizeof base, "%s/tenants", node->folder);
    (void)snprintf(log, sizeof log, "%s/log", node->folder);
    const char *argv[16] = {program,  "--gpu",      node->bench->gpu == BENCH_SIM ? "sim" : "real", "--base", base,
                            "--socket", node->socket};

    for (size_t i = 0; node->options && node->options[i] && i < 8; i++)
        argv[7 + i] = node->options[i];
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)posix_spawn_file_actions_adddup2(&actions, 1, 2);
    status =
        posix_spawn(&node->pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (status != 0)
        bench_fail(node->bench, "%s: %s", program, strerror(status));
}

static void ready_wait(struct node *node) {
    uint64_t until_ns = bench_now_ns() + UINT64_C(1000000000) * READY_SECONDS;
    char body[4096];

    while (node_request(node, "GET", "/readyz", NULL, body, sizeof body) != 200) {
        if (bench_now_ns() > until_ns || waitpid(node->pid, NULL, WNOHANG) == node->pid)
            bench_fail(node->bench, "divvyd does not become ready; its log is %s/log",
                       node->folder);
        bench_sleep_until_ns(bench_now_ns() + 5000000);
    }
}

void node_prepare(struct node *node, const struct bench *bench) {
    *node = (struct node){.bench = bench};
    (void)snprintf(node->folder, sizeof node->folder, "/dev/shm/divvy-bench-node-XXXXXX");
    if (!mkdtemp(node->folder))
        bench_fail(bench, "no folder can be made in /dev/shm: %s", strerror(errno));
    (void)snprintf(node->socket, sizeof node->socket, "%s/divvyd.sock", node->folder);
}

void node_start(struct node *node, const struct bench *bench) {
    node_prepare(node, bench);
    daemon_spawn(node);
    ready_wait(node);
}

void node_kill(struct node *node, int signal) {
    (void)kill(node->pid, signal);
    (void)waitpid(node->pid, NULL, 0);
    node->pid = 0;
}

void node_restart(struct node *node) {
    daemon_spawn(node);
    ready_wait(node);
}

void node_stop(struct node *node) {
    char command[160];

    if (node->pid)
        node_kill(node, SIGTERM);
    (void)snprintf(command, sizeof command, "rm -rf %s", node->folder);
    if (system(command) != 0)
        (void)fprintf(stderr, "%s cannot be removed\n", node->folder);
}

/* --- requests ------------------------------------------------------------------------------------------------------- */

static int socket_open(const struct node *node) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.100s", node->socket);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int node_request(const struct node *node, const char *method, const char *path, const char *body,
                 char *ret_body, size_t room) {
    static char text[1 << 20];
    int fd = socket_open(node), status = -1, length;
    size_t got = 0;
    ssize_t more;
    char *start;

    if (fd < 0)
        return -1;
    length = snprintf(
        text, sizeof text,
        "%s %s HTTP/1.1\r\nHost: divvy\r\nConnection: close\r\nContent-Type: application/json\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        method, path, body ? strlen(body) : 0, body ? body : "");
    if (send(fd, text, (size_t)length, MSG_NOSIGNAL) == length) {
        while (got < sizeof text - 1 && (more = read(fd, text + got, sizeof text - 1 - got)) > 0)
            got += (size_t)more;
        text[got] = '\0';
        start = strstr(text, "\r\n\r\n");
        if (sscanf(text, "HTTP/1.1 %d", &status) == 1 && start)
            (void)snprintf(ret_body, room, "%s", start + 4);
    }
    (void)close(fd);
    return status;
}

static void wish_write(const struct node_wish *wish, char *text, size_t room) {
    size_t at = 0;

    text[0] = '\0';
    if (wish->percent)
        at += (size_t)snprintf(text + at, room - at, ",\"compute_percent\":%u", wish->percent);
    if (wish->weight)
        at += (size_t)snprintf(text + at, room - at, ",\"weight\":%u", wish->weight);
    if (wish->memory_bytes)
        at += (size_t)snprintf(text + at, room - at, ",\"memory_limit_bytes\":%llu",
                               (unsigned long long)wish->memory_bytes);
    if (wish->soft)
        (void)snprintf(text + at, room - at, ",\"soft\":true");
}

static void pod_write(const struct node_wish *wish, char *text, size_t room) {
    text[0] = '\0';
    if (wish->pod)
        (void)snprintf(text, room, ",\"pod\":\"%s\",\"namespace\":\"bench\",\"container\":\"main\"",
                       wish->pod);
}

void node_tenant(const struct node *node, const char *id, const struct node_wish *wish,
                 char *ret_folder) {
    char body[768], limits[256], pod[256], answer[8192], *found;
    int status;

    wish_write(wish, limits, sizeof limits);
    pod_write(wish, pod, sizeof pod);
    (void)snprintf(body, sizeof body,
                   "{\"id\":\"%s\",\"qos\":\"%s\",\"devices\":[{\"gpu\":\"0\"%s}]%s}", id,
                   wish->qos ? wish->qos : "medium", limits, pod);
    status = node_request(node, "POST", "/api/v1/tenants", body, answer, sizeof answer);
    found = strstr(answer, "\"folder\"");
    if (status != 201 || !found || sscanf(found, "\"folder\" : \"%255[^\"]", ret_folder) != 1)
        bench_fail(node->bench, "POST /api/v1/tenants for %s: %d %s", id, status, answer);
}

void node_tenant_set(const struct node *node, const char *id, const struct node_wish *wish) {
    char path[192], body[512], limits[256], answer[8192];
    int status;

    wish_write(wish, limits, sizeof limits);
    (void)snprintf(path, sizeof path, "/api/v1/tenants/%s", id);
    (void)snprintf(body, sizeof body, "{%s}", limits + 1);
    status = node_request(node, "PATCH", path, body, answer, sizeof answer);
    if (status != 200)
        bench_fail(node->bench, "PATCH of tenant %s: %d %s", id, status, answer);
}

void node_tenant_remove(const struct node *node, const char *id) {
    char path[192], answer[8192];
    int status;

    (void)snprintf(path, sizeof path, "/api/v1/tenants/%s?force=1", id);
    status = node_request(node, "DELETE", path, NULL, answer, sizeof answer);
    if (status != 204)
        bench_fail(node->bench, "DELETE of tenant %s: %d %s", id, status, answer);
}

pid_t node_run(const struct node *node, const char *folder, const char *program,
               const char *const arguments[], FILE **ret_out) {
    const struct bench_limits limits = {.preload = true, .tenant = folder};

    return bench_start(node->bench, &limits, program, arguments, ret_out);
}
