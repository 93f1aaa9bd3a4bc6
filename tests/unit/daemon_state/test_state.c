/* The state as a whole: tenants made, changed, frozen, found again after a restart, given leases, and let go. */
#include "core/clock.h"
#include "core/futex.h"
#include "daemon/state.h"
#include "page/control.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)

static char base[64];
static struct divvy_daemon *daemon_now;
static struct divvy_daemon_peer own, stranger;

static void devices_tell(unsigned count) {
    struct divvy_node_device devices[2] = {0};

    for (unsigned i = 0; i < count; i++) {
        devices[i].index = i;
        devices[i].uuid[0] = (uint8_t)(i + 1);
        devices[i].memory_bytes = 16 * GIB;
        devices[i].healthy = true;
        (void)snprintf(devices[i].uuid_text, sizeof devices[i].uuid_text,
                       "GPU-0%u000000-0000-0000-0000-000000000000", (i + 1) % 10);
    }
    divvy_daemon_devices_seen(daemon_now, devices, count);
}

static void daemon_begin(void) {
    struct divvy_daemon_settings settings = {.overcommit_permille = 1000};

    divvy_node_sched_defaults(&settings.sched);
    (void)snprintf(settings.base, sizeof settings.base, "%s", base);
    assert_int_equal(divvy_daemon_new(&settings, &daemon_now, NULL), 0);
    devices_tell(2);
    assert_int_equal(divvy_daemon_start(daemon_now, NULL), 0);
}

static int begin(void **state) {
    (void)state;
    strcpy(base, "/tmp/divvy-state-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    own = (struct divvy_daemon_peer){.known = true, .uid = geteuid(), .pid = getpid()};
    stranger = (struct divvy_daemon_peer){.known = true, .uid = geteuid() + 1, .pid = getpid()};
    daemon_begin();
    return 0;
}

static int end(void **state) {
    char command[96];

    (void)state;
    divvy_daemon_stop(daemon_now);
    (void)snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

static struct divvy_node_spec spec_make(const char *id, uint64_t bytes, uint32_t permille) {
    struct divvy_node_spec spec = {.source = DIVVY_NODE_FROM_API,
                                   .qos = DIVVY_NODE_QOS_MEDIUM,
                                   .owner_uid = geteuid(),
                                   .binding_count = 1};

    (void)snprintf(spec.id, sizeof spec.id, "%s", id);
    spec.bindings[0].limit_bytes = bytes;
    spec.bindings[0].compute_permille = permille;
    return spec;
}

static const struct divvy_control *control_open(const struct divvy_node_tenant *tenant) {
    const struct divvy_control *control;
    char path[300];

    (void)snprintf(path, sizeof path, "%s/control", tenant->folder);
    assert_int_equal(divvy_control_open(path, &control), 0);
    return control;
}

static void pause_ms(unsigned ms) {
    struct timespec time = {.tv_nsec = (long)ms * 1000000};

    (void)nanosleep(&time, NULL);
}

static void tenants_are_made_changed_and_removed(void **state) {
    struct divvy_node_spec spec = spec_make("one", 8 * GIB, 300);
    struct divvy_node_change change = {.fields =
                                           DIVVY_NODE_CHANGE_MEMORY | DIVVY_NODE_CHANGE_COMPUTE,
                                       .device = -1,
                                       .limit_bytes = 4 * GIB,
                                       .compute_permille = 600};
    struct divvy_node_tenant tenant;
    struct divvy_error error = {0};
    const struct divvy_control *control;

    (void)state;
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &stranger, &spec, &tenant, &error),
                     -EPERM);
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, &error), 0);
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, &error), -EEXIST);
    control = control_open(&tenant);
    assert_int_equal(control->devices[0].limit_bytes, 8 * GIB);
    assert_int_equal(control->devices[0].compute_permille, 300);
    assert_true(divvy_control_is_alive(control, (int64_t)divvy_core_clock_ns()));
    assert_int_equal(divvy_daemon_tenant_change(daemon_now, &stranger, "one", &change, &error),
                     -EPERM);
    assert_int_equal(divvy_daemon_tenant_change(daemon_now, &own, "none", &change, &error),
                     -ENOENT);
    assert_int_equal(divvy_daemon_tenant_change(daemon_now, &own, "one", &change, &error), 0);
    assert_int_equal(control->devices[0].limit_bytes, 4 * GIB);
    assert_int_equal(control->devices[0].compute_permille, 600);
    spec = spec_make("two", 13 * GIB, 100);
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, &error), -EDQUOT);
    assert_non_null(strstr(error.text, "promised"));
    change = (struct divvy_node_change){
        .fields = DIVVY_NODE_CHANGE_COMPUTE, .device = -1, .compute_permille = 0};
    assert_int_equal(divvy_daemon_tenant_change(daemon_now, &own, "one", &change, &error), -EINVAL);
    assert_int_equal(divvy_daemon_tenant_remove(daemon_now, &stranger, "one", false, &error),
                     -EPERM);
    assert_int_equal(divvy_daemon_tenant_remove(daemon_now, &own, "one", false, &error), 0);
    assert_int_equal(divvy_daemon_tenant(daemon_now, "one", &tenant), -ENOENT);
    assert_int_equal(control->devices[0].mode,
                     DIVVY_CONTROL_SELF); /* whoever still has it goes on by itself */
    divvy_control_close(control);
}

