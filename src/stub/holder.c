/* The loop of a stub. */
#include "stub/holder.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"
#include "core/sys.h"
#include "stub/link.h"
#include "stub/proxy.h"

#define RETRY_NS (100 * DIVVY_NS_PER_MS)

/* Descriptors that a message of QEMU may carry; they are closed at once. */
#define FDS_MAX 16

struct holder {
    const struct divvy_stub_settings *settings;
    struct divvy_stub_device device;
    struct divvy_stub_pci pci;
    struct divvy_stub_link link;
    struct divvy_stub_machine machine;
    int signal_fd;
    uint64_t begun_ns;    /* the device's time starts here */
    uint64_t retry_ns;    /* when the relay is tried again, while there is no connection */
    uint64_t deadline_ns; /* when the request under way ends at the latest; meaningful while the device is busy */
    uint32_t request_id;  /* of the request under way: our own numbers, so that late answers are known */
    bool is_sent, was_connected;
    uint8_t in[4096]; /* of QEMU */
    size_t in_bytes;
};

/* --- the relay ---------------------------------------------------------------------------------------- */

static void request_end(struct holder *holder, divvy_wire_vgpu_code_t code) {
    divvy_stub_device_fail(&holder->device, code, divvy_core_clock_ns() - holder->begun_ns);
}

/* A connection is gone: the request that went over it may have been done, so it is not sent again. */
static void relay_lost(struct holder *holder, int status) {
    if (holder->was_connected)
        divvy_log_warn("lost the relay at %s: %s; requests fail until it is back", holder->link.path, strerror(-status));
    holder->was_connected = false;
    holder->retry_ns = divvy_core_clock_ns() + RETRY_NS;
    if (holder->is_sent)
        request_end(holder, DIVVY_WIRE_VGPU_CODE_NO_RELAY);
    holder->is_sent = false;
}

static void frame_send(struct holder *holder, uint32_t kind, uint32_t request_id, const uint8_t *payload, uint32_t bytes) {
    const struct divvy_stub_identity *identity = &holder->settings->identity;
    const struct divvy_wire_vgpu_header header = {.kind = kind,
                                                  .vm_id = identity->vm_id,
                                                  .request_id = request_id,
                                                  .pool_id = identity->pool_id,
                                                  .priority = identity->priority,
                                                  .payload_bytes = bytes};
    int status = divvy_stub_link_send(&holder->link, &header, payload);

    if (status < 0)
        relay_lost(holder, status);
}

static void request_send(struct holder *holder) {
    if (!divvy_stub_device_is_busy(&holder->device) || holder->is_sent || holder->link.fd < 0)
        return;
    holder->is_sent = true;
    frame_send(holder, DIVVY_WIRE_VGPU_REQUEST, holder->request_id, holder->device.submitted,
               holder->device.submitted_bytes);
}

static void relay_connect(struct holder *holder, uint64_t now_ns) {
    int status;

    if (holder->link.fd >= 0)
        return;
    status = divvy_stub_link_connect(&holder->link);
    if (status < 0) {
        holder->retry_ns = now_ns + RETRY_NS;
        divvy_log_debug("no relay at %s: %s", holder->link.path, strerror(-status));
        return;
    }
    holder->was_connected = true;
    divvy_log_info("connected to the relay at %s", holder->link.path);
}

static void frame_handle(struct holder *holder, const struct divvy_stub_frame *frame) {
    bool is_answer = holder->is_sent && frame->header.request_id == holder->request_id;
    uint64_t now_ns = divvy_core_clock_ns() - holder->begun_ns;

    switch (frame->header.kind) {
    case DIVVY_WIRE_VGPU_PING:
        frame_send(holder, DIVVY_WIRE_VGPU_PONG, frame->header.request_id, NULL, 0);
        return;
    case DIVVY_WIRE_VGPU_PONG:
        return;
    case DIVVY_WIRE_VGPU_REQUEST:
        divvy_log_warn("the relay sent a request: connection closed");
        divvy_stub_link_close(&holder->link);
        relay_lost(holder, -EPROTO);
        return;
    default:
        break;
    }
    if (!is_answer)
        return; /* of a request that has ended: it came too late */
    holder->is_sent = false;
    if (frame->header.kind == DIVVY_WIRE_VGPU_BUSY) {
        request_end(holder, DIVVY_WIRE_VGPU_CODE_RATE);
    } else if (frame->header.kind == DIVVY_WIRE_VGPU_QUARANTINED) {
        request_end(holder, DIVVY_WIRE_VGPU_CODE_QUARANTINED);
    } else if (divvy_stub_device_complete(&holder->device, frame->payload, frame->header.payload_bytes, now_ns) < 0) {
        divvy_log_warn("the relay's answer is malformed: connection closed");
        divvy_stub_link_close(&holder->link);
        relay_lost(holder, -EPROTO);
        request_end(holder, DIVVY_WIRE_VGPU_CODE_NO_RELAY);
    }
}

