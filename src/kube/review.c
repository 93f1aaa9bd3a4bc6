/* TokenReview: see review.h. */
#include "kube/review.h"

#include "core/clock.h"
#include "kube/client.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES (256u << 10)

struct known {
    uint8_t digest[SHA256_DIGEST_LENGTH]; /* of audience and token */
    int64_t until_ns;                     /* 0: free */
    bool is_good;
    struct divvy_kube_identity identity;
};

struct divvy_kube_reviewer {
    char *kubeconfig;
    pthread_mutex_t lock;
    unsigned open, begun; /* questions; those begun in this second */
    int64_t second_ns;
    struct known known[DIVVY_KUBE_REVIEWS_KEPT];
};

int divvy_kube_reviewer_new(const char *kubeconfig, struct divvy_kube_reviewer **ret_reviewer) {
    struct divvy_kube_reviewer *reviewer = calloc(1, sizeof *reviewer);

    if (reviewer)
        reviewer->kubeconfig = strdup(kubeconfig ? kubeconfig : "");
    if (!reviewer || !reviewer->kubeconfig || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(reviewer ? reviewer->kubeconfig : NULL);
        free(reviewer);
        return -ENOMEM;
    }
    (void)pthread_mutex_init(&reviewer->lock, NULL);
    *ret_reviewer = reviewer;
    return 0;
}

void divvy_kube_reviewer_free(struct divvy_kube_reviewer *reviewer) {
    if (!reviewer)
        return;
    (void)pthread_mutex_destroy(&reviewer->lock);
    free(reviewer->kubeconfig);
    free(reviewer);
}

/* --- what is known -------------------------------------------------------------------------------------------------------- */

static void digest_make(const char *token, const char *audience, uint8_t digest[SHA256_DIGEST_LENGTH]) {
    uint8_t parts[2 * SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)token, strlen(token), parts);
    SHA256((const unsigned char *)(audience ? audience : ""), audience ? strlen(audience) : 0, parts + SHA256_DIGEST_LENGTH);
    SHA256(parts, sizeof parts, digest);
}

/* The place of the digest; or NULL. */
static struct known *known_find(struct divvy_kube_reviewer *reviewer, const uint8_t *digest, int64_t now_ns) {
    for (size_t i = 0; i < DIVVY_KUBE_REVIEWS_KEPT; i++)
        if (reviewer->known[i].until_ns > now_ns && CRYPTO_memcmp(reviewer->known[i].digest, digest, SHA256_DIGEST_LENGTH) == 0)
            return &reviewer->known[i];
    return NULL;
}

/* A free place, else the one that would be free first. */
static struct known *known_place(struct divvy_kube_reviewer *reviewer) {
    struct known *place = &reviewer->known[0];

    for (size_t i = 1; i < DIVVY_KUBE_REVIEWS_KEPT; i++)
        if (reviewer->known[i].until_ns < place->until_ns)
            place = &reviewer->known[i];
    return place;
}

static int known_get(struct divvy_kube_reviewer *reviewer, const uint8_t *digest, int64_t now_ns, struct divvy_kube_identity *ret_identity) {
    const struct known *known = known_find(reviewer, digest, now_ns);

    if (!known)
        return -EINPROGRESS;
    if (!known->is_good)
        return -EACCES;
    *ret_identity = known->identity;
    return 0;
}

static void known_put(struct divvy_kube_reviewer *reviewer, const uint8_t *digest, int64_t now_ns, const struct divvy_kube_identity *identity) {
    struct known *place = known_find(reviewer, digest, now_ns);

    place = place ? place : known_place(reviewer);
    memcpy(place->digest, digest, sizeof place->digest);
    place->is_good = identity != NULL;
    place->until_ns = now_ns + (identity ? DIVVY_KUBE_REVIEW_GOOD_NS : DIVVY_KUBE_REVIEW_BAD_NS);
    place->identity = identity ? *identity : (struct divvy_kube_identity){.pod = ""};
}

