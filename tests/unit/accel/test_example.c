/* limiter.h of the ABI in libaccelerator_example.so: allows everything, and limits nothing. */
#include "divvy/accelerator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_worker(void **state) {
    char endless[64];
    MemoryOpRecord memory;
    ComputeOpRecord compute;
    WorkerFreezeState worker;

    (void)state;
    memset(endless, 'e', sizeof endless);
    assert_int_equal(CheckAndRecordMemoryOps("1", "d", -5, &memory), ACCEL_SUCCESS);
    assert_true(!memory.shouldBlock && memory.availableBytes == UINT64_C(17179869184) && memory.bytesDiff == -5);
    assert_string_equal(memory.deviceUUID, "d");
    assert_int_equal(CheckAndRecordComputeOps("1", endless, 7, &compute), ACCEL_SUCCESS);
    assert_true(!compute.shouldBlock && compute.availableTokens == 1000000 && compute.computeTokens == 7);
    assert_int_equal(strlen(compute.deviceUUID), 63);
    assert_int_equal(FreezeWorker(endless, &worker), ACCEL_SUCCESS);
    assert_false(worker.isFrozen);
    assert_int_equal(ResumeWorker("w", &worker), ACCEL_SUCCESS);
    assert_string_equal(worker.workerId, "w");
    assert_int_equal(AutoFreeze("w", "d", "memory"), ACCEL_SUCCESS);
    assert_int_equal(AutoResume("w", "d", "compute"), ACCEL_SUCCESS);
    assert_int_equal(AddWorkerProcess("d", "1"), ACCEL_SUCCESS);
    assert_int_equal(CheckAndRecordMemoryOps(NULL, "d", 1, &memory), ACCEL_ERROR_INVALID_PARAM);
    assert_int_equal(CheckAndRecordMemoryOps("1", "d", 1, NULL), ACCEL_ERROR_INVALID_PARAM);
    assert_int_equal(CheckAndRecordComputeOps("1", NULL, 1, &compute), ACCEL_ERROR_INVALID_PARAM);
    assert_int_equal(FreezeWorker("w", NULL), ACCEL_ERROR_INVALID_PARAM);
    assert_int_equal(ResumeWorker(NULL, &worker), ACCEL_ERROR_INVALID_PARAM);
    assert_int_equal(AutoFreeze("w", "d", NULL), ACCEL_ERROR_INVALID_PARAM);
    assert_int_equal(AddWorkerProcess(NULL, "1"), ACCEL_ERROR_INVALID_PARAM);
}

static void test_host(void **state) {
    (void)state;
    assert_int_equal(LimiterInit("/dev/shm"), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(LimiterCreateWorker("n", "p", NULL, 0), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(LimiterRegisterPID("n", "p", 1), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(LimiterUpdateERL("n", "p", 0, 50, 40.0, 1), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(LimiterUpdateHeartbeat("n", "p", 1), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(LimiterSetPodMemoryUsed("n", "p", 0, 1), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(LimiterRemoveWorker("n", "p"), ACCEL_ERROR_NOT_SUPPORTED);
    assert_int_equal(LimiterShutdown(), ACCEL_ERROR_NOT_SUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worker), cmocka_unit_test(test_host)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
