/* A dense network in C for one static architecture, compiled by c_peer.py, which sets the macros.
 *
 * Every loop has constant bounds. Samples lie along the vector lanes, in tiles that stay in L1. Products keep a block
 * of ROWS x VECTORS registers of sums, in GNU C's vector types; everything else is left to gcc's own vectoriser.
 * Parameters are one flat array: W1, b1, W2, b2, ..., row by row.
 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

typedef REAL real;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define PART(n, most) ((n) % (most) == 0 ? (most) : (n) % 4 == 0 && (most) > 4 ? 4 : (n) % 2 == 0 && (most) > 2 ? 2 : 1)

/* One register of WIDTH bits, and the v-th of those that begin at an address. */
typedef real vec __attribute__((vector_size(WIDTH / 8), aligned(sizeof(real)), may_alias));
#define LANES (int)(sizeof(vec) / sizeof(real))
#define AT(address, v) (((vec *)(address))[v])

#define LAST (LAYERS == 2 ? N2 : N3)
enum {
    W1 = 0, B1 = W1 + N1 * N0,
    W2 = B1 + N1, B2 = W2 + N2 * N1,
    W3 = B2 + N2, B3 = W3 + N3 * N2,
    COUNT = B3 + N3,
    WIDE = N1 > N2 ? N1 : N2,
};

/* exp and tanh: libm's, or branch-free ones that vectorise. */

#if OWN_MATH
INLINE real exponential(real x) {
    const real top = sizeof(real) == 8 ? 708 : 87;
    x = x < -top ? -top : x > top ? top : x;
    if (sizeof(real) == 8) {
        double n = rint(x * 1.4426950408889634), r = x - n * 0.6931471805599453, r2 = r * r, r4 = r2 * r2;
        double low = (1 + r) + r2 * (1. / 2 + r * (1. / 6));
        double middle = (1. / 24 + r * (1. / 120)) + r2 * (1. / 720 + r * (1. / 5040));
        double high = (1. / 40320 + r * (1. / 362880)) + r2 * (1. / 3628800 + r * (1. / 39916800));
        union { long long bits; double value; } power = {.bits = (long long)((int)n + 1023) << 52};
        return (low + r4 * (middle + r4 * high)) * power.value;
    }
    float n = rintf(x * 1.44269504f), r = x - n * 0.693147181f, r2 = r * r;
    float low = (1 + r) + r2 * (1.f / 2 + r * (1.f / 6)), high = (1.f / 24 + r * (1.f / 120)) + r2 * (1.f / 720);
    union { int bits; float value; } power = {.bits = ((int)n + 127) << 23};
    return (low + r2 * r2 * high) * power.value;
}

INLINE real tangent(real x) {
    if (sizeof(real) == 8)
        return 1 - 2 / (1 + exponential(2 * x));
    x = x < -7.9f ? -7.9f : x > 7.9f ? 7.9f : x;
    float y = x * x; /* an odd rational of degrees 13 and 6 */
    float p = -8.60467152213735e-11f + y * (2.00018790482477e-13f + y * -2.76076847742355e-16f);
    p = 1.48572235717979e-05f + y * (5.12229709037114e-08f + y * p);
    p = 4.89352455891786e-03f + y * (6.37261928875436e-04f + y * p);
    float q = 1.18534705686654e-04f + y * 1.19825839466702e-06f;
    q = 4.89352518554385e-03f + y * (2.26843463243900e-03f + y * q);
    return x * p / q;
}
#else
#define exponential(x) ((real)(sizeof(real) == 8 ? exp(x) : expf(x)))
#define tangent(x) ((real)(sizeof(real) == 8 ? tanh(x) : tanhf(x)))
#endif

/* Z (n, tile) = b + W A, where W[o, i] = W[o * wo + i * wi] and A is (k, tile) with rows lda apart; b may be NULL. */
INLINE void product(int tile, int n, int k, const real *restrict W, ptrdiff_t wo, ptrdiff_t wi, const real *restrict b,
                    const real *restrict A, ptrdiff_t lda, real *restrict Z) {
    const int rows = PART(n, ROWS), vectors = PART(tile / LANES, VECTORS);
    if (tile % LANES) { /* a sample or a few: left to the compiler */
        for (int o = 0; o < n; o++)
            for (int j = 0; j < tile; j++) {
                real sum = b ? b[o] : 0;
                for (int i = 0; i < k; i++)
                    sum += W[o * wo + i * wi] * A[i * lda + j];
                Z[o * tile + j] = sum;
            }
        return;
    }
    for (int o = 0; o < n; o += rows)
        for (int j = 0; j < tile; j += vectors * LANES) {
            vec sum[ROWS][VECTORS];
            UNROLL for (int r = 0; r < rows; r++)
                UNROLL for (int v = 0; v < vectors; v++)
                    sum[r][v] = (vec){} + (b ? b[o + r] : 0);
            for (int i = 0; i < k; i++)
                UNROLL for (int r = 0; r < rows; r++)
                    UNROLL for (int v = 0; v < vectors; v++)
                        sum[r][v] += W[(o + r) * wo + i * wi] * AT(A + i * lda + j, v);
            UNROLL for (int r = 0; r < rows; r++)
                UNROLL for (int v = 0; v < vectors; v++)
                    AT(Z + (o + r) * tile + j, v) = sum[r][v];
        }
}

