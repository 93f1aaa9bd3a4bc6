/* The platform's HTTP API: see platform.h. */
#include "agent/platform.h"

#include "agent/shape.h"
#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define TIMEOUT_MS   30000L
#define CONNECT_MS   10000L
#define TRIES        3u
#define REMARK_BYTES 160
#define PATH_BYTES   512

struct api {
    const char *method;
    const char *path; /* %s: the id */
    long accepted[2]; /* statuses of success; the second may be 0 */
    bool can_repeat;  /* asking twice does what asking once does */
    bool is_public;   /* no credential */
    const struct divvy_agent_shape *shape;
};

static const struct api apis[DIVVY_AGENT_API_MAX] = {
    [DIVVY_AGENT_API_REGISTER] = {"POST",
                                  "/api/v1/agents/register",
                                  {200, 201},
                                  false,
                                  false,
                                  &divvy_agent_shape_registered},
    [DIVVY_AGENT_API_CONFIG] =
        {"GET", "/api/v1/agents/%s/config", {200, 0}, true, false, &divvy_agent_shape_config},
    [DIVVY_AGENT_API_STATUS] =
        {"POST", "/api/v1/agents/%s/status", {200, 201}, true, false, &divvy_agent_shape_status},
    [DIVVY_AGENT_API_METRICS] =
        {"POST", "/api/v1/agents/%s/metrics", {200, 0}, true, false, &divvy_agent_shape_empty},
    [DIVVY_AGENT_API_AGENTS] =
        {"GET", "/api/v1/agents", {200, 0}, true, false, &divvy_agent_shape_agents},
    [DIVVY_AGENT_API_AGENT] =
        {"GET", "/api/v1/agents/%s", {200, 0}, true, false, &divvy_agent_shape_agent},
    [DIVVY_AGENT_API_AGENT_DELETE] = {"DELETE", "/api/v1/agents/%s", {200, 204}, true, false, NULL},
    [DIVVY_AGENT_API_WORKERS] =
        {"GET", "/api/v1/workers", {200, 0}, true, false, &divvy_agent_shape_workers},
    [DIVVY_AGENT_API_WORKER_CREATE] =
        {"POST", "/api/v1/workers", {200, 201}, false, false, &divvy_agent_shape_worker},
    [DIVVY_AGENT_API_WORKER] =
        {"GET", "/api/v1/workers/%s", {200, 0}, true, false, &divvy_agent_shape_worker},
    [DIVVY_AGENT_API_WORKER_UPDATE] =
        {"PATCH", "/api/v1/workers/%s", {200, 0}, true, false, &divvy_agent_shape_worker},
    [DIVVY_AGENT_API_WORKER_DELETE] =
        {"DELETE", "/api/v1/workers/%s", {200, 204}, true, false, NULL},
    [DIVVY_AGENT_API_SHARE_CREATE] =
        {"POST", "/api/v1/shares", {200, 201}, false, false, &divvy_agent_shape_share},
    [DIVVY_AGENT_API_SHARES] =
        {"GET", "/api/v1/shares", {200, 0}, true, false, &divvy_agent_shape_shares},
    [DIVVY_AGENT_API_SHARE_DELETE] = {"DELETE", "/api/v1/shares/%s", {200, 204}, true, false, NULL},
    [DIVVY_AGENT_API_PUBLIC] = {"GET", "/s/%s", {200, 0}, true, true, &divvy_agent_shape_public},
};

struct divvy_agent_exchange {
    const struct api *api;
    enum divvy_agent_api which;
    const struct divvy_agent_platform *platform; /* borrowed */
    CURL *curl;
    struct curl_slist *headers;
    char *body;
    char *answer;
    size_t length, room;
    bool too_large;
};

/* ---- server and credential ---- */

int divvy_agent_server_set(struct divvy_agent_platform *platform, const char *url,
                           struct divvy_error *error) {
    CURLU *parts = curl_url();
    char *host = NULL, *scheme = NULL, *user = NULL, *query = NULL;
    size_t length = strlen(url);
    int status = 0;

    if (!parts)
        return divvy_error_set_errno(error, -ENOMEM, "the server's URL");
    if (length >= DIVVY_AGENT_URL_BYTES)
        status = divvy_error_set(error, -EINVAL, "the server's URL is longer than %d bytes",
                                 DIVVY_AGENT_URL_BYTES - 1);
    else if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
             curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
             curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        status = divvy_error_set(error, -EINVAL,
                                 "server '%.80s': write a URL such as https://api.gpu.tf", url);
    else if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)
        status =
            divvy_error_set(error, -EINVAL, "server '%.80s': only http and https are spoken", url);
    else if (curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK ||
             curl_url_get(parts, CURLUPART_QUERY, &query, 0) == CURLUE_OK)
        status =
            divvy_error_set(error, -EINVAL, "the server's URL may hold neither a user nor '?'");
    if (status == 0) {
        while (length > 0 && url[length - 1] == '/')
            length--;
        memcpy(platform->server, url, length);
        platform->server[length] = '\0';
    }
    curl_free(host);
    curl_free(scheme);
    curl_free(user);
    curl_free(query);
    curl_url_cleanup(parts);
    return status;
}

