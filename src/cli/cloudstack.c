/* The API of CloudStack: see cloudstack.h. */
#include "cli/cloudstack.h"

#include "base/cleanup.h"
#include "base/table.h"
#include "core/clock.h"
#include "core/parse.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS 10000L
#define PAGES_MAX  1000u

/* --- signing ---------------------------------------------------------------------------------------------------------------- */

struct pair {
    char *name, *value;
};

static void lower(char *text) {
    for (; *text; text++)
        *text = divvy_core_ascii_lower(*text);
}

static int pair_order(const void *a, const void *b) {
    return strcmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

/* A byte that Java's URLEncoder leaves as it is. */
static int is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(".-*_", c));
}

static char *encode(const char *text) {
    char *coded = malloc(3 * strlen(text) + 1), *at = coded;

    for (; coded && *text; text++)
        if (is_plain(*text))
            *at++ = *text;
        else
            at += snprintf(at, 4, "%%%02X", (unsigned char)*text);
    if (coded)
        *at = '\0';
    return coded;
}

static void pairs_free(struct pair *pairs, size_t count) {
    for (size_t i = 0; pairs && i < count; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

static struct pair *pairs_make(const json_t *parameters, size_t *ret_count, struct divvy_error *error) {
    struct pair *pairs = calloc(json_object_size(parameters) + 1, sizeof *pairs);
    const char *name;
    json_t *value;

    *ret_count = 0;
    json_object_foreach((json_t *)(uintptr_t)parameters, name, value) {
        struct pair *pair = pairs ? &pairs[(*ret_count)++] : NULL;

        if (!name[0] || name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-[]")] || !json_is_string(value)) {
            (void)divvy_error_set(error, -EINVAL, "'%.40s' is no name of a parameter", name);
            pairs_free(pairs, *ret_count);
            return NULL;
        }
        if (pair) {
            pair->name = strdup(name);
            pair->value = encode(json_string_value(value));
        }
        if (!pair || !pair->name || !pair->value) {
            (void)divvy_error_set(error, -ENOMEM, "no memory");
            pairs_free(pairs, *ret_count);
            return NULL;
        }
        lower(pair->name);
    }
    qsort(pairs, *ret_count, sizeof *pairs, pair_order);
    return pairs;
}

/* "name=value&name=value"; names encoded for the way, or as they are signed. */
static char *join(const struct pair *pairs, size_t count, int is_signed, size_t spare) {
    size_t length = spare + 1, used = 0;
    char *text;

    for (size_t i = 0; i < count; i++)
        length += 3 * strlen(pairs[i].name) + strlen(pairs[i].value) + 2;
    text = malloc(length);
    for (size_t i = 0; text && i < count; i++) {
        cleanup_free char *name = is_signed ? strdup(pairs[i].name) : encode(pairs[i].name);

        if (!name) {
            free(text);
            return NULL;
        }
        used += (size_t)snprintf(text + used, length - used, "%s%s=%s", i ? "&" : "", name, pairs[i].value);
    }
    if (text)
        text[used] = '\0';
    return text;
}

char *divvy_cloudstack_query(const json_t *parameters, const char *secret, struct divvy_error *error) {
    size_t count;
    struct pair *pairs = pairs_make(parameters, &count, error);
    char *plain = pairs ? join(pairs, count, 1, 0) : NULL, *coded = NULL;
    char *query = pairs ? join(pairs, count, 0, 128) : NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char signature[2 * EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    pairs_free(pairs, count);
    if (!pairs)
        return NULL;
    if (plain)
        lower(plain);
    if (plain && query && HMAC(EVP_sha1(), secret, (int)strlen(secret), (const unsigned char *)plain, strlen(plain), digest, &length)) {
        (void)EVP_EncodeBlock((unsigned char *)signature, digest, (int)length);
        coded = encode(signature);
    }
    free(plain);
    if (!coded) {
        free(query);
        (void)divvy_error_set(error, -ENOMEM, "the request cannot be signed");
        return NULL;
    }
    (void)snprintf(query + strlen(query), 128, "&signature=%s", coded);
    free(coded);
    return query;
}

void divvy_cloudstack_expires(time_t at, char ret_text[32]) {
    struct tm broken;
    time_t until = at + DIVVY_CLOUDSTACK_EXPIRES_S;

    (void)gmtime_r(&until, &broken);
    (void)strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%S+0000", &broken);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

static int refusal(const char *command, json_int_t code, const json_t *member, struct divvy_error *error) {
    const char *text = json_string_value(json_object_get(member, "errortext"));
    char clean[160] = "no reason given";

    if (text)
        divvy_text_clean(text, clean, sizeof clean);
    return divvy_error_set(error,
                           code == 401                ? -EACCES :
                           code == 430 || code == 431 ? -EINVAL :
                                                        -EREMOTEIO,
                           "CloudStack refuses %.40s with %lld: %s", command, (long long)code, clean);
}

int divvy_cloudstack_answer_read(const char *command, long status, const char *text, size_t length, json_t **ret_response,
                                 struct divvy_error *error) {
    json_t *root = json_loadb(text ? text : "", length, 0, NULL), *member;
    const json_t *code;
    char name[96];
    int result = 0;

    (void)snprintf(name, sizeof name, "%.80sresponse", command);
    lower(name);
    member = json_object_get(root, name);
    if (!member && json_object_size(root) == 1)
        member = json_object_iter_value(json_object_iter(root)); /* "errorresponse", or another command's name for errors */
    code = json_object_get(member, "errorcode");
    if (json_is_integer(code))
        result = refusal(command, json_integer_value(code), member, error);
    else if (status < 200 || status > 299)
        result = refusal(command, status, NULL, error);
    else if (!json_is_object(json_object_get(root, name)))
        result = divvy_error_set(error, -EPROTO, "what answers %.40s is no CloudStack: there is no %s in it", command, name);
    else
        *ret_response = json_incref(member);
    json_decref(root);
    return result;
}

struct answer {
    char *text;
    size_t length, room;
    int is_too_long;
};

static size_t answer_take(char *data, size_t one, size_t size, void *user) {
    struct answer *answer = user;

    (void)one;
    if (answer->length + size > DIVVY_CLOUDSTACK_ANSWER_BYTES) {
        answer->is_too_long = 1;
        return 0;
    }
    if (answer->length + size + 1 > answer->room) {
        size_t room = 2 * answer->room + size + 4096;
        char *text = realloc(answer->text, room);

        if (!text)
            return 0;
        answer->text = text;
        answer->room = room;
    }
    memcpy(answer->text + answer->length, data, size);
    answer->length += size;
    return size;
}

static int transport_failure(const struct divvy_cloudstack *cloud, CURLcode code, const struct answer *answer, struct divvy_error *error) {
    if (answer->is_too_long)
        return divvy_error_set(error, -EPROTO, "CloudStack answers more than %u MiB", DIVVY_CLOUDSTACK_ANSWER_BYTES >> 20);
    return divvy_error_set(error, code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -ENOTCONN, "no answer from %.120s: %s", cloud->url,
                           curl_easy_strerror(code));
}

/* Commands that only look; the others are posted, as a server may insist on. */
static int is_reading(const char *command) {
    return strncmp(command, "list", 4) == 0 || strncmp(command, "query", 5) == 0 || strncmp(command, "get", 3) == 0;
}

static CURLcode request_perform(const struct divvy_cloudstack *cloud, const char *command, const char *query, struct answer *answer,
                                long *ret_status) {
    CURL *curl = curl_easy_init();
    size_t length = strlen(cloud->url) + strlen(query) + 2;
    char *url = malloc(length);
    CURLcode code;

    if (!curl || !url) {
        free(url);
        curl_easy_cleanup(curl);
        return CURLE_OUT_OF_MEMORY;
    }
    (void)snprintf(url, length, "%s%s%s", cloud->url, is_reading(command) ? "?" : "", is_reading(command) ? query : "");
    code = curl_easy_setopt(curl, CURLOPT_URL, url); /* copied */
    free(url);
    code |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    code |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    code |= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    code |= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)cloud->timeout_ms);
    code |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_take);
    code |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (cloud->ca_file[0])
        code |= curl_easy_setopt(curl, CURLOPT_CAINFO, cloud->ca_file);
    if (!is_reading(command)) {
        code |= curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(query));
        code |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, query);
    }
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(curl);
    return code;
}

