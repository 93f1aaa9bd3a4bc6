/* divvy doctor: what would stop divvy from working here, and how to mend it. */
#include "cli/cli.h"
#include "cli/doctor.h"

#include <argp.h>
#include <jansson.h>
#include <stdio.h>

enum { OPTION_JSON = 0x100 };

static error_t argument_take(int key, char *value, struct argp_state *state) {
    int *json = state->input;

    switch (key) {
    case OPTION_JSON:
        *json = 1;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"json", OPTION_JSON, NULL, 0, "For machines: one JSON object", 0},
    {0},
};

static const struct argp parser = {
    .options = options,
    .parser = argument_take,
    .doc = "Tell what would stop divvy from working on this machine, and what to do about it.\v"
           "Exit status: 0 when divvy can do its work, 1 when something is marked FAIL.",
};

static const char *const verdict_words[DIVVY_CLI_VERDICT_MAX] = {"ok", "note", "warn", "FAIL"};

static void text_print(const struct divvy_cli_report *report) {
    for (unsigned int i = 0; i < report->count; i++) {
        const struct divvy_cli_finding *finding = &report->findings[i];

        (void)printf("%-4s  %s: %s\n", verdict_words[finding->verdict], finding->check,
                     finding->text);
        if (finding->remedy[0])
            (void)printf("      -> %s\n", finding->remedy);
    }
}

static int json_print(const struct divvy_cli_report *report, int failures) {
    json_t *findings = json_array();
    json_t *root = json_pack("{s:b, s:o}", "ok", failures == 0, "findings", findings);
    int status = root ? 0 : -1;

    for (unsigned int i = 0; status == 0 && i < report->count; i++) {
        const struct divvy_cli_finding *finding = &report->findings[i];

        status = json_array_append_new(
            findings,
            json_pack("{s:s, s:s, s:s, s:s}", "check", finding->check, "verdict",
                      finding->verdict == DIVVY_CLI_VERDICT_FAIL ? "fail"
                                                                 : verdict_words[finding->verdict],
                      "text", finding->text, "remedy", finding->remedy));
    }
    if (status == 0)
        status = json_dumpf(root, stdout, JSON_INDENT(2));
    json_decref(root);
    if (status == 0)
        (void)putchar('\n');
    return status;
}

int divvy_cli_verb_doctor(int argc, char **argv) {
    static struct divvy_cli_patient patient;
    static struct divvy_cli_report report;
    struct divvy_error error = {0};
    int json = 0, failures = 0;

    if (argp_parse(&parser, argc, argv, 0, NULL, &json) != 0)
        return DIVVY_CLI_USAGE;
    if (divvy_cli_doctor_examine(&patient, &report, &error) < 0)
        return divvy_cli_fail("doctor", &error);
    for (unsigned int i = 0; i < report.count; i++)
        failures += report.findings[i].verdict == DIVVY_CLI_VERDICT_FAIL;
    if (!json)
        text_print(&report);
    else if (json_print(&report, failures) != 0)
        return DIVVY_CLI_FAILED;
    return failures ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}