int divvy_kube_review_known(struct divvy_kube_reviewer *reviewer, const char *token, const char *audience, int64_t now_ns,
                            struct divvy_kube_identity *ret_identity) {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int status;

    digest_make(token, audience, digest);
    (void)pthread_mutex_lock(&reviewer->lock);
    status = known_get(reviewer, digest, now_ns, ret_identity);
    (void)pthread_mutex_unlock(&reviewer->lock);
    return status;
}

/* --- asking -------------------------------------------------------------------------------------------------------------------- */

static bool text_take(const char *text, char *place, size_t size) {
    if (!text || !*text || strlen(text) >= size || strpbrk(text, "/\\") || strstr(text, ".."))
        return false;
    memcpy(place, text, strlen(text) + 1);
    return true;
}

static const char *extra_get(const json_t *user, const char *key) {
    return json_string_value(json_array_get(json_object_get(json_object_get(user, "extra"), key), 0));
}

/* "system:serviceaccount:NAMESPACE:NAME" */
static bool namespace_take(const char *user, struct divvy_kube_identity *identity) {
    static const char start[] = "system:serviceaccount:";
    char text[DIVVY_KUBE_NAMESPACE_BYTES];
    size_t length;

    if (!user || strncmp(user, start, sizeof start - 1) != 0)
        return false;
    user += sizeof start - 1;
    length = strcspn(user, ":");
    if (user[length] != ':' || length >= sizeof text)
        return false;
    memcpy(text, user, length);
    text[length] = '\0';
    return text_take(text, identity->namespace, sizeof identity->namespace);
}

static bool audience_is_among(const json_t *status, const char *audience) {
    const json_t *one;
    size_t i;

    if (!audience || !*audience)
        return true;
    json_array_foreach(json_object_get(status, "audiences"), i, one)
        if (json_is_string(one) && strcmp(json_string_value(one), audience) == 0)
            return true;
    return false;
}

int divvy_kube_review_read(const json_t *answer, const char *audience, struct divvy_kube_identity *ret_identity) {
    const char *kind = json_string_value(json_object_get(answer, "kind"));
    const json_t *status = json_object_get(answer, "status"), *user = json_object_get(status, "user");
    struct divvy_kube_identity identity = {.pod = ""};

    if (!kind || strcmp(kind, "TokenReview") != 0 || !json_is_object(status))
        return -EPROTO;
    if (!json_is_true(json_object_get(status, "authenticated")) || !audience_is_among(status, audience))
        return -EACCES;
    if (!namespace_take(json_string_value(json_object_get(user, "username")), &identity) ||
        !text_take(extra_get(user, "authentication.kubernetes.io/pod-name"), identity.pod, sizeof identity.pod) ||
        !text_take(extra_get(user, "authentication.kubernetes.io/pod-uid"), identity.uid, sizeof identity.uid))
        return -EACCES;
    *ret_identity = identity;
    return 0;
}

struct answer {
    char *text;
    size_t length;
};

static int answer_take(struct divvy_kube_request *request, const char *text, size_t length) {
    struct answer *answer = request->data;

    if (length > ANSWER_BYTES - answer->length)
        return -EFBIG;
    memcpy(answer->text + answer->length, text, length);
    answer->length += length;
    return 0;
}

