/* The talk with the platform: see link.h. */
#include "agent/link.h"

#include "base/log.h"
#include "core/clock.h"
#include "core/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_NS    (200 * DIVVY_NS_PER_MS)
#define HOUR_NS      (3600 * DIVVY_NS_PER_SECOND)
#define POLL_NS      (30 * DIVVY_NS_PER_SECOND)
#define RETRY_NS     (2 * DIVVY_NS_PER_SECOND)
#define RETRY_MAX_NS (300 * DIVVY_NS_PER_SECOND)
#define FAREWELL_MS  2000L

/* One of the two things that are asked again and again. */
struct task {
    enum divvy_agent_api api;
    const char *what;
    struct divvy_agent_exchange *exchange; /* under way */
    uint64_t due_ns, retry_ns;
    bool again; /* came up while it was under way */
    struct divvy_error last;
};

struct divvy_agent_link {
    const struct divvy_agent_platform *platform;
    char *agent_id;
    struct divvy_agent_link_events events;
    CURLM *multi;
    struct task status, config, metrics;
    struct divvy_agent_channel *channel;
    int64_t version;
    bool status_tells_version;
};

static uint64_t with_chance(uint64_t delay_ns) {
    uint32_t random = 0;

    (void)divvy_core_sys_getrandom(&random, sizeof random);
    return delay_ns - delay_ns / 8 + delay_ns / 4 * random / UINT32_MAX;
}

static void task_hasten(struct task *task, uint64_t delay_ns) {
    uint64_t due = divvy_core_clock_ns() + delay_ns;

    /* A failed one keeps its delay: hurrying would only hammer a server that is down. */
    if (task->exchange)
        task->again = true;
    else if (due < task->due_ns && task->retry_ns == RETRY_NS)
        task->due_ns = due;
}

static void version_heard(struct divvy_agent_link *link, int64_t version) {
    if (version != link->version)
        task_hasten(&link->config, 0);
}

static void pushed(void *data, int64_t version) {
    version_heard(data, version);
}

/* While it was away anything may have been pushed. */
static void opened(void *data) {
    struct divvy_agent_link *link = data;

    task_hasten(&link->config, 0);
}

struct divvy_agent_link *divvy_agent_link_new(const struct divvy_agent_platform *platform,
                                              const char *agent_id, int64_t version,
                                              const struct divvy_agent_link_events *events) {
    struct divvy_agent_link *link = calloc(1, sizeof *link);
    const struct divvy_agent_channel_events channel_events = {
        .opened = opened, .pushed = pushed, .data = link};

    if (!link)
        return NULL;
    link->platform = platform;
    link->events = *events;
    link->version = version;
    link->agent_id = strdup(agent_id);
    link->multi = curl_multi_init();
    link->status = (struct task){.api = DIVVY_AGENT_API_STATUS,
                                 .what = "the status could not be told",
                                 .retry_ns = RETRY_NS};
    link->config = (struct task){.api = DIVVY_AGENT_API_CONFIG,
                                 .what = "the configuration could not be fetched",
                                 .retry_ns = RETRY_NS};
    link->metrics = (struct task){
        .api = DIVVY_AGENT_API_METRICS, .what = "figures could not be told", .retry_ns = RETRY_NS};
    if (link->multi && link->agent_id)
        link->channel = divvy_agent_channel_new(link->multi, platform, agent_id, &channel_events);
    if (!link->channel) {
        divvy_agent_link_free(link);
        return NULL;
    }
    return link;
}

static void task_drop(struct divvy_agent_link *link, struct task *task) {
    if (task->exchange) {
        (void)curl_multi_remove_handle(link->multi, divvy_agent_exchange_handle(task->exchange));
        divvy_agent_exchange_free(task->exchange);
        task->exchange = NULL;
    }
}

void divvy_agent_link_free(struct divvy_agent_link *link) {
    if (!link)
        return;
    divvy_agent_channel_free(link->channel);
    task_drop(link, &link->status);
    task_drop(link, &link->config);
    task_drop(link, &link->metrics);
    curl_multi_cleanup(link->multi);
    free(link->agent_id);
    free(link);
}

void divvy_agent_link_tell(struct divvy_agent_link *link) {
    task_hasten(&link->status, GATHER_NS);
}

CURLM *divvy_agent_link_multi(struct divvy_agent_link *link) {
    return link->multi;
}

int divvy_agent_link_fd(const struct divvy_agent_link *link, short *ret_events) {
    return divvy_agent_channel_fd(link->channel, ret_events);
}

/* ---- asking ---- */

static void task_fail(struct task *task, const struct divvy_error *error) {
    if (strcmp(task->last.text, error->text) != 0)
        divvy_log_warn("%s: %s; trying again", task->what, error->text);
    task->last = *error;
    task->due_ns = divvy_core_clock_ns() + with_chance(task->retry_ns);
    task->retry_ns = task->retry_ns * 2 < RETRY_MAX_NS ? task->retry_ns * 2 : RETRY_MAX_NS;
}

