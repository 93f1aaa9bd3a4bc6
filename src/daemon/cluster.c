/* Following a cluster's pods: see cluster.h. */
#include "daemon/cluster.h"

#include "base/log.h"
#include "base/map.h"
#include "core/clock.h"
#include "daemon/cluster_event.h"
#include "kube/client.h"
#include "kube/review.h"
#include "kube/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define MS      INT64_C(1000000)
#define TICK_NS (1000 * MS)
#define SOON_NS (200 * MS) /* between two looks for devices that are not known yet */
#define LIST_S  60L
#define QUIET_S 90L /* bookmarks come once a minute: a watch that is silent for longer is begun anew */

enum state { HELD, REFUSED, WAITING };
static const char *const state_names[] = {"held", "refused", "waiting"};

/* A pod that is ours. */
struct entry {
    struct divvy_kube_pod pod;
    char id[DIVVY_KUBE_NAMESPACE_BYTES + DIVVY_KUBE_NAME_BYTES]; /* "namespace/name", also where that is too long for a tenant */
    enum state state;
    int status;           /* of the last try */
    char message[DIVVY_NODE_TEXT_BYTES], told[DIVVY_NODE_TEXT_BYTES];
    uint64_t list;        /* the list that it was last told in, or the newest at the time */
};

struct divvy_cluster {
    struct divvy_daemon *daemon;
    char *kubeconfig, *node, *selector;
    pthread_t thread;
    bool is_running;
    atomic_bool is_stopping;
    CURLM *multi;
    struct divvy_kube_reviewer *reviewer;
    /* of the thread */
    struct divvy_kube_watch watch;
    struct divvy_kube_request request;
    struct divvy_cluster_events events;
    uint64_t list;
    int64_t tick_ns;
    /* also of those who ask, under the lock */
    pthread_mutex_t lock;
    struct divvy_map pods; /* struct entry by id */
    bool in_step;
    char fault[DIVVY_ERROR_TEXT_BYTES], server[DIVVY_KUBE_SERVER_BYTES];
};

static int64_t now_ns(void) {
    return (int64_t)divvy_core_clock_ns();
}

/* --- telling ---------------------------------------------------------------------------------------------------------- */

/* The part of a fault that is the same each time: what libcurl adds in parentheses may hold times. */
static size_t fault_length(const char *text) {
    return strcspn(text, "(");
}

static void fault_tell(struct divvy_cluster *cluster, const struct divvy_error *error) {
    size_t length = fault_length(error->text);
    bool is_new;

    (void)pthread_mutex_lock(&cluster->lock);
    is_new = length != fault_length(cluster->fault) || strncmp(cluster->fault, error->text, length) != 0;
    memcpy(cluster->fault, error->text, sizeof cluster->fault);
    cluster->in_step = false;
    (void)pthread_mutex_unlock(&cluster->lock);
    if (is_new)
        divvy_log_warn("cluster%s%s: %s; trying again", cluster->server[0] ? " " : "", cluster->server, error->text);
}

static void step_tell(struct divvy_cluster *cluster) {
    size_t count;
    bool was_in_step;

    (void)pthread_mutex_lock(&cluster->lock);
    was_in_step = cluster->in_step;
    cluster->in_step = true;
    cluster->fault[0] = '\0';
    count = cluster->pods.count;
    (void)pthread_mutex_unlock(&cluster->lock);
    if (!was_in_step)
        divvy_log_info("cluster %s: in step, %zu pod%s of node %s with a share of GPUs", cluster->server, count, count == 1 ? "" : "s",
                       cluster->node);
}

static void entry_tell(struct divvy_cluster *cluster, struct entry *entry) {
    if (strcmp(entry->message, entry->told) == 0)
        return;
    memcpy(entry->told, entry->message, sizeof entry->told);
    if (!entry->message[0] || entry->status == -EAGAIN) /* the usual course of things */
        return;
    divvy_daemon_event(cluster->daemon, DIVVY_NODE_EVENT_DAEMON, entry->id, "pod %s: %s", state_names[entry->state], entry->message);
    divvy_log_tenant(DIVVY_LOG_WARN, entry->id, "pod %s: %s", state_names[entry->state], entry->message);
    divvy_cluster_events_add(&cluster->events, &entry->pod, entry->state == REFUSED ? "GPUShareRefused" : "GPUShareWaiting", entry->message);
}

