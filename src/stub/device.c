/* The registers, buffers and states of the vGPU. */
#include "stub/device.h"

#include <errno.h>
#include <string.h>

static uint32_t get(const struct divvy_stub_device *device, uint32_t offset) {
    return device->registers[offset / 4];
}

static void set(struct divvy_stub_device *device, uint32_t offset, uint32_t value) {
    device->registers[offset / 4] = value;
}

void divvy_stub_device_init(struct divvy_stub_device *device, const struct divvy_stub_identity *identity) {
    memset(device, 0, sizeof *device);
    set(device, DIVVY_STUB_REG_POOL_ID, (uint8_t)identity->pool_id);
    set(device, DIVVY_STUB_REG_PRIORITY, identity->priority);
    set(device, DIVVY_STUB_REG_VM_ID, identity->vm_id);
    set(device, DIVVY_STUB_REG_PROTOCOL_VER, DIVVY_WIRE_VGPU_VERSION);
    set(device, DIVVY_STUB_REG_CAPABILITIES, identity->capabilities);
}

void divvy_stub_device_reset(struct divvy_stub_device *device) {
    const struct divvy_stub_identity identity = {
        .vm_id = get(device, DIVVY_STUB_REG_VM_ID),
        .pool_id = (char)get(device, DIVVY_STUB_REG_POOL_ID),
        .priority = (uint8_t)get(device, DIVVY_STUB_REG_PRIORITY),
        .capabilities = get(device, DIVVY_STUB_REG_CAPABILITIES),
    };

    divvy_stub_device_init(device, &identity);
}

static uint8_t byte_read(const struct divvy_stub_device *device, uint64_t offset) {
    if (offset < DIVVY_STUB_REGISTERS_BYTES)
        return (uint8_t)(device->registers[offset / 4] >> 8 * (offset % 4));
    if (offset < DIVVY_STUB_RESPONSE_OFFSET)
        return device->request[offset - DIVVY_STUB_REQUEST_OFFSET];
    if (offset < DIVVY_STUB_RESPONSE_OFFSET + DIVVY_STUB_BUFFER_BYTES)
        return device->response[offset - DIVVY_STUB_RESPONSE_OFFSET];
    return 0;
}

uint64_t divvy_stub_device_read(const struct divvy_stub_device *device, uint64_t offset, uint32_t size) {
    uint64_t value = 0;

    if (size == 0 || size > 8)
        return UINT64_MAX;
    for (uint32_t i = 0; i < size && offset < DIVVY_STUB_BAR_BYTES; i++, offset++)
        value |= (uint64_t)byte_read(device, offset) << 8 * i;
    return value;
}

bool divvy_stub_device_is_busy(const struct divvy_stub_device *device) {
    return get(device, DIVVY_STUB_REG_STATUS) == DIVVY_STUB_STATUS_BUSY;
}

static void end(struct divvy_stub_device *device, divvy_wire_vgpu_code_t code, uint32_t response_bytes, uint64_t now_ns) {
    bool is_good = code == DIVVY_WIRE_VGPU_CODE_NONE;
    uint32_t raised = is_good ? DIVVY_STUB_IRQ_DONE : DIVVY_STUB_IRQ_FAILED;

    set(device, DIVVY_STUB_REG_ERROR_CODE, code);
    set(device, DIVVY_STUB_REG_RESPONSE_LEN, response_bytes);
    set(device, DIVVY_STUB_REG_TIMESTAMP_LO, (uint32_t)now_ns);
    set(device, DIVVY_STUB_REG_TIMESTAMP_HI, (uint32_t)(now_ns >> 32));
    set(device, DIVVY_STUB_REG_IRQ_STATUS, get(device, DIVVY_STUB_REG_IRQ_STATUS) | raised);
    set(device, DIVVY_STUB_REG_STATUS, is_good ? DIVVY_STUB_STATUS_DONE : DIVVY_STUB_STATUS_ERROR);
    device->submitted_bytes = 0;
}