static void task_begin(struct divvy_agent_link *link, struct task *task, json_t *body) {
    struct divvy_error error = {0};
    int status = divvy_agent_exchange_new(link->platform, task->api, link->agent_id, NULL, body,
                                          &task->exchange, &error);

    if (status == 0 && curl_multi_add_handle(
                           link->multi, divvy_agent_exchange_handle(task->exchange)) != CURLM_OK) {
        divvy_agent_exchange_free(task->exchange);
        task->exchange = NULL;
        status = divvy_error_set_errno(&error, -ENOMEM, "libcurl");
    }
    task->again = false;
    if (status < 0)
        task_fail(task, &error);
}

static void status_answered(struct divvy_agent_link *link, const json_t *answer) {
    const json_t *version = json_object_get(answer, "config_version"),
                 *codes = json_object_get(answer, "worker_share_codes");

    link->status_tells_version = version != NULL;
    if (version)
        version_heard(link, json_integer_value(version));
    if (codes)
        link->events.codes(link->events.data, codes);
}

static int config_answered(struct divvy_agent_link *link, const json_t *answer) {
    int status = link->events.config(link->events.data, answer);

    if (status == 0)
        link->version = json_integer_value(json_object_get(answer, "config_version"));
    return status;
}

/* Answers of others than the channel's. */
static void task_done(struct divvy_agent_link *link, struct task *task, CURLcode code) {
    struct divvy_error error = {0};
    json_t *answer = NULL;
    int status = divvy_agent_exchange_finish(task->exchange, code, &answer, NULL, &error);

    task_drop(link, task);
    if (status == 0 && task == &link->config && config_answered(link, answer) < 0)
        status = divvy_error_set(&error, -EIO, "it could not be applied here");
    if (status < 0) {
        task_fail(task, &error);
    } else {
        if (task->last.text[0])
            divvy_log_info("the platform answers again");
        task->last.text[0] = '\0';
        task->retry_ns = RETRY_NS;
        task->due_ns = task->again ? divvy_core_clock_ns() + GATHER_NS : UINT64_MAX;
        task->again = false;
        if (task == &link->status)
            status_answered(link, answer);
    }
    json_decref(answer);
}

static void answers_take(struct divvy_agent_link *link) {
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(link->multi, &left))) {
        struct task *tasks[] = {&link->status, &link->config, &link->metrics};

        if (message->msg != CURLMSG_DONE ||
            divvy_agent_channel_done(link->channel, message->easy_handle, message->data.result))
            continue;
        for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++)
            if (tasks[i]->exchange &&
                divvy_agent_exchange_handle(tasks[i]->exchange) == message->easy_handle) {
                task_done(link, tasks[i], message->data.result);
                break;
            }
    }
}

/* When it was asked last with success, it is asked again after a while: seldom while there is a channel, often while there is none. */
static void regular_set(struct divvy_agent_link *link) {
    bool is_open = divvy_agent_channel_is_open(link->channel);
    uint64_t delay_ns = with_chance(is_open ? HOUR_NS : POLL_NS), now = divvy_core_clock_ns();

    if (!link->status.exchange && (link->status.due_ns == UINT64_MAX ||
                                   (!is_open && link->status.due_ns > now + 2 * POLL_NS &&
                                    link->status.retry_ns == RETRY_NS)))
        link->status.due_ns = now + delay_ns;
    if (!link->config.exchange && link->config.due_ns == UINT64_MAX && !is_open &&
        !link->status_tells_version)
        link->config.due_ns = now + delay_ns;
}

/* Figures that cannot be told are not told later: newer ones come. */
static void metrics_begin(struct divvy_agent_link *link) {
    json_t *body = link->metrics.exchange ? NULL : link->events.metrics(link->events.data);

    if (body)
        task_begin(link, &link->metrics, body);
    json_decref(body);
}

uint64_t divvy_agent_link_turn(struct divvy_agent_link *link) {
    int running;
    uint64_t now, next;

    (void)curl_multi_perform(link->multi, &running);
    answers_take(link);
    next = divvy_agent_channel_turn(link->channel);
    regular_set(link);
    now = divvy_core_clock_ns();
    if (!link->config.exchange && link->config.due_ns <= now)
        task_begin(link, &link->config, NULL);
    if (!link->status.exchange && link->status.due_ns <= now) {
        json_t *body = link->events.status(link->events.data);

        task_begin(link, &link->status, body);
        json_decref(body);
    }
    metrics_begin(link);
    if (!link->status.exchange && link->status.due_ns < next)
        next = link->status.due_ns;
    if (!link->config.exchange && link->config.due_ns < next)
        next = link->config.due_ns;
    return next;
}

void divvy_agent_link_farewell(struct divvy_agent_link *link) {
    json_t *body = link->events.status(link->events.data);
    struct divvy_agent_exchange *exchange;

    if (body && json_object_set_new(body, "event", json_string("shutdown")) == 0 &&
        divvy_agent_exchange_new(link->platform, DIVVY_AGENT_API_STATUS, link->agent_id, NULL, body,
                                 &exchange, NULL) == 0) {
        CURL *curl = divvy_agent_exchange_handle(exchange);

        (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, FAREWELL_MS);
        (void)curl_easy_perform(curl);
        divvy_agent_exchange_free(exchange);
    }
    json_decref(body);
}
