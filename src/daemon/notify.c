/* Telling the service manager: see notify.h. */
#include "daemon/notify.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "core/parse.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void divvy_notify_send(const char *text) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int fd = -1;
    size_t length;

    if (!path || (path[0] != '/' && path[0] != '@') || (length = strlen(path)) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') /* an abstract name */
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

void divvy_notify_ready(const char *status) {
    char text[256];

    (void)snprintf(text, sizeof text, "READY=1\nSTATUS=%s", status);
    divvy_notify_send(text);
}

void divvy_notify_reloading(void) {
    char text[96];

    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)(divvy_core_clock_ns() / DIVVY_NS_PER_US));
    divvy_notify_send(text);
}

int64_t divvy_notify_watchdog_ns(void) {
    const char *period = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t usec, number;

    if (!period || divvy_core_u64_parse(period, strlen(period), &usec, NULL) < 0 || usec > INT64_MAX / 1000)
        return 0;
    if (pid && (divvy_core_u64_parse(pid, strlen(pid), &number, NULL) < 0 || number != (uint64_t)getpid()))
        return 0;
    return (int64_t)usec * 1000;
}
