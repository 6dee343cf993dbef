// Checkpoints of real frameworks, in every container and under foreign names, against the tensors they must become.
// The files and their expected tensors are written by tests/golden/import/make_checkpoints.py.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>

#include "tests/support/catch.h"
#include "tests/weights/weights_files.h"
#include "weights/checkpoint.h"
#include "weights/import.h"
#include "weights/layer_names.h"
#include "weights/safetensors.h"

namespace fs = std::filesystem;
using namespace sr;

namespace {

const fs::path golden = fs::path(SR_TEST_DATA) / "golden" / "import";

// The tensors that a checkpoint must become, by schema name.
std::map<std::string, NamedTensor> expected_tensors(const std::string& name) {
  std::map<std::string, NamedTensor> out;
  const Checkpoint checkpoint = read_checkpoint(golden / (name + ".expected.safetensors"));
  for (const NamedTensor& t : checkpoint.groups.at(0).tensors) out[t.name] = t;
  return out;
}

// Exactly: every number in the golden files, and every sum of two of them, is a float32.
void check_import(const std::string& file, const std::string& expected, const ImportOptions& options = {}) {
  INFO(file);
  const ImportResult result = import_checkpoint(golden / file, options);
  const auto wanted = expected_tensors(expected);
  CHECK(result.weights.tensors.size() == wanted.size());
  for (const auto& [name, tensor] : wanted) {
    INFO(name);
    const Tensor* found = result.weights.find(name);
    REQUIRE(found);
    CHECK(found->shape == tensor.shape);
    CHECK(found->data == tensor.data);
  }
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// The tensors of a golden file, to be renamed and damaged.
TensorGroup tensors_of(const std::string& file) {
  return read_checkpoint(golden / file).groups.at(0);
}

void write_checkpoint(const fs::path& path, const TensorGroup& group) {
  std::vector<SafetensorsEntry> entries;
  std::vector<uint8_t> data;
  for (const NamedTensor& t : group.tensors) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(t.data.data());
    const size_t begin = data.size();
    data.insert(data.end(), bytes, bytes + t.data.size() * sizeof(float));
    entries.push_back({t.name, ElementType::f32, t.shape, begin, data.size()});
  }
  const std::string header = safetensors_header({}, entries);
  std::vector<uint8_t> file(header.begin(), header.end());
  file.insert(file.end(), data.begin(), data.end());
  write_bytes(path, file);
}

}  // namespace

TEST_CASE("our own names come in from every container") {
  for (const char* file : {"own_zip.pt", "own_protocol4.pt", "own_stream.pth", "own_sorted.safetensors", "own.npz",
                           "own_compressed.npz", "own_big_endian.npz", "own_parallel.pt", "own_nested.pt",
                           "own_views.pt", "own_views_stream.pth", "own_parameters.pt"})
    check_import(file, "own");
}

TEST_CASE("half-precision checkpoints are widened") {
  const ImportResult half = import_checkpoint(golden / "own_half.pt");
  for (const auto& [name, tensor] : expected_tensors("own")) {
    // Multiples of 1/1024 up to 1 are halves exactly; the variances reach 1.25, where halves lie 2^-10 apart.
    CHECK(half.weights.at(name).data == tensor.data);
  }
}

TEST_CASE("every variant of the architecture is recognised") {
  for (const char* name : {"auto", "always", "never", "r", "new_features", "biases"})
    check_import(std::string("variant_") + name + ".pt", std::string("variant_") + name);
  const auto model = [](const char* name) {
    return import_checkpoint(golden / ("variant_" + std::string(name) + ".pt")).weights.model;
  };
  CHECK(model("auto").bottleneck == Bottleneck::automatic);
  CHECK(model("auto").units == 5);
  CHECK(model("always").bottleneck == Bottleneck::always);
  CHECK(model("never").bottleneck == Bottleneck::never);
  CHECK(model("r").reconstruction);
  CHECK(model("new_features").trunk == Trunk::new_features);
  CHECK(model("new_features").blocks == 3);
  CHECK(model("biases").trunk == Trunk::with_inputs);
}

