/* What handlers do with a request: its parameters and body, its answer. */
#include "daemon/http/request.h"

#include "core/parse.h"
#include "daemon/http/fields.h"
#include "daemon/http/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int divvy_http_answer_text(struct divvy_http_request *request, int status, const char *type, char *text, size_t length) {
    free(request->answer);
    request->answer = text;
    request->answer_length = text ? length : 0;
    request->answer_type = text ? type : NULL;
    request->status = status;
    return status;
}

int divvy_http_answer_empty(struct divvy_http_request *request, int status) {
    return divvy_http_answer_text(request, status, NULL, NULL, 0);
}

int divvy_http_answer(struct divvy_http_request *request, int status, json_t *json) {
    /* 12 digits: 33.3 stays 33.3, and every permille and byte count that is a double is exact. */
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    size_t length = text ? strlen(text) : 0;
    char *line = text ? realloc(text, length + 2) : NULL;

    json_decref(json);
    if (!line) {
        free(text);
        return divvy_http_answer_empty(request, 500);
    }
    memcpy(line + length, "\n", 2);
    return divvy_http_answer_text(request, status, DIVVY_HTTP_JSON, line, length + 1);
}

/* Texts come from file names and clients too: what is not UTF-8 or would break the line becomes '?'. */
static void text_clean(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < ' ' || *p == 127)
            *p = ' ';
    json_t *probe = json_string(text);

    if (!probe)
        for (unsigned char *p = (unsigned char *)text; *p; p++)
            if (*p >= 128)
                *p = '?';
    json_decref(probe);
}

int divvy_http_fail(struct divvy_http_request *request, int status, const char *format, ...) {
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    text_clean(text);
    return divvy_http_answer(request, status, json_pack("{s:s}", "error", text));
}

int divvy_http_fail_errno(struct divvy_http_request *request, int error_number, const struct divvy_error *error) {
    static const struct {
        int number, status;
    } map[] = {
        {ENOENT, 404},    {ESRCH, 404},        {EEXIST, 409}, {EBUSY, 409},    {EALREADY, 409}, {EPERM, 403},
        {EACCES, 403},    {EINVAL, 422},       {ERANGE, 422}, {ENOTUNIQ, 422}, {EDQUOT, 409},   {EOPNOTSUPP, 501},
        {ENOSYS, 501},    {ETIMEDOUT, 503},    {ENODEV, 503}, {ENOSPC, 503},   {ENOMEM, 503},   {EAGAIN, 503},
        {ESHUTDOWN, 503}, {ENAMETOOLONG, 422}, {E2BIG, 422},  {EMFILE, 503},   {ENFILE, 503},
    };
    int status = 500;

    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
        if (map[i].number == -error_number)
            status = map[i].status;
    return divvy_http_fail(request, status, "%s",
                           error && error->text[0] ? error->text : strerror(error_number < 0 ? -error_number : EIO));
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = divvy_core_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int divvy_http_percent_decode(const char *coded, size_t length, char *text, size_t size) {
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        int c = (unsigned char)coded[i];

        if (c == '%') {
            int high = i + 2 < length ? hex_digit(coded[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(coded[i + 2]) : -1;

            if (low < 0)
                return -EINVAL;
            c = high << 4 | low;
            i += 2;
        }
        if (c == 0)
            return -EINVAL;
        if (used + 1 >= size)
            return -ENAMETOOLONG;
        text[used++] = (char)c;
    }
    text[used] = '\0';
    return (int)used;
}

int divvy_http_query(const struct divvy_http_request *request, const char *name, char *text, size_t size) {
    const char *coded = NULL;
    size_t length = 0;
    int result;

    if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &coded, &length) !=
        MHD_YES)
        return -ENOENT;
    if (!coded)
        length = 0;
    result = divvy_http_percent_decode(coded, length, text, size);
    return result < 0 ? -EINVAL : result;
}

int divvy_http_query_u64(const struct divvy_http_request *request, const char *name, uint64_t max, uint64_t *ret_value) {
    char text[32];
    uint64_t value;
    int length = divvy_http_query(request, name, text, sizeof text);

    if (length == -ENOENT)
        return 0;
    if (length <= 0 || divvy_core_u64_parse(text, (size_t)length, &value, NULL) != 0 || value > max)
        return -EINVAL;
    *ret_value = value;
    return 0;
}

int divvy_http_query_flag(const struct divvy_http_request *request, const char *name, bool *ret_value) {
    char text[8];
    int length = divvy_http_query(request, name, text, sizeof text);

    *ret_value = false;
    if (length == -ENOENT)
        return 0;
    if (length >= 0 && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0))
        *ret_value = true;
    else if (length < 0 || (strcmp(text, "0") != 0 && strcmp(text, "false") != 0))
        return -EINVAL;
    return 0;
}

const char *divvy_http_header(const struct divvy_http_request *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

int divvy_http_body_object(struct divvy_http_request *request, bool may_be_empty, json_t **ret_json) {
    json_error_t error;
    json_t *json;

    *ret_json = NULL;
    if (request->body_length == 0) {
        if (may_be_empty)
            return 0;
        return divvy_http_fail(request, 400, "the body is empty; a JSON object is expected");
    }
    json = divvy_http_json_parse(request->body, request->body_length, &error);
    if (!json)
        return divvy_http_fail(request, 400, "the body is not JSON: %s at line %d column %d", error.text, error.line,
                               error.column);
    if (!json_is_object(json)) {
        json_decref(json);
        return divvy_http_fail(request, 400, "the body is not a JSON object");
    }
    *ret_json = json;
    return 0;
}

bool divvy_http_may_see(const struct divvy_http_request *request, const struct divvy_node_tenant *tenant) {
    switch (request->credential) {
    case DIVVY_HTTP_CREDENTIAL_ADMIN:
        return true;
    case DIVVY_HTTP_CREDENTIAL_POD:
        return strcmp(tenant->pod, request->peer.pod) == 0 && strcmp(tenant->namespace, request->peer.namespace) == 0 &&
               (!tenant->pod_uid[0] || !request->peer.pod_uid[0] || strcmp(tenant->pod_uid, request->peer.pod_uid) == 0);
    case DIVVY_HTTP_CREDENTIAL_USER:
        return !request->http->hide_others || (request->peer.known && tenant->owner_uid == request->peer.uid);
    case DIVVY_HTTP_CREDENTIAL_LOCAL:
        return !request->http->hide_others;
    default:
        return false;
    }
}
