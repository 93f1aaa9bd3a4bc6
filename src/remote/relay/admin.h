/*
 * The relay's socket for administration. A request is 16 bytes: magic, command, two parameters; its reply 12 bytes: magic, status,
 * length, and then that much text. Words of 32 bits, little-endian. Status 0 or a positive errno.
 */
#ifndef DIVVY_REMOTE_RELAY_ADMIN_H
#define DIVVY_REMOTE_RELAY_ADMIN_H

#include <stdint.h>

#define DIVVY_RELAY_ADMIN_MAGIC         UINT32_C(0x4D445644) /* "DVDM" */
#define DIVVY_RELAY_ADMIN_REQUEST_BYTES 16u
#define DIVVY_RELAY_ADMIN_REPLY_BYTES   12u
#define DIVVY_RELAY_ADMIN_TEXT_BYTES    (8u << 20) /* longest text that a reader has to expect */

enum divvy_relay_admin_command {
    DIVVY_RELAY_ADMIN_METRICS = 0x10, /* first parameter 0: JSON, 1: as Prometheus reads it */
    DIVVY_RELAY_ADMIN_HEALTH = 0x11,  /* JSON */
    DIVVY_RELAY_ADMIN_RELOAD = 0x12,  /* the state is read again */
    DIVVY_RELAY_ADMIN_QUARANTINE = 0x13,   /* first parameter: the VM's id */
    DIVVY_RELAY_ADMIN_UNQUARANTINE = 0x14, /* likewise; its faults are zero again */
    DIVVY_RELAY_ADMIN_CONNECTIONS = 0x15,  /* JSON */
};

#endif
