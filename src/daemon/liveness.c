/* Knowing when processes end: see liveness.h. */
#include "daemon/liveness.h"

#include "base/cleanup.h"
#include "core/sys.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define ID_BYTES     128u
#define BUCKETS      4096u
#define POLL_MS      250
#define EVENTS_BATCH 64

struct watched {
    struct watched *next;        /* in its bucket, or among the forgotten */
    struct watched *polled_next; /* in the list of those without a pidfd */
    int pidfd;                   /* -1: it is polled */
    bool is_keeper, forgotten;
    int32_t pid;
    uint64_t start_ticks;
    char id[ID_BYTES];
};

struct divvy_liveness {
    struct divvy_daemon *daemon;
    int epoll_fd, wake_fd;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* guards what follows; never held during a callback */
    bool stop;
    uint32_t count, polled_count;
    struct watched *buckets[BUCKETS]; /* by id */
    struct watched *polled;
    /*
     * The kernel may have handed the thread an entry that is being forgotten: so those are freed by the thread only, between
     * two batches.
     */
    struct watched *forgotten;
};

static struct watched **bucket_of(struct divvy_liveness *liveness, const char *id) {
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * 16777619u;
    return &liveness->buckets[hash % BUCKETS];
}

/* --- under the lock ---------------------------------------------------------------------------------- */

static void polled_remove(struct divvy_liveness *liveness, const struct watched *entry) {
    for (struct watched **at = &liveness->polled; *at; at = &(*at)->polled_next)
        if (*at == entry) {
            *at = entry->polled_next;
            liveness->polled_count--;
            return;
        }
}

/* Takes an entry out of the table: nothing watches it from here on. It is freed later by the thread. */
static void entry_drop(struct divvy_liveness *liveness, struct watched *entry) {
    struct watched **at = bucket_of(liveness, entry->id);

    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    if (entry->pidfd >= 0) {
        /* By name: a forked child may hold the descriptor too, and keep it in the epoll. */
        (void)epoll_ctl(liveness->epoll_fd, EPOLL_CTL_DEL, entry->pidfd, NULL);
        divvy_cleanup_close(&entry->pidfd);
    } else {
        polled_remove(liveness, entry);
    }
    entry->forgotten = true;
    entry->next = liveness->forgotten;
    liveness->forgotten = entry;
    liveness->count--;
}

static void entry_poll(struct divvy_liveness *liveness, struct watched *entry) {
    uint64_t one = 1;

    divvy_cleanup_close(&entry->pidfd);
    entry->polled_next = liveness->polled;
    liveness->polled = entry;
    if (liveness->polled_count++ == 0) /* the thread sleeps without an end while there is none */
        (void)!write(liveness->wake_fd, &one, sizeof one);
}

static struct watched *entry_find(struct divvy_liveness *liveness, const struct watched *like) {
    for (struct watched *entry = *bucket_of(liveness, like->id); entry; entry = entry->next)
        if (entry->is_keeper == like->is_keeper && entry->pid == like->pid && entry->start_ticks == like->start_ticks &&
            strcmp(entry->id, like->id) == 0)
            return entry;
    return NULL;
}

/* --- watching ---------------------------------------------------------------------------------------- */

static int watch(struct divvy_liveness *liveness, bool is_keeper, const char *id, int32_t pid, uint64_t start_ticks) {
    struct watched *entry;
    struct epoll_event event = {.events = EPOLLIN};
    uint64_t ticks = 0;
    int status;

    if (strlen(id) >= ID_BYTES)
        return -ENAMETOOLONG;
    if (pid <= 0)
        return -ESRCH;
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return -ENOMEM;
    entry->is_keeper = is_keeper;
    entry->pid = pid;
    memcpy(entry->id, id, strlen(id) + 1);
    /* First the descriptor, then the start time: whoever has the time now is whom the descriptor is about. */
    entry->pidfd = divvy_core_sys_pidfd_open(pid);
    status = entry->pidfd == -ESRCH ? -ESRCH : divvy_core_sys_start_time(pid, &ticks);
    if (status < 0 && status != -ESRCH && start_ticks) {
        ticks = start_ticks; /* cannot be checked, for want of descriptors: believed */
        status = 0;
    }
    if (status == 0 && start_ticks && ticks != start_ticks)
        status = -ESRCH;
    if (status < 0) {
        if (entry->pidfd >= 0)
            divvy_cleanup_close(&entry->pidfd);
        free(entry);
        return status;
    }
    entry->start_ticks = ticks;
    event.data.ptr = entry;
    (void)pthread_mutex_lock(&liveness->lock);
    if (entry_find(liveness, entry)) {
        (void)pthread_mutex_unlock(&liveness->lock);
        if (entry->pidfd >= 0)
            divvy_cleanup_close(&entry->pidfd);
        free(entry);
        return 0;
    }
    entry->next = *bucket_of(liveness, id);
    *bucket_of(liveness, id) = entry;
    liveness->count++;
    if (entry->pidfd < 0 || epoll_ctl(liveness->epoll_fd, EPOLL_CTL_ADD, entry->pidfd, &event) < 0)
        entry_poll(liveness, entry);
    (void)pthread_mutex_unlock(&liveness->lock);
    return 0;
}

int divvy_liveness_watch_process(struct divvy_liveness *liveness, const char *id, int32_t host_pid, uint64_t start_ticks) {
    return watch(liveness, false, id, host_pid, start_ticks);
}

int divvy_liveness_watch_keeper(struct divvy_liveness *liveness, const char *id, int32_t host_pid, uint64_t start_ticks) {
    return watch(liveness, true, id, host_pid, start_ticks);
}

