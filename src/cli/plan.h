/*
 * From what the user asked for to what a tenant gets: checked before anything is started. Pure but
 * for reading the environment where said. Every refusal is -EINVAL or -ERANGE with one line that
 * names option or variable, value, place and remedy.
 */
#ifndef DIVVY_CLI_PLAN_H
#define DIVVY_CLI_PLAN_H

#include "base/error.h"
#include "cli/gpu.h"
#include "core/parse.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_CLI_NAME_MAX 64

/* Below this a memory limit is a forgotten unit, not a wish. */
#define DIVVY_CLI_MEMORY_MIN_BYTES (UINT64_C(1) << 20)

int divvy_cli_plan_memory_parse(const char *value, divvy_core_size_t *ret_size,
                                struct divvy_error *error);

/* 1 to 100. */
int divvy_cli_plan_compute_parse(const char *value, unsigned int *ret_percent,
                                 struct divvy_error *error);

/* 1 to DIVVY_CLI_WEIGHT_MAX. */
#define DIVVY_CLI_WEIGHT_MAX 1000000u
int divvy_cli_plan_weight_parse(const char *value, uint64_t *ret_weight, struct divvy_error *error);

/* low, medium, high or critical, in any case. */
int divvy_cli_plan_qos_check(const char *value, struct divvy_error *error);

/*
 * Letters, digits, '.', '_' and '-', the first a letter or digit, at most DIVVY_CLI_NAME_MAX: it
 * becomes a file name.
 */
int divvy_cli_plan_name_check(const char *name, struct divvy_error *error);

/* A name for a tenant that got none: the program's, with the pid so that it is nobody else's. */
void divvy_cli_plan_name_default(const char *program, int pid,
                                 char ret_name[DIVVY_CLI_NAME_MAX + 1]);

/*
 * The bytes that a size means on this device; -ERANGE when it is more than the device has, or next
 * to nothing.
 */
int divvy_cli_plan_memory_resolve(const divvy_core_size_t *size, const struct divvy_cli_gpu *gpu,
                                  uint64_t *ret_bytes, struct divvy_error *error);

/* The limit object for one device: {"GPU-...": value}, {"MIG-...": value}. */
#define DIVVY_CLI_LIMIT_TEXT_BYTES 80
void divvy_cli_plan_limit_format(const struct divvy_cli_gpu *gpu, uint64_t value,
                                 char ret_text[DIVVY_CLI_LIMIT_TEXT_BYTES]);

/*
 * Checks the value of one of the two limit variables; `is_memory` tells which. NULL or empty (not
 * set) is fine.
 */
int divvy_cli_plan_variable_check(const char *variable, const char *value, int is_memory,
                                  struct divvy_error *error);

/*
 * What such a variable (checked before) says about one device, by its index or UUID; the smaller
 * where it says two things. 0: nothing.
 */
uint64_t divvy_cli_plan_variable_value(const char *value, int is_memory,
                                       const struct divvy_cli_gpu *gpu);

#endif
