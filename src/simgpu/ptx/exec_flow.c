/* Branches, calls, exit, special registers. */
#include "simgpu/ptx/exec.h"

#include <string.h>

/* ---- Branches -------------------------------------------------------------------------------- */

static const ptx_insn_t *branch(ptx_thread_t *thread, const ptx_insn_t *insn) {
    (void)thread;
    return insn->data;
}

static const ptx_insn_t *branch_if(ptx_thread_t *thread, const ptx_insn_t *insn) {
    return PTX_SLOT(a).u32 == insn->e ? insn->data : insn + 1;
}

/* Runs the guarded instruction at once, so that the two count as one. */
static const ptx_insn_t *guard(ptx_thread_t *thread, const ptx_insn_t *insn) {
    if (PTX_SLOT(a).u32 == insn->e)
        return insn[1].handler(thread, insn + 1);
    return insn + 1 + insn->f;
}

static const ptx_insn_t *table(ptx_thread_t *thread, const ptx_insn_t *insn) {
    const ptx_table_t *targets = insn->data;
    uint32_t index = PTX_SLOT(a).u32;
    if (index >= targets->count)
        return ptx_fault(thread, insn, DIVVY_PTX_INVALID_PC, 0);
    return thread->function->code + targets->targets[index];
}

/* ---- Calls ----------------------------------------------------------------------------------- */

/* One argument or result between two frames. */
static void transfer(const ptx_transfer_t *t, const ptx_slot_t *from_slots,
                     const uint8_t *from_frame, ptx_slot_t *to_slots, uint8_t *to_frame) {
    if (!t->from_slot && !t->to_slot) {
        memmove(to_frame + t->to, from_frame + t->from, t->size_bytes);
        return;
    }
    uint64_t value = 0;
    memcpy(&value, t->from_slot ? (const uint8_t *)&from_slots[t->from] : from_frame + t->from,
           t->size_bytes);
    if (!t->to_slot) {
        memcpy(to_frame + t->to, &value, t->size_bytes);
        return;
    }
    unsigned unused = 64 - 8 * t->size_bytes;
    if (divvy_ptx_type_class(t->type) == PTX_CLASS_SIGNED)
        value = (uint64_t)((int64_t)(value << unused) >> unused);
    to_slots[t->to].u64 = value;
}

static const ptx_insn_t *call(ptx_thread_t *thread, const ptx_insn_t *insn) {
    const ptx_call_t *what = insn->data;
    const ptx_entry_t *entry = thread->run->entry;
    const ptx_function_t *caller = thread->function;
    const ptx_function_t *callee = &thread->run->module->functions[what->callee];
    ptx_slot_t *slots = thread->slots + caller->slots;
    uint8_t *frame = thread->frame + caller->frame_bytes;
    size_t slots_used = (size_t)(slots - thread->slots_base);
    size_t frame_used = (size_t)(frame - thread->local);
    if (thread->depth >= entry->calls || slots_used + callee->slots > entry->slots ||
        frame_used + callee->frame_bytes > entry->frame_bytes)
        return ptx_fault(thread, insn, DIVVY_PTX_STACK_OVERFLOW, 0);
    memcpy(slots, thread->run->templates[what->callee], callee->slots * sizeof(*slots));
    for (uint32_t k = 0; k < what->arguments; k++)
        transfer(&what->transfers[k], thread->slots, thread->frame, slots, frame);
    thread->records[thread->depth++] = (ptx_record_t){insn, caller, thread->slots, thread->frame};
    thread->slots = slots;
    thread->frame = frame;
    thread->function = callee;
    return callee->code;
}

static const ptx_insn_t *leave(ptx_thread_t *thread, const ptx_insn_t *insn) {
    thread->pc = insn;
    thread->stop = PTX_STOP_EXIT;
    return NULL;
}

