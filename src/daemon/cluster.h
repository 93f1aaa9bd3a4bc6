/*
 * The cluster: a thread that follows the pods of this node at the API server (kube/watch.h) and keeps the state's tenants equal to them.
 * Whatever the cluster does or does not do, the rest of the daemon goes on: failures are told once, in one line, and tried again.
 *
 * A pod that cannot have what it asks for gets an Event, which `kubectl describe pod` shows, and is told of by divvy_cluster_pods.
 */
#ifndef DIVVY_DAEMON_CLUSTER_H
#define DIVVY_DAEMON_CLUSTER_H

#include "base/error.h"
#include "daemon/state.h"

#include <jansson.h>

#define DIVVY_CLUSTER_PODS_MAX 8192u /* that are ours; those beyond are told of and left alone */

struct divvy_cluster;

/* Strings are borrowed for the call. */
struct divvy_cluster_options {
    const char *kubeconfig; /* empty: the container's own account */
    const char *node;       /* spec.nodeName of our pods */
    const char *selector;   /* of labels; empty: all pods of the node */
};

/* Starts the thread. The state must outlive it. -ENOMEM, -EAGAIN. */
int divvy_cluster_start(struct divvy_daemon *daemon, const struct divvy_cluster_options *options, struct divvy_cluster **ret_cluster,
                        struct divvy_error *error);
/* Ends it within a moment, whatever the API server does. Tenants stay. NULL is fine. */
void divvy_cluster_stop(struct divvy_cluster *cluster);

/*
 * {"cluster":true,"node","in_step","message","pods":[{"namespace","name","uid","state","message"}]}, sorted; state is held, refused or waiting. NULL: no
 * memory. Any thread.
 */
json_t *divvy_cluster_pods(void *cluster);

/*
 * The user that the tenant of the pod `id` ("namespace/name") shall belong to; root's where nobody can say, because the cluster cannot be followed.
 * 0; -EAGAIN: the pod has not been heard of yet. Any thread; never blocks for long.
 */
int divvy_cluster_pod_owner(void *cluster, const char *id, uint32_t *ret_uid);

/*
 * Whose a pod's token is, by the API server's word; `peer` gets the pod's names and UID. 0; -EACCES: the token is no good; -EAGAIN: that cannot
 * be told now; -EINPROGRESS: it has to be asked, which is only done where `may_ask`, and blocks for some seconds then. *ret_fault is a static
 * line. Any thread.
 */
int divvy_cluster_review(void *cluster, const char *token, const char *audience, bool may_ask, struct divvy_daemon_peer *peer,
                         const char **ret_fault);

#endif
