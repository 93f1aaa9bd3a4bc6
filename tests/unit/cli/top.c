/* The live view: order, selection, keys, scrolling, and how it looks at any size. */
#include "cli/top.h"
#include "cli/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct divvy_cli_seen_tenant tenant(const char *id, double share, double memory,
                                           double waited_ns) {
    struct divvy_cli_seen_tenant made = {
        .process_count = 1,
        .use_count = 1,
        .uses = {{.limit_bytes = 8.0 * (1 << 30),
                  .used_bytes = memory,
                  .compute_percent = 30,
                  .share_percent = share,
                  .waited_ns = waited_ns}},
    };

    (void)snprintf(made.id, sizeof made.id, "%s", id);
    (void)snprintf(made.state, sizeof made.state, "running");
    (void)snprintf(made.qos, sizeof made.qos, "medium");
    return made;
}

static void sample(struct divvy_cli_top *top, const struct divvy_cli_seen_tenant *tenants,
                   size_t count, double now_s) {
    struct divvy_cli_seen_tenant *copy = calloc(count + 1, sizeof *copy);
    struct divvy_cli_seen_device *device = calloc(1, sizeof *device);

    assert_non_null(copy);
    assert_non_null(device);
    if (count)
        memcpy(copy, tenants, count * sizeof *copy);
    device->healthy = true;
    device->memory_bytes = 17e9;
    device->used_bytes = 4e9;
    device->utilisation_percent = 80;
    device->temperature_c = device->power_w = -1;
    assert_int_equal(divvy_cli_top_update(top, device, 1, copy, count, now_s), 0);
}

static void three(struct divvy_cli_top *top, double now_s) {
    struct divvy_cli_seen_tenant tenants[] = {tenant("a", 10, 3e9, now_s * 1e9),
                                              tenant("b", 30, 1e9, now_s * 2e9),
                                              tenant("c", 20, 2e9, 0)};

    sample(top, tenants, 3, now_s);
}

static const char *at(const struct divvy_cli_top *top, size_t row) {
    return row < top->row_count ? top->rows[row].tenant->id : "";
}

static void order_follows_the_keys(void **state) {
    struct divvy_cli_top top = {.sort = DIVVY_CLI_TOP_BY_COMPUTE};

    (void)state;
    three(&top, 1);
    assert_string_equal(at(&top, 0), "b");
    (void)divvy_cli_top_key(&top, 'm');
    assert_string_equal(at(&top, 0), "a");
    (void)divvy_cli_top_key(&top, 'n');
    assert_string_equal(at(&top, 2), "c");
    three(&top, 2);
    assert_string_equal(at(&top, 0), "a");
    divvy_cli_top_done(&top);
}

static void waiting_is_a_mean_between_samples(void **state) {
    struct divvy_cli_top top = {0};

    (void)state;
    three(&top, 1);
    assert_true(top.rows[0].waiting < 0);
    three(&top, 3);
    assert_true(top.rows[0].waiting > 0.999 && top.rows[0].waiting < 1.001);
    assert_true(top.rows[1].waiting > 1.999 && top.rows[1].waiting < 2.001);
    /* Another of the same name begins at nothing. */
    three(&top, 1);
    assert_true(top.rows[0].waiting < 0);
    divvy_cli_top_done(&top);
}

static void selection_stays_with_its_tenant(void **state) {
    struct divvy_cli_top top = {.sort = DIVVY_CLI_TOP_BY_NAME};
    struct divvy_cli_seen_tenant others[] = {tenant("0", 1, 1, 0), tenant("b", 1, 1, 0)};

    (void)state;
    three(&top, 1);
    assert_null(divvy_cli_top_selected(&top));
    assert_int_equal(divvy_cli_top_key(&top, 'f'), DIVVY_CLI_TOP_NOTHING);
    assert_non_null(strstr(top.message, "select"));
    (void)divvy_cli_top_key(&top, 'j');
    (void)divvy_cli_top_key(&top, DIVVY_CLI_KEY_DOWN);
    assert_string_equal(divvy_cli_top_selected(&top)->tenant->id, "b");
    assert_int_equal(divvy_cli_top_key(&top, 'f'), DIVVY_CLI_TOP_FREEZE);
    (void)divvy_cli_top_key(&top, 'c');
    assert_string_equal(divvy_cli_top_selected(&top)->tenant->id, "b");
    sample(&top, others, 2, 2);
    assert_string_equal(divvy_cli_top_selected(&top)->tenant->id, "b");
    sample(&top, others, 1, 3);
    assert_null(divvy_cli_top_selected(&top));
    (void)divvy_cli_top_key(&top, 'k');
    assert_string_equal(divvy_cli_top_selected(&top)->tenant->id, "0");
    (void)divvy_cli_top_key(&top, DIVVY_CLI_KEY_ESCAPE);
    assert_null(divvy_cli_top_selected(&top));
    sample(&top, NULL, 0, 4);
    (void)divvy_cli_top_key(&top, 'j');
    assert_null(divvy_cli_top_selected(&top));
    divvy_cli_top_done(&top);
}

