/*
 * A hypervisor of another system, played: foreign_hypervisor FILE PERCENT BYTES. Makes the pod file, or goes on with the one that is
 * there, and serves it until it is killed: heartbeat, limits, the pod's memory as NVML has it, and tokens by TensorFusion's rate
 * controller. Nothing of divvy's own code for pod files is used here: only the published offsets and formulas.
 */
#include "../limiter/cu.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BYTES     35504
#define PIDS      2048
#define PROCESSES 256
#define TICK_S    0.5
#define REFILL_MS 100

#define RATE_MAX 200000.0
#define RATE_MIN 10.0
#define ALPHA    0.25
#define KP       0.9
#define KI       0.35
#define KD       0.10
#define WINDOW_S 0.5
#define CAP_MIN  200.0
#define CAP_MAX  200000.0
#define DECAY    0.85

static uint8_t *file;
static nvmlDevice_t device;
static unsigned long long sampled_us;

static struct {
    double rate, smooth, integral, last_error;
    int begun;
} control = {.rate = 100};

static uint32_t *at32(size_t offset) {
    return (uint32_t *)(void *)(file + offset);
}
static uint64_t *at64(size_t offset) {
    return (uint64_t *)(void *)(file + offset);
}

static void put64(size_t offset, uint64_t value) {
    __atomic_store_n(at64(offset), value, __ATOMIC_RELEASE);
}

static void put_double(size_t offset, double value) {
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    put64(offset, bits);
}

static double get_double(size_t offset) {
    uint64_t bits = __atomic_load_n(at64(offset), __ATOMIC_ACQUIRE);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static double clamp(double value, double least, double most) {
    return value < least ? least : value > most ? most : value;
}

/* Add (or take away) tokens, within 0 and the capacity, while limiters take theirs. */
static void tokens_add(double amount) {
    uint64_t seen = __atomic_load_n(at64(120), __ATOMIC_ACQUIRE), wanted;
    double tokens;

    do {
        memcpy(&tokens, &seen, sizeof tokens);
        tokens = clamp(tokens + amount, 0, get_double(112));
        memcpy(&wanted, &tokens, sizeof wanted);
    } while (!__atomic_compare_exchange_n(at64(120), &seen, wanted, 0, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
}

static int is_of_pod(unsigned pid) {
    for (unsigned k = 0; k < PIDS; k++)
        if ((__atomic_load_n(at64(18592 + k / 64 * 8), __ATOMIC_ACQUIRE) >> (63 - k % 64) & 1) !=
                0 &&
            __atomic_load_n(at64(2208 + 8 * (size_t)k), __ATOMIC_ACQUIRE) == pid)
            return 1;
    return 0;
}

/* Nobody else writes the PID set here but a limiter under the lock, which dead processes do not hold for long. */
static void pids_sweep(void) {
    for (unsigned k = 0; k < PIDS; k++) {
        uint64_t bit = UINT64_C(1) << (63 - k % 64);
        size_t word = 18592 + k / 64 * 8;

        if (!(__atomic_load_n(at64(word), __ATOMIC_ACQUIRE) & bit) ||
            kill((pid_t)*at64(2208 + 8 * (size_t)k), 0) == 0)
            continue;
        __atomic_fetch_and(at64(word), ~bit, __ATOMIC_ACQ_REL);
        __atomic_fetch_sub(at64(34976), 1, __ATOMIC_ACQ_REL);
    }
}

static uint64_t pod_bytes(void) {
    static nvmlProcessInfo_t processes[PROCESSES];
    unsigned count = PROCESSES;
    uint64_t sum = 0;

    if (nv.nvmlDeviceGetComputeRunningProcesses_v3(device, &count, processes) != NVML_SUCCESS)
        return 0;
    for (unsigned i = 0; i < count; i++)
        sum += is_of_pod(processes[i].pid) ? processes[i].usedGpuMemory : 0;
    return sum;
}

static double pod_utilisation(void) {
    static nvmlProcessUtilizationSample_t samples[PROCESSES];
    unsigned count = PROCESSES, looks = 0;
    unsigned long long newest_us = sampled_us;
    double sum = 0;

    if (nv.nvmlDeviceGetProcessUtilization(device, samples, &count, sampled_us) != NVML_SUCCESS)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        newest_us = samples[i].timeStamp > newest_us ? samples[i].timeStamp : newest_us;
        if (is_of_pod(samples[i].pid)) {
            sum += samples[i].smUtil / 100.0;
            looks++;
        }
    }
    sampled_us = newest_us;
    return looks ? sum / looks : 0;
}

/* One tick, step by step as TensorFusion has it. */
static void control_step(double target, double used) {
    double before = control.rate, error, forward, derivative;

    control.smooth = control.begun ? ALPHA * used + (1 - ALPHA) * control.smooth : used;
    control.begun = 1;
    if (control.smooth <= 0.01) {
        control.rate = fmin(1.35 * before, RATE_MAX);
        return;
    }
    error = target - control.smooth;
    if (fabs(error) < 0.03) {
        control.integral *= DECAY;
        return;
    }
    forward = before * target / fmax(control.smooth, 0.05);
    control.integral = clamp(control.integral * DECAY + error * TICK_S, -1.5, 1.5);
    derivative = (error - control.last_error) / TICK_S;
    control.last_error = error;
    control.rate =
        clamp(forward * clamp(1 + KP * error + KI * control.integral + KD * derivative, 0.5, 1.5),
              RATE_MIN, RATE_MAX);
    control.rate = clamp(control.rate, before * 0.75, before * 1.35);
}

static void tick(uint32_t percent, uint64_t limit) {
    put64(2192, (uint64_t)time(NULL));
    pids_sweep();
    __atomic_store_n(at32(72), percent, __ATOMIC_RELEASE);
    put64(80, limit);
    put64(96, pod_bytes());
    control_step(percent / 100.0, pod_utilisation());
    put_double(104, control.rate);
    put_double(112, clamp(control.rate * WINDOW_S, CAP_MIN, CAP_MAX));
}

static void file_fill(void) {
    char uuid[96];

    CHECK(nv.nvmlDeviceGetUUID(device, uuid, sizeof uuid) == NVML_SUCCESS);
    *at32(0) = 1;
    memcpy(file + 8, uuid, strlen(uuid));
    *at32(88) = 16896;
    put_double(104, 10);
    put_double(112, 100);
    put_double(120, 100);
    put_double(128, (double)time(NULL));
    *at32(136) = 1;
    *at32(2184) = 1;
}

static void file_open(const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC), is_new = fd < 0;

    if (is_new)
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, BYTES) == 0);
    file = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(file != MAP_FAILED);
    if (is_new)
        file_fill();
    put64(34984, (uint64_t)getpid());
    put64(2200, 0);
}

int main(int argc, char **argv) {
    struct timespec wait = {.tv_nsec = REFILL_MS * 1000000L};
    uint32_t percent;
    uint64_t limit;

    CHECK(argc == 4);
    percent = (uint32_t)strtoul(argv[2], NULL, 10);
    limit = strtoull(argv[3], NULL, 10);
    nv_load();
    CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetHandleByIndex_v2(0, &device) == NVML_SUCCESS);
    file_open(argv[1]);
    tick(percent, limit);
    CHECK(write(1, "ready\n", 6) == 6);
    for (unsigned turn = 1;; turn++) {
        nanosleep(&wait, NULL);
        tokens_add(control.rate * REFILL_MS / 1000);
        if (turn % 5 == 0)
            tick(percent, limit);
    }
}
