/* Finding a library and opening it: see accel.h. */
#include "accel/library.h"
#include "core/parse.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is looked for, and what became of it. */
struct search {
    const struct divvy_accel_settings *settings;
    const char *vendor; /* NULL: any */
    struct divvy_accel *accel;
    struct divvy_error first; /* why the first library that was there would not do */
    unsigned int folders;
};

struct vendor {
    const char *name, *file;
};

static const struct vendor vendors[] = {
    {"NVIDIA", "libaccelerator_nvidia.so"},
    {"AMD", "libaccelerator_amd.so"},
    {"", "libaccelerator_example.so"}, /* any other */
};
enum { VENDORS = sizeof vendors / sizeof vendors[0], EXAMPLE = VENDORS - 1 };

static bool is_wanted(const struct search *search, size_t vendor) {
    size_t wanted = 0;

    if (!search->vendor)
        return true;
    while (wanted < EXAMPLE && !divvy_core_word_equal(search->vendor, strlen(search->vendor), vendors[wanted].name))
        wanted++;
    return wanted == vendor;
}

static int open_file(struct search *search, const char *path, struct divvy_error *error) {
    char resolved[PATH_MAX];

    if (!realpath(path, resolved))
        return divvy_error_set_errno(error, -errno, "%s", path);
    return divvy_accel_library_get(resolved, search->settings->discovery_only, search->accel, error);
}

/* --- by folders ---------------------------------------------------------------------------------------------- */

/* How many devices there are; errors count as none. */
static size_t devices_count(struct divvy_accel *accel) {
    struct divvy_accel_devices devices;
    size_t count;

    if (divvy_accel_devices_get(accel, &devices, NULL) < 0)
        return 0;
    count = devices.count;
    divvy_accel_devices_free(&devices);
    return count;
}

/* 0, or -ENOENT: not there; another error is kept in search->first when it is the first. */
static int open_searched(struct search *search, const char *path) {
    struct divvy_error error = {0, ""};
    int status;

    if (access(path, F_OK) < 0)
        return -ENOENT;
    status = open_file(search, path, &error);
    if (status == 0 && devices_count(search->accel) == 0) {
        (void)divvy_error_set(&error, -ENODEV, "%s shows no device", path);
        divvy_accel_library_put(search->accel);
        search->accel->library = NULL;
        status = -ENODEV;
    }
    if (status < 0 && !search->first.status)
        search->first = error;
    return status;
}

static int folder_search(struct search *search, size_t vendor, const char *folder) {
    char path[PATH_MAX];

    search->folders++;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, vendors[vendor].file) >= sizeof path)
        return -ENOENT;
    return open_searched(search, path);
}

/* A folder that somebody named: any of the libraries will do. */
static int named_search(struct search *search, const char *folder, struct divvy_error *error) {
    for (size_t i = 0; i < VENDORS; i++)
        if (is_wanted(search, i) && folder_search(search, i, folder) == 0)
            return 0;
    if (search->first.status) {
        *error = search->first;
        return error->status;
    }
    return divvy_error_set(error, -ENOENT, "there is no %s in %s",
                           search->vendor ? "library of this vendor" : "libaccelerator_*.so", folder);
}

