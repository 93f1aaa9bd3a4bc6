/*
 * Keeping a reservation for a program that its holder becomes: see divvy_mig_keep in the public header. The keeper is no child of
 * the program, which may wait for all that it has, and has no lock of its own while the program lives: that there is nobody left it
 * learns as everybody does, by getting the lock.
 */
#include "core/clock.h"
#include "core/sys.h"
#include "mig/error.h"
#include "mig/reservation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How often what the program left running is looked for. */
#define LOOK_NS (50 * DIVVY_NS_PER_MS)

static int by_number(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* No terminal, no pipe and no lock of the program's caller is held; but for three descriptors. */
static void detach(int program_fd, int folder_fd, int lock_fd) {
    int kept[] = {2, program_fd, folder_fd, lock_fd}, null_fd = divvy_core_sys_open("/dev/null", O_RDWR, 0);

    for (int fd = 0; fd <= 2 && null_fd >= 0; fd++)
        (void)dup2(null_fd, fd);
    qsort(kept, sizeof kept / sizeof kept[0], sizeof kept[0], by_number);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        unsigned int first = (unsigned int)kept[i] + 1;
        unsigned int last = i + 1 < sizeof kept / sizeof kept[0] ? (unsigned int)kept[i + 1] - 1 : UINT_MAX;

        if (first <= last)
            (void)close_range(first, last, 0);
    }
    (void)chdir("/");
}

/* The file opened anew, without the lock, in place of the descriptor that has it. */
static int lock_reopen(struct divvy_mig_reservation *reservation) {
    struct divvy_mig_lock *lock = &reservation->lock;
    int fd = divvy_core_sys_openat(reservation->folder.fd, lock->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

    if (fd < 0)
        return fd;
    divvy_core_sys_close(&lock->fd);
    lock->fd = fd;
    lock->owner = getpid();
    return divvy_mig_lock_is_ours(&reservation->folder, lock) ? 0 : -ESTALE;
}

static uint64_t beat(struct divvy_mig_reservation *reservation) {
    (void)divvy_mig_heartbeat(reservation, NULL);
    return divvy_core_clock_ns() + (uint64_t)divvy_mig_heartbeat_interval_ns(reservation);
}

static void __attribute__((noreturn)) keeper_run(struct divvy_mig_reservation *reservation, int program_fd, int ready_fd) {
    struct pollfd program = {.fd = program_fd, .events = POLLIN};
    uint64_t beat_ns = 0, now_ns;
    int status = lock_reopen(reservation);

    (void)divvy_core_sys_write(ready_fd, &status, sizeof status);
    if (status < 0)
        _exit(1);
    detach(program_fd, reservation->folder.fd, reservation->lock.fd);
    for (;;) {
        struct timespec pause;

        now_ns = divvy_core_clock_ns();
        if (now_ns >= beat_ns)
            beat_ns = beat(reservation);
        now_ns = divvy_core_clock_ns();
        pause = divvy_core_clock_timespec(beat_ns > now_ns ? beat_ns - now_ns : 0);
        if (program.fd >= 0) {
            (void)ppoll(&program, 1, &pause, NULL);
            program.fd = program.revents ? -1 : program.fd;
            continue;
        }
        if (flock(reservation->lock.fd, LOCK_EX | LOCK_NB) == 0)
            break;
        if (beat_ns - now_ns > LOOK_NS)
            pause = divvy_core_clock_timespec(LOOK_NS);
        (void)nanosleep(&pause, NULL);
    }
    (void)divvy_mig_release(reservation, NULL);
    _exit(0);
}

/* The keeper is the child of a child that ends at once. */
static void __attribute__((noreturn)) middle_run(struct divvy_mig_reservation *reservation, int program_fd, int ready_fd) {
    pid_t keeper;
    int status;

    (void)setsid();
    keeper = fork();
    if (keeper == 0)
        keeper_run(reservation, program_fd, ready_fd);
    if (keeper < 0) {
        status = -errno;
        (void)divvy_core_sys_write(ready_fd, &status, sizeof status);
    }
    _exit(0);
}

int divvy_mig_keep(struct divvy_mig_reservation *reservation, struct divvy_mig_error *error) {
    int ready[2], status, program_fd = divvy_core_sys_pidfd_open(getpid());
    pid_t middle;

    if (program_fd < 0)
        return divvy_mig_error_set_errno(error, program_fd, "a process that keeps the reservation");
    if (pipe2(ready, O_CLOEXEC) < 0) {
        status = -errno;
        divvy_core_sys_close(&program_fd);
        return divvy_mig_error_set_errno(error, status, "a process that keeps the reservation");
    }
    middle = fork();
    if (middle == 0) {
        divvy_core_sys_close(&ready[0]);
        middle_run(reservation, program_fd, ready[1]);
    }
    status = middle < 0 ? -errno : 0;
    divvy_core_sys_close(&ready[1]);
    divvy_core_sys_close(&program_fd);
    while (middle > 0 && waitpid(middle, NULL, 0) < 0 && errno == EINTR)
        ;
    if (status == 0 && divvy_core_sys_read(ready[0], &status, sizeof status) != (ssize_t)sizeof status)
        status = -EIO;
    divvy_core_sys_close(&ready[0]);
    return status < 0 ? divvy_mig_error_set_errno(error, status, "a process that keeps the reservation") : 0;
}
