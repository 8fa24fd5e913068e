/* A population of dense networks in C, compiled by c_peer.py for one architecture: a lane of a vector for each network.
 *
 * Every loop has constant bounds, so that gcc writes out a step. A block of networks takes all its steps before the
 * next one; its parameters, (COUNT, LANES), stay in the nearest cache. X and Y are the same for all.
 */
#include <math.h>
#include <string.h>

typedef REAL real;
typedef INTEGER integer;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")

typedef real vec __attribute__((vector_size(WIDTH / 8), may_alias));
typedef integer ints __attribute__((vector_size(WIDTH / 8)));
#define LANES (int)(sizeof(vec) / sizeof(real))
#define TOP (real)(sizeof(real) == 8 ? 708 : 87)

#define LAST (LAYERS == 2 ? N2 : N3)
enum {
    W1 = 0, B1 = W1 + N1 * N0,
    W2 = B1 + N1, B2 = W2 + N2 * N1,
    W3 = B2 + N2, B3 = W3 + N3 * N2,
    COUNT = B3 + N3,
};

/* A function of a number, for each lane: gcc finds the vector instruction, or libm's function for whole vectors. */
#define EACH(name, expression)            \
    INLINE vec name(vec x) {              \
        real all[LANES];                  \
        memcpy(all, &x, sizeof x);        \
        for (int l = 0; l < LANES; l++) { \
            real x = all[l];              \
            all[l] = expression;          \
        }                                 \
        memcpy(&x, all, sizeof x);        \
        return x;                         \
    }

EACH(root, sizeof(real) == 8 ? sqrt(x) : sqrtf(x))

#if OWN_MATH
EACH(nearest, sizeof(real) == 8 ? rint(x) : rintf(x))
EACH(inside, x < -TOP ? -TOP : x > TOP ? TOP : x)
EACH(near, x < (real)-7.9 ? (real)-7.9 : x > (real)7.9 ? (real)7.9 : x)

INLINE vec exponential(vec x) {
    x = inside(x);
    vec n = nearest(x * (real)1.4426950408889634);
    vec r = x - n * (real)0.6931471805599453, r2 = r * r, r4 = r2 * r2, sum;
    if (sizeof(real) == 8) {
        vec low = (1 + r) + r2 * ((real)(1. / 2) + r * (real)(1. / 6));
        vec middle = ((real)(1. / 24) + r * (real)(1. / 120)) + r2 * ((real)(1. / 720) + r * (real)(1. / 5040));
        vec high = ((real)(1. / 40320) + r * (real)(1. / 362880)) + r2 * ((real)(1. / 3628800) + r * (real)(1. / 39916800));
        sum = low + r4 * (middle + r4 * high);
    } else {
        vec low = (1 + r) + r2 * ((real)(1. / 2) + r * (real)(1. / 6));
        sum = low + r4 * (((real)(1. / 24) + r * (real)(1. / 120)) + r2 * (real)(1. / 720));
    }
    ints whole = __builtin_convertvector(n, ints);
    return sum * (vec)((whole + (sizeof(real) == 8 ? 1023 : 127)) << (sizeof(real) == 8 ? 52 : 23));
}

INLINE vec tangent(vec x) {
    if (sizeof(real) == 8)
        return 1 - 2 / (1 + exponential(2 * x));
    x = near(x);
    vec y = x * x; /* an odd rational of degrees 13 and 6 */
    vec p = (real)-8.60467152213735e-11 + y * ((real)2.00018790482477e-13 + y * (real)-2.76076847742355e-16);
    p = (real)1.48572235717979e-05 + y * ((real)5.12229709037114e-08 + y * p);
    p = (real)4.89352455891786e-03 + y * ((real)6.37261928875436e-04 + y * p);
    vec q = (real)1.18534705686654e-04 + y * (real)1.19825839466702e-06;
    q = (real)4.89352518554385e-03 + y * ((real)2.26843463243900e-03 + y * q);
    return x * p / q;
}
#else /* libm's, which gcc calls for whole vectors where it has such */
EACH(exponential, sizeof(real) == 8 ? exp(x) : expf(x))
EACH(tangent, sizeof(real) == 8 ? tanh(x) : tanhf(x))
#endif

