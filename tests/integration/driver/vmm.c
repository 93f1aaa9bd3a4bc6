/* Physical handles, addresses, mappings. */
#include "check.h"

#include <unistd.h>

enum { PAGE = 2 << 20 };

int main(void) {
    fixture_t f = begin();
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}},
                        shown;
    CUmemAccessDesc write = {prop.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE},
                    read = {prop.location, CU_MEM_ACCESS_FLAGS_PROT_READ};
    CUmemGenericAllocationHandle a, b, c;
    CUdeviceptr at, alias;
    size_t granularity, before = free_bytes();
    unsigned long long flags;
    int fd;
    OK(cuMemGetAllocationGranularity(&granularity, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    EQUAL(granularity, PAGE);
    IS(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&a, PAGE + 1, &prop, 0));
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuMemCreate(&a, (size_t)PAGE << 30, &prop, 0));
    OK(cuMemCreate(&a, 2 * PAGE, &prop, 0));
    OK(cuMemCreate(&b, PAGE, &prop, 0));
    EQUAL(before - free_bytes(), 3 * PAGE);
    OK(cuMemAddressReserve(&at, 8 * PAGE, 0, 0, 0));
    EQUAL(at % PAGE, 0);
    EQUAL(before - free_bytes(), 3 * PAGE); /* addresses cost nothing */
    OK(cuMemMap(at, 2 * PAGE, 0, a, 0));
    OK(cuMemMap(at + 2 * PAGE, PAGE, 0, b, 0));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemMap(at, PAGE, 0, b, 0));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemsetD8_v2(at, 1, PAGE)); /* no access yet */
    OK(cuMemSetAccess(at, 3 * PAGE, &write, 1));
    OK(cuMemsetD32_v2(at, 5, 3 * PAGE / 4)); /* across both */
    OK(add1(&f, at + 2 * PAGE - 128, 64, NULL));
    EQUAL(word_at(at, 2 * PAGE / 4 + 31), 6);
    EQUAL(word_at(at, 2 * PAGE / 4 + 32), 5);
    OK(cuMemGetAccess(&flags, &prop.location, at));
    EQUAL(flags, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    OK(cuMemSetAccess(at + 2 * PAGE, PAGE, &read, 1));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemsetD8_v2(at + 2 * PAGE, 1, 1));
    EQUAL(word_at(at, 2 * PAGE / 4), 6);
    /* A second mapping shows the same memory. */
    OK(cuMemAddressReserve(&alias, 2 * PAGE, 0, 0, 0));
    OK(cuMemMap(alias, 2 * PAGE, 0, a, 0));
    OK(cuMemSetAccess(alias, 2 * PAGE, &write, 1));
    OK(cuMemsetD32_v2(alias, 77, 1));
    EQUAL(word_at(at, 0), 77);
    /* Memory goes with the last reference and the last mapping. */
    OK(cuMemRelease(a));
    EQUAL(before - free_bytes(), 3 * PAGE);
    OK(cuMemRetainAllocationHandle(&c, (void *)(alias + 100)));
    TRUE(c == a);
    OK(cuMemGetAllocationPropertiesFromHandle(&shown, a));
    EQUAL(shown.location.id, 0);
    OK(cuMemUnmap(alias, 2 * PAGE));
    OK(cuMemUnmap(at, 2 * PAGE));
    EQUAL(before - free_bytes(), 3 * PAGE);
    OK(cuMemRelease(c));
    EQUAL(before - free_bytes(), PAGE);
    IS(CUDA_ERROR_INVALID_VALUE, cuMemRelease(c));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH_v2(&fd, at, 4));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(at, 8 * PAGE)); /* something is still mapped */
    IS(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(at + 2 * PAGE, 2 * PAGE));
    /* A descriptor is a handle of the same memory, also here. */
    OK(cuMemExportToShareableHandle(&fd, b, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    OK(cuMemImportFromShareableHandle(&c, (void *)(size_t)fd,
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    EQUAL(before - free_bytes(), PAGE);
    OK(cuMemMap(alias, PAGE, 0, c, 0));
    OK(cuMemSetAccess(alias, PAGE, &write, 1));
    EQUAL(word_at(alias, 0), 6);
    OK(cuMemUnmap(alias, PAGE));
    OK(cuMemRelease(c));
    close(fd);
    IS(CUDA_ERROR_INVALID_VALUE,
       cuMemImportFromShareableHandle(&c, (void *)(size_t)0,
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    OK(cuMemUnmap(at + 2 * PAGE, PAGE));
    OK(cuMemRelease(b));
    EQUAL(free_bytes(), before);
    OK(cuMemAddressFree(at, 8 * PAGE));
    OK(cuMemAddressFree(alias, 2 * PAGE));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(at, 8 * PAGE));
    prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_NONE;
    OK(cuMemCreate(&a, PAGE, &prop, 0));
    IS(CUDA_ERROR_INVALID_VALUE,
       cuMemExportToShareableHandle(&fd, a, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    OK(cuMemRelease(a));
    prop.location.type = CU_MEM_LOCATION_TYPE_HOST_NUMA;
    IS(CUDA_ERROR_NOT_SUPPORTED, cuMemCreate(&a, PAGE, &prop, 0));
    return 0;
}
