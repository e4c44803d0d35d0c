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

#define NO_FREQUENCIES "these are no frequencies, or a symbol has none"

static PyObject *left_of(const ans_t *stack, int result) {
    if (result) return PyErr_Format(PyExc_ValueError, NO_FREQUENCIES);
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

#include "team.h"
#include "pixels.h"

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

static PyObject *pop_row(PyObject *self, PyObject *args) {
    long long team_at, frequencies_at, digits_at, values_at;
    Py_buffer plan, stacks, second;
    pop_t pop;
    (void)self;
    if (!PyArg_ParseTuple(args, "Ly*LLLLLLLLLLLLLw*w*LL", &team_at, &plan, &pop.job.set, &pop.job.size, &pop.row, &pop.width,
                          &pop.first, &pop.last, &pop.lanes, &pop.padded, &pop.colours, &pop.base, &frequencies_at, &digits_at,
                          &values_at, &second, &stacks, &pop.slice, &pop.unit))
        return NULL;
    team_t *team = (team_t *)(intptr_t)team_at;
    pop.programs = plan.buf, pop.stacks = stacks.buf, pop.second_digits = second.buf;
    pop.frequencies = (const double *)(intptr_t)frequencies_at;
    pop.first_digits = (int32_t *)(intptr_t)digits_at;
    pop.values = (uint8_t *)(intptr_t)values_at;
    pop.job.lanes = (pop.lanes + ROWS - 1) / ROWS * ROWS;
    pop.result = 0;
    Py_BEGIN_ALLOW_THREADS if (pop.unit) {
        team->pop = &pop;
        share_parts(team, (pop.lanes + pop.unit - 1) / pop.unit);
    } else {
        const lanes_t all = {0, pop.lanes, team};
        pop.result = pop_lanes(&pop, &all);
    }
    Py_END_ALLOW_THREADS PyBuffer_Release(&plan), PyBuffer_Release(&stacks), PyBuffer_Release(&second);
    if (pop.result) return PyErr_Format(PyExc_ValueError, NO_FREQUENCIES);
    Py_RETURN_NONE;
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
    good = good && !PyModule_AddStringConstant(module, "sources_sha256", SOURCES_SHA256); /* setup.py defines it */
    Py_XDECREF(numbers);
    if (!good) Py_CLEAR(module);
    return module;
}
