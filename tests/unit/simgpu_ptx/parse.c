/*
 * The parser: what it refuses and where, layouts, variables, pragmas; garbage and truncation never
 * crash it.
 */
#include "kit.h"

#include "simgpu/ptx/opcode.h"
#include "simgpu/ptx/types.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A kernel whose TEXT starts in line 6. */
#define BODY(text)                                                                                 \
    HEADER ".visible .entry k(.param .u64 p) {\n.reg .u32 %r<4>; .reg .u64 %d<4>; .reg .pred "     \
           "%p<4>; .reg .f32 %f<4>;\n" text "\nret;\n}\n"

static void test_tables(void **unused) {
    (void)unused;
    for (unsigned k = 0; k < PTX_MODIFIER_MAX; k++) {
        const char *name = divvy_ptx_modifier_name(k);
        assert_int_equal(divvy_ptx_modifier_find(name, strlen(name)), (int)k);
    }
    for (unsigned k = PTX_NONE + 1; k < PTX_F32Z; k++) {
        const char *name = divvy_ptx_type_name(k);
        assert_int_equal(divvy_ptx_type_find(name, strlen(name)), k);
    }
    for (size_t k = 0; divvy_ptx_opcode_get(k); k++) {
        const char *name = divvy_ptx_opcode_get(k)->name;
        assert_ptr_equal(divvy_ptx_opcode_find(name, strlen(name)), divvy_ptx_opcode_get(k));
    }
    assert_int_equal(divvy_ptx_type_find("f128", 4), PTX_NONE);
    assert_int_equal(divvy_ptx_modifier_find("nonsense", 8), -1);
    assert_null(divvy_ptx_opcode_find("frobnicate", 10));
}

