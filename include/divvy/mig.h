/*
 * MIG: the slices into which the hardware divides a GPU. Finding them through NVML, naming what one wants, and
 * reserving a slice against every other program of the machine by lock files. Link with -ldivvy_mig.
 *
 * The functions return 0 or a negative errno unless said otherwise; then `error`, where it is not NULL, has one
 * line for a person, and other out-parameters are untouched. They block for as long as the driver does, start no
 * process (but divvy_mig_keep does), and start no thread unless DIVVY_MIG_HEARTBEAT_THREAD asks for one.
 *
 * Threads: a struct divvy_mig and a reservation belong to one thread at a time; everything else may be used by
 * all at once. Fork: a child may use neither; a child that does not exec keeps a reservation's lock alive for as
 * long as it lives, which is the point where the child is the one that uses the slice.
 *
 * Structures that the library hands out may grow at their end; those that are handed in begin with their size.
 */
#ifndef DIVVY_MIG_H
#define DIVVY_MIG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DIVVY_MIG_API __attribute__((visibility("default")))

#define DIVVY_MIG_UUID_BYTES    96
#define DIVVY_MIG_NAME_BYTES    96
#define DIVVY_MIG_PROFILE_BYTES 32
#define DIVVY_MIG_ERROR_BYTES   508
#define DIVVY_MIG_UNKNOWN       UINT32_MAX
#define DIVVY_MIG_UNKNOWN_BYTES UINT64_MAX

#define DIVVY_MIG_LOCK_DIR      "/var/run/hypercore/mig"
#define DIVVY_MIG_TTL_NS        INT64_C(300000000000) /* 5 minutes */
#define DIVVY_MIG_WAIT_FOREVER  INT64_C(-1)

struct divvy_mig_error {
    int32_t status;                   /* negative errno, 0 none */
    char text[DIVVY_MIG_ERROR_BYTES]; /* one line, lower case, no full stop */
};

/* --- what there is --------------------------------------------------------------------------------------- */

/* NVML, loaded and begun. */
struct divvy_mig;

/* A whole GPU, or a MIG instance of one. */
struct divvy_mig_device {
    uint32_t gpu_index;         /* NVML's index of the GPU, or of the one that the instance is part of */
    uint32_t is_mig;            /* 1: an instance; 0: a whole GPU */
    uint32_t mig_index;         /* the instance's slot on its GPU; UNKNOWN for a whole GPU */
    uint32_t gpu_instance;      /* ids; UNKNOWN where NVML did not tell */
    uint32_t compute_instance;
    uint32_t gpu_slices;        /* how many slices of the GPU; 0 unknown or a whole GPU */
    uint32_t compute_slices;
    uint32_t mig_mode;          /* of the GPU: 1 MIG is on, 0 it is off or unknown to it */
    uint32_t mig_mode_pending;  /* what the mode is after the next reset */
    uint32_t utilisation_percent; /* with DIVVY_MIG_LIST_USAGE, else UNKNOWN; drivers know it of whole GPUs only */
    uint64_t memory_bytes;      /* 0 unknown. Less than the name of the profile says */
    uint64_t memory_used_bytes; /* UNKNOWN_BYTES */
    char uuid[DIVVY_MIG_UUID_BYTES];        /* as NVML writes it: GPU-…, MIG-…, or MIG-GPU-…/GI/CI */
    char parent_uuid[DIVVY_MIG_UUID_BYTES]; /* of the GPU */
    char name[DIVVY_MIG_NAME_BYTES];        /* "NVIDIA H200 MIG 1g.18gb"; empty unknown */
    char profile[DIVVY_MIG_PROFILE_BYTES];  /* "1g.18gb" from the name; "~16384 MB" where the name does not tell */
};

/* Devices in the order of GPUs, each before its instances, which are in the order of their slots. */
struct divvy_mig_list;

#define DIVVY_MIG_LIST_USAGE 1u /* utilisation too */

/*
 * Loads `library`, a path or a name for the loader (NULL: libnvidia-ml.so.1), and begins NVML. -ENOENT: there is no
 * such library; -ENODEV: it found no driver; -EIO: it is broken. All three mean that the machine has
 * no MIG. To be closed by divvy_mig_close.
 */
