/*
 * Fuzz target of the push channel's bytes: the first byte says in which portions the rest comes, behind a handshake or, when it is odd, instead of
 * one. No message is longer than its bound, and after an error nothing more is taken as good.
 */
#include "agent/websocket.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void message(void *data, const char *bytes, size_t length) {
    (void)data;
    if (!bytes || length > DIVVY_AGENT_WS_MESSAGE_BYTES)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t key[DIVVY_AGENT_WS_KEY_BYTES] = "the sample nonce";
    static const char head[] = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
                               "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    struct divvy_agent_ws *ws;
    struct divvy_error error;
    size_t portion, at = 1, length;

    if (size < 1 || !(ws = divvy_agent_ws_new("h", "/", "s", key, message, NULL)))
        return 0;
    portion = (size_t)(data[0] >> 1) + 1;
    if (!(data[0] & 1) &&
        (divvy_agent_ws_feed(ws, head, sizeof head - 1, &error) < 0 || !divvy_agent_ws_is_open(ws)))
        abort();
    while (at < size) {
        size_t now = size - at < portion ? size - at : portion;
        int status = divvy_agent_ws_feed(ws, (const char *)data + at, now, &error);

        at += now;
        if (status < 0) {
            if (status == -ESHUTDOWN && divvy_agent_ws_is_open(ws))
                abort();
            break;
        }
        (void)divvy_agent_ws_output(ws, &length);
        divvy_agent_ws_sent(ws, length / 2);
    }
    divvy_agent_ws_free(ws);
    return 0;
}
