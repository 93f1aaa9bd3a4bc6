/* What the files of the store share. Not for others. */
#ifndef DIVVY_REMOTE_RELAY_STORE_INSIDE_H
#define DIVVY_REMOTE_RELAY_STORE_INSIDE_H

#include "remote/relay/store.h"

#include <sqlite3.h>

struct divvy_relay_store {
    sqlite3 *db;
};

/* The database's last error, with what it was about in front; the errno that fits. */
int divvy_relay_store_failed(struct divvy_relay_store *store, const char *what, struct divvy_error *error);

/* A column's text, cut to `size`. */
void divvy_relay_store_text(sqlite3_stmt *row, int column, char *ret_text, size_t size);

#endif
