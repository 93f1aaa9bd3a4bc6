/* MIG in the engine: placements against a model that tries everything, random making and destroying against a model,
 * processes killed in the middle, instances side by side on virtual time, memory and use. */
#include "machine.h"

#include "simgpu/engine/mig_make.h"
#include "simgpu/engine/mig_tables.h"

#include <errno.h>

/* --- placements: every set that fits -------------------------------------------------------------------------- */

/* The rules once more, in the words of NVIDIA's lists. */
static const struct rule {
    uint32_t id, most, size;
    int starts[8]; /* -1 ends */
} rules[] = {
    {19, 7, 1, {0, 1, 2, 3, 4, 5, 6, -1}},
    {20, 1, 1, {0, 1, 2, 3, 4, 5, 6, -1}},
    {15, 4, 2, {0, 2, 4, 6, -1}},
    {14, 3, 2, {0, 2, 4, -1}},
    {9, 2, 4, {0, 4, -1}},
    {5, 1, 4, {0, -1}},
    {0, 1, 8, {0, -1}},
};
enum { RULES = sizeof rules / sizeof *rules };

typedef struct board {
    int owner[8]; /* rule that has the slot, -1 none */
    unsigned count[RULES];
} board_t;

static bool may_put(const board_t *b, int rule, int start) {
    if (b->count[rule] >= rules[rule].most)
        return false;
    for (unsigned i = 0; i < rules[rule].size; i++)
        if (b->owner[start + (int)i] >= 0)
            return false;
    return true;
}

static void put(board_t *b, int rule, int start, bool in) {
    for (unsigned i = 0; i < rules[rule].size; i++)
        b->owner[start + (int)i] = in ? rule : -1;
    b->count[rule] += in ? 1u : -1u;
}

/* The most of one profile that can be added, by trying every subset of its starts. */
static unsigned most_more(const board_t *b, int rule) {
    unsigned best = 0, places = 0;

    while (rules[rule].starts[places] >= 0)
        places++;
    for (unsigned set = 0; set < 1u << places; set++) {
        board_t now = *b;
        unsigned added = 0;

        for (unsigned i = 0; i < places; i++) {
            if (!(set >> i & 1))
                continue;
            if (!may_put(&now, rule, rules[rule].starts[i])) {
                added = 0;
                break;
            }
            put(&now, rule, rules[rule].starts[i], true);
            added++;
        }
        if (added > best)
            best = added;
    }
    return best;
}

typedef struct walk {
    virtual_t v;
    sim_mig_table_t table;
    board_t board;
    unsigned long visited;
} walk_t;

/* What the engine says about this very set: accepts what fits and nothing else, counts and chooses rightly. */
static void compare(walk_t *w) {
    sim_mig_t *m = &w->v.f->header.mig[0];
    sim_mig_use_t use = sim_mig_use(&w->table, m);

    for (int rule = 0; rule < RULES; rule++) {
        int row = sim_mig_row(&w->table, rules[rule].id), chosen;
        unsigned more = most_more(&w->board, rule);

        assert_true(row >= 0);
        assert_int_equal(sim_mig_remaining(&w->table, (unsigned)row, &use), more);
        chosen = sim_mig_choose(&w->table, (unsigned)row, &use);
        if (more)
            assert_true(chosen >= 0 && may_put(&w->board, rule, chosen));
        else
            assert_int_equal(chosen, -ENOSPC);
        for (int start = -1; start <= 8; start++) {
            bool allowed = false;
            uint32_t slot = 99;

            if (start == DIVVY_SIMGPU_MIG_ANYWHERE)
                continue;
            for (int i = 0; rules[rule].starts[i] >= 0; i++)
                allowed |= rules[rule].starts[i] == start;
            int want = !allowed ? -EINVAL : may_put(&w->board, rule, start) ? 0 : -ENOSPC;
            int got = sim_mig_make_gi(w->v.f, w->v.tag, &w->table, 0, rules[rule].id, start, &slot);

            assert_int_equal(got, want);
            if (!got)
                sim_store(&m->gi[slot].word, sim_slot_word(1, SIM_SLOT_FREE));
        }
    }
}

