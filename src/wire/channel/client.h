/*
 * The client's end of the channel: blocking, for a thread of its own. Works within injected code: system calls and fixed
 * buffers only, no signals, errno kept, nothing allocated, no lock held. A client belongs to one thread; only
 * divvy_wire_client_stop and divvy_wire_client_wake may be called from others. In a forked child the parent's client is dead memory: init it anew.
 *
 * It keeps to the server whatever happens: a stream that ends, is refused, says nonsense or nothing at all is opened again
 * after a pause of 0.5 s that doubles up to 30 s (less up to a half, at random), and is 0.5 s again after a task or
 * DIVVY_WIRE_CLIENT_HEALTHY_NS of living stream. A task that cannot be understood is counted and passed over.
 *
 * Tasks are handled one at a time, in order, on the thread that runs the client. What was answered last is remembered: a task
 * that is delivered again gets the same result, and is not handled again.
 */
#ifndef DIVVY_WIRE_CHANNEL_CLIENT_H
#define DIVVY_WIRE_CHANNEL_CLIENT_H

#include "wire/channel/channel.h"
#include "wire/channel/http.h"
#include "wire/channel/json.h"
#include "wire/channel/socket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_CLIENT_PAUSE_NS      (DIVVY_NS_PER_SECOND / 2)
#define DIVVY_WIRE_CLIENT_PAUSE_MAX_NS  (30 * DIVVY_NS_PER_SECOND)
#define DIVVY_WIRE_CLIENT_HEALTHY_NS    (15 * DIVVY_NS_PER_SECOND)
#define DIVVY_WIRE_CLIENT_REQUEST_NS    (30 * DIVVY_NS_PER_SECOND)
#define DIVVY_WIRE_CLIENT_CONNECT_NS    (15 * DIVVY_NS_PER_SECOND)
/* A stream that is silent for three keep-alive intervals is dead. */
#define DIVVY_WIRE_CLIENT_SILENCE_NS    (45 * DIVVY_NS_PER_SECOND)

#define DIVVY_WIRE_CLIENT_TOKEN_BYTES   8192
#define DIVVY_WIRE_CLIENT_BODY_BYTES    8192 /* of requests and of answers that are no stream */
#define DIVVY_WIRE_CLIENT_RESULT_BYTES  384
#define DIVVY_WIRE_CLIENT_ERROR_BYTES   128
#define DIVVY_WIRE_CLIENT_DONE          64 /* results that are remembered */
#define DIVVY_WIRE_CLIENT_RESULT_TRIES  5

struct divvy_wire_client_task {
    char id[DIVVY_CHANNEL_TASK_ID_BYTES];
    divvy_wire_json_t data; /* checked; borrowed during the call */
};

struct divvy_wire_client_result {
    bool success;
    char result[DIVVY_WIRE_CLIENT_RESULT_BYTES]; /* JSON; empty: null. What is not JSON is sent as null */
    char error[DIVVY_WIRE_CLIENT_ERROR_BYTES];   /* empty: null */
};

struct divvy_wire_client_settings {
    struct divvy_wire_address address;
    const char *base;       /* "/api/v1/limiter"; borrowed as long as the client lives, like all of these */
    const char *client_id;  /* as divvy_channel_client_id_is_valid wants it */
    const char *token_path; /* a file with a bearer token, read anew for each request; NULL: none */
    bool is_polling;        /* long polls instead of a stream */
    bool can_stop;          /* divvy_wire_client_stop ends waits at once: takes a descriptor */
    bool can_wake;          /* divvy_wire_client_wake works: takes another */
    uint64_t request_ns, connect_ns;  /* 0: the constants above */
    uint64_t pause_ns, pause_max_ns;  /* 0: the constants above */
    uint64_t healthy_ns, silence_ns;  /* 0: the constants above */
    void *context; /* of the functions below */
    /* Does what the task asks and fills the result, which is zeroed. Called on the thread that runs the client. */
    void (*handle)(void *context, const struct divvy_wire_client_task *task, struct divvy_wire_client_result *ret_result);
    /* The stream was opened (true), or has ended or could not be opened (false, for each try); may be NULL. The same thread. */
    void (*connected)(void *context, bool is_connected);
    /* Before each try to open a stream, for requests that must come first; negative: the try has failed. May be NULL. */
    int (*prepare)(void *context);
    /* Called while a stream is open: at first, after each task, and as often as it says: ns until the next time. May be NULL. */
    uint64_t (*tick)(void *context);
};