/* --- pods ------------------------------------------------------------------------------------------------------------- */

/* Whether a failure is the pod's own, and will be the same each time. */
static bool is_final(int status) {
    return status == -EINVAL || status == -EOPNOTSUPP || status == -ENAMETOOLONG;
}

static void entry_try(struct divvy_cluster *cluster, struct entry *entry) {
    struct divvy_error error = {0, ""};

    entry->status = entry->pod.fault[0] ? divvy_error_set(&error, -EINVAL, "%s", entry->pod.fault)
                                        : divvy_daemon_pod_set(cluster->daemon, &entry->pod, &error);
    entry->state = entry->status == 0 ? HELD : is_final(entry->status) ? REFUSED : WAITING;
    (void)snprintf(entry->message, sizeof entry->message, "%.159s", error.text);
    entry_tell(cluster, entry);
}

static void entry_key(const struct divvy_kube_pod *pod, char key[sizeof(((struct entry *)NULL)->id)]) {
    (void)snprintf(key, sizeof(((struct entry *)NULL)->id), "%s/%s", pod->namespace, pod->name);
}

/* Its tenant is let go by the tick if that cannot be now. */
static void entry_drop(struct divvy_cluster *cluster, struct entry *entry) {
    (void)divvy_map_remove(&cluster->pods, entry->id);
    (void)divvy_daemon_pod_gone(cluster->daemon, entry->id, entry->pod.uid);
    free(entry);
}

static void pod_gone(struct divvy_cluster *cluster, const struct divvy_kube_pod *pod) {
    char key[sizeof(((struct entry *)NULL)->id)];
    struct entry *entry;

    entry_key(pod, key);
    entry = divvy_map_get(&cluster->pods, key);
    /* The end of a pod of this name before it is none of the new one's business. */
    if (entry && strcmp(entry->pod.uid, pod->uid) == 0)
        entry_drop(cluster, entry);
}

static struct entry *entry_new(struct divvy_cluster *cluster, const char *key) {
    struct entry *entry;

    if (cluster->pods.count >= DIVVY_CLUSTER_PODS_MAX) {
        divvy_log_warn("cluster: more than %u pods; %s is left alone", DIVVY_CLUSTER_PODS_MAX, key);
        return NULL;
    }
    entry = calloc(1, sizeof *entry);
    if (entry && divvy_map_put(&cluster->pods, key, entry) < 0) {
        free(entry);
        entry = NULL;
    }
    if (entry)
        (void)snprintf(entry->id, sizeof entry->id, "%s", key);
    return entry;
}

static void pod_set(struct divvy_cluster *cluster, const struct divvy_kube_pod *pod) {
    char key[sizeof(((struct entry *)NULL)->id)];
    struct entry *entry;
    bool is_same;

    entry_key(pod, key);
    entry = divvy_map_get(&cluster->pods, key);
    if (entry && strcmp(entry->pod.uid, pod->uid) != 0) { /* its end was missed */
        entry_drop(cluster, entry);
        entry = NULL;
    }
    if (!entry)
        entry = entry_new(cluster, key);
    if (!entry)
        return;
    is_same = memcmp(&entry->pod.ask, &pod->ask, sizeof pod->ask) == 0 && strcmp(entry->pod.fault, pod->fault) == 0;
    entry->pod = *pod;
    entry->list = cluster->list;
    /* Most changes of a pod are of its status. */
    if (!is_same || entry->state != HELD || !divvy_daemon_pod_is_held(cluster->daemon, entry->id, pod->uid))
        entry_try(cluster, entry);
}

static void on_pod(void *data, enum divvy_kube_change change, const struct divvy_kube_pod *pod) {
    struct divvy_cluster *cluster = data;

    (void)pthread_mutex_lock(&cluster->lock);
    if (change == DIVVY_KUBE_POD_SET && pod->is_ours && !pod->is_over)
        pod_set(cluster, pod);
    else
        pod_gone(cluster, pod);
    (void)pthread_mutex_unlock(&cluster->lock);
}

static void on_listing(void *data) {
    struct divvy_cluster *cluster = data;

    cluster->list++;
}

static bool is_there(void *data, const char *id, const char *uid) {
    const struct divvy_cluster *cluster = data;
    const struct entry *entry = divvy_map_get(&cluster->pods, id);

    return entry && strcmp(entry->pod.uid, uid) == 0;
}

