/* Virtual machines among the processes: see qemu.h. */
#include "cli/qemu.h"

#include "base/cleanup.h"
#include "core/parse.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_BYTES (256u << 10) /* more of a command line is not looked at */

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._- ";

static size_t bounded(const char *text, size_t room) {
    const char *end = memchr(text, '\0', room);

    return end ? (size_t)(end - text) : room;
}

/* "web", "web,process=x" or "guest=web,debug-threads=on"; ",," stands for a comma. */
static void name_take(const char *value, struct divvy_cli_qemu *vm) {
    const char *guest = strncmp(value, "guest=", 6) == 0 ? value : strstr(value, ",guest=");
    size_t used = 0;

    value = guest ? strchr(guest, '=') + 1 : value;
    while (*value && used < sizeof vm->name - 1) {
        if (*value == ',' && *++value != ',')
            break;
        vm->name[used++] = strchr(name_letters, *value) ? *value : '?';
        value++;
    }
    vm->name[used] = '\0';
}

static void uuid_take(const char *value, struct divvy_cli_qemu *vm) {
    size_t length = strlen(value);

    vm->uuid[0] = '\0';
    if (length != 36)
        return;
    for (size_t i = 0; i < length; i++) {
        char c = divvy_core_ascii_lower(value[i]);

        if (i == 8 || i == 13 || i == 18 || i == 23 ? c != '-' : !strchr("0123456789abcdef", c)) {
            vm->uuid[0] = '\0';
            return;
        }
        vm->uuid[i] = c;
    }
    vm->uuid[length] = '\0';
}

static void domain_take(const char *value, struct divvy_cli_qemu *vm) {
    uint64_t number;

    if (divvy_core_u64_parse(value, strlen(value), &number, NULL) == 0 && number < UINT32_MAX)
        vm->domain = (uint32_t)number;
}

/* "qemu-system-x86_64", "qemu-kvm", "/usr/bin/kvm". */
static int is_qemu(const char *program) {
    const char *slash = strrchr(program, '/'), *base = slash ? slash + 1 : program;

    return strncmp(base, "qemu-system-", 12) == 0 || strcmp(base, "qemu-kvm") == 0 || strcmp(base, "kvm") == 0 ||
           strcmp(base, "qemu-dm") == 0;
}

int divvy_cli_qemu_parse(const char *line, size_t length, struct divvy_cli_qemu *ret_vm) {
    static const struct {
        const char *option;
        void (*take)(const char *value, struct divvy_cli_qemu *vm);
    } options[] = {{"name", name_take}, {"uuid", uuid_take}, {"xen-domid", domain_take}};
    struct divvy_cli_qemu vm = {.pid = ret_vm->pid, .uid = ret_vm->uid};
    void (*wants)(const char *value, struct divvy_cli_qemu *vm) = NULL;
    char word[512];
    size_t place = 0;

    for (size_t at = 0; at < length; place++) {
        size_t part = bounded(line + at, length - at), kept = part < sizeof word ? part : sizeof word - 1;
        const char *option = word;

        memcpy(word, line + at, kept);
        word[kept] = '\0';
        at += part + 1;
        if (place == 0 && !is_qemu(word))
            return -ENOENT;
        if (wants)
            wants(word, &vm);
        wants = NULL;
        if (place == 0 || word[0] != '-')
            continue;
        option += word[1] == '-' ? 2 : 1;
        for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
            if (strcmp(option, options[i].option) == 0)
                wants = options[i].take;
    }
    if (!vm.name[0] && !vm.uuid[0])
        return -ENOENT;
    *ret_vm = vm;
    return 0;
}

static size_t line_read(int folder, const char *pid, char *line) {
    char path[64];
    cleanup_close int fd = -1;
    size_t length = 0;
    ssize_t got;

    (void)snprintf(path, sizeof path, "%.20s/cmdline", pid);
    fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    while (fd >= 0 && length < LINE_BYTES && (got = read(fd, line + length, LINE_BYTES - length)) > 0)
        length += (size_t)got;
    return length;
}

int divvy_cli_qemu_scan(const char *proc, struct divvy_cli_qemu *ret_vms, size_t *ret_count, struct divvy_error *error) {
    cleanup_closedir DIR *folder = opendir(proc ? proc : "/proc");
    char *line;
    const struct dirent *entry;

    *ret_count = 0;
    if (!folder)
        return divvy_error_set_errno(error, -errno, "cannot look at processes");
    line = malloc(LINE_BYTES);
    if (!line)
        return divvy_error_set_errno(error, -ENOMEM, "cannot look at processes");
    while (*ret_count < DIVVY_CLI_QEMU_MAX && (entry = readdir(folder))) {
        struct divvy_cli_qemu *vm = &ret_vms[*ret_count];
        struct stat about;
        uint64_t pid;
        size_t length;

        if (divvy_core_u64_parse(entry->d_name, strlen(entry->d_name), &pid, NULL) < 0 || pid > INT32_MAX ||
            fstatat(dirfd(folder), entry->d_name, &about, 0) < 0)
            continue;
        *vm = (struct divvy_cli_qemu){.pid = (pid_t)pid, .uid = about.st_uid};
        length = line_read(dirfd(folder), entry->d_name, line);
        if (length > 0 && divvy_cli_qemu_parse(line, length, vm) == 0)
            (*ret_count)++;
    }
    free(line);
    return 0;
}
