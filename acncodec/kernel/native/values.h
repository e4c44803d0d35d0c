/* Operations per value, without products, as defined by nets/planes.py and coding/frequencies.py. */

#ifndef ACNCODEC_VALUES_H
#define ACNCODEC_VALUES_H

#include <math.h>

#include "candidates.h"
#include "operations.h"

/* The median edge detector's prediction and, with more than one centre, the neighbours: all colours of the pixels. */
static void predict(const pixels_t *p, const where_t *at) {
    const int64_t count = at->high * p->colours;
    for (int64_t column = at->first; column < at->last; column++) {
        const uint8_t *here = p->values + at->row * p->row + column * p->column;
        const uint8_t *above = here - p->row, *left = column ? here - p->column : above;
        int16_t *out = p->predicted + column * p->predicted_column;
        if (at->row == 0) {
            for (int64_t c = 0; c < p->centres; c++)
                for (int64_t i = 0; i < count; i++) out[c * p->predicted_centre + i] = column ? left[i] : MIDDLE;
            continue;
        }
        const uint8_t *left_above = column ? above - p->column : above;
        const uint8_t *right_above = column < p->width - 1 ? above + p->column : above;
        for (int64_t i = 0; i < count; i++) {
            const int32_t a = left[i], b = above[i];
            out[i] = (int16_t)clamp(a + b - left_above[i], a < b ? a : b, a < b ? b : a);
        }
        const uint8_t *neighbours[] = {left, above, left_above, right_above};
        for (int64_t c = 1; c < p->centres; c++)
            for (int64_t i = 0; i < count; i++) out[c * p->predicted_centre + i] = neighbours[c - 1][i];
    }
}

static inline int16_t error_of(int32_t value, int32_t predicted) {
    return (int16_t)clamp((value - predicted) * ERROR_SCALE, -PLANE_MAX, PLANE_MAX);
}

/* Planes of the `known` colours of the pixels, after a plane that marks them as inside the image if `inside` is set. */
static void tell(const pixels_t *p, const where_t *at) {
    const int64_t known = p->known;
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < at->high; lane++) {
            const uint8_t *values = p->values + at->row * p->row + column * p->column + lane * p->colours;
            const int16_t *predicted = p->predicted + column * p->predicted_column + lane * p->colours;
            int16_t *planes = p->planes + column * p->planes_column + lane * p->planes_lane;
            if (p->inside) *planes++ = UNIT;
            for (int64_t c = 0; c < known; c++) {
                planes[c] = values[c];
                planes[known + c] = error_of(values[c], predicted[c]);
            }
            for (int64_t k = 1; k < p->centres; k++) {
                int same = 1;
                for (int64_t c = 0; c < known; c++) same &= values[c] == predicted[k * p->predicted_centre + c];
                planes[2 * known + k - 1] = same ? UNIT : 0;
            }
        }
}

/* Planes of pixels of one value: inside, the value and, with more than two levels, whether it is the darkest or brightest,
 * and the prediction error if it is wanted.
 */
static void grey(const pixels_t *p, const where_t *at) {
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < at->high; lane++) {
            const int16_t value = p->values[at->row * p->row + column * p->column + lane];
            int16_t *planes = p->planes + column * p->planes_column + lane * p->planes_lane;
            planes[0] = UNIT;
            planes[1] = p->levels == 2 ? value * UNIT : value;
            if (p->levels > 2) {
                planes[2] = value == 0 ? UNIT : 0;
                planes[3] = value == p->levels - 1 ? UNIT : 0;
            }
            if (p->errors) planes[4] = error_of(value, p->predicted[column * p->predicted_column + lane]);
        }
}

/* Candidates of the pixels of a column, once the pixels before it are known: those enter the memory first. */
static void find(const offer_t *o, const where_t *at) {
    const memory_t *memory = (const memory_t *)(intptr_t)*o->memory;
    const int64_t high = at->high < o->lanes ? at->high : o->lanes, size = (CANDIDATES + COMPLETIONS) * (o->colours + 1);
    const int64_t row = at->first ? at->row : at->row - 1, before = at->first ? at->first - 1 : o->width - 1;
    uint8_t *out = o->offers + at->row * o->row + at->first * o->column;
    memset(out, 0, high * size);
    for (int64_t lane = 0; memory && lane < high; lane++, out += size) {
        image_t *image = (image_t *)o->images + lane;
        if (row >= 0) {
            const uint8_t *values = o->values + row * o->values_row + before * o->values_column + lane * o->colours;
            const int64_t last = image->first + row * image->stride + before;
            memory->pixels[last] = pixel_of(values, o->colours);
            learn_pixel(memory, image, last, o->colours, before == o->width - 1);
        }
        find_candidates(memory, image, image->first + at->row * image->stride + at->first, o->colours, out);
    }
}

