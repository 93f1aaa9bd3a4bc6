/* Jobs through XenStore, for a guest that has no other way out: a message in the guest's own nodes (wire/xen/message.h). Not installed. */
#ifndef DIVVY_REMOTE_CLIENT_XENSTORE_H
#define DIVVY_REMOTE_CLIENT_XENSTORE_H

#include <stddef.h>
#include <stdint.h>

struct divvy_client_xenstore;

/*
 * Opens the store: a unix socket or a character device; "": what XENSTORED_PATH names, else the device of a guest's kernel. No step
 * takes longer than timeout_ms (0: without end). 0 or a negative errno. Blocks.
 */
int divvy_client_xenstore_open(const char *path, uint32_t timeout_ms, struct divvy_client_xenstore **ret_store);
void divvy_client_xenstore_close(struct divvy_client_xenstore *store); /* NULL is fine */

/*
 * Has a request done; the answer, with a NUL behind it, is to be freed. A request longer than DIVVY_WIRE_XEN_MESSAGE_BYTES is answered
 * here, by error 2. On failure, a negative errno and *ret_text, one line; nothing of the request is left in the store, and the store
 * is to be closed. Guests' processes take turns where the store is a device. Blocks.
 */
int divvy_client_xenstore_job(struct divvy_client_xenstore *store, const char *request, size_t length_bytes, char **ret_answer,
                              size_t *ret_length_bytes, const char **ret_text);

#endif
