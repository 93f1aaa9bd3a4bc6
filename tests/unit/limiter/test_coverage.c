/*
 * The table of hooks: every name is a function of the driver or of NVML, named once; the library
 * exports exactly these names and its own few; docs/COVERAGE.md is what the table gives.
 * `test_limiter_coverage write` writes that document.
 */
#include "cuda/driver.h"
#include "cuda/nvml.h"
#include "limiter/hook/door_table.h"
#include "limiter/hook/route.h"
#include "limiter/hook/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct driver_row {
    const char *symbol, *kind;
};

static const struct driver_row driver[] = {
#define ROW(symbol, api, since, form, kind, parameters, arguments) {#symbol, #kind},
    DIVVY_CUDA_DRIVER_TABLE(ROW)
#undef ROW
};
#define DRIVER_ROWS (sizeof driver / sizeof driver[0])

static const char *const nvml[] = {
#define ROW(symbol, type, parameters, arguments) #symbol,
    DIVVY_CUDA_NVML_TABLE(ROW)
#undef ROW
};
#define NVML_ROWS (sizeof nvml / sizeof nvml[0])

struct hook_row {
    const char *symbol, *what;
};

static const struct hook_row hooks[] = {
#define ROW(symbol, what)               {#symbol, what},
#define COMPUTE_ROW(symbol, room, what) {#symbol, what},
    DIVVY_BASE_HOOKS(ROW) DIVVY_MEMORY_HOOKS(ROW) DIVVY_VIEW_HOOKS(ROW)
        DIVVY_COMPUTE_HOOKS(COMPUTE_ROW) DIVVY_NVML_HOOKS(ROW)
#undef ROW
};
#define HOOKS (sizeof hooks / sizeof hooks[0])

/* Those that only wait at the door, and those that need not. */
static const char *const doors[] = {
#define ROW(symbol) #symbol,
    DIVVY_DOOR_HOOKS(ROW)
};
static const char *const free_ones[] = {DIVVY_DOOR_FREE(ROW)
#undef ROW
};
#define DOORS (sizeof doors / sizeof doors[0])

static bool is_among(const char *symbol, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], symbol) == 0)
            return true;
    return false;
}

static bool is_door(const char *symbol) {
    return is_among(symbol, doors, DOORS);
}

static const char *hook_of(const char *symbol) {
    for (size_t i = 0; i < HOOKS; i++)
        if (strcmp(hooks[i].symbol, symbol) == 0)
            return hooks[i].what;
    return NULL;
}

/* Why functions of a kind pass through, where they are not hooked. */
static const struct {
    const char *kind, *why;
} passed[] = {
    {"ALLOC", "-"},
    {"ALLOC_ASYNC", "-"},
    {"ARRAY", "asks about an array"},
    {"CAPTURE", "asks about a capture, or changes its dependencies"},
    {"CODE", "code and its attributes; what it takes of the device is overhead"},
    {"CONTEXT", "neither makes nor ends a context"},
    {"COPY",
     "to or from the host (never gated), or a form of before CUDA 3.2, an array or batch copy"},
    {"DEVICE", "facts about a device"},
    {"DEVICE_WORK", "-"},
    {"EVENT", "events"},
    {"FREE", "-"},
    {"FREE_ASYNC", "-"},
    {"GRAPH", "builds or asks about a graph; what it does is judged when it is launched"},
    {"GRAPH_LAUNCH", "-"},
    {"GRAPH_MEMORY", "nodes are charged when the graph that has them is launched or uploaded"},
    {"HOST_CALLBACK", "-"},
    {"HOST_MEMORY", "host memory is not limited"},
    {"IMPORT", "the exporter's bytes: they are charged there, once"},
    {"LAUNCH", "-"},
    {"LOOKUP", "private tables: the driver itself answers"},
    {"MEMORY_OTHER", "takes no memory of the device"},
    {"OTHER", "takes nothing of the device"},
    {"POOL", "attributes, access and sharing of pools"},
    {"STREAM", "streams"},
    {"VIEW", "-"},
    {"VMM", "addresses and access: takes no memory of the device"},
};

static const char *why_passed(const char *kind) {
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
        if (strcmp(passed[i].kind, kind) == 0)
            return passed[i].why;
    return NULL;
}

