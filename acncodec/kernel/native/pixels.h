/* Rows of pixels decoded: programs and pops from the stacks in turn. A thread decodes a unit of lanes, whose stacks no other
 * thread pops, from one end of the row to the other; or all threads share each program.
 */

#ifndef ACNCODEC_PIXELS_H
#define ACNCODEC_PIXELS_H

#include "coder.h"
#include "team.h"

/* Columns first..last-1 of a row of all images, to be decoded from the left: programs for the row, for its first pixel, and
 * for the first and second digits of each colour. Frequencies float64 [lanes][base] and digits int32 [2][lanes] are what the
 * programs write and read; `values` is the row, uint8 [width][padded lanes][colours]. Lane i is on stack i / slice.
 */
struct pop {
    const program_t *programs;
    job_t job;
    long long row, width, first, last, lanes, padded, colours, base, slice, unit; /* unit: lanes, 0 if all are shared */
    const double *frequencies;
    int32_t *first_digits, *second_digits;
    uint8_t *values;
    ans_t *stacks;
    int result;
};

typedef struct {
    int64_t start, end;
    team_t *team; /* that shares each program, or NULL */
} lanes_t;

static void run_lanes(const pop_t *pop, const lanes_t *lanes, const program_t *program, where_t at) {
    if (lanes->team)
        share(lanes->team, program, &pop->job, 1, at);
    else
        for (int64_t group = lanes->start / pop->job.size; group * pop->job.size < lanes->end; group++)
            run_group(program, &pop->job, group, 1, at);
}

static int pop_digits(const pop_t *pop, const lanes_t *lanes, int32_t *digits) {
    int result = 0;
    for (int64_t lane = lanes->start; lane < lanes->end && !result; lane += pop->slice) {
        const int64_t left = lanes->end - lane;
        result = pop_rows(&pop->stacks[lane / pop->slice], digits + lane, pop->frequencies + lane * pop->base,
                          left < pop->slice ? left : pop->slice, pop->base);
    }
    return result;
}

static int pop_lanes(const pop_t *pop, const lanes_t *lanes) {
    const int64_t base = pop->base, colours = pop->colours;
    int result = 0;
    if (!pop->first) run_lanes(pop, lanes, &pop->programs[0], (where_t){pop->row, 0, pop->width, 0});
    for (int64_t column = pop->first; column < pop->last && !result; column++)
        for (int64_t colour = 0; colour < colours && !result; colour++) {
            const where_t here = {pop->row, column, column + 1, 0};
            uint8_t *value = pop->values + column * pop->padded * colours + colour;
            run_lanes(pop, lanes, &pop->programs[column || colour ? 2 + colour : 1], here);
            result = pop_digits(pop, lanes, pop->first_digits);
            if (base == 2) {
                for (int64_t i = lanes->start; i < lanes->end; i++) value[i * colours] = (uint8_t)pop->first_digits[i];
            } else if (!result) {
                run_lanes(pop, lanes, &pop->programs[2 + colours + colour], here);
                result = pop_digits(pop, lanes, pop->second_digits);
                for (int64_t i = lanes->start; i < lanes->end; i++)
                    value[i * colours] = (uint8_t)(pop->first_digits[i] * base + pop->second_digits[i]);
            }
        }
    return result;
}

static void pop_unit(pop_t *pop, int64_t unit) {
    const int64_t start = unit * pop->unit, end = start + pop->unit;
    const lanes_t lanes = {start, end < pop->lanes ? end : pop->lanes, NULL};
    if (pop_lanes(pop, &lanes)) __atomic_store_n(&pop->result, -1, __ATOMIC_RELAXED);
}

#endif
