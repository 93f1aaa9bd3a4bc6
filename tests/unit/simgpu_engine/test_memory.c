/* Device memory on a real machine: pool, lookup, physical handles, reserved addresses. */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#define GIB  (UINT64_C(1) << 30)
#define PAGE ((uint64_t)DIVVY_SIMGPU_PAGE_BYTES)

static uint64_t used(void) {
    uint64_t free_bytes = 0, total = 0;

    assert_int_equal(divvy_simgpu_mem_info(0, &free_bytes, &total), 0);
    return total - free_bytes;
}

static void charges_are_rounded_and_come_back(void **state) {
    uint64_t a, b, c;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 1, 0, 0, &a), 0);
    assert_int_equal(used(), 512);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 513, 0, 0, &b), 0);
    assert_int_equal(used(), 512 * 3);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 100, 65536, 0, &c), 0);
    assert_int_equal(c % 65536, 0);
    assert_int_equal(divvy_simgpu_mem_free(b), 0);
    assert_int_equal(divvy_simgpu_mem_free(b), -EINVAL);
    assert_int_equal(divvy_simgpu_mem_free(a + 1), -EINVAL);
    assert_int_equal(divvy_simgpu_mem_free(0), -EINVAL);
    assert_int_equal(divvy_simgpu_mem_free(a), 0);
    assert_int_equal(divvy_simgpu_mem_free(c), 0);
    assert_int_equal(used(), 0);
    assert_int_equal(divvy_simgpu_mem_charge(0, 4096), 0);
    assert_int_equal(used(), 4096);
    assert_int_equal(divvy_simgpu_mem_charge(0, -4097), -EINVAL);
    assert_int_equal(divvy_simgpu_mem_charge(0, -4096), 0);
    assert_int_equal(used(), 0);
    divvy_simgpu_detach();
}

static void the_pool_is_exact(void **state) {
    uint64_t a, b;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, GIB + 1, 0, 0, &a), -ENOMEM);
    assert_int_equal(divvy_simgpu_mem_alloc(0, UINT64_MAX, 0, 0, &a), -ENOMEM);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 0, 0, 0, &a), -EINVAL);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 8, 3, 0, &a), -EINVAL);
    assert_int_equal(divvy_simgpu_mem_alloc(1, 8, 0, 0, &a), -ENODEV);
    assert_int_equal(divvy_simgpu_mem_alloc(0, GIB - 512, 0, 0, &a), 0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 513, 0, 0, &b), -ENOMEM);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 512, 0, 0, &b), 0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 1, 0, 0, &b), -ENOMEM);
    assert_int_equal(divvy_simgpu_mem_free(a), 0);
    assert_int_equal(used(), 512);
    divvy_simgpu_detach();
}

static void addresses_can_be_used_and_found(void **state) {
    divvy_simgpu_range_t range;
    uint64_t a, b;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 3 * PAGE + 100, 0, 7, &a), 0);
    assert_int_equal(divvy_simgpu_mem_alloc(0, 1000, 0, 8, &b), 0);
    memset((void *)(uintptr_t)a, 0x5A, 3 * PAGE + 100);
    assert_int_equal(divvy_simgpu_mem_lookup(a + 3 * PAGE + 99, &range), 0);
    assert_int_equal(range.base, a);
    assert_int_equal(range.bytes, 3 * PAGE + 100);
    assert_int_equal(range.tag, 7);
    assert_int_equal(range.kind, DIVVY_SIMGPU_RANGE_LINEAR);
    assert_int_equal(divvy_simgpu_mem_lookup(a + 3 * PAGE + 100, &range), -EFAULT);
    assert_int_equal(divvy_simgpu_mem_lookup((uint64_t)(uintptr_t)&range, &range), -EFAULT);
    assert_true(divvy_simgpu_mem_valid(a, 3 * PAGE + 100, true));
    assert_false(divvy_simgpu_mem_valid(a, 3 * PAGE + 101, true));
    assert_true(divvy_simgpu_mem_valid(0, 0, true));
    assert_false(divvy_simgpu_mem_valid(a - 1, 1, false));
    divvy_simgpu_mem_zero(a + 1, 3 * PAGE);
    assert_int_equal(*(uint8_t *)(uintptr_t)a, 0x5A);
    for (uint64_t i = 1; i <= 3 * PAGE; i += 997)
        assert_int_equal(*(uint8_t *)(uintptr_t)(a + i), 0);
    assert_int_equal(*(uint8_t *)(uintptr_t)(a + 3 * PAGE), 0);
    assert_int_equal(*(uint8_t *)(uintptr_t)(a + 3 * PAGE + 1), 0x5A);
    assert_int_equal(divvy_simgpu_mem_free(a), 0);
    assert_int_equal(divvy_simgpu_mem_lookup(a, &range), -EFAULT);
    assert_int_equal(divvy_simgpu_mem_lookup(b, &range), 0);
    divvy_simgpu_detach();
}

