/* SPDX-License-Identifier: MIT */
/**
 * @file mtl.h
 * libmtl: multi-task and transfer learning in one small library.
 *
 * Train several related tasks on one shared network, then move what was learned to a new task with
 * little data, with the known tasks' data helping to tune, and evaluate on the new task.
 *
 * Conventions of the whole header
 *
 * - Every call that can fail returns an mtl_status: #MTL_OK (0) or a negative code. Results come
 *   through out pointers, which are written on success only.
 * - `mtl_error *err` is the last argument and may be NULL. It receives the code and a message with
 *   the figures (task, row, column, file). The first failure stays until mtl_error_clear().
 * - Handles are opaque. Every `_destroy` returns nothing and takes NULL. No order of destruction is
 *   asked for: what needs another handle keeps it alive.
 * - `mtl_context *ctx` may be NULL: defaults (C library's allocator, one thread per CPU that starts
 *   only when a piece of work pays for it, no log, best instruction set).
 * - Sizes, counts and strides are int64_t, in elements. Matrices are row-major float32 with a stride
 *   between rows (row_stride >= columns). NaN in inputs is a missing input, NaN in labels a missing
 *   label. Rows, columns, tasks and classes count from 0.
 * - Strings are UTF-8, ended by NUL, copied on entry. Returned strings live as long as the handle
 *   that gave them and, for a writable handle, until it is next changed.
 * - Threads: any number of threads may use one handle at once in calls that take it as const.
 *   A call that takes it without const needs it alone; a second writer on a model gets
 *   #MTL_ERR_BUSY. Handles of the same context may be used from different threads at once.
 * - Callbacks run on the thread that made the call and never after it returned.
 * - The library never prints, exits, aborts, or changes locale, signals, working directory or the
 *   host's floating-point state. It reads one environment variable, MTL_CPU (c, neon, avx2, avx512:
 *   the highest instruction set to use), and opens only the files that it is given.
 * - Same seed, data, options and minor version give the same bits, whatever the thread count, the
 *   batch split in predict and the CPU level (the optional BLIS backend is outside this promise).
 */
#ifndef MTL_MTL_H
#define MTL_MTL_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/version.h>

