/* The networks' products on the CPU, in integers: programs of operations, run on groups of lanes by several threads.
 *
 * In the many small steps of an incremental pass, PyTorch's overhead exceeds the time of its products. kernel/layout.py
 * builds the programs; if this module was not built, or the processor lacks the instructions, PyTorch does the same
 * arithmetic.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000 /* one build for Python 3.11 and later */
#include <Python.h>

#include "candidates.h"
#include "coder.h"
#include "operations.h"
#include "values.h"

/* The coder: the stack comes as its words, their number and the state, and goes back as the latter two. */

static PyObject *left_of(const ans_t *stack, int result) {
    if (result) return PyErr_Format(PyExc_ValueError, "these are no frequencies, or a symbol has none");
    return Py_BuildValue("LK", (long long)stack->count, (unsigned long long)stack->state);
}

/* Values int32 [n] under frequencies float64 [n][symbols], or [symbols] for all of them. */
static PyObject *code(PyObject *args, int push) {
    Py_buffer words, values, frequencies;
    long long count, symbols;
    unsigned long long state;
    if (!PyArg_ParseTuple(args, push ? "w*LKy*y*L" : "w*LKw*y*L", &words, &count, &state, &values, &frequencies, &symbols)) return NULL;
    ans_t stack = {words.buf, count, state};
    const int64_t n = values.len / 4, all = frequencies.len / 8;
    int result = -1;
    if (symbols >= 2 && symbols < (long long)WHOLE && (all == symbols || all == n * symbols) && count >= 0 &&
        words.len / 4 >= count + push * n) {
        Py_BEGIN_ALLOW_THREADS if (all == symbols) result = shared(&stack, values.buf, frequencies.buf, n, symbols, push);
        else if (push) result = push_rows(&stack, values.buf, frequencies.buf, n, symbols);
        else result = pop_rows(&stack, values.buf, frequencies.buf, n, symbols);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&words), PyBuffer_Release(&values), PyBuffer_Release(&frequencies);
    return left_of(&stack, result);
}

static PyObject *push(PyObject *self, PyObject *args) {
    (void)self;
    return code(args, 1);
}

static PyObject *pop(PyObject *self, PyObject *args) {
    (void)self;
    return code(args, 0);
}

/* Copy candidates: the memory and its images come as their structures, one after the other. */

/* Of one pixel of every image: uint8 [images][CANDIDATES][colours + 1]. */
static PyObject *find_of_pixels(PyObject *self, PyObject *args) {
    long long row, column, colours;
    Py_buffer memory, images, found;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*LLLw*", &memory, &images, &row, &column, &colours, &found)) return NULL;
    const int64_t count = images.len / (int64_t)sizeof(image_t);
    image_t *each = images.buf;
    uint8_t *out = found.buf;
    Py_BEGIN_ALLOW_THREADS for (int64_t i = 0; i < count; i++, each++, out += CANDIDATES * (colours + 1))
        find_candidates(memory.buf, each, each->first + row * each->stride + column, colours, out);
    Py_END_ALLOW_THREADS PyBuffer_Release(&memory), PyBuffer_Release(&images), PyBuffer_Release(&found);
    Py_RETURN_NONE;
}

/* Completions of pixels [images] that begin with `known` colours: values and whether there are any, uint8 [images][2]
 * [COMPLETIONS]. */
static PyObject *complete_pixels(PyObject *self, PyObject *args) {
    long long known;
    Py_buffer memory, images, prefixes, found;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*Lw*", &memory, &images, &prefixes, &known, &found)) return NULL;
    const int64_t count = images.len / (int64_t)sizeof(image_t);
    uint8_t *out = found.buf;
    for (int64_t i = 0; i < count; i++, out += 2 * COMPLETIONS)
        find_completions(memory.buf, (const image_t *)images.buf + i, ((const uint32_t *)prefixes.buf)[i], known, out,
                         out + COMPLETIONS);
    PyBuffer_Release(&memory), PyBuffer_Release(&images), PyBuffer_Release(&prefixes), PyBuffer_Release(&found);
    Py_RETURN_NONE;
}

static PyObject *learn(PyObject *self, PyObject *args) {
    long long row, column, colours;
    int last;
    Py_buffer memory, images;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*LLLp", &memory, &images, &row, &column, &colours, &last)) return NULL;
    const int64_t count = images.len / (int64_t)sizeof(image_t);
    image_t *each = images.buf;
    for (int64_t i = 0; i < count; i++, each++) learn_pixel(memory.buf, each, each->first + row * each->stride + column, colours, last);
    PyBuffer_Release(&memory), PyBuffer_Release(&images);
    Py_RETURN_NONE;
}

