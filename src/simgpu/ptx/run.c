/*
 * Runs of kernels: memory of the resident blocks, and the scheduler that lets their threads go in
 * turn.
 *
 * Threads of a warp run one after the other, each until it stops or its quantum ends. Blocks run
 * one after the other too; only when a block takes long, or the launch is cooperative, do others
 * get turns in between, so that a kernel whose blocks wait for each other ends as it would on a
 * GPU.
 */
#include "simgpu/ptx/exec.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCANS_PER_TURN = 64, /* rounds over all threads of a block before the next block gets a turn */
    ALIGN_BYTES = 256,
};
/* Memory of resident blocks: the most a cooperative launch may take, and what others aim at. */
#define COOPERATIVE_MAX_BYTES (UINT64_C(4) << 30)
#define RESIDENT_BYTES        (UINT64_C(64) << 20)

/* ---- Preparation ----------------------------------------------------------------------------- */

static uint64_t align_up(uint64_t value) {
    return (value + ALIGN_BYTES - 1) & ~(uint64_t)(ALIGN_BYTES - 1);
}

/* Memory of one resident block, in this order. */
typedef struct {
    uint64_t threads, slots, records, local, shared, total;
} extent_t;

static void measure(const ptx_run_t *run, extent_t *ret_extent) {
    const ptx_entry_t *entry = run->entry;
    uint64_t threads = run->block_threads;
    ret_extent->threads = align_up(threads * sizeof(ptx_thread_t));
    ret_extent->slots = align_up(threads * entry->slots * sizeof(ptx_slot_t));
    ret_extent->records = align_up(threads * entry->calls * sizeof(ptx_record_t));
    ret_extent->local = align_up(threads * entry->frame_bytes);
    ret_extent->shared = align_up(run->shared_bytes);
    ret_extent->total = ret_extent->threads + ret_extent->slots + ret_extent->records +
                        ret_extent->local + ret_extent->shared;
}