static void relay_handle(struct holder *holder, short events) {
    struct divvy_stub_frame frame;
    int status = events & POLLOUT ? divvy_stub_link_flush(&holder->link) : 0;

    while (status >= 0 && (status = divvy_stub_link_receive(&holder->link, &frame)) > 0)
        frame_handle(holder, &frame);
    if (status < 0)
        relay_lost(holder, status);
}

/* --- QEMU --------------------------------------------------------------------------------------------- */

static void request_begin(struct holder *holder, uint64_t now_ns) {
    uint64_t grace_ns = DIVVY_STUB_GRACE_MS * DIVVY_NS_PER_MS;

    holder->request_id++;
    holder->is_sent = false;
    relay_connect(holder, now_ns);
    holder->deadline_ns = now_ns + (holder->link.fd >= 0 ? holder->settings->timeout_ns : grace_ns);
    request_send(holder);
}

/* Reads what QEMU sent; descriptors that come with it are not wanted. Bytes, or a negative errno. */
static ssize_t machine_read(struct holder *holder) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {holder->in + holder->in_bytes, sizeof holder->in - holder->in_bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got;

    do
        got = recvmsg(holder->machine.device_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? 0 : -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            divvy_core_sys_close(&fd);
        }
    }
    return got == 0 ? -ECONNRESET : got;
}

/* Answers what QEMU asked. False: the link is of no more use. */
static bool machine_handle(struct holder *holder) {
    struct divvy_stub_proxy_outcome outcome;
    ssize_t got = machine_read(holder);
    size_t done = 0;

    if (got < 0)
        return false;
    holder->in_bytes += (size_t)got;
    for (;;) {
        uint64_t now_ns = divvy_core_clock_ns();

        if (divvy_stub_proxy_handle(&holder->pci, &holder->device, holder->in + done, holder->in_bytes - done,
                                    now_ns - holder->begun_ns, &outcome) < 0) {
            divvy_log_error("QEMU sent what its remote-device link does not have; is it another version than 7.2?");
            return false;
        }
        if (outcome.used_bytes == 0)
            break;
        done += outcome.used_bytes;
        if (outcome.is_reset)
            holder->is_sent = false;
        if (outcome.has_answer &&
            send(holder->machine.device_fd, outcome.answer, sizeof outcome.answer, MSG_NOSIGNAL) < 0)
            return false;
        if (outcome.is_submitted)
            request_begin(holder, now_ns);
    }
    holder->in_bytes -= done;
    memmove(holder->in, holder->in + done, holder->in_bytes);
    return true;
}

/* --- the loop ----------------------------------------------------------------------------------------- */

static void clock_handle(struct holder *holder, uint64_t now_ns) {
    if (holder->link.fd < 0 && now_ns >= holder->retry_ns) {
        relay_connect(holder, now_ns);
        if (holder->link.fd >= 0 && divvy_stub_device_is_busy(&holder->device) && !holder->is_sent)
            holder->deadline_ns = now_ns + holder->settings->timeout_ns;
        request_send(holder);
    }
    if (divvy_stub_device_is_busy(&holder->device) && now_ns >= holder->deadline_ns) {
        request_end(holder, holder->is_sent ? DIVVY_WIRE_VGPU_CODE_TIMEOUT : DIVVY_WIRE_VGPU_CODE_NO_RELAY);
        holder->is_sent = false;
    }
    divvy_log_tick();
}

