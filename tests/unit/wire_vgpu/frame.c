/* Frames between stub and relay; requests and responses of the vGPU. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/vgpu/frame.h"
#include "wire/vgpu/words.h"

/* The bytes of a known header, as other ends of this protocol write them. */
static void header_has_its_bytes(void **state) {
    static const uint8_t known[DIVVY_WIRE_VGPU_HEADER_BYTES] = {0x55, 0x50, 0x47, 0x56, 1, 0, 0, 0,    7, 0, 0, 0,
                                                                9,    0,    0,    0,    'B', 2, 0, 0, 0x20, 0, 0, 0};
    struct divvy_wire_vgpu_header header = {DIVVY_WIRE_VGPU_REQUEST, 7, 9, 'B', 2, 32}, again;
    uint8_t bytes[DIVVY_WIRE_VGPU_HEADER_BYTES];

    (void)state;
    divvy_wire_vgpu_header_write(&header, bytes);
    assert_memory_equal(bytes, known, sizeof known);
    assert_int_equal(divvy_wire_vgpu_header_read(bytes, &again), 0);
    memset(bytes, 0, sizeof bytes);
    divvy_wire_vgpu_header_write(&again, bytes);
    assert_memory_equal(bytes, known, sizeof known);
}

static void bad_headers_are_refused(void **state) {
    static const struct {
        uint32_t kind, payload;
        int status;
    } cases[] = {
        {DIVVY_WIRE_VGPU_REQUEST, 1024, 0},      {DIVVY_WIRE_VGPU_REQUEST, 1025, -EMSGSIZE},
        {DIVVY_WIRE_VGPU_RESPONSE, 1024, 0},     {DIVVY_WIRE_VGPU_RESPONSE, UINT32_MAX, -EMSGSIZE},
        {DIVVY_WIRE_VGPU_PING, 0, 0},            {DIVVY_WIRE_VGPU_PING, 1, -EMSGSIZE},
        {DIVVY_WIRE_VGPU_BUSY, 0, 0},            {DIVVY_WIRE_VGPU_QUARANTINED, 0, 0},
        {0, 0, -EPROTO},                         {7, 0, -EPROTO},
        {0x10, 88, -EPROTO},                     {UINT32_MAX, 0, -EPROTO},
    };
    uint8_t bytes[DIVVY_WIRE_VGPU_HEADER_BYTES];
    struct divvy_wire_vgpu_header header;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        header = (struct divvy_wire_vgpu_header){.kind = cases[i].kind, .payload_bytes = cases[i].payload};
        divvy_wire_vgpu_header_write(&header, bytes);
        assert_int_equal(divvy_wire_vgpu_header_read(bytes, &header), cases[i].status);
    }
    header = (struct divvy_wire_vgpu_header){.kind = DIVVY_WIRE_VGPU_PING};
    divvy_wire_vgpu_header_write(&header, bytes);
    bytes[18] = 1;
    assert_int_equal(divvy_wire_vgpu_header_read(bytes, &header), -EPROTO);
    bytes[18] = 0;
    bytes[0] ^= 1;
    assert_int_equal(divvy_wire_vgpu_header_read(bytes, &header), -EPROTO);
}

