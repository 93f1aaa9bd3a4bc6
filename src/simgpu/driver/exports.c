/*
 * The exported functions, one for each row of the table: readiness and ordered faults are looked at
 * here, for every call alike, before the implementation DRV(symbol) runs; and a process that is
 * locked for a checkpoint waits here. A row without an implementation answers
 * CUDA_ERROR_NOT_SUPPORTED.
 */
#include "simgpu/driver/context.h"
#include "simgpu/driver/more_table.h"
#include "simgpu/driver/per_thread.h"

#include <string.h>

/* Calls that work before cuInit, and after a fork. */
#define ANYTIME(symbol)                                                                            \
    (!strcmp(#symbol, "cuInit") || !strcmp(#symbol, "cuDriverGetVersion") ||                       \
     !strcmp(#symbol, "cuGetErrorName") || !strcmp(#symbol, "cuGetErrorString") ||                 \
     !strcmp(#symbol, "cuGetProcAddress") || !strcmp(#symbol, "cuGetProcAddress_v2") ||            \
     !strcmp(#symbol, "cuGetExportTable"))

/* Calls that a lock on the process holds back: all but those, and the ones that could take it away. */
#define HELD(symbol) (!ANYTIME(symbol) && strncmp(#symbol, "cuCheckpoint", 12) != 0)

/* Absent implementations resolve to NULL. The twins of the per-thread default stream are their
 * plain forms. */
#define BODY_PLAIN(symbol) body_##symbol
#define BODY_PTSZ(symbol)  twin_##symbol
#define BODY_PTDS(symbol)  twin_##symbol
#define DECLARE_PLAIN(symbol)                                                                      \
    extern __typeof__(symbol) body_##symbol __asm__("divvy_drv_" #symbol) __attribute__((weak));
#define DECLARE_PTSZ(symbol)
#define DECLARE_PTDS(symbol)
#define DECLARE(symbol, api, since, form, kind, parameters, arguments) DECLARE_##form(symbol)
DIVVY_CUDA_DRIVER_TABLE(DECLARE)
DIVVY_DRV_MORE_TABLE(DECLARE)

#define DECLARE_TWIN(symbol, base)                                                                 \
    extern __typeof__(symbol) twin_##symbol __asm__("divvy_drv_" #base) __attribute__((weak));
DIVVY_DRV_PER_THREAD(DECLARE_TWIN)

/* 0 when the call may go on, 1 when *ret_result is the answer. */
static inline int refused(const char *symbol, bool anytime, CUresult *ret_result) {
    if (__builtin_expect(!divvy_simgpu_attached(), 0)) {
        *ret_result = CUDA_ERROR_NOT_INITIALIZED;
        return !anytime;
    }
    divvy_simgpu_fault_t fault = divvy_simgpu_fault(symbol);
    if (__builtin_expect(fault.kind == DIVVY_SIMGPU_FAULT_NONE, 1))
        return 0;
    *ret_result = fault.kind == DIVVY_SIMGPU_FAULT_UNSUPPORTED ? CUDA_ERROR_NOT_SUPPORTED
                                                               : (CUresult)fault.code;
    return 1;
}

static inline void enter(bool held) {
    if (!held || divvy_drv_self.depth++)
        return;
    if (__builtin_expect(!divvy_drv_self.lane, 0))
        divvy_drv_self.lane = (uint8_t)(divvy_simgpu_call_lane() + 1);
    divvy_simgpu_call_begin(divvy_drv_self.lane - 1u);
}

static inline void leave(bool held) {
    if (held && --divvy_drv_self.depth == 0)
        divvy_simgpu_call_end(divvy_drv_self.lane - 1u);
}

#define MARK_PLAIN
#define MARK_PTSZ divvy_drv_self.per_thread = true;
#define MARK_PTDS divvy_drv_self.per_thread = true;
#define UNMARK_PLAIN
#define UNMARK_PTSZ divvy_drv_self.per_thread = false;
#define UNMARK_PTDS divvy_drv_self.per_thread = false;

#define DEFINE(symbol, api, since, form, kind, parameters, arguments)                              \
    __attribute__((visibility("default"))) CUresult symbol parameters {                            \
        CUresult drv_result;                                                                       \
        if (refused(#symbol, ANYTIME(symbol), &drv_result))                                        \
            return drv_result;                                                                     \
        if (!BODY_##form(symbol))                                                                  \
            return CUDA_ERROR_NOT_SUPPORTED;                                                       \
        enter(HELD(symbol));                                                                       \
        MARK_##form drv_result = BODY_##form(symbol) arguments;                                    \
        UNMARK_##form leave(HELD(symbol));                                                         \
        return drv_result;                                                                         \
    }
DIVVY_CUDA_DRIVER_TABLE(DEFINE)
DIVVY_DRV_MORE_TABLE(DEFINE)

#define LETTER_PLAIN 'p'
#define LETTER_PTSZ  's'
#define LETTER_PTDS  'd'
#define ROW(symbol, api, since, form, kind, parameters, arguments)                                 \
    {#symbol, #api, since, LETTER_##form, (void *)symbol},
static const divvy_drv_export_t rows[] = {DIVVY_CUDA_DRIVER_TABLE(ROW) DIVVY_DRV_MORE_TABLE(ROW)};

const divvy_drv_export_t *divvy_drv_exports(size_t *ret_count) {
    *ret_count = sizeof(rows) / sizeof(rows[0]);
    return rows;
}
