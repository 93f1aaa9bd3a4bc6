/* Every exported name: there, not initialised before cuInit, safe against nothing but zeros, and
 * given out by cuGetProcAddress exactly as its row of the table says. */
#include "check.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    const char *symbol, *api;
    int since;
    const char *form;
    void *address;
} row_t;

#define ROW(symbol, api, since, form, kind, parameters, arguments)                                 \
    {#symbol, #api, since, #form, NULL},
static row_t rows[] = {DIVVY_CUDA_DRIVER_TABLE(ROW)};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

typedef CUresult (*any_fn)(long, long, long, long, long, long, long, long, long, long, long, long,
                           long, long, long, long);

static CUresult call_zeros(const row_t *row) {
    return ((any_fn)row->address)(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

/* The first two arguments point to bytes that mean nothing: outputs go there, and as handles they are none. */
static void call_garbage(const row_t *row) {
    static long bytes[4096];
    memset(bytes, 0x5a, sizeof(bytes) - sizeof(bytes[0]));
    ((any_fn)row->address)((long)bytes, (long)(bytes + 2048), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                           0);
}

static bool anytime(const char *symbol) {
    static const char *const names[] = {
        "cuInit",           "cuDriverGetVersion",  "cuGetErrorName",  "cuGetErrorString",
        "cuGetProcAddress", "cuGetProcAddress_v2", "cuGetExportTable"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i], symbol))
            return true;
    return false;
}

static void uninitialised(const char *when) {
    for (int i = 0; i < ROWS; i++)
        if (!anytime(rows[i].symbol) && call_zeros(rows + i) != CUDA_ERROR_NOT_INITIALIZED)
            FAIL("%s %s: %d", rows[i].symbol, when, call_zeros(rows + i));
}

/* What the table says, written down a second time: the newest plain row, and its twin where that
 * is wanted, exists and is not newer than asked for. */
static void *expected(const char *api, int version, bool per_thread) {
    const row_t *plain = NULL;
    for (int i = 0; i < ROWS; i++)
        if (!strcmp(rows[i].api, api) && !strcmp(rows[i].form, "PLAIN") &&
            rows[i].since <= version && (!plain || rows[i].since > plain->since))
            plain = rows + i;
    if (!plain || !per_thread)
        return plain ? plain->address : NULL;
    for (int i = 0; i < ROWS; i++) {
        size_t length = strlen(plain->symbol);
        if (rows[i].since <= version && !strncmp(rows[i].symbol, plain->symbol, length) &&
            (!strcmp(rows[i].symbol + length, "_ptsz") ||
             !strcmp(rows[i].symbol + length, "_ptds")))
            return rows[i].address;
    }
    return plain->address;
}

static void check_lookup(const char *api, int version, cuuint64_t flags) {
    void *want = expected(api, version, flags == 2), *got = &got;
    CUdriverProcAddressQueryResult status = 99;
    OK(cuGetProcAddress_v2(api, &got, version, flags, &status));
    if (got != want)
        FAIL("%s at %d flags %d: wrong form", api, version, (int)flags);
    EQUAL(status, want ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    got = &got;
    IS(want ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND, cuGetProcAddress(api, &got, version, flags));
    TRUE(got == want);
}

static void lookups(void) {
    for (int i = 0; i < ROWS; i++)
        for (cuuint64_t flags = 0; flags <= 2; flags++) {
            check_lookup(rows[i].api, rows[i].since, flags);
            check_lookup(rows[i].api, rows[i].since - 1, flags);
            check_lookup(rows[i].api, 13000, flags);
            check_lookup(rows[i].api, 12000, flags);
            check_lookup(rows[i].api, 7000, flags);
            check_lookup(rows[i].api, 99000, flags);
        }
    void *got = &got;
    CUdriverProcAddressQueryResult status = 99;
    OK(cuGetProcAddress_v2("cuNoSuchThing", &got, 13000, 0, &status));
    TRUE(!got);
    EQUAL(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    IS(CUDA_ERROR_NOT_FOUND, cuGetProcAddress("cuNoSuchThing", &got, 13000, 0));
    IS(CUDA_ERROR_NOT_FOUND,
       cuGetProcAddress_v2("cuMemAlloc_v2", &got, 13000, 0, NULL)); /* a symbol is no name */
    IS(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress_v2(NULL, &got, 13000, 0, &status));
    IS(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress_v2("cuInit", NULL, 13000, 0, &status));
    IS(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress_v2("cuInit", &got, 13000, 4, &status));
    IS(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress_v2("cuInit", &got, 13000, 3, &status));
}

static void errors(void) {
    const char *text;
    int known = 0;
    for (int code = 0; code < 1000; code++)
        if (cuGetErrorName((CUresult)code, &text) == CUDA_SUCCESS) {
            TRUE(!strncmp(text, "CUDA_", 5));
            OK(cuGetErrorString((CUresult)code, &text));
            TRUE(text && *text);
            known++;
        }
    EQUAL(known, 101);
    IS(CUDA_ERROR_INVALID_VALUE, cuGetErrorString((CUresult)12345, &text));
    TRUE(!text);
    IS(CUDA_ERROR_INVALID_VALUE, cuGetErrorName(CUDA_SUCCESS, NULL));
}

int main(void) {
    int version;
    const void *export_table;
    CUuuid id = {{0}};
    for (int i = 0; i < ROWS; i++) {
        rows[i].address = dlsym(RTLD_DEFAULT, rows[i].symbol);
        if (!rows[i].address)
            FAIL("%s is not exported", rows[i].symbol);
    }
    lookups(); /* works before cuInit */
    OK(cuDriverGetVersion(&version));
    EQUAL(version, 13000);
    IS(CUDA_ERROR_NOT_FOUND, cuGetExportTable(&export_table, &id));
    errors();
    uninitialised("before cuInit");
    IS(CUDA_ERROR_INVALID_VALUE, cuInit(1));
    OK(cuInit(0));
    for (int i = 0; i < ROWS; i++)
        call_zeros(rows + i); /* no crash, without a context ... */
    begin();
    for (int i = 0; i < ROWS; i++)
        if (strncmp(rows[i].symbol, "cuDevicePrimaryCtxRe", 20) &&
            strncmp(rows[i].symbol, "cuStreamBeginCapture", 20) &&
            strncmp(rows[i].symbol, "cuCtxPopCurrent", 15) &&
            strcmp(rows[i].symbol, "cuCtxSetCurrent"))
            call_zeros(rows + i); /* ... and with one */
    begin();
    for (int i = 0; i < ROWS; i++)
        if (strncmp(rows[i].symbol, "cuMemHostRegister", 17))
            call_garbage(rows + i); /* what is no handle is told from one */
    fixture_t f;
    pid_t child = fork();
    if (!child) {
        uninitialised("after fork");
        IS(CUDA_ERROR_NOT_INITIALIZED, cuInit(0));
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    f = begin();
    CUdeviceptr p = words(64, 1); /* and everything still works */
    OK(add1(&f, p, 64, NULL));
    EQUAL(word_at(p, 63), 2);
    return 0;
}
