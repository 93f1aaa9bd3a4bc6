/*
 * Whose a service account's token is, by the API server's word (TokenReview). What it has said is kept for a while: for at most a minute
 * what was good, ten seconds what was not, 1,024 tokens in all, by their SHA-256. What it could not say is not kept. Of questions at most
 * DIVVY_KUBE_REVIEWS_AT_ONCE are open, and so many begin in a second: who sends tokens of their own making asks no more than that.
 *
 * Thread-safe.
 */
#ifndef DIVVY_KUBE_REVIEW_H
#define DIVVY_KUBE_REVIEW_H

#include "base/error.h"
#include "kube/pod.h"

#include <jansson.h>
#include <stdint.h>

#define DIVVY_KUBE_REVIEWS_KEPT    1024u
#define DIVVY_KUBE_REVIEWS_AT_ONCE 4u
#define DIVVY_KUBE_REVIEWS_A_SECOND 50u
#define DIVVY_KUBE_REVIEW_GOOD_NS  INT64_C(60000000000)
#define DIVVY_KUBE_REVIEW_BAD_NS   INT64_C(10000000000)
#define DIVVY_KUBE_REVIEW_S        5L /* until an answer must be there */

/* The pod that a token is bound to. */
struct divvy_kube_identity {
    char namespace[DIVVY_KUBE_NAMESPACE_BYTES], pod[DIVVY_KUBE_NAME_BYTES], uid[DIVVY_KUBE_UID_BYTES];
};

struct divvy_kube_reviewer;

/* kubeconfig: as in kube/config.h; copied. 0 or -ENOMEM. */
int divvy_kube_reviewer_new(const char *kubeconfig, struct divvy_kube_reviewer **ret_reviewer);
void divvy_kube_reviewer_free(struct divvy_kube_reviewer *reviewer); /* NULL is fine; nobody may be asking */

/*
 * What is known already, without asking: 0, -EACCES (it is no good), or -EINPROGRESS: it has to be asked. audience: empty or NULL: the API
 * server's own.
 */
int divvy_kube_review_known(struct divvy_kube_reviewer *reviewer, const char *token, const char *audience, int64_t now_ns,
                            struct divvy_kube_identity *ret_identity);

/*
 * Asks, unless it is known. 0; -EACCES: forged, expired, for another audience, or of no pod; -EAGAIN: it cannot be told now, with the
 * reason in `error`. Blocks up to DIVVY_KUBE_REVIEW_S.
 */
int divvy_kube_review(struct divvy_kube_reviewer *reviewer, const char *token, const char *audience, int64_t now_ns,
                      struct divvy_kube_identity *ret_identity, struct divvy_error *error);

/* The answer of the API server: 0, -EACCES or -EPROTO. Pure. */
int divvy_kube_review_read(const json_t *answer, const char *audience, struct divvy_kube_identity *ret_identity);

#endif
