/* Reading images from files. */
#include "simgpu/driver/file.h"
#include "simgpu/ptx/ptx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CUresult divvy_drv_file_read(const char *path, char **ret_text) {
    FILE *file = fopen(path, "re");
    if (!file)
        return CUDA_ERROR_FILE_NOT_FOUND;
    CUresult result = CUDA_ERROR_INVALID_IMAGE;
    char *text = NULL;
    if (!fseek(file, 0, SEEK_END)) {
        long length = ftell(file);
        if (length > 0 && length <= (long)DIVVY_PTX_TEXT_MAX_BYTES) {
            text = malloc((size_t)length + 4); /* so that four bytes can always be looked at */
            result = text ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
            if (text) {
                rewind(file);
                size_t got = fread(text, 1, (size_t)length, file);
                memset(text + got, 0, 4);
            }
        }
    }
    fclose(file);
    if (result == CUDA_SUCCESS)
        *ret_text = text;
    return result;
}
