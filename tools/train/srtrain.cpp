// srtrain: trains the networks that srengine runs. Exit codes are those of engine/status.h; docs/training.md.
#include <fcntl.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <new>

#include "engine/status.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/train/data.h"
#include "tools/train/loop.h"
#include "tools/train/options.h"
#include "weights/weights_error.h"

namespace sr::train {
namespace {

void run(Options& o) {
  interpret(o);
  RunFolder folder(o.out, o.resume ? RunFolder::Open::resume : RunFolder::Open::fresh);
  SingleProcess collective;
  Weights start = starting_weights(o);
  o.data.input = start.model.input;
  o.data.normalization = start.normalization;
  const nlohmann::json matter = options_that_matter(o, start);
  Checkpoint checkpoint;
  if (o.resume) {
    checkpoint = folder.load();
    nlohmann::json there = checkpoint.options;
    there.erase("split");  // compared below, when the scans have been read
    folder.refuse_other_options(there, matter);
  } else {
    checkpoint = first_checkpoint(start, o.loop.average > 0, matter);
  }

  const Data data = make_data(o.data, collective);
  if (o.resume && checkpoint.options.at("split") != data.split)
    throw Error(Status::bad_usage,
                fmt::format("--resume: the scans in {}, or how they are split, are not those that {} was begun with; "
                            "bring them back, or start another run with --init {}",
                            o.data.folder.string(), folder.path().string(), folder.last().string()));
  checkpoint.options["split"] = data.split;

  const std::unique_ptr<TrainingEngine> engine = make_training_engine(checkpoint.weights, o.training, collective);
  RestoreOptions restore;
  restore.backend.device = o.training.device;
  restore.backend.gpus = o.training.device == DeviceKind::cuda ? std::vector<int>{o.training.gpu} : std::vector<int>{};
  restore.backend.threads = o.training.threads;
  restore.backend.conv = o.training.conv;

  Log log(folder.path(), checkpoint.state.step);
  nlohmann::ordered_json first = {
      {"version", SRENGINE_VERSION},    {"device", engine->describe()}, {"steps", o.loop.steps},  {"options", matter},
      {"data", o.data.folder.string()}, {"split", data.split},          {"skipped", data.skipped}};
  log.note(o.resume ? "resume" : "start", checkpoint.state.step, first);
  if (!o.loop.quiet) note(fmt::format("{} on {}", checkpoint.weights.model.name(), engine->describe()));
  for (const auto& skipped : data.skipped)
    note(fmt::format("srtrain: warning: {} is left out: {}", skipped.value("path", ""), skipped.value("reason", "")));

  catch_interrupts();
  Job job;
  job.batch = data.batch;
  job.stop = interrupted;
  if (data.validation.count > 0) job.validate = Validator(data.validation, restore);
  fmt::print("{}\n", train(*engine, std::move(checkpoint), o.loop, job, folder, log).string());
}

int report(Status status, const std::string& sentence) {
  note("srtrain: " + sentence);
  return static_cast<int>(status);
}

// As srengine has it: no file of ours may get the number of a stream that the caller closed.
void reserve_standard_streams() {
  for (int stream = 0; stream <= 2; stream++)
    if (::fcntl(stream, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDONLY));
}

}  // namespace
}  // namespace sr::train

int main(int argc, char** argv) {
  using namespace sr;
  using namespace sr::train;
  reserve_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);
  clean_up_on_signals();
  CLI::App app{"srtrain trains mDCSRN networks for srengine."};
  app.set_version_flag("--version", "srtrain " SRENGINE_VERSION);
  Options options;
  add_options(app, options);
  app.callback([&] { run(options); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    return report(Status::bad_usage, std::string(e.what()) + " (srtrain --help lists the options)");
  } catch (const WeightsError& e) {
    return report(Status::bad_weights, e.what());
  } catch (const Error& e) {
    return report(e.status, e.what());
  } catch (const std::bad_alloc&) {
    return report(Status::device_trouble,
                  "memory is exhausted; --batch, --patch and --max-memory lower what is needed");
  } catch (const std::filesystem::filesystem_error& e) {
    return report(Status::bad_output, e.what());
  } catch (const std::exception& e) {
    if (!std::ferror(stdout)) return report(Status::device_trouble, e.what());
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    return report(Status::bad_output, "standard output could not be written");
  return 0;
}
