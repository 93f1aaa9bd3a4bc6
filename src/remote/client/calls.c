/* The functions of divvy/client.h: arguments into words, words into results. */
#include "remote/client/stream.h"
#include "remote/client/xenstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PARAMETERS_MAX       64u
#define PARAMETERS_BYTES_MAX 4096u

/* Requests for parts of a copy that are on their way at one time: the protocol allows 4. */
#define COPIES_MAX 4u

#define CALL(NAME, in, answer) call(client, DIVVY_WIRE_OP_##NAME, (in), NULL, 0, (answer))
#define ONEWAY(NAME, in)       oneway(client, DIVVY_WIRE_OP_##NAME, (in), NULL, 0)

static int call(struct divvy_client *client, uint16_t op, const void *words, const void *bytes, uint32_t length,
                struct divvy_client_answer *answer) {
    uint64_t id;
    int status;

    client->text[0] = '\0';
    status = divvy_client_stream_put(client, op, words, bytes, length, &id);
    if (status == 0)
        status = divvy_client_stream_flush(client);
    return status < 0 ? status : divvy_client_stream_take(client, op, id, answer);
}

static int oneway(struct divvy_client *client, uint16_t op, const void *words, const void *bytes, uint32_t length) {
    return divvy_client_stream_put(client, op, words, bytes, length, NULL);
}

/* Bytes that fit a frame of this operation beside its words. */
static uint32_t chunk_bytes(const struct divvy_client *client, uint32_t words) {
    uint32_t chunk = client->payload_bytes - words * (uint32_t)sizeof(uint64_t);

    /* Whole pages where there is room for many: copies of the driver like that. */
    return chunk > 65536 ? chunk & ~UINT32_C(4095) : chunk;
}

int divvy_client_flush(struct divvy_client *client) {
    return divvy_client_stream_flush(client);
}

int divvy_client_ping(struct divvy_client *client, const void *bytes, size_t length_bytes) {
    char back[DIVVY_WIRE_PAYLOAD_HELLO_BYTES];
    struct divvy_client_answer answer = {.bytes = back, .capacity = sizeof back};
    int status;

    if (length_bytes > sizeof back)
        return -EINVAL;
    status = call(client, DIVVY_WIRE_OP_PING, NULL, bytes, (uint32_t)length_bytes, &answer);
    if (status != 0)
        return status;
    return answer.length == length_bytes && memcmp(bytes, back, length_bytes) == 0 ? 0 : -EPROTO;
}

static int store_job(struct divvy_client *client, const char *text, size_t length, char **ret_answer, size_t *ret_length) {
    const char *why = "";
    int status = divvy_client_xenstore_job(client->store, text, length, ret_answer, ret_length, &why);

    if (status < 0) {
        (void)strncpy(client->text, why, sizeof client->text - 1);
        divvy_client_xenstore_close(client->store);
        client->store = NULL;
    }
    return status;
}

int divvy_client_job(struct divvy_client *client, const char *text, size_t length_bytes, char **ret_answer,
                     size_t *ret_length_bytes) {
    struct divvy_client_answer answer = {.capacity = client->payload_bytes};
    char *bytes;
    int status;

    if (client->store)
        return store_job(client, text, length_bytes, ret_answer, ret_length_bytes);
    if (length_bytes > client->payload_bytes)
        return -EINVAL;
    bytes = malloc((size_t)client->payload_bytes + 1);
    if (!bytes)
        return -ENOMEM;
    answer.bytes = bytes;
    status = call(client, DIVVY_WIRE_OP_JOB, NULL, text, (uint32_t)length_bytes, &answer);
    if (status != 0) {
        free(bytes);
        return status;
    }
    bytes[answer.length] = '\0';
    *ret_answer = bytes;
    *ret_length_bytes = answer.length;
    return 0;
}

/* --- devices --------------------------------------------------------------------------------------------- */

int divvy_client_driver_version(struct divvy_client *client, int32_t *ret_version) {
    struct divvy_client_answer answer = {0};
    int status = CALL(DRIVER_VERSION, NULL, &answer);

    if (status == 0)
        *ret_version = (int32_t)answer.words[0];
    return status;
}

