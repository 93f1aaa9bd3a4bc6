/*
 * Values and tables as people read them. Pure: text goes into the caller's buffer, is plain ASCII
 * and always ends in NUL. Unknown values (below 0) are "-".
 */
#ifndef DIVVY_CLI_FORMAT_H
#define DIVVY_CLI_FORMAT_H

#include "base/table.h"

#include <stdbool.h>
#include <stddef.h>

#define DIVVY_CLI_VALUE_BYTES 32

/* "640 KiB", "7.8 GiB", "8 GiB": three digits at most before the unit. */
void divvy_cli_format_size(double bytes, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* Two sizes in the unit of the second: "1.2/8 GiB"; without a limit "1.2 GiB/-". */
void divvy_cli_format_used(double used_bytes, double limit_bytes,
                           char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* At most 6 characters: "12ms", "3.4s", "5m12s", "2h05m", "3d04h", "120d". */
void divvy_cli_format_duration(double seconds, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* "30%", "29.7%", "0.4%". */
void divvy_cli_format_percent(double percent, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* The asked share: "30%", "30%+" when soft (may be exceeded), "-" without a cap. */
void divvy_cli_format_asked(double percent, bool soft, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* Local time "2026-11-28 10:11:12". */
void divvy_cli_format_time(double seconds, char ret_text[DIVVY_CLI_VALUE_BYTES]);

/* The tint of a tenant's state. */
enum divvy_tint divvy_cli_tint_state(const char *state);

#endif
