/*
 * Finds MIG devices and reserves one: what there is, a line for each, and then, as argument or HC_MIG_PROFILE ask for
 * ("1g.10gb" without), one slice that is held until return is pressed or the input ends.
 */
#include <divvy/mig.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What the library has to say: warnings and worse. */
static void log_line(void *data, int level, const char *line) {
    (void)data;
    if (level <= DIVVY_MIG_LOG_WARN)
        (void)fprintf(stderr, "mig_discovery: %s\n", line);
}

static int devices_print(struct divvy_mig_error *error) {
    struct divvy_mig_list *list;
    const char *fault;
    int status = divvy_mig_list_all(NULL, 0, &list, error);

    if (status < 0)
        return status;
    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++) {
        const struct divvy_mig_device *device = divvy_mig_list_at(list, i);

        (void)printf("GPU %" PRIu32 ": UUID=%s, Memory=%" PRIu64 "B, MIG=%s, Profile=%s\n", device->gpu_index,
                     device->uuid, device->memory_bytes, device->is_mig ? "true" : "false", device->profile);
    }
    if (divvy_mig_list_faults(list, &fault) > 0)
        (void)fprintf(stderr, "mig_discovery: not all could be read: %s\n", fault);
    divvy_mig_list_free(list);
    return 0;
}

int main(int argc, char **argv) {
    struct divvy_mig_options options = DIVVY_MIG_OPTIONS_INIT;
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_error error = {0};
    const char *wished = getenv("HC_MIG_PROFILE");
    const char *profile = argc > 1 ? argv[1] : wished && *wished ? wished : "1g.10gb";

    options.log = log_line;
    options.flags = DIVVY_MIG_HEARTBEAT_THREAD;
    divvy_mig_options_read_environment(&options);
    if (devices_print(&error) < 0 || divvy_mig_reserve_by_profile(profile, &options, &reservation, &error) < 0) {
        (void)fprintf(stderr, "mig_discovery: %s\n", error.text);
        return 1;
    }
    (void)printf("Reserved: %s\n", divvy_mig_reservation_device(reservation)->uuid);
    (void)fflush(stdout);
    (void)getchar();
    if (divvy_mig_release(reservation, &error) < 0) {
        (void)fprintf(stderr, "mig_discovery: %s\n", error.text);
        return 1;
    }
    return 0;
}
