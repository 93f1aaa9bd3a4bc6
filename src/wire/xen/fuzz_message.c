/* Fuzzes the heads of messages in XenStore: what is read stays within its bounds, and reads the same once it is written again. */
#include "wire/xen/message.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *value = (const char *)data;
    struct divvy_wire_xen_head head, again;
    size_t bytes, bytes_again;
    char text[4 * DIVVY_WIRE_XEN_HEAD_BYTES] = {0};
    int status = divvy_wire_xen_head_read(value, size, &head, &bytes);

    if (status == -ENOENT || status == -EINVAL)
        return 0;
    require(bytes <= size && size > 0 && value[0] == '@' && value[bytes - 1] == '\n');
    require(status == -EMSGSIZE || status == 0);
    require((status == -EMSGSIZE) == (head.length > DIVVY_WIRE_XEN_MESSAGE_BYTES));
    if (status < 0)
        return 0;
    require(head.pieces <= DIVVY_WIRE_XEN_PIECES_MAX && size - bytes == (head.pieces == 0 ? head.length : 0));
    if (head.pieces > 0) { /* nothing stands behind it, so what is written is a whole value */
        bytes = divvy_wire_xen_head_write(&head, text);
        require(bytes < DIVVY_WIRE_XEN_HEAD_BYTES);
        require(divvy_wire_xen_head_read(text, bytes, &again, &bytes_again) == 0 && bytes_again == bytes);
        require(again.pieces == head.pieces && again.length == head.length && again.tag == head.tag);
    }
    return 0;
}
