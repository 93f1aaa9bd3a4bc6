/* Where the pod file of a foreign hypervisor is: the variables of both systems, and their usual place in a pod. */
#include "limiter/foreign/foreign.h"

#include "core/sys.h"
#include "core/text.h"
#include "limiter/channel/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define USUAL_PATH "/run/tensor-fusion/shm/" DIVVY_PODFILE_NAME

static const char *variable(const char *name) {
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static int path_set(struct divvy_foreign_source *source, const char *folder, size_t length,
                    const char *name) {
    divvy_core_text_t text;

    divvy_core_text_init(&text, source->path, sizeof source->path);
    if (source->variable && folder[0] != '/')
        return -EINVAL;
    divvy_core_text_add_bytes(&text, folder, length);
    divvy_core_text_add(&text, name);
    return text.is_cut ? -ENAMETOOLONG : 0;
}

int divvy_foreign_source_find(struct divvy_foreign_source *ret_source) {
    struct divvy_foreign_source *source = ret_source;
    const char *value;

    *source = (struct divvy_foreign_source){.variable = "TF_SHM_FILE", .is_test = true};
    value = variable(source->variable);
    if (value) { /* whatever its last component is called */
        const char *slash = strrchr(value, '/');

        return path_set(source, value, slash ? (size_t)(slash - value) : 0, "/" DIVVY_PODFILE_NAME);
    }
    *source = (struct divvy_foreign_source){.variable = "TF_SHM_PATH"};
    value = variable(source->variable);
    if (value)
        return path_set(source, value, strlen(value), "");
    source->variable = "SHM_PATH";
    value = variable(source->variable);
    if (value)
        return path_set(source, value, strlen(value), "/" DIVVY_PODFILE_NAME);
    source->variable = NULL;
    if (!variable("POD_NAME") && !divvy_channel_is_wanted())
        return -ENOENT;
    return path_set(source, USUAL_PATH, strlen(USUAL_PATH), "");
}

bool divvy_foreign_is_wanted(void) {
    struct divvy_foreign_source source;
    struct stat status;
    int result = divvy_foreign_source_find(&source);

    return result != -ENOENT &&
           (source.variable || divvy_core_sys_fstatat(AT_FDCWD, source.path, &status, 0) == 0);
}
