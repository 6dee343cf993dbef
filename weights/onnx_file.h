// A network as an ONNX model, for ONNX Runtime, OpenVINO and whatever else reads those.
//
//   input   x (1, 1, d, h, w)   float32, any d, h, w: a patch, normalised
//   output  y (1, 1, d, h, w)   float32
//
// Initialisers have the names and shapes of the weights file (weights/schema.h). doc_string and metadata_props say what
// has to be done around the network (docs/cli.md, export).
#pragma once

#include <filesystem>

#include "weights/weights_file.h"

namespace sr {

struct OnnxOptions {
  // The operations that networks are made of are the same in these, of 2019 and 2026.
  static constexpr int least_opset = 9, most_opset = 28;

  BatchNorm batch_norm = BatchNorm::patch;  // patch: statistics of the one patch that a call has; or running
  int opset = 13;
  int patch = 70, margin = 3;  // how large patches are meant to be and what of them is not kept, in voxels: advice
};

// Throws WeightsError where the model's numbers alone are more than ONNX's 2 GB.
void check_fits_onnx(const ModelDescription& model);

// Writes beside and renames. Throws NotWritten where it cannot, WeightsError where the weights cannot be exported.
void save_onnx(const std::filesystem::path& path, const Weights& weights, const OnnxOptions& options);

}  // namespace sr
