/* Live handles: garbage is recognised, stale ones too, and threads may come and go. */
#include "simgpu/driver/handle.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_handle_is_its_object(void **state) {
    int object;
    (void)state;
    void *handle = divvy_drv_handle_new(DRV_HANDLE_STREAM, &object);
    assert_non_null(handle);
    assert_ptr_equal(divvy_drv_handle_get(handle, DRV_HANDLE_STREAM), &object);
    assert_null(divvy_drv_handle_get(handle, DRV_HANDLE_EVENT));
    assert_int_equal(divvy_drv_handle_end(handle, DRV_HANDLE_EVENT), 0);
    assert_int_equal(divvy_drv_handle_end(handle, DRV_HANDLE_STREAM), 1);
    assert_int_equal(divvy_drv_handle_end(handle, DRV_HANDLE_STREAM), 0);
    assert_null(divvy_drv_handle_get(handle, DRV_HANDLE_STREAM));
}

static void garbage_is_no_handle(void **state) {
    int object;
    (void)state;
    char *handle = divvy_drv_handle_new(DRV_HANDLE_GRAPH, &object);
    uintptr_t near = (uintptr_t)handle;
    uintptr_t values[] = {0,
                          1,
                          2,
                          0xdead,
                          near + 1,
                          near + 8,
                          near - 16,
                          near + 16,
                          near + (256 << 20),
                          UINTPTR_MAX,
                          (uintptr_t)&object,
                          (uintptr_t)&values};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        for (int kind = 1; kind < DRV_HANDLE_MAX; kind++)
            assert_null(divvy_drv_handle_get((void *)values[i], (divvy_drv_handle_kind_t)kind));
        assert_int_equal(divvy_drv_handle_end((void *)values[i], DRV_HANDLE_GRAPH), 0);
    }
    divvy_drv_handle_end(handle, DRV_HANDLE_GRAPH);
}

/* The slot of an ended handle rests for long. */
static void stale_handles_stay_dead(void **state) {
    int object;
    (void)state;
    void *stale = divvy_drv_handle_new(DRV_HANDLE_EVENT, &object);
    divvy_drv_handle_end(stale, DRV_HANDLE_EVENT);
    for (int i = 0; i < 4000; i++) {
        void *handle = divvy_drv_handle_new(DRV_HANDLE_EVENT, &object);
        assert_ptr_not_equal(handle, stale);
        divvy_drv_handle_end(handle, DRV_HANDLE_EVENT);
    }
    assert_null(divvy_drv_handle_get(stale, DRV_HANDLE_EVENT));
}

static void *churn(void *argument) {
    enum { COUNT = 100 };
    void *handles[COUNT];
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            handles[i] = divvy_drv_handle_new(DRV_HANDLE_NODE, (char *)argument + i);
            assert_non_null(handles[i]);
        }
        for (size_t i = 0; i < COUNT; i++) {
            assert_ptr_equal(divvy_drv_handle_get(handles[i], DRV_HANDLE_NODE),
                             (char *)argument + i);
            assert_int_equal(divvy_drv_handle_end(handles[i], DRV_HANDLE_NODE), 1);
        }
    }
    return NULL;
}

static void threads_do_not_mix(void **state) {
    static char objects[3][100];
    pthread_t threads[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        pthread_create(threads + i, NULL, churn, objects[i]);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_is_its_object),
        cmocka_unit_test(garbage_is_no_handle),
        cmocka_unit_test(stale_handles_stay_dead),
        cmocka_unit_test(threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
