#include <algorithm>
#include <new>
#include <string>

#include "engine/scan_queue.h"
#include "engine/srengine.h"

struct srengine {
  sr::Restorer restorer;
  sr::Progress progress;
};

namespace {

thread_local std::string last_error;

srengine_status failed(sr::Status status, const char* sentence) {
  last_error = sentence;
  return static_cast<srengine_status>(status);
}

// No exception crosses the C interface.
template <class F>
srengine_status guarded(F call) {
  try {
    call();
    return SRENGINE_OK;
  } catch (const sr::Error& e) {
    return failed(e.status, e.what());
  } catch (const sr::WeightsError& e) {
    return failed(sr::Status::bad_weights, e.what());
  } catch (const std::bad_alloc&) {
    return failed(sr::Status::resource_error, "memory is exhausted");
  } catch (const std::exception& e) {
    return failed(sr::Status::resource_error, e.what());
  }
}

sr::RestoreOptions restore_options(const srengine_options& o) {
  sr::RestoreOptions options;
  options.backend.threads = o.threads;
  options.backend.batch = o.batch;
  options.backend.max_memory = o.max_memory;
  options.backend.patch = {o.patch, o.patch, o.patch};
  options.backend.conv = o.conv == SRENGINE_CONV_DIRECT      ? sr::ConvAlgorithm::direct
                         : o.conv == SRENGINE_CONV_WINOGRAD2 ? sr::ConvAlgorithm::winograd2
                                                             : sr::ConvAlgorithm::winograd4;
  options.margin = o.margin;
  options.backend.device = o.device == SRENGINE_DEVICE_CPU    ? sr::DeviceKind::cpu
                           : o.device == SRENGINE_DEVICE_CUDA ? sr::DeviceKind::cuda
                                                              : sr::DeviceKind::automatic;
  if (o.device == SRENGINE_DEVICE_CUDA) options.backend.gpus = {o.gpu};
  options.backend.precision = o.precision == SRENGINE_PRECISION_TF32   ? sr::cuda::Precision::tf32
                              : o.precision == SRENGINE_PRECISION_F16  ? sr::cuda::Precision::f16
                              : o.precision == SRENGINE_PRECISION_BF16 ? sr::cuda::Precision::bf16
                                                                       : sr::cuda::Precision::fp32;
  switch (o.batch_norm) {
    case SRENGINE_BATCH_NORM_DEFAULT:
      break;
    case SRENGINE_BATCH_NORM_PATCH:
      options.batch_norm = sr::BatchNorm::patch;
      break;
    case SRENGINE_BATCH_NORM_RUNNING:
      options.batch_norm = sr::BatchNorm::running;
      break;
    case SRENGINE_BATCH_NORM_SCAN:
      options.batch_norm = sr::BatchNorm::scan;
      break;
  }
  return options;
}

void require(bool condition, const char* sentence) {
  if (!condition) throw sr::Error(sr::Status::bad_usage, sentence);
}

}  // namespace

extern "C" {

srengine_options srengine_default_options(void) {
  srengine_options o = {};
  o.patch = 70;
  o.margin = 3;
  return o;
}

srengine_status srengine_open(const char* weights_path, const srengine_options* options, srengine** engine) {
  return guarded([&] {
    require(weights_path && engine, "srengine_open needs the path of a weights file and a place for the handle");
    const srengine_options o = options ? *options : srengine_default_options();
    sr::Progress progress;
    if (o.progress)
      progress = [call = o.progress, user = o.progress_user](int done, int total) {
        return call(done, total, user) == 0;
      };
    *engine = new srengine{sr::Restorer(sr::load_weights(weights_path), restore_options(o)), std::move(progress)};
  });
}

srengine_status srengine_restore(srengine* engine, const float* input, float* output, int ni, int nj, int nk) {
  return guarded([&] {
    require(engine && input && output && ni > 0 && nj > 0 && nk > 0,
            "srengine_restore needs a handle, two buffers and sizes above 0");
    sr::Volume volume({nk, nj, ni});
    std::copy_n(input, volume.data.size(), volume.data.begin());
    const sr::Volume result = engine->restorer.restore(volume, engine->progress);
    std::copy(result.data.begin(), result.data.end(), output);
  });
}

srengine_status srengine_restore_file(srengine* engine, const char* input_path, const char* output_path) {
  return guarded([&] {
    require(engine && input_path && output_path, "srengine_restore_file needs a handle and two paths");
    sr::ScanRequest request;
    request.input = input_path;
    request.output = output_path;
    sr::restore_scan(engine->restorer, request, engine->progress);
  });
}

void srengine_close(srengine* engine) {
  delete engine;
}

const char* srengine_last_error(void) {
  return last_error.c_str();
}

const char* srengine_version(void) {
  return SRENGINE_VERSION;
}

}  // extern "C"
