/*
 * The YAML of kubeconfig files, JSON among it, by libyaml: one document of mappings, sequences and scalars in every style. Aliases, tags
 * other than YAML's own, keys that are no scalars or stand twice are refused with their line. Scalars become JSON strings, plain ones
 * that are empty, `null` or `~` JSON null. Pure but for memory.
 */
#ifndef DIVVY_KUBE_YAML_H
#define DIVVY_KUBE_YAML_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

#define DIVVY_KUBE_YAML_NESTED_MAX 16u

/* 0 and *ret_json, the caller's; an empty document is JSON null. -EINVAL with the line, -ENOMEM. */
int divvy_kube_yaml_parse(const char *text, size_t length, json_t **ret_json, struct divvy_error *error);

#endif
