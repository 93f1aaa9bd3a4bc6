/* The YAML of kubeconfig files: see yaml.h. */
#include "kube/yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct line {
    char *text; /* without indent, comment and trailing blanks; in the copy */
    unsigned indent, number;
};

struct reader {
    struct line *lines;
    size_t count, at;
    unsigned nested;
    struct divvy_error *error;
};

static int fail(struct reader *reader, const struct line *line, const char *why) {
    return divvy_error_set(reader->error, -EINVAL, "line %u: %s", line->number, why);
}

/* Cuts a comment off: a '#' at the start or behind a blank, outside quotes. */
static void comment_cut(char *text) {
    char quote = '\0';

    for (char *at = text; *at; at++) {
        if ((quote == '"' && *at == '\\' && at[1]) || (quote == '\'' && *at == '\'' && at[1] == '\''))
            at++;
        else if (quote)
            quote = *at == quote ? '\0' : quote;
        else if ((*at == '"' || *at == '\'') && (at == text || strchr(" :-", at[-1])))
            quote = *at;
        else if (*at == '#' && (at == text || at[-1] == ' ')) {
            *at = '\0';
            return;
        }
    }
}

/* There is room for all of them. */
static int lines_read(struct reader *reader, char *copy) {
    unsigned number = 0;

    for (char *at = copy, *next; at; at = next) {
        struct line line = {.number = number + 1};
        size_t length;

        number++;
        next = strchr(at, '\n');
        if (next)
            *next++ = '\0';
        line.indent = (unsigned)strspn(at, " ");
        line.text = at + line.indent;
        comment_cut(line.text);
        length = strlen(line.text);
        while (length > 0 && strchr(" \t\r", line.text[length - 1]))
            line.text[--length] = '\0';
        if (length == 0 || (reader->count == 0 && strcmp(line.text, "---") == 0))
            continue;
        if (strchr(line.text, '\t'))
            return fail(reader, &line, "a tab, which YAML does not take");
        reader->lines[reader->count++] = line;
    }
    return 0;
}

/* The end of a quoted scalar that begins at `text`, or NULL. */
static char *quoted_end(char *text) {
    for (char *at = text + 1; *at; at++) {
        if (*text == '"' && *at == '\\' && at[1])
            at++;
        else if (*at == *text && *text == '\'' && at[1] == '\'')
            at++;
        else if (*at == *text)
            return at;
    }
    return NULL;
}

