/* The checks of divvy doctor: see doctor.h. */
#include "cli/doctor.h"

#include "base/child.h"
#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/plan.h"
#include "cli/seen.h"
#include "base/alone.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static struct divvy_cli_finding *add(struct divvy_cli_report *report,
                                     enum divvy_cli_verdict verdict, const char *check,
                                     const char *format, ...) __attribute__((format(printf, 4, 5)));

static struct divvy_cli_finding *add(struct divvy_cli_report *report,
                                     enum divvy_cli_verdict verdict, const char *check,
                                     const char *format, ...) {
    /* The last place is used over and over when there are too many findings. */
    unsigned int at =
        report->count < DIVVY_CLI_FINDINGS_MAX ? report->count++ : DIVVY_CLI_FINDINGS_MAX - 1;
    struct divvy_cli_finding *finding = &report->findings[at];
    va_list arguments;

    *finding = (struct divvy_cli_finding){.verdict = verdict, .check = check};
    va_start(arguments, format);
    (void)vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    return finding;
}

static void remedy(struct divvy_cli_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void remedy(struct divvy_cli_finding *finding, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(finding->remedy, sizeof finding->remedy, format, arguments);
    va_end(arguments);
}

/* ---- hardware and driver ---- */

/* Display and 3D controllers of NVIDIA on the PCI bus; -1 when sysfs cannot tell. */
static int pci_gpu_count(void) {
    cleanup_closedir DIR *bus = opendir("/sys/bus/pci/devices");
    struct dirent *entry;
    int count = 0;

    if (!bus)
        return -1;
    while ((entry = readdir(bus))) {
        char path[PATH_MAX], vendor[32], class[32];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/vendor", entry->d_name);
        if (divvy_core_sys_read_file(path, vendor, sizeof vendor) < 0 ||
            strncmp(vendor, "0x10de", 6) != 0)
            continue;
        (void)snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", entry->d_name);
        if (divvy_core_sys_read_file(path, class, sizeof class) > 0 &&
            strncmp(class, "0x03", 4) == 0)
            count++;
    }
    return count;
}

static void driver_check(const struct divvy_cli_patient *patient, struct divvy_cli_report *report) {
    const struct divvy_cli_driver *cuda = &patient->gpus.cuda, *nvml = &patient->gpus.nvml;
    int cards = pci_gpu_count();

    switch (cuda->state) {
    case DIVVY_CLI_DRIVER_OK:
        (void)add(report, DIVVY_CLI_VERDICT_OK, "driver", "%s, CUDA %d.%d, %u GPU%s%s", cuda->path,
                  cuda->version / 1000, cuda->version % 1000 / 10, patient->gpus.count,
                  patient->gpus.count == 1 ? "" : "s",
                  patient->gpus.simulated ? " (simulated)" : "");
        break;
    case DIVVY_CLI_DRIVER_BROKEN:
        remedy(
            add(report, DIVVY_CLI_VERDICT_FAIL, "driver", "libcuda.so.1 does not work: %s",
                cuda->text),
            "try nvidia-smi; install the driver again, or reboot if it was updated while in use");
        break;
    default:
        if (cards > 0)
            remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "driver",
                       "%d NVIDIA GPU%s on the PCI bus, but the driver shows none (%s)", cards,
                       cards == 1 ? "" : "s", cuda->text),
                   "install NVIDIA's driver; in a container, start it with the NVIDIA container "
                   "runtime");
        else
            (void)add(report, DIVVY_CLI_VERDICT_NOTE, "driver",
                      "no NVIDIA GPU here; programs run on the simulated GPU");
        break;
    }
    if (cuda->state == DIVVY_CLI_DRIVER_OK && nvml->state != DIVVY_CLI_DRIVER_OK)
        remedy(add(report, DIVVY_CLI_VERDICT_WARN, "nvml", "libnvidia-ml.so.1 does not work: %s",
                   nvml->text),
               "%s",
               strstr(nvml->text, "ersion") ? "the library and the kernel module are of different "
                                              "versions: reboot, or load the module again"
                                            : "install libnvidia-ml.so.1 of the driver's version; "
                                              "in a container, add the capability `utility'");
}