TEST_CASE("every variant is recognised under foreign names too") {
  const Folder folder;
  for (const char* name : {"auto", "always", "never", "r", "new_features", "biases"}) {
    // "blocks.0.units.3.bottleneck.conv.weight" -> "net/b0/u3/squeeze/c/weight": same structure, no name of ours.
    TensorGroup group = tensors_of("variant_" + std::string(name) + ".expected.safetensors");
    for (NamedTensor& t : group.tensors) {
      const std::pair<std::string, std::string> words[] = {
          {"blocks.", "b"},      {"units.", "u"},    {"bottleneck", "squeeze"}, {"stem", "begin"},
          {"compressors.", "s"}, {"combine", "end"}, {"reconstruction", "rec"}, {".", "/"}};
      for (const auto& [from, to] : words)
        for (size_t at; (at = t.name.find(from)) != std::string::npos;) t.name.replace(at, from.size(), to);
      t.name = "net/" + t.name;
    }
    write_checkpoint(folder / "x.safetensors", group);
    check_import((folder / "x.safetensors").string(), "variant_" + std::string(name));
  }
}

TEST_CASE("the public re-implementation's repeated stem is folded") {
  check_import("foreign_public.pth", "foreign_public");
  const ImportResult result = import_checkpoint(golden / "foreign_public.pth");
  const ModelDescription& m = result.weights.model;
  CHECK((m.blocks == 3 && m.units == 2 && m.growth == 2 && m.trunk == Trunk::with_inputs));
  mentions(joined(result.explanation), "compressors.0.conv.weight (folded)");
  mentions(joined(result.explanation), "x_1 twice");
  mentions(joined(result.explanation), "block2.denselayer2.norm.running_var");
}

TEST_CASE("names decide where order would mislead") {
  check_import("foreign_registration.pt", "foreign_registration");
}

TEST_CASE("TensorFlow's names, layout and eps are recognised") {
  check_import("foreign_keras.safetensors", "foreign_keras");
  check_import("foreign_positional.npz", "foreign_keras");
  CHECK(import_checkpoint(golden / "foreign_keras.safetensors").weights.model.norm_eps == 1e-3);
}

TEST_CASE("what tensors cannot say is taken from the options") {
  const ImportResult plain = import_checkpoint(golden / "own_zip.pt");
  CHECK(plain.weights.model.norm_eps == 1e-5);
  CHECK(plain.weights.normalization.kind == Normalization::Kind::none);
  mentions(joined(plain.choices), "--normalization sets it");

  ImportOptions options;
  options.normalization = parse_normalization("scale:4095");
  options.input = Interpolation::sinc;
  options.residual = true;
  options.batch_norm = BatchNorm::running;
  options.norm_eps = 1e-3;
  options.provenance = parse_provenance(R"({"trained_on": "phantoms"})");
  ImportResult chosen = import_checkpoint(golden / "own_zip.pt", options);
  const ModelDescription& m = chosen.weights.model;
  CHECK((m.input == Interpolation::sinc && m.residual && m.batch_norm == BatchNorm::running && m.norm_eps == 1e-3));
  CHECK(chosen.weights.provenance["trained_on"] == "phantoms");
  CHECK(chosen.weights.provenance["imported_from"]["file"] == "own_zip.pt");

  SECTION("and kept when a weights file is imported again") {
    const Folder folder;
    save_weights(folder / "w.bin", chosen.weights);
    const ImportResult again = import_checkpoint(folder / "w.bin");
    CHECK(again.weights.model == chosen.weights.model);
    CHECK(again.weights.normalization == chosen.weights.normalization);
    CHECK(again.weights.provenance["trained_on"] == "phantoms");
    for (const auto& [name, tensor] : chosen.weights.tensors) CHECK(again.weights.at(name).data == tensor.data);
  }
  options.norm_eps = 0;
  mentions(refusal([&] { import_checkpoint(golden / "own_zip.pt", options); }), "eps");
}

TEST_CASE("provenance is an object, a file with one, or a note") {
  const Folder folder;
  const std::string there = (folder / "there.json").string(), absent = (folder / "absent.json").string();
  std::ofstream(there) << R"({"licence": "CC0"})";
  CHECK(parse_provenance(there)["licence"] == "CC0");
  CHECK(parse_provenance("a sentence")["note"] == "a sentence");
  CHECK(parse_provenance(R"({"a": "b.json"})")["a"] == "b.json");
  mentions(refusal([] { parse_provenance("{broken"); }), "provenance");
  mentions(refusal([&] { parse_provenance(absent); }), "absent.json' is no file that is there");
  mentions(refusal([&] { parse_provenance((folder / "a.json/b.json").string()); }), "is no file that is there");
  std::ofstream(there) << "[]";
  mentions(refusal([&] { parse_provenance(there); }), "not a JSON object");
}

