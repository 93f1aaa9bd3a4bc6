/* Pods in cgroup paths: see cgroup.h. */
#include "kube/cgroup.h"

#include <string.h>

static bool is_hex(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
}

/* 36 characters of a UUID, or the 32 of a hash; '_' stands for '-' where systemd names the cgroup. */
static bool uid_read(const char *text, size_t length, char separator, char ret_uid[DIVVY_KUBE_UID_BYTES]) {
    if (length != 36 && length != 32)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool dash = length == 36 && (i == 8 || i == 13 || i == 18 || i == 23);

        if (dash ? text[i] != separator : !is_hex(text[i]))
            return false;
        ret_uid[i] = dash ? '-' : text[i];
    }
    ret_uid[length] = '\0';
    return true;
}

static bool starts_with(const char *text, size_t length, const char *word) {
    return length >= strlen(word) && memcmp(text, word, strlen(word)) == 0;
}

/* "podUID", or "kubepods[-CLASS]-podUID.slice", whatever stands before under a root of its own. */
static bool part_read(const char *part, size_t length, char ret_uid[DIVVY_KUBE_UID_BYTES]) {
    static const char slice[] = ".slice", mark[] = "-pod";
    const size_t slice_length = sizeof slice - 1, mark_length = sizeof mark - 1;

    if (starts_with(part, length, "pod") && uid_read(part + 3, length - 3, '-', ret_uid))
        return true;
    if (length < slice_length || memcmp(part + length - slice_length, slice, slice_length) != 0)
        return false;
    length -= slice_length;
    for (size_t uid_length = 36; uid_length >= 32; uid_length -= 4)
        if (length > uid_length + mark_length && memcmp(part + length - uid_length - mark_length, mark, mark_length) == 0 &&
            uid_read(part + length - uid_length, uid_length, '_', ret_uid))
            return true;
    return false;
}

/* Users make cgroups of any name below their own. */
static bool is_session(const char *part, size_t length) {
    return starts_with(part, length, "user.slice") || starts_with(part, length, "user-") || starts_with(part, length, "user@");
}

static bool path_read(const char *path, size_t length, char ret_uid[DIVVY_KUBE_UID_BYTES]) {
    for (size_t at = 0; at < length;) {
        const char *slash = memchr(path + at, '/', length - at);
        size_t part = slash ? (size_t)(slash - path) - at : length - at;

        if (is_session(path + at, part))
            return false;
        if (part_read(path + at, part, ret_uid))
            return true;
        at += part + 1;
    }
    return false;
}

bool divvy_kube_cgroup_pod(const char *text, size_t length, char ret_uid[DIVVY_KUBE_UID_BYTES]) {
    const char *end = text + length;

    while (text < end) {
        const char *line = memchr(text, '\n', (size_t)(end - text)), *line_end = line ? line : end;
        const char *path = memchr(text, ':', (size_t)(line_end - text));

        path = path ? memchr(path + 1, ':', (size_t)(line_end - path - 1)) : NULL;
        if (path && path_read(path + 1, (size_t)(line_end - path - 1), ret_uid))
            return true;
        text = line_end + 1;
    }
    return false;
}
