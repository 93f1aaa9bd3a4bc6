/* Checkpoints of another process by its pid: what its calls do meanwhile, its memory and contents, death. */
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 1 << 20 };

static const char *self;

/* Starts this program again as ROLE; its stdin and stdout are a socket to us. */
static pid_t start(const char *role, int *ret_fd) {
    int pair[2];
    TRUE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    pid_t pid = fork();
    if (!pid) {
        dup2(pair[1], 0);
        dup2(pair[1], 1);
        execl(self, self, role, (char *)NULL);
        _exit(99);
    }
    close(pair[1]);
    *ret_fd = pair[0];
    return pid;
}

static void put(int fd, char byte) {
    TRUE(write(fd, &byte, 1) == 1);
}

static char get(int fd) {
    char byte = 0;
    if (read(fd, &byte, 1) != 1)
        FAIL("the other process is gone");
    return byte;
}

static bool says_something(int fd, int timeout_ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static void ended(pid_t pid, int fd) {
    int status;
    waitpid(pid, &status, 0);
    close(fd);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        FAIL("the other process failed: status %x", status);
}

static CUprocessState state_of(pid_t pid) {
    CUprocessState state = CU_PROCESS_STATE_FAILED;
    OK(cuCheckpointProcessGetState(pid, &state));
    return state;
}

/* One kernel for each byte that comes: 'c' and what is in memory is looked at, 'l' and work is left under way, 'm' and memory
 * is asked for first. */
static int worker(void) {
    fixture_t f = begin();
    CUstream stream;
    CUdeviceptr p = words(WORDS, 100), pooled;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuMemAllocAsync(&pooled, 4ul * WORDS, stream));
    OK(cuMemsetD32Async(pooled, 55, WORDS, stream));
    OK(cuStreamSynchronize(stream));
    put(1, 'r');
    for (unsigned round = 1;; round++) {
        char order = get(0);
        if (order == 'q')
            return 0;
        if (order == 'm') {
            CUdeviceptr more;
            OK(cuMemAlloc_v2(&more, 1 << 20));
            OK(cuMemFree_v2(more));
        }
        OK(add1(&f, p, 1000, stream));
        if (order == 'l')
            OK(wait_for(&f, 300000000, stream)); /* still there when the process is saved */
        else
            OK(cuStreamSynchronize(stream));
        if (order == 'c') {
            EQUAL(word_at(p, 999), 100 + round);
            EQUAL(word_at(p, WORDS - 1), 100);
            EQUAL(word_at(pooled, WORDS - 1), 55);
        }
        put(1, 'd');
    }
}

static void life(void) {
    int fd;
    size_t before = free_bytes();
    pid_t pid = start("worker", &fd);
    CUcheckpointLockArgs lock = {.timeoutMs = 5000};
    TRUE(get(fd) == 'r');
    size_t loaded = free_bytes();
    TRUE(loaded < before);
    int tid = 0;
    OK(cuCheckpointProcessGetRestoreThreadId(pid, &tid));
    TRUE(tid > 0);
    IS(CUDA_ERROR_ILLEGAL_STATE, cuCheckpointProcessCheckpoint(pid, NULL));
    IS(CUDA_ERROR_ILLEGAL_STATE, cuCheckpointProcessRestore(pid, NULL));
    IS(CUDA_ERROR_ILLEGAL_STATE, cuCheckpointProcessUnlock(pid, NULL));
    for (int round = 0; round < 3; round++) {
        put(fd, 'l');
        TRUE(get(fd) == 'd');
        TRUE(state_of(pid) == CU_PROCESS_STATE_RUNNING);
        OK(cuCheckpointProcessLock(pid, &lock));
        TRUE(state_of(pid) == CU_PROCESS_STATE_LOCKED);
        put(fd, 'c');
        TRUE(!says_something(fd, 100));
        OK(cuCheckpointProcessCheckpoint(pid, NULL));
        TRUE(state_of(pid) == CU_PROCESS_STATE_CHECKPOINTED);
        TRUE(free_bytes() == before);
        TRUE(!says_something(fd, 100));
        OK(cuCheckpointProcessRestore(pid, NULL));
        TRUE(state_of(pid) == CU_PROCESS_STATE_LOCKED);
        TRUE(free_bytes() == loaded);
        TRUE(!says_something(fd, 100));
        OK(cuCheckpointProcessUnlock(pid, NULL));
        TRUE(get(fd) == 'd');
    }
    put(fd, 'q');
    ended(pid, fd);
    IS(CUDA_ERROR_INVALID_VALUE, cuCheckpointProcessLock(pid, NULL));
    TRUE(free_bytes() == before);
}

