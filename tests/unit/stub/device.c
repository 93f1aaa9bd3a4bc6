/* The vGPU's registers, its configuration space, and the messages of QEMU's link. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "stub/proxy.h"
#include "wire/vgpu/words.h"

static const struct divvy_stub_identity identity = {.vm_id = 12,
                                                    .pool_id = 'B',
                                                    .priority = 2,
                                                    .vendor = 0x1af4,
                                                    .device = 0x1111,
                                                    .sub_vendor = 0x1234,
                                                    .sub_device = 0x5678,
                                                    .capabilities = DIVVY_STUB_CAP_BASIC};
static struct divvy_stub_device device;

static int fresh(void **state) {
    (void)state;
    divvy_stub_device_init(&device, &identity);
    return 0;
}

static uint32_t get(uint32_t offset) {
    return (uint32_t)divvy_stub_device_read(&device, offset, 4);
}

static bool put(uint32_t offset, uint32_t value) {
    return divvy_stub_device_write(&device, offset, value, 4, 1);
}

/* Writes a request of these words with this length and rings. */
static bool ring(const uint32_t *words, size_t count, uint32_t length) {
    for (size_t i = 0; i < count; i++)
        put(DIVVY_STUB_REQUEST_OFFSET + 4 * (uint32_t)i, words[i]);
    put(DIVVY_STUB_REG_REQUEST_LEN, length);
    return put(DIVVY_STUB_REG_DOORBELL, 1);
}

static bool ring_nop(void) {
    const uint32_t words[8] = {DIVVY_WIRE_VGPU_VERSION};

    return ring(words, 8, 32);
}

static uint32_t response_make(uint32_t status, uint32_t result, uint8_t bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES]) {
    const struct divvy_wire_vgpu_body body = {.code = status, .word_count = 1, .words = {result}};

    return (uint32_t)divvy_wire_vgpu_response_write(&body, NULL, bytes);
}

/* --- registers ----------------------------------------------------------------------------------------- */

static void the_host_says_who_the_guest_is(void **state) {
    (void)state;
    assert_int_equal(get(DIVVY_STUB_REG_VM_ID), 12);
    assert_int_equal(get(DIVVY_STUB_REG_POOL_ID), 'B');
    assert_int_equal(get(DIVVY_STUB_REG_PRIORITY), 2);
    assert_int_equal(get(DIVVY_STUB_REG_PROTOCOL_VER), 0x00010000);
    assert_int_equal(get(DIVVY_STUB_REG_CAPABILITIES), 1);
    assert_int_equal(get(DIVVY_STUB_REG_STATUS), DIVVY_STUB_STATUS_IDLE);
}

/* Each row of the table, written all ones: what its access says happens, and nothing else. */
static void access_is_as_the_table_says(void **state) {
    size_t count;
    const struct divvy_stub_register *rows = divvy_stub_registers(&count);

    (void)state;
    assert_int_equal(count, 16);
    for (size_t i = 0; i < count; i++) {
        uint32_t before = get(rows[i].offset);

        assert_int_equal(rows[i].offset, 4 * i);
        assert_false(put(rows[i].offset, UINT32_MAX));
        switch (rows[i].access) {
        case DIVVY_STUB_ACCESS_RW:
            assert_int_equal(get(rows[i].offset), UINT32_MAX);
            break;
        case DIVVY_STUB_ACCESS_W1C:
        case DIVVY_STUB_ACCESS_CMD:
            assert_int_equal(get(rows[i].offset), 0);
            break;
        default:
            assert_int_equal(get(rows[i].offset), before);
        }
    }
}

static void interrupt_status_is_cleared_by_ones(void **state) {
    (void)state;
    assert_false(put(DIVVY_STUB_REG_DOORBELL, 1)); /* length 0: fails */
    assert_int_equal(get(DIVVY_STUB_REG_IRQ_STATUS), DIVVY_STUB_IRQ_FAILED);
    put(DIVVY_STUB_REG_IRQ_STATUS, DIVVY_STUB_IRQ_DONE);
    assert_int_equal(get(DIVVY_STUB_REG_IRQ_STATUS), DIVVY_STUB_IRQ_FAILED);
    put(DIVVY_STUB_REG_IRQ_STATUS, DIVVY_STUB_IRQ_FAILED);
    assert_int_equal(get(DIVVY_STUB_REG_IRQ_STATUS), 0);
}

