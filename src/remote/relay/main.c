/* divvy-relay: takes GPU work of virtual machines to workers. Beginning, signals, end. */
#include "base/cleanup.h"
#include "base/log.h"
#include "remote/relay/lock.h"
#include "remote/relay/options.h"
#include "remote/relay/relay.h"
#include "remote/relay/ring.h"
#include "remote/relay/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#define LOCK_PATH     "/run/divvy/relay.lock"
#define XENSTORE_PATH "/run/xenstored/socket"
#define STATE_BUSY_MS 50 /* so long the loop may wait for `divvy vm' */

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct program {
    struct divvy_relay_options options;
    struct divvy_relay relay; /* first things first: large, so static */
    struct divvy_source signals;
    struct divvy_relay_admin *admin;
    int lock_fd;
    bool ends;
};

static void signals_ready(struct divvy_source *source, uint32_t events) {
    struct program *program = (struct program *)(void *)((char *)source - offsetof(struct program, signals));
    struct signalfd_siginfo info;

    (void)events;
    if (read(source->fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP && program->relay.store)
        (void)divvy_relay_state_load(&program->relay, NULL); /* it logs what is wrong */
    program->ends = program->ends || info.ssi_signo != SIGHUP;
}

static int signals_open(struct program *program, struct divvy_error *error) {
    sigset_t set;
    int status;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    program->signals = (struct divvy_source){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = signals_ready};
    if (program->signals.fd < 0)
        return divvy_error_set_errno(error, -errno, "signalfd");
    status = divvy_loop_add(&program->relay.loop, &program->signals, EPOLLIN);
    return status < 0 ? divvy_error_set_errno(error, status, "epoll") : 0;
}

static const char *xenstore_path(const char *given) {
    const char *set = getenv("XENSTORED_PATH");

    return given[0] ? given : set && set[0] ? set : XENSTORE_PATH;
}

static int begin(struct program *program, struct divvy_error *error) {
    const struct divvy_relay_options *o = &program->options;
    int status;

    program->lock_fd = divvy_relay_lock_take(o->lock ? o->lock : LOCK_PATH, error);
    if (program->lock_fd < 0)
        return program->lock_fd;
    status = divvy_relay_init(&program->relay, &o->settings, error);
    if (status == 0)
        status = signals_open(program, error);
    for (uint32_t i = 0; i < o->worker_count && status == 0; i++)
        status = divvy_relay_worker_add(&program->relay, o->workers[i].endpoint, o->workers[i].pools, error);
    if (status == 0 && o->xenstore)
        status = divvy_relay_xen_open(&program->relay, xenstore_path(o->xenstore), error);
    for (uint32_t i = 0; i < o->vm_count && status == 0; i++)
        status = divvy_relay_vm_add(&program->relay, &o->vms[i], NULL, error);
    return status;
}

static int state_begin(struct program *program, struct divvy_error *error) {
    const struct divvy_relay_options *o = &program->options;
    const char *admin = o->admin ? o->admin : DIVVY_RELAY_ADMIN_PATH, *state = o->state ? o->state : DIVVY_RELAY_STORE_PATH;
    int status = 0;

    if (state[0])
        status = divvy_relay_store_open(state, STATE_BUSY_MS, &program->relay.store, error);
    if (status == 0 && state[0])
        status = divvy_relay_state_load(&program->relay, error);
    if (status == 0 && admin[0])
        status = divvy_relay_admin_open(&program->relay, admin, &program->admin, error);
    return status;
}

static void serve(struct program *program) {
    if (program->relay.worker_count == 0)
        divvy_log_warn("there is no worker: give --worker, or assign a GPU with `divvy vm assign-gpu'");
    divvy_log_info("ready: %u workers", program->relay.worker_count);
    while (!program->ends) {
        if (divvy_core_clock_ns() >= program->relay.next_ns)
            divvy_relay_tick(&program->relay);
        divvy_loop_turn(&program->relay.loop, divvy_relay_rings_look(&program->relay) ? 0 : program->relay.next_ns);
    }
    divvy_log_info("ends");
}

int main(int argc, char **argv) {
    static struct program program = {.lock_fd = -1, .signals.fd = -1, .relay.loop.epoll_fd = -1};
    struct divvy_error error = {0};
    int status = divvy_relay_options_parse(argc, argv, &program.options, &error);

    if (status > 0)
        return EXIT_OK;
    if (status < 0) {
        (void)fprintf(stderr, "divvy-relay: %s\n", error.text);
        return EXIT_USAGE;
    }
    status = divvy_log_open(&program.options.log, &error);
    if (status == 0)
        status = begin(&program, &error);
    if (status == 0)
        status = state_begin(&program, &error);
    if (status == 0)
        serve(&program);
    else
        divvy_log_error("%s", error.text);
    divvy_loop_close(&program.relay.loop, &program.signals);
    divvy_relay_admin_close(program.admin);
    divvy_relay_done(&program.relay);
    divvy_relay_store_close(program.relay.store);
    divvy_cleanup_close(&program.lock_fd);
    divvy_log_close();
    return status == 0 ? EXIT_OK : EXIT_FAILED;
}