/* Goes on from this set with placements behind (rule, place), so that every set is seen once. */
static void walk(walk_t *w, int rule, int place) {
    w->visited++;
    compare(w);
    for (int r = rule; r < RULES; r++)
        for (int p = r == rule ? place : 0; rules[r].starts[p] >= 0; p++) {
            int start = rules[r].starts[p];
            uint32_t slot;

            if (!may_put(&w->board, r, start))
                continue;
            assert_int_equal(
                sim_mig_make_gi(w->v.f, w->v.tag, &w->table, 0, rules[r].id, start, &slot), 0);
            put(&w->board, r, start, true);
            walk(w, r, p + 1);
            put(&w->board, r, start, false);
            sim_store(&w->v.f->header.mig[0].gi[slot].word, sim_slot_word(1, SIM_SLOT_FREE));
        }
}

static void every_set_of_placements(void **state) {
    static const sim_mig_table_t *const tables[] = {&sim_mig_a100_40, &sim_mig_a100, &sim_mig_h100,
                                                    &sim_mig_h200};

    (void)state;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        walk_t w = {.v = virtual_make(1),
                    .table = *tables[i],
                    .board = {.owner = {-1, -1, -1, -1, -1, -1, -1, -1}}};

        walk(&w, 0, 0);
        assert_true(w.visited > 1000);
        print_message("%lu sets\n", w.visited);
        virtual_free(&w.v);
    }
}

/* --- compute instances: every set that fits --------------------------------------------------------------------- */

/* Where NVIDIA's driver lets so many slices start in a GPU instance of so many. */
static const struct part_rule {
    uint32_t of, slices;
    int starts[8];
} part_rules[] = {
    {1, 1, {0, -1}},          {2, 1, {0, 1, -1}},
    {2, 2, {0, -1}},          {3, 1, {0, 1, 2, -1}},
    {3, 2, {0, -1}},          {3, 3, {0, -1}},
    {4, 1, {0, 1, 2, 3, -1}}, {4, 2, {0, 2, -1}},
    {4, 4, {0, -1}},          {7, 1, {0, 1, 2, 3, 4, 5, 6, -1}},
    {7, 2, {0, 2, 4, -1}},    {7, 3, {0, 4, -1}},
    {7, 4, {0, -1}},          {7, 7, {0, -1}},
};
enum { PART_RULES = sizeof part_rules / sizeof *part_rules };

static uint32_t span_of(const struct part_rule *rule, int start) {
    return ((1u << rule->slices) - 1) << start;
}

static unsigned most_parts(const struct part_rule *rule, uint32_t taken) {
    unsigned best = 0, places = 0;

    while (rule->starts[places] >= 0)
        places++;
    for (unsigned set = 0; set < 1u << places; set++) {
        uint32_t now = taken;
        bool fits = true;

        for (unsigned i = 0; i < places; i++)
            if (set >> i & 1) {
                fits &= !(now & span_of(rule, rule->starts[i]));
                now |= span_of(rule, rule->starts[i]);
            }
        if (fits && (unsigned)__builtin_popcount(set) > best)
            best = (unsigned)__builtin_popcount(set);
    }
    return best;
}

static bool part_profile(const sim_mig_table_t *table, unsigned row, uint32_t slices,
                         divvy_simgpu_ci_profile_t *ret_profile) {
    for (unsigned n = 0; !sim_mig_ci_profile(table, row, n, ret_profile); n++)
        if (ret_profile->slices == slices)
            return true;
    return false;
}

static void walk_parts(const sim_mig_table_t *table, unsigned row, uint32_t taken) {
    divvy_simgpu_ci_profile_t p;

    for (int r = 0; r < PART_RULES; r++) {
        const struct part_rule *rule = &part_rules[r];

        if (rule->of != table->row[row].slices)
            continue;
        assert_true(part_profile(table, row, rule->slices, &p));
        unsigned more = most_parts(rule, taken);
        int chosen = sim_mig_ci_choose(table, row, &p, taken);

        assert_int_equal(sim_mig_ci_remaining(&p, taken, 0), more);
        assert_int_equal(chosen >= 0, more > 0);
        if (chosen >= 0)
            assert_false(taken & span_of(rule, chosen));
        for (int i = 0; rule->starts[i] >= 0; i++)
            if (!(taken & span_of(rule, rule->starts[i])))
                walk_parts(table, row, taken | span_of(rule, rule->starts[i]));
    }
}

