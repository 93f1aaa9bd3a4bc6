/*
 * What would stop divvy from working on this machine. Each check looks at one thing and says what
 * to do about it.
 */
#ifndef DIVVY_CLI_DOCTOR_H
#define DIVVY_CLI_DOCTOR_H

#include "cli/gpu.h"
#include "base/install.h"

enum divvy_cli_verdict {
    DIVVY_CLI_VERDICT_OK,
    DIVVY_CLI_VERDICT_NOTE, /* good to know */
    DIVVY_CLI_VERDICT_WARN, /* works, but not as well as it could */
    DIVVY_CLI_VERDICT_FAIL, /* divvy cannot do its work */
    DIVVY_CLI_VERDICT_MAX,
};

struct divvy_cli_finding {
    enum divvy_cli_verdict verdict;
    const char *check; /* what was looked at, static */
    char text[320];
    char remedy[320]; /* empty when there is nothing to do */
};

/* What the checks look at, gathered once. */
struct divvy_cli_patient {
    struct divvy_install install;
    struct divvy_cli_gpu_list gpus, simulated;
};

#define DIVVY_CLI_FINDINGS_MAX 64

struct divvy_cli_report {
    unsigned int count;
    struct divvy_cli_finding findings[DIVVY_CLI_FINDINGS_MAX];
};

/* Runs every check; loads drivers in children. 0, or negative errno when no child could be had. */
int divvy_cli_doctor_examine(struct divvy_cli_patient *patient, struct divvy_cli_report *ret_report,
                             struct divvy_error *error);

#endif