static void buffers_take_bytes(void **state) {
    (void)state;
    divvy_stub_device_write(&device, 0x41, 0xAB, 1, 0);
    divvy_stub_device_write(&device, 0x42, 0xCDEF, 2, 0);
    assert_int_equal(get(0x40), 0xCDEFAB00);
    divvy_stub_device_write(&device, 0x43C, UINT64_MAX, 8, 0); /* half of it in the response buffer */
    assert_int_equal(get(0x43C), UINT32_MAX);
    assert_int_equal(get(0x440), 0);
    divvy_stub_device_write(&device, 0x440, UINT32_MAX, 4, 0);
    assert_int_equal(get(0x440), 0);
    divvy_stub_device_write(&device, 0x38, UINT64_C(0x1122334455667788), 8, 0); /* RO and SCRATCH */
    assert_int_equal(get(DIVVY_STUB_REG_TIMESTAMP_HI), 0);
    assert_int_equal(get(DIVVY_STUB_REG_SCRATCH), 0x11223344);
    divvy_stub_device_write(&device, 0x3C, 0xFF, 1, 0);
    divvy_stub_device_write(&device, 0x3E, 0xFFFF, 2, 0);
    assert_int_equal(get(DIVVY_STUB_REG_SCRATCH), 0x11223344);
    divvy_stub_device_write(&device, 0x3C, UINT64_C(0x0000000500000006), 8, 0); /* SCRATCH and the buffer's first word */
    assert_int_equal(get(DIVVY_STUB_REG_SCRATCH), 6);
    assert_int_equal(get(0x40), 5);
}

static void what_is_outside_reads_as_zero(void **state) {
    (void)state;
    assert_int_equal(divvy_stub_device_read(&device, 0x840, 4), 0);
    assert_int_equal(divvy_stub_device_read(&device, 0xFFC, 8), 0);
    assert_int_equal(divvy_stub_device_read(&device, UINT64_MAX, 8), 0);
    assert_true(divvy_stub_device_read(&device, 0, 9) == UINT64_MAX);
    assert_true(divvy_stub_device_read(&device, 0, 0) == UINT64_MAX);
    assert_false(divvy_stub_device_write(&device, UINT64_MAX - 3, 1, 8, 0));
}

/* --- requests ------------------------------------------------------------------------------------------ */