static bool submit(struct divvy_stub_device *device, uint64_t now_ns) {
    uint32_t length = get(device, DIVVY_STUB_REG_REQUEST_LEN);
    struct divvy_wire_vgpu_body body;
    divvy_wire_vgpu_code_t code;

    if (divvy_stub_device_is_busy(device))
        return false;
    code = divvy_wire_vgpu_request_read(device->request, length, &body);
    if (code != DIVVY_WIRE_VGPU_CODE_NONE) {
        end(device, code, 0, now_ns);
        return false;
    }
    memcpy(device->submitted, device->request, length);
    device->submitted_bytes = length;
    set(device, DIVVY_STUB_REG_ERROR_CODE, DIVVY_WIRE_VGPU_CODE_NONE);
    set(device, DIVVY_STUB_REG_RESPONSE_LEN, 0);
    set(device, DIVVY_STUB_REG_STATUS, DIVVY_STUB_STATUS_BUSY);
    return true;
}

static bool word_write(struct divvy_stub_device *device, uint32_t offset, uint32_t value, uint64_t now_ns) {
    size_t count;
    const struct divvy_stub_register *row = &divvy_stub_registers(&count)[offset / 4];

    switch (row->access) {
    case DIVVY_STUB_ACCESS_RW:
        set(device, offset, value);
        return false;
    case DIVVY_STUB_ACCESS_W1C:
        set(device, offset, get(device, offset) & ~value);
        return false;
    case DIVVY_STUB_ACCESS_CMD:
        return value == 1 && submit(device, now_ns);
    default:
        return false;
    }
}

bool divvy_stub_device_write(struct divvy_stub_device *device, uint64_t offset, uint64_t value, uint32_t size,
                             uint64_t now_ns) {
    bool is_submitted = false;

    if (size == 0 || size > 8 || offset >= DIVVY_STUB_BAR_BYTES)
        return false;
    if (offset < DIVVY_STUB_REGISTERS_BYTES) {
        if (offset % 4 != 0 || size % 4 != 0)
            return false;
        is_submitted = word_write(device, (uint32_t)offset, (uint32_t)value, now_ns);
        if (size == 4)
            return is_submitted;
        offset += 4, value >>= 32, size = 4;
        if (offset < DIVVY_STUB_REGISTERS_BYTES)
            return word_write(device, (uint32_t)offset, (uint32_t)value, now_ns) || is_submitted;
    }
    for (uint32_t i = 0; i < size && offset + i < DIVVY_STUB_RESPONSE_OFFSET; i++)
        device->request[offset + i - DIVVY_STUB_REQUEST_OFFSET] = (uint8_t)(value >> 8 * i);
    return is_submitted;
}

/* The codes that a guest knows; what else a response may say is an error of CUDA to it. */
static divvy_wire_vgpu_code_t code_of(uint32_t status) {
    bool is_known = status <= DIVVY_WIRE_VGPU_CODE_QUARANTINED || status >= DIVVY_WIRE_VGPU_CODE_CUDA_FIRST;

    return is_known ? (divvy_wire_vgpu_code_t)status : DIVVY_WIRE_VGPU_CODE_CUDA;
}

int divvy_stub_device_complete(struct divvy_stub_device *device, const uint8_t *bytes, uint32_t size, uint64_t now_ns) {
    struct divvy_wire_vgpu_body body;

    if (!divvy_stub_device_is_busy(device))
        return 0;
    if (divvy_wire_vgpu_response_read(bytes, size, &body) != DIVVY_WIRE_VGPU_CODE_NONE)
        return -EPROTO;
    memset(device->response, 0, sizeof device->response);
    memcpy(device->response, bytes, size);
    end(device, code_of(body.code), size, now_ns);
    return 0;
}

void divvy_stub_device_fail(struct divvy_stub_device *device, divvy_wire_vgpu_code_t code, uint64_t now_ns) {
    if (divvy_stub_device_is_busy(device))
        end(device, code, 0, now_ns);
}
