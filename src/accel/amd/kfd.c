/* Compute units of a device from sysfs: see kfd.h. */
#include "accel/amd/kfd.h"
#include "core/parse.h"
#include "core/sys.h"
#include "core/text.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#define NODES_MAX  128u
#define FILE_BYTES 4096u

/* The number behind a name that begins a line. */
static bool value_find(const char *text, const char *name, uint64_t *ret_value) {
    size_t length = strlen(name);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            return divvy_core_u64_parse(line + length + 1, strcspn(line + length + 1, "\n"), ret_value, NULL) == 0;
    }
    return false;
}

uint64_t divvy_amd_kfd_units(const char *nodes, uint64_t bdfid) {
    char path[PATH_MAX], text[FILE_BYTES];

    for (unsigned int i = 0; i < NODES_MAX; i++) {
        uint64_t location = 0, domain = 0, simds = 0, each = 0;
        divvy_core_text_t name;
        ssize_t length;

        divvy_core_text_init(&name, path, sizeof path);
        divvy_core_text_format(&name, "%s/%u/properties", nodes, i);
        length = divvy_core_sys_read_file(path, text, sizeof text);
        if (length == -ENOENT)
            break;
        /* Nodes of processors have no SIMDs, and their place may be anything. */
        if (length > 0 && value_find(text, "simd_count", &simds) && value_find(text, "simd_per_cu", &each) && each > 0 &&
            simds > 0 && value_find(text, "location_id", &location) && location == (bdfid & UINT16_MAX) &&
            (!value_find(text, "domain", &domain) || domain == bdfid >> 32))
            return simds / each;
    }
    return 0;
}