bool divvy_agent_server_is_open(const struct divvy_agent_platform *platform) {
    CURLU *parts = curl_url();
    char *host = NULL;
    bool is_here = false;

    if (strncasecmp(platform->server, "http:", 5) == 0 && parts &&
        curl_url_set(parts, CURLUPART_URL, platform->server, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        is_here = strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
                  strcmp(host, "[::1]") == 0;
    curl_free(host);
    curl_url_cleanup(parts);
    return strncasecmp(platform->server, "http:", 5) == 0 && !is_here;
}

int divvy_agent_credential_set(struct divvy_agent_platform *platform, const char *credential,
                               struct divvy_error *error) {
    size_t length = strlen(credential);

    if (length == 0 || length >= DIVVY_AGENT_CREDENTIAL_BYTES)
        return divvy_error_set(error, -EINVAL,
                               length ? "the token is too long" : "the token is empty");
    for (size_t i = 0; i < length; i++)
        if (credential[i] <= ' ' || credential[i] > '~')
            return divvy_error_set(error, -EINVAL,
                                   "character %zu of the token cannot be part of one", i + 1);
    memcpy(platform->credential, credential, length + 1);
    return 0;
}

/* ---- paths and queries ---- */

/* Letters, digits and ".-_~" as they are, the rest as %XX; false when it does not fit. */
static bool escaped_add(char *text, size_t size_bytes, const char *value) {
    size_t length = strlen(text);

    for (; *value; value++) {
        bool plain = (*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') ||
                     (*value >= '0' && *value <= '9') || strchr(".-_~", *value);

        if (length + 4 > size_bytes)
            return false;
        length += (size_t)snprintf(text + length, size_bytes - length, plain ? "%c" : "%%%02X",
                                   (unsigned char)*value);
    }
    return true;
}

bool divvy_agent_query_add(char *query, size_t size_bytes, const char *name, const char *value) {
    size_t length = strlen(query);

    if ((size_t)snprintf(query + length, size_bytes - length, "%s%s=", length ? "&" : "", name) >=
        size_bytes - length)
        return false;
    return escaped_add(query, size_bytes, value);
}

static int url_make(const struct divvy_agent_platform *platform, const struct api *api,
                    const char *id, const char *query, char *ret_url, size_t size_bytes,
                    struct divvy_error *error) {
    const char *gap = strstr(api->path, "%s");
    char part[PATH_BYTES] = "";
    int before = gap ? (int)(gap - api->path) : (int)strlen(api->path);

    /* A lone "." or ".." would be a step in the path. */
    if (gap && (!id || !id[0] || strcmp(id, ".") == 0 || strcmp(id, "..") == 0 ||
                !escaped_add(part, sizeof part, id)))
        return divvy_error_set(error, -EINVAL, "'%.60s' can be nothing's id", id ? id : "");
    if ((size_t)snprintf(ret_url, size_bytes, "%s%.*s%s%s%s%s", platform->server, before, api->path,
                         part, gap ? gap + 2 : "", query && query[0] ? "?" : "",
                         query ? query : "") >= size_bytes)
        return divvy_error_set_errno(error, -ENAMETOOLONG, "the URL for %.60s", api->path);
    return 0;
}

/* ---- an exchange ---- */

static size_t answer_take(const char *bytes, size_t size, size_t count, void *data) {
    struct divvy_agent_exchange *exchange = data;
    size_t more = size * count;

    if (more > DIVVY_AGENT_ANSWER_BYTES - exchange->length) {
        exchange->too_large = true;
        return 0;
    }
    if (exchange->length + more > exchange->room) {
        size_t room = (exchange->length + more) * 2;
        char *grown = realloc(exchange->answer, room);

        if (!grown)
            return 0;
        exchange->answer = grown;
        exchange->room = room;
    }
    memcpy(exchange->answer + exchange->length, bytes, more);
    exchange->length += more;
    return more;
}

static int header_add(struct divvy_agent_exchange *exchange, const char *header) {
    struct curl_slist *longer = curl_slist_append(exchange->headers, header);

    if (longer)
        exchange->headers = longer;
    return longer ? 0 : -ENOMEM;
}

static int headers_make(struct divvy_agent_exchange *exchange) {
    char bearer[DIVVY_AGENT_CREDENTIAL_BYTES + 32];
    int status = header_add(exchange, "Accept: application/json");

    if (status == 0 && exchange->body)
        status = header_add(exchange, "Content-Type: application/json");
    if (status == 0 && !exchange->api->is_public && exchange->platform->credential[0]) {
        (void)snprintf(bearer, sizeof bearer, "Authorization: Bearer %s",
                       exchange->platform->credential);
        status = header_add(exchange, bearer);
        explicit_bzero(bearer, sizeof bearer);
    }
    return status;
}

static int exchange_prepare(struct divvy_agent_exchange *exchange, const char *url) {
    CURL *curl = exchange->curl;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, url);

    code |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    code |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    code |= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    code |= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    code |= curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, exchange->api->method);
    code |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_take);
    code |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    code |= curl_easy_setopt(curl, CURLOPT_HTTPHEADER, exchange->headers);
    code |= curl_easy_setopt(curl, CURLOPT_USERAGENT, "ggo/" DIVVY_VERSION);
    code |= curl_easy_setopt(curl, CURLOPT_PRIVATE, exchange);
    if (exchange->body) {
        code |=
            curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(exchange->body));
        code |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, exchange->body);
    }
    return code == CURLE_OK ? 0 : -ENOMEM;
}

