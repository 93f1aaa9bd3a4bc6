/*
 * Frames between a VM's client and a worker, over a connection of their own: two flows of bytes (flow.c), whose headers are looked
 * at (tunnel.c), and the turns at the GPU that the client's requests wait for (turn.c).
 */
#ifndef DIVVY_REMOTE_RELAY_TUNNEL_H
#define DIVVY_REMOTE_RELAY_TUNNEL_H

#include "remote/relay/channel.h"
#include "wire/frame.h"

struct divvy_relay_tunnel;

/* --- flow.c: bytes one way ---------------------------------------------------------------------------------- */

#define DIVVY_RELAY_FLOW_HOLD_BYTES ((size_t)1 << 20) /* more is not read ahead */

/* What is to become of a frame. */
enum divvy_relay_verdict {
    DIVVY_RELAY_PASS,
    DIVVY_RELAY_HOLD, /* not now, nor what is behind it */
    DIVVY_RELAY_DROP, /* the relay's own, taken out of the stream; short */
    DIVVY_RELAY_BAD,  /* the connection ends */
};

/*
 * The payload of a long frame goes through a pipe, from socket to socket: its bytes are not copied here. Everything else lies in
 * `bytes` in between.
 */
struct divvy_relay_flow {
    struct divvy_relay_tunnel *tunnel;
    enum divvy_relay_verdict (*judge)(struct divvy_relay_tunnel *tunnel, const struct divvy_wire_header *header);
    /* Whether another conversation begins with these bytes, the first ones behind a whole frame; NULL: never. */
    bool (*is_another)(const struct divvy_relay_tunnel *tunnel, const char *bytes, size_t length);
    /* The client's end, where the flow has it: its bytes may go through shared memory (ring.h). */
    struct divvy_relay_channel *inlet, *outlet;
    struct divvy_relay_bytes *bytes;  /* read and not sent */
    struct divvy_relay_bytes control; /* the relay's own frames, to be sent where a frame ends */
    uint64_t cleared;                 /* from the front of `bytes`, and beyond: what may be sent */
    int pipe_fds[2];                  /* -1: none yet */
    size_t piped;                     /* bytes in it; they come before `bytes` */
    size_t read_bytes;                /* at a time */
    bool is_bulk;                     /* the frame under way is long */
    bool has_no_splice;               /* one of the sockets cannot */
    bool has_begun, is_replaced;      /* a frame was seen; what is not cleared belongs to another conversation */
    bool is_held, is_blocked;         /* a frame waits for its turn; the receiver takes nothing at the moment */
    bool is_short;                    /* the next frame, a short one, waits for its last bytes */
    bool has_ended;                   /* the sender sends no more */
};

void divvy_relay_flow_init(struct divvy_relay_flow *flow, struct divvy_relay_tunnel *tunnel, struct divvy_relay_bytes *bytes,
                           enum divvy_relay_verdict (*judge)(struct divvy_relay_tunnel *, const struct divvy_wire_header *));
void divvy_relay_flow_done(struct divvy_relay_flow *flow);

/*
 * Sends what may go, and reads on as long as `readable` and there is room, up to a few megabytes. *moved and *sent are added to. 0; -EPROTO: a
 * frame is bad; or the receiver's error.
 */
int divvy_relay_flow_move(struct divvy_relay_flow *flow, int from_fd, int to_fd, bool readable, uint64_t *moved, uint64_t *sent);

/* Nothing of it is here. */
static inline bool divvy_relay_flow_is_empty(const struct divvy_relay_flow *flow) {
    return flow->piped == 0 && divvy_relay_bytes_length(flow->bytes) == 0;
}

/* A long frame is under way whose end has not come. */
static inline bool divvy_relay_flow_is_partial(const struct divvy_relay_flow *flow) {
    return flow->cleared > divvy_relay_bytes_length(flow->bytes);
}

static inline bool divvy_relay_flow_can_read(const struct divvy_relay_flow *flow) {
    return !flow->has_ended && !flow->is_blocked && !flow->is_replaced && divvy_relay_bytes_length(flow->bytes) < DIVVY_RELAY_FLOW_HOLD_BYTES;
}

/* --- turn.c: when the client may use the GPU ------------------------------------------------------------------ */

enum divvy_relay_turn_state {
    DIVVY_RELAY_TURN_NONE,
    DIVVY_RELAY_TURN_WAITS, /* stands in the VM's queue */
    DIVVY_RELAY_TURN_HAS,
    DIVVY_RELAY_TURN_ENDS, /* the worker was asked to tell when all is done */
};

/*
 * A turn is a job of the VM: it waits in the VM's queue, runs on a worker and is charged for its time. It begins when a request
 * wants to use the GPU, and ends when all that was asked for is done.
 */
struct divvy_relay_turn {
    struct divvy_relay_front front; /* of the job */
    enum divvy_relay_turn_state state;
    struct divvy_relay_job *job;       /* while it has the turn */
    struct divvy_relay_worker *worker; /* whose place it takes */
    bool is_over;                      /* the connection is to end */
    bool drain_is_out;                 /* a DRAIN is to be sent or answered */
    bool wants_end;                    /* a request waits for the next turn */
    bool undrained;                    /* the GPU may still work after everything was answered */
    bool is_ahead;                     /* asked for before a request came */
    bool has_streams;                  /* or several contexts: a wait on one is not a wait for all */
    uint32_t outstanding;              /* requests to be answered */
    uint32_t used, allowed;            /* one-way requests of this turn */
    uint64_t cost_ns;                  /* of one, as learned; 0: not known */
    uint64_t started_ns, moved_ns;     /* moved: when something last went either way */
    uint64_t quiet_ns;                 /* the client was answered all, and has wanted nothing since; 0: it has */
    uint64_t gap_ns;                   /* how long it mostly takes until it does */
    uint64_t deadline_ns;              /* when settle is to be called though nothing moves */
    uint64_t retry_ns;                 /* not before this: the VM's rate or queue; 0: any time */
};

void divvy_relay_turn_init(struct divvy_relay_tunnel *tunnel);
/* A request that the client sent, not counted unless it passes; and an answer on its way to it. */
enum divvy_relay_verdict divvy_relay_turn_request(struct divvy_relay_tunnel *tunnel, const struct divvy_wire_header *header);
void divvy_relay_turn_answer(struct divvy_relay_tunnel *tunnel, const struct divvy_wire_header *header);
/* The worker has done all. */
void divvy_relay_turn_drained(struct divvy_relay_tunnel *tunnel);
/* After things moved: begins to wait, ends. Whether there is more to send now. */
bool divvy_relay_turn_settle(struct divvy_relay_tunnel *tunnel);
void divvy_relay_turn_close(struct divvy_relay_tunnel *tunnel);

/* --- tunnel.c -------------------------------------------------------------------------------------------------- */

struct divvy_relay_tunnel {
    struct divvy_source source; /* of the worker; first: the loop hands it back */
    struct divvy_later dead;
    struct divvy_later again;            /* the next conversation, when all of this one is passed on */
    struct divvy_relay_channel *channel; /* NULL: closed */
    struct divvy_relay_worker *worker;
    bool is_connecting, told_end;
    uint64_t connect_until_ns;
    uint32_t worker_events;
    struct divvy_relay_flow forward, backward; /* to the worker, to the client */
    struct divvy_relay_bytes answers;          /* of the latter */
    struct divvy_relay_turn turn;
};

/* The tunnel's turn has come, or something else changed for it: sends what may go now. May close the channel. */
void divvy_relay_tunnel_settle(struct divvy_relay_tunnel *tunnel);

#endif
