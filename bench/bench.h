/*
 * What the benches share: options, running a subject under limits, statistics, and saying what came out.
 *
 * A bench measures; its subjects (subject_*.c) are the programs that are measured. Subjects are linked to libcuda.so.1
 * as any CUDA program is and run in processes of their own, with and without the limiter in turns, so that every
 * comparison is made within one run. Nothing here fails softly: what goes wrong ends the bench with status 1.
 */
#ifndef DIVVY_BENCH_BENCH_H
#define DIVVY_BENCH_BENCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* The driver that subjects get. */
enum bench_gpu {
    BENCH_STUB, /* functions that do nothing: what remains is the limiter's own cost */
    BENCH_SIM,  /* the simulated GPU, a machine of this bench's own */
    BENCH_REAL, /* what the system has */
};

enum bench_verdict {
    BENCH_SHOWN,  /* no target */
    BENCH_MET,    /* a target of time or share */
    BENCH_MISSED, /* likewise; the bench still ends with 0, unless --strict */
    BENCH_RIGHT,  /* a promise kept */
    BENCH_WRONG,  /* a promise broken: the bench ends with 1 */
};

struct bench {
    const char *name;
    enum bench_gpu gpu;
    bool quick, strict, with_header;
    unsigned int missed, wrong;
    FILE *json;
    char build[PATH_MAX]; /* folder of the build, from where this program lies */
    char sim_dir[64];     /* DIVVY_SIM_DIR of the subjects; removed at the end */
    char table[65536];    /* rows, printed at the end */
    size_t table_length;
};

/*
 * Reads the options that all benches take (--gpu stub|sim|real, --quick, --strict, --json FILE, --no-header, --help);
 * `usual` is the driver without --gpu, where BENCH_REAL means the real one if there is one and else the simulated.
 * Ends the program with 77 when the limiter is not built, with 2 for wrong options.
 */
void bench_open(struct bench *bench, int argc, char **argv, const char *name, enum bench_gpu usual,
                const char *summary);

/* Prints the table, removes the machine; the program's exit status. */
int bench_close(struct bench *bench);

/* Ends the program with status 1. */
void bench_fail(const struct bench *bench, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* --- figures --------------------------------------------------------------------------------------- */

struct bench_stats {
    double median, mean, p05, p95, min, max;
    size_t count;
};

/* Sorts `values`; count > 0. */
void bench_stats(double *values, size_t count, struct bench_stats *ret_stats);

/* One figure of the bench: a line of JSON now, a row of the table at the end. `low` and `high` show the spread. */
void bench_row(struct bench *bench, const char *what, double value, double low, double high,
               const char *unit, const char *target, enum bench_verdict verdict);

/* The same without a row: a figure that others sum up. */
void bench_detail(struct bench *bench, const char *what, double value, double low, double high,
                  const char *unit);

/* BENCH_MET or BENCH_MISSED. */
enum bench_verdict bench_judge(double value, double at_most);

/* --- subjects --------------------------------------------------------------------------------------- */

struct bench_limits {
    bool preload;         /* the limiter is loaded */
    unsigned int percent; /* compute limit, 0: none */
    uint64_t bytes;       /* memory limit, 0: none */
    const char *tenant;   /* folder of the tenant that it belongs to (DIVVY_TENANT_DIR), NULL: none */
};

/*
 * Starts bin/PROGRAM of the build (or an absolute path) with arguments, NULL-terminated, argv[0] left out. *ret_out
 * (may be NULL: the program's output is thrown away) reads its standard output.
 */
pid_t bench_start(const struct bench *bench, const struct bench_limits *limits, const char *program,
                  const char *const arguments[], FILE **ret_out);

/* Waits for it; anything but status 0 ends the bench. */
void bench_finish(const struct bench *bench, pid_t pid, const char *program);

/* Runs a subject that prints numbers, one a line; how many came, at most `count`. */
size_t bench_numbers(const struct bench *bench, const struct bench_limits *limits, const char *program,
                     const char *const arguments[], double *ret_numbers, size_t count);

/* --- time ------------------------------------------------------------------------------------------------ */

uint64_t bench_now_ns(void);
void bench_sleep_until_ns(uint64_t deadline_ns);

#endif
