/*
 * Pictures of what a device did, from measurements: who had it, beside the leases; what share each tenant got around a change of
 * limits and a kill. The truth is the simulated device's own record. docs/SCHEDULING.md shows them.
 */
#include "node.h"

#include "page/control.h"
#include "simgpu/engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define TENANTS    2
#define MS         UINT64_C(1000000)
#define WARM_UP_NS (3000 * MS)

/* The drawing's own measures, in its units. */
enum { WIDTH = 900, LEFT = 90, RIGHT = 20, TOP = 40, LANE = 34, PLOT = 220 };

static const char *const colours[TENANTS] = {"#2b6cb0", "#c05621"};
static const char *const pale[TENANTS] = {"#bee3f8", "#fbd38d"};

struct tenant {
    char id[16], folder[256];
    pid_t pid;
    FILE *out;
    const struct divvy_control *control;
};

static struct bench bench;
static struct node node;
static struct tenant tenants[TENANTS];
static const char *out_folder;

/* --- measuring ------------------------------------------------------------------------------------------------------- */

static uint64_t busy_ns(const struct tenant *tenant) {
    static divvy_simgpu_process_t processes[64];
    size_t total;

    if (divvy_simgpu_processes(0, processes, 64, &total) != 0)
        bench_fail(&bench, "the simulated GPU cannot be read");
    for (size_t i = 0; i < total && i < 64; i++)
        if (processes[i].pid == tenant->pid)
            return processes[i].busy_ns;
    return 0;
}

static void tenant_start(struct tenant *tenant, unsigned int percent, const char *kernel_us) {
    const struct node_wish wish = {.percent = percent};
    const char *const arguments[] = {"--kernel-us", kernel_us, "--seconds", "600", "--json", NULL};
    char path[300];
    int error;

    (void)snprintf(tenant->id, sizeof tenant->id, "tenant-%zu", (size_t)(tenant - tenants));
    node_tenant(&node, tenant->id, &wish, tenant->folder);
    (void)snprintf(path, sizeof path, "%s/%s", tenant->folder, DIVVY_CONTROL_FILE);
    error = divvy_control_open(path, &tenant->control);
    if (error < 0)
        bench_fail(&bench, "%s: %s", path, strerror(-error));
    tenant->pid = node_run(&node, tenant->folder, "examples/throughput", arguments, &tenant->out);
}

static void tenant_end(struct tenant *tenant) {
    (void)kill(tenant->pid, SIGKILL);
    (void)fclose(tenant->out);
    (void)waitpid(tenant->pid, NULL, 0);
    node_tenant_remove(&node, tenant->id);
    divvy_control_close(tenant->control);
}

/* --- drawing --------------------------------------------------------------------------------------------------------- */

static FILE *picture_open(const char *name, int height, const char *title) {
    char path[PATH_MAX];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", out_folder, name);
    file = fopen(path, "w");
    if (!file)
        bench_fail(&bench, "%s: %s", path, strerror(errno));
    (void)fprintf(file,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                  "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"20\" font-size=\"14\">%s</text>\n",
                  WIDTH, height, WIDTH, height, LEFT, title);
    return file;
}

static void picture_close(FILE *file) {
    (void)fputs("</svg>\n", file);
    if (fclose(file) != 0)
        bench_fail(&bench, "a picture cannot be written: %s", strerror(errno));
}

static double place(uint64_t at_ns, uint64_t from_ns, uint64_t span_ns) {
    return LEFT + (double)(WIDTH - LEFT - RIGHT) * ((double)at_ns - (double)from_ns) / (double)span_ns;
}

static void axis_draw(FILE *file, int y, uint64_t span_ns, uint64_t step_ns, double unit_ns, const char *unit) {
    for (uint64_t at_ns = 0; at_ns <= span_ns; at_ns += step_ns)
        (void)fprintf(file, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#555\">%g%s</text>\n",
                      place(at_ns, 0, span_ns), y, (double)at_ns / unit_ns, at_ns + step_ns > span_ns ? unit : "");
}

