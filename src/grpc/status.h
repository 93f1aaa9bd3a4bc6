/* Status codes of gRPC. Numbers and names are fixed by its protocol. */
#ifndef DIVVY_GRPC_STATUS_H
#define DIVVY_GRPC_STATUS_H

enum divvy_grpc_status {
    DIVVY_GRPC_OK = 0,
    DIVVY_GRPC_CANCELLED = 1,
    DIVVY_GRPC_UNKNOWN = 2,
    DIVVY_GRPC_INVALID_ARGUMENT = 3,
    DIVVY_GRPC_DEADLINE_EXCEEDED = 4,
    DIVVY_GRPC_NOT_FOUND = 5,
    DIVVY_GRPC_ALREADY_EXISTS = 6,
    DIVVY_GRPC_PERMISSION_DENIED = 7,
    DIVVY_GRPC_RESOURCE_EXHAUSTED = 8,
    DIVVY_GRPC_FAILED_PRECONDITION = 9,
    DIVVY_GRPC_ABORTED = 10,
    DIVVY_GRPC_OUT_OF_RANGE = 11,
    DIVVY_GRPC_UNIMPLEMENTED = 12,
    DIVVY_GRPC_INTERNAL = 13,
    DIVVY_GRPC_UNAVAILABLE = 14,
    DIVVY_GRPC_DATA_LOSS = 15,
    DIVVY_GRPC_UNAUTHENTICATED = 16,
    DIVVY_GRPC_STATUS_MAX
};

#define DIVVY_GRPC_TEXT_BYTES 512u /* of a status' message, NUL included; longer ones are cut */

/* "DEADLINE_EXCEEDED" and so on; "UNKNOWN" for what is none. */
const char *divvy_grpc_status_name(enum divvy_grpc_status status);

#endif
