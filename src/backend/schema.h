/* What the parts of state files know of the schemas, inside this room. */
#ifndef DIVVY_BACKEND_SCHEMA_H
#define DIVVY_BACKEND_SCHEMA_H

#include "backend/filestate.h"

/* The key of the id. */
const char *divvy_backend_schema_key(enum divvy_backend_schema schema);
/* Whether ids that differ in case only are one. */
bool divvy_backend_schema_folds(enum divvy_backend_schema schema);
/* The id key of another schema that this element has and that of its own it has not; or NULL. */
const char *divvy_backend_object_foreign(const json_t *object, enum divvy_backend_schema schema);

#endif