/* --- who has the device ---------------------------------------------------------------------------------------------- */

struct run {
    FILE *file;
    uint64_t begin_ns, last_ns, last_busy_ns; /* begin_ns 0: idle */
    int64_t lease_begin_ns;                   /* of the lease drawn last */
};

static void run_draw(const struct run *run, size_t i, uint64_t from_ns, uint64_t span_ns) {
    double x = place(run->begin_ns, from_ns, span_ns), end = place(run->last_ns, from_ns, span_ns);

    (void)fprintf(run->file, "<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"14\" fill=\"%s\"/>\n", x,
                  TOP + (int)i * LANE + 14, end - x, colours[i]);
}

static void lease_draw(struct run *run, size_t i, const struct divvy_control_device *device, uint64_t from_ns,
                       uint64_t span_ns) {
    uint64_t begin_ns = (uint64_t)device->begin_ns, end_ns = (uint64_t)device->end_ns;

    if (device->mode != DIVVY_CONTROL_LEASED || device->begin_ns == run->lease_begin_ns || begin_ns < from_ns ||
        end_ns > from_ns + span_ns || end_ns <= begin_ns)
        return;
    run->lease_begin_ns = device->begin_ns;
    (void)fprintf(run->file, "<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"10\" fill=\"%s\" fill-opacity=\"0.6\"/>\n",
                  place(begin_ns, from_ns, span_ns), TOP + (int)i * LANE + 2,
                  place(end_ns, from_ns, span_ns) - place(begin_ns, from_ns, span_ns), pale[i]);
}

/* Two tenants at 30 and 70 %: looks every 0.05 ms, and draws what was the case between two looks. */
static void lanes_picture(const char *name, const char *title, const char *kernels_0, const char *kernels_1,
                          uint64_t span_ns) {
    FILE *file = picture_open(name, TOP + TENANTS * LANE + 30, title);
    struct run runs[TENANTS] = {0};
    uint64_t from_ns, now_ns;

    node_start(&node, &bench);
    tenant_start(&tenants[0], 30, kernels_0);
    tenant_start(&tenants[1], 70, kernels_1);
    bench_sleep_until_ns(bench_now_ns() + WARM_UP_NS);
    from_ns = now_ns = bench_now_ns();
    for (size_t i = 0; i < TENANTS; i++) {
        runs[i].file = file;
        runs[i].last_ns = from_ns;
        runs[i].last_busy_ns = busy_ns(&tenants[i]);
        (void)fprintf(file, "<text x=\"8\" y=\"%d\" fill=\"%s\">%d %%</text>\n", TOP + (int)i * LANE + 24, colours[i],
                      i ? 70 : 30);
    }
    while (now_ns < from_ns + span_ns) {
        bench_sleep_until_ns(now_ns + MS / 20);
        for (size_t i = 0; i < TENANTS; i++) {
            uint64_t busy = busy_ns(&tenants[i]), look_ns = bench_now_ns();
            bool works = busy - runs[i].last_busy_ns > (look_ns - runs[i].last_ns) / 2;

            lease_draw(&runs[i], i, &tenants[i].control->devices[0], from_ns, span_ns);
            if (!works && runs[i].begin_ns)
                run_draw(&runs[i], i, from_ns, span_ns);
            runs[i].begin_ns = works ? (runs[i].begin_ns ? runs[i].begin_ns : runs[i].last_ns) : 0;
            runs[i].last_ns = look_ns;
            runs[i].last_busy_ns = busy;
        }
        now_ns = bench_now_ns();
    }
    for (size_t i = 0; i < TENANTS; i++)
        if (runs[i].begin_ns)
            run_draw(&runs[i], i, from_ns, span_ns);
    axis_draw(file, TOP + TENANTS * LANE + 18, span_ns, span_ns / 10, 1e6, " ms");
    picture_close(file);
    for (size_t i = 0; i < TENANTS; i++)
        tenant_end(&tenants[i]);
    node_stop(&node);
}

