// What srtrain.cpp is linked with to be tested alone: an engine and scans that are made up.
#include <chrono>
#include <thread>

#include "engine/training/data.h"
#include "tests/tools/srtrain/fake_training.h"

namespace sr::train {
namespace {

// So that a signal comes in the middle of a run.
struct SlowEngine final : test::FakeEngine {
  static void wait() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }
  StepResult step(const Batch& batch, double rate, OutputLoss* extra_loss) override {
    wait();
    return FakeEngine::step(batch, rate, extra_loss);
  }
  const float* forward(const Batch& batch) override {  // of the critic's steps
    wait();
    return FakeEngine::forward(batch);
  }
};

ScanPair made_up_scan(size_t) {
  ScanPair pair{"a.nii", Volume({12, 12, 12}), Volume({12, 12, 12})};
  for (size_t i = 0; i < pair.low.data.size(); ++i) {
    pair.high.data[i] = 100 + 50 * std::sin(static_cast<float>(i));
    pair.low.data[i] = pair.high.data[i] + static_cast<float>(i % 3);
  }
  return pair;
}

}  // namespace

Data make_data(const DataOptions& options, Collective&) {
  Data data;
  data.batch = test::fake_batch;
  data.validation = {1, made_up_scan};
  data.split = {{"train", {options.folder.string()}}, {"validation", {"a.nii"}}};
  data.skipped = {{{"path", "bad.nii"}, {"reason", "it is made up"}}};
  return data;
}

std::unique_ptr<TrainingEngine> make_training_engine(const Weights&, const TrainingOptions&, Collective&) {
  return std::make_unique<SlowEngine>();
}

}  // namespace sr::train
