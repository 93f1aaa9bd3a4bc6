/*
 * As much YAML as kubeconfig files have: mappings and sequences in block form, plain and quoted scalars on one line, `{}`, `[]` and
 * comments; and JSON, which is YAML too. What is beyond that (anchors, tags, text blocks, several documents) is refused with its line.
 * Scalars become JSON strings, an empty one and `null` JSON null. Pure but for memory.
 */
#ifndef DIVVY_KUBE_YAML_H
#define DIVVY_KUBE_YAML_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

#define DIVVY_KUBE_YAML_NESTED_MAX 16u

/* 0 and *ret_json, the caller's; -EINVAL with the line, -ENOMEM. */
int divvy_kube_yaml_parse(const char *text, size_t length, json_t **ret_json, struct divvy_error *error);

#endif
