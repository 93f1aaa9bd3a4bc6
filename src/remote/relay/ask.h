/* One question to a relay that runs, on its socket for administration (admin.h). */
#ifndef DIVVY_REMOTE_RELAY_ASK_H
#define DIVVY_REMOTE_RELAY_ASK_H

#include "base/error.h"

#include <stdint.h>

/*
 * Blocks, at most for ten seconds for each part of the answer. *ret_text is the answer, a string, the caller's to free. -ENOTCONN: no
 * relay runs there; what the relay refused; -EPROTO; -ETIMEDOUT. Any thread.
 */
int divvy_relay_ask(const char *admin, uint32_t command, uint32_t parameter, char **ret_text, struct divvy_error *error);

#endif
