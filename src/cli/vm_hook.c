/* The program that stops and starts VMs: see vm_hook.h. */
#include "cli/vm_hook.h"

#include "base/child.h"
#include "base/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_NS  (5 * DIVVY_NS_PER_SECOND) /* for a VM to go by itself, and again when it is ended */
#define ASK_NS   (5 * DIVVY_NS_PER_SECOND)
#define START_NS (60 * DIVVY_NS_PER_SECOND)
#define PAUSE_US 50000

static const char *const priorities[] = {"low", "medium", "high"};

struct call {
    char *argv[9]; /* of the program, ends in NULL */
    int words_fd;  /* what it says on stderr; a file, so that nobody waits for those that it leaves behind */
};

int divvy_cli_vm_hook_check(const char *program, struct divvy_error *error) {
    struct stat about;

    if (program[0] != '/' || strlen(program) >= PATH_MAX)
        return divvy_error_set(error, -EINVAL, "the hook '%.80s' is no absolute path", program);
    if (stat(program, &about) < 0)
        return divvy_error_set_errno(error, -errno, "the hook %.120s", program);
    if (!S_ISREG(about.st_mode) || access(program, X_OK) < 0)
        return divvy_error_set(error, -EINVAL, "the hook %.120s is no program that can be run", program);
    if ((about.st_uid != 0 && about.st_uid != geteuid()) || (about.st_mode & (S_IWGRP | S_IWOTH)))
        return divvy_error_set(error, -EPERM, "the hook %.120s can be changed by others than root and this user", program);
    return 0;
}

int divvy_cli_vm_hook_read(struct divvy_relay_store *store, struct divvy_cli_vm_hook *ret_hook, struct divvy_error *error) {
    int status = divvy_relay_store_setting_get(store, DIVVY_CLI_VM_HOOK_SETTING, ret_hook->program, sizeof ret_hook->program, NULL);

    if (status == -ENOENT)
        ret_hook->program[0] = '\0';
    else if (status < 0)
        return divvy_error_set(error, status, "the state's hook cannot be read");
    return ret_hook->program[0] ? divvy_cli_vm_hook_check(ret_hook->program, error) : 0;
}

static int call_run(void *data, int fd) {
    const struct call *call = data;

    (void)fd; /* closed by exec */
    if (call->words_fd >= 0)
        (void)dup2(call->words_fd, STDERR_FILENO);
    (void)execv(call->argv[0], call->argv);
    dprintf(STDERR_FILENO, "%s\n", strerror(errno));
    return 255;
}

/* The last line of what was said, as part of the error. */
static int failure_tell(const char *action, int words_fd, const struct divvy_child_result *result, struct divvy_error *error) {
    char words[256] = "";
    off_t end = words_fd >= 0 ? lseek(words_fd, 0, SEEK_END) : 0;
    ssize_t length = end > 0 ? pread(words_fd, words, sizeof words - 1, end > (off_t)sizeof words - 1 ? end - (off_t)sizeof words + 1 : 0) : 0;
    const char *line;

    while (length > 0 && words[length - 1] == '\n')
        length--;
    words[length > 0 ? length : 0] = '\0';
    for (char *c = words; *c; c++)
        if ((unsigned char)*c < ' ' && *c != '\n')
            *c = '?';
    line = strrchr(words, '\n');
    line = line ? line + 1 : words;
    if (result->timed_out)
        return divvy_error_set(error, -ETIMEDOUT, "the hook's '%s' took too long", action);
    if (WIFSIGNALED(result->wait_status))
        return divvy_error_set(error, -EIO, "the hook's '%s' was ended by signal %d", action, WTERMSIG(result->wait_status));
    return divvy_error_set(error, -EIO, "the hook's '%s' failed with status %d%s%s", action, WEXITSTATUS(result->wait_status),
                           line[0] ? ": " : "", line);
}

/* The exit status, 0 or 1 where `may_be_one`; or a negative errno. */
static int hook_call(const struct divvy_cli_vm_hook *hook, const char *action, const struct divvy_relay_store_vm *vm, bool may_be_one,
                     uint64_t limit_ns, struct divvy_error *error) {
    char id[16], pool[2] = {vm->pool}, nothing[] = "-", priority[8], verb[16];
    struct divvy_relay_store_vm copy = *vm;
    cleanup_close int words_fd = memfd_create("words", MFD_CLOEXEC);
    struct divvy_cli_vm_hook program = *hook;
    struct call call = {.argv = {program.program, verb, copy.name, copy.uuid[0] ? copy.uuid : nothing, id, pool, priority,
                                 copy.socket[0] ? copy.socket : nothing, NULL},
                        .words_fd = words_fd};
    struct divvy_child_result result;
    int status;

    (void)snprintf(id, sizeof id, "%u", vm->vm_id);
    (void)snprintf(priority, sizeof priority, "%s", priorities[vm->priority % 3]);
    (void)snprintf(verb, sizeof verb, "%s", action);
    status = divvy_child_collect(call_run, &call, 0, limit_ns, NULL, 0, &result, error);
    if (status < 0)
        return status;
    if (!result.timed_out && WIFEXITED(result.wait_status) && WEXITSTATUS(result.wait_status) <= may_be_one)
        return WEXITSTATUS(result.wait_status);
    return failure_tell(action, words_fd, &result, error);
}

int divvy_cli_vm_hook_running(const struct divvy_cli_vm_hook *hook, const struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    int status = hook->program[0] ? hook_call(hook, "running", vm, true, ASK_NS, error) : 1;

    return status < 0 ? status : status == 0;
}

/* One attempt: 0 it is gone; 1 it still runs; or what went wrong. What the attempt itself says counts less than whether the VM is gone. */
static int stop_try(const struct divvy_cli_vm_hook *hook, const char *action, const struct divvy_relay_store_vm *vm,
                    struct divvy_error *error) {
    uint64_t until_ns = divvy_core_clock_ns() + STOP_NS;
    int running;

    (void)hook_call(hook, action, vm, false, STOP_NS, error);
    while ((running = divvy_cli_vm_hook_running(hook, vm, error)) == 1 && divvy_core_clock_ns() < until_ns)
        (void)usleep(PAUSE_US);
    return running;
}

int divvy_cli_vm_hook_stop(const struct divvy_cli_vm_hook *hook, const struct divvy_relay_store_vm *vm, struct divvy_error *error) {
    struct divvy_error said = {0};
    int running = stop_try(hook, "stop", vm, &said);

    if (running == 1)
        running = stop_try(hook, "kill", vm, &said);
    if (running == 1)
        return divvy_error_set(error, -EBUSY, "VM %s does not stop%s%.150s", vm->name, said.text[0] ? ": " : "", said.text);
    return running < 0 ? divvy_error_set(error, running, "%s", said.text) : 0;
}

int divvy_cli_vm_hook_start(const struct divvy_cli_vm_hook *hook, const struct divvy_relay_store_vm *vm, bool updated,
                            struct divvy_error *error) {
    int status = updated ? hook_call(hook, "update", vm, false, START_NS, error) : 0;

    return status < 0 ? status : hook_call(hook, "start", vm, false, START_NS, error);
}
