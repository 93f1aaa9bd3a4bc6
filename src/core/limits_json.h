/*
 * The limit objects of TENSOR_FUSION_CUDA_UP_LIMIT and TENSOR_FUSION_CUDA_MEM_LIMIT:
 *     {"0": 20, "gpu-3430f778-7a25-704c-9090-8b0bb2478114": 10}
 * A flat JSON object whose keys are device indices or UUIDs of GPUs and MIG devices and whose values are whole numbers.
 * Anything else is refused with its place: a mistyped limit must never read as "no limit". Pure,
 * bounded (text of any length, at most DIVVY_CORE_LIMITS_MAX entries), no allocation; usable in
 * constructors.
 */
#ifndef DIVVY_CORE_LIMITS_JSON_H
#define DIVVY_CORE_LIMITS_JSON_H

#include "core/fault.h"
#include "core/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entries of one object: 16 devices by index and by UUID, twice over. */
#define DIVVY_CORE_LIMITS_MAX 64

/* An index beyond this is a typing error, not a device. */
#define DIVVY_CORE_LIMITS_INDEX_MAX 65535

typedef enum {
    DIVVY_CORE_LIMITS_PERCENT, /* of GPU time; 0 and anything above 100: no limit, returned as 0 */
    DIVVY_CORE_LIMITS_BYTES,   /* of device memory; 0: no limit */
    DIVVY_CORE_LIMITS_KIND_MAX,
} divvy_core_limits_kind_t;

typedef enum {
    DIVVY_CORE_LIMIT_KEY_INDEX,
    DIVVY_CORE_LIMIT_KEY_UUID,
    DIVVY_CORE_LIMIT_KEY_MAX,
} divvy_core_limit_key_t;

typedef struct {
    divvy_core_limit_key_t key; /* which of index and uuid is meant */
    uint32_t index;
    divvy_core_uuid_t uuid;
    bool is_mig;           /* the UUID was written "MIG-..." */
    uint64_t value;        /* percent or bytes; 0 = no limit */
    size_t key_position;   /* offset of the key's first character, for messages about devices */
    size_t value_position; /* offset of the value's first digit */
} divvy_core_limit_t;

typedef struct {
    size_t count;
    divvy_core_limit_t entries[DIVVY_CORE_LIMITS_MAX]; /* in the order of the text */
} divvy_core_limits_t;

/*
 * Parses the whole text. 0 on success ("{}" gives no entries). -EINVAL: malformed, a key that is
 * neither index nor UUID, or the same key twice (two spellings of one UUID are the same key; an
 * index and a UUID of the same device are not, the caller merges them). -ERANGE: a number that does
 * not fit 64 bits. -E2BIG: more than DIVVY_CORE_LIMITS_MAX entries. On failure *ret_limits is
 * unspecified and *ret_fault (may be NULL) says where and why.
 */
int divvy_core_limits_parse(const char *text, size_t length, divvy_core_limits_kind_t kind,
                            divvy_core_limits_t *ret_limits, divvy_core_fault_t *ret_fault);

#endif