static void keys_mean_actions(void **state) {
    struct divvy_cli_top top = {0};

    (void)state;
    three(&top, 1);
    assert_int_equal(divvy_cli_top_key(&top, 'q'), DIVVY_CLI_TOP_QUIT);
    assert_int_equal(divvy_cli_top_key(&top, DIVVY_CLI_KEY_ENDED), DIVVY_CLI_TOP_QUIT);
    assert_int_equal(divvy_cli_top_key(&top, ' '), DIVVY_CLI_TOP_REFRESH);
    (void)divvy_cli_top_key(&top, '?');
    assert_true(top.help);
    /* Any key goes back, and does nothing else. */
    assert_int_equal(divvy_cli_top_key(&top, 'j'), DIVVY_CLI_TOP_NOTHING);
    assert_false(top.help);
    assert_null(divvy_cli_top_selected(&top));
    (void)divvy_cli_top_key(&top, 'j');
    assert_int_equal(divvy_cli_top_key(&top, '+'), DIVVY_CLI_TOP_MORE);
    assert_int_equal(divvy_cli_top_key(&top, '-'), DIVVY_CLI_TOP_LESS);
    divvy_cli_top_done(&top);
}

static void idle_tenants_are_shown_on_demand(void **state) {
    struct divvy_cli_top top = {0};
    struct divvy_cli_seen_tenant tenants[] = {tenant("a", 1, 1, 0), tenant("b", 1, 1, 0)};

    (void)state;
    tenants[1].process_count = 0;
    (void)snprintf(tenants[1].state, sizeof tenants[1].state, "idle");
    sample(&top, tenants, 2, 1);
    assert_int_equal(top.row_count, 1);
    (void)divvy_cli_top_key(&top, 'a');
    assert_int_equal(top.row_count, 2);
    divvy_cli_top_done(&top);
}

static void share_steps(void **state) {
    (void)state;
    assert_true(divvy_cli_top_share_step(30, true) == 35);
    assert_true(divvy_cli_top_share_step(30, false) == 25);
    assert_true(divvy_cli_top_share_step(32, true) == 35);
    assert_true(divvy_cli_top_share_step(32, false) == 30);
    assert_true(divvy_cli_top_share_step(12.5, false) == 10);
    assert_true(divvy_cli_top_share_step(5, false) == 1);
    assert_true(divvy_cli_top_share_step(1, true) == 5);
    assert_true(divvy_cli_top_share_step(98, true) == 100);
    assert_true(divvy_cli_top_share_step(1, false) < 0);
    assert_true(divvy_cli_top_share_step(100, true) < 0);
    assert_true(divvy_cli_top_share_step(-1, true) < 0);
    assert_true(divvy_cli_top_share_step(-1, false) == 95);
}

static char *drawn(struct divvy_cli_top *top, unsigned int columns, unsigned int lines,
                   bool screen) {
    struct divvy_cli_canvas canvas;
    size_t length;
    char *text;

    assert_int_equal(divvy_cli_canvas_init(&canvas, columns, lines), 0);
    divvy_cli_top_draw(top, &canvas, "10:11:12", screen);
    text = divvy_cli_canvas_text(&canvas, screen, false, &length);
    assert_non_null(text);
    assert_int_equal(strlen(text), length);
    divvy_cli_canvas_done(&canvas);
    return text;
}

static void looks(void **state) {
    struct divvy_cli_top top = {.sort = DIVVY_CLI_TOP_BY_NAME};
    char *text;

    (void)state;
    (void)snprintf(top.node.name, sizeof top.node.name, "n1");
    (void)snprintf(top.node.version, sizeof top.node.version, "1.2");
    top.node.uptime_s = 61;
    three(&top, 1);
    three(&top, 3);
    text = drawn(&top, 80, 9, false);
    assert_string_equal(
        text, "n1  divvyd 1.2, up 1m01s  3 tenants, 3 running                          10:11:12\n"
              "GPU 0 [||||||||||||||||||  80%] [||||||||               3.7/15.8 GiB]\n"
              "\n"
              "NAME             STATE    QOS      GPU  ASKED    GOT          MEMORY  WAIT PROCS\n"
              "a                running  medium     0    30%    10%       2.8/8 GiB   1.0     1\n"
              "b                running  medium     0    30%    30%       0.9/8 GiB   2.0     1\n"
              "c                running  medium     0    30%    20%       1.9/8 GiB   0.0     1\n");
    free(text);
    divvy_cli_top_done(&top);
}

