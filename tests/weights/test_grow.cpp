// A network that is grown computes what the smaller one did, whatever grows and however the trunk lies.
#include <fmt/core.h>

#include "engine/pipeline.h"
#include "tests/engine/networks/golden_networks.h"
#include "tests/weights/weights_files.h"
#include "weights/grow.h"

using namespace sr;
namespace {

// Batch-norm by the patch and by the running statistics.
double difference(const Weights& small, const Weights& large, BatchNorm mode) {
  RestoreOptions options = small_patches(BackendKind::ref);
  options.batch_norm = mode;
  const Volume input = wavy(kGoldenSize);
  const Volume before = Restorer(small, options).restore(input, {});
  const Volume after = Restorer(large, options).restore(input, {});
  return worst_error(after, std::vector<double>(before.data.begin(), before.data.end()));
}

// No zeros and ones that a wrong place would go unnoticed by.
Weights small_network(const std::string& name) {
  return random_weights(parse_model_name(name), 7);
}

}  // namespace

TEST_CASE("a grown network gives the smaller one's output, running statistics included") {
  // Blocks, units, both; bottlenecks that come with the further units, or are everywhere; each trunk; each last layer.
  const std::pair<const char*, const char*> pairs[] = {
      {"b1u1,k=4", "b2u1,k=4"},
      {"b2u2,k=4,residual", "b4u2,k=4,residual"},
      {"b2u2,k=4", "b2u5,k=4"},
      {"b2u2,k=4", "b3u4,k=4"},
      {"b2u3,k=2,bottleneck=always", "b3u4,k=2,bottleneck=always"},
      {"b2u2,k=4,trunk=new-features", "b3u3,k=4,trunk=new-features"},
      {"b1u2-r,k=2", "b2u3-r,k=2"},
      {"b2u2-r,k=2,trunk=new-features,residual", "b3u2-r,k=2,trunk=new-features,residual"},
  };
  for (const auto& [from, to] : pairs) {
    const Weights small = small_network(from);
    const Weights large = grow(small, parse_model_name(to), 3);
    CHECK(large.model.name() == parse_model_name(to).name());
    for (const BatchNorm mode : {BatchNorm::patch, BatchNorm::running}) {
      INFO(from << " -> " << to << ", batch-norm " << to_string(mode));
      const double error = difference(small, large, mode);
      // Sums in double, in the same order but for zeros between: float32 output is all that rounds.
      CHECK(error < 1e-6);
    }
    // The new layers are there to learn: their weights are no zeros.
    for (const std::string& name : new_tensors(small.model, large.model))
      if (name.ends_with(".conv.weight")) CHECK(std::ranges::count(large.at(name).data, 0.0f) == 0);
  }
}

TEST_CASE("statistics of a network that has none stay away when it grows") {
  Weights small = small_network("b1u2,k=4");
  std::erase_if(small.tensors, [](const auto& t) { return t.first.find("running") != std::string::npos; });
  const Weights large = grow(small, parse_model_name("b2u2,k=4"), 3);
  CHECK(!large.has_running_statistics());
  CHECK(difference(small, large, BatchNorm::patch) < 1e-6);
}

TEST_CASE("what does not grow is refused by name") {
  const Weights small = small_network("b2u2,k=4");
  for (const char* to : {"b1u2,k=4", "b2u1,k=4", "b3u1,k=4", "b3u2,k=5", "b3u2-r,k=4", "b2u2,k=4",
                         "b3u2,k=4,trunk=new-features", "b3u2,k=4,bottleneck=always", "fsrcnn"}) {
    INFO(to);
    CHECK(!can_grow(small.model, parse_model_name(to)));
    mentions(refusal([&] { grow(small, parse_model_name(to), 1); }), "does not grow into");
  }
}
