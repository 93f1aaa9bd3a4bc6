/*
 * Memory that a VM shares with the relay, instead of its stream: a file (an ivshmem device in the VM), mode 0600, one for each VM.
 * A client greets on the VM's stream (wire/ring/pipe.h); the relay lays the ring out anew, and the dialects go on as on a stream.
 * Frames are handed over to a worker of this host, which then reads and writes the memory itself: the relay keeps the stream,
 * passes wake-ups on, gives the worker turns as it gives them to connections that carry frames (tunnel.h), and ends the worker's
 * part when the session ends. One session at a time; a new one begins when the
 * worker of the last has gone.
 */
#ifndef DIVVY_REMOTE_RELAY_RING_H
#define DIVVY_REMOTE_RELAY_RING_H

#include "remote/relay/channel.h"

#define DIVVY_RELAY_RING_BYTES ((uint64_t)16 << 20) /* of a new file when no size is given */

/*
 * Maps the memory of a VM, as configured; makes the file where it is missing. 0, also where none is configured; or a negative errno:
 * -EINVAL for a file that is no ring's or that others may open.
 */
int divvy_relay_ring_open(struct divvy_relay_vm *vm, struct divvy_error *error);
/* The VM has no channels any more. NULL is fine. */
void divvy_relay_ring_close(struct divvy_relay_vm *vm);

/* A channel's stream begins with a greeting: takes it from channel->in. 0, also when it is not there yet; or -EPROTO. */
int divvy_relay_ring_begin(struct divvy_relay_channel *channel);
/* Events of the stream of a channel that has a session. */
void divvy_relay_ring_ready(struct divvy_relay_channel *channel, uint32_t events);
/* The channel goes. */
void divvy_relay_ring_leave(struct divvy_relay_channel *channel);

/* As divvy_relay_bytes_receive and _send, by the memory. */
int64_t divvy_relay_ring_receive(struct divvy_relay_channel *channel, size_t length);
int divvy_relay_ring_send(struct divvy_relay_channel *channel);

/* Whether a worker serves the channel's memory. */
bool divvy_relay_ring_is_handed_over(const struct divvy_relay_channel *channel);
/* Which, then. */
const struct divvy_relay_worker *divvy_relay_ring_worker(const struct divvy_relay_channel *channel);

/* A turn that runs now, in a place of this worker. */
void divvy_relay_ring_turn_start(struct divvy_relay_job *job, struct divvy_relay_worker *worker);

/* Asks turns back that have lasted long enough, tries again for those that had to wait. */
void divvy_relay_rings_tick(struct divvy_relay *relay, uint64_t now_ns, uint64_t *next_ns);

/*
 * Takes what has come in all memories. True: bytes came lately, so it pays to look again at once; false: everybody who will
 * send wakes us.
 */
bool divvy_relay_rings_look(struct divvy_relay *relay);

#endif