DIVVY_MIG_API int divvy_mig_open(const char *library, struct divvy_mig **ret_mig, struct divvy_mig_error *error);

/* Ends NVML; the library stays loaded. To be done before a program is started that uses the GPU. NULL is fine. */
DIVVY_MIG_API void divvy_mig_close(struct divvy_mig *mig);

/*
 * Lists all GPUs and instances as they are now. One that cannot be read is left out and counted
 * (divvy_mig_list_faults), a hole in the slots is nothing. -EIO when not even the number of GPUs can be had, -ENOMEM.
 * To be freed by divvy_mig_list_free. `flags`: DIVVY_MIG_LIST_USAGE or 0.
 */
DIVVY_MIG_API int divvy_mig_list(struct divvy_mig *mig, uint32_t flags, struct divvy_mig_list **ret_list,
                                 struct divvy_mig_error *error);

/* The same with open and close around it, for programs that ask once. */
DIVVY_MIG_API int divvy_mig_list_all(const char *library, uint32_t flags, struct divvy_mig_list **ret_list,
                                     struct divvy_mig_error *error);

/* NULL is fine. */
DIVVY_MIG_API void divvy_mig_list_free(struct divvy_mig_list *list);

/* How many devices the list has. */
DIVVY_MIG_API uint32_t divvy_mig_list_count(const struct divvy_mig_list *list);

/* Device `place`, the list's; NULL beyond its end. */
DIVVY_MIG_API const struct divvy_mig_device *divvy_mig_list_at(const struct divvy_mig_list *list, uint32_t place);

/*
 * How many GPUs, slots and readings failed, and one line that names the first of them (the list's; "" when none did).
 */
DIVVY_MIG_API uint32_t divvy_mig_list_faults(const struct divvy_mig_list *list, const char **ret_first);

/* 1 when a GPU of the list has MIG switched on, else 0. */
DIVVY_MIG_API int divvy_mig_list_has_mig(const struct divvy_mig_list *list);

/*
 * The device that the first element of a value of CUDA_VISIBLE_DEVICES names: an index, or a UUID of either kind, or
 * as many of its first characters as tell it apart. An index counts as CUDA does: a GPU that is divided stands for its
 * first instance. NULL when it names none. The list's.
 */
DIVVY_MIG_API const struct divvy_mig_device *divvy_mig_list_resolve(const struct divvy_mig_list *list,
                                                                    const char *visible);

/*
 * The profile of a device from the end of its name ("… MIG 3g.40gb" is "3g.40gb"), or, where the name tells none (or is
 * NULL), a label of its size: "~16384 MB".
 */
DIVVY_MIG_API void divvy_mig_profile_guess(const char *name, uint64_t memory_bytes,
                                           char ret_profile[DIVVY_MIG_PROFILE_BYTES]);

/* --- what is wanted ---------------------------------------------------------------------------------------- */

/*
 * A profile as people write it: [Cc.]Ng.Mgb[+me|+gfx|+me.all|-me], or custom.MEBIBYTES. Case and blanks around it do
 * not matter.
 */
struct divvy_mig_profile {
    uint32_t is_custom;       /* by size: custom_mib is set, and nothing else */
    uint32_t compute_slices;  /* C; 0 not given */
    uint32_t gpu_slices;      /* N */
    uint32_t gigabytes;       /* M, of the name: the real size is up to 15 % less */
    uint64_t custom_mib;      /* at least; 0: any */
    char attribute[8];        /* "+me", …; empty none */
    char text[DIVVY_MIG_PROFILE_BYTES]; /* as it is written in names */
};

/* -EINVAL: `text` is no profile; the error repeats it. Pure. */
DIVVY_MIG_API int divvy_mig_profile_parse(const char *text, struct divvy_mig_profile *ret_profile,
                                          struct divvy_mig_error *error);

/*
 * The same for a wish of a person on this machine: the error lists the profiles that there are. `mig` NULL: it does not.
 */
DIVVY_MIG_API int divvy_mig_profile_read(struct divvy_mig *mig, const char *text, struct divvy_mig_profile *ret_profile,
                                         struct divvy_mig_error *error);

