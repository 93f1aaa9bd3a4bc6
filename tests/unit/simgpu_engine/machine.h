/* Machines for tests: in memory with a clock that the test moves, or real ones in a directory of their own. */
#ifndef DIVVY_TEST_SIMGPU_MACHINE_H
#define DIVVY_TEST_SIMGPU_MACHINE_H

#include "simgpu/engine/engine.h"
#include "simgpu/engine/sched.h"
#include "simgpu/engine/self.h"
#include "simgpu/engine/state.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

/* --- virtual ------------------------------------------------------------------------------------------------ */

typedef struct virtual {
    sim_file_t *f;
    uint32_t proc, tag;
    uint64_t t0; /* when the clock starts */
}
virtual_t;

static inline virtual_t virtual_make(uint32_t devices) {
    sim_config_t config = {.devices = devices, .slice_ns = 2 * MS};
    virtual_t v = {0};
    void *p = mmap(NULL, sizeof(sim_file_t), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    for (uint32_t i = 0; i < devices; i++)
        config.memory_bytes[i] = UINT64_C(1) << 30;
    v.f = p;
    sim_state_init(v.f, &config);
    assert_int_equal(sim_slot_claim(v.f, 0, &v.proc), 0);
    v.tag = sim_lock_tag(v.proc, 1);
    v.t0 = v.f->header.devices[0].now_ns;
    for (uint32_t i = 0; i < devices; i++)
        v.f->header.devices[i].now_ns = v.t0;
    return v;
}

static inline void virtual_free(virtual_t *v) {
    munmap(v->f, sizeof(sim_file_t));
}

static inline uint32_t virtual_context(virtual_t *v, uint32_t device) {
    uint32_t context = 0;

    assert_int_equal(sim_context_claim(v->f, v->proc, device, &context), 0);
    return context;
}

static inline void virtual_advance(virtual_t *v, uint32_t device, uint64_t at) {
    sim_sched_advance(v->f, device, v->t0 + at);
}

static inline uint64_t virtual_position(virtual_t *v, uint32_t context, uint32_t channel) {
    return sim_position_channel(sim_slot_generation(v->f->header.context_words[context]), context,
                                channel);
}

/* Each returns the position's seq of the item. */
static inline uint64_t virtual_push(virtual_t *v, uint32_t context, uint32_t channel, uint64_t at,
                                    sim_item_t item) {
    return sim_queue_push(v->f, context, channel, &item, v->t0 + at) + 1;
}

static inline uint64_t virtual_work(virtual_t *v, uint32_t context, uint32_t channel, uint64_t at,
                                    uint64_t duration, unsigned fraction) {
    return virtual_push(v, context, channel, at,
                        (sim_item_t){.kind = DIVVY_SIMGPU_WORK,
                                     .duration_ns = duration,
                                     .fraction_permille = (uint16_t)fraction});
}

/* Event number n (from 0) records once. */
static inline void virtual_record(virtual_t *v, uint32_t context, uint32_t channel, uint64_t at,
                                  uint32_t n) {
    sim_event_t *e = &v->f->events[n / SIM_EVENTS_PER_CHUNK][n % SIM_EVENTS_PER_CHUNK];

    e->incarnation = 1;
    e->record++;
    virtual_push(v, context, channel, at,
                 (sim_item_t){.kind = DIVVY_SIMGPU_EVENT_RECORD,
                              .a = UINT64_C(1) << 32 | (n + 1),
                              .b = e->record});
}

/* Time of an event relative to t0; UINT64_MAX: not done. */
static inline uint64_t virtual_time(virtual_t *v, uint32_t n) {
    sim_event_t *e = &v->f->events[n / SIM_EVENTS_PER_CHUNK][n % SIM_EVENTS_PER_CHUNK];

    return e->record && e->done == e->record ? e->time_ns - v->t0 : UINT64_MAX;
}

static inline void virtual_wait_for(virtual_t *v, uint32_t context, uint32_t channel, uint64_t at,
                                    uint64_t position, uint64_t seq) {
    virtual_push(v, context, channel, at,
                 (sim_item_t){.kind = DIVVY_SIMGPU_EVENT_WAIT, .a = position, .b = seq});
}

static inline uint64_t virtual_head(virtual_t *v, uint32_t context, uint32_t channel) {
    return v->f->contexts[context].channels[channel].head;
}

static inline uint64_t virtual_busy(virtual_t *v, uint32_t context) {
    return v->f->contexts[context].busy_ns;
}

/* --- real --------------------------------------------------------------------------------------------------- */

static char real_directory[64];

/* A directory of its own for the machine of this test, a small device unless the test says otherwise. */
static inline int real_setup(void **state) {
    (void)state;
    snprintf(real_directory, sizeof real_directory, "%s/divvy-test-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(real_directory))
        return -1;
    setenv("DIVVY_SIM_DIR", real_directory, 1);
    setenv("DIVVY_SIM_MODEL", "small", 1);
    unsetenv("DIVVY_SIM_MEMORY");
    unsetenv("DIVVY_SIM_DEVICES");
    unsetenv("DIVVY_SIM_FAULTS");
    unsetenv("DIVVY_SIM_MIG");
    unsetenv("DIVVY_SIM_DRIVER");
    unsetenv("DIVVY_SIM_SLICE_US");
    unsetenv("DIVVY_SIM_SWITCH_US");
    return 0;
}

/* A test that failed is still attached: the next one must not find its machine. */
static inline int real_teardown(void **state) {
    char path[96];

    (void)state;
    while (divvy_simgpu_attached())
        divvy_simgpu_detach();
    snprintf(path, sizeof path, "%s/state", real_directory);
    unlink(path);
    rmdir(real_directory);
    return 0;
}

static inline void real_attach(unsigned flags) {
    char error[DIVVY_SIMGPU_ERROR_MAX];
    int r = divvy_simgpu_attach(flags, error);

    if (r < 0)
        fail_msg("attach: %d %s", r, error);
}

/* A child that dies with the test, however that ends. */
static inline pid_t start(void (*body)(void *arg), void *arg) {
    pid_t parent = getpid(), pid = fork();

    if (!pid) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            body(arg);
        _exit(0);
    }
    return pid;
}

/* Runs body in a process of its own and returns its exit status, 128 + signal if killed. */
static inline int in_process(void (*body)(void *arg), void *arg) {
    pid_t pid = start(body, arg);
    int status = 0;

    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
