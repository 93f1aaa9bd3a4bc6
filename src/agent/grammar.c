/* Reading a command line by the table: see grammar.h. */
#include "agent/grammar.h"

#include "core/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX (UINT64_C(100) * 366 * 86400)

/* ---- what was probably meant ---- */

/* Letters to insert, remove, change or swap between two words; words of 32 and more letters are far from any. */
static unsigned int word_distance(const char *a, const char *b) {
    enum { LONGEST = 32 };
    unsigned int rows[3][LONGEST + 1], a_length = (unsigned int)strlen(a),
                                       b_length = (unsigned int)strlen(b);
    unsigned int *before = rows[0], *last = rows[1], *row = rows[2], *spare;

    if (a_length > LONGEST || b_length > LONGEST)
        return LONGEST;
    for (unsigned int j = 0; j <= b_length; j++)
        last[j] = before[j] = j;
    for (unsigned int i = 1; i <= a_length; i++) {
        row[0] = i;
        for (unsigned int j = 1; j <= b_length; j++) {
            unsigned int least = last[j - 1] + (a[i - 1] != b[j - 1]);

            if (last[j] + 1 < least)
                least = last[j] + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < least)
                least = before[j - 2] + 1;
            row[j] = least;
        }
        spare = before, before = last, last = row, row = spare;
    }
    return last[b_length];
}

/* Remembers a word when it is nearer than what was found before; more than a third of its letters is too far. */
static void nearest_take(const char *given, const char *word, unsigned int *distance,
                         const char **ret_word) {
    unsigned int far = word_distance(given, word);

    if (far < *distance && far <= 1 + strlen(word) / 3) {
        *distance = far;
        *ret_word = word;
    }
}

static bool group_is(const struct divvy_agent_command *command, const char *group) {
    size_t length = strlen(group);

    return strncmp(command->path, group, length) == 0 && command->path[length] == ' ';
}

/* The last word of a command. */
static const char *command_word(const struct divvy_agent_command *command) {
    const char *blank = strrchr(command->path, ' ');

    return blank ? blank + 1 : command->path;
}

static int word_unknown(const struct divvy_agent_group *group, const char *given,
                        struct divvy_error *error) {
    unsigned int distance = 4;
    const char *nearest = NULL, *in = group ? group->name : "", *blank = group ? " " : "";

    for (const struct divvy_agent_command *at = divvy_agent_commands; at->path; at++)
        if (group ? group_is(at, group->name) : !strchr(at->path, ' '))
            nearest_take(given, command_word(at), &distance, &nearest);
    for (const struct divvy_agent_group *at = divvy_agent_groups; !group && at->name; at++)
        nearest_take(given, at->name, &distance, &nearest);
    if (nearest)
        return divvy_error_set(error, -EINVAL,
                               "no command is called '%s%s%.40s'; did you mean '%s%s%s'?", in,
                               blank, given, in, blank, nearest);
    return divvy_error_set(error, -EINVAL,
                           "no command is called '%s%s%.40s'; 'ggo %s%s--help' lists them", in,
                           blank, given, in, blank);
}

static bool flag_fits(const struct divvy_agent_command *command, unsigned int flag) {
    return flag == DIVVY_AGENT_HELP || flag == DIVVY_AGENT_VERBOSE || !command ||
           (command->flags >> flag & 1);
}

static int flag_unknown(const struct divvy_agent_command *command, const char *given,
                        struct divvy_error *error) {
    unsigned int distance = 4;
    const char *nearest = NULL, *of = command ? command->path : "";

    for (unsigned int flag = 0; flag < DIVVY_AGENT_FLAG_MAX; flag++)
        if (flag_fits(command, flag))
            nearest_take(given, divvy_agent_flags[flag].name, &distance, &nearest);
    if (nearest)
        return divvy_error_set(error, -EINVAL, "no option --%.40s here; did you mean --%s?", given,
                               nearest);
    return divvy_error_set(error, -EINVAL, "no option --%.40s here; 'ggo %s%s--help' lists them",
                           given, of, of[0] ? " " : "");
}

/* ---- values ---- */

