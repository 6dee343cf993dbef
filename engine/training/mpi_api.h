// What srtrain calls in libsrtrain_mpi.so, which alone is linked with MPI: a machine without MPI runs the same program.
#pragma once

#include <cstdint>

namespace sr::train::mpi {

constexpr int kApiVersion = 1;

// Each returns null, or a clause that says what went wrong and holds until the next call. From one thread.
struct Api {
  // Once per process, first.
  const char* (*start)(int* rank, int* size);
  // Where they wait they sleep: the processor is for ranks that compute.
  const char* (*send)(int to, const void* bytes, int64_t n);
  const char* (*receive)(int from, void* bytes, int64_t n);
  // The last call. finish waits for all ranks, abort ends all of them.
  const char* (*finish)();
  void (*abort)(int exit_code);
};

}  // namespace sr::train::mpi

// Null where the plugin is of another version.
extern "C" const sr::train::mpi::Api* srtrain_mpi_api(int version);
