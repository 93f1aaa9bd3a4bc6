/* divvy-sim: look at and steer the simulated GPU. */
#include "simgpu/tool/tool.h"

#include "core/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} verb_t;

static const verb_t verbs[] = {
    {"show", tool_show,
     "Usage: divvy-sim show [--json]\n"
     "Devices, their memory and time, and the processes on them.\n"
     "\n"
     "  --json   everything as one JSON object, the history of ended processes too\n"},
    {"watch", tool_watch,
     "Usage: divvy-sim watch [--interval SECONDS] [--count N]\n"
     "Each interval: the share of device time that each process got in it, from\n"
     "the device's own record, and its memory.\n"
     "\n"
     "  --interval SECONDS   0.1 to 3600 (1)\n"
     "  --count N            stop after N intervals\n"},
    {"busy", tool_busy,
     "Usage: divvy-sim busy [--json] [--all | PID...]\n"
     "Exact busy time in nanoseconds, now: one line for each process and device.\n"
     "\n"
     "  PID      only these, whether they live or have ended\n"
     "  --all    all that live, and those that have ended\n"
     "  --json   with the device's clock and its own busy time\n"},
    {"fault", tool_fault,
     "Usage: divvy-sim fault list | add RULES | clear | lose N | restore N\n"
     "Faults of the running machine. Rules, separated by ';':\n"
     "\n"
     "  fail:CALL=CODE       the call returns CODE and does nothing\n"
     "  slow:CALL=TIME       the call first sleeps, for example 500us, 10ms, 1s\n"
     "  unsupported:CALL     the call answers as a driver that lacks it\n"
     "  lost:N[@TIME]        device N falls off the bus, now or after TIME\n"
     "\n"
     "CALL is a name such as cuMemAlloc, which covers its _v2 and _ptsz forms;\n"
     "with '*' at its end it means all that begin so. After a rule:\n"
     "\n"
     "  ,after=N  ,times=N  ,p=N%   spare the first N, at most N hits, by chance\n"
     "\n"
     "  divvy-sim fault add 'fail:cuMemAlloc=2,after=10,times=1'\n"
     "  divvy-sim fault lose 0\n"},
    {"mig", tool_mig,
     "Usage: divvy-sim mig [list | profiles] [DEVICE...]\n"
     "       divvy-sim mig on DEVICE | off DEVICE | reset DEVICE\n"
     "       divvy-sim mig create DEVICE PROFILE[@SLOT][/COMPUTE]...\n"
     "       divvy-sim mig destroy UUID... | DEVICE...\n"
     "MIG mode of the devices, and their instances. A machine is made if need be.\n"
     "\n"
     "  list       mode, GPU instances and MIG devices\n"
     "  profiles   what can be made, how often still, and where\n"
     "  on, off    the mode; 'off' destroys the instances. Noted for later\n"
     "             where the device is in use\n"
     "  reset      what was noted is done\n"
     "  create     GPU instances, by name or number of the profile; each with\n"
     "             the compute instances behind '/' (1c, 2c ...), or one that\n"
     "             takes all of it. Prints their UUIDs\n"
     "  destroy    MIG devices, and GPU instances that become empty\n"
     "\n"
     "  divvy-sim mig on 0 && divvy-sim mig create 0 3g.71gb 1g.18gb\n"
     "  divvy-sim mig create 0 4g.71gb@0/2c/2c\n"},
    {"reset", tool_reset,
     "Usage: divvy-sim reset [--force]\n"
     "Forgets the machine; the next program makes a new one.\n"
     "\n"
     "  --force   also while programs use it: they go on, apart from later ones\n"},
    {"env", tool_env,
     "Usage: divvy-sim env\n"
     "Prints the line for a shell that makes programs use the simulated GPU:\n"
     "\n"
     "  eval \"$(divvy-sim env)\"\n"},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static const char usage[] =
    "Usage: divvy-sim VERB [OPTION...]\n"
    "Looks at and steers the simulated GPU of this user.\n"
    "\n"
    "  show     devices, memory, processes\n"
    "  watch    the same, again and again\n"
    "  busy     exact busy time of processes\n"
    "  fault    make calls fail, lose a device\n"
    "  mig      cut devices into MIG instances\n"
    "  reset    forget the machine\n"
    "  env      print how to use it from a shell\n"
    "\n"
    "divvy-sim VERB --help explains a verb. The machine is made by the first\n"
    "program that uses it, as these variables say, and kept in DIVVY_SIM_DIR:\n"
    "\n"
    "  DIVVY_SIM_DEVICES=2          number of devices\n"
    "  DIVVY_SIM_MODEL=H200         H200, H100, A100, A100-40GB or small\n"
    "  DIVVY_SIM_MEMORY=8GiB        memory of each\n"
    "  DIVVY_SIM_SLICE_US=2000      time slice of a context\n"
    "  DIVVY_SIM_SWITCH_US=0        what a change from one context to another costs\n"
    "  DIVVY_SIM_FAULTS=RULES       see divvy-sim fault --help\n"
    "  DIVVY_SIM_MIG=7*1g.18gb      MIG instances from the start\n"
    "  DIVVY_SIM_DRIVER=580.159.04  version that the driver gives itself\n"
    "\n"
    "Exit status: 0 done, 1 failed (for example no machine), 2 wrong use.\n";

int tool_complain(const char *verb, int status, const char *format, ...) {
    va_list arguments;

    fprintf(stderr, "divvy-sim %s: ", verb);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return status;
}

int tool_attach(const char *verb) {
    char error[DIVVY_SIMGPU_ERROR_MAX];
    int r = divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER | DIVVY_SIMGPU_EXISTING, error);

    if (r < 0)
        return tool_complain(verb, TOOL_FAILED, "%s", *error ? error : strerror(-r));
    return TOOL_OK;
}

