/*
 * List and watch of the pods of one node, as decisions: what to ask the API server next, what its answers mean, when to come back after
 * what kind of failure. No socket and no clock: bytes and times come in. Not thread-safe.
 *
 * A list comes in pages; a watch goes on from its version, is kept young by bookmarks, and begins again from the newest version seen
 * whenever its stream ends. A version that the server no longer has (410 Gone) means a list anew. Between `listing` and `listed` every
 * pod that there is has been told once, so that who was not told of is gone.
 */
#ifndef DIVVY_KUBE_WATCH_H
#define DIVVY_KUBE_WATCH_H

#include "base/error.h"
#include "kube/pod.h"
#include "kube/split.h"

#include <stdint.h>

#define DIVVY_KUBE_PAGE            250u
#define DIVVY_KUBE_CONTINUE_BYTES  4096u
#define DIVVY_KUBE_PATH_BYTES      8192u
#define DIVVY_KUBE_BACKOFF_MIN_NS  INT64_C(100000000)
#define DIVVY_KUBE_BACKOFF_MAX_NS  INT64_C(30000000000)
#define DIVVY_KUBE_WATCH_S         290u /* asked of the server; a stream that lasts longer is given up */

enum divvy_kube_change { DIVVY_KUBE_POD_SET, DIVVY_KUBE_POD_GONE };

struct divvy_kube_watch_calls {
    void (*listing)(void *data); /* a list begins */
    void (*pod)(void *data, enum divvy_kube_change change, const struct divvy_kube_pod *pod);
    void (*listed)(void *data); /* it is complete */
    void (*odd)(void *data, const char *text); /* the server has sent what it should not; passed over */
    void *data;
};

struct divvy_kube_watch {
    struct divvy_kube_watch_calls calls;
    char node[DIVVY_KUBE_NAME_BYTES], selector[256];
    bool is_watching; /* the next request, or the one under way, is a watch */
    bool is_listed;   /* a list was complete, at least once */
    bool is_gone;     /* the server has said 410 in this answer */
    bool has_told;    /* the stream has given something */
    char version[DIVVY_KUBE_VERSION_BYTES];
    char next_page[DIVVY_KUBE_CONTINUE_BYTES];
    struct divvy_kube_split split;
    char said[DIVVY_ERROR_TEXT_BYTES]; /* the server's own words for a failure */
    char body[2048];                   /* of an answer that is no 200 */
    size_t body_length;
    int64_t begun_ns, due_ns, backoff_ns;
    uint64_t random;
};

/* selector: of labels, or empty. seed: of the jitter. */
void divvy_kube_watch_init(struct divvy_kube_watch *watch, const struct divvy_kube_watch_calls *calls, const char *node,
                           const char *selector, uint64_t seed);
void divvy_kube_watch_done(struct divvy_kube_watch *watch);

/* When the next request is due. */
int64_t divvy_kube_watch_due_ns(const struct divvy_kube_watch *watch);

/* Begins the request: its path with query. */
void divvy_kube_watch_begin(struct divvy_kube_watch *watch, int64_t now_ns, char ret_path[DIVVY_KUBE_PATH_BYTES]);

/* Bytes of its answer, whose status is known. 0, or negative: end the request. */
int divvy_kube_watch_take(struct divvy_kube_watch *watch, long http_status, const char *text, size_t length);

/*
 * The answer has ended: http_status 0 without one, `cut` when the transport ended it. 0: all is as it should be (a stream may end at
 * any time); else a negative errno and words for a person in `error`: -EACCES (401), -EPERM (403), -EPROTO, -EIO; the next request
 * is due after a pause that grows.
 */
int divvy_kube_watch_end(struct divvy_kube_watch *watch, int64_t now_ns, long http_status, bool cut, struct divvy_error *error);

/* The request could not even begin (no credentials): as after a failure. */
void divvy_kube_watch_postpone(struct divvy_kube_watch *watch, int64_t now_ns);

#endif
