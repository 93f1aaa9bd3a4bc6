/* Allocation: cases by hand, and random claims against a book that is added up anew each time. */
#include "node/allotment.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)

static const struct divvy_node_overcommit exact = {1000, 1000};

static struct divvy_node_capacity device_of(const char *uuid) {
    struct divvy_node_capacity capacity = {.memory_bytes = 16 * GIB,
                                           .tflops = 100,
                                           .workers_max = 4,
                                           .partitions_max = 2,
                                           .partitioning = true,
                                           .soft = true,
                                           .hard = true,
                                           .healthy = true};

    (void)snprintf(capacity.uuid, sizeof capacity.uuid, "%s", uuid);
    return capacity;
}

static struct divvy_node_worker worker_of(const char *uid, uint64_t bytes, uint64_t percent, unsigned int count, ...) {
    struct divvy_node_worker worker = {.device_count = count};
    va_list devices;

    (void)snprintf(worker.uid, sizeof worker.uid, "%s", uid);
    worker.limits.vram_bytes = bytes;
    worker.limits.compute.whole = percent;
    va_start(devices, count);
    for (unsigned int i = 0; i < count; i++)
        (void)snprintf(worker.devices[i], sizeof worker.devices[i], "%s", va_arg(devices, const char *));
    va_end(devices);
    return worker;
}

static char why[DIVVY_NODE_TEXT_BYTES];

static int claim(struct divvy_node_allotment *book, const struct divvy_node_worker *worker, enum divvy_node_isolation mode) {
    return divvy_node_allotment_claim(book, worker, mode, exact, NULL, why);
}

static struct divvy_node_allotment *book_of(const char *const *uuids, size_t count) {
    struct divvy_node_allotment *book;

    assert_int_equal(divvy_node_allotment_new(&book), 0);
    for (size_t i = 0; i < count; i++) {
        struct divvy_node_capacity capacity = device_of(uuids[i]);

        assert_int_equal(divvy_node_allotment_device_set(book, &capacity), 0);
    }
    return book;
}

static const char *const pair[] = {"GPU-A", "GPU-B"};

static void memory_and_compute_are_counted(void **data) {
    struct divvy_node_allotment *book = book_of(pair, 2);
    struct divvy_node_worker a = worker_of("a", 10 * GIB, 60, 1, "gpu-a"), b = worker_of("b", 8 * GIB, 20, 1, "GPU-A"),
                             c = worker_of("c", 4 * GIB, 50, 1, "GPU-A"), d = worker_of("d", 20 * GIB, 10, 1, "GPU-B");
    struct divvy_node_overcommit twice = {2000, 1000};
    struct divvy_node_given given;

    (void)data;
    assert_int_equal(claim(book, &a, DIVVY_NODE_SOFT), 0);
    assert_int_equal(claim(book, &b, DIVVY_NODE_SOFT), -EDQUOT);
    assert_non_null(strstr(why, "memory"));
    assert_int_equal(claim(book, &c, DIVVY_NODE_SOFT), -EDQUOT);
    assert_non_null(strstr(why, "time"));
    assert_int_equal(divvy_node_allotment_claim(book, &b, DIVVY_NODE_SOFT, twice, NULL, why), 0);
    assert_int_equal(claim(book, &d, DIVVY_NODE_SOFT), -EINVAL); /* more than the device has, whatever the factor */
    assert_int_equal(divvy_node_allotment_device_given(book, "GPU-A", &given), 0);
    assert_int_equal(given.memory_bytes, 18 * GIB);
    assert_int_equal(given.compute_permille, 800);
    assert_int_equal(divvy_node_allotment_release(book, "a"), 0);
    assert_int_equal(divvy_node_allotment_release(book, "a"), -ENOENT);
    assert_int_equal(claim(book, &c, DIVVY_NODE_SOFT), 0);
    divvy_node_allotment_free(book);
}

