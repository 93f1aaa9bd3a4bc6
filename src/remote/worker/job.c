/* Requests of the JSON dialect: see job.h. */
#include "remote/worker/job.h"

#include "base/cleanup.h"
#include "wire/frame.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENT_BYTES 8u

struct job {
    struct divvy_worker_vector *vector;
    CUcontext current;
    json_t *request; /* an object */
    json_t *answer;  /* an object, filled here */
};

static void json_release(json_t **value) {
    json_decref(*value);
}

static void refuse(json_t *answer, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(json_t *answer, int code, const char *format, ...) {
    char message[DIVVY_ERROR_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    /* Text of others may have been cut within a character: then it is told without. */
    if (json_object_set_new(answer, "error", json_pack("{s:i, s:s}", "code", code, "message", message)) < 0)
        (void)json_object_set_new(answer, "error",
                                  json_pack("{s:i, s:s}", "code", code, "message", "invalid request"));
}

/* --- vector_add ------------------------------------------------------------------------------------------ */

static bool all_integers(const json_t *array) {
    const json_t *value;
    size_t i;

    json_array_foreach(array, i, value) {
        if (!json_is_integer(value))
            return false;
    }
    return true;
}

/* The array of the request under `key`, or NULL after having said what is wrong. */
static json_t *array_find(struct job *job, const char *key) {
    json_t *array = json_object_get(job->request, key), *value;
    size_t i;

    if (!json_is_array(array)) {
        refuse(job->answer, DIVVY_WIRE_CODE_INVALID, "%s: an array of numbers is needed", key);
        return NULL;
    }
    json_array_foreach(array, i, value) {
        if (!json_is_number(value)) {
            refuse(job->answer, DIVVY_WIRE_CODE_INVALID, "%s: element %zu is not a number", key, i);
            return NULL;
        }
    }
    return array;
}

static void numbers_take(const json_t *array, bool is_double, void *ret_elements) {
    const json_t *value;
    size_t i;

    json_array_foreach(array, i, value) {
        if (is_double)
            ((double *)ret_elements)[i] = json_number_value(value);
        else
            ((int64_t *)ret_elements)[i] = json_integer_value(value);
    }
}

/* An element of the result; NULL when it cannot be written as a number. */
static json_t *number_make(bool is_double, const void *elements, size_t count, size_t i) {
    const int64_t *integers = elements;
    int64_t sum;

    if (is_double) {
        double number = ((const double *)elements)[2 * count + i];

        return isfinite(number) ? json_real(number) : NULL;
    }
    /* The GPU wraps; whether it did can be told from the operands. */
    if (__builtin_add_overflow(integers[i], integers[count + i], &sum))
        return NULL;
    return json_integer(integers[2 * count + i]);
}

static void result_make(struct job *job, bool is_double, const void *elements, size_t count) {
    json_t *result = json_array();

    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(result, number_make(is_double, elements, count, i)) < 0) {
            refuse(job->answer, DIVVY_WIRE_CODE_INVALID, "the sum of elements %zu does not fit a number", i);
            json_decref(result);
            return;
        }
    (void)json_object_set_new(job->answer, "result", result);
}

static void vector_add(struct job *job) {
    struct divvy_error error = {0};
    json_t *a = array_find(job, "array_a"), *b = a ? array_find(job, "array_b") : NULL;
    size_t count = json_array_size(a);
    bool is_double;

    if (!b)
        return;
    if (json_array_size(b) != count) {
        refuse(job->answer, DIVVY_WIRE_CODE_INVALID, "array_a has %zu elements and array_b %zu", count,
               json_array_size(b));
        return;
    }
    if (count == 0) {
        refuse(job->answer, DIVVY_WIRE_CODE_ZERO_LENGTH, "the arrays are empty");
        return;
    }
    is_double = !all_integers(a) || !all_integers(b);

    cleanup_free char *elements = calloc(count, (size_t)3 * ELEMENT_BYTES);

    if (!elements) {
        refuse(job->answer, DIVVY_WIRE_CODE_TOO_LARGE, "no memory for %zu elements", count);
        return;
    }
    numbers_take(a, is_double, elements);
    numbers_take(b, is_double, elements + count * ELEMENT_BYTES);
    if (divvy_worker_vector_add(job->vector, is_double, elements, count, job->current,
                                elements + 2 * count * ELEMENT_BYTES, &error) < 0)
        refuse(job->answer, error.status == -ENOMEM ? DIVVY_WIRE_CODE_TOO_LARGE : DIVVY_WIRE_CODE_CUDA, "%s",
               error.text);
    else
        result_make(job, is_double, elements, count);
}

/* --- device_info ----------------------------------------------------------------------------------------- */

static void uuid_print(const CUuuid *uuid, char ret_text[41]) {
    static const size_t dashes[] = {4, 6, 8, 10};
    size_t length = (size_t)snprintf(ret_text, 41, "GPU-");

    for (size_t i = 0, dash = 0; i < sizeof *uuid; i++) {
        if (dash < sizeof dashes / sizeof dashes[0] && i == dashes[dash]) {
            ret_text[length++] = '-';
            dash++;
        }
        length += (size_t)snprintf(ret_text + length, 41 - length, "%02x", ((const unsigned char *)uuid)[i]);
    }
}

/* The GPU that jobs are done by. */
static void device_info(struct job *job) {
    const struct divvy_worker_driver *driver = job->vector->driver;
    char name[256] = "", text[41];
    CUuuid uuid = {{0}};
    int multiprocessors = 0;
    CUdevice device = 0;
    size_t memory = 0;
    CUresult result = driver->cuDeviceGet(&device, 0);

    if (result == CUDA_SUCCESS)
        result = driver->cuDeviceGetName(name, (int)sizeof name - 1, device);
    if (result == CUDA_SUCCESS)
        result = driver->cuDeviceGetUuid(&uuid, device);
    if (result == CUDA_SUCCESS)
        result = driver->cuDeviceTotalMem_v2(&memory, device);
    if (result == CUDA_SUCCESS)
        result = driver->cuDeviceGetAttribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
    if (result != CUDA_SUCCESS) {
        refuse(job->answer, DIVVY_WIRE_CODE_CUDA, "the GPU does not tell of itself: %s (%d)",
               divvy_worker_driver_error_name(driver, result), (int)result);
        return;
    }
    uuid_print(&uuid, text);
    (void)json_object_set_new(job->answer, "result",
                              json_pack("{s:s, s:s, s:i, s:I}", "name", name, "uuid", text, "multiprocessors", multiprocessors,
                                        "memory_bytes", (json_int_t)memory));
}

/* --- all ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(struct job *job);
} operations[] = {
    {"vector_add", vector_add},
    {"device_info", device_info},
};

static void operation_run(struct job *job) {
    const json_t *operation = json_object_get(job->request, "operation");
    const char *name = operation ? json_string_value(operation) : "vector_add";

    if (!name) {
        refuse(job->answer, DIVVY_WIRE_CODE_INVALID, "operation: a text is needed");
        return;
    }
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (strcmp(operations[i].name, name) == 0) {
            operations[i].run(job);
            return;
        }
    refuse(job->answer, DIVVY_WIRE_CODE_UNSUPPORTED, "unknown operation '%.64s'; there are vector_add and device_info", name);
}

static char *answer_print(const json_t *answer, size_t *ret_length) {
    char *text = json_dumps(answer, JSON_REAL_PRECISION(17));

    if (text)
        *ret_length = strlen(text);
    return text;
}

char *divvy_worker_job_answer(struct divvy_worker_vector *vector, CUcontext current, const char *text,
                              size_t length, size_t *ret_length) {
    __attribute__((cleanup(json_release))) json_t *answer = json_object(), *request = NULL;
    json_error_t fault;

    request = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
    if (!request)
        refuse(answer, DIVVY_WIRE_CODE_INVALID, "no JSON: line %d, column %d: %s", fault.line, fault.column,
               fault.text);
    else if (!json_is_object(request))
        refuse(answer, DIVVY_WIRE_CODE_INVALID, "an object is needed");
    else {
        struct job job = {.vector = vector, .current = current, .request = request, .answer = answer};
        json_t *id = json_object_get(request, "id");

        if (id)
            (void)json_object_set(answer, "id", id);
        operation_run(&job);
    }
    return answer_print(answer, ret_length);
}

char *divvy_worker_job_refuse(int code, const char *message, size_t *ret_length) {
    __attribute__((cleanup(json_release))) json_t *answer = json_object();

    refuse(answer, code, "%s", message);
    return answer_print(answer, ret_length);
}