/* How well a device fits. */
#define DIVVY_MIG_NO_MATCH           0
#define DIVVY_MIG_MATCH_BY_NAME      1
#define DIVVY_MIG_MATCH_BY_SLICES    2 /* the name is not known: slices and size */
#define DIVVY_MIG_MATCH_BY_SIZE      3 /* neither name nor slices are known; worth a line in the log */

/*
 * Whether an instance is what is wanted, and how that is known; whole GPUs never are. A named profile takes the device
 * of that name and no other, custom.N any instance of that size or more. Pure.
 */
DIVVY_MIG_API int divvy_mig_profile_matches(const struct divvy_mig_profile *profile,
                                            const struct divvy_mig_device *device);

/* A profile that a GPU offers. */
struct divvy_mig_offer {
    uint32_t gpu_index;
    uint32_t profile_id;  /* NVML's, for creation */
    uint32_t gpu_slices;
    uint32_t instances;   /* that exist */
    uint32_t reserved;    /* of them */
    uint32_t creatable;   /* that could be created now; UNKNOWN */
    uint32_t instances_max; /* on an empty GPU */
    uint32_t mig_mode;
    uint64_t memory_mib;  /* of one */
    char profile[DIVVY_MIG_PROFILE_BYTES];
};

/*
 * The profiles that GPUs offer, with what exists and is reserved of each (by the lock files of lock_dir, NULL:
 * DIVVY_MIG_LOCK_DIR); instances whose profile their GPU does not list are told too. *ret_offers is malloc'd, to be freed
 * by divvy_mig_offers_free.
 */
DIVVY_MIG_API int divvy_mig_offers(struct divvy_mig *mig, const char *lock_dir, struct divvy_mig_offer **ret_offers,
                                   uint32_t *ret_count, struct divvy_mig_error *error);
/* NULL is fine. */
DIVVY_MIG_API void divvy_mig_offers_free(struct divvy_mig_offer *offers);

/* --- reservations ------------------------------------------------------------------------------------------ */

/*
 * A duration: one or more numbers with a unit, "90s", "1h30m", "1.5h"; units ns, us, ms, s, m, h. -EINVAL malformed,
 * zero or negative, -ERANGE more than 292 years. Pure.
 */
DIVVY_MIG_API int divvy_mig_ttl_parse(const char *text, int64_t *ret_ns);

/*
 * A size of memory: digits and a unit, b, kb, kib, mb, mib, gb, gib, tb or tib in any case, all of them powers of 1024:
 * "3GiB" and "3gb" are 3221225472. -EINVAL: anything else, no unit, blanks, fractions; -ERANGE beyond 64 bits. Pure.
 */
DIVVY_MIG_API int divvy_mig_size_parse(const char *text, uint64_t *ret_bytes);

#define DIVVY_MIG_CREATE           1u /* where none is free, create one and destroy it at the release */
#define DIVVY_MIG_BIGGER           2u /* where none of the wanted profile is free, take a bigger one */
#define DIVVY_MIG_HEARTBEAT_THREAD 4u /* a thread of the library keeps the heartbeat */

/* Levels of the log function. */
#define DIVVY_MIG_LOG_ERROR 1
#define DIVVY_MIG_LOG_WARN  2
#define DIVVY_MIG_LOG_INFO  3
#define DIVVY_MIG_LOG_DEBUG 4

struct divvy_mig_options {
    uint32_t size_bytes; /* sizeof(struct divvy_mig_options) */
    uint32_t flags;
    int64_t ttl_ns;       /* 0: DIVVY_MIG_TTL_NS. After it, locks that say nothing of their holder may be taken */
    int64_t wait_ns;      /* for one to become free: 0 not at all, DIVVY_MIG_WAIT_FOREVER */
    int32_t cancel_fd;    /* ends the wait when it can be read (-ECANCELED); -1 none */
    int32_t holder_pid;   /* 0: this process. Else see divvy_mig_reserve_for */
    const char *lock_dir; /* NULL: DIVVY_MIG_LOCK_DIR */
    const char *uuid;     /* only this instance; NULL any that fits */
    const char *gpu_uuid; /* only instances of this GPU; NULL any */
    /* What the library has to say: one line each. NULL: nothing. Also called by the heartbeat's thread. */
    void (*log)(void *log_data, int level, const char *line);
    void *log_data;
};

