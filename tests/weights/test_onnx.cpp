// Exported networks: the file's contents, read back through ONNX's library, and what they compute (tests/reference/
// check_onnx.py runs them in ONNX Runtime and OpenVINO).
#include <onnx/checker.h>

#include "engine/backends/patches.h"
#include "engine/images/intensity.h"
#include "tests/engine/networks/golden_networks.h"
#include "tests/weights/onnx_evaluator.h"
#include "tests/weights/weights_files.h"
#include "weights/file_io.h"
#include "weights/model_json.h"
#include "weights/onnx_file.h"
#include "weights/onnx_graph.h"

using namespace sr;
namespace {

onnx::ModelProto written(const Weights& weights, const OnnxOptions& options) {
  const Folder folder;
  save_onnx(folder / "w.onnx", weights, options);
  const std::vector<uint8_t> bytes = read_file(folder / "w.onnx");
  onnx::ModelProto model;
  REQUIRE(model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return model;
}

// The volume in the golden files' patches, as doc_string says that it is to be done.
Volume restored(const onnx::ModelProto& model, const Weights& weights, const Volume& volume) {
  const RestoreOptions options = small_patches(BackendKind::ref);
  const PatchGrid grid = make_patch_grid(volume.size, options.backend.patch, options.margin);
  const Intensity rule = measure_intensity(weights.normalization, volume);
  const auto inside = [&](int z, int y, int x) {
    return z >= 0 && y >= 0 && x >= 0 && z < volume.size.d && y < volume.size.h && x < volume.size.w;
  };
  OnnxEvaluator network(model.graph());
  Volume result(volume.size);
  for (int i = 0; i < grid.count(); i++) {
    const Origin from = grid.origin(i);
    const Size3 p = grid.patch;
    std::vector<double> patch;
    for (int z = from.z; z < from.z + p.d; z++)
      for (int y = from.y; y < from.y + p.h; y++)
        for (int x = from.x; x < from.x + p.w; x++)
          patch.push_back(inside(z, y, x) ? (volume.at(z, y, x) - rule.a) / rule.b : 0);
    patch = network(patch, p);
    const Box kept = grid.interior(i);
    for (int z = kept.z0; z < kept.z1; z++)
      for (int y = kept.y0; y < kept.y1; y++)
        for (int x = kept.x0; x < kept.x1; x++) {
          const int at = ((z - from.z) * p.h + y - from.y) * p.w + x - from.x;
          result.at(z, y, x) = static_cast<float>(patch[at] * rule.b + rule.a);
        }
  }
  return result;
}

std::map<std::string, std::string> metadata_of(const onnx::ModelProto& model) {
  std::map<std::string, std::string> metadata;
  for (const auto& entry : model.metadata_props()) metadata[entry.key()] = entry.value();
  return metadata;
}

std::vector<int64_t> fixed_extents(const onnx::ValueInfoProto& info) {
  std::vector<int64_t> extents;
  for (const auto& dim : info.type().tensor_type().shape().dim()) extents.push_back(dim.dim_value());
  return extents;
}

}  // namespace

TEST_CASE("an exported network computes what PyTorch computes in float64") {
  REQUIRE(golden_variants().size() == 18);
  for (const std::string& name : golden_variants()) {
    const Weights weights = load_weights(golden_folder / (name + ".bin"));
    const Volume input = to_volume(golden_volume(name, 0));
    for (const BatchNorm mode : {BatchNorm::patch, BatchNorm::running}) {
      INFO(name << ", batch-norm " << to_string(mode));
      OnnxOptions options;
      options.batch_norm = mode;
      const Volume result = restored(written(weights, options), weights, input);
      // The volume comes and goes in float32; all between is double.
      CHECK(worst_error(result, golden_volume(name, 1 + static_cast<int>(mode))) < 1e-6);
    }
  }
}

TEST_CASE("the file is sound ONNX with the names, shapes and numbers of the weights") {
  for (const std::string& name : golden_variants()) {
    const Weights weights = load_weights(golden_folder / (name + ".bin"));
    for (const BatchNorm mode : {BatchNorm::patch, BatchNorm::running}) {
      INFO(name << ", batch-norm " << to_string(mode));
      OnnxOptions options;
      options.batch_norm = mode;
      const onnx::ModelProto model = written(weights, options);
      CHECK_NOTHROW(onnx::checker::check_model(model));
      CHECK(model.opset_import(0).version() == 13);

      const onnx::GraphProto& graph = model.graph();
      REQUIRE((graph.input_size() == 1 && graph.output_size() == 1));
      CHECK(graph.input(0).name() == "x");
      CHECK(graph.output(0).name() == "y");
      CHECK(fixed_extents(graph.input(0)) == std::vector<int64_t>{1, 1, 0, 0, 0});
      CHECK(fixed_extents(graph.output(0)) == std::vector<int64_t>{1, 1, 0, 0, 0});
      CHECK(graph.input(0).type().tensor_type().shape().dim(4).dim_param() == "w");

      size_t expected = 0;
      for (const auto& [key, tensor] : weights.tensors)
        expected += mode == BatchNorm::running || key.find(".running_") == std::string::npos;
      CHECK(static_cast<size_t>(graph.initializer_size()) == expected);
      for (const onnx::TensorProto& tensor : graph.initializer()) {
        INFO(tensor.name());
        REQUIRE(weights.find(tensor.name()));
        std::vector<int64_t> shape = weights.at(tensor.name()).shape;
        if (tensor.name().ends_with(".prelu.weight")) shape.insert(shape.end(), 3, 1);  // slopes of channels, broadcast
        CHECK(shape_of(tensor) == shape);
        CHECK(numbers_of(tensor) == weights.at(tensor.name()).data);
      }
    }
  }
}

TEST_CASE("the file says what has to be done around the network") {
  Weights weights = random_weights(parse_model_name("b2u3-r,k=2,residual,input=sinc"), 3);
  weights.normalization = parse_normalization("percentile:99.5");
  weights.model.norm_eps = 1e-3;
  OnnxOptions options;
  options.opset = 17;
  onnx::ModelProto model = written(weights, options);
  CHECK_NOTHROW(onnx::checker::check_model(model));
  CHECK(model.opset_import(0).version() == 17);
  CHECK(model.producer_name() == "srengine");
  CHECK(model.producer_version() == SRENGINE_VERSION);
  for (const char* part : {"sinc interpolation", "percentile 99.5", "70x70x70, of which 3 voxels"})
    mentions(model.doc_string(), part);
  auto metadata = metadata_of(model);
  CHECK(nlohmann::json::parse(metadata.at("srengine.model")) == to_json(weights.model));
  CHECK(nlohmann::json::parse(metadata.at("srengine.normalization")) == to_json(weights.normalization));
  CHECK(nlohmann::json::parse(metadata.at("srengine.provenance")) == weights.provenance);
  CHECK(metadata.at("srengine.batch_norm") == "patch");
  CHECK(metadata.at("srengine.patch") == "70");
  CHECK(metadata.at("srengine.margin") == "3");
  CHECK(metadata.at("srengine.receptive_radius") == std::to_string(make_network(weights)->receptive_radius()));

  options.batch_norm = BatchNorm::running;
  model = written(weights, options);
  mentions(model.doc_string(), "where " + std::to_string(make_network(weights)->receptive_radius()) + " voxels");
  CHECK(metadata_of(model).at("srengine.batch_norm") == "running");
}

TEST_CASE("skips and PReLU are written as ONNX has them") {
  Weights weights;
  weights.tensors = {{"wide.weight", {{2, 1, 1, 1, 1}, {1, -1}}},
                     {"wide.bias", {{2}, {0.5f, 0.25f}}},
                     {"slopes.weight", {{2}, {0.5f, 0.125f}}},
                     {"narrow.weight", {{1, 2, 1, 1, 1}, {1, 2}}}};
  onnx::ModelProto model;
  model.set_ir_version(4);
  model.add_opset_import()->set_version(13);
  model.mutable_graph()->set_name("skip");
  OnnxGraph graph(weights, BatchNorm::patch, *model.mutable_graph());
  const GraphValue x = graph.input("x");
  graph.output(graph.add(x, graph.conv("narrow", graph.prelu("slopes", graph.conv("wide", graph.concat({x}))))), "y");
  CHECK_NOTHROW(onnx::checker::check_model(model));
  CHECK(shape_of(model.graph().initializer(2)) == std::vector<int64_t>{2, 1, 1, 1});

  const auto prelu = [](double v, double slope) { return v > 0 ? v : slope * v; };
  const std::vector<double> in{-2, -0.3, 0.1, 3}, out = OnnxEvaluator(model.graph())(in, {1, 2, 2});
  for (size_t i = 0; i < in.size(); i++)
    CHECK(out[i] == Approx(in[i] + prelu(in[i] + 0.5, 0.5) + 2 * prelu(0.25 - in[i], 0.125)));
}

TEST_CASE("what cannot be exported is refused, and nothing is left") {
  const Folder folder;
  Weights weights = random_weights(parse_model_name("b1u1,k=1"), 1);
  const auto refused = [&](const OnnxOptions& options) {
    const std::string sentence = refusal([&] { save_onnx(folder / "w.onnx", weights, options); });
    CHECK(std::filesystem::is_empty(folder.path));
    return sentence;
  };
  weights.tensors.erase("blocks.0.units.0.norm.running_var");
  OnnxOptions running;
  running.batch_norm = BatchNorm::running;
  mentions(refused(running), "blocks.0.units.0.norm.running_var");
  mentions(refusal([&] { save_onnx(folder / "no" / "w.onnx", weights, {}); }), "cannot be written");
  CHECK(std::filesystem::is_empty(folder.path));

  // 2^31 bytes are 536,870,912 numbers.
  CHECK(multiply_adds_per_voxel(parse_model_name("b8u64,k=64")) < 536'000'000);
  CHECK(refusal([] { check_fits_onnx(parse_model_name("b8u64,k=64")); }) == accepted);
  CHECK(multiply_adds_per_voxel(parse_model_name("b9u64,k=64")) > 537'000'000);
  mentions(refusal([] { check_fits_onnx(parse_model_name("b9u64,k=64")); }), "GB, where protobuf ends at 2");
}