static void what_happens_is_told(void **state) {
    struct divvy_node_spec spec = spec_make("told", GIB, 1000);
    struct divvy_node_event events[64];
    struct divvy_node_tenant tenant;
    uint32_t count = divvy_daemon_events(daemon_now, 0, 0, events, 64);
    uint64_t last = count ? events[count - 1].number : 0;

    (void)state;
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, NULL), 0);
    assert_int_equal(divvy_daemon_tenant_freeze(daemon_now, &own, "told", true, NULL), 0);
    assert_int_equal(divvy_daemon_tenant_freeze(daemon_now, &own, "told", true, NULL),
                     0); /* no news */
    assert_int_equal(divvy_daemon_tenant_freeze(daemon_now, &own, "told", false, NULL), 0);
    assert_int_equal(divvy_daemon_tenant_remove(daemon_now, &own, "told", false, NULL), 0);
    assert_int_equal(divvy_daemon_events(daemon_now, last, 1000, events, 64), 4);
    assert_int_equal(events[0].kind, DIVVY_NODE_EVENT_TENANT_CREATED);
    assert_int_equal(events[1].kind, DIVVY_NODE_EVENT_TENANT_FROZEN);
    assert_int_equal(events[2].kind, DIVVY_NODE_EVENT_TENANT_RESUMED);
    assert_int_equal(events[3].kind, DIVVY_NODE_EVENT_TENANT_REMOVED);
    assert_string_equal(events[3].tenant, "told");
    assert_int_equal(divvy_daemon_events(daemon_now, events[3].number, 0, events, 64), 0);
}

static void tenants_are_found_again_after_a_restart(void **state) {
    struct divvy_node_spec spec = spec_make("space/kept", 2 * GIB, 250);
    struct divvy_node_tenant tenant;
    const struct divvy_control *control;

    (void)state;
    spec.bindings[0].device = 1;
    spec.qos = DIVVY_NODE_QOS_CRITICAL;
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, NULL), 0);
    assert_int_equal(divvy_daemon_tenant_freeze(daemon_now, &own, "space/kept", true, NULL), 0);
    control = control_open(&tenant);
    divvy_daemon_stop(daemon_now);
    assert_int_equal(control->devices[0].mode, DIVVY_CONTROL_FROZEN);
    daemon_begin();
    assert_int_equal(divvy_daemon_tenant(daemon_now, "space/kept", &tenant), 0);
    assert_int_equal(tenant.bindings[0].limit_bytes, 2 * GIB);
    assert_int_equal(tenant.bindings[0].compute_permille, 250);
    assert_int_equal(tenant.bindings[0].device, 1);
    assert_int_equal(tenant.qos, DIVVY_NODE_QOS_CRITICAL);
    assert_int_equal(tenant.state, DIVVY_NODE_TENANT_FROZEN);
    assert_true(
        divvy_control_is_alive(control, (int64_t)divvy_core_clock_ns())); /* the same page */
    assert_int_equal(divvy_daemon_tenant_freeze(daemon_now, &own, "space/kept", false, NULL), 0);
    assert_int_equal(control->devices[0].mode, DIVVY_CONTROL_LEASED);
    assert_int_equal(divvy_daemon_tenant_remove(daemon_now, &own, "space/kept", true, NULL), 0);
    divvy_control_close(control);
}