struct divvy_wire_client_figures {
    uint64_t streams;  /* that the server accepted */
    uint64_t tasks;    /* handled */
    uint64_t repeats;  /* delivered again */
    uint64_t poison;   /* events that could not be understood or were too large */
    uint64_t unsent;   /* results that the server did not take */
};

/* About 90 KiB; the members are the client's own. */
struct divvy_wire_client {
    struct divvy_wire_client_settings settings;
    struct divvy_wire_client_figures figures;
    int stop_fd, wake_fd;
    int stream_fd, call_fd; /* open sockets, or -1 */
    uint64_t tick_ns;       /* when the next tick is due */
    uint32_t is_stopping;
    uint32_t busy; /* tasks of the answer that is being read */
    uint64_t random;
    uint64_t pause_ns;
    struct divvy_wire_http_answer answer; /* of the stream */
    struct divvy_wire_sse sse;
    struct divvy_wire_array array;
    struct divvy_wire_http_answer call_answer; /* of other requests */
    size_t body_length;
    bool body_is_cut;
    char body[DIVVY_WIRE_CLIENT_BODY_BYTES];
    char request[DIVVY_WIRE_CLIENT_TOKEN_BYTES + DIVVY_WIRE_CLIENT_BODY_BYTES + 1024];
    char token[DIVVY_WIRE_CLIENT_TOKEN_BYTES];
    char received[4096];
    uint32_t done_count; /* since the start; the newest is at (done_count - 1) % DIVVY_WIRE_CLIENT_DONE */
    struct {
        char id[DIVVY_CHANNEL_TASK_ID_BYTES];
        struct divvy_wire_client_result result;
    } done[DIVVY_WIRE_CLIENT_DONE];
};

/* 0, -EINVAL (client id, base, no handle), or what eventfd said. */
int divvy_wire_client_init(struct divvy_wire_client *client, const struct divvy_wire_client_settings *settings);
/* Not while it runs. */
void divvy_wire_client_done(struct divvy_wire_client *client);

/*
 * In a forked child, whose copy of the client nobody runs: closes its descriptors, so that the server sees the end of the
 * parent when it comes. Usable in atfork handlers and more than once.
 */
void divvy_wire_client_forked(struct divvy_wire_client *client);

/* Until divvy_wire_client_stop: opens streams, handles tasks, posts results. */
void divvy_wire_client_run(struct divvy_wire_client *client);
/* From any thread or a signal handler: run returns soon (at once with can_stop, else with the next thing that happens). */
void divvy_wire_client_stop(struct divvy_wire_client *client);

/*
 * From any thread or a signal handler: what `tick` looks at has changed. While a stream is open it is called soon, at once when
 * the client waits for something to come. One write; errno is kept. Without can_wake nothing happens.
 */
void divvy_wire_client_wake(struct divvy_wire_client *client);

struct divvy_wire_client_answer {
    int status;       /* of HTTP */
    const char *body; /* NUL-terminated, in the client, until its next request */
    size_t length;
    bool is_cut; /* there was more than DIVVY_WIRE_CLIENT_BODY_BYTES - 1 */
};
/*
 * One request besides the stream, on a connection of its own, before or within run (from `handle`). `target` is path and
 * query, as they go over the wire; body NULL: none. Takes connect_ns + request_ns at the most. 0 whatever the status; -EINVAL
 * too large or not to be sent; -ETIMEDOUT, -ECANCELED, -EPROTO and what connect and receive say.
 */
int divvy_wire_client_call(struct divvy_wire_client *client, const char *method, const char *target, const char *body,
                           size_t length, struct divvy_wire_client_answer *ret_answer);

/* ---- limiter commands ---- */

struct divvy_wire_command {
    uint64_t number; /* "id" */
    enum divvy_channel_kind kind; /* DIVVY_CHANNEL_KIND_MAX: one that is not known here */
    char device[64], mode[16];    /* of a lease; empty when absent */
    uint64_t begin_ns, length_ns;
    bool has_limits; /* memory_bytes and permille came with it */
    uint64_t memory_bytes, permille;
    uint64_t budget_ns; /* 0: as usual */
    uint64_t door;      /* 0: open */
};

/* From a task's data. -EINVAL: it is no command. */
int divvy_wire_command_parse(divvy_wire_json_t data, struct divvy_wire_command *ret_command);
/* R for a command; message NULL: null. */
void divvy_wire_command_answer(const struct divvy_wire_command *command, bool success, const char *message,
                               struct divvy_wire_client_result *ret_result);

#endif
