/* The view of host memory: see meminfo.h. */
#include "mig/runner/meminfo.h"

#include "base/cleanup.h"
#include "core/checked.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* The lines that programs and `free` look at, in the kernel's order. What is not told apart is 0. */
enum figure { NOTHING, LIMIT, LEFT, USED };
static const struct {
    const char *name;
    enum figure figure;
} lines[] = {
    {"MemTotal:", LIMIT},      {"MemFree:", LEFT},        {"MemAvailable:", LEFT}, {"Buffers:", NOTHING},
    {"Cached:", NOTHING},      {"SwapCached:", NOTHING},  {"Active:", USED},       {"Inactive:", NOTHING},
    {"Active(anon):", USED},   {"Inactive(anon):", NOTHING}, {"Active(file):", NOTHING}, {"Inactive(file):", NOTHING},
    {"Unevictable:", NOTHING}, {"Mlocked:", NOTHING},     {"SwapTotal:", NOTHING}, {"SwapFree:", NOTHING},
    {"Dirty:", NOTHING},       {"Writeback:", NOTHING},   {"AnonPages:", USED},    {"Mapped:", NOTHING},
    {"Shmem:", NOTHING},       {"KReclaimable:", NOTHING}, {"Slab:", NOTHING},     {"SReclaimable:", NOTHING},
    {"SUnreclaim:", NOTHING},  {"KernelStack:", NOTHING}, {"PageTables:", NOTHING}, {"CommitLimit:", LIMIT},
    {"Committed_AS:", USED},
};

#define VALUE_COLUMN 15u /* as the kernel aligns it */

size_t divvy_runner_meminfo_render(uint64_t limit_bytes, uint64_t used_bytes, char ret_text[DIVVY_RUNNER_MEMINFO_BYTES]) {
    uint64_t left_bytes = divvy_core_u64_sub_floored(limit_bytes, used_bytes);
    divvy_core_text_t text;

    divvy_core_text_init(&text, ret_text, DIVVY_RUNNER_MEMINFO_BYTES);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const uint64_t figures[] = {[NOTHING] = 0, [LIMIT] = limit_bytes, [LEFT] = left_bytes, [USED] = used_bytes};
        size_t begin = text.length;

        divvy_core_text_add(&text, lines[i].name);
        while (text.length < begin + VALUE_COLUMN)
            divvy_core_text_add(&text, " ");
        divvy_core_text_format(&text, " %17llu kB\n", (unsigned long long)(figures[lines[i].figure] / 1024));
    }
    return text.length;
}

void divvy_runner_meminfo_update(int fd, uint64_t limit_bytes, uint64_t used_bytes) {
    char text[DIVVY_RUNNER_MEMINFO_BYTES];
    size_t length = divvy_runner_meminfo_render(limit_bytes, used_bytes, text);

    (void)!pwrite(fd, text, length, 0);
}

int divvy_runner_meminfo_make(const char *path, uint64_t limit_bytes, struct divvy_error *error) {
    cleanup_close int fd = -1;

    (void)unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (fd < 0 || fchmod(fd, 0444) < 0)
        return divvy_error_set_errno(error, -errno, "cannot make %.150s", path);
    divvy_runner_meminfo_update(fd, limit_bytes, 0);
    return divvy_cleanup_keep(&fd);
}

int divvy_runner_meminfo_enter(const char *path) {
    if (unshare(CLONE_NEWNS) < 0)
        return -errno;
    /* What is mounted here stays here; what others mount later still arrives. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 || mount(path, "/proc/meminfo", NULL, MS_BIND, NULL) < 0)
        return -errno;
    return 0;
}
