/* Loading libraries, calling them, and hearing what they say: see library.h. */
#include "accel/library.h"
#include "base/log.h"
#include "base/table.h"
#include "core/parse.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MESSAGE_BYTES 1024u

/* All that were ever loaded. The lock is taken before a library's own. */
static pthread_mutex_t libraries_lock = PTHREAD_MUTEX_INITIALIZER;
static struct divvy_accel_library *libraries;

/* Whose call this thread is in: a library's messages come without a word on whose they are. */
static __thread struct divvy_accel *calling;
/* What it complained of last in this thread's newest call; empty: nothing. */
static __thread char complaint[160];

/* --- messages ------------------------------------------------------------------------------------------------ */

static void tell(struct divvy_accel *accel, divvy_log_level_t level, const char *message) {
    if (accel && accel->log)
        accel->log(accel->log_data, level, message);
    else
        divvy_log_at(level, NULL, 0, "%s", message);
}

/* FATAL ends hosts of others; here it is one more error. */
static divvy_log_level_t level_of(const char *level) {
    static const struct {
        const char *word;
        divvy_log_level_t level;
    } levels[] = {
        {"DEBUG", DIVVY_LOG_DEBUG}, {"WARN", DIVVY_LOG_WARN},   {"WARNING", DIVVY_LOG_WARN},
        {"ERROR", DIVVY_LOG_ERROR}, {"FATAL", DIVVY_LOG_ERROR},
    };

    for (size_t i = 0; level && i < sizeof levels / sizeof levels[0]; i++)
        if (divvy_core_word_equal(level, strnlen(level, 16), levels[i].word))
            return levels[i].level;
    return DIVVY_LOG_INFO;
}

static void message_receive(const char *level, const char *message) {
    char text[MESSAGE_BYTES], clean[MESSAGE_BYTES];
    divvy_log_level_t importance = level_of(level);
    size_t length = message ? strnlen(message, sizeof text - 1) : 0;

    if (length == 0)
        return;
    memcpy(text, message, length);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    text[length] = '\0';
    divvy_text_clean(text, clean, sizeof clean);
    if (calling && importance == DIVVY_LOG_ERROR)
        (void)snprintf(complaint, sizeof complaint, "%.*s", (int)sizeof complaint - 1, clean);
    tell(calling, importance, clean);
}

