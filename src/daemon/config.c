/* Reading the configuration from all its sources: see config.h. */
#include "daemon/config.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void divvy_config_defaults(struct divvy_config *ret_config) {
    size_t count;
    const struct divvy_config_option *table = divvy_config_table(&count);

    memset(ret_config, 0, sizeof *ret_config);
    divvy_node_sched_defaults(&ret_config->state.sched);
    for (size_t i = 0; i < count; i++)
        if (table[i].initial)
            (void)divvy_config_value_set(&table[i], table[i].initial, NULL, ret_config, NULL);
}

void divvy_config_initial_format(const struct divvy_config_option *option, char *ret_text, size_t size_bytes) {
    struct divvy_config config;

    ret_text[0] = '\0';
    if (option->initial)
        (void)snprintf(ret_text, size_bytes, "%s", option->initial);
    else if (option->kind == DIVVY_CONFIG_DURATION) {
        divvy_config_defaults(&config);
        divvy_config_value_format(option, &config, ret_text, size_bytes);
    }
}

/* --- flags ------------------------------------------------------------------------------------------ */

/* A flag as it stands on the command line: -name, --name, with =value or the next argument; a switch may have none. */
struct flag {
    const struct divvy_config_option *option;
    const char *value; /* NULL: none was given */
};

static int flag_next(const struct divvy_config_sources *sources, int *at, struct flag *ret_flag,
                     struct divvy_error *error) {
    const char *text = sources->argv[*at], *name = text, *equals;
    size_t length;
    bool wants;

    if (text[0] != '-' || !text[1] || strcmp(text, "--") == 0)
        return divvy_error_set(error, -EINVAL, "unexpected argument '%.80s'; see divvyd --help", text);
    name += text[1] == '-' ? 2 : 1;
    equals = strchr(name, '=');
    length = equals ? (size_t)(equals - name) : strlen(name);
    if (length == 1 && (*name == 'h' || *name == '?')) {
        name = "help";
        length = 4;
    } else if (length == 1 && *name == 'V') {
        name = "version";
        length = 7;
    }
    ret_flag->option = divvy_config_find(name, length);
    if (!ret_flag->option)
        return divvy_error_set(error, -EINVAL, "unknown option '%.80s'; see divvyd --help", text);
    wants = ret_flag->option->kind != DIVVY_CONFIG_COMMAND && ret_flag->option->kind != DIVVY_CONFIG_BOOL;
    ret_flag->value = equals ? equals + 1 : NULL;
    if (ret_flag->option->kind == DIVVY_CONFIG_COMMAND && equals)
        return divvy_error_set(error, -EINVAL, "option --%s takes no value", ret_flag->option->name);
    (*at)++;
    /* Nothing but flags may stand there, so that what follows a switch is its value. */
    if (ret_flag->option->kind == DIVVY_CONFIG_BOOL && !equals)
        ret_flag->value = *at < sources->argc && sources->argv[*at][0] != '-' ? sources->argv[(*at)++] : "yes";
    if (wants && !equals) {
        if (*at >= sources->argc)
            return divvy_error_set(error, -EINVAL, "option --%s needs a value: %s", ret_flag->option->name,
                                   ret_flag->option->argument);
        ret_flag->value = sources->argv[(*at)++];
    }
    return 0;
}

static size_t row_of(const struct divvy_config_option *option) {
    size_t count;

    return (size_t)(option - divvy_config_table(&count));
}

/* `only_first`: commands and the file's name alone, which have to be known before the file is read. */
static int flags_read(const struct divvy_config_sources *sources, const char *folder, bool only_first,
                      struct divvy_config *config, struct divvy_config_command *command, struct divvy_error *error) {
    for (int at = 1; sources->argv && at < sources->argc;) {
        struct flag flag = {NULL, NULL};
        int status = flag_next(sources, &at, &flag, error);

        if (status < 0)
            return status;
        if (only_first != (flag.option->section == NULL))
            continue;
        status = divvy_config_value_set(flag.option, flag.value, folder,
                                        flag.option->kind == DIVVY_CONFIG_COMMAND ? (void *)command : (void *)config,
                                        error);
        if (status < 0) {
            (void)divvy_error_prefix(error, "--%s", flag.option->name);
            return status;
        }
        config->origin[row_of(flag.option)] = DIVVY_CONFIG_FLAG;
    }
    return 0;
}

/* --- environment -------------------------------------------------------------------------------------- */

static const char *environment_value(const struct divvy_config_sources *sources,
                                     const struct divvy_config_option *option, const char **ret_name) {
    for (size_t i = 0; i < 2 && option->env[i] && sources->environment; i++) {
        const char *value = sources->environment(option->env[i], sources->environment_data);

        if (value && *value) {
            *ret_name = option->env[i];
            return value;
        }
    }
    return NULL;
}

