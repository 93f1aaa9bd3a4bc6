/*
 * Configuration of divvyd: one table of options, from which flags, file, environment, --help and the checks of the manual
 * pages are read. A flag is stronger than the environment, that than the file, that than the default.
 *
 * The file has lines `key = value`, plain or below `[section]`, and comments in lines of their own that begin with '#' or ';'.
 * A key is the flag's name without dashes in front; '_' and '-' are the same. A value may stand in double quotes.
 *
 * Nothing here keeps state; no function is needed after the start but by the main thread.
 */
#ifndef DIVVY_DAEMON_CONFIG_H
#define DIVVY_DAEMON_CONFIG_H

#include "base/error.h"
#include "base/log.h"
#include "daemon/monitor.h"
#include "daemon/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DIVVY_CONFIG_TEXT_BYTES 256u
#define DIVVY_CONFIG_FILE_BYTES 65536u /* a file that is longer is refused */
#define DIVVY_CONFIG_OPTIONS    96u    /* rows of the table, at most */

/* Where a value came from. */
enum divvy_config_origin {
    DIVVY_CONFIG_DEFAULT,
    DIVVY_CONFIG_FILE,
    DIVVY_CONFIG_ENVIRONMENT,
    DIVVY_CONFIG_FLAG,
    DIVVY_CONFIG_ORIGIN_MAX
};

/* Values after all sources were read. An empty text means "not set" unless the manual says otherwise. */
struct divvy_config {
    struct divvy_daemon_settings state; /* base is resolved by main when empty */
    uint32_t gpu;                       /* enum divvy_monitor_gpu */
    int64_t sample_interval_ns, discovery_interval_ns;
    int64_t idle_exit_ns; /* 0: never */

    char socket[DIVVY_CONFIG_TEXT_BYTES]; /* resolved by main when empty */
    uint32_t socket_mode;                 /* 0: 0666 for root, else 0600 */
    char listen[DIVVY_CONFIG_TEXT_BYTES];
    char token_file[DIVVY_CONFIG_TEXT_BYTES];
    char tls_cert[DIVVY_CONFIG_TEXT_BYTES], tls_key[DIVVY_CONFIG_TEXT_BYTES];
    bool allow_plaintext;
    char jwt_key_file[DIVVY_CONFIG_TEXT_BYTES], jwt_audience[DIVVY_CONFIG_TEXT_BYTES];
    bool jwt_unverified, hide_others;
    uint32_t connections_max, connections_per_peer;
    int64_t request_timeout_ns;

    char pool[DIVVY_CONFIG_TEXT_BYTES];
    char metrics_path[DIVVY_CONFIG_TEXT_BYTES];
    int64_t metrics_interval_ns;
    uint32_t metrics_format; /* 0 line protocol, 1 JSON */
    char metrics_labels[1024];

    char mig_locks[DIVVY_CONFIG_TEXT_BYTES];

    bool cluster; /* pods come from the API server of a cluster */
    char kubeconfig[DIVVY_CONFIG_TEXT_BYTES], pod_selector[DIVVY_CONFIG_TEXT_BYTES];

    char relay_state[DIVVY_CONFIG_TEXT_BYTES], relay_admin[DIVVY_CONFIG_TEXT_BYTES], vm_sockets[DIVVY_CONFIG_TEXT_BYTES];

    bool device_plugin; /* slots of the devices for a kubelet */
    char plugin_dir[DIVVY_CONFIG_TEXT_BYTES], plugin_pods[DIVVY_CONFIG_TEXT_BYTES], plugin_resource[DIVVY_CONFIG_TEXT_BYTES];
    char plugin_library[DIVVY_CONFIG_TEXT_BYTES], plugin_preload[DIVVY_CONFIG_TEXT_BYTES], plugin_devices[DIVVY_CONFIG_TEXT_BYTES];
    uint32_t plugin_slots, plugin_policy; /* enum divvy_plugin_policy */

    bool single_node; /* workers come from a state file */
    char state_dir[DIVVY_CONFIG_TEXT_BYTES];
    char accelerator_lib[DIVVY_CONFIG_TEXT_BYTES], vendor[DIVVY_CONFIG_TEXT_BYTES];
    char worker_binary[DIVVY_CONFIG_TEXT_BYTES];
    uint32_t isolation_mode; /* enum divvy_node_isolation */
    uint32_t overcommit_compute_permille;

    uint32_t log_level;  /* divvy_log_level_t */
    uint32_t log_format; /* enum divvy_log_format */
    char log_path[DIVVY_CONFIG_TEXT_BYTES];
    uint64_t log_bytes;

    /* For divvyd --check-config: of each row of the table, where its value is from; line of the file. */
    uint8_t origin[DIVVY_CONFIG_OPTIONS];
    uint32_t line[DIVVY_CONFIG_OPTIONS];
    char path[DIVVY_CONFIG_TEXT_BYTES]; /* the file that was read, or empty */
};

/* What the command line asks for besides values. */
struct divvy_config_command {
    bool help, version, check, background;
};