int divvy_agent_exchange_new(const struct divvy_agent_platform *platform, enum divvy_agent_api api,
                             const char *id, const char *query, const json_t *body,
                             struct divvy_agent_exchange **ret_exchange,
                             struct divvy_error *error) {
    char url[DIVVY_AGENT_URL_BYTES + 2 * PATH_BYTES];
    struct divvy_agent_exchange *exchange;
    int status = url_make(platform, &apis[api], id, query, url, sizeof url, error);

    if (status < 0)
        return status;
    exchange = calloc(1, sizeof *exchange);
    if (exchange) {
        exchange->api = &apis[api];
        exchange->which = api;
        exchange->platform = platform;
        exchange->curl = curl_easy_init();
        exchange->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
    }
    if (!exchange || !exchange->curl || (body && !exchange->body) || headers_make(exchange) < 0 ||
        exchange_prepare(exchange, url) < 0) {
        divvy_agent_exchange_free(exchange);
        return divvy_error_set_errno(error, -ENOMEM, "cannot make a request");
    }
    *ret_exchange = exchange;
    return 0;
}

void divvy_agent_exchange_free(struct divvy_agent_exchange *exchange) {
    if (!exchange)
        return;
    curl_easy_cleanup(exchange->curl);
    curl_slist_free_all(exchange->headers);
    if (exchange->body)
        explicit_bzero(exchange->body, strlen(exchange->body));
    free(exchange->body);
    free(exchange->answer);
    free(exchange);
}

CURL *divvy_agent_exchange_handle(struct divvy_agent_exchange *exchange) {
    return exchange->curl;
}

/* ---- what came back ---- */

