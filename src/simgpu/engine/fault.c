/* Faults on request: parsing rules, and asking them. */
#include "simgpu/engine/fault.h"

#include "simgpu/engine/lock.h"
#include "simgpu/engine/self.h"
#include "simgpu/engine/state.h"

#include "core/clock.h"
#include "core/hash.h"
#include "core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DELAY_MAX_NS (3600 * DIVVY_NS_PER_SECOND)

typedef struct cursor {
    const char *text; /* the whole, for positions */
    const char *at, *end;
} cursor_t;

typedef struct parsed {
    sim_fault_t rules[SIM_FAULTS];
    unsigned count;
    uint64_t lost_after_ns[SIM_DEVICES]; /* UINT64_MAX: not lost */
} parsed_t;

static int refuse(const cursor_t *c, char *error, const char *why) {
    if (error)
        snprintf(error, DIVVY_SIMGPU_ERROR_MAX, "DIVVY_SIM_FAULTS: byte %zu: %s",
                 (size_t)(c->at - c->text), why);
    return -EINVAL;
}

static bool skip_word(cursor_t *c, const char *word) {
    size_t length = strlen(word);

    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length))
        return false;
    c->at += length;
    return true;
}

static bool read_number(cursor_t *c, uint64_t *ret_number) {
    size_t length = 0;

    while (c->at + length < c->end && c->at[length] >= '0' && c->at[length] <= '9')
        length++;
    if (divvy_core_u64_parse(c->at, length, ret_number, NULL) < 0)
        return false;
    c->at += length;
    return true;
}

/* A number with unit us, ms or s, at most an hour. */
static bool read_delay(cursor_t *c, uint64_t *ret_ns) {
    uint64_t number, unit;

    if (!read_number(c, &number))
        return false;
    if (skip_word(c, "us"))
        unit = DIVVY_NS_PER_US;
    else if (skip_word(c, "ms"))
        unit = DIVVY_NS_PER_MS;
    else if (skip_word(c, "s"))
        unit = DIVVY_NS_PER_SECOND;
    else
        return false;
    if (number > DELAY_MAX_NS / unit)
        return false;
    *ret_ns = number * unit;
    return true;
}

static bool read_name(cursor_t *c, sim_fault_t *rule) {
    size_t length =
        strspn(c->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    if (length > (size_t)(c->end - c->at))
        length = (size_t)(c->end - c->at);
    if (length >= sizeof rule->name)
        return false;
    memcpy(rule->name, c->at, length);
    c->at += length;
    rule->prefix = skip_word(c, "*");
    return length || rule->prefix;
}

static int read_options(cursor_t *c, sim_fault_t *rule, char *error) {
    uint64_t number;

    while (c->at < c->end) {
        if (!skip_word(c, ","))
            return refuse(c, error, "want ',' and an option, or ';' and the next rule");
        if (skip_word(c, "after=")) {
            if (!read_number(c, &rule->after))
                return refuse(c, error, "want a number of calls");
        } else if (skip_word(c, "times=")) {
            if (!read_number(c, &rule->times))
                return refuse(c, error, "want a number of calls");
        } else if (skip_word(c, "p=")) {
            if (!read_number(c, &number) || number > 100 || !skip_word(c, "%"))
                return refuse(c, error, "want a percentage such as 5%");
            rule->permille = (uint32_t)number * 10;
        } else {
            return refuse(c, error, "want after=N, times=N or p=N%");
        }
    }
    return 0;
}

static int read_lost(cursor_t *c, parsed_t *p, char *error) {
    uint64_t device, after_ns = 0;

    if (!read_number(c, &device) || device >= SIM_DEVICES)
        return refuse(c, error, "want the index of a device");
    if (skip_word(c, "@") && !read_delay(c, &after_ns))
        return refuse(c, error, "want a time such as 10s or 500ms");
    if (c->at < c->end)
        return refuse(c, error, "want ';' and the next rule");
    p->lost_after_ns[device] = after_ns;
    return 0;
}

static int read_rule(cursor_t *c, parsed_t *p, char *error) {
    sim_fault_t rule = {.times = UINT64_MAX, .permille = 1000};
    uint64_t code = 0;

    if (skip_word(c, "lost:"))
        return read_lost(c, p, error);
    if (skip_word(c, "fail:"))
        rule.kind = SIM_FAULT_FAIL;
    else if (skip_word(c, "slow:"))
        rule.kind = SIM_FAULT_SLOW;
    else if (skip_word(c, "unsupported:"))
        rule.kind = SIM_FAULT_UNSUPPORTED;
    else
        return refuse(c, error, "want fail:, slow:, unsupported: or lost:");
    if (!read_name(c, &rule))
        return refuse(c, error, "want the name of a call, '*' at its end for all that begin so");
    if (rule.kind == SIM_FAULT_FAIL &&
        (!skip_word(c, "=") || !read_number(c, &code) || code > INT32_MAX))
        return refuse(c, error, "want '=' and the number of an error");
    if (rule.kind == SIM_FAULT_SLOW && (!skip_word(c, "=") || !read_delay(c, &rule.slow_ns)))
        return refuse(c, error, "want '=' and a time such as 500us");
    rule.code = (int32_t)code;
    int r = read_options(c, &rule, error);

    if (r < 0)
        return r;
    if (p->count == SIM_FAULTS)
        return refuse(c, error, "more than 32 rules");
    p->rules[p->count++] = rule;
    return 0;
}

int sim_fault_parse(sim_file_t *f, const char *text, char *error) {
    parsed_t p = {.count = 0};
    cursor_t c = {.text = text, .at = text};

    for (unsigned i = 0; i < SIM_DEVICES; i++)
        p.lost_after_ns[i] = UINT64_MAX;
    while (*c.at) {
        c.end = strchrnul(c.at, ';');
        int r = c.at == c.end ? 0 : read_rule(&c, &p, error);

        if (r < 0)
            return r;
        c.at = *c.end ? c.end + 1 : c.end;
    }
    if (!f)
        return 0;
    uint32_t count = sim_load(&f->header.fault_count);

    if (count + p.count > SIM_FAULTS) {
        c.at = c.text;
        (void)refuse(&c, error, "the machine has room for 32 rules");
        return -ENOSPC;
    }
    memcpy(&f->header.faults[count], p.rules, p.count * sizeof *p.rules);
    sim_store(&f->header.fault_count, count + p.count);
    for (unsigned i = 0; i < f->header.config.devices; i++)
        if (p.lost_after_ns[i] != UINT64_MAX)
            sim_store(&f->header.devices[i].lost_ns, divvy_core_clock_ns() + p.lost_after_ns[i]);
    return 0;
}

/* --- asking ------------------------------------------------------------------------------------------------ */

/* Length of the name without _v2, _v3, ... and _ptsz, _ptds. */
static size_t base_length(const char *call) {
    size_t length = strlen(call);

    if (length > 5 && (!strcmp(call + length - 5, "_ptsz") || !strcmp(call + length - 5, "_ptds")))
        length -= 5;
    if (length > 3 && call[length - 3] == '_' && call[length - 2] == 'v' &&
        call[length - 1] >= '0' && call[length - 1] <= '9')
        length -= 3;
    return length;
}

static bool rule_matches(const sim_fault_t *rule, const char *call) {
    size_t length = strnlen(rule->name, sizeof rule->name);

    if (!strncmp(call, rule->name, length) && (rule->prefix || !call[length]))
        return true;
    return length == base_length(call) && !memcmp(call, rule->name, length);
}

/* Counts the call; true if this one is hit. */
static bool rule_hits(sim_fault_t *rule) {
    uint64_t call = __atomic_fetch_add(&rule->calls, 1, __ATOMIC_RELAXED);

    if (call < sim_load(&rule->after) || sim_load(&rule->hits) >= sim_load(&rule->times))
        return false;
    if (divvy_core_hash_mix(call + 1) % 1000 >= sim_load(&rule->permille))
        return false;
    return __atomic_fetch_add(&rule->hits, 1, __ATOMIC_RELAXED) < sim_load(&rule->times);
}

static void sleep_ns(uint64_t ns) {
    struct timespec rest = divvy_core_clock_timespec(ns);
    int saved = errno;

    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR)
        ;
    errno = saved;
}

