/* User objects: resources of the program whose life a graph prolongs. */
#include "simgpu/driver/graph.h"
#include "simgpu/driver/handle.h"

#include <stdlib.h>

typedef struct {
    CUuserObject handle;
    _Atomic unsigned refs;
    CUhostFn destroy;
    void *argument;
} user_object_t;

/* How many references a graph holds of one object. */
struct divvy_drv_user {
    user_object_t *object;
    unsigned count;
    divvy_drv_user_t *next;
};

/* The destructor runs where the last reference goes; the program promised that it needs no CUDA
 * calls. */
static void release(user_object_t *object, unsigned count) {
    if (atomic_fetch_sub(&object->refs, count) != count)
        return;
    divvy_drv_handle_end(object->handle, DRV_HANDLE_USER_OBJECT);
    object->destroy(object->argument);
    free(object);
}

void divvy_drv_users_release(divvy_drv_user_t *users) {
    while (users) {
        divvy_drv_user_t *next = users->next;
        release(users->object, users->count);
        free(users);
        users = next;
    }
}

CUresult divvy_drv_users_clone(const divvy_drv_user_t *users, divvy_drv_user_t **ret_users) {
    for (; users; users = users->next) {
        divvy_drv_user_t *copy = malloc(sizeof(*copy));
        if (!copy)
            return CUDA_ERROR_OUT_OF_MEMORY; /* what was cloned so far goes with the clone */
        atomic_fetch_add(&users->object->refs, users->count);
        *copy = (divvy_drv_user_t){users->object, users->count, *ret_users};
        *ret_users = copy;
    }
    return CUDA_SUCCESS;
}

static CUresult find(CUuserObject handle, user_object_t **ret_object) {
    user_object_t *object = divvy_drv_handle_get(handle, DRV_HANDLE_USER_OBJECT);
    if (!object)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_object = object;
    return CUDA_SUCCESS;
}

CUresult DRV(cuUserObjectCreate)(CUuserObject *object_out, void *ptr, CUhostFn destroy,
                                 unsigned int initialRefcount, unsigned int flags) {
    if (!object_out || !destroy || !initialRefcount || flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC)
        return CUDA_ERROR_INVALID_VALUE;
    user_object_t *object = malloc(sizeof(*object));
    if (!object)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *object = (user_object_t){.destroy = destroy, .argument = ptr};
    atomic_init(&object->refs, initialRefcount);
    object->handle = divvy_drv_handle_new(DRV_HANDLE_USER_OBJECT, object);
    if (!object->handle) {
        free(object);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *object_out = object->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuUserObjectRetain)(CUuserObject object, unsigned int count) {
    user_object_t *found;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(object, &found));
    atomic_fetch_add(&found->refs, count);
    return CUDA_SUCCESS;
}

CUresult DRV(cuUserObjectRelease)(CUuserObject object, unsigned int count) {
    user_object_t *found;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(find(object, &found));
    if (count > atomic_load(&found->refs))
        return CUDA_ERROR_INVALID_VALUE;
    release(found, count);
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphRetainUserObject)(CUgraph graph, CUuserObject object, unsigned int count,
                                      unsigned int flags) {
    divvy_drv_graph_t *holder;
    user_object_t *found;
    if (!count || (flags & ~(unsigned)CU_GRAPH_USER_OBJECT_MOVE))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_find(graph, &holder));
    DRV_TRY(find(object, &found));
    divvy_drv_user_t *user = malloc(sizeof(*user));
    if (!user)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (!(flags & CU_GRAPH_USER_OBJECT_MOVE))
        atomic_fetch_add(&found->refs, count);
    *user = (divvy_drv_user_t){found, count, holder->users};
    holder->users = user;
    return CUDA_SUCCESS;
}

CUresult DRV(cuGraphReleaseUserObject)(CUgraph graph, CUuserObject object, unsigned int count) {
    divvy_drv_graph_t *holder;
    user_object_t *found;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_graph_find(graph, &holder));
    DRV_TRY(find(object, &found));
    unsigned left = count, held = 0;
    for (divvy_drv_user_t *u = holder->users; u; u = u->next)
        held += u->object == found ? u->count : 0;
    if (held < count)
        return CUDA_ERROR_INVALID_VALUE;
    for (divvy_drv_user_t **link = &holder->users; left;) {
        divvy_drv_user_t *u = *link;
        if (u->object != found) {
            link = &u->next;
            continue;
        }
        unsigned part = u->count < left ? u->count : left;
        u->count -= part;
        left -= part;
        if (!u->count) {
            *link = u->next;
            free(u);
        }
    }
    release(found, count);
    return CUDA_SUCCESS;
}
