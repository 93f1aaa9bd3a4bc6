/*
 * Moves, loads, stores and the windows between address spaces.
 *
 * Generic (and .global, .const) addresses are host addresses. Shared memory, local memory and the
 * parameter buffer are windows at the host address where they happen to lie; everything else is
 * asked from the caller's access function, whose answers are remembered per memory instruction in
 * run->spans.
 */
#include "simgpu/ptx/exec.h"

#include <string.h>

/* ---- Finding the memory ---------------------------------------------------------------------- */

static inline bool inside(uint64_t offset, uint32_t size, uint64_t window) {
    return offset < window && window - offset >= size;
}

/* The slow path: windows first, then the caller's answer. */
static void *find_generic(ptx_thread_t *thread, const ptx_insn_t *insn, uint64_t address,
                          uint32_t size, bool write, uint32_t site) {
    ptx_run_t *run = thread->run;
    if (inside(address - (uintptr_t)thread->shared, size, thread->shared_bytes) ||
        inside(address - (uintptr_t)thread->local, size, run->entry->frame_bytes) ||
        (!write && inside(address - (uintptr_t)run->params, size, run->params_bytes)))
        return (void *)(uintptr_t)address;
    divvy_ptx_span_t span = {address, address + size - 1, write};
    if (span.last < address || !run->access(run->access_ctx, address, size, write, &span) ||
        span.first > address || span.last < address + size - 1) {
        ptx_fault(thread, insn, DIVVY_PTX_ILLEGAL_ADDRESS, address);
        return NULL;
    }
    run->spans[site % PTX_SPAN_CACHE] = span;
    return (void *)(uintptr_t)address;
}

static inline void *generic(ptx_thread_t *thread, const ptx_insn_t *insn, uint64_t address,
                            uint32_t size, bool write, uint32_t site) {
    if (address & (size - 1)) {
        ptx_fault(thread, insn, DIVVY_PTX_MISALIGNED_ADDRESS, address);
        return NULL;
    }
    const divvy_ptx_span_t *span = &thread->run->spans[site % PTX_SPAN_CACHE];
    if (address >= span->first && address <= span->last && span->last - address >= size - 1 &&
        (!write || span->writable))
        return (void *)(uintptr_t)address;
    return find_generic(thread, insn, address, size, write, site);
}

static inline void *window(ptx_thread_t *thread, const ptx_insn_t *insn, uint8_t *base,
                           uint64_t bytes, uint64_t address, uint32_t size) {
    if (address & (size - 1)) {
        ptx_fault(thread, insn, DIVVY_PTX_MISALIGNED_ADDRESS, address);
        return NULL;
    }
    if (!inside(address, size, bytes)) {
        ptx_fault(thread, insn, DIVVY_PTX_ILLEGAL_ADDRESS, address);
        return NULL;
    }
    return base + address;
}

void *divvy_ptx_memory_generic(ptx_thread_t *thread, const ptx_insn_t *insn, uint64_t address,
                               uint32_t size_bytes, bool write, uint32_t site) {
    return generic(thread, insn, address, size_bytes, write, site);
}

void *divvy_ptx_memory_shared(ptx_thread_t *thread, const ptx_insn_t *insn, uint64_t address,
                              uint32_t size_bytes) {
    return window(thread, insn, thread->shared, thread->shared_bytes, address, size_bytes);
}

/*
 * Per space: the pointer for ADDRESS, or NULL. Shared and local addresses may come in 32-bit
 * registers, whose upper half is whatever was there before; windows are far smaller than 4 GiB.
 */
#define FIND_generic(address, size, write)                                                         \
    generic(thread, insn, (address), (size), (write), insn->f)
#define FIND_shared(address, size, write)                                                          \
    window(thread, insn, thread->shared, thread->shared_bytes, (uint32_t)(address), (size))
#define FIND_local(address, size, write)                                                           \
    window(thread, insn, thread->local, thread->run->entry->frame_bytes, (uint32_t)(address),      \
           (size))
#define FIND_param(address, size, write)                                                           \
    window(thread, insn, thread->run->params, thread->run->params_bytes, (uint32_t)(address),      \
           (size))
#define FIND_frame(address, size, write)                                                           \
    window(thread, insn, thread->frame, thread->function->frame_bytes, (uint32_t)(address), (size))

/* ---- Scalars --------------------------------------------------------------------------------- */

/*
 * The accesses are C atomics, since other kernels and processes may touch the same memory; on
 * x86-64 these are plain moves and give acquire loads and release stores. Loads fill the whole
 * register.
 */
