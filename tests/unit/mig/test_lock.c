/* Lock files: the table of holders, races, deaths at any moment, and folders that cannot be used. */
#include "common.h"
#include "mig/lock.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define SECOND INT64_C(1000000000)
#define TTL    (60 * SECOND)
#define UUID   "MIG-b0000000-0000-5555-6666-777777777777"

static struct divvy_mig_folder folder_open(void) {
    struct divvy_mig_folder folder;
    struct divvy_mig_error error = {0};

    if (divvy_mig_folder_open(test_locks, true, &folder, &error) != 0)
        fail_msg("%s", error.text);
    return folder;
}

static int take(struct divvy_mig_lock *lock, struct divvy_mig_holder *holder) {
    struct divvy_mig_folder folder = folder_open();
    struct divvy_mig_error error = {0};
    int status = divvy_mig_lock_take(&folder, UUID, TTL, 0, lock, holder, &error);

    divvy_mig_folder_close(&folder);
    return status;
}

static int release(struct divvy_mig_lock *lock) {
    struct divvy_mig_folder folder = folder_open();
    int status = divvy_mig_lock_release(&folder, lock);

    divvy_mig_folder_close(&folder);
    return status;
}

static uint32_t look(void) {
    struct divvy_mig_holder holder;

    assert_int_equal(divvy_mig_holder(test_locks, UUID, TTL, &holder, NULL), 0);
    return holder.state;
}

static void test_take_and_release(void **state) {
    struct divvy_mig_lock lock, other;
    struct divvy_mig_holder holder;
    struct stat file, folder;
    char text[96] = "", first[96];
    FILE *in;

    (void)state;
    (void)snprintf(first, sizeof first, "%s", test_line(getpid(), 0));
    (void)umask(077); /* neither the folder nor the file heed it */
    assert_int_equal(take(&lock, &holder), 0);
    (void)umask(022);
    assert_int_equal(stat(test_locks, &folder), 0);
    assert_int_equal(folder.st_mode & 07777, 0755);
    assert_int_equal(stat(test_lock_path(UUID), &file), 0);
    assert_int_equal(file.st_mode & 07777, 0644);
    in = fopen(test_lock_path(UUID), "re");
    assert_non_null(in);
    assert_non_null(fgets(text, sizeof text, in));
    (void)fclose(in);
    assert_true(strcmp(text, first) >= 0); /* lines of one length sort as their times do */
    assert_true(strcmp(text, test_line(getpid(), 0)) <= 0);
    assert_int_equal(strlen(text), strlen(first));
    assert_int_equal(look(), DIVVY_MIG_HELD);
    assert_int_equal(take(&other, &holder), -EBUSY); /* not even this process */
    assert_int_equal(holder.state, DIVVY_MIG_HELD);
    assert_int_equal(holder.pid, getpid());
    assert_int_equal(holder.uid, getuid());
    assert_int_equal(holder.reserved, 0);
    assert_int_equal(release(&lock), 0);
    assert_false(test_exists(test_lock_path(UUID)));
    assert_int_equal(look(), DIVVY_MIG_FREE);
    assert_int_equal(take(&lock, &holder), 0);
    assert_int_equal(release(&lock), 0);
}

/* Nothing but lock files is left in the folder, and those only while they are held. */
static void test_leaves_nothing(void **state) {
    struct divvy_mig_lock lock;
    struct divvy_mig_holder holder;

    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(take(&lock, &holder), 0);
        assert_int_equal(release(&lock), 0);
    }
    assert_int_equal(rmdir(test_locks), 0);
}

struct row {
    const char *what, *text;
    long age_s;
    int status;
    uint32_t state;
};

static void row_try(const struct row *row) {
    struct divvy_mig_lock lock;
    struct divvy_mig_holder holder;
    int status;

    (void)test_lock_write(UUID, row->text, row->age_s);
    if (look() != row->state)
        fail_msg("%s: looks %s", row->what, divvy_mig_holder_state_name(look()));
    status = take(&lock, &holder);
    if (status != row->status)
        fail_msg("%s: %d", row->what, status);
    if (status == 0)
        assert_int_equal(release(&lock), 0);
    else
        assert_int_equal(holder.state, row->state);
}

