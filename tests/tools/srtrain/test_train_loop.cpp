// The run around the steps of training: checkpoints, resuming, logs, curves. The engine is a stand-in whose numbers
// depend on all that a checkpoint must keep. Over 500 lines, because every test is a run of that stand-in.
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <sstream>
#include <utility>

#include "engine/base/status.h"
#include "engine/images/intensity.h"
#include "engine/training/parameters.h"
#include "tests/support/catch.h"
#include "tests/support/scan_files.h"
#include "tests/tools/srtrain/fake_training.h"
#include "tests/tools/srtrain/train_runs.h"
#include "tools/srtrain/loop.h"
#include "tools/srtrain/options.h"

using namespace sr;
using namespace sr::train;
using sr::test::fake_batch;
using sr::test::FakeEngine;
using sr::test::lines;
using sr::test::refusal;
using sr::test::Refusal;
using sr::test::steps_in;
using sr::test::TemporaryFolder;
using sr::test::tiny;
namespace fs = std::filesystem;

namespace {

// The error falls to its least at step 20.
Validation fake_validation(const Weights& weights, const Progress& progress) {
  if (!progress(1, 1)) throw Error(Status::interrupted, "interrupted");
  const double step = weights.provenance.at("steps").get<double>(), mse = 1 + std::pow(step - 20, 2);
  Validation v;
  v.result = {30 - 0.1 * mse, 0.9, mse};
  v.input = {25, 0.8, 500};
  v.scans = {{"a.nii.gz", v.result, v.input}};
  return v;
}

Job fake_job() {
  return {fake_batch, fake_validation, [] { return false; }};
}

LoopOptions options(int64_t steps) {
  LoopOptions o;
  o.steps = steps;
  o.average = 0.9;
  o.schedule.warm_up = 5;
  o.schedule.rate = 0.01;
  o.validate_every = 10;
  o.save_every = 4;
  o.log_every = 1;
  o.quiet = true;
  return o;
}

const nlohmann::json some_options = {{"--batch", 6}, {"--model", "b1u1"}};

// Starts a run.
fs::path start(const fs::path& path, FakeEngine& engine, const LoopOptions& o, const Job& job) {
  RunFolder folder(path, RunFolder::Open::fresh);
  Log log(path);
  SingleProcess alone;
  return sr::train::train(engine, first_checkpoint(random_weights(tiny(), 7), o.average > 0, some_options), o, job,
                          alone, folder, log);
}

// Goes on with it, in what is a process of its own.
fs::path resume(const fs::path& path, const LoopOptions& o, const Job& job) {
  RunFolder folder(path, RunFolder::Open::resume);
  Checkpoint checkpoint = folder.load();
  Log log(path, checkpoint.state.step);
  FakeEngine engine;
  SingleProcess alone;
  return sr::train::train(engine, std::move(checkpoint), o, job, alone, folder, log);
}

std::vector<int64_t> up_to(int64_t n, int64_t by = 1) {
  std::vector<int64_t> steps;
  for (int64_t step = by; step <= n; step += by) steps.push_back(step);
  return steps;
}

void same_files(const fs::path& a, const fs::path& b) {
  for (const char* name : {"state.bin", "last.bin", "best.bin"}) {
    CAPTURE(name);
    CHECK(test::read_bytes(a / name) == test::read_bytes(b / name));
  }
}

void whole_log(const fs::path& run, int64_t steps) {
  CHECK(steps_in(run / "log.jsonl", "step") == up_to(steps));
  CHECK(steps_in(run / "log.jsonl", "validation") == up_to(steps, 10));
  const auto csv = lines(run / "csv" / "loss.csv");
  REQUIRE(csv.size() == static_cast<size_t>(steps) + 1);
  CHECK(csv[0] == "Wall time,Step,Value");
  for (int64_t step = 1; step <= steps; ++step)
    CHECK_THAT(csv[step], ContainsSubstring("," + std::to_string(step) + ","));
}

}  // namespace

