/* How much memory a device has, and who has taken it. */
#include "simgpu/nvml/api.h"

/* All of a simulated board's memory can be had by programs; a real one keeps some for itself (an H200 615 MiB), which
 * the second version shows as reserved and the first as used. */
static nvmlReturn_t memory_read(nvmlDevice_t device, nvmlMemory_t *ret_memory) {
    uint64_t free_bytes, total_bytes;
    NVM_ANY_DEVICE(facts, device);

    NVM_TRY(divvy_nvml_result(divvy_simgpu_mem_info(facts->index, &free_bytes, &total_bytes)));
    *ret_memory = (nvmlMemory_t){
        .total = total_bytes, .free = free_bytes, .used = total_bytes - free_bytes};
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetMemoryInfo)(nvmlDevice_t device, nvmlMemory_t *memory) {
    NVM_REQUIRE(memory);
    return memory_read(device, memory);
}

/* A wrong version is answered with "function not found" here, as the real library does, and not with "argument
 * version mismatch" as elsewhere. */
nvmlReturn_t NVM(nvmlDeviceGetMemoryInfo_v2)(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    nvmlMemory_t read;

    NVM_REQUIRE(memory);
    if (memory->version != NVML_STRUCT_VERSION(Memory, 2))
        return NVML_ERROR_FUNCTION_NOT_FOUND;
    NVM_TRY(memory_read(device, &read));
    memory->total = read.total;
    memory->reserved = 0;
    memory->free = read.free;
    memory->used = read.used;
    return NVML_SUCCESS;
}

/* The window is the next power of two over the memory; nothing is mapped through it but a driver page. */
nvmlReturn_t NVM(nvmlDeviceGetBAR1MemoryInfo)(nvmlDevice_t device, nvmlBAR1Memory_t *bar1Memory) {
    const unsigned long long used_bytes = 2u << 20;
    unsigned long long total_bytes = 256u << 20;
    NVM_ANY_DEVICE(facts, device);

    NVM_REQUIRE(bar1Memory);
    while (total_bytes < facts->memory_bytes)
        total_bytes *= 2;
    *bar1Memory = (nvmlBAR1Memory_t){
        .bar1Total = total_bytes, .bar1Free = total_bytes - used_bytes, .bar1Used = used_bytes};
    return NVML_SUCCESS;
}
