/* NVML in a child: see apart.h. What comes back is one answer, then its devices. */
#include "mig/apart.h"

#include "core/clock.h"
#include "core/sys.h"
#include "mig/create.h"
#include "mig/error.h"
#include "mig/intent.h"
#include "mig/list.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICES_MAX 16640u /* 256 GPUs of 64 slots, and themselves: list.c reads no more */

/* What opening has read is good for a first list: whoever opens wants one. */
#define FRESH_NS (200 * DIVVY_NS_PER_MS)

struct answer {
    int status;
    struct divvy_mig_error error;
    uint32_t count, faults;
    char first_fault[sizeof((struct divvy_mig_list *)NULL)->first_fault];
};

/* What a child does, and for whom. */
struct task {
    /* Fills the answer; what it returns is sent behind it, answer->count times. */
    const struct divvy_mig_device *(*run)(const struct task *task, struct answer *answer);
    void (*undo)(const struct task *task, const struct answer *answer, const struct divvy_mig_device *devices); /* or NULL */
    const char *library, *gpu_uuid, *uuid;
    const struct divvy_mig_folder *folder;
    const struct divvy_mig_profile *wanted;
    uint32_t flags;
    bool is_finished; /* also when this process dies meanwhile */
};

/* No signal that is meant for the parent, or for its group, shall stop it half way. */
static void parent_leave(void) {
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)setsid();
}

static void __attribute__((noreturn)) child_run(const struct task *task, int fd) {
    struct answer answer = {0};
    const struct divvy_mig_device *devices;
    int told;

    if (task->is_finished)
        parent_leave();
    else
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    devices = task->run(task, &answer);
    told = divvy_core_sys_write(fd, &answer, sizeof answer);
    if (told == 0 && answer.count > 0)
        told = divvy_core_sys_write(fd, devices, answer.count * sizeof *devices);
    if (told < 0 && answer.status == 0 && task->undo)
        task->undo(task, &answer, devices);
    _exit(0);
}

static int answer_take(int fd, struct divvy_mig_list **ret_list, struct divvy_mig_error *error) {
    struct answer answer;
    struct divvy_mig_list *list;
    size_t bytes;

    if (divvy_core_sys_read(fd, &answer, sizeof answer) != (ssize_t)sizeof answer || answer.count > DEVICES_MAX)
        return divvy_mig_error_set(error, -EIO, "NVML broke off the process that asked it");
    if (answer.status < 0)
        return divvy_mig_error_set(error, answer.status, "%.*s", (int)sizeof answer.error.text - 1, answer.error.text);
    list = calloc(1, sizeof *list);
    bytes = answer.count * sizeof *list->devices;
    if (list && answer.count > 0)
        list->devices = malloc(bytes);
    if (!list || (answer.count > 0 && !list->devices)) {
        divvy_mig_list_free(list);
        return divvy_mig_error_set_errno(error, -ENOMEM, "the list of devices");
    }
    list->count = list->room = answer.count;
    list->faults = answer.faults;
    memcpy(list->first_fault, answer.first_fault, sizeof list->first_fault);
    if (bytes > 0 && divvy_core_sys_read(fd, list->devices, bytes) != (ssize_t)bytes) {
        divvy_mig_list_free(list);
        return divvy_mig_error_set(error, -EIO, "NVML broke off the process that asked it");
    }
    *ret_list = list;
    return 0;
}

