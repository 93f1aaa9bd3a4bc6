/*
 * Prints what a device did in virtual time as CSV, for pictures: one line for each window, with the percentage that each tenant of the
 * scene got in it.
 *
 * usage: sched_timeline [SCENE]    without one: the scenes
 */
#include <stdio.h>
#include <string.h>

#include "simulation.h"

#define MS     SIMULATION_MS
#define US     (SIMULATION_MS / 1000)
#define SECOND SIMULATION_SECOND

#define GREEDY(w, cap, kernel)                                                                                          \
    { .params = {.weight = (w), .cap_permille = (cap), .qos = DIVVY_NODE_QOS_MEDIUM}, .kernel_ns = (kernel), .drain_max_ns = MS }

struct scene {
    const char *name, *about;
    const char *tenants; /* column names */
    struct simulation_program programs[4];
    uint32_t count;
    int64_t window_ns, length_ns;
    int64_t change_ns[2]; /* 0 none */
    void (*change[2])(struct simulation *simulation);
};

static void first_sleeps(struct simulation *s) {
    simulation_sleep(s, 0, true);
}

static void first_wakes(struct simulation *s) {
    simulation_sleep(s, 0, false);
}

static void first_to_60(struct simulation *s) {
    struct divvy_node_tenant_params params = {.weight = 600, .cap_permille = 600, .qos = DIVVY_NODE_QOS_MEDIUM};
    (void)divvy_node_sched_set(simulation_sched(s), 0, &params, simulation_now(s));
}

static const struct scene scenes[] = {
    {"caps", "hard caps of 30 and 70 %, windows of a second", "cap_30,cap_70", {GREEDY(300, 300, MS / 2), GREEDY(700, 700, MS / 2)}, 2,
     SECOND, 30 * SECOND, {0}, {NULL}},
    {"weights", "weights 1:2:4:8", "weight_1,weight_2,weight_4,weight_8",
     {GREEDY(1, 0, MS / 2), GREEDY(2, 0, MS / 2), GREEDY(4, 0, MS / 2), GREEDY(8, 0, MS / 2)}, 4, SECOND, 30 * SECOND, {0}, {NULL}},
    {"idle", "one of two sleeps at 0.4 s and wakes at 0.8 s", "sleeper,other", {GREEDY(500, 0, MS / 2), GREEDY(500, 0, MS / 2)}, 2, 20 * MS,
     1200 * MS, {400 * MS, 800 * MS}, {first_sleeps, first_wakes}},
    {"step", "a cap is changed from 20 to 60 % at 1 s", "changed,cap_40", {GREEDY(200, 200, MS / 2), GREEDY(400, 400, MS / 2)}, 2, 50 * MS,
     2 * SECOND, {SECOND}, {first_to_60}},
    {"long", "kernels of 50 ms beside kernels of 1 ms", "kernels_50ms,kernels_1ms", {GREEDY(500, 0, 50 * MS), GREEDY(500, 0, MS)}, 2, 100 * MS,
     5 * SECOND, {0}, {NULL}},
};

static void print(const struct scene *scene) {
    struct simulation *s = simulation_new(scene->programs, scene->count, 30 * US, scene->window_ns, scene->length_ns, 1);
    for (int i = 0; i < 2; i++) {
        if (!scene->change[i])
            break;
        simulation_run(s, scene->change_ns[i]);
        scene->change[i](s);
    }
    simulation_run(s, scene->length_ns);
    printf("seconds,%s\n", scene->tenants);
    for (int64_t at = 0; at < scene->length_ns; at += scene->window_ns) {
        printf("%.3f", (double)at / (double)SECOND);
        for (uint32_t i = 0; i < scene->count; i++)
            printf(",%.3f", 100 * (double)simulation_used(s, i, at, at + scene->window_ns) / (double)scene->window_ns);
        printf("\n");
    }
    simulation_free(s);
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        if (argc < 2)
            printf("%-10s %s\n", scenes[i].name, scenes[i].about);
        else if (strcmp(argv[1], scenes[i].name) == 0) {
            print(&scenes[i]);
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}
