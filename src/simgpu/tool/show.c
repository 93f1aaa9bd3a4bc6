/* divvy-sim show, watch, busy: the read side. */
#include "simgpu/tool/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

static void json_status(const divvy_simgpu_status_t *s) {
    printf("\"now_ns\": %llu, \"busy_ns\": %llu, \"copy_busy_ns\": [%llu, %llu], \"copy_bytes\": "
           "[%llu, %llu], "
           "\"launches\": %llu, \"used_bytes\": %llu, \"total_bytes\": %llu, \"contexts\": %d, "
           "\"lost\": %s, "
           "\"created_ns\": %llu",
           (unsigned long long)s->now_ns, (unsigned long long)s->busy_ns,
           (unsigned long long)s->copy_busy_ns[0], (unsigned long long)s->copy_busy_ns[1],
           (unsigned long long)s->copy_bytes[0], (unsigned long long)s->copy_bytes[1],
           (unsigned long long)s->launches, (unsigned long long)s->used_bytes,
           (unsigned long long)s->total_bytes, s->contexts, s->lost ? "true" : "false",
           (unsigned long long)s->created_ns);
}

/* Whether the process is asked for. */
typedef bool (*wanted_t)(const divvy_simgpu_process_t *process, void *arg);

static bool json_processes(const char *name, int device, bool ended, wanted_t wanted, void *arg) {
    size_t count = 0;
    divvy_simgpu_process_t *list = tool_processes(device, ended, &count);
    bool first = true;

    printf(", \"%s\": [", name);
    for (size_t i = 0; list && i < count; i++) {
        if (wanted && !wanted(&list[i], arg))
            continue;
        printf(first ? "" : ", ");
        tool_json_process(&list[i]);
        first = false;
    }
    printf("]");
    free(list);
    return !first;
}

static void json_identity(const divvy_simgpu_device_t *d) {
    printf("\"index\": %d, \"name\": ", d->index);
    tool_json_string(d->name);
    printf(", \"uuid\": \"%s\", \"pci\": \"%s\", \"sm_count\": %d, ", d->uuid_text, d->pci_text,
           d->sm_count);
}

typedef struct asked {
    const int *pids; /* none: all */
    int count;
} asked_t;

static bool asked_for(const divvy_simgpu_process_t *process, void *arg) {
    const asked_t *asked = arg;

    for (int i = 0; i < asked->count; i++)
        if (asked->pids[i] == process->pid)
            return true;
    return !asked->count;
}

/* --- show -------------------------------------------------------------------------------------------------- */

/* One MIG device of a device, or nothing where there is a hole. */
static bool json_instance(int device, unsigned index, bool first, bool ended, asked_t *asked,
                          bool *found) {
    divvy_simgpu_status_t s = {0};
    divvy_simgpu_ci_t ci;

    if (divvy_simgpu_ci_get(device, index, &ci) || divvy_simgpu_status(ci.unit, &s))
        return false;
    printf("%s{\"index\": %u, \"profile\": \"%s\", \"gpu_instance\": %u, \"compute_instance\": %u, "
           "\"uuid\": \"%s\", \"sm_count\": %u, ",
           first ? "" : ", ", index, ci.profile.name, ci.gi.id, ci.id, ci.uuid_text,
           ci.profile.sm_count);
    json_status(&s);
    *found |= json_processes("processes", ci.unit, false, asked_for, asked);
    if (ended)
        *found |= json_processes("history", ci.unit, true, asked_for, asked);
    printf("}");
    return true;
}

/* MIG mode and MIG devices of a device that has the former. Whether a process asked for was among them. */
static bool json_mig(int device, bool ended, asked_t *asked) {
    bool current, pending, first = true, found = false;

    if (divvy_simgpu_mig_mode(device, &current, &pending))
        return false;
    printf(", \"mig\": {\"current\": %s, \"pending\": %s, \"devices\": [",
           current ? "true" : "false", pending ? "true" : "false");
    for (unsigned index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++)
        first &= !json_instance(device, index, first, ended, asked, &found);
    printf("]}");
    return found;
}

static void show_json(void) {
    asked_t everybody = {0};
    char path[4096] = "";

    (void)divvy_simgpu_path(path, sizeof path);
    printf("{\"state\": ");
    tool_json_string(path);
    printf(", \"slice_ns\": %llu, \"devices\": [", (unsigned long long)divvy_simgpu_slice_ns());
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        divvy_simgpu_status_t s = {0};

        (void)divvy_simgpu_status(i, &s);
        printf("%s{", i ? ", " : "");
        json_identity(divvy_simgpu_device_get(i));
        json_status(&s);
        (void)json_processes("processes", i, false, NULL, NULL);
        (void)json_processes("history", i, true, NULL, NULL);
        (void)json_mig(i, true, &everybody);
        printf("}");
    }
    printf("]}\n");
}

