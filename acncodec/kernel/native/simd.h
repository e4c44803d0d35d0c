/* Products and the logistic mixture for one instruction set, for which avx2.h or avx512.h defines: NAME(x), TARGET; VEC, a
 * vector of WIDTH int32, and arithmetic on it; COLS_MAX, the vectors per lane for which the sums of ROWS lanes fit in
 * registers; TABLES, the vectors that NAME(tables) fills for NAME(gate), which computes WIDTH gates from 2 * WIDTH int16.
 */

/* value * 2^-shift, rounded half to even, clamped; shift >= 1. */
TARGET static inline VEC NAME(requantise)(VEC value, VEC shift, VEC low, VEC high) {
    const VEC one = BROADCAST(1), odd = AND(SRA(value, shift), one), half = SUB(SLL(one, SUB(shift, one)), one);
    return MIN(MAX(SRA(ADD(ADD(value, half), odd), shift), low), high);
}

/* Sums of ROWS lanes from output `offset` on, in COLS vectors per lane, finished except for the gate. `out` is that of the
 * first lane.
 */
#define TILE(COLS)                                                                                                         \
    TARGET static void NAME(tile_##COLS)(const product_t *p, const int16_t *const *x, const int32_t *start,                \
                                         int64_t offset, void *out, int64_t out_lane, const int16_t *stream) {             \
        VEC a[ROWS][COLS];                                                                                                 \
        const int16_t *w = p->weights + 2 * offset;                                                                        \
        UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int c = 0; c < COLS; c++) a[r][c] =                              \
            LOAD(start + r * p->start_lane + offset + c * WIDTH);                                                          \
        for (int64_t t = 0; t < p->taps; t++) {                                                                            \
            const int16_t *tap = x[t];                                                                                     \
            const int64_t lane = p->tap[t].lane, pairs = p->tap[t].pairs;                                                  \
            for (int64_t k = 0; k < pairs; k++, tap += 2, w += 2 * p->padded) {                                            \
                VEC b[COLS];                                                                                               \
                UNROLL for (int c = 0; c < COLS; c++) b[c] = LOAD(w + 2 * c * WIDTH);                                      \
                UNROLL for (int r = 0; r < ROWS; r++) {                                                                    \
                    int32_t pair;                                                                                          \
                    memcpy(&pair, tap + r * lane, sizeof pair);                                                            \
                    UNROLL for (int c = 0; c < COLS; c++) a[r][c] = MADD(a[r][c], BROADCAST(pair), b[c]);                  \
                }                                                                                                          \
            }                                                                                                              \
        }                                                                                                                  \
        if (p->finish == RAW) {                                                                                            \
            UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int c = 0; c < COLS; c++)                                    \
                STORE((int32_t *)out + r * out_lane + offset + c * WIDTH, a[r][c]);                                        \
            return;                                                                                                        \
        }                                                                                                                  \
        const VEC low = BROADCAST((int)p->low), high = BROADCAST((int)p->high);                                            \
        UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int c = 0; c < COLS; c++) {                                      \
            const int64_t at = offset + c * WIDTH, left = p->outs - at;                                                    \
            VEC value = NAME(requantise)(a[r][c], LOAD(p->shift + at), low, high);                                         \
            (void)left;                                                                                                    \
            if (stream)                                                                                                    \
                value = MIN(MAX(ADD(value, WIDEN(stream + r * out_lane + at, left)), BROADCAST(-STREAM_MAX)),              \
                            BROADCAST(STREAM_MAX));                                                                        \
            NARROW((int16_t *)out + r * out_lane + at, value, left);                                                       \
        }                                                                                                                  \
    }

TILE(1)
TILE(2)
#if COLS_MAX > 2
TILE(3)
TILE(4)
#endif
#undef TILE

/* All outputs of ROWS adjacent lanes. */
TARGET static void NAME(lanes)(const product_t *p, const int16_t *const *x, const int32_t *start, void *out,
                               int64_t out_lane, const int16_t *stream) {
    const int64_t vectors = (p->outs + WIDTH - 1) / WIDTH;
    for (int64_t done = 0; done < vectors;) {
        const int64_t left = vectors - done, columns = left < COLS_MAX ? left : COLS_MAX;
        switch (columns) {
        case 1: NAME(tile_1)(p, x, start, done * WIDTH, out, out_lane, stream); break;
        case 2: NAME(tile_2)(p, x, start, done * WIDTH, out, out_lane, stream); break;
#if COLS_MAX > 2
        case 3: NAME(tile_3)(p, x, start, done * WIDTH, out, out_lane, stream); break;
        case 4: NAME(tile_4)(p, x, start, done * WIDTH, out, out_lane, stream); break;
#endif
        }
        done += columns;
    }
}

