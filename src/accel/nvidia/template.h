/*
 * Names of MIG profiles as people and charts write them: "1g.18gb", "MIG-1g-18gb", "1g.18gb+me", "nv-h200-1g-18gb", or the driver's
 * profile number, "19". Pure.
 */
#ifndef DIVVY_ACCEL_NVIDIA_TEMPLATE_H
#define DIVVY_ACCEL_NVIDIA_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether two such names are written the same but for case, a leading "mig-", and which of ". _/-" separates. */
bool divvy_nvidia_template_same(const char *one, const char *other);

/*
 * Whether a template means this profile of this model: by its number; by its name (the driver's "MIG 1g.18gb", empty where it
 * tells none); or by "nv-", the model and the name, with "-me" for "+me".
 */
bool divvy_nvidia_template_means(const char *template_id, unsigned int profile, const char *name, const char *model);

#endif