static void all_or_nothing(void **data) {
    struct divvy_node_allotment *book = book_of(pair, 2);
    struct divvy_node_worker full = worker_of("full", 16 * GIB, 0, 1, "GPU-B"), both = worker_of("both", GIB, 0, 2, "GPU-A", "GPU-B"),
                             twice = worker_of("twice", GIB, 0, 2, "GPU-A", "gpu-a"), none = worker_of("none", GIB, 0, 0),
                             other = worker_of("other", GIB, 0, 2, "GPU-A", "GPU-C");
    struct divvy_node_given given;

    (void)data;
    assert_int_equal(claim(book, &full, DIVVY_NODE_SOFT), 0);
    assert_int_equal(claim(book, &both, DIVVY_NODE_SOFT), -EDQUOT);
    assert_int_equal(claim(book, &twice, DIVVY_NODE_SOFT), -EINVAL);
    assert_int_equal(claim(book, &none, DIVVY_NODE_SOFT), -EINVAL);
    assert_int_equal(claim(book, &other, DIVVY_NODE_SOFT), -ENODEV);
    assert_int_equal(divvy_node_allotment_device_given(book, "GPU-A", &given), 0);
    assert_int_equal(given.workers, 0);
    assert_int_equal(given.memory_bytes, 0);
    assert_int_equal(divvy_node_allotment_count(book), 1);
    divvy_node_allotment_free(book);
}

static void a_change_that_fails_changes_nothing(void **data) {
    struct divvy_node_allotment *book = book_of(pair, 2);
    struct divvy_node_worker a = worker_of("a", 10 * GIB, 0, 1, "GPU-A"), b = worker_of("b", 6 * GIB, 0, 1, "GPU-A"),
                             more = worker_of("a", 11 * GIB, 0, 1, "GPU-A"), moved = worker_of("a", 16 * GIB, 0, 1, "GPU-B");
    struct divvy_node_claims claims;

    (void)data;
    assert_int_equal(claim(book, &a, DIVVY_NODE_HARD), 0);
    assert_int_equal(claim(book, &b, DIVVY_NODE_HARD), 0);
    assert_int_equal(claim(book, &a, DIVVY_NODE_HARD), 0); /* again, the same */
    assert_int_equal(claim(book, &more, DIVVY_NODE_HARD), -EDQUOT);
    assert_int_equal(divvy_node_allotment_get(book, "a", &claims), 0);
    assert_int_equal(claims.claims[0].demand.limit_bytes, 10 * GIB);
    assert_int_equal(claim(book, &moved, DIVVY_NODE_HARD), 0);
    assert_int_equal(divvy_node_allotment_get(book, "a", &claims), 0);
    assert_string_equal(claims.claims[0].uuid, "GPU-B");
    divvy_node_allotment_free(book);
}

static void partitions_and_whole_devices(void **data) {
    struct divvy_node_allotment *book = book_of(pair, 2);
    struct divvy_node_worker p = worker_of("p", 0, 0, 2, "GPU-A", "GPU-A"), q = worker_of("q", 0, 0, 1, "GPU-A"),
                             w = worker_of("w", 0, 0, 1, "GPU-A");
    struct divvy_node_capacity no = device_of("GPU-C");
    struct divvy_node_given given;

    (void)data;
    assert_int_equal(claim(book, &p, DIVVY_NODE_PARTITIONED), -EINVAL); /* no template */
    (void)snprintf(p.template_id, sizeof p.template_id, "1g.18gb");
    (void)snprintf(q.template_id, sizeof q.template_id, "1g.18gb");
    assert_int_equal(claim(book, &p, DIVVY_NODE_PARTITIONED), 0);
    assert_int_equal(claim(book, &q, DIVVY_NODE_PARTITIONED), -EUSERS);
    assert_int_equal(claim(book, &w, DIVVY_NODE_SHARED), -EBUSY);
    assert_int_equal(divvy_node_allotment_device_given(book, "GPU-A", &given), 0);
    assert_int_equal(given.partitions, 2);
    assert_int_equal(divvy_node_allotment_release(book, "p"), 0);
    assert_int_equal(claim(book, &w, DIVVY_NODE_SHARED), 0);
    assert_int_equal(claim(book, &q, DIVVY_NODE_PARTITIONED), -EBUSY);
    no.partitioning = no.soft = false;
    assert_int_equal(divvy_node_allotment_device_set(book, &no), 0);
    (void)snprintf(q.devices[0], sizeof q.devices[0], "GPU-C");
    assert_int_equal(claim(book, &q, DIVVY_NODE_PARTITIONED), -EOPNOTSUPP);
    assert_int_equal(claim(book, &q, DIVVY_NODE_SOFT), -EOPNOTSUPP);
    assert_int_equal(claim(book, &q, DIVVY_NODE_HARD), 0);
    divvy_node_allotment_free(book);
}