/* The table of holders, each row young and old. The kernel's lock is free in all of them. */
static void test_table(void **state) {
    char alive[96], dead[96], reused[96], zombie[96];
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(0);
    (void)waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT);
    (void)snprintf(zombie, sizeof zombie, "%s", test_line(child, 0));
    (void)snprintf(alive, sizeof alive, "%s", test_line(getppid(), 0));
    (void)snprintf(dead, sizeof dead, "%s", test_line(test_dead_pid(), 0));
    (void)snprintf(reused, sizeof reused, "%s", test_line(getpid(), 3600)); /* we were not alive an hour ago */
    {
        const struct row rows[] = {
            {"alive, young", alive, 0, -EBUSY, DIVVY_MIG_NAMED},
            {"alive, older than the TTL", alive, 3600, -EBUSY, DIVVY_MIG_NAMED},
            {"dead, young", dead, 0, 0, DIVVY_MIG_DEAD},
            {"dead, old", dead, 3600, 0, DIVVY_MIG_DEAD},
            {"a zombie", zombie, 0, 0, DIVVY_MIG_DEAD},
            {"the pid is another's now", reused, 0, 0, DIVVY_MIG_DEAD},
            {"empty, young", "", 1, -EBUSY, DIVVY_MIG_UNSURE},
            {"empty, old", "", 61, 0, DIVVY_MIG_DEAD},
            {"garbage, young", "garbage\n", 59, -EBUSY, DIVVY_MIG_UNSURE},
            {"garbage, old", "garbage\n", 3600, 0, DIVVY_MIG_DEAD},
            {"garbage of next year", "garbage\n", -365L * 86400, 0, DIVVY_MIG_DEAD},
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            row_try(&rows[i]);
    }
    (void)waitpid(child, NULL, 0);
}

/* A living holder's heartbeat is irrelevant, its time moves, and its content too. */
static void test_alive_and_old(void **state) {
    struct divvy_mig_lock lock, other;
    struct divvy_mig_holder holder;
    struct divvy_mig_folder folder = folder_open();
    const struct timespec hour_ago[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};

    (void)state;
    assert_int_equal(take(&lock, &holder), 0);
    assert_int_equal(utimensat(AT_FDCWD, test_lock_path(UUID), hour_ago, 0), 0);
    assert_int_equal(take(&other, &holder), -EBUSY);
    assert_true(holder.heartbeat_age_ns > 3500 * SECOND);
    assert_int_equal(divvy_mig_lock_beat(&folder, &lock), 0);
    assert_true(test_age_s(test_lock_path(UUID)) < 60);
    assert_int_equal(truncate(test_lock_path(UUID), 0), 0); /* by somebody who may */
    assert_int_equal(take(&other, &holder), -EBUSY);
    assert_int_equal(holder.reserved, 1);
    assert_int_equal(release(&lock), -ESTALE); /* it does not say what we wrote */
    assert_true(test_exists(test_lock_path(UUID)));
    divvy_mig_folder_close(&folder);
}

/* Somebody removes our file and takes the device: release leaves theirs alone, and so does the heartbeat. */
static void test_foreign_stays(void **state) {
    struct divvy_mig_lock lock, other;
    struct divvy_mig_holder holder;
    struct divvy_mig_folder folder = folder_open();

    (void)state;
    assert_int_equal(take(&lock, &holder), 0);
    assert_int_equal(unlink(test_lock_path(UUID)), 0);
    assert_int_equal(divvy_mig_lock_beat(&folder, &lock), -ESTALE);
    assert_false(test_exists(test_lock_path(UUID))); /* not made anew */
    assert_int_equal(take(&other, &holder), 0);
    assert_int_equal(divvy_mig_lock_beat(&folder, &lock), -ESTALE);
    assert_int_equal(release(&lock), -ESTALE);
    assert_int_equal(look(), DIVVY_MIG_HELD);
    assert_int_equal(divvy_mig_lock_beat(&folder, &other), 0);
    assert_int_equal(release(&other), 0);
    divvy_mig_folder_close(&folder);
}

