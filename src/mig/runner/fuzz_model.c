/* Fuzz target of model files: what is accepted has all that a run needs, within its ranges. */
#include "mig/runner/model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_runner_model model = {0};
    struct divvy_error error = {0};
    char *text = malloc(size ? size : 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    if (divvy_runner_model_parse(text, size, &model, &error) < 0) {
        if (error.status == 0 || !error.text[0] || model.json || model.arguments)
            abort();
    } else if (!model.name[0] || !model.arguments[0][0] || strcmp(model.arguments[1], model.model_path) != 0 ||
               model.vram_limit_bytes == 0 || model.memory_bytes == 0 || model.port == 0 || model.batch_max == 0 ||
               !model.slo_class[0] || !model.gpu_device[0] || !model.weights) {
        abort();
    }
    divvy_runner_model_done(&model);
    free(text);
    return 0;
}
