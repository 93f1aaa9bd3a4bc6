/*
 * Activation, in two steps, each once: the limits and the tenant's page (needs no driver; enough
 * for NVML), then the devices as CUDA numbers them and a slot (needs the driver's cuInit). And
 * forked children, which start again at the slot with everything else kept.
 */
#include "limiter/hook/process.h"
#include "core/log.h"
#include "core/sys.h"
#include "limiter/channel/channel.h"
#include "limiter/compute/compute.h"
#include "limiter/foreign/foreign.h"
#include "limiter/hook/control.h"
#include "limiter/hook/limits.h"
#include "limiter/hook/lock.h"
#include "limiter/hook/door.h"
#include "limiter/hook/nvml.h"
#include "limiter/hook/real.h"
#include "limiter/hook/route.h"
#include "limiter/hook/table.h"
#include "limiter/hook/tenant.h"
#include "limiter/memory/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct divvy_process divvy_process = {.page_device = {[0 ... DIVVY_CUDA_DEVICES - 1] = -1}};

uint32_t divvy_process_fork_words[3 * DIVVY_PROCESS_FORK_PAGE / sizeof(uint32_t)]
    __attribute__((aligned(DIVVY_PROCESS_FORK_PAGE)));

static divvy_lock_t lock; /* over everything below */
static pid_t lock_tid;    /* the thread that holds it, 0 for none */
static uint32_t state;    /* divvy_process_state_t */
static bool cuda_known;   /* devices as CUDA numbers them have been entered */
static int page_fd = -1;
static struct divvy_limits limits;
/* All GPUs, in NVML's order, and behind them their MIG devices. */
static struct divvy_limit_device machine[DIVVY_CUDA_DEVICES];
static size_t machine_count;
static bool machine_complete; /* NVML listed them */

divvy_process_state_t divvy_process_state(void) {
    return (divvy_process_state_t)__atomic_load_n(&state, __ATOMIC_ACQUIRE);
}

bool divvy_process_is_refused(void) {
    return divvy_process_state() == DIVVY_PROCESS_REFUSED;
}

static void set_state(divvy_process_state_t value) {
    __atomic_store_n(&state, (uint32_t)value, __ATOMIC_RELEASE);
}

static void set_failed(void) {
    set_state(divvy_limits_fail_closed() ? DIVVY_PROCESS_REFUSED : DIVVY_PROCESS_FREE);
}

/* ---- fork ---- */

extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *)
    __attribute__((weak));

static void forked_child(void) {
    __atomic_store_n(divvy_process_attached_word, 0, __ATOMIC_RELEASE);
    divvy_lock_reset(&lock);
    divvy_channel_forked();
}

/* Linux 4.14 clears the page in a child however it was made; glibc's handler does for fork(). */
static void watch_forks(void) {
    int saved = errno;

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
    (void)madvise(divvy_process_attached_word, DIVVY_PROCESS_FORK_PAGE, MADV_WIPEONFORK);
    if (__register_atfork)
        (void)__register_atfork(NULL, NULL, forked_child, NULL);
    errno = saved;
}

/* ---- limits and page ---- */

/* Enter a device and its limits into the page: its number there, or -errno with a line written. */
static int device_enter(const struct divvy_limit_device *device) {
    bool is_controlled = divvy_control_knows(device->uuid.bytes);
    struct divvy_limit limit = {0};
    int status = is_controlled ? 0 : divvy_limits_of(&limits, device, &limit);
    int entry;

    if (status < 0)
        return status;
    if (!is_controlled)
        divvy_channel_limit(device, &limit);
    entry = divvy_page_device_enter(divvy_process.page, device->uuid.bytes);
    if (entry == -ENOSPC && !is_controlled && limit.bytes == 0 && limit.permille == 0)
        return -ENOSPC;
    if (entry < 0) {
        divvy_core_log_once(DIVVY_LOG_ERROR, "a tenant can have limits on %u devices at most; %s",
                            DIVVY_PAGE_DEVICES, divvy_limits_what_follows());
        return -EOVERFLOW;
    }
    if (divvy_control_device_entered(divvy_process.page, (unsigned)entry, device->total_bytes))
        return entry;
    divvy_page_device_propose(
        divvy_process.page, (unsigned)entry, limit.bytes ? limit.bytes : DIVVY_PAGE_UNLIMITED,
        limit.permille ? limit.permille : DIVVY_PAGE_PERMILLE_UNLIMITED, device->total_bytes);
    divvy_foreign_device_entered((unsigned)entry);
    divvy_channel_device_entered(divvy_process.page, (unsigned)entry);
    return entry;
}

