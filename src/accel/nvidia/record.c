/* Files of our partitions: see record.h. One line each: VERSION DEVICE PARTITION GPU-INSTANCE COMPUTE-INSTANCE ORDER TEMPLATE. */
#include "accel/nvidia/record.h"
#include "accel/nvidia/template.h"
#include "core/clock.h"
#include "core/parse.h"
#include "core/sys.h"
#include "core/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION    "1"
#define LINE_BYTES 512u

/* Those that no folder took. */
struct kept {
    struct kept *next;
    struct nvidia_record record;
};
static struct kept *kept;

/* --- the folder ------------------------------------------------------------------------------------------------------ */

static bool folder_name(char ret_path[PATH_MAX]) {
    const char *given = secure_getenv("DIVVY_PARTITION_DIR"), *runtime = secure_getenv("XDG_RUNTIME_DIR");
    divvy_core_text_t path;

    divvy_core_text_init(&path, ret_path, PATH_MAX);
    if (given && given[0])
        divvy_core_text_add(&path, given);
    else if (geteuid() == 0)
        divvy_core_text_add(&path, "/run/divvy-partitions");
    else if (runtime && runtime[0])
        divvy_core_text_format(&path, "%s/divvy-partitions", runtime);
    return path.length > 0 && !path.is_cut;
}

/* A descriptor of it, or a negative errno. */
static int folder_open(bool make) {
    char path[PATH_MAX];

    if (!folder_name(path))
        return -ENOENT;
    if (make && mkdir(path, 0755) < 0 && errno != EEXIST)
        return -errno;
    return divvy_core_sys_open(path, O_RDONLY | O_DIRECTORY, 0);
}

/* UUIDs of old drivers have slashes. */
static void file_name(const char *partition, char *ret_name, size_t size_bytes) {
    divvy_core_text_t name;

    divvy_core_text_init(&name, ret_name, size_bytes);
    for (; *partition; partition++) {
        char one = *partition == '/' || *partition == '.' ? '_' : *partition;

        divvy_core_text_add_bytes(&name, &one, 1);
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------------ */

/* The next word, or the rest when it is the last; NULL: there is none. */
static char *word_next(char **at, bool is_last) {
    char *word = *at, *end = is_last ? word + strcspn(word, "\n") : strchr(word, ' ');

    if (!end || end == word)
        return NULL;
    *at = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

static bool number_next(char **at, uint64_t max, uint64_t *ret_value) {
    char *word = word_next(at, false);

    return word && divvy_core_u64_parse(word, strlen(word), ret_value, NULL) == 0 && *ret_value <= max;
}

static bool text_next(char **at, bool is_last, char *ret_text, size_t size_bytes) {
    char *word = word_next(at, is_last);

    if (!word || strlen(word) >= size_bytes)
        return false;
    memcpy(ret_text, word, strlen(word) + 1);
    return true;
}

static bool line_read(char *line, struct nvidia_record *ret_record) {
    struct nvidia_record record = {.order = 0};
    uint64_t gpu, compute;
    char version[4];

    if (!text_next(&line, false, version, sizeof version) || strcmp(version, VERSION) != 0 ||
        !text_next(&line, false, record.device, sizeof record.device) ||
        !text_next(&line, false, record.partition, sizeof record.partition) || !number_next(&line, UINT32_MAX, &gpu) ||
        !number_next(&line, UINT32_MAX, &compute) || !number_next(&line, UINT64_MAX, &record.order) ||
        !text_next(&line, true, record.template_id, sizeof record.template_id))
        return false;
    record.gpu_instance = (unsigned int)gpu;
    record.compute_instance = (unsigned int)compute;
    *ret_record = record;
    return true;
}

static int line_write(int folder, const struct nvidia_record *record) {
    char line[LINE_BYTES], name[UUID_STRING_LENGTH];
    divvy_core_text_t text;
    int fd, status;

    divvy_core_text_init(&text, line, sizeof line);
    divvy_core_text_format(&text, VERSION " %s %s %u %u ", record->device, record->partition, record->gpu_instance,
                           record->compute_instance);
    divvy_core_text_add_u64(&text, record->order);
    divvy_core_text_format(&text, " %s\n", record->template_id);
    file_name(record->partition, name, sizeof name);
    /* One that is there is of a partition that is gone: the driver gives the same UUID again. */
    (void)unlinkat(folder, name, 0);
    fd = divvy_core_sys_openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fd;
    status = divvy_core_sys_write(fd, text.bytes, text.length);
    divvy_core_sys_close(&fd);
    if (status < 0)
        (void)unlinkat(folder, name, 0);
    return status;
}

static bool file_read(int folder, const char *name, struct nvidia_record *ret_record) {
    char line[LINE_BYTES];
    struct stat file;
    ssize_t length;
    int fd = divvy_core_sys_openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

    if (fd < 0)
        return false;
    length = divvy_core_sys_fstat(fd, &file) == 0 && S_ISREG(file.st_mode) ? divvy_core_sys_read(fd, line, sizeof line - 1) : -1;
    divvy_core_sys_close(&fd);
    if (length <= 0)
        return false;
    line[length] = '\0';
    return line_read(line, ret_record);
}

/* --- what there is ------------------------------------------------------------------------------------------------------ */

int divvy_nvidia_record_add(struct nvidia_record *record) {
    int folder = folder_open(true), status = folder;
    struct kept *one;

    record->order = divvy_core_clock_ns();
    if (folder >= 0) {
        status = line_write(folder, record);
        divvy_core_sys_close(&folder);
    }
    if (status == 0)
        return 0;
    divvy_provider_log("WARN", "partition %s can be removed by this process only: no note of it can be kept (error %d)",
                       record->partition, -status);
    one = calloc(1, sizeof *one);
    if (!one)
        return -ENOMEM;
    one->record = *record;
    one->next = kept;
    kept = one;
    return 0;
}

void divvy_nvidia_record_drop(const char *partition) {
    struct kept **at = &kept;
    char name[UUID_STRING_LENGTH];
    int folder = folder_open(false);

    file_name(partition, name, sizeof name);
    if (folder >= 0)
        (void)unlinkat(folder, name, 0);
    divvy_core_sys_close(&folder);
    while (*at) {
        struct kept *one = *at;

        if (strcmp(one->record.partition, partition) != 0) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        free(one);
    }
}

/* 2: by its UUID, 1: by its template, 0: not meant. */
static int match(const struct nvidia_record *record, const char *name, const char *device) {
    if (device && strcmp(record->device, device) != 0)
        return 0;
    if (divvy_provider_same_device(name, record->partition))
        return 2;
    return device && divvy_nvidia_template_same(name, record->template_id);
}

/* A UUID is better than a template, later better than earlier. */
static void better(const struct nvidia_record *record, int how, struct nvidia_record *best, int *best_how) {
    if (how == 0 || how < *best_how || (how == *best_how && record->order < best->order))
        return;
    *best = *record;
    *best_how = how;
}

bool divvy_nvidia_record_find(const char *name, const char *device, struct nvidia_record *ret_record) {
    struct nvidia_record record;
    int how = 0, folder = folder_open(false);
    DIR *files = folder >= 0 ? fdopendir(folder) : NULL;
    const struct dirent *file;

    for (const struct kept *one = kept; one; one = one->next)
        better(&one->record, match(&one->record, name, device), ret_record, &how);
    while (files && (file = readdir(files)))
        if (file->d_name[0] != '.' && file_read(folder, file->d_name, &record))
            better(&record, match(&record, name, device), ret_record, &how);
    if (files)
        (void)closedir(files);
    else
        divvy_core_sys_close(&folder);
    return how > 0;
}