int divvy_client_device_count(struct divvy_client *client, uint32_t *ret_count) {
    struct divvy_client_answer answer = {0};
    int status = CALL(DEVICE_COUNT, NULL, &answer);

    if (status == 0)
        *ret_count = (uint32_t)answer.words[0];
    return status;
}

int divvy_client_device_info(struct divvy_client *client, uint32_t ordinal, struct divvy_client_device *ret_device) {
    const struct divvy_wire_device_info_in in = {.ordinal = ordinal};
    struct divvy_client_device device = {0};
    char name[DIVVY_WIRE_PAYLOAD_HELLO_BYTES] = "";
    struct divvy_client_answer answer = {.bytes = name, .capacity = sizeof name};
    int status = CALL(DEVICE_INFO, &in, &answer);

    if (status != 0)
        return status;
    memcpy(device.uuid, answer.words, sizeof device.uuid);
    device.memory_bytes = answer.words[2];
    memcpy(device.name, name, answer.length < sizeof device.name - 1 ? answer.length : sizeof device.name - 1);
    *ret_device = device;
    return 0;
}

int divvy_client_device_attribute(struct divvy_client *client, uint32_t ordinal, uint32_t attribute,
                                  int32_t *ret_value) {
    const struct divvy_wire_device_attribute_in in = {.attribute = attribute, .object = ordinal};
    struct divvy_client_answer answer = {0};
    int status = CALL(DEVICE_ATTRIBUTE, &in, &answer);

    if (status == 0)
        *ret_value = (int32_t)answer.words[0];
    return status;
}

/* --- what takes at most a handle and gives at most one ----------------------------------------------------- */

static int word_call(struct divvy_client *client, uint16_t op, const void *in, uint64_t *ret_word) {
    struct divvy_client_answer answer = {0};
    int status = call(client, op, in, NULL, 0, &answer);

    if (status == 0 && ret_word)
        *ret_word = answer.words[0];
    return status;
}

int divvy_client_context_primary(struct divvy_client *client, uint32_t ordinal, uint64_t *ret_context) {
    const struct divvy_wire_context_primary_in in = {.ordinal = ordinal};

    return word_call(client, DIVVY_WIRE_OP_CONTEXT_PRIMARY, &in, ret_context);
}

int divvy_client_context_create(struct divvy_client *client, uint32_t flags, uint32_t ordinal, uint64_t *ret_context) {
    const struct divvy_wire_context_create_in in = {.flags = flags, .ordinal = ordinal};

    return word_call(client, DIVVY_WIRE_OP_CONTEXT_CREATE, &in, ret_context);
}

int divvy_client_context_use(struct divvy_client *client, uint64_t context) {
    return word_call(client, DIVVY_WIRE_OP_CONTEXT_USE, &context, NULL);
}

int divvy_client_context_destroy(struct divvy_client *client, uint64_t context) {
    return word_call(client, DIVVY_WIRE_OP_CONTEXT_DESTROY, &context, NULL);
}

int divvy_client_context_sync(struct divvy_client *client) {
    return word_call(client, DIVVY_WIRE_OP_CONTEXT_SYNC, NULL, NULL);
}

int divvy_client_memory_allocate(struct divvy_client *client, uint64_t size_bytes, uint64_t *ret_address) {
    return word_call(client, DIVVY_WIRE_OP_MEMORY_ALLOCATE, &size_bytes, ret_address);
}

int divvy_client_memory_free(struct divvy_client *client, uint64_t address) {
    return word_call(client, DIVVY_WIRE_OP_MEMORY_FREE, &address, NULL);
}

int divvy_client_module_unload(struct divvy_client *client, uint64_t module) {
    return word_call(client, DIVVY_WIRE_OP_MODULE_UNLOAD, &module, NULL);
}

int divvy_client_stream_create(struct divvy_client *client, uint32_t flags, int32_t priority, uint64_t *ret_stream) {
    const struct divvy_wire_stream_create_in in = {.flags = flags, .priority = (uint64_t)(int64_t)priority};

    return word_call(client, DIVVY_WIRE_OP_STREAM_CREATE, &in, ret_stream);
}

