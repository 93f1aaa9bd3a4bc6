/* A plan carried out: slice, tenant, program and all that watches it; see run.c. */
#ifndef DIVVY_MIG_RUNNER_RUN_H
#define DIVVY_MIG_RUNNER_RUN_H

#include "mig/runner/plan.h"

/* The exit status of the runner. What goes wrong is said on the log. To be called once, by a program with one thread. */
int divvy_runner_run(const struct divvy_runner_plan *plan);

#endif