int divvy_cloudstack_call(const struct divvy_cloudstack *cloud, const char *command, const json_t *parameters, json_t **ret_response,
                          struct divvy_error *error) {
    json_t *all = parameters ? json_copy((json_t *)(uintptr_t)parameters) : json_object();
    cleanup_free char *query = NULL;
    struct answer answer = {0};
    char expires[32];
    long status = 0;
    CURLcode code;
    int result;

    divvy_cloudstack_expires(time(NULL), expires);
    (void)json_object_set_new(all, "command", json_string(command));
    (void)json_object_set_new(all, "response", json_string("json"));
    (void)json_object_set_new(all, "signatureversion", json_string("3"));
    (void)json_object_set_new(all, "expires", json_string(expires));
    (void)json_object_set_new(all, "apikey", json_string(cloud->key));
    query = divvy_cloudstack_query(all, cloud->secret, error);
    json_decref(all);
    if (!query)
        return error ? error->status : -EINVAL;
    code = request_perform(cloud, command, query, &answer, &status);
    result = code == CURLE_OK ? divvy_cloudstack_answer_read(command, status, answer.text, answer.length, ret_response, error) :
                                transport_failure(cloud, code, &answer, error);
    free(answer.text);
    return result;
}

/* --- jobs ------------------------------------------------------------------------------------------------------------------- */

