/*
 * Eight processes of one tenant, 100,000 random allocations and frees each, and a witness that reads the device's own
 * memory as fast as it can: at no moment may there be more than the limit.
 */
#include "bench.h"

#include "cuda/nvml_types.h"
#include "simgpu/engine/engine.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const uint64_t limit_bytes = UINT64_C(4) << 30;

/* --- the witness ------------------------------------------------------------------------------------- */

static nvmlReturn_t (*memory_info)(nvmlDevice_t, nvmlMemory_t *);
static nvmlDevice_t nvml_device;

static void witness_open(const struct bench *bench) {
    char error[DIVVY_SIMGPU_ERROR_MAX];
    nvmlReturn_t (*start)(void), (*find)(unsigned int, nvmlDevice_t *);
    void *library;

    if (bench->gpu == BENCH_SIM) {
        if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) != 0)
            bench_fail(bench, "%s", error);
        return;
    }
    library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (library == NULL)
        bench_fail(bench, "%s", dlerror());
    start = (nvmlReturn_t(*)(void))dlsym(library, "nvmlInit_v2");
    find = (nvmlReturn_t(*)(unsigned int, nvmlDevice_t *))dlsym(library,
                                                                "nvmlDeviceGetHandleByIndex_v2");
    memory_info = (nvmlReturn_t(*)(nvmlDevice_t, nvmlMemory_t *))dlsym(library,
                                                                       "nvmlDeviceGetMemoryInfo");
    if (start == NULL || find == NULL || memory_info == NULL || start() != NVML_SUCCESS ||
        find(0, &nvml_device) != NVML_SUCCESS)
        bench_fail(bench, "NVML does not answer");
}

static uint64_t used_bytes(const struct bench *bench) {
    uint64_t free_bytes, total_bytes;
    nvmlMemory_t memory;

    if (bench->gpu == BENCH_SIM) {
        if (divvy_simgpu_mem_info(0, &free_bytes, &total_bytes) != 0)
            bench_fail(bench, "the simulated GPU cannot be read");
        return total_bytes - free_bytes;
    }
    if (memory_info(nvml_device, &memory) != NVML_SUCCESS)
        bench_fail(bench, "NVML does not answer");
    return memory.used;
}

/* --- the storm ----------------------------------------------------------------------------------------- */

struct seen {
    uint64_t baseline_bytes, peak_bytes, reads, elapsed_ns;
    double granted, refused;
};

static void watch(const struct bench *bench, pid_t pid, struct seen *seen) {
    uint64_t start_ns = bench_now_ns();
    siginfo_t info;

    do {
        for (int i = 0; i < 64; i++) {
            uint64_t used = used_bytes(bench);

            if (used > seen->peak_bytes)
                seen->peak_bytes = used;
        }
        seen->reads += 64;
        info.si_pid = 0;
    } while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0);
    seen->elapsed_ns = bench_now_ns() - start_ns;
}

static void storm(const struct bench *bench, unsigned int processes, unsigned int operations,
                  uint64_t seed, struct seen *ret_seen) {
    const struct bench_limits limits = {.preload = true, .bytes = limit_bytes};
    char count[16], length[16], number[32], expected[32], line[64];
    const char *const arguments[] = {count, length, number, expected, NULL};
    FILE *out;
    pid_t pid;

    (void)snprintf(count, sizeof(count), "%u", processes);
    (void)snprintf(length, sizeof(length), "%u", operations);
    (void)snprintf(number, sizeof(number), "%" PRIu64, seed);
    (void)snprintf(expected, sizeof(expected), "%" PRIu64, limit_bytes);
    pid = bench_start(bench, &limits, "bench/subject_storm", arguments, &out);
    if (fgets(line, sizeof(line), out) == NULL || strcmp(line, "ready\n") != 0)
        bench_fail(bench, "the storm did not begin");
    *ret_seen = (struct seen){.baseline_bytes = used_bytes(bench)};
    (void)kill(pid, SIGUSR1);
    watch(bench, pid, ret_seen);
    ret_seen->granted = fgets(line, sizeof(line), out) != NULL ? strtod(line, NULL) : 0;
    ret_seen->refused = fgets(line, sizeof(line), out) != NULL ? strtod(line, NULL) : 0;
    (void)fclose(out);
    bench_finish(bench, pid, "subject_storm");
}

int main(int argc, char **argv) {
    static struct bench bench;
    struct seen seen;
    double peak, above, left;
    uint64_t before, seed;

    bench_open(&bench, argc, argv, "memory_storm", BENCH_REAL,
               "Eight processes of one tenant with 4 GiB, 100,000 random allocations and frees each: bytes above\n"
               "the limit at any moment, as a witness sees the device's own figure. What contexts take does not "
               "count.");
    if (bench.gpu == BENCH_STUB) {
        (void)fputs("memory_storm: the stub driver has no memory\n", stderr);
        return 2;
    }
    witness_open(&bench);
    before = used_bytes(&bench);
    seed = bench_now_ns() % 1000000 + 1;
    storm(&bench, 8, bench.quick ? 5000 : 100000, seed, &seen);
    peak = (double)seen.peak_bytes - (double)seen.baseline_bytes;
    above = peak > (double)limit_bytes ? peak - (double)limit_bytes : 0;
    if (bench.gpu == BENCH_SIM)
        (void)divvy_simgpu_reap(); /* processes that ended are noticed when somebody looks */
    left = (double)used_bytes(&bench) - (double)before;
    (void)fprintf(bench.json, "{\"bench\": \"memory_storm\", \"seed\": %" PRIu64 "}\n", seed);
    bench_row(&bench, "bytes above the limit at any moment", above, 0, above, "B", "0",
              above == 0 ? BENCH_RIGHT : BENCH_WRONG);
    bench_row(&bench, "bytes left over at the end", left, left, left, "B", "0",
              left == 0 ? BENCH_RIGHT : BENCH_WRONG);
    bench_row(&bench, "peak, of a limit of 4096", peak / 1048576, 0, peak / 1048576, "MiB", "", BENCH_SHOWN);
    /* without refusals the limit was not tried */
    bench_row(&bench, "allocations refused", seen.refused, 0, seen.granted, "", "> 0",
              seen.refused > 0 ? BENCH_RIGHT : BENCH_WRONG);
    bench_row(&bench, "readings of the witness", (double)seen.reads, 0, (double)seen.elapsed_ns / 1e9, "",
              "", BENCH_SHOWN);
    if (bench.gpu == BENCH_SIM)
        divvy_simgpu_detach();
    return bench_close(&bench);
}
