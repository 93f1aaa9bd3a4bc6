/*
 * Fuzz target: a state file of any content, read as each of its kinds, and its workers. What can be read must be writable and read the same
 * again.
 */
#include "backend/device.h"
#include "backend/entries.h"
#include "backend/worker_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds) {
    if (!holds)
        abort();
}

static void element_check(const json_t *object, enum divvy_backend_schema schema) {
    static struct divvy_node_worker worker, again;
    struct divvy_backend_device *device;
    struct divvy_error error;
    json_t *written;

    if (schema == DIVVY_BACKEND_DEVICES && (device = divvy_backend_device_read(object))) {
        written = json_object();
        demand(written && divvy_backend_device_write(device, written) == 0);
        json_decref(written);
        divvy_backend_device_unref(device);
    }
    if (schema != DIVVY_BACKEND_WORKERS || divvy_backend_worker_read(object, &worker, &error) < 0)
        return;
    written = json_object();
    demand(written && divvy_backend_worker_write(&worker, written) == 0);
    demand(divvy_backend_worker_read(written, &again, &error) == 0);
    demand(strcmp(worker.uid, again.uid) == 0 && worker.device_count == again.device_count &&
           worker.limits.vram_bytes == again.limits.vram_bytes &&
           divvy_node_quantity_compare(worker.limits.tflops, again.limits.tflops) == 0);
    demand(divvy_backend_worker_same(object, object));
    json_decref(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int schema = 0; schema < DIVVY_BACKEND_SCHEMA_MAX; schema++) {
        struct divvy_backend_entries entries, again;
        struct divvy_error error;
        size_t length = 0;
        char *text;

        if (divvy_backend_entries_parse(&entries, (enum divvy_backend_schema)schema, "file", (const char *)data, size, &error) == 0) {
            for (size_t i = 0; i < divvy_backend_entries_count(&entries); i++)
                element_check(divvy_backend_entries_at(&entries, i), (enum divvy_backend_schema)schema);
            text = divvy_backend_entries_text(&entries, &length);
            demand(text != NULL);
            demand(divvy_backend_entries_parse(&again, (enum divvy_backend_schema)schema, "file", text, length, &error) == 0);
            demand(again.count == entries.count);
            divvy_backend_entries_done(&again);
            free(text);
        }
        divvy_backend_entries_done(&entries);
    }
    return 0;
}