/* The folder itself is exchanged. */
static void test_folder_exchanged(void **state) {
    struct divvy_mig_lock lock;
    struct divvy_mig_holder holder;
    struct divvy_mig_folder folder;
    char moved[256];

    (void)state;
    assert_int_equal(take(&lock, &holder), 0);
    folder = folder_open();
    (void)snprintf(moved, sizeof moved, "%s/moved", test_folder);
    assert_int_equal(rename(test_locks, moved), 0);
    assert_int_equal(divvy_mig_lock_beat(&folder, &lock), -ESTALE);
    assert_int_equal(divvy_mig_lock_release(&folder, &lock), -ESTALE);
    divvy_mig_folder_close(&folder);
}

/* A child may not give back what its parent has, and keeps it alive. */
static void test_fork(void **state) {
    struct divvy_mig_lock lock, other;
    struct divvy_mig_holder holder;
    int from_child[2], to_child[2], status;
    pid_t middle, child;
    char byte;

    (void)state;
    assert_int_equal(pipe2(from_child, O_CLOEXEC), 0);
    assert_int_equal(pipe2(to_child, O_CLOEXEC), 0);
    middle = fork();
    if (middle == 0) {
        if (take(&lock, &holder) != 0)
            _exit(1);
        child = fork();
        if (child == 0) {
            (void)close(to_child[1]);
            (void)!write(from_child[1], &child, sizeof child);
            (void)!read(to_child[0], &byte, 1); /* until the test lets go */
            _exit(release(&lock) == -EPERM ? 0 : 1);
        }
        (void)!write(from_child[1], &child, sizeof child);
        (void)pause();
    }
    (void)close(to_child[0]);
    assert_int_equal(read(from_child[0], &child, sizeof child), sizeof child);
    assert_int_equal(read(from_child[0], &child, sizeof child), sizeof child);
    assert_int_equal(kill(middle, SIGKILL), 0);
    assert_int_equal(waitpid(middle, &status, 0), middle);
    assert_int_equal(take(&other, &holder), -EBUSY); /* the grandchild uses it */
    (void)close(to_child[1]);
    for (int tries = 0; tries < 1000 && take(&other, &holder) != 0; tries++)
        (void)usleep(1000);
    assert_int_equal(other.owner, getpid());
    assert_int_equal(release(&other), 0);
    (void)close(from_child[0]);
    (void)close(from_child[1]);
}

/* Files that are no lock files, and that must not be followed or waited for. */
static void test_odd_files(void **state) {
    struct divvy_mig_lock lock;
    struct divvy_mig_holder holder;
    char target[256];

    (void)state;
    assert_int_equal(mkdir(test_locks, 0755), 0);
    (void)snprintf(target, sizeof target, "%s/target", test_folder);
    assert_int_equal(symlink(target, test_lock_path(UUID)), 0);
    assert_int_equal(take(&lock, &holder), -EBUSY);
    assert_int_equal(holder.state, DIVVY_MIG_UNSURE);
    assert_int_equal(look(), DIVVY_MIG_UNSURE);
    assert_false(test_exists(target));
    assert_int_equal(unlink(test_lock_path(UUID)), 0);
    assert_int_equal(mkfifo(test_lock_path(UUID), 0644), 0);
    assert_int_equal(take(&lock, &holder), -EBUSY);
    assert_int_equal(unlink(test_lock_path(UUID)), 0);
    assert_int_equal(mkdir(test_lock_path(UUID), 0755), 0);
    assert_int_equal(take(&lock, &holder), -EBUSY);
    assert_int_equal(rmdir(test_lock_path(UUID)), 0);
    assert_int_equal(take(&lock, &holder), 0);
    assert_int_equal(release(&lock), 0);
}