/* A quoted scalar between text and end, undone in place. NULL: an escape that is not known. */
static const char *quoted_undo(char *text, const char *end) {
    char *to = text, quote = *text;

    for (const char *from = text + 1; from < end; from++) {
        if (quote == '\'' && *from == '\'')
            from++;
        if (quote == '"' && *from == '\\') {
            static const char codes[] = "\"\\/nt", values[] = "\"\\/\n\t";
            const char *code = strchr(codes, *++from);

            if (!code || !*code)
                return NULL;
            *to++ = values[code - codes];
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return text;
}

static int scalar_read(struct reader *reader, const struct line *line, char *text, json_t **ret_json) {
    const char *value = text;

    if (*text == '"' || *text == '\'') {
        char *end = quoted_end(text);

        if (!end || end[1])
            return fail(reader, line, "a quoted value that does not end, or has something behind it");
        value = quoted_undo(text, end);
        if (!value)
            return fail(reader, line, "an escape that is not known");
        *ret_json = json_string(value);
    } else if (strcmp(text, "{}") == 0) {
        *ret_json = json_object();
    } else if (strcmp(text, "[]") == 0) {
        *ret_json = json_array();
    } else if (strchr("&*!|>%@`{[?", *text)) {
        return fail(reader, line, "YAML beyond plain mappings, sequences and values is not read here");
    } else {
        *ret_json = !*text || strcmp(text, "null") == 0 || strcmp(text, "~") == 0 ? json_null() : json_string(text);
    }
    return *ret_json ? 0 : fail(reader, line, "text that is not UTF-8");
}

static bool is_item(const struct line *line) {
    return line->text[0] == '-' && (line->text[1] == ' ' || line->text[1] == '\0');
}

/* Where the ':' behind a key is, or NULL: the line is no entry of a mapping. */
static char *key_end(char *text) {
    char *at = text;

    if (*at == '"' || *at == '\'') {
        at = quoted_end(at);
        return at && at[1] == ':' && (at[2] == ' ' || !at[2]) ? at + 1 : NULL;
    }
    while ((at = strchr(at, ':')) && at[1] != ' ' && at[1] != '\0')
        at++;
    return at;
}

static int block_read(struct reader *reader, unsigned indent, json_t **ret_json);

static int sequence_read(struct reader *reader, unsigned indent, json_t *array) {
    int status = 0;

    while (status == 0 && reader->at < reader->count) {
        struct line *line = &reader->lines[reader->at];
        json_t *value = NULL;
        size_t skip;

        if (line->indent != indent || !is_item(line))
            break;
        skip = 1 + strspn(line->text + 1, " ");
        line->text += skip;
        line->indent += (unsigned)skip;
        if (!*line->text) {
            reader->at++;
            value = json_null();
        } else {
            status = block_read(reader, line->indent, &value);
        }
        if (status == 0 && json_array_append_new(array, value) < 0)
            status = divvy_error_set(reader->error, -ENOMEM, "out of memory");
    }
    return status;
}

/* What follows `key:` on this line or below. */
static int value_read(struct reader *reader, const struct line *line, char *rest, unsigned indent, json_t **ret_json) {
    const struct line *next;

    rest += strspn(rest, " ");
    reader->at++;
    if (*rest)
        return scalar_read(reader, line, rest, ret_json);
    next = reader->at < reader->count ? &reader->lines[reader->at] : NULL;
    if (next && (next->indent > indent || (next->indent == indent && is_item(next))))
        return block_read(reader, next->indent, ret_json);
    *ret_json = json_null();
    return 0;
}

static int mapping_read(struct reader *reader, unsigned indent, json_t *object) {
    int status = 0;

    while (status == 0 && reader->at < reader->count) {
        struct line *line = &reader->lines[reader->at];
        char *end = key_end(line->text);
        json_t *value = NULL;
        const char *key;

        if (line->indent != indent || is_item(line))
            break;
        if (!end || end == line->text)
            return fail(reader, line, "neither `key: value` nor `- item`");
        *end = '\0';
        key = *line->text == '"' || *line->text == '\'' ? quoted_undo(line->text, end - 1) : line->text;
        if (!key || json_object_get(object, key))
            return fail(reader, line, "a key that stands twice, or cannot be read");
        status = value_read(reader, line, end + 1, indent, &value);
        if (status == 0 && json_object_set_new(object, key, value) < 0)
            status = fail(reader, line, "text that is not UTF-8");
    }
    return status;
}

static int block_read(struct reader *reader, unsigned indent, json_t **ret_json) {
    struct line *line = &reader->lines[reader->at];
    json_t *json = NULL;
    int status;

    if (reader->nested >= DIVVY_KUBE_YAML_NESTED_MAX)
        return fail(reader, line, "nested too deep");
    if (!is_item(line) && !key_end(line->text)) {
        reader->at++;
        return scalar_read(reader, line, line->text, ret_json);
    }
    reader->nested++;
    json = is_item(line) ? json_array() : json_object();
    status = !json                ? divvy_error_set(reader->error, -ENOMEM, "out of memory")
             : json_is_array(json) ? sequence_read(reader, indent, json)
                                   : mapping_read(reader, indent, json);
    reader->nested--;
    if (status == 0 && reader->at < reader->count && reader->lines[reader->at].indent > indent)
        status = fail(reader, &reader->lines[reader->at], "its indent fits nothing above it");
    if (status < 0)
        json_decref(json);
    else
        *ret_json = json;
    return status;
}

static int document_read(struct reader *reader, json_t **ret_json) {
    json_t *json = NULL;
    int status;

    if (reader->count == 0) {
        *ret_json = json_null();
        return 0;
    }
    status = block_read(reader, reader->lines[0].indent, &json);
    if (status == 0 && reader->at < reader->count) {
        json_decref(json);
        status = fail(reader, &reader->lines[reader->at], "its indent fits nothing above it");
    } else if (status == 0) {
        *ret_json = json;
    }
    return status;
}

static bool is_json(const char *text, size_t length) {
    size_t at = 0;

    while (at < length && strchr(" \t\r\n", text[at]) && text[at])
        at++;
    return at < length && text[at] == '{';
}

int divvy_kube_yaml_parse(const char *text, size_t length, json_t **ret_json, struct divvy_error *error) {
    struct reader reader = {.error = error};
    struct line *lines;
    char *copy;
    json_error_t fault;
    size_t count = 1;
    int status;

    if (is_json(text, length)) {
        *ret_json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
        return *ret_json ? 0 : divvy_error_set(error, -EINVAL, "line %d: %.150s", fault.line, fault.text);
    }
    if (memchr(text, '\0', length))
        return divvy_error_set(error, -EINVAL, "has a NUL byte");
    for (size_t i = 0; i < length; i++)
        count += text[i] == '\n';
    copy = calloc(length + 1, 1);
    lines = calloc(count, sizeof *lines);
    if (copy && lines) {
        memcpy(copy, text, length);
        reader.lines = lines;
        status = lines_read(&reader, copy);
        if (status == 0)
            status = document_read(&reader, ret_json);
    } else {
        status = divvy_error_set(error, -ENOMEM, "out of memory");
    }
    free(lines);
    free(copy);
    return status;
}