/* Completions of the next colour of these pixels. */
static void find_rest(const offer_t *o, const where_t *at) {
    const memory_t *memory = (const memory_t *)(intptr_t)*o->memory;
    const int64_t high = at->high < o->lanes ? at->high : o->lanes, one = o->colours + 1;
    uint8_t *out = o->offers + at->row * o->row + at->first * o->column;
    for (int64_t lane = 0; memory && lane < high; lane++, out += (CANDIDATES + COMPLETIONS) * one) {
        const uint8_t *values = o->values + at->row * o->values_row + at->first * o->values_column + lane * o->colours;
        const image_t *image = (const image_t *)o->images + lane;
        write_completions(memory, image, pixel_of(values, o->known), o->known, o->colours, out + CANDIDATES * one);
    }
}

static inline const uint8_t *offers_of(const offer_t *o, const where_t *at, int64_t column, int64_t lane) {
    return o->offers + at->row * o->row + column * o->column + lane * (CANDIDATES + COMPLETIONS) * (o->colours + 1);
}

/* Candidates as centres, and planes of evidence for them. */
static void offer(const offer_t *o, const where_t *at) {
    enum { COMPARED = 2, NEIGHBOURS = 4, STRENGTH_UNIT = 16 };
    const int64_t colours = o->colours;
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < at->high; lane++) {
            const uint8_t *candidate = offers_of(o, at, column, lane);
            int16_t *predicted = o->predicted + column * o->predicted_column + lane * colours;
            int16_t *planes = o->planes + column * o->planes_column + lane * o->planes_lane;
            for (int64_t k = 0; k < CANDIDATES; k++) {
                const uint8_t *own = candidate + k * (colours + 1);
                int16_t *centre = predicted + (o->centres - COMPLETIONS - CANDIDATES + k) * o->predicted_centre;
                for (int64_t c = 0; c < colours; c++) centre[c] = own[c];
                planes[k] = own[colours] ? UNIT : 0;
                planes[CANDIDATES + k] = own[colours] * STRENGTH_UNIT;
            }
            planes += 2 * CANDIDATES;
            for (int64_t k = 0; k < COMPARED; k++)
                for (int64_t n = 1; n <= NEIGHBOURS; n++) {
                    int same = 1;
                    for (int64_t c = 0; c < colours; c++)
                        same &= predicted[n * o->predicted_centre + c] == candidate[k * (colours + 1) + c];
                    *planes++ = same ? UNIT : 0;
                }
            for (int64_t k = 0; k < COMPARED; k++)
                for (int64_t c = 0; c < colours; c++) *planes++ = candidate[k * (colours + 1) + c] - predicted[c];
            *planes = memcmp(candidate, candidate + colours + 1, colours) ? 0 : UNIT;
        }
}

/* Completions of a colour as its centres, and planes that tell which there are. */
static void offer_rest(const offer_t *o, const where_t *at) {
    const int64_t colours = o->colours, colour = o->known;
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < at->high; lane++) {
            const uint8_t *rows = offers_of(o, at, column, lane) + CANDIDATES * (colours + 1);
            int16_t *predicted = o->predicted + column * o->predicted_column + lane * colours + colour;
            int16_t *planes = o->planes + column * o->planes_column + lane * o->planes_lane;
            int same = rows[colour] == rows[colours + 1 + colour];
            for (int64_t k = 0; k < COMPLETIONS; k++, rows += colours + 1) {
                const int found = rows[colours] >> colour & 1;
                predicted[(o->centres - COMPLETIONS + k) * o->predicted_centre] = rows[colour];
                planes[k] = found ? UNIT : 0;
                same &= found;
            }
            planes[COMPLETIONS] = same ? UNIT : 0;
        }
}