/* A device file that programs must be able to open for reading and writing. */
static void node_check(const char *path, bool needed, struct divvy_cli_report *report,
                       unsigned int *good) {
    struct divvy_cli_finding *finding;

    if (access(path, R_OK | W_OK) == 0) {
        (*good)++;
        return;
    }
    if (errno == ENOENT && !needed)
        return;
    finding = add(report, DIVVY_CLI_VERDICT_FAIL, "device files", "%s: %s", path, strerror(errno));
    if (errno == ENOENT)
        remedy(finding,
               "run nvidia-modprobe -u -c 0 as root; in a container, pass the device through");
    else
        remedy(finding, "let this user open it (group video or render, or mode 0666 as NVIDIA's "
                        "driver sets it)");
}

static void nodes_check(const struct divvy_cli_patient *patient, struct divvy_cli_report *report) {
    unsigned int good = 0;

    if (patient->gpus.simulated || (patient->gpus.count == 0 && access("/dev/nvidiactl", F_OK) < 0))
        return;
    node_check("/dev/nvidiactl", true, report, &good);
    node_check("/dev/nvidia-uvm", true, report, &good);
    for (int i = 0; i < 32; i++) {
        char path[32];

        (void)snprintf(path, sizeof path, "/dev/nvidia%d", i);
        node_check(path, false, report, &good);
    }
    if (good)
        (void)add(report, DIVVY_CLI_VERDICT_OK, "device files", "%u can be opened", good);
}

static void devices_check(const struct divvy_cli_patient *patient,
                          struct divvy_cli_report *report) {
    for (uint32_t i = 0; i < patient->gpus.count; i++) {
        const struct divvy_cli_gpu *gpu = &patient->gpus.gpus[i];

        if (gpu->exclusive)
            remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "compute mode",
                       "GPU %u lets at most one process use it", gpu->index),
                   "nvidia-smi -i %u -c DEFAULT", gpu->index);
        if (gpu->mig)
            (void)add(report, DIVVY_CLI_VERDICT_NOTE, "mig",
                      "GPU %u is split into MIG instances; give one by --gpu MIG-... or "
                      "CUDA_VISIBLE_DEVICES",
                      gpu->index);
    }
}

static void mps_check(struct divvy_cli_report *report) {
    const char *folder = getenv("CUDA_MPS_PIPE_DIRECTORY");
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/control", folder ? folder : "/tmp/nvidia-mps");
    if (access(path, F_OK) < 0)
        return;
    remedy(add(report, DIVVY_CLI_VERDICT_WARN, "mps",
               "an MPS daemon has its socket in %.200s; under MPS kernels of tenants run side by "
               "side, and a share of "
               "time is no share of the GPU",
               folder ? folder : "/tmp/nvidia-mps"),
           "stop it: echo quit | nvidia-cuda-mps-control");
}

/* ---- divvy's own parts ---- */

struct preload_trial {
    const char *library;
};

/*
 * A program that knows nothing of CUDA, with the limiter preloaded; what it or the loader says goes
 * to the pipe.
 */
static int preload_try(void *data, int fd) {
    const struct preload_trial *trial = data;

    (void)fd;
    (void)unsetenv("DIVVY_LOG");
    (void)unsetenv("TF_ENABLE_LOG");
    (void)setenv("LD_PRELOAD", trial->library, 1);
    (void)execl("/bin/true", "true", (char *)NULL);
    (void)execl("/usr/bin/true", "true", (char *)NULL);
    return 1;
}

