/* Visible devices: see visible.h. */
#include "limiter/channel/visible.h"

#include "core/parse.h"
#include "core/text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A byte range without the blanks around it. */
struct piece {
    const char *text;
    size_t length;
};

static struct piece trimmed(const char *text, size_t length) {
    while (length > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        length--;
    }
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    return (struct piece){text, length};
}

static bool begins_with(struct piece piece, const char *word) {
    size_t length = strlen(word);

    return piece.length >= length && divvy_core_word_equal(piece.text, length, word);
}

static void device_add(divvy_core_text_t *text, const struct divvy_visible_device *device) {
    char uuid[DIVVY_CORE_UUID_TEXT_BYTES];

    if (text->length > 0)
        divvy_core_text_add(text, ",");
    if (device->index >= 0) {
        divvy_core_text_add_u64(text, (uint64_t)device->index);
    } else {
        divvy_core_uuid_format(&device->uuid, uuid);
        divvy_core_text_add(text, uuid);
    }
}

/* The driver takes the begin of a UUID for it, as long as it fits one device only. */
static unsigned uuid_matches(struct piece piece, const struct divvy_visible_device *devices, size_t count) {
    unsigned matches = 0;

    for (size_t i = 0; i < count; i++) {
        char uuid[DIVVY_CORE_UUID_TEXT_BYTES];

        divvy_core_uuid_format(&devices[i].uuid, uuid);
        if (piece.length < sizeof uuid) {
            uuid[piece.length] = '\0';
            matches += divvy_core_word_equal(piece.text, piece.length, uuid);
        }
    }
    return matches;
}

/* One element of the list. 1: it ends the list. */
static int element_add(divvy_core_text_t *text, struct piece piece, const struct divvy_visible_device *devices, size_t count) {
    uint64_t index;
    int status;

    if (piece.length == 2 && piece.text[0] == '-' && piece.text[1] == '1')
        return 1;
    if (begins_with(piece, "GPU-") || begins_with(piece, "MIG-")) {
        if (uuid_matches(piece, devices, count) != 1)
            return 0;
        if (text->length > 0)
            divvy_core_text_add(text, ",");
        divvy_core_text_add_bytes(text, piece.text, piece.length);
        return 0;
    }
    status = divvy_core_u64_parse(piece.text, piece.length, &index, NULL);
    if (status < 0)
        return status;
    if (index >= count)
        return -ERANGE;
    device_add(text, &devices[index]);
    return 0;
}

static int list_remap(struct piece list, const struct divvy_visible_device *devices, size_t count, divvy_core_text_t *text) {
    size_t at = 0;
    int status = 0;

    while (status == 0 && at <= list.length) {
        const char *comma = at < list.length ? memchr(list.text + at, ',', list.length - at) : NULL;
        size_t end = comma ? (size_t)(comma - list.text) : list.length;

        status = element_add(text, trimmed(list.text + at, end - at), devices, count);
        at = end + 1;
    }
    return status < 0 ? status : 0;
}

int divvy_visible_remap(const char *visible, const char *remapped, const struct divvy_visible_device *devices, size_t count,
                        char ret_text[DIVVY_VISIBLE_BYTES]) {
    struct piece list = visible ? trimmed(visible, strlen(visible)) : (struct piece){"", 0};
    struct piece before = remapped ? trimmed(remapped, strlen(remapped)) : (struct piece){"", 0};
    char bytes[DIVVY_VISIBLE_BYTES];
    divvy_core_text_t text;
    int status = 0;

    if (list.length > 0 && before.length == list.length && memcmp(list.text, before.text, list.length) == 0)
        return 1;
    if (list.length == 0 && count == 0)
        return 1;
    divvy_core_text_init(&text, bytes, sizeof bytes);
    if (list.length == 0)
        for (size_t i = 0; i < count; i++)
            device_add(&text, &devices[i]);
    else
        status = list_remap(list, devices, count, &text);
    if (status < 0)
        return status;
    if (text.length == 0)
        divvy_core_text_add(&text, "-1");
    if (text.is_cut)
        return -ENAMETOOLONG;
    memcpy(ret_text, bytes, text.length + 1);
    return 0;
}

/* ---- the environment ---- */

#define VARIABLES 4

static bool is_variable(const char *entry, const char *name) {
    size_t length = strlen(name);

    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

/*
 * A new array beside the old one, which others may be reading: setenv would allocate and lock, and could move strings that the
 * program has pointers into. Never given back: it is the environment from here on.
 */
int divvy_visible_set(const char *text) {
    static const char *const names[VARIABLES] = {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "TF_REMAPPED",
                                                 "CUDA_DEVICE_ORDER"};
    size_t entries = 0, string_bytes = strlen(text) + 64, bytes, kept = 0;
    int host_errno = errno;
    char **array, *strings;
    void *memory;

    while (environ && environ[entries])
        entries++;
    bytes = (entries + VARIABLES + 1) * sizeof *array + VARIABLES * string_bytes;
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = host_errno;
    if (memory == MAP_FAILED)
        return -ENOMEM;
    array = memory;
    strings = (char *)(array + entries + VARIABLES + 1);
    for (size_t i = 0; i < entries; i++) {
        bool is_ours = false;

        for (unsigned v = 0; v < VARIABLES; v++)
            is_ours = is_ours || is_variable(environ[i], names[v]);
        if (!is_ours)
            array[kept++] = environ[i];
    }
    for (unsigned v = 0; v < VARIABLES; v++) {
        divvy_core_text_t entry;

        divvy_core_text_init(&entry, strings + v * string_bytes, string_bytes);
        divvy_core_text_format(&entry, "%s=%s", names[v], v == VARIABLES - 1 ? "PCI_BUS_ID" : text);
        array[kept++] = entry.bytes;
    }
    array[kept] = NULL;
    __atomic_store_n(&environ, array, __ATOMIC_RELEASE);
    return 0;
}
