/* Several processes on one device: they share its memory, a dead one leaves nothing, and handles
 * cross over. */
#include "check.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *self;

/* Starts this program again as ROLE; its stdin and stdout are a socket to us. */
static pid_t start(const char *role, int *ret_fd) {
    int pair[2];
    TRUE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    pid_t pid = fork();
    if (!pid) {
        dup2(pair[1], 0);
        dup2(pair[1], 1);
        execl(self, self, role, (char *)NULL);
        _exit(99);
    }
    close(pair[1]);
    *ret_fd = pair[0];
    return pid;
}

static void put(int fd, const void *data, size_t bytes) {
    TRUE(write(fd, data, bytes) == (ssize_t)bytes);
}

static void get(int fd, void *data, size_t bytes) {
    char *to = data;
    while (bytes) {
        ssize_t got = read(fd, to, bytes);
        if (got <= 0)
            FAIL("the other process is gone");
        to += got;
        bytes -= (size_t)got;
    }
}

static void put_fd(int socket, int fd) {
    char byte = 'f', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
    TRUE(sendmsg(socket, &message, 0) == 1);
}

static int get_fd(int socket) {
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd;
    TRUE(recvmsg(socket, &message, 0) == 1);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return fd;
}

static void ended(pid_t pid) {
    int status;
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        FAIL("the other process failed: status %x", status);
}

/* ---- memory is one pool ---------------------------------------------------------------------- */

/* Takes all but 1 GiB, says so, and waits. */
static int hog(void) {
    char byte;
    begin();
    CUdeviceptr p;
    OK(cuMemAlloc_v2(&p, free_bytes() - (1ul << 30)));
    put(1, "x", 1);
    get(0, &byte, 1);
    return 0;
}

static void one_pool(void) {
    int fd;
    char byte;
    CUdeviceptr p;
    size_t before = free_bytes();
    pid_t pid = start("hog", &fd);
    get(fd, &byte, 1);
    TRUE(free_bytes() == 1ul << 30);
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc_v2(&p, 2ul << 30));
    OK(cuMemAlloc_v2(&p, 1ul << 29));
    OK(cuMemFree_v2(p));
    put(fd, "x", 1);
    ended(pid);
    close(fd);
    TRUE(free_bytes() == before);
    pid = start("hog", &fd);
    get(fd, &byte, 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    TRUE(free_bytes() == before); /* a killed one leaves nothing */
    OK(cuMemAlloc_v2(&p, before - (1 << 20)));
    OK(cuMemFree_v2(p));
}

/* ---- handles --------------------------------------------------------------------------------- */

typedef struct {
    CUipcMemHandle memory;
    CUipcEventHandle event;
} offer_t;