static void test_refused(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        int code;
        const char *part;
    } cases[] = {
        /* the frame */
        {"", -EINVAL, "line 1: 'end of text': missing .version"},
        {"hello", -EINVAL, "line 1: 'hello': missing .version"},
        {"// nothing\n\n/* at\nall */", -EINVAL, "line 4"},
        {".version", -EINVAL, "malformed version"},
        {".version 8", -EINVAL, "malformed version"},
        {".version x.y", -EINVAL, "malformed version"},
        {".version 9.9\n.target sm_90", -EPROTONOSUPPORT,
         "line 1: '.version': version 9.9 is newer"},
        {".version 8.0\n", -EINVAL, "missing .target"},
        {".version 8.0\n.target sm_xy", -EINVAL, "line 2: 'sm_xy': unknown target"},
        {".version 8.0\n.target compute_80", -EINVAL, "unknown target"},
        {".version 8.0\n.target sm_90\n.address_size 32", -EOPNOTSUPP, "only .address_size 64"},
        {".version 8.0\n.entry k() { ret; }", -EINVAL, "missing .target"},
        {HEADER "foo", -EINVAL, "line 4: 'foo': unexpected at module level"},
        {HEADER ".tex .u64 t;", -EOPNOTSUPP, "line 4: '.tex'"},
        {HEADER "/* open", -EINVAL, "comment without end"},
        {HEADER "\x01", -EINVAL, "unexpected character"},
        {HEADER ".entry k() { ret; }\n.entry k() { ret; }", -EINVAL, "line 5: 'k': defined twice"},
        {HEADER ".entry k() { ret;", -EINVAL, "line 4: 'end of text'"},
        {HEADER ".extern .func f();\n.entry k() {\ncall f;\nret; }", -EOPNOTSUPP,
         "line 6: 'f': function has no body"},
        {HEADER ".extern .global .u32 x;", -EOPNOTSUPP, "line 4: 'x': external variable"},
        {HEADER ".entry k() .reqnctapercluster 2 { ret; }", -EOPNOTSUPP, "'.reqnctapercluster'"},
        /* instructions */
        {BODY("frobnicate.u32 %r1, %r2;"), -EINVAL,
         "line 6: 'frobnicate.u32': no such instruction"},
        {BODY("\n\ntex.2d.v4.f32.f32 {%f0,%f1,%f2,%f3}, [t, {%f0,%f1}];"), -EOPNOTSUPP,
         "line 8: 'tex.2d.v4.f32.f32': not supported by the simulated GPU"},
        {BODY("wmma.load.a.sync.aligned.row.m16n16k16.f16 {%r0}, [%d0];"), -EOPNOTSUPP,
         "'wmma.load.a.sync"},
        {BODY("mbarrier.init.shared.b64 [%d0], 1;"), -EOPNOTSUPP,
         "line 6: 'mbarrier.init.shared.b64'"},
        {BODY("brkpt;"), -EOPNOTSUPP, "'brkpt'"},
        {BODY("add.e4m3.u32 %r0, %r1, %r2;"), -EOPNOTSUPP, "modifier '.e4m3' not supported"},
        {BODY("add.ballot.u32 %r0, %r1, %r2;"), -EOPNOTSUPP, "modifier '.ballot' not supported"},
        {BODY("add.u32 %r0, %r1;"), -EINVAL, "line 6: 'add.u32': wrong number of operands"},
        {BODY("add %r0, %r1, %r2;"), -EINVAL, "takes 1 types, not 0"},
        {BODY("add.u32 %r0, %r1, %d2;"), -EINVAL, "operand 3 does not fit"},
        {BODY("add.u32 %r0, %r1, %f2;"), -EINVAL, "operand 3 does not fit"},
        {BODY("add.u32 %d0, %r1, %r2;"), -EINVAL, "operand 1 does not fit"},
        {BODY("add.f32 %f0, %f1, 1;"), -EINVAL, "operand 3 does not fit"},
        {BODY("add.u32 %r0, %r1, 1.5;"), -EINVAL, "operand 3 does not fit"},
        {BODY("add.u32 %r0, %r1, %r4;"), -EINVAL, "'%r4': unknown register"},
        {BODY("add.u32 %r0, %r1, %tid.w;"), -EINVAL, "'%tid': unknown register"},
        {BODY("add.u32 5, %r1, %r2;"), -EINVAL, "operand 1 does not fit"},
        {BODY("add.u32 %r0, %r1, nowhere;"), -EINVAL, "unknown name 'nowhere'"},
        {BODY("add.u32 %r0, %r1, %r2"), -EINVAL, "expected ';'"},
        {BODY("mul.u32 %r0, %r1, %r2;"), -EINVAL, "needs .lo, .hi or .wide"},
        {BODY("div.f32 %f0, %f1, %f2;"), -EINVAL, "rounding modifier required"},
        {BODY("cvt.f32.s32 %f0, %r1;"), -EINVAL, "types or rounding not allowed"},
        {BODY("cvt.s32.f32 %r0, %f1;"), -EINVAL, "types or rounding not allowed"},
        {BODY("setp.u32 %p0, %r1, %r2;"), -EINVAL, "needs a comparison"},
        {BODY("setp.lt.b32 %p0, %r1, %r2;"), -EOPNOTSUPP, "types or modifiers not supported"},
        {BODY("bra nowhere;"), -EINVAL, "line 6: 'nowhere': no such label"},
        {BODY("@%r0 bra x; x:"), -EINVAL, "expected a predicate"},
        {BODY("x: x: ret;"), -EINVAL, "'x': already declared"},
        {BODY("ld.global.u32 %r0, [%r1];"), -EINVAL, "operand 2 does not fit"},
        {BODY("ld.shared.u32 %r0, [p];"), -EINVAL, "'p' lies in another state space"},
        {BODY("ld.param.u64 %d0, [p+4];"), -EINVAL, "access beyond the parameter"},
        {BODY("ld.param.u64 %d0, [p-8];"), -EINVAL, "access beyond the parameter"},
        {BODY("st.param.u64 [p], %d0;"), -EINVAL, "parameters of kernels are read only"},
        {BODY("st.const.u32 [%d0], %r0;"), -EINVAL, "constant memory is read only"},
        {BODY("ld.global.v2.u32 %r0, [%d1];"), -EINVAL, "needs a list of 2 registers"},
        {BODY("ld.global.v4.u64 {%d0,%d1,%d2,%d3}, [%d1];"), -EOPNOTSUPP, "types or modifiers"},
        {BODY("shfl.down.b32 %r0, %r1, 1, 31;"), -EOPNOTSUPP, "only the .sync form"},
        {BODY("lop3.b32 %r0, %r1, %r2, %r3, %r3;"), -EINVAL, "operand 5 does not fit"},
        {BODY("call %d0, ();"), -EOPNOTSUPP, "indirect calls"},
        {BODY("call (%r0), nobody, (%r1);"), -EINVAL, "unknown function 'nobody'"},
        {BODY("call k, (%d0);"), -EINVAL, "kernels cannot be called"},
        {BODY("add.u32 %r0, %r1, 99999999999999999999;"), -EINVAL, "larger than 64 bits"},
        {BODY("add.u32 %r0, %r1, 0x;"), -EINVAL, "malformed integer"},
        {BODY("add.f32 %f0, %f1, 0f3f8000;"), -EINVAL, "malformed floating-point"},
        {BODY("add.u32 %r0, %r1, 4/0;"), -EINVAL, "division by zero"},
        {BODY(".reg .v4 .f32 %v;"), -EOPNOTSUPP, "vector and 128-bit registers"},
        {BODY(".surfref .u64 s;"), -EOPNOTSUPP, "'.surfref'"},
        /* variables */
        {HEADER ".global .u32 a[2] = {1, 2, 3};", -EINVAL, "line 4: '3': too many values"},
        {HEADER ".global .u32 a[];", -EINVAL, "array without size"},
        {HEADER ".global .f32 a = 1;", -EINVAL, "integer initialises"},
        {HEADER ".global .u32 a = b;", -EINVAL, "unknown name"},
        {HEADER ".global .align 3 .u32 a;", -EINVAL, "power of two"},
        {HEADER ".global .u32 a; .global .u32 a;", -EINVAL, "already declared"},
        {HEADER ".global .u8 a[2][0x10000000000] = {{1}, {2}};", -E2BIG, "variable too large"},
        {HEADER ".global .u8 a[2][0x7000000000] = {{1}, {2}};", -E2BIG, "reaches too far"},
        {HEADER ".shared .u32 a = 1;", -EINVAL, "cannot be initialised"},
        {HEADER ".shared .b8 a[50000];\n.entry k() { .reg .u32 %r; mov.u32 %r, a; ret; }", -E2BIG,
         "line 5: 'k': kernel uses more than 49152 bytes"},
        {HEADER ".entry k(.param .b8 a[40000]) { ret; }", -E2BIG, "parameters of more than"},
        {HEADER ".entry k() { .local .b8 a[600000]; ret; }", -E2BIG, "bytes of local memory"},
        {HEADER ".func f(.param .u32 a);\n.func f(.param .u64 a) { ret; }", -EINVAL,
         "declared differently"},
        /* pragmas */
        {HEADER ".entry k() { .pragma \"divvy.time_ns\"; ret; }", -EINVAL, "expected a number"},
        {HEADER ".entry k() { .pragma \"divvy.time_ns 12x\"; ret; }", -EINVAL, "expected a number"},
        {HEADER ".entry k() { .pragma \"divvy.whatever 1\"; ret; }", -EINVAL,
         "unknown pragma of divvy"},
        {HEADER ".entry k(.param .u64 a) { .pragma \"divvy.time_only_param 1\"; ret; }", -EINVAL,
         "kernel 'k' has no 64-bit parameter 1"},
        {HEADER ".entry k(.param .u32 a) { .pragma \"divvy.time_param 0\"; ret; }", -EINVAL,
         "no 64-bit parameter 0"},
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
        kit_refuse(cases[k].text, cases[k].code, cases[k].part);
}