/* ---- the document ---- */

static void write_hooked(FILE *out, const char *kind) {
    for (size_t i = 0; i < DRIVER_ROWS; i++)
        if (strcmp(driver[i].kind, kind) == 0 && hook_of(driver[i].symbol))
            fprintf(out, "| `%s` | %s |\n", driver[i].symbol, hook_of(driver[i].symbol));
}

static void write_passed(FILE *out, const char *kind) {
    unsigned count = 0;

    for (size_t i = 0; i < DRIVER_ROWS; i++)
        if (strcmp(driver[i].kind, kind) == 0 && !hook_of(driver[i].symbol))
            fprintf(out, "%s`%s`", count++ ? ", " : "\n", driver[i].symbol);
    if (count)
        fprintf(out, "\n\nPassed through: %s.\n", why_passed(kind));
}

static void write_document(FILE *out) {
    size_t hooked = 0;

    for (size_t i = 0; i < DRIVER_ROWS; i++)
        hooked += hook_of(driver[i].symbol) != NULL;
    fprintf(
        out,
        "# Which functions the limiter takes\n\n"
        "Written by `test_limiter_coverage write` from the tables `src/cuda/driver_table.h` and\n"
        "`src/limiter/hook/table.h`; a test keeps it equal to them. Of the %zu functions that "
        "libcuda exports for CUDA\n"
        "13.0, %zu are hooked, each in its own form (versions, per-thread-stream twins). Of NVML's "
        "%zu, %zu are hooked.\n\n"
        "%zu others, here under \"passed through\", go to the driver untouched, except that they "
        "wait while the tenant's\ndevice memory is saved, and bring it back (`COMPUTE.md`). The last "
        "%zu need no device and never wait:\n",
        DRIVER_ROWS, hooked, NVML_ROWS, HOOKS - hooked, DOORS,
        sizeof free_ones / sizeof free_ones[0]);
    for (size_t i = 0; i < sizeof free_ones / sizeof free_ones[0]; i++)
        fprintf(out, "%s`%s`", i ? ", " : "", free_ones[i]);
    fprintf(out, ".\n\nA function newer than the tables goes to the driver untouched, and does not "
                 "bring a saved tenant back.\n");
    for (size_t k = 0; k < sizeof passed / sizeof passed[0]; k++) {
        fprintf(out, "\n## %s\n\n| function | what the hook does |\n|---|---|\n", passed[k].kind);
        write_hooked(out, passed[k].kind);
        write_passed(out, passed[k].kind);
    }
    fprintf(out, "\n## NVML\n\n| function | what the hook does |\n|---|---|\n");
    for (size_t i = 0; i < NVML_ROWS; i++)
        if (hook_of(nvml[i]))
            fprintf(out, "| `%s` | %s |\n", nvml[i], hook_of(nvml[i]));
    fprintf(out, "\nAll others show the device as it is.\n");
}

/* ---- tests ---- */

static void test_names(void **state) {
    (void)state;
    for (size_t i = 0; i < HOOKS; i++) {
        unsigned places = 0;

        for (size_t k = 0; k < DRIVER_ROWS; k++)
            places += strcmp(driver[k].symbol, hooks[i].symbol) == 0;
        for (size_t k = 0; k < NVML_ROWS; k++)
            places += strcmp(nvml[k], hooks[i].symbol) == 0;
        if (places != 1)
            fail_msg("%s is in %u tables", hooks[i].symbol, places);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(hooks[k].symbol, hooks[i].symbol);
    }
}

static void test_rows(void **state) {
    size_t count;
    const struct divvy_route_row *rows = divvy_route_rows(&count);

    (void)state;
    assert_int_equal(count, HOOKS + DOORS);
    for (size_t i = 0; i < count; i++) {
        assert_true(hook_of(rows[i].symbol) || is_door(rows[i].symbol));
        assert_non_null(rows[i].hook);
        assert_int_equal(rows[i].is_nvml, strncmp(rows[i].symbol, "nvml", 4) == 0);
    }
}

