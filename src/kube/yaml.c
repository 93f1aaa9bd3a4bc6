/* The YAML of kubeconfig files: see yaml.h. */
#include "kube/yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the one that is looked at; owned */
    unsigned nested;
    struct divvy_error *error;
};

static int fail(struct reader *reader, const char *why) {
    return divvy_error_set(reader->error, -EINVAL, "line %zu: %s", reader->event.start_mark.line + 1, why);
}

static int out_of_memory(struct reader *reader) {
    return divvy_error_set(reader->error, -ENOMEM, "out of memory");
}

/* Goes on to the next event. */
static int next(struct reader *reader) {
    const yaml_parser_t *parser = &reader->parser;

    yaml_event_delete(&reader->event);
    if (yaml_parser_parse(&reader->parser, &reader->event))
        return 0;
    if (parser->error == YAML_MEMORY_ERROR)
        return out_of_memory(reader);
    /* What cannot be decoded has no mark: the line is that up to which everything could be. */
    return divvy_error_set(reader->error, -EINVAL, "line %zu: %s%s%s",
                           (parser->error == YAML_READER_ERROR ? parser->mark.line : parser->problem_mark.line) + 1,
                           parser->problem ? parser->problem : "this cannot be read", parser->context ? ", " : "",
                           parser->context ? parser->context : "");
}

static bool is_own_tag(const yaml_char_t *tag) {
    static const char own[] = "tag:yaml.org,2002:";

    return !tag || strcmp((const char *)tag, "!") == 0 || strncmp((const char *)tag, own, sizeof own - 1) == 0;
}

static bool is_null(const yaml_event_t *event) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    const char *value = (const char *)event->data.scalar.value;

    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || event->data.scalar.tag)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    return false;
}

static int scalar_read(struct reader *reader, json_t **ret_json) {
    const yaml_event_t *event = &reader->event;

    if (!is_own_tag(event->data.scalar.tag))
        return fail(reader, "a tag that is not YAML's own");
    if (memchr(event->data.scalar.value, '\0', event->data.scalar.length))
        return fail(reader, "a NUL byte in a value");
    *ret_json = is_null(event) ? json_null() : json_stringn((const char *)event->data.scalar.value, event->data.scalar.length);
    return *ret_json ? 0 : fail(reader, "text that is not UTF-8");
}

static int node_read(struct reader *reader, json_t **ret_json);

static int sequence_read(struct reader *reader, json_t *array) {
    int status = next(reader);

    while (status == 0 && reader->event.type != YAML_SEQUENCE_END_EVENT) {
        json_t *value = NULL;

        status = node_read(reader, &value);
        if (status == 0 && json_array_append_new(array, value) < 0)
            status = out_of_memory(reader);
        if (status == 0)
            status = next(reader);
    }
    return status;
}

/* The entry whose key the reader looks at. */
static int entry_read(struct reader *reader, json_t *object) {
    json_t *key = NULL, *value = NULL;
    int status;

    if (reader->event.type != YAML_SCALAR_EVENT)
        return fail(reader, "a key that is no plain or quoted text");
    status = scalar_read(reader, &key);
    if (status == 0 && (!json_is_string(key) || json_object_get(object, json_string_value(key))))
        status = fail(reader, json_is_string(key) ? "a key that stands twice" : "a key without a name");
    if (status == 0)
        status = next(reader);
    if (status == 0)
        status = node_read(reader, &value);
    if (status == 0 && json_object_set_new(object, json_string_value(key), value) < 0)
        status = out_of_memory(reader);
    json_decref(key);
    return status;
}

static int mapping_read(struct reader *reader, json_t *object) {
    int status = next(reader);

    while (status == 0 && reader->event.type != YAML_MAPPING_END_EVENT) {
        status = entry_read(reader, object);
        if (status == 0)
            status = next(reader);
    }
    return status;
}

static int collection_read(struct reader *reader, json_t **ret_json) {
    bool is_mapping = reader->event.type == YAML_MAPPING_START_EVENT;
    json_t *json;
    int status;

    if (!is_own_tag(is_mapping ? reader->event.data.mapping_start.tag : reader->event.data.sequence_start.tag))
        return fail(reader, "a tag that is not YAML's own");
    if (reader->nested >= DIVVY_KUBE_YAML_NESTED_MAX)
        return fail(reader, "nested too deep");
    json = is_mapping ? json_object() : json_array();
    if (!json)
        return out_of_memory(reader);
    reader->nested++;
    status = is_mapping ? mapping_read(reader, json) : sequence_read(reader, json);
    reader->nested--;
    if (status < 0)
        json_decref(json);
    else
        *ret_json = json;
    return status;
}

/* The node whose first event the reader looks at; afterwards it looks at its last. */
static int node_read(struct reader *reader, json_t **ret_json) {
    switch (reader->event.type) {
    case YAML_SCALAR_EVENT:
        return scalar_read(reader, ret_json);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return collection_read(reader, ret_json);
    case YAML_ALIAS_EVENT:
        return fail(reader, "an alias, which is not read here");
    default:
        return fail(reader, "this cannot be read");
    }
}

/* From the start of the stream to its end. */
static int stream_read(struct reader *reader, json_t **ret_json) {
    json_t *json = NULL;
    int status = next(reader);

    if (status == 0)
        status = next(reader);
    if (status == 0 && reader->event.type == YAML_STREAM_END_EVENT) {
        *ret_json = json_null();
        return 0;
    }
    if (status == 0)
        status = next(reader);
    if (status == 0)
        status = node_read(reader, &json);
    /* The end of the document, and of the stream. */
    for (int i = 0; i < 2 && status == 0; i++)
        status = next(reader);
    if (status == 0 && reader->event.type != YAML_STREAM_END_EVENT)
        status = fail(reader, "a second document");
    if (status < 0)
        json_decref(json);
    else
        *ret_json = json;
    return status;
}

int divvy_kube_yaml_parse(const char *text, size_t length, json_t **ret_json, struct divvy_error *error) {
    struct reader reader = {.error = error};
    int status;

    if (!yaml_parser_initialize(&reader.parser))
        return divvy_error_set(error, -ENOMEM, "out of memory");
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    status = stream_read(&reader, ret_json);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    return status;
}