/* One word of a good request, changed: what the guest is told. */
static void requests_are_judged(void **state) {
    static const struct {
        unsigned int word;
        uint32_t value;
        divvy_wire_vgpu_code_t code;
    } cases[] = {
        {0, 0x00010000, DIVVY_WIRE_VGPU_CODE_NONE},    {0, 0x00010001, DIVVY_WIRE_VGPU_CODE_INVALID},
        {0, 0x00020000, DIVVY_WIRE_VGPU_CODE_INVALID}, {1, 6, DIVVY_WIRE_VGPU_CODE_NONE},
        {1, 7, DIVVY_WIRE_VGPU_CODE_UNSUPPORTED},      {1, 0xFFF, DIVVY_WIRE_VGPU_CODE_UNSUPPORTED},
        {1, 0x1000, DIVVY_WIRE_VGPU_CODE_NONE},        {2, 3, DIVVY_WIRE_VGPU_CODE_NONE},
        {2, 4, DIVVY_WIRE_VGPU_CODE_INVALID},          {3, 2, DIVVY_WIRE_VGPU_CODE_NONE},
        {3, 4, DIVVY_WIRE_VGPU_CODE_INVALID},          {3, 249, DIVVY_WIRE_VGPU_CODE_INVALID},
        {3, UINT32_MAX, DIVVY_WIRE_VGPU_CODE_INVALID}, {4, 39, DIVVY_WIRE_VGPU_CODE_INVALID},
        {4, UINT32_MAX, DIVVY_WIRE_VGPU_CODE_INVALID}, {5, 5, DIVVY_WIRE_VGPU_CODE_INVALID},
        {5, UINT32_MAX, DIVVY_WIRE_VGPU_CODE_INVALID}, {6, 1, DIVVY_WIRE_VGPU_CODE_INVALID},
        {7, 1, DIVVY_WIRE_VGPU_CODE_INVALID},
    };
    struct divvy_wire_vgpu_body body = {.code = 1, .word_count = 2, .words = {3, 4}, .data_bytes = 4}, read;
    uint8_t good[DIVVY_WIRE_VGPU_PAYLOAD_BYTES], bad[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];
    int length = divvy_wire_vgpu_request_write(&body, "data", good);

    (void)state;
    assert_int_equal(length, 44);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bad, good, sizeof bad);
        divvy_wire_u32_put(bad + 4 * (size_t)cases[i].word, cases[i].value);
        assert_int_equal(divvy_wire_vgpu_request_read(bad, (size_t)length, &read), cases[i].code);
    }
    assert_int_equal(divvy_wire_vgpu_request_read(good, 0, &read), DIVVY_WIRE_VGPU_CODE_EMPTY);
    assert_int_equal(divvy_wire_vgpu_request_read(good, 31, &read), DIVVY_WIRE_VGPU_CODE_INVALID);
    assert_int_equal(divvy_wire_vgpu_request_read(good, 43, &read), DIVVY_WIRE_VGPU_CODE_INVALID);
    assert_int_equal(divvy_wire_vgpu_request_read(good, 1025, &read), DIVVY_WIRE_VGPU_CODE_TOO_LARGE);
}

static void a_full_response_comes_back(void **state) {
    struct divvy_wire_vgpu_body body = {.word_count = DIVVY_WIRE_VGPU_WORDS_MAX, .exec_time_us = 11}, read;
    uint8_t bytes[DIVVY_WIRE_VGPU_PAYLOAD_BYTES];

    (void)state;
    for (uint32_t i = 0; i < body.word_count; i++)
        body.words[i] = i * 0x01010101u;
    assert_int_equal(divvy_wire_vgpu_response_write(&body, NULL, bytes), DIVVY_WIRE_VGPU_PAYLOAD_BYTES);
    assert_int_equal(divvy_wire_vgpu_response_read(bytes, sizeof bytes, &read), DIVVY_WIRE_VGPU_CODE_NONE);
    assert_int_equal(read.exec_time_us, 11);
    assert_memory_equal(read.words, body.words, sizeof read.words);
    body.data_bytes = 1;
    assert_int_equal(divvy_wire_vgpu_response_write(&body, "x", bytes), -EMSGSIZE);
    body.data_bytes = UINT32_MAX;
    assert_int_equal(divvy_wire_vgpu_response_write(&body, "x", bytes), -EMSGSIZE);
    body.word_count = DIVVY_WIRE_VGPU_WORDS_MAX + 1;
    assert_int_equal(divvy_wire_vgpu_response_write(&body, NULL, bytes), -EMSGSIZE);
}

static void codes_have_words(void **state) {
    (void)state;
    assert_string_equal(divvy_wire_vgpu_code_text(8), "unsupported operation");
    assert_string_equal(divvy_wire_vgpu_code_text(0xF3), "error of CUDA");
    assert_string_equal(divvy_wire_vgpu_code_text(0x100), "unknown error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_has_its_bytes),       cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(requests_are_judged),        cmocka_unit_test(a_full_response_comes_back),
        cmocka_unit_test(codes_have_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
