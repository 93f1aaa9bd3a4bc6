/* Code images: PTX text and the JIT options with which a program hands it in. */
#include "simgpu/driver/module.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a program can hand in instead of text (magic numbers of the formats). */
enum {
    MAGIC_ELF = 0x464c457f,
    MAGIC_FATBIN = 0xba55ed50,
    MAGIC_FATBIN_WRAPPER = 0x466243b1,
};

void divvy_drv_image_ref(divvy_drv_image_t *image) {
    atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
}

void divvy_drv_image_unref(divvy_drv_image_t *image) {
    if (atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel) != 1)
        return;
    divvy_ptx_module_free(image->ptx);
    free(image);
}

/* ---- JIT options ----------------------------------------------------------------------------- */

typedef struct {
    char *info, *error;
    size_t info_bytes, error_bytes;
    void **info_size, **error_size; /* where the bytes written are told */
    void **wall_time;
} jit_t;

/* Values stand in the pointers themselves. Options that steer a compiler are accepted and change
 * nothing. */
static CUresult read_options(unsigned count, CUjit_option *options, void **values, jit_t *jit) {
    if (count && (!options || !values))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++) {
        switch (options[i]) {
        case CU_JIT_INFO_LOG_BUFFER:
            jit->info = values[i];
            break;
        case CU_JIT_ERROR_LOG_BUFFER:
            jit->error = values[i];
            break;
        case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
            jit->info_bytes = (unsigned)(uintptr_t)values[i];
            jit->info_size = values + i;
            break;
        case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
            jit->error_bytes = (unsigned)(uintptr_t)values[i];
            jit->error_size = values + i;
            break;
        case CU_JIT_WALL_TIME:
            jit->wall_time = values + i;
            break;
        default:
            if ((int)options[i] < 0 || options[i] >= CU_JIT_NUM_OPTIONS)
                return CUDA_ERROR_INVALID_VALUE;
        }
    }
    return CUDA_SUCCESS;
}

/* Writes TEXT and tells its length, the final NUL not counted. */
static void tell(char *buffer, size_t bytes, void **size, const char *text) {
    size_t written = 0;
    if (buffer && bytes) {
        int length = snprintf(buffer, bytes, "%s", text);
        written = length < 0 ? 0 : (size_t)length < bytes ? (size_t)length : bytes - 1;
    }
    if (size)
        *size = (void *)(uintptr_t)written;
}

/* ---- loading --------------------------------------------------------------------------------- */

static CUresult parse_result(int status) {
    switch (status) {
    case 0:
        return CUDA_SUCCESS;
    case -ENOMEM:
        return CUDA_ERROR_OUT_OF_MEMORY;
    case -EPROTONOSUPPORT:
        return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    default:
        return CUDA_ERROR_INVALID_PTX;
    }
}

/* Machine code for real GPUs cannot run here; anything else that is not text is not an image at
 * all. */
static CUresult recognise(const void *code) {
    const unsigned char *bytes = code;
    uint32_t magic;
    for (int i = 0; i < 4; i++)
        if (!bytes[i]) /* shorter than any image, and perhaps than the number */
            return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&magic, code, sizeof(magic));
    if (magic == (uint32_t)MAGIC_ELF || magic == MAGIC_FATBIN ||
        magic == (uint32_t)MAGIC_FATBIN_WRAPPER)
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    for (size_t i = 0; i < 4; i++)
        if (bytes[i] >= 0x80 || (bytes[i] < ' ' && !strchr("\t\n\v\f\r", bytes[i])))
            return CUDA_ERROR_INVALID_IMAGE;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_image_load(const void *code, unsigned count, CUjit_option *options,
                              void **values, divvy_drv_image_t **ret_image) {
    char log[512] = "";
    jit_t jit = {0};
    DRV_TRY(read_options(count, options, values, &jit));
    DRV_TRY(recognise(code));
    uint64_t begun = divvy_simgpu_now_ns();
    size_t length = strnlen(code, DIVVY_PTX_TEXT_MAX_BYTES + 1);
    divvy_drv_image_t *image = calloc(1, sizeof(*image));
    if (!image)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result =
        parse_result(divvy_ptx_module_parse(code, length, log, sizeof(log), &image->ptx));
    if (jit.wall_time) {
        float milliseconds = (float)((double)(divvy_simgpu_now_ns() - begun) / 1e6);
        memcpy(jit.wall_time, &milliseconds, sizeof(milliseconds));
    }
    tell(jit.error, jit.error_bytes, jit.error_size, log);
    tell(jit.info, jit.info_bytes, jit.info_size, "");
    if (result != CUDA_SUCCESS) {
        free(image);
        return result;
    }
    atomic_init(&image->refs, 1);
    divvy_ptx_module_info(image->ptx, &image->info);
    *ret_image = image;
    return CUDA_SUCCESS;
}
