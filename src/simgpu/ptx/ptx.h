/*
 * PTX for the simulated GPU: parse a module, look into it, run its kernels on the CPU.
 *
 * A module is immutable once parsed: any number of threads may look into it and run its kernels at
 * the same time, and nothing here keeps global state, so fork needs no care beyond what its
 * caller's memory needs. No function prints, blocks on a lock or installs a signal handler.
 *
 * The subset, the pragmas and the cost model are described in docs/SIMGPU-PTX.md.
 */
#ifndef DIVVY_SIMGPU_PTX_PTX_H
#define DIVVY_SIMGPU_PTX_PTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits; larger input is refused with an error, never cut. */
#define DIVVY_PTX_TEXT_MAX_BYTES          (64u << 20) /* text of one module */
#define DIVVY_PTX_PARAMS_MAX_BYTES        32764u      /* parameters of one kernel, as sm_70 has */
#define DIVVY_PTX_SHARED_STATIC_MAX_BYTES 49152u      /* static shared memory of one kernel */
#define DIVVY_PTX_BLOCK_MAX_THREADS       1024u
#define DIVVY_PTX_WARP_SIZE               32u

/* The newest .version that is understood. */
#define DIVVY_PTX_VERSION_MAJOR 9u
#define DIVVY_PTX_VERSION_MINOR 0u

/* ---- Parsing --------------------------------------------------------------------------------- */

typedef struct divvy_ptx_module divvy_ptx_module_t;

/*
 * Parses LENGTH_BYTES of PTX text (which need not end in NUL; a NUL ends the text early).
 *
 * On success 0 and *RET_MODULE, which the caller frees. On failure *RET_MODULE stays untouched, LOG
 * (when not NULL, LOG_BYTES long, always NUL-terminated) holds one line fit for a JIT error log,
 * such as
 *     simgpu: line 12: 'tex.2d.v4.f32.f32': not supported by the simulated GPU
 * and the result is
 *     -EINVAL           the text is not PTX
 *     -EOPNOTSUPP       PTX, but outside the supported subset
 *     -EPROTONOSUPPORT  .version is newer than DIVVY_PTX_VERSION_*
 *     -E2BIG            a limit is exceeded
 *     -ENOMEM           no memory
 * The text is not kept.
 */
int divvy_ptx_module_parse(const char *text, size_t length_bytes, char *log, size_t log_bytes,
                           divvy_ptx_module_t **ret_module);

/* Frees MODULE; NULL is allowed. No run of the module may be alive. */
void divvy_ptx_module_free(divvy_ptx_module_t *module);

typedef struct {
    uint32_t ptx_major; /* .version 8.3 is 8 and 3 */
    uint32_t ptx_minor;
    uint32_t target_sm;  /* .target sm_90a is 90 */
    char target_suffix;  /* 'a' or 'f' of such a target, otherwise 0 */
    uint32_t entries;    /* number of kernels */
    uint32_t variables;  /* number of module variables */
    uint64_t code_bytes; /* what the module would occupy on the device, an estimate */
} divvy_ptx_module_info_t;

/* Never fails. */
void divvy_ptx_module_info(const divvy_ptx_module_t *module, divvy_ptx_module_info_t *ret_info);

/* ---- Kernels --------------------------------------------------------------------------------- */

typedef struct {
    uint32_t offset_bytes; /* in the parameter buffer */
    uint32_t size_bytes;
    uint32_t align_bytes;
} divvy_ptx_param_t;

/* How a kernel's device time is found (docs/SIMGPU-PTX.md, "Pragmas"). */
typedef enum {
    DIVVY_PTX_TIME_MODEL, /* from the cost model, after execution */
    DIVVY_PTX_TIME_FIXED, /* time_ns */
    DIVVY_PTX_TIME_PARAM, /* the 64-bit parameter with index time_param holds nanoseconds */
} divvy_ptx_time_t;