static void ring(const struct divvy_node_tenant *tenant) {
    char path[300];
    int fd;

    (void)snprintf(path, sizeof path, "%s/bell", tenant->folder);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "!", 1), 1);
    assert_int_equal(close(fd), 0);
}

/* Wait until the lease is held, or is not; working: with launches meanwhile, or who holds it would soon pass for stuck. */
static bool lease_becomes_working(const struct divvy_control *control, struct divvy_page_usage *working, bool held) {
    for (int i = 0; i < 500; i++) {
        struct divvy_control_lease lease;
        int64_t now_ns = (int64_t)divvy_core_clock_ns();

        if (working) {
            __atomic_store_n(&working->launches, working->launches + 1, __ATOMIC_RELAXED);
            __atomic_store_n(&working->drain_ns, (uint64_t)now_ns + 2000000, __ATOMIC_RELAXED);
        }
        assert_true(divvy_control_lease_read(control, 0, &lease));
        if (held == (lease.mode == DIVVY_CONTROL_OPEN ||
                     (lease.mode == DIVVY_CONTROL_LEASED && lease.begin_ns <= now_ns &&
                      now_ns < lease.end_ns)))
            return true;
        pause_ms(2);
    }
    return false;
}

static bool lease_becomes(const struct divvy_control *control, bool held) {
    return lease_becomes_working(control, NULL, held);
}

/* This process plays one of the tenant's. */
static void who_rings_gets_a_lease_and_who_idles_loses_it(void **state) {
    struct divvy_node_spec spec = spec_make("rings", GIB, 500);
    struct divvy_node_tenant tenant;
    struct divvy_page_identity self;
    const struct divvy_control *control;
    struct divvy_page *page;
    char path[300];
    int slot, device, fd;

    (void)state;
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, NULL), 0);
    control = control_open(&tenant);
    assert_true(lease_becomes(control, false));
    assert_int_equal(control->devices[0].listening, 1);
    (void)snprintf(path, sizeof path, "%s/usage", tenant.folder);
    assert_int_equal(divvy_page_open(path, "rings", 0, &page, &fd), 0);
    divvy_page_identity_self(&self);
    slot = divvy_page_slot_claim(page, &self);
    device = divvy_page_device_enter(page, (const uint8_t *)&control->devices[0].uuid);
    assert_true(slot >= 0 && device >= 0);
    ring(&tenant); /* without being there: nothing comes of it */
    pause_ms(30);
    assert_true(lease_becomes(control, false));
    __atomic_store_n(&page->slots[slot].usage[device].waiting, 1, __ATOMIC_SEQ_CST);
    ring(&tenant);
    assert_true(lease_becomes(control, true));
    assert_int_equal(control->devices[0].listening, 0);
    __atomic_store_n(&page->slots[slot].usage[device].waiting, 0, __ATOMIC_SEQ_CST);
    assert_true(lease_becomes(control, false));
    for (int i = 0; i < 500 && !__atomic_load_n(&control->devices[0].listening, __ATOMIC_SEQ_CST);
         i++)
        pause_ms(2);
    assert_int_equal(control->devices[0].listening, 1);
    /* found as a process of the tenant meanwhile */
    for (int i = 0; i < 500 && tenant.process_count == 0; i++) {
        pause_ms(10);
        assert_int_equal(divvy_daemon_tenant(daemon_now, "rings", &tenant), 0);
    }
    assert_int_equal(tenant.process_count, 1);
    assert_int_equal(divvy_daemon_tenant_remove(daemon_now, &own, "rings", false, NULL), -EBUSY);
    assert_int_equal(divvy_daemon_tenant_remove(daemon_now, &own, "rings", true, NULL), 0);
    divvy_page_slot_release(page, (unsigned)slot);
    divvy_page_close(page);
    (void)close(fd);
    divvy_control_close(control);
}

