/* What each thread has current: the stack of contexts, and its own default stream in each
 * context. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/stream.h"

#include <stdlib.h>

__thread divvy_drv_self_t divvy_drv_self __attribute__((tls_model("initial-exec")));

typedef struct own_stream {
    divvy_drv_stream_t *stream;
    struct own_stream *next;
} own_stream_t;

struct divvy_drv_thread {
    divvy_drv_context_t **stack;
    size_t depth, room;
    own_stream_t *streams; /* under list_lock: a context that goes takes them from all threads */
    divvy_drv_thread_t *previous, *next;
};

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static divvy_drv_thread_t *threads;

/* Under list_lock, so that a stream's context cannot go at the same time. */
static void free_streams(own_stream_t *own) {
    while (own) {
        own_stream_t *next = own->next;
        divvy_drv_stream_free(own->stream);
        free(own);
        own = next;
    }
}

static void thread_end(void *argument) {
    divvy_drv_thread_t *thread = argument;
    pthread_mutex_lock(&list_lock);
    if (thread->next)
        thread->next->previous = thread->previous;
    if (thread->previous)
        thread->previous->next = thread->next;
    else
        threads = thread->next;
    free_streams(thread->streams);
    pthread_mutex_unlock(&list_lock);
    for (size_t i = 0; i < thread->depth; i++)
        divvy_drv_context_unref(thread->stack[i]);
    free(thread->stack);
    free(thread);
    if (divvy_drv_self.lane)
        divvy_simgpu_call_lane_give(divvy_drv_self.lane - 1u);
    divvy_drv_self = (divvy_drv_self_t){0};
}

static void key_make(void) {
    pthread_key_create(&key, thread_end);
}

static divvy_drv_thread_t *self(void) {
    divvy_drv_thread_t *thread = divvy_drv_self.more;
    if (thread)
        return thread;
    pthread_once(&key_once, key_make);
    thread = calloc(1, sizeof(*thread));
    if (!thread)
        return NULL;
    if (pthread_setspecific(key, thread)) {
        free(thread);
        return NULL;
    }
    pthread_mutex_lock(&list_lock);
    thread->next = threads;
    if (threads)
        threads->previous = thread;
    threads = thread;
    pthread_mutex_unlock(&list_lock);
    divvy_drv_self.more = thread;
    return thread;
}

static void top_changed(divvy_drv_thread_t *thread) {
    divvy_drv_self.current = thread->depth ? thread->stack[thread->depth - 1] : NULL;
}

CUresult divvy_drv_thread_push(divvy_drv_context_t *context) {
    divvy_drv_thread_t *thread = self();
    if (!thread)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (thread->depth == thread->room) {
        size_t room = thread->room ? 2 * thread->room : 8;
        divvy_drv_context_t **stack = realloc(thread->stack, room * sizeof(*stack));
        if (!stack)
            return CUDA_ERROR_OUT_OF_MEMORY;
        thread->stack = stack;
        thread->room = room;
    }
    divvy_drv_context_ref(context);
    thread->stack[thread->depth++] = context;
    top_changed(thread);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_thread_pop(CUcontext *ret_handle) {
    divvy_drv_thread_t *thread = divvy_drv_self.more;
    if (!thread || !thread->depth)
        return CUDA_ERROR_INVALID_CONTEXT;
    divvy_drv_context_t *context = thread->stack[--thread->depth];
    top_changed(thread);
    *ret_handle = context->handle;
    divvy_drv_context_unref(context);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_thread_set(divvy_drv_context_t *context) {
    CUcontext old;
    if (context && context == divvy_drv_self.current)
        return CUDA_SUCCESS;
    if (context) {
        divvy_drv_context_ref(context); /* it may live only on this stack */
        if (divvy_drv_self.current)
            divvy_drv_thread_pop(&old);
        CUresult result = divvy_drv_thread_push(context);
        divvy_drv_context_unref(context);
        return result;
    }
    if (divvy_drv_self.current)
        divvy_drv_thread_pop(&old);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_thread_stream(divvy_drv_context_t *context, divvy_drv_stream_t **ret_stream) {
    divvy_drv_thread_t *thread = self();
    if (!thread)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* Only this thread adds; a context that goes takes away under the lock, and only its own. */
    pthread_mutex_lock(&list_lock);
    own_stream_t *own = thread->streams;
    while (own && own->stream->context != context)
        own = own->next;
    pthread_mutex_unlock(&list_lock);
    if (!own) {
        own = calloc(1, sizeof(*own));
        if (!own)
            return CUDA_ERROR_OUT_OF_MEMORY;
        CUresult result = divvy_drv_stream_new(context, DRV_STREAM_PER_THREAD, 0, 0, &own->stream);
        if (result != CUDA_SUCCESS) {
            free(own);
            return result;
        }
        pthread_mutex_lock(&list_lock);
        own->next = thread->streams;
        thread->streams = own;
        pthread_mutex_unlock(&list_lock);
    }
    *ret_stream = own->stream;
    return CUDA_SUCCESS;
}

void divvy_drv_thread_forget(divvy_drv_context_t *context) {
    own_stream_t *gone = NULL;
    pthread_mutex_lock(&list_lock);
    for (divvy_drv_thread_t *thread = threads; thread; thread = thread->next)
        for (own_stream_t **link = &thread->streams; *link;) {
            own_stream_t *own = *link;
            if (own->stream->context != context) {
                link = &own->next;
                continue;
            }
            *link = own->next;
            own->next = gone;
            gone = own;
        }
    free_streams(gone);
    pthread_mutex_unlock(&list_lock);
}