static void bad_requests_get_their_codes(void **state) {
    static const struct {
        uint32_t words[8];
        uint32_t length, code;
    } cases[] = {
        {{0x10000}, 0, DIVVY_WIRE_VGPU_CODE_EMPTY},
        {{0x10000}, 1025, DIVVY_WIRE_VGPU_CODE_TOO_LARGE},
        {{0x10000}, UINT32_MAX, DIVVY_WIRE_VGPU_CODE_TOO_LARGE},
        {{0x10000}, 31, DIVVY_WIRE_VGPU_CODE_INVALID},
        {{0x20000}, 32, DIVVY_WIRE_VGPU_CODE_INVALID},
        {{0x10000, 7}, 32, DIVVY_WIRE_VGPU_CODE_UNSUPPORTED},
        {{0x10000, 0, 0, 1}, 32, DIVVY_WIRE_VGPU_CODE_INVALID},
        {{0x10000, 0, 0, 0, 32, 1}, 32, DIVVY_WIRE_VGPU_CODE_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(ring(cases[i].words, 8, cases[i].length));
        assert_int_equal(get(DIVVY_STUB_REG_STATUS), DIVVY_STUB_STATUS_ERROR);
        assert_int_equal(get(DIVVY_STUB_REG_ERROR_CODE), cases[i].code);
    }
    assert_true(ring_nop());
    assert_int_equal(get(DIVVY_STUB_REG_ERROR_CODE), 0);
}

static void a_request_goes_and_its_answer_comes(void **state) {
    const uint32_t words[] = {DIVVY_WIRE_VGPU_VERSION, 1, 0, 2, 0, 0, 0, 0, 40, 2};
    uint8_t bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    uint32_t length = response_make(0, 42, bytes);

    (void)state;
    assert_true(ring(words, 10, 40));
    assert_int_equal(get(DIVVY_STUB_REG_STATUS), DIVVY_STUB_STATUS_BUSY);
    assert_int_equal(device.submitted_bytes, 40);
    put(DIVVY_STUB_REQUEST_OFFSET + 32, 99); /* the guest changes its mind: the request does not */
    assert_int_equal(divvy_wire_u32_get(device.submitted + 32), 40);
    assert_false(put(DIVVY_STUB_REG_DOORBELL, 1));
    assert_int_equal(get(DIVVY_STUB_REG_STATUS), DIVVY_STUB_STATUS_BUSY);
    assert_int_equal(divvy_stub_device_complete(&device, bytes, length, UINT64_C(0x700000009)), 0);
    assert_int_equal(get(DIVVY_STUB_REG_STATUS), DIVVY_STUB_STATUS_DONE);
    assert_int_equal(get(DIVVY_STUB_REG_RESPONSE_LEN), 36);
    assert_int_equal(get(DIVVY_STUB_RESPONSE_OFFSET + 32), 42);
    assert_int_equal(get(DIVVY_STUB_REG_TIMESTAMP_LO), 9);
    assert_int_equal(get(DIVVY_STUB_REG_TIMESTAMP_HI), 7);
    assert_int_equal(get(DIVVY_STUB_REG_IRQ_STATUS), DIVVY_STUB_IRQ_DONE);
    /* A second answer, and one to nothing, change nothing. */
    assert_int_equal(divvy_stub_device_complete(&device, bytes, length, 1), 0);
    divvy_stub_device_fail(&device, DIVVY_WIRE_VGPU_CODE_TIMEOUT, 1);
    assert_int_equal(get(DIVVY_STUB_REG_STATUS), DIVVY_STUB_STATUS_DONE);
    assert_int_equal(get(DIVVY_STUB_REG_TIMESTAMP_LO), 9);
}

static void errors_of_the_relay_reach_the_guest(void **state) {
    static const struct {
        uint32_t status, code;
    } cases[] = {{1, 1}, {8, 8}, {0x0B, 0x0B}, {0x0C, 5}, {0xEF, 5}, {0xF0, 0xF0}, {0xFF, 0xFF}};
    uint8_t bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(ring_nop());
        assert_int_equal(divvy_stub_device_complete(&device, bytes, response_make(cases[i].status, 0, bytes), 1), 0);
        assert_int_equal(get(DIVVY_STUB_REG_STATUS), DIVVY_STUB_STATUS_ERROR);
        assert_int_equal(get(DIVVY_STUB_REG_ERROR_CODE), cases[i].code);
    }
    assert_true(ring_nop());
    assert_int_equal(divvy_stub_device_complete(&device, bytes, 31, 1), -EPROTO);
    assert_int_equal(divvy_stub_device_complete(&device, bytes, 1025, 1), -EPROTO);
    assert_true(divvy_stub_device_is_busy(&device));
    divvy_stub_device_fail(&device, DIVVY_WIRE_VGPU_CODE_NO_RELAY, 1);
    assert_int_equal(get(DIVVY_STUB_REG_ERROR_CODE), DIVVY_WIRE_VGPU_CODE_NO_RELAY);
    assert_int_equal(get(DIVVY_STUB_REG_RESPONSE_LEN), 0);
}

static void old_answers_do_not_show_through(void **state) {
    struct divvy_wire_vgpu_body body = {.word_count = 200};
    uint8_t bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];

    (void)state;
    memset(body.words, 0xEE, sizeof body.words);
    assert_true(ring_nop());
    assert_int_equal(divvy_stub_device_complete(&device, bytes, (uint32_t)divvy_wire_vgpu_response_write(&body, NULL, bytes), 1), 0);
    assert_int_equal(get(DIVVY_STUB_RESPONSE_OFFSET + 32 + 4 * 199), 0xEEEEEEEE);
    assert_true(ring_nop());
    assert_int_equal(divvy_stub_device_complete(&device, bytes, response_make(0, 1, bytes), 1), 0);
    assert_int_equal(get(DIVVY_STUB_RESPONSE_OFFSET + 32 + 4 * 199), 0);
}

static void a_reset_forgets_all_but_the_identity(void **state) {
    (void)state;
    put(DIVVY_STUB_REG_SCRATCH, 5);
    assert_true(ring_nop());
    divvy_stub_device_reset(&device);
    assert_int_equal(get(DIVVY_STUB_REG_STATUS), DIVVY_STUB_STATUS_IDLE);
    assert_int_equal(get(DIVVY_STUB_REG_SCRATCH), 0);
    assert_int_equal(get(DIVVY_STUB_REQUEST_OFFSET), 0);
    the_host_says_who_the_guest_is(NULL);
}

static bool is_writable(uint32_t offset) {
    uint32_t word = offset & ~3u;

    return word >= DIVVY_STUB_REQUEST_OFFSET || word == DIVVY_STUB_REG_REQUEST_LEN || word == DIVVY_STUB_REG_IRQ_CTRL ||
           word == DIVVY_STUB_REG_REQUEST_ID || word == DIVVY_STUB_REG_SCRATCH;
}

