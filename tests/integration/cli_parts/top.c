/*
 * divvy top at a terminal: it shows tenants, obeys keys, follows the size, and whatever ends or
 * stops it, the terminal is as it was before. Usage: top PATH-OF-DIVVY, with a daemon that answers.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

static int failures;

static void expect(const char *what, int holds) {
    printf("%s: %s\n", holds ? "ok" : "FAILED", what);
    failures += !holds;
}

/* A pseudo terminal whose other side we hold open too, so that its settings outlive the program. */
struct screen {
    int master, slave;
    struct termios before;
    char text[1 << 18];
    size_t length;
};

static int screen_read_until(struct screen *screen, const char *word, int tries) {
    for (;;) {
        struct pollfd wait = {.fd = screen->master, .events = POLLIN};
        ssize_t got;

        if (strstr(screen->text, word))
            return 1;
        if (tries-- <= 0)
            return 0;
        if (poll(&wait, 1, 100) <= 0)
            continue;
        got = read(screen->master, screen->text + screen->length,
                   sizeof screen->text - 1 - screen->length);
        if (got <= 0)
            return 0;
        screen->length += (size_t)got;
        screen->text[screen->length] = '\0';
    }
}

static void screen_forget(struct screen *screen) {
    (void)screen_read_until(screen, "\001never", 2);
    screen->length = 0;
    screen->text[0] = '\0';
}

static pid_t top_start(struct screen *screen, const char *divvy) {
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    pid_t child;

    screen->length = 0;
    screen->text[0] = '\0';
    if (openpty(&screen->master, &screen->slave, NULL, NULL, &size) < 0)
        return -1;
    (void)tcgetattr(screen->slave, &screen->before);
    child = fork();
    if (child == 0) {
        (void)close(screen->master);
        (void)login_tty(screen->slave);
        (void)execl(divvy, divvy, "top", "--interval", "0.2", (char *)NULL);
        _exit(99);
    }
    return child;
}

static int as_before(const struct screen *screen) {
    struct termios now;

    return tcgetattr(screen->slave, &now) == 0 && now.c_lflag == screen->before.c_lflag &&
           now.c_iflag == screen->before.c_iflag;
}

static void keys_send(const struct screen *screen, const char *keys) {
    (void)!write(screen->master, keys, strlen(keys));
}

static int top_end(struct screen *screen, pid_t child) {
    int status = -1;

    for (int tries = 0; tries < 50; tries++) {
        if (waitpid(child, &status, WNOHANG) == child)
            break;
        (void)screen_read_until(screen, "\001never", 1);
        if (tries == 49) {
            (void)kill(child, SIGKILL);
            (void)waitpid(child, &status, 0);
        }
    }
    (void)screen_read_until(screen, "\033[?1049l", 5);
    return status;
}

static void screen_close(struct screen *screen) {
    (void)close(screen->slave);
    (void)close(screen->master);
}

static void keys_work(struct screen *screen, const char *divvy) {
    pid_t child = top_start(screen, divvy);
    int status;

    expect("it starts, on a screen of its own",
           screen_read_until(screen, "\033[?1049h", 50) && screen_read_until(screen, "train", 20));
    expect("keys come one by one", !as_before(screen));
    keys_send(screen, "f");
    expect("nothing is selected at first", screen_read_until(screen, "select a tenant first", 20));
    keys_send(screen, "?");
    expect("? explains", screen_read_until(screen, "any key goes back", 20));
    /* By name the first is "foreign"; twice down is "train". */
    keys_send(screen, "xnj\033[B");
    screen_forget(screen);
    keys_send(screen, "f");
    expect("f freezes the selected", screen_read_until(screen, "train: frozen", 30));
    screen_forget(screen);
    keys_send(screen, "f");
    expect("and lets it go on", screen_read_until(screen, "train: goes on", 30));
    keys_send(screen, "+");
    expect("+ gives more", screen_read_until(screen, "train: compute 35%", 30));
    screen_forget(screen);
    (void)ioctl(screen->slave, TIOCSWINSZ, &(struct winsize){.ws_col = 120, .ws_row = 40});
    expect("it follows the size of the terminal",
           screen_read_until(screen, "\r\n\033[2mq quit", 20) ||
               screen_read_until(screen, "q quit", 20));
    (void)ioctl(screen->slave, TIOCSWINSZ, &(struct winsize){.ws_col = 3, .ws_row = 2});
    (void)usleep(300000);
    expect("also a tiny one", waitpid(child, &status, WNOHANG) == 0);
    keys_send(screen, "q");
    status = top_end(screen, child);
    expect("q quits", WIFEXITED(status) && WEXITSTATUS(status) == 0);
    expect("the terminal is as before", as_before(screen) && strstr(screen->text, "\033[?1049l"));
    screen_close(screen);
}

