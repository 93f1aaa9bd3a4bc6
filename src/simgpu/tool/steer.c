/* divvy-sim fault, reset, env: the write side. */
#include "simgpu/tool/tool.h"

#include "simgpu/engine/state.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fault_list(void) {
    char text[160];

    for (unsigned i = 0; !divvy_simgpu_fault_describe(i, text, sizeof text); i++)
        printf("%s\n", text);
    for (int i = 0; i < divvy_simgpu_device_count(); i++)
        if (divvy_simgpu_device_lost(i))
            printf("lost:%d\n", i);
    return TOOL_OK;
}

static int fault_add(const char *rules) {
    char error[DIVVY_SIMGPU_ERROR_MAX] = "";
    int r = divvy_simgpu_fault_add(rules, error);
    const char *reason = strchr(error, ':');

    if (!r)
        return TOOL_OK;
    /* the engine names the variable; here the rules came as an argument */
    return tool_complain("fault", r == -EINVAL ? TOOL_USAGE : TOOL_FAILED, "%s%s", rules,
                         reason ? reason : "");
}

static int fault_lose(const char *device, bool lost) {
    uint64_t index;

    if (!tool_number(device, INT32_MAX, &index) ||
        divvy_simgpu_device_set_lost((int)index, lost) < 0)
        return tool_complain("fault", TOOL_USAGE, "%s: no such device", device);
    return TOOL_OK;
}

int tool_fault(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "list";
    bool takes_one = !strcmp(what, "add") || !strcmp(what, "lose") || !strcmp(what, "restore");

    if (!takes_one && strcmp(what, "list") && strcmp(what, "clear"))
        return tool_complain("fault", TOOL_USAGE,
                             "want list, add, clear, lose or restore, not '%s'", what);
    if (argc > (takes_one ? 3 : 2) || (takes_one && argc < 3))
        return tool_complain("fault", TOOL_USAGE, "%s wants %s", what,
                             takes_one ? "one argument" : "no argument");
    if (tool_attach("fault"))
        return TOOL_FAILED;
    if (!strcmp(what, "add"))
        return fault_add(argv[2]);
    if (takes_one)
        return fault_lose(argv[2], !strcmp(what, "lose"));
    if (!strcmp(what, "clear"))
        return divvy_simgpu_fault_clear() < 0 ? TOOL_FAILED : TOOL_OK;
    return fault_list();
}

int tool_reset(int argc, char **argv) {
    bool force = argc == 2 && !strcmp(argv[1], "--force");
    int pid = 0;

    if (argc > 2 || (argc == 2 && !force))
        return tool_complain("reset", TOOL_USAGE, "want nothing or --force");
    int r = sim_state_remove(force, &pid);

    if (r == -EBUSY)
        return tool_complain("reset", TOOL_FAILED,
                             "process %d uses the machine; end it, or --force", pid);
    if (r < 0 && r != -ENOENT)
        return tool_complain("reset", TOOL_FAILED, "%s", strerror(-r));
    return TOOL_OK;
}

/* Text in single quotes for a shell. */
static void print_quoted(const char *text) {
    putchar('\'');
    for (; *text; text++)
        if (*text == '\'')
            printf("'\\''");
        else
            putchar(*text);
    putchar('\'');
}

int tool_env(int argc, char **argv) {
    static const char *const places[] = {"../lib/simgpu", "../lib/divvy/simgpu"};
    char self[PATH_MAX], path[PATH_MAX + 64], resolved[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    (void)argv;
    if (argc > 1)
        return tool_complain("env", TOOL_USAGE, "takes no argument");
    self[length > 0 ? length : 0] = 0;
    if (!(slash = strrchr(self, '/')))
        return tool_complain("env", TOOL_FAILED, "cannot find out where this program lies");
    *slash = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s/libcuda.so.1", self, places[i]);
        if (access(path, R_OK) || !realpath(path, resolved))
            continue;
        *strrchr(resolved, '/') = 0;
        printf("export LD_LIBRARY_PATH=");
        print_quoted(resolved);
        printf("${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n");
        return TOOL_OK;
    }
    return tool_complain("env", TOOL_FAILED, "no simulated libcuda.so.1 beside %s", self);
}
