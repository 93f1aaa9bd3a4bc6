/*
 * Tells the service manager how we are, by the datagrams that systemd documents in sd_notify(3). Without a manager nothing
 * happens. Never blocks for long; errors are nobody's business.
 */
#ifndef DIVVY_DAEMON_NOTIFY_H
#define DIVVY_DAEMON_NOTIFY_H

#include <stdint.h>

/* Lines "NAME=value" with line breaks between them. */
void divvy_notify_send(const char *text);

/* READY=1 with a line of status for people. */
void divvy_notify_ready(const char *status);

/* RELOADING=1 with the time that the manager wants beside it. Followed by divvy_notify_ready. */
void divvy_notify_reloading(void);

/* How often the manager wants to hear WATCHDOG=1 at the latest, ns; 0: it does not. */
int64_t divvy_notify_watchdog_ns(void);

#endif