static void every_set_of_compute_instances(void **state) {
    (void)state;
    for (unsigned row = 0; row < sim_mig_a100.rows; row++) {
        unsigned offered = 0, known = 0;
        divvy_simgpu_ci_profile_t p;

        while (!sim_mig_ci_profile(&sim_mig_a100, row, offered, &p))
            offered++;
        for (int r = 0; r < PART_RULES; r++)
            known += part_rules[r].of == sim_mig_a100.row[row].slices;
        assert_int_equal(offered, known);
        if (sim_mig_a100.row[row].slices < 7) /* of seven: too many orders, see below */
            walk_parts(&sim_mig_a100, row, 0);
        else
            for (uint32_t taken = 0; taken < 128; taken++)
                for (int r = 0; r < PART_RULES; r++)
                    if (part_rules[r].of == 7 &&
                        part_profile(&sim_mig_a100, row, part_rules[r].slices, &p))
                        assert_int_equal(sim_mig_ci_remaining(&p, taken, 0),
                                         most_parts(&part_rules[r], taken));
    }
}

/* Names, sizes and SMs: below the name, and never more than the board. */
static void profiles_are_sane(void **state) {
    static const struct {
        const sim_mig_table_t *table;
        uint64_t board_bytes;
        uint32_t sm_count;
    } boards[] = {{&sim_mig_a100_40, UINT64_C(40) << 30, 108},
                  {&sim_mig_a100, UINT64_C(80) << 30, 108},
                  {&sim_mig_h100, UINT64_C(80) << 30, 132},
                  {&sim_mig_h200, UINT64_C(141) << 30, 132}};

    (void)state;
    for (size_t b = 0; b < sizeof boards / sizeof *boards; b++)
        for (unsigned row = 0; row < boards[b].table->rows; row++) {
            const divvy_simgpu_gi_profile_t *p = &boards[b].table->row[row];
            unsigned slices = 0, gigabytes = 0;
            divvy_simgpu_ci_profile_t whole = {0};

            assert_int_equal(sscanf(p->name, "%ug.%ugb", &slices, &gigabytes), 2);
            assert_int_equal(slices, p->slices);
            double ratio = (double)p->memory_bytes / (double)((uint64_t)gigabytes << 30);

            assert_true(ratio > 0.85 && ratio < 1.0);
            assert_true(p->sm_count <= boards[b].sm_count);
            assert_true(p->memory_bytes * p->instances_max <= boards[b].board_bytes);
            for (uint32_t start = 0; start < 8; start++)
                if (p->starts >> start & 1)
                    assert_true(sim_mig_gi_id(start, p->size) < 15 && start + p->size <= 8);
            for (unsigned n = 0; !sim_mig_ci_profile(boards[b].table, row, n, &whole); n++)
                if (!strcmp(whole.name, p->name))
                    break;
            assert_string_equal(whole.name, p->name);
            assert_int_equal(whole.sm_count, p->sm_count);
        }
}

/* --- random making and destroying ------------------------------------------------------------------------------- */

static int setup(void **state) {
    int r = real_setup(state);

    setenv("DIVVY_SIM_MODEL", "H100", 1);
    return r;
}

typedef struct model {
    bool gi_live[7];
    divvy_simgpu_gi_t gi[7];
    bool ci_live[7];
    divvy_simgpu_ci_t ci[7];
} model_t;