/* Random accesses, of any size and alignment, against a model that is an array of bytes; no doorbell. */
static void random_accesses_against_a_model(void **state) {
    static uint8_t model[DIVVY_STUB_RESPONSE_OFFSET];
    unsigned int seed = (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (uint32_t i = 0; i < sizeof model; i++)
        model[i] = (uint8_t)divvy_stub_device_read(&device, i, 1);
    for (int round = 0; round < 200000; round++) {
        uint32_t offset = 8 + (uint32_t)rand() % (DIVVY_STUB_BAR_BYTES - 8), size = 1 + (uint32_t)rand() % 8;
        uint64_t value = (uint64_t)rand() << 33 ^ (uint64_t)rand(), expected = 0;
        bool is_taken = offset >= DIVVY_STUB_REGISTERS_BYTES || (offset % 4 == 0 && size % 4 == 0);

        assert_false(divvy_stub_device_write(&device, offset, value, size, 1));
        for (uint32_t i = 0; is_taken && i < size && offset + i < sizeof model; i++)
            if (is_writable(offset + i))
                model[offset + i] = (uint8_t)(value >> 8 * i);
        offset = 8 + (uint32_t)rand() % (DIVVY_STUB_BAR_BYTES - 8);
        for (uint32_t i = 0; i < size && offset + i < sizeof model; i++)
            expected |= (uint64_t)model[offset + i] << 8 * i;
        assert_true(divvy_stub_device_read(&device, offset, size) == expected);
    }
}

/* --- configuration space ------------------------------------------------------------------------------- */

static void bars_are_sized_as_qemu_does(void **state) {
    struct divvy_stub_pci pci;
    uint64_t offset;

    (void)state;
    divvy_stub_pci_init(&pci, &identity);
    assert_int_equal(divvy_stub_pci_read(&pci, 0, 4), 0x11111af4);
    assert_int_equal(divvy_stub_pci_read(&pci, 8, 4), 0x12000002);
    assert_int_equal(divvy_stub_pci_read(&pci, 0x2C, 4), 0x56781234);
    assert_int_equal(divvy_stub_pci_read(&pci, 0x3D, 1), 1);
    for (uint32_t i = 0; i < 7; i++) {
        divvy_stub_pci_write(&pci, 0x10 + 4 * i, UINT32_MAX, 4);
        assert_int_equal(divvy_stub_pci_read(&pci, 0x10 + 4 * i, 4), i == 0 ? 0xFFFFF000 : 0);
    }
    divvy_stub_pci_write(&pci, 0x10, 0xFEBF1000, 4);
    assert_true(divvy_stub_pci_locate(&pci, 0xFEBF1FFC, &offset));
    assert_int_equal(offset, 0xFFC);
    assert_false(divvy_stub_pci_locate(&pci, 0xFEBF2000, &offset));
    assert_false(divvy_stub_pci_locate(&pci, 0xFEBF0FFF, &offset));
    divvy_stub_pci_write(&pci, 0, 0, 4);
    assert_int_equal(divvy_stub_pci_read(&pci, 0, 4), 0x11111af4);
    divvy_stub_pci_write(&pci, 4, 0xFFFF, 2);
    assert_int_equal(divvy_stub_pci_read(&pci, 4, 2), 0x0406);
    assert_int_equal(divvy_stub_pci_read(&pci, 253, 4), UINT32_MAX);
    assert_int_equal(divvy_stub_pci_read(&pci, UINT32_MAX, 1), UINT32_MAX);
    assert_int_equal(divvy_stub_pci_read(&pci, 0, 3), UINT32_MAX);
    assert_int_equal(divvy_stub_pci_read(&pci, 0, -1), UINT32_MAX);
    divvy_stub_pci_write(&pci, 254, UINT32_MAX, 4);
}

/* --- QEMU's link --------------------------------------------------------------------------------------- */

struct message {
    int32_t command, pad;
    uint64_t size;
    union {
        struct {
            uint32_t address, value;
            int32_t length;
        } config;
        struct {
            uint64_t address, value;
            uint32_t size;
            uint8_t is_memory, pad[3];
        } bar;
        uint8_t bytes[400];
    } data;
};

static uint64_t answer_of(const struct divvy_stub_proxy_outcome *outcome) {
    uint64_t value;

    memcpy(&value, outcome->answer + 16, sizeof value);
    return value;
}

static void messages_are_answered(void **state) {
    struct message message = {.command = DIVVY_STUB_PROXY_CFG_READ, .size = 12, .data.config = {0, 0, 4}};
    struct divvy_stub_proxy_outcome outcome;
    struct divvy_stub_pci pci;

    (void)state;
    divvy_stub_pci_init(&pci, &identity);
    for (size_t cut = 0; cut < 28; cut++) { /* half a message waits for the rest */
        assert_int_equal(divvy_stub_proxy_handle(&pci, &device, (uint8_t *)&message, cut, 0, &outcome), 0);
        assert_int_equal(outcome.used_bytes, 0);
    }
    assert_int_equal(divvy_stub_proxy_handle(&pci, &device, (uint8_t *)&message, sizeof message, 0, &outcome), 0);
    assert_int_equal(outcome.used_bytes, 28);
    assert_true(outcome.has_answer);
    assert_int_equal(answer_of(&outcome), 0x11111af4);

    divvy_stub_pci_write(&pci, 0x10, 0xC0000000, 4);
    message = (struct message){.command = DIVVY_STUB_PROXY_BAR_WRITE, .size = 24, .data.bar = {0xC000003C, 77, 4, 1, {0}}};
    assert_int_equal(divvy_stub_proxy_handle(&pci, &device, (uint8_t *)&message, sizeof message, 0, &outcome), 0);
    message.command = DIVVY_STUB_PROXY_BAR_READ;
    assert_int_equal(divvy_stub_proxy_handle(&pci, &device, (uint8_t *)&message, sizeof message, 0, &outcome), 0);
    assert_int_equal(answer_of(&outcome), 77);
    message.data.bar.address = 0x3C; /* not where the BAR is */
    assert_int_equal(divvy_stub_proxy_handle(&pci, &device, (uint8_t *)&message, sizeof message, 0, &outcome), 0);
    assert_true(answer_of(&outcome) == UINT64_MAX);
    message = (struct message){.command = DIVVY_STUB_PROXY_RESET};
    assert_int_equal(divvy_stub_proxy_handle(&pci, &device, (uint8_t *)&message, 16, 0, &outcome), 0);
    assert_true(outcome.is_reset && outcome.has_answer);
    assert_int_equal(get(DIVVY_STUB_REG_SCRATCH), 0);
}

static void what_qemu_does_not_send_is_refused(void **state) {
    static const struct {
        int32_t command;
        uint64_t size;
        int status;
    } cases[] = {
        {0, 192, 0},  {0, 257, -EPROTO}, {1, 8, -EPROTO}, {3, 11, -EPROTO}, {3, 13, -EPROTO}, {4, UINT64_MAX, -EPROTO},
        {5, 24, 0},   {6, 0, 0},         {7, 0, 0},       {8, 0, -EPROTO},  {-1, 0, -EPROTO}, {INT32_MAX, 0, -EPROTO},
    };
    struct divvy_stub_proxy_outcome outcome;
    struct divvy_stub_pci pci;

    (void)state;
    divvy_stub_pci_init(&pci, &identity);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct message message = {.command = cases[i].command, .size = cases[i].size};

        assert_int_equal(divvy_stub_proxy_handle(&pci, &device, (uint8_t *)&message, sizeof message, 0, &outcome),
                         cases[i].status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_host_says_who_the_guest_is, fresh),
        cmocka_unit_test_setup(access_is_as_the_table_says, fresh),
        cmocka_unit_test_setup(interrupt_status_is_cleared_by_ones, fresh),
        cmocka_unit_test_setup(buffers_take_bytes, fresh),
        cmocka_unit_test_setup(what_is_outside_reads_as_zero, fresh),
        cmocka_unit_test_setup(bad_requests_get_their_codes, fresh),
        cmocka_unit_test_setup(a_request_goes_and_its_answer_comes, fresh),
        cmocka_unit_test_setup(errors_of_the_relay_reach_the_guest, fresh),
        cmocka_unit_test_setup(old_answers_do_not_show_through, fresh),
        cmocka_unit_test_setup(a_reset_forgets_all_but_the_identity, fresh),
        cmocka_unit_test_setup(random_accesses_against_a_model, fresh),
        cmocka_unit_test_setup(bars_are_sized_as_qemu_does, fresh),
        cmocka_unit_test_setup(messages_are_answered, fresh),
        cmocka_unit_test_setup(what_qemu_does_not_send_is_refused, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