static void limiter_check(const struct divvy_cli_patient *patient, struct divvy_cli_report *report,
                          struct divvy_error *error) {
    struct preload_trial trial = {patient->install.limiter};
    struct divvy_child_result result;
    char said[240];

    if (!trial.library[0]) {
        remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "limiter",
                   "libcuda_limiter.so is in neither ../lib nor ../lib/divvy"),
               "install divvy again");
        return;
    }
    if (divvy_child_collect(preload_try, &trial, 1, 10 * DIVVY_NS_PER_SECOND, said, sizeof said - 1,
                            &result, error) < 0) {
        (void)add(report, DIVVY_CLI_VERDICT_FAIL, "limiter", "%s", error->text);
        return;
    }
    said[result.length] = '\0';
    said[strcspn(said, "\n")] = '\0';
    if (result.length == 0 && !result.timed_out && WIFEXITED(result.wait_status) &&
        WEXITSTATUS(result.wait_status) == 0)
        (void)add(report, DIVVY_CLI_VERDICT_OK, "limiter", "%s loads on glibc %s", trial.library,
                  gnu_get_libc_version());
    else
        remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "limiter",
                   "%s cannot be preloaded (glibc %s): %s", trial.library, gnu_get_libc_version(),
                   said[0] ? said : "the program with it does not end well"),
               "%s",
               strstr(said, "GLIBC_") ? "use a build of divvy for this system's glibc"
                                      : "install divvy again");
}

static void simulated_check(const struct divvy_cli_patient *patient,
                            struct divvy_cli_report *report) {
    const struct divvy_cli_gpu_list *list = &patient->simulated;
    bool needed = patient->gpus.count == 0;

    if (!patient->install.simulated_dir[0])
        remedy(add(report, needed ? DIVVY_CLI_VERDICT_FAIL : DIVVY_CLI_VERDICT_NOTE,
                   "simulated GPU", "not installed (lib/simgpu/libcuda.so.1)"),
               "%s", needed ? "install divvy again, with its simulated GPU" : "");
    else if (divvy_cli_gpu_list_state(list) != DIVVY_CLI_DRIVER_OK)
        remedy(add(report, needed ? DIVVY_CLI_VERDICT_FAIL : DIVVY_CLI_VERDICT_WARN,
                   "simulated GPU", "does not start: %s",
                   list->cuda.text[0] ? list->cuda.text : list->nvml.text),
               "its shared memory may be damaged or another user's; see docs/SIMGPU.md");
    else
        (void)add(report, DIVVY_CLI_VERDICT_OK, "simulated GPU", "%u of %s", list->count,
                  list->gpus[0].name);
}

/* ---- the environment ---- */

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* One entry of a preload list. Other limiters hook the same functions, and only one can win. */
static void preload_entry_check(const struct divvy_cli_patient *patient, const char *where,
                                const char *entry, struct divvy_cli_report *report) {
    static const char *const rivals[] = {"libvgpu.so", "libnvshare.so", "libvgpu-control.so",
                                         "libgemhook.so.1"};
    const char *name = base_name(entry);

    for (size_t i = 0; i < sizeof rivals / sizeof rivals[0]; i++)
        if (strcmp(name, rivals[i]) == 0)
            remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "preload",
                       "%s holds another GPU limiter: %.200s", where, entry),
                   "take it out for programs that divvy runs");
    if (strcmp(name, "libcuda_limiter.so") == 0 && patient->install.limiter[0]) {
        char resolved[PATH_MAX];

        if (!realpath(entry, resolved) || strcmp(resolved, patient->install.limiter) != 0)
            remedy(add(report, DIVVY_CLI_VERDICT_WARN, "preload",
                       "%s holds a limiter that is not this divvy's: %.200s", where, entry),
                   "take it out, or use the divvy that it belongs to");
    }
    if (strchr(entry, '/') && access(entry, R_OK) < 0)
        remedy(add(report, DIVVY_CLI_VERDICT_WARN, "preload", "%s names %.200s: %s", where, entry,
                   strerror(errno)),
               "take it out: every program complains about it");
}

