/* divvy mig list and divvy mig profiles: what there is. */
#include "base/table.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/mig.h"
#include "core/text.h"

#include <inttypes.h>
#include <stdio.h>

static const struct argp_option options[] = {DIVVY_CLI_MIG_OPTION_ROWS, {0}};

/* --- list ------------------------------------------------------------------------------------------------------- */

static const struct argp list_parser = {
    .options = options,
    .parser = divvy_cli_mig_plain_take,
    .doc = "List the GPUs and their MIG instances, one line for each: each GPU before its instances.\v"
           "An instance has less memory than its profile is called after. Where NVML does not tell the profile, and for "
           "whole GPUs, the size stands in its place.\n\n"
           "Exit status: 0; 1 when NVML cannot be used; 2 for wrong use.",
};

static int list_json(const struct divvy_mig_list *list, const struct divvy_cli_mig_common *common) {
    json_t *devices = json_array();

    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++)
        if (divvy_cli_mig_is_wanted(common, divvy_mig_list_at(list, i)))
            (void)json_array_append_new(devices, divvy_cli_mig_device_json(divvy_mig_list_at(list, i)));
    return divvy_cli_json_print(json_pack("{s:o, s:i}", "devices", devices, "faults", (int)divvy_mig_list_faults(list, NULL)),
                                2, stdout);
}

static void list_lines(const struct divvy_mig_list *list, const struct divvy_cli_mig_common *common) {
    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++) {
        const struct divvy_mig_device *device = divvy_mig_list_at(list, i);
        char uuid[DIVVY_MIG_UUID_BYTES];

        if (!divvy_cli_mig_is_wanted(common, device))
            continue;
        divvy_text_clean(device->uuid, uuid, sizeof uuid);
        (void)printf("GPU %" PRIu32 ": UUID=%s, Memory=%" PRIu64 "B, MIG=%s, Profile=%s\n", device->gpu_index, uuid,
                     device->memory_bytes, device->is_mig ? "true" : "false", device->profile);
    }
}

static void faults_say(const char *what, const struct divvy_mig_list *list) {
    const char *first;
    uint32_t faults = divvy_mig_list_faults(list, &first);

    if (faults > 0)
        (void)fprintf(stderr, "divvy mig %s: %" PRIu32 " readings failed, the first: %s\n", what, faults, first);
}

int divvy_cli_mig_list(int argc, char **argv) {
    struct divvy_cli_mig_common common = {0};
    struct divvy_mig_error error = {0};
    struct divvy_mig_list *list;
    struct divvy_mig *mig;
    int status;

    if (argp_parse(&list_parser, argc, argv, 0, NULL, &common) != 0)
        return DIVVY_CLI_USAGE;
    status = divvy_cli_mig_open("list", &common, false, &mig);
    if (status != 0)
        return status;
    status = divvy_mig_list(mig, 0, &list, &error);
    divvy_mig_close(mig);
    if (status < 0)
        return divvy_cli_mig_fail("list", &error);
    faults_say("list", list);
    if (common.json)
        status = list_json(list, &common);
    else
        list_lines(list, &common);
    divvy_mig_list_free(list);
    return status;
}

/* --- profiles --------------------------------------------------------------------------------------------------- */

static const struct argp profiles_parser = {
    .options = options,
    .parser = divvy_cli_mig_plain_take,
    .doc = "List the profiles that the GPUs offer: how many instances of each there are and are free, and how many more "
           "could be created now.\v"
           "Exit status: 0; 1 when NVML cannot be used; 2 for wrong use.",
};

static bool offer_is_wanted(const struct divvy_cli_mig_common *common, const struct divvy_mig_list *gpus,
                            const struct divvy_mig_offer *offer) {
    for (uint32_t i = 0; i < divvy_mig_list_count(gpus); i++) {
        const struct divvy_mig_device *device = divvy_mig_list_at(gpus, i);

        if (!device->is_mig && device->gpu_index == offer->gpu_index)
            return divvy_cli_mig_is_wanted(common, device);
    }
    return !common->gpu;
}