/* Milliseconds until the clock matters next, rounded up. */
static int wait_ms(const struct holder *holder, uint64_t now_ns) {
    uint64_t next_ns = now_ns + DIVVY_NS_PER_SECOND;

    if (holder->link.fd < 0 && holder->retry_ns < next_ns)
        next_ns = holder->retry_ns;
    if (divvy_stub_device_is_busy(&holder->device) && holder->deadline_ns < next_ns)
        next_ns = holder->deadline_ns;
    return next_ns <= now_ns ? 0 : (int)((next_ns - now_ns + DIVVY_NS_PER_MS - 1) / DIVVY_NS_PER_MS);
}

/* One turn. False: it is over. */
static bool turn(struct holder *holder) {
    enum { QEMU, RELAY, EXIT, SIGNAL, STDERR, COUNT };
    struct divvy_stub_link *link = &holder->link;
    struct pollfd fds[COUNT] = {
        [QEMU] = {.fd = holder->machine.device_fd, .events = POLLIN},
        [RELAY] = {.fd = link->fd,
                   .events = (short)(POLLIN | (divvy_stub_link_wants_write(link) ? POLLOUT : 0))},
        [EXIT] = {.fd = holder->machine.exit_fd, .events = POLLIN},
        [SIGNAL] = {.fd = holder->signal_fd, .events = POLLIN},
        [STDERR] = {.fd = holder->machine.stderr_fd, .events = POLLIN},
    };

    if (poll(fds, COUNT, wait_ms(holder, divvy_core_clock_ns())) < 0 && errno != EINTR)
        return false;
    if (fds[RELAY].revents)
        relay_handle(holder, fds[RELAY].revents);
    if (fds[QEMU].revents && !machine_handle(holder))
        return false;
    clock_handle(holder, divvy_core_clock_ns());
    if (fds[STDERR].revents)
        (void)divvy_stub_machine_stderr_pass(&holder->machine, divvy_core_clock_ns());
    return !fds[EXIT].revents && !fds[SIGNAL].revents;
}

static int signals_open(struct divvy_error *error) {
    sigset_t set;
    int fd;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd >= 0 ? fd : divvy_error_set_errno(error, -errno, "cannot watch signals");
}

/* What QEMU said as it ended, as far as the pipe holds it. */
static void last_words_pass(struct divvy_stub_machine *machine) {
    for (int i = 0; i < 16 && machine->stderr_fd >= 0; i++) {
        struct pollfd words = {.fd = machine->stderr_fd, .events = POLLIN};

        if (poll(&words, 1, 0) != 1 || !divvy_stub_machine_stderr_pass(machine, divvy_core_clock_ns()))
            return;
    }
}

int divvy_stub_holder_run(const struct divvy_stub_settings *settings, struct divvy_error *error) {
    static struct holder holder;
    struct pollfd gone;
    int status;

    holder.settings = settings;
    holder.begun_ns = divvy_core_clock_ns();
    divvy_stub_device_init(&holder.device, &settings->identity);
    divvy_stub_pci_init(&holder.pci, &settings->identity);
    if (divvy_stub_link_init(&holder.link, settings->relay, error) < 0)
        return 1;
    holder.signal_fd = signals_open(error);
    if (holder.signal_fd < 0)
        return 1;
    if (divvy_stub_machine_start(settings->machine, &settings->bulk, &holder.machine, error) < 0) {
        divvy_cleanup_close(&holder.signal_fd);
        return 1;
    }
    relay_connect(&holder, holder.begun_ns);
    while (turn(&holder))
        continue;
    /* The link breaks a moment before QEMU's end shows. */
    gone = (struct pollfd){.fd = holder.machine.exit_fd, .events = POLLIN};
    if (holder.machine.device_fd >= 0 && holder.in_bytes == 0)
        (void)poll(&gone, 1, 100);
    last_words_pass(&holder.machine);
    status = divvy_stub_machine_end(&holder.machine);
    divvy_stub_link_close(&holder.link);
    divvy_cleanup_close(&holder.signal_fd);
    return status;
}
