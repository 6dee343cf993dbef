// The whole network against PyTorch in float64 (tests/golden/network/make_golden.py), and what must not change a
// result.
#include <fmt/core.h>

#include "engine/networks/net_mdcsrn.h"
#include "engine/networks/plan.h"
#include "kernels/conv3d_impl.h"
#include "tests/engine/networks/golden_networks.h"

using namespace sr;
namespace {

// A patch that layers cut up: 30x40x28 voxels, i x j x k.
RestoreOptions several_items() {
  RestoreOptions options = small_patches(BackendKind::cpu);
  options.backend.patch = {28, 40, 30};
  return options;
}

std::vector<PackedConv> packed(const Weights& weights, ConvAlgorithm algorithm) {
  const Mdcsrn network(weights);
  std::vector<PackedConv> layers;
  for (const ConvLayer& conv : network.convs()) layers.emplace_back(conv.view(), algorithm);
  return layers;
}

}  // namespace

TEST_CASE("every variant and batch-norm mode equals PyTorch in float64") {
  REQUIRE(golden_variants().size() == 18);
  // ref: the only float32 in it is the volume that comes in and goes out. The others accumulate in float32 over a dozen
  // layers; F(4x4) tiles magnify rounding about tenfold.
  struct {
    BackendKind kind;
    ConvAlgorithm conv;
    double tolerance;
  } const backends[] = {{BackendKind::ref, ConvAlgorithm::direct, 1e-6},
                        {BackendKind::cpu, ConvAlgorithm::direct, 2e-5},
                        {BackendKind::cpu, ConvAlgorithm::winograd2, 3e-5},
                        {BackendKind::cpu, ConvAlgorithm::winograd4, 1e-4}};
  for (const auto& backend : backends) {
    double most = 0;
    std::string where;
    for (const std::string& name : golden_variants()) {
      const Weights weights = load_weights(golden_folder / (name + ".bin"));
      const Volume input = to_volume(golden_volume(name, 0));
      for (const BatchNorm mode : {BatchNorm::patch, BatchNorm::running, BatchNorm::scan}) {
        RestoreOptions options = small_patches(backend.kind);
        options.backend.conv = backend.conv;
        options.batch_norm = mode;
        const Volume result = Restorer(weights, options).restore(input, {});
        const double error = worst_error(result, golden_volume(name, 1 + static_cast<int>(mode)));
        INFO(name << ", batch-norm " << to_string(mode) << ", conv " << static_cast<int>(backend.conv));
        CHECK(error < backend.tolerance);
        if (error > most) most = error, where = name + " " + to_string(mode);
      }
    }
    fmt::print("{} {}: largest error {:.1e} of the rms ({}), {:.0f} % of the tolerance\n",
               backend.kind == BackendKind::ref ? "ref" : "cpu", static_cast<int>(backend.conv), most, where,
               100 * most / backend.tolerance);
  }
}

TEST_CASE("threads and patches in flight do not change a bit") {
  const Weights weights = random_weights(parse_model_name("b1u2,k=4"), 1);
  const Volume input = wavy({30, 38, 30});  // two patches along z and x
  for (const ConvAlgorithm conv : {ConvAlgorithm::winograd4, ConvAlgorithm::direct}) {
    RestoreOptions options = several_items();
    options.backend.conv = conv;
    // Where a layer is one item, all threads but one stand by.
    for (const PackedConv& layer : packed(weights, conv))
      REQUIRE(plan_conv3d(padded_layout(options.backend.patch), layer.impl()).n_items() >= 5);
    for (const BatchNorm mode : {BatchNorm::patch, BatchNorm::scan}) {
      options.batch_norm = mode;
      std::vector<float> first;
      for (const auto& [threads, batch] : {std::pair{1, 1}, {2, 1}, {5, 1}, {2, 2}, {5, 2}}) {
        options.backend.threads = threads;
        options.backend.batch = batch;
        const Volume result = Restorer(weights, options).restore(input, {});
        if (first.empty()) first = result.data;
        INFO(threads << " threads, " << batch << " patches in flight");
        CHECK(result.data == first);
      }
    }
  }
}