/* Under the lock: what the last list did not name goes. */
static void entries_sweep(struct divvy_cluster *cluster) {
    struct entry **gone = calloc(cluster->pods.count + 1, sizeof *gone), *entry;
    size_t cursor = 0, count = 0;

    if (!gone)
        return;
    while ((entry = divvy_map_next(&cluster->pods, &cursor)))
        if (entry->list != cluster->list)
            gone[count++] = entry;
    for (size_t i = 0; i < count; i++)
        entry_drop(cluster, gone[i]);
    free(gone);
}

static void on_listed(void *data) {
    struct divvy_cluster *cluster = data;

    (void)pthread_mutex_lock(&cluster->lock);
    entries_sweep(cluster);
    (void)divvy_daemon_pods_keep(cluster->daemon, is_there, cluster);
    (void)pthread_mutex_unlock(&cluster->lock);
    step_tell(cluster);
}

static void on_odd(void *data, const char *text) {
    const struct divvy_cluster *cluster = data;

    divvy_log_warn("cluster %s: it sends %s, which is passed over", cluster->server, text);
}

/*
 * Now and then: who waits is tried again, and the state is held against what the cluster has said, because tenants come and go there without
 * us, too (those that a daemon left are found when their devices are).
 */
static void tick(struct divvy_cluster *cluster) {
    struct entry *entry;
    size_t cursor = 0;
    bool has_no_device = false;

    (void)pthread_mutex_lock(&cluster->lock);
    if (cluster->watch.is_listed)
        (void)divvy_daemon_pods_keep(cluster->daemon, is_there, cluster);
    while ((entry = divvy_map_next(&cluster->pods, &cursor))) {
        if (entry->state == WAITING || (entry->state == HELD && !divvy_daemon_pod_is_held(cluster->daemon, entry->id, entry->pod.uid)))
            entry_try(cluster, entry);
        has_no_device |= entry->status == -ENODEV;
    }
    (void)pthread_mutex_unlock(&cluster->lock);
    cluster->tick_ns = now_ns() + (has_no_device ? SOON_NS : TICK_NS);
}

/* --- requests ----------------------------------------------------------------------------------------------------------- */

static int on_data(struct divvy_kube_request *request, const char *text, size_t length) {
    struct divvy_cluster *cluster = request->data;

    return divvy_kube_watch_take(&cluster->watch, divvy_kube_request_status(request), text, length);
}

static int config_read(struct divvy_cluster *cluster, struct divvy_kube_config *ret_config, struct divvy_error *error) {
    int status = divvy_kube_config_read(cluster->kubeconfig, NULL, getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT"),
                                        ret_config, error);

    if (status == 0) {
        (void)pthread_mutex_lock(&cluster->lock);
        memcpy(cluster->server, ret_config->server, sizeof cluster->server);
        (void)pthread_mutex_unlock(&cluster->lock);
    }
    return status;
}

static void request_begin(struct divvy_cluster *cluster) {
    char path[DIVVY_KUBE_PATH_BYTES];
    struct divvy_kube_config config;
    struct divvy_error error = {0, ""};
    int status = config_read(cluster, &config, &error);

    if (status == 0) {
        long timeout_s = cluster->watch.is_watching ? (long)DIVVY_KUBE_WATCH_S + 30 : LIST_S;

        divvy_kube_watch_begin(&cluster->watch, now_ns(), path);
        cluster->request.take = on_data;
        cluster->request.data = cluster;
        status = divvy_kube_request_init(&cluster->request, &config, path, NULL, timeout_s, &error);
    }
    if (status == 0 && cluster->watch.is_watching) {
        (void)curl_easy_setopt(cluster->request.curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        (void)curl_easy_setopt(cluster->request.curl, CURLOPT_LOW_SPEED_TIME, QUIET_S);
    }
    if (status == 0 && curl_multi_add_handle(cluster->multi, cluster->request.curl) != CURLM_OK) {
        divvy_kube_request_done(&cluster->request);
        status = divvy_error_set(&error, -ENOMEM, "a request cannot be begun");
    }
    if (status < 0) {
        divvy_kube_watch_postpone(&cluster->watch, now_ns());
        fault_tell(cluster, &error);
    }
}

static void request_end(struct divvy_cluster *cluster, CURLcode code) {
    struct divvy_kube_request *request = &cluster->request;
    struct divvy_error error = {0, ""};
    long http_status = divvy_kube_request_status(request);
    bool was_watching = cluster->watch.is_watching;
    int status = divvy_kube_watch_end(&cluster->watch, now_ns(), http_status, code != CURLE_OK, &error);

    if (status < 0) {
        if (http_status == 0)
            (void)divvy_kube_request_fault(request, code, &error);
        fault_tell(cluster, &error);
    } else if (was_watching && http_status == 200) {
        divvy_log_debug("cluster %s: the watch has ended and goes on", cluster->server);
    }
    (void)curl_multi_remove_handle(cluster->multi, request->curl);
    divvy_kube_request_done(request);
}

static void finished_take(struct divvy_cluster *cluster) {
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(cluster->multi, &left))) {
        CURLcode code = message->data.result;
        CURL *curl = message->easy_handle;

        if (message->msg != CURLMSG_DONE)
            continue;
        if (curl == cluster->request.curl)
            request_end(cluster, code);
        else
            divvy_cluster_events_end(&cluster->events, curl, code);
    }
}

