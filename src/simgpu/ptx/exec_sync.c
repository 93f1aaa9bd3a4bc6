/*
 * Where threads meet: barriers of a block, operations of a warp (shuffle, vote, match, redux),
 * activemask. The handlers only stop the thread; the scheduler then calls the arrive functions
 * here.
 */
#include "simgpu/ptx/exec.h"

#include <string.h>

static const ptx_insn_t *barrier(ptx_thread_t *thread, const ptx_insn_t *insn) {
    return ptx_pause(thread, insn, PTX_STOP_BARRIER);
}
static const ptx_insn_t *warp_op(ptx_thread_t *thread, const ptx_insn_t *insn) {
    return ptx_pause(thread, insn, PTX_STOP_WARP);
}
static const ptx_insn_t *activemask(ptx_thread_t *thread, const ptx_insn_t *insn) {
    return ptx_pause(thread, insn, PTX_STOP_ACTIVE);
}
ptx_handler_t divvy_ptx_exec_barrier(void) {
    return barrier;
}
ptx_handler_t divvy_ptx_exec_warp(void) {
    return warp_op;
}
ptx_handler_t divvy_ptx_exec_activemask(void) {
    return activemask;
}

static ptx_slot_t *slot_of(const ptx_thread_t *thread, uint64_t slot) {
    return &thread->slots[slot];
}

/* ---- Barriers -------------------------------------------------------------------------------- */

/*
 * A counted barrier counts whole warps: a warp that is short of lanes, because the block ends in it
 * or lanes have exited, counts 32 as soon as all its live lanes are there.
 */
static uint32_t arrived_threads(const ptx_block_t *block, const ptx_barrier_t *at) {
    uint32_t sum = 0;
    for (unsigned w = 0; w < PTX_WARPS_MAX; w++) {
        if (!at->per_warp[w])
            continue;
        uint32_t live = (uint32_t)__builtin_popcount(block->warps[w].live);
        sum += at->per_warp[w] >= live ? DIVVY_PTX_WARP_SIZE : at->per_warp[w];
    }
    return sum;
}

static uint64_t cycles_of(const ptx_thread_t *thread) {
    return thread->executed * PTX_CYCLES_PER_INSN + thread->extra_cycles;
}

/* All that wait go on; their clocks agree, for none passes before the last has come. */
static void release(ptx_block_t *block, uint32_t number) {
    ptx_barrier_t *at = &block->barriers[number];
    uint32_t threads = block->threads[0].run->block_threads;
    uint64_t latest = 0;
    for (uint32_t k = 0; k < threads; k++) {
        ptx_thread_t *thread = &block->threads[k];
        if (thread->state == PTX_AT_BARRIER && thread->barrier == number &&
            cycles_of(thread) > latest)
            latest = cycles_of(thread);
    }
    for (uint32_t k = 0; k < threads; k++) {
        ptx_thread_t *thread = &block->threads[k];
        if (thread->state != PTX_AT_BARRIER || thread->barrier != number)
            continue;
        thread->extra_cycles += latest - cycles_of(thread);
        thread->state = PTX_READY;
        const ptx_insn_t *insn = thread->waiting;
        uint32_t kind = insn->f & PTX_BAR_KIND;
        if (kind == PTX_BAR_POPC)
            slot_of(thread, insn->d)->u32 = at->popc;
        else if (kind == PTX_BAR_AND)
            slot_of(thread, insn->d)->u32 = at->all;
        else if (kind == PTX_BAR_OR)
            slot_of(thread, insn->d)->u32 = at->any;
    }
    memset(at, 0, sizeof(*at));
    block->arrived &= ~(UINT32_C(1) << number);
}

static void release_when_complete(ptx_block_t *block, uint32_t number) {
    const ptx_barrier_t *at = &block->barriers[number];
    bool complete =
        at->expected ? arrived_threads(block, at) >= at->expected : at->arrived >= block->live;
    if (complete)
        release(block, number);
}

void divvy_ptx_barrier_arrive(ptx_thread_t *thread) {
    const ptx_insn_t *insn = thread->waiting;
    ptx_block_t *block = thread->block;
    uint32_t number = slot_of(thread, insn->a)->u32;
    uint32_t expected = insn->f & PTX_BAR_COUNTED ? slot_of(thread, insn->b)->u32 : 0;
    bool bad_count = insn->f & PTX_BAR_COUNTED &&
                     (expected == 0 || expected % DIVVY_PTX_WARP_SIZE ||
                      expected > block->threads[0].run->block_warps * DIVVY_PTX_WARP_SIZE);
    if (number >= PTX_BARRIERS || bad_count) {
        ptx_fault(thread, insn, DIVVY_PTX_ILLEGAL_INSTRUCTION, 0);
        return;
    }
    ptx_barrier_t *at = &block->barriers[number];
    bool predicate = slot_of(thread, insn->c)->u32 != 0;
    at->all = at->arrived == 0 ? predicate : at->all && predicate;
    at->any = at->any || predicate;
    at->popc += predicate;
    at->arrived++;
    block->arrived |= UINT32_C(1) << number;
    at->per_warp[thread->warp]++;
    at->expected = expected;
    if ((insn->f & PTX_BAR_KIND) != PTX_BAR_ARRIVE) {
        thread->state = PTX_AT_BARRIER;
        thread->barrier = number;
    }
    release_when_complete(block, number);
}