/* --- shares over time ------------------------------------------------------------------------------------------------ */

#define WINDOW_NS (100 * MS)
enum { WINDOWS = 80, CHANGE_AT = 25, KILL_AT = 55 };

static int share_y(double percent) {
    return TOP + PLOT - (int)(percent * PLOT / 100);
}

static void shares_picture(const char *name) {
    static const struct node_wish wider = {.percent = 60};
    FILE *file = picture_open(name, TOP + PLOT + 30, "GPU time of two tenants in windows of 0.1 s: 20 % becomes 60 %, then the other is killed");
    uint64_t from_ns, last_ns, last[TENANTS];
    double shares[TENANTS][WINDOWS];
    const uint64_t span_ns = WINDOWS * WINDOW_NS;

    node_start(&node, &bench);
    tenant_start(&tenants[0], 20, "1000");
    tenant_start(&tenants[1], 40, "1000");
    bench_sleep_until_ns(bench_now_ns() + WARM_UP_NS);
    from_ns = last_ns = bench_now_ns();
    for (size_t i = 0; i < TENANTS; i++)
        last[i] = busy_ns(&tenants[i]);
    for (size_t w = 0; w < WINDOWS; w++) {
        uint64_t now_ns;

        if (w == CHANGE_AT)
            node_tenant_set(&node, tenants[0].id, &wider);
        if (w == KILL_AT)
            (void)kill(tenants[1].pid, SIGKILL);
        bench_sleep_until_ns(from_ns + (w + 1) * WINDOW_NS);
        now_ns = bench_now_ns();
        for (size_t i = 0; i < TENANTS; i++) {
            uint64_t busy = busy_ns(&tenants[i]);

            shares[i][w] = busy < last[i] ? 0 : 100.0 * (double)(busy - last[i]) / (double)(now_ns - last_ns);
            last[i] = busy < last[i] ? last[i] : busy;
        }
        last_ns = now_ns;
    }
    for (int percent = 0; percent <= 100; percent += 20)
        (void)fprintf(file,
                      "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%d\" "
                      "text-anchor=\"end\" fill=\"#555\">%d %%</text>\n",
                      LEFT, WIDTH - RIGHT, share_y(percent), share_y(percent), LEFT - 8, share_y(percent) + 4, percent);
    for (size_t i = 0; i < TENANTS; i++) {
        (void)fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colours[i]);
        for (size_t w = 0; w < WINDOWS; w++)
            (void)fprintf(file, "%.1f,%d ", place((2 * w + 1) * WINDOW_NS / 2, 0, span_ns), share_y(shares[i][w]));
        (void)fputs("\"/>\n", file);
    }
    axis_draw(file, TOP + PLOT + 20, span_ns, 1000 * MS, 1e9, " s");
    picture_close(file);
    for (size_t i = 0; i < TENANTS; i++)
        tenant_end(&tenants[i]);
    node_stop(&node);
}

int main(int argc, char **argv) {
    char error[DIVVY_SIMGPU_ERROR_MAX];

    out_folder = getenv("BENCH_PICTURES"); /* where the pictures go */
    bench_open(&bench, argc, argv, "timeline", BENCH_SIM,
               "Draws docs/pictures/*.svg, in the folder that BENCH_PICTURES names (here if unset): who has the device\n"
               "under leases, and shares around a change of limits and a kill.");
    out_folder = out_folder && *out_folder ? out_folder : ".";
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    if (divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error) != 0)
        bench_fail(&bench, "%s", error);
    lanes_picture("leases.svg", "Kernels of 1 ms, shares of 30 and 70 %: leases (pale) and the device's work", "1000", "1000",
                  100 * MS);
    lanes_picture("leases-short-long.svg", "Kernels of 50 us at 30 %, kernels of 5 ms at 70 %", "50", "5000", 100 * MS);
    shares_picture("shares.svg");
    divvy_simgpu_detach();
    return bench_close(&bench);
}
