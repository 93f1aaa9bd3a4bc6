/* divvy-sim mig: the mode, and instances. */
#include "simgpu/tool/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int failed(const char *what, int status) {
    const char *why = status == -EOPNOTSUPP ? "this model has no MIG, or MIG mode is off"
                      : status == -EBUSY    ? "in use; end the programs that use it"
                      : status == -ENOSPC   ? "does not fit beside the instances there are"
                      : status == -ENODEV   ? "no such device, or it is lost"
                      : status == -EINVAL   ? "no such profile or placement"
                                            : strerror(-status);

    return tool_complain("mig", status == -EINVAL ? TOOL_USAGE : TOOL_FAILED, "%.80s: %s", what,
                         why);
}

static bool read_device(const char *text, int *ret_device) {
    uint64_t number;

    if (!tool_number(text, INT32_MAX, &number) || (int)number >= divvy_simgpu_device_count())
        return false;
    *ret_device = (int)number;
    return true;
}

static int no_device(const char *text) {
    return tool_complain("mig", TOOL_USAGE, "%.80s: no such device", text);
}

/* --- list, profiles ------------------------------------------------------------------------------------------ */

static void list_device(int device) {
    bool current = false, pending = false;
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci;
    char size[32];
    int r = divvy_simgpu_mig_mode(device, &current, &pending);

    printf("%d  %s  MIG %s%s\n", device, divvy_simgpu_device_get(device)->name,
           r == -EOPNOTSUPP ? "not there"
           : current        ? "on"
                            : "off",
           current == pending ? ""
           : pending          ? ", on after a reset"
                              : ", off after a reset");
    for (unsigned slot = 0; slot < DIVVY_SIMGPU_MIG_MAX; slot++)
        if (!divvy_simgpu_gi_get(device, slot, &gi))
            printf("   GPU instance %-2u  %-11s  at %u:%u  %s\n", gi.id, gi.profile.name, gi.start,
                   gi.profile.size, tool_size(gi.memory_bytes, size));
    for (unsigned index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++)
        if (!divvy_simgpu_ci_get(device, index, &ci))
            printf("   MIG device %u  %-11s  GPU instance %u, compute instance %u, %u SMs  %s\n",
                   index, ci.profile.name, ci.gi.id, ci.id, ci.profile.sm_count, ci.uuid_text);
}

static void list_profiles(int device) {
    divvy_simgpu_gi_profile_t p;
    char size[32], remaining[8];

    for (unsigned n = 0; !divvy_simgpu_gi_profile(device, n, &p); n++) {
        unsigned count;

        if (divvy_simgpu_gi_remaining(device, p.id, &count))
            snprintf(remaining, sizeof remaining, "-");
        else
            snprintf(remaining, sizeof remaining, "%u", count);
        printf("%d  %-11s  id %-2u  free %s of %u  %3u SMs  %10s  at", device, p.name, p.id,
               remaining, p.instances_max, p.sm_count, tool_size(p.memory_bytes, size));
        for (unsigned start = 0; start < DIVVY_SIMGPU_MIG_SLOTS; start++)
            if (p.starts >> start & 1)
                printf(" %u", start);
        printf(", size %u\n", p.size);
    }
}

/* --- create -------------------------------------------------------------------------------------------------- */

static int compute_create(const divvy_simgpu_gi_t *gi, const char *name, size_t length) {
    divvy_simgpu_ci_profile_t p;
    divvy_simgpu_ci_t ci;

    for (unsigned n = 0; !divvy_simgpu_ci_profile(gi, n, &p); n++) {
        char part[8];

        snprintf(part, sizeof part, "%uc", p.slices % 10);
        if (length ? strlen(part) != length || strncasecmp(part, name, length)
                   : strcmp(p.name, gi->profile.name) != 0)
            continue;
        int r = divvy_simgpu_ci_create(gi, p.id, DIVVY_SIMGPU_MIG_ANYWHERE, &ci);

        if (!r)
            printf("%s\n", ci.uuid_text);
        return r;
    }
    return -EINVAL;
}

/* A profile by name or number. */
static int profile_find(int device, const char *text, size_t length,
                        divvy_simgpu_gi_profile_t *ret_profile) {
    char number[16];

    for (unsigned n = 0; !divvy_simgpu_gi_profile(device, n, ret_profile); n++) {
        snprintf(number, sizeof number, "%u", ret_profile->id);
        if ((strlen(ret_profile->name) == length &&
             !strncasecmp(ret_profile->name, text, length)) ||
            (strlen(number) == length && !strncmp(number, text, length)))
            return 0;
    }
    return -EINVAL;
}

/* PROFILE[@START][/COMPUTE]...: without COMPUTE one that takes all. What cannot be made whole is undone. */
static int create_one(int device, const char *text) {
    size_t length = strcspn(text, "/"), name = strcspn(text, "@/");
    divvy_simgpu_gi_profile_t profile;
    divvy_simgpu_gi_t gi;
    uint64_t start = 0;
    int r;

    if (name < length) {
        char number[8] = "";

        if (length - name - 1 < sizeof number)
            memcpy(number, text + name + 1, length - name - 1);
        if (!tool_number(number, DIVVY_SIMGPU_MIG_SLOTS - 1, &start))
            return -EINVAL;
    }
    if ((r = profile_find(device, text, name, &profile)) < 0)
        return r;
    r = divvy_simgpu_gi_create(device, profile.id,
                               name < length ? (int)start : DIVVY_SIMGPU_MIG_ANYWHERE, &gi);
    if (r < 0)
        return r;
    if (!text[length])
        return compute_create(&gi, "", 0);
    while (!r && text[length]) {
        const char *part = text + length + 1;
        size_t part_length = strcspn(part, "/");

        if (part_length)
            r = compute_create(&gi, part, part_length);
        length += 1 + part_length;
    }
    if (r < 0)
        (void)tool_mig_destroy_gi(&gi);
    return r;
}