/* z (n) = b + W a */
INLINE void forward(int n, int k, const vec *W, const vec *b, const vec *a, vec *z) {
    UNROLL for (int o = 0; o < n; o++) {
        vec sum = b[o];
        UNROLL for (int i = 0; i < k; i++)
            sum += W[o * k + i] * a[i];
        z[o] = sum;
    }
}

/* dW += d a', db += d; and d of the layer below from a's, if there is one */
INLINE void backward(int n, int k, const vec *W, const vec *d, const vec *a, vec *dW, vec *db, vec *below) {
    UNROLL for (int o = 0; o < n; o++) {
        db[o] += d[o];
        UNROLL for (int i = 0; i < k; i++)
            dW[o * k + i] += d[o] * a[i];
    }
    if (below)
        UNROLL for (int i = 0; i < k; i++) {
            vec sum = {};
            UNROLL for (int o = 0; o < n; o++)
                sum += W[o * k + i] * d[o];
            below[i] = sum * (1 - a[i] * a[i]);
        }
}

INLINE void sample(const real *X, const real *Y, int s, const vec *P, vec *G) {
    vec x[N0], a1[N1], a2[N2], a3[N3 + 1], d1[N1], d2[N2], d3[N3 + 1], *d = LAYERS == 2 ? d2 : d3;
    UNROLL for (int i = 0; i < N0; i++)
        x[i] = (vec){} + X[i * SAMPLES + s];
    forward(N1, N0, P + W1, P + B1, x, a1);
    UNROLL for (int o = 0; o < N1; o++)
        a1[o] = tangent(a1[o]);
    forward(N2, N1, P + W2, P + B2, a1, a2);
    if (LAYERS == 3) {
        UNROLL for (int o = 0; o < N2; o++)
            a2[o] = tangent(a2[o]);
        forward(N3, N2, P + W3, P + B3, a2, a3);
    }
    vec *out = LAYERS == 2 ? a2 : a3;
    UNROLL for (int o = 0; o < LAST; o++) {
        vec a = out[o];
        if (SIGMOID)
            a = 1 / (1 + exponential(-a));
        d[o] = (a - Y[o * SAMPLES + s]) * ((real)1 / SAMPLES);
    }
    if (LAYERS == 3)
        backward(N3, N2, P + W3, d3, a2, G + W3, G + B3, d2);
    backward(N2, N1, P + W2, d2, a1, G + W2, G + B2, d1);
    backward(N1, N0, P + W1, d1, x, G + W1, G + B1, NULL);
}

/* theta is (COUNT, members), and so many members fill whole vectors. */
void train(const real *restrict X, const real *restrict Y, const real *restrict rates, long members, long iterations,
           real *restrict theta) {
    for (long first = 0; first < members; first += LANES) {
        vec P[COUNT], M[COUNT] = {}, V[COUNT] = {}, rate = *(const vec *)(rates + first);
        real power1 = 1, power2 = 1;
        for (int i = 0; i < COUNT; i++)
            P[i] = *(vec *)(theta + i * members + first);
        for (long t = 0; t < iterations; t++) {
            vec G[COUNT] = {};
            if (SAMPLES <= 8)
                UNROLL for (int s = 0; s < SAMPLES; s++)
                    sample(X, Y, s, P, G);
            else
                for (int s = 0; s < SAMPLES; s++)
                    sample(X, Y, s, P, G);
            power1 *= (real).9, power2 *= (real).999;
            vec size = rate / (1 - power1);
            real scale = 1 / (1 - power2);
            for (int i = 0; i < COUNT; i++)
                if (ADAM) {
                    M[i] = (real).9 * M[i] + (real)(1 - .9) * G[i];
                    V[i] = (real).999 * V[i] + (real)(1 - .999) * G[i] * G[i];
                    P[i] -= size * M[i] / (root(V[i] * scale) + (real)1e-8);
                } else
                    P[i] -= rate * G[i];
        }
        for (int i = 0; i < COUNT; i++)
            *(vec *)(theta + i * members + first) = P[i];
    }
}
