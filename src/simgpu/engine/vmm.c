/* Virtual memory management: physical handles, reserved addresses, mapping one at the other. Everything here is under
 * the lock of the table of ranges. */
#include "simgpu/engine/vmm.h"

#include "simgpu/engine/arena.h"
#include "simgpu/engine/machine.h"
#include "simgpu/engine/mapped.h"
#include "simgpu/engine/self.h"

#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE ((uint64_t)DIVVY_SIMGPU_PAGE_BYTES)
/* Name of the file of an exported handle: device and machine are read from it at import. */
#define FILE_NAME "divvy-sim-phys-%u-%016llx"
#define FILE_LINK "/memfd:" FILE_NAME " (deleted)"

typedef struct reservation {
    uint64_t addr, bytes;
} reservation_t;

static struct {
    sim_phys_t **phys; /* by low 32 bits of the handle, less 1 */
    uint32_t phys_count, phys_used;
    uint32_t last_serial;
    reservation_t *reserved; /* sorted */
    size_t reserved_count, reserved_capacity;
} vmm;

static void lock(void) {
    pthread_rwlock_wrlock(&sim_mapped_lock);
}

static void unlock(void) {
    pthread_rwlock_unlock(&sim_mapped_lock);
}

/* --- physical handles --------------------------------------------------------------------------------------- */

static sim_phys_t *phys_find(uint64_t handle) {
    uint32_t index = (uint32_t)handle - 1;

    return index < vmm.phys_count && vmm.phys[index] && vmm.phys[index]->handle == handle
               ? vmm.phys[index]
               : NULL;
}