static void test_info(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module =
        kit_parse(".version 7.3\n.target sm_90a, debug\n.address_size 64\n");
    divvy_ptx_module_info_t info;
    divvy_ptx_module_info(module, &info);
    assert_int_equal(info.ptx_major, 7);
    assert_int_equal(info.ptx_minor, 3);
    assert_int_equal(info.target_sm, 90);
    assert_int_equal(info.target_suffix, 'a');
    assert_int_equal(info.entries, 0);
    assert_int_equal(info.variables, 0);
    divvy_ptx_module_free(module);
    divvy_ptx_module_free(NULL);
}

static void test_params(void **unused) {
    (void)unused;
    static const divvy_ptx_param_t wanted[] = {{0, 1, 1},    {4, 4, 4},  {8, 2, 2},  {16, 8, 8},
                                               {32, 24, 16}, {56, 4, 4}, {60, 3, 1}, {64, 8, 8}};
    divvy_ptx_module_t *module = kit_parse(
        HEADER ".visible .entry a(.param .u8 a, .param .u32 b, .param .s16 c, .param .u64 .ptr "
               ".global .align 4 d,\n"
               ".param .align 16 .b8 e[24], .param .f32 f, .param .b8 g[3], .param .f64 h)\n"
               ".maxntid 16, 8 .minnctapersm 3\n{ ret; }\n"
               ".entry b() .reqntid 64 { ret; }\n.weak .entry c { ret; }\n");
    int a = divvy_ptx_entry_find(module, "a");
    assert_int_equal(a, 0);
    const divvy_ptx_entry_t *entry = divvy_ptx_entry_get(module, 0);
    assert_string_equal(entry->name, "a");
    assert_true(entry->visible);
    assert_int_equal(entry->params, 8);
    assert_int_equal(entry->params_bytes, 72);
    for (uint32_t k = 0; k < 8; k++) {
        divvy_ptx_param_t param;
        assert_int_equal(divvy_ptx_entry_param(module, 0, k, &param), 0);
        assert_int_equal(param.offset_bytes, wanted[k].offset_bytes);
        assert_int_equal(param.size_bytes, wanted[k].size_bytes);
        assert_int_equal(param.align_bytes, wanted[k].align_bytes);
    }
    divvy_ptx_param_t untouched;
    assert_int_equal(divvy_ptx_entry_param(module, 0, 8, &untouched), -EINVAL);
    assert_int_equal(divvy_ptx_entry_param(module, 3, 0, &untouched), -EINVAL);
    assert_int_equal(entry->max_threads, 128);
    assert_int_equal(entry->max_ntid[1], 8);
    assert_int_equal(entry->min_blocks_per_sm, 3);
    entry = divvy_ptx_entry_get(module, 1);
    assert_false(entry->visible);
    assert_int_equal(entry->req_ntid[0], 64);
    assert_int_equal(entry->max_threads, 64);
    assert_int_equal(entry->params_bytes, 0);
    assert_true(divvy_ptx_entry_get(module, 2)->visible);
    assert_null(divvy_ptx_entry_get(module, 3));
    assert_int_equal(divvy_ptx_entry_find(module, "d"), -ENOENT);
    divvy_ptx_module_free(module);
}

