/* The index of allocations by address: a treap, read under a shared lock. */
#include "simgpu/driver/memory.h"
#include "simgpu/driver/array.h"
#include "simgpu/driver/op.h"

#include <errno.h>
#include <stdlib.h>

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static divvy_drv_mem_t *root;
static uint32_t rank_state = 0x9e3779b9u;
static uint64_t last_id;

/* ---- the treap ------------------------------------------------------------------------------- */

static uint32_t next_rank(void) {
    rank_state ^= rank_state << 13;
    rank_state ^= rank_state >> 17;
    rank_state ^= rank_state << 5;
    return rank_state;
}

static void insert(divvy_drv_mem_t *mem) {
    divvy_drv_mem_t **link = &root;
    while (*link && (*link)->rank >= mem->rank)
        link = mem->address < (*link)->address ? &(*link)->left : &(*link)->right;
    /* What hung here is split by address below the newcomer. */
    divvy_drv_mem_t *rest = *link, **less = &mem->left, **more = &mem->right;
    *link = mem;
    while (rest) {
        if (rest->address < mem->address) {
            *less = rest;
            less = &rest->right;
            rest = rest->right;
        } else {
            *more = rest;
            more = &rest->left;
            rest = rest->left;
        }
    }
    *less = *more = NULL;
}

static void detach(divvy_drv_mem_t **link) {
    divvy_drv_mem_t *a = (*link)->left, *b = (*link)->right;
    while (a && b) {
        if (a->rank >= b->rank) {
            *link = a;
            link = &a->right;
            a = a->right;
        } else {
            *link = b;
            link = &b->left;
            b = b->left;
        }
    }
    *link = a ? a : b;
}

static divvy_drv_mem_t **locate(uint64_t address) {
    divvy_drv_mem_t **link = &root;
    while (*link && (*link)->address != address)
        link = address < (*link)->address ? &(*link)->left : &(*link)->right;
    return link;
}

/* The last one that starts at or before ADDRESS. */
static divvy_drv_mem_t *floor_of(uint64_t address) {
    divvy_drv_mem_t *best = NULL;
    for (divvy_drv_mem_t *m = root; m;)
        if (m->address <= address) {
            best = m;
            m = m->right;
        } else {
            m = m->left;
        }
    return best;
}

static divvy_drv_mem_t *containing(uint64_t address) {
    divvy_drv_mem_t *mem = floor_of(address);
    return mem && address - mem->address < mem->bytes ? mem : NULL;
}

/* ---- the index ------------------------------------------------------------------------------- */

