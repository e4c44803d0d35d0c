/* AVX2, for simd.h. */

#define NAME(x) avx2_##x
#define TARGET __attribute__((target("avx2")))
#define VEC __m256i
#define WIDTH 8
#define COLS_MAX 2
#define TABLES 8
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define BROADCAST(x) _mm256_set1_epi32(x)
#define MADD(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#define ADD(a, b) _mm256_add_epi32(a, b)
#define AND(a, b) _mm256_and_si256(a, b)
#define SUB(a, b) _mm256_sub_epi32(a, b)
#define SLL(a, counts) _mm256_sllv_epi32(a, counts)
#define SRA(a, counts) _mm256_srav_epi32(a, counts)
#define MIN(a, b) _mm256_min_epi32(a, b)
#define MAX(a, b) _mm256_max_epi32(a, b)
#define WIDEN(p, left) _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(p)))
#define NARROW(p, v, left) NAME(narrow)(p, v)

TARGET static inline void NAME(narrow)(int16_t *p, VEC value) {
    const VEC words = _mm256_permute4x64_epi64(_mm256_packs_epi32(value, value), 0x88);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(words));
}

/* Each vector holds 16 bytes of the table, in both halves. */
TARGET static inline void NAME(tables)(VEC *tables, const int16_t *tanh) {
    for (int i = 0; i < TABLES; i++) {
        const __m128i low = _mm_loadu_si128((const __m128i *)(tanh + 16 * i)),
                      high = _mm_loadu_si128((const __m128i *)(tanh + 16 * i + 8));
        tables[i] = _mm256_broadcastsi128_si256(_mm_packus_epi16(low, high));
    }
}

/* tanh(a) * (tanh(b) + 1) of pairs (a, b), as integers. */
TARGET static inline VEC NAME(gate)(const int16_t *in, const VEC *tables) {
    const VEC pre = LOAD(in), at = _mm256_min_epi16(_mm256_abs_epi16(pre), _mm256_set1_epi16(TANH_TABLE - 1));
    VEC tanh = _mm256_setzero_si256();
    /* A shuffle gives zero for index bytes >= 128: the high byte of each word, and the low one if it is in another table.
     */
    const VEC bytes = _mm256_or_si256(at, _mm256_set1_epi16((short)0x8000));
    for (int i = 0; i < TABLES; i++) {
        const VEC within =
            _mm256_adds_epu8(_mm256_sub_epi8(bytes, _mm256_set1_epi8((char)(16 * i))), _mm256_set1_epi8(0x70));
        tanh = _mm256_or_si256(tanh, _mm256_shuffle_epi8(tables[i], within));
    }
    tanh = _mm256_sign_epi16(tanh, pre);
    /* Of each pair, low half: tanh(b) + UNIT; high half: 0. */
    return _mm256_madd_epi16(tanh, _mm256_add_epi16(_mm256_srli_epi32(tanh, 16), BROADCAST(UNIT)));
}