static void test_memory_layout(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module = kit_parse(
        HEADER
        ".shared .align 4 .b8 unused[40000];\n.shared .u8 one;\n.shared .align 16 .f32 many[10];\n"
        ".extern .shared .align 8 .b8 dynamic[];\n"
        ".func f() { .reg .u32 %r; .local .align 8 .b8 l[100]; mov.u32 %r, many; ret; }\n"
        ".func g() { .local .b8 l[40]; call f, (); ret; }\n"
        ".entry a() { .reg .u32 %r; .local .b8 l[10]; mov.u32 %r, one; call g; ret; }\n"
        ".entry b() { .reg .u32 %r; .shared .u64 own; mov.u32 %r, own; mov.u32 %r, dynamic; "
        "mov.u32 %r, one; ret; }\n"
        ".entry c() { ret; }\n"
        ".func h();\n.entry d() { call h; ret; }\n.func h() { .local .b8 l[1000]; call h; ret; "
        "}\n");
    const divvy_ptx_entry_t *a = divvy_ptx_entry_get(module, 0),
                            *b = divvy_ptx_entry_get(module, 1);
    const divvy_ptx_entry_t *c = divvy_ptx_entry_get(module, 2),
                            *d = divvy_ptx_entry_get(module, 3);
    assert_int_equal(a->shared_static_bytes, 56); /* one, gap, many */
    assert_false(a->shared_dynamic);
    assert_int_equal(a->local_bytes, 16 + 48 + 112);
    assert_int_equal(b->shared_static_bytes, 16); /* own, one, gap */
    assert_true(b->shared_dynamic);
    assert_int_equal(b->local_bytes, 0);
    assert_int_equal(c->shared_static_bytes, 0);
    assert_int_equal(d->local_bytes, 64 * 1008);
    assert_true(a->registers >= 1 && a->registers <= 255);
    divvy_ptx_module_free(module);
}

