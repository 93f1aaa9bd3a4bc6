/* A device and its tenants in virtual time; see simulation.h. */
#include "simulation.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define QUEUE 4096

struct player {
    struct simulation_program program;
    bool asleep;      /* greedy: told to; else: no request waits */
    int64_t left_ns;  /* of the request under way */
    int64_t next_ns;  /* when the next request comes */
    int64_t arrived_ns[QUEUE];
    uint64_t arrived, served;
    int64_t *latencies;
    size_t latency_count, latency_room;
    int64_t *windows;
    uint64_t state; /* of its own, so that its requests are the same whoever else is there */
};

struct simulation {
    struct divvy_node_sched *sched;
    struct player *players;
    uint32_t count, last;
    int64_t now_ns, handover_ns, window_ns, lost_ns;
    size_t window_count;
};

static uint64_t random_below(uint64_t *state, uint64_t n) {
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (*state >> 24) % n;
}

static int64_t random_gap(struct player *p, int64_t mean_ns) {
    double uniform = ((double)random_below(&p->state, 1u << 30) + 1) / (double)(1u << 30);
    return (int64_t)(-log(uniform) * (double)mean_ns) + 1;
}

static bool has_requests(const struct player *p) {
    return p->program.request_ns > 0;
}

struct simulation *simulation_new(const struct simulation_program *programs, uint32_t count, int64_t handover_ns,
                                  int64_t window_ns, int64_t length_ns, uint64_t seed) {
    struct simulation *s = calloc(1, sizeof *s);
    assert(s);
    *s = (struct simulation){.count = count,
                             .last = DIVVY_NODE_SCHED_NOBODY,
                             .handover_ns = handover_ns,
                             .window_ns = window_ns,
                             .window_count = (size_t)(length_ns / window_ns) + 2,
                             .players = calloc(count, sizeof *s->players)};
    int r = divvy_node_sched_new(count, NULL, &s->sched);
    assert(r == 0 && s->players);
    for (uint32_t i = 0; i < count; i++) {
        struct player *p = &s->players[i];
        p->program = programs[i];
        p->state = seed + i;
        p->windows = calloc(s->window_count, sizeof *p->windows);
        r = divvy_node_sched_add(s->sched, i, &programs[i].params, 0);
        assert(r == 0 && p->windows);
        p->asleep = has_requests(p);
        if (p->asleep)
            p->next_ns = random_gap(p, p->program.request_every_ns);
        else
            (void)divvy_node_sched_wake(s->sched, i, 0);
    }
    return s;
}

void simulation_free(struct simulation *s) {
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->players[i].windows);
        free(s->players[i].latencies);
    }
    divvy_node_sched_free(s->sched);
    free(s->players);
    free(s);
}

/* Requests that have come by now. */
static void arrive(struct simulation *s) {
    for (uint32_t i = 0; i < s->count; i++) {
        struct player *p = &s->players[i];
        while (has_requests(p) && p->next_ns <= s->now_ns) {
            assert(p->arrived - p->served < QUEUE);
            p->arrived_ns[p->arrived++ % QUEUE] = p->next_ns;
            if (p->asleep) {
                p->asleep = false;
                p->left_ns = p->program.request_ns;
                (void)divvy_node_sched_wake(s->sched, i, p->next_ns);
            }
            p->next_ns += random_gap(p, p->program.request_every_ns);
        }
    }
}

static int64_t next_arrival(const struct simulation *s) {
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < s->count; i++)
        if (has_requests(&s->players[i]) && s->players[i].next_ns < next)
            next = s->players[i].next_ns;
    return next;
}

static void served(struct simulation *s, struct player *p) {
    if (p->latency_count == p->latency_room) {
        p->latency_room = p->latency_room ? 2 * p->latency_room : 1024;
        p->latencies = realloc(p->latencies, p->latency_room * sizeof *p->latencies);
        assert(p->latencies);
    }
    p->latencies[p->latency_count++] = s->now_ns - p->arrived_ns[p->served++ % QUEUE];
    if (p->served < p->arrived)
        p->left_ns = p->program.request_ns;
    else
        p->asleep = true;
}

