/* Lists of paths: see list.h. */
#include "addpath/list.h"

#include <string.h>

typedef struct {
    const char *text;
    size_t length;
} component_t;

static bool is_separator(char byte, divvy_addpath_separators_t separators) {
    return byte == ':' ||
           (separators == DIVVY_ADDPATH_COLONS_AND_BLANKS && (byte == ' ' || byte == '\t'));
}

/* The next component that is not empty; *at moves behind it. False at the end. */
static bool component_next(const char **at, divvy_addpath_separators_t separators,
                           component_t *ret) {
    const char *start = *at;

    while (*start && is_separator(*start, separators))
        start++;
    if (!*start)
        return false;
    *at = start;
    while (**at && !is_separator(**at, separators))
        (*at)++;
    *ret = (component_t){start, (size_t)(*at - start)};
    return true;
}

/* Without trailing slashes; "/" stays. */
static size_t significant_length(const component_t *component) {
    size_t length = component->length;

    while (length > 1 && component->text[length - 1] == '/')
        length--;
    return length;
}

static bool component_equal(const component_t *a, const component_t *b) {
    size_t length = significant_length(a);

    return length == significant_length(b) && memcmp(a->text, b->text, length) == 0;
}

/* Whether a component stands in the text before `end` (NULL: anywhere). */
static bool list_has(const char *list, const char *end, divvy_addpath_separators_t separators,
                     const component_t *wanted) {
    component_t have;

    while (component_next(&list, separators, &have) && (!end || have.text < end))
        if (component_equal(&have, wanted))
            return true;
    return false;
}

size_t divvy_addpath_list_room(const char *list, const char *added) {
    return (list ? strlen(list) : 0) + strlen(added) + 2;
}

/* Appends to the text that ends at *at, with a ':' before it unless it is the first. */
static void component_write(char *start, char **at, const char *text, size_t length) {
    if (*at > start)
        *(*at)++ = ':';
    memcpy(*at, text, length);
    *at += length;
}

/* Writes the components of `added` that neither `list` nor an earlier place of `added` holds. */
static void missing_write(const char *list, const char *added,
                          divvy_addpath_separators_t separators, char *start, char **at) {
    const char *next = added;
    component_t component;

    while (component_next(&next, separators, &component))
        if (!list_has(list, NULL, separators, &component) &&
            !list_has(added, component.text, separators, &component))
            component_write(start, at, component.text, component.length);
}

bool divvy_addpath_list_merge(const char *list, const char *added,
                              divvy_addpath_separators_t separators, bool to_front,
                              char *ret_merged) {
    const char *kept = list ? list : "";
    size_t kept_length = strlen(kept);
    char *at = ret_merged;

    if (to_front) {
        missing_write(kept, added, separators, ret_merged, &at);
        if (at == ret_merged)
            return false;
        for (; kept_length && is_separator(*kept, separators); kept_length--)
            kept++;
        if (kept_length)
            component_write(ret_merged, &at, kept, kept_length);
    } else {
        char *added_from;

        while (kept_length && is_separator(kept[kept_length - 1], separators))
            kept_length--;
        memcpy(at, kept, kept_length);
        at += kept_length;
        added_from = at;
        missing_write(kept, added, separators, ret_merged, &at);
        if (at == added_from)
            return false;
    }
    *at = '\0';
    return true;
}
