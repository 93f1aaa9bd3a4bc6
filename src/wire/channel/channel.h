/*
 * The two-way HTTP channel: what both sides must agree on. docs/CHANNEL.md explains it for people.
 *
 * A client (a process that limits itself, or any program) asks a server (the daemon of the node) for tasks and answers each
 * with a result. Below a base path, DIVVY_CHANNEL_BASE by default:
 *
 *   GET  <base>/events/<client id>   with "Accept: text/event-stream": a stream that stays open. Each task is one event, one
 *                                    "data:" line. A comment every 15 s keeps the stream alive. On failure one event named
 *                                    "error" with {"error": s}, then the end.
 *                                    Otherwise a long poll: an array of tasks in JSON as soon as there is one, [] when none
 *                                    came within DIVVY_CHANNEL_POLL_NS (or "?wait=SECONDS", if that is less).
 *   POST <base>/result               TaskResult: 200; 400 not understood; 500 task or client not known
 *   POST <base>/report               Report: 200; 400; 404 nobody takes reports
 *
 *   TaskItem    {"id":uuid,"data":T,"state":"Queued|Processing|Completed|Failed","created_at":t,"updated_at":t,"client_id":s}
 *   TaskResult  {"task_id":uuid,"client_id":s,"success":bool,"result":R|null,"error":s|null,"timestamp":t}
 *   T           {"id":n,"kind":"HealthCheck|Suspend|Resume|VramReclaim|Lease", ...}, n from 1 and growing
 *   R           {"id":n,"success":bool,"message":s|null}
 *
 * Delivery is at least once: a task without result comes again when its lease (60 s) ends or the stream breaks, with the same
 * uuid and the same n. Clients remember what they have done and answer a repeat with the result of the first time.
 *
 * The kinds of vgpu.rs: HealthCheck (alive?), Suspend (start no GPU work until Resume), Resume, VramReclaim (give back what
 * is cached). Ours: Lease, the right to start work where no control page can be mapped, with the members
 *
 *   "device":s   UUID of the device; absent or null: all of them
 *   "mode":s     "open", "leased", "frozen" or "self" (words of page/control.h); absent: "leased"
 *   "begin":n    ns from the receipt of the command to the begin of the lease, 0: now
 *   "length":n   ns; 0: until another command for the device comes
 *   "budget":n   ns of work in flight at most; absent: as usual
 *   "door":n     the tenant's door as in page/control.h, absent: open. Of the newest Lease for any device
 *   "memory":n, "permille":n   limits of the device as they are now, both or none; memory 0 and permille 1000: none
 *
 * A Lease with a lower number than one that came before over the same stream is answered with a failure and changes nothing.
 *
 * Clocks of the two sides are not compared, so that a client in another time namespace or machine can hold leases; what the
 * way costs shortens or delays the lease by as much. A client whose stream breaks goes on by itself (mode self).
 *
 *   Report      {"client_id":s,"devices":[{"uuid":s,"waiting":n,"busy_ns":n,"used_bytes":n,"launches":n,
 *                "inflight_ns":n,"drain_ns":n,"lease":n,"over":bool}],"door":n}
 *
 * says how much the client wants and has used (since its start), as its usage page would; inflight_ns is work that was started
 * and is not known to be done, drain_ns the time from now until it will be, lease the number of the newest Lease for the device,
 * and over that nothing is started by that any more, or from a moment on that drain_ns is not before; door is the newest word of the door that somebody has come by. What is
 * absent counts as 0 and false.
 */
#ifndef DIVVY_WIRE_CHANNEL_CHANNEL_H
#define DIVVY_WIRE_CHANNEL_CHANNEL_H

#define DIVVY_CHANNEL_BASE "/api/v1/limiter"

#define DIVVY_CHANNEL_CLIENT_ID_BYTES 128 /* with its NUL */
#define DIVVY_CHANNEL_TASK_ID_BYTES   37  /* a UUID in text, with its NUL */

#define DIVVY_CHANNEL_KEEP_ALIVE_NS INT64_C(15000000000)
#define DIVVY_CHANNEL_POLL_NS       INT64_C(25000000000) /* below the 30 s that clients wait for an answer */

/* A Report names at most so many devices. */
#define DIVVY_CHANNEL_REPORT_DEVICES 16

enum divvy_channel_kind {
    DIVVY_CHANNEL_HEALTH_CHECK,
    DIVVY_CHANNEL_SUSPEND,
    DIVVY_CHANNEL_RESUME,
    DIVVY_CHANNEL_VRAM_RECLAIM,
    DIVVY_CHANNEL_LEASE,
    DIVVY_CHANNEL_KIND_MAX
};

/* Why a Lease is not taken, as its result says it: a process with a control page; a device that it does not use. */
#define DIVVY_CHANNEL_LEASE_PAGED  "a control page decides"
#define DIVVY_CHANNEL_LEASE_ABSENT "no such device here"

/* Names in JSON, by kind. */
#define DIVVY_CHANNEL_KIND_NAMES {"HealthCheck", "Suspend", "Resume", "VramReclaim", "Lease"}

#endif
