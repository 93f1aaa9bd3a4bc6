/*
 * A terminal taken over for a live view: keys come one by one, the screen is drawn as a whole, and
 * whatever happens to the program the terminal is given back as it was (but for SIGKILL). One at a
 * time in a process, which must have one thread.
 */
#ifndef DIVVY_CLI_TERMINAL_H
#define DIVVY_CLI_TERMINAL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Keys that are no characters; characters are themselves. */
enum {
    DIVVY_CLI_KEY_NONE = 0,
    DIVVY_CLI_KEY_UP = 0x100,
    DIVVY_CLI_KEY_DOWN,
    DIVVY_CLI_KEY_PAGE_UP,
    DIVVY_CLI_KEY_PAGE_DOWN,
    DIVVY_CLI_KEY_HOME,
    DIVVY_CLI_KEY_END,
    DIVVY_CLI_KEY_ESCAPE,
    DIVVY_CLI_KEY_RESIZED, /* the size is another, or the screen has to be drawn anew */
    DIVVY_CLI_KEY_ENDED,   /* a signal asks the program to end, or the terminal is gone */
};

/*
 * Takes over the terminal at stdin and stdout: another screen, no echo, no cursor; SIGINT, SIGTERM,
 * SIGHUP, SIGQUIT, SIGTSTP, SIGCONT and SIGWINCH are taken as keys. -ENOTTY: there is none.
 */
int divvy_cli_terminal_enter(struct divvy_error *error);

/* Gives it back. Harmless when it was not taken. */
void divvy_cli_terminal_leave(void);

/* Columns and lines; 80 and 24 when nobody knows. */
void divvy_cli_terminal_size(unsigned int *ret_columns, unsigned int *ret_lines);

/* The next key, waited for at most timeout_ms; DIVVY_CLI_KEY_NONE when there was none. */
int divvy_cli_terminal_key(unsigned int timeout_ms);

/* The signal that a DIVVY_CLI_KEY_ENDED came from; 0 when the terminal is gone. */
int divvy_cli_terminal_signal(void);

/* Writes a frame. */
void divvy_cli_terminal_write(const char *bytes, size_t length);

/*
 * The first key in some bytes of input, and how many bytes it took: 0 when they are the beginning of
 * a longer one (`more` tells that more may follow). Pure.
 */
size_t divvy_cli_terminal_decode(const char *bytes, size_t length, bool more, int *ret_key);

#endif
