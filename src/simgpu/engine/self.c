/* Attach, detach, fork. */
#include "simgpu/engine/self.h"

#include "simgpu/engine/arena.h"
#include "simgpu/engine/engine.h"
#include "simgpu/engine/local.h"
#include "simgpu/engine/sched.h"
#include "simgpu/engine/state.h"

#include "core/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static struct self {
    pthread_mutex_t mutex;
    sim_file_t *file;
    uint32_t slot, tag;
    uint64_t generation, id;
    unsigned count; /* attaches */
    unsigned flags;
} self = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Non-zero where this process is attached. Lies in a page that reads zero in fork children, however they were made;
 * the handler of pthread_atfork does the same where the kernel cannot. */
static uint32_t never;
static uint32_t *attached = &never;

static void in_child(void) {
    if (attached != &never)
        sim_store(attached, 0);
}

static int make_flag(void) {
    void *page;

    if (attached != &never)
        return 0;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -ENOMEM;
    (void)madvise(page, 4096, MADV_WIPEONFORK);
    __atomic_store_n(&attached, (uint32_t *)page, __ATOMIC_RELEASE);
    return -pthread_atfork(NULL, NULL, in_child);
}

bool divvy_simgpu_attached(void) {
    return sim_load(__atomic_load_n(&attached, __ATOMIC_ACQUIRE)) != 0;
}

sim_file_t *sim_self_file(void) {
    return divvy_simgpu_attached() ? self.file : NULL;
}

uint32_t sim_self_slot(void) {
    return self.slot;
}

uint64_t sim_self_generation(void) {
    return self.generation;
}

uint32_t sim_self_tag(void) {
    return self.tag;
}

uint64_t sim_self_id(void) {
    return self.id;
}

/* --- locks ------------------------------------------------------------------------------------------------- */

void sim_self_lock(sim_lock_t *lock) {
    (void)sim_lock_take(self.file, lock,
                        self.tag); /* slots need no repair: they come to life in one store */
}

sim_device_t *sim_device_lock(sim_file_t *f, uint32_t device, uint32_t tag) {
    sim_device_t *d = &f->header.devices[device];

    if (sim_lock_take(f, &d->lock, tag))
        sim_sched_repair(f, device);
    return d;
}

sim_device_t *sim_memory_lock(sim_file_t *f, uint32_t pool, uint32_t tag) {
    sim_device_t *d = &f->header.devices[pool];

    if (sim_lock_take(f, &d->memory_lock, tag))
        sim_pool_repair(f, pool);
    return d;
}

sim_device_t *sim_self_lock_device(uint32_t device) {
    return sim_device_lock(self.file, device, self.tag);
}

/* --- attach ------------------------------------------------------------------------------------------------ */

static int attach_first(unsigned flags, char *error) {
    sim_file_t *f;
    int fd, r;

    if ((r = make_flag()) < 0)
        return r;
    if ((r = sim_state_open(flags, &f, &fd, error)) < 0)
        return r;
    r = sim_slot_claim(f, flags, &self.slot);
    sim_state_unlock(fd);
    if (r < 0) {
        sim_state_unmap(f);
        if (error)
            snprintf(error, DIVVY_SIMGPU_ERROR_MAX,
                     "the simulated GPU has no room for another process");
        return r;
    }
    self.file = f;
    self.flags = flags;
    self.generation = sim_slot_generation(sim_load(&f->header.proc_words[self.slot]));
    self.tag = sim_lock_tag(self.slot, self.generation);
    self.id = f->procs[self.slot].id;
    sim_store(attached, 1);
    (void)sim_slot_reap(f, self.tag);
    return 0;
}

int divvy_simgpu_attach(unsigned flags, char *error) {
    int r = 0;

    if (error)
        *error = 0;
    /* a fork child of an attached process: the mutex may be in any state */
    if (sim_load(&self.count) && !divvy_simgpu_attached()) {
        if (error)
            snprintf(error, DIVVY_SIMGPU_ERROR_MAX,
                     "the simulated GPU cannot be used after fork; start the program anew (exec)");
        return -EPERM;
    }
    pthread_mutex_lock(&self.mutex);
    if (!self.count)
        r = attach_first(flags, error);
    else if (self.flags & DIVVY_SIMGPU_OBSERVER && !(flags & DIVVY_SIMGPU_OBSERVER)) {
        /* the observer becomes a user */
        self.flags &= ~(unsigned)DIVVY_SIMGPU_OBSERVER;
        sim_store(&self.file->procs[self.slot].flags, self.flags);
    }
    if (!r)
        sim_store(&self.count, self.count + 1);
    pthread_mutex_unlock(&self.mutex);
    return r;
}