/* What the readers are given, so that tests can give their own. */
struct divvy_config_sources {
    int argc;
    char *const *argv; /* argv[0] is skipped; NULL: no flags */
    const char *(*environment)(const char *name, void *data); /* NULL: none */
    void *environment_data;
    const char *default_path; /* the file when none is named; may be missing. NULL or empty: none */
    const char *folder;       /* where relative paths begin; NULL: the working folder */
};

/*
 * Read all sources. -EINVAL: a line of text for the user, with place and remedy; -ENOENT, -EACCES and others: the file that
 * was asked for cannot be read; -EPERM: others than its owner can write to it.
 */
int divvy_config_read(const struct divvy_config_sources *sources, struct divvy_config *ret_config,
                      struct divvy_config_command *ret_command, struct divvy_error *error);

/*
 * After a reload: what may change while running is taken from `fresh` into `config`; the names of what has changed and may not
 * go into ret_kept, with blanks between, "" for none.
 */
void divvy_config_take(struct divvy_config *config, const struct divvy_config *fresh, char *ret_kept, size_t size_bytes);

/* Only the defaults, and only a file's text on top of `config`: `name` is what errors call it. For the above, and fuzzing. */
void divvy_config_defaults(struct divvy_config *ret_config);
int divvy_config_text_read(struct divvy_config *config, const char *name, const char *text, size_t length,
                           struct divvy_error *error);

/* What cannot be right together. divvy_config_read does it itself. */
int divvy_config_validate(const struct divvy_config *config, struct divvy_error *error);

/* The values as a file, with where each came from behind '#'; what is written reads back as the same values. */
void divvy_config_print(const struct divvy_config *config, FILE *out);

/* --help, within 80 columns. */
void divvy_config_help(FILE *out);

/* Whether HOST of HOST:PORT is this machine alone ("localhost", 127.…, [::1]). */
bool divvy_config_is_loopback(const char *listen);

/* --- the table ------------------------------------------------------------------------------------------------------ */

enum divvy_config_kind {
    DIVVY_CONFIG_COMMAND,  /* flag only: `max` goes into a bool of divvy_config_command */
    DIVVY_CONFIG_TEXT,     /* size bytes of text */
    DIVVY_CONFIG_PATH,     /* absolute path; relative ones of flags and environment begin at the working folder */
    DIVVY_CONFIG_BOOL,     /* yes no true false on off 1 0 */
    DIVVY_CONFIG_DURATION, /* int64_t, ns; min..max; "never" is 0 where min is 0 */
    DIVVY_CONFIG_WORD,     /* uint32_t or bool, index in `words` */
    DIVVY_CONFIG_PERMILLE, /* uint32_t; percent or "none" (UINT32_MAX) */
    DIVVY_CONFIG_NUMBER,   /* uint32_t, min..max */
    DIVVY_CONFIG_SIZE,     /* uint64_t, bytes; "0" and "never" are 0 */
    DIVVY_CONFIG_MODE,     /* uint32_t, octal; "auto" is 0 */
    DIVVY_CONFIG_LISTEN,   /* text HOST:PORT */
    DIVVY_CONFIG_PORT,     /* the same of a bare port: 127.0.0.1:PORT */
    DIVVY_CONFIG_LABELS,   /* text: a JSON object of texts, or "null" */
    DIVVY_CONFIG_SCHEDULING,   /* JSON of TensorFusion: sets autofreeze_ns and elastic */
    DIVVY_CONFIG_KIND_MAX
};

struct divvy_config_option {
    const char *name, *section; /* section NULL: flag only */
    enum divvy_config_kind kind;
    bool changes;     /* may change while running */
    const char *env[2];
    const char *alias; /* TensorFusion's name of the flag */
    const char *argument;
    const char *initial; /* default, as a value of the file; NULL: not set, or the scheduler's own */
    const char *about;
    size_t offset, size; /* of the value in struct divvy_config (or ..._command); 0 bytes: has none of its own */
    int64_t min, max;
    const char *const *words; /* NULL at the end */
};

/* The rows; *ret_count of them, never more than DIVVY_CONFIG_OPTIONS. */
const struct divvy_config_option *divvy_config_table(size_t *ret_count);

/* Row of a name or alias, '_' counting as '-'; or NULL. */
const struct divvy_config_option *divvy_config_find(const char *name, size_t length);

/* The default as a value of the file; "" where an option is not set. */
void divvy_config_initial_format(const struct divvy_config_option *option, char *ret_text, size_t size_bytes);

/* Put a value's text into its place. `folder`: where relative paths begin, NULL: they are refused. -EINVAL with the reason. */
int divvy_config_value_set(const struct divvy_config_option *option, const char *text, const char *folder, void *ret_struct,
                           struct divvy_error *error);

/* The text of a value as a file has it; "" when it is not set. */
void divvy_config_value_format(const struct divvy_config_option *option, const void *structure, char *ret_text,
                               size_t size_bytes);

/* "1h30m", "5m", "250ms", "2s", "never". Units h m s ms us ns, each at most once, falling. 0, -EINVAL, -ERANGE. */
int divvy_config_duration_parse(const char *text, int64_t *ret_ns);

#endif