static const ptx_insn_t *return_(ptx_thread_t *thread, const ptx_insn_t *insn) {
    if (thread->depth == 0)
        return leave(thread, insn);
    const ptx_record_t *record = &thread->records[--thread->depth];
    const ptx_call_t *what = record->call->data;
    for (uint32_t k = 0; k < what->results; k++)
        transfer(&what->transfers[what->arguments + k], thread->slots, thread->frame, record->slots,
                 record->frame);
    thread->slots = record->slots;
    thread->frame = record->frame;
    thread->function = record->function;
    return record->call + 1;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static const ptx_insn_t *trap(ptx_thread_t *thread, const ptx_insn_t *insn) {
    return ptx_fault(thread, insn, DIVVY_PTX_TRAP, 0);
}

static const ptx_insn_t *fence(ptx_thread_t *thread, const ptx_insn_t *insn) {
    /*
     * A locked instruction is a full barrier on x86-64, and one that ThreadSanitizer understands.
     */
    __atomic_fetch_add(&thread->run->fence, 0, __ATOMIC_SEQ_CST);
    PTX_NEXT;
}

static const ptx_insn_t *nothing(ptx_thread_t *thread, const ptx_insn_t *insn) {
    (void)thread;
    PTX_NEXT;
}

static const ptx_insn_t *nap(ptx_thread_t *thread, const ptx_insn_t *insn) {
    /*
     * PTX bounds a sleep by twice the argument and one millisecond; it takes what was asked, up to
     * that.
     */
    uint64_t ns = PTX_SLOT(a).u32 < 1000000 ? PTX_SLOT(a).u32 : 1000000;
    thread->extra_cycles += ns * thread->run->clock_khz / 1000000;
    return ptx_pause(thread, insn, PTX_STOP_SLEEP);
}

static const ptx_insn_t *not_predicate(ptx_thread_t *thread, const ptx_insn_t *insn) {
    PTX_SLOT(d).u32 = PTX_SLOT(a).u32 ^ 1;
    PTX_NEXT;
}

ptx_handler_t divvy_ptx_exec_flow(ptx_flow_t flow) {
    static const ptx_handler_t handlers[PTX_FLOW_MAX] = {
        [PTX_FLOW_BRANCH] = branch, [PTX_FLOW_BRANCH_IF] = branch_if,
        [PTX_FLOW_GUARD] = guard,   [PTX_FLOW_TABLE] = table,
        [PTX_FLOW_CALL] = call,     [PTX_FLOW_RETURN] = return_,
        [PTX_FLOW_EXIT] = leave,    [PTX_FLOW_TRAP] = trap,
        [PTX_FLOW_FENCE] = fence,   [PTX_FLOW_NOTHING] = nothing,
        [PTX_FLOW_SLEEP] = nap,     [PTX_FLOW_NOT] = not_predicate,
    };
    return handlers[flow];
}

/* ---- Special registers ----------------------------------------------------------------------- */

#define SREG(name, value)                                                                          \
    static const ptx_insn_t *sreg_##name(ptx_thread_t *thread, const ptx_insn_t *insn) {           \
        PTX_SLOT(d).u64 = (value);                                                                 \
        PTX_NEXT;                                                                                  \
    }
SREG(tid_x, thread->tid[0])
SREG(tid_y, thread->tid[1])
SREG(tid_z, thread->tid[2])
SREG(ntid_x, thread->run->block[0])
SREG(ntid_y, thread->run->block[1])
SREG(ntid_z, thread->run->block[2])
SREG(ctaid_x, thread->block->ctaid[0])
SREG(ctaid_y, thread->block->ctaid[1])
SREG(ctaid_z, thread->block->ctaid[2])
SREG(nctaid_x, thread->run->grid[0])
SREG(nctaid_y, thread->run->grid[1])
SREG(nctaid_z, thread->run->grid[2])
SREG(laneid, thread->lane)
SREG(warpid, thread->warp)
SREG(nwarpid, 64)
SREG(smid, thread->block->smid)
SREG(nsmid, thread->run->sm_count)
SREG(gridid, thread->run->grid_id)
SREG(lanemask_eq, UINT32_C(1) << thread->lane)
SREG(lanemask_le, (UINT64_C(2) << thread->lane) - 1)
SREG(lanemask_lt, (UINT64_C(1) << thread->lane) - 1)
SREG(lanemask_ge, UINT32_MAX << thread->lane)
SREG(lanemask_gt, (uint32_t)(UINT64_C(0xfffffffe) << thread->lane))
SREG(dynamic_smem, thread->run->dynamic_bytes)
SREG(total_smem, thread->run->shared_bytes)

