/* Verbs of divvy-client that let the worker compute: jobs, devices, SAXPY, matrix product. Results are checked here. */
#include "remote/client/tool.h"
#include "remote/kernels.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_THREADS 128u

/* --- JSON ------------------------------------------------------------------------------------------------ */

/* A list of numbers as JSON has them, white space apart: nothing else gets into the request. */
static bool is_list(const char *text) {
    return text[0] && text[strspn(text, "0123456789+-.eE,")] == '\0';
}

static bool is_error(const char *answer) {
    return strstr(answer, "\"error\"") != NULL;
}

static int job_run(struct tool *tool, const char *request, char **ret_answer) {
    size_t length;
    int status = divvy_client_job(tool->client, request, strlen(request), ret_answer, &length);

    return status == 0 ? TOOL_OK : tool_fail(tool, "job", status);
}

int tool_job(struct tool *tool) {
    char *answer;
    int status = job_run(tool, tool->argv[0], &answer);

    if (status != TOOL_OK)
        return status;
    (void)puts(answer);
    status = is_error(answer) ? TOOL_FAILED : TOOL_OK;
    free(answer);
    return status;
}

/* The list in {"result": [...]}, without the braces around it; NULL: there is none. */
static char *result_find(char *answer) {
    char *list = strchr(answer, '['), *end = strrchr(answer, ']');

    if (is_error(answer) || !list || !end)
        return NULL;
    end[1] = '\0';
    return list;
}

int tool_vector_add(struct tool *tool) {
    size_t size = strlen(tool->argv[0]) + strlen(tool->argv[1]) + 100;
    char *request, *answer, *list;
    int status;

    if (!is_list(tool->argv[0]) || !is_list(tool->argv[1]))
        return tool_misuse("vector-add takes two lists of numbers, as 1,2,3 4,5,6");
    request = malloc(size);
    if (!request)
        return tool_fail(tool, "vector-add", -ENOMEM);
    (void)snprintf(request, size, "{\"operation\":\"vector_add\",\"array_a\":[%s],\"array_b\":[%s]}", tool->argv[0],
                   tool->argv[1]);
    status = job_run(tool, request, &answer);
    free(request);
    if (status != TOOL_OK)
        return status;
    list = tool->json ? NULL : result_find(answer);
    if (is_error(answer) && !tool->json) {
        (void)fprintf(stderr, "divvy-client: vector-add: %s\n", answer);
        status = TOOL_FAILED;
    } else {
        (void)printf(list ? "GPU Result: %s\n" : "%s\n", list ? list : answer);
        status = is_error(answer) ? TOOL_FAILED : TOOL_OK;
    }
    free(answer);
    return status;
}

/* --- devices --------------------------------------------------------------------------------------------- */

static void device_print(const struct tool *tool, uint32_t ordinal, const struct divvy_client_device *device,
                         int32_t sms) {
    char uuid[33];

    for (size_t i = 0; i < sizeof device->uuid; i++)
        (void)snprintf(uuid + 2 * i, 3, "%02x", device->uuid[i]);
    if (tool->json)
        (void)printf("{\"ordinal\":%u,\"uuid\":\"GPU-%.8s-%.4s-%.4s-%.4s-%.12s\",\"name\":\"%s\",\"memory_bytes\":%llu,"
                     "\"multiprocessors\":%d}\n",
                     ordinal, uuid, uuid + 8, uuid + 12, uuid + 16, uuid + 20, device->name,
                     (unsigned long long)device->memory_bytes, (int)sms);
    else
        (void)printf("%u  GPU-%.8s-%.4s-%.4s-%.4s-%.12s  %s  %llu MiB  %d multiprocessors\n", ordinal, uuid, uuid + 8,
                     uuid + 12, uuid + 16, uuid + 20, device->name, (unsigned long long)(device->memory_bytes >> 20),
                     (int)sms);
}

/* A name that comes from elsewhere goes to a terminal and into JSON. */
static void name_clean(char *name) {
    for (; *name; name++)
        if ((unsigned char)*name < ' ' || (unsigned char)*name > '~' || *name == '"' || *name == '\\')
            *name = '?';
}

#define MULTIPROCESSOR_COUNT 16 /* of CUdevice_attribute */

int tool_devices(struct tool *tool) {
    uint32_t count;
    int status = divvy_client_device_count(tool->client, &count);

    for (uint32_t i = 0; status == 0 && i < count; i++) {
        struct divvy_client_device device;
        int32_t sms = 0;

        status = divvy_client_device_info(tool->client, i, &device);
        if (status == 0)
            status = divvy_client_device_attribute(tool->client, i, MULTIPROCESSOR_COUNT, &sms);
        if (status != 0)
            break;
        name_clean(device.name);
        device_print(tool, i, &device, sms);
    }
    return status == 0 ? TOOL_OK : tool_fail(tool, "devices", status);
}

/* --- kernels --------------------------------------------------------------------------------------------- */

static float sample(uint64_t i, uint32_t salt) {
    return (float)((i * 2654435761u + salt) % 1000u) / 500.0f - 1.0f;
}

/* Two inputs and an output of `count` floats, here and on the GPU. */
struct arrays {
    float *host[3];
    uint64_t device[3];
};

