/*
 * divvy page show: what stands in the shared pages of a tenant, for looking into things. Pages are read as what anybody may have
 * written: copied whole, checked, and every text made fit for a terminal.
 */
#include "base/cleanup.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "core/clock.h"
#include "core/uuid.h"
#include "page/control.h"
#include "page/page.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct arguments {
    int json;
    const char *what;
};

static error_t argument_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case DIVVY_CLI_OPTION_JSON:
        arguments->json = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0 && strcmp(value, "show") != 0)
            argp_error(state, "'%s' is nothing that can be done to a page (there is: show)", value);
        else if (state->arg_num == 1)
            arguments->what = value;
        else if (state->arg_num > 1)
            argp_error(state, "unexpected argument '%s'", value);
        return 0;
    case ARGP_KEY_END:
        if (!arguments->what)
            argp_error(state, "which page? (divvy page show PATH or TENANT)");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"json", DIVVY_CLI_OPTION_JSON, NULL, 0, "For machines: one JSON object", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .args_doc = "show PATH|TENANT",
    .doc = "Show what stands in the pages that a tenant's processes share: limits, leases, memory and GPU time by process. "
           "PATH is a page or a tenant's folder (DIVVY_TENANT_DIR); a TENANT is looked for among the folders of this "
           "user and of root's divvyd.\v"
           "Times that end in _ns and are moments are of CLOCK_MONOTONIC, whose present is in `now_ns'.\n\n"
           "For example:\n"
           "  divvy page show train\n"
           "  divvy page show /run/divvy/tenants/train/control --json | jq .control.devices\n\n"
           "Exit status: 0; 1 when there is no such page or it cannot be believed; 2 for wrong use.",
};

/* --- values --------------------------------------------------------------------------------------------------------- */

static json_t *number(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *limit(uint64_t bytes) {
    return bytes == 0 || bytes == DIVVY_PAGE_UNLIMITED ? json_null() : number(bytes);
}

static json_t *share(uint32_t permille) {
    return permille == 0 || permille >= DIVVY_PAGE_PERMILLE_UNLIMITED ? json_null() : json_real(permille / 10.0);
}

static json_t *text(const char *bytes, size_t size) {
    char clean[DIVVY_CONTROL_NAME_BYTES + 1];
    size_t length = 0;

    while (length < size && length < sizeof clean - 1 && bytes[length] != '\0') {
        clean[length] = bytes[length] >= ' ' && bytes[length] <= '~' ? bytes[length] : '?';
        length++;
    }
    clean[length] = '\0';
    return json_string(clean);
}

static json_t *uuid_text(const struct divvy_page_word *word) {
    char formatted[DIVVY_CORE_UUID_TEXT_BYTES];
    divvy_core_uuid_t uuid;

    memcpy(uuid.bytes, word, sizeof uuid.bytes);
    divvy_core_uuid_format(&uuid, formatted);
    return json_string(formatted);
}

static bool is_zero(const struct divvy_page_word *word) {
    return word->low == 0 && word->high == 0;
}

/* --- the usage page ------------------------------------------------------------------------------------------------- */

static json_t *usage_device(const struct divvy_page_device *device) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "uuid", uuid_text(&device->uuid), "limit_bytes",
                     limit(device->limit_bytes), "used_bytes", number(device->used.low), "peak_bytes",
                     number(device->peak_bytes), "physical_bytes", number(device->physical_bytes), "refused",
                     number(device->refused), "clamped", number(device->clamped), "compute_percent",
                     share(device->compute_permille), "charged_ns", number(device->compute.charged_ns), "generation",
                     number(device->compute.generation));
}

static json_t *slot_device(const struct divvy_page_device *device, const struct divvy_page_cell *cell,
                           const struct divvy_page_usage *usage) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "uuid", uuid_text(&device->uuid), "bytes",
                     number(cell->bytes), "overhead_bytes", number(cell->overhead_bytes), "contexts",
                     number(cell->context_count), "busy_ns", number(usage->busy_ns), "inflight_ns",
                     number(usage->inflight_ns), "drain_ns", number(usage->drain_ns), "launches", number(usage->launches),
                     "waited_ns", number(usage->waited_ns), "waiting", number(usage->waiting));
}

