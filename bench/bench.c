/* What the benches share: see bench.h. */
#include "bench.h"

#include "core/clock.h"
#include "core/parse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The device of the stub driver; a key by UUID needs no NVML beside it. */
#define STUB_UUID "GPU-64697676-792d-6265-6e63-682d73747562"

extern char **environ;

void bench_fail(const struct bench *bench, const char *format, ...) {
    va_list arguments;

    (void)fprintf(stderr, "%s: ", bench->name);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

/* --- opening and closing ---------------------------------------------------------------------------- */

/* The build folder: this program lies in its bin/bench. */
static void build_find(struct bench *bench) {
    ssize_t length = readlink("/proc/self/exe", bench->build, sizeof(bench->build) - 1);

    if (length <= 0)
        bench_fail(bench, "cannot tell where this program lies");
    bench->build[length] = '\0';
    for (int up = 0; up < 3; up++) {
        char *slash = strrchr(bench->build, '/');

        if (slash == NULL)
            bench_fail(bench, "this program does not lie in BUILD/bin/bench");
        *slash = '\0';
    }
}

static void path_of(const struct bench *bench, const char *place, char path[PATH_MAX]) {
    int length = snprintf(path, PATH_MAX, "%.*s/%s", PATH_MAX / 2, bench->build, place);

    if (length < 0 || length >= PATH_MAX)
        bench_fail(bench, "the path of %s is too long", place);
}

static enum bench_gpu gpu_parse(const struct bench *bench, const char *text) {
    if (strcmp(text, "stub") == 0)
        return BENCH_STUB;
    if (strcmp(text, "sim") == 0)
        return BENCH_SIM;
    if (strcmp(text, "real") == 0)
        return BENCH_REAL;
    (void)fprintf(stderr, "%s: --gpu %s: neither stub nor sim nor real\n", bench->name, text);
    exit(2);
}

static void help_print(const struct bench *bench, const char *summary) {
    (void)printf("usage: %s [--gpu stub|sim|real] [--quick] [--strict] [--json FILE] [--no-header]\n\n%s\n\n"
                 "  --gpu KIND    driver that does nothing, simulated GPU, or the system's\n"
                 "  --quick       a smoke run of a few seconds; its figures are rough\n"
                 "  --strict      end with 1 when a target is missed\n"
                 "  --json FILE   append the results as lines of JSON (default: standard output)\n"
                 "  --no-header   rows of the table only\n",
                 bench->name, summary);
    exit(0);
}

static void sim_dir_make(struct bench *bench) {
    (void)snprintf(bench->sim_dir, sizeof(bench->sim_dir), "/dev/shm/divvy-bench-XXXXXX");
    if (mkdtemp(bench->sim_dir) == NULL) {
        (void)snprintf(bench->sim_dir, sizeof(bench->sim_dir), "/tmp/divvy-bench-XXXXXX");
        if (mkdtemp(bench->sim_dir) == NULL)
            bench_fail(bench, "no folder for the simulated GPU: %s", strerror(errno));
    }
    /* for this process too, which looks into the machine from outside */
    (void)setenv("DIVVY_SIM_DIR", bench->sim_dir, 1);
}

void bench_open(struct bench *bench, int argc, char **argv, const char *name, enum bench_gpu usual,
                const char *summary) {
    char limiter[PATH_MAX];

    *bench = (struct bench){.name = name, .gpu = usual, .with_header = true, .json = stdout};
    if (usual == BENCH_REAL && access("/dev/nvidiactl", F_OK) != 0)
        bench->gpu = BENCH_SIM;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            bench->quick = true;
        else if (strcmp(argv[i], "--strict") == 0)
            bench->strict = true;
        else if (strcmp(argv[i], "--no-header") == 0)
            bench->with_header = false;
        else if (strcmp(argv[i], "--help") == 0)
            help_print(bench, summary);
        else if (strcmp(argv[i], "--gpu") == 0 && i + 1 < argc)
            bench->gpu = gpu_parse(bench, argv[++i]);
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
            bench->json = fopen(argv[++i], "ae");
            if (bench->json == NULL)
                bench_fail(bench, "%s: %s", argv[i], strerror(errno));
        } else {
            (void)fprintf(stderr, "%s: %s: not an option, or without its value (--help shows them)\n",
                          name, argv[i]);
            exit(2);
        }
    }
    build_find(bench);
    path_of(bench, "lib/libcuda_limiter.so", limiter);
    if (access(limiter, R_OK) != 0) {
        (void)printf("skip: %s is not built\n", limiter);
        exit(77);
    }
    sim_dir_make(bench);
}

