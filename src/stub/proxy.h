/*
 * The messages of QEMU's remote-device link (-device x-pci-proxy-dev), as QEMU 7.2 sends them: a header of 16 bytes and its
 * data, both in the host's own layout. Pure: bytes in, an answer out.
 *
 * Guest memory and interrupt descriptors that QEMU offers are not taken: the vGPU reads no guest memory.
 */
#ifndef DIVVY_STUB_PROXY_H
#define DIVVY_STUB_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stub/pci.h"

#define DIVVY_STUB_PROXY_HEADER_BYTES 16u
#define DIVVY_STUB_PROXY_DATA_BYTES   256u /* more than any message has */
#define DIVVY_STUB_PROXY_RET_BYTES    24u

typedef enum {
    DIVVY_STUB_PROXY_SYNC_SYSMEM,
    DIVVY_STUB_PROXY_RET,
    DIVVY_STUB_PROXY_CFG_WRITE,
    DIVVY_STUB_PROXY_CFG_READ,
    DIVVY_STUB_PROXY_BAR_WRITE,
    DIVVY_STUB_PROXY_BAR_READ,
    DIVVY_STUB_PROXY_SET_IRQFD,
    DIVVY_STUB_PROXY_RESET,
    DIVVY_STUB_PROXY_MAX,
} divvy_stub_proxy_command_t;

/* What became of a message. */
struct divvy_stub_proxy_outcome {
    size_t used_bytes; /* the message's length; 0: it is not complete yet */
    bool has_answer;   /* `answer` is to be sent */
    bool is_submitted; /* a request is under way in the device */
    bool is_reset;     /* the device was reset: a request that was under way is to be forgotten */
    uint8_t answer[DIVVY_STUB_PROXY_RET_BYTES];
};

/*
 * Handles the first message of `bytes`. 0, or -EPROTO for one that QEMU does not send: the link is then of no more use.
 */
int divvy_stub_proxy_handle(struct divvy_stub_pci *pci, struct divvy_stub_device *device, const uint8_t *bytes, size_t size,
                            uint64_t now_ns, struct divvy_stub_proxy_outcome *ret_outcome);

#endif
