/*
 * The registry against a model that does everything the slow and plain way: arrays, searched from one end to the other. Random
 * operations, the seed printed; and the refusals, one by one. Allocations fail on request through __wrap_calloc.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "node/registry.h"

#define GIB    (1ull << 30)
#define NO_SUM UINT32_MAX /* of overcommit */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static int fail_after = -1; /* allocations that still succeed; -1 all */

static bool fails(void) {
    return fail_after == 0 || (fail_after > 0 && fail_after-- == 0);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_realloc(memory, size);
}

static uint64_t state;

static uint32_t random_below(uint32_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((state >> 33) % n);
}

static struct divvy_node_device device(uint32_t index, uint64_t memory_bytes) {
    struct divvy_node_device d = {.index = index, .memory_bytes = memory_bytes, .healthy = true};
    d.uuid[0] = (uint8_t)(index + 1);
    snprintf(d.uuid_text, sizeof d.uuid_text, "GPU-%02x000000-0000-0000-0000-00000000abcd", index + 1);
    return d;
}

static struct divvy_node_registry *new_registry(uint32_t devices, uint64_t memory_bytes) {
    struct divvy_node_registry *registry;
    assert_int_equal(divvy_node_registry_new(&registry), 0);
    for (uint32_t i = 0; i < devices; i++) {
        struct divvy_node_device d = device(i, memory_bytes);
        assert_int_equal(divvy_node_registry_device_set(registry, &d), i);
    }
    return registry;
}

static struct divvy_node_spec spec(const char *id, uint64_t limit_bytes, uint32_t compute_permille) {
    struct divvy_node_spec s = {.binding_count = 1};
    snprintf(s.id, sizeof s.id, "%s", id);
    s.bindings[0].limit_bytes = limit_bytes;
    s.bindings[0].compute_permille = compute_permille;
    return s;
}

static struct divvy_node_tenant *add(struct divvy_node_registry *registry, const char *id) {
    struct divvy_node_spec s = spec(id, DIVVY_NODE_MEMORY_NONE, DIVVY_NODE_PERMILLE_NONE);
    struct divvy_node_tenant *tenant = NULL;
    char why[DIVVY_NODE_TEXT_BYTES] = "";
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, NO_SUM, &tenant, why), 0);
    assert_string_equal(why, "");
    return tenant;
}

/* --- random operations against a model ------------------------------------------------------------------------------- */

enum { NAMES = 300, DEVICES = 3, STEPS = 60000 };

struct modelled {
    bool known;
    uint32_t number;
    uint64_t made; /* when, in steps */
    uint32_t device;
    uint64_t limit_bytes;
    uint32_t compute_permille, weight, processes;
};

static struct modelled model[NAMES];

static const char *name_of(uint32_t i, char text[DIVVY_NODE_ID_BYTES]) {
    snprintf(text, DIVVY_NODE_ID_BYTES, i % 2 ? "ns/pod-%u/main" : "run.%u", i);
    return text;
}

static uint64_t promised(uint32_t on, uint32_t but) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < NAMES; i++)
        if (model[i].known && i != but && model[i].device == on && model[i].limit_bytes != DIVVY_NODE_MEMORY_NONE)
            sum += model[i].limit_bytes;
    return sum;
}

static uint64_t random_limit(void) {
    return random_below(4) == 0 ? DIVVY_NODE_MEMORY_NONE : (1 + random_below(40)) * (GIB / 2);
}

static int expected_memory(uint32_t on, uint32_t who, uint64_t limit_bytes, uint32_t overcommit) {
    if (limit_bytes == DIVVY_NODE_MEMORY_NONE)
        return 0;
    if (limit_bytes > 16 * GIB)
        return -EINVAL;
    return promised(on, who) + limit_bytes > 16 * GIB * overcommit / 1000 ? -EDQUOT : 0;
}

