/* Messages of programs: see log.h. */
#include "base/log.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "core/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 1024

static struct {
    pthread_mutex_t lock;
    uint32_t level; /* atomic; the rest is under the lock */
    enum divvy_log_format format;
    const char *program;
    int fd; /* of the file, or STDERR_FILENO */
    char path[PATH_BYTES];
    uint64_t file_bytes, file_length;
    uint32_t unwritten; /* lines that standard error did not take */
    struct divvy_log_site *sites;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .level = DIVVY_LOG_INFO,
          .format = DIVVY_LOG_FORMAT_TEXT,
          .program = "divvy",
          .fd = STDERR_FILENO};

static const char *const level_names[DIVVY_LOG_MAX] = {"off", "error", "warn", "info", "debug", "trace"};
static const int level_priorities[DIVVY_LOG_MAX] = {0, 3, 4, 6, 7, 7}; /* as syslog numbers them */
static const char *const format_names[DIVVY_LOG_FORMAT_MAX] = {"auto", "text", "json", "journal"};

bool divvy_log_enabled(divvy_log_level_t level) {
    return level != DIVVY_LOG_OFF && (uint32_t)level <= __atomic_load_n(&sink.level, __ATOMIC_RELAXED);
}

int divvy_log_format_parse(const char *text, enum divvy_log_format *ret_format) {
    for (unsigned int i = 0; i < DIVVY_LOG_FORMAT_MAX; i++)
        if (divvy_core_word_equal(text, strlen(text), format_names[i])) {
            *ret_format = (enum divvy_log_format)i;
            return 0;
        }
    return -EINVAL;
}

/* --- lines ---------------------------------------------------------------------------------------- */

struct line {
    char *bytes;
    size_t size, length;
    bool is_cut;
};

/* All of it or, when it does not fit, nothing: an escape is never torn. */
static void line_add(struct line *line, const char *bytes, size_t length) {
    if (line->is_cut || length > line->size - line->length) {
        line->is_cut = true;
        return;
    }
    memcpy(line->bytes + line->length, bytes, length);
    line->length += length;
}

static void line_add_text(struct line *line, const char *text) {
    line_add(line, text, strlen(text));
}

/* Length of the well-formed UTF-8 character at `text`, 0 where there is none. */
static size_t utf8_length(const unsigned char *text) {
    static const struct {
        unsigned char mask, head, second_min;
        size_t length;
    } kinds[] = {{0x80, 0x00, 0, 1}, {0xe0, 0xc0, 0x80, 2}, {0xf0, 0xe0, 0x80, 3}, {0xf8, 0xf0, 0x80, 4}};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if ((text[0] & kinds[i].mask) != kinds[i].head)
            continue;
        for (size_t at = 1; at < kinds[i].length; at++)
            if ((text[at] & 0xc0) != 0x80)
                return 0;
        /* Longer than needed, surrogates, beyond U+10FFFF. */
        if ((text[0] & 0xfe) == 0xc0 || (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
            (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f) || text[0] > 0xf4)
            return 0;
        return kinds[i].length;
    }
    return 0;
}

/* One line of text for people: control characters become blanks. */
static void line_add_plain(struct line *line, const char *text) {
    for (; *text && !line->is_cut; text++) {
        char byte = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;

        line_add(line, &byte, 1);
    }
}

static void line_add_json(struct line *line, const char *text) {
    const unsigned char *at = (const unsigned char *)text;

    line_add(line, "\"", 1);
    while (*at && !line->is_cut) {
        size_t length = utf8_length(at);
        char escape[8];

        if (length == 0) {
            line_add_text(line, "\xef\xbf\xbd"); /* U+FFFD stands for what is not UTF-8 */
            at++;
        } else if (length > 1 || (*at >= 0x20 && *at != '"' && *at != '\\' && *at != 0x7f)) {
            line_add(line, (const char *)at, length);
            at += length;
        } else {
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned int)*at++);
            line_add_text(line, escape);
        }
    }
    /* The end of a string that was cut still has to be there: room for it was kept. */
    line->size++;
    line->is_cut = false;
    line_add(line, "\"", 1);
}

static void time_format(int64_t realtime_ns, char ret_text[40]) {
    time_t seconds = (time_t)(realtime_ns / (int64_t)DIVVY_NS_PER_SECOND);
    struct tm parts;
    char date[24];

    (void)gmtime_r(&seconds, &parts);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(ret_text, 40, "%s.%03dZ", date,
                   (int)(realtime_ns % (int64_t)DIVVY_NS_PER_SECOND / (int64_t)DIVVY_NS_PER_MS));
}