/* The folder of this program, or nothing. */
static bool own_folder(char ret_folder[PATH_MAX]) {
    ssize_t length = readlink("/proc/self/exe", ret_folder, PATH_MAX - 1);
    char *slash;

    if (length < 0)
        return false;
    ret_folder[length] = '\0';
    slash = strrchr(ret_folder, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

/* FOLDER/tail, where the folder is known. */
static int below_search(struct search *search, size_t vendor, const char *folder, const char *tail) {
    char path[PATH_MAX];

    if (!folder || !folder[0] || (size_t)snprintf(path, sizeof path, "%s/%s", folder, tail) >= sizeof path)
        return -ENOENT;
    return folder_search(search, vendor, path);
}

static const char *variable(const char *value) {
    return value && value[0] ? value : NULL;
}

/* One vendor's library, in all places. */
static int vendor_search(struct search *search, size_t vendor) {
    static const char *const system[] = {"/usr/lib/tensor-fusion", "/usr/local/lib/tensor-fusion", "/opt/tensor-fusion/lib",
                                         "/usr/lib/divvy", "/usr/local/lib/divvy"};
    char program[PATH_MAX];
    int status = below_search(search, vendor, secure_getenv("TENSOR_FUSION_LIB_PATH"), ".");

    if (status < 0)
        status = below_search(search, vendor, secure_getenv("TENSOR_FUSION_OPERATOR_PATH"), "provider/build");
    /* Where nobody asked for devices that do not exist, a machine without devices has none. */
    if (vendor == EXAMPLE && !search->vendor)
        return status;
    if (status < 0 && own_folder(program)) {
        status = below_search(search, vendor, program, "../lib");
        if (status < 0)
            status = below_search(search, vendor, program, "../lib/divvy");
    }
    if (status < 0)
        status = below_search(search, vendor, secure_getenv("HOME"), ".tensor-fusion/libs");
    for (size_t i = 0; status < 0 && i < sizeof system / sizeof system[0]; i++)
        status = folder_search(search, vendor, system[i]);
    return status;
}

static int everywhere_search(struct search *search, struct divvy_error *error) {
    for (size_t i = 0; i < VENDORS; i++)
        if (is_wanted(search, i) && vendor_search(search, i) == 0)
            return 0;
    if (search->first.status) {
        *error = search->first;
        return error->status;
    }
    return divvy_error_set(error, -ENOENT,
                           "no accelerator library%s%s in %u places, among them lib/divvy beside this program and "
                           "/usr/lib/tensor-fusion; name one with TF_ACCELERATOR_LIB_PATH",
                           search->vendor ? " for " : "", search->vendor ? search->vendor : "", search->folders);
}

/* --- opening --------------------------------------------------------------------------------------------------- */

static int named_open(struct search *search, const char *path, const char *who, struct divvy_error *error) {
    struct stat place;
    int status;

    if (stat(path, &place) == 0 && S_ISDIR(place.st_mode))
        status = named_search(search, path, error);
    else
        status = open_file(search, path, error);
    if (status < 0)
        (void)divvy_error_prefix(error, "%s", who);
    return status;
}

static int find(struct search *search, struct divvy_error *error) {
    const char *path = variable(secure_getenv("TF_ACCELERATOR_LIB_PATH"));

    if (path)
        return named_open(search, path, "TF_ACCELERATOR_LIB_PATH", error);
    if (variable(search->settings->path))
        return named_open(search, search->settings->path, "accelerator library", error);
    path = variable(secure_getenv("TENSOR_FUSION_ACCELERATOR_LIB"));
    if (path)
        return named_open(search, path, "TENSOR_FUSION_ACCELERATOR_LIB", error);
    return everywhere_search(search, error);
}

/* As asked for, else as the first device says. */
static void vendor_note(struct divvy_accel *accel, const char *vendor) {
    struct divvy_accel_devices devices;

    if (vendor) {
        (void)snprintf(accel->vendor, sizeof accel->vendor, "%s", vendor);
    } else if (divvy_accel_devices_get(accel, &devices, NULL) == 0) {
        if (devices.count > 0)
            (void)snprintf(accel->vendor, sizeof accel->vendor, "%s", devices.devices[0].vendor);
        divvy_accel_devices_free(&devices);
    }
}

int divvy_accel_open(const struct divvy_accel_settings *settings, struct divvy_accel **ret_accel, struct divvy_error *error) {
    static const struct divvy_accel_settings none;
    struct search search = {.settings = settings ? settings : &none};
    struct divvy_error own = {0, ""};
    int status;

    search.vendor = variable(secure_getenv("TF_HARDWARE_VENDOR"));
    if (!search.vendor)
        search.vendor = variable(search.settings->vendor);
    search.accel = calloc(1, sizeof *search.accel);
    if (!search.accel)
        return divvy_error_set_errno(error, -ENOMEM, "cannot open an accelerator library");
    search.accel->log = search.settings->log;
    search.accel->log_data = search.settings->log_data;
    status = find(&search, error ? error : &own);
    if (status < 0) {
        free(search.accel);
        return status;
    }
    vendor_note(search.accel, search.vendor);
    *ret_accel = search.accel;
    return 0;
}

void divvy_accel_close(struct divvy_accel *accel) {
    if (!accel)
        return;
    divvy_accel_library_put(accel);
    free(accel);
}

const char *divvy_accel_path(const struct divvy_accel *accel) {
    return accel->library->path;
}

const char *divvy_accel_vendor(const struct divvy_accel *accel) {
    return accel->vendor;
}

int divvy_accel_generation(const struct divvy_accel *accel) {
    return accel->library->generation;
}