static int status_errno(long http_status) {
    static const struct {
        long first, last;
        int status;
    } table[] = {{400, 400, -EINVAL}, {401, 401, -EPERM},  {403, 403, -EPERM},  {404, 404, -ENOENT},
                 {408, 408, -EAGAIN}, {409, 409, -EBUSY},  {410, 410, -ENOENT}, {422, 422, -EINVAL},
                 {425, 425, -EAGAIN}, {429, 429, -EAGAIN}, {502, 504, -EAGAIN}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (http_status >= table[i].first && http_status <= table[i].last)
            return table[i].status;
    return -EREMOTEIO;
}

/* The server's own words, for a message: one line, and without the credential, which some servers repeat. */
static void remark_take(const json_t *answer, const char *bytes, size_t length,
                        const char *credential, char ret_remark[REMARK_BYTES]) {
    static const char *const keys[] = {"error", "message", "detail"};
    const json_t *error = json_object_get(answer, "error");
    const char *text = json_string_value(json_object_get(error, "message"));
    char raw[REMARK_BYTES];

    for (size_t i = 0; !text && i < sizeof keys / sizeof keys[0]; i++)
        text = json_string_value(json_object_get(answer, keys[i]));
    (void)snprintf(raw, sizeof raw, "%.*s", (int)(length < sizeof raw ? length : sizeof raw - 1),
                   bytes ? bytes : "");
    if (!text)
        text = raw;
    /* The whole of what was sent is looked for, before it is cut. */
    if (credential && credential[0] &&
        (strstr(text, credential) ||
         (bytes && memmem(bytes, length, credential, strlen(credential)))))
        text = "(its words hold the credential and are not shown)";
    divvy_text_clean(text, ret_remark, REMARK_BYTES);
}

static int refusal_tell(const struct api *api, long http_status, const char *remark,
                        struct divvy_error *error) {
    const char *remedy = http_status == 401 || http_status == 403
                             ? api == &apis[DIVVY_AGENT_API_REGISTER]
                                   ? "; get a new token from the platform"
                                   : "; is the token or the registration still valid?"
                             : "";

    return divvy_error_set(error, status_errno(http_status), "the platform answered %ld%s%s%s",
                           http_status, remark[0] ? ": " : "", remark, remedy);
}

int divvy_agent_answer_judge(enum divvy_agent_api which, const char *credential, long http_status,
                             const char *bytes, size_t length, json_t **ret_answer,
                             struct divvy_error *error) {
    const struct api *api = &apis[which];
    json_error_t fault;
    json_t *value = length > 0 ? json_loadb(bytes, length, JSON_DECODE_ANY, &fault) : NULL,
           *taken = NULL;
    char remark[REMARK_BYTES];
    int status = 0;

    if (http_status != api->accepted[0] && (http_status != api->accepted[1] || http_status == 0)) {
        remark_take(value, bytes, length, credential, remark);
        status = refusal_tell(api, http_status, remark, error);
    } else if (api->shape && api->shape != &divvy_agent_shape_empty && !value) {
        status =
            divvy_error_set(error, -EPROTO,
                            length > 0 ? "the platform's answer is no JSON (line %d, column %d)"
                                       : "the platform's answer is empty",
                            fault.line, fault.column);
    } else if (api->shape && value && api->shape != &divvy_agent_shape_empty) {
        status = divvy_agent_shape_take(api->shape, value, &taken, error);
        if (status == -EPROTO)
            (void)divvy_error_prefix(error, "the platform's answer makes no sense");
    }
    json_decref(value);
    if (status == 0 && ret_answer)
        *ret_answer = taken ? taken : json_object();
    else
        json_decref(taken);
    return status;
}

static int transport_failure(const struct divvy_agent_exchange *exchange, CURLcode code,
                             struct divvy_error *error) {
    const char *server = exchange->platform->server;

    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return divvy_error_set(error, -ETIMEDOUT, "%.120s does not answer in time", server);
    case CURLE_OUT_OF_MEMORY:
        return divvy_error_set_errno(error, -ENOMEM, "%.120s", server);
    case CURLE_WRITE_ERROR:
        if (exchange->too_large)
            return divvy_error_set(error, -EPROTO, "%.120s answered more than %u MiB", server,
                                   DIVVY_AGENT_ANSWER_BYTES >> 20);
        return divvy_error_set_errno(error, -ENOMEM, "%.120s", server);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return divvy_error_set(error, -EPROTO, "%.120s cannot prove who it is (%s)", server,
                               curl_easy_strerror(code));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return divvy_error_set(error, -EPROTO, "%.120s does not speak HTTP (%s)", server,
                               curl_easy_strerror(code));
    default:
        return divvy_error_set(error, -ENOTCONN, "%.120s cannot be reached (%s)", server,
                               curl_easy_strerror(code));
    }
}

int divvy_agent_exchange_finish(struct divvy_agent_exchange *exchange, CURLcode code,
                                json_t **ret_answer, bool *ret_again, struct divvy_error *error) {
    const struct api *api = exchange->api;
    long http_status = 0;
    bool never_arrived = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
    int status;

    (void)curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &http_status);
    if (code == CURLE_OK)
        status =
            divvy_agent_answer_judge(exchange->which, exchange->platform->credential, http_status,
                                     exchange->answer, exchange->length, ret_answer, error);
    else
        status = transport_failure(exchange, code, error);
    if (ret_again)
        *ret_again = never_arrived || http_status == 429 || http_status == 503 ||
                     (api->can_repeat && (status == -EAGAIN || status == -ENOTCONN ||
                                          status == -ETIMEDOUT || http_status >= 500));
    return status;
}

int divvy_agent_platform_call(const struct divvy_agent_platform *platform, enum divvy_agent_api api,
                              const char *id, const char *query, const json_t *body,
                              json_t **ret_answer, struct divvy_error *error) {
    int status = 0;

    for (unsigned int n = 0; n < TRIES; n++) {
        struct divvy_agent_exchange *exchange;
        bool again = false;

        status = divvy_agent_exchange_new(platform, api, id, query, body, &exchange, error);
        if (status < 0)
            return status;
        status = divvy_agent_exchange_finish(exchange, curl_easy_perform(exchange->curl),
                                             ret_answer, &again, error);
        divvy_agent_exchange_free(exchange);
        if (status == 0 || !again)
            break;
        if (n + 1 < TRIES)
            (void)sleep(1u << n);
    }
    return status;
}
