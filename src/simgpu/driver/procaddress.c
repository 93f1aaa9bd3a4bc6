/*
 * cuGetProcAddress: which of the exported forms a program built against some CUDA version is given,
 * and the private tables of cuGetExportTable, of which there are none.
 */
#include "simgpu/driver/api.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Row numbers ordered by api name, so that a name is found by bisection. */
static uint16_t order[1024];
static size_t order_count;
static pthread_once_t order_once = PTHREAD_ONCE_INIT;

static int compare(const void *a, const void *b) {
    size_t count;
    const divvy_drv_export_t *rows = divvy_drv_exports(&count);
    const divvy_drv_export_t *x = rows + *(const uint16_t *)a, *y = rows + *(const uint16_t *)b;
    int names = strcmp(x->api, y->api);
    return names ? names : (x->since > y->since) - (x->since < y->since);
}

static void sort(void) {
    size_t count;
    divvy_drv_exports(&count);
    if (count > sizeof(order) / sizeof(order[0]))
        abort(); /* the table outgrew the array above */
    for (size_t i = 0; i < count; i++)
        order[i] = (uint16_t)i;
    order_count = count;
    qsort(order, count, sizeof(order[0]), compare);
}

/* The newest form not newer than VERSION; the per-thread one where that is asked for and exists.
 * *ret_known says whether the name exists at all. */
static void *lookup(const char *api, int version, bool per_thread, bool *ret_known) {
    size_t count;
    const divvy_drv_export_t *rows = divvy_drv_exports(&count), *plain = NULL, *twin = NULL;
    pthread_once(&order_once, sort);
    size_t low = 0, high = order_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(rows[order[middle]].api, api) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_known = false;
    for (; low < order_count && !strcmp(rows[order[low]].api, api); low++) {
        const divvy_drv_export_t *row = rows + order[low];
        *ret_known = true;
        if (row->since > version)
            continue;
        if (row->form == 'p')
            plain = row;
        else
            twin = row;
    }
    /* A twin of an older interface never replaces a newer plain form. */
    if (per_thread && twin &&
        (!plain || strncmp(twin->symbol, plain->symbol, strlen(plain->symbol)) == 0))
        return twin->address;
    return plain ? plain->address : NULL;
}

static CUresult answer(const char *symbol, void **pfn, int version, cuuint64_t flags,
                       CUdriverProcAddressQueryResult *status) {
    if (!symbol || !pfn || version < 0 ||
        (flags & ~(cuuint64_t)(CU_GET_PROC_ADDRESS_LEGACY_STREAM |
                               CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM)) ||
        flags ==
            (CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM))
        return CUDA_ERROR_INVALID_VALUE;
    bool known;
    void *address =
        lookup(symbol, version, flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, &known);
    *pfn = address;
    if (status)
        *status = address ? CU_GET_PROC_ADDRESS_SUCCESS
                  : known ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                          : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    /* With a place for the status the call itself succeeds; the older form has only its result
     * to say it with. */
    return address || status ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult DRV(cuGetProcAddress)(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags) {
    return answer(symbol, pfn, cudaVersion, flags, NULL);
}

CUresult DRV(cuGetProcAddress_v2)(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags,
                                  CUdriverProcAddressQueryResult *symbolStatus) {
    return answer(symbol, pfn, cudaVersion, flags, symbolStatus);
}

CUresult DRV(cuGetExportTable)(const void **ppExportTable, const CUuuid *pExportTableId) {
    if (!ppExportTable || !pExportTableId)
        return CUDA_ERROR_INVALID_VALUE;
    *ppExportTable = NULL;
    return CUDA_ERROR_NOT_FOUND;
}