static void test_variables(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module =
        kit_parse(HEADER ".visible .global .align 8 .b8 bytes[10] = {1, 2, 0xff, -1, 012, 0b101};\n"
                         ".const .f32 f[3] = {0f3f800000, 2.5, -1e3};\n"
                         ".global .s16 grid[2][3] = {{1, 2}, {-4, 5, 6}};\n"
                         ".global .v4 .f32 v = {1.0, 2.0, 3.0, 4.0};\n"
                         ".global .u64 pointers[3] = {bytes, generic(f)+8, grid+2};\n"
                         ".global .attribute(.managed) .u32 zero;\n"
                         ".global .u32 counted[] = {7, 8, 9};\n"
                         ".global .f64 d = 1.5;\n"
                         ".extern .global .u32 later;\n"
                         ".global .u32 later = (3 + 4) * 2 << 1 | (5 > 4 ? 1 : 0), more = ~0;\n");
    uint64_t addresses[16];
    for (uint64_t k = 0; k < 16; k++)
        addresses[k] = 0x1000 * (k + 1);
    uint8_t bytes[10];
    assert_int_equal(divvy_ptx_variable_find(module, "bytes"), 0);
    const divvy_ptx_variable_t *variable = divvy_ptx_variable_get(module, 0);
    assert_int_equal(variable->size_bytes, 10);
    assert_int_equal(variable->align_bytes, 8);
    assert_true(variable->visible && variable->initialised && !variable->constant);
    assert_int_equal(divvy_ptx_variable_init(module, 0, addresses, bytes), 0);
    assert_memory_equal(bytes, "\1\2\xff\xff\12\5\0\0\0\0", 10);
    float f[4];
    assert_true(divvy_ptx_variable_get(module, 1)->constant);
    divvy_ptx_variable_init(module, 1, addresses, f);
    assert_true(f[0] == 1 && f[1] == 2.5f && f[2] == -1000);
    int16_t grid[2][3];
    divvy_ptx_variable_init(module, 2, addresses, grid);
    assert_memory_equal(grid, ((int16_t[2][3]){{1, 2, 0}, {-4, 5, 6}}), sizeof(grid));
    divvy_ptx_variable_init(module, 3, addresses, f);
    assert_int_equal(divvy_ptx_variable_get(module, 3)->align_bytes, 16);
    assert_true(f[0] == 1 && f[3] == 4);
    uint64_t pointers[3];
    divvy_ptx_variable_init(module, 4, addresses, pointers);
    assert_int_equal(pointers[0], 0x1000);
    assert_int_equal(pointers[1], 0x2008);
    assert_int_equal(pointers[2], 0x3002);
    uint32_t word = 5;
    assert_true(divvy_ptx_variable_get(module, 5)->managed);
    assert_false(divvy_ptx_variable_get(module, 5)->initialised);
    divvy_ptx_variable_init(module, 5, addresses, &word);
    assert_int_equal(word, 0);
    assert_int_equal(divvy_ptx_variable_get(module, 6)->size_bytes, 12);
    double d;
    divvy_ptx_variable_init(module, 7, addresses, &d);
    assert_true(d == 1.5);
    int later = divvy_ptx_variable_find(module, "later");
    divvy_ptx_variable_init(module, (uint32_t)later, addresses, &word);
    assert_int_equal(word, 29);
    int more = divvy_ptx_variable_find(module, "more");
    divvy_ptx_variable_init(module, (uint32_t)more, addresses, &word);
    assert_int_equal(word, UINT32_MAX);
    assert_int_equal(divvy_ptx_variable_find(module, "none"), -ENOENT);
    assert_null(divvy_ptx_variable_get(module, 99));
    assert_int_equal(divvy_ptx_variable_init(module, 99, addresses, &word), -EINVAL);
    divvy_ptx_module_free(module);
}