/* The device works for the tenant. */
static void work(struct simulation *s, uint32_t id, int64_t ns) {
    struct player *p = &s->players[id];
    int64_t charged = ns;
    while (ns > 0) {
        size_t window = (size_t)(s->now_ns / s->window_ns);
        int64_t room = ((int64_t)window + 1) * s->window_ns - s->now_ns, part = ns < room ? ns : room;
        if (window < s->window_count)
            p->windows[window] += part;
        s->now_ns += part;
        ns -= part;
    }
    (void)divvy_node_sched_charge(s->sched, id, charged, s->now_ns);
}

/* One kernel and what the host takes until the next. */
static void kernel(struct simulation *s, uint32_t id) {
    struct player *p = &s->players[id];
    int64_t ns = p->program.kernel_ns;
    if (has_requests(p) && ns > p->left_ns)
        ns = p->left_ns;
    work(s, id, ns);
    if (has_requests(p)) {
        p->left_ns -= ns;
        if (p->left_ns == 0)
            served(s, p);
    }
    if (p->program.host_ns) {
        s->now_ns += p->program.host_ns;
        (void)divvy_node_sched_charge_idle(s->sched, id, p->program.host_ns, s->now_ns);
    }
}

/* Whole kernels until the lease is over, one way or another. */
static void lease(struct simulation *s, struct divvy_node_lease *granted, int64_t until_ns) {
    uint32_t id = granted->tenant;
    struct player *p = &s->players[id];
    int64_t end = s->now_ns + granted->length_ns;
    bool over = false;
    while (!over && s->now_ns < until_ns) {
        kernel(s, id);
        arrive(s);
        if (p->asleep) {
            (void)divvy_node_sched_sleep(s->sched, id, s->now_ns);
            return;
        }
        if (granted->kind == DIVVY_NODE_LEASE_OPEN) {
            (void)divvy_node_sched_pick(s->sched, s->now_ns, granted);
            end = s->now_ns + granted->length_ns;
        }
        over = granted->kind == DIVVY_NODE_LEASE_TIMED &&
               (s->now_ns >= end || divvy_node_sched_should_revoke(s->sched, s->now_ns));
    }
    if (!over && granted->kind == DIVVY_NODE_LEASE_OPEN)
        return;
    if (!has_requests(p))
        work(s, id, (int64_t)random_below(&p->state, (uint64_t)p->program.drain_max_ns + 1));
    (void)divvy_node_sched_end(s->sched, id, s->now_ns);
}

void simulation_run(struct simulation *s, int64_t until_ns) {
    while (s->now_ns < until_ns) {
        struct divvy_node_lease granted;
        arrive(s);
        (void)divvy_node_sched_pick(s->sched, s->now_ns, &granted);
        if (granted.kind == DIVVY_NODE_LEASE_NONE) {
            int64_t next = next_arrival(s);
            if (next > granted.retry_ns)
                next = granted.retry_ns;
            s->now_ns = next < until_ns ? next : until_ns;
            continue;
        }
        if (granted.tenant != s->last) {
            s->now_ns += s->handover_ns;
            s->lost_ns += s->handover_ns;
        }
        s->last = granted.tenant;
        lease(s, &granted, until_ns);
    }
}

struct divvy_node_sched *simulation_sched(struct simulation *s) {
    return s->sched;
}

int64_t simulation_now(const struct simulation *s) {
    return s->now_ns;
}

void simulation_sleep(struct simulation *s, uint32_t tenant, bool asleep) {
    s->players[tenant].asleep = asleep;
    if (asleep)
        (void)divvy_node_sched_sleep(s->sched, tenant, s->now_ns);
    else
        (void)divvy_node_sched_wake(s->sched, tenant, s->now_ns);
}

void simulation_kernel(struct simulation *s, uint32_t tenant, int64_t kernel_ns) {
    s->players[tenant].program.kernel_ns = kernel_ns;
}

int64_t simulation_used(const struct simulation *s, uint32_t tenant, int64_t begin_ns, int64_t end_ns) {
    int64_t sum = 0;
    for (size_t i = (size_t)(begin_ns / s->window_ns); i < (size_t)(end_ns / s->window_ns) && i < s->window_count; i++)
        sum += s->players[tenant].windows[i];
    return sum;
}

int64_t simulation_lost(const struct simulation *s) {
    return s->lost_ns;
}

const int64_t *simulation_latencies(const struct simulation *s, uint32_t tenant, size_t *ret_count) {
    *ret_count = s->players[tenant].latency_count;
    return s->players[tenant].latencies;
}
