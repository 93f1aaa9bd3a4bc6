/* The words of PTX: lookups in the tables of types.h. */
#include "simgpu/ptx/types.h"

#include <string.h>

typedef struct {
    const char *text;
    uint8_t bytes;
    uint8_t class;
} type_t;

static const type_t types[PTX_TYPE_MAX] = {
    [PTX_NONE] = {"", 0, PTX_CLASS_BITS},
#define X(id, text, bytes, class) [PTX_##id] = {text, bytes, PTX_CLASS_##class},
    PTX_TYPES(X)
#undef X
        [PTX_F32Z] = {"f32", 4, PTX_CLASS_FLOAT},
};

static const char *const modifiers[PTX_MODIFIER_MAX] = {
#define X(id, text) text,
    PTX_MODIFIERS(X)
#undef X
};

int divvy_ptx_text_compare(const char *text, size_t length, const char *word) {
    size_t word_length = strlen(word);
    int order = memcmp(text, word, length < word_length ? length : word_length);
    if (order)
        return order;
    return length < word_length ? -1 : length > word_length;
}

ptx_type_t divvy_ptx_type_find(const char *text, size_t length) {
    if (length < 2 || length > 6 || !strchr("pbusf", text[0]))
        return PTX_NONE;
    for (unsigned k = PTX_NONE + 1; k < PTX_F32Z; k++) {
        if (divvy_ptx_text_compare(text, length, types[k].text) == 0)
            return (ptx_type_t)k;
    }
    return PTX_NONE;
}

int divvy_ptx_modifier_find(const char *text, size_t length) {
    int low = 0;
    int high = PTX_MODIFIER_MAX - 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        int order = divvy_ptx_text_compare(text, length, modifiers[middle]);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return -1;
}

const char *divvy_ptx_type_name(ptx_type_t type) {
    return types[type].text;
}

const char *divvy_ptx_modifier_name(unsigned modifier) {
    return modifiers[modifier];
}

uint32_t divvy_ptx_type_bytes(ptx_type_t type) {
    return types[type].bytes;
}

ptx_class_t divvy_ptx_type_class(ptx_type_t type) {
    return (ptx_class_t)types[type].class;
}
