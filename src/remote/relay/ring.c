/* Shared memory of VMs: see ring.h. */
#include "remote/relay/ring.h"

#include "base/cleanup.h"
#include "wire/frame.h"
#include "wire/ring/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOLD_BYTES ((size_t)1 << 20)

/* So long after the last bytes they are looked for without sleeping. */
#define SPIN_NS (50 * DIVVY_NS_PER_US)

/* A turn that others may have to wait for; a turn is asked back again after the second, wanted again after the third. */
#define TURN_NS       (4 * DIVVY_NS_PER_MS)
#define TURN_ASK_NS   DIVVY_NS_PER_MS
#define TURN_RETRY_NS (5 * DIVVY_NS_PER_MS)

enum state {
    RING_HERE,     /* the relay has the host's side, or nobody has a session */
    RING_ASKED,    /* a worker was asked to take it over */
    RING_HANDED,   /* the worker has it */
    RING_DRAINING, /* the session is over, the worker is not gone yet */
};

struct divvy_relay_ring {
    struct divvy_source control; /* to the worker; first: the loop hands it back */
    struct divvy_relay_vm *vm;
    struct divvy_relay_ring *next;
    struct divvy_relay_channel *channel; /* whose session it is; NULL: nobody's */
    struct divvy_relay_worker *worker;
    enum state state;
    int fd;
    void *memory;
    uint64_t memory_bytes;
    struct divvy_wire_ring ring;
    bool is_asleep; /* the other side was asked to wake us */
    uint64_t spin_until_ns;
    struct divvy_relay_front front; /* of the turn's job */
    struct divvy_relay_job *job;    /* while the worker has its turn */
    struct divvy_relay_worker *place; /* whose place it takes */
    bool waits_turn;                /* the worker wants one */
    uint64_t retry_ns;              /* not before this; 0: it stands in the queue */
    uint64_t turn_until_ns;
    bool has_pending; /* a greeting that waits for the last worker to be gone */
    struct divvy_wire_ring_greeting pending;
    struct divvy_relay_bytes stream; /* of the channel's stream, what is no whole greeting yet */
    struct divvy_relay_bytes answer; /* of the worker's */
};

/* --- memory that is cut short ----------------------------------------------------------------------------------- */

/*
 * Whoever may write the file may also cut it short, and then a read of the memory raises SIGBUS. Only the memory of that VM may
 * suffer: it becomes a piece of zeros, and its ring is broken.
 */
static struct {
    char *start;
    uint64_t length;
} maps[DIVVY_RELAY_VMS_MAX];

