/* The ANS coder of docs/FORMAT.md, section 4: words of 32 bits, a state of 64, probabilities of 24, bit for bit as
 * constriction's AnsCoder under Categorical(perfect=False). Frequencies are doubles that hold integers with a sum below 2^53,
 * so that sums are exact in any order.
 */

#ifndef ACNCODEC_CODER_H
#define ACNCODEC_CODER_H

#include <stdint.h>
#include <stdlib.h>

enum { PRECISION = 24, WORD_BITS = 32 };
#define WHOLE (1u << PRECISION) /* what intervals add up to */

typedef struct {
    uint32_t *words; /* with room for one more per symbol that is pushed */
    int64_t count;
    uint64_t state;
} ans_t;

typedef struct {
    uint32_t left, right;
} interval_t;

/* Number by which cumulated frequencies become intervals, or 0 if they are no frequencies. */
static double scale_of(const double *frequencies, int64_t symbols) {
    double total[4] = {0, 0, 0, 0};
    int64_t k = 0;
    for (; k + 4 <= symbols; k += 4)
        for (int i = 0; i < 4; i++) total[i] += frequencies[k + i];
    for (; k < symbols; k++) total[0] += frequencies[k];
    const double sum = (total[0] + total[1]) + (total[2] + total[3]);
    return sum > 0 && sum < 9007199254740992.0 ? (double)(WHOLE - symbols) / sum : 0;
}

static inline uint32_t bound(double cumulated, double scale, int64_t symbol) {
    return (uint32_t)(int64_t)(cumulated * scale) + (uint32_t)symbol;
}

static void push_interval(ans_t *stack, interval_t at) {
    const uint64_t size = at.right - at.left;
    uint64_t state = stack->state;
    if (state >> (64 - PRECISION) >= size) {
        stack->words[stack->count++] = (uint32_t)state;
        state >>= WORD_BITS;
    }
    stack->state = (state / size << PRECISION) + at.left + state % size;
}

static void pop_interval(ans_t *stack, interval_t at) {
    const uint64_t quantile = stack->state & (WHOLE - 1);
    stack->state = (stack->state >> PRECISION) * (at.right - at.left) + quantile - at.left;
    if (stack->state >> WORD_BITS == 0 && stack->count) stack->state = stack->state << WORD_BITS | stack->words[--stack->count];
}

/* The following return 0, or -1 if a symbol is out of range or frequencies are none; the stack is then unfinished. */

static int push_rows(ans_t *stack, const int32_t *values, const double *frequencies, int64_t count, int64_t symbols) {
    for (int64_t row = count - 1; row >= 0; row--) {
        const double *f = frequencies + row * symbols, scale = scale_of(f, symbols);
        const int64_t value = values[row];
        if (scale == 0 || value < 0 || value >= symbols) return -1;
        double cumulated = 0;
        for (int64_t k = 0; k < value; k++) cumulated += f[k];
        const uint32_t right = value + 1 < symbols ? bound(cumulated + f[value], scale, value + 1) : WHOLE;
        push_interval(stack, (interval_t){bound(cumulated, scale, value), right});
    }
    return 0;
}

/* One symbol under few frequencies, whose number the compiler knows: without branches, so that rows overlap. */
static inline int32_t pop_few(ans_t *stack, const double *f, double scale, const int symbols) {
    uint32_t bounds[17];
    double cumulated = 0;
    for (int k = 0; k < symbols; cumulated += f[k++]) bounds[k] = bound(cumulated, scale, k);
    bounds[symbols] = WHOLE;
    const uint32_t quantile = (uint32_t)stack->state & (WHOLE - 1);
    int32_t value = 0;
    for (int k = 1; k < symbols; k++) value += bounds[k] <= quantile;
    pop_interval(stack, (interval_t){bounds[value], bounds[value + 1]});
    return value;
}

static int32_t pop_many(ans_t *stack, const double *f, double scale, int64_t symbols) {
    const uint32_t quantile = (uint32_t)stack->state & (WHOLE - 1);
    interval_t at = {0, WHOLE};
    double cumulated = 0;
    int64_t k = 0;
    for (; k + 1 < symbols; k++) {
        cumulated += f[k];
        const uint32_t right = bound(cumulated, scale, k + 1);
        if (quantile < right) {
            at.right = right;
            break;
        }
        at.left = right;
    }
    pop_interval(stack, at);
    return (int32_t)k;
}

static int pop_rows(ans_t *stack, int32_t *values, const double *frequencies, int64_t count, int64_t symbols) {
    ans_t own = *stack; /* threads pop stacks that lie beside each other */
    int result = 0;
    for (int64_t row = 0; row < count && !result; row++, frequencies += symbols) {
        const double scale = scale_of(frequencies, symbols);
        if (scale == 0)
            result = -1;
        else
            values[row] = symbols == 2    ? pop_few(&own, frequencies, scale, 2)
                          : symbols == 16 ? pop_few(&own, frequencies, scale, 16)
                                          : pop_many(&own, frequencies, scale, symbols);
    }
    *stack = own;
    return result;
}

/* All symbols under the same frequencies. */
static int shared(ans_t *stack, int32_t *values, const double *f, int64_t count, int64_t symbols, int push) {
    const double scale = scale_of(f, symbols);
    uint32_t *bounds = scale == 0 ? NULL : malloc((symbols + 1) * sizeof *bounds);
    if (!bounds) return -1;
    double cumulated = 0;
    for (int64_t k = 0; k < symbols; cumulated += f[k++]) bounds[k] = bound(cumulated, scale, k);
    bounds[symbols] = WHOLE;
    int result = 0;
    if (push)
        for (int64_t i = count - 1; i >= 0 && !result; i--) {
            const int64_t value = values[i];
            if (value < 0 || value >= symbols)
                result = -1;
            else
                push_interval(stack, (interval_t){bounds[value], bounds[value + 1]});
        }
    else
        for (int64_t i = 0; i < count; i++) {
            const uint32_t quantile = (uint32_t)stack->state & (WHOLE - 1);
            int64_t low = 0, high = symbols; /* bounds[low] <= quantile < bounds[high] */
            while (high - low > 1) {
                const int64_t middle = (low + high) / 2;
                *(quantile < bounds[middle] ? &high : &low) = middle;
            }
            values[i] = (int32_t)low;
            pop_interval(stack, (interval_t){bounds[low], bounds[high]});
        }
    free(bounds);
    return result;
}

#endif