static void json_format(struct line *line, const char *program, divvy_log_level_t level, const char *time,
                        const char *message, const struct divvy_log_field *fields, size_t field_count) {
    char head[192];

    (void)snprintf(head, sizeof head, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"pid\":%d", time,
                   level_names[level], program, (int)getpid());
    line_add_text(line, head);
    for (size_t i = 0; i < field_count; i++) {
        size_t before = line->length;
        /* A field is whole or missing; the message gets half of the room at least. */
        struct line field = {line->bytes, line->size / 2, before, false};

        if (!fields[i].value || before > field.size)
            continue;
        line_add_text(&field, ",\"");
        line_add_text(&field, fields[i].name);
        line_add_text(&field, "\":");
        if (field.is_cut)
            continue;
        field.size--;
        line_add_json(&field, fields[i].value);
        line->length = field.length;
    }
    line_add_text(line, ",\"message\":");
    line->size -= 2; /* for the closing quote and brace */
    line_add_json(line, message);
    line->size++;
    line_add_text(line, "}");
}

size_t divvy_log_line_format(enum divvy_log_format format, const char *program, divvy_log_level_t level,
                             int64_t realtime_ns, const char *message, const struct divvy_log_field *fields,
                             size_t field_count, char *ret_line, size_t size_bytes) {
    struct line line = {ret_line, size_bytes - 1, 0, false};
    char head[192], time[40];

    time_format(realtime_ns, time);
    if (format == DIVVY_LOG_FORMAT_JSON && size_bytes >= 512) {
        json_format(&line, program, level, time, message, fields, field_count);
    } else {
        if (format == DIVVY_LOG_FORMAT_JOURNAL)
            (void)snprintf(head, sizeof head, "<%d>", level_priorities[level]);
        else
            (void)snprintf(head, sizeof head, "%s %s %s[%d]: ", time, level_names[level], program, (int)getpid());
        line_add_text(&line, head);
        line_add_plain(&line, message);
        for (size_t i = 0; i < field_count; i++)
            if (fields[i].value) {
                line_add_text(&line, " ");
                line_add_text(&line, fields[i].name);
                line_add_text(&line, "=");
                line_add_plain(&line, fields[i].value);
            }
    }
    ret_line[line.length] = '\0';
    return line.length;
}

/* --- sink ------------------------------------------------------------------------------------------- */

/* Whether standard error goes to the journal: it says so by device and inode. */
static bool is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &status) == 0 &&
           status.st_dev == (dev_t)device && status.st_ino == (ino_t)inode;
}

static int file_open(const char *path, uint64_t *ret_length) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    struct stat status;

    if (fd < 0)
        return -errno;
    *ret_length = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    return fd;
}

static void file_rotate(void) {
    char old[PATH_BYTES + 2];
    int fd;

    (void)snprintf(old, sizeof old, "%s.1", sink.path);
    if (rename(sink.path, old) < 0)
        return;
    fd = file_open(sink.path, &sink.file_length);
    if (fd < 0)
        return; /* goes on in the renamed one */
    (void)close(sink.fd);
    sink.fd = fd;
}

static void line_write(char *line, size_t length) {
    struct pollfd ready = {.fd = sink.fd, .events = POLLOUT};

    if (sink.file_bytes && sink.fd != STDERR_FILENO && sink.file_length >= sink.file_bytes)
        file_rotate();
    ready.fd = sink.fd;
    line[length++] = '\n';
    if (poll(&ready, 1, 0) != 1 || write(sink.fd, line, length) != (ssize_t)length)
        sink.unwritten++;
    else
        sink.file_length += length;
}

static void message_write(divvy_log_level_t level, const char *message, const struct divvy_log_field *fields,
                          size_t field_count) {
    char line[DIVVY_LOG_LINE_BYTES + 1];
    struct timespec now;
    size_t length;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    length = divvy_log_line_format(sink.format, sink.program, level,
                                   (int64_t)now.tv_sec * (int64_t)DIVVY_NS_PER_SECOND + now.tv_nsec, message, fields,
                                   field_count, line, DIVVY_LOG_LINE_BYTES);
    line_write(line, length);
}

