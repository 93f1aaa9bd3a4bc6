/* Who runs: see record.h. */
#include "backend/record.h"

#include "base/cleanup.h"
#include "core/hash.h"
#include "core/parse.h"
#include "core/sys.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PLAIN_MAX  160u /* longer names are cut, and told apart by a digest */
#define LINE_BYTES 512u

static bool is_plain(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '-' ||
           byte == '_' || byte == '.';
}

void divvy_backend_record_name(const char *id, char ret_name[DIVVY_BACKEND_RECORD_NAME_BYTES]) {
    uint64_t digest = 0;
    size_t used = 0;

    for (const char *at = id; *at; at++) {
        digest = divvy_core_hash_pair(digest, (unsigned char)*at);
        if (used >= PLAIN_MAX)
            continue;
        if (is_plain(*at) && !(at == id && *at == '.'))
            ret_name[used++] = *at;
        else
            used += (size_t)snprintf(ret_name + used, 4, "%%%02X", (unsigned char)*at);
    }
    ret_name[used] = '\0';
    if (used >= PLAIN_MAX)
        (void)snprintf(ret_name + used, DIVVY_BACKEND_RECORD_NAME_BYTES - used, "~%016llx", (unsigned long long)digest);
}

void divvy_backend_record_boot(char ret_boot[DIVVY_BACKEND_BOOT_BYTES]) {
    ssize_t length = divvy_core_sys_read_file("/proc/sys/kernel/random/boot_id", ret_boot, DIVVY_BACKEND_BOOT_BYTES);

    ret_boot[length > 0 ? strcspn(ret_boot, "\n ") : 0] = '\0';
}

int divvy_backend_record_write(int fd, struct divvy_backend_record *record) {
    char bytes[LINE_BYTES];
    divvy_core_text_t line;
    int status = divvy_core_sys_start_time(0, &record->start_ticks);

    if (status < 0)
        return status;
    record->pid = divvy_core_sys_getpid();
    divvy_core_text_init(&line, bytes, sizeof bytes);
    divvy_core_text_format(&line, "1 %d ", record->pid);
    divvy_core_text_add_u64(&line, record->start_ticks);
    divvy_core_text_format(&line, " %s ", record->boot[0] ? record->boot : "-");
    divvy_core_text_add_u64(&line, record->command);
    divvy_core_text_format(&line, " %u %s\n", (unsigned int)record->port, record->id);
    status = line.is_cut ? -ENAMETOOLONG : divvy_core_sys_ftruncate(fd, 0);
    return status < 0 ? status : divvy_core_sys_write(fd, bytes, line.length);
}

/* The next word of the line; *at moves behind it and the blank that ends it. */
static size_t word(const char **at, const char **ret_word) {
    size_t length = strcspn(*at, " \n");

    *ret_word = *at;
    *at += length + ((*at)[length] == ' ');
    return length;
}

int divvy_backend_record_parse(const char *line, struct divvy_backend_record *record) {
    const char *at = line, *part;
    uint64_t numbers[5]; /* version, pid, ticks, command, port */
    size_t length;

    for (size_t i = 0; i < 5; i++) {
        if (i == 3) {
            length = word(&at, &part);
            if (length == 0 || length >= sizeof record->boot)
                return -EBADMSG;
            memcpy(record->boot, part, length);
            record->boot[length] = '\0';
        }
        length = word(&at, &part);
        if (divvy_core_u64_parse(part, length, &numbers[i], NULL) < 0)
            return -EBADMSG;
    }
    length = strcspn(at, "\n");
    if (numbers[0] != 1 || numbers[1] == 0 || numbers[1] > INT32_MAX || numbers[4] > UINT16_MAX || length == 0 ||
        length >= sizeof record->id || at[length] != '\n')
        return -EBADMSG;
    record->pid = (pid_t)numbers[1];
    record->start_ticks = numbers[2];
    record->command = numbers[3];
    record->port = (uint16_t)numbers[4];
    memcpy(record->id, at, length);
    record->id[length] = '\0';
    return 0;
}

int divvy_backend_record_read(int run_fd, const char *name, struct divvy_backend_record *ret_record) {
    struct divvy_backend_record record;
    char file[DIVVY_BACKEND_RECORD_NAME_BYTES + 8], line[LINE_BYTES];
    cleanup_close int fd = -1;
    ssize_t length;
    int status;

    (void)snprintf(file, sizeof file, "%s.run", name);
    fd = openat(run_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : -EBADMSG;
    length = divvy_core_sys_read(fd, line, sizeof line - 1);
    if (length < 0)
        return -EBADMSG;
    line[length] = '\0';
    if (length == 0)
        return -ENOENT;
    status = divvy_backend_record_parse(line, &record);
    if (status == 0)
        *ret_record = record;
    return status;
}

bool divvy_backend_record_is_alive(const struct divvy_backend_record *record, const char *boot) {
    if (boot[0] && strcmp(record->boot, boot) != 0)
        return false;
    return divvy_core_sys_is_alive(record->pid, record->start_ticks);
}
