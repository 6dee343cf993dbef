// The run around the steps of a generator and a critic: whose turn it is, checkpoints, resuming, selection, the guard.
// Both networks are stand-ins whose numbers depend on all that a checkpoint must keep.
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/scan_files.h"
#include "tests/tools/srtrain/fake_training.h"
#include "tests/tools/srtrain/train_runs.h"
#include "tools/srtrain/gan_loop.h"

using namespace sr;
using namespace sr::train;
using sr::test::fake_batch;
using sr::test::FakeEngine;
using sr::test::lines;
using sr::test::refusal;
using sr::test::Refusal;
using sr::test::steps_in;
using sr::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kNSteps = 8;
// As the schedule below has it: 4 alone, 2 before each of the generator, 3 more after each third.
const std::string all_turns = "ccccccgccgccgcccccgccgccgcccccgccg";

Validation fake_validation(const Weights&, const Progress& progress) {
  if (!progress(1, 1)) throw Error(Status::interrupted, "interrupted");
  Validation v;
  v.result = {30, 0.9, 1};
  v.input = {25, 0.8, 2};
  v.scans = {{"a.nii.gz", v.result, v.input}};
  return v;
}

Job fake_job() {
  return {fake_batch, fake_validation, [] { return false; }};
}

LoopOptions options() {
  LoopOptions o;
  o.steps = kNSteps;
  o.average = 0.9;
  o.schedule.rate = 0.01;
  o.validate_every = 2;
  o.save_every = 5;
  o.log_every = 1;
  o.quiet = true;
  return o;
}

GanOptions gan_options() {
  GanOptions gan;
  gan.model = {1, 1, {16, 16, 16}};
  gan.critic_rate = 0.02;
  gan.schedule = {4, 2, 3, 3};
  gan.seed = 5;
  return gan;
}

fs::path start(const fs::path& path, FakeEngine& engine, const Job& job, const GanOptions& gan = gan_options(),
               const LoopOptions& o = options()) {
  RunFolder folder(path, RunFolder::Open::fresh);
  Log log(path);
  Checkpoint checkpoint = first_checkpoint(random_weights(test::tiny(), 7), o.average > 0, {{"--batch", 6}});
  checkpoint.gan = first_gan_state(gan.model, gan.seed);
  return train_gan(engine, std::move(checkpoint), o, gan, job, folder, log);
}

// Goes on with it, in what is a process of its own.
fs::path resume(const fs::path& path, FakeEngine& engine, const Job& job, const GanOptions& gan = gan_options(),
                const LoopOptions& o = options()) {
  RunFolder folder(path, RunFolder::Open::resume);
  Checkpoint checkpoint = folder.load();
  Log log(path, checkpoint.steps());
  return train_gan(engine, std::move(checkpoint), o, gan, job, folder, log);
}

void resume(const fs::path& path) {
  FakeEngine engine;
  resume(path, engine, fake_job());
}

Checkpoint state_of(const fs::path& run) {
  return RunFolder(run, RunFolder::Open::resume).load();
}

void same_files(const fs::path& a, const fs::path& b) {
  for (const char* name : {"state.bin", "last.bin", "best.bin"}) {
    CAPTURE(name);
    CHECK(test::read_bytes(a / name) == test::read_bytes(b / name));
  }
}

// The places of a kind of turn in the run, from 1.
std::vector<int64_t> places_of(char turn) {
  std::vector<int64_t> places;
  for (size_t i = 0; i < all_turns.size(); ++i)
    if (all_turns[i] == turn) places.push_back(static_cast<int64_t>(i) + 1);
  return places;
}

void whole_log(const fs::path& run) {
  CHECK(steps_in(run / "log.jsonl", "critic") == places_of('c'));
  CHECK(steps_in(run / "log.jsonl", "generator") == places_of('g'));
  CHECK(steps_in(run / "log.jsonl", "validation").size() == kNSteps / 2);
  const auto csv = lines(run / "csv" / "critic_wasserstein.csv");
  CHECK(csv.size() == places_of('c').size() + 1);
  CHECK(csv[0] == "Wall time,Step,Value");
}

struct Folders {
  TemporaryFolder folder;
  FakeEngine engine;
  fs::path whole = folder / "whole";
  Folders() { start(whole, engine, fake_job()); }
};

}  // namespace

