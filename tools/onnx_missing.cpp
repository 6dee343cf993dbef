// In place of weights/onnx_file.cpp where srengine is built without ONNX.
#include "engine/base/status.h"
#include "weights/onnx_file.h"

namespace sr {
namespace {

[[noreturn]] void refuse() {
  throw Error(Status::bad_usage,
              "this build of srengine has no ONNX export; install libonnx-dev and libprotobuf-dev and build it again");
}

}  // namespace

void check_fits_onnx(const ModelDescription&) {
  refuse();
}
void save_onnx(const std::filesystem::path&, const Weights&, const OnnxOptions&) {
  refuse();
}

}  // namespace sr
