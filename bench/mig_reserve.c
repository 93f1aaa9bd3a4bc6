/* Reservation of MIG instances: one at a time on 8 GPUs of 7 instances, 56 processes at once, and after a death. */
#include "bench.h"

#include "divvy/mig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSTANCES 56u
#define PROFILE   "1g.10gb"

static char library[PATH_MAX + 64], locks[PATH_MAX];

static struct divvy_mig_options options_make(void) {
    struct divvy_mig_options options = DIVVY_MIG_OPTIONS_INIT;

    options.lock_dir = locks;
    return options;
}

static struct divvy_mig *nvml_open(const struct bench *bench) {
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig;

    if (divvy_mig_open(library, &mig, &error) < 0)
        bench_fail(bench, "%s", error.text);
    return mig;
}

static struct divvy_mig_reservation *reserve(const struct bench *bench, struct divvy_mig *mig) {
    const struct divvy_mig_options options = options_make();
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_error error = {0};
    struct divvy_mig_profile profile;

    if (divvy_mig_profile_parse(PROFILE, &profile, &error) < 0 ||
        divvy_mig_reserve(mig, &profile, &options, &reservation, &error) < 0)
        bench_fail(bench, "%s", error.text);
    return reservation;
}

static double ms_since(uint64_t start_ns) {
    return (double)(bench_now_ns() - start_ns) / 1e6;
}

/* With NVML open, as a daemon has it, and with all that a runner does. */
static void one_measure(struct bench *bench) {
    enum { REPEATS = 500 };
    static double open_ms[REPEATS], all_ms[REPEATS], release_ms[REPEATS];
    size_t repeats = bench->quick ? 20 : REPEATS;
    struct divvy_mig *keep = nvml_open(bench);
    struct bench_stats stats;

    for (size_t i = 0; i < repeats; i++) {
        uint64_t start_ns = bench_now_ns();
        struct divvy_mig_reservation *reservation = reserve(bench, keep);
        struct divvy_mig *mig;

        open_ms[i] = ms_since(start_ns);
        start_ns = bench_now_ns();
        (void)divvy_mig_release(reservation, NULL);
        release_ms[i] = ms_since(start_ns);
        start_ns = bench_now_ns();
        mig = nvml_open(bench);
        reservation = reserve(bench, mig);
        divvy_mig_close(mig);
        all_ms[i] = ms_since(start_ns);
        (void)divvy_mig_release(reservation, NULL);
    }
    divvy_mig_close(keep);
    bench_stats(open_ms, repeats, &stats);
    bench_row(bench, "reserve a free one of 56, NVML open", stats.median, stats.p05, stats.p95, "ms", "<= 5",
              bench_judge(stats.median, 5));
    bench_stats(all_ms, repeats, &stats);
    bench_row(bench, "open NVML, reserve, close it", stats.median, stats.p05, stats.p95, "ms", "<= 5",
              bench_judge(stats.median, 5));
    bench_stats(release_ms, repeats, &stats);
    bench_row(bench, "release", stats.median, stats.p05, stats.p95, "ms", "", BENCH_SHOWN);
}

struct claim {
    char uuid[DIVVY_MIG_UUID_BYTES];
};

/* A racer: waits for the start, reserves, says what it has, and holds it until the end. */
static void __attribute__((noreturn)) racer(const struct bench *bench, int go, int done, int end) {
    struct divvy_mig_reservation *reservation;
    struct divvy_mig *mig;
    struct claim claim;
    char byte;

    (void)!read(go, &byte, 1);
    mig = nvml_open(bench);
    reservation = reserve(bench, mig);
    divvy_mig_close(mig);
    memset(&claim, 0, sizeof claim);
    (void)snprintf(claim.uuid, sizeof claim.uuid, "%s", divvy_mig_reservation_device(reservation)->uuid);
    (void)!write(done, &claim, sizeof claim);
    (void)!read(end, &byte, 1);
    _exit(divvy_mig_release(reservation, NULL) == 0 ? 0 : 1);
}

/* Milliseconds until all have one; *ret_different: how many different ones those are. */
static double race(const struct bench *bench, unsigned int *ret_different) {
    static struct claim claims[INSTANCES];
    pid_t racers[INSTANCES];
    int go[2], done[2], end[2];
    uint64_t start_ns;
    double ms;

    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0 || pipe2(end, O_CLOEXEC) < 0)
        bench_fail(bench, "pipes: %s", strerror(errno));
    for (unsigned int i = 0; i < INSTANCES; i++) {
        racers[i] = fork();
        if (racers[i] == 0) {
            (void)close(go[1]);
            (void)close(end[1]);
            racer(bench, go[0], done[1], end[0]);
        }
    }
    start_ns = bench_now_ns();
    (void)close(go[1]);
    for (unsigned int i = 0; i < INSTANCES; i++)
        if (read(done[0], &claims[i], sizeof claims[i]) != (ssize_t)sizeof claims[i])
            bench_fail(bench, "a process of the race has nothing to say");
    ms = ms_since(start_ns);
    *ret_different = 0;
    for (unsigned int i = 0; i < INSTANCES; i++) {
        unsigned int k = 0;

        while (strcmp(claims[k].uuid, claims[i].uuid) != 0)
            k++;
        *ret_different += k == i;
    }
    (void)close(end[1]);
    for (unsigned int i = 0; i < INSTANCES; i++)
        bench_finish(bench, racers[i], "a process of the race");
    (void)close(go[0]);
    (void)close(done[0]);
    (void)close(done[1]);
    (void)close(end[0]);
    return ms;
}

