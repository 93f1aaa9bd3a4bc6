/*
 * The interpreter's inside: threads, blocks, runs, and how the lowering finds the handler of an
 * instruction.
 *
 * Each GPU thread is a resumable state. The scheduler (run.c) lets one thread go until it stops: at
 * a barrier, at an operation of its whole warp, at the end of its quantum, at exit or fault.
 */
#ifndef DIVVY_SIMGPU_PTX_EXEC_H
#define DIVVY_SIMGPU_PTX_EXEC_H

#include "simgpu/ptx/code.h"

enum {
    PTX_BARRIERS = 16,
    PTX_WARPS_MAX = DIVVY_PTX_BLOCK_MAX_THREADS / DIVVY_PTX_WARP_SIZE,
    PTX_QUANTUM = 4096,      /* instructions before another thread gets its turn */
    PTX_SPAN_CACHE = 64,     /* entries, a power of two */
    PTX_CYCLES_PER_INSN = 4, /* of one thread, see docs/SIMGPU-PTX.md, "Cost model" */
    PTX_CYCLES_PER_CLOCK_READ = 32,
};

typedef enum {
    PTX_STOP_NONE,
    PTX_STOP_EXIT,
    PTX_STOP_FAULT,   /* run->fault_* are set, thread->pc is the instruction at fault */
    PTX_STOP_BARRIER, /* thread->waiting is the instruction, thread->pc the next */
    PTX_STOP_WARP,    /* the same */
    PTX_STOP_ACTIVE,  /* activemask; the same */
    PTX_STOP_CLOCK,   /* reads a clock; the same */
    PTX_STOP_SLEEP,   /* nanosleep; the same */
} ptx_stop_t;

typedef enum {
    PTX_READY,
    PTX_AT_BARRIER,
    PTX_AT_WARP,
    PTX_AT_ACTIVE,
    PTX_FINISHED,
} ptx_state_t;

/* What a call leaves for its return. */
typedef struct {
    const ptx_insn_t *call;
    const ptx_function_t *function; /* the caller */
    ptx_slot_t *slots;
    uint8_t *frame;
} ptx_record_t;

typedef struct ptx_block ptx_block_t;
typedef struct divvy_ptx_run ptx_run_t;

struct ptx_thread {
    ptx_slot_t *slots; /* of the current function */
    uint8_t *frame;
    ptx_run_t *run;
    ptx_block_t *block;
    uint8_t *shared; /* the block's, kept here for speed */
    uint32_t shared_bytes;
    uint32_t carry; /* of add.cc and relatives */
    const ptx_insn_t *pc;
    const ptx_insn_t *waiting;
    const ptx_function_t *function;
    ptx_slot_t *slots_base;
    uint8_t *local; /* local memory, local_bytes long; the frame lies within */
    ptx_record_t *records;
    uint32_t depth;
    uint8_t stop;  /* ptx_stop_t */
    uint8_t state; /* ptx_state_t */
    uint8_t lane;
    uint8_t warp;
    uint32_t tid[3];
    uint32_t barrier; /* number, when at one */
    uint32_t mask;    /* member mask, when at a warp operation */
    uint64_t executed;
    uint64_t extra_cycles;
};

typedef struct {
    uint32_t arrived;
    uint32_t expected; /* 0: all live threads */
    uint32_t popc;     /* of bar.red */
    bool all;
    bool any;
    uint8_t per_warp[PTX_WARPS_MAX];
} ptx_barrier_t;

typedef struct {
    uint32_t live;    /* lanes that have not exited */
    uint32_t waiting; /* lanes at a warp operation */
    uint32_t active;  /* lanes at activemask */
} ptx_warp_t;

struct ptx_block {
    ptx_thread_t *threads;
    uint32_t live;
    uint32_t ctaid[3];
    uint32_t smid;
    uint32_t warp_next; /* where the scheduler goes on */
    uint32_t lane_next;
    uint32_t scans; /* rounds over all threads in this turn */
    bool progress;  /* some thread ran since the scan began */
    bool running;
    uint32_t arrived; /* barriers that somebody has arrived at, a bit each */
    ptx_barrier_t barriers[PTX_BARRIERS];
    ptx_warp_t warps[PTX_WARPS_MAX];
};

