/*
 * Events of pods, which the API server is asked to make: a short queue, sent one at a time by the thread that follows the cluster. What
 * cannot be sent is dropped with one line: the pod's state is told by other ways as well. Not thread-safe.
 */
#ifndef DIVVY_DAEMON_CLUSTER_EVENT_H
#define DIVVY_DAEMON_CLUSTER_EVENT_H

#include "kube/client.h"
#include "kube/pod.h"

#define DIVVY_CLUSTER_EVENTS_ROOM 64u /* waiting to be sent; those beyond are dropped */

struct divvy_cluster_events {
    CURLM *multi;
    const char *node;
    uint64_t count; /* of all that were ever made */
    long fault; /* status of the last answer where it was a refusal, which was told; else 0 */
    int64_t due_ns;
    struct divvy_kube_request request; /* the one under way */
    uint32_t first, waiting;
    struct divvy_cluster_event {
        char namespace[DIVVY_KUBE_NAMESPACE_BYTES], name[DIVVY_KUBE_NAME_BYTES], uid[DIVVY_KUBE_UID_BYTES];
        char reason[32], message[DIVVY_NODE_TEXT_BYTES];
    } queue[DIVVY_CLUSTER_EVENTS_ROOM];
};

/* multi and node are borrowed for good. */
void divvy_cluster_events_init(struct divvy_cluster_events *events, CURLM *multi, const char *node);
void divvy_cluster_events_done(struct divvy_cluster_events *events);

/* One more; dropped when there is no room. reason: one word for machines. */
void divvy_cluster_events_add(struct divvy_cluster_events *events, const struct divvy_kube_pod *pod, const char *reason, const char *message);

/* Whether one is to be begun now; begin it, with a configuration that is taken over; and what libcurl says when it has ended. */
bool divvy_cluster_events_due(const struct divvy_cluster_events *events, int64_t now_ns);
void divvy_cluster_events_begin(struct divvy_cluster_events *events, struct divvy_kube_config *config, int64_t now_ns);
void divvy_cluster_events_end(struct divvy_cluster_events *events, CURL *curl, CURLcode code);

#endif
