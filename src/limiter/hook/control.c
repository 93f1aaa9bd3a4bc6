/* The tenant's control page: see control.h. */
#include "limiter/hook/control.h"

#include "core/log.h"
#include "core/sys.h"
#include "core/text.h"
#include "limiter/hook/door.h"
#include "limiter/hook/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 1024

struct divvy_control_link divvy_control_link;

static char bell[PATH_BYTES];

static bool path_make(char path[PATH_BYTES], const char *folder, const char *name) {
    divvy_core_text_t text;

    divvy_core_text_init(&text, path, PATH_BYTES);
    divvy_core_text_format(&text, "%s/%s", folder, name);
    return !text.is_cut;
}

int divvy_control_attach(void) {
    const char *folder = getenv("DIVVY_TENANT_DIR");
    char path[PATH_BYTES];
    int status;

    if (!folder || !*folder || !path_make(path, folder, DIVVY_CONTROL_FILE) ||
        !path_make(bell, folder, DIVVY_CONTROL_BELL))
        return 0;
    status = divvy_control_open(path, &divvy_control_link.page);
    if (status == -ENOENT)
        return 0;
    if (status == 0)
        divvy_door = &divvy_control_link.page->door;
    if (status < 0)
        divvy_core_log_once(DIVVY_LOG_ERROR,
                            "DIVVY_TENANT_DIR: %s is no control page that can be believed: %s (errno %d); it must be one of "
                            "this version of divvyd, of root or this user, and writable by nobody else; %s",
                            path, divvy_core_sys_error_text(status), -status, divvy_limits_what_follows());
    return status;
}

bool divvy_control_knows(const uint8_t uuid[16]) {
    return divvy_control_link.page && divvy_control_device_find(divvy_control_link.page, uuid) >= 0;
}

bool divvy_control_device_entered(struct divvy_page *usage, unsigned device, uint64_t physical_bytes) {
    int entry;

    if (!divvy_control_link.page)
        return false;
    entry = divvy_control_device_find(divvy_control_link.page, (const uint8_t *)&usage->devices[device].uuid);
    if (entry < 0)
        return false;
    divvy_control_link.devices[device] = &divvy_control_link.page->devices[entry];
    divvy_page_device_propose(usage, device, DIVVY_PAGE_UNLIMITED, DIVVY_PAGE_PERMILLE_UNLIMITED, physical_bytes);
    divvy_control_follow(usage, device);
    return true;
}

void divvy_control_ring(void) {
    /* For reading too: then the open never fails for want of a reader, and a write never raises SIGPIPE. */
    struct stat status;
    int fd;

    if (divvy_control_link.ring) {
        divvy_control_link.ring();
        return;
    }
    fd = divvy_core_sys_open(bell, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0);
    if (fd < 0)
        return;
    if (divvy_core_sys_fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode))
        (void)divvy_core_sys_write(fd, "!", 1); /* full: the daemon has enough to read */
    divvy_core_sys_close(&fd);
}
