/*
 * A stand-in for a model: does what its arguments say, one after the other, and prints what came of it.
 *
 *   alloc BYTES    device memory, kept: "alloc BYTES: RESULT" (of the driver)
 *   managed BYTES  managed memory, likewise, with the milliseconds it took
 *   host BYTES     host memory, written to: "host BYTES: ok" or "none"
 *   meminfo NAME   a line of /proc/meminfo: "NAME KIB"
 *   wait MS        sleeps
 *   tell TEXT      a datagram to HYPERCORE_LATENCY_SOCKET
 *   orphan MS      a process of its own session that sleeps so long and outlives this one: "orphan PID"
 *   exit STATUS    ends
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void *driver;

static void *function(const char *name) {
    void *found = driver ? dlsym(driver, name) : NULL;

    if (!found) {
        (void)printf("no %s\n", name);
        exit(3);
    }
    return found;
}

static void driver_open(void) {
    int (*init)(unsigned int), (*get)(int *, int), (*create)(void **, unsigned int, int), device = 0, result;
    void *context;

    if (driver)
        return;
    driver = dlopen("libcuda.so.1", RTLD_NOW);
    *(void **)&init = function("cuInit");
    *(void **)&get = function("cuDeviceGet");
    *(void **)&create = function("cuCtxCreate_v2");
    result = init(0);
    result = result ? result : get(&device, 0);
    result = result ? result : create(&context, 0, device);
    if (result != 0) {
        (void)printf("no context: %d\n", result);
        exit(3);
    }
}

static void alloc(const char *bytes) {
    int (*allocate)(uint64_t *, size_t);
    uint64_t pointer;

    driver_open();
    *(void **)&allocate = function("cuMemAlloc_v2");
    (void)printf("alloc %s: %d\n", bytes, allocate(&pointer, strtoull(bytes, NULL, 10)));
}

static void managed(const char *bytes) {
    int (*allocate)(uint64_t *, size_t, unsigned int), result;
    struct timespec begin, end;
    uint64_t pointer;

    driver_open();
    *(void **)&allocate = function("cuMemAllocManaged");
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    result = allocate(&pointer, strtoull(bytes, NULL, 10), 1);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    (void)printf("managed %s: %d %lld\n", bytes, result,
                 (long long)(end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
}

static void host(const char *bytes) {
    size_t size = strtoull(bytes, NULL, 10);
    char *memory = malloc(size);

    if (memory)
        memset(memory, 1, size);
    (void)printf("host %s: %s\n", bytes, memory && memory[size / 2] ? "ok" : "none");
}

static void meminfo(const char *name) {
    FILE *file = fopen("/proc/meminfo", "r");
    unsigned long long value;
    char line[256], word[64];

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%63[^:]: %llu", word, &value) == 2 && strcmp(word, name) == 0)
            (void)printf("%s %llu\n", name, value);
    if (file)
        (void)fclose(file);
}

static void pause_ms(const char *ms) {
    unsigned long long value = strtoull(ms, NULL, 10);
    struct timespec left = {.tv_sec = (time_t)(value / 1000), .tv_nsec = (long)(value % 1000) * 1000000};

    (void)nanosleep(&left, NULL);
}

static void tell(const char *text) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("HYPERCORE_LATENCY_SOCKET");
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path ? path : "");
    if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, sizeof address) < 0)
        perror("tell");
    (void)close(fd);
}

static void orphan(const char *ms) {
    pid_t pid = fork();

    if (pid == 0) {
        (void)setsid();
        pause_ms(ms);
        _exit(0);
    }
    (void)printf("orphan %d\n", (int)pid);
}

static void leave(const char *status) {
    (void)fflush(stdout);
    _exit((int)strtol(status, NULL, 10));
}

static const struct {
    const char *word;
    void (*run)(const char *value);
} actions[] = {{"alloc", alloc}, {"managed", managed}, {"host", host}, {"meminfo", meminfo},
               {"wait", pause_ms}, {"tell", tell},     {"orphan", orphan}, {"exit", leave}};

int main(int argc, char **argv) {
    for (int at = 1; at + 1 < argc; at += 2) {
        for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
            if (strcmp(argv[at], actions[i].word) == 0)
                actions[i].run(argv[at + 1]);
        (void)fflush(stdout);
    }
    return 0;
}