/* Candidates and completions of all pixels of images that are in memory: uint8 [images][height][width][CANDIDATES +
 * COMPLETIONS][colours + 1]. */
static PyObject *whole(PyObject *self, PyObject *args) {
    long long height, width, colours;
    Py_buffer memory, images, found;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*LLLw*", &memory, &images, &height, &width, &colours, &found)) return NULL;
    const int64_t count = images.len / (int64_t)sizeof(image_t);
    image_t *each = images.buf;
    uint8_t *out = found.buf;
    Py_BEGIN_ALLOW_THREADS for (int64_t i = 0; i < count; i++, each++) for (int64_t row = 0; row < height; row++)
        for (int64_t column = 0; column < width; column++, out += (CANDIDATES + COMPLETIONS) * (colours + 1)) {
            const int64_t at = each->first + row * each->stride + column;
            find_candidates(memory.buf, each, at, colours, out);
            const uint32_t pixel = ((const memory_t *)memory.buf)->pixels[at];
            memset(out + CANDIDATES * (colours + 1), 0, COMPLETIONS * (colours + 1));
            for (int64_t known = 1; known < colours; known++)
                write_completions(memory.buf, each, pixel, known, colours, out + CANDIDATES * (colours + 1));
            learn_pixel(memory.buf, each, at, colours, column == width - 1);
        }
    Py_END_ALLOW_THREADS PyBuffer_Release(&memory), PyBuffer_Release(&images), PyBuffer_Release(&found);
    Py_RETURN_NONE;
}

