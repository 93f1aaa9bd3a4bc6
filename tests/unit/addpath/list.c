/* Merging of path lists: the table of edge cases, and random lists against a plain model. */
#include "addpath/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

typedef struct {
    const char *list, *added;
    divvy_addpath_separators_t separators;
    bool to_front;
    const char *expected; /* NULL: nothing to change */
} case_t;

#define C DIVVY_ADDPATH_COLONS
#define B DIVVY_ADDPATH_COLONS_AND_BLANKS

static const case_t cases[] = {
    {NULL, "/a", C, false, "/a"},
    {NULL, "/a", C, true, "/a"},
    {"", "/a", C, false, "/a"},
    {"", "/a:/b", C, true, "/a:/b"},
    {"/bin", "/a", C, false, "/bin:/a"},
    {"/bin", "/a", C, true, "/a:/bin"},
    {"/bin", "/a:/b", C, false, "/bin:/a:/b"},
    {"/bin", "/a:/b", C, true, "/a:/b:/bin"},
    /* Only what is missing, in its order. */
    {"/bin:/a", "/a:/b", C, false, "/bin:/a:/b"},
    {"/bin:/b", "/a:/b:/c", C, true, "/a:/c:/bin:/b"},
    {"/bin:/a:/b", "/a:/b", C, false, NULL},
    {"/bin:/a", "/a", C, true, NULL},
    {"/bin", "/a:/a", C, false, "/bin:/a"},
    /* A component is not a part of another. */
    {"/abc:/ab/c", "/ab", C, false, "/abc:/ab/c:/ab"},
    /* Trailing slashes do not make a difference; the root stays the root. */
    {"/a/", "/a", C, false, NULL},
    {"/a", "/a//", C, false, NULL},
    {"/", "//", C, false, NULL},
    {"/a", "/", C, false, "/a:/"},
    /* No stray separators from our side; what the user wrote in the middle stays. */
    {"/bin", "", C, false, NULL},
    {"/bin", ":", C, false, NULL},
    {"/bin", ":/a:", C, false, "/bin:/a"},
    {"/bin:", "/a", C, false, "/bin:/a"},
    {":/bin", "/a", C, true, "/a:/bin"},
    {"/bin::/sbin", "/a", C, false, "/bin::/sbin:/a"},
    {":", "/a", C, false, "/a"},
    {":", "/a", C, true, "/a"},
    /* LD_PRELOAD may be parted by blanks; PATH may hold them. */
    {"/x.so /y.so", "/y.so", B, false, NULL},
    {"/x.so /y.so", "/z.so", B, false, "/x.so /y.so:/z.so"},
    {"/x.so", "/y.so /z.so", B, true, "/y.so:/z.so:/x.so"},
    {"/x.so ", "/y.so", B, false, "/x.so:/y.so"},
    {"/My Files", "/Files", C, false, "/My Files:/Files"},
    /* Bytes are bytes. */
    {"/\xff\xfe", "/\xff\xfe", C, false, NULL},
    {"/\xff\xfe", "/\xff", C, false, "/\xff\xfe:/\xff"},
};

static char *merge(const char *list, const char *added, divvy_addpath_separators_t separators,
                   bool to_front) {
    char *merged = malloc(divvy_addpath_list_room(list, added));

    assert_non_null(merged);
    if (divvy_addpath_list_merge(list, added, separators, to_front, merged))
        return merged;
    free(merged);
    return NULL;
}

static void table_holds(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const case_t *c = &cases[i];
        char *merged = merge(c->list, c->added, c->separators, c->to_front);

        if (!c->expected != !merged || (merged && strcmp(merged, c->expected) != 0))
            fail_msg("\"%s\" with \"%s\": got \"%s\", expected \"%s\"",
                     c->list ? c->list : "(unset)", c->added, merged ? merged : "(unchanged)",
                     c->expected ? c->expected : "(unchanged)");
        free(merged);
    }
}

/* The model works on letters: a list is a string of one-letter components. */
static void model_merge(const char *list, const char *added, bool to_front, char *ret) {
    char fresh[64] = "";
    size_t length = 0;

    for (; *added; added++)
        if (!strchr(list, *added) && !strchr(fresh, *added))
            fresh[length++] = *added;
    snprintf(ret, 128, "%s%s", to_front ? fresh : list, to_front ? list : fresh);
}

static void letters_random(char *ret, unsigned int *seed) {
    int count = rand_r(seed) % 8;

    for (int i = 0; i < count; i++)
        *ret++ = (char)('a' + rand_r(seed) % 6);
    *ret = '\0';
}

static void letters_as_paths(const char *letters, unsigned int *seed, char *ret) {
    *ret = '\0';
    for (; *letters; letters++) {
        char component[8];

        snprintf(component, sizeof component, "%s/%c%s", *ret ? ":" : "", *letters,
                 rand_r(seed) % 4 ? "" : "/");
        strncat(ret, component, 127 - strlen(ret));
    }
}

static void paths_as_letters(const char *paths, char *ret) {
    for (; *paths; paths++)
        if (*paths >= 'a' && *paths <= 'z')
            *ret++ = *paths;
    *ret = '\0';
}

static void random_lists_follow_the_model(void **state) {
    unsigned int seed = (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 20000; round++) {
        char list[64], added[64], list_paths[128], added_paths[128], expected[128], got[128];
        bool to_front = rand_r(&seed) % 2;
        char *merged, *again;

        letters_random(list, &seed);
        letters_random(added, &seed);
        letters_as_paths(list, &seed, list_paths);
        letters_as_paths(added, &seed, added_paths);
        model_merge(list, added, to_front, expected);
        merged = merge(list_paths, added_paths, C, to_front);
        paths_as_letters(merged ? merged : list_paths, got);
        if (strcmp(got, expected) != 0)
            fail_msg("%s with %s: got %s, expected %s", list_paths, added_paths, got, expected);
        if (merged) {
            assert_null(strstr(merged, "::"));
            assert_true(merged[0] != ':' && merged[strlen(merged) - 1] != ':');
            again = merge(merged, added_paths, C, to_front);
            assert_null(again);
        }
        free(merged);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_holds),
        cmocka_unit_test(random_lists_follow_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