divvy_simgpu_process_t *tool_processes(int device, bool ended, size_t *ret_count) {
    size_t room = 64, total = 0;

    for (;;) {
        divvy_simgpu_process_t *list = calloc(room, sizeof *list);
        int r;

        if (!list)
            return NULL;
        r = ended ? divvy_simgpu_history(device, list, room, &total)
                  : divvy_simgpu_processes(device, list, room, &total);
        if (!r && total <= room) {
            *ret_count = total;
            return list;
        }
        free(list);
        if (r < 0)
            return NULL;
        room = total + 16;
    }
}

void tool_json_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7F) /* names are bytes, JSON is UTF-8 */
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

void tool_json_process(const divvy_simgpu_process_t *process) {
    printf("{\"pid\": %d, \"name\": ", process->pid);
    tool_json_string(process->name);
    printf(", \"busy_ns\": %llu, \"copy_busy_ns\": %llu, \"launches\": %llu, \"bytes\": %llu, "
           "\"peak_bytes\": %llu, "
           "\"contexts\": %d, \"attached_ns\": %llu, \"ended_ns\": %llu}",
           (unsigned long long)process->busy_ns, (unsigned long long)process->copy_busy_ns,
           (unsigned long long)process->launches, (unsigned long long)process->bytes,
           (unsigned long long)process->peak_bytes, process->contexts,
           (unsigned long long)process->attached_ns, (unsigned long long)process->ended_ns);
}

size_t tool_units(int units[DIVVY_SIMGPU_UNITS_MAX]) {
    divvy_simgpu_ci_t ci;
    size_t count = 0;

    for (int device = 0; device < divvy_simgpu_device_count(); device++) {
        units[count++] = device;
        for (unsigned index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++)
            if (!divvy_simgpu_ci_get(device, index, &ci))
                units[count++] = ci.unit;
    }
    return count;
}

const char *tool_unit_name(int unit, char text[16]) {
    if (unit < DIVVY_SIMGPU_DEVICES_MAX)
        snprintf(text, 16, "%d", unit);
    else
        snprintf(text, 16, "%d:%d", divvy_simgpu_unit_device(unit),
                 (unit - DIVVY_SIMGPU_DEVICES_MAX) % DIVVY_SIMGPU_MIG_MAX);
    return text;
}

const char *tool_size(uint64_t bytes, char text[32]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

bool tool_number(const char *text, uint64_t max, uint64_t *ret_number) {
    uint64_t number;

    if (divvy_core_u64_parse(text, strlen(text), &number, NULL) < 0 || number > max)
        return false;
    *ret_number = number;
    return true;
}

static bool is_help(const char *word) {
    return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs(usage, stderr);
        return TOOL_USAGE;
    }
    if (is_help(argv[1])) {
        fputs(usage, stdout);
        return TOOL_OK;
    }
    for (int i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, argv[1]))
            continue;
        for (int k = 2; k < argc; k++)
            if (is_help(argv[k])) {
                fputs(verbs[i].help, stdout);
                return TOOL_OK;
            }
        int status = verbs[i].run(argc - 1, argv + 1);

        divvy_simgpu_detach();
        if (fflush(stdout) || ferror(stdout))
            return tool_complain(argv[1], TOOL_FAILED, "cannot write: %s", strerror(errno));
        return status;
    }
    fprintf(stderr, "divvy-sim: no verb '%s'; divvy-sim --help lists them\n", argv[1]);
    return TOOL_USAGE;
}