static void model_add(struct divvy_node_registry *registry, uint32_t i, uint64_t step) {
    char id[DIVVY_NODE_ID_BYTES];
    uint32_t on = random_below(DEVICES), cap = 1 + random_below(1000), overcommit = 1000 + 1000 * random_below(3);
    uint64_t limit_bytes = random_limit();
    struct divvy_node_spec s = spec(name_of(i, id), limit_bytes, cap);
    s.bindings[0].device = on;
    struct divvy_node_tenant *tenant = NULL;
    int expected = model[i].known ? -EEXIST : expected_memory(on, NAMES, limit_bytes, overcommit);
    char why[DIVVY_NODE_TEXT_BYTES] = "";
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, (int64_t)step, overcommit, &tenant, why), expected);
    assert_int_equal(why[0] != '\0', expected < 0);
    if (expected < 0)
        return;
    for (uint32_t k = 0; k < NAMES; k++)
        assert_false(model[k].known && model[k].number == tenant->number);
    assert_true(tenant->number < 4 * NAMES);
    model[i] = (struct modelled){true, tenant->number, step, on, limit_bytes, cap, cap == 1000 ? DIVVY_NODE_WEIGHT_DEFAULT : cap, 0};
}

static void model_change(struct divvy_node_registry *registry, uint32_t i) {
    char id[DIVVY_NODE_ID_BYTES], why[DIVVY_NODE_TEXT_BYTES];
    struct divvy_node_change change = {.fields = random_below(8),
                                       .device = random_below(3) ? (int32_t)model[i].device : -1,
                                       .limit_bytes = random_limit(),
                                       .compute_permille = random_below(1002),
                                       .soft = random_below(2)};
    bool rises = change.fields & DIVVY_NODE_CHANGE_MEMORY &&
                 (model[i].limit_bytes == DIVVY_NODE_MEMORY_NONE || change.limit_bytes > model[i].limit_bytes);
    int expected = rises ? expected_memory(model[i].device, i, change.limit_bytes, 1500) : 0;
    if (change.fields & DIVVY_NODE_CHANGE_COMPUTE && (change.compute_permille < 1 || change.compute_permille > 1000))
        expected = -EINVAL;
    if (!model[i].known)
        expected = -ENOENT;
    assert_int_equal(divvy_node_registry_tenant_change(registry, name_of(i, id), &change, 1500, why), expected);
    if (expected < 0)
        return;
    if (change.fields & DIVVY_NODE_CHANGE_MEMORY)
        model[i].limit_bytes = change.limit_bytes;
    if (change.fields & DIVVY_NODE_CHANGE_COMPUTE) {
        model[i].compute_permille = change.compute_permille;
        model[i].weight = change.compute_permille == 1000 ? DIVVY_NODE_WEIGHT_DEFAULT : change.compute_permille;
    }
}

static void model_process(struct divvy_node_registry *registry, uint32_t i) {
    char id[DIVVY_NODE_ID_BYTES];
    struct divvy_node_process process = {.host_pid = (int32_t)(1 + model[i].processes), .start_ticks = 7};
    name_of(i, id);
    if (!model[i].known) {
        assert_int_equal(divvy_node_registry_process_add(registry, id, &process), -ENOENT);
    } else if (model[i].processes > 0 && random_below(2)) {
        uint32_t last = model[i].processes--;
        assert_int_equal(divvy_node_registry_process_remove(registry, id, (int32_t)last, 8), -ENOENT);
        assert_int_equal(divvy_node_registry_process_remove(registry, id, (int32_t)last, 7), 0);
    } else {
        assert_int_equal(divvy_node_registry_process_add(registry, id, &process), 0);
        assert_int_equal(divvy_node_registry_process_add(registry, id, &process), -EEXIST);
        model[i].processes++;
    }
}

