/* Usage pages as tenants may leave them: nothing in them may harm the reader, and lies stay within bounds. */
#include "daemon/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct divvy_page copy, page;
static char folder[64];
static int folder_fd;
static uint64_t dice;

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static uint64_t draw(void) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice;
}

static int begin(void **state) {
    const char *given = getenv("DIVVY_TEST_SEED");

    (void)state;
    dice = (given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL)) * 2 + 1;
    printf("seed %llu\n", (unsigned long long)dice / 2);
    strcpy(folder, "/tmp/divvy-usage-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder_fd < 0;
}

static int end(void **state) {
    (void)state;
    (void)unlinkat(folder_fd, "usage", 0);
    (void)close(folder_fd);
    return rmdir(folder);
}

static void page_write(const void *bytes, size_t size) {
    int fd;

    (void)unlinkat(folder_fd, "usage", 0);
    fd = openat(folder_fd, "usage", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    assert_int_equal(close(fd), 0);
}

static void page_make(void) {
    struct divvy_page *made;

    assert_int_equal(divvy_page_open_anonymous("test", 1, &made), 0);
    assert_int_equal(divvy_page_device_enter(made, uuid), 0);
    page = *made;
    divvy_page_close(made);
}

static int page_read(struct divvy_usage *usage, const uint32_t *pidns,
                     struct divvy_usage_device *ret) {
    return divvy_usage_read(usage, folder_fd, geteuid(), uuid, INT64_C(1000000000000), pidns, ret);
}

static void what_processes_say_is_summed_up(void **state) {
    struct divvy_usage usage;
    struct divvy_usage_device sums;
    struct divvy_usage_process processes[8];

    (void)state;
    page_make();
    page.devices[0].used.low = 1000;
    page.devices[0].compute.charged_ns = 77;
    page.slots_high = 6;
    for (int i = 1; i < 6;
         i += 4) { /* two processes; one beyond the slots that are read at first */
        page.slots[i].owner.low = (uint64_t)getpid();
        page.slots[i].owner.high = 9 << 2 | DIVVY_PAGE_STATE_LIVE;
        page.slots[i].usage[0].waiting = 2;
        page.slots[i].usage[0].inflight_ns = 500;
        page.slots[i].usage[0].drain_ns = 1000000000400;
        page.slots[i].usage[0].late_ns = i == 1 ? 90000 : 70000;
        page.slots[i].cells[0].bytes = 500;
    }
    page.slots[2] = page.slots[1];
    page.slots[2].owner.low++;
    page.slots[2].cells[0].bytes = page.slots[2].usage[0].waiting = page.slots[2].usage[0].inflight_ns = 0;
    page.slots[2].usage[0].late_ns = UINT64_MAX; /* nobody is so late */
    page_write(&page, sizeof page);
    divvy_usage_init(&usage, &copy);
    assert_int_equal(page_read(&usage, NULL, &sums), 0);
    assert_int_equal(sums.used_bytes, 1000);
    assert_int_equal(sums.charged_ns, 77);
    assert_int_equal(sums.waiting, 4);
    assert_int_equal(sums.processes, 3);
    assert_int_equal(sums.late_ns, 70000); /* of the quickest */
    assert_int_equal(sums.inflight_ns, 1000);
    assert_int_equal(sums.last_ns, 1000000000400);
    assert_int_equal(sums.drain_ns, 1000000001000); /* they share the device */
    assert_int_equal(divvy_usage_processes(&usage, folder_fd, geteuid(), processes, 8), 3);
    assert_int_equal(processes[2].pid, getpid());
    assert_int_equal(processes[2].used_bytes, 500);
    divvy_usage_close(&usage);
}

static void the_dead_count_for_nothing(void **state) {
    struct divvy_usage usage;
    struct divvy_usage_device sums;
    uint32_t pidns = 4711;
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    page_make();
    page.slots_high = 2;
    page.devices[0].used.low = 300;
    for (int i = 0; i < 2; i++) {
        page.slots[i].owner.low = (uint64_t)(i ? getpid() : child) | (uint64_t)pidns << 32;
        page.slots[i].owner.high = DIVVY_PAGE_STATE_LIVE;
        page.slots[i].usage[0].waiting = 1;
        page.slots[i].cells[0].bytes = i ? 100 : 200;
    }
    page_write(&page, sizeof page);
    divvy_usage_init(&usage, &copy);
    assert_int_equal(page_read(&usage, &pidns, &sums), 0);
    assert_int_equal(sums.waiting, 1);
    assert_int_equal(sums.used_bytes, 100);
    pidns++; /* of another namespace nothing is known */
    assert_int_equal(page_read(&usage, &pidns, &sums), 0);
    assert_int_equal(sums.waiting, 2);
    divvy_usage_close(&usage);
}

static void other_files_are_refused(void **state) {
    struct divvy_usage usage;
    struct divvy_usage_device sums;
    static char bytes[sizeof(struct divvy_page)];

    (void)state;
    divvy_usage_init(&usage, &copy);
    (void)unlinkat(folder_fd, "usage", 0);
    assert_int_equal(page_read(&usage, NULL, &sums), -ENOENT);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)draw();
    page_write(bytes, sizeof bytes);
    assert_int_equal(page_read(&usage, NULL, &sums), -EPROTO);
    page_write(bytes, 100);
    assert_int_equal(page_read(&usage, NULL, &sums), -EPROTO);
    page_make();
    page_write(&page, sizeof page - 1);
    assert_int_equal(page_read(&usage, NULL, &sums), -EPROTO);
    page_write(&page, sizeof page);
    assert_int_equal(divvy_usage_read(&usage, folder_fd, geteuid() + 1, uuid, 1, NULL, &sums),
                     -EPROTO);
    assert_int_equal(page_read(&usage, NULL, &sums), 0);
    divvy_usage_close(&usage);

    (void)unlinkat(folder_fd, "usage", 0);
    assert_int_equal(symlinkat("/etc/passwd", folder_fd, "usage"), 0);
    assert_int_equal(page_read(&usage, NULL, &sums), -EPROTO);
    (void)unlinkat(folder_fd, "usage", 0);
    assert_int_equal(mkfifoat(folder_fd, "usage", 0600), 0);
    assert_int_equal(page_read(&usage, NULL, &sums), -EPROTO); /* and does not wait for a writer */
    divvy_usage_close(&usage);
}

