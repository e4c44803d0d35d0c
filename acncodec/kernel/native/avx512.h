/* AVX-512 with VNNI, for simd.h. */

#define NAME(x) avx512_##x
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define VEC __m512i
#define WIDTH 16
#define COLS_MAX 4
#define TABLES 4
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#define BROADCAST(x) _mm512_set1_epi32(x)
#define MADD(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#define ADD(a, b) _mm512_add_epi32(a, b)
#define AND(a, b) _mm512_and_si512(a, b)
#define SUB(a, b) _mm512_sub_epi32(a, b)
#define SLL(a, counts) _mm512_sllv_epi32(a, counts)
#define SRA(a, counts) _mm512_srav_epi32(a, counts)
#define MIN(a, b) _mm512_min_epi32(a, b)
#define MAX(a, b) _mm512_max_epi32(a, b)
#define WIDEN(p, left) NAME(widen)(p, left)
#define NARROW(p, v, left) NAME(narrow)(p, v, left)

/* int16 to int32 and back; 8 values if fewer than 16 are left. */
TARGET static inline VEC NAME(widen)(const int16_t *p, int64_t left) {
    return _mm512_cvtepi16_epi32(left >= WIDTH ? _mm256_loadu_si256((const __m256i *)p)
                                               : _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)));
}

TARGET static inline void NAME(narrow)(int16_t *p, VEC value, int64_t left) {
    const __m256i words = _mm512_cvtepi32_epi16(value);
    if (left >= WIDTH)
        _mm256_storeu_si256((__m256i *)p, words);
    else
        _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(words));
}

TARGET static inline void NAME(tables)(VEC *tables, const int16_t *tanh) {
    for (int i = 0; i < TABLES; i++) tables[i] = LOAD(tanh + 32 * i);
}

/* tanh(a) * (tanh(b) + 1) of pairs (a, b), as integers. */
TARGET static inline VEC NAME(gate)(const int16_t *in, const VEC *tables) {
    const VEC pre = LOAD(in), at = _mm512_min_epi16(_mm512_abs_epi16(pre), _mm512_set1_epi16(TANH_TABLE - 1));
    const VEC below = _mm512_permutex2var_epi16(tables[0], at, tables[1]),
              above = _mm512_permutex2var_epi16(tables[2], at, tables[3]);
    VEC tanh = _mm512_mask_blend_epi16(_mm512_cmpge_epi16_mask(at, _mm512_set1_epi16(TANH_TABLE / 2)), below, above);
    tanh = _mm512_mask_sub_epi16(tanh, _mm512_movepi16_mask(pre), _mm512_setzero_si512(), tanh);
    /* Of each pair, low half: tanh(b) + UNIT; high half: 0. */
    return _mm512_madd_epi16(tanh, _mm512_add_epi16(_mm512_srli_epi32(tanh, 16), BROADCAST(UNIT)));
}