#define LOAD(space, t, ctype)                                                                      \
    static const ptx_insn_t *load_##space##_##t(ptx_thread_t *thread, const ptx_insn_t *insn) {    \
        const ctype *p = FIND_##space(PTX_SLOT(a).u64 + insn->imm, sizeof(ctype), false);          \
        if (!p)                                                                                    \
            return NULL;                                                                           \
        PTX_SLOT(d).u64 = (uint64_t)(int64_t)__atomic_load_n(p, __ATOMIC_ACQUIRE);                 \
        PTX_NEXT;                                                                                  \
    }
#define STORE(space, t, ctype)                                                                     \
    static const ptx_insn_t *store_##space##_##t(ptx_thread_t *thread, const ptx_insn_t *insn) {   \
        ctype *p = FIND_##space(PTX_SLOT(a).u64 + insn->imm, sizeof(ctype), true);                 \
        if (!p)                                                                                    \
            return NULL;                                                                           \
        __atomic_store_n(p, PTX_SLOT(b).t, __ATOMIC_RELEASE);                                      \
        PTX_NEXT;                                                                                  \
    }
#define SPACE(space)                                                                               \
    LOAD(space, u8, uint8_t)                                                                       \
    LOAD(space, s8, int8_t)                                                                        \
    LOAD(space, u16, uint16_t)                                                                     \
    LOAD(space, s16, int16_t)                                                                      \
    LOAD(space, u32, uint32_t)                                                                     \
    LOAD(space, s32, int32_t)                                                                      \
    LOAD(space, u64, uint64_t)                                                                     \
    STORE(space, u8, uint8_t)                                                                      \
    STORE(space, u16, uint16_t)                                                                    \
    STORE(space, u32, uint32_t)                                                                    \
    STORE(space, u64, uint64_t)
SPACE(generic)
SPACE(shared)
SPACE(local)
SPACE(param)
SPACE(frame)

/* ---- Vectors --------------------------------------------------------------------------------- */

/* Aligned to the whole vector; each element is loaded on its own, as the GPU may do too. */
#define VECTOR(space, t, ctype)                                                                    \
    static const ptx_insn_t *load_vector_##space##_##t(ptx_thread_t *thread,                       \
                                                       const ptx_insn_t *insn) {                   \
        const ptx_vector_t *vector = insn->data;                                                   \
        uint32_t size = vector->count * (uint32_t)sizeof(ctype);                                   \
        const ctype *p = FIND_##space(PTX_SLOT(a).u64 + (uint64_t)vector->offset, size, false);    \
        if (!p)                                                                                    \
            return NULL;                                                                           \
        for (uint32_t k = 0; k < vector->count; k++)                                               \
            thread->slots[vector->slots[k]].u64 =                                                  \
                (uint64_t)(int64_t)__atomic_load_n(p + k, __ATOMIC_ACQUIRE);                       \
        PTX_NEXT;                                                                                  \
    }                                                                                              \
    static const ptx_insn_t *store_vector_##space##_##t(ptx_thread_t *thread,                      \
                                                        const ptx_insn_t *insn) {                  \
        const ptx_vector_t *vector = insn->data;                                                   \
        uint32_t size = vector->count * (uint32_t)sizeof(ctype);                                   \
        ctype *p = FIND_##space(PTX_SLOT(a).u64 + (uint64_t)vector->offset, size, true);           \
        if (!p)                                                                                    \
            return NULL;                                                                           \
        for (uint32_t k = 0; k < vector->count; k++)                                               \
            __atomic_store_n(p + k, (ctype)thread->slots[vector->slots[k]].t, __ATOMIC_RELEASE);   \
        PTX_NEXT;                                                                                  \
    }
#define VECTOR_SPACE(space)                                                                        \
    VECTOR(space, u8, uint8_t)                                                                     \
    VECTOR(space, s8, int8_t)                                                                      \
    VECTOR(space, u16, uint16_t)                                                                   \
    VECTOR(space, s16, int16_t)                                                                    \
    VECTOR(space, u32, uint32_t)                                                                   \
    VECTOR(space, s32, int32_t)                                                                    \
    VECTOR(space, u64, uint64_t)
VECTOR_SPACE(generic)
VECTOR_SPACE(shared)
VECTOR_SPACE(local)
VECTOR_SPACE(param)
VECTOR_SPACE(frame)

/* ---- Tables ---------------------------------------------------------------------------------- */

/* clang-format off */
#define TYPES(f) {[PTX_B8] = f##_u8, [PTX_U8] = f##_u8, [PTX_S8] = f##_s8, \
    [PTX_B16] = f##_u16, [PTX_U16] = f##_u16, [PTX_S16] = f##_s16, [PTX_F16] = f##_u16, [PTX_BF16] = f##_u16, \
    [PTX_B32] = f##_u32, [PTX_U32] = f##_u32, [PTX_S32] = f##_s32, [PTX_F32] = f##_u32, \
    [PTX_F16X2] = f##_u32, [PTX_BF16X2] = f##_u32, \
    [PTX_B64] = f##_u64, [PTX_U64] = f##_u64, [PTX_S64] = f##_u64, [PTX_F64] = f##_u64}