/* dW (n, k) += D A', db (n) += row sums of D. */
INLINE void accumulate(int n, int k, const real *restrict D, const real *restrict A, ptrdiff_t lda, real *restrict dW,
                       real *restrict db) {
    const int rows = PART(n, 4), columns = PART(k, COLUMNS);
    if (TILE % LANES == 0)
        for (int o = 0; o < n; o += rows)
            for (int i = 0; i < k; i += columns) {
                vec sum[4][COLUMNS] = {};
                for (int j = 0; j < TILE; j += LANES)
                    UNROLL for (int r = 0; r < rows; r++)
                        UNROLL for (int c = 0; c < columns; c++)
                            sum[r][c] += AT(D + (o + r) * TILE + j, 0) * AT(A + (i + c) * lda + j, 0);
                UNROLL for (int r = 0; r < rows; r++)
                    UNROLL for (int c = 0; c < columns; c++) {
                        real total = 0;
                        for (int v = 0; v < LANES; v++)
                            total += sum[r][c][v];
                        dW[(o + r) * k + i + c] += total;
                    }
            }
    else
        for (int o = 0; o < n; o++)
            for (int i = 0; i < k; i++)
                for (int j = 0; j < TILE; j++)
                    dW[o * k + i] += D[o * TILE + j] * A[i * lda + j];
    for (int o = 0; o < n; o++)
        for (int j = 0; j < TILE; j++)
            db[o] += D[o * TILE + j];
}

INLINE void activate(int count, real *restrict Z) {
    for (int i = 0; i < count; i++)
        Z[i] = TANH ? tangent(Z[i]) : Z[i] > 0 ? Z[i] : 0;
}

INLINE void derive(int count, real *restrict D, const real *restrict A) {
    for (int i = 0; i < count; i++)
        D[i] = TANH ? D[i] * (1 - A[i] * A[i]) : A[i] > 0 ? D[i] : 0;
}

/* The output's activation in place. */
INLINE void finish(int tile, real *restrict Z) {
    if (SIGMOID)
        for (int i = 0; i < LAST * tile; i++)
            Z[i] = 1 / (1 + exponential(-Z[i]));
    if (SOFTMAX) {
        real top[TILE], total[TILE];
        memcpy(top, Z, tile * sizeof(real));
        for (int o = 1; o < LAST; o++)
            for (int j = 0; j < tile; j++)
                top[j] = Z[o * tile + j] > top[j] ? Z[o * tile + j] : top[j];
        for (int j = 0; j < tile; j++)
            total[j] = 0;
        for (int o = 0; o < LAST; o++)
            for (int j = 0; j < tile; j++)
                total[j] += Z[o * tile + j] = exponential(Z[o * tile + j] - top[j]);
        for (int o = 0; o < LAST; o++)
            for (int j = 0; j < tile; j++)
                Z[o * tile + j] /= total[j];
    }
}

/* Every layer in turn; returns the last one's outputs. */
INLINE real *layers(int tile, const real *restrict P, const real *restrict X, ptrdiff_t ldx, real *A1, real *A2,
                    real *A3) {
    product(tile, N1, N0, P + W1, N0, 1, P + B1, X, ldx, A1);
    activate(N1 * tile, A1);
    product(tile, N2, N1, P + W2, N1, 1, P + B2, A1, tile, A2);
    if (LAYERS == 3) {
        activate(N2 * tile, A2);
        product(tile, N3, N2, P + W3, N2, 1, P + B3, A2, tile, A3);
    }
    real *A = LAYERS == 3 ? A3 : A2;
    finish(tile, A);
    return A;
}

/* One tile: forward, backward, and its share of the gradient added to G; returns the tile's summed cost if asked. */
INLINE real step(const real *restrict P, const real *restrict X, ptrdiff_t ldx, const real *restrict Y, ptrdiff_t ldy,
                 real *restrict G, int costs) {
    real A1[N1 * TILE], A2[N2 * TILE], A3[N3 * TILE + 1], D[WIDE * TILE], E[WIDE * TILE], cost = 0;
    real *A = layers(TILE, P, X, ldx, A1, A2, A3);
    for (int o = 0; o < LAST; o++)
        for (int j = 0; j < TILE; j++)
            A[o * TILE + j] -= Y[o * ldy + j];
    if (costs) /* squared error: the only case that asks for it */
        for (int i = 0; i < LAST * TILE; i++)
            cost += A[i] * A[i];
    if (LAYERS == 3) {
        accumulate(N3, N2, A3, A2, TILE, G + W3, G + B3);
        product(TILE, N2, N3, P + W3, 1, N2, NULL, A3, TILE, D);
        derive(N2 * TILE, D, A2);
    }
    const real *D2 = LAYERS == 3 ? D : A2;
    accumulate(N2, N1, D2, A1, TILE, G + W2, G + B2);
    product(TILE, N1, N2, P + W2, 1, N1, NULL, D2, TILE, E);
    derive(N1 * TILE, E, A1);
    accumulate(N1, N0, E, X, ldx, G + W1, G + B1);
    return cost / 2;
}