static void compare(struct divvy_node_registry *registry) {
    uint32_t count = 0;
    uint64_t made = 0;
    for (struct divvy_node_tenant *t = divvy_node_registry_tenant_next(registry, NULL); t;
         t = divvy_node_registry_tenant_next(registry, t)) {
        assert_true((uint64_t)t->created_ns > made); /* the order of making */
        made = (uint64_t)t->created_ns;
        count++;
    }
    assert_int_equal(count, divvy_node_registry_tenant_count(registry));
    for (uint32_t i = 0; i < NAMES; i++) {
        char id[DIVVY_NODE_ID_BYTES];
        struct divvy_node_tenant *t = divvy_node_registry_tenant(registry, name_of(i, id));
        assert_int_equal(t != NULL, model[i].known);
        count -= model[i].known;
        if (!t)
            continue;
        assert_string_equal(t->id, id);
        assert_int_equal(t->number, model[i].number);
        assert_ptr_equal(divvy_node_registry_tenant_number(registry, t->number), t);
        assert_int_equal(t->created_ns, model[i].made);
        assert_true(t->bindings[0].limit_bytes == model[i].limit_bytes);
        assert_int_equal(t->bindings[0].compute_permille, model[i].compute_permille);
        assert_int_equal(t->bindings[0].weight, model[i].weight);
        assert_int_equal(t->process_count, model[i].processes);
    }
    assert_int_equal(count, 0);
    for (uint32_t on = 0; on < DEVICES; on++)
        assert_true(divvy_node_registry_promise(registry, on).memory_bytes == promised(on, NAMES));
}

static void test_random_operations(void **unused) {
    (void)unused;
    state = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)state);
    memset(model, 0, sizeof model);
    struct divvy_node_registry *registry = new_registry(DEVICES, 16 * GIB);
    for (uint64_t step = 1; step <= STEPS; step++) {
        uint32_t i = random_below(NAMES), what = random_below(10);
        char id[DIVVY_NODE_ID_BYTES];
        if (what < 4) {
            model_add(registry, i, step);
        } else if (what < 6) {
            model_change(registry, i);
        } else if (what < 8) {
            model_process(registry, i);
        } else {
            assert_int_equal(divvy_node_registry_tenant_remove(registry, name_of(i, id)), model[i].known ? 0 : -ENOENT);
            model[i].known = false;
        }
        if (step % 500 == 0)
            compare(registry);
    }
    divvy_node_registry_free(registry);
}

/* --- tenants, one by one ---------------------------------------------------------------------------------------------- */

static void test_names_of_tenants(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(1, GIB);
    char longest[DIVVY_NODE_ID_BYTES] = "";
    memset(longest, 'a', sizeof longest - 1);
    const char *good[] = {"a", "train-1", "ns/pod/main", "a.b_c-D9", "...", "a/..b/.c", longest};
    const char *bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a b", "a\n", "naïve", "a%2fb", "a\\b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        add(registry, good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct divvy_node_spec s = spec(bad[i], GIB, 100);
        struct divvy_node_tenant *tenant = NULL;
        char why[DIVVY_NODE_TEXT_BYTES] = "";
        assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, NO_SUM, &tenant, why), -EINVAL);
        assert_true(why[0] != '\0');
        assert_null(tenant);
    }
    struct divvy_node_spec s = spec("x", GIB, 100);
    struct divvy_node_tenant *tenant = NULL;
    memset(s.id, 'b', sizeof s.id); /* no NUL */
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, NO_SUM, &tenant, NULL), -EINVAL);
    s = spec("x", GIB, 100);
    strcpy(s.pod, "a/b");
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, NO_SUM, &tenant, NULL), -EINVAL);
    assert_int_equal(divvy_node_registry_tenant_count(registry), sizeof good / sizeof *good);
    divvy_node_registry_free(registry);
}

static void expect_refusal(struct divvy_node_registry *registry, const struct divvy_node_spec *s, uint32_t overcommit, int status,
                           const char *words) {
    struct divvy_node_tenant *tenant = NULL;
    char why[DIVVY_NODE_TEXT_BYTES] = "";
    assert_int_equal(divvy_node_registry_tenant_add(registry, s, 1, overcommit, &tenant, why), status);
    if (!strstr(why, words))
        fail_msg("\"%s\" does not say \"%s\"", why, words);
    assert_null(divvy_node_registry_tenant(registry, s->id));
}

