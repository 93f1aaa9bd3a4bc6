/* Which devices there are, and what tells one from another. */
#include "simgpu/nvml/api.h"

#include "core/uuid.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- counting and finding ------------------------------------------------------------------------ */

nvmlReturn_t NVM(nvmlDeviceGetCount_v2)(unsigned int *deviceCount) {
    NVM_REQUIRE(deviceCount);
    *deviceCount = (unsigned int)divvy_simgpu_device_count();
    return NVML_SUCCESS;
}

/* The first versions leave out devices that this user may not touch; here there are none such. */
nvmlReturn_t NVM(nvmlDeviceGetCount)(unsigned int *deviceCount) {
    return NVM(nvmlDeviceGetCount_v2)(deviceCount);
}

static nvmlReturn_t handle_of(int index, nvmlDevice_t *ret_device) {
    const divvy_simgpu_device_t *facts;

    NVM_TRY(divvy_nvml_device(divvy_nvml_handle(index), &facts));
    *ret_device = divvy_nvml_handle(index);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetHandleByIndex_v2)(unsigned int index, nvmlDevice_t *device) {
    NVM_REQUIRE(device);
    if (index >= (unsigned int)divvy_simgpu_device_count())
        return NVML_ERROR_INVALID_ARGUMENT;
    return handle_of((int)index, device);
}

nvmlReturn_t NVM(nvmlDeviceGetHandleByIndex)(unsigned int index, nvmlDevice_t *device) {
    return NVM(nvmlDeviceGetHandleByIndex_v2)(index, device);
}

typedef bool mig_has_fn(const divvy_simgpu_ci_t *ci, const void *wanted);

static bool mig_has_text(const divvy_simgpu_ci_t *ci, const void *wanted) {
    return strcasecmp(ci->uuid_plain, wanted) == 0 || strcasecmp(ci->uuid_legacy, wanted) == 0;
}

static bool mig_has_bytes(const divvy_simgpu_ci_t *ci, const void *wanted) {
    const divvy_simgpu_device_t *facts = divvy_simgpu_device_get(ci->unit);

    return facts != NULL && memcmp(facts->uuid, wanted, sizeof(facts->uuid)) == 0;
}

