/* The elements of a state file in memory: see entries.h. */
#include "backend/entries.h"

#include "backend/schema.h"
#include "base/cleanup.h"
#include "core/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void key_of(const struct divvy_backend_entries *entries, const char *id, char ret_key[DIVVY_BACKEND_ID_BYTES]) {
    bool folds = divvy_backend_schema_folds(entries->schema);
    size_t i = 0;

    for (; id[i] && i + 1 < DIVVY_BACKEND_ID_BYTES; i++)
        ret_key[i] = folds ? divvy_core_ascii_lower(id[i]) : id[i];
    ret_key[i] = '\0';
}

static struct divvy_backend_shown *find(const struct divvy_backend_entries *entries, const char *id) {
    char key[DIVVY_BACKEND_ID_BYTES];
    const json_t *place;

    if (strlen(id) >= DIVVY_BACKEND_ID_BYTES)
        return NULL;
    key_of(entries, id, key);
    place = json_object_get(entries->index, key);
    return place ? &entries->shown[json_integer_value(place)] : NULL;
}

static int show(struct divvy_backend_entries *entries, const char *id, json_t *object, size_t place) {
    char key[DIVVY_BACKEND_ID_BYTES];

    if (entries->count == entries->room) {
        size_t room = entries->room ? entries->room * 2 : 64;
        struct divvy_backend_shown *grown = reallocarray(entries->shown, room, sizeof *grown);

        if (!grown)
            return -ENOMEM;
        entries->shown = grown;
        entries->room = room;
    }
    key_of(entries, id, key);
    if (json_object_set_new(entries->index, key, json_integer((json_int_t)entries->count)) < 0)
        return -ENOMEM;
    entries->shown[entries->count++] = (struct divvy_backend_shown){object, place};
    return 0;
}

/* Of several elements with one id the last counts, at the place of the last. */
static int element_take(struct divvy_backend_entries *entries, json_t *element, size_t place) {
    const char *id = json_is_object(element) ? divvy_backend_object_id(element, entries->schema) : NULL;
    struct divvy_backend_shown *before;

    if (json_is_null(element))
        return 0;
    if (!id) {
        entries->findings.nameless++;
        return 0;
    }
    before = find(entries, id);
    if (!before)
        return show(entries, id, element, place);
    entries->findings.duplicates++;
    if (json_array_set(entries->array, before->place, entries->gone) < 0)
        return -ENOMEM;
    *before = (struct divvy_backend_shown){element, place};
    return 0;
}

static int elements_take(struct divvy_backend_entries *entries, const char *name, struct divvy_error *error) {
    for (size_t i = 0; i < json_array_size(entries->array); i++) {
        json_t *element = json_array_get(entries->array, i);
        const char *foreign = json_is_object(element) ? divvy_backend_object_foreign(element, entries->schema) : NULL;

        if (foreign)
            return divvy_error_set(error, -EBADMSG,
                                   "%s: element %zu has \"%s\" where \"%s\" is needed: it is a file of another kind", name, i,
                                   foreign, divvy_backend_schema_key(entries->schema));
        if (element_take(entries, element, i) < 0)
            return divvy_error_set_errno(error, -ENOMEM, "%s", name);
    }
    return 0;
}

static bool is_blank(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!strchr(" \t\r\n", text[i]) || !text[i])
            return false;
    return true;
}

int divvy_backend_entries_parse(struct divvy_backend_entries *ret_entries, enum divvy_backend_schema schema,
                                const char *name, const char *text, size_t length, struct divvy_error *error) {
    struct divvy_backend_entries *entries = ret_entries;
    json_error_t fault = {0};

    *entries = (struct divvy_backend_entries){.schema = schema, .index = json_object(), .gone = json_object()};
    entries->array = is_blank(text, length) ? json_array() : json_loadb(text, length, JSON_ALLOW_NUL | JSON_DECODE_ANY, &fault);
    if (!entries->index || !entries->gone || (!entries->array && !fault.text[0]))
        return divvy_error_set_errno(error, -ENOMEM, "%s", name);
    if (!entries->array)
        return divvy_error_set(error, -EBADMSG, "%s: line %d, column %d: %.150s", name, fault.line, fault.column, fault.text);
    if (json_is_null(entries->array)) { /* how Go writes a list that was never made */
        json_decref(entries->array);
        entries->array = json_array();
        return entries->array ? 0 : divvy_error_set_errno(error, -ENOMEM, "%s", name);
    }
    if (!json_is_array(entries->array))
        return divvy_error_set(error, -EBADMSG, "%s: an array is needed, not another type", name);
    return elements_take(entries, name, error);
}

void divvy_backend_entries_done(struct divvy_backend_entries *entries) {
    json_decref(entries->array);
    json_decref(entries->index);
    json_decref(entries->gone);
    free(entries->shown);
    *entries = (struct divvy_backend_entries){0};
}

json_t *divvy_backend_entries_list(const struct divvy_backend_entries *entries) {
    json_t *list = json_array();

    for (size_t i = 0; list && i < entries->count; i++)
        if (entries->shown[i].object && json_array_append(list, entries->shown[i].object) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

char *divvy_backend_entries_text(struct divvy_backend_entries *entries, size_t *ret_length) {
    json_t *kept = json_array();
    char *text = NULL, *line;

    for (size_t i = 0; kept && i < json_array_size(entries->array); i++) {
        json_t *element = json_array_get(entries->array, i);

        if (element != entries->gone && json_array_append(kept, element) < 0)
            goto out;
    }
    text = kept ? json_dumps(kept, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    if (!text)
        goto out;
    *ret_length = strlen(text);
    line = realloc(text, *ret_length + 2);
    if (!line) {
        free(text);
        text = NULL;
        goto out;
    }
    text = line;
    memcpy(text + (*ret_length)++, "\n", 2);
out:
    json_decref(kept);
    return text;
}

size_t divvy_backend_entries_count(const struct divvy_backend_entries *entries) {
    return entries->count;
}

json_t *divvy_backend_entries_at(const struct divvy_backend_entries *entries, size_t place) {
    return place < entries->count ? entries->shown[place].object : NULL;
}

json_t *divvy_backend_entries_find(const struct divvy_backend_entries *entries, const char *id) {
    const struct divvy_backend_shown *found = find(entries, id);

    return found ? found->object : NULL;
}

json_t *divvy_backend_entries_put(struct divvy_backend_entries *entries, const char *id) {
    json_t *object = divvy_backend_entries_find(entries, id);

    if (object || !id[0] || strlen(id) >= DIVVY_BACKEND_ID_BYTES)
        return object;
    object = json_pack("{s:s}", divvy_backend_schema_key(entries->schema), id);
    if (!object || json_array_append_new(entries->array, object) < 0)
        return NULL;
    if (show(entries, id, object, json_array_size(entries->array) - 1) < 0) {
        (void)json_array_remove(entries->array, json_array_size(entries->array) - 1);
        return NULL;
    }
    return object;
}

int divvy_backend_entries_remove(struct divvy_backend_entries *entries, const char *id) {
    struct divvy_backend_shown *found = find(entries, id);
    char key[DIVVY_BACKEND_ID_BYTES];

    if (!found)
        return -ENOENT;
    key_of(entries, id, key); /* first: the id may be the element's own */
    if (json_array_set(entries->array, found->place, entries->gone) < 0)
        return -ENOMEM;
    found->object = NULL;
    (void)json_object_del(entries->index, key);
    return 0;
}
