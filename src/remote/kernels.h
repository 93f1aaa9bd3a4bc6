/*
 * Kernels that divvy's own programs bring along, as PTX that every GPU since Maxwell and the simulated one take. One-dimensional
 * kernels have one thread for each element; threads beyond the count do nothing.
 */
#ifndef DIVVY_REMOTE_KERNELS_H
#define DIVVY_REMOTE_KERNELS_H

#define DIVVY_REMOTE_PTX_HEAD ".version 6.0\n.target sm_50\n.address_size 64\n"

/* %rd1 = index of this thread; ends threads at or beyond the parameter `count`. */
#define DIVVY_REMOTE_PTX_INDEX                                                                     \
    "  mov.u32 %r1, %ctaid.x;\n  mov.u32 %r2, %ntid.x;\n  mov.u32 %r3, %tid.x;\n"                  \
    "  mul.wide.u32 %rd1, %r1, %r2;\n  cvt.u64.u32 %rd2, %r3;\n  add.u64 %rd1, %rd1, %rd2;\n"      \
    "  ld.param.u64 %rd2, [count];\n  setp.ge.u64 %p1, %rd1, %rd2;\n  @%p1 bra END;\n"

/* sum[i] = a[i] + b[i], 64-bit elements: `type` is s64 or f64, `r` the prefix of its registers. */
#define DIVVY_REMOTE_PTX_ADD(name, type, add, r, registers)                                        \
    ".visible .entry " name                                                                        \
    "(.param .u64 a, .param .u64 b, .param .u64 sum, .param .u64 count)\n"                         \
    "{\n  .reg .pred %p<2>;\n  .reg .b32 %r<4>;\n  .reg .b64 %rd<8>;\n" registers                  \
    DIVVY_REMOTE_PTX_INDEX                                                                         \
    "  shl.b64 %rd3, %rd1, 3;\n"                                                                   \
    "  ld.param.u64 %rd4, [a];\n  add.u64 %rd4, %rd4, %rd3;\n  ld.global." type " " r "1, [%rd4];\n" \
    "  ld.param.u64 %rd5, [b];\n  add.u64 %rd5, %rd5, %rd3;\n  ld.global." type " " r "2, [%rd5];\n" \
    "  " add " " r "1, " r "1, " r "2;\n"                                                          \
    "  ld.param.u64 %rd6, [sum];\n  add.u64 %rd6, %rd6, %rd3;\n  st.global." type " [%rd6], " r "1;\n" \
    "END:\n  ret;\n}\n"

#define DIVVY_REMOTE_PTX_VECTOR_ADD                                                                \
    DIVVY_REMOTE_PTX_HEAD                                                                          \
    DIVVY_REMOTE_PTX_ADD("add_s64", "s64", "add.s64", "%x", "  .reg .b64 %x<3>;\n")                \
    DIVVY_REMOTE_PTX_ADD("add_f64", "f64", "add.rn.f64", "%d", "  .reg .f64 %d<3>;\n")

/* y[i] = factor * x[i] + y[i] */
#define DIVVY_REMOTE_PTX_SAXPY                                                                     \
    DIVVY_REMOTE_PTX_HEAD                                                                          \
    ".visible .entry saxpy(.param .u64 x, .param .u64 y, .param .u64 count, .param .f32 factor)\n" \
    "{\n  .reg .pred %p<2>;\n  .reg .b32 %r<4>;\n  .reg .b64 %rd<6>;\n  .reg .f32 %f<4>;\n"        \
    DIVVY_REMOTE_PTX_INDEX                                                                         \
    "  shl.b64 %rd3, %rd1, 2;\n  ld.param.f32 %f1, [factor];\n"                                    \
    "  ld.param.u64 %rd4, [x];\n  add.u64 %rd4, %rd4, %rd3;\n  ld.global.f32 %f2, [%rd4];\n"       \
    "  ld.param.u64 %rd5, [y];\n  add.u64 %rd5, %rd5, %rd3;\n  ld.global.f32 %f3, [%rd5];\n"       \
    "  fma.rn.f32 %f3, %f1, %f2, %f3;\n  st.global.f32 [%rd5], %f3;\n"                             \
    "END:\n  ret;\n}\n"

/* c = a b for square matrices of `size` rows, row by row; `count` is size * size, one thread for each element of c. */
#define DIVVY_REMOTE_PTX_MATMUL                                                                    \
    DIVVY_REMOTE_PTX_HEAD                                                                          \
    ".visible .entry matmul(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 count, .param .u64 size)\n" \
    "{\n  .reg .pred %p<3>;\n  .reg .b32 %r<4>;\n  .reg .b64 %rd<12>;\n  .reg .f32 %f<4>;\n"       \
    DIVVY_REMOTE_PTX_INDEX                                                                         \
    "  ld.param.u64 %rd3, [size];\n  div.u64 %rd4, %rd1, %rd3;\n  mul.lo.u64 %rd4, %rd4, %rd3;\n"  \
    "  sub.u64 %rd5, %rd1, %rd4;\n"                                                                \
    "  shl.b64 %rd4, %rd4, 2;\n  ld.param.u64 %rd6, [a];\n  add.u64 %rd6, %rd6, %rd4;\n"           \
    "  shl.b64 %rd5, %rd5, 2;\n  ld.param.u64 %rd7, [b];\n  add.u64 %rd7, %rd7, %rd5;\n"           \
    "  shl.b64 %rd8, %rd3, 2;\n  mov.f32 %f1, 0f00000000;\n  mov.u64 %rd9, 0;\n"                   \
    "NEXT:\n  ld.global.f32 %f2, [%rd6];\n  ld.global.f32 %f3, [%rd7];\n"                          \
    "  fma.rn.f32 %f1, %f2, %f3, %f1;\n  add.u64 %rd6, %rd6, 4;\n  add.u64 %rd7, %rd7, %rd8;\n"    \
    "  add.u64 %rd9, %rd9, 1;\n  setp.lt.u64 %p2, %rd9, %rd3;\n  @%p2 bra NEXT;\n"                 \
    "  shl.b64 %rd10, %rd1, 2;\n  ld.param.u64 %rd11, [c];\n  add.u64 %rd11, %rd11, %rd10;\n"      \
    "  st.global.f32 [%rd11], %f1;\n"                                                              \
    "END:\n  ret;\n}\n"

/* Does nothing: what a launch costs. */
#define DIVVY_REMOTE_PTX_NOTHING                                                                   \
    DIVVY_REMOTE_PTX_HEAD ".visible .entry nothing(.param .u64 unused)\n{\n  ret;\n}\n"

#endif