static void model_check(const model_t *m) {
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci;

    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(divvy_simgpu_gi_get(0, i, &gi), m->gi_live[i] ? 0 : -ENOENT);
        if (m->gi_live[i])
            assert_true(gi.id == m->gi[i].id && gi.generation == m->gi[i].generation &&
                        gi.start == m->gi[i].start);
        assert_int_equal(divvy_simgpu_ci_get(0, i, &ci), m->ci_live[i] ? 0 : -ENOENT);
        if (!m->ci_live[i])
            continue;
        assert_string_equal(ci.uuid_text, m->ci[i].uuid_text);
        for (unsigned k = 0; k < i; k++)
            if (m->ci_live[k])
                assert_string_not_equal(m->ci[k].uuid_text, ci.uuid_text);
    }
}

static bool overlaps(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size) {
    return a < b + b_size && b < a + a_size;
}

static void make_gi_at_random(model_t *m, unsigned *seed) {
    static const uint32_t ids[] = {19, 20, 15, 14, 9, 5, 0};
    uint32_t id = ids[(unsigned)rand_r(seed) % 7];
    unsigned remaining;
    divvy_simgpu_gi_t gi;

    assert_int_equal(divvy_simgpu_gi_remaining(0, id, &remaining), 0);
    int r = divvy_simgpu_gi_create(0, id, DIVVY_SIMGPU_MIG_ANYWHERE, &gi);

    assert_int_equal(r, remaining ? 0 : -ENOSPC);
    if (r)
        return;
    for (unsigned i = 0; i < 7; i++) {
        assert_true(i != gi.slot || !m->gi_live[i]);
        assert_false(m->gi_live[i] &&
                     overlaps(gi.start, gi.profile.size, m->gi[i].start, m->gi[i].profile.size));
        assert_false(m->gi_live[i] && gi.id == m->gi[i].id);
    }
    m->gi_live[gi.slot] = true;
    m->gi[gi.slot] = gi;
}

static void make_ci_at_random(model_t *m, unsigned *seed) {
    unsigned slot = (unsigned)rand_r(seed) % 7, profiles = 0, remaining, lowest = 0;
    divvy_simgpu_ci_profile_t p;
    divvy_simgpu_ci_t ci;

    if (!m->gi_live[slot])
        return;
    while (!divvy_simgpu_ci_profile(&m->gi[slot], profiles, &p))
        profiles++;
    assert_true(profiles > 0);
    assert_int_equal(divvy_simgpu_ci_profile(&m->gi[slot], (unsigned)rand_r(seed) % profiles, &p),
                     0);
    assert_int_equal(divvy_simgpu_ci_remaining(&m->gi[slot], p.id, &remaining), 0);
    int r = divvy_simgpu_ci_create(&m->gi[slot], p.id, DIVVY_SIMGPU_MIG_ANYWHERE, &ci);

    assert_int_equal(r, remaining ? 0 : -ENOSPC);
    if (r)
        return;
    while (m->ci_live[lowest])
        lowest++;
    assert_int_equal(ci.index, lowest);
    for (unsigned i = 0; i < 7; i++)
        if (m->ci_live[i] && m->ci[i].gi.slot == slot) {
            assert_false(
                overlaps(ci.start, ci.profile.slices, m->ci[i].start, m->ci[i].profile.slices));
            assert_int_not_equal(ci.id, m->ci[i].id);
        }
    m->ci_live[ci.index] = true;
    m->ci[ci.index] = ci;
}

static void destroy_gi_at_random(model_t *m, unsigned *seed) {
    unsigned slot = (unsigned)rand_r(seed) % 7;
    bool has_parts = false;

    for (unsigned i = 0; i < 7; i++)
        has_parts |= m->ci_live[i] && m->ci[i].gi.slot == slot;
    if (!m->gi[slot].generation)
        return;
    assert_int_equal(divvy_simgpu_gi_destroy(&m->gi[slot]), !m->gi_live[slot] ? -ENOENT
                                                            : has_parts       ? -EBUSY
                                                                              : 0);
    m->gi_live[slot] = m->gi_live[slot] && has_parts;
}

static void destroy_ci_at_random(model_t *m, unsigned *seed) {
    unsigned index = (unsigned)rand_r(seed) % 7;

    if (!m->ci[index].generation)
        return;
    assert_int_equal(divvy_simgpu_ci_destroy(&m->ci[index]), m->ci_live[index] ? 0 : -ENOENT);
    m->ci_live[index] = false;
}

