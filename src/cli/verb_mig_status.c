/* divvy mig status: who has which instance. */
#include "base/table.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/mig.h"
#include "core/text.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <time.h>

static const struct argp_option options[] = {DIVVY_CLI_MIG_OPTION_ROWS, {0}};

static const struct argp parser = {
    .options = options,
    .parser = divvy_cli_mig_plain_take,
    .doc = "Tell who has which MIG instance, by the lock files of this machine.\v"
           "States: free; held, a program has the kernel's lock; named, the lock names a living process, as those do that "
           "`divvy mig reserve' writes for a shell; unsure, the lock does not say whose it is and is young; dead, left "
           "behind, whoever comes next takes it.\n"
           "Pids are as the holder's container counts them.\n\n"
           "Exit status: 0; 1 when NVML or the locks cannot be used; 2 for wrong use.",
};

static void time_format(int64_t realtime_s, char text[32]) {
    time_t seconds = (time_t)realtime_s;
    struct tm utc;

    text[0] = '\0';
    if (realtime_s > 0 && gmtime_r(&seconds, &utc))
        (void)strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static json_t *holder_json(const struct divvy_mig_holder *holder) {
    char since[32];

    if (holder->state == DIVVY_MIG_FREE)
        return json_null();
    time_format(holder->since_s, since);
    return json_pack("{s:s, s:o, s:i, s:o, s:f}", "state", divvy_mig_holder_state_name(holder->state), "pid",
                     holder->pid ? json_integer(holder->pid) : json_null(), "uid", (int)holder->uid, "since",
                     since[0] ? json_string(since) : json_null(), "heartbeat_age_seconds",
                     (double)holder->heartbeat_age_ns * 1e-9);
}

static void user_format(uint32_t uid, char *text, size_t size) {
    const struct passwd *user = getpwuid(uid);

    if (user)
        divvy_text_clean(user->pw_name, text, size);
    else
        (void)snprintf(text, size, "%" PRIu32, uid);
}

static void row_add(struct divvy_table *table, const struct divvy_mig_device *device, const struct divvy_mig_holder *holder) {
    static const enum divvy_tint tints[] = {DIVVY_TINT_GOOD, DIVVY_TINT_NONE, DIVVY_TINT_NONE, DIVVY_TINT_WARN,
                                            DIVVY_TINT_WARN};
    char clean[DIVVY_MIG_UUID_BYTES], cell[64];
    divvy_core_text_t text;

    divvy_text_clean(device->uuid, clean, sizeof clean);
    divvy_table_add(table, clean, DIVVY_TINT_NONE);
    (void)snprintf(cell, sizeof cell, "%" PRIu32, device->gpu_index);
    divvy_table_add(table, cell, DIVVY_TINT_NONE);
    divvy_table_add(table, device->profile, DIVVY_TINT_NONE);
    divvy_core_text_init(&text, cell, sizeof cell);
    divvy_core_text_add_size(&text, device->memory_bytes);
    divvy_table_add(table, cell, DIVVY_TINT_NONE);
    divvy_table_add(table, divvy_mig_holder_state_name(holder->state), tints[holder->state]);
    (void)snprintf(cell, sizeof cell, "%" PRId32, holder->pid);
    divvy_table_add(table, holder->pid ? cell : "-", DIVVY_TINT_NONE);
    user_format(holder->uid, cell, sizeof cell);
    divvy_table_add(table, holder->state == DIVVY_MIG_FREE ? "-" : cell, DIVVY_TINT_NONE);
    time_format(holder->since_s, cell);
    divvy_table_add(table, cell[0] ? cell : "-", DIVVY_TINT_NONE);
}

static void modes_say(const struct divvy_mig_list *list) {
    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++) {
        const struct divvy_mig_device *device = divvy_mig_list_at(list, i);

        if (!device->is_mig && device->mig_mode != device->mig_mode_pending)
            (void)fprintf(stderr, "divvy mig status: GPU %" PRIu32 ": MIG is %s now and will be %s after its next reset\n",
                          device->gpu_index, device->mig_mode ? "on" : "off", device->mig_mode_pending ? "on" : "off");
    }
    if (divvy_mig_list_count(list) > 0 && !divvy_mig_list_has_mig(list))
        (void)fputs("divvy mig status: no GPU has MIG mode on\n", stderr);
}

/* The rows or objects of all instances; 0 or a negative errno. */
static int instances_add(const struct divvy_mig_list *list, const struct divvy_cli_mig_common *common,
                         const struct divvy_mig_options *settings, json_t *all, struct divvy_table *table,
                         struct divvy_mig_error *error) {
    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++) {
        const struct divvy_mig_device *device = divvy_mig_list_at(list, i);
        struct divvy_mig_holder holder;
        json_t *object;

        if (!device->is_mig || !divvy_cli_mig_is_wanted(common, device))
            continue;
        if (divvy_mig_holder(settings->lock_dir, device->uuid, settings->ttl_ns, &holder, error) < 0)
            return error->status;
        if (table)
            row_add(table, device, &holder);
        if (!all)
            continue;
        object = divvy_cli_mig_device_json(device);
        (void)json_object_set_new(object, "holder", holder_json(&holder));
        (void)json_array_append_new(all, object);
    }
    return 0;
}

static int status_print(const struct divvy_mig_list *list, const struct divvy_cli_mig_common *common,
                        const struct divvy_mig_options *settings) {
    static const struct divvy_table_column columns[] = {
        {"UUID", false},  {"GPU", true}, {"PROFILE", false}, {"MEMORY", true},
        {"STATE", false}, {"PID", true}, {"USER", false},    {"SINCE", false},
    };
    struct divvy_table *table = common->json ? NULL : divvy_table_new(columns, sizeof columns / sizeof columns[0]);
    json_t *all = common->json ? json_array() : NULL;
    struct divvy_mig_error error = {0};
    int status = DIVVY_CLI_OK;

    if (instances_add(list, common, settings, all, table, &error) < 0) {
        json_decref(all);
        status = divvy_cli_mig_fail("status", &error);
    } else if (common->json) {
        status = divvy_cli_json_print(json_pack("{s:o}", "instances", all), 2, stdout);
    } else if (!table || divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout)) < 0) {
        status = DIVVY_CLI_FAILED;
    }
    divvy_table_free(table);
    return status;
}

int divvy_cli_mig_status(int argc, char **argv) {
    struct divvy_cli_mig_common common = {0};
    struct divvy_mig_options settings;
    struct divvy_mig_error error = {0};
    struct divvy_mig_list *list;
    struct divvy_mig *mig;
    int status;

    if (argp_parse(&parser, argc, argv, 0, NULL, &common) != 0)
        return DIVVY_CLI_USAGE;
    divvy_cli_mig_options(&common, &settings);
    status = divvy_cli_mig_open("status", &common, false, &mig);
    if (status != 0)
        return status;
    status = divvy_mig_list(mig, 0, &list, &error);
    divvy_mig_close(mig);
    if (status < 0)
        return divvy_cli_mig_fail("status", &error);
    modes_say(list);
    status = status_print(list, &common, &settings);
    divvy_mig_list_free(list);
    return status;
}
