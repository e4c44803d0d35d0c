/* Operations that make up a program, WORDS 64-bit words each, as built by kernel/layout.py. Strides are in elements.
 *
 * Buffers are [column][lane][channels], addressed by column and lane strides, so that a window's taps are addresses and
 * nothing is gathered. Each group of lanes has its own programs and buffers. Lanes are padded to a multiple of ROWS, a
 * product's outputs to a multiple of 8.
 */

#ifndef ACNCODEC_OPERATIONS_H
#define ACNCODEC_OPERATIONS_H

#include <stdint.h>
#include <string.h>

enum { WORDS = 32 };
enum { PRODUCT, PREDICT, TELL, GREY, AROUND, LOGISTICS, SOFTMAX, LOGISTICS_BITS, SOFTMAX_BITS, LARGEST, /* opcodes */
       FIND, OFFER, FIND_REST, OFFER_REST };
enum { REQUANTISE, GATE, RAW }; /* output stage of a product */

enum { UNIT = 128, GATE_SHIFT = 8, STREAM_MAX = 1024, PLANE_MAX = 255, ERROR_SCALE = 4, MIDDLE = 128 };
enum { TONE_BITS = 2, SPREAD_MIN = -128, SPREAD_MAX = 192, STEEPNESS_BITS = 4, SLOPE_MAX = 1 << 14, BASE = 16 };
enum { CUMULATIVE_BITS = 22, FREQUENCY_FLOOR = 1 << 16, TANH_TABLE = 128 };
enum { ROWS = 4, GROUP_MAX = 32, MAX_TAPS = 256, MAX_OUTS = 1024 };

typedef struct { /* one position of a window: [pairs][2] channels per lane */
    const int16_t *base;
    int64_t row, column, lane, pairs;
} tap_t;

typedef struct { /* sums of taps times weights plus `start`: requantised or gated, then added to `stream` if any; or raw */
    int64_t kind, taps;
    const tap_t *tap;
    const int16_t *weights; /* [pairs of all taps][padded][2]; gated: both halves of a gate side by side */
    int64_t outs, padded;   /* padded to a multiple of 8, and of 16 */
    const int32_t *start;   /* the bias, or a row's partial sums: [...][padded] */
    int64_t start_column, start_lane, finish;
    const int32_t *shift; /* [padded], per output, >= 1 */
    int64_t low, high;
    char *out; /* int16 [...][outs], or int32 [...][padded] if raw */
    int64_t out_column, out_lane;
    const int16_t *stream; /* laid out as `out` is, or NULL */
    int64_t stream_column;
    const int16_t *tanh; /* 128 * tanh(i / 32) for i in 0..TANH_TABLE-1, saturated beyond */
} product_t;

typedef struct { /* known values of pixels, their predictions and planes */
    int64_t kind, colours, centres, width, levels;
    const uint8_t *values; /* [height][width][lanes][colours] */
    int64_t row, column;
    int16_t *predicted; /* [width][centres][lanes][colours], of one row */
    int64_t predicted_column, predicted_centre;
    int16_t *planes;
    int64_t planes_column, planes_lane;
    int64_t known, inside, errors; /* number of known colours; whether planes mark inside, and tell grey values' errors */
} pixels_t;

typedef struct { /* parameters of a value's distribution, frequencies of its digits, and its theoretical cost */
    int64_t kind, components, levels;
    int16_t *parameters; /* [width][lanes][3 * components, or levels], of one row */
    int64_t parameters_column, parameters_lane;
    const int16_t *predicted; /* [width][centres][lanes][colours], from the value's colour on */
    int64_t predicted_column, predicted_centre, colours, centres;
    const int32_t *first; /* [height][width][lanes] first digits, or NULL while they are not known */
    int64_t first_row, first_column;
    double *frequencies; /* [height][width][...][lanes][2 or BASE] */
    int64_t frequencies_row, frequencies_column, lanes;
    const int32_t *exp, *logistic, *steepness;
    const uint8_t *values; /* [height][width][lanes][colours], from the value's colour on */
    int64_t values_row, values_column;
    double *bits; /* per lane, accumulated */
    const double *real_exp;
} head_t;

typedef struct { /* copy candidates of pixels or completions of a colour: found, or made centres and planes of evidence */
    int64_t kind, colours, width, lanes, known; /* `known`: colours of the pixel */
    uint8_t *offers; /* [height][width][lanes][CANDIDATES + COMPLETIONS][colours + 1] */
    int64_t row, column;
    const int64_t *memory; /* the address of a memory_t, or 0 where there are no candidates */
    char *images;          /* image_t of each lane */
    const uint8_t *values; /* [height][width][lanes][colours] */
    int64_t values_row, values_column;
    int16_t *predicted; /* [width][centres][lanes][colours], of one row, candidates and then completions last */
    int64_t predicted_column, predicted_centre, centres;
    int16_t *planes;
    int64_t planes_column, planes_lane;
} offer_t;

typedef struct { /* max pooling per channel */
    int64_t kind;
    const int16_t *in;
    int64_t row, rows, column, columns, step; /* strides and sizes of the window; distance to the next column's window */
    int16_t *out;
    int64_t out_column, channels; /* per lane, including padding */
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