/* TF_SKIP_HOOKS_IF_NO_LIMIT: limits that limit nothing switch the limiter off. */
static bool skips_idle_limits(void) {
    if (!divvy_limits_word_is_true(getenv("TF_SKIP_HOOKS_IF_NO_LIMIT")))
        return false;
    for (size_t i = 0; i < limits.percent.count; i++)
        if (limits.percent.entries[i].value != 0 && limits.percent.entries[i].value < 100)
            return false;
    for (size_t i = 0; i < limits.bytes.count; i++)
        for (size_t k = 0; k < machine_count; k++)
            if (limits.bytes.entries[i].value != 0 &&
                limits.bytes.entries[i].value < machine[k].total_bytes)
                return false;
    return limits.bytes.count == 0 || machine_complete;
}

static void lock_take(void) {
    divvy_lock_take(&lock);
    __atomic_store_n(&lock_tid, divvy_core_sys_gettid(), __ATOMIC_RELAXED);
}

static void lock_give(void) {
    __atomic_store_n(&lock_tid, 0, __ATOMIC_RELAXED);
    divvy_lock_give(&lock);
}

/*
 * Whether this very thread is in here already. NVIDIA's libraries call their own exported names
 * (nvmlInit_v2 goes through nvmlInitWithFlags), which are hooked: such a call is the library's own
 * and passes through.
 */
static bool is_inside(void) {
    pid_t holder = __atomic_load_n(&lock_tid, __ATOMIC_RELAXED);

    return holder != 0 && holder == divvy_core_sys_gettid();
}

/* Who else has limits for us, where neither the environment nor a tenant's folder has: false: somebody should have, and has not. */
static bool hypervisor_ask(void) {
    bool is_known = limits.any || divvy_tenant_is_set_up();
    size_t gpus = divvy_limits_gpus(machine, machine_count);
    bool is_answered = divvy_channel_is_wanted() && divvy_channel_pod_ask(machine, gpus) == 0;

    if (is_known || divvy_channel_is_divvyd())
        return true;
    if (divvy_foreign_attach(machine, gpus) < 0)
        return false;
    /* Limits that are known without the hypervisor hold whether it answers or not. */
    return is_answered || !divvy_channel_is_wanted() || divvy_foreign_state() != DIVVY_FOREIGN_NONE;
}

/* Step one, lock held. */
static void open_locked(void) {
    int count, status;

    if (divvy_process_state() != DIVVY_PROCESS_UNKNOWN)
        return;
    if (!divvy_route_cuda_enabled() && !divvy_route_nvml_enabled()) {
        set_state(DIVVY_PROCESS_FREE);
        return;
    }
    status = divvy_limits_read(&limits);
    if (status == 0 && !limits.any && !divvy_tenant_is_set_up() && !divvy_channel_is_wanted() &&
        !divvy_foreign_is_wanted()) {
        set_state(DIVVY_PROCESS_FREE);
        return;
    }
    if (status < 0) {
        set_failed();
        return;
    }
    count = divvy_nvml_devices(machine, DIVVY_CUDA_DEVICES);
    machine_count = count > 0 ? (size_t)count : 0;
    machine_complete = count > 0;
    if (divvy_control_attach() < 0) {
        set_failed();
        return;
    }
    if (!hypervisor_ask()) {
        set_failed();
        return;
    }
    if (!divvy_control_link.page && !divvy_channel_is_wanted() && divvy_foreign_state() == DIVVY_FOREIGN_NONE &&
        skips_idle_limits()) {
        set_state(DIVVY_PROCESS_FREE);
        return;
    }
    if (divvy_limits_check_keys(&limits, machine, machine_count, machine_complete) < 0) {
        set_failed();
        return;
    }
    divvy_page_identity_self(&divvy_process.self);
    if (divvy_tenant_open(&divvy_process.self, &divvy_process.page, &page_fd) < 0) {
        set_failed();
        return;
    }
    watch_forks();
    set_state(DIVVY_PROCESS_LIMITED);
}

divvy_process_state_t divvy_process_open(void) {
    if (divvy_process_state() == DIVVY_PROCESS_UNKNOWN && !is_inside()) {
        lock_take();
        open_locked();
        lock_give();
    }
    return divvy_process_state();
}

int divvy_process_page_device_by_uuid(const divvy_core_uuid_t *uuid) {
    int entry = -1;

    if (divvy_process_state() != DIVVY_PROCESS_LIMITED || is_inside())
        return -1;
    lock_take();
    for (size_t i = 0; i < machine_count && entry < 0; i++)
        if (divvy_core_uuid_equal(&machine[i].uuid, uuid))
            entry = device_enter(&machine[i]);
    lock_give();
    /* A MIG device that was made since: known once a process of the tenant has used it. */
    if (entry < 0)
        entry = divvy_page_device_find(divvy_process.page, uuid->bytes);
    return entry < 0 ? -1 : entry;
}

