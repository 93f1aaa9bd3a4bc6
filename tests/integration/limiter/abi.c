/*
 * limiter.h as libcuda_limiter.so exports it, used by a program that hooks the driver itself: abi CASE, with the library preloaded.
 *
 *   memory    what is recorded counts against the limit of 4 GiB, beside what is allocated, and no allocation can be credited
 *   compute   what is recorded is paid from the share of 20 %, and waits at the gate
 *   freeze    the worker is stopped and goes on; of other workers nothing is known
 *   fork      a child owes and owns nothing of its parent's
 *   free      without limits everything is allowed
 *   host DIR  pod files below a folder
 */
#include "cu.h"

#include "divvy/accelerator.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
#define MEMBER(name) __typeof__(&name) name
    MEMBER(CheckAndRecordMemoryOps);
    MEMBER(CheckAndRecordComputeOps);
    MEMBER(FreezeWorker);
    MEMBER(ResumeWorker);
    MEMBER(AutoFreeze);
    MEMBER(AutoResume);
    MEMBER(AddWorkerProcess);
    MEMBER(LimiterInit);
    MEMBER(LimiterShutdown);
    MEMBER(LimiterCreateWorker);
    MEMBER(LimiterRemoveWorker);
    MEMBER(LimiterRegisterPID);
    MEMBER(LimiterUpdateERL);
    MEMBER(LimiterUpdateHeartbeat);
    MEMBER(LimiterSetPodMemoryUsed);
#undef MEMBER
} abi;

static char uuid[64], self[24];

static void abi_load(void) {
#define LOAD(name) CHECK((abi.name = (__typeof__(abi.name))dlsym(RTLD_DEFAULT, #name)) != NULL)
    LOAD(CheckAndRecordMemoryOps);
    LOAD(CheckAndRecordComputeOps);
    LOAD(FreezeWorker);
    LOAD(ResumeWorker);
    LOAD(AutoFreeze);
    LOAD(AutoResume);
    LOAD(AddWorkerProcess);
    LOAD(LimiterInit);
    LOAD(LimiterShutdown);
    LOAD(LimiterCreateWorker);
    LOAD(LimiterRemoveWorker);
    LOAD(LimiterRegisterPID);
    LOAD(LimiterUpdateERL);
    LOAD(LimiterUpdateHeartbeat);
    LOAD(LimiterSetPodMemoryUsed);
#undef LOAD
    snprintf(self, sizeof self, "%d", (int)getpid());
}

static void device_begin(void) {
    CUuuid id;
    char *at = uuid;

    (void)cu_begin(0);
    CHECK_CU(cu.cuDeviceGetUuid(&id, 0));
    for (int i = 0; i < 16; i++) /* upper case, without GPU-: one of its spellings */
        at += sprintf(at, "%s%02X", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", (unsigned char)id.bytes[i]);
}

static int64_t free_bytes(void) {
    size_t free_now, total;

    CHECK_CU(cu.cuMemGetInfo_v2(&free_now, &total));
    return (int64_t)free_now;
}

static int memory(void) {
    const int64_t gib = (int64_t)GIB;
    MemoryOpRecord record;
    CUdeviceptr pointer;

    device_begin();
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, 3 * gib, &record) == ACCEL_SUCCESS);
    CHECK(!record.shouldBlock && record.availableBytes == GIB && record.bytesDiff == 3 * gib);
    CHECK(strcmp(record.deviceUUID, uuid) == 0);
    CHECK_U64(free_bytes(), GIB);
    CHECK_U64(cu.cuMemAlloc_v2(&pointer, 2 * GIB), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, 2 * gib, &record) == ACCEL_SUCCESS);
    CHECK(record.shouldBlock && record.availableBytes == GIB);
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, GIB));
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, -4 * gib, &record) == ACCEL_ERROR_INVALID_PARAM);
    CHECK_U64(free_bytes(), 0);
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, -3 * gib, &record) == ACCEL_SUCCESS && !record.shouldBlock);
    CHECK_U64(free_bytes(), 3 * GIB);
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, -1, &record) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, 0, &record) == ACCEL_SUCCESS && record.availableBytes == 3 * GIB);

    CHECK(abi.CheckAndRecordMemoryOps(self, "GPU-00000000-0000-0000-0000-00000000dead", 1, &record) == ACCEL_ERROR_NOT_FOUND);
    CHECK(record.shouldBlock);
    CHECK(abi.CheckAndRecordMemoryOps("1", uuid, 1, &record) == ACCEL_ERROR_NOT_FOUND);
    CHECK(abi.CheckAndRecordMemoryOps("12a", uuid, 1, &record) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.CheckAndRecordMemoryOps("", uuid, 1, &record) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, INT64_MIN, &record) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.CheckAndRecordMemoryOps(NULL, uuid, 1, &record) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.CheckAndRecordMemoryOps(self, NULL, 1, &record) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, 1, NULL) == ACCEL_ERROR_INVALID_PARAM);

    CHECK(abi.AddWorkerProcess(uuid, self) == ACCEL_SUCCESS);
    CHECK(abi.AddWorkerProcess(uuid, "1") == ACCEL_ERROR_NOT_FOUND);
    CHECK(abi.AddWorkerProcess("nothing", self) == ACCEL_ERROR_NOT_FOUND);
    CHECK(abi.AddWorkerProcess(uuid, "x") == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.AddWorkerProcess(NULL, self) == ACCEL_ERROR_INVALID_PARAM);
    return 0;
}