/* ---- Warp operations ------------------------------------------------------------------------- */

/* The lanes of a warp operation, ready to be worked on. */
typedef struct {
    ptx_thread_t *lanes; /* of the warp */
    uint32_t members;
    uint64_t values[DIVVY_PTX_WARP_SIZE];
} group_t;

/* Lanes, or whatever else is a bit of MASK, which is read once. */
#define FOR_EACH_LANE(lane, mask)                                                                  \
    for (uint32_t lane##_left = (mask), lane;                                                      \
         lane##_left && (lane = (uint32_t)__builtin_ctz(lane##_left), true);                       \
         lane##_left &= lane##_left - 1)

/* Where LANE's value comes from, and whether that lies in its segment. */
static unsigned shuffle_source(ptx_warp_op_t op, unsigned lane, uint32_t b, uint32_t c,
                               bool *ret_inside) {
    unsigned segment = c >> 8 & 31;
    unsigned limit = (lane & segment) | (c & 31 & ~segment);
    unsigned first = lane & segment;
    int source;
    b &= 31;
    switch (op) {
    case PTX_WARP_SHFL_UP:
        source = (int)lane - (int)b;
        *ret_inside = source >= (int)limit;
        break;
    case PTX_WARP_SHFL_DOWN:
        source = (int)(lane + b);
        *ret_inside = source <= (int)limit;
        break;
    case PTX_WARP_SHFL_BFLY:
        source = (int)(lane ^ b);
        *ret_inside = source <= (int)limit;
        break;
    default:
        source = (int)(first | (b & ~segment));
        *ret_inside = source <= (int)limit;
        break;
    }
    return *ret_inside ? (unsigned)source & 31 : lane;
}

static void shuffle(group_t *group, ptx_warp_op_t op) {
    FOR_EACH_LANE(lane, group->members) {
        ptx_thread_t *thread = &group->lanes[lane];
        const ptx_insn_t *insn = thread->waiting;
        bool inside;
        unsigned source = shuffle_source(op, lane, slot_of(thread, insn->b)->u32,
                                         slot_of(thread, insn->c)->u32, &inside);
        /*
         * Reading a lane that does not take part is undefined; it gives the reader's own value
         * here.
         */
        bool takes_part = group->members >> source & 1;
        slot_of(thread, insn->d)->u32 = (uint32_t)group->values[takes_part ? source : lane];
        slot_of(thread, insn->e)->u32 = inside;
    }
}

static uint32_t ballot(const group_t *group) {
    uint32_t mask = 0;
    FOR_EACH_LANE(lane, group->members) {
        mask |= (uint32_t)(group->values[lane] != 0) << lane;
    }
    return mask;
}

static void vote(group_t *group, ptx_warp_op_t op) {
    uint32_t mask = ballot(group);
    uint32_t result = mask;
    if (op == PTX_WARP_VOTE_ALL)
        result = mask == group->members;
    else if (op == PTX_WARP_VOTE_ANY)
        result = mask != 0;
    else if (op == PTX_WARP_VOTE_UNI)
        result = mask == 0 || mask == group->members;
    FOR_EACH_LANE(lane, group->members) {
        slot_of(&group->lanes[lane], group->lanes[lane].waiting->d)->u32 = result;
    }
}

static void match(group_t *group, ptx_warp_op_t op) {
    bool all = op == PTX_WARP_MATCH_ALL32 || op == PTX_WARP_MATCH_ALL64;
    FOR_EACH_LANE(lane, group->members) {
        uint32_t same = 0;
        FOR_EACH_LANE(other, group->members) {
            same |= (uint32_t)(group->values[lane] == group->values[other]) << other;
        }
        ptx_thread_t *thread = &group->lanes[lane];
        bool equal = same == group->members;
        slot_of(thread, thread->waiting->d)->u32 = !all || equal ? same : 0;
        if (all)
            slot_of(thread, thread->waiting->e)->u32 = equal;
    }
}

static uint32_t reduce_step(ptx_warp_op_t op, uint32_t x, uint32_t y) {
    switch (op) {
    case PTX_WARP_REDUX_ADD:
        return x + y;
    case PTX_WARP_REDUX_MIN_S:
        return (int32_t)x < (int32_t)y ? x : y;
    case PTX_WARP_REDUX_MAX_S:
        return (int32_t)x > (int32_t)y ? x : y;
    case PTX_WARP_REDUX_MIN_U:
        return x < y ? x : y;
    case PTX_WARP_REDUX_MAX_U:
        return x > y ? x : y;
    case PTX_WARP_REDUX_AND:
        return x & y;
    case PTX_WARP_REDUX_OR:
        return x | y;
    default:
        return x ^ y;
    }
}

static void reduce(group_t *group, ptx_warp_op_t op) {
    unsigned first = (unsigned)__builtin_ctz(group->members);
    uint32_t result = (uint32_t)group->values[first];
    FOR_EACH_LANE(lane, group->members & ~(UINT32_C(1) << first)) {
        result = reduce_step(op, result, (uint32_t)group->values[lane]);
    }
    FOR_EACH_LANE(lane, group->members) {
        slot_of(&group->lanes[lane], group->lanes[lane].waiting->d)->u32 = result;
    }
}

static void elect(group_t *group) {
    unsigned leader = (unsigned)__builtin_ctz(group->members);
    FOR_EACH_LANE(lane, group->members) {
        ptx_thread_t *thread = &group->lanes[lane];
        slot_of(thread, thread->waiting->d)->u32 = leader;
        slot_of(thread, thread->waiting->e)->u32 = lane == leader;
    }
}

static bool is_64_bit(ptx_warp_op_t op) {
    return op == PTX_WARP_MATCH_ANY64 || op == PTX_WARP_MATCH_ALL64;
}

static void perform(ptx_thread_t *lanes, uint32_t members) {
    group_t group = {.lanes = lanes, .members = members};
    ptx_warp_op_t op = lanes[__builtin_ctz(members)].waiting->f;
    FOR_EACH_LANE(lane, members) {
        const ptx_slot_t *value = slot_of(&lanes[lane], lanes[lane].waiting->a);
        group.values[lane] = is_64_bit(op) ? value->u64 : value->u32;
    }
    if (op <= PTX_WARP_SHFL_IDX)
        shuffle(&group, op);
    else if (op <= PTX_WARP_VOTE_BALLOT)
        vote(&group, op);
    else if (op <= PTX_WARP_MATCH_ALL64)
        match(&group, op);
    else if (op <= PTX_WARP_REDUX_XOR)
        reduce(&group, op);
    else if (op == PTX_WARP_ELECT)
        elect(&group);
    FOR_EACH_LANE(lane, members) {
        lanes[lane].state = PTX_READY;
    }
}

/* Performs the operation that LANE waits at when all its members are there. */
static bool try_lane(ptx_block_t *block, uint32_t w, unsigned lane) {
    ptx_warp_t *warp = &block->warps[w];
    ptx_thread_t *lanes = &block->threads[w * DIVVY_PTX_WARP_SIZE];
    uint32_t mask = lanes[lane].mask;
    uint32_t members = mask & warp->live;
    if (members & ~warp->waiting)
        return false;
    FOR_EACH_LANE(other, members) {
        if (lanes[other].mask != mask || lanes[other].waiting->f != lanes[lane].waiting->f)
            return false;
    }
    warp->waiting &= ~members;
    perform(lanes, members);
    return true;
}

void divvy_ptx_warp_arrive(ptx_thread_t *thread) {
    uint32_t self = UINT32_C(1) << thread->lane;
    thread->state = PTX_AT_WARP;
    thread->mask = slot_of(thread, thread->waiting->imm)->u32 | self;
    thread->block->warps[thread->warp].waiting |= self;
    try_lane(thread->block, thread->warp, thread->lane);
}

void divvy_ptx_sync_exit(ptx_thread_t *thread) {
    ptx_block_t *block = thread->block;
    ptx_warp_t *warp = &block->warps[thread->warp];
    thread->state = PTX_FINISHED;
    warp->live &= ~(UINT32_C(1) << thread->lane);
    block->live--;
    FOR_EACH_LANE(lane, warp->waiting) {
        if (warp->waiting >> lane & 1)
            try_lane(block, thread->warp, lane);
    }
    FOR_EACH_LANE(number, block->arrived) {
        release_when_complete(block, number);
    }
}

bool divvy_ptx_active_resolve(ptx_block_t *block, uint32_t w) {
    ptx_warp_t *warp = &block->warps[w];
    ptx_thread_t *lanes = &block->threads[w * DIVVY_PTX_WARP_SIZE];
    bool any = warp->active != 0;
    while (warp->active) {
        const ptx_insn_t *where = lanes[__builtin_ctz(warp->active)].waiting;
        uint32_t together = 0;
        FOR_EACH_LANE(lane, warp->active) {
            if (lanes[lane].waiting == where)
                together |= UINT32_C(1) << lane;
        }
        FOR_EACH_LANE(lane, together) {
            slot_of(&lanes[lane], where->d)->u32 = together;
            lanes[lane].state = PTX_READY;
        }
        warp->active &= ~together;
    }
    return any;
}