/* ---- devices as CUDA numbers them ---- */

/* Place in NVML's order when NVML cannot be asked: what CUDA_VISIBLE_DEVICES says, else the ordinal
 * itself. */
static int32_t index_without_nvml(unsigned ordinal) {
    const char *at = getenv("CUDA_VISIBLE_DEVICES");

    if (!at || !*at)
        return (int32_t)ordinal;
    for (unsigned skip = 0; skip < ordinal; skip++) {
        at = strchr(at, ',');
        if (!at)
            return -1;
        at++;
    }
    while (*at == ' ')
        at++;
    return *at >= '0' && *at <= '9' ? (int32_t)strtoul(at, NULL, 10) : -1;
}

static uint64_t pci_of(CUdevice ordinal) {
    int domain = 0, bus = 0, device = 0;

    if (divvy_real.cuDeviceGetAttribute(&domain, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, ordinal) !=
            CUDA_SUCCESS ||
        divvy_real.cuDeviceGetAttribute(&bus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, ordinal) !=
            CUDA_SUCCESS ||
        divvy_real.cuDeviceGetAttribute(&device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, ordinal) !=
            CUDA_SUCCESS)
        return 0;
    return (uint64_t)(unsigned)domain << 32 | (uint64_t)(unsigned)bus << 8 | (unsigned)device;
}

/* A MIG device has a UUID of its own, and the place on the bus of the GPU that it is a part of. */
static void parent_find(struct divvy_limit_device *device) {
    for (size_t i = 0; i < machine_count && device->pci != 0; i++) {
        if (machine[i].pci != device->pci)
            continue;
        device->parent = machine[i].uuid;
        device->index = machine[i].index;
        return;
    }
}

static void cuda_device_describe(CUdevice ordinal, struct divvy_limit_device *ret_device) {
    CUuuid uuid;
    size_t total = 0;

    memset(ret_device, 0, sizeof *ret_device);
    ret_device->index = -1;
    if (divvy_real.cuDeviceTotalMem_v2(&total, ordinal) == CUDA_SUCCESS)
        ret_device->total_bytes = total;
    if ((divvy_real_has(cuDeviceGetUuid_v2)
             ? divvy_real.cuDeviceGetUuid_v2(&uuid, ordinal)
             : divvy_real.cuDeviceGetUuid(&uuid, ordinal)) == CUDA_SUCCESS)
        memcpy(ret_device->uuid.bytes, uuid.bytes, sizeof ret_device->uuid.bytes);
    for (size_t i = 0; i < machine_count; i++)
        if (divvy_core_uuid_equal(&machine[i].uuid, &ret_device->uuid)) {
            ret_device->index = machine[i].index;
            ret_device->parent = machine[i].parent;
        }
    if (machine_complete && ret_device->index < 0) {
        ret_device->pci = pci_of(ordinal);
        parent_find(ret_device);
    }
    if (!machine_complete)
        ret_device->index = index_without_nvml((unsigned)ordinal);
}

/* Step two, lock held: 0, or -errno with a line written. */
static int cuda_devices_locked(void) {
    struct divvy_limit_device seen[DIVVY_CUDA_DEVICES];
    int count = 0;

    if (divvy_real.cuDeviceGetCount(&count) != CUDA_SUCCESS)
        return -EAGAIN;
    if (count > DIVVY_CUDA_DEVICES)
        count = DIVVY_CUDA_DEVICES;
    for (int ordinal = 0; ordinal < count; ordinal++) {
        int entry;

        cuda_device_describe(ordinal, &seen[ordinal]);
        divvy_process.total_bytes[ordinal] = seen[ordinal].total_bytes;
        entry = device_enter(&seen[ordinal]);
        if (entry < 0 && entry != -ENOSPC && entry != -EINVAL)
            return entry;
        divvy_process.page_device[ordinal] = (int8_t)(entry < 0 ? -1 : entry);
    }
    divvy_process.device_count = (uint32_t)count;
    if (!machine_complete && divvy_limits_check_keys(&limits, seen, (size_t)count,
                                                     getenv("CUDA_VISIBLE_DEVICES") == NULL) < 0)
        return -ENODEV;
    cuda_known = true;
    return 0;
}

