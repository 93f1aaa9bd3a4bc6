/* What the tests of the MIG library share: see common.h. */
#include "common.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

char test_folder[128], test_locks[160];

int test_folder_make(void **state) {
    (void)state;
    (void)snprintf(test_folder, sizeof test_folder, "/tmp/divvy-mig-test-XXXXXX");
    if (!mkdtemp(test_folder))
        return -1;
    (void)snprintf(test_locks, sizeof test_locks, "%s/locks", test_folder);
    test_env("FAKE_MIG_FAIL", NULL);
    test_env("FAKE_MIG_NAMES", NULL);
    test_env("FAKE_MIG_LEGACY", NULL);
    test_env("FAKE_MIG_STATE", NULL);
    return 0;
}

int test_folder_remove(void **state) {
    char command[320];

    (void)state;
    (void)snprintf(command, sizeof command, "chmod -R u+rwx '%s'; rm -rf '%s'", test_folder, test_folder);
    return system(command) == 0 ? 0 : -1;
}

void test_env(const char *name, const char *value) {
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

struct divvy_mig *test_open(const char *devices) {
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig = NULL;

    if (devices)
        test_env("FAKE_MIG", devices);
    if (divvy_mig_open(FAKE_NVML, &mig, &error) != 0)
        fail_msg("%s", error.text);
    return mig;
}

struct divvy_mig_list *test_list(struct divvy_mig *mig) {
    struct divvy_mig_error error = {0};
    struct divvy_mig_list *list = NULL;

    if (divvy_mig_list(mig, 0, &list, &error) != 0)
        fail_msg("%s", error.text);
    return list;
}

const char *test_uuid(const struct divvy_mig_list *list, uint32_t gpu, uint32_t slot) {
    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++) {
        const struct divvy_mig_device *device = divvy_mig_list_at(list, i);

        if (device->is_mig && device->gpu_index == gpu && device->mig_index == slot)
            return device->uuid;
    }
    fail_msg("no instance in slot %u of GPU %u", slot, gpu);
    return NULL;
}

struct divvy_mig_options test_options(void) {
    struct divvy_mig_options options = DIVVY_MIG_OPTIONS_INIT;

    options.lock_dir = test_locks;
    return options;
}

int test_reserve(const char *profile, const struct divvy_mig_options *options,
                 struct divvy_mig_reservation **ret_reservation, struct divvy_mig_error *error) {
    struct divvy_mig_profile wanted;
    struct divvy_mig *mig;
    int status = divvy_mig_profile_parse(profile, &wanted, error);

    if (status < 0)
        return status;
    mig = test_open(NULL);
    status = divvy_mig_reserve(mig, &wanted, options, ret_reservation, error);
    divvy_mig_close(mig);
    return status;
}

const char *test_lock_path(const char *uuid) {
    static char path[512];

    (void)snprintf(path, sizeof path, "%s/%s.lock", test_locks, uuid);
    return path;
}

const char *test_lock_write(const char *uuid, const char *text, long age_s) {
    const char *path = test_lock_path(uuid);
    struct timespec times[2];
    int fd;

    (void)mkdir(test_locks, 0755);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= age_s;
    times[1] = times[0];
    assert_int_equal(futimens(fd, times), 0);
    (void)close(fd);
    return path;
}

bool test_exists(const char *path) {
    struct stat found;

    return lstat(path, &found) == 0;
}

double test_age_s(const char *path) {
    struct timespec now;
    struct stat found;

    if (stat(path, &found) < 0)
        return -1;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)(now.tv_sec - found.st_mtim.tv_sec) + (double)(now.tv_nsec - found.st_mtim.tv_nsec) * 1e-9;
}

pid_t test_dead_pid(void) {
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

const char *test_line(pid_t pid, long age_s) {
    static char line[96];
    time_t then = time(NULL) - age_s;
    struct tm utc;
    char text[48];

    assert_non_null(gmtime_r(&then, &utc));
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    (void)snprintf(line, sizeof line, "pid=%d ts=%s\n", (int)pid, text);
    return line;
}

uint64_t test_now_ns(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
