/* A program on a MIG device, for mig.sh: says what it sees, computes, or takes memory. */
#include "../driver/check.h"

#include <unistd.h>

static void print_uuid(const char *prefix, const CUuuid *uuid) {
    const unsigned char *b = (const unsigned char *)uuid->bytes;
    printf(" %s-", prefix);
    for (int i = 0; i < 16; i++)
        printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

/* A line for each device: name in brackets, MiB, SMs, both UUIDs, place on the bus. */
static int list(void) {
    CUresult result = cuInit(0);
    const char *name = "?";
    int count;
    if (result != CUDA_SUCCESS) {
        cuGetErrorName(result, &name);
        printf("cuInit: %s\n", name);
        return 0;
    }
    OK(cuDeviceGetCount(&count));
    for (int i = 0; i < count; i++) {
        char text[96], bus[32];
        size_t total;
        CUuuid own, whole;
        int sms;
        OK(cuDeviceGetName(text, sizeof(text), i));
        OK(cuDeviceTotalMem_v2(&total, i));
        OK(cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, i));
        OK(cuDeviceGetUuid_v2(&own, i));
        OK(cuDeviceGetUuid(&whole, i));
        OK(cuDeviceGetPCIBusId(bus, sizeof(bus), i));
        printf("[%s] %zu %d", text, total >> 20, sms);
        print_uuid("MIG", &own);
        print_uuid("GPU", &whole);
        printf(" %s\n", bus);
    }
    return 0;
}

/* MS kernels of one millisecond, queued at once; prints how long they took on the device. */
static int run(int ms) {
    fixture_t f = begin();
    CUevent from, to;
    float took;
    OK(cuEventCreate(&from, 0));
    OK(cuEventCreate(&to, 0));
    printf("ready\n");
    fflush(stdout);
    if (getchar() == EOF)
        return 1;
    OK(cuEventRecord(from, NULL));
    for (int i = 0; i < ms; i++)
        OK(cuLaunchKernel(f.tick, 1, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL));
    OK(cuEventRecord(to, NULL));
    OK(cuEventSynchronize(to));
    OK(cuEventElapsedTime(&took, from, to));
    printf("%.0f\n", (double)took);
    return 0;
}

/* Takes memory in pieces until there is no more; prints how much it got, the total, and stays. */
static int fill(void) {
    fixture_t f = begin();
    size_t free_now, total, got = 0, piece;
    CUdeviceptr p;
    (void)f;
    OK(cuMemGetInfo_v2(&free_now, &total));
    for (piece = total / 4; piece >= 1 << 20; piece /= 2)
        while (cuMemAlloc_v2(&p, piece) == CUDA_SUCCESS)
            got += piece;
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc_v2(&p, total));
    printf("%zu %zu\n", got >> 20, total >> 20);
    fflush(stdout);
    (void)getchar();
    return 0;
}

int main(int argc, char **argv) {
    const char *role = argc > 1 ? argv[1] : "list";
    if (!strcmp(role, "run"))
        return run(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 100);
    return strcmp(role, "fill") ? list() : fill();
}