/* The MIG device of which HAS holds. */
static nvmlReturn_t mig_find(mig_has_fn *has, const void *wanted, nvmlDevice_t *ret_device) {
    divvy_simgpu_ci_t ci;

    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        if (!divvy_nvml_is_divided(i))
            continue;
        for (unsigned int index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++) {
            if (divvy_simgpu_ci_get(i, index, &ci) == 0 && has(&ci, wanted)) {
                *ret_device = divvy_nvml_mig_handle(&ci);
                return NVML_SUCCESS;
            }
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

/* More lenient than the real library, which takes a UUID in lower case only. */
nvmlReturn_t NVM(nvmlDeviceGetHandleByUUID)(const char *uuid, nvmlDevice_t *device) {
    NVM_REQUIRE(uuid);
    NVM_REQUIRE(device);
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        const char *own = divvy_simgpu_device_get(i)->uuid_text;

        if (divvy_core_uuid_text_equal(uuid, strlen(uuid), own, strlen(own)))
            return handle_of(i, device);
    }
    return mig_find(mig_has_text, uuid, device);
}

nvmlReturn_t NVM(nvmlDeviceGetHandleByUUIDV)(const nvmlUUID_t *uuid, nvmlDevice_t *device) {
    NVM_REQUIRE(uuid);
    NVM_REQUIRE(device);
    if (uuid->version != NVML_STRUCT_VERSION(UUID, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (uuid->type == NVML_UUID_TYPE_ASCII) {
        if (memchr(uuid->value.str, '\0', sizeof(uuid->value.str)) == NULL)
            return NVML_ERROR_INVALID_ARGUMENT;
        return NVM(nvmlDeviceGetHandleByUUID)(uuid->value.str, device);
    }
    if (uuid->type != NVML_UUID_TYPE_BINARY)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        if (memcmp(uuid->value.bytes, divvy_simgpu_device_get(i)->uuid, 16) == 0)
            return handle_of(i, device);
    }
    return mig_find(mig_has_bytes, uuid->value.bytes, device);
}

/* "domain:bus:device.0", where the domain and ".0" may be missing; every number is hexadecimal. */
static bool pci_read(const char *text, unsigned int *domain, unsigned int *bus, unsigned int *slot) {
    unsigned int function = 0;
    int end = 0;

    if (strlen(text) >= NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE)
        return false;
    if (sscanf(text, "%8x:%2x:%2x%n", domain, bus, slot, &end) != 3) {
        *domain = 0;
        if (sscanf(text, "%2x:%2x%n", bus, slot, &end) != 2)
            return false;
    }
    text += end;
    return *text == '\0' || (sscanf(text, ".%1x%n", &function, &end) == 1 && function == 0 &&
                             text[end] == '\0');
}

nvmlReturn_t NVM(nvmlDeviceGetHandleByPciBusId_v2)(const char *pciBusId, nvmlDevice_t *device) {
    unsigned int domain, bus, slot;

    NVM_REQUIRE(pciBusId);
    NVM_REQUIRE(device);
    if (!pci_read(pciBusId, &domain, &bus, &slot))
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        const divvy_simgpu_device_t *facts = divvy_simgpu_device_get(i);

        if (facts->pci_domain == domain && facts->pci_bus == bus && facts->pci_device == slot)
            return handle_of(i, device);
    }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t NVM(nvmlDeviceGetHandleByPciBusId)(const char *pciBusId, nvmlDevice_t *device) {
    return NVM(nvmlDeviceGetHandleByPciBusId_v2)(pciBusId, device);
}

nvmlReturn_t NVM(nvmlDeviceGetHandleBySerial)(const char *serial, nvmlDevice_t *device) {
    NVM_REQUIRE(serial);
    NVM_REQUIRE(device);
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        if (strcmp(serial, divvy_simgpu_device_get(i)->serial_text) == 0)
            return handle_of(i, device);
    }
    return NVML_ERROR_NOT_FOUND;
}

/* --- text ------------------------------------------------------------------------------------------ */

#define TEXT(symbol, argument, text)                                                               \
    nvmlReturn_t NVM(symbol)(nvmlDevice_t device, char *argument, unsigned int length) {           \
        NVM_ANY_DEVICE(facts, device);                                                             \
        return divvy_nvml_text(text, argument, length);                                            \
    }

TEXT(nvmlDeviceGetName, name, facts->name)
TEXT(nvmlDeviceGetUUID, uuid, facts->uuid_text)
TEXT(nvmlDeviceGetSerial, serial, facts->serial_text)
TEXT(nvmlDeviceGetVbiosVersion, version, "96.00.00.00.00")
TEXT(nvmlDeviceGetBoardPartNumber, partNumber, "simulated")

/* The one text call without a length: 64 bytes by contract. */
nvmlReturn_t NVM(nvmlDeviceGetGspFirmwareVersion)(nvmlDevice_t device, char *version) {
    char driver[DIVVY_NVML_DRIVER_BYTES];
    NVM_DEVICE(facts, device);

    divvy_nvml_driver_version(driver);
    return divvy_nvml_text(driver, version, NVML_GSP_FIRMWARE_VERSION_BUF_SIZE);
}

/* --- PCI -------------------------------------------------------------------------------------------- */

/* The first version of the call knows neither the subsystem nor the longer bus id of the structure's end. */
nvmlReturn_t NVM(nvmlDeviceGetPciInfo_v3)(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    NVM_ANY_DEVICE(facts, device);
    NVM_REQUIRE(pci);
    memset(pci, 0, sizeof(*pci));
    pci->domain = facts->pci_domain;
    pci->bus = facts->pci_bus;
    pci->device = facts->pci_device;
    pci->pciDeviceId = facts->pci_id;
    pci->pciSubSystemId = facts->pci_subsystem_id;
    (void)snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), NVML_DEVICE_PCI_BUS_ID_LEGACY_FMT,
                   pci->domain & 0xffffu, pci->bus & 0xffu, pci->device & 0xffu);
    (void)snprintf(pci->busId, sizeof(pci->busId), NVML_DEVICE_PCI_BUS_ID_FMT, pci->domain,
                   pci->bus & 0xffu, pci->device & 0xffu);
    return NVML_SUCCESS;
}

/* nvmlPciInfo_t as the first and second version of the call knew it: no long bus id, four reserved words. */
typedef struct {
    char busId[NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE];
    unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
    unsigned int reserved[4];
} pci_info_v2_t;
_Static_assert(sizeof(pci_info_v2_t) == 52, "layout of nvmlPciInfo_t before its third version");

nvmlReturn_t NVM(nvmlDeviceGetPciInfo_v2)(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    nvmlPciInfo_t full;

    NVM_REQUIRE(pci);
    NVM_TRY(NVM(nvmlDeviceGetPciInfo_v3)(device, &full));
    memset(pci, 0, sizeof(pci_info_v2_t));
    memcpy(pci, &full, offsetof(pci_info_v2_t, reserved));
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetPciInfo)(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    return NVM(nvmlDeviceGetPciInfo_v2)(device, pci);
}

nvmlReturn_t NVM(nvmlDeviceGetPciInfoExt)(nvmlDevice_t device, nvmlPciInfoExt_t *pci) {
    nvmlPciInfo_t full;

    NVM_REQUIRE(pci);
    if (pci->version != NVML_STRUCT_VERSION(PciInfoExt, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    NVM_TRY(NVM(nvmlDeviceGetPciInfo_v3)(device, &full));
    pci->domain = full.domain;
    pci->bus = full.bus;
    pci->device = full.device;
    pci->pciDeviceId = full.pciDeviceId;
    pci->pciSubSystemId = full.pciSubSystemId;
    pci->baseClass = 0x03; /* display controller, ... */
    pci->subClass = 0x02;  /* ... 3D */
    memcpy(pci->busId, full.busId, sizeof(pci->busId));
    return NVML_SUCCESS;
}
