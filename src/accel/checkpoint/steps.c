/* The driver's checkpoint calls, step by step: see steps.h. */
#include "accel/checkpoint/steps.h"
#include "core/text.h"

#include <dlfcn.h>
#include <errno.h>

#define LOCK_MS    5000u /* for calls of a process to end */
#define LINE_BYTES 512u

#define NEEDED(X)                                                                                  \
    X(cuInit)                                                                                      \
    X(cuGetErrorName)                                                                              \
    X(cuCheckpointProcessGetState)                                                                 \
    X(cuCheckpointProcessLock)                                                                     \
    X(cuCheckpointProcessCheckpoint)                                                               \
    X(cuCheckpointProcessRestore)                                                                  \
    X(cuCheckpointProcessUnlock)

#define MEMBER(symbol) __typeof__(&symbol) symbol;
static struct {
    NEEDED(MEMBER)
} cu;
#undef MEMBER

static bool loaded;

static void say(divvy_checkpoint_tell_t tell, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(divvy_checkpoint_tell_t tell, const char *format, ...) {
    char line[LINE_BYTES];
    divvy_core_text_t text;
    va_list arguments;

    divvy_core_text_init(&text, line, sizeof line);
    va_start(arguments, format);
    divvy_core_text_vformat(&text, format, arguments);
    va_end(arguments);
    tell(line);
}

static int failed(const char *call, int pid, CUresult result, divvy_checkpoint_tell_t tell) {
    const char *name = NULL;

    if (cu.cuGetErrorName(result, &name) != CUDA_SUCCESS || !name)
        name = "unknown error";
    if (pid)
        say(tell, "%s of process %d: %s (%d)", call, pid, name, (int)result);
    else
        say(tell, "%s: %s (%d)", call, name, (int)result);
    switch (result) {
    case CUDA_ERROR_NOT_SUPPORTED:
        return -EOPNOTSUPP;
    case CUDA_ERROR_OUT_OF_MEMORY:
        return -ENOMEM;
    case CUDA_ERROR_NOT_READY:
        return -EBUSY;
    default:
        return -EIO;
    }
}

int divvy_checkpoint_load(const char *file, divvy_checkpoint_tell_t tell) {
    void *library;
    CUresult result;

    if (loaded)
        return 0;
    library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        say(tell, "%s", dlerror());
        return -EOPNOTSUPP;
    }
#define LOAD(symbol)                                                                               \
    cu.symbol = (__typeof__(cu.symbol))dlsym(library, #symbol);                                    \
    if (!cu.symbol) {                                                                              \
        say(tell, "%s lacks " #symbol, file);                                                      \
        (void)dlclose(library);                                                                    \
        return -EOPNOTSUPP;                                                                        \
    }
    NEEDED(LOAD)
#undef LOAD
    result = cu.cuInit(0);
    if (result != CUDA_SUCCESS)
        return failed("cuInit", 0, result, tell);
    loaded = true;
    return 0;
}

void divvy_checkpoint_look(struct divvy_checkpoint_process *process) {
    process->cuda = cu.cuCheckpointProcessGetState(process->pid, &process->state) == CUDA_SUCCESS;
}

/* One step of a process that is in `from`; nothing for one in another state. The steps are told apart by where they lead. */
static int step(struct divvy_checkpoint_process *process, CUprocessState from, CUprocessState to, divvy_checkpoint_tell_t tell) {
    CUcheckpointLockArgs lock = {.timeoutMs = LOCK_MS};
    const char *call;
    CUresult result;

    if (!process->cuda || process->state != from)
        return 0;
    if (from == CU_PROCESS_STATE_RUNNING) {
        call = "cuCheckpointProcessLock";
        result = cu.cuCheckpointProcessLock(process->pid, &lock);
    } else if (to == CU_PROCESS_STATE_RUNNING) {
        call = "cuCheckpointProcessUnlock";
        result = cu.cuCheckpointProcessUnlock(process->pid, NULL);
    } else if (from == CU_PROCESS_STATE_LOCKED) {
        call = "cuCheckpointProcessCheckpoint";
        result = cu.cuCheckpointProcessCheckpoint(process->pid, NULL);
    } else {
        call = "cuCheckpointProcessRestore";
        result = cu.cuCheckpointProcessRestore(process->pid, NULL);
    }
    if (result == CUDA_SUCCESS) {
        process->state = to;
        return 0;
    }
    divvy_checkpoint_look(process);
    /* one that has ended meanwhile is no failure */
    return process->cuda ? failed(call, process->pid, result, tell) : 0;
}

/* The step of all that are in `from`, up to the first that fails. */
static int step_all(struct divvy_checkpoint_process *all, size_t count, CUprocessState from, CUprocessState to,
                    divvy_checkpoint_tell_t tell) {
    int status = 0;

    for (size_t i = 0; i < count && status == 0; i++)
        status = step(&all[i], from, to, tell);
    return status;
}

/* The same on the way back: each as far as it comes. */
static void step_back(struct divvy_checkpoint_process *all, size_t count, CUprocessState from, CUprocessState to,
                      divvy_checkpoint_tell_t tell) {
    for (size_t i = 0; i < count; i++)
        (void)step(&all[i], from, to, tell);
}

/* One that failed in an earlier checkpoint is lost, and so would be what the others do for it. */
static int check(const struct divvy_checkpoint_process *all, size_t count, divvy_checkpoint_tell_t tell) {
    for (size_t i = 0; i < count; i++)
        if (all[i].cuda && all[i].state == CU_PROCESS_STATE_FAILED) {
            say(tell, "process %d failed in an earlier checkpoint", all[i].pid);
            return -EIO;
        }
    return 0;
}

int divvy_checkpoint_save(struct divvy_checkpoint_process *all, size_t count, divvy_checkpoint_tell_t tell) {
    int status = check(all, count, tell);

    if (status < 0)
        return status;
    status = step_all(all, count, CU_PROCESS_STATE_RUNNING, CU_PROCESS_STATE_LOCKED, tell);
    if (status == 0)
        status = step_all(all, count, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_CHECKPOINTED, tell);
    if (status < 0) {
        step_back(all, count, CU_PROCESS_STATE_CHECKPOINTED, CU_PROCESS_STATE_LOCKED, tell);
        step_back(all, count, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_RUNNING, tell);
    }
    return status;
}

int divvy_checkpoint_restore(struct divvy_checkpoint_process *all, size_t count, divvy_checkpoint_tell_t tell) {
    int status = check(all, count, tell);

    if (status < 0)
        return status;
    status = step_all(all, count, CU_PROCESS_STATE_CHECKPOINTED, CU_PROCESS_STATE_LOCKED, tell);
    if (status < 0)
        step_back(all, count, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_CHECKPOINTED, tell);
    else
        status = step_all(all, count, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_RUNNING, tell);
    return status;
}