static void preload_list_check(const struct divvy_cli_patient *patient, const char *where,
                               const char *list, struct divvy_cli_report *report) {
    while (*list) {
        size_t length = strcspn(list, ": \t\n");
        char entry[PATH_MAX];

        if (length > 0 && length < sizeof entry) {
            memcpy(entry, list, length);
            entry[length] = '\0';
            preload_entry_check(patient, where, entry, report);
        }
        list += length;
        list += strspn(list, ": \t\n");
    }
}

static void preloads_check(const struct divvy_cli_patient *patient,
                           struct divvy_cli_report *report) {
    const char *list = getenv("LD_PRELOAD");
    char file[8192];

    if (list)
        preload_list_check(patient, "LD_PRELOAD", list, report);
    if (divvy_core_sys_read_file("/etc/ld.so.preload", file, sizeof file) > 0)
        preload_list_check(patient, "/etc/ld.so.preload", file, report);
}

static void variables_check(struct divvy_cli_report *report) {
    static const char *const limits[] = {"TENSOR_FUSION_CUDA_UP_LIMIT",
                                         "TENSOR_FUSION_CUDA_MEM_LIMIT"};
    static const char *const switches[] = {"DISABLE_GPU_LIMITER", "TF_DISABLE_MEMORY_MANAGER",
                                           "TF_ENABLE_DISPATCH_FORWARD"};
    const char *level = getenv("DIVVY_LOG"), *tenant = getenv("DIVVY_TENANT");
    divvy_log_level_t parsed;
    struct divvy_error error;

    for (int i = 0; i < 2; i++)
        if (divvy_cli_plan_variable_check(limits[i], getenv(limits[i]), i, &error) < 0)
            remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "variables", "%s", error.text),
                   "until then no program with the limiter can use a GPU");
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        const char *value = getenv(switches[i]);

        if (value && (strcmp(value, "1") == 0 || strcasecmp(value, "true") == 0))
            remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "variables", "%s is set: limits do not hold",
                       switches[i]),
                   "unset %s", switches[i]);
    }
    if (level && level[0] && divvy_core_log_level_parse(level, strlen(level), &parsed) < 0)
        remedy(add(report, DIVVY_CLI_VERDICT_WARN, "variables", "DIVVY_LOG='%.60s' is no level",
                   level),
               "write off, error, warn, info, debug or trace");
    if (tenant && tenant[0])
        (void)add(report, DIVVY_CLI_VERDICT_NOTE, "variables", "this is inside the tenant '%.64s'",
                  tenant);
}

/* ---- the system ---- */

static void shared_memory_check(struct divvy_cli_report *report) {
    char path[64];
    struct statvfs space;
    int fd;

    (void)snprintf(path, sizeof path, "/dev/shm/divvy-doctor-%d", (int)getpid());
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "shared memory",
                   "/dev/shm cannot be written: %s", strerror(errno)),
               "mount a tmpfs there, writable for this user");
        return;
    }
    divvy_cleanup_close(&fd);
    (void)unlink(path);
    if (statvfs("/dev/shm", &space) == 0 &&
        (uint64_t)space.f_bavail * space.f_frsize < (UINT64_C(16) << 20))
        remedy(add(report, DIVVY_CLI_VERDICT_WARN, "shared memory",
                   "less than 16 MiB free in /dev/shm"),
               "delete what is not needed there; in a container, give it more (--shm-size)");
    else
        (void)add(report, DIVVY_CLI_VERDICT_OK, "shared memory", "/dev/shm can be written");
}

static void tenants_check(struct divvy_cli_report *report) {
    static char path[PATH_MAX];
    struct divvy_error error;

    if (divvy_alone_base_find(path, &error) < 0)
        remedy(add(report, DIVVY_CLI_VERDICT_FAIL, "tenants", "%s", error.text),
               "set XDG_RUNTIME_DIR to a folder of this user's, mode 0700");
    else
        (void)add(report, DIVVY_CLI_VERDICT_OK, "tenants", "their folders lie in %.250s", path);
}