static void test_pragmas(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module = kit_parse(
        HEADER ".entry before() { ret; }\n"
               ".pragma \"divvy.time_only_ns 5000\";\n"
               ".entry inherits() { ret; }\n"
               ".entry own() { .pragma \"nounroll\"; .pragma \"divvy.time_ns 1000000\"; ret; }\n"
               ".entry header() .pragma \"divvy.time_ns 0\"; { ret; }\n"
               ".entry param(.param .u32 a, .param .u64 b) { .pragma \"divvy.time_only_param 1\"; "
               "ret; }\n");
    uint64_t params[2] = {0, 777};
    uint64_t ns = 1;
    const divvy_ptx_entry_t *entry = divvy_ptx_entry_get(module, 0);
    assert_true(entry->time == DIVVY_PTX_TIME_MODEL && entry->executed);
    assert_int_equal(divvy_ptx_entry_fixed_time(module, 0, NULL, 0, &ns), 0);
    assert_false(divvy_ptx_entry_get(module, 1)->executed);
    assert_int_equal(divvy_ptx_entry_fixed_time(module, 1, NULL, 0, &ns), 1);
    assert_int_equal(ns, 5000);
    assert_true(divvy_ptx_entry_get(module, 2)->executed);
    assert_int_equal(divvy_ptx_entry_fixed_time(module, 2, NULL, 0, &ns), 1);
    assert_int_equal(ns, 1000000);
    assert_int_equal(divvy_ptx_entry_fixed_time(module, 3, NULL, 0, &ns), 1);
    assert_int_equal(ns, 0);
    entry = divvy_ptx_entry_get(module, 4);
    assert_true(entry->time == DIVVY_PTX_TIME_PARAM && !entry->executed && entry->time_param == 1);
    assert_int_equal(divvy_ptx_entry_fixed_time(module, 4, params, 16, &ns), 1);
    assert_int_equal(ns, 777);
    assert_int_equal(divvy_ptx_entry_fixed_time(module, 4, params, 15, &ns), -EINVAL);
    assert_int_equal(divvy_ptx_entry_fixed_time(module, 5, params, 16, &ns), -EINVAL);
    divvy_ptx_module_free(module);
}

/* Debug sections, odd spacing, comments in the middle, labels at the end: all accepted. */
static void test_accepted(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module = kit_parse(
        "  // first\n.version 8.0 /* here\n */ .target sm_80\n.address_size 64\n"
        ".file 1 \"a.cu\"\n.section .debug_str { .b8 0,1,2\ninfo: .b8 3\n}\n"
        ".func (.reg .u32 %o) f(.reg .u32 %i, .reg .pred %p);\n"
        ".visible .entry k (\n.param .u64 k_param_0\n)\n.maxntid 256 , 1 , 1\n{\n"
        ".loc 1 4 2\n.reg.u32 a,b ; .reg .u32 %r1<12>; .reg .u32 %r<3>; .reg .pred %p;\n"
        "add.u32 a , b,\n 0x10U;\n\t{ .reg .u64 a; mov.u64 a, k_param_0; { bra.uni inner; inner: } "
        "}\n"
        "mov.u32 %r10, %r2; mov.u32 %r111, %r1;\n"
        "setp.eq.u32 %p, a, 1; @ !%p bra $L__BB0_1;\n"
        "ld.global.nc.L1::no_allocate.L2::128B.u32 a, [0];\n"
        "ld.volatile.global.u32 a, [0x10]; st.relaxed.gpu.global.u32 [8], a; ld.acquire.sys.u32 b, "
        "[8];\n"
        "prefetch.global.L2 [8]; membar.gl; fence.acq_rel.gpu;;\n"
        "call (a), f, (b, %p);\n"
        "$L__BB0_1:\n}\n"
        ".func (.reg .u32 %o) f(.reg .u32 %i, .reg .pred %p) { mov.u32 %o, %i; ret.uni; }\n");
    divvy_ptx_module_free(module);
}