static int folder_status(const char *path, bool create, struct divvy_mig_error *error) {
    struct divvy_mig_folder folder = {.fd = -1};
    int status = divvy_mig_folder_open(path, create, &folder, error);

    divvy_mig_folder_close(&folder);
    return status;
}

static void test_folders(void **state) {
    struct divvy_mig_error error = {0};
    char path[4096], other[256];
    struct stat made;

    (void)state;
    (void)umask(0027);
    (void)snprintf(path, sizeof path, "%s/a/b/c/", test_folder);
    assert_int_equal(folder_status(path, false, &error), -ENOENT);
    assert_int_equal(folder_status(path, true, &error), 0);
    (void)snprintf(other, sizeof other, "%s/a", test_folder);
    assert_int_equal(stat(other, &made), 0);
    assert_int_equal(made.st_mode & 07777, 0755);
    (void)umask(0022);
    (void)snprintf(other, sizeof other, "%s/link", test_folder);
    assert_int_equal(symlink(path, other), 0);
    assert_int_equal(folder_status(other, true, &error), -ELOOP);
    assert_non_null(strstr(error.text, "symbolic link"));
    (void)snprintf(other, sizeof other, "%s/dangling", test_folder);
    assert_int_equal(symlink("/nowhere/at/all", other), 0);
    assert_int_equal(folder_status(other, true, &error), -ELOOP);
    (void)snprintf(other, sizeof other, "%s/file", test_folder);
    (void)fclose(fopen(other, "we"));
    assert_int_equal(folder_status(other, true, &error), -ENOTDIR);
    (void)snprintf(path, sizeof path, "%s/file/below", test_folder);
    assert_int_equal(folder_status(path, true, &error), -ENOTDIR);
    assert_int_equal(folder_status("relative/path", true, &error), -EINVAL);
    assert_int_equal(folder_status("", true, &error), -EINVAL);
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(folder_status(path, true, &error), -EINVAL);
    assert_true(divvy_mig_is_unusable(-ELOOP));
}

/* In another user's place: the result of body() there. Root is needed to become one. */
static int as_nobody(int (*body)(void)) {
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(99);
        _exit(body());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int unwritable_body(void) {
    struct divvy_mig_folder folder;
    struct divvy_mig_error error = {0};
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;
    char path[256];

    if (divvy_mig_folder_open(test_locks, true, &folder, &error) != 0)
        return 1;
    if (divvy_mig_lock_take(&folder, UUID, TTL, 0, &lock, &holder, &error) != -EACCES)
        return 2;
    if (!strstr(error.text, test_locks) || !strstr(error.text, "user 65534") || !strstr(error.text, "sudo mkdir -p"))
        return 3;
    (void)snprintf(path, sizeof path, "%s/deeper", test_locks);
    if (divvy_mig_folder_open(path, true, &folder, &error) != -EACCES || !strstr(error.text, "sudo mkdir -p"))
        return 4;
    return 0;
}

static void test_unwritable(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(test_folder, 0755), 0);
    assert_int_equal(mkdir(test_locks, 0755), 0);
    assert_int_equal(as_nobody(unwritable_body), 0);
}

/* A dead lock of root in a folder where all may write, without and with the sticky bit. */
static int takes_over_body(void) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;
    int status = take(&lock, &holder);

    return status == 0 ? release(&lock) == 0 ? 0 : 1 : status == -EBUSY && holder.state == DIVVY_MIG_DEAD ? 2 : 3;
}

static int respects_body(void) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;

    return take(&lock, &holder) == -EBUSY && holder.uid == 0 && holder.pid == getppid() ? 0 : 1;
}