TEST_CASE("whose turn it is") {
  const auto turns = [](const GanSchedule& schedule, int64_t n) {
    std::string text;
    for (int64_t c = 0, g = 0; g < n;) {
      const bool critic = next_turn(schedule, c, g) == Turn::critic;
      text += critic ? 'c' : 'g';
      ++(critic ? c : g);
    }
    return text;
  };
  CHECK(turns({4, 2, 3, 3}, kNSteps) == all_turns);
  CHECK(turns({0, 1, 0, 9}, 3) == "cgcgcg");
  CHECK(turns({1, 1, 1, 1}, 3) == "ccgccgccg");
  CHECK(turns({0, 3, 2, 0}, 2) == "cccgcccg");
  const GanSchedule paper;
  CHECK(critic_steps_before(paper, 0) == 10'005);
  CHECK(critic_steps_before(paper, 499) == 10'000 + 5 * 500);
  CHECK(critic_steps_before(paper, 500) == 10'000 + 5 * 501 + 200);
  CHECK(critic_steps_before(paper, 199'999) == 10'000 + 5 * 200'000 + 399 * 200);
}

TEST_CASE("where the penalty is taken is a function of seed and step") {
  const std::vector<float> places = penalty_places(1, 7, 6);
  CHECK(places == penalty_places(1, 7, 6));
  CHECK(places != penalty_places(1, 8, 6));
  CHECK(places != penalty_places(2, 7, 6));
  double sum = 0;
  std::set<float> all;
  for (int64_t step = 0; step < 1000; ++step)
    for (const float place : penalty_places(3, step, 4)) {
      CHECK((place >= 0 && place <= 1));
      sum += double{place};
      all.insert(place);
    }
  CHECK(sum / 4000 == Approx(0.5).margin(0.02));
  CHECK(all.size() > 3990);
}

TEST_CASE("a run against a critic: turns, weights, records") {
  TemporaryFolder folder;
  FakeEngine engine;
  std::vector<int64_t> batches;
  Job job = fake_job();
  job.batch = [&](int64_t step) { return batches.push_back(step), fake_batch(step); };
  CHECK(start(folder / "run", engine, job) == folder / "run" / "best.bin");
  CHECK(engine.turns == all_turns);
  for (size_t i = 0; i < all_turns.size(); ++i) CHECK(batches[i] == static_cast<int64_t>(i));
  whole_log(folder / "run");

  const nlohmann::json provenance = load_weights(folder / "run" / "last.bin").provenance;
  CHECK(provenance.at("steps") == kNSteps);
  CHECK(provenance.at("gan") == nlohmann::json{{"critic_steps", 26}, {"generator_steps", kNSteps}});
  const Checkpoint state = state_of(folder / "run");
  CHECK((state.state.step == kNSteps && state.gan->critic.optimiser.step == 26));

  const std::set<std::string> common{"kind", "step", "wall_time", "critic_steps", "generator_steps"};
  for (const std::string& line : lines(folder / "run" / "log.jsonl")) {
    const auto record = nlohmann::json::parse(line);
    CAPTURE(line);
    CHECK(record.at("step") == record.at("critic_steps").get<int64_t>() + record.at("generator_steps").get<int64_t>());
    std::set<std::string> names;
    for (const auto& [name, unused] : record.items())
      if (!common.contains(name)) names.insert(name);
    if (record.at("kind") == "critic") {
      CHECK(names == std::set<std::string>{"real", "fake", "wasserstein", "penalty", "image_gradient", "loss",
                                           "gradient_norm", "learning_rate", "steps_per_second"});
      CHECK(record.at("wasserstein").get<double>() ==
            Approx(record.at("real").get<double>() - record.at("fake").get<double>()));
      CHECK(record.at("loss").get<double>() == Approx(3 - record.at("wasserstein").get<double>()));
      CHECK(record.at("learning_rate") == 0.02);
    } else if (record.at("kind") == "generator") {
      CHECK(names == std::set<std::string>{"loss", "input_loss", "gain", "score", "gradient_norm", "learning_rate",
                                           "steps_per_second"});
      CHECK(record.at("learning_rate") == 0.01);
    } else {
      CHECK(names == std::set<std::string>{"wasserstein", "mean", "input", "scans"});
    }
  }
  for (const char* tag :
       {"critic_image_gradient", "generator_loss", "generator_score", "validation_wasserstein", "psnr", "input_psnr"})
    CHECK(fs::exists(folder / "run" / "csv" / (std::string(tag) + ".csv")));
  CHECK(fs::file_size(folder / "run" / "curves.svg") > 1000);
}

TEST_CASE("a run against a critic that was stopped, at any step, goes on to the same bits") {
  const Folders f;
  for (size_t at = 1; at < all_turns.size(); ++at) {
    CAPTURE(at);
    const fs::path run = f.folder / ("run" + std::to_string(at));
    FakeEngine engine, second;
    Job job = fake_job();
    job.stop = [&] { return engine.turns.size() == at; };  // as a signal in that step
    const Refusal stopped = refusal([&] { start(run, engine, job); });
    CHECK(stopped.status == Status::interrupted);
    CHECK_THAT(stopped.sentence, ContainsSubstring("interrupted after critic step"));
    CHECK(state_of(run).steps() == static_cast<int64_t>(at));
    resume(run, second, fake_job());
    CHECK(engine.turns + second.turns == all_turns);
    same_files(f.whole, run);
    whole_log(run);
  }
}

TEST_CASE("a run against a critic that was killed goes on from its last checkpoint to the same bits") {
  const Folders f;
  for (const int64_t at : {0, 1, 4, 7}) {
    CAPTURE(at);
    const fs::path run = f.folder / ("run" + std::to_string(at));
    FakeEngine engine;
    engine.die_at = at;
    CHECK_THROWS_AS(start(run, engine, fake_job()), std::runtime_error);
    resume(run);
    same_files(f.whole, run);
    whole_log(run);
  }
}

TEST_CASE("a signal in a validation against a critic: the step is saved, the validation made up for") {
  const Folders f;
  FakeEngine engine;
  bool signalled = false;
  Job job = fake_job();
  job.stop = [&] { return signalled; };
  job.validate = [&](const Weights& weights, const Progress& progress) {
    signalled = true;
    return fake_validation(weights, progress);
  };
  CHECK(refusal([&] { start(f.folder / "run", engine, job); }).status == Status::interrupted);
  CHECK(state_of(f.folder / "run").state.step == 2);
  resume(f.folder / "run");
  same_files(f.whole, f.folder / "run");
  whole_log(f.folder / "run");
}

TEST_CASE("more steps against a critic go on where a finished run ended; the same number does nothing") {
  const Folders f;
  const fs::path run = f.folder / "run";
  FakeEngine engine, second;
  LoopOptions o = options();
  o.steps = 4;  // a validation of the whole run as well
  start(run, engine, fake_job(), gan_options(), o);
  const auto before = test::read_bytes(run / "state.bin");
  CHECK(resume(run, second, fake_job(), gan_options(), o) == run / "best.bin");
  CHECK(second.turns.empty());
  CHECK(test::read_bytes(run / "state.bin") == before);
  resume(run);
  same_files(f.whole, run);
}

TEST_CASE("the mean Wasserstein estimate since the last validation chooses the best weights") {
  TemporaryFolder folder;
  FakeEngine engine;
  // Critic steps 4 to 7 belong to the first validation, 8 to 14 to the second, 15 to 18 to the third, 19 to 25 to the
  // last; those before 4 to none.
  engine.critic.wasserstein = [](int64_t step) {
    return step < 4 ? -100.0 : step < 8 ? 5.0 : step < 15 ? (step == 8 ? 12.0 : 2.0) : step < 19 ? 3.25 : 4.0;
  };
  Job job = fake_job();
  SECTION("with scans") {}
  SECTION("without") {
    job.validate = nullptr;
  }
  CHECK(start(folder / "run", engine, job) == folder / "run" / "best.bin");
  CHECK(load_weights(folder / "run" / "best.bin").provenance.at("gan").at("generator_steps") == 6);
  const Checkpoint state = state_of(folder / "run");
  CHECK(state.best_step == 6);
  CHECK(*state.gan->best_wasserstein == Approx(3.25));
  std::vector<double> means;
  for (const std::string& line : lines(folder / "run" / "log.jsonl"))
    if (const auto record = nlohmann::json::parse(line); record.at("kind") == "validation") {
      means.push_back(record.at("wasserstein"));
      CHECK(record.contains("scans") == static_cast<bool>(job.validate));
    }
  REQUIRE(means.size() == 4);
  CHECK(means[0] == Approx(5));
  CHECK(means[1] == Approx((12 + 6 * 2) / 7.0));
  CHECK(means[2] == Approx(3.25));
  CHECK(means[3] == Approx(4));
}

TEST_CASE("the guard ends a run that diverges, and the checkpoint before stays") {
  TemporaryFolder folder;
  GanOptions gan = gan_options();
  FakeEngine engine;
  std::string option, what;
  SECTION("Wasserstein estimate") {
    engine.critic.wasserstein = [](int64_t step) { return step < 9 ? 1.0 : -60'000.0; };
    option = "--guard-wasserstein 1000", what = "|Wasserstein estimate|";
  }
  SECTION("gradient by the image") {
    engine.critic.image_gradient = [](int64_t step) { return step < 9 ? 1.0 : 6000.0; };
    option = "--guard-gradient 100", what = "||grad D||";
  }
  SECTION("L1") {
    engine.l1 = [](int64_t step) { return step < 2 ? 1.0 : 120.0; };
    option = "--guard-l1 2", what = "L1";
  }
  const fs::path run = folder / "run";
  const Refusal r = refusal([&] { start(run, engine, fake_job(), gan); });
  CHECK(static_cast<int>(r.status) == 1);
  CHECK_THAT(r.sentence, ContainsSubstring("the training diverges") && ContainsSubstring(option) &&
                             ContainsSubstring(what) && ContainsSubstring("critic step 10, generator step ") &&
                             ContainsSubstring("--resume would come to the same") && ContainsSubstring("--critic-lr"));
  const auto before = test::read_bytes(run / "state.bin");
  const Checkpoint kept = state_of(run);
  CHECK((kept.state.step == 2 && kept.gan->critic.optimiser.step == 8));  // the validation's
  CHECK_THAT(r.sentence, ContainsSubstring("the checkpoint of critic step 8, generator step 2"));
  CHECK(beyond(kept.gan->guard, gan.guard).empty());

  // It does come to the same, unless the limit is taken away: then it goes on as if there had been none.
  const auto resumed = [&](const GanOptions& with) {
    FakeEngine again;
    again.critic = engine.critic;
    again.l1 = engine.l1;
    return refusal([&] { resume(run, again, fake_job(), with); });
  };
  CHECK(resumed(gan).sentence == r.sentence);
  CHECK(test::read_bytes(run / "state.bin") == before);
  gan.guard = {0, 0, 0};
  CHECK(resumed(gan).status == Status::ok);
  FakeEngine unguarded;
  unguarded.critic = engine.critic;
  unguarded.l1 = engine.l1;
  start(folder / "unguarded", unguarded, fake_job(), gan);
  same_files(folder / "unguarded", run);
}

TEST_CASE("the guard's means are of many steps") {
  const GuardLimits limits{1, 10, 2};
  GuardMeans means;
  CriticResult critic;
  critic.real = -1.2;  // the size counts
  critic.image_gradient = 5;
  int n = 0;
  for (; beyond(means, limits).empty() && n < 1000; ++n) means.add(critic);
  CHECK((n > 70 && n < 100));  // 1.2 (1 - 0.98^n) is 1 at n = 89
  CHECK_THAT(beyond(means, limits), ContainsSubstring("--guard-wasserstein 1"));
  CHECK(beyond(means, {0, 10, 2}).empty());
  CHECK(means.image_gradient < 5);

  StepResult nothing_to_restore;
  means = {};
  for (int i = 0; i < 1000; ++i) means.add(nothing_to_restore);
  CHECK(means == GuardMeans{});
}

TEST_CASE("what is not finite in either network ends the run") {
  TemporaryFolder folder;
  FakeEngine engine;
  std::string who;
  SECTION("critic") {
    engine.critic.not_finite_at = 9, who = "the critic's loss or its gradient is not finite";
  }
  SECTION("generator") {
    engine.not_finite_at = 2, who = "the generator's loss or its gradient is not finite";
  }
  const Refusal r = refusal([&] { start(folder / "run", engine, fake_job()); });
  CHECK(static_cast<int>(r.status) == 1);
  CHECK_THAT(r.sentence, ContainsSubstring(who) && ContainsSubstring("critic step 10, generator step ") &&
                             ContainsSubstring("the checkpoint of critic step 8, generator step 2"));
  resume(folder / "run");
  whole_log(folder / "run");
}

TEST_CASE("a full disk in a run against a critic is one sentence, the checkpoint before stays") {
  const Folders f;
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  FakeEngine engine;
  Job job = fake_job();
  job.batch = [&](int64_t step) {
    const rlimit small{2000, before.rlim_max};
    if (step == 11) ::setrlimit(RLIMIT_FSIZE, &small);
    return fake_batch(step);
  };
  LoopOptions o = options();
  o.log_every = 100;
  const Refusal r = refusal([&] { start(f.folder / "run", engine, job, gan_options(), o); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(r.status == Status::bad_output);
  CHECK_THAT(r.sentence, ContainsSubstring("cannot be written") &&
                             ContainsSubstring("the checkpoint of critic step 8, generator step 2 is intact"));
  resume(f.folder / "run");
  same_files(f.whole, f.folder / "run");
}

TEST_CASE("the state of a run against a critic is what it was, or refused by name") {
  const Folders f;
  const Checkpoint good = state_of(f.whole);
  const auto bytes = to_bytes(good);
  const auto read = [](const std::vector<uint8_t>& b) { return checkpoint_from({b.data(), b.size()}, "state.bin"); };
  CHECK(to_bytes(read(bytes)) == bytes);
  CHECK(read(bytes).gan->guard == good.gan->guard);

  const auto refused = [&](const auto& damage, const std::string& part) {
    Checkpoint c = good;
    damage(c);
    const auto damaged = to_bytes(c);
    const Refusal r = refusal([&] { read(damaged); });
    CHECK(r.status == Status::bad_weights);
    CHECK_THAT(r.sentence, ContainsSubstring("state.bin: ") && ContainsSubstring(part));
  };
  const std::string rows = "numbers of its critic and as many moments";
  refused([](Checkpoint& c) { c.gan->critic.parameters.pop_back(); }, rows);
  refused([](Checkpoint& c) { c.gan->critic.optimiser.m.push_back(0); }, rows);
  refused([](Checkpoint& c) { c.gan->critic.optimiser.v.clear(); }, rows);
  refused([](Checkpoint& c) { c.gan->critic.model.hidden = 2; }, rows);
  refused([](Checkpoint& c) { c.gan->critic.model.width = 0; }, "a size of 0");
  refused([](Checkpoint& c) { c.gan->critic.model.width = 1 << 30; }, "1 to 1024");
  refused([](Checkpoint& c) { c.gan->critic.model.patch.h = 15; }, "patches of 16 voxels");
  refused([](Checkpoint& c) { c.gan->critic.optimiser.step = -1; }, "critic_steps is -1");
  refused([](Checkpoint& c) { c.gan->wasserstein_count = -5; }, "wasserstein_count is -5");
  refused([](Checkpoint& c) { c.state.step = -2; }, "says that -2 steps are done");
  refused([](Checkpoint& c) { c.gan->guard.l1 = std::numeric_limits<double>::infinity(); }, "makes no sense");

  for (const size_t length : {bytes.size() - 1, bytes.size() / 2, size_t{100}})
    CHECK(refusal([&] {
            read({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length)});
          }).status == Status::bad_weights);
  // Both are under the checksum.
  std::string text(bytes.begin(), bytes.end());
  const size_t at = text.find("critic_steps");
  REQUIRE(at != std::string::npos);
  const size_t digit = text.find_first_of("0123456789", at);
  text[digit] = text[digit] == '9' ? '8' : '9';
  CHECK_THAT(refusal([&] { read({text.begin(), text.end()}); }).sentence, ContainsSubstring("checksum"));
  auto flipped = bytes;
  flipped[flipped.size() - 5] ^= 1;
  CHECK_THAT(refusal([&] { read(flipped); }).sentence, ContainsSubstring("checksum"));

  // Of plain training there is nothing of it.
  Checkpoint plain = good;
  plain.gan.reset();
  const auto plain_bytes = to_bytes(plain);
  const std::string plain_text(plain_bytes.begin(), plain_bytes.end());
  CHECK(plain_text.find("critic") == std::string::npos);
  CHECK_FALSE(read(plain_bytes).gan);
}
