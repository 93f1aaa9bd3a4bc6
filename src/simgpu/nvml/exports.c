/* The exported symbols of the simulated NVML, made from the table, and what every one of them does first. */
#include "simgpu/nvml/api.h"

#include <pthread.h>
#include <string.h>

/* Read side: calls in progress. Write side: the first initialisation and the last shutdown. */
static pthread_rwlock_t calls = PTHREAD_RWLOCK_INITIALIZER;
static unsigned int users; /* initialisations not yet shut down; under `calls` */

typedef enum {
    CALL_USUAL,
    CALL_ALWAYS,   /* answers before initialisation as well */
    CALL_LIFETIME, /* changes `users` */
    CALL_WAITS,    /* may sleep for long: holds up neither initialisation nor shutdown */
    CALL_THROUGH,  /* goes through another exported name, which does all of that */
} call_kind_t;

static call_kind_t call_kind(const char *symbol) {
    if (strcmp(symbol, "nvmlInit_v2") == 0)
        return CALL_THROUGH;
    if (strncmp(symbol, "nvmlInit", 8) == 0 || strcmp(symbol, "nvmlShutdown") == 0)
        return CALL_LIFETIME;
    if (strcmp(symbol, "nvmlErrorString") == 0)
        return CALL_ALWAYS;
    return strncmp(symbol, "nvmlEventSetWait", 16) == 0 ? CALL_WAITS : CALL_USUAL;
}

static nvmlReturn_t ordered_fault(const char *symbol) {
    divvy_simgpu_fault_t fault = divvy_simgpu_fault(symbol);

    switch (fault.kind) {
    case DIVVY_SIMGPU_FAULT_FAIL:
        return (nvmlReturn_t)fault.code;
    case DIVVY_SIMGPU_FAULT_UNSUPPORTED:
        return NVML_ERROR_NOT_SUPPORTED;
    default:
        return NVML_SUCCESS;
    }
}

/* After NVML_SUCCESS call_end must follow. */
static nvmlReturn_t call_begin(const char *symbol, call_kind_t kind, bool implemented) {
    nvmlReturn_t result;

    if (kind == CALL_ALWAYS || kind == CALL_THROUGH)
        return NVML_SUCCESS;
    if (kind == CALL_LIFETIME) {
        (void)pthread_rwlock_wrlock(&calls);
        return NVML_SUCCESS;
    }
    (void)pthread_rwlock_rdlock(&calls);
    if (users == 0 || !divvy_simgpu_attached())
        result = NVML_ERROR_UNINITIALIZED;
    else
        result = ordered_fault(symbol);
    if (result == NVML_SUCCESS && !implemented)
        result = NVML_ERROR_NOT_SUPPORTED;
    if (result != NVML_SUCCESS || kind == CALL_WAITS)
        (void)pthread_rwlock_unlock(&calls);
    return result;
}

static void call_end(call_kind_t kind) {
    if (kind == CALL_USUAL || kind == CALL_LIFETIME)
        (void)pthread_rwlock_unlock(&calls);
}

/* --- initialisation ----------------------------------------------------------------------------- */

/* Faults are known only while attached, so an ordered failure of nvmlInit is noticed after the fact. */
static nvmlReturn_t users_add(const char *symbol, unsigned int flags) {
    nvmlReturn_t result;

    if (users > 0 && !divvy_simgpu_attached())
        return NVML_ERROR_UNKNOWN;
    if (users == 0)
        NVM_TRY(divvy_nvml_start(flags));
    result = ordered_fault(symbol);
    if (result == NVML_SUCCESS)
        users++;
    else if (users == 0)
        (void)divvy_nvml_stop();
    return result;
}

/* As NVIDIA's library does: by its own exported name, so that whoever interposes that name sees this call too. */
nvmlReturn_t NVM(nvmlInit_v2)(void) {
    nvmlReturn_t result;

    NVM_TRY(nvmlInitWithFlags(0));
    result = ordered_fault("nvmlInit_v2");
    if (result != NVML_SUCCESS)
        (void)nvmlShutdown();
    return result;
}

/* Flags that mean nothing are accepted, as the real library does. */
nvmlReturn_t NVM(nvmlInitWithFlags)(unsigned int flags) {
    return users_add("nvmlInitWithFlags", flags);
}

/* The first version gives up when any device of the machine is out of order. */
nvmlReturn_t NVM(nvmlInit)(void) {
    NVM_TRY(users_add("nvmlInit", 0));
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        if (divvy_simgpu_device_lost(i)) {
            if (--users == 0)
                (void)divvy_nvml_stop();
            return NVML_ERROR_GPU_IS_LOST;
        }
    }
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlShutdown)(void) {
    if (users == 0)
        return NVML_ERROR_UNINITIALIZED;
    if (divvy_simgpu_attached())
        NVM_TRY(ordered_fault("nvmlShutdown"));
    return --users == 0 ? divvy_nvml_stop() : NVML_SUCCESS;
}

/* --- the symbols -------------------------------------------------------------------------------- */

#define DIVVY_NVML_WEAK(symbol, type, parameters, arguments)                                       \
    extern __typeof__(NVM(symbol)) NVM(symbol) __attribute__((weak));
DIVVY_CUDA_NVML_TABLE(DIVVY_NVML_WEAK)

/* One function of the table answers with text; it has no failure to report. */
#define DIVVY_NVML_FAILURE(type, result)                                                           \
    __builtin_choose_expr(__builtin_types_compatible_p(type, nvmlReturn_t), result, "")

#define DIVVY_NVML_EXPORT(symbol, type, parameters, arguments)                                     \
    __attribute__((visibility("default"))) type symbol parameters {                                \
        call_kind_t kind = call_kind(#symbol);                                                     \
        nvmlReturn_t begun = call_begin(#symbol, kind, NVM(symbol) != NULL);                       \
        type answer;                                                                               \
                                                                                                   \
        if (begun != NVML_SUCCESS)                                                                 \
            return DIVVY_NVML_FAILURE(type, begun);                                                \
        answer = NVM(symbol) arguments;                                                            \
        call_end(kind);                                                                            \
        return answer;                                                                             \
    }
DIVVY_CUDA_NVML_TABLE(DIVVY_NVML_EXPORT)