static void sim_dir_remove(const struct bench *bench) {
    DIR *dir = opendir(bench->sim_dir);
    struct dirent *entry;
    char path[PATH_MAX];

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", bench->sim_dir, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(dir);
    (void)rmdir(bench->sim_dir);
}

int bench_close(struct bench *bench) {
    if (bench->with_header)
        (void)printf("\n%-14s %-46s %12s %25s %-6s %-10s %s\n", "bench", "what", "value",
                     "spread", "unit", "target", "");
    (void)fwrite(bench->table, 1, bench->table_length, stdout);
    (void)fflush(stdout);
    if (bench->json != stdout)
        (void)fclose(bench->json);
    sim_dir_remove(bench);
    return bench->wrong > 0 || (bench->strict && bench->missed > 0) ? 1 : 0;
}

/* --- figures ----------------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

void bench_stats(double *values, size_t count, struct bench_stats *ret_stats) {
    double sum = 0;

    qsort(values, count, sizeof(*values), compare);
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    *ret_stats = (struct bench_stats){
        .median = count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2,
        .mean = sum / (double)count,
        .p05 = values[(size_t)((double)(count - 1) * 0.05)],
        .p95 = values[(size_t)((double)(count - 1) * 0.95 + 0.999)],
        .min = values[0],
        .max = values[count - 1],
        .count = count,
    };
}

enum bench_verdict bench_judge(double value, double at_most) {
    return value <= at_most ? BENCH_MET : BENCH_MISSED;
}

static const char *const words[] = {"", "met", "MISSED", "right", "WRONG"};

static void json_print(struct bench *bench, const char *what, double value, double low, double high,
                       const char *unit, const char *target, enum bench_verdict verdict) {
    static const char *const gpus[] = {"stub", "sim", "real"};

    (void)fprintf(bench->json,
                  "{\"bench\": \"%s\", \"what\": \"%s\", \"gpu\": \"%s\", \"quick\": %s, \"value\": %.6g, "
                  "\"low\": %.6g, \"high\": %.6g, \"unit\": \"%s\", \"target\": \"%s\", \"verdict\": \"%s\"}\n",
                  bench->name, what, gpus[bench->gpu], bench->quick ? "true" : "false", value, low,
                  high, unit, target, words[verdict]);
    (void)fflush(bench->json);
}

void bench_detail(struct bench *bench, const char *what, double value, double low, double high,
                  const char *unit) {
    json_print(bench, what, value, low, high, unit, "", BENCH_SHOWN);
}

void bench_row(struct bench *bench, const char *what, double value, double low, double high,
               const char *unit, const char *target, enum bench_verdict verdict) {
    char spread[64];
    size_t room = sizeof(bench->table) - bench->table_length;
    int length;

    bench->missed += verdict == BENCH_MISSED;
    bench->wrong += verdict == BENCH_WRONG;
    json_print(bench, what, value, low, high, unit, target, verdict);
    (void)snprintf(spread, sizeof(spread), "%.6g .. %.6g", low, high);
    length = snprintf(bench->table + bench->table_length, room,
                      "%-14s %-46s %12.6g %25s %-6s %-10s %s\n", bench->name, what, value, spread,
                      unit, target, words[verdict]);
    if (length > 0 && (size_t)length < room)
        bench->table_length += (size_t)length;
}

/* --- subjects ------------------------------------------------------------------------------------------- */

/* A child's environment: this one's without what is set here, and the settings after it. */
struct surroundings {
    const char *list[1024];
    char text[8][PATH_MAX + 64];
    size_t used, texts;
};

static void __attribute__((format(printf, 2, 3)))
surroundings_set(struct surroundings *s, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(s->text[s->texts], sizeof(s->text[0]), format, arguments);
    va_end(arguments);
    s->list[s->used++] = s->text[s->texts++];
}