static json_t *slot(const struct divvy_page *page, unsigned int index) {
    const struct divvy_page_slot *entry = &page->slots[index];
    json_t *devices = json_array();

    for (unsigned int i = 0; i < DIVVY_PAGE_DEVICES; i++)
        if (!is_zero(&page->devices[i].uuid))
            (void)json_array_append_new(devices, slot_device(&page->devices[i], &entry->cells[i], &entry->usage[i]));
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "slot", index, "pid", number((uint32_t)entry->owner.low),
                     "pid_namespace", number(entry->owner.low >> 32), "host_pid", number(entry->host_pid), "start_ticks",
                     number(entry->owner.high >> 2), "state",
                     (entry->owner.high & 3) == DIVVY_PAGE_STATE_LIVE ? "live" : "reaping", "generation",
                     number(entry->generation), "attached_ns", number(entry->attached_ns), "devices", devices);
}

static json_t *usage_page(const struct divvy_page *page) {
    json_t *devices = json_array(), *slots = json_array();

    for (unsigned int i = 0; i < DIVVY_PAGE_DEVICES; i++)
        if (!is_zero(&page->devices[i].uuid))
            (void)json_array_append_new(devices, usage_device(&page->devices[i]));
    for (unsigned int i = 0; i < DIVVY_PAGE_SLOTS; i++)
        if (!is_zero(&page->slots[i].owner))
            (void)json_array_append_new(slots, slot(page, i));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version", number(page->version), "tenant",
                     text(page->tenant, sizeof page->tenant), "created_ns", number(page->created_ns), "reaped",
                     number(page->reaped), "slots_high", number(page->slots_high), "devices", devices, "slots", slots);
}

/* --- the control page ----------------------------------------------------------------------------------------------- */

static const char *mode_name(uint32_t mode) {
    static const char *const names[] = {"self", "open", "leased", "frozen"};

    return mode < sizeof names / sizeof names[0] ? names[mode] : "?";
}

static json_t *control_device(const struct divvy_control *page, unsigned int index) {
    const struct divvy_control_device *device = &page->devices[index];
    struct divvy_control_lease lease = {0};
    bool whole = divvy_control_lease_read(page, index, &lease);

    return json_pack("{s:o, s:o, s:o, s:i, s:b, s:b, s:b, s:o}", "uuid", uuid_text(&device->uuid), "limit_bytes",
                     limit(device->limit_bytes), "compute_percent", share(device->compute_permille), "weight",
                     (int)(device->weight & INT32_MAX), "soft", (device->flags & DIVVY_CONTROL_SOFT) != 0, "armed",
                     device->armed != 0, "listening", device->listening != 0, "lease",
                     !whole ? json_null()
                            : json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}", "id", number(lease.id), "mode",
                                        mode_name(lease.mode), "begin_ns", number((uint64_t)lease.begin_ns), "end_ns",
                                        lease.end_ns == DIVVY_CONTROL_FOREVER_NS ? json_null()
                                                                                 : number((uint64_t)lease.end_ns),
                                        "budget_ns", number(lease.budget_ns), "sequence", number(lease.seq)));
}

static json_t *control_page(const struct divvy_control *page, uint64_t now_ns) {
    json_t *devices = json_array();

    for (unsigned int i = 0; i < DIVVY_PAGE_DEVICES && !is_zero(&page->devices[i].uuid); i++)
        (void)json_array_append_new(devices, control_device(page, i));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "version", number(page->version),
                     "name", text(page->name, sizeof page->name), "namespace",
                     text(page->namespace, sizeof page->namespace), "pod", text(page->pod, sizeof page->pod), "created_ns",
                     number(page->created_ns), "alive", divvy_control_is_alive(page, (int64_t)now_ns), "heartbeat_ns",
                     number((uint64_t)page->heartbeat_ns), "daemon_pid", number(page->daemon_pid), "frozen",
                     page->frozen != 0, "owner_uid", number(page->owner_uid), "qos", number(page->qos), "keeper_pid",
                     number(page->keeper_pid), "devices", devices);
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

/* The whole of a regular file, malloc'ed; -EPROTO: something else, or larger than any page. */
static int file_read(int at, const char *name, void **ret_bytes, size_t *ret_size) {
    cleanup_close int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    size_t done = 0;
    char *bytes;

    if (fd < 0)
        return errno == ELOOP ? -EPROTO : -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > sizeof(struct divvy_page))
        return -EPROTO;
    bytes = malloc((size_t)status.st_size + 1);
    if (!bytes)
        return -ENOMEM;
    while (done < (size_t)status.st_size) {
        ssize_t count = read(fd, bytes + done, (size_t)status.st_size - done);

        if (count <= 0)
            break;
        done += (size_t)count;
    }
    *ret_bytes = bytes;
    *ret_size = done;
    return 0;
}

