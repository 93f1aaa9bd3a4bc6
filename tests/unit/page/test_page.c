/*
 * The usage page: files made and refused, devices, slots, and the ledger against a model.
 */
#include "page/page.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static void path_in(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s", folder, name);
}

static int folder_make(void **state) {
    (void)state;
    strcpy(folder, "/tmp/divvy-page-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state) {
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct divvy_page *page_new(void) {
    struct divvy_page *page = NULL;

    assert_int_equal(divvy_page_open_anonymous("test", 1, &page), 0);
    return page;
}

static void test_created_once(void **state) {
    char path[128];
    int children = 16, status;

    (void)state;
    path_in(path, sizeof path, "once");
    for (int i = 0; i < children; i++) {
        if (fork() == 0) {
            struct divvy_page *page;
            struct divvy_page_identity self;
            int fd;

            divvy_page_identity_self(&self);
            if (divvy_page_open(path, "t", 7, &page, &fd) < 0 || page->tenant_hash != 7)
                _exit(1);
            _exit(divvy_page_slot_claim(page, &self) < 0);
        }
    }
    for (int i = 0; i < children; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    struct divvy_page *page;
    struct divvy_page_identity self;
    int fd;

    divvy_page_identity_self(&self);
    assert_int_equal(divvy_page_open(path, "t", 7, &page, &fd), 0);
    assert_int_equal(divvy_page_reap(page, &self) > 0, 1);
    for (unsigned i = 0; i < DIVVY_PAGE_SLOTS; i++)
        assert_int_equal(page->slots[i].owner.low, 0);
    divvy_page_close(page);
    close(fd);
}

static void write_file(const char *path, const void *bytes, size_t size, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void test_foreign_files_refused(void **state) {
    static const size_t sizes[] = {0,
                                   1,
                                   8,
                                   16,
                                   271,
                                   272,
                                   4096,
                                   sizeof(struct divvy_page) - 8,
                                   sizeof(struct divvy_page) - 1,
                                   sizeof(struct divvy_page) + 1};
    struct divvy_page *whole = page_new(), *page = NULL;
    const struct divvy_page *readonly = NULL;
    char *larger = calloc(1, sizeof *whole + 1);
    char path[128];
    int fd = -1;

    (void)state;
    memcpy(larger, whole, sizeof *whole);
    path_in(path, sizeof path, "foreign");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_file(path, larger, sizes[i], 0600);
        assert_int_equal(divvy_page_open(path, NULL, 0, &page, &fd), -EPROTO);
        assert_int_equal(divvy_page_open_readonly(path, &readonly), -EPROTO);
    }
    write_file(path, larger, sizeof *whole, 0666);
    assert_int_equal(divvy_page_open(path, NULL, 0, &page, &fd), -EPROTO);
    /* One wrong byte anywhere in the fixed header, its counters and the tenant's name apart. */
    for (size_t at = 0; at < 40; at++) {
        larger[at] ^= 1;
        write_file(path, larger, sizeof *whole, 0600);
        assert_int_equal(divvy_page_open(path, NULL, 0, &page, &fd), -EPROTO);
        larger[at] ^= 1;
    }
    unlink(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(divvy_page_open(path, NULL, 0, &page, &fd), -EPROTO);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(divvy_page_open(path, NULL, 0, &page, &fd), -EPROTO);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(divvy_page_open(path, NULL, 0, &page, &fd) < 0);
    rmdir(path);
    assert_int_equal(divvy_page_open("/nowhere/at/all", NULL, 0, &page, &fd), -ENOENT);
    free(larger);
    divvy_page_close(whole);
}

static void test_random_content_never_crashes(void **state) {
    unsigned seed = (unsigned)time(NULL);
    struct divvy_page *page = page_new();
    struct divvy_page_identity self;

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    divvy_page_identity_self(&self);
    for (int round = 0; round < 20; round++) {
        uint8_t *bytes = (uint8_t *)page;

        for (size_t i = offsetof(struct divvy_page, devices); i < sizeof *page;
             i += 1 + (size_t)rand() % 9)
            bytes[i] = (uint8_t)rand();
        /* All slots of living processes or of other namespaces would be no test of reaping. */
        for (unsigned i = 0; i < DIVVY_PAGE_SLOTS; i += 2)
            page->slots[i].owner.low = (uint64_t)self.pidns << 32 | (uint32_t)(4000000 + i);
        (void)divvy_page_reap(page, &self);
        int slot = divvy_page_slot_claim(page, &self);
        if (slot < 0)
            continue;
        for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
            (void)divvy_page_reserve(page, (unsigned)slot, device, (uint64_t)rand());
            divvy_page_charge(page, (unsigned)slot, device, UINT64_MAX);
            divvy_page_credit(page, (unsigned)slot, device, UINT64_MAX);
        }
        divvy_page_slot_release(page, (unsigned)slot);
        uint8_t uuid[16] = {1};
        (void)divvy_page_device_enter(page, uuid);
    }
    divvy_page_close(page);
}

static void test_devices_by_uuid(void **state) {
    struct divvy_page *page = page_new();
    uint8_t uuid[16] = {0};

    (void)state;
    assert_int_equal(divvy_page_device_enter(page, uuid), -EINVAL);
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++) {
        uuid[3] = (uint8_t)(i + 1);
        assert_int_equal(divvy_page_device_enter(page, uuid), (int)i);
        assert_int_equal(divvy_page_device_enter(page, uuid), (int)i);
    }
    assert_int_equal(divvy_page_device_find(page, uuid), DIVVY_PAGE_DEVICES - 1);
    uuid[3] = 200;
    assert_int_equal(divvy_page_device_find(page, uuid), -ENOENT);
    assert_int_equal(divvy_page_device_enter(page, uuid), -ENOSPC);
    divvy_page_device_propose(page, 0, 100, 300, 1000);
    divvy_page_device_propose(page, 0, 200, 400, 2000);
    assert_int_equal(page->devices[0].limit_bytes, 100);
    assert_int_equal(page->devices[0].compute_permille, 300);
    divvy_page_close(page);
}

static void test_slots(void **state) {
    struct divvy_page *page = page_new();
    struct divvy_page_identity self, other;
    int first, again;

    (void)state;
    divvy_page_identity_self(&self);
    assert_true(self.start_ticks != 0);
    first = divvy_page_slot_claim(page, &self);
    assert_true(first >= 0);
    assert_int_equal(divvy_page_reserve(page, (unsigned)first, 0, 50), 0);
    /* The same process after exec: its old slot is emptied. */
    again = divvy_page_slot_claim(page, &self);
    assert_true(again >= 0);
    assert_int_equal(divvy_page_used(page, 0), 0);
    divvy_page_slot_release(page, (unsigned)again);

    /* The pid lives, with another start time: another process. */
    other = self;
    other.start_ticks++;
    assert_true(divvy_page_slot_claim(page, &other) >= 0);
    assert_int_equal(divvy_page_reap(page, &self), 1);
    /* The pid and start time live, another program: exec. */
    other = self;
    other.image = self.image + 4096;
    if (self.image > 1) {
        assert_true(divvy_page_slot_claim(page, &other) >= 0);
        assert_int_equal(divvy_page_reap(page, &self), 1);
    }
    /* Another namespace cannot be judged. */
    other = self;
    other.pidns++;
    other.pid = 4000001;
    assert_true(divvy_page_slot_claim(page, &other) >= 0);
    assert_int_equal(divvy_page_reap(page, &self), 0);
    divvy_page_close(page);
}

static void test_slots_run_out(void **state) {
    struct divvy_page *page = page_new();
    struct divvy_page_identity self, other;

    (void)state;
    divvy_page_identity_self(&self);
    other = self;
    other.pidns++;
    for (unsigned i = 0; i < DIVVY_PAGE_SLOTS; i++) {
        other.pid = 10 + i;
        assert_int_equal(divvy_page_slot_claim(page, &other), (int)i);
    }
    assert_int_equal(divvy_page_slot_claim(page, &self), -EUSERS);
    divvy_page_close(page);
}

/* Random operations of several slots against a plain sum. */
static void test_ledger_model(void **state) {
    enum { SLOTS = 5 };
    struct divvy_page *page = page_new();
    unsigned seed = (unsigned)time(NULL), slots[SLOTS];
    uint64_t held[SLOTS] = {0}, total = 0, limit = 1000;

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    divvy_page_device_propose(page, 3, limit, 1000, 5000);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct divvy_page_identity who = {.pid = 100 + i, .pidns = 1, .start_ticks = 1};

        slots[i] = (unsigned)divvy_page_slot_claim(page, &who);
    }
    for (int step = 0; step < 200000; step++) {
        unsigned who = (unsigned)rand() % SLOTS;
        uint64_t bytes = (uint64_t)rand() % 400;

        if (rand() % 2) {
            int status = divvy_page_reserve(page, slots[who], 3, bytes);

            assert_int_equal(status, total + bytes <= limit ? 0 : -ENOMEM);
            if (status == 0) {
                held[who] += bytes;
                total += bytes;
            }
        } else {
            uint64_t credited = bytes < held[who] ? bytes : held[who];

            divvy_page_credit(page, slots[who], 3, bytes);
            held[who] -= credited;
            total -= credited;
        }
        assert_int_equal(divvy_page_used(page, 3), total);
        assert_int_equal(divvy_page_slot_bytes(page, slots[who], 3), held[who]);
        if (step % 1000 == 0) {
            divvy_page_slot_release(page, slots[who]);
            total -= held[who];
            held[who] = 0;
            assert_int_equal(divvy_page_used(page, 3), total);
            struct divvy_page_identity next = {
                .pid = 100 + who, .pidns = 1, .start_ticks = (uint64_t)step + 2};
            slots[who] = (unsigned)divvy_page_slot_claim(page, &next);
        }
    }
    divvy_page_close(page);
}

static void test_limit_edges(void **state) {
    struct divvy_page *page = page_new();

    (void)state;
    divvy_page_device_propose(page, 0, 1000, 1000, 5000);
    assert_int_equal(divvy_page_reserve(page, 0, 0, UINT64_MAX), -ENOMEM);
    assert_int_equal(divvy_page_reserve(page, 0, 0, 1001), -ENOMEM);
    assert_int_equal(divvy_page_reserve(page, 0, 0, 1000), 0);
    assert_int_equal(divvy_page_reserve(page, 0, 0, 1), -ENOMEM);
    assert_int_equal(divvy_page_reserve(page, 0, 0, 0), 0);
    divvy_page_charge(page, 0, 0, 500);
    assert_int_equal(divvy_page_used(page, 0), 1500);
    divvy_page_credit(page, 0, 0, 600);
    assert_int_equal(divvy_page_reserve(page, 0, 0, 100), 0);
    divvy_page_credit(page, 0, 0, 2000);
    assert_int_equal(divvy_page_used(page, 0), 0);
    assert_int_equal(page->devices[0].clamped, 1);
    /* No limit. */
    divvy_page_device_propose(page, 1, DIVVY_PAGE_UNLIMITED, 1000, 5000);
    assert_int_equal(divvy_page_reserve(page, 0, 1, UINT64_MAX / 2), 0);
    assert_int_equal(divvy_page_reserve(page, 0, 1, UINT64_MAX / 2), 0);
    assert_int_equal(divvy_page_reserve(page, 0, 1, 2), -ENOMEM);
    divvy_page_close(page);
}

static void test_sweep(void **state) {
    struct divvy_page_identity self;
    struct divvy_page *page;
    char path[128], held[128];
    int fd, held_fd;

    (void)state;
    divvy_page_identity_self(&self);
    path_in(path, sizeof path, "idle");
    path_in(held, sizeof held, "held");
    assert_int_equal(divvy_page_open(path, NULL, 0, &page, &fd), 0);
    divvy_page_close(page);
    close(fd);
    assert_int_equal(divvy_page_open(held, NULL, 0, &page, &held_fd), 0);
    path_in(path, sizeof path, "notes.txt");
    write_file(path, "hello", 5, 0600);
    assert_true(divvy_page_sweep(folder, &self) >= 1);
    path_in(path, sizeof path, "idle");
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(held, F_OK), 0);
    path_in(path, sizeof path, "notes.txt");
    assert_int_equal(access(path, F_OK), 0);
    /* The lock is lost, but the slot's owner lives. */
    assert_true(divvy_page_slot_claim(page, &self) >= 0);
    close(held_fd);
    assert_int_equal(divvy_page_sweep(folder, &self), 0);
    assert_int_equal(access(held, F_OK), 0);
    divvy_page_close(page);
}

/* Readers look at the slots below slots_high only: every slot that was ever taken lies there. */
static void test_slots_high(void **state) {
    struct divvy_page *page = page_new();

    (void)state;
    assert_int_equal(page->slots_high, 0);
    for (unsigned i = 0; i < 40; i++) {
        /* of another pid namespace: nobody can tell that they are dead */
        struct divvy_page_identity who = {.pid = 1000 + i, .pidns = 1, .start_ticks = 5};
        int slot = divvy_page_slot_claim(page, &who);

        assert_true(slot >= 0 && (uint64_t)slot < page->slots_high);
        assert_true(page->slots_high <= i + 1);
        if (i % 3 == 0)
            divvy_page_slot_release(page, (unsigned)slot);
    }
    divvy_page_close(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_high),
        cmocka_unit_test(test_created_once),
        cmocka_unit_test(test_foreign_files_refused),
        cmocka_unit_test(test_random_content_never_crashes),
        cmocka_unit_test(test_devices_by_uuid),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_slots_run_out),
        cmocka_unit_test(test_ledger_model),
        cmocka_unit_test(test_limit_edges),
        cmocka_unit_test(test_sweep),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