int divvy_client_stream_destroy(struct divvy_client *client, uint64_t stream) {
    return word_call(client, DIVVY_WIRE_OP_STREAM_DESTROY, &stream, NULL);
}

int divvy_client_stream_sync(struct divvy_client *client, uint64_t stream) {
    return word_call(client, DIVVY_WIRE_OP_STREAM_SYNC, &stream, NULL);
}

int divvy_client_stream_query(struct divvy_client *client, uint64_t stream) {
    return word_call(client, DIVVY_WIRE_OP_STREAM_QUERY, &stream, NULL);
}

int divvy_client_event_create(struct divvy_client *client, uint32_t flags, uint64_t *ret_event) {
    const struct divvy_wire_event_create_in in = {.flags = flags};

    return word_call(client, DIVVY_WIRE_OP_EVENT_CREATE, &in, ret_event);
}

int divvy_client_event_destroy(struct divvy_client *client, uint64_t event) {
    return word_call(client, DIVVY_WIRE_OP_EVENT_DESTROY, &event, NULL);
}

int divvy_client_event_sync(struct divvy_client *client, uint64_t event) {
    return word_call(client, DIVVY_WIRE_OP_EVENT_SYNC, &event, NULL);
}

int divvy_client_event_query(struct divvy_client *client, uint64_t event) {
    return word_call(client, DIVVY_WIRE_OP_EVENT_QUERY, &event, NULL);
}

int divvy_client_event_elapsed(struct divvy_client *client, uint64_t start, uint64_t end, int64_t *ret_elapsed_ns) {
    const struct divvy_wire_event_elapsed_in in = {.start = start, .end = end};
    uint64_t word;
    int status = word_call(client, DIVVY_WIRE_OP_EVENT_ELAPSED, &in, &word);

    if (status == 0)
        *ret_elapsed_ns = (int64_t)word;
    return status;
}

int divvy_client_event_record(struct divvy_client *client, uint64_t event, uint64_t stream) {
    const struct divvy_wire_event_record_in in = {.event = event, .stream = stream};

    return ONEWAY(EVENT_RECORD, &in);
}

int divvy_client_stream_wait_event(struct divvy_client *client, uint64_t stream, uint64_t event, uint32_t flags) {
    const struct divvy_wire_stream_wait_event_in in = {.event = event, .stream = stream, .flags = flags};

    return ONEWAY(STREAM_WAIT_EVENT, &in);
}

/* --- memory ---------------------------------------------------------------------------------------------- */

int divvy_client_memory_info(struct divvy_client *client, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes) {
    struct divvy_client_answer answer = {0};
    int status = CALL(MEMORY_INFO, NULL, &answer);

    if (status == 0) {
        *ret_free_bytes = answer.words[0];
        *ret_total_bytes = answer.words[1];
    }
    return status;
}

int divvy_client_copy_in(struct divvy_client *client, uint64_t to, const void *bytes, uint64_t size_bytes,
                         uint64_t stream) {
    struct divvy_wire_copy_in_in in = {.to = to, .stream = stream};
    uint32_t chunk = chunk_bytes(client, 2);

    for (uint64_t at = 0; at < size_bytes;) {
        uint32_t part = size_bytes - at < chunk ? (uint32_t)(size_bytes - at) : chunk;
        int status = oneway(client, DIVVY_WIRE_OP_COPY_IN, &in, (const char *)bytes + at, part);

        if (status < 0)
            return status;
        at += part;
        in.to += part;
    }
    return 0;
}

