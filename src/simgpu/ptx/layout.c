/*
 * What is only known once the whole text is read: which functions and shared variables each kernel
 * reaches, where the shared variables lie, and how much stack the deepest call chain takes.
 */
#include "simgpu/ptx/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Registers of a thread, all frames together; and reachability lists of all kernels together. */
#define CHAIN_SLOTS_MAX (UINT64_C(1) << 24)
#define REACH_MAX       (UINT64_C(1) << 22)

typedef enum { UNSEEN, OPEN, CLOSED } visit_t;

/* What a function and everything below it need. */
typedef struct {
    uint64_t slots;
    uint64_t frame_bytes;
    uint64_t calls;
    uint8_t visit;
    bool recursive; /* a cycle can be reached */
} need_t;

/* A function on the way of the depth-first walk, and its next callee. */
typedef struct {
    uint32_t function;
    uint32_t next;
} step_t;

typedef struct {
    ptx_build_t *build;
    need_t *needs;   /* by function */
    step_t *path;    /* room for every function once */
    uint32_t *marks; /* by function, then by shared variable: kernel + 1 that reached it last */
    uint32_t *list;  /* functions reached by the current kernel */
    uint64_t reached;
} layout_t;

static bool undefined(ptx_build_t *build, const ptx_callee_t *callee) {
    const char *name = build->module->functions[callee->index].name;
    return divvy_ptx_error(build, -EOPNOTSUPP, callee->line, name, strlen(name),
                           "function has no body; linking is not supported by the simulated GPU");
}

/* Takes what CALLEE needs into account for CALLER. */
static void combine(need_t *caller, const need_t *callee) {
    caller->slots = caller->slots > callee->slots ? caller->slots : callee->slots;
    caller->frame_bytes =
        caller->frame_bytes > callee->frame_bytes ? caller->frame_bytes : callee->frame_bytes;
    caller->calls = caller->calls > callee->calls + 1 ? caller->calls : callee->calls + 1;
    caller->recursive = caller->recursive || callee->recursive;
}

/* Walks the call graph from ROOT, depth first and without recursion. */
static bool measure(layout_t *layout, uint32_t root) {
    const divvy_ptx_module_t *module = layout->build->module;
    uint32_t depth = 0;
    if (layout->needs[root].visit == CLOSED)
        return true;
    layout->path[depth++] = (step_t){root, 0};
    layout->needs[root].visit = OPEN;
    while (depth) {
        step_t *step = &layout->path[depth - 1];
        const ptx_function_t *function = &module->functions[step->function];
        need_t *need = &layout->needs[step->function];
        if (step->next < function->callee_count) {
            const ptx_callee_t *callee = &function->callees[step->next];
            need_t *below = &layout->needs[callee->index];
            if (!module->functions[callee->index].defined)
                return undefined(layout->build, callee);
            if (below->visit == UNSEEN) {
                below->visit = OPEN;
                layout->path[depth++] = (step_t){callee->index, 0};
                continue;
            }
            if (below->visit == OPEN)
                need->recursive = true;
            else
                combine(need, below);
            step->next++;
            continue;
        }
        need->slots += function->slots;
        need->frame_bytes += function->frame_bytes;
        need->visit = CLOSED;
        depth--;
    }
    return true;
}

/* Lists the functions that kernel NUMBER reaches, its own first. */
static bool reach(layout_t *layout, uint32_t number, ptx_entry_t *entry) {
    ptx_build_t *build = layout->build;
    const divvy_ptx_module_t *module = build->module;
    uint32_t count = 0;
    layout->list[count++] = entry->function;
    layout->marks[entry->function] = number + 1;
    for (uint32_t k = 0; k < count; k++) {
        const ptx_function_t *function = &module->functions[layout->list[k]];
        for (uint32_t c = 0; c < function->callee_count; c++) {
            uint32_t callee = function->callees[c].index;
            if (layout->marks[callee] == number + 1)
                continue;
            layout->marks[callee] = number + 1;
            layout->list[count++] = callee;
        }
    }
    layout->reached += count;
    if (layout->reached > REACH_MAX)
        return divvy_ptx_error(build, -E2BIG, module->functions[entry->function].line, NULL, 0,
                               "call graph too large");
    entry->functions = divvy_ptx_arena_alloc(&build->module->arena, count * sizeof(uint32_t));
    if (!entry->functions)
        return divvy_ptx_error_memory(build);
    memcpy(entry->functions, layout->list, count * sizeof(uint32_t));
    entry->function_count = count;
    return true;
}

/* Collects the shared variables that the kernel's functions name. */
static bool collect_shared(layout_t *layout, uint32_t number, ptx_entry_t *entry) {
    ptx_build_t *build = layout->build;
    const divvy_ptx_module_t *module = build->module;
    uint32_t *marks = layout->marks + module->function_count;
    for (int pass = 0; pass < 2; pass++) { /* count, then fill */
        uint32_t count = 0;
        uint32_t mark = 2 * number + 1 + (uint32_t)pass;
        for (uint32_t k = 0; k < entry->function_count; k++) {
            const ptx_function_t *function = &module->functions[entry->functions[k]];
            for (uint32_t r = 0; r < function->reloc_count; r++) {
                const ptx_reloc_t *reloc = &function->relocs[r];
                if (reloc->kind != PTX_RELOC_SHARED || marks[reloc->index] == mark)
                    continue;
                marks[reloc->index] = mark;
                if (pass)
                    entry->shared[count] = reloc->index;
                count++;
            }
        }
        if (pass)
            break;
        layout->reached += count;
        entry->shared_count = count;
        entry->shared = divvy_ptx_arena_alloc(&build->module->arena, count * sizeof(uint32_t));
        entry->shared_offsets =
            divvy_ptx_arena_alloc(&build->module->arena, count * sizeof(uint32_t));
        if (!entry->shared || !entry->shared_offsets)
            return divvy_ptx_error_memory(build);
    }
    return true;
}