static void random_against_a_model(void **state) {
    static void (*const steps[])(model_t *, unsigned *) = {
        make_gi_at_random, make_gi_at_random,    make_ci_at_random,   make_ci_at_random,
        make_ci_at_random, destroy_ci_at_random, destroy_gi_at_random};
    unsigned seed = (unsigned)divvy_simgpu_now_ns();
    model_t m = {0};
    bool active;

    (void)state;
    print_message("seed %u\n", seed);
    real_attach(DIVVY_SIMGPU_OBSERVER);
    assert_int_equal(divvy_simgpu_mig_set_mode(0, true, &active), 0);
    assert_true(active);
    for (int n = 0; n < 4000; n++) {
        steps[(unsigned)rand_r(&seed) % 7](&m, &seed);
        if (n % 16 == 0)
            model_check(&m);
        if (rand_r(&seed) % 500 == 0) { /* all gone at once */
            assert_int_equal(divvy_simgpu_mig_set_mode(0, false, &active), 0);
            assert_int_equal(divvy_simgpu_mig_set_mode(0, true, &active), 0);
            memset(m.gi_live, 0, sizeof m.gi_live);
            memset(m.ci_live, 0, sizeof m.ci_live);
        }
    }
    model_check(&m);
    divvy_simgpu_detach();
}

/* --- killed ----------------------------------------------------------------------------------------------------- */

/* Makes, uses and destroys whatever it can until it is killed; several do it at once. */
static void churn(void *arg) {
    unsigned seed = *(unsigned *)arg;
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci;
    uint64_t address;
    bool active;

    if (divvy_simgpu_attach(0, NULL) < 0)
        _exit(1);
    for (;;) {
        static const uint32_t ids[] = {19, 19, 15, 14, 9};

        switch (rand_r(&seed) % 8) {
        case 0:
        case 1:
            if (!divvy_simgpu_gi_create(0, ids[rand_r(&seed) % 5], DIVVY_SIMGPU_MIG_ANYWHERE, &gi))
                (void)divvy_simgpu_ci_create(&gi, (uint32_t)rand_r(&seed) % 3,
                                             DIVVY_SIMGPU_MIG_ANYWHERE, &ci);
            break;
        case 2:
            if (!divvy_simgpu_gi_get(0, (unsigned)rand_r(&seed) % 7, &gi))
                (void)divvy_simgpu_gi_destroy(&gi);
            break;
        case 3:
        case 4:
            if (!divvy_simgpu_ci_get(0, (unsigned)rand_r(&seed) % 7, &ci))
                (void)divvy_simgpu_ci_destroy(&ci);
            break;
        case 5:
            if (!divvy_simgpu_ci_get(0, (unsigned)rand_r(&seed) % 7, &ci) &&
                !divvy_simgpu_open(ci.unit))
                (void)divvy_simgpu_mem_alloc(ci.unit, 1 << 20, 0, 0, &address);
            break;
        case 6:
            if (rand_r(&seed) % 16 == 0)
                (void)divvy_simgpu_mig_set_mode(0, rand_r(&seed) % 2, &active);
            break;
        default:
            (void)divvy_simgpu_reap();
            break;
        }
    }
}

/* Nobody is left: what there is holds together, nothing is in use, nothing is charged. */
static void assert_whole(void *arg) {
    uint32_t taken = 0, parts[7] = {0};
    divvy_simgpu_status_t s;
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci;
    bool active;
    unsigned count;

    (void)arg;
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, NULL) < 0)
        _exit(1);
    for (unsigned i = 0; i < 7; i++) {
        if (divvy_simgpu_gi_get(0, i, &gi))
            continue;
        uint32_t mask = ((1u << gi.profile.size) - 1) << gi.start;

        if (taken & mask || gi.used_bytes)
            _exit(2);
        taken |= mask;
    }
    for (unsigned i = 0; i < 7; i++) {
        if (divvy_simgpu_ci_get(0, i, &ci))
            continue;
        uint32_t mask = ((1u << ci.profile.slices) - 1) << ci.start;

        if (parts[ci.gi.slot] & mask || divvy_simgpu_status(ci.unit, &s) || s.used_bytes ||
            s.processes || s.total_bytes != ci.gi.memory_bytes)
            _exit(3);
        parts[ci.gi.slot] |= mask;
    }
    if (divvy_simgpu_mig_set_mode(0, false, &active) || !active ||
        divvy_simgpu_mig_set_mode(0, true, &active) || !active ||
        divvy_simgpu_gi_remaining(0, 19, &count) || count != 7)
        _exit(4);
    divvy_simgpu_detach();
}