TEST_CASE("patches whose layers are cut into several items equal the plain loops") {
  const Weights weights = random_weights(parse_model_name("b1u2,k=4"), 1);
  const Volume input = wavy({28, 40, 30});
  RestoreOptions options = several_items();
  options.margin = 0;
  options.backend.kind = BackendKind::ref;
  const Volume plain = Restorer(weights, options).restore(input, {});
  const std::vector<double> expected(plain.data.begin(), plain.data.end());
  options.backend.kind = BackendKind::cpu;
  options.backend.threads = 3;
  // The tolerances of the golden volumes, above.
  for (const auto& [conv, tolerance] :
       {std::pair{ConvAlgorithm::direct, 2e-5}, {ConvAlgorithm::winograd2, 3e-5}, {ConvAlgorithm::winograd4, 1e-4}}) {
    options.backend.conv = conv;
    const double error = worst_error(Restorer(weights, options).restore(input, {}), expected);
    INFO("conv " << static_cast<int>(conv));
    CHECK(error < tolerance);
  }
}

TEST_CASE("a second volume through the same buffers equals the first through fresh ones") {
  const Weights weights = random_weights(parse_model_name("b2u2,k=4"), 1);
  Restorer used(weights, small_patches(BackendKind::cpu));
  used.restore(wavy({9, 30, 9}), {});
  const Volume input = wavy({11, 9, 14});
  CHECK(used.restore(input, {}).data == Restorer(weights, small_patches(BackendKind::cpu)).restore(input, {}).data);
}

TEST_CASE("with fixed statistics and a margin of the receptive radius, tiles equal the single pass") {
  const Weights weights = random_weights(parse_model_name("b1u2,k=4"), 3);
  const int radius = Mdcsrn(weights).receptive_radius();
  CHECK(radius == 3);
  const Volume input = wavy({13, 17, 11});
  RestoreOptions options = small_patches(BackendKind::cpu);
  options.batch_norm = BatchNorm::running;
  options.margin = radius;

  options.backend.patch = {9, 10, 8};
  const Volume tiled = Restorer(weights, options).restore(input, {});
  const auto with_margin = [&](int n) { return n + 2 * radius; };
  options.backend.patch = {with_margin(13), with_margin(17), with_margin(11)};
  const Volume whole = Restorer(weights, options).restore(input, {});

  const std::vector<double> expected(whole.data.begin(), whole.data.end());
  CHECK(worst_error(tiled, expected) < 2e-5);  // the tiles of F(4x4) start elsewhere, so rounding differs

  // The property is not an empty one: with a smaller margin the tiles show.
  options.backend.patch = {9, 10, 8};
  options.margin = 1;
  CHECK(worst_error(Restorer(weights, options).restore(input, {}), expected) > 1e-3);
}

TEST_CASE("receptive radius counts the convolutions of the longest path") {
  CHECK(Mdcsrn(random_weights(parse_model_name("b4u4,k=4"), 0)).receptive_radius() == 17);
  CHECK(Mdcsrn(random_weights(parse_model_name("b1u3-r,k=4"), 0)).receptive_radius() == 5);
  const auto radius = [](const char* name) {
    return make_network(random_weights(parse_model_name(name), 0))->receptive_radius();
  };
  CHECK(radius("fsrcnn,d=4,s=4,m=3") == 2 + 3 + 4);
  CHECK(radius("srresnet,blocks=2,features=4") == 4 + 2 * 2 + 1 + 2 + 4);
  CHECK(radius("srdensenet,blocks=2,units=3,k=4") == 1 + 2 * 3 + 2 + 1);
}

TEST_CASE("a run can be stopped between patches") {
  const Weights weights = random_weights(parse_model_name("b1u1,k=4"), 1);
  RestoreOptions options = small_patches(BackendKind::cpu);
  options.backend.threads = options.backend.batch = 2;
  int calls = 0;
  try {
    Restorer(weights, options).restore(wavy({30, 30, 30}), [&](int done, int total) {
      calls++;
      CHECK(done <= total);
      return calls < 3;
    });
    FAIL("the run went on");
  } catch (const Error& e) {
    CHECK(e.status == Status::interrupted);
  }
  CHECK(calls <= 4);  // the other lane may have been in its last patch
}

