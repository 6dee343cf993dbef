/* How another program restores a volume with libsrengine.a: plain C, the public header alone (docs/embedding.md).
 *
 *   embedding_example WEIGHTS
 *
 * Restores a small made-up volume twice and checks what an embedder relies on. Exits 0 where all of it holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/srengine.h"

enum { NI = 13, NJ = 11, NK = 9, N_VOXELS = NI * NJ * NK };

/* Counts patches in *user; after `stop_after` of them it asks to stop. */
struct counter {
  int patches, stop_after;
};
static int count(int done, int total, void* user) {
  struct counter* c = user;
  c->patches++;
  return done <= total && c->patches == c->stop_after;
}

static int failures = 0;
static void check(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s (last error: %s)\n", what, srengine_last_error());
  failures++;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: embedding_example WEIGHTS\n");
    return 2;
  }
  static float input[N_VOXELS], output[N_VOXELS], again[N_VOXELS];
  for (int k = 0, v = 0; k < NK; k++)
    for (int j = 0; j < NJ; j++)
      for (int i = 0; i < NI; i++, v++) input[v] = 2.0f + sinf(0.5f * (float)i) * cosf(0.3f * (float)j + (float)k);

  struct counter counter = {0, 0};
  srengine_options options = srengine_default_options();
  options.patch = 12; /* small, because the volume is */
  options.margin = 2;
  options.threads = 2;
  options.progress = count;
  options.progress_user = &counter;

  srengine* engine = NULL;
  if (srengine_open(argv[1], &options, &engine) != SRENGINE_OK) {
    fprintf(stderr, "%s\n", srengine_last_error());
    return 1;
  }
  check(srengine_restore(engine, input, output, NI, NJ, NK) == SRENGINE_OK, "a volume is restored");
  check(counter.patches == 8, "progress is told of each of the 2 x 2 x 2 patches");
  float change = 0;
  for (int v = 0; v < N_VOXELS; v++) change += fabsf(output[v] - input[v]);
  check(isfinite(change) && change > 0, "the result is another volume, and finite");

  check(srengine_restore(engine, input, again, NI, NJ, NK) == SRENGINE_OK, "the handle serves a second volume");
  check(memcmp(output, again, sizeof output) == 0, "the same volume gives the same bytes");

  counter.patches = 0;
  counter.stop_after = 1;
  check(srengine_restore(engine, input, again, NI, NJ, NK) == SRENGINE_INTERRUPTED, "progress can stop a run");
  counter.stop_after = 0;

  check(srengine_restore(engine, input, NULL, NI, NJ, NK) == SRENGINE_BAD_USAGE, "a missing buffer is refused");
  check(srengine_restore_file(engine, "there-is-no-such.nii", "result.nii") == SRENGINE_BAD_INPUT,
        "a missing scan is refused");
  check(strstr(srengine_last_error(), "there-is-no-such.nii") != NULL, "the sentence names the scan");
  srengine_close(engine);

  engine = NULL;
  options.device = SRENGINE_DEVICE_CUDA;
  options.gpu = 99;
  check(srengine_open(argv[1], &options, &engine) == SRENGINE_DEVICE_TROUBLE && engine == NULL,
        "a GPU that is not there is refused");
  check(srengine_open("there-is-no-such.bin", NULL, &engine) == SRENGINE_BAD_WEIGHTS && engine == NULL,
        "missing weights are refused");
  srengine_close(NULL);
  return failures ? 1 : 0;
}
