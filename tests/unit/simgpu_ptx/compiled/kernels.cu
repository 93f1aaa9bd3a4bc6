/*
 * Kernels whose PTX, as a compiler makes it, the test "compiled" runs. The .ptx files beside this one come from
 *   clang-14 -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch=sm_80 \
 *       -Xclang -target-feature -Xclang +ptx75 -S kernels.cu -O2 -o kernels_o2.ptx
 * and the same with -O0, and with -O2 -gline-tables-only -fdebug-prefix-map=$PWD=. (kernels_g.ptx). No header of a CUDA toolkit is needed.
 */
#define KERNEL extern "C" __attribute__((global))
#define DEVICE __attribute__((device))
#define SHARED __attribute__((shared))
#define CONSTANT __attribute__((constant))
#define SEPARATE __attribute__((noinline))

typedef unsigned int u32;
typedef unsigned long long u64;

DEVICE inline int thread_x() { return __nvvm_read_ptx_sreg_tid_x(); }
DEVICE inline int thread_y() { return __nvvm_read_ptx_sreg_tid_y(); }
DEVICE inline int block_x() { return __nvvm_read_ptx_sreg_ctaid_x(); }
DEVICE inline int block_y() { return __nvvm_read_ptx_sreg_ctaid_y(); }
DEVICE inline int threads() { return __nvvm_read_ptx_sreg_ntid_x(); }
DEVICE inline int blocks() { return __nvvm_read_ptx_sreg_nctaid_x(); }
DEVICE inline int index() { return block_x() * threads() + thread_x(); }

KERNEL void vector_add(const float *a, const float *b, float *c, int n) {
    int i = index();
    if (i < n)
        c[i] = a[i] + b[i];
}

KERNEL void saxpy(float a, const float *x, float *y, int n) {
    for (int i = index(); i < n; i += threads() * blocks())
        y[i] = a * x[i] + y[i];
}

enum { TILE = 16 };
KERNEL void matrix_product(const float *a, const float *b, float *c, int n) {
    SHARED float tile_a[TILE][TILE], tile_b[TILE][TILE];
    int x = thread_x(), y = thread_y(), row = block_y() * TILE + y, column = block_x() * TILE + x;
    float sum = 0;
    for (int t = 0; t < n; t += TILE) {
        tile_a[y][x] = a[row * n + t + x];
        tile_b[y][x] = b[(t + y) * n + column];
        __syncthreads();
        for (int k = 0; k < TILE; k++)
            sum += tile_a[y][k] * tile_b[k][x];
        __syncthreads();
    }
    c[row * n + column] = sum;
}

DEVICE inline int warp_sum(int v) {
    for (int step = 16; step; step >>= 1)
        v += __nvvm_shfl_sync_down_i32(0xffffffff, v, step, 31);
    return v;
}

KERNEL void reduce(const int *x, int *sum, int n) {
    SHARED int parts[32];
    int i = index(), v = warp_sum(i < n ? x[i] : 0);
    if (thread_x() % 32 == 0)
        parts[thread_x() / 32] = v;
    __syncthreads();
    if (thread_x() < 32) {
        v = warp_sum(thread_x() < (threads() + 31) / 32 ? parts[thread_x()] : 0);
        if (thread_x() == 0)
            __nvvm_atom_add_gen_i(sum, v);
    }
}

KERNEL void histogram(const unsigned char *x, int *bins, int n) {
    SHARED int local[256];
    for (int k = thread_x(); k < 256; k += threads())
        local[k] = 0;
    __syncthreads();
    for (int i = index(); i < n; i += threads() * blocks())
        __nvvm_atom_add_gen_i(&local[x[i]], 1);
    __syncthreads();
    for (int k = thread_x(); k < 256; k += threads())
        __nvvm_atom_add_gen_i(&bins[k], local[k]);
}

struct Mixed {
    int a;
    double b;
    char c[13];
};

DEVICE SEPARATE int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

DEVICE SEPARATE double mixed_sum(Mixed m, int k) {
    double sum = m.a + m.b;
    for (int i = 0; i < 13; i++)
        sum += m.c[(i + k) % 13] * i;
    return sum;
}

KERNEL void calls(Mixed m, int *fib, double *sums) {
    int t = thread_x();
    fib[t] = fibonacci(t & 15);
    sums[t] = mixed_sum(m, t);
}

DEVICE int counter = 7;
CONSTANT int table[8] = {1, 2, 3, 5, 8, 13, 21, 34};

KERNEL void local_arrays(int *out, int n) {
    int array[32], sum = 0;
    for (int i = 0; i < 32; i++)
        array[i] = table[i & 7] * i + n;
    for (int i = 0; i < n; i++)
        sum += array[(i * 7 + thread_x()) & 31];
    sum += counter;
    switch (thread_x() & 7) {
    case 0:
        sum += 3;
        break;
    case 1:
        sum *= 5;
        break;
    case 2:
        sum ^= 77;
        break;
    case 3:
        sum -= 9;
        break;
    case 4:
        sum /= 3;
        break;
    case 5:
        sum %= 11;
        break;
    }
    out[thread_x()] = sum;
}

KERNEL void collatz(const u64 *in, u32 *steps, int n) {
    int i = index();
    if (i >= n)
        return;
    u64 x = in[i];
    u32 count = 0;
    while (x != 1) {
        x = x & 1 ? 3 * x + 1 : x / 2;
        count++;
    }
    steps[i] = count;
}

KERNEL void polynomial(const double *x, float *y, long n) {
    long i = index();
    if (i >= n)
        return;
    double v = x[i], sum = 1, term = 1;
    for (int k = 1; k < 20; k++) {
        term *= v / k;
        sum += term;
    }
    y[i] = (float)sum - (float)(long)sum + (short)i + (unsigned char)i;
}