static void a_hundred_thousand_allocations_need_no_mappings(void **state) {
    enum { N = 100000 };
    uint64_t *addresses = malloc(N * sizeof *addresses);
    char line[512];
    int maps = 0;

    (void)state;
    real_attach(0);
    for (int i = 0; i < N; i++)
        assert_int_equal(divvy_simgpu_mem_alloc(0, 1 + (uint64_t)i % 9000, 0, 0, &addresses[i]), 0);
    FILE *file = fopen("/proc/self/maps", "r");

    while (fgets(line, sizeof line, file))
        maps++;
    fclose(file);
    assert_true(maps < 1000);
    for (int i = 0; i < N; i++)
        assert_int_equal(divvy_simgpu_mem_free(addresses[(i * 7919) % N]), 0);
    assert_int_equal(used(), 0);
    free(addresses);
    divvy_simgpu_detach();
}

static void *churn(void *arg) {
    unsigned seed = (unsigned)(uintptr_t)arg;
    uint64_t addresses[64] = {0};

    for (int i = 0; i < 20000; i++) {
        uint64_t *a = &addresses[(unsigned)rand_r(&seed) % 64];
        divvy_simgpu_range_t range;

        if (!*a) {
            if (divvy_simgpu_mem_alloc(0, 1 + (uint64_t)rand_r(&seed) % 70000, 0, 0, a) == 0)
                *(volatile char *)(uintptr_t)*a = 1;
        } else {
            if (divvy_simgpu_mem_lookup(*a, &range) < 0 || range.base != *a ||
                divvy_simgpu_mem_free(*a) < 0)
                return (void *)1;
            *a = 0;
        }
    }
    for (int i = 0; i < 64; i++)
        if (addresses[i] && divvy_simgpu_mem_free(addresses[i]) < 0)
            return (void *)2;
    return NULL;
}

static void threads_allocate_at_once(void **state) {
    pthread_t threads[4];
    void *result;

    (void)state;
    real_attach(0);
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(used(), 0);
    divvy_simgpu_detach();
}

/* --- virtual memory management ------------------------------------------------------------------------------ */