static void signal_ends(struct screen *screen, const char *divvy, int number, int expected) {
    pid_t child = top_start(screen, divvy);
    char what[80];
    int status;

    (void)screen_read_until(screen, "train", 50);
    if (number == SIGINT)
        keys_send(screen, "\003");
    else
        (void)kill(child, number);
    status = top_end(screen, child);
    (void)snprintf(what, sizeof what, "signal %d: status (%#x)", number, (unsigned int)status);
    expect(what, expected < 0 ? WIFSIGNALED(status) && WTERMSIG(status) == number
                              : WIFEXITED(status) && WEXITSTATUS(status) == expected);
    (void)snprintf(what, sizeof what, "signal %d: the terminal is as before", number);
    expect(what, as_before(screen) && strstr(screen->text, "\033[?1049l"));
    screen_close(screen);
}

/*
 * A shell in a nutshell, the leader of the terminal's session: runs divvy top as a foreground job,
 * says on `report` when it stopped (and that it is S), takes the terminal, gives it back when told
 * by a byte on `order`, and ends with the job's status.
 */
static void __attribute__((noreturn))
shell_run(struct screen *screen, const char *divvy, int report, int order) {
    int status = 0;
    char byte;
    pid_t job;

    (void)login_tty(screen->slave);
    (void)signal(SIGTTOU, SIG_IGN);
    job = fork();
    if (job == 0) {
        (void)setpgid(0, 0);
        (void)tcsetpgrp(0, getpid());
        (void)signal(SIGTTOU, SIG_DFL);
        (void)execl(divvy, divvy, "top", "--interval", "0.2", (char *)NULL);
        _exit(99);
    }
    (void)setpgid(job, job);
    if (waitpid(job, &status, WUNTRACED) != job || !WIFSTOPPED(status))
        _exit(98);
    (void)tcsetpgrp(0, getpid());
    (void)!write(report, "S", 1);
    (void)!read(order, &byte, 1);
    (void)tcsetpgrp(0, job);
    (void)kill(-job, SIGCONT);
    (void)waitpid(job, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
}

static void stops_and_goes_on(struct screen *screen, const char *divvy) {
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    int report[2], order[2], status;
    struct pollfd stopped;
    pid_t shell;

    screen->length = 0;
    screen->text[0] = '\0';
    if (pipe(report) < 0 || pipe(order) < 0 ||
        openpty(&screen->master, &screen->slave, NULL, NULL, &size) < 0)
        return expect("a terminal", 0);
    (void)tcgetattr(screen->slave, &screen->before);
    shell = fork();
    if (shell == 0)
        shell_run(screen, divvy, report[1], order[0]);
    (void)screen_read_until(screen, "train", 50);
    keys_send(screen, "\032");
    stopped = (struct pollfd){.fd = report[0], .events = POLLIN};
    expect("^Z stops it", poll(&stopped, 1, 5000) > 0);
    expect("with the terminal as before",
           as_before(screen) && screen_read_until(screen, "\033[?1049l", 20));
    screen_forget(screen);
    (void)!write(order[1], "g", 1);
    expect("it goes on",
           screen_read_until(screen, "\033[?1049h", 30) && screen_read_until(screen, "train", 30));
    keys_send(screen, "q");
    status = top_end(screen, shell);
    expect("and quits", WIFEXITED(status) && WEXITSTATUS(status) == 0 && as_before(screen));
    screen_close(screen);
}

static void hang_up_ends(struct screen *screen, const char *divvy) {
    pid_t child = top_start(screen, divvy);
    int status = 0, ended = 0;

    (void)screen_read_until(screen, "train", 50);
    screen_close(screen);
    for (int tries = 0; tries < 50 && !ended; tries++) {
        ended = waitpid(child, &status, WNOHANG) == child;
        (void)usleep(100000);
    }
    expect("a terminal that is gone ends it", ended);
    if (!ended)
        (void)kill(child, SIGKILL);
}

int main(int argc, char **argv) {
    static struct screen screen;
    int master, slave;

    if (argc != 2)
        return 2;
    if (openpty(&master, &slave, NULL, NULL, NULL) < 0) {
        printf("skipped: no pseudo terminals here (%s)\n", strerror(errno));
        return 77;
    }
    (void)close(master);
    (void)close(slave);
    keys_work(&screen, argv[1]);
    signal_ends(&screen, argv[1], SIGINT, 0);
    signal_ends(&screen, argv[1], SIGTERM, 128 + SIGTERM);
    signal_ends(&screen, argv[1], SIGHUP, 128 + SIGHUP);
    signal_ends(&screen, argv[1], SIGABRT, -1);
    stops_and_goes_on(&screen, argv[1]);
    hang_up_ends(&screen, argv[1]);
    return failures ? 1 : 0;
}