/* ---- Hostile texts --------------------------------------------------------------------------- */

static const char sample[] = HEADER
    ".global .u64 g[4] = {1, 2, g, 3};\n.const .f32 f = 0f3f800000;\n.shared .b8 s[64];\n"
    ".func (.param .b32 r) add1(.param .b32 a) { .reg .b32 %r<3>; ld.param.b32 %r1, [a];\n"
    "add.s32 %r2, %r1, 1; st.param.b32 [r], %r2; ret; }\n"
    ".visible .entry k(.param .u64 p, .param .align 8 .b8 q[24]) .maxntid 32, 1, 1 {\n"
    ".pragma \"divvy.time_ns 100\"; .reg .pred %p<3>; .reg .b32 %r<9>; .reg .b64 %d<9>; .local .b8 "
    "l[8];\n"
    "ld.param.u64 %d1, [p]; cvta.to.global.u64 %d2, %d1; mov.u32 %r1, %tid.x;\n"
    "mad.wide.u32 %d3, %r1, 4, %d2; setp.lt.and.u32 %p1|%p2, %r1, 10, !%p0;\n"
    "@%p1 bra L; { .param .b32 x; .param .b32 y; st.param.b32 [x], %r1; call.uni (y), add1, (x);\n"
    "ld.param.b32 %r2, [y]; }\nL: atom.global.add.u32 %r3, [%d3+4], %r2; bar.sync 0;\n"
    "shfl.sync.down.b32 %r4|%p0, %r3, 1, 31, -1; st.shared.v2.u32 [s+8], {%r4, %r3};\n"
    "mov.b64 {%r5, %r6}, %d3; st.local.u32 [l], %r5; st.global.f32 [%d2], 1.5; ret; }\n";

static int parse_only(const char *text, size_t length) {
    char log[200];
    divvy_ptx_module_t *module = NULL;
    int r = divvy_ptx_module_parse(text, length, log, sizeof(log), &module);
    if (r == 0)
        divvy_ptx_module_free(module);
    else
        assert_true(!module && log[0] && memchr(log, 0, sizeof(log)));
    return r;
}

static void test_truncation(void **unused) {
    (void)unused;
    assert_int_equal(parse_only(sample, sizeof(sample) - 1), 0);
    assert_int_equal(parse_only(sample, sizeof(sample)), 0); /* the NUL included */
    for (size_t length = 0; length < sizeof(sample) - 1; length++) {
        /* A copy of exactly that length: reading on would be seen. */
        char *copy = malloc(length + 1);
        memcpy(copy, sample, length);
        parse_only(copy, length);
        free(copy);
    }
}

static void test_garbage(void **unused) {
    (void)unused;
    uint64_t state = kit_seed();
    static const char *const words[] = {
        ".reg", ".u32", "%r1", "{", "}",  "(",     ")",       "[", "]",  ",",    ";",
        "<",    ">",    "+",   "-", ":",  "@",     "!",       "|", "0",  "0f00", "1e9",
        "ret",  "bra",  ".v4", "=", "\"", "call",  "mov",     ".", "::", "%",    "/*",
        "*/",   "//",   "\n",  "_", "k",  ".func", ".global", "?"};
    char text[sizeof(sample) + 64];
    for (int round = 0; round < 20000; round++) {
        size_t length = sizeof(sample) - 1;
        memcpy(text, sample, length);
        uint64_t changes = 1 + kit_random(&state) % 4;
        for (uint64_t c = 0; c < changes; c++) {
            size_t at = kit_random(&state) % length;
            const char *word = words[kit_random(&state) % (sizeof(words) / sizeof(words[0]))];
            size_t n = strlen(word);
            if (kit_random(&state) & 1)
                text[at] = (char)kit_random(&state);
            else if (at + n <= length)
                memcpy(text + at, word, n);
        }
        parse_only(text, length);
    }
}

static char *repeat(const char *head, const char *piece, size_t count, const char *tail) {
    size_t h = strlen(head), p = strlen(piece), t = strlen(tail);
    char *text = malloc(h + p * count + t + 1);
    memcpy(text, head, h);
    for (size_t k = 0; k < count; k++)
        memcpy(text + h + k * p, piece, p);
    memcpy(text + h + p * count, tail, t + 1);
    return text;
}

