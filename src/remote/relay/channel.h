/*
 * A connection of a VM: what its dialects share. The first byte tells the dialect: 'D' frames (passed on to a worker as they are),
 * 'U' the frames of a vGPU's stub, 'R' that the bytes go through shared memory (ring.h), anything else JSON.
 */
#ifndef DIVVY_REMOTE_RELAY_CHANNEL_H
#define DIVVY_REMOTE_RELAY_CHANNEL_H

#include "remote/relay/relay.h"
#include "wire/json_frame.h"

#define DIVVY_RELAY_GREETING_BYTE 'R' /* first of a greeting for shared memory, wire/ring/pipe.h */

struct divvy_relay_dialect {
    const char *name;
    /* Looks at what came in and takes what is complete. 0, or negative: the connection ends when its answers are sent. */
    int (*take)(struct divvy_relay_channel *channel);
    struct divvy_relay_front front;
};

extern const struct divvy_relay_dialect divvy_relay_dialect_json, divvy_relay_dialect_vgpu;

struct divvy_relay_tunnel;

struct divvy_relay_channel {
    struct divvy_source source; /* first: the loop hands it back */
    struct divvy_relay_front front;
    struct divvy_later dead;
    struct divvy_relay_vm *vm;
    struct divvy_relay_channel *next;
    const struct divvy_relay_dialect *dialect; /* NULL: not known yet, or frames */
    struct divvy_relay_tunnel *tunnel;         /* frames */
    struct divvy_relay_ring *ring; /* the bytes go through its memory; NULL: over the stream */
    struct divvy_relay_bytes in, out;
    struct divvy_wire_json_frame json;
    size_t looked_at;     /* of `in`, by the JSON dialect */
    uint64_t counted;     /* of `in`, in the VM's bytes */
    uint32_t outstanding; /* jobs that are not answered yet */
    uint32_t events;      /* that the loop watches */
    bool is_closed, is_ending, has_ended; /* ending: nothing more is read; ended: the peer sends no more */
    uint64_t opened_ns, moved_ns; /* moved: when the last bytes came */
    uint64_t rx_bytes, tx_bytes;
};

/* The channel of a front end that was handed to divvy_relay_submit. */
struct divvy_relay_channel *divvy_relay_channel_of(struct divvy_relay_front *front);

/* Appends to what is sent, and sends what can be sent now. A channel that has no memory for its answers ends. */
void divvy_relay_channel_put(struct divvy_relay_channel *channel, const void *bytes, size_t length);

/* Takes `request` over; the answer comes through the dialect. */
void divvy_relay_channel_submit(struct divvy_relay_channel *channel, const struct divvy_relay_job *model,
                                struct divvy_relay_bytes *request);

/* Logs what a VM did wrong, by its true name. */
void divvy_relay_channel_offence(struct divvy_relay_channel *channel, const char *what);
void divvy_relay_vm_received(struct divvy_relay_vm *vm);
void divvy_relay_vm_sent(struct divvy_relay_vm *vm);

/* Receives into `in`, and sends what is in `out`, over the stream or through memory: as divvy_relay_bytes_receive and _send. */
int64_t divvy_relay_channel_receive(struct divvy_relay_channel *channel, size_t length);
int divvy_relay_channel_send(struct divvy_relay_channel *channel);

/* What is to be done when events of epoll say that bytes can be received (EPOLLIN) or sent. */
void divvy_relay_channel_moved(struct divvy_relay_channel *channel, uint32_t events);

/* As if nothing had come yet: jobs are answered to nobody, bytes are dropped. */
void divvy_relay_channel_reset(struct divvy_relay_channel *channel);

/* Ends the connection now. The channel's memory lasts until the loop's turn is over. */
void divvy_relay_channel_close(struct divvy_relay_channel *channel);

/* Finds the dialect of what came in, for a conversation that begins, and takes what is there. */
void divvy_relay_channel_begin(struct divvy_relay_channel *channel);

/* Sets what the loop watches, by the state of the channel. */
void divvy_relay_channel_watch(struct divvy_relay_channel *channel);

/* An error as the JSON dialect has it, with the id of the request if that can be found in it (NULL: none). */
int divvy_relay_json_error(struct divvy_relay_bytes *out, const struct divvy_relay_bytes *request, uint32_t code,
                           const char *message);

/* --- tunnel.c: frames, passed on -------------------------------------------------------------------------------- */

/* Begins to pass a channel's frames on. Negative: it cannot be; the client was told. */
int divvy_relay_tunnel_open(struct divvy_relay_channel *channel);
/* Bytes came in, or there is room to send. */
void divvy_relay_tunnel_ready(struct divvy_relay_channel *channel, uint32_t events);
void divvy_relay_tunnel_tick(struct divvy_relay_channel *channel, uint64_t now_ns, uint64_t *next_ns);
void divvy_relay_tunnel_close(struct divvy_relay_channel *channel);
/* Where the frames go. The channel has a tunnel. */
const struct divvy_relay_worker *divvy_relay_tunnel_worker(const struct divvy_relay_channel *channel);

#endif
