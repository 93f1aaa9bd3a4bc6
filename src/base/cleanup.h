/* Values that are given back when their scope ends, for programs: cleanup_free char *text = ...; */
#ifndef DIVVY_BASE_CLEANUP_H
#define DIVVY_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void divvy_cleanup_free(void *pointer) {
    free(*(void **)pointer);
}

/* Closes when >= 0, sets -1, keeps errno. Also for use outside the attribute. */
static inline void divvy_cleanup_close(int *fd) {
    int kept = errno;

    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    errno = kept;
}

/* The descriptor, which is the caller's from here on: nothing is closed at the end of the scope. */
static inline int divvy_cleanup_keep(int *fd) {
    int kept = *fd;

    *fd = -1;
    return kept;
}

static inline void divvy_cleanup_closedir(DIR **directory) {
    int kept = errno;

    if (*directory)
        (void)closedir(*directory);
    *directory = NULL;
    errno = kept;
}

#define cleanup_free     __attribute__((cleanup(divvy_cleanup_free)))
#define cleanup_close    __attribute__((cleanup(divvy_cleanup_close)))
#define cleanup_closedir __attribute__((cleanup(divvy_cleanup_closedir)))

#endif
