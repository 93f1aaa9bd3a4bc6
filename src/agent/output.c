/* Output of commands: see output.h. */
#include "agent/output.h"

#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CELL_BYTES  256
#define COLUMNS_MAX 12

/* 0, or 1 when not all of it could be written (a full disk, a closed pipe). */
static int written(void) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    (void)fprintf(stderr, "ggo: cannot write to standard output: %s\n", strerror(errno));
    return 1;
}

int divvy_agent_print_json(const json_t *value) {
    if (!value || json_dumpf(value, stdout, JSON_INDENT(2)) < 0 || fputc('\n', stdout) == EOF) {
        (void)fprintf(stderr, "ggo: cannot write the answer\n");
        return 1;
    }
    return written();
}

static void value_format(const json_t *value, char *ret_text, size_t size_bytes) {
    size_t length = 0, index;
    const json_t *element;
    char joined[CELL_BYTES] = "";

    ret_text[0] = '\0';
    if (json_is_string(value)) {
        divvy_text_clean(json_string_value(value), ret_text, size_bytes);
    } else if (json_is_integer(value)) {
        (void)snprintf(ret_text, size_bytes, "%" PRId64, (int64_t)json_integer_value(value));
    } else if (json_is_boolean(value)) {
        (void)snprintf(ret_text, size_bytes, "%s", json_is_true(value) ? "yes" : "no");
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, element) {
            const char *text = json_string_value(element);

            if (!text) {
                (void)snprintf(ret_text, size_bytes, "%zu", json_array_size(value));
                return;
            }
            if (length < sizeof joined)
                length += (size_t)snprintf(joined + length, sizeof joined - length, "%s%s",
                                           index ? "," : "", text);
        }
        divvy_text_clean(joined, ret_text, size_bytes);
    }
    if (!ret_text[0])
        (void)snprintf(ret_text, size_bytes, "-");
}

static enum divvy_tint tint_of(const char *key, const char *text) {
    if (strcmp(key, "status") != 0)
        return DIVVY_TINT_NONE;
    if (strcmp(text, "running") == 0 || strcmp(text, "online") == 0)
        return DIVVY_TINT_GOOD;
    return strcmp(text, "error") == 0 || strcmp(text, "offline") == 0 ? DIVVY_TINT_BAD
                                                                      : DIVVY_TINT_DIM;
}

static int table_print(const json_t *items, const struct divvy_agent_column *columns) {
    struct divvy_table_column titles[COLUMNS_MAX];
    unsigned int count = 0;
    struct divvy_table *table;
    const json_t *item;
    size_t index;
    int status;

    while (columns[count].key && count < COLUMNS_MAX) {
        titles[count].title = columns[count].title;
        titles[count].right = columns[count].right;
        count++;
    }
    table = divvy_table_new(titles, count);
    if (!table)
        return -ENOMEM;
    json_array_foreach(items, index, item) {
        for (unsigned int c = 0; c < count; c++) {
            char text[CELL_BYTES];

            value_format(json_object_get(item, columns[c].key), text, sizeof text);
            divvy_table_add(table, text, tint_of(columns[c].key, text));
        }
    }
    status =
        divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout));
    divvy_table_free(table);
    return status;
}

int divvy_agent_print_items(const struct divvy_agent_call *call, const json_t *items,
                            const struct divvy_agent_column *columns, const char *none) {
    if (call->is_json) {
        json_t *value =
            json_pack("{s:O, s:I}", "items", items, "total", (json_int_t)json_array_size(items));
        int status = divvy_agent_print_json(value);

        json_decref(value);
        return status;
    }
    if (json_array_size(items) == 0)
        (void)puts(none);
    else if (table_print(items, columns) < 0)
        return 1;
    return written();
}

int divvy_agent_print_item(const struct divvy_agent_call *call, const json_t *item) {
    const char *key;
    const json_t *value;
    size_t width = 0;
    int status;

    if (call->is_json) {
        json_t *whole = json_pack("{s:O}", "item", item);

        status = divvy_agent_print_json(whole);
        json_decref(whole);
        return status;
    }
    json_object_foreach((json_t *)item, key, value) width =
        strlen(key) > width ? strlen(key) : width;
    json_object_foreach((json_t *)item, key, value) {
        char text[CELL_BYTES];

        value_format(value, text, sizeof text);
        (void)printf("%-*s  %s\n", (int)width, key, text);
    }
    return written();
}

int divvy_agent_print_action(const struct divvy_agent_call *call, const char *id,
                             const char *format, ...) {
    char message[512];
    va_list arguments;
    int status;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (call->is_json) {
        json_t *value =
            id ? json_pack("{s:b, s:s, s:s}", "success", 1, "message", message, "id", id)
               : json_pack("{s:b, s:s}", "success", 1, "message", message);

        status = divvy_agent_print_json(value);
        json_decref(value);
        return status;
    }
    (void)puts(message);
    return written();
}

int divvy_agent_fail(const struct divvy_agent_call *call, const struct divvy_error *error) {
    (void)fflush(stdout);
    (void)fprintf(stderr, "ggo %s: %s\n", call->command ? call->command->path : "", error->text);
    return error->status == -EINVAL ? 2 : 1;
}

/* ---- questions ---- */

/* A line from the terminal without its end; NULL at the end of input. */
static char *line_read(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length = getline(&line, &room, stdin);

    if (length < 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

bool divvy_agent_confirm(const struct divvy_agent_call *call, struct divvy_error *error,
                         const char *format, ...) {
    char question[256];
    va_list arguments;
    cleanup_free char *line = NULL;

    if (divvy_agent_call_on(call, DIVVY_AGENT_FORCE) || divvy_agent_call_on(call, DIVVY_AGENT_YES))
        return true;
    va_start(arguments, format);
    (void)vsnprintf(question, sizeof question, format, arguments);
    va_end(arguments);
    if (!isatty(STDIN_FILENO)) {
        (void)divvy_error_set(error, -EINVAL, "%s Nobody is there to answer; give --force",
                              question);
        return false;
    }
    (void)fprintf(stderr, "%s [y/N] ", question);
    line = line_read();
    if (line && (strcmp(line, "y") == 0 || strcmp(line, "Y") == 0 || strcmp(line, "yes") == 0))
        return true;
    (void)divvy_error_set(error, -ECANCELED, "nothing was done");
    return false;
}

char *divvy_agent_ask(const char *flag, const char *question, struct divvy_error *error) {
    char *line = NULL;

    if (!isatty(STDIN_FILENO)) {
        (void)divvy_error_set(error, -EINVAL, "--%s is missing", flag);
        return NULL;
    }
    (void)fprintf(stderr, "%s: ", question);
    line = line_read();
    if (line && line[0])
        return line;
    free(line);
    (void)divvy_error_set(error, -EINVAL, "--%s is missing", flag);
    return NULL;
}
