/*
 * Fuzz target of the profile grammar: what is accepted reads the same when its normal form is read again, matches a device of
 * its own name, and messages stay on one line.
 */
#include "divvy/mig.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void accepted_check(const struct divvy_mig_profile *profile) {
    struct divvy_mig_device device = {.is_mig = 1, .memory_bytes = profile->custom_mib > (UINT64_MAX >> 20) ?
                                      UINT64_MAX : profile->custom_mib << 20};
    struct divvy_mig_profile again;
    char name[DIVVY_MIG_NAME_BYTES];

    if (strlen(profile->text) >= sizeof profile->text || divvy_mig_profile_parse(profile->text, &again, NULL) != 0 ||
        memcmp(&again, profile, sizeof again) != 0)
        abort();
    if (profile->is_custom)
        return;
    if (profile->gpu_slices == 0 || profile->gigabytes == 0)
        abort();
    (void)snprintf(name, sizeof name, "NVIDIA H100 80GB MIG %s", profile->text);
    divvy_mig_profile_guess(name, 0, device.profile);
    if (divvy_mig_profile_matches(profile, &device) != DIVVY_MIG_MATCH_BY_NAME)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_mig_error error = {0};
    struct divvy_mig_profile profile = {0};
    char guessed[DIVVY_MIG_PROFILE_BYTES];
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (divvy_mig_profile_parse(text, &profile, &error) == 0)
        accepted_check(&profile);
    else if (error.status == 0 || !error.text[0] || strpbrk(error.text, "\n\r\x1b"))
        abort();
    divvy_mig_profile_guess(text, size, guessed);
    if (strlen(guessed) >= sizeof guessed)
        abort();
    free(text);
    return 0;
}
