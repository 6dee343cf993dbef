// srtrain: trains the networks that srengine runs; srtrain gan: trains them on against a critic. Exit codes are those
// of engine/base/status.h; docs/training.md.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <string_view>

#include "engine/base/status.h"
#include "engine/training/data.h"
#include "engine/training/growing.h"
#include "engine/training/ranks.h"
#include "tools/common/interrupt.h"
#include "tools/common/progress.h"
#include "tools/common/standard_streams.h"
#include "tools/srtrain/loop.h"
#include "tools/srtrain/options.h"
#include "weights/weights_error.h"

namespace sr::train {
namespace {

// Rank 0's text on every rank.
std::string shared(Collective& collective, std::string text) {
  int64_t n = static_cast<int64_t>(text.size());
  collective.broadcast(&n, sizeof n);
  text.resize(static_cast<size_t>(n));
  collective.broadcast(text.data(), n);
  return text;
}

// Ranks that were started otherwise than rank 0, or see other scans, would train something that nobody asked for.
void must_agree(Collective& collective, const nlohmann::json& here, Status status, const std::string& sentence) {
  const nlohmann::json there = nlohmann::json::parse(shared(collective, here.dump()));
  if (const auto list = differences(there, here); !list.empty())
    throw Error(status, fmt::format("{}, against rank 0: {}", sentence, fmt::join(list, "; ")));
}

void refuse_other_kind(const Options& o, const RunFolder& folder, const Checkpoint& checkpoint) {
  if (o.gan.has_value() == checkpoint.gan.has_value()) return;
  throw Error(
      Status::bad_usage,
      fmt::format("--resume: {} holds a run of {}, which {} goes on with; {} {} starts another run, in another "
                  "folder",
                  folder.path().string(), o.gan ? "plain srtrain" : "srtrain gan",
                  o.gan ? "srtrain --resume" : "srtrain gan --resume", o.init_option(), folder.last().string()));
}

// Where rank 0 begins: anew, or with what is in the folder.
Checkpoint beginning(const Options& o, const RunFolder& folder, const Weights& start, const nlohmann::json& matter) {
  if (!o.resume) {
    Checkpoint checkpoint = first_checkpoint(start, o.loop.average > 0, matter);
    if (o.gan) checkpoint.gan = first_gan_state(o.gan->model, o.gan->seed);
    return checkpoint;
  }
  Checkpoint checkpoint = folder.load();
  refuse_other_kind(o, folder, checkpoint);
  nlohmann::json there = checkpoint.options;
  there.erase("split");  // compared later, when the scans have been read
  folder.refuse_other_options(there, matter);
  if (o.gan && checkpoint.gan->critic.model != o.gan->model)
    throw WeightsError(fmt::format("{}: its critic is another one than its options say; the file is damaged",
                                   folder.state().string()));
  return checkpoint;
}

void refuse_other_scans(const Options& o, const RunFolder& folder, const Checkpoint& checkpoint, const Data& data) {
  if (o.resume && checkpoint.options.at("split") != data.split)
    throw Error(Status::bad_usage,
                fmt::format("--resume: the scans in {}, or how they are split, are not those that {} was begun with; "
                            "bring them back, or start another run with {} {}",
                            o.data.folder.string(), folder.path().string(), o.init_option(), folder.last().string()));
}

// Validation is rank 0's alone: the processors that the other ranks leave idle meanwhile are its own.
RestoreOptions validation_options(const Options& o) {
  RestoreOptions restore;
  restore.backend.device = o.training.device;
  if (o.training.gpu >= 0) restore.backend.gpus = {o.training.gpu};
  restore.backend.threads = o.training.threads;
  restore.backend.conv = o.training.conv;
  return restore;
}

// The folder, all records and the validation are rank 0's. Returns the weights to use.
std::filesystem::path lead(TrainingEngine& engine, Checkpoint checkpoint, const Options& o, const Data& data,
                           const nlohmann::json& matter, Job& job, Collective& collective, RunFolder& folder) {
  checkpoint.options["split"] = data.split;
  Log log(folder.path(), checkpoint.steps());
  nlohmann::ordered_json first = {{"version", SRENGINE_VERSION}, {"device", engine.describe()},
                                  {"ranks", collective.size()},  {"steps", o.loop.steps},
                                  {"options", matter},           {"data", o.data.folder.string()},
                                  {"split", data.split},         {"skipped", data.skipped}};
  log.note(o.resume ? "resume" : "start", checkpoint.steps(), first);
  const std::string ranks = collective.size() > 1 ? fmt::format(" in each of {} processes", collective.size()) : "";
  if (!o.loop.quiet) note(fmt::format("{} on {}{}", checkpoint.weights.model.name(), engine.describe(), ranks));
  for (const auto& skipped : data.skipped)
    note(fmt::format("srtrain: warning: {} is left out: {}", skipped.value("path", ""), skipped.value("reason", "")));
  if (data.validation.count > 0) job.validate = Validator(data.validation, validation_options(o));
  if (o.gan) return train_gan(engine, std::move(checkpoint), o.loop, *o.gan, job, folder, log);
  return train(engine, std::move(checkpoint), o.loop, job, collective, folder, log);
}

void run(Options& o, Collective& collective) {
  interpret(o);
  if (o.gan && collective.size() > 1)
    throw Error(Status::bad_usage, fmt::format("srtrain gan trains in one process, and {} were started; start it "
                                               "without mpirun or srun's --ntasks",
                                               collective.size()));
  std::vector<std::string> unmeasured;
  const Weights start = starting_weights(o, &unmeasured);
  o.data.input = start.model.input;
  o.data.normalization = start.normalization;
  const nlohmann::json matter = options_that_matter(o, start);
  nlohmann::json common = matter;
  common["--steps"] = o.loop.steps;
  must_agree(collective, common, Status::bad_usage, "started with other options");

  std::optional<RunFolder> folder;
  Checkpoint checkpoint;
  if (collective.rank() == 0) {
    folder.emplace(o.out, o.resume ? RunFolder::Open::resume : RunFolder::Open::fresh);
    checkpoint = beginning(o, *folder, start, matter);
  }
  if (collective.size() > 1) {
    const std::vector<uint8_t> bytes = collective.rank() == 0 ? to_bytes(checkpoint) : std::vector<uint8_t>();
    const std::string state = shared(collective, {bytes.begin(), bytes.end()});
    if (collective.rank() != 0)
      checkpoint = checkpoint_from({reinterpret_cast<const uint8_t*>(state.data()), state.size()}, "rank 0's state");
  }

  const Data data = make_data(o.data, collective);
  must_agree(collective, data.split, Status::bad_input,
             fmt::format("--data {}: holds other scans than there", o.data.folder.string()));
  if (folder) refuse_other_scans(o, *folder, checkpoint, data);

  TrainingOptions training = o.training;
  if (training.threads == 0 && collective.size() > 1) training.threads = fair_share(collective);
  catch_interrupts();
  if (!o.resume && !unmeasured.empty())
    measure_statistics(checkpoint.weights, unmeasured, training, data.batch, collective);
  const std::unique_ptr<TrainingEngine> engine = make_training_engine(checkpoint.weights, training, collective);
  Job job;
  job.batch = data.batch;
  job.stop = interrupted;
  if (!folder) {
    follow(*engine, checkpoint, o.loop, job, collective);
    return collective.finish();
  }
  const std::filesystem::path result = lead(*engine, std::move(checkpoint), o, data, matter, job, collective, *folder);
  collective.finish();
  fmt::print("{}\n", result.string());
}

struct Failure {
  Status status;
  std::string sentence;
};

Failure failure_of(const std::exception_ptr& exception, const char* program) {
  try {
    std::rethrow_exception(exception);
  } catch (const CLI::ParseError& e) {
    return {Status::bad_usage, fmt::format("{} ({} --help lists the options)", e.what(), program)};
  } catch (const WeightsError& e) {
    return {Status::bad_weights, e.what()};
  } catch (const Error& e) {
    return {e.status, e.what()};
  } catch (const std::bad_alloc&) {
    return {Status::resource_error,
            "memory is exhausted; --batch, --patch and --max-memory lower what is needed, and --critic-width that of a "
            "critic"};
  } catch (const std::filesystem::filesystem_error& e) {
    return {Status::bad_output, e.what()};
  } catch (const std::exception& e) {
    if (std::ferror(stdout)) return {Status::bad_output, "standard output could not be written"};
    return {Status::resource_error, e.what()};
  }
}

int report(const Failure& failure) {
  note("srtrain: " + failure.sentence);
  return static_cast<int>(failure.status);
}

// Bad usage, if there is any, is told of when all ranks are there: once, for all were started alike.
int run_or_report(Options& options, const std::exception_ptr& bad_usage) {
  std::unique_ptr<Collective> collective = std::make_unique<SingleProcess>();
  try {
    const Ranks ranks = ranks_of([](const char* name) { return std::getenv(name); });
    options.training.local_rank = ranks.local_rank;
    collective = join(ranks);
    if (bad_usage) std::rethrow_exception(bad_usage);
    run(options, *collective);
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      return report({Status::bad_output, "standard output could not be written"});
    return 0;
  } catch (const OtherRankFailed& e) {
    const bool said = e.said || collective->fail(e.status, e.what());
    return said ? static_cast<int>(e.status) : report({e.status, e.what()});
  } catch (...) {
    const Failure failure = failure_of(std::current_exception(), options.gan ? "srtrain gan" : "srtrain");
    const bool said = collective->fail(failure.status, failure.sentence);
    return said ? static_cast<int>(failure.status) : report(failure);
  }
}

}  // namespace
}  // namespace sr::train

int main(int argc, char** argv) {
  using namespace sr;
  using namespace sr::train;
  reserve_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);
  clean_up_on_signals();
  const bool gan = argc > 1 && std::string_view(argv[1]) == "gan";
  CLI::App app{gan ? "srtrain gan trains a network on, against a critic (WGAN-GP)."
                   : "srtrain trains networks for srengine."};
  app.set_version_flag("--version", "srtrain " SRENGINE_VERSION);
  Options options;
  if (gan) {
    app.name("srtrain gan");
    add_gan_options(app, options);
  } else {
    app.footer("srtrain gan trains a network on, against a critic: srtrain gan --help");
    add_options(app, options);
  }
  std::exception_ptr bad_usage;
  try {
    app.parse(argc - gan, argv + gan);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    bad_usage = std::current_exception();
  }
  return run_or_report(options, bad_usage);
}