static void test_refusals_say_why(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(2, 16 * GIB);
    struct divvy_node_spec s = spec("a", 0, 300);
    expect_refusal(registry, &s, 1000, -EINVAL, "0 bytes");
    s = spec("a", GIB, 0);
    expect_refusal(registry, &s, 1000, -EINVAL, "0.0 %");
    s = spec("a", GIB, 1001);
    expect_refusal(registry, &s, 1000, -EINVAL, "100.1 %");
    s = spec("a", GIB, 300);
    s.bindings[0].weight = DIVVY_NODE_SCHED_WEIGHT_MAX + 1;
    expect_refusal(registry, &s, 1000, -EINVAL, "weight");
    s = spec("a", GIB, 300);
    s.bindings[0].device = 2;
    expect_refusal(registry, &s, 1000, -EINVAL, "no such device");
    s = spec("a", GIB, 300);
    s.binding_count = 0;
    expect_refusal(registry, &s, 1000, -EINVAL, "no device");
    s.binding_count = DIVVY_NODE_DEVICES + 1;
    expect_refusal(registry, &s, 1000, -EINVAL, "more than 16");
    s.binding_count = 2;
    s.bindings[1] = s.bindings[0];
    expect_refusal(registry, &s, 1000, -EINVAL, "twice");
    s = spec("a", 17 * GIB, 300);
    expect_refusal(registry, &s, NO_SUM, -EINVAL, "17 GiB are more than the 16 GiB");
    s = spec("a", GIB, 300);
    s.qos = DIVVY_NODE_QOS_MAX;
    expect_refusal(registry, &s, 1000, -EINVAL, "class");

    struct divvy_node_tenant *tenant;
    s = spec("ten", 10 * GIB, 300);
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, 1000, &tenant, NULL), 0);
    s = spec("a", 7 * GIB, 300);
    expect_refusal(registry, &s, 1000, -EDQUOT, "7 GiB asked for, but of the 16 GiB of device 0 that may be promised 6 GiB are left");
    s.binding_count = 2; /* the second is refused: nothing of the first stays */
    s.bindings[0].device = 1;
    s.bindings[1].device = 0;
    s.bindings[1].limit_bytes = 7 * GIB;
    s.bindings[1].compute_permille = 1000;
    expect_refusal(registry, &s, 1000, -EDQUOT, "device 0");
    assert_int_equal(divvy_node_registry_promise(registry, 1).tenants, 0);
    assert_int_equal(divvy_node_registry_promise(registry, 1).memory_bytes, 0);
    s = spec("a", 7 * GIB, 300);
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, 1063, &tenant, NULL), 0);
    s = spec("free", DIVVY_NODE_MEMORY_NONE, 300);
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, 1000, &tenant, NULL), 0);
    divvy_node_registry_free(registry);
}