static void bus_error(int number, siginfo_t *info, void *context) {
    char *at = info->si_addr;

    (void)context;
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        if (maps[i].start && at >= maps[i].start && at < maps[i].start + maps[i].length &&
            mmap(maps[i].start, maps[i].length, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            return;
    (void)signal(number, SIG_DFL); /* and happens again */
}

static int map_guard(const struct divvy_relay_ring *ring) {
    struct sigaction action = {.sa_sigaction = bus_error, .sa_flags = SA_SIGINFO};

    (void)sigemptyset(&action.sa_mask);
    maps[ring->vm->number].start = ring->memory;
    maps[ring->vm->number].length = ring->memory_bytes;
    return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

/* --- the file ------------------------------------------------------------------------------------------------- */

static int file_check(const struct divvy_relay_vm_config *config, const struct stat *found, struct divvy_error *error) {
    if (!S_ISREG(found->st_mode))
        return divvy_error_set(error, -EINVAL, "%.120s is no plain file", config->shm);
    if (found->st_mode & (S_IRWXG | S_IRWXO))
        return divvy_error_set(error, -EINVAL, "others may open %.120s: who can is the VM. Make it mode 0600", config->shm);
    if (config->shm_bytes && found->st_size && (uint64_t)found->st_size != config->shm_bytes)
        return divvy_error_set(error, -EINVAL, "%.120s has %lld bytes, not %llu: remove it, or give its own size", config->shm,
                               (long long)found->st_size, (unsigned long long)config->shm_bytes);
    if (found->st_size && divvy_wire_ring_size_check((uint64_t)found->st_size) < 0)
        return divvy_error_set(error, -EINVAL, "%.120s: %lld bytes are no size for shared memory (multiples of 4096, 12 KiB to 4 GiB)",
                               config->shm, (long long)found->st_size);
    return 0;
}

static int file_open(struct divvy_relay_ring *ring, struct divvy_error *error) {
    const struct divvy_relay_vm_config *config = &ring->vm->config;
    struct stat found;
    int status;

    ring->fd = open(config->shm, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (ring->fd < 0 || fstat(ring->fd, &found) < 0)
        return divvy_error_set_errno(error, -errno, "cannot open %.120s", config->shm);
    status = file_check(config, &found, error);
    if (status < 0)
        return status;
    ring->memory_bytes = found.st_size ? (uint64_t)found.st_size : config->shm_bytes ? config->shm_bytes : DIVVY_RELAY_RING_BYTES;
    if (found.st_size == 0 && ftruncate(ring->fd, (off_t)ring->memory_bytes) < 0)
        return divvy_error_set_errno(error, -errno, "cannot give %.120s its size", config->shm);
    ring->memory = mmap(NULL, ring->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
    if (ring->memory == MAP_FAILED) {
        ring->memory = NULL;
        return divvy_error_set_errno(error, -errno, "cannot map %.120s", config->shm);
    }
    status = map_guard(ring);
    return status < 0 ? divvy_error_set_errno(error, status, "SIGBUS") : 0;
}

static void control_ready(struct divvy_source *source, uint32_t events);
static void turn_answered(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length);
static void turn_refused(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message);
static void turn_close(struct divvy_relay_ring *ring);

int divvy_relay_ring_open(struct divvy_relay_vm *vm, struct divvy_error *error) {
    struct divvy_relay_ring *ring;
    int status;

    if (!vm->config.shm[0])
        return 0;
    ring = calloc(1, sizeof *ring);
    if (!ring)
        return divvy_error_set_errno(error, -ENOMEM, "VM %s", vm->config.name);
    ring->control = (struct divvy_source){.fd = -1, .ready = control_ready};
    ring->front = (struct divvy_relay_front){turn_answered, turn_refused};
    ring->vm = vm;
    ring->fd = -1;
    ring->next = vm->relay->rings;
    vm->relay->rings = ring;
    vm->ring = ring;
    status = file_open(ring, error);
    if (status < 0)
        divvy_relay_ring_close(vm);
    return status;
}

void divvy_relay_ring_close(struct divvy_relay_vm *vm) {
    struct divvy_relay_ring *ring = vm->ring, **link = &vm->relay->rings;

    if (!ring)
        return;
    while (*link != ring)
        link = &(*link)->next;
    *link = ring->next;
    vm->ring = NULL;
    divvy_loop_close(&vm->relay->loop, &ring->control);
    maps[vm->number].start = NULL;
    if (ring->memory)
        (void)munmap(ring->memory, ring->memory_bytes);
    divvy_cleanup_close(&ring->fd);
    divvy_relay_bytes_done(&ring->stream);
    divvy_relay_bytes_done(&ring->answer);
    free(ring);
}

/* --- sessions ------------------------------------------------------------------------------------------------- */

static void stream_wake(const struct divvy_relay_channel *channel) {
    const char byte = DIVVY_WIRE_RING_WAKE;

    /* A stream that is full has wake-ups enough. */
    (void)!send(channel->source.fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void greeting_answer(struct divvy_relay_channel *channel, const struct divvy_wire_ring_greeting *greeting, uint32_t status) {
    const struct divvy_relay_ring *ring = channel->vm->ring;
    struct divvy_wire_ring_greeting answer = *greeting;

    answer.version = DIVVY_WIRE_RING_VERSION;
    answer.memory_bytes = ring ? ring->memory_bytes : 0;
    answer.status = status;
    if (status != DIVVY_WIRE_RING_STATUS_OK)
        divvy_log_write(&channel->vm->offence_site, DIVVY_LOG_WARN, NULL, 0, "VM-%s may not use shared memory: reason %u",
                        channel->vm->config.name, status);
    if (send(channel->source.fd, &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof answer)
        divvy_relay_channel_close(channel);
}

static void session_start(struct divvy_relay_ring *ring, struct divvy_relay_channel *channel,
                          const struct divvy_wire_ring_greeting *greeting) {
    ring->channel = channel;
    channel->ring = ring;
    ring->has_pending = false;
    ring->is_asleep = false;
    ring->spin_until_ns = divvy_core_clock_ns() + SPIN_NS;
    (void)divvy_wire_ring_create(ring->memory, ring->memory_bytes, greeting->session, &ring->ring);
    greeting_answer(channel, greeting, DIVVY_WIRE_RING_STATUS_OK);
}

/* The channel's session is over, the channel perhaps not. A worker that has the memory is told, and waited for. */
static void session_end(struct divvy_relay_channel *channel) {
    struct divvy_relay_ring *ring = channel->ring;

    channel->ring = NULL;
    ring->channel = NULL;
    ring->has_pending = false;
    divvy_relay_bytes_done(&ring->stream);
    turn_close(ring);
    if (ring->state == RING_ASKED || ring->state == RING_HANDED) {
        ring->state = RING_DRAINING;
        (void)shutdown(ring->control.fd, SHUT_WR);
    }
    divvy_relay_channel_reset(channel);
}

_Static_assert(DIVVY_RELAY_GREETING_BYTE == (DIVVY_WIRE_RING_GREETING & 0xFF), "first byte of a greeting");

static uint32_t greeting_judge(const struct divvy_relay_channel *channel, const struct divvy_wire_ring_greeting *greeting) {
    const struct divvy_relay_ring *ring = channel->vm->ring;

    if (!ring)
        return DIVVY_WIRE_RING_STATUS_NONE;
    if (greeting->version >> 16 != DIVVY_WIRE_RING_VERSION >> 16)
        return DIVVY_WIRE_RING_STATUS_VERSION;
    if (greeting->memory_bytes != ring->memory_bytes)
        return DIVVY_WIRE_RING_STATUS_SIZE;
    return ring->channel && ring->channel != channel ? DIVVY_WIRE_RING_STATUS_BUSY : DIVVY_WIRE_RING_STATUS_OK;
}

static void greeting_take(struct divvy_relay_channel *channel, const struct divvy_wire_ring_greeting *greeting) {
    struct divvy_relay_ring *ring = channel->vm->ring;
    uint32_t status = greeting_judge(channel, greeting);

    if (channel->ring)
        session_end(channel);
    if (status != DIVVY_WIRE_RING_STATUS_OK) {
        greeting_answer(channel, greeting, status);
    } else if (ring->state == RING_DRAINING) {
        ring->channel = channel;
        channel->ring = ring;
        ring->pending = *greeting;
        ring->has_pending = true;
    } else {
        session_start(ring, channel, greeting);
    }
}

static bool greeting_is_whole(const struct divvy_relay_bytes *bytes, struct divvy_wire_ring_greeting *ret_greeting) {
    if (divvy_relay_bytes_length(bytes) < sizeof *ret_greeting)
        return false;
    memcpy(ret_greeting, divvy_relay_bytes_front(bytes), sizeof *ret_greeting);
    return true;
}

int divvy_relay_ring_begin(struct divvy_relay_channel *channel) {
    struct divvy_wire_ring_greeting greeting;

    if (!greeting_is_whole(&channel->in, &greeting))
        return 0;
    if (greeting.magic != DIVVY_WIRE_RING_GREETING || greeting.status != 0 || greeting.reserved != 0) {
        divvy_relay_channel_offence(channel, "what is no greeting for shared memory");
        return -EPROTO;
    }
    /* Nothing is sent behind a greeting before its answer. */
    divvy_relay_bytes_done(&channel->in);
    greeting_take(channel, &greeting);
    return 0;
}

void divvy_relay_ring_leave(struct divvy_relay_channel *channel) {
    if (channel->ring)
        session_end(channel);
}

bool divvy_relay_ring_is_handed_over(const struct divvy_relay_channel *channel) {
    return channel->ring && (channel->ring->state == RING_ASKED || channel->ring->state == RING_HANDED);
}

const struct divvy_relay_worker *divvy_relay_ring_worker(const struct divvy_relay_channel *channel) {
    return divvy_relay_ring_is_handed_over(channel) ? channel->ring->worker : NULL;
}

/* --- a worker takes over -------------------------------------------------------------------------------------------- */

/* The greeting with the file; a worker answers it like the relay answers a client. */
static int worker_ask(const struct divvy_relay_ring *ring, int fd) {
    struct divvy_wire_ring_greeting greeting = {.magic = DIVVY_WIRE_RING_GREETING,
                                                .version = DIVVY_WIRE_RING_VERSION,
                                                .memory_bytes = ring->memory_bytes};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = &greeting, .iov_len = sizeof greeting};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &ring->fd, sizeof(int));
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof greeting ? 0 : -errno;
}

/* Whether a worker of this host takes the session. If not, the relay serves it itself, or says why nobody does. */
static bool hand_over(struct divvy_relay_ring *ring) {
    struct divvy_relay_vm *vm = ring->vm;
    struct divvy_relay_worker *worker = vm->config.quarantined ? NULL : divvy_relay_worker_choose(vm);
    int waits = 0, fd, status;

    if (!worker || worker->endpoint.address.ss_family != AF_UNIX)
        return false;
    fd = divvy_relay_endpoint_connect(&worker->endpoint, &waits);
    status = fd < 0 ? fd : worker_ask(ring, fd);
    ring->control.fd = fd;
    if (status == 0)
        status = divvy_loop_add(&vm->relay->loop, &ring->control, EPOLLIN);
    if (status < 0) {
        divvy_loop_close(&vm->relay->loop, &ring->control);
        divvy_relay_worker_failed(vm->relay, worker, status);
        return false;
    }
    ring->worker = worker;
    ring->state = RING_ASKED;
    divvy_relay_bytes_done(&ring->answer);
    divvy_relay_vm_received(vm);
    return true;
}

/* The worker is gone. */
static void control_end(struct divvy_relay_ring *ring) {
    struct divvy_relay_channel *channel = ring->channel;
    bool was_draining = ring->state == RING_DRAINING;

    divvy_loop_close(&ring->vm->relay->loop, &ring->control);
    ring->state = RING_HERE;
    if (!channel)
        return;
    if (was_draining && ring->has_pending)
        session_start(ring, channel, &ring->pending);
    else if (!was_draining)
        divvy_relay_channel_close(channel);
}

/* --- turns ---------------------------------------------------------------------------------------------------- */

static void worker_tell(const struct divvy_relay_ring *ring, char what) {
    (void)!send(ring->control.fd, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void turn_answered(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length) {
    (void)front;
    (void)job;
    (void)json;
    (void)length;
}

static void turn_leave(struct divvy_relay_ring *ring) {
    divvy_relay_worker_leave(ring->place, ring->job);
    ring->job = NULL;
    ring->place = NULL;
}

static void turn_finish(struct divvy_relay_ring *ring, enum divvy_node_vmq_outcome outcome) {
    struct divvy_relay_job *job = ring->job;

    turn_leave(ring);
    divvy_relay_job_finish(job, "", 0, 0, NULL, outcome);
}

static void turn_retry(struct divvy_relay_ring *ring, uint64_t now_ns) {
    ring->retry_ns = now_ns + TURN_RETRY_NS;
    divvy_relay_deadline(ring->vm->relay, ring->retry_ns);
}

/* No turn: no worker, quarantine, limits; or the turn was too long, and ends the session. */
static void turn_refused(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message) {
    struct divvy_relay_ring *ring = (struct divvy_relay_ring *)(void *)((char *)front - offsetof(struct divvy_relay_ring, front));
    bool is_over = ring->job == job || code == DIVVY_WIRE_CODE_QUARANTINE || code == DIVVY_WIRE_CODE_POOL;

    (void)message;
    if (ring->job == job)
        turn_leave(ring);
    if (!is_over) {
        turn_retry(ring, divvy_core_clock_ns());
        return;
    }
    ring->waits_turn = false;
    if (ring->channel)
        divvy_relay_channel_close(ring->channel);
}

static void turn_want(struct divvy_relay_ring *ring) {
    const struct divvy_relay_job model = {.ring = ring};
    uint64_t now_ns = divvy_core_clock_ns();
    struct divvy_relay_bytes none = {0};
    int status = divvy_node_vmq_admits(ring->vm->relay->vmq, ring->vm->number, (int64_t)now_ns);

    ring->waits_turn = true;
    if (status < 0 && status != -EACCES) {
        /* Requests of the JSON dialect would be refused; here the client is held up until it is within its limits. */
        turn_retry(ring, now_ns);
        return;
    }
    ring->retry_ns = 0;
    divvy_relay_submit(ring->vm, &ring->front, &model, &none);
}

void divvy_relay_ring_turn_start(struct divvy_relay_job *job, struct divvy_relay_worker *worker) {
    struct divvy_relay_ring *ring = job->ring;

    ring->job = job;
    ring->place = worker;
    ring->waits_turn = false;
    divvy_relay_worker_take(worker, job);
    job->sent_ns = divvy_core_clock_ns();
    ring->turn_until_ns = job->sent_ns + TURN_NS;
    divvy_relay_deadline(ring->vm->relay, ring->turn_until_ns);
    worker_tell(ring, DIVVY_WIRE_RING_TURN_GIVE);
}

static void turn_close(struct divvy_relay_ring *ring) {
    if (ring->job)
        turn_finish(ring, DIVVY_NODE_VMQ_GONE);
    else if (ring->waits_turn && ring->retry_ns == 0)
        divvy_relay_front_leave(ring->vm, &ring->front);
    ring->waits_turn = false;
}

void divvy_relay_rings_tick(struct divvy_relay *relay, uint64_t now_ns, uint64_t *next_ns) {
    for (struct divvy_relay_ring *ring = relay->rings; ring; ring = ring->next) {
        uint64_t at_ns = UINT64_MAX;

        if (ring->job && now_ns >= ring->turn_until_ns) {
            worker_tell(ring, DIVVY_WIRE_RING_TURN_ASK);
            ring->turn_until_ns = now_ns + TURN_ASK_NS; /* it may have been taken for something else */
        }
        if (ring->waits_turn && ring->retry_ns != 0 && now_ns >= ring->retry_ns)
            turn_want(ring);
        if (ring->job)
            at_ns = ring->turn_until_ns;
        else if (ring->waits_turn && ring->retry_ns != 0)
            at_ns = ring->retry_ns;
        if (at_ns < *next_ns)
            *next_ns = at_ns;
    }
}

static void handed_take(struct divvy_relay_ring *ring, const char *bytes, size_t length) {
    for (size_t i = 0; i < length && ring->state == RING_HANDED; i++)
        switch (bytes[i]) {
        case DIVVY_WIRE_RING_WAKE:
            stream_wake(ring->channel);
            break;
        case DIVVY_WIRE_RING_TURN_WANT:
            if (!ring->job && !ring->waits_turn)
                turn_want(ring);
            break;
        case DIVVY_WIRE_RING_TURN_OVER:
            if (ring->job)
                turn_finish(ring, DIVVY_NODE_VMQ_DONE);
            break;
        default:
            break;
        }
}

/* --- what a worker says ------------------------------------------------------------------------------------------- */

/* Bytes of a worker: its answer to the greeting, then wake-ups. Negative: it does not take the session. */
static int control_take(struct divvy_relay_ring *ring, const char *bytes, size_t length) {
    struct divvy_wire_ring_greeting answer;

    if (ring->state == RING_HANDED)
        handed_take(ring, bytes, length);
    if (ring->state != RING_ASKED)
        return 0;
    if (divvy_relay_bytes_append(&ring->answer, bytes, length) < 0)
        return -ENOMEM;
    if (!greeting_is_whole(&ring->answer, &answer))
        return 0;
    if (answer.magic != DIVVY_WIRE_RING_GREETING || answer.status != DIVVY_WIRE_RING_STATUS_OK)
        return -EPROTO;
    ring->state = RING_HANDED;
    divvy_relay_worker_answered(ring->vm->relay, ring->worker);
    divvy_log_info("VM-%s: data_path=shared memory with worker %s", ring->vm->config.name, ring->worker->endpoint.text);
    handed_take(ring, divvy_relay_bytes_front(&ring->answer) + sizeof answer, divvy_relay_bytes_length(&ring->answer) - sizeof answer);
    return 0;
}

static void control_ready(struct divvy_source *source, uint32_t events) {
    struct divvy_relay_ring *ring = (struct divvy_relay_ring *)(void *)source;
    char bytes[256];
    ssize_t got = recv(source->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    (void)events;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && control_take(ring, bytes, (size_t)got) == 0)
        return;
    if (got > 0)
        divvy_log_warn("worker %s takes over no shared memory", ring->worker->endpoint.text);
    control_end(ring);
}

/* --- bytes ---------------------------------------------------------------------------------------------------- */

int64_t divvy_relay_ring_receive(struct divvy_relay_channel *channel, size_t length) {
    struct divvy_relay_bytes *in = &channel->in;
    bool wake;
    ssize_t got;

    if (divvy_relay_bytes_reserve(in, length) < 0)
        return -ENOMEM;
    got = divvy_wire_ring_read(&channel->ring->ring, in->data + in->end, length, &wake);
    if (got < 0)
        divvy_relay_channel_offence(channel, "words in shared memory that cannot be true");
    if (got > 0)
        in->end += (size_t)got;
    if (wake)
        stream_wake(channel);
    return got == 0 ? -EAGAIN : got;
}

int divvy_relay_ring_send(struct divvy_relay_channel *channel) {
    struct divvy_relay_ring *ring = channel->ring;
    struct divvy_relay_bytes *out = &channel->out;

    while (divvy_relay_bytes_length(out) > 0) {
        bool wake;
        ssize_t put = divvy_wire_ring_write(&ring->ring, divvy_relay_bytes_front(out), divvy_relay_bytes_length(out), &wake);

        if (put < 0)
            return (int)put;
        if (wake)
            stream_wake(channel);
        if (put == 0 && divvy_wire_ring_wait_room(&ring->ring))
            break;
        channel->tx_bytes += (uint64_t)put;
        divvy_relay_bytes_consume(out, (size_t)put);
        ring->spin_until_ns = divvy_core_clock_ns() + SPIN_NS;
    }
    return 0;
}

/* Whether the channel takes bytes now: not while it has too many that are not passed on, or answers that nobody takes. */
static bool is_wanted(const struct divvy_relay_channel *channel) {
    return !channel->is_closed && !channel->is_ending && !channel->has_ended && divvy_relay_bytes_length(&channel->out) < HOLD_BYTES &&
           (!channel->tunnel || divvy_relay_bytes_length(&channel->in) < HOLD_BYTES);
}

/* The first byte tells the dialect. It is only looked at: who serves the session takes it. */
static bool begins_frames(struct divvy_relay_ring *ring) {
    struct iovec pieces[2];
    ssize_t there = divvy_wire_ring_there(&ring->ring, pieces);

    return there > 0 && *(volatile const uint8_t *)pieces[0].iov_base == (DIVVY_WIRE_MAGIC & 0xFF);
}

/* Takes what is there. Whether something was. */
static bool serve(struct divvy_relay_ring *ring) {
    struct divvy_relay_channel *channel = ring->channel;
    struct iovec pieces[2];

    if (divvy_relay_bytes_length(&channel->out) > 0)
        divvy_relay_channel_moved(channel, 0);
    if (!ring->channel || ring->state != RING_HERE || !is_wanted(channel) || divvy_wire_ring_there(&ring->ring, pieces) == 0)
        return false;
    if (!channel->dialect && !channel->tunnel && divvy_relay_bytes_length(&channel->in) == 0 && begins_frames(ring) && hand_over(ring))
        return true;
    divvy_relay_channel_moved(channel, EPOLLIN);
    return true;
}

static bool look(struct divvy_relay_ring *ring, uint64_t now_ns) {
    if (!ring->channel || ring->state != RING_HERE || ring->has_pending)
        return false;
    if (serve(ring)) {
        ring->is_asleep = false;
        ring->spin_until_ns = now_ns + SPIN_NS;
        return true;
    }
    if (!ring->channel || ring->state != RING_HERE)
        return false;
    if (now_ns < ring->spin_until_ns)
        return true;
    if (!ring->is_asleep)
        ring->is_asleep = divvy_wire_ring_sleep(&ring->ring);
    return !ring->is_asleep && is_wanted(ring->channel);
}

bool divvy_relay_rings_look(struct divvy_relay *relay) {
    uint64_t now_ns = relay->rings ? divvy_core_clock_ns() : 0;
    bool is_busy = false;

    for (struct divvy_relay_ring *ring = relay->rings; ring; ring = ring->next)
        is_busy = look(ring, now_ns) || is_busy;
    /* Whoever has bytes for us may need this processor. */
    if (is_busy)
        (void)sched_yield();
    return is_busy;
}

/* --- the stream --------------------------------------------------------------------------------------------------- */

static void woken(struct divvy_relay_ring *ring) {
    const char byte = DIVVY_WIRE_RING_WAKE;

    if (ring->state == RING_ASKED || ring->state == RING_HANDED)
        (void)!send(ring->control.fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    ring->is_asleep = false;
    ring->spin_until_ns = divvy_core_clock_ns() + SPIN_NS;
}

/* On a line that outlasts the programs of a guest one that speaks over the line itself comes after one that used the memory. */
static void stream_leave(struct divvy_relay_channel *channel) {
    struct divvy_relay_bytes stream = channel->ring->stream;

    channel->ring->stream = (struct divvy_relay_bytes){0};
    session_end(channel);
    channel->in = stream;
    divvy_relay_channel_begin(channel);
}

/* Bytes of the stream beside the memory: wake-ups, the end of a session, a greeting for the next. */
static void stream_take(struct divvy_relay_channel *channel) {
    struct divvy_relay_bytes *stream = &channel->ring->stream;

    while (divvy_relay_bytes_length(stream) > 0) {
        struct divvy_wire_ring_greeting greeting;
        char first = divvy_relay_bytes_front(stream)[0];

        if (first == DIVVY_WIRE_RING_WAKE) {
            divvy_relay_bytes_consume(stream, 1);
            woken(channel->ring);
            continue;
        }
        if (first == DIVVY_WIRE_RING_END) {
            session_end(channel);
            return;
        }
        if (channel->vm->config.connects && (first == (char)(DIVVY_WIRE_MAGIC & 0xFF) || divvy_wire_json_begins((unsigned char)first))) {
            stream_leave(channel);
            return;
        }
        if (first != (char)(DIVVY_WIRE_RING_GREETING & 0xFF)) {
            divvy_relay_channel_offence(channel, "what does not belong beside shared memory");
            divvy_relay_channel_close(channel);
            return;
        }
        if (!greeting_is_whole(stream, &greeting))
            return;
        if (greeting.magic != DIVVY_WIRE_RING_GREETING || greeting.status != 0 || greeting.reserved != 0) {
            divvy_relay_channel_offence(channel, "what is no greeting for shared memory");
            divvy_relay_channel_close(channel);
            return;
        }
        greeting_take(channel, &greeting); /* drops the rest of what came */
        return;
    }
}

void divvy_relay_ring_ready(struct divvy_relay_channel *channel, uint32_t events) {
    int64_t got = divvy_relay_bytes_receive(&channel->ring->stream, channel->source.fd, 4096);

    (void)events;
    if (got == -EAGAIN)
        return;
    if (got <= 0) {
        /* Who closes the stream may have put its last request in just before; its answers nobody takes. */
        divvy_relay_channel_close(channel);
        return;
    }
    stream_take(channel);
}
