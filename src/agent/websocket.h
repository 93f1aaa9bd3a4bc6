/*
 * The client's side of a WebSocket (RFC 6455), as bytes: what to send, and what came. No socket, clock or thread in here.
 *
 * Only what a push channel needs: messages of at most DIVVY_AGENT_WS_MESSAGE_BYTES, whole or in fragments; ping, pong and close. Whatever
 * the peer does against the RFC ends the connection with -EPROTO.
 */
#ifndef DIVVY_AGENT_WEBSOCKET_H
#define DIVVY_AGENT_WEBSOCKET_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_AGENT_WS_MESSAGE_BYTES 65536u
#define DIVVY_AGENT_WS_KEY_BYTES     16u
#define DIVVY_AGENT_WS_HEAD_BYTES    8192u /* of the answer to the handshake */

/* A message, borrowed during the call; texts and binaries alike. */
typedef void (*divvy_agent_ws_message_t)(void *data, const char *bytes, size_t length);

struct divvy_agent_ws;

/*
 * Begins a handshake: its request is the first output. `host` as the Host header has it, `path` with its '/', `bearer` NULL or a credential
 * that was checked; all copied. `key` is random. NULL: no memory.
 */
struct divvy_agent_ws *divvy_agent_ws_new(const char *host, const char *path, const char *bearer,
                                          const uint8_t key[DIVVY_AGENT_WS_KEY_BYTES],
                                          divvy_agent_ws_message_t message, void *data);
/* NULL is fine. */
void divvy_agent_ws_free(struct divvy_agent_ws *ws);

/*
 * Takes bytes that came. 0; -EPROTO they break the rules; -ECONNREFUSED the server wants no WebSocket here (`error` has its status);
 * -EPERM likewise, 401 or 403; -ESHUTDOWN the peer has closed (what is to be sent still is the answer); -EMSGSIZE; -ENOMEM. After an error the
 * connection is over.
 */
int divvy_agent_ws_feed(struct divvy_agent_ws *ws, const char *bytes, size_t length,
                        struct divvy_error *error);

/* Whether the handshake is through. */
bool divvy_agent_ws_is_open(const struct divvy_agent_ws *ws);

/* Asks the peer for a sign of life. -EAGAIN: the last one was not answered. -ENOMEM. */
int divvy_agent_ws_ping(struct divvy_agent_ws *ws);

/* Bytes to be sent, borrowed until the next call; _sent says how many went. */
const char *divvy_agent_ws_output(const struct divvy_agent_ws *ws, size_t *ret_length);
void divvy_agent_ws_sent(struct divvy_agent_ws *ws, size_t length);

#endif