static void events_send(struct divvy_cluster *cluster) {
    struct divvy_kube_config config;
    struct divvy_error error = {0, ""};

    if (!divvy_cluster_events_due(&cluster->events, now_ns()))
        return;
    if (config_read(cluster, &config, &error) == 0)
        divvy_cluster_events_begin(&cluster->events, &config, now_ns());
    else
        fault_tell(cluster, &error);
}

static void turn(struct divvy_cluster *cluster) {
    int64_t due_ns = divvy_kube_watch_due_ns(&cluster->watch), until_ns;
    int running;

    if (!cluster->request.curl && now_ns() >= due_ns)
        request_begin(cluster);
    events_send(cluster);
    (void)curl_multi_perform(cluster->multi, &running);
    if (!cluster->in_step && cluster->request.curl && cluster->watch.is_watching && divvy_kube_request_status(&cluster->request) == 200)
        step_tell(cluster); /* a watch that is answered; before it there was a list */
    finished_take(cluster);
    if (now_ns() >= cluster->tick_ns)
        tick(cluster);
    due_ns = divvy_kube_watch_due_ns(&cluster->watch);
    until_ns = cluster->tick_ns;
    if (!cluster->request.curl && due_ns < until_ns)
        until_ns = due_ns;
    until_ns -= now_ns();
    if (until_ns > 0)
        (void)curl_multi_poll(cluster->multi, NULL, 0, (int)((until_ns + MS - 1) / MS), NULL);
}

static void *thread_main(void *data) {
    struct divvy_cluster *cluster = data;

    (void)prctl(PR_SET_NAME, "divvyd-cluster");
    while (!atomic_load(&cluster->is_stopping))
        turn(cluster);
    return NULL;
}

/* --- beginning and end --------------------------------------------------------------------------------------------------- */

int divvy_cluster_start(struct divvy_daemon *daemon, const struct divvy_cluster_options *options, struct divvy_cluster **ret_cluster,
                        struct divvy_error *error) {
    struct divvy_cluster *cluster = calloc(1, sizeof *cluster);
    const struct divvy_kube_watch_calls calls = {on_listing, on_pod, on_listed, on_odd, cluster};
    int status = -ENOMEM;

    if (!cluster)
        return divvy_error_set_errno(error, -ENOMEM, "the cluster cannot be followed");
    (void)pthread_mutex_init(&cluster->lock, NULL);
    cluster->daemon = daemon;
    cluster->kubeconfig = strdup(options->kubeconfig ? options->kubeconfig : "");
    cluster->node = strdup(options->node);
    cluster->selector = strdup(options->selector ? options->selector : "");
    if (divvy_kube_reviewer_new(options->kubeconfig, &cluster->reviewer) == 0 && cluster->kubeconfig && cluster->node && cluster->selector &&
        curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && (cluster->multi = curl_multi_init())) {
        divvy_kube_watch_init(&cluster->watch, &calls, cluster->node, cluster->selector, divvy_core_clock_ns());
        divvy_cluster_events_init(&cluster->events, cluster->multi, cluster->node);
        status = -pthread_create(&cluster->thread, NULL, thread_main, cluster);
    }
    if (status < 0) {
        divvy_cluster_stop(cluster);
        return divvy_error_set_errno(error, status, "the cluster cannot be followed");
    }
    cluster->is_running = true;
    *ret_cluster = cluster;
    return 0;
}

