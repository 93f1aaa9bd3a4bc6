/* Slots: names, choices, shares. */
#include "plugin/slots.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOTS 4u

static struct divvy_node_device devices[] = {
    {.index = 0, .uuid_text = "GPU-a", .memory_bytes = 1000}, {.index = 1, .uuid_text = "GPU-b", .memory_bytes = 2002}, {.index = 2, .uuid_text = "GPU-c"}};

static void ids(void **state) {
    static const struct {
        const char *id;
        int device, number; /* -1: refused */
    } rows[] = {{"GPU-a::0", 0, 0},    {"GPU-c::3", 2, 3},    {"GPU-c::4", -1, 0},  {"GPU-d::0", -1, 0},   {"GPU-a", -1, 0},
                {"GPU-a::", -1, 0},    {"GPU-a::00", -1, 0},  {"GPU-a::01", -1, 0}, {"GPU-a::-1", -1, 0},  {"GPU-a::+1", -1, 0},
                {"GPU-a:: 1", -1, 0},  {"GPU-a::1 ", -1, 0},  {"::0", -1, 0},       {"", -1, 0},           {"GPU-a::0::0", -1, 0},
                {"GPU-a::99999999999999999999", -1, 0},       {"gpu-a::0", -1, 0},  {"GPU-a:0", -1, 0},    {"GPU-ab::0", -1, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct divvy_plugin_slot slot;
        int status = divvy_plugin_slot_parse(rows[i].id, devices, 3, SLOTS, &slot);

        assert_int_equal(status, rows[i].device < 0 ? -EINVAL : 0);
        if (status == 0) {
            char id[DIVVY_PLUGIN_ID_BYTES];

            assert_int_equal(slot.device, rows[i].device);
            assert_int_equal(slot.number, rows[i].number);
            divvy_plugin_slot_id(&devices[slot.device], slot.number, id);
            assert_string_equal(id, rows[i].id);
        }
    }
}

/* "a0 a1 b3" to slots. */
static size_t slots_of(const char *text, struct divvy_plugin_slot *ret_slots) {
    size_t count = 0;

    for (; *text; text += text[2] ? 3 : 2)
        ret_slots[count++] = (struct divvy_plugin_slot){(uint32_t)(text[0] - 'a'), (uint32_t)(text[1] - '0')};
    return count;
}

static void choices(void **state) {
    static const struct {
        enum divvy_plugin_policy policy;
        const char *available, *must;
        size_t size;
        const char *chosen; /* NULL: refused */
    } rows[] = {
        {DIVVY_PLUGIN_PACK, "a0 a1 a2 a3 b0 b1 b2 b3", "", 1, "a0"},
        {DIVVY_PLUGIN_PACK, "a0 a1 a2 a3 b1 b2 b3", "", 1, "b1"},
        {DIVVY_PLUGIN_PACK, "a0 a1 a2 a3 b3", "", 1, "b3"},
        {DIVVY_PLUGIN_PACK, "a0 a1 a2 a3 b3", "", 2, "a0 a1"},
        {DIVVY_PLUGIN_PACK, "a0 a1 a2 b2 b3 c0", "", 2, "b2 b3"},
        {DIVVY_PLUGIN_PACK, "a0 a1 b2 b3 c0", "", 3, "a0 a1 c0"},
        {DIVVY_PLUGIN_PACK, "a0 b2 b3 c0 c1 c2", "", 5, "b2 b3 c0 c1 c2"},
        {DIVVY_PLUGIN_PACK, "a0 a1 a2 a3 b1 b2", "a3", 2, "a0 a3"},
        {DIVVY_PLUGIN_PACK, "a0 b1 b2 b3", "a0", 2, "a0 b1"},
        {DIVVY_PLUGIN_PACK, "a0 b1", "a0 b1", 2, "a0 b1"},
        {DIVVY_PLUGIN_SPREAD, "a0 a1 a2 a3 b0 b1 b2 b3", "", 1, "a0"},
        {DIVVY_PLUGIN_SPREAD, "a0 a1 a2 a3 b0 b1 b2 b3", "", 2, "a0 b0"},
        {DIVVY_PLUGIN_SPREAD, "a1 a2 a3 b0 b1 b2 b3", "", 1, "b0"},
        {DIVVY_PLUGIN_SPREAD, "a0 b0 b1 b2 b3", "", 2, "b0 b1"},
        {DIVVY_PLUGIN_SPREAD, "a0 a1 b0 b1 c0 c1", "b0", 3, "a0 b0 c0"},
        {DIVVY_PLUGIN_SPREAD, "a0 b0", "", 0, ""},
        {DIVVY_PLUGIN_PACK, "", "", 0, ""},
        {DIVVY_PLUGIN_PACK, "", "", 1, NULL},
        {DIVVY_PLUGIN_PACK, "a0 a1", "", 3, NULL},
        {DIVVY_PLUGIN_PACK, "a0 a1", "a0 a1", 1, NULL},
        {DIVVY_PLUGIN_PACK, "a0 a1", "b0", 1, NULL},
        {DIVVY_PLUGIN_PACK, "", "b0", 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct divvy_plugin_slot available[16], must[16], chosen[16], expected[16];
        size_t count = slots_of(rows[i].available, available), must_count = slots_of(rows[i].must, must);
        struct divvy_error error = {0, ""};
        int status = divvy_plugin_slots_choose(rows[i].policy, available, count, must, must_count, rows[i].size, chosen, &error);

        if (status != (rows[i].chosen ? 0 : -EINVAL))
            fail_msg("row %zu: %d", i, status);
        if (!rows[i].chosen) {
            assert_true(error.text[0] != '\0');
            continue;
        }
        assert_int_equal(slots_of(rows[i].chosen, expected), rows[i].size);
        if (rows[i].size > 0 && memcmp(chosen, expected, rows[i].size * sizeof *chosen) != 0)
            fail_msg("row %zu: others were chosen", i);
    }
}

/* --- random questions: what holds for every answer ------------------------------------------------------------------------ */

static uint32_t count_of(const struct divvy_plugin_slot *slots, size_t count, uint32_t device) {
    uint32_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += slots[i].device == device;
    return found;
}

static void answer_check(enum divvy_plugin_policy policy, const struct divvy_plugin_slot *available, size_t count,
                         const struct divvy_plugin_slot *must, size_t must_count, const struct divvy_plugin_slot *chosen, size_t size) {
    uint32_t most = 0, left_most = 0, on = 0, taken_left = UINT32_MAX;

    for (size_t i = 1; i < size; i++)
        assert_true(divvy_plugin_slot_compare(&chosen[i - 1], &chosen[i]) < 0);
    for (size_t i = 0; i < size; i++)
        assert_non_null(bsearch(&chosen[i], available, count, sizeof *chosen, divvy_plugin_slot_compare));
    for (size_t i = 0; i < must_count; i++)
        assert_non_null(bsearch(&must[i], chosen, size, sizeof *chosen, divvy_plugin_slot_compare));
    if (must_count > 0 || size == 0)
        return;
    for (uint32_t device = 0; device < 3; device++) {
        uint32_t has = count_of(available, count, device), takes = count_of(chosen, size, device);

        most = has > most ? has : most;
        on += takes > 0;
        left_most = has - takes > left_most ? has - takes : left_most;
        if (takes > 0)
            taken_left = has - takes < taken_left ? has - takes : taken_left;
    }
    if (policy == DIVVY_PLUGIN_PACK && most >= size) /* one device can, so one does, and none that can has less */
        assert_int_equal(on, 1);
    if (policy == DIVVY_PLUGIN_SPREAD) /* no device that was taken from is more than one slot behind the emptiest */
        assert_true(taken_left + 1 >= left_most);
}

static void random_choices(void **state) {
    unsigned int seed = (unsigned int)getpid();

    (void)state;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 20000; round++) {
        struct divvy_plugin_slot available[12], must[12], chosen[12], again[12];
        enum divvy_plugin_policy policy = rand_r(&seed) & 1 ? DIVVY_PLUGIN_PACK : DIVVY_PLUGIN_SPREAD;
        size_t count = 0, must_count = 0, size;

        for (uint32_t i = 0; i < 12; i++)
            if (rand_r(&seed) % 3)
                available[count++] = (struct divvy_plugin_slot){i / SLOTS, i % SLOTS};
        for (size_t i = 0; i < count; i++)
            if (rand_r(&seed) % 6 == 0)
                must[must_count++] = available[i];
        size = must_count + (size_t)rand_r(&seed) % (count - must_count + 1);
        assert_int_equal(divvy_plugin_slots_choose(policy, available, count, must, must_count, size, chosen, NULL), 0);
        assert_int_equal(divvy_plugin_slots_choose(policy, available, count, must, must_count, size, again, NULL), 0);
        assert_memory_equal(chosen, again, size * sizeof *chosen);
        answer_check(policy, available, count, must, must_count, chosen, size);
    }
}

static void shares(void **state) {
    struct divvy_plugin_share found[DIVVY_NODE_DEVICES];
    struct divvy_plugin_slot slots[16];

    (void)state;
    assert_int_equal(divvy_plugin_slots_share(slots, slots_of("a1 b0 b2 b3 c0", slots), devices, SLOTS, found), 3);
    assert_int_equal(found[0].device, 0);
    assert_int_equal(found[0].memory_bytes, 250);
    assert_int_equal(found[0].compute_permille, 250);
    assert_int_equal(found[1].slots, 3);
    assert_int_equal(found[1].memory_bytes, 1500);
    assert_int_equal(found[1].compute_permille, 750);
    assert_int_equal(found[2].memory_bytes, 0);
    assert_int_equal(divvy_plugin_slots_share(slots, slots_of("a0 a1 a2 a3", slots), devices, SLOTS, found), 1);
    assert_int_equal(found[0].compute_permille, 1000);
    assert_int_equal(divvy_plugin_slots_share(slots, 0, devices, SLOTS, found), 0);
}

static void resources(void **state) {
    static const char *const good[] = {"divvy.io/gpu", "tensor-fusion.ai/index", "a/b", "x.y/A_b-c.d"};
    static const char *const bad[] = {"", "gpu", "/gpu", "divvy.io/", "Divvy.io/gpu", "divvy.io/a/b", "divvy io/gpu", "-a/b", "a-/b", "a/-b", "a/b.", "a/b c"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(divvy_plugin_resource_check(good[i]), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(divvy_plugin_resource_check(bad[i]), -EINVAL);
}

static void lists(void **state) {
    static const char *const twice[] = {"GPU-a::1", "GPU-b::0", "GPU-a::1"}, *const good[] = {"GPU-b::2", "GPU-a::3", "GPU-b::0"};
    struct divvy_plugin_slot slots[3], expected[3];
    struct divvy_error error = {0, ""};

    (void)state;
    assert_int_equal(divvy_plugin_slots_parse(good, 3, devices, 3, SLOTS, slots, &error), 0);
    (void)slots_of("a3 b0 b2", expected);
    assert_memory_equal(slots, expected, sizeof slots);
    assert_int_equal(divvy_plugin_slots_parse(twice, 3, devices, 3, SLOTS, slots, &error), -EINVAL);
    assert_string_equal(error.text, "a device is named twice");
    assert_int_equal(divvy_plugin_slots_parse(good, 0, devices, 3, SLOTS, slots, &error), -EINVAL);
    assert_int_equal(divvy_plugin_slots_parse(good, 3, devices, 1, SLOTS, slots, &error), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids),    cmocka_unit_test(choices),   cmocka_unit_test(random_choices),
        cmocka_unit_test(shares), cmocka_unit_test(resources), cmocka_unit_test(lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
