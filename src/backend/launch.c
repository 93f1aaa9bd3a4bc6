/* Commands of workers, copied and told apart: see spawn.h. */
#include "backend/spawn.h"

#include "core/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t text_digest(uint64_t digest, const char *text) {
    for (; text && *text; text++)
        digest = divvy_core_hash_pair(digest, (unsigned char)*text);
    return divvy_core_hash_pair(digest, 256); /* no byte: "ab" "c" is not "a" "bc" */
}

static uint64_t list_digest(uint64_t digest, char *const *list) {
    for (; *list; list++)
        digest = text_digest(digest, *list);
    return divvy_core_hash_pair(digest, 257);
}

static void list_free(char **list) {
    for (char **at = list; at && *at; at++)
        free(*at);
    free(list);
}

static char **list_copy(const char *const *list) {
    size_t count = 0;
    char **copied;

    while (list && list[count])
        count++;
    copied = calloc(count + 1, sizeof *copied);
    for (size_t i = 0; copied && i < count; i++)
        if (!(copied[i] = strdup(list[i]))) {
            list_free(copied);
            return NULL;
        }
    return copied;
}

static int text_copy(const char *text, char **ret_text) {
    *ret_text = text ? strdup(text) : NULL;
    return text && !*ret_text ? -ENOMEM : 0;
}

int divvy_backend_launch_copy(const struct divvy_backend_command *command, struct divvy_backend_launch *ret_launch) {
    struct divvy_backend_launch launch = {.port = command->port};
    uint64_t digest;

    launch.arguments = list_copy(command->arguments);
    launch.environment = list_copy(command->environment);
    if (!launch.arguments || !launch.environment || text_copy(command->binary, &launch.binary) < 0 ||
        text_copy(command->folder, &launch.folder) < 0 || text_copy(command->log, &launch.log) < 0) {
        divvy_backend_launch_done(&launch);
        return -ENOMEM;
    }
    digest = text_digest(command->port, launch.binary);
    digest = text_digest(text_digest(digest, launch.folder), launch.log);
    launch.digest = list_digest(list_digest(digest, launch.arguments), launch.environment);
    *ret_launch = launch;
    return 0;
}

void divvy_backend_launch_done(struct divvy_backend_launch *launch) {
    free(launch->binary);
    free(launch->folder);
    free(launch->log);
    list_free(launch->arguments);
    list_free(launch->environment);
    *launch = (struct divvy_backend_launch){0};
}
