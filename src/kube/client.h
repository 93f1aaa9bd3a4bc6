/*
 * Requests to the API server by libcurl: TLS that is checked, credentials from kube/config.h, no proxies, no redirects, nothing kept between two
 * requests but what the caller keeps.
 */
#ifndef DIVVY_KUBE_CLIENT_H
#define DIVVY_KUBE_CLIENT_H

#include "base/error.h"
#include "kube/config.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#define DIVVY_KUBE_CONNECT_S 10L

/* One request; embedded in what it belongs to, and not moved while it runs. */
struct divvy_kube_request {
    CURL *curl; /* NULL: none */
    struct curl_slist *headers;
    struct divvy_kube_config config; /* that it was made with: libcurl reads it while it runs */
    char fault[CURL_ERROR_SIZE];
    char *body; /* that is sent */
    int (*take)(struct divvy_kube_request *request, const char *text, size_t length); /* < 0 ends it; NULL: the answer is dropped */
    void *data;
    int taken; /* what `take` has returned, when that was negative */
};

/*
 * Makes one ready to run, for curl_easy_perform or a multi handle. `path` begins with '/'. `body`: JSON to POST, taken over, wiped when it is
 * done; NULL: GET. timeout_s: of all of it. `config` is taken over, also on failure. 0, -ENOMEM, -EINVAL.
 */
int divvy_kube_request_init(struct divvy_kube_request *request, struct divvy_kube_config *config, const char *path, char *body,
                            long timeout_s, struct divvy_error *error);
void divvy_kube_request_done(struct divvy_kube_request *request); /* harmless when zero */

/* Status of the answer, 0 before there is one. */
long divvy_kube_request_status(const struct divvy_kube_request *request);

/* What libcurl says of how it ended, in words that name the server and what to do. Returns the status: -EIO, -ETIMEDOUT, -ECONNREFUSED, -EKEYREJECTED. */
int divvy_kube_request_fault(const struct divvy_kube_request *request, CURLcode code, struct divvy_error *error);

#endif
