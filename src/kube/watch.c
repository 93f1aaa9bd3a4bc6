/* List and watch: see watch.h. */
#include "kube/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHORT_NS INT64_C(1000000000) /* a stream that ended sooner, and gave nothing, was no good */

void divvy_kube_watch_init(struct divvy_kube_watch *watch, const struct divvy_kube_watch_calls *calls, const char *node,
                           const char *selector, uint64_t seed) {
    *watch = (struct divvy_kube_watch){.calls = *calls, .random = seed | 1};
    (void)snprintf(watch->node, sizeof watch->node, "%s", node);
    (void)snprintf(watch->selector, sizeof watch->selector, "%s", selector ? selector : "");
}

void divvy_kube_watch_done(struct divvy_kube_watch *watch) {
    divvy_kube_split_done(&watch->split);
}

int64_t divvy_kube_watch_due_ns(const struct divvy_kube_watch *watch) {
    return watch->due_ns;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

/* Percent-encoded; what does not fit is left out, and the server says so. */
static void query_add(char path[DIVVY_KUBE_PATH_BYTES], const char *name, const char *value) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t at = strlen(path);

    at += (size_t)snprintf(path + at, DIVVY_KUBE_PATH_BYTES - at, "%c%s=", strchr(path, '?') ? '&' : '?', name);
    for (; *value && at + 4 < DIVVY_KUBE_PATH_BYTES; value++)
        if (strchr(plain, *value))
            path[at++] = *value;
        else
            at += (size_t)snprintf(path + at, 4, "%%%02X", (unsigned char)*value);
    path[at] = '\0';
}

static int piece_take(void *data, const char *text, size_t length);

void divvy_kube_watch_begin(struct divvy_kube_watch *watch, int64_t now_ns, char ret_path[DIVVY_KUBE_PATH_BYTES]) {
    char text[DIVVY_KUBE_NAME_BYTES + 16];

    (void)snprintf(ret_path, DIVVY_KUBE_PATH_BYTES, "/api/v1/pods");
    (void)snprintf(text, sizeof text, "spec.nodeName=%s", watch->node);
    query_add(ret_path, "fieldSelector", text);
    if (watch->selector[0])
        query_add(ret_path, "labelSelector", watch->selector);
    if (watch->is_watching) {
        query_add(ret_path, "watch", "1");
        query_add(ret_path, "allowWatchBookmarks", "true");
        query_add(ret_path, "resourceVersion", watch->version);
        (void)snprintf(text, sizeof text, "%u", DIVVY_KUBE_WATCH_S);
        query_add(ret_path, "timeoutSeconds", text);
    } else {
        (void)snprintf(text, sizeof text, "%u", DIVVY_KUBE_PAGE);
        query_add(ret_path, "limit", text);
        if (watch->next_page[0])
            query_add(ret_path, "continue", watch->next_page);
        else
            watch->calls.listing(watch->calls.data);
    }
    divvy_kube_split_done(&watch->split);
    divvy_kube_split_init(&watch->split, watch->is_watching ? DIVVY_KUBE_SPLIT_STREAM : DIVVY_KUBE_SPLIT_LIST, piece_take, watch);
    watch->is_gone = watch->has_told = false;
    watch->said[0] = '\0';
    watch->body_length = 0;
    watch->begun_ns = now_ns;
}

/* --- being told --------------------------------------------------------------------------------------------------- */

static int odd(struct divvy_kube_watch *watch, const char *text) {
    watch->calls.odd(watch->calls.data, text);
    return 0;
}

static int pod_tell(struct divvy_kube_watch *watch, enum divvy_kube_change change, const json_t *object) {
    struct divvy_kube_pod pod;

    if (divvy_kube_pod_read(object, &pod) < 0)
        return odd(watch, "an object that is no pod, or has a name that no pod may have");
    /* One that is not bound to this node is none of ours, whatever selectors the server has gone by. */
    if (strcmp(pod.node, watch->node) != 0)
        return odd(watch, "a pod of another node");
    watch->calls.pod(watch->calls.data, change, &pod);
    return 0;
}

/* A Status object: what the server says of a failure. */
static void status_read(struct divvy_kube_watch *watch, const json_t *object) {
    const char *message = json_string_value(json_object_get(object, "message"));

    watch->is_gone |= json_integer_value(json_object_get(object, "code")) == 410;
    if (!message)
        return;
    (void)snprintf(watch->said, sizeof watch->said, "%.200s", message);
    for (char *at = watch->said; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
            *at = '?';
}

static void version_take(struct divvy_kube_watch *watch, const json_t *object) {
    const char *version = json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));

    if (version && *version && strlen(version) < sizeof watch->version)
        (void)snprintf(watch->version, sizeof watch->version, "%s", version);
}

static int event_take(struct divvy_kube_watch *watch, const json_t *event) {
    const char *type = json_string_value(json_object_get(event, "type"));
    const json_t *object = json_object_get(event, "object");

    if (!type || !json_is_object(object))
        return odd(watch, "an event without type or object");
    if (strcmp(type, "ERROR") == 0) {
        status_read(watch, object);
        return -ECONNABORTED;
    }
    watch->has_told = true;
    version_take(watch, object);
    if (strcmp(type, "BOOKMARK") == 0)
        return 0;
    if (strcmp(type, "DELETED") == 0)
        return pod_tell(watch, DIVVY_KUBE_POD_GONE, object);
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
        return pod_tell(watch, DIVVY_KUBE_POD_SET, object);
    return odd(watch, "an event of a type that is not known");
}

static int piece_take(void *data, const char *text, size_t length) {
    struct divvy_kube_watch *watch = data;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    int status;

    if (!json)
        return -EPROTO;
    status = watch->is_watching ? event_take(watch, json) : pod_tell(watch, DIVVY_KUBE_POD_SET, json);
    json_decref(json);
    return status;
}