static void test_changes_are_all_or_nothing(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(2, 16 * GIB);
    struct divvy_node_tenant *tenant, *other;
    char why[DIVVY_NODE_TEXT_BYTES];
    struct divvy_node_spec s = spec("both", 2 * GIB, 200);
    s.binding_count = 2;
    s.bindings[1] = s.bindings[0];
    s.bindings[1].device = 1;
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, 1000, &tenant, why), 0);
    assert_int_equal(tenant->bindings[0].weight, 200);
    s = spec("other", 12 * GIB, 1000);
    s.bindings[0].device = 1;
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, 1000, &other, why), 0);
    assert_int_equal(other->bindings[0].weight, DIVVY_NODE_WEIGHT_DEFAULT);

    struct divvy_node_change change = {.fields = DIVVY_NODE_CHANGE_MEMORY | DIVVY_NODE_CHANGE_COMPUTE | DIVVY_NODE_CHANGE_QOS,
                                       .device = -1,
                                       .limit_bytes = 5 * GIB,
                                       .compute_permille = 600,
                                       .qos = DIVVY_NODE_QOS_HIGH};
    assert_int_equal(divvy_node_registry_tenant_change(registry, "both", &change, 1000, why), -EDQUOT); /* device 1 is full */
    assert_true(tenant->bindings[0].limit_bytes == 2 * GIB && tenant->bindings[0].compute_permille == 200);
    assert_int_equal(tenant->qos, DIVVY_NODE_QOS_LOW);
    assert_true(divvy_node_registry_promise(registry, 0).memory_bytes == 2 * GIB);
    change.limit_bytes = 4 * GIB;
    assert_int_equal(divvy_node_registry_tenant_change(registry, "both", &change, 1000, why), 0);
    assert_int_equal(tenant->bindings[1].weight, 600); /* follows the cap */
    assert_int_equal(tenant->qos, DIVVY_NODE_QOS_HIGH);

    change = (struct divvy_node_change){.fields = DIVVY_NODE_CHANGE_WEIGHT, .device = 1, .weight = 50};
    assert_int_equal(divvy_node_registry_tenant_change(registry, "both", &change, 1000, why), 0);
    change = (struct divvy_node_change){.fields = DIVVY_NODE_CHANGE_COMPUTE, .device = -1, .compute_permille = 300};
    assert_int_equal(divvy_node_registry_tenant_change(registry, "both", &change, 1000, why), 0);
    assert_int_equal(tenant->bindings[0].weight, 300);
    assert_int_equal(tenant->bindings[1].weight, 50); /* somebody chose it */
    change = (struct divvy_node_change){.fields = DIVVY_NODE_CHANGE_WEIGHT, .device = 1, .weight = 0};
    assert_int_equal(divvy_node_registry_tenant_change(registry, "both", &change, 1000, why), 0);
    assert_int_equal(tenant->bindings[1].weight, 300);
    change.device = 0;
    assert_int_equal(divvy_node_registry_tenant_change(registry, "other", &change, 1000, why), -ENOENT);
    change.fields = DIVVY_NODE_CHANGE_QOS;
    change.qos = DIVVY_NODE_QOS_MAX;
    assert_int_equal(divvy_node_registry_tenant_change(registry, "both", &change, 1000, why), -EINVAL);

    /* The device turns out to be smaller: less may always be asked for, more may not. */
    struct divvy_node_device smaller = device(1, 8 * GIB);
    assert_int_equal(divvy_node_registry_device_set(registry, &smaller), 1);
    change = (struct divvy_node_change){.fields = DIVVY_NODE_CHANGE_MEMORY, .device = 1, .limit_bytes = 3 * GIB};
    assert_int_equal(divvy_node_registry_tenant_change(registry, "both", &change, 1000, why), 0);
    change.limit_bytes = 4 * GIB;
    assert_int_equal(divvy_node_registry_tenant_change(registry, "both", &change, 1000, why), -EDQUOT);
    divvy_node_registry_free(registry);
}

static void test_sums_beyond_64_bits(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(1, 0); /* of unknown size: anything goes */
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "t%d", i);
        struct divvy_node_spec s = spec(id, UINT64_MAX - 1, 1000);
        struct divvy_node_tenant *tenant;
        assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, 1000, &tenant, NULL), 0);
    }
    assert_true(divvy_node_registry_promise(registry, 0).memory_bytes == UINT64_MAX);
    for (int i = 0; i < 4; i++) {
        char id[16];
        snprintf(id, sizeof id, "t%d", i);
        assert_int_equal(divvy_node_registry_tenant_remove(registry, id), 0);
    }
    assert_true(divvy_node_registry_promise(registry, 0).memory_bytes == UINT64_MAX - 1);
    assert_int_equal(divvy_node_registry_promise(registry, 0).compute_permille, 1000);
    assert_int_equal(divvy_node_registry_promise(registry, 9).tenants, 0);
    divvy_node_registry_free(registry);
}