static int compute(void) {
    ComputeOpRecord record;

    device_begin();
    /* half a second is owed for this */
    CHECK(abi.CheckAndRecordComputeOps(self, uuid, 100000, &record) == ACCEL_SUCCESS && !record.shouldBlock);
    CHECK(record.computeTokens == 100000 && strcmp(record.deviceUUID, uuid) == 0);
    CHECK(abi.CheckAndRecordComputeOps(self, uuid, 1, &record) == ACCEL_SUCCESS);
    CHECK(record.shouldBlock && record.availableTokens == 0);
    for (int i = 0; record.shouldBlock; i++) { /* each waits at the gate for a while: it opens again */
        CHECK(i < 1000);
        CHECK(abi.CheckAndRecordComputeOps(self, uuid, 1, &record) == ACCEL_SUCCESS);
    }
    CHECK(abi.CheckAndRecordComputeOps(self, uuid, UINT64_MAX, &record) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.CheckAndRecordComputeOps("1", uuid, 1, &record) == ACCEL_ERROR_NOT_FOUND);
    CHECK(abi.CheckAndRecordComputeOps(self, "GPU-1", 1, &record) == ACCEL_ERROR_NOT_FOUND);
    CHECK(abi.CheckAndRecordComputeOps(self, uuid, 1, NULL) == ACCEL_ERROR_INVALID_PARAM);
    return 0;
}

static int is_blocked(void) {
    ComputeOpRecord record;

    CHECK(abi.CheckAndRecordComputeOps(self, uuid, 0, &record) == ACCEL_SUCCESS);
    return record.shouldBlock;
}

static int freeze(void) {
    WorkerFreezeState state;

    CHECK(setenv("WORKER_ID", "worker-7", 1) == 0);
    device_begin();
    CHECK(!is_blocked());
    CHECK(abi.FreezeWorker("worker-8", &state) == ACCEL_ERROR_NOT_FOUND && !state.isFrozen && !is_blocked());
    CHECK(abi.FreezeWorker("", &state) == ACCEL_ERROR_NOT_FOUND);
    CHECK(abi.FreezeWorker(NULL, &state) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.FreezeWorker("worker-7", NULL) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.FreezeWorker("worker-7", &state) == ACCEL_SUCCESS);
    CHECK(state.isFrozen && state.freezeTimeMs > 0 && strcmp(state.workerId, "worker-7") == 0 && is_blocked());
    CHECK(abi.ResumeWorker("worker-7", &state) == ACCEL_SUCCESS);
    CHECK(!state.isFrozen && state.freezeTimeMs == 0 && !is_blocked());
    CHECK(abi.AutoFreeze("worker-7", uuid, "disk") == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.AutoFreeze("worker-7", "GPU-1", "memory") == ACCEL_ERROR_NOT_FOUND && !is_blocked());
    CHECK(abi.AutoFreeze("worker-7", uuid, "memory") == ACCEL_SUCCESS && is_blocked());
    {
        MemoryOpRecord record;

        CHECK(abi.CheckAndRecordMemoryOps(self, uuid, (int64_t)(4 * GIB), &record) == ACCEL_SUCCESS && !record.shouldBlock);
        CHECK(abi.AutoResume("worker-7", uuid, "memory") == ACCEL_ERROR_RESOURCE_EXHAUSTED && is_blocked());
        CHECK(abi.CheckAndRecordMemoryOps(self, uuid, -(int64_t)(4 * GIB), &record) == ACCEL_SUCCESS);
    }
    CHECK(abi.AutoResume("worker-7", uuid, "memory") == ACCEL_SUCCESS && !is_blocked());
    CHECK(abi.AutoFreeze("worker-7", uuid, "compute") == ACCEL_SUCCESS && is_blocked());
    CHECK(abi.AutoResume("worker-7", uuid, "compute") == ACCEL_SUCCESS && !is_blocked());
    return 0;
}

