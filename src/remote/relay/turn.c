/* Turns of connections that carry frames: see tunnel.h. */
#include "remote/relay/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUANTUM_ALONE_NS  (10 * DIVVY_NS_PER_MS)
#define QUANTUM_SHARED_NS (4 * DIVVY_NS_PER_MS)
#define IDLE_NS           DIVVY_NS_PER_MS         /* nothing moves any more, but the GPU may still work */
#define STUCK_NS          (20 * DIVVY_NS_PER_MS)  /* a client that neither sends nor takes; others wait no longer for it */
#define GAP_NS            DIVVY_NS_PER_MS       /* a client that takes longer between its requests is not waited for */
#define AHEAD_NS          (2 * DIVVY_NS_PER_MS) /* so long it is */
#define RETRY_NS          (5 * DIVVY_NS_PER_MS)
#define ALLOWED_FIRST     16u                     /* one-way requests as long as nothing is known of their cost */
#define ALLOWED_MOST      2048u                   /* about what drivers queue: what turns out dear is not without bounds */

/* What a request has to do with the GPU's time. */
enum use {
    USE_NONE, /* asks, makes, gives back */
    USE_WORK, /* leaves work behind */
    USE_WAIT, /* answered when what it does, and what was before it on its stream, is done */
};

static const uint8_t uses[256] = {
    [DIVVY_WIRE_OP_JOB] = USE_WAIT,         [DIVVY_WIRE_OP_CONTEXT_SYNC] = USE_WAIT,      [DIVVY_WIRE_OP_COPY_IN] = USE_WORK,
    [DIVVY_WIRE_OP_COPY_OUT] = USE_WAIT,    [DIVVY_WIRE_OP_COPY_WITHIN] = USE_WORK,       [DIVVY_WIRE_OP_FILL] = USE_WORK,
    [DIVVY_WIRE_OP_LAUNCH] = USE_WORK,      [DIVVY_WIRE_OP_STREAM_SYNC] = USE_WAIT,       [DIVVY_WIRE_OP_STREAM_WAIT_EVENT] = USE_WORK,
    [DIVVY_WIRE_OP_EVENT_RECORD] = USE_WORK, [DIVVY_WIRE_OP_EVENT_SYNC] = USE_WAIT,         [DIVVY_WIRE_OP_LAUNCH_WITH] = USE_WORK,
};

static struct divvy_relay_tunnel *tunnel_of(struct divvy_relay_front *front) {
    return (struct divvy_relay_tunnel *)(void *)((char *)front - offsetof(struct divvy_relay_tunnel, turn.front));
}

static struct divvy_relay *relay_of(const struct divvy_relay_tunnel *tunnel) {
    return tunnel->channel->vm->relay;
}

static bool others_wait(const struct divvy_relay_tunnel *tunnel) {
    struct divvy_node_vmq_totals totals;

    divvy_node_vmq_totals(relay_of(tunnel)->vmq, &totals);
    return totals.queued > 0;
}

static uint64_t quantum_ns(const struct divvy_relay_tunnel *tunnel) {
    return others_wait(tunnel) ? QUANTUM_SHARED_NS : QUANTUM_ALONE_NS;
}

/* --- the turn as a job --------------------------------------------------------------------------------------- */

static void nothing_answered(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length) {
    (void)front;
    (void)job;
    (void)json;
    (void)length;
}

static void turn_leave(struct divvy_relay_turn *turn) {
    divvy_relay_worker_leave(turn->worker, turn->job);
    turn->job = NULL;
    turn->worker = NULL;
    turn->state = DIVVY_RELAY_TURN_NONE;
    turn->wants_end = false;
}

