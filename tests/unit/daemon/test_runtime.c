/* One instance with its pid file; sockets passed by systemd; what the service manager is told. */
#include "daemon/notify.h"
#include "daemon/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/divvy-runtime-XXXXXX";

static int folder_make(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state) {
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void one_instance(void **state) {
    char base[128], path[192], expected[32], text[32] = "";
    struct divvy_error error = {0, ""};
    int fd = -1, second = -1, status;
    FILE *file;
    pid_t child;

    (void)state;
    (void)snprintf(base, sizeof base, "%s/deep/er/tenants", folder);
    (void)snprintf(path, sizeof path, "%s/" DIVVY_RUNTIME_PID_FILE, base);
    assert_int_equal(divvy_runtime_instance_take(base, &fd, &error), 0);
    (void)snprintf(expected, sizeof expected, "%d\n", (int)getpid());
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    (void)fclose(file);
    assert_string_equal(text, expected);
    /* A second one is told who has it, also after fork. */
    assert_int_equal(divvy_runtime_instance_take(base, &second, &error), -EBUSY);
    expected[strlen(expected) - 1] = '\0';
    assert_non_null(strstr(error.text, expected));
    assert_non_null(strstr(error.text, base));
    divvy_runtime_instance_drop(base, &fd);
    assert_int_equal(fd, -1);
    assert_int_equal(access(path, F_OK), -1);
    /* What a killed one leaves is taken over. */
    child = fork();
    if (child == 0)
        _exit(divvy_runtime_instance_take(base, &fd, NULL) == 0 ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(divvy_runtime_instance_take(base, &fd, &error), 0);
    divvy_runtime_instance_drop(base, &fd);
    divvy_runtime_instance_drop(base, &fd); /* harmless */
    assert_int_equal(divvy_runtime_instance_take("/proc/nothing/here", &fd, &error), -ENOENT);
}

static void its_folder(void **state) {
    char path[DIVVY_RUNTIME_PATH_BYTES], expected[128];

    (void)state;
    (void)setenv("XDG_RUNTIME_DIR", folder, 1);
    (void)snprintf(expected, sizeof expected, "%s/divvy", folder);
    assert_int_equal(divvy_runtime_folder_find(path, NULL), 0);
    assert_string_equal(path, expected);
    assert_int_equal(divvy_runtime_folder_find(path, NULL), 0); /* it is there now */
    /* A folder that others can write to is not used. */
    assert_int_equal(chmod(expected, 0777), 0);
    if (divvy_runtime_folder_find(path, NULL) == 0)
        assert_string_not_equal(path, expected);
    assert_int_equal(chmod(expected, 0700), 0);
    (void)unsetenv("XDG_RUNTIME_DIR");
}

/* In a child, whose descriptor 3 is made to be `fd`: what comes of it. */
static int passed_try(int fd, const char *count, bool is_ours) {
    pid_t child = fork();
    int status;

    if (child == 0) {
        char pid[16];
        int got = -2, result;

        (void)snprintf(pid, sizeof pid, "%d", is_ours ? (int)getpid() : 1);
        (void)setenv("LISTEN_PID", pid, 1);
        (void)setenv("LISTEN_FDS", count, 1);
        if (fd >= 0)
            (void)dup2(fd, 3);
        result = divvy_runtime_socket_take(&got, NULL);
        if (getenv("LISTEN_FDS") || getenv("LISTEN_PID"))
            _exit(9);
        if (result == 0 && got == 3 && !(fcntl(3, F_GETFD) & FD_CLOEXEC))
            _exit(8);
        _exit(result < 0 ? 1 : got == -1 ? 2 : got);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void sockets_from_systemd(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder);
    assert_int_equal(passed_try(fd, "1", true), 1); /* does not listen */
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(passed_try(fd, "1", true), 3);
    assert_int_equal(passed_try(fd, "2", true), 1);
    assert_int_equal(passed_try(datagram, "1", true), 1);
    assert_int_equal(passed_try(fd, "1", false), 2); /* meant for another process */
    assert_int_equal(passed_try(fd, "rubbish", true), 2);
    (void)close(fd);
    (void)close(datagram);
}

/* The system's daemon has the real devices: one beside it is told so. */
static void beside_the_system(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct divvy_error error = {0, ""};
    char expected[32];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), status;
    pid_t child;

    (void)state;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/system", folder);
    assert_int_equal(divvy_runtime_system_check(address.sun_path, "/other", &error), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(divvy_runtime_system_check(address.sun_path, "/other", &error), 0); /* nobody listens */
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(divvy_runtime_system_check(address.sun_path, "/other", &error), 0); /* that is us */
    (void)snprintf(expected, sizeof expected, "pid %d,", (int)getpid());
    child = fork();
    if (child == 0) {
        if (divvy_runtime_system_check(address.sun_path, "/other", &error) != -EBUSY || !strstr(error.text, expected))
            _exit(1);
        _exit(divvy_runtime_system_check(address.sun_path, address.sun_path, &error) == 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)close(fd);
}

static void the_manager_is_told(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    char text[256] = "", own[16];
    socklen_t size;

    (void)state;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", folder);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)setenv("NOTIFY_SOCKET", address.sun_path, 1);
    divvy_notify_ready("fine");
    assert_int_equal(recv(fd, text, sizeof text - 1, MSG_DONTWAIT), strlen("READY=1\nSTATUS=fine"));
    assert_string_equal(text, "READY=1\nSTATUS=fine");
    divvy_notify_reloading();
    assert_true(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_memory_equal(text, "RELOADING=1\nMONOTONIC_USEC=", 27);
    (void)close(fd);
    divvy_notify_ready("nobody listens"); /* no harm */
    /* An abstract name. */
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                       (size_t)snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "divvy-%d", (int)getpid()));
    address.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    address.sun_path[0] = '@';
    (void)setenv("NOTIFY_SOCKET", address.sun_path, 1);
    divvy_notify_send("STOPPING=1");
    assert_int_equal(recv(fd, text, sizeof text - 1, MSG_DONTWAIT), 10);
    (void)close(fd);
    (void)unsetenv("NOTIFY_SOCKET");
    divvy_notify_send("STOPPING=1");
    assert_int_equal(divvy_notify_watchdog_ns(), 0);
    (void)setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(divvy_notify_watchdog_ns(), 3000000000);
    (void)setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(divvy_notify_watchdog_ns(), 0);
    (void)snprintf(own, sizeof own, "%d", (int)getpid());
    (void)setenv("WATCHDOG_PID", own, 1);
    assert_int_equal(divvy_notify_watchdog_ns(), 3000000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_instance),
        cmocka_unit_test(its_folder),
        cmocka_unit_test(sockets_from_systemd),
        cmocka_unit_test(beside_the_system),
        cmocka_unit_test(the_manager_is_told),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