/* Deep nesting and large counts end in an error or in success, quickly and without a deep stack. */
static void test_huge(void **unused) {
    (void)unused;
    static const struct {
        const char *head, *piece;
        size_t count;
        const char *tail;
        int code;
    } cases[] = {
        {HEADER ".entry k() ", "{", 100000, "", -E2BIG},
        {HEADER ".entry k() { .reg .u32 %r; mov.u32 %r, ", "(", 100000, "", -E2BIG},
        {HEADER ".entry k() { .reg .u32 %r; mov.u32 %r, ", "-", 100000, "1; }", -E2BIG},
        {HEADER ".entry k() { .reg .u32 %r; mov.u32 %r, ", "1?", 100000, "", -E2BIG},
        {HEADER ".entry k() { .reg .u32 %r; mov.u32 ", "{", 100000, "", -E2BIG},
        {HEADER ".global .u32 a = ", "1+", 100000, "1;", 0},
        {HEADER ".global .u32 a[1] = ", "{", 100000, "", -EINVAL},
        {HEADER ".global .u32 a", "[1]", 100000, ";", -E2BIG},
        {HEADER, ".pragma \"x\";", 100000, "", 0},
        {HEADER ".entry k() { .reg .u32 %r<100000000>;", "", 0, "}", -EINVAL},
        {HEADER ".entry k() { .reg .u32 %r;", "add.u32 %r, %r, 1;", 200000, "ret; }", 0},
        {HEADER ".entry k() {", "{ .reg .u32 %r; mov.u32 %r, 0; }", 50000, "ret; }", 0},
        {HEADER ".entry k() { call f, (", "1,", 100000, "1); }", -E2BIG},
        {HEADER ".entry ", "k", 100000, "() { ret; }", 0},
        {HEADER ".func f0();", "/**/", 100000, "", 0},
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        char *text = repeat(cases[k].head, cases[k].piece, cases[k].count, cases[k].tail);
        int r = parse_only(text, strlen(text));
        if (r != cases[k].code)
            fail_msg("%zu: %d instead of %d", k, r, cases[k].code);
        free(text);
    }
    char log[64];
    divvy_ptx_module_t *module = NULL;
    assert_int_equal(
        divvy_ptx_module_parse(sample, (size_t)DIVVY_PTX_TEXT_MAX_BYTES + 1, log, 64, &module),
        -E2BIG);
    /* A log that is too short, or none. */
    assert_int_equal(divvy_ptx_module_parse("x", 1, log, 5, &module), -EINVAL);
    assert_int_equal(strlen(log), 4);
    assert_int_equal(divvy_ptx_module_parse("x", 1, NULL, 0, &module), -EINVAL);
}

/* A call chain of many functions, and calls in circles, need no stack of ours. */
static void test_call_graphs(void **unused) {
    (void)unused;
    enum { FUNCTIONS = 20000 };
    char *text = malloc(FUNCTIONS * 64 + 1024);
    size_t used = (size_t)sprintf(text, "%s", HEADER ".func f0() { ret; }\n");
    for (int k = 1; k < FUNCTIONS; k++)
        used += (size_t)sprintf(text + used, ".func f%d() { call f%d; ret; }\n", k, k - 1);
    sprintf(text + used, ".entry k() { call f%d; ret; }\n", FUNCTIONS - 1);
    assert_int_equal(parse_only(text, strlen(text)), 0);
    free(text);
    divvy_ptx_module_t *module = kit_parse(
        HEADER
        ".func a(); .func b(); .func c();\n.func a() { call b; ret; } .func b() { call c; ret; }\n"
        ".func c() { call a; ret; } .entry k() { call a; ret; } .entry j() { call c; ret; }");
    divvy_ptx_module_free(module);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_info),          cmocka_unit_test(test_params),
        cmocka_unit_test(test_memory_layout), cmocka_unit_test(test_variables),
        cmocka_unit_test(test_pragmas),       cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_truncation),    cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_huge),          cmocka_unit_test(test_call_graphs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
