/* QEMU as a child: started with the vGPU's link, ended with the stub. */
#include "stub/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"
#include "core/parse.h"
#include "core/sys.h"

#define QEMU_MEMORY_BYTES (UINT64_C(128) << 20)
#define END_WAIT_MS       5000

/* Room for the options that are added, and for their text. */
enum { MORE_OPTIONS = 10, OPTION_BYTES = 4352 };

static const char *option_value(char *const arguments[], const char *option) {
    for (size_t i = 1; arguments[i]; i++)
        if (strcmp(arguments[i], option) == 0 || (arguments[i][0] == '-' && strcmp(arguments[i] + 1, option) == 0))
            return arguments[i + 1];
    return NULL;
}

int divvy_stub_machine_memory_read(char *const arguments[], uint64_t *ret_bytes) {
    const char *text = option_value(arguments, "-m");
    divvy_core_size_t size;
    char unit[32];
    size_t length;

    if (!text) {
        *ret_bytes = QEMU_MEMORY_BYTES;
        return 0;
    }
    if (strncmp(text, "size=", 5) == 0)
        text += 5;
    length = strcspn(text, ",");
    if (length == 0 || length > 20)
        return -EINVAL;
    /* QEMU's units are powers of 1024, and a bare number counts MiB. */
    (void)snprintf(unit, sizeof unit, "%.*s%s", (int)length, text,
                   text[length - 1] >= '0' && text[length - 1] <= '9' ? "Mi" : "i");
    if (divvy_core_size_parse(unit, strlen(unit), &size, NULL) < 0 || size.kind != DIVVY_CORE_SIZE_BYTES || !size.value)
        return -EINVAL;
    *ret_bytes = size.value;
    return 0;
}

static bool has_backend(char *const arguments[]) {
    for (size_t i = 1; arguments[i]; i++)
        if (strstr(arguments[i], "memory-backend="))
            return true;
    return false;
}

/* The file of shared memory: made with mode 0600 where it is missing, taken as it is where it has the right size. */
static int bulk_prepare(const struct divvy_stub_bulk *bulk, struct divvy_error *error) {
    cleanup_close int fd = -1;
    struct stat status;

    if (!bulk->path)
        return 0;
    if (strchr(bulk->path, ','))
        return divvy_error_set(error, -EINVAL, "%s: QEMU cannot take a path with a comma in it", bulk->path);
    fd = open(bulk->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0 || fstat(fd, &status) != 0)
        return divvy_error_set_errno(error, -errno, "cannot open %s", bulk->path);
    if (!S_ISREG(status.st_mode) || (status.st_size != 0 && (uint64_t)status.st_size != bulk->bytes))
        return divvy_error_set(error, -EINVAL, "%s is not a file of %llu bytes; remove it, or give its own size",
                               bulk->path, (unsigned long long)bulk->bytes);
    if (status.st_size == 0 && ftruncate(fd, (off_t)bulk->bytes) != 0)
        return divvy_error_set_errno(error, -errno, "cannot give %s its size", bulk->path);
    return 0;
}

struct command_line {
    char **arguments;
    size_t count;
    char texts[3][OPTION_BYTES];
};

static void add(struct command_line *line, const char *option, const char *value) {
    line->arguments[line->count++] = (char *)option;
    line->arguments[line->count++] = (char *)value;
}

static int command_line_make(char *const arguments[], const struct divvy_stub_bulk *bulk, int device_fd,
                             struct command_line *line, struct divvy_error *error) {
    uint64_t bytes;
    size_t count = 0;

    while (arguments[count])
        count++;
    line->arguments = calloc(count + MORE_OPTIONS + 1, sizeof *line->arguments);
    if (!line->arguments)
        return divvy_error_set_errno(error, -ENOMEM, "command line of QEMU");
    memcpy(line->arguments, arguments, count * sizeof *arguments);
    line->count = count;
    if (!has_backend(arguments)) {
        if (divvy_stub_machine_memory_read(arguments, &bytes) < 0)
            return divvy_error_set(error, -EINVAL,
                                   "cannot read the memory size behind QEMU's -m: write it as 256, 256M or 1G, or give "
                                   "-object memory-backend-memfd,...,share=on and -machine memory-backend=ID");
        (void)snprintf(line->texts[0], OPTION_BYTES, "memory-backend-memfd,id=divvy-ram,size=%llu,share=on",
                       (unsigned long long)bytes);
        add(line, "-object", line->texts[0]);
        add(line, "-machine", "memory-backend=divvy-ram");
    }
    (void)snprintf(line->texts[1], OPTION_BYTES, "x-pci-proxy-dev,id=divvy-vgpu,fd=%d", device_fd);
    add(line, "-device", line->texts[1]);
    if (bulk->path) {
        (void)snprintf(line->texts[2], OPTION_BYTES, "memory-backend-file,id=divvy-bulk,size=%llu,share=on,mem-path=%s",
                       (unsigned long long)bulk->bytes, bulk->path);
        add(line, "-object", line->texts[2]);
        add(line, "-device", "ivshmem-plain,memdev=divvy-bulk");
    }
    return 0;
}

/* In the child: nothing that allocates. */
static void exec_qemu(char *const arguments[], int device_fd, int stderr_fd, pid_t stub, const sigset_t *mask) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != stub)
        _exit(125); /* the stub died before it could be watched */
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)fcntl(device_fd, F_SETFD, 0);
    (void)dup2(stderr_fd, STDERR_FILENO);
    (void)execvp(arguments[0], arguments);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", arguments[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