#if defined(MTL_BUILD) && defined(__GNUC__)
#define MTL_API __attribute__((visibility("default")))
#else
#define MTL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @defgroup library Library
 * Safe from any thread at any time.
 * @{
 */

/** Status of a call. The numbers are pinned; new codes fill the gaps. @since 0.1 */
typedef int32_t mtl_status;

/** Values of mtl_status. @since 0.1 */
enum {
    MTL_OK = 0,             /**< done */
    MTL_ERR_NOMEM = -1,     /**< memory is short; nothing was changed */
    MTL_ERR_INVALID = -10,  /**< an argument is NULL, or arguments contradict each other */
    MTL_ERR_RANGE = -11,    /**< a number is outside its range */
    MTL_ERR_SHAPE = -12,    /**< rows, columns or strides do not fit */
    MTL_ERR_KEY = -13,      /**< no option of that name in the group */
    MTL_ERR_TYPE = -14,     /**< the option or report entry is of another type */
    MTL_ERR_NAME = -15,     /**< no task, tensor or entry of that name, or it is there already */
    MTL_ERR_VALUE = -16,    /**< a value in the data is of no use: infinite input, bad class number */
    MTL_ERR_DATA = -17,     /**< too few data: no rows, no labels */
    MTL_ERR_BUSY = -30,     /**< another call is writing to the handle */
    MTL_ERR_STATE = -31,    /**< the handle is not in a state for this call */
    MTL_ERR_IO = -40,       /**< the operating system refused a file operation */
    MTL_ERR_FORMAT = -41,   /**< the file or buffer is malformed */
    MTL_ERR_CHECKSUM = -42, /**< the contents do not match their checksum */
    MTL_ERR_VERSION = -43,  /**< written by a version that this one cannot read */
    MTL_ERR_DIVERGED = -60  /**< a loss or parameter became infinite or not a number */
};

typedef struct mtl_error mtl_error;     /**< @see mtl_error_create */
typedef struct mtl_context mtl_context; /**< @see mtl_context_create */
typedef struct mtl_options mtl_options; /**< @see mtl_options_create */
typedef struct mtl_spec mtl_spec;       /**< @see mtl_spec_create */
typedef struct mtl_model mtl_model;     /**< @see mtl_model_create */
typedef struct mtl_dataset mtl_dataset; /**< @see mtl_dataset_create */
typedef struct mtl_report mtl_report;   /**< @see mtl_report_get_f64 */
typedef struct mtl_trainer mtl_trainer; /**< @see mtl_trainer_create */
typedef struct mtl_predictor mtl_predictor; /**< @see mtl_predictor_create */

/** Version of the library in use: major * 10000 + minor * 100 + patch. @since 0.1 */
MTL_API int32_t mtl_version(void);

/** Version of the library in use as text, "0.1.0". @since 0.1 */
MTL_API const char *mtl_version_string(void);

/** Name of a status, "MTL_ERR_SHAPE"; "unknown status" for any other number. @since 0.1 */
MTL_API const char *mtl_status_name(mtl_status status);

/**
 * Whether an optional part is there: 1 or 0.
 * @param feature  "blis" (the backend was built and its library can be loaded). NULL and unknown
 *                 names give 0.
 * @since 0.1
 */
MTL_API int32_t mtl_has(const char *feature);

/**
 * Instruction set in use: "c", "neon", "avx2" or "avx512".
 * @param ctx  NULL = what a default context would use.
 * @since 0.1
 */
MTL_API const char *mtl_cpu_level(const mtl_context *ctx);

/** Release a buffer or text that the library made for the caller. NULL is fine. @since 0.1 */
MTL_API void mtl_free(void *p);

/** @} */

/**
 * @defgroup error Error
 * A place for the message of a failure. One per thread, or one per call.
 * @{
 */

/** A new, empty error, or NULL when memory is short (NULL is a valid argument everywhere).
 *  Release with mtl_error_destroy(). @since 0.1 */
MTL_API mtl_error *mtl_error_create(void);
/** Release. NULL is fine. @since 0.1 */
MTL_API void mtl_error_destroy(mtl_error *err);
/** Code of the first failure since the last clear; MTL_OK for none and for NULL. @since 0.1 */
MTL_API mtl_status mtl_error_code(const mtl_error *err);
/** Its message, "" for none and for NULL. Lives until the error is cleared. @since 0.1 */
MTL_API const char *mtl_error_message(const mtl_error *err);
/** Empty it. NULL is fine. @since 0.1 */
MTL_API void mtl_error_clear(mtl_error *err);

/** @} */

/**
 * @defgroup options Options
 * Settings by key. Each group is one table with key, type, default, range and meaning; unknown keys
 * and values out of range are refused when they are set, naming the nearest key or the range.
 * A choice with parameters of its own is one string: "adam:beta1=0.9,eps=1e-7". Handles that take
 * options copy what they need. Every `options` argument may be NULL: the defaults.
 * @{
 */

/** Groups of options. @since 0.1 */
enum {
    MTL_OPTIONS_CONTEXT = 1,             /**< mtl_context_create() */
    MTL_OPTIONS_FIT = 2,                 /**< mtl_fit() */
    MTL_OPTIONS_TRANSFER = 3,            /**< mtl_transfer() */
    MTL_OPTIONS_EVALUATE = 4,            /**< mtl_evaluate() */
    MTL_OPTIONS_CSV = 5,                 /**< mtl_dataset_load_csv() */
    MTL_OPTIONS_MAKE_CLASSIFICATION = 6, /**< mtl_dataset_make_classification() */
    MTL_OPTIONS_TASK = 7,                /**< keys of mtl_spec_task_set_i64/f64/str() */
    MTL_OPTIONS_CALIBRATE = 8,           /**< mtl_model_calibrate() */
    MTL_OPTIONS_MAKE_REGRESSION = 9,     /**< mtl_dataset_make_regression() */
    MTL_OPTIONS_MAKE_TASKS = 10          /**< mtl_dataset_make_tasks() */
};

/** Types of options and report entries. @since 0.1 */
enum {
    MTL_TYPE_I64 = 1,   /**< int64_t */
    MTL_TYPE_F64 = 2,   /**< double */
    MTL_TYPE_STR = 3,   /**< text */
    MTL_TYPE_SERIES = 4 /**< report entries only: a list of double */
};

/** Results of a callback. @since 0.1 */
enum {
    MTL_CONTINUE = 1 /**< go on; any other value stops */
};

/**
 * Progress of a fit or transfer: called after every epoch, and about ten times a second inside long
 * ones. How often it is called never changes the result.
 *
 * @param epoch   Epochs finished.
 * @param step    Optimizer steps finished.
 * @param steps   Steps planned in all.
 * @param train   Mean training loss of the running or just finished epoch.
 * @param valid   Latest validation loss, NaN while there is none.
 * @param user    As given to mtl_options_set_progress().
 * @return #MTL_CONTINUE to go on; anything else ends the run with the best model so far and the
 *         reason "cancelled".
 * @since 0.1
 */
typedef int32_t (*mtl_progress_cb)(int64_t epoch, int64_t step, int64_t steps, double train,
                                   double valid, void *user);

/**
 * Options of one group, all at their defaults.
 * @param group  One of MTL_OPTIONS_*.
 * @param out    Release with mtl_options_destroy().
 * @return MTL_OK; MTL_ERR_INVALID for an unknown group or out = NULL; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_options_create(int32_t group, mtl_options **out, mtl_error *err);
/** Release. NULL is fine. @since 0.1 */
MTL_API void mtl_options_destroy(mtl_options *options);

/**
 * Set an option. An integer is accepted where a number (f64) is asked for.
 * @return MTL_OK; MTL_ERR_KEY; MTL_ERR_TYPE; MTL_ERR_RANGE (also for an unknown choice);
 *         MTL_ERR_NOMEM. On failure the option keeps its value.
 * @since 0.1
 */
MTL_API mtl_status mtl_options_set_i64(mtl_options *options, const char *key, int64_t value,
                                       mtl_error *err);
/** @copydoc mtl_options_set_i64 */
MTL_API mtl_status mtl_options_set_f64(mtl_options *options, const char *key, double value,
                                       mtl_error *err);
/** @copydoc mtl_options_set_i64 */
MTL_API mtl_status mtl_options_set_str(mtl_options *options, const char *key, const char *value,
                                       mtl_error *err);

/**
 * Read an option, set or default.
 * @return MTL_OK; MTL_ERR_KEY; MTL_ERR_TYPE.
 * @since 0.1
 */
MTL_API mtl_status mtl_options_get_i64(const mtl_options *options, const char *key, int64_t *value,
                                       mtl_error *err);
/** @copydoc mtl_options_get_i64 */
MTL_API mtl_status mtl_options_get_f64(const mtl_options *options, const char *key, double *value,
                                       mtl_error *err);
/** @copydoc mtl_options_get_i64 The text lives until the option is set again. */
MTL_API mtl_status mtl_options_get_str(const mtl_options *options, const char *key,
                                       const char **value, mtl_error *err);

/**
 * Ask for progress reports, in the groups MTL_OPTIONS_FIT and MTL_OPTIONS_TRANSFER.
 * @param cb  NULL = none (default).
 * @return MTL_OK; MTL_ERR_INVALID for another group.
 * @since 0.1
 */
MTL_API mtl_status mtl_options_set_progress(mtl_options *options, mtl_progress_cb cb, void *user,
                                            mtl_error *err);

/** Number of options in a group; 0 for an unknown group. @since 0.1 */
MTL_API int64_t mtl_option_count(int32_t group);

/**
 * Describe option number @p index of a group. All texts are constants of the library; each out
 * pointer may be NULL.
 * @param type           MTL_TYPE_I64, _F64 or _STR.
 * @param default_value  As text; "" for an empty text.
 * @param range          "1 .. 1000000", or the choices separated by '|', or "" for free text.
 * @param meaning        One line.
 * @return MTL_OK; MTL_ERR_RANGE.
 * @since 0.1
 */
MTL_API mtl_status mtl_option_info(int32_t group, int64_t index, const char **key, int32_t *type,
                                   const char **default_value, const char **range,
                                   const char **meaning, mtl_error *err);

/** @} */

/**
 * @defgroup context Context
 * Allocator, threads, log and instruction set. Everything made from a context keeps it alive and
 * uses its allocator. Handles of one context may be used from several threads.
 * @{
 */

/** Memory of at least @p bytes (>= 1) aligned to @p align (a power of two, >= 8), or NULL. */
typedef void *(*mtl_alloc_cb)(size_t bytes, size_t align, void *user);
/** Release @p p with the figures it was allocated with. */
typedef void (*mtl_free_cb)(void *p, size_t bytes, size_t align, void *user);
/** A line for the log. @param level 1 = warning, 2 = information. @param message Without newline. */
typedef void (*mtl_log_cb)(int32_t level, const char *message, void *user);

/**
 * A context.
 * @param options  Of the group MTL_OPTIONS_CONTEXT, or NULL.
 * @param out      Release with mtl_context_destroy().
 * @return MTL_OK; MTL_ERR_NOMEM; MTL_ERR_INVALID when "gemm" is "blis" and it is not there.
 * @since 0.1
 */
MTL_API mtl_status mtl_context_create(const mtl_options *options, mtl_context **out,
                                      mtl_error *err);
/** Give up the caller's hold; the context ends with the last handle made from it. @since 0.1 */
MTL_API void mtl_context_destroy(mtl_context *ctx);

/**
 * Take all memory of handles made from this context from a host's allocator. Allocation and release
 * may come from any thread that calls the library, not from the library's own threads. The context
 * itself, options and errors come from the C library.
 * @param alloc_cb  With free_cb, or both NULL for the C library's.
 * @return MTL_OK; MTL_ERR_STATE once something was made from the context.
 * @since 0.1
 */
MTL_API mtl_status mtl_context_set_allocator(mtl_context *ctx, mtl_alloc_cb alloc_cb,
                                             mtl_free_cb free_cb, void *user, mtl_error *err);

/** Receive log lines (default NULL: silence). Not while another thread uses the context.
 *  @since 0.1 */
MTL_API mtl_status mtl_context_set_log(mtl_context *ctx, mtl_log_cb cb, void *user,
                                       mtl_error *err);

/** @} */

/**
 * @defgroup spec Network description
 * What a network is made of: shared layers in order, then tasks. One writer at a time.
 * @{
 */

/** Kinds of task. @since 0.1 */
enum {
    MTL_BINARY = 1,     /**< one label column, 0 or 1; predicts a probability */
    MTL_MULTICLASS = 2, /**< one label column, class number 0 .. outputs-1; predicts probabilities */
    MTL_MULTILABEL = 3, /**< one 0/1 label column per output; predicts probabilities */
    MTL_REGRESSION = 4, /**< one label column per output; predicts values in label units */
    MTL_COUNT = 5,      /**< one label column per output, numbers >= 0, such as counts and amounts;
                             predicts their mean, > 0, the network giving its logarithm */
    MTL_QUANTILE = 6    /**< one label column; each output predicts a quantile in label units, and a
                             quantile is never below the one before it */
};

/**
 * A network without layers and tasks.
 * @param inputs  Input columns, 1 .. 16777216.
 * @param out     Release with mtl_spec_destroy().
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_create(mtl_context *ctx, int64_t inputs, mtl_spec **out,
                                   mtl_error *err);
/** Release. NULL is fine. Models made from it are not affected. @since 0.1 */
MTL_API void mtl_spec_destroy(mtl_spec *spec);

/**
 * Append a fully connected layer to the shared trunk: y = activation(x W + b), W [in, units].
 * @param units       1 .. 16777216.
 * @param activation  "identity", "relu", "tanh", "sigmoid", "leaky_relu:slope=0.01" (Maas et al. 2013),
 *                    "elu:alpha=1" (Clevert et al. 2016), "selu" (Klambauer et al. 2017), "gelu" (exact) and
 *                    "gelu_tanh" (Hendrycks & Gimpel 2016), "silu" (Elfwing et al. 2018), "softplus",
 *                    "hard_swish" (Howard et al. 2019), "mish" (Misra 2019).
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_dense(mtl_spec *spec, int64_t units, const char *activation,
                                      mtl_error *err);

/**
 * Append an activation of which each column has a share of its own: y = x + a (f(x) - x), a = 1 at first
 * (the parametric activations of RealMLP: Holzmueller, Grinsztajn & Steinwart 2024, section 3, where the
 * rate is 0.1). It follows a dense layer whose own activation is "identity". Tensor "trunk.N.share" [1,
 * columns], of an ensemble "tabm" [members, columns], each member having shares of its own; no penalty
 * moves it. Not with sparse inputs as the first layer.
 * @param activation  f, as mtl_spec_add_dense() has them.
 * @param rate        Factor of the learning rate of a, 0 .. 1e6; 0 = f alone.
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_parametric_activation(mtl_spec *spec, const char *activation, double rate,
                                                      mtl_error *err);

/**
 * Append dropout to the shared trunk: while training, each number is set to 0 with probability
 * @p rate and the others are divided by 1 - rate (Srivastava et al. 2014, inverted form).
 * @param rate  0 <= rate < 1.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_dropout(mtl_spec *spec, double rate, mtl_error *err);

/**
 * Append a normalisation to the shared trunk: y = weight * (x - mean) / sqrt(variance + eps) + bias.
 * @param kind  "layer:eps=1e-5" (Ba et al. 2016): mean and variance of a row over its columns.
 *              "batch:eps=1e-5,momentum=0.1" (Ioffe & Szegedy 2015): of a column over the rows of the
 *              batch while training. Prediction and validation, and training while weight and bias
 *              of the layer are frozen, use running means of them instead, which move by
 *              momentum * (batch - running) a step (variance unbiased, as elsewhere).
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_norm(mtl_spec *spec, const char *kind, mtl_error *err);

/**
 * Append the addition of an identity shortcut to the shared trunk: y = x + what the first of the last
 * @p layers layers had as input (He et al. 2016). Dense, norm, dropout and residual count as layers.
 * @param layers  1 .. the layers before it; the columns must be as many there as here.
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_SHAPE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_residual(mtl_spec *spec, int64_t layers, mtl_error *err);

/**
 * Replace an input column of category numbers by learned vectors, one for each category and one for
 * all that is missing (NaN), not whole or not in 0 .. categories - 1. The other columns pass, the
 * vectors follow behind them. The column is not scaled. A step takes time by the size of the table,
 * as by any weights.
 * @param column      Of the inputs, 0 .. inputs - 1; each at most once.
 * @param categories  1 .. 16777215.
 * @param units       Length of a vector, 1 .. 16777216. They start as standard normal numbers, the
 *                    one for unknown categories (row 0 of the tensor) as zeros.
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_STATE behind another kind of layer; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_embedding(mtl_spec *spec, int64_t column, int64_t categories,
                                          int64_t units, mtl_error *err);

/**
 * Make several numbers of each of some input columns, so that the layers behind can follow a figure
 * through ups and downs that a linear map cannot. The other columns pass and come first; then, for each
 * embedded column in ascending order, its numbers. It comes behind embeddings of categories and before
 * all other layers; once for a spec. Columns of two values gain nothing by it and are best left out. x is
 * the input as the model scales it, a missing one 0; its indicator passes. An ensemble's members part
 * behind it, with one normal number for all that an input has become. Sparse inputs are refused.
 *
 * @param kind
 *   "cosine:size=8,scale=1"  a * [x, cos(2 pi (x w + b))] + c, element by element, with size - 1 cosines
 *           (TabPack: Gorishniy et al. 2026). a starts as 1, b and c as 0.
 *   "plr:size=24,scale=0.01,frequencies=48,lite=0"  relu(W [cos(2 pi x w), sin(2 pi x w)] + b)
 *           (Gorishniy, Rubachev & Babenko 2022, section 3.3); lite = 1: one W and b for all columns.
 *   "pbld:size=4,scale=0.1,frequencies=16"  [x, W cos(2 pi x w + phase) + b], W to size - 1 numbers
 *           (RealMLP: Holzmueller, Grinsztajn & Steinwart 2024, whose learning rate for it is a tenth
 *           of the others': option "groups"). phase starts in -pi .. pi.
 *   "ple:size=16,bins=48"  x s + b + e W: piecewise linear, with joints at the quantiles of the column in
 *           the training rows (Gorishniy, Rubachev & Babenko 2022, section 3.2, as TabM has it). e has
 *           a number for each bin, (x - edge_t) / (edge_t+1 - edge_t), cut off at 0 and 1 but for the
 *           outer ends; equal edges are merged, and such as are nearer to each other than 1e-5 of the
 *           range. W starts as 0, s and b uniform within 1 / sqrt(size): a linear map. The first fit
 *           sets the edges, as it does the scaling (MTL_ERR_STATE for inputs that are streamed); it
 *           takes a table's time, not a product's, however many bins there are.
 *   The frequencies w start normal with deviation `scale`, but for pbld cut off at 3 deviations; W
 *   and its b uniform within 1 / sqrt(its inputs). scale says how fine the structure is that is
 *   sought, and is worth a search. size and frequencies up to 4096.
 *   Tensors "trunk.N.frequency", "trunk.N.phase" [columns, frequencies]; "trunk.N.weight" [columns *
 *   inputs of W, outputs], a matrix for each column one below the other, "trunk.N.bias" [columns,
 *   outputs]; of cosine and ple "trunk.N.scale" (a, s) and "trunk.N.bias" (c, b)
 *   [columns, size]; of ple "trunk.N.edges" [columns * (bins + 1)]. Penalties apply to
 *   weight alone.
 * @param count    Length of @p columns, at least 1; not looked at without them.
 * @param columns  Of the inputs, each once, in any order; NULL = all that have no embedding.
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_STATE behind another layer, for a column that has an embedding, or
 *         when there is one already; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_numeric_embedding(mtl_spec *spec, const char *kind, int64_t count,
                                                  const int64_t *columns, mtl_error *err);

/**
 * Multiply each column that the next layer sees by a factor of its own, 1 at first, and train the
 * factors at another rate: columns that are worth nothing are let go of sooner (the scaling layer of
 * RealMLP: Holzmueller, Grinsztajn & Steinwart 2024, where the rate is 6). It comes behind embeddings
 * and before all other layers; an ensemble's members part behind it. Tensor "trunk.N.scale" [1,
 * columns]; no penalty moves it. Sparse inputs are refused.
 * @param rate  Factor of the learning rate, 0 .. 1e6; 0 = factors stay.
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_STATE behind another layer; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_input_scaling(mtl_spec *spec, double rate, mtl_error *err);

/**
 * Let the network see which inputs are missing: behind the input columns it gets as many indicators,
 * 1 where the input is missing (NaN) and 0 where it is there (scikit-learn's MissingIndicator with
 * features="all"). The missing input itself is 0 after scaling, as without. What the caller gives,
 * to fits and predictions, keeps its columns: mtl_model_inputs() does not count indicators. The first
 * layer has twice as many rows: weights of inputs, then of their indicators. An indicator that was
 * never 1 in training has moved no weight but by a penalty.
 * @param on  1 or 0 (default).
 * @return MTL_OK; MTL_ERR_STATE behind a layer; MTL_ERR_RANGE, also for more than 8388608 inputs.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_set_missing_indicators(mtl_spec *spec, int32_t on, mtl_error *err);

/**
 * Give every task's output a linear term of the inputs as well, beside what its head makes of the
 * trunk (wide & deep: Cheng et al. 2016). Starts at 0; tensors "skip.TASK.weight" [inputs, outputs].
 * @param on  1 or 0 (default).
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_set_linear_skip(mtl_spec *spec, int32_t on, mtl_error *err);

/**
 * Train an ensemble in one network: @p members that share the matrices of the trunk's dense layers and of
 * towers and have heads of their own (BatchEnsemble: Wen, Tran & Ba 2020, eq. 3; as TabM: Gorishniy,
 * Kotelnikov & Babenko 2025). The loss is the mean of the members' own losses; a prediction is the mean
 * of their probabilities or values, and so is what validation and early stopping look at. A step and a
 * prediction cost what that many networks would, with the memory of little more than one; it pays most
 * on tables of some hundred rows and more.
 *
 * In front of the first layer that is no embedding the members part: each multiplies the columns by
 * factors of its own (tensor "trunk.N.scale" [members, columns], random signs at first). Then
 *   "tabm"  each dense layer is act(s_i * (x_i W) + b_i), "scale" and "bias" [members, units], and has
 *           factors again in front ("scale" [members, columns]) where those above do not stand there.
 *           Scales and factors start as 1.
 *   "mini"  dense layers are shared as they are.
 * Norms and dropout see the members' rows as rows of their own. "head.TASK.weight" is [members * in,
 * outputs], a matrix for each member one below the other, "head.TASK.bias" [members, outputs]. A loss of
 * the caller's own sees members times the rows. No penalty moves factors, scales and biases.
 *
 * mtl_transfer() from an ensemble trains by steps alone: strategies "fine_tune", "scratch", "probe" and
 * "lp_ft", "auto" choosing between the first two; others are MTL_ERR_STATE. Sparse inputs are too.
 * @param members  1 .. 1024; 1 = none (default).
 * @return MTL_OK; MTL_ERR_RANGE. mtl_model_create() gives MTL_ERR_STATE for an ensemble with residuals,
 *         a linear skip or the loss "ordinal"; a fit with the option "weighting" MTL_ERR_INVALID.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_set_ensemble(mtl_spec *spec, int64_t members, const char *kind,
                                         mtl_error *err);

/**
 * Start the last layer of every head at 0, in place of drawing it: the first predictions are the mean of
 * the labels where those are scaled, probabilities of one half and the like where they are not, and the
 * trunk moves from the second step on.
 * @param on  1 or 0 (default).
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_set_zero_heads(mtl_spec *spec, int32_t on, mtl_error *err);

/**
 * How tasks share the trunk. Other architectures than "shared" give each task features of its own, of the
 * width of the trunk's last layer, which its own layers and its output read. What stands before the first
 * dense layer (embeddings, a norm, dropout) is shared in all of them.
 * @param architecture
 *   "shared"  one trunk of all tasks (default; Caruana 1997).
 *   "single"  the dense layers and what follows them once for each task, as if tasks were trained apart but
 *             in one model: what multi-task learning is compared with. Tensors "own.N.TASK.weight" and
 *             ".bias", N being the number of the layer with tensors.
 *   "mmoe:experts=8"  the dense layers and what follows them once for each expert (1 .. 1024); the features of
 *             task t are the experts' outputs weighted by softmax(x W_t), x what the first dense layer reads
 *             (Ma et al. 2018, eq. 6). "trunk.N.expertE.weight" and ".bias", "gate.N.TASK.weight" [columns of
 *             x, experts].
 *   "cgc:experts=2,own=2"  the same with experts of all tasks and `own` of each, which others do not read
 *             (Tang et al. 2020, eq. 2 to 4): "own.N.expertE.TASK.weight" ("own.N.TASK.weight" with own=1). The
 *             gate's columns: experts of all, then those of the task.
 *   "ple:experts=2,own=2"  a level of such experts and gates for each dense layer with what follows it (Tang et
 *             al. 2020, eq. 5 to 8). Between levels a gate of all experts ("trunk.N.gate.weight", for those
 *             of a task "shared_gate.N.TASK.weight") makes what the next level's experts of all tasks read;
 *             the others read their task's features. One dense layer is the same as "cgc".
 *   "cross_stitch"  as "single", and behind each dense layer with what follows it a unit in which task t
 *             takes from the others: h_t + sum over s of a_st h_s (Misra et al. 2016, eq. 1, the identity
 *             apart). "stitch.N.TASK.weight" [tasks, 1] is the task's a, 0 at first.
 *   "soft:lambda=0.01"  as "single", and lambda / 2 times the squared distance of the tasks' tensors from their
 *             mean is added to the loss (Duong et al. 2015), not to the reported one; clip_norm and clip_value
 *             do not see it. Not for sparse inputs (MTL_ERR_INVALID from the fit).
 *   "adapter:units=8"  a trunk of all tasks, and behind it for each h + relu(h D_t + d_t) U_t + u_t with D_t [width,
 *             units] (Houlsby et al. 2019), U_t being 0 at first: "own.N.TASK.weight", ".bias". "probe"
 *             and "bottleneck" train those of a new task, and its head.
 * Gates start at 0, so that features start as the mean of the experts. Penalties apply to them and to
 * stitches as to any matrix. A fit's report has for each tensor of a gate the series "gate.N.TASK.weight/E": the mean
 * weight of expert E over the epoch's rows (up to 4096 such series, else none).
 *
 * Tensors with TASK in their names belong to the task: they are trained where the task has labels, and at
 * the full rate where mtl_transfer() trains the trunk at another one or not at all. A new task gets its
 * own, and no task known before changes by it, but in "ple", where its experts join the gates of all.
 * mtl_transfer() trains by steps alone: strategies "fine_tune", "scratch", "probe" and "lp_ft", "auto"
 * choosing between the first two, and "bottleneck" for "adapter"; others are MTL_ERR_STATE.
 * mtl_task_affinity() needs a trunk that all tasks share. Weightings that compare gradients do so by the
 * tensors without TASK in their names: the experts of all in "mmoe", "cgc" and "ple", the trunk of
 * "adapter". What a task owns there has its own gradient as heads have (that of all tasks' losses, where
 * others read it), while kinds that go by losses weigh all of the trunk. They take one way back for each
 * task, keep a gradient for each, of tasks times parameters up to 4194304, and are for "weighting_scope" = trunk;
 * "single", "soft" and "cross_stitch" have nothing to compare: MTL_ERR_INVALID.
 * @return MTL_OK; MTL_ERR_RANGE. mtl_model_create() gives MTL_ERR_STATE for other architectures than "shared"
 *         without a dense layer in the trunk, with an ensemble or, but for "adapter", with batch norm, and for
 *         "ple" with residuals.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_set_architecture(mtl_spec *spec, const char *architecture, mtl_error *err);

/**
 * How weights are drawn; biases start at 0, but for ntk_hull.
 * @param name  "glorot_uniform" (default; Glorot & Bengio 2010, eq. 16), "glorot_normal",
 *              "he_uniform", "he_normal" (He et al. 2015, eq. 10), "orthogonal" (Saxe et al. 2014);
 *              "ntk" normal with variance 1 / in, and every matrix so drawn is trained at the learning
 *              rate over sqrt(in): for Adam and its kin what training W of W / sqrt(in) is, normal at
 *              first (the NTK parametrisation: Jacot et al. 2018, section 3), so one larger rate, 0.04
 *              say, serves layers of any width. weight_decay goes by the learning rate itself.
 *              Biases are best trained more slowly: option "groups", "*.bias:rate=0.1";
 *              "ntk_hull" weights as ntk, and the first fit draws biases from its first batch ("he+5" of
 *              RealMLP: Holzmueller, Grinsztajn & Steinwart 2024): of each unit minus a mean of what its
 *              weights make of 5 random rows, with exponential weights, layer by layer, the heads too; so
 *              units bend where data are. Until then they are 0. Fits refuse it with sparse inputs, batch
 *              norm or an architecture (#MTL_ERR_STATE).
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_set_initializer(mtl_spec *spec, const char *name, mtl_error *err);

/**
 * Add a task.
 * @param name     Also the name of its label column; not empty, not yet used in the spec.
 * @param kind     One of MTL_BINARY, MTL_MULTICLASS, MTL_MULTILABEL, MTL_REGRESSION, MTL_COUNT,
 *                 MTL_QUANTILE.
 * @param outputs  Classes (>= 2), labels, values or quantiles (>= 1); 1 for binary.
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_add_task(mtl_spec *spec, const char *name, int32_t kind,
                                     int64_t outputs, mtl_error *err);

/**
 * Settings of a task, keys of the group MTL_OPTIONS_TASK: "weight" of its loss in the sum, "loss",
 * "head" (own layers between trunk and output, "32:relu,16:relu"), "class_weights", "quantiles".
 *
 * Losses, y being the label, z the network's output and p the predicted probability:
 * - binary and multilabel: "binary_cross_entropy:smoothing=s,positive_weight=w" (the label becomes
 *   y (1 - s) + s / 2, and w multiplies the part of class 1); "focal:gamma=2,alpha=0.25" (Lin et
 *   al. 2017, eq. 5; alpha weighs class 1, 1 - alpha class 0).
 * - multiclass: "cross_entropy:smoothing=s" (Szegedy et al. 2016: s is shared out evenly among the
 *   classes); "focal:gamma=2"; "ordinal" (McCullagh 1980, proportional odds: P(y <= k) =
 *   sigmoid(t_k - z_0). Of the outputs only the first depends on the inputs. The biases of the others
 *   make the thresholds, the second being t_0 and log(1 + exp(z)) of each further one a step up;
 *   their weights are 0 in a new model and are not trained.)
 * - regression: "squared_error", "absolute_error", "huber:delta=1" (d^2 / 2 up to |d| = delta, then
 *   delta (|d| - delta / 2)), "log_cosh". While targets are standardised inside ("scale_targets"),
 *   losses and delta are in these units, standard deviations of the label.
 * - count: "poisson" (exp(z) - y z), "gamma" (z + y exp(-z), labels > 0), "tweedie:power=1.5"
 *   (exp((2-p) z) / (2-p) - y exp((1-p) z) / (1-p), 1.01 <= p <= 1.99): half the deviance up to terms
 *   of y alone. Labels are not scaled. Beyond an exponent of 60 a loss goes on along its tangent.
 * - quantile: "quantile", the mean over the outputs of the pinball loss (Koenker & Bassett 1978), of
 *   standardised targets like regression. "quantiles" lists their probabilities, ascending,
 *   "0.1/0.5/0.9"; default k / (outputs + 1), k = 1 .. outputs. The first output is the lowest one, and
 *   log(1 + exp(z)) of each further output is the step to the next.
 *
 * "class_weights" multiplies the weights of labels by their class, before the mean is taken: one number
 * for each class, "1/2/0.5"; for binary and multilabel those of 0 and 1. "balanced" takes labels /
 * (classes * labels of the class), row weights left aside, as scikit-learn does, from the training
 * rows of the first fit, for each column of a multilabel task by itself; a class without a label has
 * 1. Later fits keep them.
 * @return MTL_OK; MTL_ERR_NAME for an unknown task; else as mtl_options_set_i64().
 * @since 0.1
 */
MTL_API mtl_status mtl_spec_task_set_i64(mtl_spec *spec, const char *task, const char *key,
                                         int64_t value, mtl_error *err);
/** @copydoc mtl_spec_task_set_i64 */
MTL_API mtl_status mtl_spec_task_set_f64(mtl_spec *spec, const char *task, const char *key,
                                         double value, mtl_error *err);
/** @copydoc mtl_spec_task_set_i64 */
MTL_API mtl_status mtl_spec_task_set_str(mtl_spec *spec, const char *task, const char *key,
                                         const char *value, mtl_error *err);

/** @} */

/**
 * @defgroup dataset Data
 * Rows of inputs with one label column (or several, for multilabel and multi-output tasks) per task.
 * A data set is read-only to every call that takes it as const and may be shared by threads then.
 * @{
 */

/**
 * Rows of inputs that stay the caller's.
 * @param x           [rows, cols] row-major; borrowed: it must stay as it is until the data set and
 *                    all subsets and splits of it are destroyed. NULL only if rows = 0.
 * @param row_stride  Elements between rows, >= cols.
 * @param out         Release with mtl_dataset_destroy().
 * @return MTL_OK; MTL_ERR_SHAPE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_create(mtl_context *ctx, const float *x, int64_t rows, int64_t cols,
                                      int64_t row_stride, mtl_dataset **out, mtl_error *err);
/**
 * Rows of sparse inputs that stay the caller's: compressed rows (CSR), as scipy.sparse.csr_matrix has
 * them in indptr (as int64), indices (int32) and data (float32). What is not listed is 0; NaN is a
 * missing input.
 *
 * For models whose inputs are read by dense layers, the linear skip or the heads alone, without missing
 * indicators (else MTL_ERR_STATE). There a step or a prediction costs as the values that its rows
 * list, whatever the number of columns, with the bits of dense inputs in every product. Scaling (option
 * "scaler") is by the largest magnitude of each column, which leaves 0 at 0.
 *
 * What a step changes of a weight matrix that reads the inputs (option "sparse_update"):
 * - "lazy" (default): rows of columns that the batch lists. What the optimizer keeps for the other rows,
 *   and penalties and decay of them, rest until their column comes again, as in PyTorch's SparseAdam;
 *   bias correction goes by all steps. The same as "dense" for sgd without momentum and adagrad, where
 *   there is no penalty or decay; but for rounding also with "clip_norm", which sums squares by rows, and
 *   "average" = ema, where a row takes all steps at once that its average was left behind by.
 * - "dense": all of them, with the bits of the same fit on dense inputs; a pass over all weights in
 *   each step.
 * An epoch's end passes over all weights in any case.
 *
 * Splits, folds, subsets and copies, mtl_dataset_get_inputs() and, of sparse parts alone,
 * mtl_dataset_concat() work as for dense inputs; mtl_dataset_add_rows() does not (MTL_ERR_STATE).
 * @param cols     1 .. 2147483647.
 * @param indptr   [rows + 1]: row i has the values number indptr[i] .. indptr[i+1]-1; from 0 or more
 *                 on, never falling. NULL only if rows = 0. Borrowed, as all arrays are here, until the
 *                 data set and all subsets and splits of it are destroyed.
 * @param indices  Columns, 0 .. cols-1, ascending within a row (scipy: sort_indices() and
 *                 sum_duplicates()). NULL only without values.
 * @param values   Beside them.
 * @param out      Release with mtl_dataset_destroy().
 * @return MTL_OK; MTL_ERR_SHAPE for rows, cols or indptr that cannot be; MTL_ERR_RANGE for a column out
 *         of range and MTL_ERR_VALUE for one that does not ascend, naming row and offset;
 *         MTL_ERR_INVALID; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_create_csr(mtl_context *ctx, int64_t rows, int64_t cols,
                                          const int64_t *indptr, const int32_t *indices,
                                          const float *values, mtl_dataset **out, mtl_error *err);
/**
 * Gives the inputs of rows first .. first+rows-1 of a streamed data set.
 * @param x     Out: [rows, cols], row-major without gaps, NaN = missing.
 * @param user  As given to mtl_dataset_create_stream().
 * @return #MTL_CONTINUE; anything else when they cannot be read, which ends the call at work with
 *         #MTL_ERR_IO. No exception or longjmp may leave it.
 * @since 0.1
 */
typedef int32_t (*mtl_rows_cb)(int64_t first, int64_t rows, float *x, void *user);

/**
 * A data set whose inputs are read on request, for data larger than memory: mtl_fit(),
 * mtl_transfer() and mtl_evaluate() hold a window of rows in memory at a time. Labels and weights
 * are set as for any data set and stay in memory, a number for each row.
 *
 * mtl_fit() reads all rows in order once to check them and, where it fits the input scaling, twice
 * for that (same bits as in memory); then every epoch reads every row at most once: the windows in random
 * order, the rows of a window in random order (option "shuffle"; a window of all rows gives the bits
 * of data in memory). Rows that should be mixed must not lie further apart in the file than a
 * window has rows. A failure to read leaves the parameters of the last finished epoch.
 *
 * Not for a streamed data set (MTL_ERR_STATE): splits, folds, subsets, copies, mtl_dataset_add_rows(),
 * mtl_dataset_get_inputs(), "validation" = random, "sampling" and "scaler" other than the defaults.
 * @param rows, cols  Inputs: [rows, cols].
 * @param window      Rows in memory at a time; at least 256 are held. 0 = as many as
 *                    take 32 MB.
 * @param read        Called from the thread of the call that needs rows; each row several times, with
 *                    the same numbers. From several threads at once if the data set is used so.
 * @param user        Handed to @p read; both are needed until the last use of the data set.
 * @return MTL_OK; MTL_ERR_SHAPE; MTL_ERR_RANGE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_create_stream(mtl_context *ctx, int64_t rows, int64_t cols,
                                             int64_t window, mtl_rows_cb read, void *user,
                                             mtl_dataset **out, mtl_error *err);
/**
 * The same with the inputs from a .npy file (types as mtl_dataset_load_npy(), C order), which stays
 * open and must not change until the data set is destroyed. Nothing but the header is read here.
 * @param window  As in mtl_dataset_create_stream().
 * @return MTL_OK; MTL_ERR_IO; MTL_ERR_FORMAT, also for Fortran order; MTL_ERR_RANGE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_open_npy(mtl_context *ctx, const char *path, int64_t window,
                                        mtl_dataset **out, mtl_error *err);
/** A data set that owns copies of everything in @p data. @since 0.1 */
MTL_API mtl_status mtl_dataset_copy(const mtl_dataset *data, mtl_dataset **out, mtl_error *err);
/** Release. NULL is fine. @since 0.1 */
MTL_API void mtl_dataset_destroy(mtl_dataset *data);

/**
 * Set or replace the labels of a task.
 * @param task   Name of the task.
 * @param cols   Label columns: 1, or one per output for multilabel and multi-output regression.
 * @param label  [rows, cols], borrowed like x. Class tasks: the class number. NaN = missing.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_set_labels(mtl_dataset *data, const char *task, int64_t cols,
                                          const float *label, int64_t row_stride, mtl_error *err);

/**
 * State what the labels of a task mean, for mtl_transfer() to new tasks. Without it the kind is read
 * off the labels: several columns of 0 and 1 are multilabel; one column of 0 and 1 is binary; whole
 * numbers 0 .. c-1, all of them present and c <= 100, are c classes; all else is regression.
 * @param kind, outputs  As in mtl_spec_add_task().
 * @return MTL_OK; MTL_ERR_NAME for a task without labels; MTL_ERR_SHAPE.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_set_kind(mtl_dataset *data, const char *task, int32_t kind,
                                        int64_t outputs, mtl_error *err);

/**
 * Set the weights of rows in the loss and in metrics: the loss of a task is sum(w * loss) / sum(w)
 * over its labels.
 * @param task    NULL = all tasks that have no weights of their own.
 * @param weight  [rows], finite and >= 0, borrowed like x; NULL = 1 (default).
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_set_weights(mtl_dataset *data, const char *task,
                                           const float *weight, mtl_error *err);

/**
 * Append rows that have labels of one task only; the other tasks' labels are missing there. So each
 * task can bring a table of its own. The data set becomes an owner of copies.
 * @param x      [rows, inputs].
 * @param cols   Label columns; must fit the task's if it is there already.
 * @param label  [rows, cols].
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_add_rows(mtl_dataset *data, const char *task, int64_t rows,
                                        const float *x, int64_t x_stride, int64_t cols,
                                        const float *label, int64_t label_stride, mtl_error *err);

/**
 * Split at random in two parts that borrow from @p data's arrays.
 * @param fraction  Share of the first part, 0 < fraction < 1; rounded to whole rows, at least one in
 *                  each part.
 * @param seed      >= 0.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_split(const mtl_dataset *data, double fraction, int64_t seed,
                                     mtl_dataset **first, mtl_dataset **second, mtl_error *err);
/** The same with every class of a task (one column; missing counts as a class) shared out in the
 *  same proportion. @since 0.1 */
MTL_API mtl_status mtl_dataset_split_stratified(const mtl_dataset *data, const char *task,
                                                double fraction, int64_t seed, mtl_dataset **first,
                                                mtl_dataset **second, mtl_error *err);
/**
 * Split at random in two parts that keep groups of rows whole (the rows of one patient, say): no
 * group has rows in both parts. Groups in random order are taken where that brings the first part
 * nearer to its share of the rows; each part has at least one. Rows stand in @p data's order.
 * @param groups  [rows] numbers, equal within a group, or NULL.
 * @param task    With groups NULL: the task (one column) whose label tells groups apart, else NULL.
 * @param fraction, seed  As in mtl_dataset_split().
 * @return MTL_OK; MTL_ERR_INVALID with both groups and task, or none; MTL_ERR_NAME; MTL_ERR_SHAPE;
 *         MTL_ERR_VALUE for a row whose label is missing; MTL_ERR_DATA when all rows are of one
 *         group; MTL_ERR_RANGE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_split_grouped(const mtl_dataset *data, const int64_t *groups,
                                             const char *task, double fraction, int64_t seed,
                                             mtl_dataset **first, mtl_dataset **second,
                                             mtl_error *err);
/**
 * One fold of a k-fold cross-validation. The same seed gives the same folds, so calls with fold = 0
 * .. folds-1 put every row into exactly one test part; their sizes differ by one at most. Both parts
 * borrow from @p data's arrays; rows stand in its order.
 * @param folds  2 .. rows.
 * @param fold   0 .. folds-1.
 * @param seed   >= 0.
 * @param train  All rows but the fold's.
 * @param test   The fold's rows.
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_DATA for fewer rows than folds; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_kfold(const mtl_dataset *data, int64_t folds, int64_t fold,
                                     int64_t seed, mtl_dataset **train, mtl_dataset **test,
                                     mtl_error *err);
/** The same with every class of a task (one column; missing counts as a class) shared out evenly:
 *  the folds' numbers of its rows differ by one at most. @since 0.1 */
MTL_API mtl_status mtl_dataset_kfold_stratified(const mtl_dataset *data, const char *task,
                                                int64_t folds, int64_t fold, int64_t seed,
                                                mtl_dataset **train, mtl_dataset **test,
                                                mtl_error *err);
/** The same with groups kept whole: each, the largest first (of one size in random order), goes to
 *  the fold with the fewest rows, as scikit-learn's GroupKFold does; the folds' sizes differ by the
 *  largest group's at most. @param groups, task As in mtl_dataset_split_grouped().
 *  @return As there; MTL_ERR_DATA for fewer groups than folds. @since 0.1 */
MTL_API mtl_status mtl_dataset_kfold_grouped(const mtl_dataset *data, const int64_t *groups,
                                             const char *task, int64_t folds, int64_t fold,
                                             int64_t seed, mtl_dataset **train, mtl_dataset **test,
                                             mtl_error *err);
/**
 * Some rows, in the given order, repeats allowed; borrows from @p data's arrays.
 * @param rows  [count] row numbers.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_subset(const mtl_dataset *data, int64_t count, const int64_t *rows,
                                      mtl_dataset **out, mtl_error *err);
/** Rows of all parts one after the other, copied. A task that a part lacks is missing there.
 *  @param parts  [count], with equal input columns. @since 0.1 */
MTL_API mtl_status mtl_dataset_concat(int64_t count, const mtl_dataset *const *parts,
                                      mtl_dataset **out, mtl_error *err);

/**
 * Read a comma-separated file with a header line (RFC 4180, UTF-8; numbers with a decimal point
 * whatever the locale; an empty cell, NA or nan is missing).
 * @param options  Of the group MTL_OPTIONS_CSV. The option "labels" lists the label columns; without
 *                 it they are the columns whose header starts with "label:", the task's name being
 *                 what follows. All other columns are inputs. Those that the option "categorical"
 *                 names, or with "auto" those with a cell that is no number, hold texts, which
 *                 become numbers 0, 1, ... in the order in which they first appear in the file
 *                 (blanks around a text do not count; missing cells as everywhere); see
 *                 mtl_dataset_category_name(). "auto" reads the file twice. Labels are numbers, but for
 *                 the label columns that the option "classes" names by their headers (or "auto"):
 *                 their texts become classes 0, 1, ... likewise, see mtl_dataset_class_name(), and
 *                 two or more state the kind: binary or multiclass.
 * @return MTL_OK; MTL_ERR_IO; MTL_ERR_FORMAT with row and column; MTL_ERR_NAME; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_load_csv(mtl_context *ctx, const char *path,
                                        const mtl_options *options, mtl_dataset **out,
                                        mtl_error *err);
/**
 * The same for a second file of the kind that @p reference was read from: its input columns have to
 * be the reference's, in name and order, and texts of categorical columns get the reference's
 * numbers; a text that it does not have is missing (NaN). So do classes of tasks that both have, of
 * which a text that the reference lacks is refused. The options "categorical" and "classes" are not
 * read.
 * @return As mtl_dataset_load_csv(); MTL_ERR_SHAPE or MTL_ERR_NAME for other inputs; MTL_ERR_VALUE for
 *         another class, with row and column.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_load_csv_like(mtl_context *ctx, const char *path,
                                             const mtl_options *options,
                                             const mtl_dataset *reference, mtl_dataset **out,
                                             mtl_error *err);
/** Read the inputs from a NumPy .npy file: one or two dimensions; f4, f8, i1, u1, i4, i8 or bool.
 *  @since 0.1 */
MTL_API mtl_status mtl_dataset_load_npy(mtl_context *ctx, const char *path, mtl_dataset **out,
                                        mtl_error *err);
/** Read the labels of a task from a .npy file with as many rows as @p data. @since 0.1 */
MTL_API mtl_status mtl_dataset_load_npy_labels(mtl_dataset *data, const char *task,
                                               const char *path, mtl_error *err);
/**
 * Make a classification problem (Guyon 2003, "Design of experiments of the NIPS 2003 variable
 * selection benchmark"): clusters of normal points on the corners of a hypercube, redundant columns
 * as random combinations, noise columns, flipped labels. Task "class" holds the class number.
 * @param options  Of the group MTL_OPTIONS_MAKE_CLASSIFICATION.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_make_classification(mtl_context *ctx, const mtl_options *options,
                                                   mtl_dataset **out, mtl_error *err);
/**
 * Make a linear regression problem, as scikit-learn's make_regression does: standard normal inputs,
 * coefficients uniform in [0, 100) for the informative columns and 0 for the others, labels
 * x * coefficients + bias + normal noise. Task "target".
 * @param options       Of the group MTL_OPTIONS_MAKE_REGRESSION.
 * @param count         inputs * targets; not read with coefficients = NULL.
 * @param coefficients  Out, may be NULL: [inputs, targets].
 * @return MTL_OK; MTL_ERR_SHAPE for another count; MTL_ERR_TYPE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_make_regression(mtl_context *ctx, const mtl_options *options,
                                               int64_t count, float *coefficients,
                                               mtl_dataset **out, mtl_error *err);
/**
 * Make tasks that are more or less related (the linear part of section 4.2 of Ma et al. 2018,
 * "Modeling task relationships in multi-task learning with multi-gate mixture-of-experts", for any
 * number of tasks). Inputs are standard normal. With random orthonormal directions u_0, u_1, ... and
 * the option "relatedness" r, task_0 has the coefficients w_0 = u_0, a related task t has w_t =
 * r u_0 + sqrt(1 - r^2) u_t, and an unrelated one (the last ones) w_t = u_t. So r is the cosine of
 * w_t with w_0, and the correlation of the labels before noise; r^2 that of two related tasks other
 * than task_0; unrelated tasks have 0 with all others. The label is w_t * x + noise; a binary task
 * has 1 where that is above 0.
 * @param options       Of the group MTL_OPTIONS_MAKE_TASKS.
 * @param count         inputs * tasks; not read with coefficients = NULL.
 * @param coefficients  Out, may be NULL: [inputs, tasks].
 * @return As mtl_dataset_make_regression(); MTL_ERR_RANGE for more tasks than inputs, or when all
 *         are unrelated.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_make_tasks(mtl_context *ctx, const mtl_options *options,
                                          int64_t count, float *coefficients, mtl_dataset **out,
                                          mtl_error *err);

/**
 * Name the input columns, as a CSV file's header does. A model takes the names from the first rows that
 * it is fitted on, and mtl_transfer() matches columns by them; fits and predictions take columns as they
 * stand.
 * @param count  As many as mtl_dataset_inputs().
 * @param names  [count], copied, in the place of those that it had.
 * @return MTL_OK; MTL_ERR_SHAPE; MTL_ERR_INVALID for NULL; MTL_ERR_NOMEM, the data set unchanged.
 * @since 0.1
 */
MTL_API mtl_status mtl_dataset_set_input_names(mtl_dataset *data, int64_t count,
                                               const char *const *names, mtl_error *err);

/** Rows; 0 for NULL. @since 0.1 */
MTL_API int64_t mtl_dataset_rows(const mtl_dataset *data);
/** Input columns; 0 for NULL. @since 0.1 */
MTL_API int64_t mtl_dataset_inputs(const mtl_dataset *data);
/** Name of an input column from the file's header or as it was set, "" when it has none. @since 0.1 */
MTL_API const char *mtl_dataset_input_name(const mtl_dataset *data, int64_t column);
/** Texts of a categorical input column, the numbers 0 .. count-1; 0 for a column of numbers, out of
 *  range and for NULL. Splits, subsets and copies have those of their data set; to
 *  mtl_dataset_concat() parts must have the same. @since 0.1 */
MTL_API int64_t mtl_dataset_category_count(const mtl_dataset *data, int64_t column);
/** The text that number @p category stands for in a categorical input column, NULL when there is
 *  none. @since 0.1 */
MTL_API const char *mtl_dataset_category_name(const mtl_dataset *data, int64_t column,
                                              int64_t category);
/** Classes of task number @p task that texts of a file stand for, 0 .. count-1; 0 for labels that were
 *  numbers, out of range and for NULL. Parts and copies keep them, and parts for mtl_dataset_concat()
 *  must have the same; labels set anew have none. @since 0.1 */
MTL_API int64_t mtl_dataset_class_count(const mtl_dataset *data, int64_t task);
/** The text of class @p number, NULL when there is none. @since 0.1 */
MTL_API const char *mtl_dataset_class_name(const mtl_dataset *data, int64_t task, int64_t number);
/** Tasks with labels; 0 for NULL. @since 0.1 */
MTL_API int64_t mtl_dataset_task_count(const mtl_dataset *data);
/** Name of task number @p task, NULL when out of range. @since 0.1 */
MTL_API const char *mtl_dataset_task_name(const mtl_dataset *data, int64_t task);
/** Label columns of task number @p task, 0 when out of range. @since 0.1 */
MTL_API int64_t mtl_dataset_task_cols(const mtl_dataset *data, int64_t task);
/** Copy inputs of rows first .. first+rows-1 to @p out [rows, inputs]. @since 0.1 */
MTL_API mtl_status mtl_dataset_get_inputs(const mtl_dataset *data, int64_t first, int64_t rows,
                                          float *out, int64_t out_stride, mtl_error *err);
/** Copy labels of a task of rows first .. first+rows-1 to @p out [rows, cols]. @since 0.1 */
MTL_API mtl_status mtl_dataset_get_labels(const mtl_dataset *data, const char *task, int64_t first,
                                          int64_t rows, float *out, int64_t out_stride,
                                          mtl_error *err);

/** @} */

/**
 * @defgroup model Model
 * The network with its parameters, and the pipeline around it (input scaling, missing inputs, target
 * scaling). One writer at a time, any number of readers when there is no writer.
 * @{
 */

/**
 * A model with fresh weights. The weights are those of seed 0; the first mtl_fit() draws them anew
 * from its option "seed", unless mtl_model_tensor_set() or mtl_model_freeze() was called before.
 * @param spec  With at least one task; copied.
 * @param out   Release with mtl_model_destroy().
 * @return MTL_OK; MTL_ERR_STATE for a spec without tasks; MTL_ERR_RANGE when it has more parameters
 *         than memory can hold; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_create(const mtl_spec *spec, mtl_model **out, mtl_error *err);
/** Release. NULL is fine. @since 0.1 */
MTL_API void mtl_model_destroy(mtl_model *model);
/** An independent copy. @since 0.1 */
MTL_API mtl_status mtl_model_clone(const mtl_model *model, mtl_model **out, mtl_error *err);

/**
 * One model that predicts the weighted mean of others: of models trained on other parts of the rows or
 * with other seeds, or, with weights 0 and 1, for each task the best of several. The mean is taken of
 * what mtl_predict() gives: of probabilities of class tasks, of values otherwise, in double, in the
 * order of the members. A prediction costs as much as those of the members with weight; of
 * mtl_predict_task() those with weight for that task.
 *
 * The result predicts, evaluates, is calibrated (the mean's logits, or intervals around it), saved,
 * loaded and cloned as every model; the tensors of member K have names beginning with "member.K.".
 * Losses are those of outputs that would give the mean, in the target scaling of the first member of
 * most weight, probabilities below 3e-8 counting as that. It is not trained: mtl_fit(),
 * mtl_partial_fit(), mtl_trainer_create(), mtl_lr_find() and mtl_model_freeze() give #MTL_ERR_STATE.
 * mtl_transfer() starts from one member, the one of most weight summed over tasks among those with a
 * trunk.
 * @param members  [count] fitted models with equal input columns, copied; one that is an average itself
 *                 counts as its members, with its weights times theirs. The context of the first one
 *                 becomes that of the result.
 * @param weights  [count, tasks], 0 or more, divided by their sum for each task; tasks in the order in
 *                 which they first appear in the members, which is that of the result. 0 where a
 *                 member lacks the task. NULL = equal weights of all members that have the task.
 * @param out      Release with mtl_model_destroy().
 * @return MTL_OK; MTL_ERR_RANGE for a bad count; MTL_ERR_STATE for a member never fitted, or an
 *         average that is calibrated; MTL_ERR_SHAPE when inputs, or a task's kind, outputs or
 *         quantiles differ; MTL_ERR_NAME for weight where a task is lacking; MTL_ERR_VALUE for a
 *         weight that cannot be, or a task of no weight; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_create_average(const mtl_model *const *members, int64_t count,
                                            const double *weights, mtl_model **out, mtl_error *err);
/** Members of an average; 0 for a model with layers of its own and for NULL. @since 0.1 */
MTL_API int64_t mtl_model_member_count(const mtl_model *model);
/** A member, which lives as long as the average; NULL when out of range. @since 0.1 */
MTL_API const mtl_model *mtl_model_member(const mtl_model *model, int64_t index);
/** What the member counts for a task, 0 .. 1; 0 when out of range. @since 0.1 */
MTL_API double mtl_model_member_weight(const mtl_model *model, int64_t index, int64_t task);

/**
 * Write model and pipeline to a safetensors file. The file at @p path is replaced as a whole or not
 * at all, whatever happens meanwhile.
 * @return MTL_OK; MTL_ERR_IO; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_save(const mtl_model *model, const char *path, mtl_error *err);
/** The same into memory. @param buffer Release with mtl_free(). @since 0.1 */
MTL_API mtl_status mtl_model_save_buffer(const mtl_model *model, void **buffer, int64_t *bytes,
                                         mtl_error *err);
/**
 * Read a model. It predicts the same bits as the one that was saved. The reader is strict and safe
 * with hostile files.
 * @return MTL_OK; MTL_ERR_IO; MTL_ERR_FORMAT; MTL_ERR_CHECKSUM; MTL_ERR_VERSION; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_load(mtl_context *ctx, const char *path, mtl_model **out,
                                  mtl_error *err);
/** The same from memory, which is not needed after the call. @since 0.1 */
MTL_API mtl_status mtl_model_load_buffer(mtl_context *ctx, const void *buffer, int64_t bytes,
                                         mtl_model **out, mtl_error *err);

/** Input columns; 0 for NULL. @since 0.1 */
MTL_API int64_t mtl_model_inputs(const mtl_model *model);
/** Name of an input column as the first data set with names that it was fitted on has it; of several
 *  models in one that of the leading one; "" when it has none. The model's file keeps it. @since 0.1 */
MTL_API const char *mtl_model_input_name(const mtl_model *model, int64_t column);
/** Columns that mtl_predict() writes: the outputs of all tasks; 0 for NULL. @since 0.1 */
MTL_API int64_t mtl_model_outputs(const mtl_model *model);
/** Number of tasks; 0 for NULL. @since 0.1 */
MTL_API int64_t mtl_model_task_count(const mtl_model *model);
/** Name of a task, NULL when out of range. @since 0.1 */
MTL_API const char *mtl_model_task_name(const mtl_model *model, int64_t task);
/** Number of the task of that name, -1 when there is none. @since 0.1 */
MTL_API int64_t mtl_model_task_index(const mtl_model *model, const char *name);
/** Kind of a task, 0 when out of range. @since 0.1 */
MTL_API int32_t mtl_model_task_kind(const mtl_model *model, int64_t task);
/** Output columns of a task, 0 when out of range. @since 0.1 */
MTL_API int64_t mtl_model_task_outputs(const mtl_model *model, int64_t task);
/** A table of layers, tasks and parameters for people. @param text Release with mtl_free().
 *  @since 0.1 */
MTL_API mtl_status mtl_model_summary(const mtl_model *model, char **text, mtl_error *err);

/**
 * Parameters by stable names: "trunk.0.weight" [in, units] and "trunk.0.bias" [units] for dense
 * layer 0 of the trunk; "head.TASK.weight", "head.TASK.bias" for a task's output layer and
 * "tower0.TASK.weight", ... for its own layers before that. Norms have "weight" and "bias" (and batch
 * norm "running_mean" and "running_var"), embeddings "weight" [categories + 1, units]; "trunk.N" counts
 * the trunk's layers that have tensors.
 * @return Their number; 0 for NULL.
 * @since 0.1
 */
MTL_API int64_t mtl_model_tensor_count(const mtl_model *model);
/**
 * Name and shape of tensor number @p index. Each out pointer may be NULL; what they receive lives as
 * long as the model.
 * @param rank   1 or 2.
 * @param shape  [rank] sizes.
 * @return MTL_OK; MTL_ERR_RANGE.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_tensor_info(const mtl_model *model, int64_t index, const char **name,
                                         int64_t *rank, const int64_t **shape, mtl_error *err);
/** Copy a tensor out, row-major. @param count Elements at @p out, must be the tensor's. @since 0.1 */
MTL_API mtl_status mtl_model_tensor_get(const mtl_model *model, const char *name, int64_t count,
                                        float *out, mtl_error *err);
/** Set a tensor, for example to what another framework trained. Values must be finite. @since 0.1 */
MTL_API mtl_status mtl_model_tensor_set(mtl_model *model, const char *name, int64_t count,
                                        const float *values, mtl_error *err);
/**
 * Add a product of two small matrices to a tensor, W += scale A B: an adapter of low rank that was kept
 * apart, as the strategy "lora" of mtl_transfer() reports it, so that many of them may do with one
 * trunk. With -scale it is taken off again, but for rounding.
 * @param name   Of a tensor [rows, cols].
 * @param rank   1 .. 1048576.
 * @param scale  Rounded to float32.
 * @param a, b   [rows, rank] and [rank, cols], without gaps.
 * @return MTL_OK; MTL_ERR_NAME; MTL_ERR_SHAPE for a vector or a rank out of range; MTL_ERR_VALUE when an
 *         argument or a number of the sum is not finite; MTL_ERR_BUSY; MTL_ERR_NOMEM. A failure changes
 *         nothing.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_tensor_add_product(mtl_model *model, const char *name, int64_t rank,
                                                double scale, const float *a, const float *b,
                                                mtl_error *err);
/**
 * Freeze (or free) tensors: one by its name ("trunk.0.weight"), those of a layer ("trunk.0",
 * "head.TASK"), of the trunk's layers by depth ("trunk.0..2" = the first three) or of a group
 * ("trunk", "head"), or all that end alike ("*.bias"). A frozen tensor keeps its bits in mtl_fit(),
 * whatever the optimizer, its decay and the average. Saved with the model.
 * @param frozen  1 or 0.
 * @return MTL_OK; MTL_ERR_NAME when no tensor is meant.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_freeze(mtl_model *model, const char *name, int32_t frozen,
                                    mtl_error *err);

/**
 * A loss of the caller's own: value and gradient of some rows.
 *
 * The rows are those of a batch that have a label of the task; it is not called without any. What it
 * gives becomes the task's loss as that of every other: divided by the sum of the weights of the
 * labels, times the task's weight, in the training and validation figures alike.
 *
 * @param rows        1 or more.
 * @param outputs     The task's outputs.
 * @param z           [rows, outputs] as the network gives them, before the link: logits for class
 *                    tasks, logarithms for count, standardised for regression, first value and steps
 *                    for quantile.
 * @param label_cols  The task's label columns.
 * @param label       [rows, label_cols], standardised where the task's targets are; NaN = missing,
 *                    which only a row with another label has.
 * @param weight      [rows] weights of the rows, 1 where the data set has none.
 * @param value       Out: sum over the labels of weight * loss.
 * @param gradient    Out, [rows, outputs], 0 before the call: derivative of @p value by z. NULL when
 *                    it is not wanted. Where every output has a label of its own, that of a missing
 *                    label is set to 0 afterwards.
 * @param user        As given to mtl_model_set_loss().
 * @return #MTL_CONTINUE to go on. Anything else ends a fit or transfer before the step is made, with
 *         the model so far and the reason "cancelled"; mtl_evaluate() then fails with MTL_ERR_STATE.
 * @since 0.1
 */
typedef int32_t (*mtl_loss_cb)(int64_t rows, int64_t outputs, const float *z, int64_t label_cols,
                               const float *label, const float *weight, double *value,
                               float *gradient, void *user);

/**
 * Use a loss of the caller's own for a task in mtl_fit(), mtl_transfer() and mtl_evaluate(). The task's
 * option "loss" still says how outputs become predictions, and "class_weights" is left aside. Clones
 * and the results of mtl_transfer() have it too; files do not.
 * @param cb  Called on the thread of the call that trains or judges, once for each batch (when
 *            judging, for each block of up to 256 rows); from several threads at once if several
 *            evaluate the model. The same bits come out if it gives the same bits. NULL = the loss of
 *            the task's options (default).
 * @return MTL_OK; MTL_ERR_NAME for an unknown task; MTL_ERR_BUSY.
 * @note   A C++ exception or longjmp that leaves through it loses nothing in mtl_fit() once the model
 *         is destroyed, which is all that can be done with it then; in mtl_transfer() the memory of
 *         the model being made, in mtl_evaluate() that of the evaluation.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_set_loss(mtl_model *model, const char *task, mtl_loss_cb cb,
                                      void *user, mtl_error *err);

/** @} */

/**
 * @defgroup report Report
 * What a fit, transfer or evaluation found, by name. Read-only, safe from any thread.
 *
 * Names of a fit: "reason" ("epochs", "patience", "time_limit" or "cancelled"), "epochs" and "steps"
 * done, "best_epoch" (from 1; with early stopping the one whose parameters were kept), "seconds";
 * series with one value per epoch: "learning_rate" (of the epoch's last step), "loss/train" and
 * "loss/valid" (sum of weighted task losses, without the penalties), "loss/train/TASK", "loss/valid/TASK", with a
 * "weighting" the epoch's means of "weight/TASK" and, of kinds that compare gradients, of "conflicts" (the
 * share of pairs of tasks whose gradients have a product below 0) and, for up to 16 tasks,
 * "cosine/TASK/TASK", the model's order of tasks within a pair; what gates give their experts
 * (mtl_spec_set_architecture()); and "metric/NAME/TASK" (on the
 * validation rows) and "metric/train/NAME/TASK" (on the training rows), NAME being accuracy for
 * class tasks, rmse for regression and count, and for quantile mae of the middle output (number
 * outputs / 2), which stands for the value in every metric. NaN where a task had no label.
 *
 * With "judge" besides: "judge/folds", those that were finished; for each task "judge/loss/KIND/TASK"
 * and "judge/metric/KIND/TASK" (the metric as above), means over folds with KIND linear, shared,
 * single and mixture (of its shares the best one); the gain of sharing "judge/gain/TASK", mean over folds of the loss of single less that of
 * shared, positive where sharing helps; its standard error "judge/gain_error/TASK", the root of
 * variance * (1 / folds + 1 / (folds - 1)), since training rows of folds overlap (Nadeau & Bengio
 * 2003), and its interval of 95 % by Student's t, "judge/gain_low/TASK" and "judge/gain_high/TASK";
 * "judge/negative_transfer/TASK", 1 where that lies below 0; "judge/choice/TASK", a text, and
 * "judge/share_of_single/TASK", the weight of the task's own network in what was chosen; and
 * "judge/delta_m", the mean over tasks of (metric of shared - metric of single) / metric of single,
 * with the sign turned for errors, so that positive is better shared (Maninis et al. 2019, equation
 * 4). NaN where there is no figure. "judge/group/TASK", from 0, is the group that it would have the task
 * trained in, "judge/groups" their number and "judge/groups_score" what they score, as
 * mtl_task_affinity() has "group/TASK", "groups" and "groups/score". The other entries are those of the
 * shared network's fit.
 *
 * With a preset besides: "preset", its name, and "preset/KEY", the options that were set, by the user or by
 * it; for each task "mixture/loss/KIND/TASK", mean losses of the rows left out with KIND pooled, linear,
 * shared, numeric and single, and "mixture/loss/mixed/TASK" (values in units of the labels' variance or deviation); and
 * "mixture/weight/KIND/TASK". NaN where there is no figure. The other entries are those of the first
 * shared network; without one "reason" is "solved". "seconds" are those of the whole.
 *
 * With "weighting" = auto besides: "race/winner", the name of what was chosen, and "race/weighting", the
 * text that as "weighting" gives the same model; "race/why", a sentence; "race/folds", those that were
 * finished; and of each NAME that was in the race "race/gain/NAME", how much lower its loss is than the
 * sum's on the rows left out, as a share of the mean of both, with its standard error "race/gain_error/NAME" (as for
 * the judge), over the folds in which it was.
 *
 * Names of an evaluation: "loss" (sum of weighted task losses), "loss/TASK", "metric/NAME/TASK", and
 * "metric/NAME", the mean of that metric over the tasks that have a figure (NaN when none has; the
 * entry is missing when the metric serves no task's kind). NAME is the metric as it was asked for,
 * its parameters included ("f1:average=macro"). "confusion/TASK" of a class task is a series: the
 * weights of the rows with a label (their number, without weights) as a matrix of classes x classes,
 * row by row, row = true class, column = class decided for; binary tasks have classes 0 and 1; of a
 * multilabel task such a 2 x 2 matrix for each output, one after another. Tasks of more than 1000
 * classes have none.
 *
 * Names of a calibration: per class task "log_loss/before/TASK" and "log_loss/after/TASK", the mean on
 * the held-out rows of the logits as the network gives them and calibrated; "temperature/TASK", or
 * series "slope/TASK" and "shift/TASK" with one value per output; per regression task a series
 * "radius/TASK", half the width of the interval of each output, infinite with too few rows.
 *
 * Names of a transfer: "strategy", the one that was used, and those of a fit (of its last phase;
 * "reason" is "solved" for an exact head). Where it was chosen: "why", a sentence; of each candidate
 * "candidate/NAME/mean", the error on the folds as a share of the labels' variance, and
 * "candidate/NAME/standard_error"; "candidate/NAME/simulated", the mean error in simulations;
 * "candidate/NAME/score", how much lower the error is than that of linear (of scratch where the source
 * is an ensemble in one network; where neither is scored, than that of the first candidate), both
 * together;
 * "candidate/NAME/variant", the number of the best penalty or length (-1 = not scored);
 * "candidate/NAME/cut", trunk layers used; "candidate/NAME/known_weight", the weight of known tasks'
 * rows; of as_is and shift "candidate/NAME/known_task/TASK", the known task whose head stands for new
 * task TASK or below it, "" being the mean of all of its kind; "simulations", how many there were; "gain", how much lower the error is than that of scratch,
 * with "gain/low" and "gain/high" around it (95 %); "known/before/TASK" and "known/after/TASK", the
 * known tasks' main metrics (as in a fit) on the known rows; "seconds/all".
 * @{
 */

/** Release. NULL is fine. @since 0.1 */
MTL_API void mtl_report_destroy(mtl_report *report);
/** Number of entries; 0 for NULL. @since 0.1 */
MTL_API int64_t mtl_report_count(const mtl_report *report);
/** Name of an entry, NULL when out of range. @since 0.1 */
MTL_API const char *mtl_report_name(const mtl_report *report, int64_t index);
/** Type of an entry, MTL_TYPE_F64, _STR or _SERIES; 0 when there is none of that name. @since 0.1 */
MTL_API int32_t mtl_report_type(const mtl_report *report, const char *name);
/** A number; of a series the last one. @return MTL_OK; MTL_ERR_NAME; MTL_ERR_TYPE. @since 0.1 */
MTL_API mtl_status mtl_report_get_f64(const mtl_report *report, const char *name, double *value,
                                      mtl_error *err);
/** A series (a single number is a series of one). @param values Live as long as the report.
 *  @since 0.1 */
MTL_API mtl_status mtl_report_get_series(const mtl_report *report, const char *name, int64_t *count,
                                         const double **values, mtl_error *err);
/** A text. @since 0.1 */
MTL_API mtl_status mtl_report_get_str(const mtl_report *report, const char *name,
                                      const char **value, mtl_error *err);
/** Everything as one JSON object; a number that is not finite is null.
 *  @param text Release with mtl_free(). @since 0.1 */
MTL_API mtl_status mtl_report_to_json(const mtl_report *report, char **text, mtl_error *err);

/** @} */

/**
 * @defgroup training Training
 * @{
 */

/**
 * Train the model on every task in @p train: minimise sum over tasks of weight * mean loss over the
 * labels of the batch, plus the penalties "l1" and "l2" on the weights, by mini-batches. A task
 * without a label in a batch adds nothing to that step's gradient (its head may still move by the
 * optimizer's momentum); one without labels in all of the data keeps its head. Label columns that
 * the model has no task for are ignored.
 *
 * The first fit of a model also fits its pipeline, on the training rows only: the scaling of each
 * input ("scale_inputs", "scaler") and mean and standard deviation of each regression
 * or quantile target ("scale_targets"), and balanced class weights. Later fits keep it. An input becomes (x - center) / scale:
 * with "scaler" = standard by mean and standard deviation, robust by median and interquartile range
 * (quantiles linear between values; little moved by outliers), min_max by the middle and half of the
 * range, so that training rows lie in -1 .. 1, max_abs by 0 and the largest magnitude; auto is standard,
 * and max_abs for sparse inputs. A missing input becomes 0, the center. A column
 * without spread has scale 1. Missing values do not count. As scikit-learn's StandardScaler,
 * RobustScaler, MinMaxScaler(feature_range=(-1, 1)) and MaxAbsScaler. Two more give what has a bound,
 * and 0 for a column that was constant in the training rows, whatever it has in others: robust_clip
 * (RealMLP, Holzmueller et al. 2024) is robust, by half the range where the quartiles are equal, and
 * then z / sqrt(1 + (z / 3)^2), below 3 in magnitude; quantile is scikit-learn's
 * QuantileTransformer(output_distribution="normal") with a quantile for every 30 rows, 10 .. 1000 of
 * them, equal values having the mean of their ranks: standard normal numbers, at most 5.2 in magnitude.
 * Both need the training rows' inputs in memory (MTL_ERR_STATE); with quantile, steps take them from a
 * scaled copy, where there is memory for one.
 *
 * A step: the losses' gradient is cut to "clip_value", then to "clip_norm"; the penalties' gradient
 * is added (l1 and l2 together are the elastic net of Zou & Hastie 2005); the "optimizer" moves the
 * parameters at "learning_rate" times the factors of "schedule", "warmup" and "groups".
 *
 * "weighting" weighs the gradients of the tasks' losses (times the tasks' own weights) in the trunk by
 * the kinds of mtl_aggregate(), the default being their sum; heads, their own layers and the linear
 * skip always get their own gradient. "weighting_scope" = trunk compares the gradients by the trained
 * parameters of the trunk, at the cost of a quarter to two thirds of a step a task; = features those by
 * the trunk's output, for next to nothing under plain heads; = layer gives each layer of the trunk
 * weights of its own, from the gradients by its parameters alone (as GradVac of Wang et al. 2021 has
 * it), and takes the tasks' gradients apart down the trunk in every step. It is for kinds that compare
 * gradients, whose state each layer then has; "weight/TASK" is the mean over layers, "cosine/A/B" is of
 * all of them together. It is not for sparse inputs, nor the strategies coral and mmd. Memory: what
 * the network's parameters take, about twice, and 16 floats for each row of a step and task; a matrix
 * [rows of a step, widest layer] a task besides in a trunk of more than two dense layers, of other
 * layers, or under towers. Every "weighting_every" steps new weights are found; famo looks at the losses
 * of the batch once more behind such a step. A task without a label in the step takes no part. The scope
 * "trunk" of kinds that compare gradients is not for sparse inputs. graddrop, db_mtl and excess_mtl look
 * at every value: they take one way back for each task in each step, keep a gradient of the trunk for
 * each (the last two 8 bytes a value more), of tasks times parameters up to 4194304, and are for the
 * scope "trunk" and "weighting_every" = 1 alone, without sparse inputs and strategies that set rates of
 * tensors or penalties on the trunk's output. With everything in the trunk frozen there is nothing to
 * weigh.
 *
 * With "average" the averaged parameters are what is judged after an epoch, what early stopping picks
 * its best from, and what the model has in the end, also when the fit is stopped or diverges; the
 * steps go on from the parameters themselves, and "loss/train" is theirs. Running statistics of a
 * batch norm are averaged likewise. Before an average has begun ("swa") the parameters stand in for
 * it.
 *
 * An epoch has as many places for rows as @p train has rows, whatever the option "sampling": the
 * number of steps does not depend on it. "shuffle" gives every row one place. With "balanced:task=T"
 * (T binary or multiclass; by default the first such task with labels) rows without a label of T
 * keep one place each, and the classes that occur have equal shares of the others. With
 * "tasks:mix=M,t=T,limit=K" every row belongs to the one task that it has labels of, and a task of n
 * rows has a share proportional to min(n, K)^p (limit=0: n^p): p = 1 for mix=proportional, 1/2 for
 * sqrt, 0 for uniform and 1/T for temperature (Raffel et al. 2020, section 3.5.2); batches mix tasks
 * (Aghajanyan et al. 2021, "Muppet"). Shares are rounded up or down at random, so that they hold on
 * average over epochs. The rows of a class or task are all drawn equally often in an epoch, give or
 * take one, and all places are in random order. "sampling" needs "shuffle" = 1.
 *
 * "weighting" = "auto:folds=5" finds out which one serves. The training rows are parted at random (by
 * "seed") into so many folds, at most half the rows; on all but one of them copies of the model are
 * trained, one with each of sum, inverse_root and inverse (constant weights with the mean 1,
 * proportional to 1 / sqrt(L) and 1 / L, at most 100 times each other, L the task's last training loss
 * with the sum; over all folds their geometric mean), uw, imtl_l, gls, famo, upgrad and fairgrad;
 * the part left out judges them: each task by the difference of its loss and that with the sum, as a
 * share of the mean of both, all of them by the mean of these with the tasks' own weights. After three
 * folds the worse half of those beside the sum is out. The model is then fitted, as if the name had been given, with the best of
 * those that cost no more than the sum; with the best of all, where that compares gradients (upgrad,
 * fairgrad) and is better by more than one standard error. What does not serve is left out: a kind
 * that compares the parameters' gradients with sparse inputs, constant weights where a loss is 0 or
 * below, all but the sum for one task, without a trunk, for an ensemble in one network; what diverges,
 * or meets a loss below 0 that it cannot take, has lost. It costs 5 folds + 13 fits, 38 for 5 folds.
 * "time_limit" holds for all of it (half of it for the race with "judge", which then compares the
 * network as it is with the winner); without two folds it is the sum. The progress callback sees every
 * epoch of every copy; when it stops the race, the model is that of the sum after one epoch. Only
 * mtl_fit() takes it, without "checkpoint" and with at least 4 rows in memory; up to the last fit
 * nothing of the model changes.
 *
 * With "judge" = 1 the fit also says whether the tasks help each other. The training rows are parted at
 * random (by "seed") into "judge_folds" parts, at most half the rows; on all but one of them are
 * trained, with the same options and seed, the model's network ("shared"), a network of the same
 * layers for each task alone ("single"; of the rows with a label of it, in batches smaller by as much,
 * down to 4 rows, so that an epoch has as many steps) and, for each task, an exact linear model of the inputs with a
 * quadratic penalty chosen on left-out rows ("linear"; none for ordinal and quantile tasks, losses of
 * the caller's, sparse inputs); the part left out judges them by the task's loss, and the weighted
 * means of what shared and single predict ("mixture"; Breiman 1996, "Stacked regressions"), with a
 * quarter, half or three quarters of single. Each task takes that of shared and single whose mean loss
 * is lower, for neither is the simpler network; the best mixture in its place where that is better by
 * more than one standard error of the paired differences; and the linear model in place of either unless
 * that is better by more than one (Breiman et al. 1984, section 3.4.3). What was
 * chosen is trained on all rows. Where every task stays with the shared network, the model is what a
 * fit without "judge" gives, bit for bit; else it becomes one of members (mtl_model_create_average()):
 * the shared network if a task has it, alone or in a mixture, and one member for each other task and
 * each mixture.
 *
 * The grouping that it suggests comes from the shared network's last fit, which is watched as
 * mtl_task_affinity() watches one, every as many steps as there are tasks ("weighting_every", where that
 * is more): that costs about one fit of the network more, and memory for a trunk's gradient of each task.
 * Nothing else changes by it. "judge_groups" = 0 leaves it out; so do sparse inputs, an ensemble in one
 * network, more than 256 tasks, and a trunk of which nothing is trained.
 *
 * A fit with "judge" costs about judge_folds + 1 fits of the network and of one for each task. It
 * needs a model never trained; nothing of it changes before the end, so every failure, that of a
 * diverging network too, leaves it as it was. A candidate that diverges has lost. "time_limit" holds
 * for all of it: parts that cannot be finished are left out, and without two of them every task
 * stays with the shared network; a chosen network that it cuts is taken as it then stands. The progress callback sees the epochs of every network that is
 * trained; when it stops, the model is the shared network as it is after its first epoch, or, if that
 * was being trained, so far. An exception that leaves through it loses the memory of the networks.
 *
 * "preset" says how much the fit decides by itself. With plain it trains the network as it was built with
 * the options as they are. fast, good and best are rows of values for the options that the user did not
 * set ("preset/KEY" in the report, as mtl_options_set_str() and its kin take them, so that a row can be
 * taken and changed), and train candidates on parts of the rows:
 * - the rows are dealt into "folds" parts so that each has its share of every task's labels and classes
 *   (rarest first, after Sechidis et al. 2011); with "group_by" rows of one value of that label column
 *   stay together. A data set @p valid is the one part then.
 * - "folds_run" parts (0 = all) are left out in turn. On the others are trained the "candidates": pooled,
 *   one exact linear model of all regression tasks of one value under squared error, in units of each
 *   task's mean and deviation and with an intercept for each, where rows have at most two labels of such
 *   on average; linear, an exact linear model for each task (as for "judge"); shared, one network of all tasks: the model's
 *   own layers, or, for a model made without layers, "layers" under an ensemble of "members" (mini,
 *   mtl_spec_set_ensemble()); none where a loss is "ordinal"); numeric, of a model without layers, the same network
 *   behind an "embedding" of the columns of more than two values, if these are at most 32 and rows times
 *   these at most 160,000 (piecewise linear with 32 bins and 8 numbers:
 *   Gorishniy et al. 2022, "On embeddings for numerical features"), which goes no further where the first
 *   part says that it is worse by 2 %, as shared does where it is worse by 10 %; single, the network of shared (of a model without layers with a quarter of the
 *   members) for each of the first 16 tasks with at least 200 labels alone, which goes no further where
 *   the first part says that it is no match for the shared one; three such more than others, and no more
 *   are tried. "batch_size" (32 .. 256) and, where the row does not say them, "epochs", "members", "folds",
 *   "schedule" and "candidates" are by rows: good takes of 2,500 rows and more half of the epochs, and
 *   lets the rate fall in the second half of them.
 * - the part left out stops a network, and what is predicted of it judges: at the epoch that the other
 *   parts would have chosen, for its own best was chosen by the rows that judge.
 * - each task takes a mixture of its candidates (stacking, Breiman 1996, with weights that are a mean's):
 *   the best for all tasks together by their relative losses, nearer to the simplest (pooled or linear) as
 *   far as one standard error over parts allows, then the task's own as far as it has many labels beside 300. Losses are
 *   cross-entropy with the weights of classes, squared error (absolute for losses of that kind), pinball or
 *   Poisson's.
 * - the model becomes one of members (mtl_model_create_average()): for each part its networks, and linear
 *   models of all rows; a single member becomes the model as it is.
 * auto, the default, is good for a model that was made without layers, never trained, when the
 * options say nothing of how to train (only "seed", "time_limit" and those of presets are set) and there
 * are at least 20 dense rows in memory; else plain. A preset asked for by name needs a model never trained
 * and 4 rows in memory that are not sparse, "sampling" = shuffle, no "judge", no "checkpoint" and no loss of
 * the caller's. Nothing of the model changes before the end, so every failure leaves it as it was.
 * A candidate that diverges has lost. When "time_limit" is over or the callback stops, the mixture is
 * made of what is there. The callback sees the epochs of every network; an exception that leaves through
 * it loses the memory of the networks.
 *
 * @param model    Trained in place. No other call on it may run meanwhile.
 * @param train    n rows with the model's input columns and labels of at least one of its tasks.
 *                 Borrowed until return.
 * @param valid    Rows to judge on, or NULL: then the option "validation_split" decides. Borrowed
 *                 until return.
 * @param options  Of the group MTL_OPTIONS_FIT. NULL = defaults.
 * @param report   Out, may be NULL. Release with mtl_report_destroy().
 * @return MTL_OK, also when a deadline, early stopping or the callback ended it (see "reason");
 *         MTL_ERR_SHAPE; MTL_ERR_DATA without rows or labels; MTL_ERR_VALUE naming task, row and
 *         column of a label or input that cannot be; MTL_ERR_INVALID, MTL_ERR_RANGE for a "weighting"
 *         that does not serve; MTL_ERR_NOMEM; MTL_ERR_BUSY; all these leave the model as it was.
 *         MTL_ERR_DIVERGED: the parameters are those of the last epoch in which all was finite; so with
 *         MTL_ERR_VALUE where a weighting by losses meets one below 0, naming the task. With "judge"
 *         also MTL_ERR_STATE for a model that was trained before, and MTL_ERR_INVALID with "checkpoint"
 *         or "sampling"; streamed data is refused. With a preset likewise, and MTL_ERR_NAME for a
 *         "group_by" that the data does not have; MTL_ERR_DIVERGED when all networks of a task without
 *         a linear model do. With "weighting" = auto also MTL_ERR_INVALID with "checkpoint" or a preset,
 *         and MTL_ERR_DATA below 4 rows.
 * @note   Same seed, data and options give the same bits, whatever the thread count or CPU level.
 * @since 0.1
 */
MTL_API mtl_status mtl_fit(mtl_model *model, const mtl_dataset *train, const mtl_dataset *valid,
                           const mtl_options *options, mtl_report **report, mtl_error *err);

/**
 * Find a learning rate by a range test (Smith 2017): a fit on a copy of the model, with rates from
 * 1e-7 to 10 that grow by equal factors over 100 steps, ended early when the smoothed loss is four
 * times the lowest. Nothing of the model changes; what it computes depends on model, data and
 * options alone, so a fit afterwards has the bits that it would have had.
 *
 * The report has the series "learning_rate", "loss" (of each step) and "loss/smooth" (mean with
 * weights 0.9^age), "suggested" (the rate at which the smoothed loss falls fastest per factor of the
 * rate, NaN when it never falls) and "reason" ("steps", "diverged", "time_limit" or "cancelled").
 *
 * @param model    May be unfitted. Read only: other threads may predict with it meanwhile.
 * @param train    As for mtl_fit().
 * @param options  Of the group MTL_OPTIONS_FIT, those of the fit to come. NULL = defaults. Not
 *                 looked at: "learning_rate", "schedule", "warmup", "epochs", "average", "patience",
 *                 "train_metrics", "judge".
 * @param report   Release with mtl_report_destroy().
 * @return As mtl_fit(); MTL_ERR_INVALID for a "preset" by name, as from all calls that train one network;
 *         MTL_ERR_DIVERGED only when the first loss is not finite.
 * @since 0.1
 */
MTL_API mtl_status mtl_lr_find(const mtl_model *model, const mtl_dataset *train,
                               const mtl_options *options, mtl_report **report, mtl_error *err);

/**
 * What the tasks are to each other while they are trained together: a fit on a copy of the model, in
 * which each task's gradient in the trunk is looked at before each step (option "weighting_every" =
 * n: before each n-th). Nothing of the model changes, and the copy is trained with the bits of
 * mtl_fit().
 *
 * The report has, as means over the steps in which both tasks had labels and, for the first three, a
 * gradient that is not 0 (NaN without such a step), for tasks A before B
 *
 * - "cosine/A/B": of the angle between the gradients;
 * - "magnitude/A/B": 2 |a| |b| / (|a|^2 + |b|^2), 1 for gradients of equal length (Yu et al. 2020,
 *   "Gradient surgery for multi-task learning", definition 3);
 * - "conflict/A/B": 1 where the cosine is below 0, so the share of such steps (definition 1);
 *
 * and for all A and B, also A itself,
 *
 * - "affinity/A/B": 1 - L_B(after) / L_B(before), where `after` is the trunk after a step of plain
 *   gradient descent on A's loss alone, at the step's learning rate: above 0, learning A lowers the
 *   loss of B (Fifty et al. 2021, "Efficiently identifying task groupings for multi-task learning",
 *   equation 2). Steps where L_B is not above 0 or the quotient overflows are left out.
 *
 * Gradients and steps are of the losses times the tasks' weights, those of groups at their rates.
 * "group/TASK" is the number of the task's group, by mtl_task_groups() from these affinities with 0
 * for a task alone (and for a pair never seen together): the fewest groups whose score is at least
 * nine tenths of the best that any number has; "groups" their number, "groups/score" the score.
 * "observed" is the number of steps looked at; "reason", "epochs"
 * and "steps" are those of the fit.
 *
 * A step that is looked at costs a pass through the network and back for each task, and one through
 * it for each task again; memory is a copy of the trunk for each task.
 *
 * @param model    May be unfitted; 1 .. 256 tasks. Read only: other threads may predict with it
 *                 meanwhile.
 * @param train    As for mtl_fit(); sparse inputs are refused.
 * @param options  Of the group MTL_OPTIONS_FIT. NULL = defaults. "train_metrics" is not looked at.
 * @param report   Release with mtl_report_destroy().
 * @return As mtl_fit(); MTL_ERR_INVALID with "judge" or "checkpoint", for sparse inputs and where no
 *         tensor of the trunk is trained; MTL_ERR_RANGE for more tasks; MTL_ERR_STATE for an ensemble in
 *         one network.
 * @note   Same seed, data and options give the same bits, whatever the thread count or CPU level.
 * @since 0.1
 */
MTL_API mtl_status mtl_task_affinity(const mtl_model *model, const mtl_dataset *train,
                                     const mtl_options *options, mtl_report **report,
                                     mtl_error *err);

/**
 * One pass over rows of a stream: the optimizer goes on from the last call (its moments, the number of
 * steps), so many calls train as one long run does. The first call fits the pipeline on its rows. What
 * the optimizer goes on from stays with the model until that is destroyed; it is not saved, and a
 * clone starts without it.
 * @param data     As in mtl_fit().
 * @param options  Of the group MTL_OPTIONS_FIT. "epochs" and "patience" do not count; a "schedule",
 *                 "average", "checkpoint" or "validation_split" is refused, as a stream has no end.
 * @return As mtl_fit().
 * @since 0.1
 */
MTL_API mtl_status mtl_partial_fit(mtl_model *model, const mtl_dataset *data,
                                   const mtl_options *options, mtl_report **report, mtl_error *err);

/**
 * Take up a run from the file that the option "checkpoint" or mtl_trainer_checkpoint() had written,
 * and run it to its end with the options it had. The result has the bits of a run that was never
 * stopped, wherever it was: parameters, report (but "seconds"), everything.
 * @param path     Also a model file: mtl_model_load() reads the model as it stood.
 * @param train    The same data as then, in value; so is @p valid, NULL if it was NULL.
 * @param options  Of the group MTL_OPTIONS_FIT, or NULL: only its progress callback and "time_limit"
 *                 count, for this part of the run.
 * @param out      The trained model. Release with mtl_model_destroy().
 * @return As mtl_fit() and mtl_model_load(); MTL_ERR_DATA when the data are others; MTL_ERR_VERSION
 *         for a file of another version of the library, which could not give the same bits.
 * @since 0.1
 */
MTL_API mtl_status mtl_resume(mtl_context *ctx, const char *path, const mtl_dataset *train,
                              const mtl_dataset *valid, const mtl_options *options, mtl_model **out,
                              mtl_report **report, mtl_error *err);

/**
 * mtl_fit() by parts, for callers who want to be asked nothing: create, step or epoch until *more is
 * 0, finish. In any parts it gives the bits of mtl_fit().
 *
 * The model is claimed until finish, failure or destroy; other writers get #MTL_ERR_BUSY, and it must
 * not be read meanwhile. If the model is destroyed first, the trainer's calls give #MTL_ERR_STATE. The
 * data set handles may be destroyed after create; arrays that they borrow must stay.
 * @param out  Release with mtl_trainer_destroy().
 * @return As mtl_fit().
 * @since 0.1
 */
MTL_API mtl_status mtl_trainer_create(mtl_model *model, const mtl_dataset *train,
                                      const mtl_dataset *valid, const mtl_options *options,
                                      mtl_trainer **out, mtl_error *err);
/**
 * Take up to @p steps optimizer steps; what follows the end of an epoch (validation, early stopping)
 * belongs to its last step.
 * @param more  Out, may be NULL: 1 while there is more to do, 0 when the run has come to its end.
 * @return MTL_OK; MTL_ERR_DIVERGED and MTL_ERR_IO of a checkpoint, which end the run as in mtl_fit();
 *         MTL_ERR_STATE after that.
 * @since 0.1
 */
MTL_API mtl_status mtl_trainer_step(mtl_trainer *trainer, int64_t steps, int32_t *more,
                                    mtl_error *err);
/** Go on to the end of the running epoch. @return As mtl_trainer_step(). @since 0.1 */
MTL_API mtl_status mtl_trainer_epoch(mtl_trainer *trainer, int32_t *more, mtl_error *err);
/**
 * A figure of the run so far: "epochs" (finished), "step", "steps" (planned), "loss/train" (of the
 * running epoch so far), "loss/valid", "learning_rate", "seconds", "rows_per_second", "seconds_left"
 * (at this speed, to the planned end), or the latest value of a series of the report ("loss/train/TASK",
 * "metric/NAME/TASK").
 * @param value  NaN where there is none yet.
 * @return MTL_OK; MTL_ERR_NAME; MTL_ERR_STATE.
 * @since 0.1
 */
MTL_API mtl_status mtl_trainer_metric(const mtl_trainer *trainer, const char *name, double *value,
                                      mtl_error *err);
/** Write the run as it stands, for mtl_resume(). The first call reads all data once, for their
 *  fingerprint. @return MTL_OK; MTL_ERR_IO; MTL_ERR_NOMEM; MTL_ERR_DIVERGED when a parameter is
 *  infinite or not a number; MTL_ERR_STATE, also for a task with a loss of
 *  the caller's own (mtl_model_set_loss()), which no file can hold: a fit with the option "checkpoint"
 *  refuses it likewise. @since 0.1 */
MTL_API mtl_status mtl_trainer_checkpoint(mtl_trainer *trainer, const char *path, mtl_error *err);
/**
 * End the run, also before its planned end (reason "cancelled"): the model gets the parameters that
 * mtl_fit() would leave, and is free again.
 * @param report  Out, may be NULL. Release with mtl_report_destroy().
 * @return MTL_OK; MTL_ERR_STATE.
 * @since 0.1
 */
MTL_API mtl_status mtl_trainer_finish(mtl_trainer *trainer, mtl_report **report, mtl_error *err);
/** Release, after finishing a run that was not. NULL is fine. @since 0.1 */
MTL_API void mtl_trainer_destroy(mtl_trainer *trainer);

/** @} */

/**
 * @defgroup calibrate Calibrate
 * @{
 */

/**
 * Learn from rows that no fit has seen how far the model's probabilities and values can be trusted.
 * The result is part of the model: every prediction and evaluation uses it, mtl_model_save() and
 * mtl_model_clone() keep it. It is of these weights: mtl_fit(), mtl_partial_fit(), mtl_trainer_create()
 * and mtl_model_tensor_set() drop it, a model that mtl_transfer() makes has none. Predictors keep what
 * they were made with.
 *
 * Methods, an option for each kind of task:
 * - "temperature" (default of class tasks): the logits of a task times 1 / T, with the T in 0.01 ..
 *   100 that makes the log loss of the rows least (Guo et al. 2017, section 4.2); their log loss never
 *   rises, and no decision of a multiclass task changes.
 * - "platt" (binary, multilabel): slope times logit plus shift for each output, of least log loss
 *   towards Platt's smoothed labels, (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) with n0 and n1 the weights
 *   of both labels (Platt 1999; Lin, Lin & Weng 2007).
 * - "conformal" (default of regression): intervals for mtl_predict_interval() whose half width is, for
 *   each output, the ceil((n + 1) coverage)-th smallest |label - prediction| of n rows with a label
 *   (split conformal: Vovk et al. 2005; Lei et al. 2018). A new row from where the held-out rows came
 *   lies inside with probability "coverage" at least, whatever the model. Infinite, with a warning in
 *   the log, when that number exceeds n: n < coverage / (1 - coverage). Weights count as 0 or 1.
 * - "none": takes away what tasks of the kind had.
 *
 * Ordinal tasks, counts and quantiles are left as they are.
 *
 * A task without labels in the rows keeps what it had.
 * @param model     No other call on it may run meanwhile.
 * @param held_out  Borrowed until return. Missing labels and row weights as in mtl_fit().
 * @param options   Of the group MTL_OPTIONS_CALIBRATE. NULL = defaults.
 * @param report    Out, may be NULL. Release with mtl_report_destroy().
 * @return MTL_OK; MTL_ERR_STATE for a model never fitted; MTL_ERR_SHAPE; MTL_ERR_DATA without rows or
 *         labels; MTL_ERR_VALUE; MTL_ERR_NOMEM; MTL_ERR_BUSY. On failure the model is as it was.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_calibrate(mtl_model *model, const mtl_dataset *held_out,
                                       const mtl_options *options, mtl_report **report,
                                       mtl_error *err);

/**
 * The best members of an ensemble (mtl_spec_set_ensemble()) as a model of their own, which predicts as
 * much faster as it has fewer. They are chosen by rows that no fit has seen, greedily (Caruana,
 * Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models"; for TabM in
 * Gorishniy, Kotelnikov & Babenko 2025): first the one that predicts best alone, then the one that makes
 * the mean of those chosen best, until none makes it better. What is compared is the mean over tasks with
 * labels of the mean loss of what mtl_predict() gives (cross-entropy of classes, squared error of values,
 * absolute error, pinball or Poisson's loss where the task has such), each as a share of that of all
 * members; of equal ones the first counts.
 *
 * Two and more remain an ensemble in one network and can be trained further. One alone becomes a plain
 * network, its factors multiplied into the matrices: its predictions are those of the member up to
 * rounding, and it costs what a network without an ensemble does. The tensors of the result have the
 * names that they would have in a model made so. It is not calibrated, nothing is frozen.
 * @param model     Fitted. Not changed.
 * @param held_out  Borrowed until return. Missing labels and row weights as in mtl_fit().
 * @param most      Members to keep at most, 1 .. all.
 * @param out       Release with mtl_model_destroy().
 * @param report    May be NULL. "loss" and "loss/TASK" of the result on @p held_out, as mtl_evaluate()
 *                  has them, "loss_of_all" and "loss_of_all/TASK" of the model given, and the series
 *                  "member", the numbers of those kept in the order in which they were chosen.
 * @return MTL_OK; MTL_ERR_STATE for a model without such an ensemble or never fitted, or, for one member
 *         alone, where a norm stands between its factors and the next dense layer; MTL_ERR_RANGE for
 *         @p most; what mtl_evaluate() gives for data that do not fit; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_prune(const mtl_model *model, const mtl_dataset *held_out, int64_t most,
                                   mtl_model **out, mtl_report **report, mtl_error *err);

/**
 * One plain network that learns what a model predicts, to predict as fast as one network does: of a
 * preset's members, of an ensemble, or of a larger network (Bucila, Caruana & Niculescu-Mizil 2006, "Model
 * compression"; Hinton, Vinyals & Dean 2015, equation 1 at temperature 1). In every step, for each task and
 * all rows of the batch, labelled or not, the gradient is that of the mean over rows of the cross-entropy
 * towards the teacher's probabilities (of binary and multiclass tasks and labels; with the loss
 * "ordinal" that loss of each class, weighed by its probability), of other kinds that of the mean squared
 * difference of the network's outputs, standardised, to those that would give the teacher's prediction.
 * Labels of @p train are not looked at, and its row weights do not count.
 *
 * The network: where the teacher is a network of its own, that without its ensemble; of a preset's members,
 * and where the option "layers" is set, the trunk that "layers" says, behind the embedding "embedding" of the
 * numeric columns that a member embeds; categories are numbers to it. Options that are not set are those of the preset "good" (mtl_fit()). The
 * epoch that is kept is the best on the validation rows, by their labels.
 * @param teacher  Fitted. Not changed.
 * @param train    Dense or sparse rows in memory; need not have labels. Borrowed until return.
 * @param valid    Rows with labels that the teacher has not learned from, or its loss is too small. NULL =
 *                 a part of @p train by "validation_split", without that a fifth, at random.
 * @param options  Of the group MTL_OPTIONS_FIT, without a preset by name. NULL = defaults.
 * @param out      Release with mtl_model_destroy().
 * @param report   May be NULL. That of the fit, whose "loss/train" and metrics of training rows are against
 *                 the teacher's decisions, and "student/loss", "student/loss/TASK", "teacher/loss" and
 *                 "teacher/loss/TASK", what mtl_evaluate() gives as "loss" on the validation rows.
 * @return MTL_OK; MTL_ERR_STATE for a teacher never fitted; MTL_ERR_INVALID without validation rows or for a
 *         preset; what mtl_fit() gives for options and data that do not fit. On failure @p out and
 *         @p report are as they were.
 * @note Same teacher, seed, data and options give the same bits, whatever the thread count or CPU level.
 * @since 0.1
 */
MTL_API mtl_status mtl_model_distil(const mtl_model *teacher, const mtl_dataset *train,
                                    const mtl_dataset *valid, const mtl_options *options,
                                    mtl_model **out, mtl_report **report, mtl_error *err);

/** @} */

/**
 * @defgroup predict Predict
 * Safe from any number of threads on one model that nobody changes meanwhile. A row's result does
 * not depend on the rows around it.
 * @{
 */

/**
 * Predict all tasks side by side, in the order of mtl_model_task_name().
 * @param x    [rows, inputs], NaN = missing.
 * @param out  [rows, mtl_model_outputs()]: probabilities for class tasks, label units for regression
 *             and quantile, the mean for count.
 * @return MTL_OK; MTL_ERR_SHAPE for a bad stride or row count; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_predict(const mtl_model *model, int64_t rows, const float *x,
                               int64_t x_stride, float *out, int64_t out_stride, mtl_error *err);
/**
 * The same for sparse inputs, with the bits that the dense rows would give.
 * @param indptr, indices, values  As in mtl_dataset_create_csr(), with the model's input columns.
 * @return As mtl_predict(); MTL_ERR_STATE for a model that cannot have sparse inputs: see
 *         mtl_dataset_create_csr(); also when its scaling moves 0, as that fitted on dense inputs does
 *         unless "scaler" is max_abs or "scale_inputs" 0; MTL_ERR_RANGE and MTL_ERR_VALUE as there.
 * @since 0.1
 */
MTL_API mtl_status mtl_predict_csr(const mtl_model *model, int64_t rows, const int64_t *indptr,
                                   const int32_t *indices, const float *values, float *out,
                                   int64_t out_stride, mtl_error *err);
/** Predict one task: @p out [rows, mtl_model_task_outputs()]. @return As mtl_predict();
 *  MTL_ERR_RANGE for an unknown task number. @since 0.1 */
MTL_API mtl_status mtl_predict_task(const mtl_model *model, int64_t task, int64_t rows,
                                    const float *x, int64_t x_stride, float *out,
                                    int64_t out_stride, mtl_error *err);

/**
 * Predict the interval of each value of a regression task, see mtl_model_calibrate(): what
 * mtl_predict_task() gives less and plus half the width.
 * @param x      [rows, inputs], NaN = missing.
 * @param lower  [rows, mtl_model_task_outputs()], label units; minus infinity with too few rows.
 * @param upper  The same; not the memory of @p lower.
 * @return As mtl_predict_task(); MTL_ERR_STATE when the task has no intervals.
 * @since 0.1
 */
MTL_API mtl_status mtl_predict_interval(const mtl_model *model, int64_t task, int64_t rows,
                                        const float *x, int64_t x_stride, float *lower,
                                        float *upper, int64_t out_stride, mtl_error *err);

/**
 * A predictor: a copy of a model's weights and pipeline, laid out for prediction, with the memory
 * that a prediction needs. For programs that predict often, few rows at a time above all: a run
 * gives the bits of mtl_predict() and allocates nothing, takes no lock and starts no thread.
 *
 * It is the model as it stands now. What becomes of the model later, training, mtl_model_tensor_set()
 * or its end, a predictor does not see and is not disturbed by.
 *
 * Threads: one run at a time on each predictor; make one for each thread. Any number may be made of
 * one model, at once too, while nobody changes the model.
 * @param block_rows  Rows that run through the network together, 0 .. 16777216; 0 = as many as run
 *                    fast. The memory grows with it: besides the weights about block_rows * (inputs
 *                    + twice the widest layer) floats. 1 is enough for single rows.
 * @param out         Release with mtl_predictor_destroy().
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_predictor_create(const mtl_model *model, int64_t block_rows,
                                        mtl_predictor **out, mtl_error *err);
/**
 * Predict all tasks side by side, as mtl_predict().
 * @param rows  Any number; more than block_rows are done in blocks, and the result is the same.
 * @param x     [rows, inputs] of the model, NaN = missing.
 * @param out   [rows, mtl_model_outputs()]. Not the memory of @p x.
 * @return MTL_OK; MTL_ERR_SHAPE for a bad stride or row count; MTL_ERR_INVALID for NULL. With good
 *         arguments it cannot fail.
 * @since 0.1
 */
MTL_API mtl_status mtl_predictor_run(mtl_predictor *predictor, int64_t rows, const float *x,
                                     int64_t x_stride, float *out, int64_t out_stride,
                                     mtl_error *err);
/** Release. NULL is fine; the model may be gone already. @since 0.1 */
MTL_API void mtl_predictor_destroy(mtl_predictor *predictor);

/** @} */

/**
 * @defgroup evaluate Evaluate
 * @{
 */

/**
 * Judge the model on rows with labels: per task loss and metrics. An undefined figure (ROC AUC with
 * one class only) is NaN.
 * @param options  Of the group MTL_OPTIONS_EVALUATE; "metrics" lists those of mtl_metric(); each
 *                 is told of the tasks whose kind it serves. "auto", the default, is accuracy, f1,
 *                 roc_auc and log_loss for class tasks, rmse, mae and r2 for all others; "auto mcc"
 *                 adds to them.
 * @param report   Release with mtl_report_destroy().
 * @return MTL_OK; MTL_ERR_SHAPE; MTL_ERR_DATA when no task has labels; MTL_ERR_VALUE; MTL_ERR_NOMEM;
 *         MTL_ERR_STATE when a loss of the caller's own did not go on.
 * @since 0.1
 */
MTL_API mtl_status mtl_evaluate(const mtl_model *model, const mtl_dataset *data,
                                const mtl_options *options, mtl_report **report, mtl_error *err);

/**
 * One metric on raw arrays. A class is decided for by a probability above 0.5, or by the highest one
 * (the first of equals). Labels of value NaN are skipped; rows of weight 0 count nothing.
 *
 * Of classes; "(*)" = has a standard error:
 * - "accuracy" (*): share of the labels that are decided right.
 * - "balanced_accuracy" (*): mean recall of the classes that have labels; two at least.
 * - "precision" (*), "recall" (*), "f1" (*), ":average=binary|macro|micro|weighted": hits / decided,
 *   hits / labelled, 2 hits / (decided + labelled). "binary": of class 1, needs two classes; "macro":
 *   mean over classes (multilabel: outputs), "weighted": by the weight of their labels, both without
 *   the classes whose figure is 0 / 0 (scikit-learn's zero_division=nan); "micro": of the sums. By
 *   default "binary" with two classes, else "macro".
 * - "mcc" (*): correlation of decisions and labels (Matthews 1975; Gorodkin 2004 for more classes).
 *   Undefined where either is always the same.
 * - "roc_auc:average=macro" (*): area under the ROC curve, ties counting half. Multiclass: each class
 *   against the rest. "macro" (default) is the mean over the classes or outputs in which both
 *   outcomes occur, "weighted" that by the weight of their positive rows.
 * - "average_precision:average=macro": sum of precision times growth of recall, equal scores being
 *   one step; averages as above, over those with positive rows.
 * - "log_loss" (*), "brier" (*), "ece": want probabilities. brier is the squared error of the
 *   probability; of more than two classes its sum over them (Brier 1950), 0 .. 2.
 * - "ece:bins=10": expected calibration error, the mean distance of probability and outcome in bins
 *   (i / bins, (i + 1) / bins]. Multiclass: of the class decided for (Guo et al. 2017, equation 3);
 *   else of the probability of 1, the mean over outputs (Naeini et al. 2015).
 * - "top_k:k=5" (*): multiclass only; share of the rows whose class is among the k most likely. Of
 *   equal probabilities the later classes come first, as in scikit-learn.
 *
 * Of values; several columns give the mean of their figures:
 * - "rmse" (*), "mae" (*); "median_error": median of |error|, with weights the error up to which half
 *   of the weight lies (the middle where that is an interval).
 * - "r2"; "relative_rmse": rmse divided by the rmse of predicting the mean label of these rows, which
 *   is sqrt(1 - r2). Both undefined where all labels are equal.
 * - "pinball:q=0.5" (*): mean of q (y - p) above and (1 - q) (p - y) below the prediction (Koenker &
 *   Bassett 1978).
 * - "poisson_deviance" (*): mean of 2 (y log(y / p) - y + p). NaN when a label is below 0 or a
 *   prediction not above 0.
 *
 * Standard errors: of means the ratio estimate sqrt(sum of (w (s - R m))^2) / sum of w m over rows
 * with sums s over m labels (Cochran 1977, section 2.11), through the root for rmse; where losses are
 * averaged times sqrt(n / (n - 1)), n = (sum w)^2 / sum w^2. Of roc_auc by DeLong et al. (1988). Of
 * the others by the infinitesimal jackknife, sqrt(sum of (w d value / d w)^2) (Efron 1982). Outputs of
 * a row are never taken as independent.
 *
 * @param name            A metric with parameters, "ece" or "ece:bins=15".
 * @param outputs         Columns of @p predicted, as mtl_predict() gives them: 1 column is the
 *                        probability of class 1, or a value.
 * @param label           [rows, label_cols]: a class number with label_cols = 1 and outputs classes
 *                        (or outputs = 1 and 0/1), else one column per output. NaN = skip.
 * @param weight          [rows] or NULL.
 * @param value           The figure; NaN where it is undefined, with MTL_OK.
 * @param standard_error  May be NULL; NaN where none is defined.
 * @return MTL_OK; MTL_ERR_NAME for an unknown metric or parameter; MTL_ERR_SHAPE, also for a metric or
 *         average that does not serve such columns; MTL_ERR_VALUE naming row and column of a label,
 *         weight or probability that cannot be; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_metric(const char *name, int64_t rows, int64_t outputs,
                              const float *predicted, int64_t predicted_stride, int64_t label_cols,
                              const float *label, int64_t label_stride, const float *weight,
                              double *value, double *standard_error, mtl_error *err);

/** @} */

/**
 * @defgroup aggregate Aggregate
 * From the gradients g_i of m tasks to one update, sum of w_i g_i, without any model. J is the matrix
 * of the gradients [m, n], G = J J^T its Gramian. A kind is a text, with parameters behind a colon:
 * "upgrad", "cagrad:c=0.4,rescale=1", "config:pref=1/2/1". The first value below is the default.
 *
 * Kinds that look at nothing:
 * - "sum", "mean"; "constant:weights=1/1/..."; "rlw": softmax of standard normal numbers, drawn by seed
 *   and step (Lin et al. 2022).
 *
 * Kinds of G (the Jacobian will do). Rows of zeroes are left out as if they were not there. All but
 * aligned_mtl are solved for rows of length 1, so that no task is too small to count:
 * - "mgda:normalise=none|l2|loss": the point nearest to 0 of the convex hull of the gradients, as they
 *   are, of length 1, or over their losses; weights sum to 1 (Désidéri 2012; Sener & Koltun 2018).
 * - "pcgrad:order=seed|mean|ascending|descending": the sum of the gradients after each was projected
 *   off those it conflicts with, in an order by seed and step, in all orders (the mean, for up to 10
 *   tasks), or in that of the tasks (Yu et al. 2020).
 * - "gradvac:beta=0.5": the same towards the cosine that two tasks usually have, an exponential average
 *   (Wang et al. 2021). Has state.
 * - "cagrad:c=0.4,rescale=0|1|2": with the mean g0, the g that maximises the least <g_i, g> within
 *   c |g0| of g0; over 1, 1 + c^2 or 1 + c (Liu et al. 2021).
 * - "imtl_g": equal projections on all unit gradients, weights sum to 1 (Liu et al. 2021). Where there
 *   is none, as mgda.
 * - "nash:max_norm=1": G w = 1 / w for G over its Frobenius norm, the update cut to max_norm, 0 = not
 *   (Navon et al. 2022). "fairgrad:alpha=1": G w = w^(-1/alpha), alpha 0.1 .. 100 (Ban & Ji 2024).
 * - "aligned_mtl:mode=min|median|rmse,pref=1/m/...": w = sigma G^(-1/2) pref, sigma^2 the least, median
 *   or mean eigenvalue that is not 0 (Senushkin et al. 2023).
 * - "upgrad:pref=1/m/...": the sum by pref of the gradients, each projected on the cone of directions
 *   that make no task worse (Quinton & Rey 2024). "dualproj:pref=1/m/...": the projection of their sum
 *   by pref (Lopez-Paz & Ranzato 2017).
 * - "config:pref=1/1/...": the direction whose cosines with the gradients stand as pref, as long as
 *   their parts along it together (Liu et al. 2024).
 * - "gradnorm:alpha=1.5,rate=1": weights of sum m by which |w_i g_i| stand as the tasks' relative
 *   losses L_i / L_i(first step) to the power alpha, approached by this rate (Chen et al. 2018, whose
 *   objective is 0 there). Wants losses, has state.
 * - "gated:main=1/1/...,decay=0.9": the tasks with a main above 0 count 1, and so does another as long as
 *   the cosine of its gradient and their sum, an exponential average, is not below 0; else 0 (Du et al.
 *   2018, the unweighted form). Has state. "a_gem:main=1/1/...": the main tasks count 1, of the others'
 *   sum r as much as makes the update g with g'r = 0 where the main tasks' gradient has g'r < 0, else none
 *   (Chaudhry et al. 2019, equation 11).
 *
 * Kinds of J itself, which make the update too:
 * - "graddrop:leak=0": of each value the parts of one sign, drawn by their share (Chen et al. 2020);
 *   as weight the share of a gradient's square that stayed.
 * - "db_mtl:beta=0.9,sigma=0": gradients of log losses, averaged with beta / step^sigma, all brought to
 *   the length of the longest; weights are of the averages (Lin et al. 2023). "excess_mtl:eta=0.01":
 *   weights grow with the excess risk of a task (He et al. 2024). Both have state as large as J.
 *
 * Kinds of the losses alone:
 * - "uw:rate=0.01": sum of L e^-s / 2 + s / 2 (Kendall et al. 2018). "imtl_l:rate=0.01": sum of e^s L - s
 *   (Liu et al. 2021). s, from 0, follows by Adam at this rate. State.
 * - "dwa:temperature=2,every=0": m softmax(r / T), r the ratio of the mean losses of the last two epochs
 *   (Liu, Johns & Davison 2019); every = the steps of an epoch, 0 = 1, in a fit the epoch. State.
 * - "gls": geometric mean of the losses (Chennupati et al. 2019).
 * - "stch:mu=1,warm_up=0": mu log sum of exp(L / mu) (Lin et al. 2024); after so many steps of
 *   warm-up on log losses m times that of log(L / mean loss of the warm-up). State.
 * - "famo:rate=0.025,decay=0.001": (Liu et al. 2023). State; mtl_aggregator_feedback() moves it.
 *
 * Always finite: of a Pareto point (a convex combination of gradients that is 0) the update is 0 or no
 * worse for any task, up to rounding, with mgda, upgrad, dualproj, nash and fairgrad, and the residual
 * says how well the kind's equations could be met. Up to 64 tasks solutions are exact to rounding;
 * beyond, to 1000, likewise, and upgrad then takes long. The bits depend on nothing but the arguments.
 *
 * Threads: one call at a time for a handle; the functions without one may run anywhere.
 * @{
 */

/**
 * One step, the first of a fresh handle with seed 0.
 * @param m         Tasks, 1 .. 65536.
 * @param jacobian  [m, n], row i the gradient of task i. May be NULL for kinds that do not look at it
 *                  when @p update is NULL.
 * @param losses    [m] or NULL; a kind that wants them says so. NaN = the task takes no part: its row is
 *                  not read and its weight is 0.
 * @param weights   [m], may be NULL.
 * @param update    [n], may be NULL.
 * @param residual  May be NULL: how far the kind's optimality conditions are missed, relative; 0 for
 *                  those that solve nothing.
 * @return MTL_OK; MTL_ERR_NAME for an unknown kind; MTL_ERR_RANGE for a parameter; MTL_ERR_SHAPE;
 *         MTL_ERR_INVALID for losses that are needed and not there; MTL_ERR_VALUE naming row and
 *         column, or task; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_aggregate(const char *kind, int64_t m, int64_t n, const float *jacobian,
                                 int64_t row_stride, const double *losses, double *weights,
                                 float *update, double *residual, mtl_error *err);
/**
 * The same from the Gramian alone.
 * @param gram  [m, m]. May be NULL for kinds that do not look at it.
 * @return As mtl_aggregate(); MTL_ERR_INVALID for a kind of the Jacobian; MTL_ERR_VALUE for a matrix
 *         that is not symmetric or has an entry that no Gramian has.
 * @since 0.1
 */
MTL_API mtl_status mtl_aggregate_gram(const char *kind, int64_t m, const double *gram,
                                      int64_t row_stride, const double *losses, double *weights,
                                      double *residual, mtl_error *err);

/** What a kind remembers from step to step. Opaque. */
typedef struct mtl_aggregator mtl_aggregator;

/**
 * @param n     Length of the gradients; 0 where only mtl_aggregator_step_gram() will be called.
 * @param seed  Of kinds that draw, 0 .. 9007199254740991.
 * @param out   Release with mtl_aggregator_destroy().
 * @return As mtl_aggregate().
 * @since 0.1
 */
MTL_API mtl_status mtl_aggregator_create(const char *kind, int64_t m, int64_t n, uint64_t seed,
                                         mtl_aggregator **out, mtl_error *err);
/** The next step, as mtl_aggregate(). After a failure nothing has changed. @since 0.1 */
MTL_API mtl_status mtl_aggregator_step(mtl_aggregator *agg, const float *jacobian,
                                       int64_t row_stride, const double *losses, double *weights,
                                       float *update, double *residual, mtl_error *err);
/** The next step, as mtl_aggregate_gram(). @since 0.1 */
MTL_API mtl_status mtl_aggregator_step_gram(mtl_aggregator *agg, const double *gram,
                                            int64_t row_stride, const double *losses,
                                            double *weights, double *residual, mtl_error *err);
/**
 * Tell the losses after the update, of the same rows as those before it ("famo"). Other kinds do not
 * listen.
 * @param losses  [m]; NaN = unknown.
 * @return MTL_OK; MTL_ERR_INVALID.
 * @since 0.1
 */
MTL_API mtl_status mtl_aggregator_feedback(mtl_aggregator *agg, const double *losses,
                                           mtl_error *err);
/** Back to the state of a new handle. NULL is fine. @since 0.1 */
MTL_API void mtl_aggregator_reset(mtl_aggregator *agg);
/** Kind, seed and state as bytes. @param buffer Release with mtl_free(). @since 0.1 */
MTL_API mtl_status mtl_aggregator_save_buffer(const mtl_aggregator *agg, void **buffer,
                                              int64_t *bytes, mtl_error *err);
/**
 * A handle that goes on with the bits of the one that was saved. Safe with hostile bytes.
 * @return MTL_OK; MTL_ERR_FORMAT; MTL_ERR_CHECKSUM; MTL_ERR_VERSION; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_aggregator_load_buffer(const void *buffer, int64_t bytes,
                                              mtl_aggregator **out, mtl_error *err);
/** Release. NULL is fine. @since 0.1 */
MTL_API void mtl_aggregator_destroy(mtl_aggregator *agg);

/**
 * Which tasks to train together: the partition of the tasks into groups that has the highest score.
 * A group of one scores affinity[i, i] (0 = alone is neither good nor bad); a larger one the sum, over
 * its tasks, of the mean affinity of its other tasks to the task. So are groups scored by Fifty et
 * al. 2021 ("Efficiently identifying task groupings for multi-task learning", section 3.2); each task
 * is in one group alone here, while theirs, and those of Standley et al. 2020, may be trained with
 * tasks that another group serves.
 *
 * Up to 12 tasks the answer is the best of all partitions, among equal ones one with the fewest groups.
 * Beyond, groups are merged two at a time, those that gain most first, as long as there are too many or
 * one gains at all; then single tasks move, the best move first, until none gains. The same affinities
 * always give the same groups.
 *
 * @param tasks        1 .. 1000.
 * @param affinity     [tasks, tasks]: what task i (row) does for task j (column); above 0 = good. Such
 *                     as mtl_task_affinity() gives. Need not be symmetric.
 * @param row_stride   In elements.
 * @param most_groups  0 = any number.
 * @param group        Out, [tasks]: numbers from 0 in the order of the groups' first tasks.
 * @param score        Out, may be NULL.
 * @return MTL_OK; MTL_ERR_RANGE; MTL_ERR_SHAPE; MTL_ERR_INVALID; MTL_ERR_VALUE naming the pair for an
 *         affinity that is NaN or beyond 1e150 in size; MTL_ERR_NOMEM.
 * @since 0.1
 */
MTL_API mtl_status mtl_task_groups(int64_t tasks, const double *affinity, int64_t row_stride,
                                   int64_t most_groups, int64_t *group, double *score,
                                   mtl_error *err);

/** @} */

/**
 * @defgroup transfer Transfer
 * @{
 */

/**
 * Move what @p source has learned to new tasks: the label columns of @p target that the source has
 * no task for (but that of the option "group_by"). The result has the source's tasks and the new
 * ones (strategy "scratch": the new ones only); the source is not changed. A target that has labels of
 * the source's tasks alone is a new domain of these, see below.
 *
 * With the strategy "auto" every candidate and every simple answer is scored on folds of the
 * target's rows (stratified by the first new task's classes, or by the groups of "group_by";
 * repeated where there are few), each with a path of penalties or of lengths of training. With
 * @p known also on simulated transfers: up to "simulations" known tasks, of the new one's kind where
 * there are some, are taken for new ones with as many rows as the target has, on a trunk trained
 * without them. Errors are squared ones, of probabilities for classes, as a share of the labels'
 * variance. Labels that are all the same are measured as they are, values by their square, and no
 * simulation is judged by such. A task without a label, in the target or in what a fold leaves to learn
 * from, is predicted as 0 or by even odds where a strategy has exact heads. Scalers, folds and choices
 * see rows of @p target and @p known alone, and no label of a new task in @p known is looked at.
 *
 * Taken is what has the least error expected (stacking: Wolpert 1992; no weight below 0: Breiman 1996):
 * an average of exact heads, which is one plain model (of class tasks the mean is of logits), or
 * another strategy alone. With the option "members" above 1 it is an average of at most so many models,
 * found one after the other as long as it helps: with few rows somewhat better, a model of members
 * (mtl_model_create_average()), which costs as much as these and cannot be trained on. Expected is a
 * times the error on the n own rows (groups, with "group_by") plus 1 - a times that in simulations, a =
 * n / (n + m), where simulations count as m = 200 rows times the share of the target's rows that they had
 * (known tasks may have too few), divided by 1 + z^2 where what they would take is z standard errors
 * worse on the own rows than what these would take; a = 0 where all own labels are the same. Own errors of single candidates are taken a standard error higher than they are. With
 * simulations, and in a new domain, weights are drawn to the best floor ("constant", "linear", "as_is",
 * "statistics", "scratch") by 1 - (k s / d)^2, d the lead over it, s its standard error, k = 1/2, in a
 * new domain 1, then those of least weight left out. So with few rows simulations decide, and what is
 * not surely better than a simple answer counts little beside it. Tasks that are not chosen for are
 * those of one member: one that leaves them as they were, else one that was trained on them.
 *
 * The report has for each candidate "candidate/NAME/mean" (error on the held-out rows at its best
 * variant), "/standard_error" (by rows, or groups), "/simulated", "/score" (how far its expected error
 * is below that of "linear", else "scratch"), "/weight", "/variant" (-1 = not scored), "/cut" and
 * "/known_weight"; "strategy" is the one of most weight, "why" says it in words. "chosen/score" is 1 -
 * the error expected of what was taken, "chosen/trust" the a above, "simulations" their number and
 * "simulations/share" that of the target's rows that they had; "lead" its lead over the best floor
 * and "gain" that over "scratch", with "/low" and "/high" the ends of intervals of 95 %. Own errors of
 * an average are of rows that its weights were fitted to. "known/before/TASK" and "known/after/TASK"
 * are the known tasks' main metrics on @p known, "seconds/all" the time.
 *
 * Strategies, from the simplest on:
 * - "constant": the mean, or the rates of the classes.
 * - "linear": ridge, logistic or softmax regression on the inputs. Like all exact heads it is at its
 *   optimum, with the best of a path of penalties, for binary, multiclass, multilabel and regression
 *   tasks, of classes with half a row of each more at the mean of the features; the trunk and the known tasks stay as they are, bit for bit.
 * - "as_is": the head of the known task of the same kind that fits best, or the mean of all such.
 * - "exact_probe": an exact head on the trunk's outputs.
 * - "shift": an exact head on inputs and trunk that adds to that of "as_is".
 * - "stacked": an exact head on inputs and trunk. Inputs reach heads by the linear skip of
 *   mtl_spec_set_linear_skip(), which the result then has.
 * - "cut_probe": as "exact_probe", on the first layers of the trunk, up to a dense one and what follows
 *   it before the next: those whose outputs have the highest log evidence for the new tasks' labels on
 *   the rows to learn from ("logme" of mtl_transferability(), features and labels less their means). The
 *   result has these layers and the new tasks alone, but where the whole trunk is best, which is exact_probe. For trunks of two
 *   dense layers and more (MTL_ERR_STATE), new tasks and no keep_known (MTL_ERR_INVALID).
 * - "probe": the head alone by training steps.
 * - "tune": the exact head, then everything from there with the small rate "trunk_rate".
 * - "bottleneck:units=8": the trunk as it is, behind it an adapter of the new task's own, h + relu(h D + d) U + u
 *   (Houlsby et al. 2019), and its head: the result has the architecture "adapter" with so many units
 *   (mtl_spec_set_architecture()). The head begins as "exact_probe", U and u as 0, then both take steps.
 *   Known tasks and the trunk stay as they are, bit for bit; adapters of many tasks stand on one
 *   trunk, moved to one after the other, and are tensors apart ("own.N.TASK.weight"). A source of that
 *   architecture keeps its units, and the new head begins as any. For the members of no ensemble.
 * - "bias_only", "norm_only": as "tune", of the trunk its biases alone (Ben Zaken et al. 2022), or its
 *   norms with their running figures (Frankle et al. 2021).
 * - "lora:rank=8,alpha=8": as "tune", but of the trunk nothing moves but the weights of dense layers, by
 *   W0 + alpha / rank A B, A [in, rank] and B [rank, out] being trained in their place (Hu et al. 2022;
 *   B = 0 at first). The result has the sum; the report has "adapter/scale" and the series
 *   "adapter/TENSOR/a" and "/b", row by row, from which mtl_model_tensor_add_product() makes the same
 *   bits of the source's tensor (empty where the run went back to an epoch before). Weighting and
 *   average are not for it.
 * - "discriminative:factor=2.6": as "tune", each layer of the trunk with a rate that many times smaller
 *   than the one above it, the topmost than the heads' (Howard & Ruder 2018, section 3.2).
 * - "gradual:every=1": as "tune", the heads alone at first and then one more layer of the trunk, from the
 *   top down, each so many epochs (section 3.3 there). Layers at rest keep their norms' figures.
 * - "l2_sp:alpha=0.1,beta=0.01": as "tune" with alpha / 2 |w - w0|^2 added for the trunk, w0 being the
 *   source's parameters, and beta / 2 |w|^2 for the new heads' weights (Li et al. 2018, equation 4).
 * - "l2_sp_fisher:alpha=10,beta=0.01": as l2_sp with alpha / 2 times the sum of F (w - w0)^2 for the trunk
 *   (section 3.4 there); "ewc:lambda=10": that alone, lambda for alpha (Kirkpatrick et al. 2017, equation
 *   3). F is the mean over rows of @p known, up to 1024, of the squared gradient of the row's loss, by
 *   which the known tasks are not forgotten. Batch norms are free. For dense inputs.
 * - "delta:alpha=0.01": as "tune" with alpha / 2 times the mean over rows of |h - h0|^2, h and h0 the outputs
 *   for it of the trunk and of the source's (Li et al. 2019, equation 4, features counting alike).
 * - "bss:eta=0.001,k=1": as "tune" with eta times the sum of the k smallest squared singular values of the
 *   trunk's outputs for a batch (Chen et al. 2019, equation 5); n^3 in a step, n the lesser of rows and
 *   width.
 * - "co_tuning:lambda=2.3": as "tune", and known binary and multiclass tasks' heads learn from rows with a class
 *   of a new such task what the source says of rows of that class on average: lambda times the mean
 *   over these tasks and the rows of the cross entropy (You et al. 2020, equation 3, direct approach). For
 *   new tasks.
 * - "distil:alpha=1,temperature=2": as "tune", and the known tasks' heads are held to what the source says
 *   of the target's rows (Li & Hoiem 2016): alpha T^2 times the mean over rows of KL(source | model), with
 *   probabilities at temperature T (Hinton et al. 2015); of labels of a multilabel task the mean; for
 *   tasks that are no classes the mean squared difference of the network's outputs. Each times the
 *   task's weight and the option "replay". The known heads are trained by that.
 * - "wise": as "tune", then back on the straight way to where the steps began, a share alpha of it left: 0,
 *   1/4, 1/2, 3/4 or 1, the one that is best on the folds ("alpha" in the report; Wortsman et al. 2022,
 *   equation 1).
 * - "replay": the same with rows of the known tasks.
 * - "scored:temperature=0.1": as "replay", and each known task's loss counts by what the source's
 *   predictions for it promise for the new tasks: the option "replay" times exp(s / temperature) over its mean
 *   over the known tasks, s being the log evidence for the new tasks' labels on the target's rows, of
 *   several new tasks the mean ("logme" of mtl_transferability(), labels standardised as in training,
 *   predictions less their means). One whose s
 *   is NaN counts 1. The report has "source/TASK/score" and "/weight". For new tasks (MTL_ERR_INVALID) and
 *   dense rows in memory.
 * - "gated", "a_gem": as "replay" with the weighting of that name (see mtl_aggregate), the new tasks being
 *   the main ones: known tasks whose gradients oppose are left out; or count only as far as keeps them
 *   from getting worse. Their weights are in the report ("weight/TASK").
 * - "lp_ft": as "tune" with the head by steps (Kumar et al. 2022), and known rows if there are.
 * - "fine_tune": everything by steps from the source's trunk, and known rows if there are.
 * - "scratch": a new network for the new tasks.
 * - "coral", "mmd": as "replay", and the option "align" times how far the trunk's outputs for the target's
 *   rows of a step lie from those for the known rows is added to the losses. "coral": the squared
 *   distance of the two covariance matrices over 4 width^2 (Sun & Saenko 2016, equation 1). "mmd": the
 *   mean kernel within both less that between them (Gretton et al. 2012, equation 5), the kernel a sum
 *   of exp(-d^2 / (2 a m)) for a = 1/2, 1 and 2, m the mean d^2. They cost rows^2 * width in a step and
 *   are candidates of "auto" in a new domain alone.
 *
 * Those from bias_only to wise but tune look at no label of the known tasks, and but l2_sp_fisher and ewc
 * at no row of them. They, scored, gated and a_gem need a trunk and are not candidates of "auto". What they add is no part of the report's losses, and
 * clip_norm does not cut it. Layers are those with parameters, embeddings of several columns count as one.
 *
 * A new domain: the target has labels of no new task, but of tasks of the source, some or all of them
 * NaN. Strategies then start from the source's own heads: steps go on with them, exact heads replace
 * them, and "as_is" is the source with nothing changed, predictions bit for bit. Rows without a label have their
 * part in "coral" and "mmd", in which steps on the labelled rows alone come last, and in
 * - "statistics": the source's network with its input scaling (of scaler = quantile the values that
 *   ranks are told by) moved as the means and deviations of the target's inputs lie to those of @p known,
 *   and the running figures of batch norms taken from up to 2048 rows, with the share of 16 rows left to
 *   the old figures (Schneider et al. 2020, equation 3). The result is for the new domain alone. For
 *   dense inputs in memory.
 * "auto" compares on folds of the labelled rows; "as_is" and "statistics" count as floors. Where rows
 * without a label are as many as the others, "coral" and "mmd" are candidates too: their first steps, at
 * most 1000 there, are taken once on these rows, and every fold goes on from what they came to. With
 * @p known in memory, dense, and "simulations" above 0, the way back is simulated then: up to 1500 rows without
 * a label with what the source says of them are the known ones, known rows the new domain, with as many
 * labels, and every candidate is judged on further ones (reverse validation: Zhong et al. 2010, section
 * 4). k is 1/2 with that. "l2_sp", "l2_sp_fisher" and "ewc" hold the source's heads as they hold
 * the trunk, "distil" all of them to what they say, labels or not; for "gated" and "a_gem" known rows of the
 * target's own tasks are one with these; "wise" may go back to the source itself. Without a label
 * "auto" goes by the way back alone, between the source as it is, the only floor then, and what needs
 * none; where that cannot be simulated the result is the source as it is, and the report's "why" says so. Strategies but "as_is", "statistics", "coral" and
 * "mmd" need a label (MTL_ERR_DATA). With @p known the report has "distance/coral/before" and "/after",
 * and the same for "mmd": the penalties' distances, on up to 256 rows of each.
 *
 * Other input columns: where the source (mtl_model_input_name()) and the target have names, columns are
 * matched by them. A column that the target has not, the new model has not; one that is new starts with
 * weight 0, scaled by the target's rows as the source's are by its own. So the new model begins with the
 * source's predictions where no column is gone. Rows of @p known are matched by name too (without names
 * they have the source's columns), a column that they have not is missing in them. The report has
 * "inputs/kept", "inputs/added" and "inputs/dropped". Columns are taken as they stand where either has
 * no names, or all names differ and the columns are as many. The source's first layer that makes
 * something of all columns together must be a dense one (MTL_ERR_STATE); gates beside it are fine.
 *
 * With @p known, where a strategy uses it, rows of the known tasks are mixed into every step beside
 * the target's (option "replay" weighs them), so that the trunk is tuned for both and the known
 * heads stay right.
 *
 * Known tasks can be kept working: with the option "keep_known" >= 0 their losses on @p known are taken
 * before the steps and after each epoch, and where one is higher by more than that share of itself, the
 * run ends (reason "keep_known") with the parameters of the epoch before. Exact heads leave known tasks
 * as they are; "scratch" and "cut_probe", which have none, are no candidates then.
 *
 * @param source   A fitted model.
 * @param target   Rows with the source's input columns, or others by name, and labels of at least one
 *                 new task, where labels of known tasks count too, or of known ones in a new domain.
 *                 Borrowed until return.
 *                 Streamed and sparse inputs are for the strategies of steps only ("auto" and exact heads
 *                 are MTL_ERR_STATE).
 * @param known    Rows with labels of the source's tasks, or NULL. Borrowed until return. Nothing is
 *                 simulated where their inputs are streamed or sparse.
 * @param options  Of the group MTL_OPTIONS_TRANSFER. With "time_limit" three quarters of the time are
 *                 for choosing; what was not scored by then is no candidate.
 * @param out      The tuned model. Release with mtl_model_destroy().
 * @param report   Out, may be NULL. Release with mtl_report_destroy().
 * @return As mtl_fit(); MTL_ERR_STATE when the source was never fitted and no tensor of it was set, or
 *         is an ensemble in one network or has no trunk and the strategy is not for it; MTL_ERR_INVALID
 *         for a strategy that does not serve a task, naming it, or that needs @p known, as "keep_known"
 *         does; MTL_ERR_DATA for a target without labels of any task.
 * @note   While "auto" chooses, the progress callback is called after each candidate of each fold
 *         with epoch 0, the pieces of work done and planned at most, and no losses; when it does not
 *         go on, or a loss of the caller's does not (mtl_model_set_loss()), the best by the folds and
 *         simulations that were finished is taken, and the report's "reason" is "cancelled". A C++
 *         exception or longjmp that leaves through it loses the memory of the models being made; after
 *         mtl_fit() mtl_model_destroy() frees everything.
 * @since 0.1
 */
MTL_API mtl_status mtl_transfer(const mtl_model *source, const mtl_dataset *target,
                                const mtl_dataset *known, const mtl_options *options,
                                mtl_model **out, mtl_report **report, mtl_error *err);

/**
 * How well the features of a network, or the predictions of one of its tasks, may serve another task,
 * from some labelled rows alone: which source, which layer to cut at, without training a network.
 * Higher is better; figures of one kind and the same labels compare, others do not.
 *
 * Of features, any matrix, such as a trunk's output:
 * - "logme": the log evidence per row of a Bayesian linear model without intercept, its two variances
 *   chosen for it, the mean over label columns, of classes over the classes that have rows as columns of
 *   0 and 1 (You et al. 2021, equation 3; the maximum itself, also for fewer rows than columns). The
 *   noise is at least 1e-6 of the labels' mean square and the weights' variance bounded, so that an exact
 *   fit has a figure.
 * - "h_score:shrinkage=-1": (1 - a) tr(C^-1 B), B the covariance of the classes' means and C = (1 - a)
 *   S + a tr(S) / cols I that of the features S (Bao et al. 2019; Ibrahim et al. 2021), a as Ledoit &
 *   Wolf (2004) have it at -1, or the number given; 0 means a pseudo-inverse. Classes.
 * - "transrate:eps=1e-4,scale=1": R(F) - mean over classes of R(F_c), with R(F) = ln det(I + F^T F /
 *   (rows eps)) / 2 of the features less their means (Huang et al. 2022), and over their deviations
 *   unless scale=0. Classes.
 * - "cv_probe:folds=5": what a linear model (ridge, logistic, softmax) on the standardised features does
 *   on rows left out, at the best of a list of penalties: of classes the mean log likelihood over folds,
 *   of values 1 - squared error / variance of every row alone left out. The reference for the others.
 *
 * Of predictions, class probabilities as mtl_predict() gives them, one column being that of class 1:
 * - "leep": mean ln sum over z of P(y | z) theta(z), P(y | z) from the sums of theta (Nguyen et al. 2020).
 * - "nce": -H(Y | Z), Z the source's most likely class (Tran et al. 2019). Both: classes.
 *
 * @param kind        A score with parameters, as above.
 * @param x           [rows, cols] features or probabilities. Finite where the row has a label.
 * @param classes     Number of classes, @p label then has one column of class numbers; 0 = values.
 * @param label       [rows, label_cols]. NaN = the row has no part in that column.
 * @param score       The figure; NaN, with MTL_OK, where no column has labels that differ. Left as it is
 *                    on failure.
 * @return MTL_OK; MTL_ERR_NAME for an unknown score or parameter; MTL_ERR_SHAPE, also for a score that
 *         does not serve values; MTL_ERR_VALUE naming row and column of a number that cannot be;
 *         MTL_ERR_NOMEM.
 * @note   Time and memory grow with the square of the smaller of rows and columns, time with its cube;
 *         "cv_probe" does without beyond 1024. Works on the caller's thread; any number of threads may
 *         call it at once. The same bits everywhere.
 * @since 0.1
 */
MTL_API mtl_status mtl_transferability(const char *kind, int64_t rows, int64_t cols, const float *x,
                                       int64_t x_stride, int64_t classes, int64_t label_cols,
                                       const float *label, int64_t label_stride, double *score,
                                       mtl_error *err);

/** @} */

#ifdef __cplusplus
}
#endif

#endif
