/*
 * A libcuda whose checkpoint calls work on a file of states, one for each pid from 100 on, and fail where they are told to:
 * FAKE_CUDA_STATES is the file, FAKE_CUDA_FAIL "CALL PID RESULT" or "CALL PID hang" or "CALL PID die". Each call is a line in
 * FAKE_CUDA_LOG.
 */
#include "cuda/driver.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GONE = 9 };

static unsigned char state_get(int pid) {
    unsigned char state = GONE;
    int fd = open(getenv("FAKE_CUDA_STATES"), O_RDONLY | O_CLOEXEC);

    if (pid < 100 || pread(fd, &state, 1, pid - 100) != 1)
        state = GONE;
    close(fd);
    return state;
}

static void state_put(int pid, CUprocessState state) {
    unsigned char byte = (unsigned char)state;
    int fd = open(getenv("FAKE_CUDA_STATES"), O_WRONLY | O_CLOEXEC);

    if (pwrite(fd, &byte, 1, pid - 100) != 1)
        abort();
    close(fd);
}

static CUresult step(const char *call, int pid, CUprocessState from, CUprocessState to) {
    char line[64], named[32] = "", what[16] = "";
    const char *rule = getenv("FAKE_CUDA_FAIL");
    int fd = open(getenv("FAKE_CUDA_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600), at = 0;
    int length = snprintf(line, sizeof(line), "%s %d\n", call, pid);

    if (write(fd, line, (size_t)length) != length)
        abort();
    close(fd);
    if (rule && sscanf(rule, "%31s %d %15s", named, &at, what) == 3 && !strcmp(named, call) && at == pid) {
        if (!strcmp(what, "hang"))
            pause();
        if (!strcmp(what, "die"))
            raise(SIGKILL);
        if (!strcmp(what, "gone"))
            state_put(pid, (CUprocessState)GONE);
        return !strcmp(what, "gone") ? CUDA_ERROR_INVALID_VALUE : (CUresult)atoi(what);
    }
    if (state_get(pid) != from)
        return CUDA_ERROR_ILLEGAL_STATE;
    state_put(pid, to);
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned int Flags) {
    const char *result = getenv("FAKE_CUDA_INIT");

    (void)Flags;
    if (getenv("CUDA_VISIBLE_DEVICES"))
        return CUDA_ERROR_NO_DEVICE;
    return result ? (CUresult)atoi(result) : CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **pStr) {
    static char name[24];

    snprintf(name, sizeof(name), "ERROR_%d", (int)error);
    *pStr = name;
    return CUDA_SUCCESS;
}

CUresult cuCheckpointProcessGetState(int pid, CUprocessState *state) {
    unsigned char found = state_get(pid);

    if (found == GONE)
        return CUDA_ERROR_INVALID_VALUE;
    *state = (CUprocessState)found;
    return CUDA_SUCCESS;
}

CUresult cuCheckpointProcessLock(int pid, CUcheckpointLockArgs *args) {
    return args && args->timeoutMs ? step("lock", pid, CU_PROCESS_STATE_RUNNING, CU_PROCESS_STATE_LOCKED)
                                   : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuCheckpointProcessCheckpoint(int pid, CUcheckpointCheckpointArgs *args) {
    (void)args;
    return step("save", pid, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_CHECKPOINTED);
}

CUresult cuCheckpointProcessRestore(int pid, CUcheckpointRestoreArgs *args) {
    (void)args;
    return step("restore", pid, CU_PROCESS_STATE_CHECKPOINTED, CU_PROCESS_STATE_LOCKED);
}

CUresult cuCheckpointProcessUnlock(int pid, CUcheckpointUnlockArgs *args) {
    (void)args;
    return step("unlock", pid, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_RUNNING);
}
