/* Device memory. A device address is an address of this process: kernels and copies may dereference it directly,
 * after divvy_simgpu_mem_lookup said that it is inside a live allocation. Contents are undefined at first (zero in
 * practice for fresh ranges). Bytes are charged to the device's pool, which all processes share. */
#ifndef DIVVY_SIMGPU_MEMORY_H
#define DIVVY_SIMGPU_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIVVY_SIMGPU_GRAIN_BYTES = 512, /* linear allocations: alignment and rounding of the charge */
    DIVVY_SIMGPU_PAGE_BYTES =
        2 * 1024 * 1024, /* physical handles and reserved addresses: granularity */
};

typedef enum divvy_simgpu_range_kind {
    DIVVY_SIMGPU_RANGE_LINEAR = 1, /* mem_alloc */
    DIVVY_SIMGPU_RANGE_MAPPED,     /* a physical handle mapped at a reserved address */
    DIVVY_SIMGPU_RANGE_IPC,        /* opened from another process */
} divvy_simgpu_range_kind_t;

typedef struct divvy_simgpu_range {
    uint64_t base;
    uint64_t bytes; /* as asked for, not rounded */
    int32_t device;
    divvy_simgpu_range_kind_t kind;
    uint32_t tag;            /* the caller's, given at mem_alloc */
    bool readable, writable; /* always true except for mapped ranges */
    uint64_t handle;         /* MAPPED: the physical handle */
    uint64_t handle_offset;
    uint64_t id; /* unique per allocation in this process */
} divvy_simgpu_range_t;

/* --- linear ------------------------------------------------------------------------------------------------ */

/* bytes > 0. The charge is bytes rounded up to GRAIN. align is a power of two, 0 for GRAIN. tag is kept for the
 * caller (kind of allocation). -ENOMEM the pool (all processes together) has too little left; -EINVAL.
 * Not blocking; about a microsecond. */
int divvy_simgpu_mem_alloc(int device, uint64_t bytes, uint64_t align, uint32_t tag,
                           uint64_t *ret_addr);
/* addr is the exact start of a live linear allocation of this process, else -EINVAL. */
int divvy_simgpu_mem_free(uint64_t addr);
/* Takes (or with negative bytes gives back) pool bytes that have no address: a context's own overhead, code,
 * managed memory resident elsewhere. -ENOMEM; -EINVAL when giving back more than was taken so. */
int divvy_simgpu_mem_charge(int device, int64_t bytes);
/* Whole device: total capacity and what no process has taken. */
int divvy_simgpu_mem_info(int device, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes);
/* The range that contains addr, of whatever kind. -EFAULT: none. Safe against concurrent allocation; tens of ns. */
int divvy_simgpu_mem_lookup(uint64_t addr, divvy_simgpu_range_t *ret_range);
/* True if all of [addr, addr+bytes) can be accessed: inside one range, or in adjacent mapped ranges of adjacent
 * addresses. bytes 0 is true for any address. */
bool divvy_simgpu_mem_valid(uint64_t addr, uint64_t bytes, bool write);
/* Sets a range to zero, giving host pages back where it is large: use for memset to 0. The caller validated it. */
void divvy_simgpu_mem_zero(uint64_t addr, uint64_t bytes);

/* --- physical handles and reserved addresses (virtual memory management) ------------------------------------ */

enum divvy_simgpu_phys_flags { DIVVY_SIMGPU_PHYS_EXPORTABLE = 1 << 0 };

/* bytes: multiple of PAGE. One reference. -ENOMEM, -EINVAL. An exportable handle costs a file descriptor. */
int divvy_simgpu_phys_create(int device, uint64_t bytes, unsigned flags, uint64_t *ret_handle);
int divvy_simgpu_phys_retain(uint64_t handle);
/* The memory goes when the last reference and the last mapping are gone. -EINVAL unknown handle. */
int divvy_simgpu_phys_release(uint64_t handle);
int divvy_simgpu_phys_info(uint64_t handle, int *ret_device, uint64_t *ret_bytes);
/* A new descriptor (close-on-exec; the caller's) for an exportable or imported handle; -EOPNOTSUPP for others. */
int divvy_simgpu_phys_export_fd(uint64_t handle, int *ret_fd);
/* fd came from phys_export_fd of any process of this machine and stays the caller's. The bytes stay charged to
 * the exporter. -EINVAL: not such a descriptor. */
int divvy_simgpu_phys_import_fd(int fd, uint64_t *ret_handle);

/* Reserves bytes (multiple of PAGE) of addresses, aligned to align (power of two, at least PAGE; 0: PAGE), at hint
 * if that is free and not 0. -EINVAL, -ENOMEM. */
int divvy_simgpu_va_reserve(uint64_t bytes, uint64_t align, uint64_t hint, uint64_t *ret_addr);
/* Exactly what was reserved, with nothing mapped in it; -EBUSY, -EINVAL. */
int divvy_simgpu_va_free(uint64_t addr, uint64_t bytes);
/* Maps [offset, offset+bytes) of the handle; multiples of PAGE, inside one reservation, nothing mapped there yet:
 * -EINVAL, -EEXIST. No access until va_protect. */
int divvy_simgpu_va_map(uint64_t addr, uint64_t bytes, uint64_t handle, uint64_t offset);
/* [addr, addr+bytes) covers whole mappings (one or more) and nothing else; -EINVAL. */
int divvy_simgpu_va_unmap(uint64_t addr, uint64_t bytes);
/* Covers whole mappings. write implies read. */
int divvy_simgpu_va_protect(uint64_t addr, uint64_t bytes, bool read, bool write);

/* --- IPC --------------------------------------------------------------------------------------------------- */

typedef struct divvy_simgpu_ipc {
    uint8_t bytes[64];
} divvy_simgpu_ipc_t;

/* addr is the start or inside of a linear allocation of this process; the handle names the whole allocation. */
int divvy_simgpu_ipc_export(uint64_t addr, divvy_simgpu_ipc_t *ret_ipc);
/* Maps another process's allocation; ret_addr is its base here. Counted: opening the same one again gives the same
 * address. Bytes stay charged to the exporter. -EINVAL: garbage, or its owner is gone (an
 * allocation that its live owner freed is not noticed: the contents are then the owner's next ones);
 * -EALREADY: exported by this very process; -EACCES: the owner cannot be opened. */
int divvy_simgpu_ipc_import(const divvy_simgpu_ipc_t *ipc, uint64_t *ret_addr);
int divvy_simgpu_ipc_close(uint64_t addr);

#endif
