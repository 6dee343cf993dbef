// What a weights file holds: the description of a network, and from it the table of its tensors. Reader, writer,
// importer, engine and tests walk this table; names and shapes are written down nowhere else.
//
//   stem.conv.weight                                  (2k, 1, 3, 3, 3)
//   blocks.I.units.J.norm.{weight,bias}               (c)            c = (2 + J) k, or 4k behind a bottleneck
//   blocks.I.units.J.conv.weight                      (k, c, 3, 3, 3)
//   blocks.I.units.J.bottleneck.norm.{weight,bias}    ((2 + J) k)    where the unit has a bottleneck
//   blocks.I.units.J.bottleneck.conv.weight           (4k, (2 + J) k, 1, 1, 1)
//   compressors.I.conv.weight                         (2k, T(I + 1), 1, 1, 1)   I = 0 .. B-2: the one before block I+1
//   combine.conv.weight                               (1, T(B), 1, 1, 1)        without "-r"
//   reconstruction.compress.conv.weight               (8k, T(B), 1, 1, 1)       with "-r"
//   reconstruction.norm.{weight,bias}                 (8k)
//   reconstruction.conv.weight                        (1, 8k, 3, 3, 3)
//
// T(n) is the number of channels of the trunk after n blocks. That is mDCSRN; the baselines (docs/spec.md section 5):
//
//   fsrcnn      extract.conv (d, 1, 5..), shrink.conv (s, d, 1..), mapping.I.conv (s, s, 3..), expand.conv (d, s, 1..),
//               reconstruct.conv (1, d, 9..); reconstruct.prelu and the like: the PReLU on the way into that
//               convolution
//   srresnet    head.conv (f, 1, 9..), head.prelu; blocks.I.0.conv, blocks.I.0.norm, blocks.I.1.prelu, blocks.I.1.conv,
//               blocks.I.1.norm (f, f, 3..); trunk.conv, trunk.norm; tail.0.conv, tail.1.prelu, tail.1.conv (f,
//               f, 3..); reconstruct.prelu, reconstruct.conv (1, f, 9..)
//   srdensenet  stem.conv (2k, 1, 3..), blocks.I.units.J.conv (k, c, 3..), compress.conv (8k, 2k + B U k, 1..),
//               tail.0.conv, tail.1.conv (8k, 8k, 3..), reconstruct.conv (1, 8k, 3..)
//
// Beside each conv.weight conv.bias (co): all of FSRCNN's and the first and last of SRResNet's are required, others
// optional. Optional beside each norm, both or neither: norm.running_mean and norm.running_var (c). A prelu.weight
// holds the slope of each channel (c). Definitions: docs/spec.md, sections 2, 5, 7.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sr {

enum class Architecture { mdcsrn, fsrcnn, srresnet, srdensenet };
enum class Bottleneck { automatic, never, always };         // "auto" (where c > 4k) | "never" | "always"
enum class Trunk { with_inputs, new_features };             // "with-inputs" | "new-features"
enum class BatchNorm { patch, running, scan };              // "patch" | "running" | "scan"
enum class Interpolation { nearest, linear, cubic, sinc };  // "linear" and "sinc" are what a model's `input` may be

// The largest networks that are read; a file that asks for more is refused before anything is sized by it.
namespace limits {
inline constexpr int blocks = 64, units = 64, growth = 256, features = 1024;
}

// A member that an architecture does not have is as default_model has it.
struct ModelDescription {
  Architecture architecture = Architecture::mdcsrn;
  int blocks = 4;    // B, 1 .. 64; of FSRCNN the mapping layers m; of SRResNet residual blocks
  int units = 4;     // U per block, 1 .. 64; mDCSRN, SRDenseNet; else 1
  int growth = 12;   // k, 1 .. 256; mDCSRN, SRDenseNet
  int features = 0;  // 1 .. 1024; FSRCNN's d, SRResNet's width
  int shrink = 0;    // 1 .. 1024; FSRCNN's s
  Bottleneck bottleneck = Bottleneck::automatic;
  Trunk trunk = Trunk::with_inputs;
  bool reconstruction = false;                  // the "-r" variant
  bool residual = false;                        // the input is added to the output
  Interpolation input = Interpolation::linear;  // how a low-resolution scan is brought to the output grid
  double norm_eps = 1e-5;
  BatchNorm batch_norm = BatchNorm::patch;  // the default of `run --batch-norm`

  friend bool operator==(const ModelDescription&, const ModelDescription&) = default;

  bool unit_has_bottleneck(int unit) const;
  int block_channels() const { return (2 + units) * growth; }  // mDCSRN: x_i and what the units append
  int trunk_channels(int n_blocks) const;
  // Networks without batch-norm have neither norm_eps nor a mode for it.
  bool has_norms() const { return architecture == Architecture::mdcsrn || architecture == Architecture::srresnet; }
  std::string name() const;  // "b4u4", "b1u16-r", "b4u4 k16", "fsrcnn", "srresnet features32"
};

// The paper's: FSRCNN with d = 56, s = 12, m = 4; SRResNet with 16 blocks of 64 channels; SRDenseNet with 8 blocks of 4
// units, k = 12; b4u4.
ModelDescription default_model(Architecture architecture);

// The rule that gives a and b of x' = (x - a) / b.
//   none        a = 0, b = 1
//   scale       a = 0, b = by                                        "scale:4095"
//   zscore      a = mean, b = standard deviation of all voxels
//   foreground  a = 0, b = mean of the voxels above the volume's mean (tissue; background hardly moves it)
//   percentile  a = 0, b = the given percentile of all voxels         "percentile:99.5"
struct Normalization {
  enum class Kind { none, scale, zscore, foreground, percentile } kind = Kind::none;
  double by = 1;  // scale: the divisor; percentile: 0 < by <= 100
  friend bool operator==(const Normalization&, const Normalization&) = default;
};

// "none", "scale:4095", "zscore", "foreground", "percentile:99.5". Throws WeightsError with the list of what there is.
Normalization parse_normalization(const std::string& text);
// "" where the rule's number makes sense, else what is wrong with it.
std::string check_normalization(const Normalization&);
std::string to_string(const Normalization&);
std::string to_string(Architecture);
std::string to_string(Bottleneck);
std::string to_string(Trunk);
std::string to_string(BatchNorm);
std::string to_string(Interpolation);
// ", batch-norm running" of a network that has it, else "": the end of a sentence about the network.
std::string batch_norm_clause(const ModelDescription& model, BatchNorm mode);

// The same words back. Throw WeightsError with the list of what there is.
Architecture parse_architecture(const std::string& text);
Bottleneck parse_bottleneck(const std::string& text);
Trunk parse_trunk(const std::string& text);
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
