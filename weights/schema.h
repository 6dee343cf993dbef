// What a weights file holds: the description of a network, and from it the table of its tensors. Reader, writer,
// importer, engine and tests walk this table; names and shapes are written down nowhere but in the file of the
// network's architecture, weights/architectures/NAME.cpp, which lists them at its top.
//
// Beside each conv.weight (co, ci, n, n, n) conv.bias (co), optional where that file does not say otherwise. Optional
// beside each norm.{weight,bias} (c), both or neither: norm.running_mean and norm.running_var (c). A prelu.weight holds
// the slope of each channel (c). Definitions: docs/spec.md, sections 2, 5, 7.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sr {

class Architecture;  // weights/architecture.h
// mDCSRN: the first of weights/architectures/list.h.
const Architecture& default_architecture();

enum class Bottleneck { automatic, never, always };         // "auto" (where c > 4k) | "never" | "always"
enum class Trunk { with_inputs, new_features };             // "with-inputs" | "new-features"
enum class BatchNorm { patch, running, scan };              // "patch" | "running" | "scan"
enum class Interpolation { nearest, linear, cubic, sinc };  // "linear" and "sinc" are what a model's `input` may be

// The largest networks that are read; a file that asks for more is refused before anything is sized by it.
namespace limits {
inline constexpr int blocks = 64, units = 64, growth = 256, features = 1024;
}

// Comparing two compares all members: make one by default, by parse_model_name or by Architecture::usual, and set what
// its architecture has.
struct ModelDescription {
  const Architecture* architecture = &default_architecture();  // never null

  // An architecture has the sizes that its file lists; nobody reads the others. The usual mDCSRN's, b4u4:
  int blocks = 4;    // 1 .. 64
  int units = 4;     // of a block, 1 .. 64
  int growth = 12;   // k: channels that a unit adds, 1 .. 256
  int features = 0;  // 1 .. 1024
  int shrink = 0;    // features between narrow layers, 1 .. 1024

  // mDCSRN's (weights/architectures/mdcsrn.cpp).
  Bottleneck bottleneck = Bottleneck::automatic;
  Trunk trunk = Trunk::with_inputs;
  bool reconstruction = false;  // the "-r" variant
  bool unit_has_bottleneck(int unit) const;
  int block_channels() const { return (2 + units) * growth; }  // x_i and what the units append
  int trunk_channels(int n_blocks) const;

  // Every network's.
  bool residual = false;                        // the input is added to the output
  Interpolation input = Interpolation::linear;  // how a low-resolution scan is brought to the output grid

  // Networks without batch-norm have neither.
  double norm_eps = 1e-5;
  BatchNorm batch_norm = BatchNorm::patch;  // the default of `run --batch-norm`
  bool has_norms() const;

  std::string name() const;  // "b4u4", "b1u16-r", "b4u4 k16", "fsrcnn", "srresnet features32"

  friend bool operator==(const ModelDescription&, const ModelDescription&) = default;
};

std::string to_string(BatchNorm);
std::string to_string(Interpolation);
// ", batch-norm running" of a network that has it, else "": the end of a sentence about the network.
std::string batch_norm_clause(const ModelDescription& model, BatchNorm mode);

// The same words back. Throw WeightsError with the list of what there is.
BatchNorm parse_batch_norm(const std::string& text);
Interpolation parse_model_input(const std::string& text);  // "linear" | "sinc"

enum class TensorRole { conv_weight, conv_bias, norm_weight, norm_bias, running_mean, running_var, prelu_slope };

// Running statistics of batch-norm are kept, not trained: no parameters.
inline bool is_parameter(TensorRole role) {
  return role != TensorRole::running_mean && role != TensorRole::running_var;
}

struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  TensorRole role;
  bool optional;
};

// Every tensor the description may have, in the order of the forward pass.
std::vector<TensorSpec> tensor_table(const ModelDescription& model);

// Product of the extents. For shapes that are known to be sound: a table's, or a checked file's.
int64_t element_count(const std::vector<int64_t>& shape);

// Convolution weights of the model; stride is 1 everywhere, so also its multiply-adds per voxel (spec.md section 2).
int64_t multiply_adds_per_voxel(const ModelDescription& model);

// "b4u4", "b1u16-r", with options after commas: "b4u4,k=16,bottleneck=never,trunk=new-features,residual"; "fsrcnn",
// "srresnet,blocks=4,features=32", "srdensenet,blocks=2,units=3,k=8".
ModelDescription parse_model_name(const std::string& text);

}  // namespace sr