static void test_foreign_owner(void **state) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(test_folder, 0755), 0);
    (void)test_lock_write(UUID, test_line(test_dead_pid(), 0), 0);
    assert_int_equal(chmod(test_locks, 0777), 0);
    assert_int_equal(as_nobody(takes_over_body), 0);
    (void)test_lock_write(UUID, test_line(test_dead_pid(), 0), 0);
    assert_int_equal(chmod(test_locks, 01777), 0);
    assert_int_equal(as_nobody(takes_over_body), 2);
    assert_int_equal(take(&lock, &holder), 0);
    assert_int_equal(as_nobody(respects_body), 0);
    assert_int_equal(release(&lock), 0);
    /* A file that names a living process of root: /proc may hide that one, signals do not. */
    (void)test_lock_write(UUID, test_line(getpid(), 0), 3600);
    assert_int_equal(as_nobody(respects_body), 0);
}

/* --- others between two of our calls --------------------------------------------------------------------------------- */

/* What happens right before the next call of flock or linkat in this program; once. */
static void (*before_flock)(void), (*before_link)(void);

static void happen(void (**what)(void)) {
    void (*once)(void) = *what;

    *what = NULL;
    if (once)
        once();
}

/* These two stand in for the C library's. */
int flock(int fd, int operation) {
    happen(&before_flock);
    return (int)syscall(SYS_flock, fd, operation);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    happen(&before_link);
    return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

static int other_fd;

/* Another takes the device: whatever has the name goes, and a file comes that says so and is locked. */
static void another_takes(void) {
    (void)unlink(test_lock_path(UUID));
    (void)test_lock_write(UUID, test_line(getpid(), 0), 0);
    other_fd = open(test_lock_path(UUID), O_RDONLY | O_CLOEXEC);
    (void)syscall(SYS_flock, other_fd, LOCK_EX | LOCK_NB);
}

static void another_takes_and_goes(void) {
    another_takes();
    (void)unlink(test_lock_path(UUID));
    (void)close(other_fd);
}

static void test_between_open_and_lock(void **state) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;

    (void)state;
    (void)test_lock_write(UUID, test_line(test_dead_pid(), 0), 0);
    before_flock = another_takes;
    assert_int_equal(take(&lock, &holder), -EBUSY);
    assert_int_equal(holder.state, DIVVY_MIG_HELD);
    assert_true(test_exists(test_lock_path(UUID))); /* theirs */
    (void)close(other_fd);
    assert_int_equal(unlink(test_lock_path(UUID)), 0);

    (void)test_lock_write(UUID, test_line(getpid(), 0), 0); /* seems to be ours until it is looked at again */
    before_flock = another_takes_and_goes;
    assert_int_equal(take(&lock, &holder), 0);
    assert_int_equal(release(&lock), 0);

    (void)test_lock_write(UUID, test_line(getpid(), 0), 0);
    before_flock = another_takes_and_goes;
    assert_int_equal(look(), DIVVY_MIG_FREE);
    (void)test_lock_write(UUID, test_line(test_dead_pid(), 0), 0);
    before_flock = another_takes;
    assert_int_equal(look(), DIVVY_MIG_HELD);
    (void)close(other_fd);
}

static void test_between_judging_and_making(void **state) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;

    (void)state;
    before_link = another_takes;
    assert_int_equal(take(&lock, &holder), -EBUSY);
    assert_int_equal(holder.state, DIVVY_MIG_HELD);
    (void)close(other_fd);
    (void)test_lock_write(UUID, test_line(test_dead_pid(), 0), 0);
    before_link = another_takes;
    assert_int_equal(take(&lock, &holder), -EBUSY);
    (void)close(other_fd);
    assert_int_equal(unlink(test_lock_path(UUID)), 0);
    before_link = another_takes_and_goes;
    assert_int_equal(take(&lock, &holder), 0);
    assert_int_equal(release(&lock), 0);
}

/* --- many for one ------------------------------------------------------------------------------------------------- */

#define CROWD  6u
#define ROUNDS 500u

struct crowd {
    uint32_t round, winners, tried, left;
};

static void wait_for(const uint32_t *word, uint32_t value) {
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) < value)
        (void)sched_yield();
}

