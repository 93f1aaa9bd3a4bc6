/*
 * A worker for tests: tcp_worker -p PORT [-n native|tcp|shmem] [-m X]. Listens, answers any connection, ends with 0 on SIGTERM.
 * TCP_WORKER in its environment: "exit N" ends at once; "child" has a child that ignores SIGTERM; "deaf" ignores it itself;
 * "late N" listens after N ms.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int number) {
    (void)number;
    ended = 1;
}

static int port_of(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "-p") == 0 || strcmp(argv[i], "--port") == 0)
            return (int)strtol(argv[i + 1], NULL, 10);
    return 0;
}

static int open_port(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0) {
        perror("tcp_worker");
        exit(3);
    }
    return fd;
}

static void child_begin(void) {
    if (fork() == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        for (;;)
            (void)pause();
    }
}

int main(int argc, char **argv) {
    const char *way = getenv("TCP_WORKER") ? getenv("TCP_WORKER") : "", *id = getenv("WORKER_ID");
    struct sigaction action = {.sa_handler = strcmp(way, "deaf") == 0 ? SIG_IGN : end};
    const struct timespec second = {.tv_sec = 1};
    struct pollfd ready = {.events = POLLIN};
    sigset_t term, before;

    (void)sigaction(SIGTERM, &action, NULL);
    printf("worker %s pid %d devices %s\n", id ? id : "?", (int)getpid(),
           getenv("NVIDIA_VISIBLE_DEVICES") ? getenv("NVIDIA_VISIBLE_DEVICES") : "?");
    (void)fflush(stdout);
    if (strncmp(way, "exit ", 5) == 0)
        return (int)strtol(way + 5, NULL, 10);
    if (strcmp(way, "child") == 0)
        child_begin();
    if (strncmp(way, "late ", 5) == 0)
        (void)usleep((useconds_t)strtoul(way + 5, NULL, 10) * 1000);
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &term, &before); /* heard while it waits: none is lost between a look and the wait */
    ready.fd = port_of(argc, argv) ? open_port(port_of(argc, argv)) : -1;
    while (!ended) {
        int fd;

        if (ppoll(&ready, 1, &second, &before) < 0 && errno != EINTR)
            return 4;
        if (ended || ready.fd < 0 || !(ready.revents & POLLIN) || (fd = accept(ready.fd, NULL, NULL)) < 0)
            continue;
        (void)!write(fd, "HTTP/1.1 200 OK\r\n\r\n", 19);
        (void)close(fd);
    }
    /* No leak check: LeakSanitizer stops the process to look at it, and a supervisor's SIGCONT at that moment leaves it stopped
     * for ever, with its port open. */
    _exit(0);
}