/* No turn: there is no worker, the VM is under quarantine or at its limits; or the turn was too long and ends the connection. */
static void turn_refused(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message) {
    struct divvy_relay_tunnel *tunnel = tunnel_of(front);
    struct divvy_relay_turn *turn = &tunnel->turn;

    (void)message;
    if (turn->job == job) {
        turn_leave(turn);
        divvy_relay_channel_close(tunnel->channel);
        return;
    }
    turn->state = DIVVY_RELAY_TURN_NONE;
    turn->is_over = code == DIVVY_WIRE_CODE_QUARANTINE || code == DIVVY_WIRE_CODE_POOL;
    turn->retry_ns = divvy_core_clock_ns() + RETRY_NS;
    divvy_relay_deadline(relay_of(tunnel), turn->retry_ns);
}

void divvy_relay_turn_init(struct divvy_relay_tunnel *tunnel) {
    tunnel->turn = (struct divvy_relay_turn){.front = {nothing_answered, turn_refused}, .moved_ns = divvy_core_clock_ns(), .deadline_ns = UINT64_MAX};
}

static void turn_want(struct divvy_relay_tunnel *tunnel, bool is_ahead, uint64_t now_ns) {
    const struct divvy_relay_job model = {.turn = &tunnel->turn};
    struct divvy_relay_turn *turn = &tunnel->turn;
    struct divvy_relay_vm *vm = tunnel->channel->vm;
    struct divvy_relay_bytes none = {0};
    int status;

    if (now_ns < turn->retry_ns)
        return;
    status = divvy_node_vmq_admits(vm->relay->vmq, vm->number, (int64_t)now_ns);
    if (status < 0) {
        /* Requests of the JSON dialect would be refused; here the client is held up until it is within its limits. */
        turn->is_over = status == -EACCES;
        turn->retry_ns = now_ns + RETRY_NS;
        return;
    }
    turn->retry_ns = 0;
    turn->is_ahead = is_ahead;
    turn->state = DIVVY_RELAY_TURN_WAITS;
    divvy_relay_submit(vm, &turn->front, &model, &none);
}

void divvy_relay_turn_start(struct divvy_relay_job *job, struct divvy_relay_worker *worker) {
    struct divvy_relay_turn *turn = job->turn;
    struct divvy_relay_tunnel *tunnel = tunnel_of(&turn->front);
    uint64_t now_ns = divvy_core_clock_ns(), allowed;

    turn->job = job;
    turn->worker = worker;
    divvy_relay_worker_take(worker, job);
    turn->state = DIVVY_RELAY_TURN_HAS;
    turn->started_ns = turn->moved_ns = job->sent_ns = now_ns;
    turn->used = 0;
    allowed = turn->cost_ns ? quantum_ns(tunnel) / turn->cost_ns : ALLOWED_FIRST;
    turn->allowed = allowed < 1 ? 1 : allowed > ALLOWED_MOST ? ALLOWED_MOST : (uint32_t)allowed;
    divvy_relay_tunnel_settle(tunnel);
}

/* What one request costs: short turns tell too much of it, so what is learned goes down fast and up slowly. */
static void cost_learn(struct divvy_relay_turn *turn, uint64_t used_ns) {
    uint64_t cost_ns;

    if (turn->used == 0)
        return;
    cost_ns = used_ns / turn->used + 1;
    turn->cost_ns = turn->cost_ns == 0 || cost_ns < turn->cost_ns ? cost_ns : (3 * turn->cost_ns + cost_ns) / 4;
}

/*
 * The next turn is asked for before this one ends, so that the VM does not sleep in between. A client that waits for each answer
 * before it asks for more is not in the queue in between, and whoever is would always be next, whatever the weights: so a client that
 * is known to come back soon keeps its place.
 */
static void turn_follow(struct divvy_relay_tunnel *tunnel, bool was_vain) {
    struct divvy_relay_turn *turn = &tunnel->turn;
    uint64_t now_ns = divvy_core_clock_ns();

    if (turn->drain_is_out || turn->is_over)
        return;
    if (tunnel->forward.is_held) {
        turn_want(tunnel, false, now_ns);
    } else if (!was_vain) {
        turn->quiet_ns = now_ns;
        if (turn->gap_ns <= GAP_NS && others_wait(tunnel))
            turn_want(tunnel, true, now_ns);
    }
}