/* One that answers, or why none does. */
static void daemon_check(const struct divvy_cli_patient *patient, struct divvy_cli_report *report) {
    struct divvy_cli_client *client = NULL;
    struct divvy_cli_seen_node node;
    struct divvy_error error = {0};
    json_t *answer = NULL;
    int status = divvy_cli_client_find(&client, &error);

    if (status == 0)
        status = divvy_cli_client_call(client, "GET", "/api/v1/node", NULL, 5000, &answer, &error);
    divvy_cli_seen_node_read(answer, &node);
    if (status == 0 && json_is_false(json_object_get(answer, "ready")))
        remedy(add(report, DIVVY_CLI_VERDICT_WARN, "daemon",
                   "divvyd %s at %s runs, but is not ready: it has no GPU", node.version,
                   divvy_cli_client_path(client)),
               "look at its log; start it again once the driver works");
    else if (status == 0)
        (void)add(report, DIVVY_CLI_VERDICT_OK, "daemon", "divvyd %s answers at %s%s", node.version,
                  divvy_cli_client_path(client), node.simulated ? " (simulated GPU)" : "");
    else if (status != -ENOTCONN)
        remedy(add(report, DIVVY_CLI_VERDICT_WARN, "daemon", "%s", error.text),
               "until then divvy run does without; divvy ps, top and set do not work");
    else if (patient->install.daemon[0])
        (void)add(report, DIVVY_CLI_VERDICT_OK, "daemon",
                  "none runs; divvy run starts %.250s when it is needed", patient->install.daemon);
    else
        remedy(add(report, DIVVY_CLI_VERDICT_WARN, "daemon",
                   "none runs, and divvyd is not installed beside divvy"),
               "install it, so that shares between tenants hold exactly and divvy ps, top and set "
               "work");
    json_decref(answer);
    divvy_cli_client_free(client);
}

/* Processes are told apart by pid and start time, which /proc knows. */
static void proc_check(struct divvy_cli_report *report) {
    uint64_t start;
    int status = divvy_core_sys_start_time(0, &start);

    if (status < 0)
        remedy(
            add(report, DIVVY_CLI_VERDICT_FAIL, "/proc", "cannot be read: %s", strerror(-status)),
            "mount procfs on /proc");
    else if (divvy_core_sys_start_time(1, &start) < 0)
        (void)add(report, DIVVY_CLI_VERDICT_NOTE, "/proc",
                  "hides other users' processes; tenants of one user still "
                  "see each other");
}

int divvy_cli_doctor_examine(struct divvy_cli_patient *patient, struct divvy_cli_report *ret_report,
                             struct divvy_error *error) {
    ret_report->count = 0;
    if (divvy_install_find(&patient->install, error) < 0 ||
        divvy_cli_gpu_list_read(NULL, DIVVY_CLI_GPU_WITH_CUDA, &patient->gpus, error) < 0)
        return error->status;
    memset(&patient->simulated, 0, sizeof patient->simulated);
    if (patient->install.simulated_dir[0] &&
        divvy_cli_gpu_list_read(patient->install.simulated_dir, DIVVY_CLI_GPU_WITH_CUDA,
                                &patient->simulated, error) < 0)
        return error->status;
    driver_check(patient, ret_report);
    nodes_check(patient, ret_report);
    devices_check(patient, ret_report);
    mps_check(ret_report);
    simulated_check(patient, ret_report);
    limiter_check(patient, ret_report, error);
    preloads_check(patient, ret_report);
    variables_check(ret_report);
    shared_memory_check(ret_report);
    tenants_check(ret_report);
    daemon_check(patient, ret_report);
    proc_check(ret_report);
    return 0;
}