int divvy_stub_machine_start(char *const arguments[], const struct divvy_stub_bulk *bulk,
                             struct divvy_stub_machine *ret_machine, struct divvy_error *error) {
    struct command_line *line = calloc(1, sizeof *line);
    int pair[2] = {-1, -1}, pipes[2] = {-1, -1}, status;
    sigset_t none;
    pid_t pid = -1, stub = getpid();

    if (!line)
        return divvy_error_set_errno(error, -ENOMEM, "command line of QEMU");
    status = bulk_prepare(bulk, error);
    if (status < 0)
        goto out;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || pipe2(pipes, O_CLOEXEC | O_NONBLOCK) != 0) {
        status = divvy_error_set_errno(error, -errno, "cannot make the link to QEMU");
        goto out;
    }
    /* Only our end: QEMU's writes to standard error shall wait rather than fail. */
    (void)fcntl(pipes[1], F_SETFL, fcntl(pipes[1], F_GETFL) & ~O_NONBLOCK);
    status = command_line_make(arguments, bulk, pair[1], line, error);
    if (status < 0)
        goto out;
    (void)sigemptyset(&none);
    pid = fork();
    if (pid == 0)
        exec_qemu(line->arguments, pair[1], pipes[1], stub, &none);
    if (pid < 0) {
        status = divvy_error_set_errno(error, -errno, "cannot start QEMU");
        goto out;
    }
    *ret_machine = (struct divvy_stub_machine){.pid = pid,
                                               .exit_fd = divvy_core_sys_pidfd_open(pid),
                                               .device_fd = divvy_cleanup_keep(&pair[0]),
                                               .stderr_fd = divvy_cleanup_keep(&pipes[0]),
                                               .stderr_budget_bytes = DIVVY_STUB_STDERR_BURST_BYTES,
                                               .stderr_filled_ns = divvy_core_clock_ns()};
    if (ret_machine->exit_fd < 0) {
        status = divvy_error_set_errno(error, ret_machine->exit_fd, "cannot watch QEMU");
        (void)divvy_stub_machine_end(ret_machine);
    }
out:
    for (int i = 0; i < 2; i++) {
        divvy_cleanup_close(&pair[i]);
        divvy_cleanup_close(&pipes[i]);
    }
    free(line->arguments);
    free(line);
    return status;
}

static void budget_refill(struct divvy_stub_machine *machine, uint64_t now_ns) {
    uint64_t elapsed_ns = now_ns - machine->stderr_filled_ns;
    uint64_t more = elapsed_ns / (DIVVY_NS_PER_SECOND / DIVVY_STUB_STDERR_RATE_BYTES);

    if (more == 0)
        return;
    machine->stderr_filled_ns = now_ns;
    machine->stderr_budget_bytes += more;
    if (machine->stderr_budget_bytes > DIVVY_STUB_STDERR_BURST_BYTES)
        machine->stderr_budget_bytes = DIVVY_STUB_STDERR_BURST_BYTES;
}

/* Whether standard error takes bytes at once: a reader that sleeps must not hold up the device. */
static bool stderr_is_ready(void) {
    struct pollfd ours = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&ours, 1, 0) == 1 && (ours.revents & POLLOUT);
}

bool divvy_stub_machine_stderr_pass(struct divvy_stub_machine *machine, uint64_t now_ns) {
    char bytes[4096];
    ssize_t got = read(machine->stderr_fd, bytes, sizeof bytes);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0) {
        divvy_cleanup_close(&machine->stderr_fd);
        return false;
    }
    budget_refill(machine, now_ns);
    if ((uint64_t)got > machine->stderr_budget_bytes || !stderr_is_ready()) {
        machine->stderr_dropped_bytes += (uint64_t)got;
        return true;
    }
    if (machine->stderr_dropped_bytes)
        divvy_log_warn("dropped %llu bytes that QEMU wrote to standard error",
                       (unsigned long long)machine->stderr_dropped_bytes);
    machine->stderr_dropped_bytes = 0;
    machine->stderr_budget_bytes -= (uint64_t)got;
    (void)divvy_core_sys_write(STDERR_FILENO, bytes, (size_t)got);
    return true;
}

int divvy_stub_machine_end(struct divvy_stub_machine *machine) {
    struct pollfd gone = {.fd = machine->exit_fd, .events = POLLIN};
    int wait_status = 0;

    if (machine->exit_fd >= 0 && poll(&gone, 1, 0) == 0) {
        (void)kill(machine->pid, SIGTERM);
        /* QEMU waits for answers of its device while it ends; a closed link ends that wait. */
        divvy_cleanup_close(&machine->device_fd);
        divvy_cleanup_close(&machine->stderr_fd);
        if (poll(&gone, 1, END_WAIT_MS) == 0)
            divvy_log_warn("QEMU did not end when asked to: killed");
    }
    (void)kill(machine->pid, SIGKILL); /* harmless where it has ended: it is not waited for yet */
    while (waitpid(machine->pid, &wait_status, 0) < 0 && errno == EINTR)
        continue;
    divvy_cleanup_close(&machine->device_fd);
    divvy_cleanup_close(&machine->stderr_fd);
    divvy_cleanup_close(&machine->exit_fd);
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
