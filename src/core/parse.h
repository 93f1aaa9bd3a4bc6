/*
 * Numbers, percentages and sizes as people write them. The text is a byte range and need not end in
 * NUL. Every function takes the whole range or refuses it: no leading or trailing blanks, no sign,
 * no fraction, no locale. Returns 0; -EINVAL for malformed text, -ERANGE for a number that does not
 * fit. *ret_fault (may be NULL) then says where and why; other out-parameters are untouched on
 * failure. Pure; usable in hooks and signal handlers.
 */
#ifndef DIVVY_CORE_PARSE_H
#define DIVVY_CORE_PARSE_H

#include "core/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only; leading zeros are accepted. */
int divvy_core_u64_parse(const char *text, size_t length, uint64_t *ret_value,
                         divvy_core_fault_t *ret_fault);

/* "30" or "30%": 0 to 100 percent. The caller decides what 0 means. */
int divvy_core_percent_parse(const char *text, size_t length, unsigned int *ret_percent,
                             divvy_core_fault_t *ret_fault);

typedef enum {
    DIVVY_CORE_SIZE_BYTES,   /* value is bytes */
    DIVVY_CORE_SIZE_PERCENT, /* value is 0 to 100 percent of a total that the caller knows */
    DIVVY_CORE_SIZE_MAX,
} divvy_core_size_kind_t;

typedef struct {
    divvy_core_size_kind_t kind;
    uint64_t value;
} divvy_core_size_t;

/*
 * A size: digits, then nothing or `B` (bytes), one of K M G T P with or without `B` (powers of
 * 1000), or Ki Mi Gi Ti Pi with or without `B` (powers of 1024), in any case; or `%`. "8G" is
 * 8,000,000,000 and "8GiB" 8,589,934,592 bytes.
 */
int divvy_core_size_parse(const char *text, size_t length, divvy_core_size_t *ret_size,
                          divvy_core_fault_t *ret_fault);

/* The bytes that a size means on a device of total_bytes; a percentage is rounded down. */
uint64_t divvy_core_size_resolve(const divvy_core_size_t *size, uint64_t total_bytes);

/* ASCII only, whatever the locale. */
static inline char divvy_core_ascii_lower(char byte) {
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

/* Whether a byte range equals a NUL-terminated word, ASCII case ignored. */
bool divvy_core_word_equal(const char *text, size_t length, const char *word);

/* Whether a host as addresses name it ("localhost", "[::1]", "127.0.0.1"; ASCII case ignored) is this machine; names are not looked up. */
bool divvy_core_host_is_loopback(const char *host, size_t length);

#endif
