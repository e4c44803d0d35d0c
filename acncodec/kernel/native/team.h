/* Programs run by a team of threads: the calling one, and helpers that wait for jobs. */

#ifndef ACNCODEC_TEAM_H
#define ACNCODEC_TEAM_H

#include <immintrin.h>
#include <sched.h>
#include <stdint.h>

#include "operations.h"
#include "values.h"

static void execute(const int64_t *program, int64_t count, int64_t set, const where_t *at) {
    for (const int64_t *word = program; word < program + count * WORDS; word += WORDS) switch (*word) {
        case PRODUCT: (set == AVX512 ? avx512_product : avx2_product)((const product_t *)word, at); break;
        case PREDICT: predict((const pixels_t *)word, at); break;
        case TELL: tell((const pixels_t *)word, at); break;
        case GREY: grey((const pixels_t *)word, at); break;
        case AROUND: around((const head_t *)word, at); break;
        case LOGISTICS: (set == AVX512 ? avx512_logistics : avx2_logistics)((const head_t *)word, at); break;
        case SOFTMAX: softmax((const head_t *)word, at); break;
        case LOGISTICS_BITS: logistics_bits((const head_t *)word, at); break;
        case SOFTMAX_BITS: softmax_bits((const head_t *)word, at); break;
        case LARGEST: largest((const largest_t *)word, at); break;
        case FIND: find((const offer_t *)word, at); break;
        case FIND_REST: find_rest((const offer_t *)word, at); break;
        case OFFER: offer((const offer_t *)word, at); break;
        case OFFER_REST: offer_rest((const offer_t *)word, at); break;
        }
}

typedef struct {
    int64_t at, phases, groups, count; /* an address of words [phases][groups][count][WORDS] */
} program_t;

typedef struct {
    int64_t set, lanes, size; /* lanes: a multiple of ROWS; size: of a group */
} job_t;

static void run_group(const program_t *program, const job_t *job, int64_t group, int64_t rows, where_t at) {
    const int64_t left = job->lanes - group * job->size, *words = (const int64_t *)(intptr_t)program->at;
    at.high = left < job->size ? left : job->size;
    for (const int64_t end = at.row + rows; at.row < end; at.row++)
        execute(words + (at.row % program->phases * program->groups + group) * program->count * WORDS, program->count,
                job->set, &at);
}

typedef struct pop pop_t;

static void pop_unit(pop_t *pop, int64_t unit);

/* One job at a time is shared by the calling thread and the helper threads: a program, whose parts are its groups of lanes,
 * or `pop`, whose parts are units. `ticket` holds the job's number (high 32 bits) and the number of unclaimed parts (low 32
 * bits). Decrementing `ticket` claims a part and keeps the job from ending, so its description stays valid. Each word that
 * several threads write has its own cache line.
 */
typedef struct {
    uint64_t ticket, pad1[7];
    uint64_t finished, pad2[7];
    uint64_t stop, pad3[7];
    pop_t *pop; /* NULL for a program */
    program_t program;
    job_t job;
    int64_t rows;
    where_t at;
} team_t;

_Static_assert(sizeof(team_t) <= 64 * 8, "kernel/team.py has 64 words for it");

static int work_on(team_t *team, uint64_t ticket) {
    if (!(uint32_t)ticket ||
        !__atomic_compare_exchange_n(&team->ticket, &ticket, ticket - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return 0;
    const int64_t part = (int64_t)(uint32_t)ticket - 1;
    if (team->pop)
        pop_unit(team->pop, part);
    else
        run_group(&team->program, &team->job, part, team->rows, team->at);
    __atomic_add_fetch(&team->finished, 1, __ATOMIC_RELEASE);
    return 1;
}

enum { PAUSES = 2000 }; /* about 20 microseconds of spinning before the thread yields */

static void wait_a_moment(int64_t *waited) {
    if (++*waited % PAUSES)
        _mm_pause();
    else
        sched_yield();
}

/* Have all parts of the job done that the team describes. */
static void share_parts(team_t *team, int64_t parts) {
    __atomic_store_n(&team->finished, 0, __ATOMIC_RELAXED);
    uint64_t ticket = ((team->ticket >> 32) + 1) << 32 | (uint64_t)parts;
    __atomic_store_n(&team->ticket, ticket, __ATOMIC_RELEASE);
    while ((uint32_t)(ticket = __atomic_load_n(&team->ticket, __ATOMIC_ACQUIRE))) work_on(team, ticket);
    for (int64_t waited = 0; __atomic_load_n(&team->finished, __ATOMIC_ACQUIRE) < (uint64_t)parts;) wait_a_moment(&waited);
}

/* Run a program for all lanes, in so many rows. */
static void share(team_t *team, const program_t *program, const job_t *job, int64_t rows, where_t at) {
    team->pop = NULL;
    team->program = *program, team->job = *job;
    team->rows = rows, team->at = at;
    share_parts(team, program->groups);
}

#endif
