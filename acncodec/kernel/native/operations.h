/* What a program is made of: operations of WORDS 64-bit words, laid out by kernel/layout.py. Strides are in elements.
 *
 * Buffers are [column][lane][channels]; columns and lanes are told by their strides, so that a window's taps are addresses
 * and nothing is ever gathered. Each group of lanes has programs and buffers of its own. Lanes are filled up to a multiple
 * of ROWS, a product's outputs to one of 8.
 */

#ifndef ACNCODEC_OPERATIONS_H
#define ACNCODEC_OPERATIONS_H

#include <stdint.h>
#include <string.h>

enum { WORDS = 32 };
enum { PRODUCT, PREDICT, TELL, GREY, AROUND, LOGISTICS, SOFTMAX, LOGISTICS_BITS, SOFTMAX_BITS, LARGEST }; /* 1st word */
enum { REQUANTISE, GATE, RAW }; /* what becomes of a product's sums */

enum { UNIT = 128, GATE_SHIFT = 8, STREAM_MAX = 1024, PLANE_MAX = 255, ERROR_SCALE = 4, MIDDLE = 128 };
enum { TONE_BITS = 2, SPREAD_MIN = -128, SPREAD_MAX = 192, STEEPNESS_BITS = 4, SLOPE_MAX = 1 << 14, BASE = 16 };
enum { CUMULATIVE_BITS = 22, FREQUENCY_FLOOR = 1 << 16, TANH_TABLE = 128 };
enum { ROWS = 4, GROUP_MAX = 32, MAX_TAPS = 256, MAX_OUTS = 1024 };

typedef struct { /* one position of a window: [pairs][2] channels of every lane */
    const int16_t *base;
    int64_t row, column, lane, pairs;
} tap_t;

typedef struct { /* sums of taps times weights, from `start` on; requantised, then added to `stream` or not; or gated; or
                    raw */
    int64_t kind, taps;
    const tap_t *tap;
    const int16_t *weights; /* [pairs of all taps][padded][2]; gated: both halves of a gate side by side */
    int64_t outs, padded;   /* filled up to a multiple of 8, and of 16 */
    const int32_t *start;   /* the bias, or what a row's product has found of the sum: [...][padded] */
    int64_t start_column, start_lane, finish;
    const int32_t *shift; /* [padded], of each output, 1 and more */
    int64_t low, high;
    char *out; /* int16 [...][outs], or int32 [...][padded] if raw */
    int64_t out_column, out_lane;
    const int16_t *stream; /* laid out as `out` is, or NULL */
    int64_t stream_column;
    const int16_t *tanh; /* 128 * tanh(i / 32) of 0..TANH_TABLE-1, where it has long been flat */
} product_t;

typedef struct { /* of the pixels known: what is predicted of them, and planes */
    int64_t kind, colours, centres, width, levels;
    const uint8_t *values; /* [height][width][lanes][colours] */
    int64_t row, column;
    int16_t *predicted; /* [width][centres][lanes][colours], of one row */
    int64_t predicted_column, predicted_centre;
    int16_t *planes;
    int64_t planes_column, planes_lane, known,
        inside; /* colours to tell; whether the first plane tells inside from outside */
} pixels_t;

typedef struct { /* parameters of a value's distribution, frequencies of its digits, and what it costs in theory */
    int64_t kind, components, levels;
    int16_t *parameters; /* [width][lanes][3 * components, or levels], of one row */
    int64_t parameters_column, parameters_lane;
    const int16_t *predicted; /* [width][centres][lanes][colours], from the value's colour on */
    int64_t predicted_column, predicted_centre, colours, centres;
    const int32_t *first; /* [height][width][lanes] leading digits, or NULL while they are not known */
    int64_t first_row, first_column;
    double *frequencies; /* [height][width][...][lanes][2 or BASE] */
    int64_t frequencies_row, frequencies_column, lanes;
    const int32_t *exp, *logistic, *steepness;
    const uint8_t *values; /* [height][width][lanes][colours], from the value's colour on */
    int64_t values_row, values_column;
    double *bits; /* of every lane, to be added to */
    const double *real_exp;
} head_t;

typedef struct { /* the largest values of each channel in a window */
    int64_t kind;
    const int16_t *in;
    int64_t row, rows, column, columns, step; /* of the window, and from one column of `out` to the next */
    int16_t *out;
    int64_t out_column, channels; /* of a lane, all that there is room for */
} largest_t;

typedef struct {
    int64_t row, first, last, high; /* columns first..last-1; lanes of the group below `high`, a multiple of ROWS */
} where_t;

static inline int16_t *parameters_of(const head_t *h, int64_t column, int64_t lane) {
    return h->parameters + column * h->parameters_column + lane * h->parameters_lane;
}

static inline double *frequencies_of(const head_t *h, int64_t row, int64_t column, int64_t lane, int64_t base) {
    return h->frequencies + row * h->frequencies_row + column * h->frequencies_column + base * lane;
}

static inline int32_t first_of(const head_t *h, int64_t row, int64_t column, int64_t lane) {
    return h->first[row * h->first_row + column * h->first_column + lane];
}

static inline int32_t clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

#endif