static void a_file_that_shrinks_is_refused_and_another_taken(void **state) {
    struct divvy_usage usage;
    struct divvy_usage_device sums;
    char path[80];

    (void)state;
    page_make();
    page_write(&page, sizeof page);
    divvy_usage_init(&usage, &copy);
    assert_int_equal(page_read(&usage, NULL, &sums), 0);
    (void)snprintf(path, sizeof path, "%s/usage", folder);
    assert_int_equal(truncate(path, 4096), 0);
    assert_int_equal(page_read(&usage, NULL, &sums), -EPROTO);
    page_write(&page, sizeof page);
    assert_int_equal(page_read(&usage, NULL, &sums), 0);
    divvy_usage_close(&usage);
}

static void folder_time_set(time_t seconds) {
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

    assert_int_equal(futimens(folder_fd, times), 0);
}

/* Looks are spared while the folder does not change: a page is seen as soon as it is there, and even one whose making left no trace. */
static void a_page_that_comes_late_is_seen(void **state) {
    const time_t long_ago = time(NULL) - 3600;
    struct divvy_usage usage;
    struct divvy_usage_device sums;
    unsigned looks = 0;

    (void)state;
    page_make();
    divvy_usage_init(&usage, &copy);
    for (unsigned looks_before = 0; looks_before < 40; looks_before++) { /* whatever the reader remembers by then */
        (void)unlinkat(folder_fd, "usage", 0);
        folder_time_set(long_ago);
        for (unsigned i = 0; i < looks_before; i++)
            assert_int_equal(page_read(&usage, NULL, &sums), -ENOENT);
        page_write(&page, sizeof page);
        assert_int_equal(page_read(&usage, NULL, &sums), 0);
        divvy_usage_close(&usage);
    }
    (void)unlinkat(folder_fd, "usage", 0);
    folder_time_set(long_ago);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(page_read(&usage, NULL, &sums), -ENOENT);
    page_write(&page, sizeof page);
    folder_time_set(long_ago);
    while (page_read(&usage, NULL, &sums) == -ENOENT && looks < 100)
        looks++;
    assert_in_range(looks, 1, 16); /* it was spared some, or this shows nothing */
    divvy_usage_close(&usage);

    /* A folder that has only just changed is looked into each time: its next change may not show. */
    (void)unlinkat(folder_fd, "usage", 0);
    folder_time_set(time(NULL));
    assert_int_equal(page_read(&usage, NULL, &sums), -ENOENT);
    page_write(&page, sizeof page);
    folder_time_set(time(NULL));
    assert_int_equal(page_read(&usage, NULL, &sums), 0);
    divvy_usage_close(&usage);
}