static void turn_finish(struct divvy_relay_tunnel *tunnel, enum divvy_node_vmq_outcome outcome) {
    struct divvy_relay_turn *turn = &tunnel->turn;
    struct divvy_relay_job *job = turn->job;
    bool was_vain = turn->is_ahead;

    cost_learn(turn, divvy_core_clock_ns() - turn->started_ns);
    turn_leave(turn);
    if (outcome == DIVVY_NODE_VMQ_DONE)
        turn_follow(tunnel, was_vain);
    divvy_relay_job_finish(job, "", 0, 0, NULL, outcome);
}

/* One long pause among short ones says little. */
static void gap_learn(struct divvy_relay_turn *turn) {
    uint64_t gap_ns;

    if (turn->quiet_ns == 0)
        return;
    gap_ns = divvy_core_clock_ns() - turn->quiet_ns;
    turn->gap_ns = (3 * turn->gap_ns + (gap_ns < 2 * GAP_NS ? gap_ns : 2 * GAP_NS)) / 4;
    turn->quiet_ns = 0;
}

/* Asks the worker to tell when all that was sent is done. */
static void drain(struct divvy_relay_tunnel *tunnel) {
    const struct divvy_wire_header header = {
        .magic = DIVVY_WIRE_MAGIC, .op = DIVVY_WIRE_OP_DRAIN, .flags = DIVVY_WIRE_CHECKED}; /* the checksum of no bytes is 0 */
    struct divvy_relay_turn *turn = &tunnel->turn;

    turn->state = DIVVY_RELAY_TURN_ENDS;
    turn->drain_is_out = true;
    turn->is_over = turn->is_over || divvy_relay_bytes_append(&tunnel->forward.control, &header, sizeof header) < 0;
}

/* --- requests and answers -------------------------------------------------------------------------------------- */

static void request_note(struct divvy_relay_turn *turn, const struct divvy_wire_header *header, enum use use) {
    const struct divvy_wire_op *row = divvy_wire_op_find(header->op);

    turn->outstanding += !row || row->kind != DIVVY_WIRE_ONEWAY;
    turn->has_streams = turn->has_streams || header->op == DIVVY_WIRE_OP_STREAM_CREATE || header->op == DIVVY_WIRE_OP_CONTEXT_CREATE;
    if (use == USE_WORK) {
        turn->undrained = true;
        turn->used++;
    }
    /* A wait on the only stream that there is, is one for all; an answer that says otherwise comes in turn_answer. */
    if (use == USE_WAIT && header->op != DIVVY_WIRE_OP_JOB && header->op != DIVVY_WIRE_OP_EVENT_SYNC && !turn->has_streams)
        turn->undrained = false;
}

enum divvy_relay_verdict divvy_relay_turn_request(struct divvy_relay_tunnel *tunnel, const struct divvy_wire_header *header) {
    struct divvy_relay_turn *turn = &tunnel->turn;
    enum use use = header->op < sizeof uses ? uses[header->op] : USE_NONE;

    if (header->op == DIVVY_WIRE_OP_DRAIN)
        return DIVVY_RELAY_BAD;
    if (use != USE_NONE) {
        gap_learn(turn);
        if (turn->state != DIVVY_RELAY_TURN_HAS || turn->wants_end || (use == USE_WORK && turn->used >= turn->allowed)) {
            turn->wants_end = turn->state == DIVVY_RELAY_TURN_HAS;
            return DIVVY_RELAY_HOLD;
        }
        turn->is_ahead = false;
    }
    request_note(turn, header, use);
    return DIVVY_RELAY_PASS;
}

void divvy_relay_turn_answer(struct divvy_relay_tunnel *tunnel, const struct divvy_wire_header *header) {
    struct divvy_relay_turn *turn = &tunnel->turn;

    turn->outstanding -= turn->outstanding > 0;
    /* A wait that told of an earlier error was not done. */
    turn->undrained = turn->undrained || (header->flags & DIVVY_WIRE_LATCHED);
}

