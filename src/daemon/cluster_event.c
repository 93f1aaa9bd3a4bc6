/* Events of pods: see cluster_event.h. */
#include "daemon/cluster_event.h"

#include "base/log.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define GAP_NS    INT64_C(50000000) /* at most twenty a second */
#define TIMEOUT_S 10L

void divvy_cluster_events_init(struct divvy_cluster_events *events, CURLM *multi, const char *node) {
    *events = (struct divvy_cluster_events){.multi = multi, .node = node};
}

void divvy_cluster_events_done(struct divvy_cluster_events *events) {
    if (events->request.curl)
        (void)curl_multi_remove_handle(events->multi, events->request.curl);
    divvy_kube_request_done(&events->request);
}

void divvy_cluster_events_add(struct divvy_cluster_events *events, const struct divvy_kube_pod *pod, const char *reason, const char *message) {
    struct divvy_cluster_event *event;

    if (events->waiting == DIVVY_CLUSTER_EVENTS_ROOM) {
        divvy_log_warn("cluster: too many events of pods at once, some are not sent");
        return;
    }
    event = &events->queue[(events->first + events->waiting++) % DIVVY_CLUSTER_EVENTS_ROOM];
    memcpy(event->namespace, pod->namespace, sizeof event->namespace);
    memcpy(event->name, pod->name, sizeof event->name);
    memcpy(event->uid, pod->uid, sizeof event->uid);
    (void)snprintf(event->reason, sizeof event->reason, "%s", reason);
    (void)snprintf(event->message, sizeof event->message, "%s", message);
}

bool divvy_cluster_events_due(const struct divvy_cluster_events *events, int64_t now_ns) {
    return events->waiting && !events->request.curl && now_ns >= events->due_ns;
}

static char *body_make(struct divvy_cluster_events *events, const struct divvy_cluster_event *event) {
    char time_text[32], name[DIVVY_KUBE_NAME_BYTES + 24];
    struct timespec now;
    struct tm utc;
    json_t *json;
    char *body;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    (void)snprintf(name, sizeof name, "%.200s.%lx%03lx", event->name, (unsigned long)now.tv_sec, (unsigned long)(events->count++ & 0xfff));
    json = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:s, s:i, s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1",
                     "kind", "Event", "metadata", "name", name, "namespace", event->namespace, "involvedObject", "apiVersion", "v1", "kind",
                     "Pod", "namespace", event->namespace, "name", event->name, "uid", event->uid, "type", "Warning", "reason",
                     event->reason, "message", event->message, "count", 1, "firstTimestamp", time_text, "lastTimestamp", time_text,
                     "source", "component", "divvyd", "host", events->node);
    body = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return body;
}

void divvy_cluster_events_begin(struct divvy_cluster_events *events, struct divvy_kube_config *config, int64_t now_ns) {
    const struct divvy_cluster_event *event = &events->queue[events->first];
    struct divvy_error error = {0, ""};
    char path[DIVVY_KUBE_NAMESPACE_BYTES + 40], *body;

    (void)snprintf(path, sizeof path, "/api/v1/namespaces/%s/events", event->namespace);
    events->due_ns = now_ns + GAP_NS;
    events->first = (events->first + 1) % DIVVY_CLUSTER_EVENTS_ROOM;
    events->waiting--;
    body = body_make(events, event);
    if (body && divvy_kube_request_init(&events->request, config, path, body, TIMEOUT_S, &error) == 0 &&
        curl_multi_add_handle(events->multi, events->request.curl) == CURLM_OK)
        return;
    divvy_log_warn("cluster: an event of pod %s/%s was not sent: out of memory", event->namespace, event->name);
    divvy_kube_config_done(config);
    divvy_kube_request_done(&events->request);
}

/* A refusal is told once, until the answer is another one. */
static void fault_tell(struct divvy_cluster_events *events, long fault) {
    if (fault == 403 && events->fault != fault)
        divvy_log_warn("cluster: we may not make events of pods: bind a ClusterRole with create of events");
    else if (fault && events->fault != fault)
        divvy_log_warn("cluster: the API server answers %ld to an event of a pod", fault);
    events->fault = fault;
}

void divvy_cluster_events_end(struct divvy_cluster_events *events, CURL *curl, CURLcode code) {
    struct divvy_error error = {0, ""};
    long status;

    if (curl != events->request.curl)
        return;
    status = divvy_kube_request_status(&events->request);
    if (status == 0 && code != CURLE_OK && divvy_kube_request_fault(&events->request, code, &error) < 0)
        divvy_log_debug("cluster: an event of a pod was not sent: %s", error.text);
    fault_tell(events, status >= 300 ? status : 0);
    (void)curl_multi_remove_handle(events->multi, curl);
    divvy_kube_request_done(&events->request);
}