static void killed_in_the_middle(void **state) {
    enum { KILLS = 60, SIDE_BY_SIDE = 3 };
    const char *rounds = getenv("DIVVY_TEST_KILLS");
    long kills = rounds ? strtol(rounds, NULL, 10) : KILLS;
    unsigned seed = (unsigned)divvy_simgpu_now_ns(), seeds[SIDE_BY_SIDE];
    pid_t pids[SIDE_BY_SIDE];
    int status;

    (void)state;
    print_message("seed %u\n", seed);
    for (long n = 0; n < kills; n++) {
        for (int i = 0; i < SIDE_BY_SIDE; i++) {
            seeds[i] = seed + (unsigned)n * SIDE_BY_SIDE + (unsigned)i;
            pids[i] = start(churn, &seeds[i]);
        }
        usleep(2000 + (unsigned)rand_r(&seed) % 8000);
        for (int i = 0; i < SIDE_BY_SIDE; i++) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], &status, 0);
            assert_true(WIFSIGNALED(status));
        }
        assert_int_equal(in_process(assert_whole, NULL), 0);
    }
}

/* --- time and memory ---------------------------------------------------------------------------------------------- */

/* Two instances each run at full speed; two contexts on one of them share it. */
static void instances_run_side_by_side(void **state) {
    virtual_t v = virtual_make(1);
    sim_file_t *f = v.f;
    sim_mig_table_t table;
    uint32_t slot, index[2];

    (void)state;
    assert_non_null(sim_config_mig(&f->header.config, 0, &table));
    f->header.mig[0].mode = 1;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sim_mig_make_gi(f, v.tag, &table, 0, 9, DIVVY_SIMGPU_MIG_ANYWHERE, &slot),
                         0);
        assert_int_equal(
            sim_mig_make_ci(f, v.tag, &table, 0, slot, 2, DIVVY_SIMGPU_MIG_ANYWHERE, &index[i]), 0);
        uint32_t unit = DIVVY_SIMGPU_UNIT(0, index[i]);

        assert_int_equal(sim_unit_open(f, v.proc, unit), 0);
        f->header.devices[unit].now_ns = v.t0;
    }
    uint32_t a = DIVVY_SIMGPU_UNIT(0, index[0]), b = DIVVY_SIMGPU_UNIT(0, index[1]);
    uint32_t ca = virtual_context(&v, a), cb = virtual_context(&v, b), cc = virtual_context(&v, b);

    virtual_work(&v, ca, 0, 0, 100 * MS, 1000);
    virtual_work(&v, cb, 0, 0, 100 * MS, 1000);
    virtual_work(&v, cc, 0, 0, 100 * MS, 1000);
    virtual_advance(&v, a, 100 * MS);
    virtual_advance(&v, b, 100 * MS);
    assert_int_equal(virtual_busy(&v, ca), 100 * MS);
    assert_int_equal(virtual_head(&v, ca, 0), 1);
    assert_int_equal(virtual_busy(&v, cb) + virtual_busy(&v, cc), 100 * MS);
    assert_int_equal(virtual_busy(&v, cb), 50 * MS);
    assert_int_equal(f->header.devices[a].busy_ns, 100 * MS);
    assert_int_equal(f->header.devices[0].busy_ns, 0);
    virtual_free(&v);
}