/* A slot for this process, and the other rooms' state for it; lock held. */
static int slot_locked(void) {
    int slot;

    divvy_page_identity_self(&divvy_process.self);
    slot = divvy_page_slot_claim(divvy_process.page, &divvy_process.self);
    if (slot < 0) {
        divvy_core_log_once(DIVVY_LOG_ERROR,
                            "more than %u processes of one tenant use CUDA at once; %s",
                            DIVVY_PAGE_SLOTS, divvy_limits_what_follows());
        return slot;
    }
    divvy_process.slot = (uint32_t)slot;
    divvy_memory_attach();
    divvy_compute_attach();
    divvy_foreign_joined();
    __atomic_store_n(divvy_process_attached_word, 1, __ATOMIC_RELEASE);
    divvy_door_attached();
    divvy_channel_start();
    return 0;
}

/* Whatever a forked child inherited that is the parent's. */
static void leave_parent_locked(void) {
    if (divvy_process.self.pid == 0 || divvy_process.self.pid == (uint32_t)divvy_core_sys_getpid())
        return;
    divvy_memory_fork_child();
}

static bool attach_locked(void) {
    int status;

    open_locked();
    if (divvy_process_state() != DIVVY_PROCESS_LIMITED || !divvy_route_cuda_enabled())
        return false;
    if (__atomic_load_n(divvy_process_attached_word, __ATOMIC_ACQUIRE) == 1)
        return true;
    leave_parent_locked();
    status = cuda_known ? 0 : cuda_devices_locked();
    if (status == -EAGAIN)
        return false;
    if (status == 0)
        status = slot_locked();
    if (status < 0)
        set_failed();
    return status == 0;
}

bool divvy_process_attach(void) {
    static uint32_t lock_owner_pid; /* of the process whose thread holds the lock */
    bool attached;

    if (divvy_process_state() == DIVVY_PROCESS_FREE ||
        divvy_process_state() == DIVVY_PROCESS_REFUSED || is_inside())
        return false;
    /* A child forked, without handlers, while a thread of the parent was in here. */
    if (lock.word != 0 && __atomic_load_n(&lock_owner_pid, __ATOMIC_RELAXED) != 0 &&
        __atomic_load_n(&lock_owner_pid, __ATOMIC_RELAXED) != (uint32_t)divvy_core_sys_getpid())
        divvy_lock_reset(&lock);
    lock_take();
    __atomic_store_n(&lock_owner_pid, (uint32_t)divvy_core_sys_getpid(), __ATOMIC_RELAXED);
    attached = attach_locked();
    __atomic_store_n(&lock_owner_pid, 0, __ATOMIC_RELAXED);
    lock_give();
    return attached;
}

/* ---- cuInit, and the live change of limits ---- */

CUresult divvy_hook_cuInit(unsigned int flags) {
    CUresult result;

    if (!divvy_real_resolve())
        return divvy_real.cuInit(flags);
    if (divvy_route_cuda_enabled() && divvy_process_open() == DIVVY_PROCESS_REFUSED)
        return CUDA_ERROR_NOT_PERMITTED;
    result = divvy_real.cuInit(flags);
    if (result != CUDA_SUCCESS || !divvy_route_cuda_enabled())
        return result;
    (void)divvy_process_ready();
    return divvy_process_is_refused() ? CUDA_ERROR_NOT_PERMITTED : result;
}

/* The machine's device at this place in NVML's order, or the CUDA ordinal where NVML is not to be
 * had. */
static int page_device_at(uint32_t index) {
    for (size_t i = 0; i < machine_count; i++)
        if (machine[i].index == (int32_t)index)
            return device_enter(&machine[i]);
    return machine_complete || index >= divvy_process.device_count
               ? -ENODEV
               : divvy_process.page_device[index];
}

void divvy_process_set_limit(uint32_t gpu, uint32_t up_limit, uint64_t mem_limit) {
    int entry;

    if (divvy_process_open() != DIVVY_PROCESS_LIMITED)
        return;
    lock_take();
    entry = page_device_at(gpu);
    if (entry >= 0) {
        struct divvy_page_device *device = &divvy_process.page->devices[entry];
        uint32_t permille =
            up_limit == 0 || up_limit > 100 ? DIVVY_PAGE_PERMILLE_UNLIMITED : up_limit * 10;

        __atomic_store_n(&device->limit_bytes, mem_limit ? mem_limit : DIVVY_PAGE_UNLIMITED,
                         __ATOMIC_RELEASE);
        __atomic_store_n(&device->compute_permille, permille, __ATOMIC_RELEASE);
        divvy_channel_device_changed(divvy_process.page, (unsigned)entry);
    }
    lock_give();
}