/* Add the centres to the logistics' means, which are predicted relative to them. */
static void around(const head_t *h, const where_t *at) {
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < at->high; lane++) {
            int16_t *means = parameters_of(h, column, lane) + h->components;
            const int16_t *predicted = h->predicted + column * h->predicted_column + lane * h->colours;
            for (int64_t m = 0; m < h->components; m++)
                means[m] += predicted[m % h->centres * h->predicted_centre] << TONE_BITS;
        }
}

/* Frequencies of a digit under a softmax: exp(logit - largest logit), or sums of these. */
static void softmax(const head_t *h, const where_t *at) {
    const int64_t high = at->high < h->lanes ? at->high : h->lanes, levels = h->levels, base = levels == 2 ? 2 : BASE;
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < high; lane++) {
            const int16_t *logits = parameters_of(h, column, lane);
            double *frequencies = frequencies_of(h, at->row, column, lane, base);
            int16_t largest = logits[0];
            for (int64_t i = 1; i < levels; i++) largest = logits[i] > largest ? logits[i] : largest;
            if (levels > 2 && !h->first) {
                for (int64_t digit = 0; digit < BASE; digit++) {
                    int32_t sum = 0;
                    for (int64_t i = BASE * digit; i < BASE * digit + BASE; i++) sum += h->exp[largest - logits[i]];
                    frequencies[digit] = sum;
                }
                continue;
            }
            if (levels > 2) logits += BASE * first_of(h, at->row, column, lane);
            for (int64_t i = 0; i < base; i++) frequencies[i] = h->exp[largest - logits[i]];
        }
}

static void largest(const largest_t *p, const where_t *at) {
    const int64_t count = at->high * p->channels;
    for (int64_t column = at->first; column < at->last; column++) {
        const int16_t *in = p->in + column * p->step;
        int16_t *out = p->out + column * p->out_column;
        memcpy(out, in, count * sizeof *out);
        for (int64_t y = 0; y < p->rows; y++)
            for (int64_t x = y ? 0 : 1; x < p->columns; x++) {
                const int16_t *other = in + y * p->row + x * p->column;
                for (int64_t i = 0; i < count; i++) out[i] = other[i] > out[i] ? other[i] : out[i];
            }
    }
}

/* Theoretical cost of the values by the formulas of coding/theory.py, in doubles, without the integer frequencies. */

static void softmax_bits(const head_t *h, const where_t *at) {
    const int64_t high = at->high < h->lanes ? at->high : h->lanes;
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < high; lane++) {
            const int16_t *logits = parameters_of(h, column, lane);
            const int16_t own = logits[h->values[at->row * h->values_row + column * h->values_column + lane * h->colours]];
            int16_t largest = logits[0];
            double sum = 0;
            for (int64_t i = 1; i < h->levels; i++) largest = logits[i] > largest ? logits[i] : largest;
            for (int64_t i = 0; i < h->levels; i++) sum += h->real_exp[largest - logits[i]];
            h->bits[lane] += log2(sum) + (largest - own) * (M_LOG2E / 32);
        }
}

static double logistic_function(double x) { return 1 / (1 + exp(-x)); }

static void logistics_bits(const head_t *h, const where_t *at) {
    const int64_t components = h->components, high = at->high < h->lanes ? at->high : h->lanes;
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < high; lane++) {
            const int16_t *logits = parameters_of(h, column, lane), *means = logits + components,
                          *spreads = means + components;
            const int32_t value = h->values[at->row * h->values_row + column * h->values_column + lane * h->colours];
            int16_t largest = logits[0];
            double sum = 0, mass = 0;
            for (int64_t m = 1; m < components; m++) largest = logits[m] > largest ? logits[m] : largest;
            for (int64_t m = 0; m < components; m++) {
                const double weight = h->real_exp[largest - logits[m]], centred = value - means[m] / 4.0;
                const double steepness = exp2(clamp(spreads[m], SPREAD_MIN, SPREAD_MAX) / -32.0);
                const double below = value == 0 ? 0 : logistic_function((centred - 0.5) * steepness);
                const double upto = value == BASE * BASE - 1 ? 1 : logistic_function((centred + 0.5) * steepness);
                sum += weight;
                mass += weight * (upto - below);
            }
            h->bits[lane] -= log2(mass / sum + 0x1p-28);
        }
}

#endif
