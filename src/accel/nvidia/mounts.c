/* The driver's files that a container needs: see nvidia.h. They lie where the loaded libnvidia-ml does. */
#include "accel/nvidia/nvidia.h"
#include "core/text.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const libraries[] = {
    "libcuda.so.1",          "libnvidia-ml.so.1",   "libnvidia-ptxjitcompiler.so.1",
    "libnvidia-nvvm.so.4",   "libcudadebugger.so.1", "libnvidia-cfg.so.1",
};
static const char *const programs[] = {"/usr/bin/nvidia-smi"};

/* A container sees the file under the name by which it is asked for; links are followed here, where they lead somewhere. */
static void add(const char *path, MountPath *mounts, size_t max, size_t *count) {
    char resolved[PATH_MAX];

    if (*count == max || !realpath(path, resolved) || access(resolved, R_OK) < 0 || strlen(resolved) >= MAX_MOUNT_PATH ||
        strlen(path) >= MAX_MOUNT_PATH)
        return;
    divvy_provider_text(mounts[*count].hostPath, MAX_MOUNT_PATH, resolved);
    divvy_provider_text(mounts[*count].guestPath, MAX_MOUNT_PATH, path);
    (*count)++;
}

AccelResult divvy_nvidia_mounts(MountPath *ret_mounts, size_t max, size_t *ret_count) {
    const char *nvml = divvy_nvidia_library();
    const char *slash = nvml ? strrchr(nvml, '/') : NULL;

    *ret_count = 0;
    for (size_t i = 0; slash && nvml[0] == '/' && i < sizeof libraries / sizeof libraries[0]; i++) {
        char path[PATH_MAX];
        divvy_core_text_t text;

        divvy_core_text_init(&text, path, sizeof path);
        divvy_core_text_format(&text, "%.*s/%s", (int)(slash - nvml), nvml, libraries[i]);
        if (!text.is_cut)
            add(path, ret_mounts, max, ret_count);
    }
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        add(programs[i], ret_mounts, max, ret_count);
    return ACCEL_SUCCESS;
}