/* Opens what it is offered, waits for the event, adds one, answers. */
static int guest(void) {
    offer_t offer;
    CUdeviceptr p, again;
    CUevent event;
    fixture_t f = begin();
    size_t before = free_bytes();
    get(0, &offer, sizeof(offer));
    OK(cuIpcOpenMemHandle_v2(&p, offer.memory, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    OK(cuIpcOpenMemHandle_v2(&again, offer.memory, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    TRUE(again == p);
    OK(cuIpcCloseMemHandle(again));
    TRUE(free_bytes() == before); /* the exporter pays */
    OK(cuIpcOpenEventHandle(&event, offer.event));
    OK(cuStreamWaitEvent(NULL, event, 0));
    OK(add1(&f, p, 64, NULL));
    EQUAL(word_at(p, 0), 6);
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(p));
    OK(cuIpcCloseMemHandle(p));
    IS(CUDA_ERROR_INVALID_VALUE, cuIpcCloseMemHandle(p));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH_v2(&before, p, 4));
    OK(cuEventDestroy_v2(event));
    memset(&offer, 0x5a, sizeof(offer));
    IS(CUDA_ERROR_INVALID_HANDLE, cuIpcOpenEventHandle(&event, offer.event));
    TRUE(cuIpcOpenMemHandle_v2(&p, offer.memory, 1) != CUDA_SUCCESS);
    put(1, "x", 1);
    return 0;
}

static void ipc(const fixture_t *f) {
    int fd;
    char byte;
    offer_t offer;
    CUevent event;
    pid_t pid = start("guest", &fd);
    CUdeviceptr p = words(64, 5);
    OK(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
    OK(wait_for(f, 50000000, NULL));
    OK(cuEventRecord(event, NULL));
    OK(cuIpcGetMemHandle(&offer.memory, p));
    OK(cuIpcGetEventHandle(&offer.event, event));
    put(fd, &offer, sizeof(offer));
    get(fd, &byte, 1);
    ended(pid);
    close(fd);
    EQUAL(word_at(p, 63), 6);
    CUdeviceptr own;
    IS(CUDA_ERROR_INVALID_CONTEXT,
       cuIpcOpenMemHandle_v2(&own, offer.memory, 1)); /* not in its own process */
    OK(cuMemFree_v2(p));
    OK(cuEventDestroy_v2(event));
}

/* Descriptors: physical memory and a pool with one of its pointers. */
static int fd_guest(void) {
    enum { PAGE = 2 << 20 };
    CUmemGenericAllocationHandle handle;
    CUmemAccessDesc write = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemPoolPtrExportData data;
    CUmemoryPool pool;
    CUdeviceptr p, q;
    fixture_t f = begin();
    int fd = get_fd(0), pool_fd = get_fd(0);
    get(0, &data, sizeof(data));
    size_t before = free_bytes();
    OK(cuMemImportFromShareableHandle(&handle, (void *)(size_t)fd,
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    OK(cuMemAddressReserve(&p, PAGE, 0, 0, 0));
    OK(cuMemMap(p, PAGE, 0, handle, 0));
    OK(cuMemRelease(handle));
    OK(cuMemSetAccess(p, PAGE, &write, 1));
    OK(add1(&f, p, 64, NULL));
    OK(cuMemPoolImportFromShareableHandle(&pool, (void *)(size_t)pool_fd,
                                          CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    OK(cuMemPoolImportPointer(&q, pool, &data));
    OK(add1(&f, q, 64, NULL));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemAllocFromPoolAsync(&p, 64, pool, NULL));
    OK(cuCtxSynchronize());
    TRUE(free_bytes() == before);
    OK(cuMemFreeAsync(q, NULL));
    OK(cuMemPoolDestroy(pool));
    put(1, "x", 1);
    return 0;
}

static void descriptors(void) {
    enum { PAGE = 2 << 20 };
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemAccessDesc write = {prop.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemPoolProps pool_props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                 .location = prop.location};
    CUmemGenericAllocationHandle handle;
    CUmemPoolPtrExportData data;
    CUmemoryPool pool;
    CUdeviceptr p, q;
    int fd, memory_fd, pool_fd;
    char byte;
    size_t before = free_bytes();
    pid_t pid = start("fd_guest", &fd);
    OK(cuMemCreate(&handle, PAGE, &prop, 0));
    OK(cuMemAddressReserve(&p, PAGE, 0, 0, 0));
    OK(cuMemMap(p, PAGE, 0, handle, 0));
    OK(cuMemSetAccess(p, PAGE, &write, 1));
    OK(cuMemsetD32_v2(p, 10, 64));
    OK(cuMemPoolCreate(&pool, &pool_props));
    OK(cuMemAllocFromPoolAsync(&q, 1000, pool, NULL));
    OK(cuMemsetD32_v2(q, 20, 64));
    OK(cuCtxSynchronize());
    OK(cuMemExportToShareableHandle(&memory_fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                    0));
    OK(cuMemPoolExportToShareableHandle(&pool_fd, pool, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                        0));
    OK(cuMemPoolExportPointer(&data, q));
    put_fd(fd, memory_fd);
    put_fd(fd, pool_fd);
    put(fd, &data, sizeof(data));
    get(fd, &byte, 1);
    ended(pid);
    EQUAL(word_at(p, 63), 11);
    EQUAL(word_at(q, 63), 21);
    close(fd);
    close(memory_fd);
    close(pool_fd);
    OK(cuMemUnmap(p, PAGE));
    OK(cuMemRelease(handle));
    OK(cuMemAddressFree(p, PAGE));
    OK(cuMemFreeAsync(q, NULL));
    OK(cuMemPoolDestroy(pool));
    TRUE(free_bytes() == before);
}

/* ---- faults, by environment ------------------------------------------------------------------ */

static int faulty(void) {
    CUdeviceptr p;
    CUcontext context;
    CUstream stream;
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc_v2(&p, 64));
    IS(CUDA_ERROR_NOT_SUPPORTED, cuStreamCreate(&stream, 0));
    OK(cuCtxSynchronize());
    return 0;
}

static void faults(void) {
    char dir[] = "/tmp/simgpu-test-XXXXXX";
    TRUE(mkdtemp(dir));
    pid_t pid = fork();
    if (!pid) {
        setenv("DIVVY_SIM_DIR", dir, 1);
        setenv("DIVVY_SIM_FAULTS", "fail:cuMemAlloc=2;unsupported:cuStreamCreate", 1);
        execl(self, self, "faulty", (char *)NULL);
        _exit(99);
    }
    ended(pid);
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    TRUE(!system(command));
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc == 2)
        return !strcmp(argv[1], "hog")        ? hog()
               : !strcmp(argv[1], "guest")    ? guest()
               : !strcmp(argv[1], "fd_guest") ? fd_guest()
                                              : faulty();
    fixture_t f = begin();
    one_pool();
    ipc(&f);
    descriptors();
    faults();
    return 0;
}