struct divvy_ptx_run {
    const divvy_ptx_module_t *module;
    const ptx_entry_t *entry;
    divvy_ptx_access_fn access;
    void *access_ctx;
    const _Atomic uint32_t *abort_flag;
    uint32_t grid[3], block[3];
    uint32_t block_threads, block_warps;
    uint32_t shared_bytes;
    uint32_t dynamic_bytes;
    uint32_t sm_count, clock_khz;
    uint64_t grid_id, start_ns;
    uint64_t next_block, end_block; /* linear */
    uint8_t *params;
    uint32_t params_bytes;
    uint64_t **templates; /* by function index, addresses filled in */
    uint32_t resident;    /* blocks alive at once */
    ptx_block_t *blocks;
    uint32_t block_turn;
    uint32_t scans_per_turn;
    void *memory; /* registers, local and shared memory of the resident blocks */
    size_t memory_bytes;
    uint32_t fence; /* what fences work on */
    divvy_ptx_status_t status;
    divvy_ptx_result_t result;
    divvy_ptx_span_t spans[PTX_SPAN_CACHE];
};

/* ---- Helpers for handlers -------------------------------------------------------------------- */

#define PTX_SLOT(field) (thread->slots[insn->field])
#define PTX_NEXT        return insn + 1

/* Stops THREAD with STATUS at INSN. */
static inline const ptx_insn_t *ptx_fault(ptx_thread_t *thread, const ptx_insn_t *insn,
                                          divvy_ptx_status_t status, uint64_t address) {
    thread->run->status = status;
    thread->run->result.fault_address = address;
    thread->pc = insn;
    thread->stop = PTX_STOP_FAULT;
    return NULL;
}

/* Stops THREAD at INSN, to go on behind it. */
static inline const ptx_insn_t *ptx_pause(ptx_thread_t *thread, const ptx_insn_t *insn,
                                          ptx_stop_t stop) {
    thread->waiting = insn;
    thread->pc = insn + 1;
    thread->stop = (uint8_t)stop;
    return NULL;
}

/* ---- Arithmetic (exec_int.c, exec_float.c) --------------------------------------------------- */

/* clang-format off */
/* Operations found by name and type. */
typedef enum {
    PTX_OP_ADD, PTX_OP_SUB, PTX_OP_MUL, PTX_OP_MUL_LO, PTX_OP_MUL_HI, PTX_OP_MUL_WIDE,
    PTX_OP_MAD_LO, PTX_OP_MAD_HI, PTX_OP_MAD_WIDE, PTX_OP_DIV, PTX_OP_REM, PTX_OP_ABS, PTX_OP_NEG,
    PTX_OP_MIN, PTX_OP_MAX, PTX_OP_MIN_NAN, PTX_OP_MAX_NAN, PTX_OP_AND, PTX_OP_OR, PTX_OP_XOR, PTX_OP_NOT,
    PTX_OP_CNOT, PTX_OP_SHL, PTX_OP_SHR, PTX_OP_POPC, PTX_OP_CLZ, PTX_OP_BREV, PTX_OP_BFE, PTX_OP_BFI,
    PTX_OP_BFIND, PTX_OP_BFIND_SHIFT, PTX_OP_SAD, PTX_OP_ADD_SAT, PTX_OP_SUB_SAT, PTX_OP_MAD_HI_SAT,
    PTX_OP_MUL24_LO, PTX_OP_MUL24_HI, PTX_OP_MAD24_LO, PTX_OP_MAD24_HI, PTX_OP_MAD24_HI_SAT,
    PTX_OP_ADD_CC, PTX_OP_ADDC, PTX_OP_ADDC_CC, PTX_OP_SUB_CC, PTX_OP_SUBC, PTX_OP_SUBC_CC,
    PTX_OP_MAD_LO_CC, PTX_OP_MADC_LO, PTX_OP_MADC_LO_CC, PTX_OP_MAD_HI_CC, PTX_OP_MADC_HI,
    PTX_OP_MADC_HI_CC, PTX_OP_PRMT, PTX_OP_PRMT_F4E, PTX_OP_PRMT_B4E, PTX_OP_PRMT_RC8, PTX_OP_PRMT_ECL,
    PTX_OP_PRMT_ECR, PTX_OP_PRMT_RC16, PTX_OP_SHF_L_WRAP, PTX_OP_SHF_L_CLAMP, PTX_OP_SHF_R_WRAP,
    PTX_OP_SHF_R_CLAMP, PTX_OP_LOP3 /* imm: truth table */, PTX_OP_DP4A /* f: bit 0 a signed, bit 1 b */,
    PTX_OP_DP2A_LO, PTX_OP_DP2A_HI /* f as DP4A */,
    PTX_OP_FMA, PTX_OP_RCP, PTX_OP_SQRT, PTX_OP_RSQRT, PTX_OP_EX2, PTX_OP_LG2, PTX_OP_SIN, PTX_OP_COS,
    PTX_OP_TANH, PTX_OP_COPYSIGN, PTX_OP_SATURATE /* clamp to [0, 1] */,
    PTX_OP_TEST /* testp; f: modifier */,
    PTX_OP_SELECT /* selp */, PTX_OP_SELECT_S32, PTX_OP_SELECT_F32 /* slct by the type of c */,
    PTX_OP_MAX_
} ptx_op_t;