void divvy_liveness_forget(struct divvy_liveness *liveness, const char *id) {
    struct watched *entry, *next;

    (void)pthread_mutex_lock(&liveness->lock);
    for (entry = *bucket_of(liveness, id); entry; entry = next) {
        next = entry->next;
        if (strcmp(entry->id, id) == 0)
            entry_drop(liveness, entry);
    }
    (void)pthread_mutex_unlock(&liveness->lock);
}

void divvy_liveness_count(struct divvy_liveness *liveness, uint32_t *ret_watched, uint32_t *ret_polled) {
    (void)pthread_mutex_lock(&liveness->lock);
    *ret_watched = liveness->count;
    *ret_polled = liveness->polled_count;
    (void)pthread_mutex_unlock(&liveness->lock);
}

/* --- the thread -------------------------------------------------------------------------------------- */

/* Tells the state that the process of an entry has ended, if it is still watched. */
static void ended_tell(struct divvy_liveness *liveness, struct watched *entry) {
    struct watched told;
    bool tell;

    (void)pthread_mutex_lock(&liveness->lock);
    tell = !entry->forgotten && !liveness->stop;
    told = *entry;
    if (tell)
        entry_drop(liveness, entry);
    (void)pthread_mutex_unlock(&liveness->lock);
    if (!tell)
        return;
    if (told.is_keeper)
        divvy_daemon_keeper_ended(liveness->daemon, told.id);
    else
        divvy_daemon_process_ended(liveness->daemon, told.id, told.pid, told.start_ticks);
}

/* One of the polled that has ended, or NULL. */
static struct watched *polled_ended(struct divvy_liveness *liveness) {
    struct watched *entry;

    (void)pthread_mutex_lock(&liveness->lock);
    for (entry = liveness->polled; entry; entry = entry->polled_next)
        if (!divvy_core_sys_is_alive(entry->pid, entry->start_ticks))
            break;
    (void)pthread_mutex_unlock(&liveness->lock);
    return entry; /* stays valid: only this thread frees */
}

static void forgotten_free(struct divvy_liveness *liveness) {
    struct watched *entry;

    (void)pthread_mutex_lock(&liveness->lock);
    entry = liveness->forgotten;
    liveness->forgotten = NULL;
    (void)pthread_mutex_unlock(&liveness->lock);
    while (entry) {
        struct watched *next = entry->next;

        free(entry);
        entry = next;
    }
}

static void *liveness_run(void *data) {
    struct divvy_liveness *liveness = data;
    struct epoll_event events[EVENTS_BATCH];
    bool stop = false;
    uint32_t polled;

    while (!stop) {
        struct watched *entry;
        int count;

        (void)pthread_mutex_lock(&liveness->lock);
        stop = liveness->stop;
        polled = liveness->polled_count;
        (void)pthread_mutex_unlock(&liveness->lock);
        if (stop)
            break;
        count = epoll_wait(liveness->epoll_fd, events, EVENTS_BATCH, polled ? POLL_MS : -1);
        for (int i = 0; i < count; i++) {
            uint64_t value;

            if (events[i].data.ptr)
                ended_tell(liveness, events[i].data.ptr);
            else
                (void)!read(liveness->wake_fd, &value, sizeof value);
        }
        while (polled && (entry = polled_ended(liveness)))
            ended_tell(liveness, entry);
        forgotten_free(liveness);
    }
    return NULL;
}

/* --- beginning and end --------------------------------------------------------------------------------- */

int divvy_liveness_new(struct divvy_daemon *daemon, struct divvy_liveness **ret_liveness, struct divvy_error *error) {
    struct divvy_liveness *liveness = calloc(1, sizeof *liveness);
    struct epoll_event event = {.events = EPOLLIN};

    if (!liveness)
        return divvy_error_set_errno(error, -ENOMEM, "cannot watch processes");
    liveness->daemon = daemon;
    (void)pthread_mutex_init(&liveness->lock, NULL);
    liveness->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    liveness->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (liveness->wake_fd < 0 || liveness->epoll_fd < 0 ||
        epoll_ctl(liveness->epoll_fd, EPOLL_CTL_ADD, liveness->wake_fd, &event) < 0) {
        int status = -errno;

        divvy_liveness_free(liveness);
        return divvy_error_set_errno(error, status, "cannot watch processes");
    }
    *ret_liveness = liveness;
    return 0;
}

int divvy_liveness_start(struct divvy_liveness *liveness, struct divvy_error *error) {
    int status = pthread_create(&liveness->thread, NULL, liveness_run, liveness);

    if (status != 0)
        return divvy_error_set_errno(error, -status, "cannot watch processes");
    (void)pthread_setname_np(liveness->thread, "liveness");
    liveness->has_thread = true;
    return 0;
}

void divvy_liveness_free(struct divvy_liveness *liveness) {
    uint64_t one = 1;

    if (!liveness)
        return;
    if (liveness->has_thread) {
        (void)pthread_mutex_lock(&liveness->lock);
        liveness->stop = true;
        (void)pthread_mutex_unlock(&liveness->lock);
        (void)!write(liveness->wake_fd, &one, sizeof one);
        (void)pthread_join(liveness->thread, NULL);
    }
    for (size_t i = 0; i < BUCKETS; i++)
        while (liveness->buckets[i])
            entry_drop(liveness, liveness->buckets[i]);
    forgotten_free(liveness);
    divvy_cleanup_close(&liveness->epoll_fd);
    divvy_cleanup_close(&liveness->wake_fd);
    (void)pthread_mutex_destroy(&liveness->lock);
    free(liveness);
}

void divvy_liveness_files_raise(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}