TEST_CASE("a damaged weights file is not imported as a sound one") {
  const Folder folder;
  Weights weights = random_weights(parse_model_name("b1u1,k=2"), 1);
  save_weights(folder / "w.bin", weights);
  const std::vector<uint8_t> sound = read_file(folder / "w.bin");
  CHECK(refusal([&] { import_checkpoint(folder / "w.bin"); }) == accepted);
  std::vector<uint8_t> damaged = sound;
  damaged[damaged.size() - 5] ^= 1;
  write_bytes(folder / "w.bin", damaged);
  mentions(refusal([&] { import_checkpoint(folder / "w.bin"); }), "checksum does not fit its tensors");
}

TEST_CASE("scalars beside our own names are ignored, as beside others") {
  const Folder folder;
  TensorGroup group = tensors_of("own.expected.safetensors");
  group.tensors.push_back({"step", {}, {3}});
  group.tensors.push_back({"blocks.0.units.0.norm.num_batches_tracked", {}, {3}});
  write_checkpoint(folder / "x.safetensors", group);
  check_import((folder / "x.safetensors").string(), "own");
  mentions(joined(import_checkpoint(folder / "x.safetensors").explanation), "'step'");
  std::erase_if(group.tensors, [](auto& t) { return t.name == "stem.conv.weight"; });
  group.tensors.push_back({"stem.conv.weight", {}, {3}});
  write_checkpoint(folder / "x.safetensors", group);
  mentions(refusal([&] { import_checkpoint(folder / "x.safetensors"); }), "a stem of 0 channels");
}