divvy_simgpu_fault_t divvy_simgpu_fault(const char *call) {
    divvy_simgpu_fault_t none = {.kind = DIVVY_SIMGPU_FAULT_NONE};
    sim_file_t *f = sim_self_file();
    uint32_t count = f ? sim_load(&f->header.fault_count) : 0;

    for (uint32_t i = 0; i < count && i < SIM_FAULTS; i++) {
        sim_fault_t *rule = &f->header.faults[i];

        if (!rule_matches(rule, call) || !rule_hits(rule))
            continue;
        switch (sim_load(&rule->kind)) {
        case SIM_FAULT_SLOW:
            sleep_ns(sim_load(&rule->slow_ns));
            break;
        case SIM_FAULT_FAIL:
            return (divvy_simgpu_fault_t){.kind = DIVVY_SIMGPU_FAULT_FAIL,
                                          .code = sim_load(&rule->code)};
        case SIM_FAULT_UNSUPPORTED:
            return (divvy_simgpu_fault_t){.kind = DIVVY_SIMGPU_FAULT_UNSUPPORTED};
        default:
            break;
        }
    }
    return none;
}

int divvy_simgpu_fault_add(const char *text, char *error) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    sim_self_lock(&f->header.lock);
    int r = sim_fault_parse(f, text, error);

    sim_lock_give(&f->header.lock);
    return r;
}

int divvy_simgpu_fault_clear(void) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    sim_self_lock(&f->header.lock);
    sim_store(&f->header.fault_count, 0);
    sim_lock_give(&f->header.lock);
    return 0;
}

int divvy_simgpu_fault_describe(unsigned number, char *buf, size_t size) {
    static const char *const kinds[] = {"none", "fail", "slow", "unsupported"};
    sim_file_t *f = sim_self_file();
    char detail[48] = "";

    if (!f)
        return -ENOTCONN;
    if (number >= sim_load(&f->header.fault_count) || number >= SIM_FAULTS)
        return -ENOENT;
    const sim_fault_t *rule = &f->header.faults[number];

    if (rule->kind == SIM_FAULT_FAIL)
        snprintf(detail, sizeof detail, "=%d", rule->code);
    else if (rule->kind == SIM_FAULT_SLOW)
        snprintf(detail, sizeof detail, "=%lluus",
                 (unsigned long long)(rule->slow_ns / DIVVY_NS_PER_US));
    snprintf(buf, size, "%s:%.*s%s%s  calls %llu, hits %llu", kinds[rule->kind & 3],
             SIM_FAULT_NAME - 1, rule->name, rule->prefix ? "*" : "", detail,
             (unsigned long long)sim_load(&rule->calls), (unsigned long long)sim_load(&rule->hits));
    return 0;
}