/* What everybody begins with. */
#define DIVVY_MIG_OPTIONS_INIT {sizeof(struct divvy_mig_options), 0, 0, 0, -1, 0, 0, 0, 0, 0, 0}

/*
 * Sets what the environment says: the TTL from HC_MIG_TTL and the folder of the locks from HC_MIG_LOCK_DIR, which is borrowed.
 * A TTL that is none is told to options->log, which is to be set before, as a warning, and is 5 minutes.
 */
DIVVY_MIG_API void divvy_mig_options_read_environment(struct divvy_mig_options *options);

/* A slice that is this process's until divvy_mig_release, or the end of the process. */
struct divvy_mig_reservation;

/*
 * Reserves an instance that fits `profile`: the smallest first, then by GPU and slot; all that fit are tried before
 * anything is said to be taken. Devices are listed anew for it. The lock is the kernel's: it ends with the process (and
 * with those that inherited divvy_mig_reservation_fd), however that ends.
 *
 * -EINVAL: the options make no sense. -ENXIO: no instance fits, taken or not; the error lists the profiles present.
 * -EBUSY: all that fit are taken; the error names a holder. -ETIMEDOUT: still so after wait_ns. -ECANCELED. -ENODEV: no GPU
 * has MIG switched on. -EIO: NVML fails. Anything else (-EACCES, -EROFS, -ENOSPC, -ENOTDIR, -ELOOP, …): the folder of the
 * locks cannot be used; the error names it and the remedy. With DIVVY_MIG_CREATE, why none could be created is told with
 * -ENXIO and -EBUSY.
 *
 * `mig` may be closed afterwards, and should be before a program is started. To be released by divvy_mig_release.
 */
DIVVY_MIG_API int divvy_mig_reserve(struct divvy_mig *mig, const struct divvy_mig_profile *profile,
                                    const struct divvy_mig_options *options,
                                    struct divvy_mig_reservation **ret_reservation, struct divvy_mig_error *error);

/* The same with the profile read, NVML opened and closed: for programs that reserve once. */
DIVVY_MIG_API int divvy_mig_reserve_by_profile(const char *profile, const struct divvy_mig_options *options,
                                               struct divvy_mig_reservation **ret_reservation,
                                               struct divvy_mig_error *error);

/*
 * Reserves for another process, options->holder_pid, which must be of this pid namespace: writes a lock that names it, and
 * keeps nothing. It lasts while that process lives, or until divvy_mig_release_for. DIVVY_MIG_CREATE and
 * DIVVY_MIG_HEARTBEAT_THREAD cannot be had. -ESRCH: no such process.
 */
DIVVY_MIG_API int divvy_mig_reserve_for(struct divvy_mig *mig, const struct divvy_mig_profile *profile,
                                        const struct divvy_mig_options *options, struct divvy_mig_device *ret_device,
                                        struct divvy_mig_error *error);

/*
 * Ends a reservation of divvy_mig_reserve_for: the lock must name that process. -ENOENT: it is not reserved; -EPERM: by
 * somebody else, who stays in possession; -EBUSY: by a process that holds it itself.
 */
DIVVY_MIG_API int divvy_mig_release_for(const char *lock_dir, const char *uuid, int32_t holder_pid,
                                        struct divvy_mig_error *error);

/* The device; the reservation's. */
DIVVY_MIG_API const struct divvy_mig_device *divvy_mig_reservation_device(const struct divvy_mig_reservation *reservation);

/* How the device was found to fit: DIVVY_MIG_MATCH_…; NO_MATCH is a bigger one. */
DIVVY_MIG_API int divvy_mig_reservation_match(const struct divvy_mig_reservation *reservation);

/* 1 when it was created for this reservation, else 0. */
DIVVY_MIG_API int divvy_mig_reservation_is_created(const struct divvy_mig_reservation *reservation);

/*
 * The descriptor that holds the lock (close-on-exec), the reservation's. A child that gets a duplicate of it keeps the slice
 * after the death of its parent.
 */
DIVVY_MIG_API int divvy_mig_reservation_fd(const struct divvy_mig_reservation *reservation);

/* Path of the lock file; the reservation's. */
DIVVY_MIG_API const char *divvy_mig_reservation_path(const struct divvy_mig_reservation *reservation);