static void divided(divvy_simgpu_gi_t *gi, divvy_simgpu_ci_t *first, divvy_simgpu_ci_t *second) {
    bool active;

    real_attach(0);
    assert_int_equal(divvy_simgpu_mig_set_mode(0, true, &active), 0);
    assert_int_equal(divvy_simgpu_gi_create(0, 14, DIVVY_SIMGPU_MIG_ANYWHERE, gi), 0);
    assert_int_equal(divvy_simgpu_ci_create(gi, 0, DIVVY_SIMGPU_MIG_ANYWHERE, first), 0);
    assert_int_equal(divvy_simgpu_ci_create(gi, 0, DIVVY_SIMGPU_MIG_ANYWHERE, second), 0);
}

/* Compute instances share the memory of their GPU instance, and nobody else's. */
static void memory_is_the_gpu_instances(void **state) {
    uint64_t address, other, free_bytes, total_bytes;
    divvy_simgpu_ci_t first, second;
    divvy_simgpu_context_t *context;
    divvy_simgpu_gi_t gi;
    bool active;

    (void)state;
    divided(&gi, &first, &second);
    assert_int_equal(divvy_simgpu_mem_alloc(first.unit, 1 << 20, 0, 0, &address), -ENODEV);
    assert_int_equal(divvy_simgpu_open(first.unit), 0);
    assert_int_equal(divvy_simgpu_open(second.unit), 0);
    assert_int_equal(divvy_simgpu_open(0), -EBUSY);
    assert_int_equal(divvy_simgpu_context_create(0, &context), -EBUSY);
    assert_int_equal(divvy_simgpu_mem_alloc(first.unit, gi.memory_bytes / 4 * 3, 0, 0, &address),
                     0);
    assert_int_equal(divvy_simgpu_mem_info(second.unit, &free_bytes, &total_bytes), 0);
    assert_int_equal(total_bytes, gi.memory_bytes);
    assert_int_equal(free_bytes, gi.memory_bytes / 4);
    assert_int_equal(divvy_simgpu_mem_alloc(second.unit, gi.memory_bytes / 2, 0, 0, &other),
                     -ENOMEM);
    assert_int_equal(divvy_simgpu_mem_alloc(second.unit, gi.memory_bytes / 4, 0, 0, &other), 0);
    assert_int_equal(divvy_simgpu_mem_info(0, &free_bytes, &total_bytes), 0);
    assert_int_equal(total_bytes - free_bytes, gi.memory_bytes);
    assert_int_equal(divvy_simgpu_ci_destroy(&first), -EBUSY);
    assert_int_equal(divvy_simgpu_mig_set_mode(0, false, &active), 0);
    assert_false(active);
    divvy_simgpu_detach();
    real_attach(0); /* what was in use is free again, and the pending mode waits */
    assert_int_equal(divvy_simgpu_mem_info(first.unit, &free_bytes, &total_bytes), 0);
    assert_int_equal(free_bytes, total_bytes);
    assert_int_equal(divvy_simgpu_mig_reset(0), 0);
    assert_int_equal(divvy_simgpu_ci_destroy(&first), -ENOENT);
    divvy_simgpu_detach();
}

/* An instance goes with its device, and comes back with it. */
static void lost_with_the_device(void **state) {
    divvy_simgpu_ci_t first, second;
    divvy_simgpu_gi_t gi;
    uint64_t address;

    (void)state;
    divided(&gi, &first, &second);
    assert_int_equal(divvy_simgpu_open(first.unit), 0);
    assert_int_equal(divvy_simgpu_device_set_lost(0, true), 0);
    assert_true(divvy_simgpu_device_lost(first.unit));
    assert_int_equal(divvy_simgpu_mem_alloc(first.unit, 512, 0, 0, &address), -ENODEV);
    assert_int_equal(divvy_simgpu_ci_get(0, 0, &second), -ENODEV);
    assert_int_equal(divvy_simgpu_device_set_lost(0, false), 0);
    assert_int_equal(divvy_simgpu_mem_alloc(first.unit, 512, 0, 0, &address), 0);
    divvy_simgpu_detach();
}

/* --- configuration ---------------------------------------------------------------------------------------------- */