typedef struct {
    const char *name; /* owned by the module */
    bool visible;     /* .visible or .weak; the driver looks up these and the others alike */
    uint32_t params;
    uint32_t params_bytes; /* size of the packed parameter buffer, end of the last parameter */
    uint32_t shared_static_bytes;
    bool shared_dynamic;  /* refers to an .extern .shared array */
    uint32_t local_bytes; /* per thread, of the deepest call chain */
    uint32_t registers;   /* per thread, an estimate of 32-bit registers, 1 to 255 */
    uint32_t max_threads; /* product of .maxntid or .reqntid, else DIVVY_PTX_BLOCK_MAX_THREADS */
    uint32_t max_ntid[3]; /* .maxntid, 0 when absent */
    uint32_t req_ntid[3]; /* .reqntid, 0 when absent */
    uint32_t min_blocks_per_sm; /* .minnctapersm, 0 when absent */
    uint32_t instructions;      /* static count, device functions not included */
    divvy_ptx_time_t time;
    uint64_t time_ns;
    uint32_t time_param;
    bool executed; /* false: only time passes, the kernel's code must not be run */
} divvy_ptx_entry_t;

/* Index of the kernel NAME, or -ENOENT. */
int divvy_ptx_entry_find(const divvy_ptx_module_t *module, const char *name);

/*
 * Describes kernel INDEX (order of definition). The result belongs to the module; NULL when out of
 * range.
 */
const divvy_ptx_entry_t *divvy_ptx_entry_get(const divvy_ptx_module_t *module, uint32_t index);

/* Parameter PARAM of kernel INDEX; -EINVAL when either is out of range. */
int divvy_ptx_entry_param(const divvy_ptx_module_t *module, uint32_t index, uint32_t param,
                          divvy_ptx_param_t *ret_param);

/*
 * The device time that a pragma fixes for kernel INDEX launched with PARAMS (packed, PARAMS_BYTES
 * long): 1 and *RET_NS, or 0 when the cost model decides, or -EINVAL when INDEX is out of range or
 * PARAMS too short.
 */
int divvy_ptx_entry_fixed_time(const divvy_ptx_module_t *module, uint32_t index, const void *params,
                               size_t params_bytes, uint64_t *ret_ns);

/* ---- Module variables (.global and .const at module level) ----------------------------------- */

typedef struct {
    const char *name; /* owned by the module */
    uint64_t size_bytes;
    uint32_t align_bytes;
    bool constant; /* .const; else .global */
    bool visible;
    bool managed;     /* .attribute(.managed) */
    bool initialised; /* has an initialiser; else zero */
} divvy_ptx_variable_t;

/* Index of the variable NAME, or -ENOENT. */
int divvy_ptx_variable_find(const divvy_ptx_module_t *module, const char *name);

/* Describes variable INDEX. The result belongs to the module; NULL when out of range. */
const divvy_ptx_variable_t *divvy_ptx_variable_get(const divvy_ptx_module_t *module,
                                                   uint32_t index);

/*
 * Writes the initial content of variable INDEX, size_bytes in all, to DST. ADDRESSES holds the
 * device address of every variable of the module by index (an initialiser may name other
 * variables).
 * -EINVAL when INDEX is out of range.
 */
int divvy_ptx_variable_init(const divvy_ptx_module_t *module, uint32_t index,
                            const uint64_t *addresses, void *dst);

/* ---- Running --------------------------------------------------------------------------------- */

/* A range of addresses of one kind, last byte included. */
typedef struct {
    uint64_t first;
    uint64_t last;
    bool writable;
} divvy_ptx_span_t;

/*
 * Says whether a kernel may touch LENGTH_BYTES (1 to 16) at ADDRESS. The address is one of this
 * process: after true it is dereferenced. *RET_SPAN comes in as exactly the range asked for,
 * writable as asked; the callee may widen it to what stays valid until the run ends (the whole
 * allocation), and then is not asked again for that range. Called from the thread that steps the
 * run.
 */
typedef bool (*divvy_ptx_access_fn)(void *ctx, uint64_t address, size_t length_bytes, bool write,
                                    divvy_ptx_span_t *ret_span);

typedef struct {
    const divvy_ptx_module_t *module; /* must outlive the run */
    uint32_t entry;
    uint32_t grid[3];  /* each 1 or more; x up to 2^31-1, y and z up to 65535 */
    uint32_t block[3]; /* each 1 or more, product up to DIVVY_PTX_BLOCK_MAX_THREADS */
    uint32_t shared_dynamic_bytes;
    const void *params; /* packed by layout; copied */
    size_t params_bytes;
    const uint64_t *variables;  /* device address of each module variable, copied; NULL if none */
    divvy_ptx_access_fn access; /* must not be NULL */
    void *access_ctx;
    /* Polled at least every few ten thousand instructions; nonzero ends the run. May be NULL. */
    const _Atomic uint32_t *abort_flag;
    bool cooperative;   /* all blocks make progress together (needed for grid-wide barriers) */
    uint32_t sm_count;  /* %nsmid and the spread of blocks over %smid; 0 means 1 */
    uint32_t clock_khz; /* relates %clock to %globaltimer; 0 means 1,000,000 */
    uint64_t grid_id;   /* %gridid */
    uint64_t start_ns;  /* %globaltimer as the kernel begins */
    /* First block to run (linear index) and how many; 0 means all. Parts of a grid may run apart. */
    uint64_t first_block;
    uint64_t block_count;
} divvy_ptx_launch_t;

