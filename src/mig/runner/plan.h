/*
 * What is to be run and how: command line, environment and model file brought together and checked, before anything is reserved or
 * started.
 */
#ifndef DIVVY_MIG_RUNNER_PLAN_H
#define DIVVY_MIG_RUNNER_PLAN_H

#include "base/install.h"
#include "mig/runner/model.h"
#include "mig/runner/options.h"
#include "mig/runner/settings.h"

#include <limits.h>

struct divvy_runner_plan {
    struct divvy_runner_options options;
    struct divvy_runner_settings settings;
    struct divvy_runner_model model; /* all zeros without a model file */
    struct divvy_install install;
    char **arguments;            /* argv of the program */
    char program[PATH_MAX];      /* found: a path */
    char instance[64];
    const char *profile;         /* "" none */
    const char *model_id;        /* "" none */
    const char *visible;         /* CUDA_VISIBLE_DEVICES for the program as it would have it; NULL not set */
    bool visible_is_model;       /* it is the model file's gpu_device */
    uint64_t vram_limit_bytes;   /* 0 none */
    uint64_t memory_bytes;       /* host memory; 0 none */
    enum divvy_runner_restart restart;
    uint16_t model_port;
};

/*
 * Fills it; opens the log on the way. 0: go on; else the runner ends with what *ret_exit says, and `error` has the reason when it
 * is not 0. To be freed with _done, whatever came.
 */
int divvy_runner_plan_make(int argc, char **argv, struct divvy_runner_plan *ret_plan, int *ret_exit,
                           struct divvy_error *error);
void divvy_runner_plan_done(struct divvy_runner_plan *plan);

/*
 * A program by its name, searched in `search` (a value of PATH) when it holds no slash. 0; -ENOENT; -EACCES: there is one, but it
 * cannot be run. No shell is asked, and none is fallen back to.
 */
int divvy_runner_program_find(const char *name, const char *search, char ret_path[PATH_MAX]);

#endif