static void refused(const char *value, const char *word) {
    char error[DIVVY_SIMGPU_ERROR_MAX];

    setenv("DIVVY_SIM_MIG", value, 1);
    assert_int_equal(divvy_simgpu_attach(0, error), -EINVAL);
    assert_non_null(strstr(error, "DIVVY_SIM_MIG"));
    if (!strstr(error, word))
        fail_msg("'%s' does not say '%s'", error, word);
}

static void configured_from_the_start(void **state) {
    bool current, pending;
    divvy_simgpu_ci_t ci;

    (void)state;
    refused("1g.18gb", "no MIG profile"); /* an H200's */
    refused("8*1g.10gb", "1 to 7");
    refused("0*1g.10gb", "1 to 7");
    refused("x*1g.10gb", "1 to 7");
    refused("4g.40gb,4g.40gb", "does not fit");
    refused("7*1g.10gb,1g.10gb+me", "does not fit");
    refused("on;on", "fewer devices");
    refused("1g.10gb,", "no MIG profile");
    setenv("DIVVY_SIM_MODEL", "small", 1);
    refused("on", "no MIG");
    setenv("DIVVY_SIM_MODEL", "H100", 1);
    setenv("DIVVY_SIM_DEVICES", "3", 1);
    setenv("DIVVY_SIM_MIG", "off;2*1G.10GB,3g.40gb;on", 1);
    real_attach(0);
    assert_int_equal(divvy_simgpu_mig_mode(0, &current, &pending), 0);
    assert_false(current || pending);
    assert_int_equal(divvy_simgpu_mig_mode(2, &current, &pending), 0);
    assert_true(current && pending);
    assert_int_equal(divvy_simgpu_ci_get(1, 2, &ci), 0);
    assert_string_equal(ci.profile.name, "3g.40gb");
    assert_int_equal(divvy_simgpu_ci_get(1, 3, &ci), -ENOENT);
    assert_int_equal(divvy_simgpu_ci_get(2, 0, &ci), -ENOENT);
    divvy_simgpu_detach();
}

/* What stands in a damaged file is never believed. */
static void damaged(void **state) {
    unsigned seed = (unsigned)divvy_simgpu_now_ns();
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci, first, second;
    unsigned count;

    (void)state;
    print_message("seed %u\n", seed);
    divided(&gi, &first, &second);
    for (int n = 0; n < 20000; n++) {
        uint8_t *bytes = (uint8_t *)&sim_self_file()->header.mig[0];

        bytes[8 + (size_t)rand_r(&seed) % (sizeof(sim_mig_t) - 8)] = (uint8_t)rand_r(&seed);
        for (unsigned i = 0; i < 7; i++) {
            if (!divvy_simgpu_gi_get(0, i, &gi))
                assert_true(gi.start < 8 && gi.profile.slices <= 7);
            if (!divvy_simgpu_ci_get(0, i, &ci)) {
                assert_true(ci.unit >= 16 && ci.unit < DIVVY_SIMGPU_UNITS_MAX);
                (void)divvy_simgpu_ci_remaining(&ci.gi, ci.profile.id, &count);
            }
        }
        (void)divvy_simgpu_gi_remaining(0, 19, &count);
        if (n % 8 == 0 && !divvy_simgpu_gi_create(0, 19, DIVVY_SIMGPU_MIG_ANYWHERE, &gi))
            (void)divvy_simgpu_ci_create(&gi, 0, DIVVY_SIMGPU_MIG_ANYWHERE, &ci);
    }
    divvy_simgpu_detach();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_of_placements),
        cmocka_unit_test(every_set_of_compute_instances),
        cmocka_unit_test(profiles_are_sane),
        cmocka_unit_test(instances_run_side_by_side),
        cmocka_unit_test_setup_teardown(random_against_a_model, setup, real_teardown),
        cmocka_unit_test_setup_teardown(killed_in_the_middle, setup, real_teardown),
        cmocka_unit_test_setup_teardown(memory_is_the_gpu_instances, setup, real_teardown),
        cmocka_unit_test_setup_teardown(lost_with_the_device, setup, real_teardown),
        cmocka_unit_test_setup_teardown(configured_from_the_start, setup, real_teardown),
        cmocka_unit_test_setup_teardown(damaged, setup, real_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
