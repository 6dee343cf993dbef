// srengine export: what is said, what is refused. tests/weights/test_onnx.cpp looks into the files.
#include "tests/tools/command_checks.h"
#include "weights/weights_file.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

const std::string weights = (fs::path(SR_TEST_DATA) / "golden/network/b1u1-k4.bin").string();

}  // namespace

TEST_CASE("export --safetensors writes the network that bench times") {
  const TemporaryFolder folder;
  const Outcome o = done(folder, {"export", "--model", "b1u2,k=3,residual", "--safetensors", "w.bin"});
  CHECK(o.out == "w.bin: b1u2 k3 as weights file\n");
  const Weights written = load_weights(folder / "w.bin");
  const Weights expected = random_weights(parse_model_name("b1u2,k=3,residual"), 1);
  CHECK(written.model == expected.model);
  REQUIRE(written.tensors.size() == expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) CHECK(written.at(name).data == tensor.data);
}

TEST_CASE("every architecture goes through all commands that know networks") {
  const TemporaryFolder folder;
  Volume scan({9, 8, 11});
  for (size_t i = 0; i < scan.data.size(); i++) scan.data[i] = static_cast<float>(i % 7);
  write_scan(folder / "scan.nii", scan);
  for (const char* model :
       {"b1u2-r,k=4", "fsrcnn,d=4,s=4,m=1", "srresnet,blocks=1,features=4", "srdensenet,blocks=2,units=2,k=4"}) {
    INFO(model);
    const std::string name = parse_model_name(model).name();
    done(folder, {"export", "--model", model, "--safetensors", "w.bin"});
    done(folder, {"import", "w.bin", "-o", "imported.bin"});
    CHECK(load_weights(folder / "imported.bin").model == parse_model_name(model));
    CHECK(holds(done(folder, {"info", "w.bin"}).out, "multiply-adds"));
    done(folder, {"run", "-w", "w.bin", "scan.nii", "-o", "sr.nii", "--patch", "8", "--margin", "1"});
    CHECK(read_scan(folder / "sr.nii").size == scan.size);
    CHECK(holds(done(folder, {"bench", "-w", "w.bin", "--patch", "12", "--patches", "1"}).out, name));
    CHECK(holds(done(folder, {"table", "--model", model, "--shape", "16x16x16", "--patch", "12", "--patches", "1"}).out,
                name));
#ifdef SRENGINE_ONNX
    done(folder, {"export", "w.bin", "--onnx", "w.onnx"});
#endif
  }
}

TEST_CASE("what export cannot make sense of gets one sentence") {
  const TemporaryFolder folder;
  refused(folder, {"export", "--onnx", "w.onnx"}, 2, "either a weights file or --model NAME");
  refused(folder, {"export", weights, "--model", "b4u4", "--onnx", "w.onnx"}, 2, "either a weights file or");
  refused(folder, {"export", weights}, 2, "neither is given");
  refused(folder, {"export", "--model", "b4", "--safetensors", "w.bin"}, 2, "'b4' is not a model");
  refused(folder, {"export", "absent.bin", "--safetensors", "w.bin"}, 4, "no such file");
  refused(folder, {"export", weights, "--safetensors", "no/w.bin"}, 5, "no/w.bin: cannot be written");
  refused(folder, {"export", weights, "--onnx", "w", "--safetensors", "./w"}, 2, "w is the name of two files");
  fs::copy(weights, folder / "w.bin");
  refused(folder, {"export", "w.bin", "--onnx", "./w.bin"}, 2, "./w.bin is the name of two files");
  refused(folder, {"export", "w.bin", "--safetensors", "w.bin"}, 2, "w.bin is the name of two files");
  refused(folder, {"export", weights, "--onnx", "w.onnx", "--batch-norm", "scan"}, 2, "'scan' is none of");
  for (const char* opset : {"8", "29"})
    refused(folder, {"export", weights, "--onnx", "w.onnx", "--opset", opset}, 2, "--opset");
}

#ifdef SRENGINE_ONNX

TEST_CASE("export --onnx takes batch-norm as the weights file or the option says") {
  const TemporaryFolder folder;
  CHECK(done(folder, {"export", weights, "--onnx", "w.onnx"}).out ==
        "w.onnx: b1u1 k4 as ONNX, opset 13, batch-norm patch\n");
  CHECK(
      done(folder, {"export", "--model", "b1u1", "--onnx", "w.onnx", "--opset", "20", "--batch-norm", "running"}).out ==
      "w.onnx: b1u1 as ONNX, opset 20, batch-norm running\n");

  Weights scan = random_weights(parse_model_name("b1u1,k=1"), 1);
  scan.model.batch_norm = BatchNorm::scan;
  save_weights(folder / "scan.bin", scan);
  refused(folder, {"export", "scan.bin", "--onnx", "w.onnx"}, 2, "choose --batch-norm patch or running");
  done(folder, {"export", "scan.bin", "--onnx", "w.onnx", "--batch-norm", "patch"});

  for (const char* statistic : {"running_mean", "running_var"})
    scan.tensors.erase(std::string("blocks.0.units.0.norm.") + statistic);
  save_weights(folder / "scan.bin", scan);
  refused(folder, {"export", "scan.bin", "--onnx", "w.onnx", "--batch-norm", "running"}, 2,
          "no running batch-norm statistics");
}

TEST_CASE("export --onnx refuses what does not fit before it makes it up, and what it cannot write") {
  const TemporaryFolder folder;
  refused(folder, {"export", "--model", "b64u64,k=256", "--onnx", "w.onnx"}, 2, "too large for an ONNX file");
  refused(folder, {"export", weights, "--onnx", "no/w.onnx"}, 5, "no/w.onnx: cannot be written");
}

#else

TEST_CASE("a build without ONNX says so") {
  const TemporaryFolder folder;
  refused(folder, {"export", weights, "--onnx", "w.onnx"}, 2, "has no ONNX export");
  refused(folder, {"export", "--model", "b4u4", "--onnx", "w.onnx"}, 2, "has no ONNX export");
}

#endif
