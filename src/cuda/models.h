/*
 * What NVIDIA's models can do at most: dense FP16/BF16 TFLOPS of tensor cores, from the maker's data sheets, which no function of
 * the driver tells. By the name that NVML and CUDA give.
 */
#ifndef DIVVY_CUDA_MODELS_H
#define DIVVY_CUDA_MODELS_H

#include <stddef.h>
#include <string.h>

/* 0: not known. Pure. */
static inline double divvy_cuda_model_tflops(const char *model) {
    /* Parts of names, the first that fits: the longer before the shorter. */
    static const struct {
        const char *name;
        double tflops;
    } models[] = {
        {"B300", 2250},     {"B200", 2250},     {"GB200", 2500},    {"H200 NVL", 835},  {"H200", 989.5},
        {"GH200", 989.5},   {"H100 NVL", 835},  {"H100 PCIe", 756}, {"H100", 989.5},    {"H800 PCIe", 756},
        {"H800", 989.5},    {"H20", 148},       {"A100", 312},      {"A800", 312},      {"A40", 149.7},
        {"A30", 165},       {"A10G", 70},       {"A10", 125},       {"L40S", 362},      {"L40", 181},
        {"L4", 121},        {"V100-PCIE", 112}, {"V100", 125},      {"T4", 65},         {"RTX 6000 Ada", 364},
    };

    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        const char *at = strstr(model, models[i].name);
        size_t length = strlen(models[i].name);

        /* "A10" is not in "A1000", nor "T4" in "RT4". */
        if (at && (at == model || at[-1] == ' ' || at[-1] == '-') &&
            !((at[length] >= '0' && at[length] <= '9') || (at[length] >= 'A' && at[length] <= 'Z')))
            return models[i].tflops;
    }
    return 0;
}

#endif
