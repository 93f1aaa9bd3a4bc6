/*
 * The frame of the simulated NVML: how its functions are named, how they begin, and what they share.
 *
 * Every exported nvml* symbol is made in exports.c from the one table. It asks whether the library is initialised
 * and whether a fault was ordered for the call, and then calls NVM(symbol), where that exists; where it does not,
 * the answer is NVML_ERROR_NOT_SUPPORTED. What a datacentre part answers was read off an H200 (driver 580).
 *
 * Threads: calls run side by side; initialising and shutting down wait for those in progress.
 * Fork: the engine serves no fork child, so a child is told NVML_ERROR_UNINITIALIZED.
 */
#ifndef DIVVY_SIMGPU_NVML_API_H
#define DIVVY_SIMGPU_NVML_API_H

#include "cuda/nvml.h"
#include "simgpu/engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NVM(symbol) divvy_nvml_##symbol

#define DIVVY_NVML_DECLARE(symbol, type, parameters, arguments) type NVM(symbol) parameters;
DIVVY_CUDA_NVML_TABLE(DIVVY_NVML_DECLARE)
#undef DIVVY_NVML_DECLARE

/* Returns from the calling function with any result but NVML_SUCCESS. */
#define NVM_TRY(expression)                                                                        \
    do {                                                                                           \
        nvmlReturn_t nvm_try_ = (expression);                                                      \
        if (nvm_try_ != NVML_SUCCESS)                                                              \
            return nvm_try_;                                                                       \
    } while (0)

/* Refuses a null out-parameter. */
#define NVM_REQUIRE(pointer)                                                                       \
    do {                                                                                           \
        if ((pointer) == NULL)                                                                     \
            return NVML_ERROR_INVALID_ARGUMENT;                                                    \
    } while (0)

/* Finds the device and its facts, or returns from the calling function: with NVML_ERROR_NOT_SUPPORTED for a MIG
 * device, about which most questions cannot be asked. */
#define NVM_DEVICE(facts, handle)                                                                  \
    const divvy_simgpu_device_t *facts = NULL;                                                     \
    NVM_TRY(divvy_nvml_device(handle, &facts))

/* The same for the questions that MIG devices answer too: their facts are those of their unit. */
#define NVM_ANY_DEVICE(facts, handle)                                                              \
    const divvy_simgpu_device_t *facts = NULL;                                                     \
    NVM_TRY(divvy_nvml_any_device(handle, &facts))

/* Where a device with MIG mode on does not answer any more. */
#define NVM_UNDIVIDED(facts)                                                                       \
    do {                                                                                           \
        if (divvy_nvml_is_divided((facts)->index))                                                 \
            return NVML_ERROR_NOT_SUPPORTED;                                                       \
    } while (0)

#define DIVVY_NVML_CUDA_VERSION 13000
#define DIVVY_NVML_DRIVER_BYTES 16

/* The period over which utilisation and power are averaged, as on an H200; whole bins of the engine. */
#define DIVVY_NVML_PERIOD_NS UINT64_C(200000000)

/* The result that a negative errno of the engine (or 0) is to a caller of NVML. */
nvmlReturn_t divvy_nvml_result(int status);

/* Facts of the device that HANDLE names. NVML_ERROR_INVALID_ARGUMENT for what is no handle of this library,
 * NVML_ERROR_GPU_IS_LOST for a device off the bus, NVML_ERROR_NOT_SUPPORTED for a MIG device. */
nvmlReturn_t divvy_nvml_device(nvmlDevice_t handle, const divvy_simgpu_device_t **ret_facts);
nvmlReturn_t divvy_nvml_any_device(nvmlDevice_t handle, const divvy_simgpu_device_t **ret_facts);
/* The MIG device that HANDLE names. NVML_ERROR_INVALID_ARGUMENT for any other handle, also for that of an instance
 * which was destroyed. */
nvmlReturn_t divvy_nvml_mig_device(nvmlDevice_t handle, divvy_simgpu_ci_t *ret_ci);
nvmlDevice_t divvy_nvml_mig_handle(const divvy_simgpu_ci_t *ci);
/* Whether MIG mode is on. */
bool divvy_nvml_is_divided(int device);
/* The version of the simulated driver, as nvmlSystemGetDriverVersion gives it. */
void divvy_nvml_driver_version(char version[DIVVY_NVML_DRIVER_BYTES]);

/* The handle of device INDEX, which exists. */
nvmlDevice_t divvy_nvml_handle(int index);

/* Copies TEXT into the caller's buffer: NVML_ERROR_INSUFFICIENT_SIZE when it does not fit with its NUL. */
nvmlReturn_t divvy_nvml_text(const char *text, char *buffer, unsigned int length);

/* A moment of the engine's clock in microseconds since the epoch, as NVML stamps samples. Ordered as the engine's
 * clock is, whatever happens to the wall clock after the library was initialised. */
unsigned long long divvy_nvml_stamp_us(uint64_t engine_ns);

/* The full sampling periods that ended after SINCE_US, oldest first: when they ended, and the parts of 1000 in which
 * the device (pid 0) or the process was busy. */
enum { DIVVY_NVML_PERIODS_MAX = 8 };
typedef struct {
    unsigned long long end_us;
    unsigned int busy_permille;
} divvy_nvml_period_t;
int divvy_nvml_periods(int device, int pid, unsigned long long since_us,
                       divvy_nvml_period_t periods[DIVVY_NVML_PERIODS_MAX], size_t *ret_count);

/* Parts of 1000 of the last sampling period in which the device was busy; 0 when that cannot be told. */
unsigned int divvy_nvml_busy_permille(int device);

/* Board power at a given utilisation: idle power, and the rest in proportion. */
unsigned int divvy_nvml_power_mw(const divvy_simgpu_device_t *facts, unsigned int busy_permille);

/* The parts of initialisation and shutdown that exports.c locks around. */
nvmlReturn_t divvy_nvml_start(unsigned int flags);
nvmlReturn_t divvy_nvml_stop(void);
/* Drops event sets that the caller left behind. */
void divvy_nvml_events_drop(void);

#endif