/* A tenant with one process, played by the one given. */
static struct divvy_page *tenant_play(const char *id, pid_t pid, const struct divvy_control **ret_control,
                                      struct divvy_page_usage **ret_usage) {
    struct divvy_node_spec spec = spec_make(id, GIB, 500);
    struct divvy_node_tenant tenant;
    struct divvy_page_identity who;
    struct divvy_page *page;
    char path[300];
    int slot, device, fd;

    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, NULL), 0);
    *ret_control = control_open(&tenant);
    (void)snprintf(path, sizeof path, "%s/usage", tenant.folder);
    assert_int_equal(divvy_page_open(path, id, 0, &page, &fd), 0);
    assert_int_equal(close(fd), 0);
    divvy_page_identity_self(&who);
    who.pid = (uint32_t)pid;
    slot = divvy_page_slot_claim(page, &who);
    device = divvy_page_device_enter(page, (const uint8_t *)&(*ret_control)->devices[0].uuid);
    assert_true(slot >= 0 && device >= 0);
    *ret_usage = &page->slots[slot].usage[device];
    __atomic_store_n(&(*ret_usage)->waiting, 1, __ATOMIC_SEQ_CST);
    ring(&tenant);
    return page;
}

/* Two tenants take turns; one is killed while it waits. It must not go on taking its turns. */
static void who_died_at_the_gate_waits_no_more(void **state) {
    const struct divvy_control *controls[2];
    struct divvy_page_usage *usages[2];
    struct divvy_page *pages[2];
    pid_t child = fork();
    bool heard = false;

    (void)state;
    if (child == 0)
        for (;;)
            (void)pause();
    pages[0] = tenant_play("alive", getpid(), &controls[0], &usages[0]);
    usages[0]->late_ns = 100000;
    pages[1] = tenant_play("killed", child, &controls[1], &usages[1]);
    usages[1]->late_ns = 100000;
    for (int i = 0; i < 50; i++) {
        uint64_t now_ns = divvy_core_clock_ns();

        for (int k = 0; k < 2; k++) {
            __atomic_store_n(&usages[k]->launches, usages[k]->launches + 1, __ATOMIC_RELAXED);
            __atomic_store_n(&usages[k]->drain_ns, now_ns + 2000000, __ATOMIC_RELAXED);
        }
        pause_ms(1);
    }
    assert_int_equal(controls[1]->devices[0].listening, 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (int i = 0; i < 1000 && !heard; i++) {
        __atomic_store_n(&usages[0]->launches, usages[0]->launches + 1, __ATOMIC_RELAXED);
        __atomic_store_n(&usages[0]->drain_ns, divvy_core_clock_ns() + 2000000, __ATOMIC_RELAXED);
        heard = __atomic_load_n(&controls[1]->devices[0].listening, __ATOMIC_SEQ_CST) != 0;
        pause_ms(1);
    }
    assert_true(heard);
    __atomic_store_n(&usages[0]->waiting, 0, __ATOMIC_SEQ_CST);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(divvy_daemon_tenant_remove(daemon_now, &own, k ? "killed" : "alive", true, NULL), 0);
        divvy_page_close(pages[k]);
        divvy_control_close(controls[k]);
    }
}

static bool is_stopped(pid_t pid) {
    char path[32], state = '?';
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%*d %*s %c", &state) != 1)
            state = '?';
        (void)fclose(file);
    }
    return state == 'T';
}

/*
 * Stops its parent for as long as it takes tenants to pace themselves; meanwhile this tenant uses five seconds of the device. Ends with
 * 2 when somebody else lets it go on every time.
 */
static void __attribute__((noreturn)) parent_stop(uint64_t *charged_ns) {
    pid_t parent = getppid();

    for (int stopped_ms = 0, tries = 0; stopped_ms < 900; stopped_ms += 10) {
        if (++tries > 3000)
            _exit(2);
        if (!is_stopped(parent)) { /* not yet, or somebody else let it go on */
            stopped_ms = 0;
            if (kill(parent, SIGSTOP) < 0)
                _exit(1);
        }
        pause_ms(10);
    }
    (void)__atomic_fetch_add(charged_ns, UINT64_C(5000000000), __ATOMIC_SEQ_CST);
    _exit(is_stopped(parent) && kill(parent, SIGCONT) == 0 ? 0 : 1);
}

