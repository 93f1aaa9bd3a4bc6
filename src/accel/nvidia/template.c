/* Reading names of MIG profiles: see template.h. */
#include "accel/nvidia/template.h"
#include "core/parse.h"

#include <stdint.h>
#include <string.h>

#define NAME_BYTES 128u

/* Lower case, every run of separators one dash, none outside; "mig-" in front goes. A name too long is cut and matches nothing. */
static void plain_write(const char *text, char ret_name[NAME_BYTES]) {
    size_t length = 0;

    for (; *text && length + 1 < NAME_BYTES; text++) {
        char byte = strchr("._ /-\t\n", *text) ? '-' : divvy_core_ascii_lower(*text);

        if (byte != '-' || (length > 0 && ret_name[length - 1] != '-'))
            ret_name[length++] = byte;
    }
    while (length > 0 && ret_name[length - 1] == '-')
        length--;
    ret_name[length] = '\0';
    if (strncmp(ret_name, "mig-", 4) == 0)
        memmove(ret_name, ret_name + 4, length - 3);
}

bool divvy_nvidia_template_same(const char *one, const char *other) {
    char plain[NAME_BYTES], other_plain[NAME_BYTES];

    plain_write(one, plain);
    plain_write(other, other_plain);
    return plain[0] && strcmp(plain, other_plain) == 0;
}

/* Whether each part between dashes is a part of the model's name too. */
static bool is_model(const char *card, size_t length, const char *model) {
    char parts[NAME_BYTES];

    plain_write(model, parts);
    for (const char *at = card, *end = card + length; at < end;) {
        const char *dash = memchr(at, '-', (size_t)(end - at));
        size_t part = (size_t)((dash ? dash : end) - at);
        bool found = false;

        for (const char *word = parts; word && !found; word = strchr(word, '-')) {
            word += *word == '-';
            found = strncmp(word, at, part) == 0 && (word[part] == '-' || !word[part]);
        }
        if (!found)
            return false;
        at += part + 1;
    }
    return length > 0;
}

/* "nv-h200-1g-18gb-me": the card, then the name with a dash for its plus. */
static bool chart_means(const char *chart, const char *name, const char *model) {
    char tail[NAME_BYTES];
    size_t length = strlen(chart), tail_length;

    memcpy(tail, name, strlen(name) + 1);
    for (char *at = tail; *at; at++)
        if (*at == '+')
            *at = '-';
    tail_length = strlen(tail);
    return length > tail_length + 1 && strcmp(chart + length - tail_length, tail) == 0 && chart[length - tail_length - 1] == '-' &&
           is_model(chart, length - tail_length - 1, model);
}

bool divvy_nvidia_template_means(const char *template_id, unsigned int profile, const char *name, const char *model) {
    char plain[NAME_BYTES], plain_name[NAME_BYTES];
    uint64_t number;

    plain_write(template_id, plain);
    if (divvy_core_u64_parse(plain, strlen(plain), &number, NULL) == 0)
        return number == profile;
    plain_write(name, plain_name);
    if (!plain_name[0])
        return false;
    if (strcmp(plain, plain_name) == 0)
        return true;
    return strncmp(plain, "nv-", 3) == 0 && chart_means(plain + 3, plain_name, model);
}
