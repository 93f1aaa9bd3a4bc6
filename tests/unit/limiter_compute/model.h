/*
 * A model of a GPU and its driver in virtual time, behind divvy_real: the limiter's own gate and clock run on it unchanged,
 * one thread, an hour in a second. It knows the truth about busy time.
 */
#ifndef DIVVY_TESTS_LIMITER_COMPUTE_MODEL_H
#define DIVVY_TESTS_LIMITER_COMPUTE_MODEL_H

#include "cuda/driver.h"
#include "page/control.h"

#include <stdbool.h>
#include <stdint.h>

struct model_settings {
    uint64_t seed;
    uint64_t launch_ns;      /* host time of a launch; other calls a fifth of it */
    uint64_t oversleep_ns;   /* mean lateness of wake-ups, exponential */
    uint64_t preempt_ns;     /* mean length of a host preemption */
    uint64_t preempt_every_ns; /* mean host time between them; 0: never */
    bool overlapping;        /* kernels of different streams run side by side */
    bool neighbour;          /* another process takes every other time slice */
    uint64_t change_ns;      /* the device takes so long to come back after a millisecond without work */
};

extern struct model_settings model;

/* Fresh device, driver, page and limiter; the clock goes on. */
void model_start(const struct model_settings *settings, uint32_t permille);
void model_set_permille(uint32_t permille);

/*
 * A daemon from now on, and what it does: step(page, time) is called at the times that it returns itself. What the program does
 * between two launches is not interrupted.
 */
void model_daemon_start(uint64_t (*step)(struct divvy_control *control, uint64_t now_ns), uint32_t permille);
unsigned model_rings(void);
/* Called with every launch: host time, and when the device works on it. */
void model_on_launch(void (*seen)(uint64_t now_ns, uint64_t start_ns, uint64_t end_ns));
struct divvy_page_device *model_device(void);
struct divvy_page_usage *model_usage(void);

/* Launch a kernel of known length through the limiter's hook. */
void model_kernel(unsigned function, uint64_t length_ns, CUstream stream);
void model_graph(unsigned exec, uint64_t length_ns, CUstream stream);
void model_synchronize(CUstream stream);
void model_host(uint64_t duration_ns); /* the program computes on the CPU */
void model_copy(uint64_t duration_ns, CUstream stream);
CUstream model_stream(unsigned index); /* 0..7 */

uint64_t model_now_ns(void);
uint64_t model_busy_ns(void);    /* of this process, until the present */
uint64_t model_charged_ns(void); /* as the page says */
uint64_t model_random(void);
unsigned model_events_alive(void);
unsigned model_event_calls(void);
unsigned model_launches(void);
void model_fail_events(bool fail);   /* the driver makes no more events */
void model_fail_launches(bool fail);
void model_destroy_context(void);
uint64_t model_debt_ns(void); /* wall time until what was charged is paid for */

#endif