static void test_full_of_tenants(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(1, GIB);
    char id[32];
    for (uint32_t i = 0; i < DIVVY_NODE_TENANTS_MAX; i++) {
        snprintf(id, sizeof id, "t%u", i);
        assert_int_equal(add(registry, id)->number, i);
    }
    struct divvy_node_spec s = spec("more", GIB, 100);
    struct divvy_node_tenant *tenant = NULL;
    char why[DIVVY_NODE_TEXT_BYTES] = "";
    assert_int_equal(divvy_node_registry_tenant_add(registry, &s, 1, NO_SUM, &tenant, why), -ENOSPC);
    assert_non_null(strstr(why, "16384"));
    assert_int_equal(divvy_node_registry_tenant_remove(registry, "t77"), 0);
    assert_null(divvy_node_registry_tenant_number(registry, 77));
    assert_int_equal(add(registry, "more")->number, 77);
    for (uint32_t i = 0; i < DIVVY_NODE_TENANTS_MAX; i += 2) {
        snprintf(id, sizeof id, "t%u", i);
        assert_int_equal(divvy_node_registry_tenant_remove(registry, id), 0);
    }
    assert_int_equal(divvy_node_registry_tenant_count(registry), DIVVY_NODE_TENANTS_MAX / 2);
    assert_string_equal(divvy_node_registry_tenant_next(registry, NULL)->id, "t1");
    assert_null(divvy_node_registry_tenant_number(registry, DIVVY_NODE_TENANTS_MAX));
    divvy_node_registry_free(registry);
}

/* A number rests before it is given out again, and numbers stay small all the same. */
static void test_numbers_rest(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(1, GIB);
    uint32_t seen[40000], highest = 0;
    for (uint32_t i = 0; i < 40000; i++) {
        seen[i] = add(registry, "one")->number;
        highest = seen[i] > highest ? seen[i] : highest;
        for (uint32_t before = i > 60 ? i - 60 : 0; before < i; before++)
            assert_int_not_equal(seen[before], seen[i]);
        assert_int_equal(divvy_node_registry_tenant_remove(registry, "one"), 0);
    }
    assert_true(highest < 200);
    divvy_node_registry_free(registry);
}

/* --- devices, processes, events --------------------------------------------------------------------------------------- */

