/* divvy-runner: runs a program on a slice of a GPU that is reserved for it. */
#include "base/log.h"
#include "mig/runner/plan.h"
#include "mig/runner/run.h"

int main(int argc, char **argv) {
    static struct divvy_runner_plan plan;
    /* Until the command line has its say. */
    static const struct divvy_log_settings log = {.level = DIVVY_LOG_INFO, .format = DIVVY_LOG_FORMAT_TEXT, .program = "divvy-runner"};
    struct divvy_error error = {0};
    int exit_status, status;

    (void)divvy_log_open(&log, NULL);
    status = divvy_runner_plan_make(argc, argv, &plan, &exit_status, &error);
    if (status == 0)
        exit_status = divvy_runner_run(&plan);
    else if (exit_status != 0)
        divvy_log_error("%s", error.text);
    divvy_runner_plan_done(&plan);
    divvy_log_close();
    return exit_status;
}
