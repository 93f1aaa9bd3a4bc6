/* Cutting lists and watches into objects: see split.h. */
#include "kube/split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_KEPT 65536u /* of the buffer, between two pieces */

void divvy_kube_split_init(struct divvy_kube_split *split, enum divvy_kube_split_mode mode,
                           int (*piece)(void *data, const char *text, size_t length), void *data) {
    *split = (struct divvy_kube_split){.mode = mode, .piece = piece, .data = data};
}

void divvy_kube_split_done(struct divvy_kube_split *split) {
    free(split->now.text);
    free(split->rest.text);
    split->now = split->rest = (struct divvy_kube_buffer){0};
}

static int buffer_add(struct divvy_kube_buffer *buffer, char byte, size_t limit) {
    if (buffer->length >= limit)
        return -EFBIG;
    if (buffer->length == buffer->room) {
        size_t room = buffer->room ? buffer->room * 2 : 4096;
        char *text = realloc(buffer->text, room);

        if (!text)
            return -ENOMEM;
        buffer->text = text;
        buffer->room = room;
    }
    buffer->text[buffer->length++] = byte;
    return 0;
}

static int piece_end(struct divvy_kube_split *split) {
    int status = split->piece(split->data, split->now.text, split->now.length);

    split->in_piece = false;
    split->now.length = 0;
    if (split->now.room > ROOM_KEPT) {
        free(split->now.text);
        split->now = (struct divvy_kube_buffer){0};
    }
    return status < 0 ? status : 0;
}

/* The depth at which pieces begin. */
static unsigned piece_depth(const struct divvy_kube_split *split) {
    return split->mode == DIVVY_KUBE_SPLIT_LIST ? 2 : 0;
}

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool takes_pieces(const struct divvy_kube_split *split) {
    return split->mode == DIVVY_KUBE_SPLIT_STREAM || split->in_items;
}

static int keep(struct divvy_kube_split *split, char byte) {
    if (split->in_piece)
        return buffer_add(&split->now, byte, DIVVY_KUBE_OBJECT_BYTES);
    if (split->mode == DIVVY_KUBE_SPLIT_LIST && !(split->in_items && split->depth == 2 && byte == ','))
        return buffer_add(&split->rest, byte, DIVVY_KUBE_REST_BYTES);
    return 0;
}

static int string_step(struct divvy_kube_split *split, char byte) {
    if (split->is_escaped)
        split->is_escaped = false;
    else if (byte == '\\')
        split->is_escaped = true;
    else if (byte == '"')
        split->in_string = false;
    if (split->in_string && split->depth == 1 && split->key_length < sizeof split->key)
        split->key[split->key_length++] = byte;
    return keep(split, byte);
}

static int open_step(struct divvy_kube_split *split, char byte) {
    int status;

    if (split->depth >= DIVVY_KUBE_NESTED_MAX)
        return -EPROTO;
    if (takes_pieces(split) && split->depth == piece_depth(split))
        split->in_piece = true;
    status = keep(split, byte);
    if (split->mode == DIVVY_KUBE_SPLIT_LIST && split->depth == 1 && byte == '[' && split->key_length == 5 &&
        memcmp(split->key, "items", 5) == 0)
        split->in_items = true;
    split->depth++;
    return status;
}

static int close_step(struct divvy_kube_split *split, char byte) {
    int status;

    if (split->depth == 0)
        return -EPROTO;
    if (split->in_items && split->depth == 2)
        split->in_items = false;
    status = keep(split, byte);
    split->depth--;
    split->is_over = split->mode == DIVVY_KUBE_SPLIT_LIST && split->depth == 0;
    if (status == 0 && split->in_piece && split->depth == piece_depth(split))
        status = piece_end(split);
    return status;
}

static int step(struct divvy_kube_split *split, char byte) {
    if (split->in_string)
        return string_step(split, byte);
    if (is_blank(byte) && !split->in_piece)
        return 0;
    if (split->is_over)
        return -EPROTO;
    if (byte == '{' || byte == '[')
        return open_step(split, byte);
    if (byte == '}' || byte == ']')
        return close_step(split, byte);
    /* Pieces are objects; a value that is none between them is no answer of an API server. */
    if (takes_pieces(split) && !split->in_piece && split->depth == piece_depth(split) && byte != ',')
        return -EPROTO;
    if (split->depth == 0 && !split->in_piece)
        return -EPROTO;
    if (byte == '"') {
        split->in_string = true;
        if (split->depth == 1)
            split->key_length = 0;
    }
    return keep(split, byte);
}

int divvy_kube_split_take(struct divvy_kube_split *split, const char *text, size_t length) {
    int status = 0;

    for (size_t i = 0; i < length && status == 0; i++)
        status = step(split, text[i]);
    return status;
}

bool divvy_kube_split_is_whole(const struct divvy_kube_split *split) {
    return split->depth == 0 && (split->mode == DIVVY_KUBE_SPLIT_STREAM || split->is_over);
}