static int forked(void) {
    MemoryOpRecord record;
    int status = -1;

    device_begin();
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, (int64_t)GIB, &record) == ACCEL_SUCCESS && !record.shouldBlock);
    if (fork() == 0) {
        snprintf(self, sizeof self, "%d", (int)getpid());
        CHECK(abi.CheckAndRecordMemoryOps(self, uuid, -1, &record) == ACCEL_ERROR_INVALID_PARAM);
        CHECK(abi.CheckAndRecordMemoryOps(self, uuid, (int64_t)GIB, &record) == ACCEL_SUCCESS && record.availableBytes == 2 * GIB);
        _exit(0);
    }
    CHECK(wait(&status) > 0 && status == 0);
    CHECK(abi.AddWorkerProcess(uuid, self) == ACCEL_SUCCESS);
    return 0;
}

static int unlimited(void) {
    MemoryOpRecord memory_record;
    ComputeOpRecord compute_record;
    WorkerFreezeState state;

    device_begin();
    CHECK(abi.CheckAndRecordMemoryOps(self, uuid, INT64_MAX, &memory_record) == ACCEL_SUCCESS);
    CHECK(!memory_record.shouldBlock && memory_record.availableBytes == UINT64_MAX);
    CHECK(abi.CheckAndRecordComputeOps(self, uuid, 1, &compute_record) == ACCEL_SUCCESS);
    CHECK(!compute_record.shouldBlock && compute_record.availableTokens == UINT64_MAX);
    CHECK(abi.FreezeWorker("anybody", &state) == ACCEL_ERROR_NOT_SUPPORTED);
    CHECK(abi.AddWorkerProcess(uuid, self) == ACCEL_ERROR_NOT_SUPPORTED);
    return 0;
}

/* --- pod files ----------------------------------------------------------------------------------------------------------------- */

static uint64_t file_word(const char *path, off_t offset) {
    int fd = open(path, O_RDONLY);
    uint64_t word = 0;

    CHECK(fd >= 0 && pread(fd, &word, sizeof word, offset) == (ssize_t)sizeof word);
    close(fd);
    return word;
}

static void create_refused(LimiterDeviceConfig config, AccelResult result) {
    CHECK(abi.LimiterCreateWorker("bad", "pod", &config, 1) == result);
}