void divvy_simgpu_detach(void) {
    if (!divvy_simgpu_attached())
        return;
    pthread_mutex_lock(&self.mutex);
    if (self.count)
        sim_store(&self.count, self.count - 1);
    if (!self.count) {
        sim_file_t *f = self.file;

        sim_local_contexts_destroy();
        sim_local_memory_destroy();
        sim_local_events_forget();
        sim_self_lock(&f->header.lock);
        sim_slot_clear(f, self.tag, self.slot);
        sim_store(attached, 0);
        sim_lock_give(&f->header.lock);
        sim_slot_free(f, self.slot);
        self.file = NULL;
        sim_state_unmap(f);
    }
    pthread_mutex_unlock(&self.mutex);
}

/* --- facts ------------------------------------------------------------------------------------------------- */

int divvy_simgpu_path(char *buf, size_t size) {
    int r = sim_state_directory(buf, size);
    size_t length;

    if (r < 0)
        return r;
    length = strlen(buf);
    if (length + sizeof "/state" > size)
        return -ENAMETOOLONG;
    memcpy(buf + length, "/state", sizeof "/state");
    return 0;
}

uint64_t divvy_simgpu_now_ns(void) {
    return divvy_core_clock_ns();
}

uint64_t divvy_simgpu_slice_ns(void) {
    sim_file_t *f = sim_self_file();

    return f ? f->header.config.slice_ns : 0;
}

int divvy_simgpu_device_count(void) {
    sim_file_t *f = sim_self_file();

    return f ? (int)f->header.config.devices : -ENOTCONN;
}

const divvy_simgpu_device_t *divvy_simgpu_device_get(int device) {
    sim_file_t *f = sim_self_file();

    if (!f || device < 0 || !sim_unit_exists(f, (uint32_t)device))
        return NULL;
    return &f->header.devices[device].facts;
}

bool divvy_simgpu_device_lost(int device) {
    sim_file_t *f = sim_self_file();

    if (!f || device < 0 || !sim_unit_plausible(f, (uint32_t)device))
        return true;
    uint64_t lost_ns = sim_unit_lost_ns(f, (uint32_t)device);

    return lost_ns && divvy_core_clock_ns() >= lost_ns;
}

/* Brings a device and its units to the present; skip: without what would have been done in the meantime. */
static void advance_all(sim_file_t *f, uint32_t device, uint64_t now_ns, bool skip) {
    for (uint32_t unit = 0; unit < SIM_UNITS; unit++) {
        if (sim_unit_device(unit) != device || !sim_unit_exists(f, unit))
            continue;
        sim_device_t *d = sim_self_lock_device(unit);

        sim_sched_advance(f, unit, now_ns);
        if (skip)
            sim_store(&d->now_ns, now_ns);
        sim_lock_give(&d->lock);
    }
}

int divvy_simgpu_device_set_lost(int device, bool lost) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return -ENOTCONN;
    if (device < 0 || (uint32_t)device >= f->header.config.devices)
        return -ENODEV;
    uint64_t now_ns = divvy_core_clock_ns();

    if (lost) {
        advance_all(f, (uint32_t)device, now_ns, false);
        sim_store(&f->header.devices[device].lost_ns, now_ns);
    } else if (f->header.devices[device].lost_ns) {
        advance_all(f, (uint32_t)device, now_ns, true);
        sim_store(&f->header.devices[device].lost_ns, 0);
    }
    for (uint32_t i = 0; i < SIM_CONTEXTS; i++)
        if (sim_slot_state(sim_load(&f->header.context_words[i])) == SIM_SLOT_LIVE &&
            sim_unit_device(f->contexts[i].device & (SIM_UNITS - 1)) == (uint32_t)device)
            sim_context_wake(&f->contexts[i]);
    return 0;
}
