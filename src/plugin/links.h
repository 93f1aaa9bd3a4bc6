/*
 * A link for each slot that is held: `<folder>/<uuid>-<number>` leads to the folder of the tenant that holds it. What Allocate
 * answers names the link, before anybody can know whose container it is for; the link is there before the container is made.
 */
#ifndef DIVVY_PLUGIN_LINKS_H
#define DIVVY_PLUGIN_LINKS_H

#include "base/error.h"

#include <stddef.h>

/* The folder, made when missing (0755): a descriptor, or a negative errno. Its parent is there. */
int divvy_plugin_links_open(const char *path, struct divvy_error *error);

/* Set the link, whatever was there; an empty folder, too, which runtimes make of a path that does not exist. 0 or a negative errno. */
int divvy_plugin_link_set(int folder_fd, const char *name, const char *target);
/* 0, -ENOENT, or another negative errno when it is no link of ours. */
int divvy_plugin_link_read(int folder_fd, const char *name, char *ret_target, size_t size_bytes);
void divvy_plugin_link_remove(int folder_fd, const char *name);

#endif
