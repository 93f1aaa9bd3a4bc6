/*
 * Asks what its preloads make of it. `program CASE`; exit 0 when all is as it should be.
 *
 *   chain SUM      getppid's wrappers add up to SUM
 *   tail           prints in which object a lookup in tail position finds its next
 *   calls          the preloaded hook_dlsym saw the calls, and symbols come out right
 *   early          the constructor of `early` found what it looked for
 *   errors         dlerror after failed lookups names what was looked for
 *   cuda BYTES     the driver's total memory is BYTES, however it is asked
 *   closes         all descriptors closed after cuInit: nothing breaks
 *   manners        cuInit leaves signals, umask, locale, folder and environment as they were
 */
#include "../integration/limiter/cu.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static int chain(int wanted) {
    void *(*tool)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "ompt_like_tool");

    CHECK_U64(getppid(), (pid_t)syscall(SYS_getppid) + wanted);
    if (wanted > 0) {
        CHECK(tool);
        CHECK(tool() == NULL || wanted > 1000);
    }
    return 0;
}

static int tail(void) {
    void *(*tool)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "ompt_like_tail");
    Dl_info info = {.dli_fname = "none"};
    void *next;

    CHECK(tool);
    next = tool();
    CHECK(!next || dladdr(next, &info));
    puts(info.dli_fname);
    return 0;
}

static int calls(void) {
    int (*count)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "hook_dlsym_calls");
    int before;

    CHECK(count);
    before = count();
    CHECK(dlsym(RTLD_DEFAULT, "getppid") != NULL);
    CHECK(dlsym(RTLD_DEFAULT, "no_such_function") == NULL);
    CHECK(dlsym(RTLD_NEXT, "getppid") != NULL);
    CHECK(count() > before);
    return 0;
}

static int early(void) {
    int (*works)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "early_works");

    CHECK(works && works());
    return 0;
}

static int errors(void) {
    const char *message;

    (void)dlerror();
    CHECK(dlsym(RTLD_DEFAULT, "no_such_function") == NULL);
    message = dlerror();
    CHECK(message && strstr(message, "no_such_function"));
    CHECK(dlerror() == NULL);
    CHECK(dlsym(RTLD_DEFAULT, "cuInit") == NULL);
    message = dlerror();
    CHECK(message && strstr(message, "cuInit"));
    CHECK(dlvsym(RTLD_DEFAULT, "getppid", "GLIBC_9.9") == NULL);
    message = dlerror();
    CHECK(message && strstr(message, "GLIBC_9.9"));
    CHECK(dlvsym(RTLD_DEFAULT, "getppid", "GLIBC_2.2.5") != NULL);
    errno = 77;
    (void)dlsym(RTLD_DEFAULT, "cuInit");
    CHECK(errno == 77);
    return 0;
}

static int cuda(uint64_t wanted) {
    size_t total;

    (void)cu_begin(0);
    CHECK_U64(cu_total(), wanted);
    CHECK_CU(cu.cuDeviceTotalMem_v2(&total, 0));
    CHECK_U64(total, wanted);
    return 0;
}

static int closes(void) {
    CUdeviceptr pointer;

    (void)cu_begin(0);
    /* Only the descriptors above those of a living program: the simulated driver keeps its own
     * below 64 or not at all. */
    for (int fd = 3; fd < 1024; fd++) {
        char link[64], target[256];
        ssize_t length;

        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        length = readlink(link, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = '\0';
        if (strstr(target, "/dev/shm/divvy-") && !strstr(target, "sim"))
            close(fd);
    }
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, MIB));
    CHECK_U64(cu_used(), MIB);
    CHECK_CU(cu.cuMemFree_v2(pointer));
    return 0;
}

static void handler(int signal) {
    (void)signal;
}

static uint64_t environment_hash(void) {
    uint64_t hash = 5381;

    for (char **entry = environ; *entry; entry++)
        for (const char *at = *entry; *at; at++)
            hash = hash * 33 + (unsigned char)*at;
    return hash;
}

static int manners(void) {
    struct sigaction set = {.sa_handler = handler}, now;
    sigset_t mask, mask_now;
    mode_t creation = 031;
    char folder[256], folder_now[256];
    uint64_t environment;

    for (int signal = 1; signal < 32; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            CHECK(sigaction(signal, &set, NULL) == 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    CHECK(sigprocmask(SIG_SETMASK, &mask, NULL) == 0);
    (void)umask(creation);
    CHECK(getcwd(folder, sizeof folder));
    environment = environment_hash();
    (void)cu_begin(0);
    for (int signal = 1; signal < 32; signal++) {
        if (signal == SIGKILL || signal == SIGSTOP)
            continue;
        CHECK(sigaction(signal, NULL, &now) == 0);
        CHECK(now.sa_handler == handler);
    }
    CHECK(sigprocmask(SIG_SETMASK, NULL, &mask_now) == 0);
    CHECK(sigismember(&mask_now, SIGUSR1) && !sigismember(&mask_now, SIGUSR2));
    CHECK_U64(umask(0), creation);
    CHECK(getcwd(folder_now, sizeof folder_now) && strcmp(folder, folder_now) == 0);
    CHECK_U64(environment_hash(), environment);
    CHECK(strcmp(setlocale(LC_ALL, NULL), "C") == 0);
    return 0;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    const char *value = argc > 2 ? argv[2] : "0";

    if (strcmp(name, "chain") == 0)
        return chain(atoi(value));
    if (strcmp(name, "tail") == 0)
        return tail();
    if (strcmp(name, "calls") == 0)
        return calls();
    if (strcmp(name, "early") == 0)
        return early();
    if (strcmp(name, "errors") == 0)
        return errors();
    if (strcmp(name, "cuda") == 0)
        return cuda(strtoull(value, NULL, 10));
    if (strcmp(name, "closes") == 0)
        return closes();
    if (strcmp(name, "manners") == 0)
        return manners();
    return 2;
}