/* Several parts are asked for ahead; all that was asked for is taken, also behind a failure. */
int divvy_client_copy_out(struct divvy_client *client, uint64_t from, uint64_t size_bytes, uint64_t stream,
                          void *ret_bytes) {
    uint32_t chunk = chunk_bytes(client, 0);
    uint64_t ids[COPIES_MAX], asked = 0, taken = 0;
    int failure = 0;

    client->text[0] = '\0';
    while (taken * chunk < size_bytes && (failure == 0 || taken < asked)) {
        uint64_t rest = size_bytes - taken * chunk;
        struct divvy_client_answer answer = {.bytes = (char *)ret_bytes + taken * chunk,
                                             .capacity = rest < chunk ? (uint32_t)rest : chunk};
        int status = 0;

        while (failure == 0 && asked - taken < COPIES_MAX && asked * chunk < size_bytes && status == 0) {
            uint64_t left = size_bytes - asked * chunk;
            const struct divvy_wire_copy_out_in in = {
                .from = from + asked * chunk, .size_bytes = left < chunk ? left : chunk, .stream = stream};

            status = divvy_client_stream_put(client, DIVVY_WIRE_OP_COPY_OUT, &in, NULL, 0, &ids[asked % COPIES_MAX]);
            asked++;
        }
        if (status == 0)
            status = divvy_client_stream_flush(client);
        if (status == 0)
            status = divvy_client_stream_take(client, DIVVY_WIRE_OP_COPY_OUT, ids[taken % COPIES_MAX], &answer);
        if (status < 0)
            return status;
        if (failure == 0)
            failure = status;
        taken++;
    }
    return failure;
}

int divvy_client_copy_within(struct divvy_client *client, uint64_t to, uint64_t from, uint64_t size_bytes,
                             uint64_t stream) {
    const struct divvy_wire_copy_within_in in = {.to = to, .from = from, .size_bytes = size_bytes, .stream = stream};

    return ONEWAY(COPY_WITHIN, &in);
}

int divvy_client_fill(struct divvy_client *client, uint64_t to, uint32_t value, uint32_t unit_bytes, uint64_t count,
                      uint64_t stream) {
    const struct divvy_wire_fill_in in = {
        .to = to, .value = value, .unit_bytes = unit_bytes, .count = count, .stream = stream};

    return ONEWAY(FILL, &in);
}

/* --- modules and launches -------------------------------------------------------------------------------- */

int divvy_client_module_load(struct divvy_client *client, const void *image, uint64_t size_bytes,
                             uint64_t *ret_module) {
    struct divvy_wire_image_in in = {.size_bytes = size_bytes};
    char log[DIVVY_WIRE_PAYLOAD_HELLO_BYTES];
    struct divvy_client_answer answer = {.bytes = log, .capacity = sizeof log};
    uint32_t chunk = chunk_bytes(client, 2);
    int status = 0;

    if (size_bytes == 0 || size_bytes > DIVVY_WIRE_IMAGE_BYTES_MAX)
        return -EINVAL;
    while (status == 0 && in.offset_bytes < size_bytes) {
        uint64_t rest = size_bytes - in.offset_bytes;
        uint32_t part = rest < chunk ? (uint32_t)rest : chunk;

        status = oneway(client, DIVVY_WIRE_OP_IMAGE, &in, (const char *)image + in.offset_bytes, part);
        in.offset_bytes += part;
    }
    if (status == 0)
        status = CALL(MODULE_LOAD, NULL, &answer);
    if (status == 0)
        *ret_module = answer.words[0];
    return status;
}

int divvy_client_function_get(struct divvy_client *client, uint64_t module, const char *name,
                              struct divvy_client_function *ret_function) {
    struct divvy_client_function function = {0};
    struct divvy_client_parameter layout[4096];
    struct divvy_client_answer answer = {.bytes = layout, .capacity = sizeof layout};
    size_t length = strlen(name);
    uint32_t kept;
    int status;

    if (length == 0 || length > DIVVY_WIRE_PAYLOAD_HELLO_BYTES - sizeof module)
        return -EINVAL;
    status = call(client, DIVVY_WIRE_OP_FUNCTION_GET, &module, name, (uint32_t)length, &answer);
    if (status != 0)
        return status;
    function.handle = answer.words[0];
    function.parameters_bytes = (uint32_t)answer.words[1];
    function.parameter_count = (uint32_t)answer.words[2];
    kept = function.parameter_count < PARAMETERS_MAX ? function.parameter_count : PARAMETERS_MAX;
    if (answer.length < kept * sizeof layout[0])
        return -EPROTO;
    memcpy(function.parameters, layout, kept * sizeof layout[0]);
    *ret_function = function;
    return 0;
}