static int environment_read(const struct divvy_config_sources *sources, const char *folder, bool only_first,
                            struct divvy_config *config, struct divvy_error *error) {
    size_t count;
    const struct divvy_config_option *table = divvy_config_table(&count);

    for (size_t i = 0; i < count; i++) {
        const char *name, *value = environment_value(sources, &table[i], &name);
        int status;

        if (!value || only_first != (table[i].section == NULL))
            continue;
        status = divvy_config_value_set(&table[i], value, folder, config, error);
        if (status < 0) {
            (void)divvy_error_prefix(error, "%s", name);
            return status;
        }
        config->origin[i] = DIVVY_CONFIG_ENVIRONMENT;
    }
    return 0;
}

/* --- file ----------------------------------------------------------------------------------------------- */

static int file_check(int fd, const char *path, struct divvy_error *error) {
    struct stat status;

    if (fstat(fd, &status) < 0)
        return divvy_error_set_errno(error, -errno, "cannot read %s", path);
    if (!S_ISREG(status.st_mode))
        return divvy_error_set(error, -EINVAL, "%s is not a file", path);
    if ((status.st_mode & S_IWOTH) || (status.st_uid != 0 && status.st_uid != geteuid()))
        return divvy_error_set(error, -EPERM, "%s could be changed by others; chown it to yourself and chmod o-w it", path);
    if (status.st_size > (off_t)DIVVY_CONFIG_FILE_BYTES)
        return divvy_error_set(error, -EFBIG, "%s is longer than %u bytes", path, DIVVY_CONFIG_FILE_BYTES);
    return 0;
}