static void crowd_member(struct crowd *crowd) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;

    for (uint32_t round = 1; round <= ROUNDS; round++) {
        int status;

        wait_for(&crowd->round, round);
        status = take(&lock, &holder);
        if (status == 0)
            __atomic_add_fetch(&crowd->winners, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&crowd->tried, 1, __ATOMIC_SEQ_CST);
        wait_for(&crowd->tried, round * CROWD); /* it is held until all have tried */
        if (status == 0 && release(&lock) != 0)
            _exit(1);
        __atomic_add_fetch(&crowd->left, 1, __ATOMIC_SEQ_CST);
    }
    _exit(0);
}

/* All want what a dead one left, at the same moment, many times: one gets it, and nobody takes that one's away. */
static void test_crowd(void **state) {
    struct crowd *crowd = mmap(NULL, sizeof *crowd, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t members[CROWD], dead = test_dead_pid();
    uint32_t before = 0;

    (void)state;
    assert_true(crowd != MAP_FAILED);
    for (uint32_t i = 0; i < CROWD; i++) {
        members[i] = fork();
        if (members[i] == 0)
            crowd_member(crowd);
    }
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        (void)test_lock_write(UUID, test_line(dead, 0), 0);
        __atomic_store_n(&crowd->round, round, __ATOMIC_SEQ_CST);
        wait_for(&crowd->left, round * CROWD);
        if (crowd->winners != before + 1)
            fail_msg("round %u: %u have it", round, crowd->winners - before);
        before = crowd->winners;
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        int status;

        assert_int_equal(waitpid(members[i], &status, 0), members[i]);
        assert_int_equal(status, 0);
    }
    (void)munmap(crowd, sizeof *crowd);
}

/* --- other pid namespaces ---------------------------------------------------------------------------------------- */

/* Runs body() as process 1 of a namespace of its own, with its own /proc where that can be mounted. */
static int in_pid_namespace(int (*body)(void)) {
    int status;
    pid_t middle = fork();

    if (middle == 0) {
        pid_t child;

        if (unshare(CLONE_NEWPID) < 0)
            _exit(77);
        child = fork();
        if (child == 0)
            _exit(body());
        (void)waitpid(child, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
    }
    assert_int_equal(waitpid(middle, &status, 0), middle);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int take_and_die_body(void) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;

    if (getpid() != 1 || take(&lock, &holder) != 0)
        return 1;
    return 0; /* without release: the end of the process is all */
}

static int take_over_body(void) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;

    /* The file says "pid=1", and so are we: only the second name tells that its holder had the kernel's lock. */
    return getpid() == 1 && take(&lock, &holder) == 0 && release(&lock) == 0 ? 0 : 1;
}

static int finds_held_body(void) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;

    return take(&lock, &holder) == -EBUSY && holder.state == DIVVY_MIG_HELD ? 0 : 1;
}

static void test_pid_namespaces(void **state) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;
    int status = in_pid_namespace(take_and_die_body);

    (void)state;
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
    assert_int_equal(look(), DIVVY_MIG_DEAD);
    assert_int_equal(in_pid_namespace(take_over_body), 0);
    assert_int_equal(in_pid_namespace(take_and_die_body), 0);
    assert_int_equal(take(&lock, &holder), 0);
    assert_int_equal(in_pid_namespace(finds_held_body), 0);
    assert_int_equal(release(&lock), 0);
}

/* --- for another process ------------------------------------------------------------------------------------------ */