/* Kinds of which no function may go by: whatever launches, allocates or frees. */
static void test_kinds_complete(void **state) {
    (void)state;
    for (size_t i = 0; i < DRIVER_ROWS; i++) {
        const char *why = why_passed(driver[i].kind);

        if (!why)
            fail_msg("kind %s is not described", driver[i].kind);
        if (strcmp(why, "-") == 0 && !hook_of(driver[i].symbol))
            fail_msg("%s of kind %s is not hooked", driver[i].symbol, driver[i].kind);
    }
}

/* Whatever needs the device waits at the door: no function of the driver is in no list, and none in two. */
static void test_doors_complete(void **state) {
    (void)state;
    for (size_t i = 0; i < DRIVER_ROWS; i++) {
        const char *symbol = driver[i].symbol;
        unsigned lists = (hook_of(symbol) != NULL) + is_door(symbol) +
                         is_among(symbol, free_ones, sizeof free_ones / sizeof free_ones[0]);

        if (lists != 1)
            fail_msg("%s is in %u lists", symbol, lists);
    }
}

/* Every form of a hooked function is hooked: a twin left out would be a way around the limit. */
static void test_forms_complete(void **state) {
    static const struct {
        const char *symbol, *api, *kind;
    } forms[] = {
#define ROW(symbol, api, since, form, kind, parameters, arguments) {#symbol, #api, #kind},
        DIVVY_CUDA_DRIVER_TABLE(ROW)
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < DRIVER_ROWS; i++) {
        if (!hook_of(forms[i].symbol) || strcmp(forms[i].kind, "COPY") == 0)
            continue;
        for (size_t k = 0; k < DRIVER_ROWS; k++)
            if (strcmp(forms[k].api, forms[i].api) == 0 && !hook_of(forms[k].symbol))
                fail_msg("%s is hooked, %s is not", forms[i].symbol, forms[k].symbol);
    }
}

/* What is exported under names of its own: divvy/limiter.h and divvy/accelerator_limiter.h. */
static int is_own(const char *symbol) {
    static const char *const own[] = {
        "dlopen", "dlsym", "dlvsym", "set_limit", "CheckAndRecordMemoryOps", "CheckAndRecordComputeOps", "FreezeWorker", "ResumeWorker",
        "AutoFreeze", "AutoResume", "AddWorkerProcess", "LimiterInit", "LimiterShutdown", "LimiterCreateWorker", "LimiterRemoveWorker",
        "LimiterRegisterPID", "LimiterUpdateERL", "LimiterUpdateHeartbeat", "LimiterSetPodMemoryUsed"};

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(symbol, own[i]) == 0)
            return 1;
    return 0;
}

static void test_exports(void **state) {
    const char *library = getenv("DIVVY_LIMITER_LIBRARY");
    char command[512], line[256];
    size_t found = 0;
    FILE *pipe;

    (void)state;
    if (!library)
        skip();
    snprintf(command, sizeof command, "nm -D --defined-only --format=posix '%s'", library);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof line, pipe)) {
        line[strcspn(line, " \n")] = '\0';
        if (is_own(line))
            continue;
        if (strchr(line, '@'))
            fail_msg("%s has a version", line);
        if (!hook_of(line) && !is_door(line))
            fail_msg("%s is exported and not in the table", line);
        found++;
    }
    if (pclose(pipe) != 0)
        skip();
    assert_int_equal(found, HOOKS + DOORS);
}

static void test_document(void **state) {
    const char *path = getenv("DIVVY_COVERAGE_DOCUMENT");
    char *wanted = NULL, *there;
    size_t size = 0, length;
    FILE *memory, *file;

    (void)state;
    if (!path)
        skip();
    memory = open_memstream(&wanted, &size);
    write_document(memory);
    fclose(memory);
    file = fopen(path, "r");
    assert_non_null(file);
    there = calloc(1, size + 2);
    length = fread(there, 1, size + 1, file);
    fclose(file);
    if (length != size || memcmp(there, wanted, size) != 0)
        fail_msg("%s is not what the table gives: run test_limiter_coverage write >%s", path, path);
    free(there);
    free(wanted);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),          cmocka_unit_test(test_rows),
        cmocka_unit_test(test_kinds_complete), cmocka_unit_test(test_forms_complete),
        cmocka_unit_test(test_exports),        cmocka_unit_test(test_document),
        cmocka_unit_test(test_doors_complete),
    };

    if (argc > 1 && strcmp(argv[1], "write") == 0) {
        write_document(stdout);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
