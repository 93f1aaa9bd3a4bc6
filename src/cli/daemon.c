/* A daemon for divvy run: see daemon.h. */
#include "cli/daemon.h"

#include "base/child.h"
#include "base/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 20u

struct start {
    const char *program, *socket;
};

/* In a child whose errors go to a pipe: divvyd detaches itself and returns when it is ready. */
static int daemon_start(void *data, int fd) {
    const struct start *start = data;
    sigset_t none;

    (void)fd;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* It is nobody's tenant, and no other tool's patient. */
    (void)unsetenv("LD_PRELOAD");
    /* What this one program may do without limits the next tenants must not. */
    (void)unsetenv("DIVVY_FAIL_POLICY");
    (void)setenv("DIVVY_SOCKET", start->socket, 1);
    (void)execl(start->program, start->program, "--background",
                "--idle-exit=" DIVVY_CLI_DAEMON_IDLE_EXIT, (char *)NULL);
    (void)fprintf(stderr, "cannot be run: %s\n", strerror(errno));
    return 127;
}

static bool is_ready(struct divvy_cli_client *client) {
    struct divvy_error error = {0};

    return divvy_cli_client_call(client, "GET", "/readyz", NULL, 2000, NULL, &error) == 0;
}

/*
 * Until a daemon answers and is ready, or the time is over. `sure`: somebody is expected to come,
 * so nobody at the socket is no reason to give up.
 */
static int ready_wait(const struct divvy_cli_sockets *sockets, uint64_t deadline_ns, bool sure,
                      struct divvy_cli_client **ret_client, struct divvy_error *error) {
    struct divvy_cli_client *client = NULL;

    for (;;) {
        int status = client ? 0 : divvy_cli_client_open(sockets, &client, error);

        if (client && is_ready(client)) {
            *ret_client = client;
            return 0;
        }
        if (status < 0 && (status != -ENOTCONN || !sure))
            return status;
        if (divvy_core_clock_ns() >= deadline_ns)
            break;
        (void)usleep(LOOK_AGAIN_MS * 1000);
    }
    if (client) {
        (void)divvy_error_set(error, -ETIMEDOUT,
                              "divvyd at %s does not get ready: does it find a GPU? See its log",
                              divvy_cli_client_path(client));
        divvy_cli_client_free(client);
        return -ETIMEDOUT;
    }
    return -ENOTCONN;
}

/* The last line that a program said is what made it end. */
static const char *last_line(char *said, size_t length) {
    char *line;

    while (length > 0 && (said[length - 1] == '\n' || said[length - 1] == '\r'))
        length--;
    said[length] = '\0';
    line = strrchr(said, '\n');
    return line ? line + 1 : said;
}

int divvy_cli_daemon_ensure(const struct divvy_install *install,
                            struct divvy_cli_client **ret_client, struct divvy_error *error) {
    uint64_t deadline_ns = divvy_core_clock_ns() + DIVVY_CLI_DAEMON_READY_MS * DIVVY_NS_PER_MS;
    struct divvy_cli_sockets sockets;
    struct divvy_child_result result = {0};
    struct start start = {.program = install->daemon};
    char said[2048], clean[160];
    bool failed;
    int status = divvy_cli_sockets_find(&sockets, error);

    if (status == 0)
        status = ready_wait(&sockets, deadline_ns, false, ret_client, error);
    /* Somebody else's daemon where ours should be is nothing to go around. */
    if (status != -ENOTCONN)
        return status;
    if (!install->daemon[0])
        return divvy_error_set(error, -ENOENT,
                               "no divvyd runs, and none is installed beside divvy");
    start.socket = sockets.paths[0];
    if (divvy_child_collect(daemon_start, &start, 1, DIVVY_CLI_DAEMON_READY_MS * DIVVY_NS_PER_MS,
                            said, sizeof said - 1, &result, error) < 0)
        return error->status;
    failed =
        result.timed_out || !WIFEXITED(result.wait_status) || WEXITSTATUS(result.wait_status) != 0;
    /* Where two start one at the same time the second refuses, and the first is what both need. */
    if (ready_wait(&sockets, failed ? divvy_core_clock_ns() + 500 * DIVVY_NS_PER_MS : deadline_ns,
                   true, ret_client, error) == 0)
        return 0;
    if (result.timed_out)
        return divvy_error_set(error, -ETIMEDOUT, "%.100s did not get ready within %u s",
                               install->daemon, DIVVY_CLI_DAEMON_READY_MS / 1000);
    if (!failed)
        return error->status;
    said[result.length] = '\0';
    divvy_text_clean(last_line(said, result.length), clean, sizeof clean);
    return divvy_error_set(error, -ECHILD, "divvyd does not start: %s",
                           clean[0] ? clean : "it gave no reason");
}