static json_t *offer_json(const struct divvy_mig_offer *offer) {
    return json_pack("{s:i, s:s, s:I, s:i, s:i, s:i, s:i, s:o, s:i, s:b}", "gpu", (int)offer->gpu_index, "profile",
                     offer->profile, "memory_mib", (json_int_t)offer->memory_mib, "gpu_slices", (int)offer->gpu_slices,
                     "instances", (int)offer->instances, "reserved", (int)offer->reserved, "free",
                     (int)(offer->instances - offer->reserved), "creatable",
                     offer->creatable == DIVVY_MIG_UNKNOWN ? json_null() : json_integer(offer->creatable), "instances_max",
                     (int)offer->instances_max, "mig_mode", (int)offer->mig_mode);
}

static void cell_count(struct divvy_table *table, uint32_t count) {
    char text[16];

    (void)snprintf(text, sizeof text, "%" PRIu32, count);
    divvy_table_add(table, count == DIVVY_MIG_UNKNOWN ? "-" : text, DIVVY_TINT_NONE);
}

static void offer_row(struct divvy_table *table, const struct divvy_mig_offer *offer) {
    char memory[32];
    divvy_core_text_t text;

    cell_count(table, offer->gpu_index);
    divvy_table_add(table, offer->profile, DIVVY_TINT_NONE);
    divvy_core_text_init(&text, memory, sizeof memory);
    divvy_core_text_add_size(&text, offer->memory_mib << 20);
    divvy_table_add(table, memory, DIVVY_TINT_NONE);
    cell_count(table, offer->gpu_slices);
    cell_count(table, offer->instances);
    cell_count(table, offer->instances - offer->reserved);
    cell_count(table, offer->creatable);
    cell_count(table, offer->instances_max);
}

static int profiles_print(const struct divvy_mig_offer *offers, uint32_t count, const struct divvy_mig_list *gpus,
                          const struct divvy_cli_mig_common *common) {
    static const struct divvy_table_column columns[] = {
        {"GPU", true},    {"PROFILE", false}, {"MEMORY", true},    {"SLICES", true},
        {"EXIST", true},  {"FREE", true},     {"CREATABLE", true}, {"MOST", true},
    };
    struct divvy_table *table = common->json ? NULL : divvy_table_new(columns, sizeof columns / sizeof columns[0]);
    json_t *all = common->json ? json_array() : NULL;
    int status = DIVVY_CLI_OK;

    for (uint32_t i = 0; i < count; i++) {
        if (!offer_is_wanted(common, gpus, &offers[i]))
            continue;
        if (common->json)
            (void)json_array_append_new(all, offer_json(&offers[i]));
        else if (table)
            offer_row(table, &offers[i]);
    }
    if (common->json)
        return divvy_cli_json_print(json_pack("{s:o}", "profiles", all), 2, stdout);
    if (!table || divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout)) < 0)
        status = DIVVY_CLI_FAILED;
    divvy_table_free(table);
    return status;
}

int divvy_cli_mig_profiles(int argc, char **argv) {
    struct divvy_cli_mig_common common = {0};
    struct divvy_mig_options settings;
    struct divvy_mig_error error = {0};
    struct divvy_mig_offer *offers = NULL;
    struct divvy_mig_list *gpus = NULL;
    struct divvy_mig *mig;
    uint32_t count;
    int status;

    if (argp_parse(&profiles_parser, argc, argv, 0, NULL, &common) != 0)
        return DIVVY_CLI_USAGE;
    divvy_cli_mig_options(&common, &settings);
    status = divvy_cli_mig_open("profiles", &common, false, &mig);
    if (status != 0)
        return status;
    status = divvy_mig_list(mig, 0, &gpus, &error);
    if (status == 0)
        status = divvy_mig_offers(mig, settings.lock_dir, &offers, &count, &error);
    divvy_mig_close(mig);
    if (status == 0) {
        faults_say("profiles", gpus);
        status = profiles_print(offers, count, gpus, &common);
    } else {
        status = divvy_cli_mig_fail("profiles", &error);
    }
    divvy_mig_offers_free(offers);
    divvy_mig_list_free(gpus);
    return status;
}
