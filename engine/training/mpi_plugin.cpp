// libsrtrain_mpi.so.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "engine/training/mpi_api.h"

namespace sr::train::mpi {
namespace {

constexpr int kTag = 0;

const char* outcome(int code) {
  static std::string text;
  if (code == MPI_SUCCESS) return nullptr;
  char words[MPI_MAX_ERROR_STRING] = {};
  int n = 0;
  MPI_Error_string(code, words, &n);
  text.assign(words, static_cast<size_t>(n));
  return text.c_str();
}

const char* start(int* rank, int* size) {
  int provided = 0;
  if (const int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided)) return outcome(code);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  MPI_Comm_size(MPI_COMM_WORLD, size);
  return nullptr;
}

// MPI's own waiting keeps a processor busy, for minutes while rank 0 validates. Sleeps here are an eighth of what has
// been waited, so that the answer is late by no more.
const char* wait(MPI_Request request) {
  using namespace std::chrono;
  const auto begin = steady_clock::now();
  for (;;) {
    int done = 0;
    if (const int code = MPI_Test(&request, &done, MPI_STATUS_IGNORE)) return outcome(code);
    if (done) return nullptr;
    const auto waited = duration_cast<microseconds>(steady_clock::now() - begin);
    if (waited < microseconds(50))
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::min(waited / 8, microseconds(2000)));
  }
}

const char* send(int to, const void* bytes, int64_t n) {
  MPI_Request request = MPI_REQUEST_NULL;
  const int code = MPI_Isend(bytes, static_cast<int>(n), MPI_BYTE, to, kTag, MPI_COMM_WORLD, &request);
  return code == MPI_SUCCESS ? wait(request) : outcome(code);
}

const char* receive(int from, void* bytes, int64_t n) {
  MPI_Request request = MPI_REQUEST_NULL;
  const int code = MPI_Irecv(bytes, static_cast<int>(n), MPI_BYTE, from, kTag, MPI_COMM_WORLD, &request);
  return code == MPI_SUCCESS ? wait(request) : outcome(code);
}

const char* finish() {
  return outcome(MPI_Finalize());
}

void abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
}

}  // namespace
}  // namespace sr::train::mpi

extern "C" __attribute__((visibility("default"))) const sr::train::mpi::Api* srtrain_mpi_api(int version) {
  using namespace sr::train::mpi;
  static constexpr Api api = {start, send, receive, finish, abort};
  return version == kApiVersion ? &api : nullptr;
}
