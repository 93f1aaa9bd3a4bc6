/* Who is connected to a worker, as workers write it: one "address,port,pid" a line, port and pid optional. Pure but for _read. */
#ifndef DIVVY_AGENT_CONNECTIONS_H
#define DIVVY_AGENT_CONNECTIONS_H

#include <jansson.h>
#include <stddef.h>

#define DIVVY_AGENT_CONNECTIONS_MAX   1024u
#define DIVVY_AGENT_CONNECTIONS_BYTES 65536u

/*
 * [{client_ip, client_port?, client_pid?, connected_at}], a new reference; NUL bytes at the ends of lines are dropped, and lines that are empty or
 * not of that form are left out. NULL: no memory. `when` is the time that is told.
 */
json_t *divvy_agent_connections_parse(const char *bytes, size_t length, const char *when);

/* The file of a worker, STATE/connections/WORKER.txt; without one an empty list. What is beyond DIVVY_AGENT_CONNECTIONS_BYTES is not read. */
json_t *divvy_agent_connections_read(const char *state_folder, const char *worker);

#endif
