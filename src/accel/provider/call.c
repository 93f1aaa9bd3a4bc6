/* Lock, driver and messages of one call: see call.h. */
#include "accel/provider/call.h"
#include "core/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct divvy_provider_call *current; /* of the lock's holder */
static bool started;
static LogCallbackFunc listener; /* read and written atomically: it may change while a call is under way */

void divvy_provider_enter_quietly(struct divvy_provider_call *call) {
    call->count = 0;
    (void)pthread_mutex_lock(&lock);
    current = call;
}

AccelResult divvy_provider_enter(struct divvy_provider_call *call) {
    AccelResult result = ACCEL_SUCCESS;

    divvy_provider_enter_quietly(call);
    if (!started)
        result = divvy_provider.start();
    started = result == ACCEL_SUCCESS;
    return result;
}

AccelResult divvy_provider_leave(struct divvy_provider_call *call, AccelResult result) {
    current = NULL;
    (void)pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < call->count; i++) {
        LogCallbackFunc callback = __atomic_load_n(&listener, __ATOMIC_ACQUIRE);

        if (callback)
            callback(call->messages[i].level, call->messages[i].text);
    }
    return result;
}

void divvy_provider_stop(void) {
    if (started && divvy_provider.stop)
        divvy_provider.stop();
    started = false;
}

void divvy_provider_listen(LogCallbackFunc callback) {
    __atomic_store_n(&listener, callback, __ATOMIC_RELEASE);
}

void divvy_provider_log(const char *level, const char *format, ...) {
    divvy_core_text_t text;
    va_list arguments;

    if (!current || current->count == DIVVY_PROVIDER_MESSAGES)
        return;
    current->messages[current->count].level = level;
    divvy_core_text_init(&text, current->messages[current->count].text, DIVVY_PROVIDER_MESSAGE_BYTES);
    va_start(arguments, format);
    divvy_core_text_vformat(&text, format, arguments);
    va_end(arguments);
    current->count++;
}

bool divvy_provider_is_lenient(void) {
    const char *value = secure_getenv("DIVVY_ACCEL_LENIENT");

    return divvy_provider.always_lenient || (value && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0));
}
