/* A terminal taken over: see terminal.h. */
#include "cli/terminal.h"

#include "base/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, cursor away, no line wrap; and back. */
static const char enter_codes[] = "\033[?1049h\033[?25l\033[?7l\033[2J";
static const char leave_codes[] = "\033[?7h\033[?25h\033[0m\033[?1049l";

#define ESCAPE_WAIT_MS 50 /* between an escape and what belongs to it */

static const int taken_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct {
    volatile sig_atomic_t taken; /* the terminal is not as it was */
    struct termios original, raw;
    sigset_t original_mask, mask;
    int signal_fd, ended_by;
    char input[64];
    size_t length;
} terminal = {.signal_fd = -1};

static void write_all(const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = STDOUT_FILENO, .events = POLLOUT};

            if (poll(&wait, 1, 1000) > 0)
                continue;
        }
        if (written <= 0)
            return;
        bytes += written;
        length -= (size_t)written;
    }
}

/* Safe in signal handlers. */
static void give_back(void) {
    if (!terminal.taken)
        return;
    terminal.taken = 0;
    write_all(leave_codes, sizeof leave_codes - 1);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal.original);
}

static void take(void) {
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.raw);
    terminal.taken = 1;
    write_all(enter_codes, sizeof enter_codes - 1);
}

/* The handler is gone already (SA_RESETHAND): the signal ends the program when this returns. */
static void on_fatal(int number) {
    give_back();
    (void)raise(number);
}

int divvy_cli_terminal_enter(struct divvy_error *error) {
    struct sigaction fatal = {.sa_handler = on_fatal, .sa_flags = SA_RESETHAND};

    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &terminal.original) < 0)
        return divvy_error_set(
            error, -ENOTTY, "this is no terminal; --once prints one view, --json is for machines");
    terminal.raw = terminal.original;
    /* ^C and ^Z stay signals. */
    terminal.raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    terminal.raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
    terminal.raw.c_cc[VMIN] = 0;
    terminal.raw.c_cc[VTIME] = 0;
    (void)sigemptyset(&terminal.mask);
    for (size_t i = 0; i < COUNT(taken_signals); i++)
        (void)sigaddset(&terminal.mask, taken_signals[i]);
    (void)sigprocmask(SIG_BLOCK, &terminal.mask, &terminal.original_mask);
    terminal.signal_fd = signalfd(-1, &terminal.mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (terminal.signal_fd < 0) {
        int status = -errno;

        (void)sigprocmask(SIG_SETMASK, &terminal.original_mask, NULL);
        return divvy_error_set_errno(error, status, "cannot watch for signals");
    }
    for (size_t i = 0; i < COUNT(fatal_signals); i++)
        (void)sigaction(fatal_signals[i], &fatal, NULL);
    take();
    return 0;
}

void divvy_cli_terminal_leave(void) {
    give_back();
    if (terminal.signal_fd < 0)
        return;
    divvy_cleanup_close(&terminal.signal_fd);
    (void)sigprocmask(SIG_SETMASK, &terminal.original_mask, NULL);
}

void divvy_cli_terminal_size(unsigned int *ret_columns, unsigned int *ret_lines) {
    struct winsize size = {0};

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    *ret_columns = size.ws_col ? size.ws_col : 80;
    *ret_lines = size.ws_row ? size.ws_row : 24;
}

int divvy_cli_terminal_signal(void) {
    return terminal.ended_by;
}

void divvy_cli_terminal_write(const char *bytes, size_t length) {
    write_all(bytes, length);
}

/* Stopped with the terminal as it was; goes on where it was. */
static void stop(void) {
    sigset_t only;

    give_back();
    (void)sigemptyset(&only);
    (void)sigaddset(&only, SIGTSTP);
    (void)raise(SIGTSTP);
    (void)sigprocmask(SIG_UNBLOCK, &only, NULL); /* here it stops, until SIGCONT */
    (void)sigprocmask(SIG_BLOCK, &only, NULL);
    take();
}