typedef enum {
    DIVVY_PTX_DONE = 0,
    DIVVY_PTX_RUNNING,            /* the step's instructions are used up; step again */
    DIVVY_PTX_ABORTED,            /* abort_flag */
    DIVVY_PTX_ILLEGAL_ADDRESS,    /* CUDA_ERROR_ILLEGAL_ADDRESS */
    DIVVY_PTX_MISALIGNED_ADDRESS, /* CUDA_ERROR_MISALIGNED_ADDRESS */
    DIVVY_PTX_TRAP, /* trap: CUDA_ERROR_LAUNCH_FAILED; on newer parts ILLEGAL_INSTRUCTION */
    DIVVY_PTX_STACK_OVERFLOW,      /* recursion too deep: CUDA_ERROR_HARDWARE_STACK_ERROR */
    DIVVY_PTX_INVALID_PC,          /* brx.idx beyond its table: CUDA_ERROR_INVALID_PC */
    DIVVY_PTX_ILLEGAL_INSTRUCTION, /* bad barrier: CUDA_ERROR_ILLEGAL_INSTRUCTION */
    DIVVY_PTX_DEADLOCK,            /* every thread waits for another; a GPU would hang for ever */
    DIVVY_PTX_STATUS_MAX
} divvy_ptx_status_t;

typedef struct {
    uint64_t instructions; /* executed so far by all threads */
    uint64_t blocks_done;
    uint64_t critical_cycles; /* cycles of the longest-running thread so far, as %clock counts */
    uint64_t fault_address;   /* for the address errors */
    uint32_t fault_line;      /* line of the PTX text, 0 when none */
    uint32_t fault_block[3];  /* %ctaid and %tid of the thread at fault */
    uint32_t fault_thread[3];
} divvy_ptx_result_t;

typedef struct divvy_ptx_run divvy_ptx_run_t;

/*
 * Prepares a run; nothing executes yet. 0 and *RET_RUN, or -EINVAL (a dimension or size out of
 * range, params too short), -ENOMEM. A run belongs to one thread at a time.
 */
int divvy_ptx_run_new(const divvy_ptx_launch_t *launch, divvy_ptx_run_t **ret_run);

/*
 * Executes about MAX_INSTRUCTIONS more (0: until the end). Any status but DIVVY_PTX_RUNNING is
 * final. The result, when wanted, is filled in every time.
 */
divvy_ptx_status_t divvy_ptx_run_step(divvy_ptx_run_t *run, uint64_t max_instructions,
                                      divvy_ptx_result_t *ret_result);

/* Frees a run at any time; NULL is allowed. */
void divvy_ptx_run_free(divvy_ptx_run_t *run);

/* All three at once: a status, or a negative errno when the run could not be prepared. */
int divvy_ptx_execute(const divvy_ptx_launch_t *launch, divvy_ptx_result_t *ret_result);

/* A short name such as "illegal address"; never NULL. */
const char *divvy_ptx_status_name(divvy_ptx_status_t status);

/* ---- Cost model ------------------------------------------------------------------------------ */

typedef struct {
    uint64_t blocks;
    uint32_t threads_per_block;
    uint64_t instructions;    /* executed by all threads; or an estimate: static count x threads */
    uint64_t critical_cycles; /* of the longest thread; 0: derived from the instructions */
    uint32_t sm_count;
    uint32_t clock_khz;
    uint32_t
        max_blocks_per_sm; /* resident blocks per SM for this kernel (occupancy); 0 counts as 1 */
    uint32_t max_threads_per_sm; /* resident threads per SM; 0: no further limit */
} divvy_ptx_cost_t;

/* Device time in ns, launch overhead on the device included; never 0, saturates. Pure. */
uint64_t divvy_ptx_cost_ns(const divvy_ptx_cost_t *cost);

#endif