TEST_CASE("learning rates of the schedules") {
  Schedule s;
  CHECK(learning_rate(s, 0, 100) == 1e-4);
  CHECK(learning_rate(s, 99, 100) == 1e-4);
  s.rate = 1;
  s.warm_up = 4;
  CHECK(learning_rate(s, 0, 100) == 0.25);
  CHECK(learning_rate(s, 3, 100) == 1);
  CHECK(learning_rate(s, 4, 100) == 1);
  s.kind = Schedule::Kind::linear;
  CHECK(learning_rate(s, 4, 104) == 1);
  CHECK(learning_rate(s, 54, 104) == Approx(0.5));
  CHECK(learning_rate(s, 103, 104) == Approx(0.01));
  s.decay = 0.5;
  CHECK(learning_rate(s, 49, 100) == 1);
  CHECK(learning_rate(s, 75, 100) == Approx(0.5));
  s.kind = Schedule::Kind::cosine;
  CHECK(learning_rate(s, 75, 100) == Approx(0.5));
  CHECK(learning_rate(s, 60, 100) == Approx(0.5 * (1 + std::cos(0.2 * 3.14159265358979))));
  s.kind = Schedule::Kind::step;
  CHECK(learning_rate(s, 49, 100) == 1);
  CHECK(learning_rate(s, 50, 100) == Approx(0.1));
}

TEST_CASE("a run saves the last and the best weights and logs each step once") {
  TemporaryFolder folder;
  FakeEngine engine;
  CHECK(start(folder / "run", engine, options(30), fake_job()) == folder / "run" / "best.bin");
  whole_log(folder / "run", 30);
  CHECK(load_weights(folder / "run" / "best.bin").provenance.at("steps") == 20);
  const Weights last = load_weights(folder / "run" / "last.bin");
  CHECK(last.provenance.at("steps") == 30);

  Weights raw;
  OptimiserState state;
  engine.save(raw, state);
  raw.model = tiny();
  CHECK(gather_parameters(last, parameter_ranges(last)) != gather_parameters(raw, parameter_ranges(raw)));  // averaged

  const auto record = nlohmann::json::parse(lines(folder / "run" / "log.jsonl")[4]);
  CHECK(record.at("learning_rate") == 0.01);
  CHECK(record.at("gain").get<double>() == Approx(1 - record.at("loss").get<double>()));
  CHECK(record.contains("steps_per_second"));
}

TEST_CASE("without validation the last weights are the result") {
  TemporaryFolder folder;
  FakeEngine engine;
  Job job = fake_job();
  job.validate = nullptr;
  CHECK(start(folder / "run", engine, options(3), job) == folder / "run" / "last.bin");
  CHECK(!fs::exists(folder / "run" / "best.bin"));
}

TEST_CASE("a run that was stopped goes on to the same bits") {
  TemporaryFolder folder;
  FakeEngine whole;
  start(folder / "whole", whole, options(30), fake_job());
  for (const int64_t at : {1, 7, 10, 20, 29}) {
    CAPTURE(at);
    const fs::path run = folder / ("run" + std::to_string(at));
    FakeEngine engine;
    int64_t n = 0;
    Job job = fake_job();
    job.batch = [&](int64_t step) { return n++, fake_batch(step); };
    job.stop = [&] { return n == at; };  // as a signal in that step
    const Refusal stopped = refusal([&] { start(run, engine, options(30), job); });
    CHECK(stopped.status == Status::interrupted);
    CHECK_THAT(stopped.sentence, ContainsSubstring("after step " + std::to_string(at)));
    CHECK(load_weights(run / "last.bin").provenance.at("steps") == at);
    resume(run, options(30), fake_job());
    same_files(folder / "whole", run);
    whole_log(run, 30);
  }
}

TEST_CASE("a run that was killed goes on from its last checkpoint to the same bits") {
  TemporaryFolder folder;
  FakeEngine whole;
  start(folder / "whole", whole, options(30), fake_job());
  for (const int64_t at : {0, 3, 11, 22}) {
    CAPTURE(at);
    const fs::path run = folder / ("run" + std::to_string(at));
    FakeEngine engine;
    engine.die_at = at;
    CHECK_THROWS_AS(start(run, engine, options(30), fake_job()), std::runtime_error);
    std::ofstream(run / "log.jsonl", std::ios::app) << R"({"kind":"step","step":)";  // in the middle of a record
    std::ofstream(run / "csv" / "loss.csv", std::ios::app) << "1700000000.5,2";
    std::ofstream(run / ".srengine-1-00000000.part") << "half a file";
    resume(run, options(30), fake_job());
    same_files(folder / "whole", run);
    whole_log(run, 30);
    CHECK(!fs::exists(run / ".srengine-1-00000000.part"));
  }
}