/* Static variables in order of first use; all dynamic ones start together behind them. */
static bool place_shared(ptx_build_t *build, ptx_entry_t *entry) {
    const divvy_ptx_module_t *module = build->module;
    uint64_t used = 0;
    uint64_t dynamic_align = 1;
    for (uint32_t k = 0; k < entry->shared_count; k++) {
        const ptx_shared_t *variable = &module->shared[entry->shared[k]];
        uint64_t align = variable->align_bytes;
        if (variable->dynamic) {
            dynamic_align = align > dynamic_align ? align : dynamic_align;
            entry->info.shared_dynamic = true;
            continue;
        }
        used = (used + align - 1) & ~(align - 1);
        entry->shared_offsets[k] = (uint32_t)used;
        used += variable->size_bytes;
        if (used > DIVVY_PTX_SHARED_STATIC_MAX_BYTES) {
            const ptx_function_t *function = &module->functions[entry->function];
            return divvy_ptx_error(build, -E2BIG, function->line, function->name,
                                   strlen(function->name),
                                   "kernel uses more than %u bytes of static shared memory",
                                   DIVVY_PTX_SHARED_STATIC_MAX_BYTES);
        }
    }
    if (entry->info.shared_dynamic)
        used = (used + dynamic_align - 1) & ~(dynamic_align - 1);
    for (uint32_t k = 0; k < entry->shared_count; k++) {
        if (module->shared[entry->shared[k]].dynamic)
            entry->shared_offsets[k] = (uint32_t)used;
    }
    entry->info.shared_static_bytes = (uint32_t)used;
    return true;
}

/* Stack sizes. A recursive kernel gets a fixed number of its largest frames. */
static bool size_stack(layout_t *layout, ptx_entry_t *entry) {
    ptx_build_t *build = layout->build;
    const divvy_ptx_module_t *module = build->module;
    need_t need = layout->needs[entry->function];
    uint32_t registers = 0;
    uint64_t slots = 0;
    uint64_t frame_bytes = 0;
    for (uint32_t k = 0; k < entry->function_count; k++) {
        const ptx_function_t *function = &module->functions[entry->functions[k]];
        registers = function->registers > registers ? function->registers : registers;
        slots = function->slots > slots ? function->slots : slots;
        frame_bytes = function->frame_bytes > frame_bytes ? function->frame_bytes : frame_bytes;
    }
    if (need.recursive) {
        need.slots = PTX_RECURSION_DEPTH * slots;
        need.frame_bytes = PTX_RECURSION_DEPTH * frame_bytes;
        need.calls = PTX_RECURSION_DEPTH;
    }
    if (need.slots > CHAIN_SLOTS_MAX || need.frame_bytes > PTX_FRAME_MAX_BYTES) {
        const ptx_function_t *function = &module->functions[entry->function];
        return divvy_ptx_error(build, -E2BIG, function->line, function->name,
                               strlen(function->name),
                               "kernel needs too much local memory or too many registers");
    }
    entry->slots = (uint32_t)need.slots;
    entry->frame_bytes = (uint32_t)need.frame_bytes;
    entry->calls = (uint32_t)need.calls;
    entry->info.registers = registers;
    entry->info.local_bytes = entry->frame_bytes;
    return true;
}

static bool check_variables(ptx_build_t *build) {
    const divvy_ptx_module_t *module = build->module;
    for (uint32_t k = 0; k < module->variable_count; k++) {
        const ptx_variable_t *variable = &module->variables[k];
        if (variable->announced)
            return divvy_ptx_error(
                build, -EOPNOTSUPP, variable->line, variable->info.name,
                strlen(variable->info.name),
                "external variable; linking is not supported by the simulated GPU");
    }
    return true;
}

static bool lay_out(layout_t *layout) {
    ptx_build_t *build = layout->build;
    divvy_ptx_module_t *module = build->module;
    for (uint32_t k = 0; k < module->entry_count; k++) {
        ptx_entry_t *entry = &module->entries[k];
        if (!measure(layout, entry->function) || !reach(layout, k, entry) ||
            !collect_shared(layout, k, entry) || !place_shared(build, entry) ||
            !size_stack(layout, entry))
            return false;
    }
    return true;
}

bool divvy_ptx_layout(ptx_build_t *build) {
    divvy_ptx_module_t *module = build->module;
    divvy_ptx_module_info_t *info = &module->info;
    if (!check_variables(build))
        return false;
    size_t functions = (size_t)module->function_count + 1;
    layout_t layout = {.build = build};
    layout.needs = calloc(functions, sizeof(need_t));
    layout.path = calloc(functions, sizeof(step_t));
    layout.list = calloc(functions, sizeof(uint32_t));
    layout.marks = calloc(functions + module->shared_count, sizeof(uint32_t));
    bool fine = layout.needs && layout.path && layout.list && layout.marks
                    ? lay_out(&layout)
                    : divvy_ptx_error_memory(build);
    free(layout.needs);
    free(layout.path);
    free(layout.list);
    free(layout.marks);
    info->entries = module->entry_count;
    info->variables = module->variable_count;
    info->code_bytes = build->code_total * 16; /* as large as an instruction of a GPU */
    return fine;
}