int divvy_client_function_attribute(struct divvy_client *client, uint64_t function, uint32_t attribute,
                                    int32_t *ret_value) {
    const struct divvy_wire_function_attribute_in in = {.attribute = attribute, .object = function};
    uint64_t word;
    int status = word_call(client, DIVVY_WIRE_OP_FUNCTION_ATTRIBUTE, &in, &word);

    if (status == 0)
        *ret_value = (int32_t)word;
    return status;
}

int divvy_client_global_get(struct divvy_client *client, uint64_t module, const char *name, uint64_t *ret_address,
                            uint64_t *ret_size_bytes) {
    struct divvy_client_answer answer = {0};
    size_t length = strlen(name);
    int status;

    if (length == 0 || length > DIVVY_WIRE_PAYLOAD_HELLO_BYTES - sizeof module)
        return -EINVAL;
    status = call(client, DIVVY_WIRE_OP_GLOBAL_GET, &module, name, (uint32_t)length, &answer);
    if (status == 0) {
        *ret_address = answer.words[0];
        *ret_size_bytes = answer.words[1];
    }
    return status;
}

/* The parameters as they lie by the layout. 0 or -EINVAL. */
static int parameters_place(const struct divvy_client_function *function, const void *const *parameters, char *ret_bytes) {
    memset(ret_bytes, 0, function->parameters_bytes);
    for (uint32_t i = 0; i < function->parameter_count; i++) {
        const struct divvy_client_parameter *place = &function->parameters[i];

        if (place->offset_bytes > function->parameters_bytes ||
            place->size_bytes > function->parameters_bytes - place->offset_bytes)
            return -EINVAL;
        memcpy(ret_bytes + place->offset_bytes, parameters[i], place->size_bytes);
    }
    return 0;
}

static int launch(struct divvy_client *client, const struct divvy_client_function *function,
                  const struct divvy_client_shape *shape, uint64_t stream, const struct divvy_client_attribute *attributes,
                  uint32_t count, const void *const *parameters) {
    const struct divvy_wire_launch_with_in in = {.function = function->handle,
                                                 .grid_x = shape->grid[0],
                                                 .grid_y = shape->grid[1],
                                                 .grid_z = shape->grid[2],
                                                 .block_x = shape->block[0],
                                                 .block_y = shape->block[1],
                                                 .block_z = shape->block[2],
                                                 .shared_bytes = shape->shared_bytes,
                                                 .stream = stream,
                                                 .attributes = count};
    size_t attributes_bytes = count * sizeof *attributes;
    char bytes[DIVVY_WIRE_ATTRIBUTES_MAX * DIVVY_WIRE_ATTRIBUTE_BYTES + PARAMETERS_BYTES_MAX];

    _Static_assert(sizeof *attributes == DIVVY_WIRE_ATTRIBUTE_BYTES, "layout of the wire");
    _Static_assert(offsetof(struct divvy_wire_launch_with_in, attributes) == sizeof(struct divvy_wire_launch_in),
                   "it begins as a launch without attributes");
    if (function->parameter_count > PARAMETERS_MAX || function->parameters_bytes > PARAMETERS_BYTES_MAX ||
        count > DIVVY_WIRE_ATTRIBUTES_MAX)
        return -EINVAL;
    if (count > 0)
        memcpy(bytes, attributes, attributes_bytes);
    if (parameters_place(function, parameters, bytes + attributes_bytes) < 0)
        return -EINVAL;
    return oneway(client, count > 0 ? DIVVY_WIRE_OP_LAUNCH_WITH : DIVVY_WIRE_OP_LAUNCH, &in, bytes,
                  (uint32_t)attributes_bytes + function->parameters_bytes);
}

int divvy_client_launch(struct divvy_client *client, const struct divvy_client_function *function,
                        const struct divvy_client_shape *shape, uint64_t stream, const void *const *parameters) {
    return launch(client, function, shape, stream, NULL, 0, parameters);
}

int divvy_client_launch_with(struct divvy_client *client, const struct divvy_client_function *function,
                             const struct divvy_client_shape *shape, uint64_t stream,
                             const struct divvy_client_attribute *attributes, uint32_t attribute_count,
                             const void *const *parameters) {
    return launch(client, function, shape, stream, attributes, attribute_count, parameters);
}