void divvy_cluster_stop(struct divvy_cluster *cluster) {
    struct entry *entry;
    size_t cursor = 0;

    if (!cluster)
        return;
    if (cluster->is_running) {
        atomic_store(&cluster->is_stopping, true);
        (void)curl_multi_wakeup(cluster->multi);
        (void)pthread_join(cluster->thread, NULL);
    }
    if (cluster->request.curl)
        (void)curl_multi_remove_handle(cluster->multi, cluster->request.curl);
    divvy_kube_request_done(&cluster->request);
    divvy_cluster_events_done(&cluster->events);
    divvy_kube_watch_done(&cluster->watch);
    (void)curl_multi_cleanup(cluster->multi);
    while ((entry = divvy_map_next(&cluster->pods, &cursor)))
        free(entry);
    divvy_map_done(&cluster->pods);
    divvy_kube_reviewer_free(cluster->reviewer);
    (void)pthread_mutex_destroy(&cluster->lock);
    free(cluster->kubeconfig);
    free(cluster->node);
    free(cluster->selector);
    free(cluster);
}

/* --- for those who ask ------------------------------------------------------------------------------------------------------ */

static int entry_compare(const void *a, const void *b) {
    return strcmp((*(const struct entry *const *)a)->id, (*(const struct entry *const *)b)->id);
}

static json_t *entries_json(struct divvy_cluster *cluster) {
    struct entry **entries = calloc(cluster->pods.count + 1, sizeof(struct entry *)), *entry;
    json_t *list = json_array();
    size_t cursor = 0, count = 0;

    while (entries && (entry = divvy_map_next(&cluster->pods, &cursor)))
        entries[count++] = entry;
    if (entries)
        qsort(entries, count, sizeof *entries, entry_compare);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "namespace", entries[i]->pod.namespace, "name",
                                                    entries[i]->pod.name, "uid", entries[i]->pod.uid, "state",
                                                    state_names[entries[i]->state], "message", entries[i]->message));
    free(entries);
    return list;
}

int divvy_cluster_pod_owner(void *data, const char *id, uint32_t *ret_uid) {
    struct divvy_cluster *cluster = data;
    const struct entry *entry;
    int status = 0;

    (void)pthread_mutex_lock(&cluster->lock);
    entry = divvy_map_get(&cluster->pods, id);
    if (entry)
        *ret_uid = entry->pod.ask.owner_uid;
    else if (cluster->in_step)
        status = -EAGAIN;
    else
        *ret_uid = 0;
    (void)pthread_mutex_unlock(&cluster->lock);
    return status;
}

json_t *divvy_cluster_pods(void *data) {
    struct divvy_cluster *cluster = data;
    json_t *json;

    (void)pthread_mutex_lock(&cluster->lock);
    json = json_pack("{s:b, s:s, s:b, s:s, s:o}", "cluster", 1, "node", cluster->node, "in_step", cluster->in_step, "message", cluster->fault, "pods",
                     entries_json(cluster));
    (void)pthread_mutex_unlock(&cluster->lock);
    return json;
}

int divvy_cluster_review(void *data, const char *token, const char *audience, bool may_ask, struct divvy_daemon_peer *peer,
                         const char **ret_fault) {
    struct divvy_cluster *cluster = data;
    struct divvy_kube_identity identity;
    struct divvy_error error = {0, ""};
    int status = may_ask ? divvy_kube_review(cluster->reviewer, token, audience, now_ns(), &identity, &error)
                         : divvy_kube_review_known(cluster->reviewer, token, audience, now_ns(), &identity);

    if (status == 0 && strlen(identity.pod) >= sizeof peer->pod)
        status = -EACCES;
    if (status == -EACCES)
        *ret_fault = "Authentication failed: the API server does not know the token as a pod's";
    if (status == -EAGAIN) {
        *ret_fault = "the API server cannot be asked about the token now";
        divvy_log_warn("cluster: a pod's token cannot be reviewed: %s", error.text);
    }
    if (status < 0)
        return status;
    (void)snprintf(peer->pod, sizeof peer->pod, "%.127s", identity.pod);
    (void)snprintf(peer->namespace, sizeof peer->namespace, "%s", identity.namespace);
    (void)snprintf(peer->pod_uid, sizeof peer->pod_uid, "%s", identity.uid);
    return 0;
}
