/* What the verbs of divvy-sim share. */
#ifndef DIVVY_SIMGPU_TOOL_H
#define DIVVY_SIMGPU_TOOL_H

#include "simgpu/engine/engine.h"

#include <stdbool.h>

enum { TOOL_OK, TOOL_FAILED, TOOL_USAGE };

/* Each verb gets its own arguments (argv[0] is its name) and returns an exit status. */
int tool_show(int argc, char **argv);
int tool_watch(int argc, char **argv);
int tool_busy(int argc, char **argv);
int tool_fault(int argc, char **argv);
int tool_mig(int argc, char **argv);
int tool_reset(int argc, char **argv);
int tool_env(int argc, char **argv);

/* One line on stderr, "divvy-sim VERB: ...". Returns status. */
int tool_complain(const char *verb, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Joins the machine that exists, or complains. TOOL_OK or TOOL_FAILED. */
int tool_attach(const char *verb);

/* A GPU instance with its compute instances; -EBUSY one of them is in use. */
int tool_mig_destroy_gi(const divvy_simgpu_gi_t *gi);

/* The devices and behind each its MIG devices: their numbers in the engine. */
size_t tool_units(int units[DIVVY_SIMGPU_UNITS_MAX]);
/* How a unit is called in tables: "1", or "1:0" for the first MIG device of device 1. */
const char *tool_unit_name(int unit, char text[16]);

/* Processes of a device, live or (ended) of the history; *ret_count of them, the caller frees. NULL when out of
 * memory or on error. */
divvy_simgpu_process_t *tool_processes(int device, bool ended, size_t *ret_count);

/* A JSON string with its quotes. */
void tool_json_string(const char *text);
/* One process as a JSON object. */
void tool_json_process(const divvy_simgpu_process_t *process);
/* Bytes as people read them, such as "3.5 GiB". */
const char *tool_size(uint64_t bytes, char text[32]);
/* Whole numbers without sign; false: not one, or above max. */
bool tool_number(const char *text, uint64_t max, uint64_t *ret_number);

#endif
