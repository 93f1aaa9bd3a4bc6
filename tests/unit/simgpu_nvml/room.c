/* Machines and guests for the tests of the simulated NVML. */
#include "room.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static void folder_remove(void) {
    DIR *dir = opendir(folder);
    struct dirent *entry;
    char path[512];

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(dir);
    (void)rmdir(folder);
}

int room_setup_bare(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/divvy-nvml-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)setenv("DIVVY_SIM_DIR", folder, 1);
    (void)setenv("DIVVY_SIM_DEVICES", "2", 1);
    (void)setenv("DIVVY_SIM_MEMORY", "1GiB", 1);
    (void)unsetenv("DIVVY_SIM_MODEL");
    (void)unsetenv("DIVVY_SIM_FAULTS");
    (void)unsetenv("DIVVY_SIM_MIG");
    (void)unsetenv("DIVVY_SIM_DRIVER");
    (void)unsetenv("DIVVY_SIM_SLICE_US");
    (void)unsetenv("DIVVY_SIM_SWITCH_US");
    return 0;
}

int room_teardown_bare(void **state) {
    (void)state;
    folder_remove();
    return 0;
}

int room_setup(void **state) {
    return room_setup_bare(state) != 0 || nvmlInit_v2() != NVML_SUCCESS ? -1 : 0;
}

int room_teardown(void **state) {
    nvmlReturn_t result = nvmlShutdown();

    return room_teardown_bare(state) != 0 || result != NVML_SUCCESS ? -1 : 0;
}

nvmlDevice_t room_device(unsigned int index) {
    nvmlDevice_t device = NULL;

    assert_int_equal(nvmlDeviceGetHandleByIndex_v2(index, &device), NVML_SUCCESS);
    return device;
}

/* --- guests ---------------------------------------------------------------------------------------- */

/* The guest is this program itself, executed anew: the engine serves no fork child. */
room_guest_t room_guest_start(int device, uint64_t bytes, uint64_t busy_ns) {
    int ready[2], door[2];
    char text[4][32], word;
    room_guest_t guest;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(door, O_CLOEXEC), 0);
    (void)snprintf(text[0], sizeof(text[0]), "%d", device);
    (void)snprintf(text[1], sizeof(text[1]), "%llu", (unsigned long long)bytes);
    (void)snprintf(text[2], sizeof(text[2]), "%llu", (unsigned long long)busy_ns);
    guest.pid = fork();
    if (guest.pid == 0) {
        (void)dup2(door[0], 0);
        (void)dup2(ready[1], 9);
        (void)execl("/proc/self/exe", "nvml-guest", "guest", text[0], text[1], text[2], (char *)NULL);
        _exit(127);
    }
    assert_true(guest.pid > 0);
    (void)close(door[0]);
    (void)close(ready[1]);
    guest.door = door[1];
    assert_int_equal(read(ready[0], &word, 1), 1);
    (void)close(ready[0]);
    return guest;
}

void room_guest_end(room_guest_t guest) {
    int status;

    (void)close(guest.door);
    assert_int_equal(waitpid(guest.pid, &status, 0), guest.pid);
    assert_int_equal(status, 0);
}

static int guest_run(int device, uint64_t bytes, uint64_t busy_ns) {
    divvy_simgpu_context_t *context;
    divvy_simgpu_channel_t *channel;
    uint64_t address;
    char error[DIVVY_SIMGPU_ERROR_MAX], word = 'r';
    divvy_simgpu_item_t item = {
        .kind = DIVVY_SIMGPU_WORK, .fraction_permille = 1000, .duration_ns = busy_ns};

    if (divvy_simgpu_attach(0, error) != 0) {
        (void)fprintf(stderr, "%s\n", error);
        return 2;
    }
    if (divvy_simgpu_open(device) != 0 || divvy_simgpu_context_create(device, &context) != 0 ||
        (bytes > 0 && divvy_simgpu_mem_alloc(device, bytes, 0, 0, &address) != 0) ||
        divvy_simgpu_channel_open(context, 0, &channel) != 0)
        return 3;
    if (busy_ns > 0 && (divvy_simgpu_submit(channel, &item, NULL) != 0 ||
                        divvy_simgpu_context_wait(context) != 0))
        return 4;
    if (write(9, &word, 1) != 1)
        return 5;
    while (read(0, &word, 1) > 0)
        ;
    divvy_simgpu_channel_close(channel);
    divvy_simgpu_context_destroy(context);
    divvy_simgpu_detach();
    return 0;
}

/* Runs before main: "guest" as first argument makes this process a guest and nothing else. */
__attribute__((constructor)) static void guest_main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "guest") == 0)
        _exit(guest_run((int)strtol(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10)));
}
