/* Copy candidates of pixels: what followed the same neighbourhood in images coded before, as defined by coding/candidates.py.
 * Once the first colours of a pixel are known, completions: the latest pixels that began with the same colours.
 *
 * A pixel is 32 bits, its colours in order, the lowest byte first. Images lie one after the other in one array, each with a
 * border of zeros on three sides, so that neighbourhoods need no test for edges.
 */

#ifndef ACNCODEC_CANDIDATES_H
#define ACNCODEC_CANDIDATES_H

#include <stdint.h>
#include <string.h>

enum { CANDIDATES = 6, COMPLETIONS = 2, NEAR = 12, CONTEXTS = 4, SHARED = 3, PREFIXES = 3, RECENT = 16 };

static const int8_t COLUMNS[NEAR] = {-1, 0, -1, 1, -2, 0, -2, 2, -1, 1, -3, 0};
static const int8_t LINES[NEAR] = {0, -1, -1, -1, 0, -2, -1, -1, -2, -2, 0, -3};
static const uint8_t LENGTHS[CONTEXTS] = {6, 4, 2, 1}; /* neighbours of a context; the last has no table of all images */
static const uint64_t FACTORS[6] = {0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                                    0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB};

typedef struct {
    uint32_t at, stride; /* index into all pixels, 0 for none; distance of its image's rows */
} spot_t;

typedef struct { /* what all images of a block share */
    uint32_t *pixels;
    spot_t *tables; /* [SHARED + PREFIXES][1 << bits]: where a context or first colours were last, of complete images */
    int64_t bits, own_bits, complete; /* `complete`: end of the complete images */
} memory_t;

typedef struct { /* an image that is being coded */
    int64_t first, parent, stride; /* its first pixel and its parent's, which may be 0 for none; distance of its rows */
    spot_t *tables;                /* [CONTEXTS + PREFIXES][1 << own_bits]: as above, of this image */
    spot_t best, next;             /* first candidate of the current pixel; what follows that of the pixel before */
    uint32_t contexts[CONTEXTS];   /* upper bits of the hashes of the current pixel's contexts */
    uint32_t recent[RECENT];       /* distinct pixels, the latest first */
    int64_t count;                 /* of `recent` */
} image_t;

static inline uint32_t hash_of(const uint32_t *near, int64_t length) {
    uint64_t hash = 0;
    for (int64_t i = 0; i < length; i++) hash += (near[i] + (uint64_t)1) * FACTORS[i];
    return (uint32_t)(((hash ^ hash >> 32) * FACTORS[0]) >> 32);
}

static inline spot_t *slot_of(spot_t *tables, int64_t table, int64_t bits, uint32_t hash) {
    return tables + (table << bits) + (hash >> (32 - bits));
}

/* How many pixels near a spot are those of `near`. */
static inline int64_t agreement(const uint32_t *pixels, spot_t spot, const uint32_t *near) {
    int64_t equal = 0;
    for (int64_t i = 0; i < NEAR; i++) equal += pixels[spot.at + LINES[i] * (int64_t)spot.stride + COLUMNS[i]] == near[i];
    return equal;
}

/* A pixel of which the first colours are known. */
static inline uint32_t pixel_of(const uint8_t *values, int64_t colours) {
    uint32_t pixel = 0;
    for (int64_t c = 0; c < colours; c++) pixel |= (uint32_t)values[c] << 8 * c;
    return pixel;
}

/* The first colours of a pixel; their number is at most PREFIXES. */
static inline uint32_t prefix_of(uint32_t pixel, int64_t colours) { return pixel & ((1u << 8 * colours) - 1); }

static inline uint8_t *write_candidate(uint8_t *out, uint32_t pixel, int64_t strength, int64_t colours) {
    for (int64_t c = 0; c < colours; c++) out[c] = (uint8_t)(pixel >> 8 * c);
    out[colours] = (uint8_t)strength;
    return out + colours + 1;
}