static void race_measure(struct bench *bench) {
    enum { REPEATS = 10 };
    size_t repeats = bench->quick ? 1 : REPEATS;
    unsigned int different, least = INSTANCES;
    double times[REPEATS];
    struct bench_stats stats;

    for (size_t i = 0; i < repeats; i++) {
        times[i] = race(bench, &different);
        least = different < least ? different : least;
    }
    bench_stats(times, repeats, &stats);
    bench_row(bench, "56 processes for 56 instances: all have one after", stats.max, stats.min, stats.max, "ms", "<= 2000",
              bench_judge(stats.max, 2000));
    bench_row(bench, "different instances that they have", least, least, least, "", "56",
              least == INSTANCES ? BENCH_RIGHT : BENCH_WRONG);
}

/* A process that has the last instance, and waits for its death. */
static pid_t holder_start(const struct bench *bench) {
    int ready[2];
    pid_t holder;
    char byte;

    if (pipe2(ready, O_CLOEXEC) < 0)
        bench_fail(bench, "pipes: %s", strerror(errno));
    holder = fork();
    if (holder == 0) {
        (void)reserve(bench, nvml_open(bench));
        (void)!write(ready[1], "x", 1);
        (void)pause();
    }
    (void)close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        bench_fail(bench, "the holder has nothing to say");
    (void)close(ready[0]);
    return holder;
}

/* From the death of a holder to the moment at which another, who waits, has its instance. All others are taken. */
static double death(const struct bench *bench) {
    pid_t holder = holder_start(bench); /* before NVML is open here: it is not for children */
    struct divvy_mig_options options = options_make();
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_error error = {0};
    struct divvy_mig_profile profile;
    struct divvy_mig *mig = nvml_open(bench);
    uint64_t start_ns;
    double ms;

    options.wait_ns = INT64_C(10000000000);
    (void)divvy_mig_profile_parse(PROFILE, &profile, NULL);
    start_ns = bench_now_ns();
    (void)kill(holder, SIGKILL);
    if (divvy_mig_reserve(mig, &profile, &options, &reservation, &error) < 0)
        bench_fail(bench, "%s", error.text);
    ms = ms_since(start_ns);
    (void)divvy_mig_release(reservation, NULL);
    divvy_mig_close(mig);
    (void)waitpid(holder, NULL, 0);
    return ms;
}

static void death_measure(struct bench *bench) {
    enum { REPEATS = 20 };
    size_t repeats = bench->quick ? 2 : REPEATS;
    struct divvy_mig_reservation *others[INSTANCES - 1];
    struct divvy_mig *mig = nvml_open(bench);
    double times[REPEATS];
    struct bench_stats stats;

    for (unsigned int i = 0; i < INSTANCES - 1; i++)
        others[i] = reserve(bench, mig);
    divvy_mig_close(mig);
    for (size_t i = 0; i < repeats; i++)
        times[i] = death(bench);
    for (unsigned int i = 0; i < INSTANCES - 1; i++)
        (void)divvy_mig_release(others[i], NULL);
    bench_stats(times, repeats, &stats);
    bench_row(bench, "a killed holder's instance is another's after", stats.max, stats.min, stats.max, "ms", "<= 100",
              bench_judge(stats.max, 100));
}

int main(int argc, char **argv) {
    static struct bench bench;
    char command[PATH_MAX + 16];

    bench_open(&bench, argc, argv, "mig_reserve", BENCH_SIM,
               "Reservation of MIG instances on 8 simulated H100 with 7 instances each. The spread is from the 5th to the 95th\n"
               "percentile; of the race and of deaths the worst is shown.");
    (void)setenv("DIVVY_SIM_DEVICES", "8", 1);
    (void)setenv("DIVVY_SIM_MODEL", "H100", 1);
    (void)setenv("DIVVY_SIM_MIG", "7*" PROFILE, 1);
    if (bench.gpu != BENCH_SIM) {
        (void)fputs("mig_reserve: works on the simulated GPU only; use --gpu sim\n", stderr);
        return 2;
    }
    (void)snprintf(library, sizeof library, "%s/lib/simgpu/libnvidia-ml.so.1", bench.build);
    (void)snprintf(locks, sizeof locks, "%s-locks", bench.sim_dir);
    one_measure(&bench);
    race_measure(&bench);
    death_measure(&bench);
    (void)snprintf(command, sizeof command, "rm -rf %s", locks);
    (void)!system(command);
    return bench_close(&bench);
}