TEST_CASE("the explanation cannot drive a terminal") {
  const Folder folder;
  TensorGroup group = tensors_of("own.expected.safetensors");
  for (NamedTensor& t : group.tensors) t.name = "\x1b[2J." + t.name;
  write_checkpoint(folder / "x.safetensors", group);
  const std::string text = joined(import_checkpoint(folder / "x.safetensors").explanation);
  mentions(text, "?[2J.stem.conv.weight");
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("several networks in one file are told apart by --key") {
  mentions(refusal([] { import_checkpoint(golden / "own_twice.pt"); }), "'model', 'ema'; choose one with --key");
  ImportOptions options;
  options.key = "ema";
  check_import("own_twice.pt", "own", options);
  options.key = "nothing";
  mentions(refusal([&] { import_checkpoint(golden / "own_twice.pt", options); }), "no dictionary 'nothing'");
}

TEST_CASE("what does not fit is an error that lists it") {
  const Folder folder;
  const TensorGroup good = tensors_of("foreign_public.pth");
  const auto imported = [&](const std::function<void(std::vector<NamedTensor>&)>& damage) {
    TensorGroup group = good;
    std::erase_if(group.tensors, [](const NamedTensor& t) { return !t.floating; });
    damage(group.tensors);
    write_checkpoint(folder / "x.safetensors", group);
    return refusal([&] { import_checkpoint(folder / "x.safetensors"); });
  };
  using Tensors = std::vector<NamedTensor>;
  const auto named = [](Tensors& tensors, const std::string& name) -> NamedTensor& {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  };
  REQUIRE(imported([](Tensors&) {}) == accepted);
  mentions(imported([](Tensors& t) { t.push_back({"extra", {2, 2}, {0, 0, 0, 0}}); }), "extra (2, 2)");
  mentions(imported([](Tensors& t) { t.push_back({"extra.weight", {5}, {0, 0, 0, 0, 0}}); }), "extra.weight (5)");
  mentions(imported([](Tensors& t) {
             t.push_back({"extra.weight", {5}, {0, 0, 0, 0, 0}});
             t.push_back({"extra.bias", {5}, {0, 0, 0, 0, 0}});
           }),
           "norms of 5 channels; the checkpoint has 1: 'extra'");
  mentions(imported([](Tensors& t) { t.push_back({"extra.weight", {3, 1, 1, 1, 1}, {0, 0, 0}}); }), "'extra'");
  mentions(imported([](Tensors& t) {
             t.push_back({"extra.weight", {2, 4, 5, 5, 5}, std::vector<float>(1000)});
           }),
           "convolutions 5x5x5, 4 -> 2; the checkpoint has 1: 'extra'");
  mentions(imported([](Tensors& t) {
             t.push_back({"extra.weight", {4, 1, 3, 3, 3}, std::vector<float>(108)});
           }),
           "'conv0', 'extra'");
  mentions(imported([&](Tensors& t) { named(t, "comp0.weight").name = "comp0.gamma_x"; }), "");
  mentions(imported([](Tensors& t) { std::erase_if(t, [](auto& x) { return x.name == "conv0.weight"; }); }),
           "no 3x3x3 convolution of one channel");
  mentions(imported([](Tensors& t) { std::erase_if(t, [](auto& x) { return x.name == "comp1.weight"; }); }),
           "no layout that is known");
  mentions(imported([](Tensors& t) { std::erase_if(t, [](auto& x) { return x.name == "recon.weight"; }); }),
           "needs one 1x1x1 convolution at the end");
  mentions(imported([](Tensors& t) {
             std::erase_if(t, [](auto& x) { return x.name == "block1.denselayer2.conv.weight"; });
           }),
           "cannot be divided evenly");
  mentions(imported([](Tensors& t) {
             std::erase_if(t, [](auto& x) { return x.name.starts_with("block1.denselayer2.norm"); });
           }),
           "norms of 6 channels; the checkpoint has 2");
  mentions(
      imported([](Tensors& t) { std::erase_if(t, [](auto& x) { return x.name == "block1.denselayer2.norm.bias"; }); }),
      "block1.denselayer2.norm.weight");
  mentions(imported([](Tensors& t) {
             std::erase_if(t, [](auto& x) { return x.name == "block1.denselayer2.norm.running_var"; });
           }),
           "block1.denselayer2.norm.running_mean");
  mentions(imported([&](Tensors& t) {
             NamedTensor& recon = named(t, "recon.weight");
             recon.shape[1] += 1;
             recon.data.push_back(0);
           }),
           "no layout that is known");
  mentions(imported([&](Tensors& t) { named(t, "recon.weight").data[0] = INFINITY; }),
           "'combine.conv.weight' holds inf");
  // safetensors files are sorted by name, so names that only differ in letters say nothing about order.
  mentions(imported([&](Tensors& t) {
             for (NamedTensor& x : t)
               for (const auto& [from, to] : {std::pair("block0", "early"), {"block1", "later"}, {"block2", "end"}})
                 if (x.name.starts_with(from)) x.name.replace(0, 6, to);
           }),
           "tell these");
}

TEST_CASE("our own names with something missing or left over are listed") {
  const Folder folder;
  TensorGroup group = tensors_of("own.expected.safetensors");
  std::erase_if(group.tensors, [](auto& t) { return t.name == "blocks.1.units.0.norm.bias"; });
  group.tensors.push_back({"surplus", {1}, {0}});
  write_checkpoint(folder / "x.safetensors", group);
  mentions(refusal([&] { import_checkpoint(folder / "x.safetensors"); }),
           "missing 'blocks.1.units.0.norm.bias'; unknown 'surplus'");
  for (NamedTensor& t : group.tensors)
    if (t.name.starts_with("blocks.1.")) t.name.replace(7, 1, "999999999999");
  write_checkpoint(folder / "x.safetensors", group);
  mentions(refusal([&] { import_checkpoint(folder / "x.safetensors"); }),
           "unknown 'blocks.999999999999.units.0.conv.weight'");
}

TEST_CASE("names are split, ordered and compared") {
  const auto split = [](const char* name) {
    const auto part = split_name(name);
    return part ? part->layer + "|" + std::to_string(static_cast<int>(part->part)) : "-";
  };
  CHECK(split("block0.denselayer1.norm.running_var") == "block0.denselayer1.norm|3");
  CHECK(split("batch_normalization_3/gamma:0") == "batch_normalization_3|0");
  CHECK(split("conv_1_bias") == "conv_1|1");
  CHECK(split("arr_0") == "-");
  CHECK(split("xbeta") == "-");
  CHECK(natural_less("conv3d_2", "conv3d_10"));
  CHECK(natural_less("conv3d", "conv3d_1"));
  CHECK_FALSE(natural_less("a10", "a9"));
  CHECK(name_affinity("b0.u1.norm", "b0.u1.conv") > name_affinity("b0.u10.norm", "b0.u1.conv"));
  CHECK(name_affinity("x.norm_b", "x.conv_b") > name_affinity("x.norm_a", "x.conv_b"));
  CHECK(name_affinity("norm_5", "conv_5") == name_affinity("norm_4", "conv_5"));
}

TEST_CASE("the public checkpoint imports") {
  const char* shared = std::getenv("SRENGINE_SHARED");
  const fs::path file = (shared ? fs::path(shared) : fs::path(SR_TEST_DATA) / ".." / ".." / "shared") / "checkpoints" /
                        "mdcsrn_b4u4_k16_legacy.pth";
  if (!fs::exists(file)) {
    std::cout << "skipped: the public checkpoint is not at " << file << "\n";
    return;
  }
  ImportOptions options;
  options.normalization = parse_normalization("scale:4095");
  ImportResult result = import_checkpoint(file, options);
  ModelDescription expected = parse_model_name("b4u4,k=16,bottleneck=never");
  CHECK(result.weights.model == expected);
  CHECK(multiply_adds_per_voxel(result.weights.model) == 406'752);
  mentions(joined(result.explanation), "128, 224, 320, 416 channels");

  // Folding checked against the file itself: column i of x_1 is the sum of columns i and 32 + i.
  const Checkpoint checkpoint = read_checkpoint(file);
  for (const NamedTensor& t : checkpoint.groups.at(0).tensors)
    if (t.name == "recon.weight") {
      const std::vector<float>& folded = result.weights.at("combine.conv.weight").data;
      REQUIRE(t.data.size() == folded.size() + 32);
      for (size_t i = 0; i < folded.size(); ++i)
        REQUIRE(folded[i] == (i < 32 ? t.data[i] + t.data[32 + i] : t.data[32 + i]));
    }
  const Folder folder;
  save_weights(folder / "public.bin", result.weights);
  CHECK(load_weights(folder / "public.bin").tensors.size() == result.weights.tensors.size());
}

namespace {

// The tensors of a network in the order of the forward pass, under its own names behind a prefix, or layer by layer
// under numbers: "net.7.weight".
TensorGroup group_of(const Weights& weights, bool own_names) {
  TensorGroup group;
  std::string layer;
  int number = -1;
  for (const TensorSpec& spec : tensor_table(weights.model)) {
    const Tensor* tensor = weights.find(spec.name);
    if (!tensor) continue;
    const size_t dot = spec.name.rfind('.');
    if (spec.name.substr(0, dot) != layer) number++;
    layer = spec.name.substr(0, dot);
    NamedTensor t;
    t.name = own_names ? "module." + spec.name : "net." + std::to_string(number) + spec.name.substr(dot);
    t.shape = tensor->shape;
    t.data = tensor->data;
    t.floating = true;
    group.tensors.push_back(std::move(t));
  }
  return group;
}

void expect_same(const Weights& got, const Weights& wanted) {
  CHECK(got.model == wanted.model);
  CHECK(got.tensors.size() == wanted.tensors.size());
  for (const auto& [name, tensor] : wanted.tensors) {
    INFO(name);
    REQUIRE(got.find(name));
    CHECK(got.at(name).shape == tensor.shape);
    CHECK(got.at(name).data == tensor.data);
  }
}

}  // namespace

TEST_CASE("the baselines are recognised, under their own names and under numbers") {
  const Folder folder;
  for (const char* name :
       {"fsrcnn,d=8,s=4,m=2", "fsrcnn,d=5,s=3,m=1", "srresnet,blocks=2,features=4", "srresnet,blocks=1,features=3",
        "srdensenet,blocks=3,units=2,k=4", "srdensenet,blocks=1,units=3,k=2", "srdensenet,blocks=2,units=1,k=2"})
    for (const bool own_names : {true, false}) {
      INFO(name << (own_names ? ", own names" : ", numbers"));
      const Weights weights = random_weights(parse_model_name(name), 5);
      write_checkpoint(folder / "x.safetensors", group_of(weights, own_names));
      expect_same(import_checkpoint(folder / "x.safetensors").weights, weights);
    }
}

TEST_CASE("one PReLU slope for all channels becomes one for each; a number of PReLUs that fits nothing is refused") {
  const Folder folder;
  Weights weights = random_weights(parse_model_name("fsrcnn,d=4,s=3,m=1"), 5);
  TensorGroup group = group_of(weights, false);
  NamedTensor* prelu = nullptr;
  for (NamedTensor& t : group.tensors)
    if (t.name == "net.1.weight") prelu = &t;
  REQUIRE(prelu);
  REQUIRE(prelu->shape == std::vector<int64_t>{4});
  prelu->shape = {1};
  prelu->data.resize(1);
  write_checkpoint(folder / "x.safetensors", group);
  std::ranges::fill(weights.tensors.at("shrink.prelu.weight").data, prelu->data[0]);
  expect_same(import_checkpoint(folder / "x.safetensors").weights, weights);

  std::erase_if(group.tensors, [](const NamedTensor& t) { return t.name == "net.1.weight"; });
  write_checkpoint(folder / "x.safetensors", group);
  try {
    import_checkpoint(folder / "x.safetensors");
    FAIL("taken");
  } catch (const WeightsError& e) {
    mentions(e.what(), "has 4 PReLUs; the checkpoint has 3");
  }
}