static const ptx_insn_t *sreg_clock(ptx_thread_t *thread, const ptx_insn_t *insn) {
    return ptx_pause(thread, insn, PTX_STOP_CLOCK);
}

uint64_t divvy_ptx_sreg_clock(const ptx_thread_t *thread, ptx_sreg_t sreg) {
    const ptx_run_t *run = thread->run;
    uint64_t cycles = thread->executed * PTX_CYCLES_PER_INSN + thread->extra_cycles;
    unsigned __int128 start = (unsigned __int128)run->start_ns * run->clock_khz / 1000000;
    uint64_t clock = (uint64_t)start + cycles;
    uint64_t timer =
        run->start_ns + (uint64_t)((unsigned __int128)cycles * 1000000 / run->clock_khz);
    switch (sreg) {
    case PTX_SREG_CLOCK:
        return (uint32_t)clock;
    case PTX_SREG_CLOCK_HI:
        return clock >> 32;
    case PTX_SREG_CLOCK64:
        return clock;
    case PTX_SREG_GLOBALTIMER_LO:
        return (uint32_t)timer;
    case PTX_SREG_GLOBALTIMER_HI:
        return timer >> 32;
    default:
        return timer;
    }
}

ptx_handler_t divvy_ptx_exec_sreg(ptx_sreg_t sreg) {
    static const ptx_handler_t handlers[PTX_SREG_MAX] = {
        [PTX_SREG_TID_X] = sreg_tid_x,
        [PTX_SREG_TID_Y] = sreg_tid_y,
        [PTX_SREG_TID_Z] = sreg_tid_z,
        [PTX_SREG_NTID_X] = sreg_ntid_x,
        [PTX_SREG_NTID_Y] = sreg_ntid_y,
        [PTX_SREG_NTID_Z] = sreg_ntid_z,
        [PTX_SREG_CTAID_X] = sreg_ctaid_x,
        [PTX_SREG_CTAID_Y] = sreg_ctaid_y,
        [PTX_SREG_CTAID_Z] = sreg_ctaid_z,
        [PTX_SREG_NCTAID_X] = sreg_nctaid_x,
        [PTX_SREG_NCTAID_Y] = sreg_nctaid_y,
        [PTX_SREG_NCTAID_Z] = sreg_nctaid_z,
        [PTX_SREG_LANEID] = sreg_laneid,
        [PTX_SREG_WARPID] = sreg_warpid,
        [PTX_SREG_NWARPID] = sreg_nwarpid,
        [PTX_SREG_SMID] = sreg_smid,
        [PTX_SREG_NSMID] = sreg_nsmid,
        [PTX_SREG_GRIDID] = sreg_gridid,
        [PTX_SREG_LANEMASK_EQ] = sreg_lanemask_eq,
        [PTX_SREG_LANEMASK_LE] = sreg_lanemask_le,
        [PTX_SREG_LANEMASK_LT] = sreg_lanemask_lt,
        [PTX_SREG_LANEMASK_GE] = sreg_lanemask_ge,
        [PTX_SREG_LANEMASK_GT] = sreg_lanemask_gt,
        [PTX_SREG_CLOCK] = sreg_clock,
        [PTX_SREG_CLOCK_HI] = sreg_clock,
        [PTX_SREG_CLOCK64] = sreg_clock,
        [PTX_SREG_GLOBALTIMER] = sreg_clock,
        [PTX_SREG_GLOBALTIMER_LO] = sreg_clock,
        [PTX_SREG_GLOBALTIMER_HI] = sreg_clock,
        [PTX_SREG_DYNAMIC_SMEM] = sreg_dynamic_smem,
        [PTX_SREG_TOTAL_SMEM] = sreg_total_smem,
    };
    return handlers[sreg];
}
