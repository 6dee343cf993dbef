#include "weights/schema.h"

#include <fmt/format.h>

#include "weights/architecture.h"
#include "weights/tensor_table.h"
#include "weights/words.h"

namespace sr {
namespace {

constexpr Word<BatchNorm> kBatchNormWords[] = {
    {BatchNorm::patch, "patch"}, {BatchNorm::running, "running"}, {BatchNorm::scan, "scan"}};
constexpr Word<Interpolation> kInterpolationWords[] = {{Interpolation::nearest, "nearest"},
                                                       {Interpolation::linear, "linear"},
                                                       {Interpolation::cubic, "cubic"},
                                                       {Interpolation::sinc, "sinc"}};
constexpr Word<Interpolation> kModelInputWords[] = {{Interpolation::linear, "linear"}, {Interpolation::sinc, "sinc"}};

}  // namespace

bool ModelDescription::has_norms() const {
  return architecture->has_norms();
}

std::string ModelDescription::name() const {
  std::string name = architecture->short_name(*this);
  for (const SizeSetting& size : architecture->sizes())
    if (*size.option && this->*size.member != size.usual) name += fmt::format(" {}{}", size.option, this->*size.member);
  return name;
}

std::vector<TensorSpec> tensor_table(const ModelDescription& model) {
  TensorTable table;
  model.architecture->add_tensors(model, table);
  return table.take();
}

int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

int64_t multiply_adds_per_voxel(const ModelDescription& model) {
  int64_t n = 0;
  for (const TensorSpec& spec : tensor_table(model))
    if (spec.role == TensorRole::conv_weight) n += element_count(spec.shape);
  return n;
}

std::string to_string(BatchNorm b) {
  return text_of(kBatchNormWords, b);
}
std::string to_string(Interpolation i) {
  return text_of(kInterpolationWords, i);
}
std::string batch_norm_clause(const ModelDescription& model, BatchNorm mode) {
  return model.has_norms() ? ", batch-norm " + to_string(mode) : "";
}

BatchNorm parse_batch_norm(const std::string& text) {
  return value_of(kBatchNormWords, text, "batch_norm");
}
Interpolation parse_model_input(const std::string& text) {
  return value_of(kModelInputWords, text, "input");
}

}  // namespace sr