/* What tenants used while the daemon was stopped, they kept to their caps by themselves: nobody waits for it to be repaid. */
static void a_stopped_daemon_charges_nothing(void **state) {
    const struct divvy_control *control;
    struct divvy_page_usage *usage;
    struct divvy_page *page;
    uint64_t *charged_ns;
    pid_t child;
    int status;

    (void)state;
    page = tenant_play("paced", getpid(), &control, &usage);
    charged_ns = &page->devices[0].compute.charged_ns; /* it has no other device */
    assert_true(lease_becomes_working(control, usage, true));
    child = fork();
    if (child == 0)
        parent_stop(charged_ns);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
    if (WEXITSTATUS(status) == 0) {
        assert_true(lease_becomes_working(control, usage, true));
        /* What it uses from now on counts as ever. */
        (void)__atomic_fetch_add(charged_ns, UINT64_C(5000000000), __ATOMIC_SEQ_CST);
        assert_true(lease_becomes_working(control, usage, false));
        pause_ms(200);
        assert_false(lease_becomes_working(control, usage, true));
    }
    __atomic_store_n(&usage->waiting, 0, __ATOMIC_SEQ_CST);
    assert_int_equal(divvy_daemon_tenant_remove(daemon_now, &own, "paced", true, NULL), 0);
    divvy_page_close(page);
    divvy_control_close(control);
    if (WEXITSTATUS(status) != 0)
        skip();
}

static void a_tenant_goes_with_its_keeper(void **state) {
    struct divvy_node_spec spec = spec_make("kept-by", GIB, 1000);
    struct divvy_node_tenant tenant;
    pid_t keeper = fork();

    (void)state;
    if (keeper == 0)
        for (;;)
            (void)pause();
    spec.source = DIVVY_NODE_FROM_RUN;
    spec.keeper_pid = keeper;
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, NULL), 0);
    pause_ms(700);
    assert_int_equal(divvy_daemon_tenant(daemon_now, "kept-by", &tenant), 0);
    assert_int_equal(kill(keeper, SIGKILL), 0);
    assert_int_equal(waitpid(keeper, NULL, 0), keeper);
    for (int i = 0; i < 500 && divvy_daemon_tenant(daemon_now, "kept-by", &tenant) == 0; i++)
        pause_ms(10);
    assert_int_equal(divvy_daemon_tenant(daemon_now, "kept-by", &tenant), -ENOENT);
    spec.keeper_pid = keeper; /* gone by now */
    assert_int_equal(divvy_daemon_tenant_create(daemon_now, &own, &spec, &tenant, NULL), -ESRCH);
}

static void devices_that_go_are_told_of(void **state) {
    struct divvy_node_device *devices;
    struct divvy_node_event events[64];
    uint32_t count = divvy_daemon_events(daemon_now, 0, 0, events, 64);
    uint64_t last = count ? events[count - 1].number : 0;
    size_t number;

    (void)state;
    devices_tell(1);
    assert_int_equal(divvy_daemon_devices(daemon_now, &devices, &number), 0);
    assert_int_equal(number, 2);
    assert_true(devices[0].healthy);
    assert_false(devices[1].healthy);
    free(devices);
    devices_tell(2);
    assert_int_equal(divvy_daemon_events(daemon_now, last, 0, events, 64), 2);
    assert_int_equal(events[0].kind, DIVVY_NODE_EVENT_DEVICE_LOST);
    assert_int_equal(events[1].kind, DIVVY_NODE_EVENT_DEVICE_BACK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tenants_are_made_changed_and_removed),
        cmocka_unit_test(what_happens_is_told),
        cmocka_unit_test(tenants_are_found_again_after_a_restart),
        cmocka_unit_test(who_rings_gets_a_lease_and_who_idles_loses_it),
        cmocka_unit_test(who_died_at_the_gate_waits_no_more),
        cmocka_unit_test(a_stopped_daemon_charges_nothing),
        cmocka_unit_test(a_tenant_goes_with_its_keeper),
        cmocka_unit_test(devices_that_go_are_told_of),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