/* *ret_list: what came back. */
static int task_run(const struct task *task, struct divvy_mig_list **ret_list, struct divvy_mig_error *error) {
    int report[2], status;
    pid_t child;

    if (pipe2(report, O_CLOEXEC) < 0)
        return divvy_mig_error_set_errno(error, -errno, "a process that asks NVML");
    child = fork();
    if (child == 0) {
        divvy_core_sys_close(&report[0]); /* or the parent's end would never be missed */
        child_run(task, report[1]);
    }
    status = child < 0 ? divvy_mig_error_set_errno(error, -errno, "a process that asks NVML") : 0;
    divvy_core_sys_close(&report[1]);
    if (child > 0) {
        status = answer_take(report[0], ret_list, error);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    divvy_core_sys_close(&report[0]);
    return status;
}

/* --- tasks ------------------------------------------------------------------------------------------------------ */

static const struct divvy_mig_device *list_run(const struct task *task, struct answer *answer) {
    struct divvy_mig_list *list = NULL;

    answer->status = divvy_mig_list_all(task->library, task->flags, &list, &answer->error);
    if (!list)
        return NULL;
    answer->count = list->count;
    answer->faults = list->faults;
    memcpy(answer->first_fault, list->first_fault, sizeof answer->first_fault);
    return list->devices;
}

static int list_read(const char *library, uint32_t flags, struct divvy_mig_list **ret_list, struct divvy_mig_error *error) {
    const struct task task = {.run = list_run, .library = library, .flags = flags};

    return task_run(&task, ret_list, error);
}

static const struct divvy_mig_device *create_run(const struct task *task, struct answer *answer) {
    static struct divvy_mig_device device;
    struct divvy_mig *mig;

    answer->status = divvy_mig_open(task->library, &mig, &answer->error);
    if (answer->status < 0)
        return NULL;
    answer->status = divvy_mig_create_instance(mig, task->folder, task->wanted, task->gpu_uuid, &device, &answer->error);
    answer->count = answer->status == 0;
    divvy_mig_close(mig);
    return &device;
}

static const struct divvy_mig_device *destroy_run(const struct task *task, struct answer *answer) {
    struct divvy_mig *mig;

    answer->status = divvy_mig_open(task->library, &mig, &answer->error);
    if (answer->status < 0)
        return NULL;
    answer->status = divvy_mig_destroy(mig, task->folder, task->uuid, &answer->error);
    divvy_mig_close(mig);
    return NULL;
}

static const struct divvy_mig_device *settle_run(const struct task *task, struct answer *answer) {
    struct divvy_mig *mig;

    answer->status = divvy_mig_open(task->library, &mig, &answer->error);
    if (answer->status < 0)
        return NULL;
    answer->status = divvy_mig_intent_settle(mig, task->folder, &answer->error);
    divvy_mig_close(mig);
    return NULL;
}

static void create_undo(const struct task *task, const struct answer *answer, const struct divvy_mig_device *devices) {
    struct divvy_mig *mig;

    if (answer->count == 0 || divvy_mig_open(task->library, &mig, NULL) < 0)
        return;
    (void)divvy_mig_destroy(mig, task->folder, devices[0].uuid, NULL);
    divvy_mig_close(mig);
}

int divvy_mig_apart_create(const char *library, const struct divvy_mig_folder *folder, const struct divvy_mig_profile *wanted,
                           const char *gpu_uuid, struct divvy_mig_device *ret_device, struct divvy_mig_error *error) {
    const struct task task = {.run = create_run, .undo = create_undo, .library = library, .folder = folder, .wanted = wanted,
                              .gpu_uuid = gpu_uuid, .is_finished = true};
    struct divvy_mig_list *list;
    int status = task_run(&task, &list, error);

    if (status < 0)
        return status;
    if (list->count == 1)
        *ret_device = list->devices[0];
    else
        status = divvy_mig_error_set(error, -EIO, "NVML broke off the process that asked it");
    divvy_mig_list_free(list);
    return status;
}

/* One that answers with nothing but a status. */
static int task_finish(const struct task *task, struct divvy_mig_error *error) {
    struct divvy_mig_list *list;
    int status = task_run(task, &list, error);

    if (status == 0)
        divvy_mig_list_free(list);
    return status;
}

int divvy_mig_apart_destroy(const char *library, const struct divvy_mig_folder *folder, const char *uuid,
                            struct divvy_mig_error *error) {
    const struct task task = {.run = destroy_run, .library = library, .folder = folder, .uuid = uuid, .is_finished = true};

    return task_finish(&task, error);
}

int divvy_mig_apart_settle(const char *library, const struct divvy_mig_folder *folder, struct divvy_mig_error *error) {
    const struct task task = {.run = settle_run, .library = library, .folder = folder, .is_finished = true};

    return task_finish(&task, error);
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

int divvy_mig_open_apart(const char *library, struct divvy_mig **ret_mig, struct divvy_mig_error *error) {
    struct divvy_mig *mig = calloc(1, sizeof *mig);
    int status;

    if (!mig)
        return divvy_mig_error_set_errno(error, -ENOMEM, "NVML");
    library = library ? library : "libnvidia-ml.so.1";
    if ((size_t)snprintf(mig->library, sizeof mig->library, "%s", library) >= sizeof mig->library) {
        free(mig);
        return divvy_mig_error_set(error, -ENOENT, "the name of NVML's library is too long: %.60s…", library);
    }
    mig->is_apart = true;
    status = list_read(mig->library, 0, &mig->fresh, error);
    mig->fresh_ns = divvy_core_clock_ns();
    if (status < 0) {
        free(mig);
        return status;
    }
    *ret_mig = mig;
    return 0;
}

int divvy_mig_apart_list(struct divvy_mig *mig, uint32_t flags, struct divvy_mig_list **ret_list,
                         struct divvy_mig_error *error) {
    struct divvy_mig_list *fresh = mig->fresh;

    mig->fresh = NULL;
    if (fresh && flags == 0 && divvy_core_clock_ns() - mig->fresh_ns < FRESH_NS) {
        *ret_list = fresh;
        return 0;
    }
    divvy_mig_list_free(fresh);
    return list_read(mig->library, flags, ret_list, error);
}