/* The samples of one tile, out of a shuffled order. */
static void gather(const real *restrict from, int rows, const int *restrict order, real *restrict to) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < TILE; j++)
            to[i * TILE + j] = from[i * SAMPLES + order[j]];
}

/* A batch's summed gradient, of its samples from `first` up to `past`. */
INLINE void batch(const real *P, const real *X, const real *Y, const int *order, int first, int past, real *G) {
    memset(G, 0, COUNT * sizeof(real));
    for (int j = first; j < past; j += TILE)
        if (SHUFFLED) {
            real x[N0 * TILE], y[LAST * TILE];
            gather(X, N0, order + j, x);
            gather(Y, LAST, order + j, y);
            step(P, x, TILE, y, TILE, G, 0);
        } else
            step(P, X + j, SAMPLES, Y + j, SAMPLES, G, 0);
}

INLINE void update(real *restrict P, const real *restrict G, real *restrict M, real *restrict V, long t, double rate) {
    if (ADAM) {
        const real size = rate / (1 - pow(0.9, t)), scale = 1 / (1 - pow(0.999, t)), share = (real)1 / BATCH;
        for (int i = 0; i < COUNT; i++) {
            real g = G[i] * share;
            M[i] = (real)0.9 * M[i] + (real)0.1 * g;
            V[i] = (real)0.999 * V[i] + (real)0.001 * g * g;
            P[i] -= size * M[i] / ((real)sqrt(V[i] * scale) + (real)1e-8);
        }
    } else
        for (int i = 0; i < COUNT; i++)
            P[i] -= (real)(rate / BATCH) * G[i];
}

#if THREADS == 1
void train(const real *X, const real *Y, const int *order, long iterations, double rate, real *parameters) {
    real P[COUNT], G[COUNT], M[ADAM ? COUNT : 1] = {0}, V[ADAM ? COUNT : 1] = {0};
    memcpy(P, parameters, sizeof P);
    for (long t = 1; t <= iterations; t++) {
        batch(P, X, Y, SHUFFLED ? order + (t - 1) * BATCH : NULL, 0, BATCH, G);
        update(P, G, M, V, t, rate);
    }
    memcpy(parameters, P, sizeof P);
}
#else
/* A pair of threads that lives for the whole run and meets at two counters: no lock, no wake-up. */
static struct {
    const real *X, *Y;
    real P[COUNT], G[2][COUNT] __attribute__((aligned(64)));
    long iterations;
    _Atomic long started __attribute__((aligned(64))), done __attribute__((aligned(64)));
} shared;

enum { HALF = (BATCH / TILE + 1) / 2 * TILE };

/* Spin, and leave the core to others only when that takes long. */
INLINE void wait(_Atomic long *counter, long value) {
    for (long spins = 1; atomic_load_explicit(counter, memory_order_acquire) < value; spins++)
        if (spins % 10000 == 0)
            sched_yield();
}

static void *second(void *unused) {
    for (long t = 1; t <= shared.iterations; t++) {
        wait(&shared.started, t);
        batch(shared.P, shared.X, shared.Y, NULL, HALF, BATCH, shared.G[1]);
        atomic_store_explicit(&shared.done, t, memory_order_release);
    }
    return unused;
}

void train(const real *X, const real *Y, const int *order, long iterations, double rate, real *parameters) {
    static real M[COUNT], V[COUNT];
    pthread_t other;
    memset(M, 0, sizeof M);
    memset(V, 0, sizeof V);
    memcpy(shared.P, parameters, sizeof shared.P);
    shared.X = X, shared.Y = Y, shared.iterations = iterations;
    atomic_store(&shared.started, 0);
    atomic_store(&shared.done, 0);
    pthread_create(&other, NULL, second, NULL);
    for (long t = 1; t <= iterations; t++) {
        atomic_store_explicit(&shared.started, t, memory_order_release);
        batch(shared.P, X, Y, NULL, 0, HALF, shared.G[0]);
        wait(&shared.done, t);
        for (int i = 0; i < COUNT; i++)
            shared.G[0][i] += shared.G[1][i];
        update(shared.P, shared.G[0], M, V, t, rate);
    }
    pthread_join(other, NULL);
    memcpy(parameters, shared.P, sizeof shared.P);
}
#endif

/* The mean cost and its gradient, once. */
double gradient(const real *X, const real *Y, const real *P, real *G) {
    double cost = 0;
    memset(G, 0, COUNT * sizeof(real));
    for (int j = 0; j < SAMPLES; j += TILE)
        cost += step(P, X + j, SAMPLES, Y + j, SAMPLES, G, 1);
    for (int i = 0; i < COUNT; i++)
        G[i] *= (real)1 / SAMPLES;
    return cost / SAMPLES;
}

/* The outputs for one sample. */
void predict(const real *x, const real *P, real *outputs) {
    real A1[N1], A2[N2], A3[N3 + 1];
    memcpy(outputs, layers(1, P, x, 1, A1, A2, A3), LAST * sizeof(real));
}
