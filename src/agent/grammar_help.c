/* Help and manual page from the table of commands: see grammar.h. */
#include "agent/grammar.h"

#include <string.h>

#define FLAG_COLUMN 28

/* "-o, --output table|json" */
static void flag_format(unsigned int flag, char *ret_text, size_t size_bytes) {
    const struct divvy_agent_flag_entry *entry = &divvy_agent_flags[flag];
    char letter[8] = "    ";

    if (entry->letter)
        (void)snprintf(letter, sizeof letter, "-%c, ", entry->letter);
    (void)snprintf(ret_text, size_bytes, "%s--%s%s%s", letter, entry->name, entry->value ? " " : "",
                   entry->value ? entry->value : "");
}

static void flag_print(FILE *out, unsigned int flag) {
    char text[80];
    const char *about = divvy_agent_flags[flag].about;

    flag_format(flag, text, sizeof text);
    if (strlen(text) > FLAG_COLUMN)
        (void)fprintf(out, "  %s\n  %*s %s\n", text, FLAG_COLUMN, "", about);
    else
        (void)fprintf(out, "  %-*s %s\n", FLAG_COLUMN, text, about);
}

static void command_help(FILE *out, const struct divvy_agent_command *command) {
    (void)fprintf(out, "Usage: ggo %s [OPTION...]%s%s\n\n%c%s.\n\n", command->path,
                  command->arguments[0] ? " " : "", command->arguments,
                  command->about[0] - 'a' + 'A', command->about + 1);
    for (unsigned int flag = 0; flag < DIVVY_AGENT_FLAG_MAX; flag++)
        if (command->flags >> flag & 1)
            flag_print(out, flag);
    flag_print(out, DIVVY_AGENT_VERBOSE);
    flag_print(out, DIVVY_AGENT_HELP);
    (void)fprintf(out, "\nFor example:\n%s", command->examples);
}

static bool in_group(const struct divvy_agent_command *command,
                     const struct divvy_agent_group *group) {
    size_t length = strlen(group->name);

    return strncmp(command->path, group->name, length) == 0 && command->path[length] == ' ';
}

static void command_line(FILE *out, const struct divvy_agent_command *command) {
    const char *blank = strrchr(command->path, ' ');

    (void)fprintf(out, "  %-12s %s\n", blank ? blank + 1 : command->path, command->about);
}

static void group_help(FILE *out, const struct divvy_agent_group *group) {
    (void)fprintf(out, "Usage: ggo %s COMMAND [OPTION...]\n\n", group->name);
    for (const struct divvy_agent_command *at = divvy_agent_commands; at->path; at++)
        if (in_group(at, group))
            command_line(out, at);
    (void)fprintf(out, "\n'ggo %s COMMAND --help' explains one.\n", group->name);
}

void divvy_agent_help_print(FILE *out, const struct divvy_agent_command *command,
                            const struct divvy_agent_group *group) {
    if (command) {
        command_help(out, command);
        return;
    }
    if (group) {
        group_help(out, group);
        return;
    }
    (void)fputs("Usage: ggo COMMAND [OPTION...]\nJoins this machine's GPUs to a platform, and uses "
                "shared ones.\n\n",
                out);
    for (const struct divvy_agent_group *at = divvy_agent_groups; at->name; at++)
        (void)fprintf(out, "  %-12s %s\n", at->name, at->about);
    for (const struct divvy_agent_command *at = divvy_agent_commands; at->path; at++)
        if (!strchr(at->path, ' '))
            command_line(out, at);
    (void)fputs("\nFor example:\n"
                "  ggo agent register --token TOKEN      the token is the platform's\n"
                "  ggo agent start\n"
                "  ggo share create --worker-id ID --connection-ip IP\n"
                "\n'ggo COMMAND --help' explains one; 'ggo --version' prints the version.\n",
                out);
}

void divvy_agent_manual_print(FILE *out) {
    for (const struct divvy_agent_command *at = divvy_agent_commands; at->path; at++) {
        (void)fprintf(out, ".It Ic %s", at->path);
        if (at->arguments[0])
            (void)fprintf(out, " Ar %s", at->arguments);
        (void)fprintf(out, "\n%c%s.\n", at->about[0] - 'a' + 'A', at->about + 1);
        if (!at->flags)
            continue;
        (void)fputs("Options:\n", out);
        for (unsigned int flag = 0, left = (unsigned int)__builtin_popcountll(at->flags);
             flag < DIVVY_AGENT_FLAG_MAX; flag++)
            if (at->flags >> flag & 1)
                (void)fprintf(out, ".Fl -%s%s\n", divvy_agent_flags[flag].name,
                              --left ? " ," : " .");
    }
    (void)fputs(".El\n.Sh OPTIONS\n.Bl -tag -width Ds\n", out);
    for (unsigned int flag = 0; flag < DIVVY_AGENT_FLAG_MAX; flag++) {
        const struct divvy_agent_flag_entry *entry = &divvy_agent_flags[flag];

        (void)fputs(".It ", out);
        if (entry->letter)
            (void)fprintf(out, "Fl %c , ", entry->letter);
        (void)fprintf(out, "Fl -%s", entry->name);
        if (entry->value)
            (void)fprintf(out, " Ar %s", entry->value);
        (void)fprintf(out, "\n%c%s.\n",
                      entry->about[0] >= 'a' && entry->about[0] <= 'z' ? entry->about[0] - 'a' + 'A'
                                                                       : entry->about[0],
                      entry->about + 1);
    }
    (void)fputs(".El\n", out);
}
