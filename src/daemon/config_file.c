/* The configuration file's text: see config.h. */
#include "daemon/config.h"

#include <errno.h>
#include <string.h>

struct reader {
    struct divvy_config *config;
    const char *name;    /* of the file */
    const char *section; /* NULL before the first */
    uint32_t line;
    uint32_t set_in[DIVVY_CONFIG_OPTIONS]; /* line at which each option was set, 0 not */
    struct divvy_error *error;
};

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static void trim(const char **text, size_t *length) {
    while (*length > 0 && is_blank((*text)[0])) {
        (*text)++;
        (*length)--;
    }
    while (*length > 0 && is_blank((*text)[*length - 1]))
        (*length)--;
}

#define complain(reader, ...)                                                                      \
    (divvy_error_set((reader)->error, -EINVAL, __VA_ARGS__),                                       \
     divvy_error_prefix((reader)->error, "%.120s:%u", (reader)->name, (reader)->line), -EINVAL)

static int section_take(struct reader *reader, const char *text, size_t length) {
    size_t count;
    const struct divvy_config_option *table = divvy_config_table(&count);

    if (text[length - 1] != ']')
        return complain(reader, "a section's name ends in ']'");
    for (size_t i = 0; i < count; i++)
        if (table[i].section && strlen(table[i].section) == length - 2 &&
            memcmp(table[i].section, text + 1, length - 2) == 0) {
            reader->section = table[i].section;
            return 0;
        }
    return complain(reader, "no section is called %.*s; there are daemon, http, sharing, metrics, single and log",
                    (int)(length < 40 ? length : 40), text);
}

/* Letters to insert, remove or change between two names, for "did you mean"; more than 3 is as good as 4. */
static unsigned int name_distance(const char *name, const char *text, size_t length) {
    unsigned int row[48], size = (unsigned int)strlen(name);

    if (size >= sizeof row / sizeof row[0] || length > size + 3)
        return 4;
    for (unsigned int i = 0; i <= size; i++)
        row[i] = i;
    for (size_t at = 0; at < length; at++) {
        unsigned int diagonal = row[0];

        row[0]++;
        for (unsigned int i = 1; i <= size; i++) {
            unsigned int best = diagonal + (name[i - 1] != (text[at] == '_' ? '-' : text[at]));

            diagonal = row[i];
            best = row[i] + 1 < best ? row[i] + 1 : best;
            row[i] = row[i - 1] + 1 < best ? row[i - 1] + 1 : best;
        }
    }
    return row[size];
}

static int unknown_complain(struct reader *reader, const char *key, size_t length) {
    size_t count;
    const struct divvy_config_option *table = divvy_config_table(&count), *nearest = NULL;
    unsigned int least = 4;

    for (size_t i = 0; i < count; i++) {
        unsigned int distance = table[i].section ? name_distance(table[i].name, key, length) : 4;

        if (distance < least) {
            least = distance;
            nearest = &table[i];
        }
    }
    if (nearest)
        return complain(reader, "no key is called '%.*s'; did you mean '%s'?", (int)length, key, nearest->name);
    return complain(reader, "no key is called '%.*s'; divvyd.conf(5) lists them", (int)(length < 40 ? length : 40), key);
}

static int value_take(struct reader *reader, const struct divvy_config_option *option, const char *text,
                      size_t length) {
    char value[2048];
    size_t count;
    size_t row = (size_t)(option - divvy_config_table(&count));
    int status;

    if (reader->set_in[row])
        return complain(reader, "'%s' was set in line %u already; remove one of them", option->name,
                        reader->set_in[row]);
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"') {
        text++;
        length -= 2;
    }
    if (length == 0)
        return complain(reader, "'%s' has no value; remove the line to get the default", option->name);
    if (length >= sizeof value || memchr(text, '\0', length))
        return complain(reader, "the value of '%s' is too long or has a NUL byte in it", option->name);
    memcpy(value, text, length);
    value[length] = '\0';
    status = divvy_config_value_set(option, value, NULL, reader->config, reader->error);
    if (status < 0) {
        (void)divvy_error_prefix(reader->error, "%.120s:%u: %s", reader->name, reader->line, option->name);
        return status;
    }
    reader->set_in[row] = reader->line;
    reader->config->origin[row] = DIVVY_CONFIG_FILE;
    reader->config->line[row] = reader->line;
    return 0;
}

static int line_take(struct reader *reader, const char *text, size_t length) {
    const struct divvy_config_option *option;
    const char *equals, *key, *value;
    size_t key_length, value_length;

    trim(&text, &length);
    if (length == 0 || text[0] == '#' || text[0] == ';')
        return 0;
    if (text[0] == '[')
        return section_take(reader, text, length);
    equals = memchr(text, '=', length);
    if (!equals)
        return complain(reader, "no '=' is in the line; write key = value, or # in front of a comment");
    key = text;
    key_length = (size_t)(equals - text);
    value = equals + 1;
    value_length = length - key_length - 1;
    trim(&key, &key_length);
    trim(&value, &value_length);
    option = divvy_config_find(key, key_length);
    if (!option)
        return unknown_complain(reader, key, key_length);
    if (!option->section)
        return complain(reader, "'%s' can only be given on the command line", option->name);
    if (reader->section && strcmp(reader->section, option->section) != 0)
        return complain(reader, "'%s' belongs to section [%s], not [%s]", option->name, option->section,
                        reader->section);
    return value_take(reader, option, value, value_length);
}

int divvy_config_text_read(struct divvy_config *config, const char *name, const char *text, size_t length,
                           struct divvy_error *error) {
    struct reader reader = {.config = config, .name = name, .error = error};

    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        length -= 3;
    }
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t line_length = end ? (size_t)(end - text) : length;
        int status;

        reader.line++;
        status = line_take(&reader, text, line_length);
        if (status < 0)
            return status;
        text += line_length;
        length -= line_length;
        if (length > 0) { /* the line's end */
            text++;
            length--;
        }
    }
    return 0;
}