void divvy_relay_turn_drained(struct divvy_relay_tunnel *tunnel) {
    struct divvy_relay_turn *turn = &tunnel->turn;

    turn->drain_is_out = turn->undrained = false;
    if (turn->state == DIVVY_RELAY_TURN_ENDS)
        turn_finish(tunnel, DIVVY_NODE_VMQ_DONE);
}

/* --- beginning and end ------------------------------------------------------------------------------------------ */

/* A client that sends a part of a frame, or does not take its answers, does not hold up others; what it left undone is bounded. */
static bool is_stuck(const struct divvy_relay_tunnel *tunnel, uint64_t now_ns) {
    const struct divvy_relay_turn *turn = &tunnel->turn;
    bool waits_for_client = (divvy_relay_flow_is_partial(&tunnel->forward) && !tunnel->forward.is_blocked) || tunnel->backward.is_blocked;

    return waits_for_client && now_ns >= turn->moved_ns + STUCK_NS && now_ns >= turn->started_ns + STUCK_NS && others_wait(tunnel);
}

static bool is_idle(const struct divvy_relay_tunnel *tunnel) {
    return tunnel->turn.outstanding == 0 && !tunnel->forward.is_held && divvy_relay_flow_is_empty(&tunnel->forward) &&
           !divvy_relay_flow_is_partial(&tunnel->forward);
}

static void turn_judge(struct divvy_relay_tunnel *tunnel, uint64_t now_ns) {
    struct divvy_relay_turn *turn = &tunnel->turn;

    if (turn->state == DIVVY_RELAY_TURN_HAS && is_idle(tunnel) && !turn->undrained) {
        if (!turn->is_ahead || now_ns >= turn->started_ns + AHEAD_NS || !others_wait(tunnel))
            turn_finish(tunnel, DIVVY_NODE_VMQ_DONE);
    } else if (turn->state == DIVVY_RELAY_TURN_HAS && !turn->drain_is_out &&
             (turn->wants_end || now_ns >= turn->started_ns + quantum_ns(tunnel) ||
              (is_idle(tunnel) && (now_ns >= turn->moved_ns + IDLE_NS || others_wait(tunnel)))))
        drain(tunnel);
    else if (turn->state >= DIVVY_RELAY_TURN_HAS && is_stuck(tunnel, now_ns))
        turn_finish(tunnel, DIVVY_NODE_VMQ_DONE);
}

/* When to look again though nothing moves; what is past by then has been dealt with. */
static uint64_t deadline_ns(const struct divvy_relay_tunnel *tunnel, uint64_t now_ns) {
    const struct divvy_relay_turn *turn = &tunnel->turn;

    switch (turn->state) {
    case DIVVY_RELAY_TURN_NONE:
        return tunnel->forward.is_held && !turn->drain_is_out ? turn->retry_ns : UINT64_MAX;
    case DIVVY_RELAY_TURN_WAITS:
        return UINT64_MAX;
    case DIVVY_RELAY_TURN_HAS:
        return turn->is_ahead      ? turn->started_ns + AHEAD_NS :
               is_idle(tunnel) ? turn->moved_ns + IDLE_NS :
                                 turn->started_ns + quantum_ns(tunnel);
    default:
        return now_ns + STUCK_NS;
    }
}

bool divvy_relay_turn_settle(struct divvy_relay_tunnel *tunnel) {
    struct divvy_relay_turn *turn = &tunnel->turn;
    uint64_t now_ns;

    turn->deadline_ns = UINT64_MAX;
    if (turn->state == DIVVY_RELAY_TURN_NONE && !tunnel->forward.is_held)
        return false;
    now_ns = divvy_core_clock_ns();
    turn_judge(tunnel, now_ns);
    if (turn->state == DIVVY_RELAY_TURN_NONE && tunnel->forward.is_held && !turn->drain_is_out && !turn->is_over)
        turn_want(tunnel, false, now_ns);
    turn->deadline_ns = deadline_ns(tunnel, now_ns);
    divvy_relay_deadline(relay_of(tunnel), turn->deadline_ns);
    return turn->state == DIVVY_RELAY_TURN_ENDS && divvy_relay_bytes_length(&tunnel->forward.control) > 0;
}

