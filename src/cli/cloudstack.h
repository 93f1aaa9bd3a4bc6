/*
 * The API of an Apache CloudStack management server: signed requests, errors, pages, asynchronous jobs. Sources: CloudStack's developer
 * guide, and its ApiServer for how a signature is checked. One thread; every call blocks, at most for the limits below.
 */
#ifndef DIVVY_CLI_CLOUDSTACK_H
#define DIVVY_CLI_CLOUDSTACK_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define DIVVY_CLOUDSTACK_URL_BYTES    1024u
#define DIVVY_CLOUDSTACK_KEY_BYTES    256u
#define DIVVY_CLOUDSTACK_ANSWER_BYTES (64u << 20)
#define DIVVY_CLOUDSTACK_VMS_MAX      20000
#define DIVVY_CLOUDSTACK_EXPIRES_S    600 /* a server may refuse what is valid for more than 15 minutes */

struct divvy_cloudstack {
    char url[DIVVY_CLOUDSTACK_URL_BYTES]; /* …/client/api */
    char key[DIVVY_CLOUDSTACK_KEY_BYTES], secret[DIVVY_CLOUDSTACK_KEY_BYTES];
    char ca_file[DIVVY_CLOUDSTACK_URL_BYTES]; /* empty: the system's */
    uint32_t timeout_ms;                      /* of one request */
    uint32_t job_limit_ms, job_pause_ms;      /* of an asynchronous job, and between two questions about it */
    uint32_t page_size;
};

/*
 * The query of a request, malloc'd: names in lower case and in order, values encoded as Java's URLEncoder does (but blanks as %20), the
 * signature behind: base64 of HMAC-SHA1 by `secret` of the whole in lower case. `parameters`: an object of texts. NULL with `error`:
 * -EINVAL a name that is none, -ENOMEM. Pure.
 */
char *divvy_cloudstack_query(const json_t *parameters, const char *secret, struct divvy_error *error);

/* `at` and so many seconds, as the parameter "expires" wants it. */
void divvy_cloudstack_expires(time_t at, char ret_text[32]);

/*
 * What came back for `command`: the member COMMANDresponse, a new reference in *ret_response. -EACCES 401: the key or signature is not
 * taken; -EINVAL 430 and 431: a parameter, or there is no such thing; -EREMOTEIO other refusals; -EPROTO what is no answer. Pure.
 */
int divvy_cloudstack_answer_read(const char *command, long status, const char *text, size_t length, json_t **ret_response,
                                 struct divvy_error *error);

/* One call. As above, and -ENOTCONN, -ETIMEDOUT. `parameters` (borrowed) may be NULL. */
int divvy_cloudstack_call(const struct divvy_cloudstack *cloud, const char *command, const json_t *parameters, json_t **ret_response,
                          struct divvy_error *error);

/* Waits for a job: *ret_result is its result. -ECANCELED: it failed, with CloudStack's words; -ETIMEDOUT: it goes on. */
int divvy_cloudstack_job_wait(const struct divvy_cloudstack *cloud, const char *job, json_t **ret_result, struct divvy_error *error);

/* What is looked at of a virtual machine. Cut to size; empty where it is not told. */
struct divvy_cloudstack_vm {
    char id[40]; /* a UUID in lower case, which is the hypervisor's too */
    char name[128], instance[64], state[32], offering[128], vgpu[128], profile[128], host[128];
};

/* Adds the machines of one page to an array that grows. How many the page had, or -EPROTO; *ret_total: how many there are in all. */
int divvy_cloudstack_page_read(const json_t *response, struct divvy_cloudstack_vm **vms, size_t *count, size_t *ret_total,
                               struct divvy_error *error);

/* All machines that the key may see, malloc'd. A list that is not whole is an error (-EAGAIN): nobody is to conclude anything from it. */
int divvy_cloudstack_vms(const struct divvy_cloudstack *cloud, struct divvy_cloudstack_vm **ret_vms, size_t *ret_count,
                         struct divvy_error *error);

/* 1: there is a machine with this id, 0: there is none, for sure; or a negative errno. */
int divvy_cloudstack_vm_exists(const struct divvy_cloudstack *cloud, const char *id, struct divvy_error *error);

#endif