int divvy_agent_duration_parse(const char *text, uint64_t *ret_seconds) {
    static const struct {
        char letter;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    uint64_t total = 0;

    while (*text) {
        size_t digits = strspn(text, "0123456789"), unit = 0;
        uint64_t number;

        while (unit < sizeof units / sizeof units[0] && units[unit].letter != text[digits])
            unit++;
        if (unit == sizeof units / sizeof units[0] ||
            divvy_core_u64_parse(text, digits, &number, NULL) < 0 || number > SECONDS_MAX)
            return -EINVAL;
        total += number * units[unit].seconds;
        if (total > SECONDS_MAX)
            return -EINVAL;
        text += digits + 1;
    }
    if (total == 0)
        return -EINVAL;
    *ret_seconds = total;
    return 0;
}

static bool choice_has(const char *words, const char *value) {
    size_t length = strlen(value);

    for (const char *at = words; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (length > 0 && strncmp(at, value, length) == 0 &&
            (at[length] == '|' || at[length] == '\0'))
            return true;
    return false;
}

/* `use` takes a folder after --output as well, as its first versions did. */
static bool is_any_output(const struct divvy_agent_call *call, unsigned int flag) {
    return flag == DIVVY_AGENT_OUTPUT && (call->command->flags >> DIVVY_AGENT_OUTPUT_DIR & 1);
}

static int value_check(struct divvy_agent_call *call, unsigned int flag, const char *value,
                       struct divvy_error *error) {
    const struct divvy_agent_flag_entry *entry = &divvy_agent_flags[flag];
    uint64_t number = 0;

    switch (entry->kind) {
    case DIVVY_AGENT_SWITCH:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return divvy_error_set(error, -EINVAL, "--%s=%.40s: write true or false", entry->name,
                                   value);
        break;
    case DIVVY_AGENT_TEXT:
        if (!value[0])
            return divvy_error_set(error, -EINVAL, "--%s: an empty value", entry->name);
        break;
    case DIVVY_AGENT_PORT_NR:
        if (divvy_core_u64_parse(value, strlen(value), &number, NULL) < 0 || number < 1024 ||
            number > 65535)
            return divvy_error_set(error, -EINVAL, "--%s '%.40s': write a port from 1024 to 65535",
                                   entry->name, value);
        break;
    case DIVVY_AGENT_COUNT:
        if (divvy_core_u64_parse(value, strlen(value), &number, NULL) < 0 || number > INT32_MAX)
            return divvy_error_set(error, -EINVAL, "--%s '%.40s': write a number from 0 to %d",
                                   entry->name, value, INT32_MAX);
        break;
    case DIVVY_AGENT_DURATION:
        if (divvy_agent_duration_parse(value, &number) < 0)
            return divvy_error_set(error, -EINVAL,
                                   "--%s '%.40s': write a time such as 90m, 24h, 7d or 2w",
                                   entry->name, value);
        break;
    case DIVVY_AGENT_CHOICE:
        if (!choice_has(entry->value, value) && !is_any_output(call, flag))
            return divvy_error_set(error, -EINVAL, "--%s '%.40s': write one of %s", entry->name,
                                   value, entry->value);
        break;
    }
    call->values[flag] = value;
    call->numbers[flag] = number;
    return 0;
}

/* ---- a line ---- */

struct line {
    int argc, at;
    char **argv;
    struct divvy_error *error;
    /* Flags in front of the command's words are kept until the command is known. */
    unsigned int early[2 * DIVVY_AGENT_FLAG_MAX];
    const char *early_values[2 * DIVVY_AGENT_FLAG_MAX];
    unsigned int early_count;
    bool help;
};

static int flag_store(struct line *line, struct divvy_agent_call *call, unsigned int flag,
                      const char *value) {
    if (flag == DIVVY_AGENT_HELP) {
        line->help = true;
        return 0;
    }
    if (call->command)
        return value_check(call, flag, value, line->error);
    if (line->early_count == sizeof line->early / sizeof line->early[0])
        return divvy_error_set(line->error, -EINVAL, "too many options in front of a command");
    line->early[line->early_count] = flag;
    line->early_values[line->early_count++] = value;
    return 0;
}

static int value_missing(const struct line *line, unsigned int flag) {
    return divvy_error_set(line->error, -EINVAL, "--%s needs a value: %s",
                           divvy_agent_flags[flag].name, divvy_agent_flags[flag].value);
}

static int long_take(struct line *line, struct divvy_agent_call *call, char *word) {
    char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    unsigned int flag = 0;
    const char *value = equals ? equals + 1 : NULL;

    while (flag < DIVVY_AGENT_FLAG_MAX &&
           !(strlen(divvy_agent_flags[flag].name) == length &&
             memcmp(divvy_agent_flags[flag].name, word, length) == 0))
        flag++;
    if (flag == DIVVY_AGENT_FLAG_MAX || !flag_fits(call->command, flag)) {
        if (equals)
            *equals = '\0';
        return flag_unknown(call->command, word, line->error);
    }
    if (!value && divvy_agent_flags[flag].kind == DIVVY_AGENT_SWITCH)
        value = "true";
    if (!value && line->at < line->argc)
        value = line->argv[line->at++];
    return value ? flag_store(line, call, flag, value) : value_missing(line, flag);
}

/* Letters behind one '-': switches may stand together, a value follows at once or as the next word. */
static int short_take(struct line *line, struct divvy_agent_call *call, const char *letters) {
    for (; *letters; letters++) {
        unsigned int flag = 0;
        const char *value = letters[1] ? letters + 1 : NULL;
        int status;

        while (flag < DIVVY_AGENT_FLAG_MAX &&
               (divvy_agent_flags[flag].letter != *letters || !flag_fits(call->command, flag)))
            flag++;
        if (flag == DIVVY_AGENT_FLAG_MAX)
            return divvy_error_set(line->error, -EINVAL, "no option -%c here; --help lists them",
                                   *letters);
        if (divvy_agent_flags[flag].kind == DIVVY_AGENT_SWITCH) {
            status = flag_store(line, call, flag, "true");
            if (status < 0)
                return status;
            continue;
        }
        if (value && *value == '=')
            value++;
        if (!value && line->at < line->argc)
            value = line->argv[line->at++];
        return value ? flag_store(line, call, flag, value) : value_missing(line, flag);
    }
    return 0;
}

/* A word in front of the command is known, or is a part of it. */
static int word_take(struct line *line, struct divvy_agent_call *call,
                     const struct divvy_agent_group **group, const char *word) {
    if (call->command) {
        if (call->argument_count == call->command->arguments_max && !call->command->is_rest)
            return divvy_error_set(line->error, -EINVAL,
                                   "'%.60s' is one argument too many; 'ggo %s --help' explains",
                                   word, call->command->path);
        call->arguments[call->argument_count++] = word;
        return 0;
    }
    if (!*group)
        for (const struct divvy_agent_group *at = divvy_agent_groups; at->name; at++)
            if (strcmp(at->name, word) == 0) {
                *group = at;
                return 0;
            }
    for (const struct divvy_agent_command *at = divvy_agent_commands; at->path; at++)
        if ((*group ? group_is(at, (*group)->name) : !strchr(at->path, ' ')) &&
            strcmp(command_word(at), word) == 0) {
            call->command = at;
            break;
        }
    if (!call->command)
        return word_unknown(*group, word, line->error);
    for (unsigned int i = 0; i < line->early_count; i++) {
        int status =
            flag_fits(call->command, line->early[i])
                ? value_check(call, line->early[i], line->early_values[i], line->error)
                : flag_unknown(call->command, divvy_agent_flags[line->early[i]].name, line->error);

        if (status < 0)
            return status;
    }
    return 0;
}

static int call_complete(struct line *line, struct divvy_agent_call *call,
                         const struct divvy_agent_group *group) {
    const char *output = call->values[DIVVY_AGENT_OUTPUT];

    if (!call->command)
        return group ? divvy_error_set(line->error, -EINVAL,
                                       "a command is missing; 'ggo %s --help' lists them",
                                       group->name)
                     : divvy_error_set(line->error, -EINVAL,
                                       "a command is missing; 'ggo --help' lists them");
    if (call->argument_count < call->command->arguments_min)
        return divvy_error_set(line->error, -EINVAL, "%s is missing; 'ggo %s --help' explains",
                               call->command->arguments, call->command->path);
    call->is_json = output && strcmp(output, "json") == 0;
    return 0;
}

int divvy_agent_grammar_parse(int argc, char **argv, struct divvy_agent_call *ret_call,
                              const struct divvy_agent_group **ret_group,
                              struct divvy_error *error) {
    struct line line = {.argc = argc, .at = 1, .argv = argv, .error = error};
    struct divvy_agent_call call = {.arguments = calloc((size_t)argc + 1, sizeof *call.arguments)};
    const struct divvy_agent_group *group = NULL;
    bool only_arguments = false;
    int status = call.arguments ? 0 : divvy_error_set_errno(error, -ENOMEM, "the command line");

    while (status == 0 && line.at < argc && !line.help) {
        char *word = argv[line.at++];

        /* Behind the first argument of such a command, everything is the program's. */
        if (call.command && call.command->is_rest && call.argument_count > 0)
            only_arguments = true;
        if (only_arguments || word[0] != '-' || word[1] == '\0')
            status = word_take(&line, &call, &group, word);
        else if (strcmp(word, "--") == 0)
            only_arguments = true;
        else
            status = word[1] == '-' ? long_take(&line, &call, word + 2)
                                    : short_take(&line, &call, word + 1);
    }
    if (status == 0 && !line.help)
        status = call_complete(&line, &call, group);
    if (status < 0) {
        divvy_agent_call_done(&call);
        return status;
    }
    *ret_call = call;
    *ret_group = group;
    return line.help ? 1 : 0;
}

void divvy_agent_call_done(struct divvy_agent_call *call) {
    free(call->arguments);
    call->arguments = NULL;
}

bool divvy_agent_call_on(const struct divvy_agent_call *call, enum divvy_agent_flag flag) {
    return call->values[flag] && strcmp(call->values[flag], "true") == 0;
}