/* Whether the site may write now. What it dropped before goes into *ret_dropped. */
static bool site_take(struct divvy_log_site *site, uint64_t now_ns, uint32_t *ret_dropped) {
    *ret_dropped = 0;
    if (!site->known) {
        site->known = true;
        site->next = sink.sites;
        sink.sites = site;
    }
    if (site->count == 0 || now_ns - site->window_ns >= DIVVY_LOG_WINDOW_NS) {
        *ret_dropped = site->dropped;
        site->window_ns = now_ns;
        site->count = 0;
        site->dropped = 0;
    }
    if (site->count >= DIVVY_LOG_BURST) {
        site->dropped++;
        return false;
    }
    site->count++;
    return true;
}

void divvy_log_write(struct divvy_log_site *site, divvy_log_level_t level, const struct divvy_log_field *fields,
                     size_t field_count, const char *format, ...) {
    int kept = errno;
    char message[DIVVY_LOG_LINE_BYTES];
    va_list arguments;
    uint32_t dropped;
    int length;

    va_start(arguments, format);
    length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    (void)pthread_mutex_lock(&sink.lock);
    if (site_take(site, divvy_core_clock_ns(), &dropped)) {
        if (dropped && length >= 0 && (size_t)length < sizeof message)
            (void)snprintf(message + length, sizeof message - (size_t)length, " (and %u like it before)", dropped);
        message_write(level, message, fields, field_count);
    }
    (void)pthread_mutex_unlock(&sink.lock);
    errno = kept;
}

/* With the lock. */
static void dropped_tell(uint64_t now_ns, bool all) {
    uint64_t dropped = 0;
    char message[128];

    for (struct divvy_log_site *site = sink.sites; site; site = site->next)
        if (site->dropped && (all || now_ns - site->window_ns >= DIVVY_LOG_WINDOW_NS)) {
            dropped += site->dropped;
            site->dropped = 0;
            site->count = 0;
        }
    if (dropped) {
        (void)snprintf(message, sizeof message, "%llu messages were dropped: too many of a kind",
                       (unsigned long long)dropped);
        message_write(DIVVY_LOG_WARN, message, NULL, 0);
    }
    if (sink.unwritten) {
        uint32_t unwritten = sink.unwritten;

        (void)snprintf(message, sizeof message, "%u messages were dropped: nobody read them", unwritten);
        message_write(DIVVY_LOG_WARN, message, NULL, 0);
        /* Told, or one more that was not: either way they are not told twice. */
        sink.unwritten = sink.unwritten > unwritten ? unwritten : 0;
    }
}

void divvy_log_tick(void) {
    (void)pthread_mutex_lock(&sink.lock);
    dropped_tell(divvy_core_clock_ns(), false);
    (void)pthread_mutex_unlock(&sink.lock);
}

int divvy_log_open(const struct divvy_log_settings *settings, struct divvy_error *error) {
    const char *path = settings->path ? settings->path : "";
    enum divvy_log_format format = settings->format;
    uint64_t length = 0;
    int fd = STDERR_FILENO;

    if (strlen(path) >= sizeof sink.path)
        return divvy_error_set(error, -ENAMETOOLONG, "the log's path is longer than %zu bytes", sizeof sink.path - 1);
    if (*path) {
        fd = file_open(path, &length);
        if (fd < 0)
            return divvy_error_set_errno(error, fd, "cannot open the log %s", path);
    }
    if (format == DIVVY_LOG_FORMAT_AUTO)
        format = !*path && is_journal() ? DIVVY_LOG_FORMAT_JOURNAL : DIVVY_LOG_FORMAT_TEXT;
    (void)pthread_mutex_lock(&sink.lock);
    if (sink.fd != STDERR_FILENO)
        (void)close(sink.fd);
    sink.fd = fd;
    sink.format = format;
    sink.program = settings->program;
    sink.file_bytes = settings->file_bytes;
    sink.file_length = length;
    (void)snprintf(sink.path, sizeof sink.path, "%s", path);
    __atomic_store_n(&sink.level, (uint32_t)settings->level, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&sink.lock);
    return 0;
}

void divvy_log_close(void) {
    (void)pthread_mutex_lock(&sink.lock);
    dropped_tell(divvy_core_clock_ns(), true);
    if (sink.fd != STDERR_FILENO)
        (void)close(sink.fd);
    sink.fd = STDERR_FILENO;
    sink.format = DIVVY_LOG_FORMAT_TEXT;
    sink.path[0] = '\0';
    sink.file_bytes = 0;
    (void)pthread_mutex_unlock(&sink.lock);
}