static void devices_come_and_go(void **data) {
    struct divvy_node_allotment *book = book_of(pair, 2);
    struct divvy_node_worker a = worker_of("a", GIB, 0, 1, "GPU-A"), b = worker_of("b", GIB, 0, 1, "GPU-A");
    struct divvy_node_capacity again = device_of("gpu-a");
    struct divvy_node_claims claims;

    (void)data;
    assert_int_equal(claim(book, &a, DIVVY_NODE_SOFT), 0);
    assert_int_equal(divvy_node_allotment_device_lose(book, "GPU-A"), 0);
    assert_int_equal(divvy_node_allotment_get(book, "a", &claims), 0);
    assert_true(claims.claims[0].lost);
    assert_int_equal(claim(book, &b, DIVVY_NODE_SOFT), -ENODEV);
    assert_int_equal(divvy_node_allotment_device_remove(book, "GPU-A"), -EBUSY);
    assert_int_equal(divvy_node_allotment_device_set(book, &again), 0);
    assert_int_equal(divvy_node_allotment_get(book, "a", &claims), 0);
    assert_false(claims.claims[0].lost);
    assert_int_equal(divvy_node_allotment_release(book, "a"), 0);
    assert_int_equal(divvy_node_allotment_device_remove(book, "GPU-A"), 0);
    assert_int_equal(divvy_node_allotment_device_lose(book, "GPU-A"), -ENOENT);
    divvy_node_allotment_free(book);
}

static void demands(void **data) {
    struct divvy_node_worker w = worker_of("w", 0, 0, 1, "GPU-A");
    struct divvy_node_demand demand;

    (void)data;
    assert_int_equal(divvy_node_worker_demand(&w, 16 * GIB, 100, &demand, why), 0);
    assert_int_equal(demand.limit_permille, 1000);
    assert_int_equal(demand.reserve_permille, 0);
    w.limits.tflops.whole = 33;
    w.limits.tflops.nano = 500000000;
    assert_int_equal(divvy_node_worker_demand(&w, 16 * GIB, 100, &demand, why), 0);
    assert_int_equal(demand.limit_permille, 340);
    assert_int_equal(divvy_node_worker_demand(&w, 16 * GIB, 0, &demand, why), -EINVAL);
    assert_int_equal(divvy_node_worker_demand(&w, 16 * GIB, 33, &demand, why), -EINVAL);
    w.limits.compute.whole = 50; /* goes before TFLOPS */
    assert_int_equal(divvy_node_worker_demand(&w, 16 * GIB, 0, &demand, why), 0);
    assert_int_equal(demand.limit_permille, 500);
    w.requests.compute.whole = 60;
    assert_int_equal(divvy_node_worker_demand(&w, 16 * GIB, 0, &demand, why), -EINVAL);
    w.requests.compute.whole = 20;
    assert_int_equal(divvy_node_worker_demand(&w, 16 * GIB, 0, &demand, why), 0);
    assert_int_equal(demand.reserve_permille, 200);
    w.requests.compute.whole = 0;
    w.limits.compute = (divvy_node_quantity_t){101, 0};
    assert_int_equal(divvy_node_worker_demand(&w, 16 * GIB, 0, &demand, why), -EINVAL);
}

/* --- random ------------------------------------------------------------------------------------------------------------------ */