/* Comparisons; those on unsigned integers are expressed by type. */
typedef enum {
    PTX_CMP_EQ, PTX_CMP_NE, PTX_CMP_LT, PTX_CMP_LE, PTX_CMP_GT, PTX_CMP_GE,
    PTX_CMP_EQU, PTX_CMP_NEU, PTX_CMP_LTU, PTX_CMP_LEU, PTX_CMP_GTU, PTX_CMP_GEU, PTX_CMP_NUM, PTX_CMP_NAN,
    PTX_CMP_MAX
} ptx_cmp_t;
/* clang-format on */

/* Handlers, or NULL when the operation does not exist for the type. */
ptx_handler_t divvy_ptx_exec_int(ptx_op_t op, ptx_type_t type);
ptx_handler_t divvy_ptx_exec_float(ptx_op_t op, ptx_type_t type);
/*
 * f is the rounding mode as fesetround() takes it; ADD, SUB, MUL, FMA, DIV, RCP, SQRT of F32, F32Z,
 * F64.
 */
ptx_handler_t divvy_ptx_exec_float_rounded(ptx_op_t op, ptx_type_t type);
ptx_handler_t divvy_ptx_exec_compare_int(ptx_cmp_t cmp, ptx_type_t type);
ptx_handler_t divvy_ptx_exec_compare_float(ptx_cmp_t cmp, ptx_type_t type);
/*
 * d = predicate a COMBINE c, e = !a COMBINE c; f: 0 plain (no c), 1 and, 2 or, 3 xor.
 */
ptx_handler_t divvy_ptx_exec_combine(void);
/* d = predicate a ? "true" of a type : 0, for set. */
ptx_handler_t divvy_ptx_exec_set(ptx_type_t type);

/* ---- Conversion (exec_cvt.c) ----------------------------------------------------------------- */

/* clang-format off */
typedef enum {
    PTX_ROUND_NONE,
    PTX_ROUND_RN, PTX_ROUND_RZ, PTX_ROUND_RM, PTX_ROUND_RP,
    PTX_ROUND_RNI, PTX_ROUND_RZI, PTX_ROUND_RMI, PTX_ROUND_RPI,
} ptx_round_t;
/* clang-format on */

/* As fesetround() takes it; ROUND is one of RN, RZ, RM, RP. */
uint32_t divvy_ptx_round_mode(ptx_round_t round);

/*
 * The handler of cvt and, through RET_DETAIL, the value of the instruction's imm. Types are those
 * of the instruction. NULL when the conversion does not exist.
 */
ptx_handler_t divvy_ptx_exec_cvt(ptx_type_t to, ptx_type_t from, ptx_round_t round, bool saturate,
                                 bool flush, uint64_t *ret_detail);
/* cvt.rn.{f16x2,bf16x2}.f32 d, a, b. */
ptx_handler_t divvy_ptx_exec_cvt_pack(ptx_type_t to, ptx_round_t round, uint64_t *ret_detail);

/* ---- Moves and memory (exec_mem.c, exec_atom.c) ---------------------------------------------- */