/* --- what a client leaves undone when it goes ----------------------------------------------------------------------- */

/*
 * The GPU works on for a client that is gone. The turn lasts until the worker ends the connection too, and the VM is charged for that:
 * otherwise whoever leaves early would pay for nothing, and others would begin beside its work.
 */
struct divvy_relay_leftover {
    struct divvy_source source; /* the worker's connection, told the end; first: the loop hands it back */
    struct divvy_later dead;
    struct divvy_relay *relay;
    struct divvy_relay_turn turn;
    struct divvy_relay_leftover *next; /* of the relay's */
};

static void leftover_free_late(struct divvy_later *later) {
    free((char *)later - offsetof(struct divvy_relay_leftover, dead));
}

static void leftover_end(struct divvy_relay_leftover *leftover) {
    struct divvy_relay_leftover **at = &leftover->relay->leftovers;

    while (*at != leftover)
        at = &(*at)->next;
    *at = leftover->next;
    turn_leave(&leftover->turn);
    divvy_loop_close(&leftover->relay->loop, &leftover->source);
    leftover->dead.run = leftover_free_late;
    divvy_loop_queue(&leftover->relay->loop, &leftover->dead);
}

/* Answers to nobody are read and forgotten until the worker's end comes. */
static void leftover_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_leftover *leftover = (struct divvy_relay_leftover *)(void *)source;
    struct divvy_relay_job *job = leftover->turn.job;
    char scrap[4096];
    ssize_t got;

    (void)events;
    if (!job)
        return;
    got = recv(source->fd, scrap, sizeof scrap, MSG_DONTWAIT);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    leftover_end(leftover);
    divvy_relay_job_finish(job, "", 0, 0, NULL, DIVVY_NODE_VMQ_GONE);
}

/* 0, or a negative errno: the turn is as it was. */
static int leftover_begin(struct divvy_relay_tunnel *tunnel) {
    struct divvy_relay *relay = relay_of(tunnel);
    struct divvy_relay_leftover *leftover = calloc(1, sizeof *leftover);
    int fd = leftover ? fcntl(tunnel->source.fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (fd < 0) {
        free(leftover);
        return -ENOMEM;
    }
    *leftover = (struct divvy_relay_leftover){
        .source = {.fd = fd, .ready = leftover_ready}, .relay = relay, .turn = tunnel->turn, .next = relay->leftovers};
    if (shutdown(fd, SHUT_WR) < 0 || divvy_loop_add(&relay->loop, &leftover->source, EPOLLIN) < 0) {
        (void)close(fd);
        free(leftover);
        return -ENOTCONN;
    }
    relay->leftovers = leftover;
    leftover->turn.job->front = NULL;
    leftover->turn.job->turn = &leftover->turn;
    tunnel->turn.job = NULL;
    return 0;
}

void divvy_relay_turn_abandon(struct divvy_relay *relay, const struct divvy_relay_turn *turn) {
    for (struct divvy_relay_leftover *leftover = relay->leftovers; leftover; leftover = leftover->next)
        if (&leftover->turn == turn) {
            leftover_end(leftover);
            return;
        }
}

void divvy_relay_leftovers_done(struct divvy_relay *relay) {
    while (relay->leftovers)
        leftover_end(relay->leftovers);
}

void divvy_relay_turn_close(struct divvy_relay_tunnel *tunnel) {
    struct divvy_relay_turn *turn = &tunnel->turn;
    bool leaves_work = turn->undrained || turn->outstanding > 0 || divvy_relay_flow_is_partial(&tunnel->forward);

    if (turn->job && !(leaves_work && tunnel->source.fd >= 0 && leftover_begin(tunnel) == 0))
        turn_finish(tunnel, DIVVY_NODE_VMQ_GONE);
    else if (turn->state == DIVVY_RELAY_TURN_WAITS)
        divvy_relay_front_leave(tunnel->channel->vm, &turn->front);
    turn->state = DIVVY_RELAY_TURN_NONE;
}
