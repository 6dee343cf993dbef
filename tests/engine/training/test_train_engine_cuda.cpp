// Steps of training on the device, under emulation or on a GPU, against PyTorch in float64 and against themselves.
#include <fmt/core.h>

#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "engine/training/device_engine.h"
#include "engine/training/host_engine.h"
#include "kernels/emulation/settings.h"
#include "tests/engine/training/golden_training.h"
#include "tests/support/cuda_test_api.h"

using namespace sr;
using namespace sr::train;
namespace {

std::unique_ptr<TrainingEngine> engine_for(const Weights& weights, const TrainingOptions& options) {
  static SingleProcess alone;
  return make_device_engine(api(), 0, weights, options, alone);
}

std::vector<float> all_numbers(TrainingEngine& engine) {
  std::vector<float> row = by_name(saved(engine), false);
  const std::vector<float> running = by_name(saved(engine), true);
  row.insert(row.end(), running.begin(), running.end());
  return row;
}

// Ranks that are threads: rank 0's bytes reach the others.
class Threads {
 public:
  explicit Threads(int n) : n_(n) {}
  class Rank final : public Collective {
   public:
    Rank(Threads& all, int rank) : all_(all), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return all_.n_; }
    void sum(double*, int64_t) override { FAIL("sums are taken on the device"); }
    void sum(float*, int64_t) override { FAIL("sums are taken on the device"); }
    void finish() override {}
    bool fail(Status, const std::string&) override { return false; }
    void broadcast(void* bytes, int64_t n) override {
      std::unique_lock lock(all_.mutex_);
      auto* first = static_cast<char*>(bytes);
      if (rank_ == 0) {
        all_.bytes_.assign(first, first + n);
        all_.arrived_.notify_all();
      } else {
        all_.arrived_.wait(lock, [&] { return !all_.bytes_.empty(); });
        std::memcpy(bytes, all_.bytes_.data(), static_cast<size_t>(n));
      }
    }

   private:
    Threads& all_;
    int rank_;
  };

 private:
  int n_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<char> bytes_;
};

// Patch i of a batch of two as a batch of its own.
Batch half(const Batch& batch, int i) {
  Batch one = {1, batch.size, {}, {}};
  const auto n = static_cast<ptrdiff_t>(batch.size.voxels());
  one.input.assign(batch.input.begin() + i * n, batch.input.begin() + (i + 1) * n);
  one.target.assign(batch.target.begin() + i * n, batch.target.begin() + (i + 1) * n);
  return one;
}

}  // namespace

TEST_CASE("gradients and steps on the device equal PyTorch's in float64") {
  double most = 0, most_steps = 0;
  for (const std::string name : kVariants) {
    INFO(name);
    const Golden golden(name);
    const std::vector<float> start = by_name(golden.weights, false);
    TrainingOptions options;
    const auto engine = engine_for(golden.weights, options);
    StepResult result;
    const double gradient = distance(by_name(engine->gradient(golden.batch, result), golden.weights), golden.gradient);
    CHECK(gradient < 2e-6);
    most = std::max(most, gradient);
    // Emulated, a step takes seconds: the smallest network stands for the others in all of them.
    const int n_steps = device_is_emulated() && name != kVariants[0] ? 1 : 20;
    for (int step = 0; step < n_steps; step++) {
      engine->step(golden.batch, 1e-3);
      if (step == 0) CHECK(distance(by_name(saved(*engine), false), golden.after_1, start) < 2e-5);
    }
    if (n_steps == 20) {
      const double steps = distance(by_name(saved(*engine), false), golden.after_20, start);
      CHECK(steps < 2e-5);
      CHECK(distance(by_name(saved(*engine), true), golden.running) < 1e-5);
      most_steps = std::max(most_steps, steps);
    }

    options.frozen_norm = true;
    const auto frozen = engine_for(golden.weights, options);
    CHECK(distance(by_name(frozen->gradient(golden.batch, result), golden.weights), golden.frozen_gradient) < 2e-6);
    frozen->step(golden.batch, 1e-3);
    CHECK(by_name(saved(*frozen), true) == by_name(golden.weights, true));
  }
  fmt::print("{}: gradients within {:.1e}, 20 steps within {:.1e} of what they moved\n", api().description(), most,
             most_steps);
}