/* No room to come back to. */
static void full(void) {
    int fd;
    pid_t pid = start("worker", &fd);
    CUdeviceptr p;
    TRUE(get(fd) == 'r');
    OK(cuCheckpointProcessLock(pid, NULL));
    OK(cuCheckpointProcessCheckpoint(pid, NULL));
    OK(cuMemAlloc_v2(&p, free_bytes() - 4096));
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuCheckpointProcessRestore(pid, NULL));
    TRUE(state_of(pid) == CU_PROCESS_STATE_CHECKPOINTED);
    OK(cuMemFree_v2(p));
    OK(cuCheckpointProcessRestore(pid, NULL));
    OK(cuCheckpointProcessUnlock(pid, NULL));
    put(fd, 'c');
    TRUE(get(fd) == 'd');
    put(fd, 'q');
    ended(pid, fd);
}

static void a_busy_call(void) {
    int fd;
    pid_t pid = start("worker", &fd);
    CUcheckpointLockArgs lock = {.timeoutMs = 30};
    TRUE(get(fd) == 'r');
    put(fd, 'l');
    TRUE(get(fd) == 'd');
    put(fd, 's'); /* waits for 300 ms of work */
    usleep(50000);
    IS(CUDA_ERROR_NOT_READY, cuCheckpointProcessLock(pid, &lock));
    TRUE(state_of(pid) == CU_PROCESS_STATE_RUNNING);
    TRUE(get(fd) == 'd');
    OK(cuCheckpointProcessLock(pid, &lock));
    OK(cuCheckpointProcessUnlock(pid, NULL));
    put(fd, 'q');
    ended(pid, fd);
}

static void death(void) {
    int fd;
    size_t before = free_bytes();
    pid_t pid = start("worker", &fd);
    TRUE(get(fd) == 'r');
    OK(cuCheckpointProcessLock(pid, NULL));
    OK(cuCheckpointProcessCheckpoint(pid, NULL));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    IS(CUDA_ERROR_INVALID_VALUE, cuCheckpointProcessRestore(pid, NULL));
    TRUE(free_bytes() == before);
}

static void bad_arguments(void) {
    CUcheckpointLockArgs lock = {.reserved0 = 1};
    CUcheckpointGpuPair pair = {.oldUuid = {"a"}, .newUuid = {"b"}};
    CUcheckpointRestoreArgs restore = {.gpuPairs = NULL, .gpuPairsCount = 1};
    IS(CUDA_ERROR_INVALID_VALUE, cuCheckpointProcessGetState(getpid(), NULL));
    IS(CUDA_ERROR_INVALID_VALUE, cuCheckpointProcessGetRestoreThreadId(getpid(), NULL));
    IS(CUDA_ERROR_INVALID_VALUE, cuCheckpointProcessLock(getpid(), &lock));
    IS(CUDA_ERROR_INVALID_VALUE, cuCheckpointProcessLock(1, NULL));
    IS(CUDA_ERROR_INVALID_VALUE, cuCheckpointProcessRestore(getpid(), &restore));
    restore.gpuPairs = &pair;
    IS(CUDA_ERROR_NOT_SUPPORTED, cuCheckpointProcessRestore(getpid(), &restore));
}

int main(int argc, char **argv) {
    CUprocessState state;
    self = argv[0];
    if (argc == 2)
        return worker();
    IS(CUDA_ERROR_NOT_INITIALIZED, cuCheckpointProcessGetState(getpid(), &state));
    begin();
    bad_arguments();
    life();
    full();
    a_busy_call();
    death();
    return 0;
}