static int phys_number(sim_phys_t *phys) {
    uint32_t index = 0;

    if (vmm.phys_used == vmm.phys_count) {
        uint32_t count = vmm.phys_count ? vmm.phys_count * 2 : 64;
        sim_phys_t **grown = realloc(vmm.phys, count * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        memset(grown + vmm.phys_count, 0, (count - vmm.phys_count) * sizeof *grown);
        index = vmm.phys_count;
        vmm.phys = grown;
        vmm.phys_count = count;
    }
    while (vmm.phys[index])
        index++;
    vmm.phys[index] = phys;
    vmm.phys_used++;
    phys->handle = (uint64_t)++vmm.last_serial << 32 | (index + 1);
    return 0;
}

static void charge(const sim_phys_t *phys, bool back) {
    sim_file_t *f = sim_self_file();

    if (f && !phys->imported)
        (void)sim_pool_charge(f, sim_self_tag(), sim_self_slot(), phys->device,
                              back ? -(int64_t)phys->bytes : (int64_t)phys->bytes);
}

static void phys_drop(sim_phys_t *phys) {
    sim_arena_t *arena;

    if (phys->references || phys->mappings)
        return;
    if (phys->fd >= 0)
        sim_fd_close(&phys->fd, phys->inode);
    else if (!sim_arena_get((int)phys->device, &arena))
        sim_arena_give_hidden(arena, phys->block);
    charge(phys, true);
    vmm.phys[(uint32_t)phys->handle - 1] = NULL;
    vmm.phys_used--;
    free(phys);
}

static int phys_back(sim_phys_t *phys, bool exportable) {
    sim_file_t *f = sim_self_file();
    sim_arena_t *arena;
    struct stat st;
    char name[64];
    int r;

    if (!exportable) {
        if ((r = sim_arena_get((int)phys->device, &arena)) < 0)
            return r;
        return sim_arena_take_hidden(arena, phys->bytes, PAGE, &phys->block, &phys->home);
    }
    snprintf(name, sizeof name, FILE_NAME, phys->device,
             (unsigned long long)f->header.boot_ns_check);
    phys->fd = divvy_core_sys_memfd_create(name);
    if (phys->fd < 0)
        return phys->fd;
    if (ftruncate(phys->fd, (off_t)phys->bytes) || divvy_core_sys_fstat(phys->fd, &st) < 0) {
        divvy_core_sys_close(&phys->fd);
        return -ENOMEM;
    }
    phys->inode = st.st_ino;
    return 0;
}

int divvy_simgpu_phys_create(int device, uint64_t bytes, unsigned flags, uint64_t *ret_handle) {
    sim_file_t *f = sim_self_file();
    sim_phys_t *phys;
    int r;

    if (!f)
        return -ENOTCONN;
    if (sim_self_unit(device) < 0 || divvy_simgpu_device_lost(device))
        return -ENODEV;
    if (!bytes || bytes % PAGE || bytes > INT64_MAX)
        return -EINVAL;
    if (!(phys = calloc(1, sizeof *phys)))
        return -ENOMEM;
    *phys = (sim_phys_t){.device = (uint32_t)device, .bytes = bytes, .references = 1, .fd = -1};
    r = sim_pool_charge(f, sim_self_tag(), sim_self_slot(), phys->device, (int64_t)bytes);
    if (r < 0) {
        free(phys);
        return r;
    }
    lock();
    r = phys_back(phys, flags & DIVVY_SIMGPU_PHYS_EXPORTABLE);
    if (!r && (r = phys_number(phys)) < 0 && phys->fd >= 0)
        divvy_core_sys_close(&phys->fd);
    if (!r)
        *ret_handle = phys->handle;
    unlock();
    if (r < 0) {
        charge(phys, true);
        free(phys);
    }
    return r;
}

int divvy_simgpu_phys_retain(uint64_t handle) {
    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    lock();
    sim_phys_t *phys = phys_find(handle);

    if (phys)
        phys->references++;
    unlock();
    return phys ? 0 : -EINVAL;
}

int divvy_simgpu_phys_release(uint64_t handle) {
    int r = -EINVAL;

    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    lock();
    sim_phys_t *phys = phys_find(handle);

    if (phys && phys->references) {
        phys->references--;
        phys_drop(phys);
        r = 0;
    }
    unlock();
    return r;
}

int divvy_simgpu_phys_info(uint64_t handle, int *ret_device, uint64_t *ret_bytes) {
    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    lock();
    const sim_phys_t *phys = phys_find(handle);

    if (phys) {
        *ret_device = (int)phys->device;
        *ret_bytes = phys->bytes;
    }
    unlock();
    return phys ? 0 : -EINVAL;
}

int divvy_simgpu_phys_export_fd(uint64_t handle, int *ret_fd) {
    sim_file_t *f = sim_self_file();
    int r = -EINVAL;

    if (!f)
        return -ENOTCONN;
    lock();
    const sim_phys_t *phys = phys_find(handle);

    if (phys && phys->fd < 0)
        r = -EOPNOTSUPP;
    else if (phys && sim_fd_is(phys->fd, phys->inode))
        r = fcntl(phys->fd, F_DUPFD_CLOEXEC, 0);
    unlock();
    if (r < 0)
        return r == -1 ? -EMFILE : r;
    sim_store(&f->procs[sim_self_slot()].sharing, 1);
    *ret_fd = r;
    return 0;
}

/* Whether fd is a handle's file of this machine, and of which device. */
static int identify(sim_file_t *f, int fd, uint32_t *ret_device, struct stat *ret_stat) {
    char path[64], link[128], want[128];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, link, sizeof link - 1);

    if (length < 0 || divvy_core_sys_fstat(fd, ret_stat) < 0)
        return -EINVAL;
    link[length] = 0;
    for (uint32_t device = 0; device < SIM_UNITS; device++) {
        if (sim_self_unit((int)device) < 0)
            continue; /* also: other instances' memory is nobody else's */
        snprintf(want, sizeof want, FILE_LINK, device, (unsigned long long)f->header.boot_ns_check);
        if (!strcmp(link, want)) {
            *ret_device = device;
            return ret_stat->st_size > 0 && (uint64_t)ret_stat->st_size % PAGE == 0 ? 0 : -EINVAL;
        }
    }
    return -EINVAL;
}

