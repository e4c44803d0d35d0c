/* The networks' products on the CPU, in integers: programs of operations, run on groups of lanes by several threads.
 *
 * In the many small steps of an incremental pass, PyTorch's overhead exceeds the time of its products. kernel/layout.py
 * builds the programs; if this module was not built, or the processor lacks the instructions, PyTorch does the same
 * arithmetic.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "operations.h"
#include "values.h"

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

static PyObject *run(PyObject *self, PyObject *args) {
    long long team_at, programs, phases, groups, count, set, lanes, size, row, rows, first, last;
    (void)self;
    if (!PyArg_ParseTuple(args, "LLLLLLLLLLLL", &team_at, &programs, &phases, &groups, &count, &set, &lanes, &size, &row,
                          &rows, &first, &last))
        return NULL;
    Py_BEGIN_ALLOW_THREADS team_t *team = (team_t *)(intptr_t)team_at;
    team->programs = (const int64_t *)(intptr_t)programs;
    team->phases = phases, team->groups = groups, team->count = count, team->set = set;
    team->lanes = lanes, team->size = size, team->rows = rows;
    team->at = (where_t){row, first, last, 0};
    __atomic_store_n(&team->finished, 0, __ATOMIC_RELAXED);
    uint64_t ticket = ((team->ticket >> 32) + 1) << 32 | (uint64_t)groups;
    __atomic_store_n(&team->ticket, ticket, __ATOMIC_RELEASE);
    while ((uint32_t)(ticket = __atomic_load_n(&team->ticket, __ATOMIC_ACQUIRE))) work_on(team, ticket);
    for (int64_t waited = 0; __atomic_load_n(&team->finished, __ATOMIC_ACQUIRE) < (uint64_t)groups;) wait_a_moment(&waited);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
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
    NUMBER(SOFTMAX), NUMBER(LOGISTICS_BITS), NUMBER(SOFTMAX_BITS), NUMBER(LARGEST), NUMBER(REQUANTISE), NUMBER(GATE),
    NUMBER(RAW), NUMBER(ROWS), NUMBER(GROUP_MAX), NUMBER(MAX_TAPS), NUMBER(MAX_OUTS), NUMBER(UNIT), NUMBER(GATE_SHIFT),
    NUMBER(STREAM_MAX), NUMBER(PLANE_MAX), NUMBER(ERROR_SCALE), NUMBER(MIDDLE), NUMBER(TONE_BITS), NUMBER(SPREAD_MIN),
    NUMBER(SPREAD_MAX), NUMBER(STEEPNESS_BITS), NUMBER(SLOPE_MAX), NUMBER(BASE), NUMBER(CUMULATIVE_BITS),
    NUMBER(FREQUENCY_FLOOR), NUMBER(TANH_TABLE),
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