static int host(const char *folder) {
    LimiterDeviceConfig configs[17] = {{.deviceIdx = 1, .deviceUUID = "GPU-1", .upLimit = 30, .memLimit = GIB, .totalCudaCores = 9},
                                       {.deviceIdx = 0, .deviceUUID = "GPU-0", .upLimit = 100}};
    LimiterDeviceConfig config = configs[0];
    char path[256], other[300];
    struct stat status;

    CHECK(abi.LimiterCreateWorker("ns", "pod", configs, 2) == ACCEL_ERROR_OPERATION_FAILED); /* no folder yet */
    CHECK(abi.LimiterInit(NULL) == ACCEL_ERROR_INVALID_PARAM && abi.LimiterInit("relative") == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.LimiterInit("/nowhere/at/all") == ACCEL_ERROR_NOT_FOUND);
    CHECK(abi.LimiterInit(folder) == ACCEL_SUCCESS && abi.LimiterInit(folder) == ACCEL_SUCCESS);

    CHECK(abi.LimiterUpdateHeartbeat("ns", "pod", 7) == ACCEL_ERROR_NOT_FOUND);
    CHECK(abi.LimiterCreateWorker("ns", "pod", configs, 2) == ACCEL_SUCCESS);
    snprintf(path, sizeof path, "%s/ns/pod/shm", folder);
    CHECK(stat(path, &status) == 0 && status.st_size == 35504);
    CHECK_U64(file_word(path, 0) & UINT32_MAX, 1);
    CHECK_U64(file_word(path, 136 + 72) & UINT32_MAX, 30); /* entry 1 */
    CHECK_U64(file_word(path, 136 + 80), GIB);
    CHECK_U64(file_word(path, 2184) & UINT32_MAX, 2);
    CHECK(abi.LimiterUpdateHeartbeat("ns", "pod", 1234567) == ACCEL_SUCCESS);
    CHECK_U64(file_word(path, 2192), 1234567);
    CHECK(abi.LimiterSetPodMemoryUsed("ns", "pod", 1, 4096) == ACCEL_SUCCESS);
    CHECK_U64(file_word(path, 136 + 96), 4096);
    CHECK(abi.LimiterSetPodMemoryUsed("ns", "pod", 16, 1) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.LimiterRegisterPID("ns", "pod", 4242) == ACCEL_SUCCESS && abi.LimiterRegisterPID("ns", "pod", 4242) == ACCEL_SUCCESS);
    CHECK_U64(file_word(path, 34976), 1);
    CHECK_U64(file_word(path, 2208), 4242);
    CHECK(abi.LimiterRegisterPID("ns", "pod", 0) == ACCEL_ERROR_INVALID_PARAM);
    /* the same again with one device less: what stays keeps its figures */
    CHECK(abi.LimiterCreateWorker("ns", "pod", configs, 1) == ACCEL_SUCCESS);
    CHECK_U64(file_word(path, 2184) & UINT32_MAX, 1);
    CHECK_U64(file_word(path, 136 + 96), 4096);
    CHECK(abi.LimiterUpdateERL("ns", "pod", 0, 50, 40.0, 1) == ACCEL_ERROR_NOT_SUPPORTED);

    CHECK(abi.LimiterCreateWorker("..", "pod", configs, 1) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.LimiterCreateWorker("ns", "a/b", configs, 1) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.LimiterCreateWorker("", "pod", configs, 1) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.LimiterCreateWorker(NULL, "pod", configs, 1) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.LimiterCreateWorker("ns", "pod", NULL, 1) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.LimiterCreateWorker("ns", "pod", configs, 0) == ACCEL_ERROR_INVALID_PARAM);
    CHECK(abi.LimiterCreateWorker("ns", "pod", configs, 17) == ACCEL_ERROR_RESOURCE_EXHAUSTED);
    config.deviceIdx = 16;
    create_refused(config, ACCEL_ERROR_INVALID_PARAM);
    config = configs[0];
    config.upLimit = 101;
    create_refused(config, ACCEL_ERROR_INVALID_PARAM);
    config = configs[0];
    memset(config.deviceUUID, 'x', sizeof config.deviceUUID); /* no end */
    create_refused(config, ACCEL_ERROR_INVALID_PARAM);
    configs[1].deviceIdx = 1;
    CHECK(abi.LimiterCreateWorker("bad", "pod", configs, 2) == ACCEL_ERROR_INVALID_PARAM);
    snprintf(other, sizeof other, "%s/bad", folder);
    CHECK(stat(other, &status) < 0 && errno == ENOENT);
    CHECK(symlink("/tmp", other) == 0); /* nothing is made through a link */
    CHECK(abi.LimiterCreateWorker("bad", "pod", configs, 1) == ACCEL_ERROR_OPERATION_FAILED);
    CHECK(unlink(other) == 0);
    CHECK(truncate(path, 100) == 0);
    CHECK(abi.LimiterUpdateHeartbeat("ns", "pod", 1) == ACCEL_ERROR_OPERATION_FAILED);

    CHECK(abi.LimiterRemoveWorker("ns", "pod") == ACCEL_SUCCESS && abi.LimiterRemoveWorker("ns", "pod") == ACCEL_ERROR_NOT_FOUND);
    snprintf(other, sizeof other, "%s/ns", folder);
    CHECK(stat(other, &status) < 0 && errno == ENOENT);
    CHECK(abi.LimiterShutdown() == ACCEL_SUCCESS && abi.LimiterShutdown() == ACCEL_SUCCESS);
    CHECK(abi.LimiterUpdateHeartbeat("ns", "pod", 1) == ACCEL_ERROR_OPERATION_FAILED);
    return 0;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";

    abi_load();
    if (strcmp(name, "memory") == 0)
        return memory();
    if (strcmp(name, "compute") == 0)
        return compute();
    if (strcmp(name, "freeze") == 0)
        return freeze();
    if (strcmp(name, "fork") == 0)
        return forked();
    if (strcmp(name, "free") == 0)
        return unlimited();
    return strcmp(name, "host") == 0 && argc > 2 ? host(argv[2]) : 2;
}
