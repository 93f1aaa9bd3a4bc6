/*
 * Symbols read from loaded objects agree with the loader's own answers.
 */
#include "limiter/hook/elf.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_symbols(void **state) {
    static const char *const names[] = {
        "malloc", "printf", "getenv", "dl_iterate_phdr", "environ_not_there", "read"};
    void *libc = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_LAZY);
    struct divvy_elf object;

    (void)state;
    assert_non_null(libc);
    assert_true(divvy_elf_named("libc.so", &object));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_ptr_equal(divvy_elf_symbol(&object, names[i]), dlsym(libc, names[i]));
    /* An indirect function: the address that it resolves to. */
    assert_ptr_equal(divvy_elf_symbol(&object, "strlen"), dlsym(libc, "strlen"));
    /* Data is no function. */
    assert_null(divvy_elf_symbol(&object, "environ"));
}

static void test_objects(void **state) {
    struct divvy_elf object;

    (void)state;
    assert_false(divvy_elf_named("libcuda.so", &object));
    assert_false(divvy_elf_named("libc.so.7", &object));
    assert_true(divvy_elf_containing((void *)test_objects, &object));
    assert_true((uintptr_t)test_objects >= object.start && (uintptr_t)test_objects < object.end);
    assert_false(divvy_elf_containing(&object, &object)); /* the stack is in no object */
    assert_false(divvy_elf_containing(NULL, &object));
}

static void test_next(void **state) {
    (void)state;
    assert_non_null(divvy_elf_next(NULL, "getenv"));
    assert_non_null(divvy_elf_next((void *)test_next, "malloc"));
    assert_null(divvy_elf_next((void *)test_next, "no_such_function_anywhere"));
}

/* An object that was loaded meanwhile is seen, and one that was unloaded is not. */
static void test_late(void **state) {
    struct divvy_elf object;
    void *handle = dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);

    (void)state;
    if (!handle)
        skip();
    assert_true(divvy_elf_named("libresolv.so", &object));
    assert_ptr_equal(divvy_elf_symbol(&object, "__fp_query"), dlsym(handle, "__fp_query"));
    dlclose(handle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