typedef enum {
    PTX_SPACE_GENERIC, /* also .global and .const */
    PTX_SPACE_SHARED,
    PTX_SPACE_LOCAL,
    PTX_SPACE_PARAM, /* the kernel's parameter buffer */
    PTX_SPACE_FRAME, /* parameters of device functions; imm counts in the frame, a is ignored */
    PTX_SPACE_MAX
} ptx_space_t;

/* d = [a + imm]; f is any number that tells memory instructions apart. */
ptx_handler_t divvy_ptx_exec_load(ptx_space_t space, ptx_type_t type);
/* [a + imm] = b */
ptx_handler_t divvy_ptx_exec_store(ptx_space_t space, ptx_type_t type);
/* As these, with data a ptx_vector_t. */
ptx_handler_t divvy_ptx_exec_load_vector(ptx_space_t space, ptx_type_t type);
ptx_handler_t divvy_ptx_exec_store_vector(ptx_space_t space, ptx_type_t type);
/* d = atomic op on [a + imm] with b (and c). SPACE is generic or shared. */
/* clang-format off */
typedef enum {
    PTX_ATOM_ADD, PTX_ATOM_MIN, PTX_ATOM_MAX, PTX_ATOM_AND, PTX_ATOM_OR, PTX_ATOM_XOR, PTX_ATOM_EXCH,
    PTX_ATOM_CAS, PTX_ATOM_INC, PTX_ATOM_DEC, PTX_ATOM_MAX_
} ptx_atom_t;
/* clang-format on */
ptx_handler_t divvy_ptx_exec_atom(ptx_atom_t op, ptx_space_t space, ptx_type_t type);

/* d = a, 2, 4 or 8 bytes; a predicate counts as 4. */
ptx_handler_t divvy_ptx_exec_move(uint32_t size_bytes);
/* d = {a, b, c, f} (pack) and {d, e, b, c} = a (unpack), COUNT elements of ELEMENT_BYTES. */
ptx_handler_t divvy_ptx_exec_pack(uint32_t count, uint32_t element_bytes);
ptx_handler_t divvy_ptx_exec_unpack(uint32_t count, uint32_t element_bytes);
/* d = address in local memory of imm in the frame. */
ptx_handler_t divvy_ptx_exec_frame_address(void);
/* d = a converted between the generic window and SPACE (SHARED, LOCAL, PARAM). */
ptx_handler_t divvy_ptx_exec_cvta(ptx_space_t space, bool to_space);
/* d = a lies in SPACE; GENERIC asks for .global. */
ptx_handler_t divvy_ptx_exec_isspace(ptx_space_t space);

/*
 * The host memory of a generic ADDRESS, SIZE_BYTES (a power of two up to 16), or NULL with the
 * fault set. SITE tells memory instructions apart.
 */
void *divvy_ptx_memory_generic(ptx_thread_t *thread, const ptx_insn_t *insn, uint64_t address,
                               uint32_t size_bytes, bool write, uint32_t site);
/* The same for an offset in shared memory. */
void *divvy_ptx_memory_shared(ptx_thread_t *thread, const ptx_insn_t *insn, uint64_t address,
                              uint32_t size_bytes);

/* ---- Control flow and special registers (exec_flow.c) ---------------------------------------- */

typedef enum {
    PTX_FLOW_BRANCH, /* to the instruction f, an index until the function is finished, then in data */
    PTX_FLOW_BRANCH_IF, /* when predicate a equals e */
    PTX_FLOW_GUARD,     /* goes on when predicate a equals e, else skips f instructions */
    PTX_FLOW_TABLE,     /* brx.idx: a indexes the ptx_table_t in data; function code from f */
    PTX_FLOW_CALL,      /* data is a ptx_call_t */
    PTX_FLOW_RETURN,
    PTX_FLOW_EXIT,
    PTX_FLOW_TRAP,
    PTX_FLOW_FENCE,
    PTX_FLOW_NOTHING,
    PTX_FLOW_SLEEP, /* a: nanoseconds */
    PTX_FLOW_NOT,   /* predicate d = !a */
    PTX_FLOW_MAX
} ptx_flow_t;
ptx_handler_t divvy_ptx_exec_flow(ptx_flow_t flow);