/* The candidates of the pixel at an index, uint8 [CANDIDATES][colours + 1]; all pixels before it are known. */
static void find_candidates(const memory_t *memory, image_t *image, int64_t at, int64_t colours, uint8_t *out) {
    const uint32_t *pixels = memory->pixels;
    uint32_t near[NEAR], others[4 + 2 + CANDIDATES];
    for (int64_t i = 0; i < NEAR; i++) near[i] = pixels[at + LINES[i] * image->stride + COLUMNS[i]];
    spot_t own[CONTEXTS], all[SHARED];
    for (int64_t k = 0; k < CONTEXTS; k++) {
        image->contexts[k] = hash_of(near, LENGTHS[k]);
        own[k] = *slot_of(image->tables, k, memory->own_bits, image->contexts[k]);
        if (k < SHARED) all[k] = *slot_of(memory->tables, k, memory->bits, image->contexts[k]);
    }
    const spot_t spots[] = {image->next, own[0], all[0], own[1], all[1], own[2], all[2], own[3]};
    enum { LONGER = 5, SPOTS = 8 };
    int64_t best = -1, most = -1, count = 0, written = 2;
    for (int64_t k = 0; k < LONGER; k++) {
        const int64_t equal = spots[k].at ? agreement(pixels, spots[k], near) : -1;
        if (equal > most) most = equal, best = k;
    }
    image->best = best < 0 ? (spot_t){0, 0} : spots[best];
    for (; count < 4; count++) others[count] = near[count];
    others[count] = best < 0 ? 0 : pixels[image->best.at];
    out = write_candidate(out, others[count++], 1 + most, colours);
    others[count] = 0;
    int64_t strength = 0;
    if (image->parent) {
        const spot_t there = {(uint32_t)(image->parent + at - image->first), (uint32_t)image->stride};
        others[count] = pixels[there.at];
        strength = 1 + agreement(pixels, there, near);
    }
    out = write_candidate(out, others[count++], strength, colours);
    for (int64_t k = 0; k < SPOTS + image->count && written < CANDIDATES; k++) {
        if (k < SPOTS && !spots[k].at) continue;
        const uint32_t pixel = k < SPOTS ? pixels[spots[k].at] : image->recent[k - SPOTS];
        int known = 0;
        for (int64_t i = 0; i < count; i++) known |= others[i] == pixel;
        if (known) continue;
        others[count++] = pixel, written++;
        out = write_candidate(out, pixel, k < LONGER ? 1 : k < NEAR + 3 ? k - 3 : NEAR, colours);
    }
    for (; written < CANDIDATES; written++) out = write_candidate(out, 0, 0, colours);
}

/* The latest pixel of this image, then of all images, with the same first colours, and whether there is one: the value of the
 * next colour, or 0. */
static inline void find_completions(const memory_t *memory, const image_t *image, uint32_t prefix, int64_t known,
                                    uint8_t value[COMPLETIONS], uint8_t found[COMPLETIONS]) {
    const uint32_t hash = hash_of(&prefix, 1);
    const spot_t spots[] = {*slot_of(image->tables, CONTEXTS + known - 1, memory->own_bits, hash),
                            *slot_of(memory->tables, SHARED + known - 1, memory->bits, hash)};
    for (int64_t k = 0; k < COMPLETIONS; k++) {
        const uint32_t pixel = spots[k].at ? memory->pixels[spots[k].at] : 0;
        found[k] = spots[k].at && prefix_of(pixel, known) == prefix;
        value[k] = found[k] ? (uint8_t)(pixel >> 8 * known) : 0;
    }
}

/* The completions of the colour after the first `known` ones, entered into uint8 [COMPLETIONS][colours + 1], whose last
 * values are sets of bits that tell of which colours there are any. */
static inline void write_completions(const memory_t *memory, const image_t *image, uint32_t pixel, int64_t known,
                                     int64_t colours, uint8_t *out) {
    uint8_t value[COMPLETIONS], found[COMPLETIONS];
    find_completions(memory, image, prefix_of(pixel, known), known, value, found);
    for (int64_t k = 0; k < COMPLETIONS; k++, out += colours + 1)
        out[known] = value[k], out[colours] |= (uint8_t)(found[k] << known);
}

/* Take note of a pixel after `find_candidates` for it, once it is known. */
static void learn_pixel(const memory_t *memory, image_t *image, int64_t at, int64_t colours, int last_column) {
    const uint32_t pixel = memory->pixels[at];
    const spot_t best = image->best, here = {(uint32_t)at, (uint32_t)image->stride};
    const int goes_on = best.at && memory->pixels[best.at] == pixel && !last_column &&
                        (best.at >= image->first || best.at + 1 < memory->complete);
    image->next = goes_on ? (spot_t){best.at + 1, best.stride} : (spot_t){0, 0};
    for (int64_t k = 0; k < CONTEXTS; k++) *slot_of(image->tables, k, memory->own_bits, image->contexts[k]) = here;
    for (int64_t c = 1; c < colours; c++) {
        const uint32_t prefix = prefix_of(pixel, c);
        *slot_of(image->tables, CONTEXTS + c - 1, memory->own_bits, hash_of(&prefix, 1)) = here;
    }
    int64_t k = 0;
    while (k < image->count && image->recent[k] != pixel) k++;
    if (k == image->count) image->count < RECENT ? image->count++ : k--;
    memmove(image->recent + 1, image->recent, k * sizeof *image->recent);
    image->recent[0] = pixel;
}

/* Enter a complete image's pixels into the tables of all images. */
static void learn_image(const memory_t *memory, int64_t first, int64_t stride, int64_t height, int64_t width,
                        int64_t colours) {
    for (int64_t row = 0; row < height; row++)
        for (int64_t at = first + row * stride; at < first + row * stride + width; at++) {
            uint32_t near[NEAR];
            for (int64_t i = 0; i < LENGTHS[0]; i++) near[i] = memory->pixels[at + LINES[i] * stride + COLUMNS[i]];
            const spot_t here = {(uint32_t)at, (uint32_t)stride};
            for (int64_t k = 0; k < SHARED; k++)
                *slot_of(memory->tables, k, memory->bits, hash_of(near, LENGTHS[k])) = here;
            for (int64_t c = 1; c < colours; c++) {
                const uint32_t prefix = prefix_of(memory->pixels[at], c);
                *slot_of(memory->tables, SHARED + c - 1, memory->bits, hash_of(&prefix, 1)) = here;
            }
        }
}

#endif
