/* Reading images from files. */
#ifndef DIVVY_SIMGPU_DRIVER_FILE_H
#define DIVVY_SIMGPU_DRIVER_FILE_H

#include "simgpu/driver/api.h"

/* The whole file and a NUL, for the caller to free. CUDA_ERROR_FILE_NOT_FOUND, OUT_OF_MEMORY,
 * INVALID_IMAGE. */
CUresult divvy_drv_file_read(const char *path, char **ret_text);

#endif