int divvy_simgpu_phys_import_fd(int fd, uint64_t *ret_handle) {
    sim_file_t *f = sim_self_file();
    sim_phys_t *phys;
    struct stat st;
    uint32_t device;
    int r;

    if (!f)
        return -ENOTCONN;
    if ((r = identify(f, fd, &device, &st)) < 0)
        return r;
    if (!(phys = calloc(1, sizeof *phys)))
        return -ENOMEM;
    *phys = (sim_phys_t){.device = device,
                         .bytes = (uint64_t)st.st_size,
                         .references = 1,
                         .imported = true,
                         .inode = st.st_ino,
                         .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    if (phys->fd < 0) {
        free(phys);
        return -EMFILE;
    }
    sim_store(&f->procs[sim_self_slot()].sharing, 1);
    lock();
    r = phys_number(phys);
    if (!r)
        *ret_handle = phys->handle;
    unlock();
    if (r < 0) {
        divvy_core_sys_close(&phys->fd);
        free(phys);
    }
    return r;
}

/* --- reserved addresses ------------------------------------------------------------------------------------- */

/* First reservation that ends above addr. */
static size_t reserved_from(uint64_t addr) {
    size_t low = 0, high = vmm.reserved_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (vmm.reserved[middle].addr + vmm.reserved[middle].bytes <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int reserved_insert(uint64_t addr, uint64_t bytes) {
    size_t at = reserved_from(addr);

    if (vmm.reserved_count == vmm.reserved_capacity) {
        size_t capacity = vmm.reserved_capacity ? vmm.reserved_capacity * 2 : 16;
        reservation_t *grown = realloc(vmm.reserved, capacity * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        vmm.reserved = grown;
        vmm.reserved_capacity = capacity;
    }
    memmove(&vmm.reserved[at + 1], &vmm.reserved[at],
            (vmm.reserved_count - at) * sizeof *vmm.reserved);
    vmm.reserved[at] = (reservation_t){addr, bytes};
    vmm.reserved_count++;
    return 0;
}

static void *map_nothing(uint64_t addr, uint64_t bytes, int flags) {
    return mmap((void *)(uintptr_t)addr, bytes, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

/* Takes more than is needed and gives back what is not aligned. */
static uint64_t reserve_anywhere(uint64_t bytes, uint64_t align) {
    void *p = map_nothing(0, bytes + align, 0);

    if (p == MAP_FAILED)
        return 0;
    uint64_t start = (uint64_t)(uintptr_t)p, addr = (start + align - 1) & ~(align - 1);

    if (addr > start)
        (void)munmap(p, addr - start);
    if (start + align > addr)
        (void)munmap((void *)(uintptr_t)(addr + bytes), start + align - addr);
    return addr;
}

static uint64_t reserve_at(uint64_t hint, uint64_t bytes, uint64_t align) {
    if (!hint || hint % align)
        return 0;
    void *p = map_nothing(hint, bytes, MAP_FIXED_NOREPLACE);

    if (p == MAP_FAILED)
        return 0;
    if ((uint64_t)(uintptr_t)p == hint)
        return hint;
    (void)munmap(p, bytes); /* a kernel that takes the address for a hint */
    return 0;
}

int divvy_simgpu_va_reserve(uint64_t bytes, uint64_t align, uint64_t hint, uint64_t *ret_addr) {
    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    if (!align)
        align = PAGE;
    if (!bytes || bytes % PAGE || align < PAGE || align & (align - 1) ||
        bytes > UINT64_C(1) << 46 || align > UINT64_C(1) << 40)
        return -EINVAL;
    uint64_t addr = reserve_at(hint, bytes, align);

    if (!addr)
        addr = reserve_anywhere(bytes, align);
    if (!addr)
        return -ENOMEM;
    lock();
    int r = reserved_insert(addr, bytes);

    unlock();
    if (r < 0) {
        (void)munmap((void *)(uintptr_t)addr, bytes);
        return r;
    }
    *ret_addr = addr;
    return 0;
}

/* No mapping touches [addr, addr+bytes). */
static bool nothing_mapped(uint64_t addr, uint64_t bytes) {
    size_t at = sim_mapped_from(addr);

    return at == sim_mapped_list.count || sim_mapped_list.entries[at].range.base >= addr + bytes;
}

int divvy_simgpu_va_free(uint64_t addr, uint64_t bytes) {
    int r = -EINVAL;

    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    lock();
    size_t at = reserved_from(addr);

    if (at < vmm.reserved_count && vmm.reserved[at].addr == addr &&
        vmm.reserved[at].bytes == bytes) {
        r = -EBUSY;
        if (nothing_mapped(addr, bytes)) {
            (void)munmap((void *)(uintptr_t)addr, bytes);
            memmove(&vmm.reserved[at], &vmm.reserved[at + 1],
                    (vmm.reserved_count - at - 1) * sizeof *vmm.reserved);
            vmm.reserved_count--;
            r = 0;
        }
    }
    unlock();
    return r;
}

/* --- mapping ------------------------------------------------------------------------------------------------ */

static bool inside_reservation(uint64_t addr, uint64_t bytes) {
    size_t at = reserved_from(addr);

    return at < vmm.reserved_count && addr >= vmm.reserved[at].addr &&
           bytes <= vmm.reserved[at].bytes - (addr - vmm.reserved[at].addr);
}

static int map_phys(uint64_t addr, uint64_t bytes, const sim_phys_t *phys, uint64_t offset) {
    int fd = phys->fd;
    uint64_t inode = phys->inode;
    sim_arena_t *arena;

    if (fd < 0) {
        int r = sim_arena_get((int)phys->device, &arena);

        if (r < 0)
            return r;
        fd = arena->fd;
        inode = arena->inode;
        offset += phys->home - arena->base;
    }
    if (!sim_fd_is(fd, inode))
        return -EBADF;
    if (mmap((void *)(uintptr_t)addr, bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
             (off_t)offset) == MAP_FAILED)
        return -ENOMEM;
    (void)madvise((void *)(uintptr_t)addr, bytes, MADV_DONTFORK);
    return 0;
}

static int map_locked(uint64_t addr, uint64_t bytes, sim_phys_t *phys, uint64_t offset) {
    sim_mapped_t entry = {.phys = phys};
    int r;

    if (!phys || offset > phys->bytes || bytes > phys->bytes - offset ||
        !inside_reservation(addr, bytes))
        return -EINVAL;
    if (!nothing_mapped(addr, bytes))
        return -EEXIST;
    entry.range = (divvy_simgpu_range_t){.base = addr,
                                         .bytes = bytes,
                                         .device = (int32_t)phys->device,
                                         .kind = DIVVY_SIMGPU_RANGE_MAPPED,
                                         .handle = phys->handle,
                                         .handle_offset = offset,
                                         .id = sim_mapped_next_id()};
    if ((r = sim_mapped_insert(&entry)) < 0)
        return r;
    if ((r = map_phys(addr, bytes, phys, offset)) < 0)
        sim_mapped_remove(sim_mapped_from(addr), 1);
    else
        phys->mappings++;
    return r;
}

int divvy_simgpu_va_map(uint64_t addr, uint64_t bytes, uint64_t handle, uint64_t offset) {
    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    if (!bytes || addr % PAGE || bytes % PAGE || offset % PAGE)
        return -EINVAL;
    lock();
    int r = map_locked(addr, bytes, phys_find(handle), offset);

    unlock();
    return r;
}

/* [addr, addr+bytes) is a row of whole mappings without gaps: where they are in the table. */
static bool whole_mappings(uint64_t addr, uint64_t bytes, size_t *ret_first, size_t *ret_count) {
    size_t first = sim_mapped_from(addr), i = first;
    uint64_t at = addr, end;

    if (!bytes || __builtin_add_overflow(addr, bytes, &end))
        return false;
    for (; at < end && i < sim_mapped_list.count; i++) {
        const divvy_simgpu_range_t *range = &sim_mapped_list.entries[i].range;

        if (range->kind != DIVVY_SIMGPU_RANGE_MAPPED || range->base != at)
            return false;
        at += range->bytes;
    }
    *ret_first = first;
    *ret_count = i - first;
    return at == end;
}

int divvy_simgpu_va_unmap(uint64_t addr, uint64_t bytes) {
    size_t first, count;
    int r = -EINVAL;

    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    lock();
    if (whole_mappings(addr, bytes, &first, &count)) {
        r = map_nothing(addr, bytes, MAP_FIXED) == MAP_FAILED ? -ENOMEM : 0;
        for (size_t i = first; !r && i < first + count; i++) {
            sim_phys_t *phys = sim_mapped_list.entries[i].phys;

            phys->mappings--;
            phys_drop(phys);
        }
        if (!r)
            sim_mapped_remove(first, count);
    }
    unlock();
    return r;
}

int divvy_simgpu_va_protect(uint64_t addr, uint64_t bytes, bool read, bool write) {
    int protection = write ? PROT_READ | PROT_WRITE : read ? PROT_READ : PROT_NONE;
    size_t first, count;
    int r = -EINVAL;

    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    lock();
    if (whole_mappings(addr, bytes, &first, &count)) {
        r = mprotect((void *)(uintptr_t)addr, bytes, protection) ? -ENOMEM : 0;
        for (size_t i = first; !r && i < first + count; i++) {
            sim_mapped_list.entries[i].range.readable = read || write;
            sim_mapped_list.entries[i].range.writable = write;
        }
    }
    unlock();
    return r;
}

void sim_vmm_destroy(void) {
    for (size_t i = 0; i < vmm.reserved_count; i++)
        (void)munmap((void *)(uintptr_t)vmm.reserved[i].addr, vmm.reserved[i].bytes);
    for (uint32_t i = 0; i < vmm.phys_count; i++) {
        if (!vmm.phys[i])
            continue;
        if (vmm.phys[i]->fd >= 0)
            sim_fd_close(&vmm.phys[i]->fd, vmm.phys[i]->inode);
        free(vmm.phys[i]);
    }
    free(vmm.phys);
    free(vmm.reserved);
    memset(&vmm, 0, sizeof vmm);
}