static char *question_make(const char *token, const char *audience) {
    json_t *spec = json_pack("{s:s}", "token", token), *json;
    char *text;

    if (spec && audience && *audience)
        (void)json_object_set_new(spec, "audiences", json_pack("[s]", audience));
    json = json_pack("{s:s, s:s, s:o}", "apiVersion", "authentication.k8s.io/v1", "kind", "TokenReview", "spec", spec);
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static int answer_judge(long http_status, const struct answer *answer, const char *audience, struct divvy_kube_identity *ret_identity,
                        struct divvy_error *error) {
    json_t *json = NULL;
    int status;

    if (http_status == 403)
        return divvy_error_set(error, -EAGAIN, "the API server does not let us review tokens: bind system:auth-delegator");
    if (http_status != 200 && http_status != 201)
        return divvy_error_set(error, -EAGAIN, "the API server answers %ld to a review of a token", http_status);
    json = json_loadb(answer->text, answer->length, JSON_REJECT_DUPLICATES, NULL);
    status = divvy_kube_review_read(json, audience, ret_identity);
    json_decref(json);
    return status == -EPROTO ? divvy_error_set(error, -EAGAIN, "the API server's answer to a review of a token is none") : status;
}

static int ask(struct divvy_kube_reviewer *reviewer, const char *token, const char *audience, struct divvy_kube_identity *ret_identity,
               struct divvy_error *error) {
    struct divvy_kube_request request = {.curl = NULL};
    struct divvy_kube_config config;
    struct answer answer = {malloc(ANSWER_BYTES), 0};
    char *question = question_make(token, audience);
    int status = divvy_kube_config_read(reviewer->kubeconfig, NULL, getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT"),
                                        &config, error);

    if (status < 0 || !question || !answer.text) {
        free(question);
        free(answer.text);
        if (status == 0)
            divvy_kube_config_done(&config);
        return status < 0 ? -EAGAIN : divvy_error_set(error, -EAGAIN, "out of memory");
    }
    request.take = answer_take;
    request.data = &answer;
    status = divvy_kube_request_init(&request, &config, "/apis/authentication.k8s.io/v1/tokenreviews", question, DIVVY_KUBE_REVIEW_S, error);
    if (status == 0) {
        CURLcode code = curl_easy_perform(request.curl);

        if (code == CURLE_OK)
            status = answer_judge(divvy_kube_request_status(&request), &answer, audience, ret_identity, error);
        else if (divvy_kube_request_fault(&request, code, error) < 0)
            status = -EAGAIN;
    }
    divvy_kube_request_done(&request);
    free(answer.text);
    return status == 0 || status == -EACCES ? status : -EAGAIN;
}

/* Whether one more may be asked. Lock held. */
static bool may_ask(struct divvy_kube_reviewer *reviewer, int64_t now_ns) {
    if (now_ns >= reviewer->second_ns + (int64_t)DIVVY_NS_PER_SECOND || now_ns < reviewer->second_ns) {
        reviewer->second_ns = now_ns;
        reviewer->begun = 0;
    }
    if (reviewer->open >= DIVVY_KUBE_REVIEWS_AT_ONCE || reviewer->begun >= DIVVY_KUBE_REVIEWS_A_SECOND)
        return false;
    reviewer->open++;
    reviewer->begun++;
    return true;
}

int divvy_kube_review(struct divvy_kube_reviewer *reviewer, const char *token, const char *audience, int64_t now_ns,
                      struct divvy_kube_identity *ret_identity, struct divvy_error *error) {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    struct divvy_kube_identity identity;
    bool asks = false;
    int status;

    digest_make(token, audience, digest);
    (void)pthread_mutex_lock(&reviewer->lock);
    status = known_get(reviewer, digest, now_ns, ret_identity);
    if (status == -EINPROGRESS)
        asks = may_ask(reviewer, now_ns);
    (void)pthread_mutex_unlock(&reviewer->lock);
    if (status != -EINPROGRESS)
        return status;
    if (!asks)
        return divvy_error_set(error, -EAGAIN, "too many tokens are being reviewed");
    status = ask(reviewer, token, audience, &identity, error);
    (void)pthread_mutex_lock(&reviewer->lock);
    reviewer->open--;
    if (status == 0 || status == -EACCES)
        known_put(reviewer, digest, now_ns, status == 0 ? &identity : NULL);
    (void)pthread_mutex_unlock(&reviewer->lock);
    if (status == 0)
        *ret_identity = identity;
    return status;
}
