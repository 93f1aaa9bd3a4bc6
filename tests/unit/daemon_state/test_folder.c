/* Folders of tenants: made, found again, refused and removed. */
#include "daemon/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64];
static int base_fd;
static const struct divvy_node_device device = {.uuid = {7, 7, 7}, .memory_bytes = 1 << 30};
static const struct divvy_node_device *const devices[] = {&device};

static int begin(void **state) {
    struct divvy_error error = {0};

    (void)state;
    strcpy(base, "/tmp/divvy-folder-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    base_fd = divvy_folder_base_open(base, &error);
    return base_fd < 0;
}

static int end(void **state) {
    char command[96];

    (void)state;
    (void)close(base_fd);
    (void)snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

static struct divvy_node_spec spec_make(const char *id) {
    struct divvy_node_spec spec = {
        .qos = DIVVY_NODE_QOS_HIGH, .owner_uid = geteuid(), .binding_count = 1};

    (void)snprintf(spec.id, sizeof spec.id, "%s", id);
    (void)snprintf(spec.pod, sizeof spec.pod, "some-pod");
    (void)snprintf(spec.container, sizeof spec.container, "some-container");
    (void)snprintf(spec.labels, sizeof spec.labels, "{\"team\":\"a\\nb\"}");
    spec.bindings[0].limit_bytes = 12345678;
    spec.bindings[0].compute_permille = 300;
    spec.bindings[0].soft = true;
    spec.bindings[0].weight = 17;
    return spec;
}

static bool exists(const char *name) {
    return faccessat(base_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void what_was_made_is_found_again(void **state) {
    struct divvy_node_spec spec = spec_make("space/pod/container"), found;
    struct divvy_folder folder, again;
    struct divvy_error error = {0};
    bool frozen = true;
    struct stat status;

    (void)state;
    assert_int_equal(divvy_folder_create(base_fd, base, &spec, devices, &folder, &error), 0);
    assert_true(exists("space+pod+container"));
    assert_int_equal(fstatat(folder.fd, "control", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
    assert_int_equal(fstatat(folder.fd, "bell", &status, 0), 0);
    assert_true(S_ISFIFO(status.st_mode));
    /* held by us: nobody else gets it */
    assert_int_equal(
        divvy_folder_adopt(base_fd, base, "space+pod+container", &again, &found, &frozen), -EBUSY);
    divvy_folder_close(&folder);
    assert_int_equal(
        divvy_folder_adopt(base_fd, base, "space+pod+container", &again, &found, &frozen), 0);
    assert_string_equal(found.id, spec.id);
    assert_string_equal(found.pod, spec.pod);
    assert_int_equal(found.qos, spec.qos);
    assert_int_equal(found.source, DIVVY_NODE_FROM_POD);
    assert_int_equal(found.binding_count, 1);
    assert_int_equal(found.bindings[0].limit_bytes, 12345678);
    assert_int_equal(found.bindings[0].compute_permille, 300);
    assert_int_equal(found.bindings[0].weight, 17);
    assert_true(found.bindings[0].soft);
    assert_false(frozen);
    assert_memory_equal(&again.control->devices[0].uuid, device.uuid, 16);
    assert_string_equal(found.container, spec.container);
    assert_string_equal(found.labels, spec.labels);
    divvy_folder_remove(base_fd, spec.id, &again);
    assert_false(exists("space+pod+container"));
}

/* Container and labels are believed only in a file that is the daemon's own, and whole. */
static void what_others_say_of_a_tenant_is_passed_over(void **state) {
    static const char *const texts[] = {"", "\n", "main", "main\n", "main\n{}", "a\0\nb\n"};
    static char long_text[4096];
    struct divvy_node_spec spec = spec_make("about"), found;
    struct divvy_folder folder;
    bool frozen;

    (void)state;
    memset(long_text, 'x', sizeof long_text);
    long_text[2000] = long_text[4095] = '\n';
    strcpy(spec.container, "main");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] + 4; i++) {
        int fd;

        assert_int_equal(divvy_folder_create(base_fd, base, &spec, devices, &folder, NULL), 0);
        assert_int_equal(unlinkat(folder.fd, "about", 0), 0);
        if (i == 0) {
            assert_int_equal(symlinkat("/etc/passwd", folder.fd, "about"), 0);
        } else if (i == 1) {
            assert_int_equal(mkfifoat(folder.fd, "about", 0600), 0);
        } else {
            fd = openat(folder.fd, "about", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
            if (i == 2)
                assert_int_equal(write(fd, long_text, sizeof long_text), sizeof long_text);
            else if (i == 3)
                assert_int_equal(write(fd, "main\n{}\n", 8), 8);
            else
                assert_true(write(fd, texts[i - 4], i == 9 ? 6 : strlen(texts[i - 4])) >= 0);
            if (i == 3)
                assert_int_equal(fchmod(fd, 0666), 0); /* others may write to it */
            assert_int_equal(close(fd), 0);
        }
        divvy_folder_close(&folder);
        assert_int_equal(divvy_folder_adopt(base_fd, base, "about", &folder, &found, &frozen), 0);
        assert_string_equal(found.container, "");
        assert_string_equal(found.labels, "");
        divvy_folder_remove(base_fd, spec.id, &folder);
    }
}

/* What a daemon left that was ended before the control page was there; what somebody uses, or makes just now, is none. */
static void half_made_folders_are_known(void **state) {
    struct divvy_node_spec spec = spec_make("half"), found;
    struct divvy_folder folder;
    struct stat status;
    int64_t made_ns;
    bool frozen;
    int fd;

    (void)state;
    strcpy(spec.pod_uid, "uid-1");
    assert_int_equal(divvy_folder_create(base_fd, base, &spec, devices, &folder, NULL), 0);
    divvy_folder_close(&folder);
    assert_false(divvy_folder_is_half_made(base_fd, "half", INT64_MAX)); /* whole */
    assert_int_equal(divvy_folder_adopt(base_fd, base, "half", &folder, &found, &frozen), 0);
    assert_string_equal(found.pod_uid, "uid-1");
    assert_int_equal(unlinkat(folder.fd, DIVVY_CONTROL_FILE, 0), 0);
    assert_false(divvy_folder_is_half_made(base_fd, "half", INT64_MAX)); /* locked */
    assert_int_equal(fstat(folder.fd, &status), 0);
    made_ns = (int64_t)status.st_mtim.tv_sec * INT64_C(1000000000) + status.st_mtim.tv_nsec;
    divvy_folder_close(&folder);
    assert_int_equal(divvy_folder_adopt(base_fd, base, "half", &folder, &found, &frozen), -ENOENT);
    assert_true(divvy_folder_is_half_made(base_fd, "half", made_ns + 1));
    assert_false(divvy_folder_is_half_made(base_fd, "half", made_ns));
    fd = openat(base_fd, "half/usage", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(close(fd), 0);
    assert_false(divvy_folder_is_half_made(base_fd, "half", INT64_MAX));
    divvy_folder_discard(base_fd, "half");
    assert_false(exists("half"));
}

static void hostile_control_pages_are_refused(void **state) {
    struct divvy_node_spec spec = spec_make("hostile"), found;
    struct divvy_folder folder, again;
    bool frozen;
    int fd;

    (void)state;
    assert_int_equal(divvy_folder_create(base_fd, base, &spec, devices, &folder, NULL), 0);
    folder.control->devices[3].mode = 99;
    divvy_folder_close(&folder);
    assert_int_equal(divvy_folder_adopt(base_fd, base, "hostile", &again, &found, &frozen),
                     -EPROTO);
    assert_int_equal(divvy_folder_create(base_fd, base, &spec, devices, &folder, NULL),
                     0); /* takes the place of it */
    strcpy(folder.control->name, "somebody-else");
    divvy_folder_close(&folder);
    assert_int_equal(divvy_folder_adopt(base_fd, base, "hostile", &again, &found, &frozen),
                     -EPROTO);
    assert_int_equal(divvy_folder_create(base_fd, base, &spec, devices, &folder, NULL), 0);
    assert_int_equal(fchmod(folder.control_fd, 0666), 0);
    divvy_folder_close(&folder);
    assert_int_equal(divvy_folder_adopt(base_fd, base, "hostile", &again, &found, &frozen),
                     -EPROTO);
    divvy_folder_discard(base_fd, "hostile");
    assert_false(exists("hostile"));
    assert_int_equal(symlinkat("/etc", base_fd, "hostile"), 0);
    assert_true(divvy_folder_adopt(base_fd, base, "hostile", &again, &found, &frozen) < 0);
    divvy_folder_discard(base_fd, "hostile");
    assert_int_equal(unlinkat(base_fd, "hostile", 0), 0);
    fd = openat(base_fd, "hostile", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_true(divvy_folder_adopt(base_fd, base, "hostile", &again, &found, &frozen) < 0);
    assert_int_equal(unlinkat(base_fd, "hostile", 0), 0);
}

static void folders_in_use_are_left_alone(void **state) {
    struct divvy_node_spec spec = spec_make("used");
    struct divvy_folder folder;
    struct divvy_error error = {0};
    int folder_fd, fd;

    (void)state;
    assert_int_equal(mkdirat(base_fd, "used", 0700), 0);
    folder_fd = openat(base_fd, "used", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = openat(folder_fd, "usage", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_SH), 0); /* as a process of the tenant does */
    divvy_folder_discard(base_fd, "used");
    assert_true(exists("used"));
    assert_int_equal(divvy_folder_create(base_fd, base, &spec, devices, &folder, &error), -EEXIST);
    assert_non_null(strstr(error.text, "in use"));
    assert_int_equal(close(fd), 0);
    assert_int_equal(divvy_folder_create(base_fd, base, &spec, devices, &folder, &error), 0);
    assert_int_equal(close(folder_fd), 0);
    divvy_folder_remove(base_fd, "used", &folder);
}

static void a_base_of_others_is_refused(void **state) {
    struct divvy_error error = {0};

    (void)state;
    assert_int_equal(fchmod(base_fd, 0777), 0);
    assert_int_equal(divvy_folder_base_open(base, &error), -EPERM);
    assert_int_equal(fchmod(base_fd, 0700), 0);
    assert_true(divvy_folder_base_open("/proc/no/such/place", &error) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_made_is_found_again),
        cmocka_unit_test(what_others_say_of_a_tenant_is_passed_over),
        cmocka_unit_test(half_made_folders_are_known),
        cmocka_unit_test(hostile_control_pages_are_refused),
        cmocka_unit_test(folders_in_use_are_left_alone),
        cmocka_unit_test(a_base_of_others_is_refused),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
