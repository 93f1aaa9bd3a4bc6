/* Answers to TokenReview: what they must say before a token is believed. */
#include "kube/review.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define USER "\"username\":\"system:serviceaccount:team-a:default\""
#define POD  "\"authentication.kubernetes.io/pod-name\":[\"web-0\"],\"authentication.kubernetes.io/pod-uid\":[\"u-1\"]"
#define ANSWER(authenticated, user, extra)                                                                                                   \
    "{\"kind\":\"TokenReview\",\"status\":{\"authenticated\":" authenticated ",\"audiences\":[\"a\",\"b\"],\"user\":{" user ",\"extra\":{" extra "}}}}"

static int read_text(const char *text, const char *audience, struct divvy_kube_identity *identity) {
    json_t *json = json_loads(text, 0, NULL);
    int status = divvy_kube_review_read(json, audience, identity);

    json_decref(json);
    return status;
}

static void test_answers(void **state) {
    static const struct {
        const char *text, *audience;
        int status;
    } table[] = {
        {ANSWER("true", USER, POD), NULL, 0},
        {ANSWER("true", USER, POD), "", 0},
        {ANSWER("true", USER, POD), "b", 0},
        {ANSWER("true", USER, POD), "c", -EACCES},
        {ANSWER("false", USER, POD), NULL, -EACCES},
        {ANSWER("\"true\"", USER, POD), NULL, -EACCES},
        {ANSWER("true", USER, ""), NULL, -EACCES}, /* of no pod */
        {ANSWER("true", "\"username\":\"admin\"", POD), NULL, -EACCES},
        {ANSWER("true", "\"username\":\"system:serviceaccount:team-a\"", POD), NULL, -EACCES},
        {ANSWER("true", "\"username\":\"system:serviceaccount:../x:default\"", POD), NULL, -EACCES},
        {ANSWER("true", "\"username\":7", POD), NULL, -EACCES},
        {ANSWER("true", USER, "\"authentication.kubernetes.io/pod-name\":[\"../x\"],\"authentication.kubernetes.io/pod-uid\":[\"u\"]"), NULL, -EACCES},
        {ANSWER("true", USER, "\"authentication.kubernetes.io/pod-name\":\"x\",\"authentication.kubernetes.io/pod-uid\":[\"u\"]"), NULL, -EACCES},
        {"{\"kind\":\"TokenReview\"}", NULL, -EPROTO},
        {"{\"kind\":\"Status\",\"status\":{\"authenticated\":true}}", NULL, -EPROTO},
        {"[]", NULL, -EPROTO},
    };
    struct divvy_kube_identity identity;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (read_text(table[i].text, table[i].audience, &identity) != table[i].status)
            fail_msg("%s", table[i].text);
    assert_int_equal(read_text(table[0].text, NULL, &identity), 0);
    assert_string_equal(identity.namespace, "team-a");
    assert_string_equal(identity.pod, "web-0");
    assert_string_equal(identity.uid, "u-1");
}

/* Without a server nothing is believed, and nothing is kept. */
static void test_unreachable(void **state) {
    struct divvy_kube_reviewer *reviewer = NULL;
    struct divvy_kube_identity identity;
    struct divvy_error error = {0, ""};

    (void)state;
    assert_int_equal(divvy_kube_reviewer_new("/nowhere/kubeconfig", &reviewer), 0);
    for (int64_t second = 1; second < 4; second++) {
        assert_int_equal(divvy_kube_review_known(reviewer, "t", NULL, second, &identity), -EINPROGRESS);
        assert_int_equal(divvy_kube_review(reviewer, "t", NULL, second * INT64_C(2000000000), &identity, &error), -EAGAIN);
        assert_non_null(strstr(error.text, "/nowhere"));
    }
    /* and not more than so many are asked in a second */
    for (unsigned i = 0; i < DIVVY_KUBE_REVIEWS_A_SECOND + 1; i++)
        (void)divvy_kube_review(reviewer, "t", NULL, INT64_C(50000000000), &identity, &error);
    assert_non_null(strstr(error.text, "too many"));
    divvy_kube_reviewer_free(reviewer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_unreachable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
