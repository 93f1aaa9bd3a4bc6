/* Model files: see model.h. */
#include "mig/runner/model.h"

#include "base/cleanup.h"
#include "core/sys.h"
#include "divvy/mig.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, NAME, SIZE, NUMBER, WORDS };

/* Every key there is; where its value goes by offset, and what it is without one (NULL: it is required). */
struct key {
    const char *name;
    enum kind kind;
    const char *usual; /* of texts */
    size_t offset;
    uint64_t most;     /* of numbers, which begin with 1; 0: any other kind */
};

#define AT(member) offsetof(struct divvy_runner_model, member)
static const struct key keys[] = {
    {"name", NAME, NULL, AT(name), 0},
    {"engine", NAME, NULL, AT(engine), 0},
    {"model_path", NAME, NULL, AT(model_path), 0},
    {"model_args", WORDS, "", 0, 0},
    {"weights", TEXT, "", AT(weights), 0},
    {"vram_limit", SIZE, NULL, AT(vram_limit_bytes), 0},
    {"cpu_mem_limit", SIZE, NULL, AT(memory_bytes), 0},
    {"slo_class", NAME, "interactive", AT(slo_class), 0},
    {"batch_max", NUMBER, "", AT(batch_max), 1u << 20},
    {"port", NUMBER, "", AT(port), UINT16_MAX},
    {"gpu_device", NAME, "0", AT(gpu_device), 0},
};
#define KEYS (sizeof keys / sizeof keys[0])

static int size_take(const struct key *key, const json_t *value, void *at, struct divvy_error *error) {
    uint64_t bytes = 0;
    int status = json_is_string(value) ? divvy_mig_size_parse(json_string_value(value), &bytes) : -EINVAL;

    if (status == 0 && bytes == 0)
        status = -EINVAL;
    if (status < 0)
        return divvy_error_set(error, status,
                               "\"%s\" is no size; write a string of digits and a unit (b, kb, mb, gb, tb, kib … tib, all "
                               "powers of 1024): \"3GiB\"",
                               key->name);
    memcpy(at, &bytes, sizeof bytes);
    return 0;
}

static int number_take(const struct key *key, const json_t *value, void *at, struct divvy_error *error) {
    json_int_t number = json_integer_value(value);
    uint16_t small = (uint16_t)number;
    uint32_t large = (uint32_t)number;

    if (!json_is_integer(value) || number < 1 || (uint64_t)number > key->most)
        return divvy_error_set(error, -ERANGE, "\"%s\" is no whole number of 1 to %llu", key->name,
                               (unsigned long long)key->most);
    if (key->offset == AT(port))
        memcpy(at, &small, sizeof small);
    else
        memcpy(at, &large, sizeof large);
    return 0;
}

static int words_check(const struct key *key, const json_t *value, struct divvy_error *error) {
    bool is_good = json_is_array(value);

    for (size_t i = 0; is_good && i < json_array_size(value); i++)
        is_good = json_is_string(json_array_get(value, i));
    return is_good ? 0 : divvy_error_set(error, -EINVAL, "\"%s\" is no array of strings", key->name);
}

static int key_take(const struct key *key, const json_t *value, struct divvy_runner_model *model, struct divvy_error *error) {
    void *at = (char *)model + key->offset;
    const char *text;

    switch (key->kind) {
    case SIZE:
        return size_take(key, value, at, error);
    case NUMBER:
        return number_take(key, value, at, error);
    case WORDS:
        return words_check(key, value, error);
    default:
        text = json_string_value(value);
        if (!text || (key->kind == NAME && !text[0]))
            return divvy_error_set(error, -EINVAL, "\"%s\" is no string%s", key->name, text ? ", but an empty one" : "");
        memcpy(at, &text, sizeof text);
        return 0;
    }
}

static int keys_take(json_t *root, struct divvy_runner_model *model, struct divvy_error *error) {
    const char *name;
    json_t *value;

    json_object_foreach (root, name, value) {
        size_t i = 0;

        while (i < KEYS && strcmp(keys[i].name, name) != 0)
            i++;
        if (i == KEYS)
            return divvy_error_set(error, -EINVAL, "there is no key \"%.60s\"", name);
    }
    for (size_t i = 0; i < KEYS; i++) {
        value = json_object_get(root, keys[i].name);
        if (!value && !keys[i].usual)
            return divvy_error_set(error, -EINVAL, "\"%s\" is missing", keys[i].name);
        if (value && key_take(&keys[i], value, model, error) < 0)
            return error->status;
        if (!value && (keys[i].kind == NAME || keys[i].kind == TEXT))
            memcpy((char *)model + keys[i].offset, &keys[i].usual, sizeof keys[i].usual);
    }
    return 0;
}

static int arguments_make(const json_t *root, struct divvy_runner_model *model, struct divvy_error *error) {
    const json_t *words = json_object_get(root, "model_args");
    size_t count = json_array_size(words);

    model->arguments = calloc(count + 3, sizeof *model->arguments);
    if (!model->arguments)
        return divvy_error_set_errno(error, -ENOMEM, "cannot keep the arguments");
    model->arguments[0] = (char *)(uintptr_t)model->engine;
    model->arguments[1] = (char *)(uintptr_t)model->model_path;
    for (size_t i = 0; i < count; i++)
        model->arguments[i + 2] = (char *)(uintptr_t)json_string_value(json_array_get(words, i));
    return 0;
}

int divvy_runner_model_parse(const char *text, size_t length, struct divvy_runner_model *ret_model, struct divvy_error *error) {
    struct divvy_runner_model model = {.batch_max = 1, .port = 8080};
    json_error_t fault;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);

    if (!root)
        return divvy_error_set(error, -EINVAL, "line %d, column %d: %.150s", fault.line, fault.column, fault.text);
    model.json = root;
    if (!json_is_object(root))
        (void)divvy_error_set(error, -EINVAL, "this is no JSON object");
    if (!json_is_object(root) || keys_take(root, &model, error) < 0 || arguments_make(root, &model, error) < 0) {
        divvy_runner_model_done(&model);
        return error->status;
    }
    *ret_model = model;
    return 0;
}

/* A regular file's text, at most size_bytes - 1 of it: a pipe would keep the runner waiting. */
static ssize_t text_read(const char *path, char *text, size_t size_bytes) {
    cleanup_close int fd = divvy_core_sys_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat status;
    ssize_t length;

    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? -EISDIR : -ENODEV;
    length = divvy_core_sys_read(fd, text, size_bytes);
    return length == (ssize_t)size_bytes ? -EFBIG : length;
}

int divvy_runner_model_read(const char *path, struct divvy_runner_model *ret_model, struct divvy_error *error) {
    cleanup_free char *text = malloc(DIVVY_RUNNER_MODEL_BYTES + 1);
    ssize_t length;

    if (!text)
        return divvy_error_set_errno(error, -ENOMEM, "%.150s", path);
    length = text_read(path, text, DIVVY_RUNNER_MODEL_BYTES + 1);
    if (length < 0)
        return divvy_error_set_errno(error, (int)length, "%.150s", path); /* cleanup_free. NOLINT(clang-analyzer-unix.Malloc) */
    if (divvy_runner_model_parse(text, (size_t)length, ret_model, error) == 0)
        return 0;
    (void)divvy_error_prefix(error, "%.100s", path);
    return error->status;
}

void divvy_runner_model_done(struct divvy_runner_model *model) {
    free(model->arguments);
    json_decref(model->json);
    *model = (struct divvy_runner_model){0};
}