TEST_CASE("options that cannot work are refused by name") {
  const Weights weights = random_weights(parse_model_name("b1u1,k=4"), 1);
  const auto status_of = [](auto make) {
    try {
      make();
    } catch (const Error& e) {
      return e.status;
    }
    return Status::ok;
  };
  RestoreOptions options = small_patches(BackendKind::cpu);
  options.margin = 4;
  CHECK(status_of([&] { Restorer(weights, options); }) == Status::bad_usage);

  options = small_patches(BackendKind::cpu);
  options.backend.max_memory = 1000;
  CHECK(status_of([&] { Restorer(weights, options); }) == Status::resource_error);

  options = small_patches(BackendKind::cpu);
  options.batch_norm = BatchNorm::running;
  Weights without = weights;
  std::erase_if(without.tensors, [](const auto& t) { return t.first.find("running") != std::string::npos; });
  CHECK(status_of([&] { Restorer(without, options); }) == Status::bad_usage);
}

TEST_CASE("--max-memory lowers the patches in flight, not the result") {
  const Weights weights = random_weights(parse_model_name("b1u1,k=4"), 1);
  RestoreOptions options = small_patches(BackendKind::cpu);
  options.backend.threads = 4;
  const auto bytes_of = [&](int batch) {
    options.backend.batch = batch;
    const Restorer roomy(weights, options);
    CHECK(roomy.backend().batch() == batch);
    return roomy.backend().buffer_bytes();
  };
  const int64_t one = bytes_of(1), two = bytes_of(2), four = bytes_of(4);
  CHECK(four - two == 2 * (two - one));
  options.backend.max_memory = four - 1;
  CHECK(Restorer(weights, options).backend().batch() == 3);
  options.backend.max_memory = two;
  Restorer tight(weights, options);
  CHECK(tight.backend().batch() == 2);
  CHECK(tight.backend().buffer_bytes() == two);
  options.backend.max_memory = one - 1;
  CHECK_THROWS_AS(Restorer(weights, options), Error);
}

TEST_CASE("the memory of a run counts what each thread keeps") {
  const Weights weights = random_weights(parse_model_name("b1u2,k=4"), 1);
  RestoreOptions options = several_items();
  options.backend.batch = 1;
  const auto bytes_of = [&](int threads) {
    options.backend.threads = threads;
    return Restorer(weights, options).backend().buffer_bytes();
  };
  const Layout layout = padded_layout(options.backend.patch);
  int64_t scratch = 0;
  for (const PackedConv& conv : packed(weights, options.backend.conv))
    scratch = std::max(scratch, conv3d_scratch_bytes(layout, conv));
  CHECK(scratch > 0);
  CHECK(bytes_of(1) == Plan(Mdcsrn(weights), layout).elements() * int64_t{sizeof(float)} + scratch);
  CHECK(bytes_of(5) == bytes_of(1) + 4 * scratch);
}

TEST_CASE("a patch of the plain loops is one thread's") {
  const Weights weights = random_weights(parse_model_name("b1u1,k=4"), 1);
  RestoreOptions options = small_patches(BackendKind::ref);
  options.backend.threads = 4;
  options.backend.batch = 1;
  CHECK(Restorer(weights, options).backend().describe() ==
        "reference (plain loops, double), 1 thread, 1 patch in flight");
  options.backend.batch = 3;
  CHECK(Restorer(weights, options).backend().threads() == 3);
}

TEST_CASE("a constant volume stays finite") {
  Weights weights = random_weights(parse_model_name("b1u1,k=4"), 1);
  Volume constant({5, 5, 5});
  for (const char* rule : {"none", "zscore", "foreground", "percentile:99"}) {
    weights.normalization = parse_normalization(rule);
    const Volume result = Restorer(weights, small_patches(BackendKind::cpu)).restore(constant, {});
    for (const float v : result.data) REQUIRE(std::isfinite(v));
  }
}