static void the_selected_is_scrolled_to(void **state) {
    struct divvy_cli_top top = {.sort = DIVVY_CLI_TOP_BY_NAME};
    struct divvy_cli_seen_tenant tenants[60];
    char name[16], *text;

    (void)state;
    for (int i = 0; i < 60; i++) {
        (void)snprintf(name, sizeof name, "t%02d", i);
        tenants[i] = tenant(name, i, i, 0);
    }
    sample(&top, tenants, 60, 1);
    (void)divvy_cli_top_key(&top, DIVVY_CLI_KEY_END);
    text = drawn(&top, 80, 12, true);
    assert_non_null(strstr(text, "\033[7mt59"));
    assert_null(strstr(text, "t00"));
    free(text);
    (void)divvy_cli_top_key(&top, DIVVY_CLI_KEY_PAGE_UP);
    text = drawn(&top, 80, 12, true);
    assert_null(strstr(text, "\033[7mt59"));
    assert_int_equal(top.page, 7);
    assert_string_equal(top.selected, "t53");
    free(text);
    divvy_cli_top_done(&top);
}

/* Any size, any state, random keys: it draws within its canvas (the sanitizers look on). */
static void any_size(void **state) {
    struct divvy_cli_top top = {0};
    unsigned int seed = (unsigned int)time(NULL);
    static const int keys[] = {'j',   'k',   'm',   'c',   'n',   'a',   '?',   '+',
                               0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 'x'};

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 400; round++) {
        struct divvy_cli_seen_tenant tenants[12];
        size_t count = (size_t)(rand() % 13);
        unsigned int columns = (unsigned int)(rand() % 140), lines = (unsigned int)(rand() % 40);

        for (size_t i = 0; i < count; i++) {
            char name[128];

            memset(name, 'a' + rand() % 3, sizeof name);
            name[rand() % 127] = '\0';
            name[127] = '\0';
            tenants[i] = tenant(name, rand() % 150 - 1, rand(), rand());
            tenants[i].use_count = (unsigned int)(rand() % 4);
            tenants[i].process_count = rand() % 2;
        }
        sample(&top, tenants, count, round);
        for (int i = 0; i < 4; i++)
            (void)divvy_cli_top_key(&top, keys[(size_t)rand() % (sizeof keys / sizeof keys[0])]);
        free(drawn(&top, columns, lines, round % 2));
    }
    divvy_cli_top_done(&top);
}

static void keys_are_decoded(void **state) {
    static const struct {
        const char *bytes;
        bool more;
        size_t used;
        int key;
    } cases[] = {
        {"q", true, 1, 'q'},
        {"", true, 0, DIVVY_CLI_KEY_NONE},
        {"\033[A", true, 3, DIVVY_CLI_KEY_UP},
        {"\033OBx", true, 3, DIVVY_CLI_KEY_DOWN},
        {"\033[5~", true, 4, DIVVY_CLI_KEY_PAGE_UP},
        {"\033", true, 0, DIVVY_CLI_KEY_NONE},
        {"\033", false, 1, DIVVY_CLI_KEY_ESCAPE},
        {"\033[", true, 0, DIVVY_CLI_KEY_NONE},
        {"\033[", false, 2, DIVVY_CLI_KEY_NONE},
        {"\033[1;5", true, 0, DIVVY_CLI_KEY_NONE},
        {"\033[1;5Cq", true, 6, DIVVY_CLI_KEY_NONE},
        {"\033q", true, 1, DIVVY_CLI_KEY_ESCAPE},
        {"\033OP", true, 3, DIVVY_CLI_KEY_NONE},
        {"\xff", true, 1, 0xff},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int key = -1;

        assert_int_equal(
            divvy_cli_terminal_decode(cases[i].bytes, strlen(cases[i].bytes), cases[i].more, &key),
            cases[i].used);
        assert_int_equal(key, cases[i].key);
    }
}

static void canvas_as_a_screen(void **state) {
    struct divvy_cli_canvas canvas;
    size_t length;
    char *text;

    (void)state;
    assert_int_equal(divvy_cli_canvas_init(&canvas, 5, 2), 0);
    (void)divvy_cli_canvas_put(&canvas, 0, 3, DIVVY_TINT_BAD, "abc");
    (void)divvy_cli_canvas_put(&canvas, 7, 0, 0, "outside");
    divvy_cli_canvas_put_right(&canvas, 1, 2, DIVVY_CLI_REVERSE, "xyz\a");
    text = divvy_cli_canvas_text(&canvas, true, true, &length);
    assert_string_equal(text, "\033[H   \033[0m\033[31mab\033[0m\r\n\033[0m\033[7mz?\033[0m\033[K");
    free(text);
    text = divvy_cli_canvas_text(&canvas, false, false, &length);
    assert_string_equal(text, "   ab\nz?\n");
    free(text);
    divvy_cli_canvas_done(&canvas);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_follows_the_keys),
        cmocka_unit_test(waiting_is_a_mean_between_samples),
        cmocka_unit_test(selection_stays_with_its_tenant),
        cmocka_unit_test(keys_mean_actions),
        cmocka_unit_test(idle_tenants_are_shown_on_demand),
        cmocka_unit_test(share_steps),
        cmocka_unit_test(looks),
        cmocka_unit_test(the_selected_is_scrolled_to),
        cmocka_unit_test(any_size),
        cmocka_unit_test(keys_are_decoded),
        cmocka_unit_test(canvas_as_a_screen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
