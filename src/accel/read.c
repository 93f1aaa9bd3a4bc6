/* Fields that a library wrote, as they may be trusted: see library.h. */
#include "accel/library.h"
#include "base/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define FIELD_BYTES 1026u /* the longest field of the ABI */

bool divvy_accel_text_read(const char *field, size_t field_bytes, char *ret_text, size_t size_bytes) {
    char text[FIELD_BYTES + 1];
    size_t length = strnlen(field, field_bytes < FIELD_BYTES ? field_bytes : FIELD_BYTES);

    memcpy(text, field, length);
    text[length] = '\0';
    divvy_text_clean(text, ret_text, size_bytes);
    return length < field_bytes && strcmp(text, ret_text) == 0;
}

bool divvy_accel_bool_read(const bool *field) {
    unsigned char byte;

    memcpy(&byte, field, 1);
    return byte != 0;
}

double divvy_accel_figure_read(double value) {
    return isfinite(value) && value > 0 ? value : 0;
}

int divvy_accel_id_check(const char *what, const char *id, struct divvy_error *error) {
    if (!id || !id[0])
        return divvy_error_set(error, -EINVAL, "%s is missing", what);
    if (strnlen(id, DIVVY_ACCEL_NAME_BYTES) == DIVVY_ACCEL_NAME_BYTES)
        return divvy_error_set(error, -EINVAL, "%s is longer than %u bytes", what, DIVVY_ACCEL_NAME_BYTES - 1);
    return 0;
}