/* Any contents behind a right header. */
static void lies_stay_within_bounds(void **state) {
    struct divvy_usage usage;
    struct divvy_usage_device sums;
    struct divvy_usage_process processes[16];

    (void)state;
    divvy_usage_init(&usage, &copy);
    for (int round = 0; round < 50; round++) {
        uint64_t *words = (uint64_t *)&page.slots;
        int fd, count;

        page_make();
        for (size_t i = 0; i < sizeof page.slots / 128; i++)
            words[i] = draw() % 3 ? draw() : draw() % 2 ? UINT64_MAX : 0;
        page.slots_high = draw() % 2 ? draw() : draw() % 40;
        page.devices[0].used.low = draw();
        page_write(&page, sizeof page);
        divvy_usage_close(&usage);
        assert_int_equal(page_read(&usage, NULL, &sums), 0);
        assert_true(sums.processes <= DIVVY_PAGE_SLOTS);
        assert_true(sums.drain_ns >= INT64_C(1000000000000));
        assert_true(sums.drain_ns <= INT64_C(1000000000000) + INT64_C(600000000000));
        count = divvy_usage_processes(&usage, folder_fd, geteuid(), processes, 16);
        assert_in_range(count, 0, 16);
        fd =
            openat(folder_fd, "usage", O_WRONLY | O_CLOEXEC); /* and torn under the reader's eyes */
        assert_int_equal(pwrite(fd, &dice, sizeof dice, (off_t)(draw() % 64)), sizeof dice);
        assert_int_equal(close(fd), 0);
        assert_true(page_read(&usage, NULL, &sums) <= 0);
    }
    divvy_usage_close(&usage);
}

struct scribbler {
    bool stop;
    uint64_t writes;
};

static void *scribble(void *data) {
    struct scribbler *scribbler = data;
    int fd = openat(folder_fd, "usage", O_WRONLY | O_CLOEXEC);

    while (!__atomic_load_n(&scribbler->stop, __ATOMIC_RELAXED)) {
        uint64_t word = (uint64_t)random();

        (void)!pwrite(fd, &word, sizeof word, (off_t)((size_t)random() % 20000));
        if (random() % 64 == 0)
            (void)!ftruncate(fd, random() % 2 ? 1000 : (off_t)sizeof(struct divvy_page));
        if (random() % 64 == 0)
            (void)!pwrite(fd, &page, offsetof(struct divvy_page, slots), 0);
        __atomic_fetch_add(&scribbler->writes, 1, __ATOMIC_RELAXED);
    }
    (void)close(fd);
    return NULL;
}

static void a_page_that_changes_all_the_time_does_no_harm(void **state) {
    struct divvy_usage usage;
    struct divvy_usage_device sums;
    struct scribbler scribbler = {0};
    pthread_t writer;
    unsigned refused = 0;

    (void)state;
    page_make();
    page_write(&page, sizeof page);
    divvy_usage_init(&usage, &copy);
    assert_int_equal(pthread_create(&writer, NULL, scribble, &scribbler), 0);
    /* as long as it takes for the writer to have done its worst, however late it comes to run */
    while (__atomic_load_n(&scribbler.writes, __ATOMIC_RELAXED) < 20000) {
        int status = page_read(&usage, NULL, &sums);

        assert_true(status == 0 || status == -EPROTO || status == -ENOENT);
        refused += status != 0;
    }
    __atomic_store_n(&scribbler.stop, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_true(refused > 0);
    divvy_usage_close(&usage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_processes_say_is_summed_up),
        cmocka_unit_test(the_dead_count_for_nothing),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(a_file_that_shrinks_is_refused_and_another_taken),
        cmocka_unit_test(a_page_that_comes_late_is_seen),
        cmocka_unit_test(lies_stay_within_bounds),
        cmocka_unit_test(a_page_that_changes_all_the_time_does_no_harm),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
