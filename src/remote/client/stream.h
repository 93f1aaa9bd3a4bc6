/* A client's connection: requests collected and sent, answers taken. Not installed; the calls use it. */
#ifndef DIVVY_REMOTE_CLIENT_STREAM_H
#define DIVVY_REMOTE_CLIENT_STREAM_H

#include "core/spin.h"
#include "divvy/client.h"
#include "remote/client/ring.h"
#include "wire/frame.h"
#include "wire/pack.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_CLIENT_BATCH_BYTES (64u << 10) /* one-way requests are sent when so many bytes wait */
#define DIVVY_CLIENT_TEXT_BYTES  512u

struct divvy_client_xenstore;

/* For bytes that go and come packed. */
struct divvy_client_packing {
    struct divvy_wire_packer packer;
    char bytes[DIVVY_WIRE_PAYLOAD_BYTES];
};

struct divvy_client {
    int fd; /* -1: lost, or jobs go through the store */
    struct divvy_client_xenstore *store; /* of a connection that carries jobs only, or NULL */
    bool is_socket;
    struct divvy_core_spin spin; /* of waits for answers */
    struct divvy_client_ring *ring; /* NULL: the bytes go over fd itself, which else is for wake-ups */
    uint32_t timeout_ms;
    uint32_t payload_bytes; /* longest payload, both ways */
    uint64_t features;      /* DIVVY_WIRE_FEATURE_ of what was wished for; from the handshake on, what holds */
    bool is_agreed;
    struct divvy_client_packing *packing; /* NULL unless bytes may be packed; not used before they may */
    uint64_t next_id;
    size_t out_length, in_start, in_end;
    char *out; /* DIVVY_CLIENT_BATCH_BYTES and a frame's head */
    char *in;  /* what was read ahead; DIVVY_CLIENT_BATCH_BYTES */
    char text[DIVVY_CLIENT_TEXT_BYTES];
};

/* An answer being taken. */
struct divvy_client_answer {
    uint64_t words[DIVVY_WIRE_WORDS_MAX];
    void *bytes;       /* where its bytes go, room for capacity; what is beyond is -EPROTO */
    uint32_t capacity;
    uint32_t length;   /* bytes that came */
};

/* Connects to an address of divvy/client.h: sets fd, is_socket and ring. 0 or a negative errno. */
int divvy_client_stream_connect(struct divvy_client *client, const char *address);

/* Appends a request to what is waiting, sends when that is much. `bytes` (may be NULL) is copied or sent. */
int divvy_client_stream_put(struct divvy_client *client, uint16_t op, const void *words, const void *bytes,
                            uint32_t length, uint64_t *ret_id);

/* Sends what is waiting. */
int divvy_client_stream_flush(struct divvy_client *client);

/* Takes the answer to the request `id` of operation `op`: its status, or a negative errno. answer->text of failed ones is kept. */
int divvy_client_stream_take(struct divvy_client *client, uint16_t op, uint64_t id,
                             struct divvy_client_answer *answer);

#endif