/* clang-format off */
typedef enum {
    PTX_SREG_TID_X, PTX_SREG_TID_Y, PTX_SREG_TID_Z, PTX_SREG_NTID_X, PTX_SREG_NTID_Y, PTX_SREG_NTID_Z,
    PTX_SREG_CTAID_X, PTX_SREG_CTAID_Y, PTX_SREG_CTAID_Z, PTX_SREG_NCTAID_X, PTX_SREG_NCTAID_Y,
    PTX_SREG_NCTAID_Z, PTX_SREG_LANEID, PTX_SREG_WARPID, PTX_SREG_NWARPID, PTX_SREG_SMID, PTX_SREG_NSMID,
    PTX_SREG_GRIDID, PTX_SREG_LANEMASK_EQ, PTX_SREG_LANEMASK_LE, PTX_SREG_LANEMASK_LT, PTX_SREG_LANEMASK_GE,
    PTX_SREG_LANEMASK_GT, PTX_SREG_CLOCK, PTX_SREG_CLOCK_HI, PTX_SREG_CLOCK64, PTX_SREG_GLOBALTIMER,
    PTX_SREG_GLOBALTIMER_LO, PTX_SREG_GLOBALTIMER_HI, PTX_SREG_DYNAMIC_SMEM, PTX_SREG_TOTAL_SMEM,
    PTX_SREG_MAX
} ptx_sreg_t;
/* clang-format on */
/* d = the special register; f is SREG. */
ptx_handler_t divvy_ptx_exec_sreg(ptx_sreg_t sreg);
/* The clocks need the thread's exact instruction count, which only the scheduler has. */
uint64_t divvy_ptx_sreg_clock(const ptx_thread_t *thread, ptx_sreg_t sreg);

/* ---- Barriers and warp operations (exec_sync.c) ---------------------------------------------- */

/* bar: f is kind | flags; a number, b thread count (flag), c predicate (red), d result. */
enum {
    PTX_BAR_SYNC = 0,
    PTX_BAR_ARRIVE = 1,
    PTX_BAR_POPC = 2,
    PTX_BAR_AND = 3,
    PTX_BAR_OR = 4,
    PTX_BAR_KIND = 7,
    PTX_BAR_COUNTED = 8, /* b is the number of threads */
};

/* clang-format off */
/*
 * Warp operations: f is the kind, imm is the segment (only SHFL uses it: 0), a value, b and c
 * operands, e the second destination, d the first. The member mask is in slot imm.
 */
typedef enum {
    PTX_WARP_SHFL_UP, PTX_WARP_SHFL_DOWN, PTX_WARP_SHFL_BFLY, PTX_WARP_SHFL_IDX, /* a value, b lane, c clamp */
    PTX_WARP_VOTE_ALL, PTX_WARP_VOTE_ANY, PTX_WARP_VOTE_UNI, PTX_WARP_VOTE_BALLOT, /* a predicate */
    PTX_WARP_MATCH_ANY32, PTX_WARP_MATCH_ANY64, PTX_WARP_MATCH_ALL32, PTX_WARP_MATCH_ALL64,
    PTX_WARP_REDUX_ADD, PTX_WARP_REDUX_MIN_S, PTX_WARP_REDUX_MAX_S, PTX_WARP_REDUX_MIN_U,
    PTX_WARP_REDUX_MAX_U, PTX_WARP_REDUX_AND, PTX_WARP_REDUX_OR, PTX_WARP_REDUX_XOR,
    PTX_WARP_ELECT, PTX_WARP_SYNC, PTX_WARP_MAX
} ptx_warp_op_t;
/* clang-format on */

ptx_handler_t divvy_ptx_exec_barrier(void);
ptx_handler_t divvy_ptx_exec_warp(void);
ptx_handler_t divvy_ptx_exec_activemask(void);

/*
 * The scheduler's side. A thread has stopped at a barrier: it waits, or all that wait become ready.
 */
void divvy_ptx_barrier_arrive(ptx_thread_t *thread);
/* A thread has stopped at a warp operation: it waits, or the operation happens. */
void divvy_ptx_warp_arrive(ptx_thread_t *thread);
/* A thread has exited; what waited only for it goes on. */
void divvy_ptx_sync_exit(ptx_thread_t *thread);
/*
 * Nothing else in the warp can go on: threads at the same activemask see each other. True when some
 * did.
 */
bool divvy_ptx_active_resolve(ptx_block_t *block, uint32_t warp);

#endif
