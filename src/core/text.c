/* Bounded text builder: see text.h. */
#include "core/text.h"

#include <string.h>

void divvy_core_text_init(divvy_core_text_t *text, char *buffer, size_t capacity_bytes) {
    *text = (divvy_core_text_t){.bytes = buffer, .capacity = capacity_bytes};
    buffer[0] = '\0';
}

void divvy_core_text_add_bytes(divvy_core_text_t *text, const char *bytes, size_t length_bytes) {
    size_t room = text->capacity - 1 - text->length;

    if (length_bytes > room) {
        length_bytes = room;
        text->is_cut = true;
    }
    memcpy(text->bytes + text->length, bytes, length_bytes);
    text->length += length_bytes;
    text->bytes[text->length] = '\0';
}

void divvy_core_text_add(divvy_core_text_t *text, const char *string) {
    divvy_core_text_add_bytes(text, string, strlen(string));
}

static void add_number(divvy_core_text_t *text, uint64_t value, unsigned int base, bool is_negative,
                       size_t width, char padding) {
    char digits[32];
    size_t at = sizeof digits;

    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (is_negative && padding == '0') {
        divvy_core_text_add_bytes(text, "-", 1);
        width = width ? width - 1 : 0;
    } else if (is_negative) {
        digits[--at] = '-';
    }
    for (size_t have = sizeof digits - at; have < width; have++)
        divvy_core_text_add_bytes(text, &padding, 1);
    divvy_core_text_add_bytes(text, digits + at, sizeof digits - at);
}

void divvy_core_text_add_u64(divvy_core_text_t *text, uint64_t value) {
    add_number(text, value, 10, false, 0, ' ');
}

void divvy_core_text_add_size(divvy_core_text_t *text, uint64_t size_bytes) {
    static const char units[][4] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned int unit = 0;

    while (unit < 6 && size_bytes >> (10 * (unit + 1)))
        unit++;
    if (unit > 0) {
        uint64_t below = size_bytes & ((UINT64_C(1) << (10 * unit)) - 1);
        uint64_t tenths = (below >> (10 * (unit - 1))) * 10 / 1024;

        add_number(text, size_bytes >> (10 * unit), 10, false, 0, ' ');
        if (below) {
            divvy_core_text_add_bytes(text, ".", 1);
            add_number(text, tenths, 10, false, 0, ' ');
        }
    } else {
        add_number(text, size_bytes, 10, false, 0, ' ');
    }
    divvy_core_text_add_bytes(text, " ", 1);
    divvy_core_text_add(text, units[unit]);
}

/* One conversion of the format, after its '%'. */
typedef struct {
    char padding;
    size_t width;
    bool has_precision;
    unsigned int longs; /* 0: int, 1: long or size_t, 2: long long */
} conversion_t;

static const char *conversion_read(const char *at, conversion_t *ret) {
    *ret = (conversion_t){.padding = ' '};
    if (*at == '0') {
        ret->padding = '0';
        at++;
    }
    for (; *at >= '0' && *at <= '9' && ret->width < 1000; at++)
        ret->width = ret->width * 10 + (size_t)(*at - '0');
    if (at[0] == '.' && at[1] == '*') {
        ret->has_precision = true;
        at += 2;
    }
    for (; *at == 'l' || *at == 'z'; at++)
        ret->longs++;
    return at;
}

static void add_string(divvy_core_text_t *text, const char *string, bool has_precision,
                       int precision) {
    if (!string)
        string = "(null)";
    if (has_precision && precision >= 0)
        divvy_core_text_add_bytes(text, string, strnlen(string, (size_t)precision));
    else
        divvy_core_text_add(text, string);
}

static uint64_t take_unsigned(va_list *arguments, unsigned int longs) {
    if (longs == 0)
        return va_arg(*arguments, unsigned int);
    return longs == 1 ? va_arg(*arguments, unsigned long) : va_arg(*arguments, unsigned long long);
}

static int64_t take_signed(va_list *arguments, unsigned int longs) {
    if (longs == 0)
        return va_arg(*arguments, int);
    return longs == 1 ? va_arg(*arguments, long) : va_arg(*arguments, long long);
}

static void add_conversion(divvy_core_text_t *text, char kind, const conversion_t *conversion,
                           va_list *arguments) {
    int precision = conversion->has_precision ? va_arg(*arguments, int) : 0;
    int64_t value;
    char byte;

    switch (kind) {
    case 's':
        add_string(text, va_arg(*arguments, const char *), conversion->has_precision, precision);
        break;
    case 'c':
        byte = (char)va_arg(*arguments, int);
        divvy_core_text_add_bytes(text, &byte, 1);
        break;
    case 'd':
    case 'i':
        value = take_signed(arguments, conversion->longs);
        add_number(text, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0,
                   conversion->width, conversion->padding);
        break;
    case 'u':
    case 'x':
        add_number(text, take_unsigned(arguments, conversion->longs), kind == 'x' ? 16 : 10, false,
                   conversion->width, conversion->padding);
        break;
    case 'p':
        divvy_core_text_add_bytes(text, "0x", 2);
        add_number(text, (uintptr_t)va_arg(*arguments, void *), 16, false, 0, ' ');
        break;
    default:
        divvy_core_text_add_bytes(text, "%", 1);
        if (kind != '%')
            divvy_core_text_add_bytes(text, &kind, 1);
        break;
    }
}

void divvy_core_text_vformat(divvy_core_text_t *text, const char *format, va_list arguments) {
    va_list rest;

    va_copy(rest, arguments);
    while (*format) {
        const char *percent = strchrnul(format, '%');
        conversion_t conversion;

        divvy_core_text_add_bytes(text, format, (size_t)(percent - format));
        if (!*percent)
            break;
        format = conversion_read(percent + 1, &conversion);
        if (!*format)
            break;
        add_conversion(text, *format++, &conversion, &rest);
    }
    va_end(rest);
}

void divvy_core_text_format(divvy_core_text_t *text, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    divvy_core_text_vformat(text, format, arguments);
    va_end(arguments);
}