static void handles_live_while_mapped(void **state) {
    uint64_t handle, va, bytes;
    divvy_simgpu_range_t range;
    int device;

    (void)state;
    for (unsigned flags = 0; flags <= DIVVY_SIMGPU_PHYS_EXPORTABLE; flags++) {
        real_attach(0);
        assert_int_equal(divvy_simgpu_phys_create(0, PAGE + 1, flags, &handle), -EINVAL);
        assert_int_equal(divvy_simgpu_phys_create(0, 2 * GIB, flags, &handle), -ENOMEM);
        assert_int_equal(divvy_simgpu_phys_create(0, 4 * PAGE, flags, &handle), 0);
        assert_int_equal(used(), 4 * PAGE);
        assert_int_equal(divvy_simgpu_phys_info(handle, &device, &bytes), 0);
        assert_int_equal(bytes, 4 * PAGE);
        assert_int_equal(divvy_simgpu_va_reserve(16 * PAGE, 8 * PAGE, 0, &va), 0);
        assert_int_equal(va % (8 * PAGE), 0);
        assert_int_equal(divvy_simgpu_va_map(va, 4 * PAGE, handle, PAGE), -EINVAL);
        assert_int_equal(divvy_simgpu_va_map(va + 14 * PAGE, 4 * PAGE, handle, 0), -EINVAL);
        assert_int_equal(divvy_simgpu_va_map(va, 4 * PAGE, handle, 0), 0);
        assert_int_equal(divvy_simgpu_va_map(va + PAGE, PAGE, handle, 0), -EEXIST);
        assert_int_equal(divvy_simgpu_va_map(va + 4 * PAGE, 2 * PAGE, handle, 2 * PAGE),
                         0); /* an alias */
        assert_int_equal(divvy_simgpu_mem_lookup(va, &range), 0);
        assert_false(range.readable);
        assert_false(divvy_simgpu_mem_valid(va, 1, false));
        assert_int_equal(divvy_simgpu_va_protect(va, 6 * PAGE, true, true), 0);
        assert_true(divvy_simgpu_mem_valid(va, 6 * PAGE, true));
        assert_false(divvy_simgpu_mem_valid(va, 6 * PAGE + 1, true));
        *(uint32_t *)(uintptr_t)(va + 2 * PAGE + 8) = 77;
        assert_int_equal(*(uint32_t *)(uintptr_t)(va + 4 * PAGE + 8), 77);
        assert_int_equal(divvy_simgpu_phys_release(handle), 0);
        assert_int_equal(divvy_simgpu_phys_release(handle), -EINVAL);
        assert_int_equal(used(), 4 * PAGE);
        assert_int_equal(divvy_simgpu_va_free(va, 16 * PAGE), -EBUSY);
        assert_int_equal(divvy_simgpu_va_unmap(va, 2 * PAGE), -EINVAL);
        assert_int_equal(divvy_simgpu_va_unmap(va, 4 * PAGE), 0);
        assert_int_equal(used(), 4 * PAGE);
        assert_int_equal(divvy_simgpu_va_unmap(va + 4 * PAGE, 2 * PAGE), 0);
        assert_int_equal(used(), 0);
        assert_int_equal(divvy_simgpu_phys_info(handle, &device, &bytes), -EINVAL);
        assert_int_equal(divvy_simgpu_va_free(va, PAGE), -EINVAL);
        assert_int_equal(divvy_simgpu_va_free(va, 16 * PAGE), 0);
        assert_int_equal(divvy_simgpu_va_free(va, 16 * PAGE), -EINVAL);
        divvy_simgpu_detach();
    }
}

static void random_handles_come_back(void **state) {
    unsigned seed = (unsigned)divvy_simgpu_now_ns();
    struct {
        uint64_t handle, va, bytes;
    } live[40] = {0};
    uint64_t expected = 0;

    (void)state;
    print_message("seed %u\n", seed);
    real_attach(0);
    for (int step = 0; step < 3000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % 40;

        if (live[i].handle) {
            assert_int_equal(*(uint64_t *)(uintptr_t)live[i].va, live[i].handle);
            assert_int_equal(divvy_simgpu_va_unmap(live[i].va, live[i].bytes), 0);
            assert_int_equal(divvy_simgpu_va_free(live[i].va, live[i].bytes), 0);
            assert_int_equal(divvy_simgpu_phys_release(live[i].handle), 0);
            expected -= live[i].bytes;
            live[i].handle = 0;
        } else {
            live[i].bytes = (1 + (uint64_t)rand_r(&seed) % 20) * PAGE;
            if (divvy_simgpu_phys_create(0, live[i].bytes, (unsigned)rand_r(&seed) & 1,
                                         &live[i].handle) < 0) {
                assert_true(expected + live[i].bytes > GIB);
                live[i].handle = 0;
                continue;
            }
            expected += live[i].bytes;
            assert_int_equal(divvy_simgpu_va_reserve(live[i].bytes, 0, 0, &live[i].va), 0);
            assert_int_equal(divvy_simgpu_va_map(live[i].va, live[i].bytes, live[i].handle, 0), 0);
            assert_int_equal(divvy_simgpu_va_protect(live[i].va, live[i].bytes, true, true), 0);
            assert_int_equal(*(uint64_t *)(uintptr_t)live[i].va,
                             0); /* never what somebody left there */
            *(uint64_t *)(uintptr_t)live[i].va = live[i].handle;
        }
        assert_int_equal(used(), expected);
    }
    divvy_simgpu_detach();
}

