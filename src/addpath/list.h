/*
 * Lists of paths in environment variables: adding the components that are missing. Pure; the result
 * goes into the caller's memory.
 */
#ifndef DIVVY_ADDPATH_LIST_H
#define DIVVY_ADDPATH_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* What parts the components of a list. */
typedef enum {
    DIVVY_ADDPATH_COLONS,            /* PATH, LD_LIBRARY_PATH */
    DIVVY_ADDPATH_COLONS_AND_BLANKS, /* LD_PRELOAD: the dynamic loader splits it at both */
    DIVVY_ADDPATH_SEPARATORS_MAX,
} divvy_addpath_separators_t;

/*
 * Room that divvy_addpath_list_merge needs for its result, NUL included.
 */
size_t divvy_addpath_list_room(const char *list, const char *added);

/*
 * Writes to ret_merged the list (NULL or empty: none yet) with those components of `added` that it
 * does not hold yet, in their order, after it or (to_front) before it, parted by ':'. Components
 * are compared without trailing '/', bytes are bytes. The list's own text is kept as it is, but for
 * separators at the side where something is added, so that no empty component (the current
 * directory, in PATH) arises; an empty component that the user put elsewhere stays. True when the
 * result differs from the list; false when nothing was missing (ret_merged is then undefined).
 */
bool divvy_addpath_list_merge(const char *list, const char *added,
                              divvy_addpath_separators_t separators, bool to_front,
                              char *ret_merged);

#endif
