/* GPU UUIDs: see uuid.h. */
#include "core/uuid.h"

#include "core/parse.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char byte) {
    byte = divvy_core_ascii_lower(byte);
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static size_t prefix_length(const char *text, size_t length) {
    return length >= 4 && divvy_core_word_equal(text, 4, "gpu-") ? 4 : 0;
}

int divvy_core_uuid_parse(const char *text, size_t length, divvy_core_uuid_t *ret_uuid,
                          divvy_core_fault_t *ret_fault) {
    divvy_core_uuid_t uuid = {0};
    size_t at = prefix_length(text, length), digits = 0;

    if (length >= 4 && divvy_core_word_equal(text, 4, "mig-"))
        return divvy_core_fault_set(ret_fault, -EINVAL, 0, "this names a MIG instance, not a GPU");
    for (; digits < 32 && at < length; at++) {
        int digit = hex_digit(text[at]);
        bool wants_dash =
            (digits == 8 || digits == 12 || digits == 16 || digits == 20) && text[at - 1] != '-';

        if (wants_dash) {
            if (text[at] != '-')
                return divvy_core_fault_set(ret_fault, -EINVAL, at, "a '-' is missing in the UUID");
            continue;
        }
        if (digit < 0)
            return divvy_core_fault_set(ret_fault, -EINVAL, at,
                                        "not a hexadecimal digit of a UUID");
        uuid.bytes[digits / 2] = (uint8_t)(uuid.bytes[digits / 2] << 4 | digit);
        digits++;
    }
    if (digits < 32)
        return divvy_core_fault_set(ret_fault, -EINVAL, at, "the UUID is too short");
    if (at < length)
        return divvy_core_fault_set(ret_fault, -EINVAL, at, "the UUID is too long");
    *ret_uuid = uuid;
    return 0;
}

int divvy_core_uuid_parse_any(const char *text, size_t length, divvy_core_uuid_t *ret_uuid,
                              bool *ret_is_mig, divvy_core_fault_t *ret_fault) {
    bool is_mig = length >= 4 && divvy_core_word_equal(text, 4, "mig-");
    divvy_core_fault_t fault;
    int status;

    if (is_mig && length >= 8 && divvy_core_word_equal(text, 8, "mig-gpu-"))
        return divvy_core_fault_set(
            ret_fault, -EINVAL, 4, "this older name of a MIG device has no UUID of its own in it");
    if (is_mig) {
        text += 4;
        length -= 4;
    }
    status = divvy_core_uuid_parse(text, length, ret_uuid, &fault);
    if (status < 0)
        return divvy_core_fault_set(ret_fault, status, fault.position + (is_mig ? 4 : 0),
                                    fault.reason);
    *ret_is_mig = is_mig;
    return 0;
}

void divvy_core_uuid_format(const divvy_core_uuid_t *uuid,
                            char ret_text[DIVVY_CORE_UUID_TEXT_BYTES]) {
    divvy_core_uuid_format_any(uuid, false, ret_text);
}

void divvy_core_uuid_format_any(const divvy_core_uuid_t *uuid, bool is_mig,
                                char ret_text[DIVVY_CORE_UUID_TEXT_BYTES]) {
    static const char hex[] = "0123456789abcdef";
    char *at = ret_text;

    memcpy(at, is_mig ? "MIG-" : "GPU-", 4);
    at += 4;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[uuid->bytes[i] >> 4];
        *at++ = hex[uuid->bytes[i] & 15];
    }
    *at = '\0';
}

bool divvy_core_uuid_equal(const divvy_core_uuid_t *a, const divvy_core_uuid_t *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool divvy_core_uuid_text_equal(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t a_prefix = prefix_length(a, a_length), b_prefix = prefix_length(b, b_length);

    a += a_prefix;
    a_length -= a_prefix;
    b += b_prefix;
    b_length -= b_prefix;
    if (a_length != b_length || a_length == 0)
        return false;
    for (size_t i = 0; i < a_length; i++)
        if (divvy_core_ascii_lower(a[i]) != divvy_core_ascii_lower(b[i]))
            return false;
    return true;
}