#define SPACES(f) {[PTX_SPACE_GENERIC] = TYPES(f##_generic), [PTX_SPACE_SHARED] = TYPES(f##_shared), \
    [PTX_SPACE_LOCAL] = TYPES(f##_local), [PTX_SPACE_PARAM] = TYPES(f##_param), \
    [PTX_SPACE_FRAME] = TYPES(f##_frame)}
/* A store does not care for the sign. */
#define store_generic_s8 store_generic_u8
#define store_generic_s16 store_generic_u16
#define store_generic_s32 store_generic_u32
#define store_shared_s8 store_shared_u8
#define store_shared_s16 store_shared_u16
#define store_shared_s32 store_shared_u32
#define store_local_s8 store_local_u8
#define store_local_s16 store_local_u16
#define store_local_s32 store_local_u32
#define store_param_s8 store_param_u8
#define store_param_s16 store_param_u16
#define store_param_s32 store_param_u32
#define store_frame_s8 store_frame_u8
#define store_frame_s16 store_frame_u16
#define store_frame_s32 store_frame_u32
static const ptx_handler_t loads[PTX_SPACE_MAX][PTX_TYPE_MAX] = SPACES(load);
static const ptx_handler_t stores[PTX_SPACE_MAX][PTX_TYPE_MAX] = SPACES(store);
static const ptx_handler_t vector_loads[PTX_SPACE_MAX][PTX_TYPE_MAX] = SPACES(load_vector);
static const ptx_handler_t vector_stores[PTX_SPACE_MAX][PTX_TYPE_MAX] = SPACES(store_vector);
/* clang-format on */

ptx_handler_t divvy_ptx_exec_load(ptx_space_t space, ptx_type_t type) {
    return loads[space][type];
}
ptx_handler_t divvy_ptx_exec_store(ptx_space_t space, ptx_type_t type) {
    return stores[space][type];
}
ptx_handler_t divvy_ptx_exec_load_vector(ptx_space_t space, ptx_type_t type) {
    return vector_loads[space][type];
}
ptx_handler_t divvy_ptx_exec_store_vector(ptx_space_t space, ptx_type_t type) {
    return vector_stores[space][type];
}

/* ---- Moves ----------------------------------------------------------------------------------- */

#define MOVE(t)                                                                                    \
    static const ptx_insn_t *move_##t(ptx_thread_t *thread, const ptx_insn_t *insn) {              \
        PTX_SLOT(d).t = PTX_SLOT(a).t;                                                             \
        PTX_NEXT;                                                                                  \
    }
MOVE(u16)
MOVE(u32)
MOVE(u64)

ptx_handler_t divvy_ptx_exec_move(uint32_t size_bytes) {
    return size_bytes == 2 ? move_u16 : size_bytes == 4 ? move_u32 : move_u64;
}

/* All sources are read before the destination is written: they may be the same register. */
#define PACK(name, whole, part, bits, ...)                                                         \
    static const ptx_insn_t *pack_##name(ptx_thread_t *thread, const ptx_insn_t *insn) {           \
        const uint64_t parts[] = {__VA_ARGS__};                                                    \
        uint64_t value = 0;                                                                        \
        for (unsigned k = 0; k < sizeof(parts) / sizeof(parts[0]); k++)                            \
            value |= parts[k] << bits * k;                                                         \
        PTX_SLOT(d).whole = (__typeof__(PTX_SLOT(d).whole))value;                                  \
        PTX_NEXT;                                                                                  \
    }
PACK(2x1, u16, u8, 8, PTX_SLOT(a).u8, PTX_SLOT(b).u8)
PACK(2x2, u32, u16, 16, PTX_SLOT(a).u16, PTX_SLOT(b).u16)
PACK(2x4, u64, u32, 32, PTX_SLOT(a).u32, PTX_SLOT(b).u32)
PACK(4x1, u32, u8, 8, PTX_SLOT(a).u8, PTX_SLOT(b).u8, PTX_SLOT(c).u8, PTX_SLOT(f).u8)
PACK(4x2, u64, u16, 16, PTX_SLOT(a).u16, PTX_SLOT(b).u16, PTX_SLOT(c).u16, PTX_SLOT(f).u16)

ptx_handler_t divvy_ptx_exec_pack(uint32_t count, uint32_t element_bytes) {
    switch (10 * count + element_bytes) {
    case 21:
        return pack_2x1;
    case 22:
        return pack_2x2;
    case 24:
        return pack_2x4;
    case 41:
        return pack_4x1;
    case 42:
        return pack_4x2;
    default:
        return NULL;
    }
}