static void descriptors_carry_handles(void **state) {
    uint64_t handle, other, va;
    int fd, plain;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_phys_create(0, PAGE, 0, &handle), 0);
    assert_int_equal(divvy_simgpu_phys_export_fd(handle, &fd), -EOPNOTSUPP);
    assert_int_equal(divvy_simgpu_phys_create(0, PAGE, DIVVY_SIMGPU_PHYS_EXPORTABLE, &handle), 0);
    assert_int_equal(divvy_simgpu_phys_export_fd(handle, &fd), 0);
    assert_int_equal(divvy_simgpu_phys_import_fd(fd, &other), 0);
    assert_int_equal(used(), 2 * PAGE);
    assert_int_equal(divvy_simgpu_va_reserve(2 * PAGE, 0, 0, &va), 0);
    assert_int_equal(divvy_simgpu_va_map(va, PAGE, handle, 0), 0);
    assert_int_equal(divvy_simgpu_va_map(va + PAGE, PAGE, other, 0), 0);
    assert_int_equal(divvy_simgpu_va_protect(va, 2 * PAGE, true, true), 0);
    *(int *)(uintptr_t)va = 5;
    assert_int_equal(*(int *)(uintptr_t)(va + PAGE), 5);
    plain = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(divvy_simgpu_phys_import_fd(plain, &other), -EINVAL);
    assert_int_equal(divvy_simgpu_phys_import_fd(-1, &other), -EINVAL);
    close(plain);
    close(fd);
    divvy_simgpu_detach();
}

static void a_hint_is_taken_when_free(void **state) {
    uint64_t first, second;

    (void)state;
    real_attach(0);
    assert_int_equal(divvy_simgpu_va_reserve(4 * PAGE, 0, 0, &first), 0);
    assert_int_equal(divvy_simgpu_va_reserve(4 * PAGE, 0, first, &second), 0);
    assert_int_not_equal(first, second);
    assert_int_equal(divvy_simgpu_va_free(first, 4 * PAGE), 0);
    assert_int_equal(divvy_simgpu_va_reserve(4 * PAGE, 0, first, &second), 0);
    assert_int_equal(first, second);
    assert_int_equal(divvy_simgpu_va_reserve(1, 0, 0, &second), -EINVAL);
    assert_int_equal(divvy_simgpu_va_reserve(PAGE, 3, 0, &second), -EINVAL);
    divvy_simgpu_detach();
}

#define REAL(test) cmocka_unit_test_setup_teardown(test, real_setup, real_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        REAL(charges_are_rounded_and_come_back),
        REAL(the_pool_is_exact),
        REAL(addresses_can_be_used_and_found),
        REAL(a_hundred_thousand_allocations_need_no_mappings),
        REAL(threads_allocate_at_once),
        REAL(handles_live_while_mapped),
        REAL(random_handles_come_back),
        REAL(descriptors_carry_handles),
        REAL(a_hint_is_taken_when_free),
    };

    return cmocka_run_group_tests_name("simgpu memory", tests, NULL, NULL);
}