/* 1: it is over and done; 0: it goes on; or what went wrong. */
static int job_ask(const struct divvy_cloudstack *cloud, const json_t *parameters, json_t **ret_result, struct divvy_error *error) {
    json_t *response = NULL;
    const json_t *state;
    char clean[160] = "no reason given";
    const char *text;
    int result = divvy_cloudstack_call(cloud, "queryAsyncJobResult", parameters, &response, error);

    if (result < 0)
        return result;
    state = json_object_get(response, "jobstatus");
    text = json_string_value(json_object_get(json_object_get(response, "jobresult"), "errortext"));
    if (text)
        divvy_text_clean(text, clean, sizeof clean);
    if (!json_is_integer(state) || json_integer_value(state) < 0 || json_integer_value(state) > 2)
        result = divvy_error_set(error, -EPROTO, "CloudStack's answer about a job has no jobstatus");
    else if (json_integer_value(state) == 2)
        result = divvy_error_set(error, -ECANCELED, "the job failed: %s", clean);
    else if (json_integer_value(state) == 1) {
        json_t *value = json_object_get(response, "jobresult");

        *ret_result = value ? json_incref(value) : json_null();
        result = 1;
    }
    json_decref(response);
    return result;
}

int divvy_cloudstack_job_wait(const struct divvy_cloudstack *cloud, const char *job, json_t **ret_result, struct divvy_error *error) {
    uint64_t until_ns = divvy_core_clock_ns() + cloud->job_limit_ms * DIVVY_NS_PER_MS;
    json_t *parameters = json_pack("{s:s}", "jobid", job);
    int result;

    while ((result = job_ask(cloud, parameters, ret_result, error)) == 0 && divvy_core_clock_ns() < until_ns)
        (void)usleep(cloud->job_pause_ms * 1000);
    json_decref(parameters);
    if (result == 0)
        return divvy_error_set(error, -ETIMEDOUT, "the job %.60s is not over after %u s", job, cloud->job_limit_ms / 1000);
    return result < 0 ? result : 0;
}

/* --- virtual machines -------------------------------------------------------------------------------------------------------- */

static void text_take(const json_t *object, const char *key, char *ret_text, size_t size) {
    const char *text = json_string_value(json_object_get(object, key));

    ret_text[0] = '\0';
    if (text)
        divvy_text_clean(text, ret_text, size);
}

static int is_uuid(const char *text) {
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' : !strchr("0123456789abcdef", text[i]))
            return 0;
    return length == 36;
}

static int vm_read(const json_t *object, struct divvy_cloudstack_vm *vm, struct divvy_error *error) {
    text_take(object, "id", vm->id, sizeof vm->id);
    lower(vm->id);
    text_take(object, "name", vm->name, sizeof vm->name);
    text_take(object, "instancename", vm->instance, sizeof vm->instance);
    text_take(object, "state", vm->state, sizeof vm->state);
    text_take(object, "serviceofferingname", vm->offering, sizeof vm->offering);
    text_take(object, "vgpu", vm->vgpu, sizeof vm->vgpu);
    text_take(object, "vgpuprofilename", vm->profile, sizeof vm->profile);
    text_take(object, "hostname", vm->host, sizeof vm->host);
    if (!is_uuid(vm->id) || !vm->state[0])
        return divvy_error_set(error, -EPROTO, "a virtual machine of CloudStack has no id or no state");
    return 0;
}