#define DEVICES 5
#define WORKERS 40

struct model {
    bool claimed;
    bool partitioned;
    struct divvy_node_worker worker;
};

static struct divvy_node_worker random_worker(int number) {
    struct divvy_node_worker worker = worker_of("", (uint64_t)(random() % 18) * GIB, (uint64_t)(random() % 60), 0);

    (void)snprintf(worker.uid, sizeof worker.uid, "worker-%d", number);
    worker.has_isolation = true;
    worker.isolation = random() % 5 ? (enum divvy_node_isolation)(random() % 3) : DIVVY_NODE_PARTITIONED;
    (void)snprintf(worker.template_id, sizeof worker.template_id, "t");
    worker.device_count = (uint32_t)(random() % 4);
    for (uint32_t i = 0; i < worker.device_count; i++)
        (void)snprintf(worker.devices[i], sizeof worker.devices[i], random() % 2 ? "GPU-%c" : "gpu-%c", (int)('A' + random() % DEVICES));
    return worker;
}

/* What the models' claims come to on a device; whether that is allowed. */
static void device_check(const struct divvy_node_allotment *book, const struct model *models, int device) {
    struct divvy_node_given given, sum = {0};
    char uuid[16];

    (void)snprintf(uuid, sizeof uuid, "GPU-%c", 'A' + device);
    for (int w = 0; w < WORKERS; w++)
        for (uint32_t i = 0; models[w].claimed && i < models[w].worker.device_count; i++) {
            if ((models[w].worker.devices[i][4] | 0x20) != 'a' + device)
                continue;
            sum.workers++;
            sum.partitions += models[w].partitioned;
            if (!models[w].partitioned) {
                sum.memory_bytes += models[w].worker.limits.vram_bytes;
                sum.compute_permille += models[w].worker.limits.compute.whole * 10;
            }
        }
    assert_int_equal(divvy_node_allotment_device_given(book, uuid, &given), 0);
    assert_memory_equal(&given, &sum, sizeof sum);
    assert_true(sum.memory_bytes <= 16 * GIB && sum.compute_permille <= 1000 && sum.workers <= 4 && sum.partitions <= 2);
    assert_true(sum.partitions == 0 || sum.partitions == sum.workers);
}

static void random_claims(void **data) {
    static const char *const uuids[DEVICES] = {"GPU-A", "GPU-B", "GPU-C", "GPU-D", "GPU-E"};
    static struct model models[WORKERS];
    struct divvy_node_allotment *book = book_of(uuids, DEVICES);
    unsigned int seed = (unsigned int)time(NULL), granted = 0, refused = 0;
    size_t count = 0;

    (void)data;
    print_message("seed %u\n", seed);
    srandom(seed);
    for (size_t step = 0; step < 30000; step++) {
        int number = (int)(random() % WORKERS);
        struct model *model = &models[number];

        if (random() % 3 == 0) {
            char uid[32];

            (void)snprintf(uid, sizeof uid, "worker-%d", number);
            assert_int_equal(divvy_node_allotment_release(book, uid), model->claimed ? 0 : -ENOENT);
            count -= model->claimed;
            model->claimed = false;
        } else {
            struct divvy_node_worker worker = random_worker(number);

            if (claim(book, &worker, DIVVY_NODE_SOFT) == 0) {
                count += !model->claimed;
                *model = (struct model){true, worker.isolation == DIVVY_NODE_PARTITIONED, worker};
                granted++;
            } else {
                refused++;
            }
        }
        for (int device = 0; device < DEVICES; device++)
            device_check(book, models, device);
        assert_int_equal(divvy_node_allotment_count(book), count);
    }
    assert_true(granted > 1000 && refused > 1000);
    divvy_node_allotment_free(book);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_compute_are_counted), cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(a_change_that_fails_changes_nothing), cmocka_unit_test(partitions_and_whole_devices),
        cmocka_unit_test(devices_come_and_go), cmocka_unit_test(demands), cmocka_unit_test(random_claims),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
