/*
 * How long a program takes to know its devices: it opens libaccelerator_nvidia.so and lists eight of them, each time in a process
 * that knows nothing yet; and what asking again costs.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accel/accel.h"
#include "core/clock.h"

#define DEVICES   8u
#define TARGET_MS 50.0

struct sample {
    double first_ms, again_ms, figures_ms, figures_again_ms;
    unsigned int devices;
};

static double ms_since(uint64_t start_ns) {
    return (double)(divvy_core_clock_ns() - start_ns) / (double)DIVVY_NS_PER_MS;
}

static void no_log(void *data, divvy_log_level_t level, const char *message) {
    (void)data;
    (void)level;
    (void)message;
}

/* In a process of its own: exit status 0 and a sample in the pipe. */
static int take(const char *library, int fd) {
    const struct divvy_accel_settings settings = {.path = library, .vendor = "NVIDIA", .log = no_log};
    struct divvy_accel_metrics_list figures;
    struct divvy_error error = {0, ""};
    struct divvy_accel_devices devices;
    struct divvy_accel *accel;
    struct sample sample;
    const char *uuids[DIVVY_ACCEL_DEVICES_MAX];
    uint64_t start_ns = divvy_core_clock_ns();

    if (divvy_accel_open(&settings, &accel, &error) < 0 || divvy_accel_devices_get(accel, &devices, &error) < 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    sample.first_ms = ms_since(start_ns);
    sample.devices = (unsigned int)devices.count;
    for (size_t i = 0; i < devices.count; i++)
        uuids[i] = devices.devices[i].uuid;
    start_ns = divvy_core_clock_ns();
    if (divvy_accel_metrics_get(accel, uuids, devices.count, &figures, &error) < 0)
        return 1;
    sample.figures_ms = ms_since(start_ns);
    divvy_accel_metrics_free(&figures);
    start_ns = divvy_core_clock_ns();
    if (divvy_accel_metrics_get(accel, uuids, devices.count, &figures, &error) < 0)
        return 1;
    sample.figures_again_ms = ms_since(start_ns);
    divvy_accel_metrics_free(&figures);
    divvy_accel_devices_free(&devices);
    start_ns = divvy_core_clock_ns();
    if (divvy_accel_devices_get(accel, &devices, &error) < 0)
        return 1;
    sample.again_ms = ms_since(start_ns);
    divvy_accel_devices_free(&devices);
    divvy_accel_close(accel);
    return write(fd, &sample, sizeof sample) == (ssize_t)sizeof sample ? 0 : 1;
}

static struct sample sample_get(const struct bench *bench, const char *library) {
    struct sample sample = {0, 0, 0, 0, 0};
    int ends[2], status = -1;
    ssize_t got;
    pid_t pid;

    if (pipe(ends) < 0)
        bench_fail(bench, "no pipe");
    pid = fork();
    if (pid < 0)
        bench_fail(bench, "no process");
    if (pid == 0)
        _exit(take(library, ends[1]));
    (void)close(ends[1]);
    got = read(ends[0], &sample, sizeof sample);
    (void)close(ends[0]);
    if (waitpid(pid, &status, 0) != pid || status != 0 || got != (ssize_t)sizeof sample)
        bench_fail(bench, "devices cannot be discovered");
    return sample;
}

static void row(struct bench *bench, const char *what, double *values, size_t count, double target_ms) {
    struct bench_stats stats;
    char target[32] = "";

    bench_stats(values, count, &stats);
    if (target_ms > 0)
        (void)snprintf(target, sizeof target, "<= %.0f", target_ms);
    bench_row(bench, what, stats.median, stats.p05, stats.p95, "ms", target,
              target_ms > 0 ? bench_judge(stats.median, target_ms) : BENCH_SHOWN);
}

int main(int argc, char **argv) {
    enum { MOST = 100 };
    static double first[MOST], again[MOST], figures[MOST], figures_again[MOST];
    char library[PATH_MAX + 64], driver[PATH_MAX + 64], number[16];
    unsigned int devices = 0;
    struct bench bench;
    size_t count;

    bench_open(&bench, argc, argv, "discovery", BENCH_SIM, "Time to find devices through libaccelerator_nvidia.so.");
    count = bench.quick ? 5 : MOST;
    (void)snprintf(library, sizeof library, "%s/lib/libaccelerator_nvidia.so", bench.build);
    if (bench.gpu != BENCH_REAL) {
        (void)snprintf(driver, sizeof driver, "%s/lib/simgpu/libnvidia-ml.so.1", bench.build);
        (void)snprintf(number, sizeof number, "%u", DEVICES);
        (void)setenv("TF_NVML_LIB_PATH", driver, 1);
        (void)setenv("DIVVY_SIM_DEVICES", number, 1);
    }
    for (size_t i = 0; i < count; i++) {
        struct sample sample = sample_get(&bench, library);

        if (bench.gpu != BENCH_REAL && sample.devices != DEVICES)
            bench_fail(&bench, "%u devices were found", sample.devices);
        devices = sample.devices;
        first[i] = sample.first_ms;
        again[i] = sample.again_ms;
        figures[i] = sample.figures_ms;
        figures_again[i] = sample.figures_again_ms;
    }
    bench_row(&bench, "devices", devices, devices, devices, "", "", BENCH_SHOWN);
    row(&bench, "library opened, devices listed", first, count, TARGET_MS);
    row(&bench, "devices listed again", again, count, 0);
    row(&bench, "figures of all, the first time", figures, count, 0);
    row(&bench, "figures of all again", figures_again, count, 0);
    return bench_close(&bench);
}