TEST_CASE("gradients and steps of the baselines on the device equal the host's in double") {
  double most = 0;
  for (const char* model : {"fsrcnn,d=8,s=4,m=2", "srresnet,blocks=2,features=8", "srdensenet,blocks=2,units=2,k=4"})
    for (const bool frozen_norm : {false, true}) {
      INFO(model << (frozen_norm ? ", frozen norms" : ""));
      const Weights weights = random_weights(parse_model_name(model), 1);
      const Volume input = wavy({6, 7, 9}), target = wavy({6, 7, 18});
      Batch batch = {2, {3, 7, 9}, input.data, {}};
      for (size_t i = 0; i < input.data.size(); i++) batch.target.push_back(input.data[i] - 0.3f * target.data[2 * i]);
      TrainingOptions options;
      options.frozen_norm = frozen_norm;
      options.kind = BackendKind::ref;
      SingleProcess alone;
      const auto reference = make_host_engine(weights, options, alone);
      const auto engine = engine_for(weights, options);
      StepResult expected, result;
      const double error = distance(engine->gradient(batch, result), reference->gradient(batch, expected));
      CHECK(error < 2e-6);
      CHECK(std::abs(result.loss - expected.loss) < 1e-6 * expected.loss);
      most = std::max(most, error);
      engine->step(batch, 1e-3);
      reference->step(batch, 1e-3);
      // Adam divides a gradient by its own size: where that is small, the step is off by as much as it is wrong.
      CHECK(distance(by_name(saved(*engine), false), by_name(saved(*reference), false), by_name(weights, false)) <
            1e-3);
      if (!make_network(weights)->norms().empty())
        CHECK(distance(by_name(saved(*engine), true), by_name(saved(*reference), true)) < 1e-5);
    }
  fmt::print("{}: gradients of the baselines within {:.1e}\n", api().description(), most);
}

TEST_CASE("a saved state goes on to the same bits on the device, in any order of blocks") {
  const Golden golden("b1u1-k4");
  const TrainingOptions options;
  const auto uncut = engine_for(golden.weights, options);
  for (int step = 0; step < 3; step++) uncut->step(golden.batch, 1e-3);
  const std::vector<float> whole = all_numbers(*uncut);

  auto engine = engine_for(golden.weights, options);
  engine->step(golden.batch, 1e-3);
  Weights weights;
  OptimiserState state;
  engine->save(weights, state);
  CHECK(state.step == 1);
  engine = engine_for(golden.weights, options);
  engine->load(weights, state);
  if (device_is_emulated()) emulation::settings().order = emulation::Order::random;
  for (int step = 0; step < 2; step++) engine->step(golden.batch, 1e-3);
  emulation::settings().order = emulation::Order::forward;
  CHECK(all_numbers(*engine) == whole);
}

TEST_CASE("on the device a batch that is no number changes nothing; a long gradient is cut") {
  const Golden golden("b2u2-k4-always");
  TrainingOptions options;
  const auto engine = engine_for(golden.weights, options);
  const StepResult good = engine->step(golden.batch, 1e-3);
  CHECK(good.finite);
  const std::vector<float> before = all_numbers(*engine);
  Batch bad = golden.batch;
  bad.input[5] = NAN;
  CHECK_FALSE(engine->step(bad, 1e-3).finite);
  CHECK(all_numbers(*engine) == before);
  CHECK(engine->step(golden.batch, 1e-3).finite);  // nothing of it is left in the buffers

  options.clip = good.gradient_norm / 4;
  const auto clipped = engine_for(golden.weights, options);
  CHECK(clipped->step(golden.batch, 1e-3).gradient_norm == good.gradient_norm);
  Weights weights;
  OptimiserState cut, uncut;
  clipped->save(weights, cut);
  const auto whole = engine_for(golden.weights, TrainingOptions());
  whole->step(golden.batch, 1e-3);
  whole->save(weights, uncut);
  for (size_t i = 0; i < cut.m.size(); i++) CHECK(std::abs(4 * cut.m[i] - uncut.m[i]) <= 1e-5 * std::abs(uncut.m[i]));
}

TEST_CASE("two ranks with half of the batch each take the step of one with all of it") {
  if (!device_is_emulated()) return;  // NCCL wants a GPU for each
  const Golden golden("b2u2-k4-biases");
  const auto alone = engine_for(golden.weights, {});
  StepResult one;
  for (int step = 0; step < 2; step++) one = alone->step(golden.batch, 1e-3);

  Threads ranks(2);
  std::vector<float> numbers[2];
  StepResult results[2];
  const auto work = [&](int rank) {
    Threads::Rank collective(ranks, rank);
    const auto engine = make_device_engine(api(), 0, golden.weights, {}, collective);
    for (int step = 0; step < 2; step++) results[rank] = engine->step(half(golden.batch, rank), 1e-3);
    numbers[rank] = all_numbers(*engine);
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  CHECK(numbers[0] == numbers[1]);
  CHECK(results[0].loss == results[1].loss);
  // Sums are rounded at other places.
  CHECK(std::abs(results[0].loss - one.loss) < 1e-6 * one.loss);
  CHECK(std::abs(results[0].gradient_norm - one.gradient_norm) < 1e-5 * one.gradient_norm);
  const std::vector<float> start = by_name(golden.weights, false);
  const std::vector<float> of_one = by_name(saved(*alone), false);
  CHECK(distance({numbers[0].begin(), numbers[0].begin() + static_cast<ptrdiff_t>(start.size())}, of_one, start) <
        2e-5);
}