static void show_device(int device) {
    const divvy_simgpu_device_t *d = divvy_simgpu_device_get(device);
    divvy_simgpu_status_t s = {0};
    char used[32], total[32], name[16];
    unsigned permille = 0;
    size_t count = 0;

    if (!d || divvy_simgpu_status(device, &s))
        return; /* a MIG device that was destroyed just now */
    (void)divvy_simgpu_utilisation(device, 0, SECOND_NS, &permille);
    printf("%s  %s  %s  %s%s\n", tool_unit_name(device, name), d->name, d->uuid_text, d->pci_text,
           s.lost ? "  LOST" : "");
    printf("   memory %s of %s; busy %.1f %% of the last second, %.3f s since it was made %.0f s "
           "ago; %llu launches\n",
           tool_size(s.used_bytes, used), tool_size(s.total_bytes, total), permille / 10.0,
           (double)s.busy_ns / SECOND_NS, (double)(s.now_ns - s.created_ns) / SECOND_NS,
           (unsigned long long)s.launches);
    divvy_simgpu_process_t *list = tool_processes(device, false, &count);

    if (count)
        printf("   %8s  %-15s  %10s  %7s  %12s  %10s\n", "PID", "NAME", "MEMORY", "BUSY", "BUSY s",
               "LAUNCHES");
    for (size_t i = 0; list && i < count; i++) {
        permille = 0;
        (void)divvy_simgpu_utilisation(device, list[i].pid, SECOND_NS, &permille);
        printf("   %8d  %-15s  %10s  %5.1f %%  %12.6f  %10llu\n", list[i].pid, list[i].name,
               tool_size(list[i].bytes, used), permille / 10.0, (double)list[i].busy_ns / SECOND_NS,
               (unsigned long long)list[i].launches);
    }
    free(list);
}

int tool_show(int argc, char **argv) {
    char text[160];

    if (argc > 2 || (argc == 2 && strcmp(argv[1], "--json")))
        return tool_complain("show", TOOL_USAGE, "want nothing or --json");
    if (tool_attach("show"))
        return TOOL_FAILED;
    if (argc == 2) {
        show_json();
        return TOOL_OK;
    }
    int units[DIVVY_SIMGPU_UNITS_MAX];
    size_t count = tool_units(units);

    for (size_t i = 0; i < count; i++)
        show_device(units[i]);
    for (unsigned i = 0; !divvy_simgpu_fault_describe(i, text, sizeof text); i++)
        printf("fault  %s\n", text);
    return TOOL_OK;
}

/* --- watch ------------------------------------------------------------------------------------------------- */

typedef struct seen {
    divvy_simgpu_process_t *processes;
    size_t count;
    divvy_simgpu_status_t status;
} seen_t;

static void look(int device, seen_t *ret_seen) {
    ret_seen->count = 0;
    ret_seen->processes = tool_processes(device, false, &ret_seen->count);
    (void)divvy_simgpu_status(device, &ret_seen->status);
}

static uint64_t busy_before(const seen_t *seen, uint64_t id) {
    for (size_t i = 0; seen->processes && i < seen->count; i++)
        if (seen->processes[i].id == id)
            return seen->processes[i].busy_ns;
    return 0;
}

static void print_interval(int device, const seen_t *before, const seen_t *now) {
    const divvy_simgpu_device_t *d = divvy_simgpu_device_get(device);
    double span_ns = (double)(now->status.now_ns - before->status.now_ns);
    char size[32], name[16];

    if (!d)
        return;

    if (span_ns <= 0)
        span_ns = 1;
    printf("%-3s  %-24s  %5.1f %%  %10s\n", tool_unit_name(device, name), d->name,
           100.0 * (double)(now->status.busy_ns - before->status.busy_ns) / span_ns,
           tool_size(now->status.used_bytes, size));
    for (size_t i = 0; now->processes && i < now->count; i++) {
        const divvy_simgpu_process_t *p = &now->processes[i];

        printf("   %8d  %-13s  %5.1f %%  %10s\n", p->pid, p->name,
               100.0 * (double)(p->busy_ns - busy_before(before, p->id)) / span_ns,
               tool_size(p->bytes, size));
    }
}

