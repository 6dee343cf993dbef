// A stand-in for cuFFT (cufft_types.h).
#include <algorithm>
#include <complex>
#include <kissfft/kissfft.hh>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/emulation/cufft_types.h"
#include "kernels/emulation/runtime_state.h"
#include "kernels/emulation/settings.h"

namespace sr::emulation {
namespace {

// Of one-dimensional transforms. NVIDIA: sample x of transform b is input[b * idist + x * istride]; where inembed is
// null, strides and distances are ignored and transforms lie one behind the other.
struct Layout {
  ptrdiff_t stride, distance;
  size_t extent(int n, int batch) const {  // elements from the first to the last
    return static_cast<size_t>((batch - 1) * distance + (n - 1) * stride + 1);
  }
};

struct Plan {
  bool made = false, allocates = true;
  int n = 0, batch = 0;
  Layout in{}, out{};
  size_t work_bytes = 0;
  void* work = nullptr;
  cudaStream_t stream = nullptr;
};

std::mutex& plans_mutex() {
  static std::mutex instance;
  return instance;
}
std::map<cufftHandle, Plan>& plans() {
  static std::map<cufftHandle, Plan> instance;
  return instance;
}

// Runs f(plan) on a plan that exists.
template <class F>
cufftResult with_plan(cufftHandle handle, F f) {
  const std::lock_guard lock(plans_mutex());
  const auto at = plans().find(handle);
  return at == plans().end() ? CUFFT_INVALID_PLAN : f(at->second);
}

// NVIDIA's takes none for many sizes and several times the block for others; here, some for all but powers of 2.
size_t work_bytes_of(int n, int batch) {
  return (n & (n - 1)) == 0 ? 0 : static_cast<size_t>(n) * static_cast<size_t>(batch) * sizeof(cufftComplex);
}

void execute(const Plan& plan, const cufftComplex* in, cufftComplex* out, int direction) {
  // Whatever lies in the work area is lost: it shares no memory with what is transformed.
  if (plan.work_bytes) std::fill_n(static_cast<unsigned char*>(plan.work), plan.work_bytes, 0xff);
  using Sample = std::complex<double>;
  const kissfft<double> fft(static_cast<size_t>(plan.n), direction == CUFFT_INVERSE);
  std::vector<Sample> samples(static_cast<size_t>(plan.n)), spectrum(samples);
  std::vector<std::vector<Sample>> spectra;  // all are read before the first is written: in place, layouts may differ
  for (int b = 0; b < plan.batch; b++) {
    for (int x = 0; x < plan.n; x++) {
      const cufftComplex v = in[b * plan.in.distance + x * plan.in.stride];
      samples[x] = {v.x, v.y};
    }
    fft.transform(samples.data(), spectrum.data());
    spectra.push_back(spectrum);
  }
  for (int b = 0; b < plan.batch; b++)
    for (int x = 0; x < plan.n; x++) {
      const Sample v = spectra[b][x];
      out[b * plan.out.distance + x * plan.out.stride] = {static_cast<float>(v.real()), static_cast<float>(v.imag())};
    }
}

}  // namespace

size_t cufft_plans() {
  const std::lock_guard lock(plans_mutex());
  return plans().size();
}

}  // namespace sr::emulation

using namespace sr::emulation;

cufftResult cufftCreate(cufftHandle* handle) {
  if (settings().device_count == 0) return CUFFT_SETUP_FAILED;
  const std::lock_guard lock(plans_mutex());
  static cufftHandle next = 0;
  *handle = next++;
  plans()[*handle];
  return CUFFT_SUCCESS;
}

cufftResult cufftDestroy(cufftHandle handle) {
  const std::lock_guard lock(plans_mutex());
  return plans().erase(handle) ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}

cufftResult cufftSetAutoAllocation(cufftHandle handle, int allocate) {
  return with_plan(handle, [&](Plan& plan) {
    if (plan.made) return CUFFT_INVALID_PLAN;
    plan.allocates = allocate != 0;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftMakePlanMany(cufftHandle handle, int rank, int* n, int* inembed, int istride, int idist, int* onembed,
                              int ostride, int odist, cufftType type, int batch, size_t* work_bytes) {
  return with_plan(handle, [&](Plan& plan) {
    if (plan.made) return CUFFT_INVALID_PLAN;
    if (type != CUFFT_C2C) return CUFFT_INVALID_TYPE;
    if (rank != 1 || !n || batch < 1 || !work_bytes) return CUFFT_INVALID_VALUE;
    if (*n < 2) return CUFFT_INVALID_SIZE;  // whether NVIDIA's takes 1 is not documented: nobody may rely on it
    if (plan.allocates) return CUFFT_INVALID_VALUE;  // memory that the backend does not know of; it never asks for it
    if ((inembed && (istride < 1 || idist < 1)) || (onembed && (ostride < 1 || odist < 1))) return CUFFT_INVALID_VALUE;
    plan.n = *n;
    plan.batch = batch;
    plan.in = inembed ? Layout{istride, idist} : Layout{1, *n};
    plan.out = onembed ? Layout{ostride, odist} : Layout{1, *n};
    plan.work_bytes = *work_bytes = work_bytes_of(*n, batch);
    plan.made = true;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftSetWorkArea(cufftHandle handle, void* work) {
  return with_plan(handle, [&](Plan& plan) {
    plan.work = work;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftSetStream(cufftHandle handle, cudaStream_t stream) {
  return with_plan(handle, [&](Plan& plan) {
    plan.stream = stream;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftExecC2C(cufftHandle handle, cufftComplex* in, cufftComplex* out, int direction) {
  return with_plan(handle, [&](Plan& plan) {
    if (!plan.made) return CUFFT_INVALID_PLAN;
    if (direction != CUFFT_FORWARD && direction != CUFFT_INVERSE) return CUFFT_INVALID_VALUE;
    const auto inside = [](const void* p, size_t bytes) { return bytes == 0 || is_device_memory(p, bytes); };
    if (!inside(in, plan.in.extent(plan.n, plan.batch) * sizeof *in) ||
        !inside(out, plan.out.extent(plan.n, plan.batch) * sizeof *out) || !inside(plan.work, plan.work_bytes))
      return CUFFT_EXEC_FAILED;
    const cudaError_t error =
        submit(plan.stream, [plan = plan, in, out, direction] { execute(plan, in, out, direction); });
    return error == cudaSuccess ? CUFFT_SUCCESS : CUFFT_EXEC_FAILED;
  });
}