static int signal_key(void) {
    struct signalfd_siginfo info;

    if (read(terminal.signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return DIVVY_CLI_KEY_NONE;
    switch ((int)info.ssi_signo) {
    case SIGTSTP:
        stop();
        return DIVVY_CLI_KEY_RESIZED;
    case SIGCONT:
        /* Stopped by SIGSTOP the terminal was not given back, and the shell has set it up anew. */
        take();
        return DIVVY_CLI_KEY_RESIZED;
    case SIGWINCH:
        return DIVVY_CLI_KEY_RESIZED;
    default:
        terminal.ended_by = (int)info.ssi_signo;
        return DIVVY_CLI_KEY_ENDED;
    }
}

size_t divvy_cli_terminal_decode(const char *bytes, size_t length, bool more, int *ret_key) {
    static const struct {
        const char *bytes;
        int key;
    } known[] = {
        {"\033[A", DIVVY_CLI_KEY_UP},       {"\033[B", DIVVY_CLI_KEY_DOWN},
        {"\033OA", DIVVY_CLI_KEY_UP},       {"\033OB", DIVVY_CLI_KEY_DOWN},
        {"\033[5~", DIVVY_CLI_KEY_PAGE_UP}, {"\033[6~", DIVVY_CLI_KEY_PAGE_DOWN},
        {"\033[H", DIVVY_CLI_KEY_HOME},     {"\033[F", DIVVY_CLI_KEY_END},
        {"\033OH", DIVVY_CLI_KEY_HOME},     {"\033OF", DIVVY_CLI_KEY_END},
        {"\033[1~", DIVVY_CLI_KEY_HOME},    {"\033[4~", DIVVY_CLI_KEY_END},
    };
    size_t end = 2;

    *ret_key = DIVVY_CLI_KEY_NONE;
    if (length == 0)
        return 0;
    if (bytes[0] != '\033') {
        *ret_key = (unsigned char)bytes[0];
        return 1;
    }
    for (size_t i = 0; i < COUNT(known); i++) {
        size_t size = strlen(known[i].bytes);

        if (length >= size && memcmp(bytes, known[i].bytes, size) == 0) {
            *ret_key = known[i].key;
            return size;
        }
    }
    if (length == 1) {
        *ret_key = more ? DIVVY_CLI_KEY_NONE : DIVVY_CLI_KEY_ESCAPE;
        return more ? 0 : 1;
    }
    if (bytes[1] == 'O')
        return length >= 3 ? 3 : more ? 0 : length;
    if (bytes[1] != '[') {
        *ret_key = DIVVY_CLI_KEY_ESCAPE;
        return 1;
    }
    /* A sequence that we do not know is dropped up to its last byte, so that it means nothing. */
    while (end < length && !(bytes[end] >= '@' && bytes[end] <= '~'))
        end++;
    return end < length ? end + 1 : more ? 0 : length;
}

/* What is there, without waiting. False: the terminal is gone. */
static bool input_read(void) {
    ssize_t got = read(STDIN_FILENO, terminal.input + terminal.length,
                       sizeof terminal.input - terminal.length);

    if (got > 0)
        terminal.length += (size_t)got;
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

static int input_key(bool more) {
    int key;
    /* A sequence that fills the buffer is none. */
    size_t used = divvy_cli_terminal_decode(terminal.input, terminal.length,
                                            more && terminal.length < sizeof terminal.input, &key);

    terminal.length -= used;
    memmove(terminal.input, terminal.input + used, terminal.length);
    return key;
}

int divvy_cli_terminal_key(unsigned int timeout_ms) {
    uint64_t deadline_ns = divvy_core_clock_ns() + timeout_ms * DIVVY_NS_PER_MS;

    for (;;) {
        struct pollfd wait[] = {{.fd = terminal.signal_fd, .events = POLLIN},
                                {.fd = STDIN_FILENO, .events = POLLIN}};
        uint64_t now_ns = divvy_core_clock_ns();
        uint64_t left_ms = now_ns < deadline_ns ? (deadline_ns - now_ns) / DIVVY_NS_PER_MS + 1 : 0;
        int key = input_key(true), ready;

        if (key != DIVVY_CLI_KEY_NONE)
            return key;
        if (terminal.length > 0 && left_ms > ESCAPE_WAIT_MS)
            left_ms = ESCAPE_WAIT_MS;
        ready = poll(wait, 2, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (ready == 0 && terminal.length > 0)
            return input_key(false);
        if (ready == 0)
            return DIVVY_CLI_KEY_NONE;
        if (ready > 0 && (wait[0].revents & POLLIN) && (key = signal_key()) != DIVVY_CLI_KEY_NONE)
            return key;
        if (ready > 0 && wait[1].revents && !input_read())
            return DIVVY_CLI_KEY_ENDED;
    }
}