int divvy_drv_mem_enter(const divvy_drv_mem_t *mem) {
    divvy_drv_mem_t *copy = malloc(sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *copy = *mem;
    pthread_rwlock_wrlock(&lock);
    copy->rank = next_rank();
    copy->id = ++last_id;
    copy->left = copy->right = NULL;
    insert(copy);
    pthread_rwlock_unlock(&lock);
    return 0;
}

bool divvy_drv_mem_find(uint64_t address, divvy_drv_mem_t *ret_mem) {
    pthread_rwlock_rdlock(&lock);
    divvy_drv_mem_t *mem = containing(address);
    if (mem)
        *ret_mem = *mem;
    pthread_rwlock_unlock(&lock);
    return mem != NULL;
}

bool divvy_drv_mem_take(uint64_t address, unsigned kinds, divvy_drv_mem_t *ret_mem) {
    pthread_rwlock_wrlock(&lock);
    divvy_drv_mem_t **link = locate(address), *mem = *link;
    if (mem && !(mem->kind & kinds))
        mem = NULL;
    if (mem)
        detach(link);
    pthread_rwlock_unlock(&lock);
    if (!mem)
        return false;
    *ret_mem = *mem;
    free(mem);
    return true;
}

bool divvy_drv_mem_is_host(uint64_t address, uint64_t bytes) {
    pthread_rwlock_rdlock(&lock);
    divvy_drv_mem_t *mem = containing(address);
    bool inside =
        mem && (mem->kind & DRV_MEM_ON_HOST) && bytes <= mem->bytes - (address - mem->address);
    pthread_rwlock_unlock(&lock);
    return inside;
}

bool divvy_drv_mem_overlaps(uint64_t address, uint64_t bytes) {
    if (!bytes)
        return false;
    pthread_rwlock_rdlock(&lock);
    divvy_drv_mem_t *mem = floor_of(address + bytes - 1);
    bool overlaps = mem && mem->address + mem->bytes > address;
    pthread_rwlock_unlock(&lock);
    return overlaps;
}

bool divvy_drv_mem_set_sync(uint64_t address, bool sync) {
    pthread_rwlock_wrlock(&lock);
    divvy_drv_mem_t *mem = containing(address);
    if (mem)
        mem->sync_memops = sync;
    pthread_rwlock_unlock(&lock);
    return mem != NULL;
}

bool divvy_drv_mem_set_access(uint64_t address, uint32_t touched, uint32_t readers,
                              uint32_t writers, divvy_drv_mem_t *ret_mem) {
    pthread_rwlock_wrlock(&lock);
    divvy_drv_mem_t *mem = containing(address);
    if (mem && mem->kind != DRV_MEM_MAPPED)
        mem = NULL;
    if (mem) {
        mem->readers = (mem->readers & ~touched) | readers;
        mem->writers = (mem->writers & ~touched) | writers;
        *ret_mem = *mem;
    }
    pthread_rwlock_unlock(&lock);
    return mem != NULL;
}

bool divvy_drv_mem_usable(uint64_t address, uint64_t bytes, bool write) {
    return divvy_simgpu_mem_valid(address, bytes, write) || divvy_drv_mem_is_host(address, bytes);
}

/* ---- the end of a context -------------------------------------------------------------------- */

static divvy_drv_mem_t *owned(divvy_drv_mem_t *mem, const divvy_drv_context_t *context) {
    while (mem) {
        if (mem->context == context)
            return mem;
        divvy_drv_mem_t *found = owned(mem->left, context);
        if (found)
            return found;
        mem = mem->right;
    }
    return NULL;
}

static void give_back(const divvy_drv_mem_t *mem) {
    switch (mem->kind) {
    case DRV_MEM_IPC:
        divvy_simgpu_ipc_close(mem->address);
        break;
    case DRV_MEM_HOST:
        divvy_drv_host_release(mem);
        break;
    case DRV_MEM_ARRAY:
        divvy_drv_array_gone(mem);
        break;
    case DRV_MEM_REGISTERED:
        break;
    default:
        divvy_simgpu_mem_free(mem->address);
    }
}

void divvy_drv_mem_free_all(divvy_drv_context_t *context) {
    for (;;) {
        pthread_rwlock_wrlock(&lock);
        /* detach took the one freed before out of the tree, which the analyser does not see */
        divvy_drv_mem_t *mem = owned(root, context); /* NOLINT(clang-analyzer-unix.Malloc) */
        if (mem)
            detach(locate(mem->address));
        pthread_rwlock_unlock(&lock);
        if (!mem)
            return;
        give_back(mem);
        free(mem);
    }
}

/* ---- memory in use by running actions -------------------------------------------------------- */

enum { ACTIONS = 256 }; /* more than the engine has threads; beyond that an action waits */

static pthread_mutex_t action_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t action_cond = PTHREAD_COND_INITIALIZER;
static uint64_t action_tickets[ACTIONS]; /* 0: free */
static uint64_t action_last;

uint64_t divvy_drv_action_begin(void) {
    pthread_mutex_lock(&action_lock);
    for (;;) {
        for (size_t i = 0; i < ACTIONS; i++)
            if (!action_tickets[i]) {
                uint64_t ticket = ++action_last;
                action_tickets[i] = ticket;
                pthread_mutex_unlock(&action_lock);
                return ticket;
            }
        pthread_cond_wait(&action_cond, &action_lock);
    }
}

void divvy_drv_action_end(uint64_t ticket) {
    pthread_mutex_lock(&action_lock);
    for (size_t i = 0; i < ACTIONS; i++)
        if (action_tickets[i] == ticket)
            action_tickets[i] = 0;
    pthread_cond_broadcast(&action_cond);
    pthread_mutex_unlock(&action_lock);
}

void divvy_drv_action_barrier(void) {
    pthread_mutex_lock(&action_lock);
    uint64_t last = action_last;
    for (size_t i = 0; i < ACTIONS; i++)
        while (action_tickets[i] && action_tickets[i] <= last)
            pthread_cond_wait(&action_cond, &action_lock);
    pthread_mutex_unlock(&action_lock);
}

bool divvy_drv_action_none(void) {
    bool none = true;
    pthread_mutex_lock(&action_lock);
    for (size_t i = 0; i < ACTIONS; i++)
        none = none && !action_tickets[i];
    pthread_mutex_unlock(&action_lock);
    return none;
}

CUresult divvy_drv_mem_quiesce(int device) {
    DRV_TRY(divvy_drv_context_wait_all(device));
    divvy_drv_action_barrier();
    return CUDA_SUCCESS;
}
