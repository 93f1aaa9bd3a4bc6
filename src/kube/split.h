/*
 * Cuts what an API server sends into objects while it comes in, so that a list of a thousand pods is never in memory as a whole: the
 * elements of the member `items` of a list, and the documents of a watch, one behind the other. What a cut-out piece says is
 * for the JSON parser; here only strings, braces and brackets are told apart.
 *
 * Pure but for the memory of one piece. Not thread-safe.
 */
#ifndef DIVVY_KUBE_SPLIT_H
#define DIVVY_KUBE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#define DIVVY_KUBE_OBJECT_BYTES (4u << 20) /* of one object: etcd keeps none above 1.5 MiB */
#define DIVVY_KUBE_REST_BYTES   (64u << 10) /* of a list without its items */
#define DIVVY_KUBE_NESTED_MAX   256u

enum divvy_kube_split_mode {
    DIVVY_KUBE_SPLIT_LIST,  /* one document: pieces are its items; the rest is kept */
    DIVVY_KUBE_SPLIT_STREAM /* pieces are the documents */
};

struct divvy_kube_split {
    enum divvy_kube_split_mode mode;
    int (*piece)(void *data, const char *text, size_t length); /* an object or another value; < 0 ends it all */
    void *data;
    unsigned depth;
    bool in_string, is_escaped, in_items, in_piece, is_over;
    char key[8]; /* the newest string at the top of the list */
    size_t key_length;
    struct divvy_kube_buffer {
        char *text;
        size_t length, room;
    } now, rest; /* the piece that is coming in; the list without its items, as JSON */
};

void divvy_kube_split_init(struct divvy_kube_split *split, enum divvy_kube_split_mode mode,
                           int (*piece)(void *data, const char *text, size_t length), void *data);
void divvy_kube_split_done(struct divvy_kube_split *split); /* harmless when zero */

/*
 * Takes the next bytes. 0; -EFBIG: a piece or the rest is too long; -EPROTO: braces that do not fit; -ENOMEM; or what `piece` has returned.
 * After a failure nothing more is taken.
 */
int divvy_kube_split_take(struct divvy_kube_split *split, const char *text, size_t length);

/* Whether the list's document is whole, or the stream ended between two documents. */
bool divvy_kube_split_is_whole(const struct divvy_kube_split *split);

#endif