static void test_for_another(void **state) {
    struct divvy_mig_folder folder = folder_open();
    struct divvy_mig_error error = {0};
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock, other;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    assert_int_equal(divvy_mig_lock_take(&folder, UUID, TTL, child, &lock, &holder, &error), 0);
    assert_int_equal(lock.fd, -1);
    assert_int_equal(look(), DIVVY_MIG_NAMED);
    assert_int_equal(take(&other, &holder), -EBUSY);
    assert_int_equal(holder.pid, child);
    assert_int_equal(divvy_mig_release_for(test_locks, UUID, getpid(), &error), -EPERM);
    assert_int_equal(divvy_mig_release_for(test_locks, UUID, child, &error), 0);
    assert_int_equal(divvy_mig_release_for(test_locks, UUID, child, &error), -ENOENT);
    assert_int_equal(divvy_mig_lock_take(&folder, UUID, TTL, child, &lock, &holder, &error), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(take(&other, &holder), 0); /* it died */
    assert_int_equal(divvy_mig_release_for(test_locks, UUID, getpid(), &error), -EBUSY);
    assert_int_equal(release(&other), 0);
    assert_int_equal(divvy_mig_release_for("/nowhere/at/all", UUID, 1, &error), -ENOENT);
    assert_int_equal(divvy_mig_release_for(test_locks, "a b", 1, &error), -EINVAL);
    divvy_mig_folder_close(&folder);
}

/* --- without unnamed files ----------------------------------------------------------------------------------------- */

static void test_without_tmpfile(void **state) {
    struct divvy_mig_folder folder = folder_open();
    struct divvy_mig_error error = {0};
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock, other;
    int fd, busy_fd;

    (void)state;
    folder.without_tmpfile = true;
    assert_int_equal(divvy_mig_lock_take(&folder, UUID, TTL, 0, &lock, &holder, &error), 0);
    assert_int_equal(divvy_mig_lock_take(&folder, UUID, TTL, 0, &other, &holder, &error), -EBUSY);
    assert_int_equal(divvy_mig_lock_release(&folder, &lock), 0);
    (void)test_lock_write(UUID, test_line(test_dead_pid(), 0), 0);
    /* What one who died left before it had its name goes; what somebody is at stays. */
    fd = openat(folder.fd, ".1-1.new", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    busy_fd = openat(folder.fd, ".1-2.new", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && busy_fd >= 0);
    (void)close(fd);
    assert_int_equal(flock(busy_fd, LOCK_EX), 0);
    assert_int_equal(divvy_mig_lock_take(&folder, UUID, TTL, 0, &lock, &holder, &error), 0);
    assert_int_equal(divvy_mig_lock_release(&folder, &lock), 0);
    assert_int_equal(unlinkat(folder.fd, ".1-2.new", 0), 0);
    (void)close(busy_fd);
    divvy_mig_folder_close(&folder);
    assert_int_equal(rmdir(test_locks), 0);
}

/* Another program that follows the published way: opens or creates, locks, compares, writes. */
static void test_others_way(void **state) {
    struct divvy_mig_holder holder;
    struct divvy_mig_lock lock;
    int fd;

    (void)state;
    assert_int_equal(mkdir(test_locks, 0755), 0);
    fd = open(test_lock_path(UUID), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(take(&lock, &holder), -EBUSY);
    assert_int_equal(holder.reserved, 1); /* it may be about to write */
    assert_int_equal(write(fd, test_line(getpid(), 0), strlen(test_line(getpid(), 0))), strlen(test_line(getpid(), 0)));
    assert_int_equal(take(&lock, &holder), -EBUSY);
    assert_int_equal(holder.reserved, 0);
    assert_int_equal(unlink(test_lock_path(UUID)), 0);
    assert_int_equal(take(&lock, &holder), 0); /* released, its descriptor not closed yet */
    (void)close(fd);
    fd = open(test_lock_path(UUID), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    (void)close(fd);
    assert_int_equal(release(&lock), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_folder_make, test_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(test_take_and_release), TEST(test_leaves_nothing), TEST(test_table),
        TEST(test_alive_and_old),    TEST(test_foreign_stays),  TEST(test_folder_exchanged),
        TEST(test_fork),             TEST(test_odd_files),      TEST(test_folders),
        TEST(test_unwritable),       TEST(test_foreign_owner),  TEST(test_pid_namespaces),
        TEST(test_for_another),      TEST(test_without_tmpfile), TEST(test_others_way),
        TEST(test_crowd),            TEST(test_between_open_and_lock), TEST(test_between_judging_and_making),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
