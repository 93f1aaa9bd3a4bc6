/* Text that grows. */
#include "daemon/http/buffer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and the NUL. */
static bool grow(struct divvy_http_buffer *buffer, size_t more) {
    size_t room = buffer->room ? buffer->room : 4096;
    char *larger;

    if (buffer->is_broken)
        return false;
    while (room - buffer->length <= more)
        room *= 2;
    if (room == buffer->room)
        return true;
    larger = realloc(buffer->text, room);
    if (!larger) {
        buffer->is_broken = true;
        return false;
    }
    buffer->text = larger;
    buffer->room = room;
    return true;
}

void divvy_http_buffer_add_bytes(struct divvy_http_buffer *buffer, const char *bytes, size_t length) {
    if (!grow(buffer, length))
        return;
    memcpy(buffer->text + buffer->length, bytes, length);
    buffer->length += length;
    buffer->text[buffer->length] = '\0';
}

void divvy_http_buffer_add(struct divvy_http_buffer *buffer, const char *text) {
    divvy_http_buffer_add_bytes(buffer, text, strlen(text));
}

void divvy_http_buffer_format(struct divvy_http_buffer *buffer, const char *format, ...) {
    char text[1024];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0)
        divvy_http_buffer_add_bytes(buffer, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

void divvy_http_buffer_number(struct divvy_http_buffer *buffer, double value) {
    bool whole = value == floor(value) && fabs(value) <= 9007199254740992.0;

    divvy_http_buffer_format(buffer, whole ? "%.0f" : "%.15g", value);
}

void divvy_http_buffer_escaped(struct divvy_http_buffer *buffer, const char *text, const char *special) {
    while (*text) {
        size_t plain = strcspn(text, special);

        divvy_http_buffer_add_bytes(buffer, text, plain);
        text += plain;
        if (*text) {
            char pair[2] = {'\\', *text == '\n' ? 'n' : *text};

            divvy_http_buffer_add_bytes(buffer, pair, 2);
            text++;
        }
    }
}

char *divvy_http_buffer_take(struct divvy_http_buffer *buffer, size_t *ret_length) {
    char *text = buffer->is_broken ? NULL : buffer->text;

    if (buffer->is_broken)
        free(buffer->text);
    else if (!text)
        text = calloc(1, 1);
    *ret_length = text ? buffer->length : 0;
    memset(buffer, 0, sizeof *buffer);
    return text;
}