TEST_CASE("killed between last.bin and state.bin, a run goes on from state.bin") {
  TemporaryFolder folder;
  FakeEngine whole, engine, other;
  start(folder / "whole", whole, options(30), fake_job());
  start(folder / "other", other, options(12), fake_job());
  engine.die_at = 9;
  CHECK_THROWS(start(folder / "run", engine, options(30), fake_job()));
  fs::copy_file(folder / "other" / "last.bin", folder / "run" / "last.bin", fs::copy_options::overwrite_existing);
  resume(folder / "run", options(30), fake_job());
  same_files(folder / "whole", folder / "run");
}

TEST_CASE("more steps go on where a finished run ended; the same number does nothing") {
  TemporaryFolder folder;
  FakeEngine whole, engine;
  start(folder / "whole", whole, options(30), fake_job());
  start(folder / "run", engine, options(20), fake_job());
  const auto before = test::read_bytes(folder / "run" / "state.bin");
  CHECK(resume(folder / "run", options(20), fake_job()) == folder / "run" / "best.bin");
  CHECK(test::read_bytes(folder / "run" / "state.bin") == before);
  resume(folder / "run", options(30), fake_job());
  same_files(folder / "whole", folder / "run");
}

TEST_CASE("a damaged state is refused by name") {
  TemporaryFolder folder;
  FakeEngine engine;
  start(folder / "run", engine, options(3), fake_job());
  const fs::path state = folder / "run" / "state.bin";
  const test::Bytes good = test::read_bytes(state);
  const auto refused = [&](const test::Bytes& bytes) {
    test::write_bytes(state, bytes);
    const Refusal r = refusal([&] { resume(folder / "run", options(5), fake_job()); });
    CHECK(r.status == Status::bad_weights);
    CHECK_THAT(r.sentence, ContainsSubstring(state.string()));
  };
  for (const size_t length : {size_t{0}, size_t{5}, size_t{100}, good.size() / 2, good.size() - 1}) {
    CAPTURE(length);
    refused({good.begin(), good.begin() + static_cast<ptrdiff_t>(length)});
  }
  for (const size_t at : {good.size() - 1, good.size() - 200}) {
    test::Bytes bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    refused(bytes);
  }
  // The description is under the checksum as well.
  std::string text(good.begin(), good.end());
  const size_t at = text.find("best_step");
  REQUIRE(at != std::string::npos);
  text.replace(text.find_first_of("0123456789", at), 1, "9");
  refused({text.begin(), text.end()});
  fs::copy_file(folder / "run" / "last.bin", state, fs::copy_options::overwrite_existing);
  refused(test::read_bytes(state));  // a weights file is no state
}

TEST_CASE("a folder is used as it is meant") {
  TemporaryFolder folder;
  FakeEngine engine;
  start(folder / "run", engine, options(3), fake_job());
  Refusal r = refusal([&] { start(folder / "run", engine, options(3), fake_job()); });
  CHECK(r.status == Status::bad_usage);
  CHECK_THAT(r.sentence, ContainsSubstring("--resume") && ContainsSubstring("run"));

  fs::create_directory(folder / "other");
  std::ofstream(folder / "other" / "thesis.txt") << "mine";
  r = refusal([&] { start(folder / "other", engine, options(3), fake_job()); });
  CHECK(r.status == Status::bad_usage);
  CHECK_THAT(r.sentence, ContainsSubstring("not an empty folder"));

  r = refusal([&] { resume(folder / "none", options(3), fake_job()); });
  CHECK(r.status == Status::bad_usage);
  CHECK_THAT(r.sentence, ContainsSubstring("no state.bin"));

  std::ofstream(folder / "file") << "x";
  r = refusal([&] { start(folder / "file" / "run", engine, options(3), fake_job()); });
  CHECK(r.status == Status::bad_output);
  CHECK_THAT(r.sentence, ContainsSubstring("cannot be made"));

  const RunFolder first(folder / "run", RunFolder::Open::resume);
  r = refusal([&] { resume(folder / "run", options(3), fake_job()); });
  CHECK(r.status == Status::bad_usage);
  CHECK_THAT(r.sentence, ContainsSubstring("another srtrain"));
}