#define UNPACK2(name, t, bits)                                                                     \
    static const ptx_insn_t *unpack_##name(ptx_thread_t *thread, const ptx_insn_t *insn) {         \
        uint64_t value = PTX_SLOT(a).u64;                                                          \
        PTX_SLOT(d).t = (__typeof__(PTX_SLOT(d).t))value;                                          \
        PTX_SLOT(e).t = (__typeof__(PTX_SLOT(d).t))(value >> bits);                                \
        PTX_NEXT;                                                                                  \
    }
#define UNPACK4(name, t, bits)                                                                     \
    static const ptx_insn_t *unpack_##name(ptx_thread_t *thread, const ptx_insn_t *insn) {         \
        uint64_t value = PTX_SLOT(a).u64;                                                          \
        PTX_SLOT(d).t = (__typeof__(PTX_SLOT(d).t))value;                                          \
        PTX_SLOT(e).t = (__typeof__(PTX_SLOT(d).t))(value >> bits);                                \
        PTX_SLOT(b).t = (__typeof__(PTX_SLOT(d).t))(value >> 2 * bits);                            \
        PTX_SLOT(c).t = (__typeof__(PTX_SLOT(d).t))(value >> 3 * bits);                            \
        PTX_NEXT;                                                                                  \
    }
UNPACK2(2x1, u8, 8)
UNPACK2(2x2, u16, 16)
UNPACK2(2x4, u32, 32)
UNPACK4(4x1, u8, 8)
UNPACK4(4x2, u16, 16)

ptx_handler_t divvy_ptx_exec_unpack(uint32_t count, uint32_t element_bytes) {
    switch (10 * count + element_bytes) {
    case 21:
        return unpack_2x1;
    case 22:
        return unpack_2x2;
    case 24:
        return unpack_2x4;
    case 41:
        return unpack_4x1;
    case 42:
        return unpack_4x2;
    default:
        return NULL;
    }
}

/* ---- Windows --------------------------------------------------------------------------------- */

static const ptx_insn_t *frame_address(ptx_thread_t *thread, const ptx_insn_t *insn) {
    PTX_SLOT(d).u64 = (uint64_t)(thread->frame - thread->local) + insn->imm;
    PTX_NEXT;
}
ptx_handler_t divvy_ptx_exec_frame_address(void) {
    return frame_address;
}

#define WINDOW(space, base, bytes)                                                                 \
    static const ptx_insn_t *from_##space(ptx_thread_t *thread, const ptx_insn_t *insn) {          \
        PTX_SLOT(d).u64 = (uint32_t)PTX_SLOT(a).u64 + (uint64_t)(uintptr_t)(base);                 \
        PTX_NEXT;                                                                                  \
    }                                                                                              \
    static const ptx_insn_t *to_##space(ptx_thread_t *thread, const ptx_insn_t *insn) {            \
        PTX_SLOT(d).u64 = PTX_SLOT(a).u64 - (uint64_t)(uintptr_t)(base);                           \
        PTX_NEXT;                                                                                  \
    }                                                                                              \
    static const ptx_insn_t *is_##space(ptx_thread_t *thread, const ptx_insn_t *insn) {            \
        PTX_SLOT(d).u32 = PTX_SLOT(a).u64 - (uint64_t)(uintptr_t)(base) < (bytes);                 \
        PTX_NEXT;                                                                                  \
    }
WINDOW(shared, thread->shared, thread->shared_bytes)
WINDOW(local, thread->local, thread->run->entry->frame_bytes)
WINDOW(param, thread->run->params, thread->run->params_bytes)

static const ptx_insn_t *is_global(ptx_thread_t *thread, const ptx_insn_t *insn) {
    uint64_t address = PTX_SLOT(a).u64;
    PTX_SLOT(d).u32 = address - (uintptr_t)thread->shared >= thread->shared_bytes &&
                      address - (uintptr_t)thread->local >= thread->run->entry->frame_bytes &&
                      address - (uintptr_t)thread->run->params >= thread->run->params_bytes;
    PTX_NEXT;
}

ptx_handler_t divvy_ptx_exec_cvta(ptx_space_t space, bool to_space) {
    switch (space) {
    case PTX_SPACE_SHARED:
        return to_space ? to_shared : from_shared;
    case PTX_SPACE_LOCAL:
        return to_space ? to_local : from_local;
    case PTX_SPACE_PARAM:
        return to_space ? to_param : from_param;
    default:
        return move_u64;
    }
}

ptx_handler_t divvy_ptx_exec_isspace(ptx_space_t space) {
    switch (space) {
    case PTX_SPACE_SHARED:
        return is_shared;
    case PTX_SPACE_LOCAL:
        return is_local;
    case PTX_SPACE_PARAM:
        return is_param;
    default:
        return is_global;
    }
}