static int create(int argc, char **argv) {
    int device, r;

    if (argc < 2)
        return tool_complain("mig", TOOL_USAGE, "create wants a device and profiles");
    if (!read_device(argv[0], &device))
        return no_device(argv[0]);
    for (int i = 1; i < argc; i++)
        if ((r = create_one(device, argv[i])) < 0)
            return failed(argv[i], r);
    return TOOL_OK;
}

/* --- destroy ------------------------------------------------------------------------------------------------- */

int tool_mig_destroy_gi(const divvy_simgpu_gi_t *gi) {
    divvy_simgpu_ci_t ci;
    int r;

    for (unsigned index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++)
        if (!divvy_simgpu_ci_get(gi->device, index, &ci) && ci.gi.slot == gi->slot &&
            ci.gi.generation == gi->generation && (r = divvy_simgpu_ci_destroy(&ci)) < 0)
            return r;
    return divvy_simgpu_gi_destroy(gi);
}

static bool find(const char *uuid, divvy_simgpu_ci_t *ret_ci) {
    for (int device = 0; device < divvy_simgpu_device_count(); device++)
        for (unsigned index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++)
            if (!divvy_simgpu_ci_get(device, index, ret_ci) &&
                (!strcasecmp(ret_ci->uuid_plain, uuid) || !strcasecmp(ret_ci->uuid_legacy, uuid)))
                return true;
    return false;
}

/* A MIG device by UUID, and its GPU instance if that was its last; or all of a device. */
static int destroy_one(const char *what) {
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci;
    int device, r = 0;

    if (find(what, &ci)) {
        r = divvy_simgpu_ci_destroy(&ci);
        if (!r && (r = divvy_simgpu_gi_destroy(&ci.gi)) == -EBUSY)
            r = 0; /* another compute instance lives in it */
        return r;
    }
    if (!read_device(what, &device))
        return -ENOENT;
    for (unsigned slot = 0; !r && slot < DIVVY_SIMGPU_MIG_MAX; slot++)
        if (!divvy_simgpu_gi_get(device, slot, &gi))
            r = tool_mig_destroy_gi(&gi);
    return r;
}

static int destroy(int argc, char **argv) {
    if (argc < 1)
        return tool_complain("mig", TOOL_USAGE, "destroy wants UUIDs of MIG devices, or devices");
    for (int i = 0; i < argc; i++) {
        int r = destroy_one(argv[i]);

        if (r == -ENOENT)
            return tool_complain("mig", TOOL_FAILED, "%.80s: no such MIG device or device",
                                 argv[i]);
        if (r < 0)
            return failed(argv[i], r);
    }
    return TOOL_OK;
}

/* --- mode ---------------------------------------------------------------------------------------------------- */

static int set_mode(int argc, char **argv, bool on) {
    bool active;
    int device, r;

    if (argc != 1)
        return tool_complain("mig", TOOL_USAGE, "%s wants a device", on ? "on" : "off");
    if (!read_device(argv[0], &device))
        return no_device(argv[0]);
    if ((r = divvy_simgpu_mig_set_mode(device, on, &active)) < 0)
        return failed(argv[0], r);
    if (!active)
        return tool_complain("mig", TOOL_FAILED,
                             "%s: in use: noted, and done by 'divvy-sim mig reset %s' later",
                             argv[0], argv[0]);
    return TOOL_OK;
}

static int reset(int argc, char **argv) {
    int device, r;

    if (argc != 1)
        return tool_complain("mig", TOOL_USAGE, "reset wants a device");
    if (!read_device(argv[0], &device))
        return no_device(argv[0]);
    r = divvy_simgpu_mig_reset(device);
    return r < 0 ? failed(argv[0], r) : TOOL_OK;
}

static int each_device(int argc, char **argv, void (*visit)(int device)) {
    int device;

    /* All are read before the first is shown. */
    for (int i = 0; i < argc; i++)
        if (!read_device(argv[i], &device))
            return no_device(argv[i]);
    for (int i = 0; i < argc; i++)
        if (read_device(argv[i], &device))
            visit(device);
    for (device = 0; argc == 0 && device < divvy_simgpu_device_count(); device++)
        visit(device);
    return TOOL_OK;
}

static int run(const char *what, int argc, char **argv) {
    if (!strcmp(what, "list"))
        return each_device(argc, argv, list_device);
    if (!strcmp(what, "profiles"))
        return each_device(argc, argv, list_profiles);
    if (!strcmp(what, "create"))
        return create(argc, argv);
    if (!strcmp(what, "destroy"))
        return destroy(argc, argv);
    if (!strcmp(what, "reset"))
        return reset(argc, argv);
    return set_mode(argc, argv, !strcmp(what, "on"));
}

/* These make the machine where there is none: MIG is configured before programs come. */
int tool_mig(int argc, char **argv) {
    static const char *const words[] = {"list",   "profiles", "on",   "off",
                                        "create", "destroy",  "reset"};
    const char *what = argc > 1 ? argv[1] : "list";
    char error[DIVVY_SIMGPU_ERROR_MAX];

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i], what))
            continue;
        int r = divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error);

        if (r < 0)
            return tool_complain("mig", TOOL_FAILED, "%s", *error ? error : strerror(-r));
        return run(what, argc > 2 ? argc - 2 : 0, argv + 2);
    }
    return tool_complain("mig", TOOL_USAGE, "%.80s: not understood; --help explains", what);
}