TEST_CASE("other options are refused with what differs") {
  TemporaryFolder folder;
  FakeEngine engine;
  start(folder / "run", engine, options(3), fake_job());
  const RunFolder run(folder / "run", RunFolder::Open::resume);
  const nlohmann::json there = run.load().options;
  CHECK_NOTHROW(run.refuse_other_options(there, some_options));
  const Refusal r = refusal([&] {
    run.refuse_other_options(there, {{"--batch", 8}, {"--model", "b1u1"}, {"--clip", 1.5}});
  });
  CHECK(r.status == Status::bad_usage);
  CHECK_THAT(r.sentence, ContainsSubstring("--batch 6 there, 8 here") &&
                             ContainsSubstring("--clip not given there, 1.5 here") && !ContainsSubstring("--model"));
}

TEST_CASE("a loss that is not finite ends the run, the checkpoint stays") {
  TemporaryFolder folder;
  FakeEngine engine;
  engine.not_finite_at = 6;
  const Refusal r = refusal([&] { start(folder / "run", engine, options(30), fake_job()); });
  CHECK(static_cast<int>(r.status) == 1);
  CHECK_THAT(r.sentence, ContainsSubstring("step 7") && ContainsSubstring("not finite") &&
                             ContainsSubstring("checkpoint of step 4"));
  CHECK(load_weights(folder / "run" / "last.bin").provenance.at("steps") == 4);
  resume(folder / "run", options(30), fake_job());
  whole_log(folder / "run", 30);
}