static int arrays_make(struct tool *tool, uint64_t count, struct arrays *arrays) {
    int status = 0;

    for (int i = 0; i < 3 && status == 0; i++) {
        arrays->host[i] = malloc(count * sizeof(float));
        if (!arrays->host[i])
            return -ENOMEM;
        for (uint64_t k = 0; k < count; k++)
            arrays->host[i][k] = sample(k, (uint32_t)i * 77777u);
        status = divvy_client_memory_allocate(tool->client, count * sizeof(float), &arrays->device[i]);
        if (status == 0)
            status = divvy_client_copy_in(tool->client, arrays->device[i], arrays->host[i], count * sizeof(float), 0);
    }
    return status;
}

static int arrays_free(struct tool *tool, struct arrays *arrays) {
    int status = 0;

    for (int i = 0; i < 3; i++) {
        free(arrays->host[i]);
        if (arrays->device[i] && status == 0)
            status = divvy_client_memory_free(tool->client, arrays->device[i]);
    }
    return status;
}

static int launch(struct tool *tool, const struct divvy_client_function *function, uint64_t count,
                  const void *const *parameters) {
    const struct divvy_client_shape shape = {.grid = {(uint32_t)((count + BLOCK_THREADS - 1) / BLOCK_THREADS), 1, 1},
                                             .block = {BLOCK_THREADS, 1, 1}};

    return divvy_client_launch(tool->client, function, &shape, 0, parameters);
}

static int verdict(const struct tool *tool, const char *what, uint64_t count, double worst, double allowed) {
    bool is_right = worst <= allowed;

    if (tool->json)
        (void)printf("{\"what\":\"%s\",\"elements\":%llu,\"worst_error\":%g,\"right\":%s}\n", what,
                     (unsigned long long)count, worst, is_right ? "true" : "false");
    else
        (void)printf("%s: %llu elements, worst error %.3g: %s\n", what, (unsigned long long)count, worst,
                     is_right ? "right" : "WRONG");
    return is_right ? TOOL_OK : TOOL_FAILED;
}

static int saxpy(struct tool *tool, uint64_t count, struct arrays *arrays, double *ret_worst) {
    struct divvy_client_function function;
    const float factor = 2.5f;
    const void *parameters[] = {&arrays->device[0], &arrays->device[1], &count, &factor};
    int status = tool_kernel(tool, DIVVY_REMOTE_PTX_SAXPY, "saxpy", &function);

    if (status == 0)
        status = arrays_make(tool, count, arrays);
    if (status == 0)
        status = launch(tool, &function, count, parameters);
    if (status == 0)
        status = divvy_client_copy_out(tool->client, arrays->device[1], count * sizeof(float), 0, arrays->host[2]);
    for (uint64_t i = 0; status == 0 && i < count; i++)
        *ret_worst = fmax(*ret_worst, fabs((double)arrays->host[2][i] - (double)factor * (double)arrays->host[0][i] -
                                           (double)arrays->host[1][i]));
    return status;
}

int tool_saxpy(struct tool *tool) {
    struct arrays arrays = {0};
    uint64_t count;
    double worst = 0;
    int status, freed;

    if (!tool_number(tool, 0, 100000, 1, 1u << 28, &count))
        return TOOL_USAGE;
    status = saxpy(tool, count, &arrays, &worst);
    freed = arrays_free(tool, &arrays);
    if (status != 0 || freed != 0)
        return tool_fail(tool, "saxpy", status ? status : freed);
    return verdict(tool, "saxpy", count, worst, 1e-5);
}

static double matmul_worst(uint64_t size, const struct arrays *arrays) {
    double worst = 0;

    for (uint64_t i = 0; i < size; i++)
        for (uint64_t k = 0; k < size; k++) {
            double sum = 0;

            for (uint64_t n = 0; n < size; n++)
                sum += (double)arrays->host[0][i * size + n] * (double)arrays->host[1][n * size + k];
            worst = fmax(worst, fabs(sum - (double)arrays->host[2][i * size + k]));
        }
    return worst;
}

static int matmul(struct tool *tool, uint64_t size, struct arrays *arrays) {
    struct divvy_client_function function;
    uint64_t count = size * size;
    const void *parameters[] = {&arrays->device[0], &arrays->device[1], &arrays->device[2], &count, &size};
    int status = tool_kernel(tool, DIVVY_REMOTE_PTX_MATMUL, "matmul", &function);

    if (status == 0)
        status = arrays_make(tool, count, arrays);
    if (status == 0)
        status = launch(tool, &function, count, parameters);
    if (status == 0)
        status = divvy_client_copy_out(tool->client, arrays->device[2], count * sizeof(float), 0, arrays->host[2]);
    return status;
}

int tool_matmul(struct tool *tool) {
    struct arrays arrays = {0};
    double worst = 0;
    uint64_t size;
    int status, freed;

    if (!tool_number(tool, 0, 64, 1, 4096, &size))
        return TOOL_USAGE;
    status = matmul(tool, size, &arrays);
    if (status == 0)
        worst = matmul_worst(size, &arrays);
    freed = arrays_free(tool, &arrays);
    if (status != 0 || freed != 0)
        return tool_fail(tool, "matmul", status ? status : freed);
    return verdict(tool, "matmul", size * size, worst, 1e-6 * (double)size + 1e-5);
}
