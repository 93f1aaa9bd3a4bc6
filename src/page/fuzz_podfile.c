/*
 * Fuzz target of the pod file: foreign bytes must be refused, or read and worked on without a crash, and what holds of a file
 * must hold after any operation.
 *
 * Input: a file's content as it is, and the same bytes as patches of a valid file (4 bytes of offset, 8 of content each). Both
 * are read in every way; what validates is also worked on.
 */
#include "page/podfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds) {
    if (!holds)
        abort();
}

static bool is_amount(double value) { return value - value == 0 && value >= 0; }

static void read_all(const struct divvy_podfile *file) {
    static uint64_t pids[DIVVY_PODFILE_PIDS];
    struct divvy_podfile_entry entry;

    (void)divvy_podfile_is_healthy(file, 1000);
    expect(divvy_podfile_pid_list(file, pids, DIVVY_PODFILE_PIDS) <= DIVVY_PODFILE_PIDS);
    expect(divvy_podfile_device_read(file, DIVVY_PODFILE_DEVICES, &entry) == -ERANGE);
    for (unsigned i = 0; i < DIVVY_PODFILE_DEVICES; i++) {
        expect(divvy_podfile_device_read(file, i, &entry) == 0);
        expect(memchr(entry.uuid, '\0', sizeof entry.uuid) != NULL);
        expect(is_amount(entry.rate) && is_amount(entry.capacity) && is_amount(entry.tokens) && is_amount(entry.last_update));
        if (entry.is_active && entry.uuid[0])
            expect(divvy_podfile_device_find(file, entry.uuid) <= (int)i);
    }
}

static void work_on(const struct divvy_podfile *file) {
    struct divvy_podfile_limits limits = {.uuid = "GPU-00000000-0000-0000-0000-000000000001", .up_limit = 30};
    struct divvy_podfile_entry before, after;
    int taken;

    expect(divvy_podfile_device_read(file, 3, &before) == 0);
    taken = divvy_podfile_tokens_take(file, 3, 4);
    expect(divvy_podfile_device_read(file, 3, &after) == 0);
    expect((taken == 0) == (before.tokens >= 4) && after.tokens <= before.tokens);
    expect(divvy_podfile_tokens_add(file, 3, 5) == 0 && divvy_podfile_tokens_drop(file, 3, 2, 1) == 0);
    expect(divvy_podfile_device_read(file, 3, &after) == 0);
    expect(after.tokens <= after.capacity || after.tokens <= 1);
    expect(divvy_podfile_device_set(file, 3, &limits, 1) == 0 && divvy_podfile_device_find(file, limits.uuid) <= 3);
    expect(divvy_podfile_device_clear(file, 3) == 0 && file->v2->device_count < DIVVY_PODFILE_DEVICES);
    /* A lock held by somebody who lives would only be waited for. */
    expect(divvy_podfile_lock_reset(file) == 0 && file->v2->pid_set.length <= DIVVY_PODFILE_PIDS);
    taken = divvy_podfile_pid_add(file, 77);
    expect(taken == 0 || taken == -ENOSPC);
    if (taken == 0)
        expect(divvy_podfile_pid_remove(file, 77) == 0);
    expect(file->v2->pid_set.lock == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct divvy_podfile_v2 page;
    struct divvy_podfile file = {.v2 = &page};
    uint64_t *exact = calloc(1, size ? size : 1);

    if (!exact)
        return 0;
    if (size)
        memcpy(exact, data, size);
    if (divvy_podfile_validate(exact, size) == 0) {
        expect(size == sizeof page);
        memcpy(&page, exact, sizeof page);
        file.tag = page.tag;
        read_all(&file);
    }
    free(exact);

    memset(&page, 0, sizeof page);
    page.tag = DIVVY_PODFILE_TAG_V2;
    for (; size >= 12; data += 12, size -= 12) {
        uint32_t offset;

        memcpy(&offset, data, sizeof offset);
        memcpy((uint8_t *)&page + offset % (uint32_t)(sizeof page - 7), data + 4, 8);
    }
    if (divvy_podfile_validate(&page, sizeof page) < 0)
        return 0;
    file.tag = page.tag;
    read_all(&file);
    if (file.tag == DIVVY_PODFILE_TAG_V2)
        work_on(&file);
    return 0;
}