TEST_CASE("a full disk while saving is one sentence, the checkpoint before stays") {
  TemporaryFolder folder;
  FakeEngine whole, engine;
  start(folder / "whole", whole, options(30), fake_job());
  Job job = fake_job();
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t room : {rlim_t{2000}, rlim_t{200}}) {
    CAPTURE(room);
    const fs::path run = folder / ("run" + std::to_string(room));
    job.batch = [&](int64_t step) {
      const rlimit small{room, before.rlim_max};
      if (step == 6) ::setrlimit(RLIMIT_FSIZE, &small);
      return fake_batch(step);
    };
    LoopOptions o = options(30);
    o.log_every = 100;  // else it is the log that does not fit, as below
    Refusal r = refusal([&] { start(run, engine, o, job); });
    ::setrlimit(RLIMIT_FSIZE, &before);
    CHECK(r.status == Status::bad_output);
    CHECK_THAT(r.sentence, ContainsSubstring("run" + std::to_string(room)) && ContainsSubstring("cannot be written") &&
                               ContainsSubstring("step 4 is intact"));
    resume(run, options(30), fake_job());
    same_files(folder / "whole", run);
  }
  const fs::path run = folder / "log";
  job.batch = [&](int64_t step) {
    const rlimit small{fs::file_size(run / "log.jsonl", *std::make_unique<std::error_code>()) + 20, before.rlim_max};
    if (step == 6) ::setrlimit(RLIMIT_FSIZE, &small);
    return fake_batch(step);
  };
  const Refusal r = refusal([&] { start(run, engine, options(30), job); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(r.status == Status::bad_output);
  CHECK_THAT(r.sentence, ContainsSubstring("log.jsonl") && ContainsSubstring("cannot be written"));
  resume(run, options(30), fake_job());
  same_files(folder / "whole", run);
  whole_log(run, 30);
}

TEST_CASE("a signal in a validation: the step is saved, the validation made up for") {
  TemporaryFolder folder;
  FakeEngine whole, engine;
  start(folder / "whole", whole, options(30), fake_job());
  bool signalled = false;
  Job job = fake_job();
  job.stop = [&] { return signalled; };
  job.validate = [&](const Weights& weights, const Progress& progress) {
    signalled = true;
    return fake_validation(weights, progress);
  };
  CHECK(refusal([&] { start(folder / "run", engine, options(30), job); }).status == Status::interrupted);
  CHECK(load_weights(folder / "run" / "last.bin").provenance.at("steps") == 10);
  resume(folder / "run", options(30), fake_job());
  same_files(folder / "whole", folder / "run");
  whole_log(folder / "run", 30);
}

TEST_CASE("what all ranks have done is saved when another is gone") {
  class Left final : public Collective {
   public:
    int rank() const override { return 0; }
    int size() const override { return 2; }
    void sum(double*, int64_t) override {  // once before the first step and once after each
      if (++n_sums_ == 8) throw OtherRankFailed(Status::resource_error, "rank 1 of 2 is gone", false);
    }
    void sum(float*, int64_t) override {}
    void broadcast(void*, int64_t) override {}
    void finish() override {}
    bool fail(Status, const std::string&) override { return false; }

   private:
    int n_sums_ = 0;
  } left;
  TemporaryFolder temporary;
  LoopOptions o = options(30);
  o.save_every = 500;
  FakeEngine engine;
  RunFolder folder(temporary / "run", RunFolder::Open::fresh);
  Log log(folder.path());
  const Refusal gone = refusal([&] {
    sr::train::train(engine, first_checkpoint(random_weights(tiny(), 7), true, some_options), o, fake_job(), left,
                     folder, log);
  });
  CHECK((gone.status == Status::resource_error && gone.sentence == "rank 1 of 2 is gone"));
  CHECK(folder.load().state.step == 7);
  CHECK(load_weights(folder.last()).provenance.at("steps") == 7);
}

// What each path of a picture draws.
std::vector<std::string> paths(const std::string& svg) {
  std::vector<std::string> found;
  for (size_t at = 0; (at = svg.find(" d=\"", at)) != std::string::npos;) {
    at += 4;
    found.push_back(svg.substr(at, svg.find('"', at) - at));
  }
  return found;
}

TEST_CASE("the curves are a picture with something in it, of a resumed run too") {
  TemporaryFolder folder;
  FakeEngine engine;
  start(folder / "run", engine, options(20), fake_job());
  resume(folder / "run", options(30), fake_job());
  const test::Bytes bytes = test::read_bytes(folder / "run" / "curves.svg");
  const std::string svg(bytes.begin(), bytes.end());
  CHECK_THAT(svg, ContainsSubstring(">Loss<") && ContainsSubstring(">Validation PSNR<") && ContainsSubstring("</svg>"));
  const auto drawn = paths(svg);
  REQUIRE(drawn.size() == 4);  // loss and PSNR, of output and input
  for (const size_t i : {0, 1}) CHECK(std::ranges::count(drawn[i], 'L') == 29);
  for (const size_t i : {2, 3}) CHECK(std::ranges::count(drawn[i], 'L') == 2);
}

TEST_CASE("curves of nothing, of one point, of constants and of what is not finite") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const auto draw = [](std::vector<double> x, std::vector<double> y) {
    Chart chart;
    chart.title = "title";
    chart.curves = {{"a", std::move(x), std::move(y), true}};
    const std::string svg = chart_document({chart});
    CHECK(svg.size() > 100);
    CHECK_THAT(svg, !ContainsSubstring("nan") && !ContainsSubstring("inf"));
    return paths(svg);
  };
  CHECK(draw({}, {})[0] == "");
  CHECK_THAT(draw({1}, {2})[0], ContainsSubstring("h3"));
  CHECK_THAT(draw({1}, {1e30})[0], ContainsSubstring("h3"));
  CHECK(std::ranges::count(draw({1, 2, 3}, {0, 0, 0})[0], 'L') == 2);
  CHECK_THAT(draw({1, 2, 3}, {nan, inf, 1})[0], ContainsSubstring("h3"));
  CHECK(std::ranges::count(draw({1, 2}, {1e-30, 1e30})[0], 'L') == 1);
  // Many points: pale, and their moving mean, which goes over the gaps; no more than can be told apart.
  for (const int n : {210, 100'000}) {
    CAPTURE(n);
    std::vector<double> x, y;
    for (int i = 0; i < n; ++i) x.push_back(i), y.push_back(i % 7 ? std::sin(i) : nan);
    const auto drawn = draw(x, y);
    REQUIRE(drawn.size() == 2);
    CHECK(std::ranges::count(drawn[0], 'M') == (n == 210 ? 30 : 1));
    CHECK(std::ranges::count(drawn[1], 'M') == 1);
    for (const std::string& path : drawn) CHECK(std::ranges::count(path, 'L') <= 1000);
  }
}

TEST_CASE("scores of whole scans") {
  // A residual network whose last layer is zero gives its input back.
  CLI::App app;
  Options o;
  add_options(app, o);
  app.parse("--data d --out o --model b1u1,k=2,residual", false);
  interpret(o);
  const Weights weights = starting_weights(o);
  ScanPair pair{"a.nii", Volume({12, 13, 14}), Volume({12, 13, 14})};
  for (size_t i = 0; i < pair.low.data.size(); ++i) {
    pair.high.data[i] = 100 + 50 * std::sin(static_cast<float>(i));
    pair.low.data[i] = pair.high.data[i] + (i % 2 ? 3.0f : -3.0f);
  }
  RestoreOptions restore;
  restore.backend.patch = {12, 12, 12};
  Validator validator({2, [&](size_t) { return pair; }}, restore);
  int n_patches = 0;
  const Validation v = validator(weights, [&](int, int) { return ++n_patches > 0; });
  REQUIRE(v.scans.size() == 2);
  CHECK(n_patches > 2);
  CHECK(v.scans[0].name == "a.nii");
  CHECK(v.result.psnr == Approx(v.input.psnr).margin(1e-3));
  CHECK(v.result.ssim == Approx(v.input.ssim).margin(1e-4));
  const double b = measure_intensity(weights.normalization, pair.low).b;
  CHECK(v.result.mse == Approx(9 / (b * b)).epsilon(1e-3));
  CHECK(refusal([&] { validator(weights, [](int, int) { return false; }); }).status == Status::interrupted);

  // One that is gone and one that cannot be measured against (every slice across k is constant) are not in the means.
  ScanPair slices{"slices.nii", pair.low, pair.high};
  for (int z = 0; z < 12; ++z)
    for (int at = 0; at < 13 * 14; ++at)
      slices.high.data[static_cast<size_t>(z * 13 * 14 + at)] = static_cast<float>(z);
  Validator with_bad_ones({3,
                           [&](size_t i) {
                             if (i == 0) throw Error(Status::bad_input, "gone.nii: cannot be read");
                             return i == 1 ? slices : pair;
                           }},
                          restore);
  for (int time = 0; time < 2; ++time) {
    const Validation rest = with_bad_ones(weights, [](int, int) { return true; });
    REQUIRE(rest.scans.size() == 1);
    CHECK(rest.scans[0].name == "a.nii");
    CHECK(rest.result.psnr == v.result.psnr);
    CHECK(rest.input.mse == v.input.mse);
    REQUIRE(rest.skipped.size() == 2);
    CHECK(rest.skipped[0].reason == "gone.nii: cannot be read");
    CHECK(rest.skipped[1].name == "slices.nii");
    CHECK_THAT(rest.skipped[1].reason, ContainsSubstring("constant"));
  }
  Validator out_of_memory({1, [](size_t) -> ScanPair { throw Error(Status::resource_error, "no memory"); }}, restore);
  CHECK(refusal([&] { out_of_memory(weights, [](int, int) { return true; }); }).status == Status::resource_error);
}

TEST_CASE("a validation without a scan that can be measured does not end the training, and chooses nothing") {
  TemporaryFolder folder;
  FakeEngine engine;
  Job job = fake_job();
  bool broken = true;
  job.validate = [&](const Weights& weights, const Progress& progress) {
    Validation v = fake_validation(weights, progress);
    if (std::exchange(broken, false))
      v = {.scans = {}, .result = {}, .input = {}, .skipped = {{"b.nii", "it is blank"}}};
    return v;
  };
  start(folder / "run", engine, options(20), job);
  CHECK(load_weights(folder / "run" / "best.bin").provenance.at("steps") == 20);
  const auto log = lines(folder / "run" / "log.jsonl");
  CHECK(std::ranges::count_if(log, [](const std::string& line) {
          return line.find("\"skipped\":[{\"name\":\"b.nii\",\"reason\":\"it is blank\"}]") != std::string::npos;
        }) == 1);
}

TEST_CASE("the command line") {
  const auto parsed = [](const std::string& words) {
    CLI::App app;
    Options o;
    add_options(app, o);
    app.parse("--data d --out o " + words, false);
    interpret(o);
    return o;
  };
  Options o = parsed("");
  CHECK((o.data.batch == 6 && o.data.patch == 40 && o.loop.steps == 800'000 && o.loop.schedule.rate == 1e-4));
  Weights start = starting_weights(o);
  CHECK(start.model == ModelDescription{});
  CHECK(to_string(start.normalization) == "foreground");
  CHECK(start.at("stem.conv.weight").data == starting_weights(o).at("stem.conv.weight").data);
  CHECK(start.at("stem.conv.weight").data != starting_weights(parsed("--seed 2")).at("stem.conv.weight").data);
  CHECK(start.at("blocks.0.units.0.norm.weight").data[0] == 1);
  CHECK(start.at("blocks.0.units.0.norm.running_var").data[0] == 1);

  o = parsed(
      "--factor 2x2x1 --factor 1x1x3 --device cuda:1 --schedule cosine --warm-up 10 --max-memory 2G --input sinc");
  CHECK((o.data.factors.size() == 2 && o.training.gpu == 1 && o.training.device == DeviceKind::cuda));
  CHECK(starting_weights(o).model.input == Interpolation::sinc);
  const auto list = differences(options_that_matter(parsed(""), start), options_that_matter(o, start));
  CHECK(list == std::vector<std::string>{R"(--factor ["2x2x1"] there, ["2x2x1","1x1x3"] here)",
                                         "--schedule constant there, cosine here", "--warm-up 0 there, 10 here"});
  CHECK(differences(options_that_matter(parsed(""), start), options_that_matter(parsed("--steps 9 --threads 3"), start))
            .empty());
  // Runs of a program that did not know these options can be resumed.
  const nlohmann::json without = options_that_matter(parsed(""), start);
  CHECK_FALSE((without.contains("--axes") || without.contains("--favour")));
  o = parsed("--axes --favour a=b.nii=3 --favour c=1");
  CHECK((o.data.axes && o.data.favour == std::map<std::string, int>{{"a=b.nii", 3}, {"c", 1}}));
  CHECK(differences(without, options_that_matter(o, start)) ==
        std::vector<std::string>{"--axes not given there, true here",
                                 R"(--favour not given there, {"a=b.nii":3,"c":1} here)"});
  for (const char* words : {"--device cuda:0,1", "--decay 0.5", "--frozen-norm", "--factor 0x1x1", "--device tpu"}) {
    CAPTURE(words);
    CHECK(refusal([&] { parsed(words); }).status == Status::bad_usage);
  }
  CHECK_THROWS_AS(parsed("--schedule none"), CLI::ParseError);

  TemporaryFolder folder;
  Weights init = random_weights(tiny(), 1);
  save_weights(folder / "w.bin", init);
  o = parsed("--init " + (folder / "w.bin").string());
  CHECK(starting_weights(o).model == tiny());
  o.model = "b4u4";
  const Refusal r = refusal([&] { starting_weights(o); });
  CHECK(r.status == Status::bad_weights);
  CHECK_THAT(r.sentence, ContainsSubstring("b1u1") && ContainsSubstring("b4u4"));

  // A larger one of the same kind grows from it; what is known of no statistics is named.
  ModelDescription larger = tiny();
  larger.blocks++;
  o.model = "b2u1,k=2";
  REQUIRE(parse_model_name(*o.model).name() == larger.name());
  std::vector<std::string> unmeasured;
  start = starting_weights(o, &unmeasured);
  CHECK(start.model == larger);
  CHECK(start.sha256 == init.sha256);
  CHECK(start.at("stem.conv.weight").data == init.at("stem.conv.weight").data);
  CHECK(unmeasured.size() == 2u * static_cast<size_t>(larger.units));
  for (const std::string& name : unmeasured) CHECK(name.starts_with("blocks.1."));
}
