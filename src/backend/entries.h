/* The elements of a state file in memory: what is between its bytes and a change. Inside this room. */
#ifndef DIVVY_BACKEND_ENTRIES_H
#define DIVVY_BACKEND_ENTRIES_H

#include "backend/filestate.h"

struct divvy_backend_entries {
    enum divvy_backend_schema schema;
    json_t *array; /* all elements as they were read, later ones of ours behind; GONE in place of those that went */
    json_t *index; /* object: id, folded where the schema folds it, to its place in `shown` */
    json_t *gone;  /* stands for what was removed */
    struct divvy_backend_shown {
        json_t *object; /* borrowed from the array; NULL: removed */
        size_t place;   /* in the array */
    } *shown;
    size_t count, room;
    struct divvy_backend_findings findings;
};

/* Parses; `name` is the file's in errors. To be freed with _done also after a failure. -EBADMSG, -ENOMEM. */
int divvy_backend_entries_parse(struct divvy_backend_entries *ret_entries, enum divvy_backend_schema schema,
                                const char *name, const char *text, size_t length, struct divvy_error *error);
void divvy_backend_entries_done(struct divvy_backend_entries *entries);

/* The elements that are shown, a new array. NULL: no memory. */
json_t *divvy_backend_entries_list(const struct divvy_backend_entries *entries);
/* The file's text, to be freed; NULL: no memory. */
char *divvy_backend_entries_text(struct divvy_backend_entries *entries, size_t *ret_length);

#endif