/* Adds the page in this file to `shown`, by what it turns out to be. */
static int page_add(int at, const char *name, uint64_t now_ns, json_t *shown) {
    void *bytes = NULL;
    size_t size = 0;
    int status = file_read(at, name, &bytes, &size);

    if (status < 0)
        return status;
    status = -EPROTO;
    if (divvy_page_validate(bytes, size) == 0)
        status = json_object_set_new(shown, "usage", usage_page(bytes)) ? -ENOMEM : 0;
    else if (divvy_control_validate(bytes, size) == 0)
        status = json_object_set_new(shown, "control", control_page(bytes, now_ns)) ? -ENOMEM : 0;
    free(bytes);
    return status;
}

/* A page, or a folder with one or both. */
static int path_add(const char *path, uint64_t now_ns, json_t *shown) {
    cleanup_close int folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int control_status, usage_status;

    if (folder_fd < 0 && errno == ENOTDIR)
        return page_add(AT_FDCWD, path, now_ns, shown);
    if (folder_fd < 0)
        return -errno;
    control_status = page_add(folder_fd, DIVVY_CONTROL_FILE, now_ns, shown);
    usage_status = page_add(folder_fd, "usage", now_ns, shown);
    if (control_status < 0 && control_status != -ENOENT)
        return control_status;
    return usage_status == -ENOENT && control_status == 0 ? 0 : usage_status;
}

static int tenant_add(const char *name, uint64_t now_ns, json_t *shown, char ret_path[PATH_MAX]) {
    static const char *const kinds[] = {"tenants", "alone"};
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char bases[3][PATH_MAX / 2], file[DIVVY_CONTROL_NAME_BYTES];

    (void)snprintf(bases[0], sizeof bases[0], "%s/divvy", runtime && runtime[0] == '/' ? runtime : "/run");
    (void)snprintf(bases[1], sizeof bases[1], "/run/divvy");
    (void)snprintf(bases[2], sizeof bases[2], "/dev/shm/divvy-%u", (unsigned int)geteuid());
    if (snprintf(file, sizeof file, "%s", name) >= (int)sizeof file || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -ENOENT;
    for (char *at = file; *at; at++)
        if (*at == '/')
            *at = '+';
    for (unsigned int i = 0; i < 6; i++) {
        int status;

        (void)snprintf(ret_path, PATH_MAX, "%s/%s/%s", bases[i / 2], kinds[i % 2], file);
        status = path_add(ret_path, now_ns, shown);
        if (status != -ENOENT)
            return status;
    }
    return -ENOENT;
}

/* --- output --------------------------------------------------------------------------------------------------------- */

static void lines_print(const char *key, json_t *value, int depth) {
    json_t *item;
    size_t index;

    (void)printf("%*s%s", depth * 2, "", key);
    if (json_is_object(value)) {
        (void)putchar('\n');
        json_object_foreach(value, key, item)
            lines_print(key, item, depth + 1);
    } else if (json_is_array(value)) {
        (void)printf("%s\n", json_array_size(value) ? "" : "  none");
        json_array_foreach(value, index, item)
            lines_print("-", item, depth + 1);
    } else if (json_is_integer(value)) {
        (void)printf("  %lld\n", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        (void)printf("  %g\n", json_real_value(value));
    } else if (json_is_string(value)) {
        (void)printf("  %s\n", json_string_value(value));
    } else {
        (void)printf("  %s\n", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
    }
}

static int print(json_t *shown, int json) {
    const char *key;
    json_t *value;

    if (json)
        return divvy_cli_json_print(shown, 2, stdout);
    json_object_foreach(shown, key, value)
        lines_print(key, value, 0);
    json_decref(shown);
    return DIVVY_CLI_OK;
}

int divvy_cli_verb_page(int argc, char **argv) {
    struct arguments arguments = {0};
    uint64_t now_ns = divvy_core_clock_ns();
    char path[PATH_MAX] = "";
    json_t *shown;
    int status;

    if (argp_parse(&parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    shown = json_object();
    status = -ENOENT;
    if (arguments.what[0] != '/' && arguments.what[0] != '.')
        status = tenant_add(arguments.what, now_ns, shown, path);
    if (status == -ENOENT) {
        (void)snprintf(path, sizeof path, "%s", arguments.what);
        status = path_add(path, now_ns, shown);
    }
    if (status < 0) {
        json_decref(shown);
        if (status == -ENOENT)
            divvy_cli_complain("page", "there is no page of a tenant '%s' and no such path (`divvy ps' lists tenants)",
                               arguments.what);
        else
            divvy_cli_complain("page", "%s: %s", path,
                               status == -EPROTO ? "is no page of this version of divvy" : strerror(-status));
        return DIVVY_CLI_FAILED;
    }
    (void)json_object_set_new(shown, "now_ns", number(now_ns));
    return print(shown, arguments.json);
}
