/* srengine: restores the resolution of 3D brain MRI. The C interface of libsrengine.a.
 *
 *   srengine_options options = srengine_default_options();
 *   srengine* engine = NULL;
 *   if (srengine_open("b4u4.bin", &options, &engine) != SRENGINE_OK) {
 *     fprintf(stderr, "%s\n", srengine_last_error());
 *     return 1;
 *   }
 *   if (srengine_restore_file(engine, "scan.nii.gz", "scan_sr.nii.gz") != SRENGINE_OK)
 *     fprintf(stderr, "%s\n", srengine_last_error());
 *   srengine_close(engine);
 *
 * The library never prints, exits or throws. A handle is used by one thread at a time; several handles may be used at
 * once. Memory: about 480 MB (b4u4) or 890 MB (b8u4) for each patch in flight, kept until srengine_close.
 */
#ifndef SRENGINE_H
#define SRENGINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct srengine srengine;

/* The program's exit codes are the same numbers. */
typedef enum {
  SRENGINE_OK = 0,
  SRENGINE_BAD_USAGE = 2,
  SRENGINE_BAD_INPUT = 3,
  SRENGINE_BAD_WEIGHTS = 4,
  SRENGINE_BAD_OUTPUT = 5,
  SRENGINE_DEVICE_TROUBLE = 6, /* memory included */
  SRENGINE_INTERRUPTED = 130
} srengine_status;

typedef enum {
  SRENGINE_BATCH_NORM_DEFAULT = 0, /* what the weights file says */
  SRENGINE_BATCH_NORM_PATCH,
  SRENGINE_BATCH_NORM_RUNNING,
  SRENGINE_BATCH_NORM_SCAN
} srengine_batch_norm;

typedef enum { SRENGINE_CONV_WINOGRAD4 = 0, SRENGINE_CONV_WINOGRAD2, SRENGINE_CONV_DIRECT } srengine_conv;

typedef enum {
  SRENGINE_DEVICE_AUTO = 0, /* the first GPU, or the CPU where there is none or it does not suffice */
  SRENGINE_DEVICE_CPU,
  SRENGINE_DEVICE_CUDA /* a GPU, or SRENGINE_DEVICE_TROUBLE */
} srengine_device;

/* How a GPU stores and multiplies features; the CPU always computes float32. */
typedef enum {
  SRENGINE_PRECISION_FP32 = 0,
  SRENGINE_PRECISION_TF32,
  SRENGINE_PRECISION_F16,
  SRENGINE_PRECISION_BF16
} srengine_precision;

/* After each patch; 0 goes on, anything else stops with SRENGINE_INTERRUPTED. */
typedef int (*srengine_progress)(int done, int total, void* user);

typedef struct {
  int threads;        /* 0: as many as the process may use */
  int batch;          /* patches in flight; 0: one per group of 8 threads, 8 on a GPU */
  int64_t max_memory; /* bytes, of patches in flight and threads' scratch; 0: nine tenths of the machine's memory */
  int patch;          /* edge in voxels, 70 */
  int margin;         /* voxels of each face of a patch that are not kept, 3 */
  srengine_batch_norm batch_norm;
  srengine_conv conv;
  srengine_progress progress; /* may be NULL */
  void* progress_user;
  srengine_device device;
  int gpu; /* with SRENGINE_DEVICE_CUDA, which: 0 */
  srengine_precision precision;
} srengine_options;

srengine_options srengine_default_options(void);

/* Loads weights. options may be NULL. *engine is set only on SRENGINE_OK. */
srengine_status srengine_open(const char* weights_path, const srengine_options* options, srengine** engine);

/* A volume of ni x nj x nk voxels, NIfTI order (i fastest), in any intensity unit; output has the same size and unit
 * and must not overlap input. */
srengine_status srengine_restore(srengine* engine, const float* input, float* output, int ni, int nj, int nk);

/* A NIfTI file to a NIfTI file (.nii, .nii.gz, .hdr/.img). The output appears whole or not at all. */
srengine_status srengine_restore_file(srengine* engine, const char* input_path, const char* output_path);

/* NULL is fine. */
void srengine_close(srengine* engine);

/* One sentence on the last call of this thread that did not return SRENGINE_OK. Valid until the next call. */
const char* srengine_last_error(void);

const char* srengine_version(void); /* "0.1.0" */

#ifdef __cplusplus
}
#endif
#endif
