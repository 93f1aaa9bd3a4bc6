/*
 * One HTTP/2 connection in a loop: bytes between a descriptor that does not block and a session of nghttp2. Shared by server and
 * client of this room, which own what it is embedded in; not for others.
 */
#ifndef DIVVY_GRPC_LINK_H
#define DIVVY_GRPC_LINK_H

#include "base/loop.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct divvy_grpc_link {
    struct divvy_source source;
    struct divvy_later later; /* writes what was submitted outside of its own turn; at the end frees the owner */
    struct divvy_loop *loop;
    nghttp2_session *session;
    bool ended;   /* descriptor and session are gone */
    bool pumping; /* within nghttp2: what is submitted goes out by itself */
    uint32_t events;
    void (*over)(struct divvy_grpc_link *link); /* it has ended by itself: once, outside of nghttp2 */
    void (*free)(struct divvy_grpc_link *link); /* last: nothing refers to it any more */
};

/* The callback of nghttp2 that writes; its user_data is the link. */
ssize_t divvy_grpc_link_write(nghttp2_session *session, const uint8_t *data, size_t length, int flags, void *user_data);

/* A header of ours; both texts are borrowed until it is submitted. And whether bytes of the peer's are this text. */
nghttp2_nv divvy_grpc_header(const char *name, const char *value);
bool divvy_grpc_is(const uint8_t *bytes, size_t length, const char *text);

/* Put it into the loop. The session is set; over and free are. 0, or a negative errno: the descriptor stays the caller's. */
int divvy_grpc_link_begin(struct divvy_grpc_link *link, struct divvy_loop *loop, int fd);
/* There is no connection: only free comes, in the loop's next turn. Takes the session, if there is one. */
void divvy_grpc_link_abandon(struct divvy_grpc_link *link, struct divvy_loop *loop);
/* Something was submitted: write it soon. */
void divvy_grpc_link_kick(struct divvy_grpc_link *link);
/* Close without ceremony; free follows in the loop's next turn. Harmless when ended; never calls over. */
void divvy_grpc_link_end(struct divvy_grpc_link *link);

#endif