/* tanh(a) * sigmoid(2b) of `count` pairs of int16, plus `stream` unless NULL; count is a multiple of 2 * WIDTH. */
TARGET static void NAME(gates)(const int16_t *in, int64_t count, int16_t *out, const int16_t *stream, const int16_t *tanh) {
    const VEC shift = BROADCAST(GATE_SHIFT);
    VEC tables[TABLES];
    NAME(tables)(tables, tanh);
    for (int64_t i = 0; i < count; i += WIDTH) {
        VEC value = NAME(requantise)(NAME(gate)(in + 2 * i, tables), shift, BROADCAST(-UNIT), BROADCAST(UNIT));
        if (stream) value = MIN(MAX(ADD(value, WIDEN(stream + i, WIDTH)), BROADCAST(-STREAM_MAX)), BROADCAST(STREAM_MAX));
        NARROW(out + i, value, WIDTH);
    }
}

TARGET static void NAME(product)(const product_t *p, const where_t *at) {
    const int16_t *x[MAX_TAPS];
    int64_t step[MAX_TAPS];
    int16_t gated[GROUP_MAX * MAX_OUTS];
    const int64_t size = p->finish == RAW ? sizeof(int32_t) : sizeof(int16_t);
    for (int64_t t = 0; t < p->taps; t++) step[t] = ROWS * p->tap[t].lane;
    for (int64_t column = at->first; column < at->last; column++) {
        for (int64_t t = 0; t < p->taps; t++) {
            const tap_t *tap = p->tap + t;
            x[t] = tap->base + at->row * tap->row + column * tap->column;
        }
        const int32_t *start = p->start + column * p->start_column;
        char *out = p->out + size * column * p->out_column;
        const int16_t *stream = p->stream ? p->stream + column * p->stream_column : NULL;
        for (int64_t lane = 0; lane < at->high; lane += ROWS) {
            if (p->finish == GATE)
                NAME(lanes)(p, x, start, gated + lane * 2 * p->out_lane, 2 * p->out_lane, NULL);
            else
                NAME(lanes)(p, x, start, out + size * lane * p->out_lane, p->out_lane,
                            stream ? stream + lane * p->out_lane : NULL);
            start += ROWS * p->start_lane;
            for (int64_t t = 0; t < p->taps; t++) x[t] += step[t];
        }
        if (p->finish == GATE) NAME(gates)(gated, at->high * p->out_lane, (int16_t *)out, stream, p->tanh);
    }
}

/* Frequencies of a digit under a mixture of logistics: differences of its CDF at the digits' edges. */
TARGET static void NAME(logistics)(const head_t *h, const where_t *at) {
    const int64_t components = h->components, high = at->high < h->lanes ? at->high : h->lanes;
    for (int64_t column = at->first; column < at->last; column++)
        for (int64_t lane = 0; lane < high; lane++) {
            const int16_t *logits = parameters_of(h, column, lane);
            const int16_t *means = logits + components, *spreads = means + components;
            const int32_t step = h->first ? 1 : BASE, from = h->first ? BASE * first_of(h, at->row, column, lane) : 0;
            int32_t largest = logits[0];
            int64_t total = 0, reached[BASE + 1] = {0};
            for (int64_t m = 1; m < components; m++) largest = logits[m] > largest ? logits[m] : largest;
            for (int64_t m = 0; m < components; m++) {
                const int32_t weight = h->exp[largest - logits[m]];
                const int32_t steepness = h->steepness[clamp(spreads[m], SPREAD_MIN, SPREAD_MAX) - SPREAD_MIN];
                /* The bin of a value starts half a level below it. */
                const int32_t edge = (from << TONE_BITS) - (1 << (TONE_BITS - 1)) - means[m];
                int32_t x[BASE + 1];
                for (int e = 0; e <= BASE; e++) {
                    const int32_t slope =
                        ((edge + ((e * step) << TONE_BITS)) * steepness + (1 << (STEEPNESS_BITS - 1))) >> STEEPNESS_BITS;
                    x[e] = clamp(slope, -SLOPE_MAX, SLOPE_MAX) + SLOPE_MAX;
                }
                total += (int64_t)weight << CUMULATIVE_BITS;
                for (int e = 0; e <= BASE; e++) reached[e] += (int64_t)weight * h->logistic[x[e]];
            }
            /* The tails belong to the first and the last value. */
            if (from == 0) reached[0] = 0;
            if (from + BASE * step == BASE * BASE) reached[BASE] = total;
            double *frequencies = frequencies_of(h, at->row, column, lane, BASE);
            for (int e = 0; e < BASE; e++) frequencies[e] = (double)(reached[e + 1] - reached[e] + FREQUENCY_FLOOR);
        }
}

#undef NAME
#undef TARGET
#undef VEC
#undef WIDTH
#undef COLS_MAX
#undef LOAD
#undef STORE
#undef BROADCAST
#undef MADD
#undef ADD
#undef AND
#undef SUB
#undef SLL
#undef SRA
#undef MIN
#undef MAX
#undef WIDEN
#undef NARROW
#undef TABLES
