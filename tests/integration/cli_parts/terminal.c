/*
 * divvy run at a terminal, where a shell with job control runs it: what the keyboard sends reaches
 * the program once, a stopped job gives the terminal back and goes on when told to. Usage: terminal
 * PATH-OF-DIVVY
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void expect(const char *what, int holds) {
    printf("%s: %s\n", holds ? "ok" : "FAILED", what);
    failures += !holds;
}

/*
 * Reads from the terminal until `word` has been seen, at most 10 s. All that was read stays in
 * `text`.
 */
static int terminal_read_until(int terminal, char *text, size_t size, const char *word) {
    size_t length = strlen(text);

    for (int tries = 0; tries < 100; tries++) {
        struct pollfd wait = {.fd = terminal, .events = POLLIN};

        if (strstr(text, word))
            return 1;
        if (poll(&wait, 1, 100) <= 0)
            continue;
        ssize_t got = read(terminal, text + length, size - 1 - length);

        if (got <= 0)
            break;
        length += (size_t)got;
        text[length] = '\0';
    }
    return strstr(text, word) != NULL;
}

/* Runs `divvy run -- sh -c script` as the foreground job of a new terminal. */
static pid_t job_start(const char *divvy, const char *script, int *ret_terminal) {
    pid_t child = forkpty(ret_terminal, NULL, NULL, NULL);

    if (child == 0) {
        execl(divvy, divvy, "run", "--gpu", "sim", "--", "sh", "-c", script, (char *)NULL);
        _exit(99);
    }
    return child;
}

static int status_wait(pid_t child, int options) {
    int status = -1;

    while (waitpid(child, &status, options) < 0 && errno == EINTR)
        ;
    return status;
}

static void interrupt_reaches_once(const char *divvy) {
    char text[4096] = "";
    int terminal, status;
    pid_t job = job_start(divvy,
                          "n=0; trap 'n=$((n+1)); echo got $n' INT; echo ready; "
                          "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done; echo end $n; exit 7",
                          &terminal);

    expect("the program starts", terminal_read_until(terminal, text, sizeof text, "ready"));
    (void)!write(terminal, "\003", 1);
    expect("the program ends by itself", terminal_read_until(terminal, text, sizeof text, "end "));
    status = status_wait(job, 0);
    expect("one ^C is one SIGINT", strstr(text, "end 1") != NULL);
    expect("divvy run outlives ^C and passes on the status",
           WIFEXITED(status) && WEXITSTATUS(status) == 7);
    close(terminal);
}

static void interrupt_ends(const char *divvy) {
    char text[4096] = "";
    int terminal, status;
    pid_t job = job_start(divvy, "echo ready; exec sleep 30", &terminal);

    expect("the program starts", terminal_read_until(terminal, text, sizeof text, "ready"));
    usleep(100000);
    (void)!write(terminal, "\003", 1);
    status = status_wait(job, 0);
    expect("^C ends it with 130", WIFEXITED(status) && WEXITSTATUS(status) == 130);
    close(terminal);
}

static void stop_and_go_on(const char *divvy) {
    char text[4096] = "";
    int terminal, status;
    pid_t job = job_start(divvy, "echo ready; sleep 0.3; sleep 0.3; echo done; exit 3", &terminal);

    expect("the program starts", terminal_read_until(terminal, text, sizeof text, "ready"));
    (void)!write(terminal, "\032", 1);
    status = status_wait(job, WUNTRACED);
    expect("^Z stops divvy run", WIFSTOPPED(status));
    usleep(800000);
    expect("and the program",
           strstr(text, "done") == NULL && !terminal_read_until(terminal, text, 1, "done"));
    kill(-job, SIGCONT);
    expect("SIGCONT wakes both", terminal_read_until(terminal, text, sizeof text, "done"));
    status = status_wait(job, 0);
    expect("the status comes through", WIFEXITED(status) && WEXITSTATUS(status) == 3);
    close(terminal);
}

int main(int argc, char **argv) {
    int terminal, program_side;

    if (argc != 2)
        return 2;
    if (openpty(&terminal, &program_side, NULL, NULL, NULL) < 0) {
        perror("no terminal can be had");
        return 77;
    }
    (void)close(terminal);
    (void)close(program_side);
    interrupt_reaches_once(argv[1]);
    interrupt_ends(argv[1]);
    stop_and_go_on(argv[1]);
    return failures != 0;
}