static void watch(double interval_s, uint64_t count) {
    seen_t before[DIVVY_SIMGPU_UNITS_MAX] = {0}; /* by unit: they come and go */
    int units[DIVVY_SIMGPU_UNITS_MAX];
    size_t devices = tool_units(units);
    uint64_t due_ns = divvy_simgpu_now_ns();

    for (size_t i = 0; i < devices; i++)
        look(units[i], &before[units[i]]);
    for (uint64_t n = 0; n < count; n++) {
        due_ns += (uint64_t)(interval_s * SECOND_NS);
        struct timespec due = {.tv_sec = (time_t)(due_ns / SECOND_NS),
                               .tv_nsec = (long)(due_ns % SECOND_NS)};

        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        if (isatty(STDOUT_FILENO))
            printf("\033[H\033[J");
        devices = tool_units(units);
        for (size_t i = 0; i < devices; i++) {
            seen_t now, *earlier = &before[units[i]];

            look(units[i], &now);
            print_interval(units[i], earlier, &now);
            free(earlier->processes);
            *earlier = now;
        }
        if (fflush(stdout))
            break;
    }
    for (int i = 0; i < DIVVY_SIMGPU_UNITS_MAX; i++)
        free(before[i].processes);
}

int tool_watch(int argc, char **argv) {
    double interval_s = 1;
    uint64_t count = UINT64_MAX;

    for (int i = 1; i < argc; i++) {
        char *end;

        if (!strcmp(argv[i], "--interval") && i + 1 < argc) {
            interval_s = strtod(argv[++i], &end);
            if (*end || !(interval_s >= 0.1 && interval_s <= 3600))
                return tool_complain("watch", TOOL_USAGE, "--interval %s: want 0.1 to 3600 seconds",
                                     argv[i]);
        } else if (!strcmp(argv[i], "--count") && i + 1 < argc) {
            if (!tool_number(argv[++i], UINT64_MAX, &count))
                return tool_complain("watch", TOOL_USAGE, "--count %s: want a whole number",
                                     argv[i]);
        } else {
            return tool_complain("watch", TOOL_USAGE, "%s: not understood; --help explains",
                                 argv[i]);
        }
    }
    if (tool_attach("watch"))
        return TOOL_FAILED;
    watch(interval_s, count);
    return TOOL_OK;
}

/* --- busy -------------------------------------------------------------------------------------------------- */

static bool busy_json(asked_t *asked, bool ended) {
    bool found = false;

    printf("{\"devices\": [");
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        divvy_simgpu_status_t s = {0};

        (void)divvy_simgpu_status(i, &s);
        printf("%s{", i ? ", " : "");
        json_identity(divvy_simgpu_device_get(i));
        json_status(&s);
        found |= json_processes("processes", i, false, asked_for, asked);
        if (ended)
            found |= json_processes("history", i, true, asked_for, asked);
        found |= json_mig(i, ended, asked);
        printf("}");
    }
    printf("]}\n");
    return found;
}

static bool busy_text(asked_t *asked, bool ended) {
    int units[DIVVY_SIMGPU_UNITS_MAX];
    size_t unit_count = tool_units(units);
    bool found = false;
    char name[16];

    for (size_t u = 0; u < unit_count; u++)
        for (int part = 0; part < (ended ? 2 : 1); part++) {
            size_t count = 0;
            divvy_simgpu_process_t *list = tool_processes(units[u], part == 1, &count);

            for (size_t i = 0; list && i < count; i++) {
                if (!asked_for(&list[i], asked))
                    continue;
                found = true;
                printf("%d %s %llu%s\n", list[i].pid, tool_unit_name(units[u], name),
                       (unsigned long long)list[i].busy_ns, part ? " ended" : "");
            }
            free(list);
        }
    return found;
}

int tool_busy(int argc, char **argv) {
    bool json = false, all = false, found;
    int *pids = calloc((size_t)argc, sizeof *pids);
    asked_t asked = {.pids = pids};
    int status = TOOL_OK;
    uint64_t pid;

    if (!pids)
        return tool_complain("busy", TOOL_FAILED, "out of memory");
    for (int i = 1; i < argc && !status; i++) {
        if (!strcmp(argv[i], "--json"))
            json = true;
        else if (!strcmp(argv[i], "--all"))
            all = true;
        else if (tool_number(argv[i], INT32_MAX, &pid))
            pids[asked.count++] = (int)pid;
        else
            status =
                tool_complain("busy", TOOL_USAGE, "%s: not a process id; --help explains", argv[i]);
    }
    if (!status && all && asked.count)
        status = tool_complain("busy", TOOL_USAGE, "--all and process ids exclude each other");
    if (!status && !(status = tool_attach("busy"))) {
        found =
            json ? busy_json(&asked, all || asked.count) : busy_text(&asked, all || asked.count);
        if (asked.count && !found)
            status =
                tool_complain("busy", TOOL_FAILED, "no such process has used the simulated GPU");
    }
    free(pids);
    return status;
}