/*
 * Sets the time of the lock file: the sign of life for programs that do not look at the kernel's lock. To be called
 * at least every divvy_mig_heartbeat_interval_ns by whoever holds the reservation, unless a thread does it. -ESTALE:
 * the lock file was removed or replaced by somebody: worth a loud line; the lock is not made anew. Does not block.
 */
DIVVY_MIG_API int divvy_mig_heartbeat(struct divvy_mig_reservation *reservation, struct divvy_mig_error *error);

/*
 * For a process that is about to become a program by exec, and lets it inherit a duplicate of divvy_mig_reservation_fd or that
 * descriptor itself: starts a process (no child of this one, with nothing open of its caller's) that keeps the heartbeat for as long
 * as the program, or anything that it gave the descriptor to, lives, then removes the lock file and destroys what was created.
 * The reservation is the keeper's from then on; where the exec fails, divvy_mig_release gives it back at once. Needs Linux 5.3
 * (-ENOSYS).
 */
DIVVY_MIG_API int divvy_mig_keep(struct divvy_mig_reservation *reservation, struct divvy_mig_error *error);

/* A third of the TTL. */
DIVVY_MIG_API int64_t divvy_mig_heartbeat_interval_ns(const struct divvy_mig_reservation *reservation);

/*
 * Gives the slice back and frees the reservation, whatever is returned; an instance that was created for it is destroyed
 * (NVML is opened for that). Only the owner's lock is removed: -ESTALE when the lock file is not ours any more; then it is
 * left alone. In a child of the process that reserved: -EPERM, nothing is given back but memory and the child's
 * descriptor. NULL is fine.
 */
DIVVY_MIG_API int divvy_mig_release(struct divvy_mig_reservation *reservation, struct divvy_mig_error *error);

/* Who has a device. */
#define DIVVY_MIG_FREE    0
#define DIVVY_MIG_HELD    1 /* a living process has the kernel's lock */
#define DIVVY_MIG_NAMED   2 /* the lock names a living process, which does not have the kernel's lock */
#define DIVVY_MIG_UNSURE  3 /* the lock says nothing that can be read and is younger than the TTL */
#define DIVVY_MIG_DEAD    4 /* a lock was left behind: whoever comes next takes it */

struct divvy_mig_holder {
    uint32_t state;
    int32_t pid;                /* as the holder's pid namespace counts; 0 unknown */
    uint32_t uid;               /* owner of the lock file */
    uint32_t reserved;
    int64_t since_s;            /* seconds since 1970: the lock's ts; 0 unknown */
    int64_t heartbeat_age_ns;   /* since the lock file's time was last set */
};

/*
 * Who has the device of this UUID, by the lock files of lock_dir (NULL: DIVVY_MIG_LOCK_DIR); ttl_ns 0: DIVVY_MIG_TTL_NS.
 * FREE also when there is no such folder. Changes nothing. Errors are those of the file system.
 */
DIVVY_MIG_API int divvy_mig_holder(const char *lock_dir, const char *uuid, int64_t ttl_ns,
                                   struct divvy_mig_holder *ret_holder, struct divvy_mig_error *error);

/* 1 for the states in which nobody else may use the device (HELD, NAMED, UNSURE), else 0. */
DIVVY_MIG_API int divvy_mig_holder_is_taken(const struct divvy_mig_holder *holder);

/* "free", "held", "named", "unsure", "dead". */
DIVVY_MIG_API const char *divvy_mig_holder_state_name(uint32_t state);

/*
 * 1 when `status`, of divvy_mig_open, divvy_mig_list or a reservation that failed, says that reservations cannot work here at
 * all (no NVML, no MIG, locks unusable), 0 when another profile or another time may be luckier (-EINVAL, -ENXIO, -EBUSY,
 * -ETIMEDOUT, -ECANCELED, -ESRCH, -ENOMEM) and for 0.
 */
DIVVY_MIG_API int divvy_mig_is_unusable(int status);

/*
 * Destroys instances that DIVVY_MIG_CREATE made and whose makers died: how many, or a negative errno. Reservations
 * with DIVVY_MIG_CREATE do it first.
 */
DIVVY_MIG_API int divvy_mig_reap(struct divvy_mig *mig, const char *lock_dir, struct divvy_mig_error *error);

#ifdef __cplusplus
}
#endif

#endif