static int is_known(const struct divvy_cloudstack_vm *vms, size_t count, const char *id) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(vms[i].id, id) == 0)
            return 1;
    return 0;
}

int divvy_cloudstack_page_read(const json_t *response, struct divvy_cloudstack_vm **vms, size_t *count, size_t *ret_total,
                               struct divvy_error *error) {
    const json_t *list = json_object_get(response, "virtualmachine"), *total = json_object_get(response, "count"), *object;
    struct divvy_cloudstack_vm *larger;
    size_t i;

    *ret_total = 0;
    if (!list && !total)
        return 0; /* an empty list is an empty object */
    if (!json_is_array(list) || !json_is_integer(total) || json_integer_value(total) < 0 || json_integer_value(total) > DIVVY_CLOUDSTACK_VMS_MAX)
        return divvy_error_set(error, -EPROTO, "CloudStack's list of virtual machines has no count or no list");
    *ret_total = (size_t)json_integer_value(total);
    if (*count + json_array_size(list) > DIVVY_CLOUDSTACK_VMS_MAX)
        return divvy_error_set(error, -EPROTO, "CloudStack's list has more virtual machines than it says");
    larger = realloc(*vms, (*count + json_array_size(list) + 1) * sizeof **vms);
    if (!larger)
        return divvy_error_set(error, -ENOMEM, "no memory for the list");
    *vms = larger;
    json_array_foreach(list, i, object) {
        struct divvy_cloudstack_vm vm;

        if (vm_read(object, &vm, error) < 0)
            return -EPROTO;
        if (!is_known(*vms, *count, vm.id))
            (*vms)[(*count)++] = vm;
    }
    return (int)json_array_size(list);
}

int divvy_cloudstack_vms(const struct divvy_cloudstack *cloud, struct divvy_cloudstack_vm **ret_vms, size_t *ret_count,
                         struct divvy_error *error) {
    size_t total = 0;
    int got = 1;

    *ret_vms = NULL;
    *ret_count = 0;
    for (unsigned int page = 1; got > 0 && page <= PAGES_MAX && (page == 1 || *ret_count < total); page++) {
        char number[16], size[16];
        json_t *parameters, *response = NULL;

        (void)snprintf(number, sizeof number, "%u", page);
        (void)snprintf(size, sizeof size, "%u", cloud->page_size);
        parameters = json_pack("{s:s, s:s, s:s}", "listall", "true", "page", number, "pagesize", size);
        got = divvy_cloudstack_call(cloud, "listVirtualMachines", parameters, &response, error);
        if (got == 0)
            got = divvy_cloudstack_page_read(response, ret_vms, ret_count, &total, error);
        json_decref(parameters);
        json_decref(response);
    }
    if (got >= 0 && *ret_count < total)
        got = divvy_error_set(error, -EAGAIN, "CloudStack told %zu of %zu virtual machines", *ret_count, total);
    if (got < 0) {
        free(*ret_vms);
        *ret_vms = NULL;
    }
    return got < 0 ? got : 0;
}

int divvy_cloudstack_vm_exists(const struct divvy_cloudstack *cloud, const char *id, struct divvy_error *error) {
    json_t *parameters = json_pack("{s:s, s:s}", "listall", "true", "id", id), *response = NULL;
    struct divvy_cloudstack_vm *vms = NULL;
    struct divvy_error said = {0};
    size_t count = 0, total;
    int result = divvy_cloudstack_call(cloud, "listVirtualMachines", parameters, &response, &said), exists = 0;

    json_decref(parameters);
    if (result == 0)
        result = divvy_cloudstack_page_read(response, &vms, &count, &total, &said);
    if (result > 0)
        exists = is_known(vms, count, id) && strcmp(vms[0].state, "Expunging") != 0 && strcmp(vms[0].state, "Destroyed") != 0;
    json_decref(response);
    free(vms);
    if (result == -EINVAL)
        return 0; /* what it says of an id that it does not know */
    return result < 0 ? divvy_error_set(error, result, "%s", said.text) : exists;
}