static int file_read(struct divvy_config *config, const char *path, bool may_miss, struct divvy_error *error) {
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    cleanup_free char *text = NULL;
    size_t length = 0;
    int status;

    if (fd < 0 && may_miss && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot read %s", path);
    status = file_check(fd, path, error);
    if (status < 0)
        return status;
    text = malloc(DIVVY_CONFIG_FILE_BYTES);
    if (!text)
        return divvy_error_set_errno(error, -ENOMEM, "cannot read %s", path);
    for (;;) {
        ssize_t got = read(fd, text + length, DIVVY_CONFIG_FILE_BYTES - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return divvy_error_set_errno(error, -errno, "cannot read %s", path);
        if (got == 0 || (length += (size_t)got) == DIVVY_CONFIG_FILE_BYTES)
            break;
    }
    (void)snprintf(config->path, sizeof config->path, "%s", path);
    return divvy_config_text_read(config, path, text, length, error);
}

/* --- all ------------------------------------------------------------------------------------------------ */

int divvy_config_validate(const struct divvy_config *config, struct divvy_error *error) {
    bool beyond = config->listen[0] && !divvy_config_is_loopback(config->listen);

    if (!config->tls_cert[0] != !config->tls_key[0])
        return divvy_error_set(error, -EINVAL, "tls-cert and tls-key belong together; set both or none");
    if (beyond && !config->token_file[0])
        return divvy_error_set(error, -EINVAL,
                               "listen %.100s is open to others; set token-file, or listen on 127.0.0.1", config->listen);
    if (beyond && !config->tls_cert[0] && !config->allow_plaintext)
        return divvy_error_set(error, -EINVAL,
                               "listen %.80s would send tokens in the clear; set tls-cert and tls-key, or allow-plaintext",
                               config->listen);
    if (beyond && config->jwt_unverified)
        return divvy_error_set(error, -EINVAL,
                               "listen %.80s is open to others; jwt-unverified would believe anybody, set jwt-key-file",
                               config->listen);
    /* A unix socket's path has to fit into struct sockaddr_un. */
    if (strlen(config->socket) > 107)
        return divvy_error_set(error, -EINVAL, "socket: the path is longer than 107 bytes");
    if (config->state.sched.bank_ns < config->state.sched.lease_min_ns)
        return divvy_error_set(error, -EINVAL, "bank must not be less than lease-min");
    return 0;
}

static int layers_read(const struct divvy_config_sources *sources, const char *folder, struct divvy_config *config,
                       struct divvy_config_command *command, struct divvy_error *error) {
    char path[DIVVY_CONFIG_TEXT_BYTES];
    bool is_named;
    int status = environment_read(sources, folder, true, config, error);

    if (status == 0)
        status = flags_read(sources, folder, true, config, command, error);
    if (status < 0 || command->help || command->version)
        return status;
    is_named = config->path[0] != '\0';
    (void)snprintf(path, sizeof path, "%s",
                   is_named ? config->path : sources->default_path ? sources->default_path : "");
    config->path[0] = '\0';
    if (path[0])
        status = file_read(config, path, !is_named, error);
    if (status == 0)
        status = environment_read(sources, folder, false, config, error);
    if (status == 0)
        status = flags_read(sources, folder, false, config, command, error);
    return status == 0 ? divvy_config_validate(config, error) : status;
}

int divvy_config_read(const struct divvy_config_sources *sources, struct divvy_config *ret_config,
                      struct divvy_config_command *ret_command, struct divvy_error *error) {
    struct divvy_config_command command = {0};
    char folder[PATH_MAX];
    cleanup_free struct divvy_config *config = malloc(sizeof *config);
    int status;

    if (!config)
        return divvy_error_set_errno(error, -ENOMEM, "cannot read the configuration");
    divvy_config_defaults(config);
    status = layers_read(sources, sources->folder ? sources->folder : getcwd(folder, sizeof folder), config, &command, error);
    if (status < 0)
        return status;
    *ret_config = *config;
    *ret_command = command;
    return 0;
}

void divvy_config_take(struct divvy_config *config, const struct divvy_config *fresh, char *ret_kept, size_t size_bytes) {
    size_t count, length = 0;
    const struct divvy_config_option *table = divvy_config_table(&count);
    struct divvy_config next = *fresh;

    ret_kept[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const struct divvy_config_option *option = &table[i];
        char *now = (char *)config + option->offset;
        bool has_place = option->section && option->size > 0 && option->kind != DIVVY_CONFIG_PORT;

        if (option->changes || !has_place)
            continue;
        if (memcmp(now, (const char *)fresh + option->offset, option->size) != 0 && length < size_bytes)
            length += (size_t)snprintf(ret_kept + length, size_bytes - length, "%s%s", length ? " " : "", option->name);
        memcpy((char *)&next + option->offset, now, option->size);
    }
    *config = next;
}

void divvy_config_print(const struct divvy_config *config, FILE *out) {
    size_t count;
    const struct divvy_config_option *table = divvy_config_table(&count);
    const char *section = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct divvy_config_option *option = &table[i];
        char value[1100];

        if (!option->section || option->kind == DIVVY_CONFIG_PORT)
            continue;
        divvy_config_value_format(option, config, value, sizeof value);
        if (option->kind == DIVVY_CONFIG_SCHEDULING && !value[0])
            continue; /* what it says of freezing stands above */
        if (section != option->section)
            (void)fprintf(out, "%s[%s]\n", section ? "\n" : "", option->section);
        section = option->section;
        if (config->origin[i] == DIVVY_CONFIG_FILE)
            (void)fprintf(out, "# %s:%u\n", config->path, config->line[i]);
        else if (config->origin[i] == DIVVY_CONFIG_ENVIRONMENT)
            (void)fprintf(out, "# environment\n");
        else if (config->origin[i] == DIVVY_CONFIG_FLAG)
            (void)fprintf(out, "# command line\n");
        if (!value[0])
            (void)fprintf(out, "# %s is not set\n", option->name);
        else if (value[0] == '"' || value[0] == ' ' || value[strlen(value) - 1] == ' ')
            (void)fprintf(out, "%s = \"%s\"\n", option->name, value);
        else
            (void)fprintf(out, "%s = %s\n", option->name, value);
    }
}

/* Words of `text` in lines of at most 79 columns, each line after the first indented. */
static void help_wrap(FILE *out, const char *text, size_t indent) {
    size_t column = indent;

    while (*text) {
        size_t length = strcspn(text, " ");

        if (column > indent && column + 1 + length > 79) {
            (void)fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            (void)fputc(' ', out);
            column++;
        }
        (void)fprintf(out, "%.*s", (int)length, text);
        column += length;
        text += length + (text[length] == ' ');
    }
    (void)fputc('\n', out);
}

static void help_row(FILE *out, const struct divvy_config_option *option) {
    char head[96], initial[64], about[512];

    (void)snprintf(head, sizeof head, "  --%s%s%s", option->name, option->argument ? " " : "",
                   option->argument ? option->argument : "");
    divvy_config_initial_format(option, initial, sizeof initial);
    (void)snprintf(about, sizeof about, "%s%s%s%s", option->about, initial[0] ? " (" : "", initial,
                   initial[0] ? ")" : "");
    if (strlen(head) < 31)
        (void)fprintf(out, "%-32s", head);
    else
        (void)fprintf(out, "%s\n%32s", head, "");
    help_wrap(out, about, 32);
}

void divvy_config_help(FILE *out) {
    size_t count;
    const struct divvy_config_option *table = divvy_config_table(&count);
    const char *section = "";

    (void)fputs("Usage: divvyd [OPTION...]\n"
                "The daemon that shares this machine's GPUs between tenants.\n",
                out);
    for (size_t i = 0; i < count; i++) {
        if (!table[i].section != !section || (section && strcmp(section, table[i].section) != 0)) {
            section = table[i].section;
            if (section)
                (void)fprintf(out, "\nBelow [%s] in the file:\n", section);
            else
                (void)fputs("\nOn the command line only:\n", out);
        }
        help_row(out, &table[i]);
    }
    (void)fputs("\n"
                "Options can stand in a file, without dashes: divvyd.conf(5). The command line\n"
                "is stronger than the environment, and that than the file: divvyd(8).\n",
                out);
}
