// The critic on the device, under emulation or on a GPU, against PyTorch's double backward and against itself.
#include <cstdio>
#include <limits>

#include "engine/base/status.h"
#include "engine/training/device_critic.h"
#include "engine/training/device_engine.h"
#include "kernels/emulation/settings.h"
#include "tests/engine/training/golden_critic.h"
#include "tests/engine/training/golden_training.h"
#include "tests/support/cuda_test_api.h"
#include "tests/support/on_device.h"

namespace sr::train {
namespace {

// Ready for a critic, whose stream does not wait for that of the upload.
struct Images : OnDevice<float> {
  explicit Images(const std::vector<float>& host) : OnDevice(host) {
    REQUIRE(api().synchronize(nullptr) == cuda::Result::ok);
  }
};

std::unique_ptr<CriticEngine> critic_for(const CriticState& state) {
  return make_device_critic(api(), 0, state, {});
}

CriticState saved(CriticEngine& engine) {
  CriticState state;
  engine.save(state);
  return state;
}

bool same(const CriticState& a, const CriticState& b) {
  return a.model == b.model && a.parameters == b.parameters && a.optimiser.step == b.optimiser.step &&
         a.optimiser.m == b.optimiser.m && a.optimiser.v == b.optimiser.v;
}

TEST_CASE("the critic on the device is PyTorch's double backward to rounding") {
  const GoldenCritic golden;
  const auto engine = critic_for(golden.state);
  check_against_golden(*engine, golden, 1e-4);

  // Added to numbers so small that they take no digits away.
  const float before = 0x1p-12f;
  const Images fake(golden.fake), of_fake(std::vector<float>(golden.fake.size(), before));
  engine->add_gradient(2, fake.data(), of_fake.data());
  std::vector<float> added = of_fake.back();
  for (float& g : added) g -= before;
  const double image = relative_error(added, golden.of_fake);
  CHECK(image < 1e-4);
  CHECK(std::abs(engine->score() - (golden.fake_scores[0] + golden.fake_scores[1]) / 2) < 1e-5);

  CriticResult result;
  const double parameters =
      relative_error(engine->gradient(golden.fake, golden.batch, golden.epsilon, result), golden.gradient);
  for (int step = 0; step < 3; step++) result = engine->step(fake.data(), golden.batch, golden.epsilon, 1e-3);
  const std::vector<float> got = saved(*engine).parameters;
  std::vector<double> moved, should_move;
  for (size_t i = 0; i < got.size(); i++) {
    const double start = double{golden.state.parameters[i]};
    moved.push_back(double{got[i]} - start);
    should_move.push_back(golden.after_3[i] - start);
  }
  const double steps = relative_error(moved, should_move);
  // Without a first moment a parameter moves by its gradient's sign, almost: one that is nearly zero may go astray.
  CHECK(steps < 1e-4);
  CHECK(result.finite);
  std::printf("%s: gradients within %.1e of the parameters, %.1e of the images; 3 steps within %.1e of the way\n",
              api().description(), parameters, image, steps);
}

TEST_CASE("a critic on the device goes on to the same bits, in any order of blocks") {
  const GoldenCritic golden;
  const Images fake(golden.fake);
  const auto step = [&](CriticEngine& engine) { engine.step(fake.data(), golden.batch, golden.epsilon, 1e-3); };
  const auto uncut = critic_for(golden.state);
  for (int i = 0; i < 2; i++) step(*uncut);

  auto engine = critic_for(golden.state);
  step(*engine);
  const CriticState between = saved(*engine);
  CHECK(between.optimiser.step == 1);
  engine = critic_for(between);
  CHECK(same(saved(*engine), between));
  if (device_is_emulated()) emulation::settings().order = emulation::Order::random;
  step(*engine);
  emulation::settings().order = emulation::Order::forward;
  CHECK(same(saved(*engine), saved(*uncut)));
}

TEST_CASE("on the device a batch that is no number changes nothing of the critic") {
  const GoldenCritic golden;
  const auto engine = critic_for(golden.state);
  const Images fake(golden.fake);
  CHECK(engine->step(fake.data(), golden.batch, golden.epsilon, 1e-3).finite);
  const CriticState before = saved(*engine);
  Batch bad = golden.batch;
  bad.target[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(engine->step(fake.data(), bad, golden.epsilon, 1e-3).finite);
  CHECK(same(saved(*engine), before));
  std::vector<float> worse = golden.fake;
  worse[7] = std::numeric_limits<float>::infinity();
  const Images bad_fake(worse);
  CHECK_FALSE(engine->step(bad_fake.data(), golden.batch, golden.epsilon, 1e-3).finite);
  CHECK(same(saved(*engine), before));
  // Nothing of it is left in the buffers.
  CriticResult result;
  const std::vector<float> after = engine->gradient(golden.fake, golden.batch, golden.epsilon, result);
  CHECK(after == critic_for(before)->gradient(golden.fake, golden.batch, golden.epsilon, result));
}

TEST_CASE("a critic that does not fit into the GPU's memory says what to make smaller") {
  if (!device_is_emulated()) return;
  const GoldenCritic golden;
  const auto engine = critic_for(golden.state);
  const Images fake(golden.fake);
  emulation::settings().allocations_left = 2;
  std::string sentence;
  try {
    engine->step(fake.data(), golden.batch, golden.epsilon, 1e-3);
  } catch (const Error& e) {
    CHECK(e.status == Status::resource_error);
    sentence = e.what();
  }
  emulation::settings().allocations_left = std::numeric_limits<int>::max();
  CHECK(sentence ==
        "the critic's 4 patches of 17x19x16 do not fit into the memory of GPU 0; make --batch, --patch or "
        "--critic-width smaller");
  CHECK(engine->step(fake.data(), golden.batch, golden.epsilon, 1e-3).finite);
}

// The generator's engine and its critic on one device, against both on the host.
TEST_CASE("a critic beside a network on the device tells it what one on the host does") {
  const Golden network("b1u1-k4");
  const Size3 size{16, 16, 17};
  const auto n = static_cast<size_t>(size.voxels());
  const CriticState state = first_critic({1, 2, size}, 5);
  const Batch batch = {1, size, random_numbers<float>(static_cast<int64_t>(n), 1),
                       random_numbers<float>(static_cast<int64_t>(n), 2)};
  CriticOptions options;
  options.adversarial = 3;  // so that it counts beside the absolute error
  SingleProcess alone;
  TrainingOptions on_host;
  on_host.device = DeviceKind::cpu;
  const auto host = make_training_engine(network.weights, on_host, alone);
  const auto device = make_device_engine(api(), 0, network.weights, {}, alone);
  std::vector<float> gradients[2];
  double scores[2];
  CriticResult results[2];
  int which = 0;
  for (TrainingEngine* engine : {host.get(), device.get()}) {
    const auto critic = engine->make_critic(state, options);
    StepResult result;
    gradients[which] = engine->gradient(batch, result, critic.get());
    if (engine == host.get()) CHECK(distance(engine->gradient(batch, result), gradients[which]) > 0.01);
    scores[which] = critic->score();
    results[which] = critic->step(engine->forward(batch), batch, {0.5f}, 1e-3);
    CHECK(results[which++].finite);
  }
  CHECK(distance(gradients[1], gradients[0]) < 1e-4);
  CHECK(std::abs(scores[0] - scores[1]) < 1e-5 * std::abs(scores[0]));
  for (const auto number : {&CriticResult::real, &CriticResult::fake, &CriticResult::penalty,
                            &CriticResult::image_gradient, &CriticResult::gradient_norm})
    CHECK(std::abs(results[1].*number - results[0].*number) < 1e-4 * std::abs(results[0].*number));
}

}  // namespace
}  // namespace sr::train
