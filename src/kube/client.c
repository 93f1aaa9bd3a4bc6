/* Requests to the API server: see client.h. */
#include "kube/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t on_data(char *text, size_t one, size_t length, void *data) {
    struct divvy_kube_request *request = data;

    (void)one;
    if (request->take)
        request->taken = request->take(request, text, length);
    return request->taken < 0 ? 0 : length; /* another length than it was given ends the request */
}

static struct curl_blob blob_of(const struct divvy_kube_blob *blob) {
    return (struct curl_blob){.data = blob->bytes, .len = blob->length, .flags = CURL_BLOB_NOCOPY};
}

static bool tls_set(struct divvy_kube_request *request) {
    const struct divvy_kube_config *config = &request->config;
    struct curl_blob ca = blob_of(&config->ca), cert = blob_of(&config->cert), key = blob_of(&config->key);
    CURL *curl = request->curl;
    int failed = curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);

    failed |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    failed |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (ca.data)
        failed |= curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &ca);
    if (cert.data) {
        failed |= curl_easy_setopt(curl, CURLOPT_SSLCERT_BLOB, &cert);
        failed |= curl_easy_setopt(curl, CURLOPT_SSLCERTTYPE, "PEM");
        failed |= curl_easy_setopt(curl, CURLOPT_SSLKEY_BLOB, &key);
        failed |= curl_easy_setopt(curl, CURLOPT_SSLKEYTYPE, "PEM");
    }
    return failed == 0;
}

static bool header_add(struct divvy_kube_request *request, const char *line) {
    struct curl_slist *headers = curl_slist_append(request->headers, line);

    if (headers)
        request->headers = headers;
    return headers != NULL;
}

static bool headers_set(struct divvy_kube_request *request) {
    const struct divvy_kube_blob *token = &request->config.token;
    char *line;
    bool done = header_add(request, "Accept: application/json") && (!request->body || header_add(request, "Content-Type: application/json"));

    if (done && token->bytes) {
        done = asprintf(&line, "Authorization: Bearer %s", token->bytes) > 0;
        if (done) {
            done = header_add(request, line);
            explicit_bzero(line, strlen(line));
            free(line);
        }
    }
    return done && curl_easy_setopt(request->curl, CURLOPT_HTTPHEADER, request->headers) == CURLE_OK;
}

static bool options_set(struct divvy_kube_request *request, const char *url, long timeout_s) {
    CURL *curl = request->curl;
    int failed = curl_easy_setopt(curl, CURLOPT_URL, url);

    failed |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, strncmp(url, "http:", 5) == 0 ? "http" : "https");
    failed |= curl_easy_setopt(curl, CURLOPT_PROXY, "");
    failed |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    failed |= curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    failed |= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, DIVVY_KUBE_CONNECT_S);
    failed |= curl_easy_setopt(curl, CURLOPT_TIMEOUT, timeout_s);
    failed |= curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    failed |= curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 30L);
    failed |= curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 10L);
    failed |= curl_easy_setopt(curl, CURLOPT_USERAGENT, "divvyd");
    failed |= curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, request->fault);
    failed |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    failed |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, request);
    failed |= curl_easy_setopt(curl, CURLOPT_PRIVATE, request);
    if (request->body)
        failed |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    return failed == 0;
}

int divvy_kube_request_init(struct divvy_kube_request *request, struct divvy_kube_config *config, const char *path, char *body,
                            long timeout_s, struct divvy_error *error) {
    char *url = NULL;
    bool done;

    request->config = *config;
    *config = (struct divvy_kube_config){.server = ""};
    request->body = body;
    request->headers = NULL;
    request->fault[0] = '\0';
    request->taken = 0;
    request->curl = curl_easy_init();
    done = request->curl && asprintf(&url, "%s%s", request->config.server, path) > 0;
    done = done && options_set(request, url, timeout_s) && tls_set(request) && headers_set(request);
    free(url);
    if (done)
        return 0;
    divvy_kube_request_done(request);
    return divvy_error_set(error, -ENOMEM, "a request to the API server cannot be made ready");
}

void divvy_kube_request_done(struct divvy_kube_request *request) {
    curl_easy_cleanup(request->curl);
    for (struct curl_slist *header = request->headers; header; header = header->next)
        explicit_bzero(header->data, strlen(header->data));
    curl_slist_free_all(request->headers);
    divvy_kube_config_done(&request->config);
    if (request->body)
        explicit_bzero(request->body, strlen(request->body));
    free(request->body);
    request->curl = NULL;
    request->headers = NULL;
    request->body = NULL;
}

long divvy_kube_request_status(const struct divvy_kube_request *request) {
    long status = 0;

    (void)curl_easy_getinfo(request->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

int divvy_kube_request_fault(const struct divvy_kube_request *request, CURLcode code, struct divvy_error *error) {
    static const struct {
        CURLcode code;
        int status;
        const char *words;
    } faults[] = {
        {CURLE_PEER_FAILED_VERIFICATION, -EKEYREJECTED, "its certificate is not trusted"},
        {CURLE_SSL_CACERT_BADFILE, -EINVAL, "certificate-authority is no certificate"},
        {CURLE_SSL_CERTPROBLEM, -EINVAL, "our certificate or its key cannot be used"},
        {CURLE_SSL_CONNECT_ERROR, -EIO, "no TLS connection comes about"},
        {CURLE_COULDNT_RESOLVE_HOST, -EIO, "its name is not known"},
        {CURLE_COULDNT_CONNECT, -ECONNREFUSED, "nobody answers"},
        {CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT, "no answer in time"},
    };
    const char *said = request->fault[0] ? request->fault : curl_easy_strerror(code);

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (faults[i].code == code)
            return divvy_error_set(error, faults[i].status, "%s (%.120s)", faults[i].words, said);
    return divvy_error_set(error, -EIO, "%.200s", said);
}
