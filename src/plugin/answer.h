/*
 * Requests of the kubelet to answers, as bytes of its messages. The requests are hostile input: what is not well formed is -EINVAL.
 * But for a look whether device files are there, pure.
 *
 * Answers are malloc'd, the caller's; ret_length may be 0 with a buffer that is not NULL.
 */
#ifndef DIVVY_PLUGIN_ANSWER_H
#define DIVVY_PLUGIN_ANSWER_H

#include "base/error.h"
#include "plugin/slots.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_PLUGIN_CONTAINERS_MAX 64u /* in a request */

/* Where a container finds what it is given. */
#define DIVVY_PLUGIN_LIBRARY_INSIDE "/usr/lib/divvy"
#define DIVVY_PLUGIN_LIMITER_INSIDE DIVVY_PLUGIN_LIBRARY_INSIDE "/libcuda_limiter.so"
#define DIVVY_PLUGIN_PRELOAD_INSIDE "/etc/ld.so.preload"
#define DIVVY_PLUGIN_TENANT_INSIDE  "/run/divvy/tenant"

/* The node, as answers need it. All borrowed. */
struct divvy_plugin_node {
    const struct divvy_node_device *devices;
    size_t device_count;
    uint32_t slots; /* of each device, 1..DIVVY_PLUGIN_SLOTS_MAX */
    enum divvy_plugin_policy policy;
    const char *device_root; /* folder of device files: "/dev" */
    const char *library_dir; /* folder of the limiter on the host */
    const char *preload_file; /* what containers get as /etc/ld.so.preload, where it is there; empty: nothing */
    const char *slots_dir;   /* folder of the links to tenants' folders on the host */
    bool fails_open;         /* containers get DIVVY_FAIL_POLICY=open */
};

/* DevicePluginOptions; the list of all slots; RegisterRequest. -ENOMEM. */
int divvy_plugin_answer_options(uint8_t **ret_bytes, size_t *ret_length);
int divvy_plugin_answer_list(const struct divvy_plugin_node *node, uint8_t **ret_bytes, size_t *ret_length);
int divvy_plugin_request_register(const char *endpoint, const char *resource, uint8_t **ret_bytes, size_t *ret_length);

/*
 * -EINVAL: not a request, or not of our slots; -ENODEV: a device is not healthy; -ENOENT: a device file that a device cannot do
 * without is missing; -ENOMEM.
 */
int divvy_plugin_answer_allocate(const struct divvy_plugin_node *node, const uint8_t *request, size_t length, uint8_t **ret_bytes,
                                 size_t *ret_length, struct divvy_error *error);
/* -EINVAL, -ENOMEM. */
int divvy_plugin_answer_preferred(const struct divvy_plugin_node *node, const uint8_t *request, size_t length, uint8_t **ret_bytes,
                                  size_t *ret_length, struct divvy_error *error);
/* The slots of a PreStartContainerRequest: how many (by device and number), -EINVAL, -ENODEV. ret_slots: DIVVY_PLUGIN_IDS_MAX entries. */
int divvy_plugin_request_start(const struct divvy_plugin_node *node, const uint8_t *request, size_t length,
                               struct divvy_plugin_slot *ret_slots, struct divvy_error *error);

#endif