static void surroundings_make(const struct bench *bench, const struct bench_limits *limits,
                              struct surroundings *s) {
    static const char *const own[] = {"LD_PRELOAD=", "LD_LIBRARY_PATH=", "TENSOR_FUSION_CUDA_UP_LIMIT=",
                                      "TENSOR_FUSION_CUDA_MEM_LIMIT=", "DIVVY_TENANT_DIR="};
    const char *key = bench->gpu == BENCH_STUB ? STUB_UUID : "0";
    const char *search = getenv("LD_LIBRARY_PATH");

    s->used = s->texts = 0;
    for (char **entry = environ; *entry != NULL && s->used < 1000; entry++) {
        bool ours = false;

        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            ours = ours || strncmp(*entry, own[i], strlen(own[i])) == 0;
        if (!ours)
            s->list[s->used++] = *entry;
    }
    if (bench->gpu == BENCH_REAL)
        surroundings_set(s, "LD_LIBRARY_PATH=%s", search != NULL ? search : "");
    else
        surroundings_set(s, "LD_LIBRARY_PATH=%s/lib/%s", bench->build,
                         bench->gpu == BENCH_STUB ? "bench/stub" : "simgpu");
    if (limits->tenant != NULL)
        surroundings_set(s, "DIVVY_TENANT_DIR=%s", limits->tenant);
    if (limits->preload)
        surroundings_set(s, "LD_PRELOAD=%s/lib/libcuda_limiter.so", bench->build);
    if (limits->percent > 0)
        surroundings_set(s, "TENSOR_FUSION_CUDA_UP_LIMIT={\"%s\": %u}", key, limits->percent);
    if (limits->bytes > 0)
        surroundings_set(s, "TENSOR_FUSION_CUDA_MEM_LIMIT={\"%s\": %llu}", key,
                         (unsigned long long)limits->bytes);
    s->list[s->used] = NULL;
}

pid_t bench_start(const struct bench *bench, const struct bench_limits *limits, const char *program,
                  const char *const arguments[], FILE **ret_out) {
    struct surroundings surroundings;
    const char *argv[32] = {program};
    char path[PATH_MAX], place[PATH_MAX / 2];
    posix_spawn_file_actions_t actions;
    int channel[2] = {-1, -1}, status;
    pid_t pid;

    for (size_t i = 0; i < 30 && arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    (void)snprintf(place, sizeof(place), "bin/%s", program);
    path_of(bench, place, path);
    surroundings_make(bench, limits, &surroundings);
    (void)posix_spawn_file_actions_init(&actions);
    if (ret_out != NULL) {
        if (pipe2(channel, O_CLOEXEC) != 0)
            bench_fail(bench, "pipe: %s", strerror(errno));
        (void)posix_spawn_file_actions_adddup2(&actions, channel[1], 1);
    } else {
        (void)posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    }
    status = posix_spawn(&pid, program[0] == '/' ? program : path, &actions, NULL,
                         (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)surroundings.list);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (status != 0)
        bench_fail(bench, "%s: %s", path, strerror(status));
    if (ret_out != NULL) {
        (void)close(channel[1]);
        *ret_out = fdopen(channel[0], "r");
        if (*ret_out == NULL)
            bench_fail(bench, "%s", strerror(errno));
    }
    return pid;
}

void bench_finish(const struct bench *bench, pid_t pid, const char *program) {
    int status;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            bench_fail(bench, "waiting for %s: %s", program, strerror(errno));
    }
    if (WIFSIGNALED(status))
        bench_fail(bench, "%s was ended by signal %d", program, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        bench_fail(bench, "%s ended with status %d", program, WEXITSTATUS(status));
}

size_t bench_numbers(const struct bench *bench, const struct bench_limits *limits, const char *program,
                     const char *const arguments[], double *ret_numbers, size_t count) {
    FILE *out;
    pid_t pid = bench_start(bench, limits, program, arguments, &out);
    char line[256], *end;
    size_t found = 0;

    while (fgets(line, sizeof(line), out) != NULL && found < count) {
        ret_numbers[found] = strtod(line, &end);
        found += end != line;
    }
    (void)fclose(out);
    bench_finish(bench, pid, program);
    return found;
}

/* --- time ---------------------------------------------------------------------------------------------------- */

uint64_t bench_now_ns(void) {
    return divvy_core_clock_ns();
}

void bench_sleep_until_ns(uint64_t deadline_ns) {
    struct timespec deadline = divvy_core_clock_timespec(deadline_ns);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) == EINTR)
        ;
}