static int check_launch(const divvy_ptx_launch_t *launch) {
    static const uint32_t grid_max[3] = {INT32_MAX, 65535, 65535};
    if (!launch->module || launch->entry >= launch->module->entry_count || !launch->access)
        return -EINVAL;
    uint64_t threads = 1;
    for (int k = 0; k < 3; k++) {
        if (launch->grid[k] == 0 || launch->grid[k] > grid_max[k] || launch->block[k] == 0 ||
            launch->block[k] > DIVVY_PTX_BLOCK_MAX_THREADS)
            return -EINVAL;
        threads *= launch->block[k];
    }
    const ptx_entry_t *entry = &launch->module->entries[launch->entry];
    if (threads > DIVVY_PTX_BLOCK_MAX_THREADS || launch->params_bytes < entry->info.params_bytes ||
        (entry->info.params_bytes && !launch->params) ||
        (launch->module->variable_count && !launch->variables) ||
        launch->shared_dynamic_bytes > 16u << 20)
        return -EINVAL;
    uint64_t blocks = (uint64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    if (launch->first_block >= blocks || launch->block_count > blocks - launch->first_block)
        return -EINVAL;
    return 0;
}

/* Copies the registers' initial values of every function in reach and fills in the addresses. */
static int prepare_templates(ptx_run_t *run, const uint64_t *variables) {
    const divvy_ptx_module_t *module = run->module;
    const ptx_entry_t *entry = run->entry;
    run->templates = calloc(module->function_count, sizeof(*run->templates));
    if (!run->templates)
        return -ENOMEM;
    for (uint32_t k = 0; k < entry->function_count; k++) {
        const ptx_function_t *function = &module->functions[entry->functions[k]];
        uint64_t *template = malloc(function->slots * sizeof(uint64_t));
        if (!template)
            return -ENOMEM;
        memcpy(template, function->template, function->slots * sizeof(uint64_t));
        run->templates[entry->functions[k]] = template;
        for (uint32_t r = 0; r < function->reloc_count; r++) {
            const ptx_reloc_t *reloc = &function->relocs[r];
            uint64_t base = 0;
            if (reloc->kind == PTX_RELOC_VARIABLE) {
                base = variables[reloc->index];
            } else {
                for (uint32_t s = 0; s < entry->shared_count; s++) {
                    if (entry->shared[s] == reloc->index)
                        base = entry->shared_offsets[s];
                }
            }
            template[reloc->slot] = base + (uint64_t)reloc->addend;
        }
    }
    return 0;
}

/* What stays the same for all blocks that use the resident place BLOCK. */
static void prepare_block(ptx_run_t *run, ptx_block_t *block, uint8_t *memory,
                          const extent_t *extent) {
    const ptx_entry_t *entry = run->entry;
    uint8_t *slots = memory + extent->threads;
    uint8_t *records = slots + extent->slots;
    uint8_t *local = records + extent->records;
    uint8_t *shared = local + extent->local;
    block->threads = (ptx_thread_t *)(void *)memory;
    for (uint32_t k = 0; k < run->block_threads; k++) {
        ptx_thread_t *thread = &block->threads[k];
        thread->run = run;
        thread->block = block;
        thread->shared = shared;
        thread->shared_bytes = run->shared_bytes;
        thread->slots_base = (ptx_slot_t *)(void *)slots + (size_t)k * entry->slots;
        thread->records = (ptx_record_t *)(void *)records + (size_t)k * entry->calls;
        thread->local = local + (size_t)k * entry->frame_bytes;
        thread->lane = (uint8_t)(k % DIVVY_PTX_WARP_SIZE);
        thread->warp = (uint8_t)(k / DIVVY_PTX_WARP_SIZE);
        thread->tid[0] = k % run->block[0];
        thread->tid[1] = k / run->block[0] % run->block[1];
        thread->tid[2] = k / run->block[0] / run->block[1];
    }
}

static int prepare_memory(ptx_run_t *run, bool cooperative) {
    extent_t extent;
    measure(run, &extent);
    uint64_t blocks = run->end_block - run->next_block;
    uint64_t resident = blocks;
    if (!cooperative) {
        uint64_t fit = RESIDENT_BYTES / extent.total;
        uint64_t wanted = 4 * (uint64_t)run->sm_count;
        resident = resident < wanted ? resident : wanted;
        resident = resident < fit ? resident : fit;
        resident = resident ? resident : 1;
    }
    if (resident > COOPERATIVE_MAX_BYTES / (extent.total + sizeof(ptx_block_t)))
        return -ENOMEM;
    run->resident = (uint32_t)resident;
    run->memory_bytes = (size_t)(resident * extent.total);
    run->blocks = calloc(resident, sizeof(ptx_block_t));
    /* Zeroed lazily by the kernel when large: places that are never used cost nothing. */
    run->memory = calloc(1, run->memory_bytes + ALIGN_BYTES);
    if (!run->blocks || !run->memory)
        return -ENOMEM;
    return 0;
}

int divvy_ptx_run_new(const divvy_ptx_launch_t *launch, divvy_ptx_run_t **ret_run) {
    int r = check_launch(launch);
    if (r < 0)
        return r;
    ptx_run_t *run = calloc(1, sizeof(*run));
    if (!run)
        return -ENOMEM;
    const ptx_entry_t *entry = &launch->module->entries[launch->entry];
    run->module = launch->module;
    run->entry = entry;
    run->access = launch->access;
    run->access_ctx = launch->access_ctx;
    run->abort_flag = launch->abort_flag;
    memcpy(run->grid, launch->grid, sizeof(run->grid));
    memcpy(run->block, launch->block, sizeof(run->block));
    run->block_threads = run->block[0] * run->block[1] * run->block[2];
    run->block_warps = (run->block_threads + DIVVY_PTX_WARP_SIZE - 1) / DIVVY_PTX_WARP_SIZE;
    run->dynamic_bytes = launch->shared_dynamic_bytes;
    run->shared_bytes = entry->info.shared_static_bytes + launch->shared_dynamic_bytes;
    run->sm_count = launch->sm_count ? launch->sm_count : 1;
    run->clock_khz = launch->clock_khz ? launch->clock_khz : 1000000;
    run->grid_id = launch->grid_id;
    run->start_ns = launch->start_ns;
    run->next_block = launch->first_block;
    uint64_t blocks = (uint64_t)run->grid[0] * run->grid[1] * run->grid[2];
    run->end_block = launch->block_count ? launch->first_block + launch->block_count : blocks;
    run->status = DIVVY_PTX_RUNNING;
    for (unsigned k = 0; k < PTX_SPAN_CACHE; k++)
        run->spans[k] = (divvy_ptx_span_t){.first = UINT64_MAX, .last = 0};
    run->params_bytes = entry->info.params_bytes;
    run->params = calloc(1, run->params_bytes + 16u);
    r = run->params ? 0 : -ENOMEM;
    if (r == 0 && run->params_bytes)
        memcpy(run->params, launch->params, run->params_bytes);
    if (r == 0)
        r = prepare_templates(run, launch->variables);
    if (r == 0)
        r = prepare_memory(run, launch->cooperative);
    if (r < 0) {
        divvy_ptx_run_free(run);
        return r;
    }
    run->scans_per_turn = launch->cooperative ? 1 : SCANS_PER_TURN;
    *ret_run = run;
    return 0;
}

void divvy_ptx_run_free(divvy_ptx_run_t *run) {
    if (!run)
        return;
    for (uint32_t k = 0; run->templates && k < run->entry->function_count; k++)
        free(run->templates[run->entry->functions[k]]);
    free(run->templates);
    free(run->params);
    free(run->blocks);
    free(run->memory);
    free(run);
}

/* ---- Scheduling ------------------------------------------------------------------------------ */

/* Puts the next block of the grid into the resident place BLOCK. */
static void start_block(ptx_run_t *run, ptx_block_t *block) {
    if (!block->threads) {
        extent_t extent;
        measure(run, &extent);
        uint8_t *memory = (uint8_t *)(uintptr_t)align_up((uintptr_t)run->memory);
        prepare_block(run, block, memory + (size_t)(block - run->blocks) * extent.total, &extent);
    }
    uint64_t linear = run->next_block++;
    block->ctaid[0] = (uint32_t)(linear % run->grid[0]);
    block->ctaid[1] = (uint32_t)(linear / run->grid[0] % run->grid[1]);
    block->ctaid[2] = (uint32_t)(linear / run->grid[0] / run->grid[1]);
    block->smid = (uint32_t)(linear % run->sm_count);
    block->live = run->block_threads;
    block->warp_next = block->lane_next = block->scans = 0;
    block->progress = false;
    block->running = true;
    if (block->arrived) /* bar.arrive with nobody to wait */
        memset(block->barriers, 0, sizeof(block->barriers));
    block->arrived = 0;
    memset(block->warps, 0, sizeof(block->warps));
    uint32_t first = run->entry->function;
    const ptx_function_t *function = &run->module->functions[first];
    for (uint32_t k = 0; k < run->block_threads; k++) {
        ptx_thread_t *thread = &block->threads[k];
        thread->slots = thread->slots_base;
        memcpy(thread->slots, run->templates[first], function->slots * sizeof(ptx_slot_t));
        thread->frame = thread->local;
        thread->function = function;
        thread->pc = function->code;
        thread->carry = 0;
        thread->depth = 0;
        thread->state = PTX_READY;
        thread->executed = 0;
        thread->extra_cycles = 0;
        block->warps[thread->warp].live |= UINT32_C(1) << thread->lane;
    }
}

/* Lets THREAD go for at most QUANTUM instructions; returns how many it took. */
static uint64_t go(ptx_thread_t *thread, uint64_t quantum) {
    const ptx_insn_t *insn = thread->pc;
    uint64_t left = quantum;
    uint64_t counted = quantum; /* left, when executed was last brought up to date */
    thread->stop = PTX_STOP_NONE;
    for (;;) {
        do {
            insn = insn->handler(thread, insn);
            left--;
        } while (insn && left);
        thread->executed += counted - left;
        counted = left;
        if (insn) {
            thread->pc = insn;
            break;
        }
        if (thread->stop != PTX_STOP_CLOCK)
            break;
        thread->extra_cycles += PTX_CYCLES_PER_CLOCK_READ;
        thread->slots[thread->waiting->d].u64 =
            divvy_ptx_sreg_clock(thread, (ptx_sreg_t)thread->waiting->f);
        thread->stop = PTX_STOP_NONE;
        insn = thread->pc;
        if (!left)
            break;
    }
    return quantum - left;
}

static void record_fault(ptx_run_t *run, const ptx_thread_t *thread) {
    const ptx_function_t *function = thread->function;
    run->result.fault_line = function->lines[thread->pc - function->code];
    memcpy(run->result.fault_block, thread->block->ctaid, sizeof(run->result.fault_block));
    memcpy(run->result.fault_thread, thread->tid, sizeof(run->result.fault_thread));
}

/* Deals with the reason why THREAD stopped. */
static void stopped(ptx_run_t *run, ptx_thread_t *thread) {
    switch ((ptx_stop_t)thread->stop) {
    case PTX_STOP_EXIT: {
        uint64_t cycles = thread->executed * PTX_CYCLES_PER_INSN + thread->extra_cycles;
        if (cycles > run->result.critical_cycles)
            run->result.critical_cycles = cycles;
        divvy_ptx_sync_exit(thread);
        break;
    }
    case PTX_STOP_BARRIER:
        divvy_ptx_barrier_arrive(thread);
        break;
    case PTX_STOP_WARP:
        divvy_ptx_warp_arrive(thread);
        break;
    case PTX_STOP_ACTIVE:
        thread->state = PTX_AT_ACTIVE;
        thread->block->warps[thread->warp].active |= UINT32_C(1) << thread->lane;
        break;
    default:
        break;
    }
    if (run->status != DIVVY_PTX_RUNNING)
        record_fault(run, thread);
}

/*
 * One turn for each ready lane of warp W, from lane_next on. False when the step's budget or the
 * run is over; lane_next then says where to go on.
 */
static bool scan_warp(ptx_run_t *run, ptx_block_t *block, uint32_t w, uint64_t *budget) {
    uint32_t first = w * DIVVY_PTX_WARP_SIZE;
    uint32_t lanes = run->block_threads - first;
    lanes = lanes < DIVVY_PTX_WARP_SIZE ? lanes : DIVVY_PTX_WARP_SIZE;
    for (; block->lane_next < lanes; block->lane_next++) {
        ptx_thread_t *thread = &block->threads[first + block->lane_next];
        if (thread->state != PTX_READY)
            continue;
        if (run->abort_flag && atomic_load_explicit(run->abort_flag, memory_order_relaxed)) {
            run->status = DIVVY_PTX_ABORTED;
            return false;
        }
        if (*budget == 0)
            return false;
        uint64_t taken = go(thread, *budget < PTX_QUANTUM ? *budget : PTX_QUANTUM);
        *budget -= taken;
        run->result.instructions += taken;
        block->progress = true;
        stopped(run, thread);
        if (run->status != DIVVY_PTX_RUNNING)
            return false;
    }
    block->lane_next = 0;
    return true;
}

/*
 * True when a lane of warp W was stopped before and may go on now, so that the warp deserves
 * another turn.
 */
static bool warp_released(const ptx_run_t *run, const ptx_block_t *block, uint32_t w) {
    uint32_t first = w * DIVVY_PTX_WARP_SIZE;
    uint32_t end = first + DIVVY_PTX_WARP_SIZE;
    end = end < run->block_threads ? end : run->block_threads;
    for (uint32_t k = first; k < end; k++) {
        const ptx_thread_t *thread = &block->threads[k];
        if (thread->state == PTX_READY &&
            (thread->stop == PTX_STOP_WARP || thread->stop == PTX_STOP_ACTIVE))
            return true;
    }
    return false;
}

/*
 * Runs BLOCK until it ends (running is false then), its turn is over, the budget is used up or the
 * run's status changes.
 */
static void run_block(ptx_run_t *run, ptx_block_t *block, uint64_t *budget) {
    while (block->live) {
        for (; block->warp_next < run->block_warps; block->warp_next++) {
            uint32_t w = block->warp_next;
            do {
                if (!scan_warp(run, block, w, budget))
                    return;
                divvy_ptx_active_resolve(block, w);
            } while (warp_released(run, block, w));
        }
        block->warp_next = 0;
        if (!block->progress) {
            run->status = DIVVY_PTX_DEADLOCK;
            for (uint32_t k = 0; k < run->block_threads; k++) {
                if (block->threads[k].state != PTX_FINISHED) {
                    block->threads[k].pc = block->threads[k].waiting;
                    record_fault(run, &block->threads[k]);
                    break;
                }
            }
            return;
        }
        block->progress = false;
        if (block->live && ++block->scans >= run->scans_per_turn) {
            block->scans = 0;
            return;
        }
    }
    block->running = false;
    run->result.blocks_done++;
}

divvy_ptx_status_t divvy_ptx_run_step(divvy_ptx_run_t *run, uint64_t max_instructions,
                                      divvy_ptx_result_t *ret_result) {
    uint64_t budget = max_instructions ? max_instructions : UINT64_MAX;
    uint32_t idle = 0; /* places in a row with nothing to do */
    while (run->status == DIVVY_PTX_RUNNING && budget) {
        ptx_block_t *block = &run->blocks[run->block_turn];
        if (!block->running && run->next_block < run->end_block)
            start_block(run, block);
        if (block->running) {
            idle = 0;
            run_block(run, block, &budget);
            bool finished = !block->running;
            if (finished || !budget)
                continue; /* the place takes the next block, or this one goes on in the next step */
        } else if (++idle > run->resident) {
            run->status = DIVVY_PTX_DONE;
            break;
        }
        run->block_turn = (run->block_turn + 1) % run->resident;
    }
    if (ret_result)
        *ret_result = run->result;
    return run->status;
}

int divvy_ptx_execute(const divvy_ptx_launch_t *launch, divvy_ptx_result_t *ret_result) {
    divvy_ptx_run_t *run;
    int r = divvy_ptx_run_new(launch, &run);
    if (r < 0)
        return r;
    divvy_ptx_status_t status = divvy_ptx_run_step(run, 0, ret_result);
    divvy_ptx_run_free(run);
    return (int)status;
}

const char *divvy_ptx_status_name(divvy_ptx_status_t status) {
    static const char *const names[DIVVY_PTX_STATUS_MAX] = {
        [DIVVY_PTX_DONE] = "done",
        [DIVVY_PTX_RUNNING] = "running",
        [DIVVY_PTX_ABORTED] = "aborted",
        [DIVVY_PTX_ILLEGAL_ADDRESS] = "illegal address",
        [DIVVY_PTX_MISALIGNED_ADDRESS] = "misaligned address",
        [DIVVY_PTX_TRAP] = "trap",
        [DIVVY_PTX_STACK_OVERFLOW] = "stack overflow",
        [DIVVY_PTX_INVALID_PC] = "invalid program counter",
        [DIVVY_PTX_ILLEGAL_INSTRUCTION] = "illegal instruction",
        [DIVVY_PTX_DEADLOCK] = "deadlock",
    };
    return status < DIVVY_PTX_STATUS_MAX ? names[status] : "unknown";
}