static void test_devices_by_name(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(DIVVY_NODE_DEVICES, GIB);
    struct divvy_node_device d = device(16, GIB);
    assert_int_equal(divvy_node_registry_device_set(registry, &d), -ENOSPC);
    assert_int_equal(divvy_node_registry_device_find(registry, "GPU-03000000-0000-0000-0000-00000000abcd"), 2);
    assert_int_equal(divvy_node_registry_device_find(registry, "gpu-03000000-0000-0000-0000-00000000ABCD"), 2);
    assert_int_equal(divvy_node_registry_device_find(registry, "03000000-0000-0000-0000-00000000abcd"), 2);
    assert_int_equal(divvy_node_registry_device_find(registry, "11"), 11);
    const char *unknown[] = {"", "16", "-1", "1x", "GPU-", "GPU-03000000", "99999999999999999999"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_int_equal(divvy_node_registry_device_find(registry, unknown[i]), -ENOENT);
    d = device(3, GIB); /* NVML counts anew after device 2 is gone */
    d.index = 2;
    assert_int_equal(divvy_node_registry_device_set(registry, &d), 3);
    divvy_node_registry_device(registry, 2)->healthy = false;
    assert_int_equal(divvy_node_registry_device_find(registry, "2"), 3);
    assert_null(divvy_node_registry_device(registry, DIVVY_NODE_DEVICES));
    divvy_node_registry_free(registry);
}

static void test_processes(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(1, GIB);
    struct divvy_node_process found[DIVVY_NODE_PROCESSES_MAX];
    struct divvy_node_tenant *tenant = add(registry, "a");
    struct divvy_node_process process = {.host_pid = 100, .start_ticks = 5, .used_bytes = 1};
    memset(process.name, 'x', sizeof process.name); /* no NUL, as a hostile comm might be */
    process.name[2] = '\n';
    assert_int_equal(divvy_node_registry_process_add(registry, "a", &process), 0);
    process.used_bytes = 2;
    assert_int_equal(divvy_node_registry_process_add(registry, "a", &process), -EEXIST);
    assert_int_equal(divvy_node_registry_processes(registry, "a", found, 1), 1);
    assert_int_equal(found[0].used_bytes, 2);
    assert_int_equal(strlen(found[0].name), sizeof process.name - 1);
    assert_true(found[0].name[2] == ' ');
    process.start_ticks = 6; /* the pid belongs to another process now */
    assert_int_equal(divvy_node_registry_process_add(registry, "a", &process), 0);
    for (int i = 2; i < (int)DIVVY_NODE_PROCESSES_MAX; i++) {
        process.host_pid = 1000 + i;
        assert_int_equal(divvy_node_registry_process_add(registry, "a", &process), 0);
    }
    process.host_pid = 1;
    assert_int_equal(divvy_node_registry_process_add(registry, "a", &process), -ENOSPC);
    assert_int_equal(divvy_node_registry_process_remove(registry, "a", 100, 5), 0);
    assert_int_equal(divvy_node_registry_process_remove(registry, "a", 100, 5), -ENOENT);
    assert_int_equal(divvy_node_registry_process_remove(registry, "b", 100, 6), -ENOENT);
    assert_int_equal(divvy_node_registry_processes(registry, "a", found, 2), DIVVY_NODE_PROCESSES_MAX - 1);
    assert_int_equal(found[0].start_ticks, 6);
    assert_int_equal(found[1].host_pid, 1002);
    assert_int_equal(divvy_node_registry_processes(registry, "b", found, 2), -ENOENT);
    assert_int_equal(tenant->process_count, DIVVY_NODE_PROCESSES_MAX - 1);
    divvy_node_registry_free(registry);
}

static void test_events_are_a_ring(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(1, GIB);
    struct divvy_node_event *found = calloc(DIVVY_NODE_EVENTS, sizeof *found);
    uint64_t last = 0;
    assert_int_equal(divvy_node_registry_events(registry, 0, found, 10), 0);
    for (int i = 0; i < 3 * (int)DIVVY_NODE_EVENTS + 7; i++) {
        last = divvy_node_registry_event(registry, i, DIVVY_NODE_EVENT_DAEMON, i % 2 ? "a" : NULL, 0, "text");
        assert_int_equal(last, i + 1);
    }
    assert_int_equal(divvy_node_registry_events(registry, 0, found, DIVVY_NODE_EVENTS), DIVVY_NODE_EVENTS);
    for (uint32_t i = 0; i < DIVVY_NODE_EVENTS; i++) {
        assert_int_equal(found[i].number, last - DIVVY_NODE_EVENTS + 1 + i);
        assert_int_equal(found[i].time_ns, found[i].number - 1);
    }
    assert_int_equal(divvy_node_registry_events(registry, last - 3, found, 2), 2);
    assert_int_equal(found[0].number, last - 2);
    assert_int_equal(divvy_node_registry_events(registry, last, found, 2), 0);
    assert_int_equal(divvy_node_registry_events(registry, UINT64_MAX, found, 2), 0);
    free(found);
    divvy_node_registry_free(registry);
}

static void test_events_are_lines(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = new_registry(1, GIB);
    struct divvy_node_event found;
    char text[DIVVY_NODE_TEXT_BYTES + 10];
    memset(text, 'a', sizeof text);
    memcpy(text, "\x1b[2J\n\t\x7f", 7);
    memcpy(text + DIVVY_NODE_TEXT_BYTES - 3, "\xe2\x82\xac", 4); /* a euro sign that does not fit */
    uint64_t number = divvy_node_registry_event(registry, 1, DIVVY_NODE_EVENT_DAEMON, "a", 7, text);
    assert_int_equal(divvy_node_registry_events(registry, number - 1, &found, 1), 1);
    assert_int_equal(strlen(found.text), DIVVY_NODE_TEXT_BYTES - 3);
    assert_memory_equal(found.text, " [2J   aaa", 10);
    divvy_node_registry_free(registry);
}

static void test_names(void **unused) {
    (void)unused;
    enum divvy_node_qos qos = DIVVY_NODE_QOS_LOW;
    for (int i = 0; i < DIVVY_NODE_QOS_MAX; i++) {
        assert_int_equal(divvy_node_qos_parse(divvy_node_qos_name((enum divvy_node_qos)i), &qos), 0);
        assert_int_equal(qos, i);
    }
    assert_int_equal(divvy_node_qos_parse("Critical", &qos), 0);
    assert_int_equal(divvy_node_qos_parse("critical ", &qos), -EINVAL);
    assert_int_equal(divvy_node_qos_parse("", &qos), -EINVAL);
    assert_int_equal(qos, DIVVY_NODE_QOS_CRITICAL);
    for (int i = 0; i < DIVVY_NODE_EVENT_KIND_MAX; i++)
        assert_non_null(divvy_node_event_name((enum divvy_node_event_kind)i));
    assert_null(divvy_node_event_name(DIVVY_NODE_EVENT_KIND_MAX));
    assert_null(divvy_node_qos_name((enum divvy_node_qos)-1));
    assert_string_equal(divvy_node_state_name(DIVVY_NODE_TENANT_SAVED), "saved");
    assert_string_equal(divvy_node_source_name(DIVVY_NODE_FROM_POD), "pod");
    assert_string_equal(divvy_node_mode_name(2), "leased");
    assert_null(divvy_node_mode_name(4));
}

/* --- memory runs out ---------------------------------------------------------------------------------------------------- */

static void test_memory_runs_out(void **unused) {
    (void)unused;
    struct divvy_node_registry *registry = NULL;
    for (int i = 0;; i++) {
        fail_after = i;
        int r = divvy_node_registry_new(&registry);
        fail_after = -1;
        if (r == 0)
            break;
        assert_int_equal(r, -ENOMEM);
        assert_null(registry);
        assert_true(i < 10);
    }
    struct divvy_node_device d = device(0, GIB);
    assert_int_equal(divvy_node_registry_device_set(registry, &d), 0);
    char id[32];
    int refused = 0;
    for (uint32_t i = 0; i < 2000; i++) { /* the table grows on the way */
        snprintf(id, sizeof id, "t%u", i);
        struct divvy_node_spec s = spec(id, 1, 100);
        struct divvy_node_tenant *tenant = NULL;
        char why[DIVVY_NODE_TEXT_BYTES] = "";
        for (int allowed = 0; !tenant; allowed++) {
            fail_after = allowed;
            int r = divvy_node_registry_tenant_add(registry, &s, 1, 1000, &tenant, why);
            fail_after = -1;
            assert_int_equal(r, tenant ? 0 : -ENOMEM);
            refused += !tenant;
            assert_true(tenant || strcmp(why, "out of memory") == 0);
        }
    }
    assert_true(refused > 2000);
    assert_int_equal(divvy_node_registry_tenant_count(registry), 2000);
    assert_int_equal(divvy_node_registry_promise(registry, 0).memory_bytes, 2000);
    struct divvy_node_process process = {.host_pid = 1};
    fail_after = 0;
    assert_int_equal(divvy_node_registry_process_add(registry, "t1", &process), -ENOMEM);
    fail_after = -1;
    assert_int_equal(divvy_node_registry_process_add(registry, "t1", &process), 0);
    divvy_node_registry_free(registry);
    divvy_node_registry_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_names_of_tenants),
        cmocka_unit_test(test_refusals_say_why),
        cmocka_unit_test(test_changes_are_all_or_nothing),
        cmocka_unit_test(test_sums_beyond_64_bits),
        cmocka_unit_test(test_full_of_tenants),
        cmocka_unit_test(test_numbers_rest),
        cmocka_unit_test(test_devices_by_name),
        cmocka_unit_test(test_processes),
        cmocka_unit_test(test_events_are_a_ring),
        cmocka_unit_test(test_events_are_lines),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
