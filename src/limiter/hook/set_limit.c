/*
 * The function of divvy/limiter.h that this library exports under a name of its own. Linked into the library
 * itself, like exports.c.
 */
#include "divvy/limiter.h"
#include "limiter/hook/process.h"

__attribute__((visibility("default"))) void set_limit(uint32_t gpu, uint32_t up_limit,
                                                      uint64_t mem_limit) {
    divvy_process_set_limit(gpu, up_limit, mem_limit);
}
