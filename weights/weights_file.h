// A network with its numbers, and the file it is kept in: a valid safetensors file with srengine.* metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "weights/normalization.h"
#include "weights/schema.h"
#include "weights/weights_error.h"

namespace sr {

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> data;
};

struct Weights {
  ModelDescription model;
  Normalization normalization;
  nlohmann::json provenance = nlohmann::json::object();  // trained on what, steps, loss, validation figures, licence
  std::map<std::string, Tensor> tensors;                 // by schema name; F16 files are widened to float32
  std::string sha256;                                    // of the tensor bytes as they lie in the file, hex
  bool half_precision = false;                           // the file's convolution weights are F16

  const Tensor& at(const std::string& name) const { return tensors.at(name); }
  const Tensor* find(const std::string& name) const;
  bool has_running_statistics() const;  // of every norm
};

// Reads and checks everything (lengths, overlaps, dtypes, shapes against the model, checksum) before use; allocates no
// more than a small multiple of the file's size. Throws WeightsError.
Weights load_weights(const std::filesystem::path& path);

// Writes beside and renames; throws NotWritten where it cannot. Fills in sha256 and half_precision. Half precision
// halves the convolution weights only; norms and biases, few but of any magnitude, stay F32.
void save_weights(const std::filesystem::path& path, Weights& weights, bool half_precision = false);

// The metadata of a weights file, without its tensors. Throws WeightsError, starting with `where`, where a field is
// missing or not what it must be; the format version comes first.
void parse_weights_metadata(const std::map<std::string, std::string>& metadata, const std::string& where,
                            Weights& weights);

// Every required tensor is there with its shape, nothing is left over, every number is finite and no variance negative.
// Throws WeightsError, starting with `where`, that lists what is not so.
void check_against_schema(const Weights& weights, const std::string& where);

// "mDCSRN b4u4: 4 blocks of 4 units, growth rate 12", "FSRCNN: 56 features, shrunk to 12, 4 mapping layers".
std::string architecture_text(const ModelDescription& model);

// What `srengine info` prints: architecture, parameters and multiply-adds per layer, normalization, provenance,
// checksum.
std::string describe(const Weights& weights, const std::filesystem::path& path);

// A network with He-initialised random numbers: for `srengine bench --model` and for tests.
Weights random_weights(const ModelDescription& model, uint64_t seed);

}  // namespace sr