static PyObject *complete(PyObject *self, PyObject *args) {
    long long height, width, colours;
    Py_buffer memory, images;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*LLL", &memory, &images, &height, &width, &colours)) return NULL;
    const int64_t count = images.len / (int64_t)sizeof(image_t);
    const image_t *each = images.buf;
    Py_BEGIN_ALLOW_THREADS for (int64_t i = 0; i < count; i++, each++)
        learn_image(memory.buf, each->first, each->stride, height, width, colours);
    Py_END_ALLOW_THREADS PyBuffer_Release(&memory), PyBuffer_Release(&images);
    Py_RETURN_NONE;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#include <sched.h>
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 4")
#endif
#include "avx2.h"
#include "simd.h"
#include "avx512.h"
#include "simd.h"

static const char *const NAMES[] = {"avx2", "avx512"};
enum { AVX2, AVX512, SETS };

static int supported(int set) {
    __builtin_cpu_init();
    if (set == AVX2) return __builtin_cpu_supports("avx2");
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}

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

/* One job at a time is shared by the calling thread and the helper threads. `ticket` holds the job's number (high 32 bits)
 * and the number of unclaimed groups (low 32 bits). Decrementing `ticket` claims a group and keeps the job from ending, so
 * its description stays valid. Each word that several threads write has its own cache line.
 */
typedef struct {
    uint64_t ticket, pad1[7];
    uint64_t finished, pad2[7];
    uint64_t stop, pad3[7];
    const int64_t *programs;                               /* [phases][groups][count][WORDS] */
    int64_t phases, groups, count, set, lanes, size, rows; /* size: lanes of a group */
    where_t at;
} team_t;

static int work_on(team_t *team, uint64_t ticket) {
    if (!(uint32_t)ticket ||
        !__atomic_compare_exchange_n(&team->ticket, &ticket, ticket - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return 0;
    const int64_t group = (int64_t)(uint32_t)ticket - 1, left = team->lanes - group * team->size;
    where_t at = team->at;
    at.high = left < team->size ? left : team->size;
    for (const int64_t end = at.row + team->rows; at.row < end; at.row++)
        execute(team->programs + (at.row % team->phases * team->groups + group) * team->count * WORDS, team->count,
                team->set, &at);
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

typedef struct {
    int64_t at, phases, groups, count; /* an address of words [phases][groups][count][WORDS] */
} program_t;

typedef struct {
    int64_t set, lanes, size; /* lanes: a multiple of ROWS; size: of a group */
} job_t;

/* Run a program for all lanes, in so many rows. */
static void share(team_t *team, const program_t *program, const job_t *job, int64_t rows, where_t at) {
    team->programs = (const int64_t *)(intptr_t)program->at;
    team->phases = program->phases, team->groups = program->groups, team->count = program->count;
    team->set = job->set, team->lanes = job->lanes, team->size = job->size;
    team->rows = rows, team->at = at;
    __atomic_store_n(&team->finished, 0, __ATOMIC_RELAXED);
    uint64_t ticket = ((team->ticket >> 32) + 1) << 32 | (uint64_t)program->groups;
    __atomic_store_n(&team->ticket, ticket, __ATOMIC_RELEASE);
    while ((uint32_t)(ticket = __atomic_load_n(&team->ticket, __ATOMIC_ACQUIRE))) work_on(team, ticket);
    for (int64_t waited = 0; __atomic_load_n(&team->finished, __ATOMIC_ACQUIRE) < (uint64_t)program->groups;)
        wait_a_moment(&waited);
}

static PyObject *run(PyObject *self, PyObject *args) {
    long long team_at, row, rows, first, last;
    program_t program;
    job_t job;
    (void)self;
    if (!PyArg_ParseTuple(args, "LLLLLLLLLLLL", &team_at, &program.at, &program.phases, &program.groups, &program.count,
                          &job.set, &job.lanes, &job.size, &row, &rows, &first, &last))
        return NULL;
    Py_BEGIN_ALLOW_THREADS share((team_t *)(intptr_t)team_at, &program, &job, rows, (where_t){row, first, last, 0});
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

/* Decode columns first..last-1 of a row of all images, from the left: programs for the row, for its first pixel, and for the
 * first and second digits of each colour. Frequencies float64 [lanes][base] and digits int32 [2][lanes] are what the programs write and read; `values` is the row,
 * uint8 [width][padded lanes][colours].
 */
static PyObject *pop_row(PyObject *self, PyObject *args) {
    long long team_at, row, width, first, last, lanes, padded, colours, base, frequencies_at, digits_at, values_at, count;
    unsigned long long state;
    Py_buffer plan, words, second;
    job_t job;
    (void)self;
    if (!PyArg_ParseTuple(args, "Ly*LLLLLLLLLLLLLw*w*LK", &team_at, &plan, &job.set, &job.size, &row, &width, &first, &last,
                          &lanes, &padded, &colours, &base, &frequencies_at, &digits_at, &values_at, &second, &words, &count, &state))
        return NULL;
    team_t *team = (team_t *)(intptr_t)team_at;
    const program_t *programs = plan.buf;
    const double *frequencies = (const double *)(intptr_t)frequencies_at;
    int32_t *first_digits = (int32_t *)(intptr_t)digits_at, *second_digits = second.buf;
    uint8_t *values = (uint8_t *)(intptr_t)values_at;
    ans_t stack = {words.buf, count, state};
    int result = 0;
    job.lanes = (lanes + ROWS - 1) / ROWS * ROWS;
    Py_BEGIN_ALLOW_THREADS if (!first) share(team, &programs[0], &job, 1, (where_t){row, 0, width, 0});
    for (int64_t column = first; column < last && !result; column++)
        for (int64_t colour = 0; colour < colours && !result; colour++) {
            const where_t here = {row, column, column + 1, 0};
            uint8_t *value = values + column * padded * colours + colour;
            share(team, &programs[column || colour ? 2 + colour : 1], &job, 1, here);
            result = pop_rows(&stack, first_digits, frequencies, lanes, base);
            if (base == 2) {
                for (int64_t lane = 0; lane < lanes; lane++) value[lane * colours] = (uint8_t)first_digits[lane];
            } else if (!result) {
                share(team, &programs[2 + colours + colour], &job, 1, here);
                result = pop_rows(&stack, second_digits, frequencies, lanes, base);
                for (int64_t lane = 0; lane < lanes; lane++)
                    value[lane * colours] = (uint8_t)(first_digits[lane] * base + second_digits[lane]);
            }
        }
    Py_END_ALLOW_THREADS PyBuffer_Release(&plan), PyBuffer_Release(&words), PyBuffer_Release(&second);
    return left_of(&stack, result);
}

static PyObject *lend(PyObject *self, PyObject *args) {
    long long team_at;
    (void)self;
    if (!PyArg_ParseTuple(args, "L", &team_at)) return NULL;
    Py_BEGIN_ALLOW_THREADS team_t *team = (team_t *)(intptr_t)team_at;
    for (int64_t waited = 0; !__atomic_load_n(&team->stop, __ATOMIC_ACQUIRE);)
        if (work_on(team, __atomic_load_n(&team->ticket, __ATOMIC_ACQUIRE)))
            waited = 0;
        else
            wait_a_moment(&waited);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static PyObject *dismiss(PyObject *self, PyObject *args) {
    long long team_at;
    (void)self;
    if (!PyArg_ParseTuple(args, "L", &team_at)) return NULL;
    __atomic_store_n(&((team_t *)(intptr_t)team_at)->stop, 1, __ATOMIC_RELEASE);
    Py_RETURN_NONE;
}

#else
static const char *const NAMES[] = {NULL};
enum { SETS = 0 };
static int supported(int set) { return set < 0; }
static PyObject *run(PyObject *self, PyObject *args) {
    (void)self, (void)args;
    return PyErr_Format(PyExc_RuntimeError, "the kernel is not built for this processor");
}
#define pop_row run
#define lend run
#define dismiss run
#endif

static PyObject *instructions(PyObject *self, PyObject *args) {
    (void)self, (void)args;
    PyObject *found = PyDict_New();
    for (int set = 0; found && set < SETS; set++)
        if (supported(set)) {
            PyObject *number = PyLong_FromLong(set);
            if (!number || PyDict_SetItemString(found, NAMES[set], number)) Py_CLEAR(found);
            Py_XDECREF(number);
        }
    return found;
}

static PyMethodDef METHODS[] = {
    {"run", run, METH_VARARGS, "Run a program for all lanes. All arguments are unchecked addresses and numbers."},
    {"lend", lend, METH_VARARGS, "Work on what `run` is given, until the team is dismissed."},
    {"dismiss", dismiss, METH_VARARGS, "Make the threads that work for a team return."},
    {"pop_row", pop_row, METH_VARARGS, "Decode a row of pixels. All arguments are unchecked."},
    {"push", push, METH_VARARGS, "Push symbols on an ANS stack, the last one first."},
    {"pop", pop, METH_VARARGS, "Pop symbols from an ANS stack, the first one first."},
    {"find_candidates", find_of_pixels, METH_VARARGS, "Copy candidates of a pixel of every image."},
    {"find_completions", complete_pixels, METH_VARARGS, "Completions of pixels whose first colours are known."},
    {"learn_pixels", learn, METH_VARARGS, "Take note of a pixel of every image."},
    {"whole_candidates", whole, METH_VARARGS, "Copy candidates of all pixels of images."},
    {"learn_images", complete, METH_VARARGS, "Enter complete images into the tables of all images."},
    {"instructions", instructions, METH_NOARGS, "The instruction sets of this processor: numbers by name."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, METHODS, NULL, NULL, NULL, NULL};

/* What stands in Python too; kernel/compiled.py compares. */
#define NUMBER(name) {#name, name}
static const struct {
    const char *name;
    long value;
} NUMBERS[] = {
    NUMBER(WORDS), NUMBER(PRODUCT), NUMBER(PREDICT), NUMBER(TELL), NUMBER(GREY), NUMBER(AROUND), NUMBER(LOGISTICS),
    NUMBER(SOFTMAX), NUMBER(LOGISTICS_BITS), NUMBER(SOFTMAX_BITS), NUMBER(LARGEST), NUMBER(FIND), NUMBER(OFFER), NUMBER(FIND_REST), NUMBER(OFFER_REST), NUMBER(REQUANTISE), NUMBER(GATE),
    NUMBER(RAW), NUMBER(ROWS), NUMBER(GROUP_MAX), NUMBER(MAX_TAPS), NUMBER(MAX_OUTS), NUMBER(UNIT), NUMBER(GATE_SHIFT),
    NUMBER(STREAM_MAX), NUMBER(PLANE_MAX), NUMBER(ERROR_SCALE), NUMBER(MIDDLE), NUMBER(TONE_BITS), NUMBER(SPREAD_MIN),
    NUMBER(SPREAD_MAX), NUMBER(STEEPNESS_BITS), NUMBER(SLOPE_MAX), NUMBER(BASE), NUMBER(CUMULATIVE_BITS),
    NUMBER(FREQUENCY_FLOOR), NUMBER(TANH_TABLE), NUMBER(CANDIDATES), NUMBER(COMPLETIONS), NUMBER(PREFIXES),      NUMBER(CONTEXTS), NUMBER(SHARED),
    {"IMAGE_BYTES", sizeof(image_t)}, {"MEMORY_BYTES", sizeof(memory_t)},
};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *module = PyModule_Create(&MODULE), *numbers = PyDict_New();
    int good = module && numbers;
    for (size_t i = 0; good && i < sizeof NUMBERS / sizeof *NUMBERS; i++) {
        PyObject *value = PyLong_FromLong(NUMBERS[i].value);
        good = value && !PyDict_SetItemString(numbers, NUMBERS[i].name, value);
        Py_XDECREF(value);
    }
    good = good && !PyModule_AddObjectRef(module, "numbers", numbers);
    Py_XDECREF(numbers);
    if (!good) Py_CLEAR(module);
    return module;
}
