/*
 * Who a process is and whether it lives: pid and start time, within one pid namespace.
 */
#include "core/sys.h"
#include "page/page.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct stat_line {
    char state;
    uint64_t threads;
    uint64_t start_ticks;
    uint64_t image;
};

static char *put_u32(char *at, uint32_t value) {
    char digits[10];
    size_t count = 0;

    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/* Field `number` (from 1, as proc(5) counts) of what follows the command's closing parenthesis,
 * which is field 3 on. */
static uint64_t field_u64(const char *after_command, unsigned number) {
    const char *at = after_command;
    uint64_t value = 0;

    for (unsigned field = 3; field < number; field++) {
        at = strchr(at, ' ');
        if (!at)
            return 0;
        at++;
    }
    while (*at >= '0' && *at <= '9')
        value = value * 10 + (uint64_t)(*at++ - '0');
    return value;
}

/* 0, -ESRCH (or -ENOENT) when there is no such process or no /proc. */
static int stat_line_read(uint32_t pid, struct stat_line *ret_line) {
    char path[40] = "/proc/";
    char text[1024];
    const char *end;
    ssize_t length;

    memcpy(put_u32(path + 6, pid), "/stat", sizeof "/stat");
    length = divvy_core_sys_read_file(path, text, sizeof text);
    if (length < 0)
        return (int)length;
    end = strrchr(text, ')');
    if (!end || end[1] != ' ')
        return -EPROTO;
    ret_line->state = end[2];
    ret_line->threads = field_u64(end + 2, 20);
    ret_line->start_ticks = field_u64(end + 2, 22);
    ret_line->image = field_u64(end + 2, 28); /* 0 or 1 where the kernel will not tell */
    return 0;
}

void divvy_page_identity_self(struct divvy_page_identity *ret_identity) {
    struct stat_line line;
    uint64_t namespace_inode = 0;
    uint32_t pid = (uint32_t)divvy_core_sys_getpid();

    (void)divvy_core_sys_namespace_id("pid", &namespace_inode);
    ret_identity->pid = pid;
    ret_identity->pidns = (uint32_t)namespace_inode;
    if (stat_line_read(pid, &line) < 0)
        memset(&line, 0, sizeof line);
    ret_identity->start_ticks = line.start_ticks;
    ret_identity->image = line.image;
}

static bool can_signal(uint32_t pid) {
    int saved = errno;
    bool exists = syscall(SYS_kill, (pid_t)pid, 0) == 0 || errno != ESRCH;

    errno = saved;
    return exists;
}

int divvy_page_identity_alive(const struct divvy_page_identity *other,
                              const struct divvy_page_identity *self) {
    struct stat_line line;
    int status;

    if (other->pidns != self->pidns)
        return 1;
    if (other->pid == 0 || other->pid > INT32_MAX)
        return 0;
    if (self->start_ticks == 0 || other->start_ticks == 0)
        return can_signal(other->pid);
    status = stat_line_read(other->pid, &line);
    if (status == -ENOENT || status == -ESRCH)
        return can_signal(other->pid) && other->pid != self->pid;
    if (status < 0)
        return 1;
    if (line.start_ticks != other->start_ticks)
        return 0;
    if (line.image > 1 && other->image > 1 && line.image != other->image)
        return 0;
    /* A zombie holds nothing, unless it is only the first thread that has ended. */
    return (line.state != 'Z' && line.state != 'X') || line.threads > 1;
}
