/* Profiles: the grammar, what a name tells of one, and whether a device is what is wanted. Pure. */
#include "core/parse.h"
#include "mig/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1024) * 1024)

/* The smallest real size seen is 0.889 of the nominal one (1g.18gb of an H200 has 16384 MiB). */
#define REAL_PERMILLE 850u

/* The longer before the shorter: the first that ends the text is it. */
static const char *const attributes[] = {"+me.all", "+gfx", "+me", "-me"};

/* What is read of a text, from its front. */
struct cursor {
    const char *at, *end;
};

static bool word_take(struct cursor *cursor, const char *word) {
    size_t length = strlen(word);

    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

/* A number without sign or leading zero, above 0. */
static bool count_take(struct cursor *cursor, uint32_t *ret_count) {
    const char *start = cursor->at;
    uint64_t value;

    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9')
        cursor->at++;
    if (cursor->at == start || *start == '0' ||
        divvy_core_u64_parse(start, (size_t)(cursor->at - start), &value, NULL) < 0 || value > UINT32_MAX / 2)
        return false;
    *ret_count = (uint32_t)value;
    return true;
}

static bool named_take(struct cursor cursor, struct divvy_mig_profile *profile) {
    uint32_t first;

    if (!count_take(&cursor, &first))
        return false;
    if (word_take(&cursor, "c.")) {
        profile->compute_slices = first;
        if (!count_take(&cursor, &first))
            return false;
    }
    profile->gpu_slices = first;
    if (!word_take(&cursor, "g.") || !count_take(&cursor, &profile->gigabytes) || !word_take(&cursor, "gb"))
        return false;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (word_take(&cursor, attributes[i])) {
            (void)snprintf(profile->attribute, sizeof profile->attribute, "%s", attributes[i]);
            break;
        }
    return cursor.at == cursor.end;
}

static bool custom_take(struct cursor cursor, struct divvy_mig_profile *profile) {
    profile->is_custom = 1;
    return word_take(&cursor, "custom.") &&
           divvy_core_u64_parse(cursor.at, (size_t)(cursor.end - cursor.at), &profile->custom_mib, NULL) == 0;
}

static bool is_blank(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* The text without blanks around it, in small letters. False: too long to be any profile. */
static bool normalise(const char *text, char ret_text[DIVVY_MIG_PROFILE_BYTES]) {
    size_t length = strlen(text);

    while (length > 0 && is_blank(*text)) {
        text++;
        length--;
    }
    while (length > 0 && is_blank(text[length - 1]))
        length--;
    if (length >= DIVVY_MIG_PROFILE_BYTES)
        return false;
    for (size_t i = 0; i < length; i++)
        ret_text[i] = divvy_core_ascii_lower(text[i]);
    ret_text[length] = '\0';
    return true;
}

int divvy_mig_profile_parse(const char *text, struct divvy_mig_profile *ret_profile, struct divvy_mig_error *error) {
    struct divvy_mig_profile profile = {0}, custom = {0};
    bool is_known = normalise(text, profile.text);
    struct cursor cursor = {profile.text, profile.text + strlen(profile.text)};

    memcpy(custom.text, profile.text, sizeof custom.text);
    if (is_known && named_take(cursor, &profile)) {
        *ret_profile = profile;
        return 0;
    }
    if (is_known && custom_take(cursor, &custom)) {
        *ret_profile = custom;
        return 0;
    }
    return divvy_mig_error_set(error, -EINVAL,
                               "'%.60s' is no MIG profile: write 1g.10gb, 1g.10gb+me, 1c.3g.40gb or custom.MEBIBYTES",
                               text);
}

/* Product names hold digits and blanks: the profile is what follows the last " MIG ". */
void divvy_mig_profile_guess(const char *name, uint64_t memory_bytes, char ret_profile[DIVVY_MIG_PROFILE_BYTES]) {
    static const char mark[] = " MIG ";
    struct divvy_mig_profile profile;
    const char *last = NULL;

    for (const char *at = name; at && (at = strstr(at, mark)) != NULL; at++)
        last = at + sizeof mark - 1;
    if (last && divvy_mig_profile_parse(last, &profile, NULL) == 0 && !profile.is_custom)
        (void)snprintf(ret_profile, DIVVY_MIG_PROFILE_BYTES, "%s", profile.text);
    else
        (void)snprintf(ret_profile, DIVVY_MIG_PROFILE_BYTES, "~%" PRIu64 " MB", memory_bytes / MIB);
}

static bool size_fits(const struct divvy_mig_profile *profile, uint64_t memory_bytes) {
    uint64_t nominal_mib = (uint64_t)profile->gigabytes * 1024, mib = memory_bytes / MIB;

    return mib * 1000 >= nominal_mib * REAL_PERMILLE && mib <= nominal_mib;
}

/* The profile of a device that has the full slices of its GPU instance goes without "Cc." in its name. */
static bool names_equal(const struct divvy_mig_profile *wanted, const struct divvy_mig_profile *found) {
    uint32_t wanted_compute = wanted->compute_slices ? wanted->compute_slices : wanted->gpu_slices;
    uint32_t found_compute = found->compute_slices ? found->compute_slices : found->gpu_slices;

    return wanted_compute == found_compute && wanted->gpu_slices == found->gpu_slices &&
           wanted->gigabytes == found->gigabytes && strcmp(wanted->attribute, found->attribute) == 0;
}

int divvy_mig_profile_matches(const struct divvy_mig_profile *profile, const struct divvy_mig_device *device) {
    uint32_t compute = profile->compute_slices ? profile->compute_slices : profile->gpu_slices;
    struct divvy_mig_profile found;

    if (!device->is_mig)
        return DIVVY_MIG_NO_MATCH;
    if (profile->is_custom)
        return device->memory_bytes / MIB >= profile->custom_mib ? DIVVY_MIG_MATCH_BY_NAME : DIVVY_MIG_NO_MATCH;
    if (divvy_mig_profile_parse(device->profile, &found, NULL) == 0)
        return names_equal(profile, &found) ? DIVVY_MIG_MATCH_BY_NAME : DIVVY_MIG_NO_MATCH;
    if (profile->attribute[0] || !size_fits(profile, device->memory_bytes))
        return DIVVY_MIG_NO_MATCH;
    if (device->gpu_slices == 0)
        return DIVVY_MIG_MATCH_BY_SIZE;
    return device->gpu_slices == profile->gpu_slices && device->compute_slices == compute ? DIVVY_MIG_MATCH_BY_SLICES
                                                                                         : DIVVY_MIG_NO_MATCH;
}
