// --device on the command line, end to end: the emulated CUDA plugin in place of the real one, and none at all.
#include <cmath>
#include <cstdlib>

#include "tests/tools/command_checks.h"

using namespace sr;
using namespace sr::test;

namespace {

const std::string weights = std::string(SR_TEST_DATA) + "/golden/network/b1u2-k12.bin";

// Names the plugin for the programs that are started while it lives.
class Plugin {
 public:
  explicit Plugin(const char* file) { ::setenv("SRENGINE_CUDA_PLUGIN", file, 1); }
  ~Plugin() { ::unsetenv("SRENGINE_CUDA_PLUGIN"); }
};

void write_head(const TemporaryFolder& folder) {
  write_scan(folder.path() / "head.nii", filled({9, 11, 13}, [](int z, int y, int x) {
               return 100 + 30 * std::sin(0.5 * x + 0.3 * y) * std::cos(0.4 * z);
             }));
}

Words run_on(const std::string& device, const std::string& output) {
  return {"run", "-w", weights, "--patch", "16", "--device", device, "head.nii", "-o", output};
}

}  // namespace

TEST_CASE("run --device cuda gives what the CPU gives, to rounding") {
  const TemporaryFolder folder;
  write_head(folder);
  done(folder, run_on("cpu", "cpu.nii"));
  const Plugin emulated(SR_EMULATED_PLUGIN);
  const Outcome o = done(folder, joined(run_on("cuda", "gpu.nii"), {"--json", "gpu.json"}));
  CHECK(holds(o.err, "GPU 0 (emulated)"));
  CHECK(holds(read_json(folder.path() / "gpu.json")["backend"], "GPU 0 (emulated)"));
  const Volume cpu = read_scan(folder.path() / "cpu.nii"), gpu = read_scan(folder.path() / "gpu.nii");
  double worst = 0;
  for (size_t i = 0; i < cpu.data.size(); i++)
    worst = std::max(worst, std::abs(double{cpu.data[i]} - double{gpu.data[i]}));
  CHECK(worst < 1e-4 * 100);  // of winograd4, on values of about 100
  CHECK(worst > 0);           // two ways to compute it
}

TEST_CASE("run on a device: auto takes it, several GPUs by number") {
  const TemporaryFolder folder;
  write_head(folder);
  const Plugin emulated(SR_EMULATED_PLUGIN);
  CHECK(holds(done(folder, run_on("auto", "a.nii")).err, "GPU 0 (emulated)"));
  CHECK(holds(done(folder, run_on("cuda:0", "b.nii")).err, "GPU 0 (emulated)"));
  CHECK(read_bytes(folder.path() / "a.nii") == read_bytes(folder.path() / "b.nii"));
  refused(folder, run_on("cuda:1", "c.nii"), 6, "there is no usable GPU 1");
}

TEST_CASE("without a plugin the CPU runs, and --device cuda is an error") {
  const TemporaryFolder folder;
  write_head(folder);
  const Plugin none("none");
  CHECK(holds(done(folder, run_on("auto", "a.nii")).err, "CPU ("));
  refused(folder, run_on("cuda", "b.nii"), 6, "no GPU can be used");
}

TEST_CASE("a plugin that is not there or not ours is said, and the CPU runs") {
  const TemporaryFolder folder;
  write_head(folder);
  {
    const Plugin missing("/no/such/plugin.so");
    CHECK(holds(done(folder, {"backends"}).out, "/no/such/plugin.so does not exist"));
    refused(folder, run_on("cuda", "b.nii"), 6, "/no/such/plugin.so does not exist");
  }
  const Plugin text(SR_TEST_DATA "/CMakeLists.txt");
  const Outcome o = done(folder, run_on("auto", "a.nii"));
  CHECK(holds(o.err, "no GPU: "));
  CHECK(holds(o.err, "CPU ("));
}

TEST_CASE("too little GPU memory: the CPU takes over and says why, --device cuda is an error") {
  const TemporaryFolder folder;
  write_head(folder);
  const Plugin emulated(SR_EMULATED_PLUGIN);
  refused(folder, joined(run_on("cuda", "b.nii"), {"--max-memory", "1000"}), 6, "--patch takes a smaller one");
  ::setenv("SR_EMULATION_MEMORY", "100000", 1);
  const Outcome o = done(folder, run_on("auto", "a.nii"));
  ::unsetenv("SR_EMULATION_MEMORY");
  CHECK(holds(o.err, "no GPU: "));
  CHECK(holds(o.err, "CPU ("));
}

