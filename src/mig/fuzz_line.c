/*
 * Fuzz target of the line of lock files: what is accepted can be written again and reads the same then. The first byte chooses
 * between a line and the name of a lock file.
 */
#include "mig/folder.h"
#include "mig/line.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line_check(const char *text, size_t length) {
    char written[DIVVY_MIG_LINE_BYTES];
    struct divvy_mig_line line, again;

    if (divvy_mig_line_parse(text, length, &line) != 0)
        return;
    length = divvy_mig_line_format(&line, written);
    if (line.pid <= 0)
        abort();
    if (line.realtime_s < -62167219200 || line.realtime_s > 253402300799)
        return; /* a time whose place is ahead of year 9999 or behind year 0 */
    if (divvy_mig_line_parse(written, length, &again) != 0 || again.pid != line.pid ||
        again.realtime_s != line.realtime_s)
        abort();
}

static void name_check(const char *text) {
    char name[DIVVY_MIG_LOCK_NAME_BYTES];

    if (divvy_mig_folder_name(text, "", ".lock", name) == 0 &&
        (strchr(name, '/') || name[0] == '.' || strlen(name) > 255 || !strstr(name, ".lock")))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text;

    if (size == 0)
        return 0;
    text = malloc(size); /* of the exact length: a read beyond the end shows */
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    if (data[0] & 1) {
        line_check(text, size - 1);
    } else {
        text[size - 1] = '\0';
        name_check(text);
    }
    free(text);
    return 0;
}