void divvy_accel_warn(struct divvy_accel *accel, const char *format, ...) {
    char text[MESSAGE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tell(accel, DIVVY_LOG_WARN, text);
}

/* --- calls --------------------------------------------------------------------------------------------------- */

void divvy_accel_enter(struct divvy_accel *accel) {
    (void)pthread_mutex_lock(&accel->library->lock);
    calling = accel;
    complaint[0] = '\0';
}

void divvy_accel_leave(struct divvy_accel *accel) {
    calling = NULL;
    (void)pthread_mutex_unlock(&accel->library->lock);
}

static const char *file_of(const struct divvy_accel *accel) {
    const char *slash = strrchr(accel->library->path, '/');

    return slash ? slash + 1 : accel->library->path;
}

int divvy_accel_result(const struct divvy_accel *accel, const char *function, int result, struct divvy_error *error) {
    static const struct {
        int status;
        const char *words;
    } results[] = {
        [ACCEL_SUCCESS] = {0, ""},
        [ACCEL_ERROR_INVALID_PARAM] = {-EINVAL, "invalid parameter"},
        [ACCEL_ERROR_NOT_FOUND] = {-ENOENT, "not found"},
        [ACCEL_ERROR_NOT_SUPPORTED] = {-EOPNOTSUPP, "not supported"},
        [ACCEL_ERROR_RESOURCE_EXHAUSTED] = {-ENOSPC, "resource exhausted"},
        [ACCEL_ERROR_OPERATION_FAILED] = {-EIO, "operation failed"},
        [ACCEL_ERROR_INTERNAL] = {-EIO, "internal error"},
    };

    if (result == ACCEL_SUCCESS)
        return 0;
    if (result < 0 || (size_t)result >= sizeof results / sizeof results[0])
        return divvy_accel_nonsense(accel, function, error, "unknown result %d", result);
    return divvy_error_set(error, results[result].status, "%s: %s: %s%s%s", file_of(accel), function, results[result].words,
                           complaint[0] ? ": " : "", complaint);
}

int divvy_accel_nonsense(const struct divvy_accel *accel, const char *function, struct divvy_error *error, const char *format, ...) {
    char text[160];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return divvy_error_set(error, -EPROTO, "%s: %s answered what cannot be: %s", file_of(accel), function, text);
}

/* --- loading ------------------------------------------------------------------------------------------------- */

enum need { OPTIONAL, FULL, DISCOVERY };

/* Names of missing functions, and how many of each kind are there. */
struct inventory {
    char missing[160];
    unsigned int present, missing_discovery, missing_full;
};

static void inventory_note(struct inventory *inventory, const char *symbol, enum need need, bool present) {
    size_t used = strlen(inventory->missing);

    if (present || need == OPTIONAL) {
        inventory->present += present && need != OPTIONAL;
        return;
    }
    inventory->missing_full++;
    inventory->missing_discovery += need == DISCOVERY;
    (void)snprintf(inventory->missing + used, sizeof inventory->missing - used, "%s%s", used ? ", " : "", symbol);
}

#define LOOK(symbol, need)                                                                         \
    functions->symbol = (__typeof__(functions->symbol))dlsym(handle, #symbol);                     \
    inventory_note(&inventory, #symbol, need, functions->symbol != NULL);

static struct inventory look_1(void *handle, struct divvy_accel_functions_1 *functions) {
    struct inventory inventory = {.missing = ""};

    DIVVY_ACCEL_ABI_1(LOOK)
    return inventory;
}

static struct inventory look_2(void *handle, struct divvy_accel_functions_2 *functions) {
    struct inventory inventory = {.missing = ""};

    DIVVY_ACCEL_ABI_2(LOOK)
    return inventory;
}
#undef LOOK

/* Generation 2 where it is good enough, else 1; where neither is, what the better one lacks. */
static int generation_choose(struct divvy_accel_library *library, bool discovery_only, struct divvy_error *error) {
    struct inventory two = look_2(library->handle, &library->two), one = look_1(library->handle, &library->one);
    const struct inventory *better = two.present > 0 && two.present >= one.present ? &two : &one;

    if (two.present == 0 && one.present == 0)
        return divvy_error_set(error, -ELIBBAD, "%s is no accelerator library: it has neither VirtualGPUInit nor AccelInit",
                               library->path);
    for (int i = 0; i < (discovery_only ? 2 : 1); i++) {
        bool is_two = (i ? two.missing_discovery : two.missing_full) == 0;

        if (is_two || (i ? one.missing_discovery : one.missing_full) == 0) {
            library->is_whole = i == 0;
            library->generation = is_two ? 2 : 1;
            return 0;
        }
    }
    return divvy_error_set(error, -ELIBBAD, "%s lacks %s", library->path, better->missing);
}

static void library_free(struct divvy_accel_library *library) {
    if (!library)
        return;
    (void)pthread_mutex_destroy(&library->lock);
    free(library->path);
    free(library);
}

static struct divvy_accel_library *library_new(const char *path, void *handle) {
    struct divvy_accel_library *library = calloc(1, sizeof *library);

    if (!library)
        return NULL;
    (void)pthread_mutex_init(&library->lock, NULL);
    library->handle = handle;
    library->path = strdup(path);
    if (library->path)
        return library;
    library_free(library);
    return NULL;
}

/* A pipe would be waited for, a device read from: only files are opened. */
static int file_check(const char *path, struct divvy_error *error) {
    struct stat file;

    if (stat(path, &file) < 0)
        return divvy_error_set_errno(error, -errno, "%s", path);
    return S_ISREG(file.st_mode) ? 0 : divvy_error_set(error, -ELIBBAD, "%s is not a file", path);
}

/* The loader's words hold the path already. */
static int load(const char *path, struct divvy_accel_library **ret_library, struct divvy_error *error) {
    int status = file_check(path, error);
    void *handle;

    if (status < 0)
        return status;
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return divvy_error_set(error, -ELIBBAD, "%s", dlerror());
    for (struct divvy_accel_library *known = libraries; known; known = known->next)
        if (known->handle == handle) {
            (void)dlclose(handle);
            *ret_library = known;
            return 0;
        }
    *ret_library = library_new(path, handle);
    if (!*ret_library) {
        (void)dlclose(handle);
        return divvy_error_set_errno(error, -ENOMEM, "%s", path);
    }
    return 0;
}

static void listen(struct divvy_accel_library *library, LogCallbackFunc callback) {
    AccelResult (*hear)(LogCallbackFunc) = library->generation == 2 && library->two.AccelRegisterLogCallback
                                               ? library->two.AccelRegisterLogCallback
                                               : library->one.RegisterLogCallback;

    if (hear)
        (void)hear(callback);
}

static int initialise(struct divvy_accel *accel, struct divvy_error *error) {
    struct divvy_accel_library *library = accel->library;
    int result, status;

    divvy_accel_enter(accel);
    listen(library, message_receive);
    result = library->generation == 2 ? (int)library->two.AccelInit() : (int)library->one.VirtualGPUInit();
    divvy_accel_leave(accel);
    status = divvy_accel_result(accel, library->generation == 2 ? "AccelInit" : "VirtualGPUInit", result, error);
    if (result == ACCEL_ERROR_NOT_FOUND)
        return divvy_error_set(error, -ENODEV, "%s: there is no driver for it on this machine", library->path);
    return status;
}

int divvy_accel_library_get(const char *path, bool discovery_only, struct divvy_accel *accel, struct divvy_error *error) {
    struct divvy_accel_library *library = NULL;
    int status;

    (void)pthread_mutex_lock(&libraries_lock);
    status = load(path, &library, error);
    if (status == 0 && (!library->generation || (!library->is_whole && !discovery_only))) {
        bool is_new = !library->generation;

        status = generation_choose(library, discovery_only, error);
        if (status < 0 && is_new) {
            library_free(library); /* and stays loaded: its constructors may have begun something */
        } else if (is_new) {
            library->next = libraries;
            libraries = library;
        }
    }
    if (status == 0) {
        accel->library = library;
        status = initialise(accel, error);
        library->users += status == 0;
    }
    (void)pthread_mutex_unlock(&libraries_lock);
    if (status < 0)
        accel->library = NULL;
    return status;
}

void divvy_accel_library_put(struct divvy_accel *accel) {
    struct divvy_accel_library *library = accel->library;

    if (!library)
        return;
    (void)pthread_mutex_lock(&libraries_lock);
    if (--library->users == 0) {
        divvy_accel_enter(accel);
        if (library->generation == 2 && library->two.AccelShutdown)
            (void)library->two.AccelShutdown();
        listen(library, NULL);
        divvy_accel_leave(accel);
    }
    (void)pthread_mutex_unlock(&libraries_lock);
}
