/*
 * libadd_path.so. Preloaded into a program, its constructor extends three variables of the
 * program's own environment, so that later getenv() calls and everything that the program starts
 * see the change:
 *     TF_PATH, TF_LD_PRELOAD, TF_LD_LIBRARY_PATH                            append
 *     TF_PREPEND_PATH, TF_PREPEND_LD_PRELOAD, TF_PREPEND_LD_LIBRARY_PATH    put in front
 * (Names and meaning are those of vgpu.rs' add-path.) Without these variables it does nothing at
 * all. In programs that run with more rights than their user (AT_SECURE) it does nothing either.
 *
 * The environment is edited directly, not by setenv(): bash and others define setenv() and getenv()
 * themselves, as functions on shell variables that do not exist yet while constructors run.
 */
#include "addpath/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
    const char *source, *target;
    divvy_addpath_separators_t separators;
    bool to_front;
} rule_t;

/* In this order: what is prepended may come to stand before what was appended. */
static const rule_t rules[] = {
    {"TF_PATH", "PATH", DIVVY_ADDPATH_COLONS, false},
    {"TF_LD_PRELOAD", "LD_PRELOAD", DIVVY_ADDPATH_COLONS_AND_BLANKS, false},
    {"TF_LD_LIBRARY_PATH", "LD_LIBRARY_PATH", DIVVY_ADDPATH_COLONS, false},
    {"TF_PREPEND_PATH", "PATH", DIVVY_ADDPATH_COLONS, true},
    {"TF_PREPEND_LD_PRELOAD", "LD_PRELOAD", DIVVY_ADDPATH_COLONS_AND_BLANKS, true},
    {"TF_PREPEND_LD_LIBRARY_PATH", "LD_LIBRARY_PATH", DIVVY_ADDPATH_COLONS, true},
};

/* The value of a variable, or NULL; *ret_place is then where it stands in the environment. */
static const char *variable_find(const char *name, char ***ret_place) {
    size_t length = strlen(name);

    for (char **place = environ; place && *place; place++) {
        if (strncmp(*place, name, length) != 0 || (*place)[length] != '=')
            continue;
        *ret_place = place;
        return *place + length + 1;
    }
    return NULL;
}

/* Memory for the rest of the process's life; malloc may not be ready for a constructor. */
static void *memory_new(size_t size_bytes) {
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Adds "NAME=value" by moving the environment to a longer array, as setenv() does. */
static void variable_append(char *definition) {
    size_t count = 0;
    char **longer;

    while (environ && environ[count])
        count++;
    longer = memory_new((count + 2) * sizeof *longer);
    if (!longer)
        return;
    if (count)
        memcpy(longer, environ, count * sizeof *longer);
    longer[count] = definition;
    environ = longer;
}

static void rule_apply(const rule_t *rule, const char *added) {
    size_t name_length = strlen(rule->target);
    char **place = NULL;
    const char *list = variable_find(rule->target, &place);
    size_t room = name_length + 1 + divvy_addpath_list_room(list, added);
    char *definition = memory_new(room);

    if (!definition)
        return;
    memcpy(definition, rule->target, name_length);
    definition[name_length] = '=';
    if (!divvy_addpath_list_merge(list, added, rule->separators, rule->to_front,
                                  definition + name_length + 1))
        (void)munmap(definition, room);
    else if (place)
        *place = definition;
    else
        variable_append(definition);
}

static void __attribute__((constructor)) extend_environment(void) {
    int host_errno = errno;

    if (getauxval(AT_SECURE))
        return;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char **place;
        const char *added = variable_find(rules[i].source, &place);

        if (added && added[0])
            rule_apply(&rules[i], added);
    }
    errno = host_errno;
}