TEST_CASE("GPU memory runs out in the middle of a run: the CPU takes over and says why") {
  const TemporaryFolder folder;
  write_head(folder);
  write_scan(folder.path() / "large.nii", filled({16, 15, 14}, [](int z, int y, int x) { return z + 2 * y + 3 * x; }));
  const std::string small = std::string(SR_TEST_DATA) + "/golden/network/b1u1-k4.bin";
  // 12 and 27 patches, two at a time: the graph for the last one alone is prepared when all others are done.
  const auto words = [&](const std::string& device) {
    return Words{"run", "-w", small, "--patch", "12", "--batch", "2", "--device", device, "head.nii", "large.nii"};
  };
  const auto outputs = [&] {
    return std::pair{read_bytes(folder.path() / "head_sr.nii.gz"), read_bytes(folder.path() / "large_sr.nii.gz")};
  };
  done(folder, words("cpu"));
  const auto [cpu_head, cpu_large] = outputs();

  const Plugin emulated(SR_EMULATED_PLUGIN);
  const auto run_with = [&](int allocations) {
    ::setenv("SR_EMULATION_ALLOCATIONS", std::to_string(allocations).c_str(), 1);
    const Outcome o = done(folder, words("auto"));
    ::unsetenv("SR_EMULATION_ALLOCATIONS");
    return o;
  };
  const std::string took_over = "the CPU took over from the GPU: ";
  const auto without_gpu = [&](const Outcome& o) { return holds(o.err, took_over) || holds(o.err, "no GPU: "); };
  int enough = 64, too_few = 0;  // allocations
  REQUIRE(!without_gpu(run_with(enough)));
  const auto [gpu_head, gpu_large] = outputs();
  CHECK(gpu_head != cpu_head);
  CHECK(gpu_large != cpu_large);
  while (enough - too_few > 1) {
    const int n = (enough + too_few) / 2;
    (without_gpu(run_with(n)) ? too_few : enough) = n;
  }

  // The last one is of the second scan, of which the first is not to know.
  Outcome o = run_with(enough - 1);
  CHECK(holds(o.err, "GPU 0 (emulated)"));
  CHECK(holds(o.err, "large.nii: " + took_over));
  CHECK(!holds(o.err, "head.nii: " + took_over));
  CHECK(holds(o.err, "out of memory"));
  CHECK(outputs() == std::pair{gpu_head, cpu_large});

  // One of the first scan's.
  o = run_with(enough - 5);
  CHECK(holds(o.err, "GPU 0 (emulated)"));
  CHECK(holds(o.err, "head.nii: " + took_over));
  CHECK(outputs() == std::pair{cpu_head, cpu_large});

  ::setenv("SR_EMULATION_ALLOCATIONS", std::to_string(enough - 1).c_str(), 1);
  o = run_program(folder, words("cuda"));
  ::unsetenv("SR_EMULATION_ALLOCATIONS");
  CHECK(o.code == 1);  // of two scans one
  CHECK(holds(o.err, "out of memory"));
}

TEST_CASE("the plain loops and a GPU do not go together") {
  const TemporaryFolder folder;
  write_head(folder);
  refused(folder, joined(run_on("cuda", "a.nii"), {"--backend", "ref"}), 2, "--backend ref");
}

TEST_CASE("bench takes every precision: its check allows for their rounding") {
  const TemporaryFolder folder;
  const Plugin emulated(SR_EMULATED_PLUGIN);
  for (const char* precision : {"tf32", "f16", "bf16"}) {
    const Outcome o = done(folder, {"bench", "--model", "b1u2,k=4", "--patch", "12", "--device", "cuda", "--patches",
                                    "1", "--batch", "1", "--precision", precision});
    CHECK(holds(o.out, std::string("GPU 0 (emulated), ") + precision));
  }
}

TEST_CASE("table times networks on a device") {
  const TemporaryFolder folder;
  const Plugin emulated(SR_EMULATED_PLUGIN);
  const Outcome o = done(folder, {"table", "--model", "b1u2,k=4", "--shape", "12x12x12", "--patch", "12", "--patches",
                                  "1", "--device", "cuda"});
  CHECK(holds(o.out, "networks on GPU 0 (emulated)"));
}

TEST_CASE("words that --device does not take are refused") {
  const TemporaryFolder folder;
  write_head(folder);
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:0,0", "cuda:-1", "cuda:99999", ""})
    refused(folder, run_on(device, "a.nii"), 2, "--device");
}

TEST_CASE("backends lists what there is") {
  const TemporaryFolder folder;
  const Plugin emulated(SR_EMULATED_PLUGIN);
  const std::string out = done(folder, {"backends"}).out;
  CHECK(holds(out, "cpu     "));
  CHECK(holds(out, "cuda:0  emulated, compute capability"));
}

TEST_CASE("bench on a device prints a line for each kind of layer") {
  const TemporaryFolder folder;
  const Plugin emulated(SR_EMULATED_PLUGIN);
  const Outcome o = done(folder, {"bench", "--model", "b1u2,k=4", "--patch", "12", "--device", "cuda", "--patches", "1",
                                  "--batch", "1", "--json", "b.json"});
  CHECK(holds(o.out, "3x3x3 8 -> 4, norm, ELU"));
  const nlohmann::json json = read_json(folder.path() / "b.json");
  REQUIRE(json["layers"].size() == 4);  // stem, two units, combination
  for (const nlohmann::json& layer : json["layers"]) {
    CHECK(layer["ms_per_patch"] > 0);
    CHECK(layer["gflops"] > 0);
  }
  CHECK(json["gpu_gbytes_per_s"] > 0);
}