int divvy_kube_watch_take(struct divvy_kube_watch *watch, long http_status, const char *text, size_t length) {
    if (http_status == 200) {
        int status = divvy_kube_split_take(&watch->split, text, length);

        if (status < 0 && status != -ECONNABORTED)
            (void)snprintf(watch->said, sizeof watch->said, "%s",
                           status == -EFBIG ? "it sends objects without end" : status == -ENOMEM ? "out of memory" : "it sends what is no JSON");
        return status;
    }
    if (length > sizeof watch->body - watch->body_length)
        length = sizeof watch->body - watch->body_length;
    memcpy(watch->body + watch->body_length, text, length);
    watch->body_length += length;
    return 0;
}

/* --- the end of an answer ------------------------------------------------------------------------------------------- */

static uint64_t random_next(struct divvy_kube_watch *watch) {
    watch->random ^= watch->random << 13;
    watch->random ^= watch->random >> 7;
    watch->random ^= watch->random << 17;
    return watch->random;
}

/* Half of the pause is by chance, so that the daemons of all nodes do not come back at once. */
void divvy_kube_watch_postpone(struct divvy_kube_watch *watch, int64_t now_ns) {
    int64_t pause_ns = watch->backoff_ns ? watch->backoff_ns * 2 : DIVVY_KUBE_BACKOFF_MIN_NS;

    if (pause_ns > DIVVY_KUBE_BACKOFF_MAX_NS)
        pause_ns = DIVVY_KUBE_BACKOFF_MAX_NS;
    watch->backoff_ns = pause_ns;
    watch->due_ns = now_ns + pause_ns / 2 + (int64_t)(random_next(watch) % (uint64_t)(pause_ns / 2));
}

static void list_anew(struct divvy_kube_watch *watch) {
    watch->is_watching = false;
    watch->next_page[0] = '\0';
}

/* A page of a list is in: the next one, or the watch. */
static int page_end(struct divvy_kube_watch *watch, struct divvy_error *error) {
    json_t *rest = divvy_kube_split_is_whole(&watch->split)
                       ? json_loadb(watch->split.rest.text, watch->split.rest.length, JSON_REJECT_DUPLICATES, NULL)
                       : NULL;
    const json_t *metadata = json_object_get(rest, "metadata");
    const char *kind = json_string_value(json_object_get(rest, "kind"));
    const char *version = json_string_value(json_object_get(metadata, "resourceVersion"));
    const char *more = json_string_value(json_object_get(metadata, "continue"));
    int status = 0;

    if (!kind || strcmp(kind, "PodList") != 0 || !version || !*version || strlen(version) >= sizeof watch->version ||
        (more && strlen(more) >= sizeof watch->next_page)) {
        status = divvy_error_set(error, -EPROTO, "its answer is no list of pods");
    } else {
        (void)snprintf(watch->next_page, sizeof watch->next_page, "%s", more ? more : "");
        version_take(watch, rest);
    }
    json_decref(rest);
    if (status == 0 && !watch->next_page[0]) {
        watch->is_watching = watch->is_listed = true;
        watch->calls.listed(watch->calls.data);
    }
    return status;
}

static int refusal_end(struct divvy_kube_watch *watch, long http_status, struct divvy_error *error) {
    json_t *body = json_loadb(watch->body, watch->body_length, 0, NULL);
    const char *verb = watch->is_watching ? "watch" : "list";

    status_read(watch, body);
    json_decref(body);
    if (http_status == 401)
        return divvy_error_set(error, -EACCES, "it does not know who we are (401): the token or certificate is not, or no longer, good");
    if (http_status == 403)
        return divvy_error_set(error, -EPERM, "we may not %s pods: bind a ClusterRole with list and watch of pods (%.100s)", verb,
                               watch->said[0] ? watch->said : "403");
    return divvy_error_set(error, -EIO, "it answers %ld to the %s of pods%s%.120s", http_status, verb, watch->said[0] ? ": " : "",
                           watch->said);
}

int divvy_kube_watch_end(struct divvy_kube_watch *watch, int64_t now_ns, long http_status, bool cut, struct divvy_error *error) {
    bool was_watching = watch->is_watching;
    int status = 0;

    if (http_status != 0 && http_status != 200)
        status = refusal_end(watch, http_status, error);
    if (was_watching && (watch->has_told || now_ns >= watch->begun_ns + SHORT_NS))
        watch->backoff_ns = 0; /* that was a good one */
    if (http_status == 410 || watch->is_gone) {
        bool is_first = watch->backoff_ns == 0;

        list_anew(watch);
        if (!is_first) { /* a server that says so again and again is not asked in a circle */
            divvy_kube_watch_postpone(watch, now_ns);
            return 0;
        }
        watch->backoff_ns = DIVVY_KUBE_BACKOFF_MIN_NS;
        watch->due_ns = now_ns;
        return 0;
    }
    if (status == 0 && http_status == 0)
        status = -EIO; /* the transport has its own words */
    else if (status == 0 && !was_watching)
        status = cut ? divvy_error_set(error, -EIO, "its list of pods broke off") : page_end(watch, error);
    else if (status == 0 && watch->said[0])
        status = divvy_error_set(error, -EIO, "it ended the watch: %.180s", watch->said);
    if (status < 0) {
        if (!was_watching || status == -EPROTO)
            list_anew(watch);
        divvy_kube_watch_postpone(watch, now_ns);
        return status;
    }
    watch->due_ns = now_ns;
    if (was_watching && !watch->has_told && now_ns < watch->begun_ns + SHORT_NS)
        divvy_kube_watch_postpone(watch, now_ns);
    return 0;
}
