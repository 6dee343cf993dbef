// srengine: restores the resolution of 3D brain MRI. Exit codes are those of engine/base/status.h.
#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <new>

#include "engine/base/status.h"
#include "tools/commands.h"
#include "tools/common/interrupt.h"
#include "tools/common/progress.h"
#include "tools/common/standard_streams.h"
#include "weights/weights_error.h"

namespace {

int report(sr::Status status, const std::string& sentence) {
  sr::note("srengine: " + sentence);
  return static_cast<int>(status);
}

}  // namespace

int main(int argc, char** argv) {
  sr::reserve_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone is an error of writing, not the end in mid-scan
  sr::clean_up_on_signals();
  CLI::App app{"srengine restores the resolution of 3D brain MRI with mDCSRN networks."};
  app.set_version_flag("--version", "srengine " SRENGINE_VERSION);
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::help);
  sr::add_run(app);
  sr::add_bench(app);
  sr::add_degrade(app);
  sr::add_upsample(app);
  sr::add_evaluate(app);
  sr::add_table(app);
  sr::add_phantom(app);
  sr::add_import(app);
  sr::add_export(app);
  sr::add_info(app);
  sr::add_backends(app);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    return report(sr::Status::bad_usage, std::string(e.what()) + " (srengine --help lists commands and options)");
  } catch (const sr::WeightsError& e) {
    return report(sr::Status::bad_weights, e.what());
  } catch (const sr::Error& e) {
    return report(e.status, e.what());
  } catch (const std::bad_alloc&) {
    return report(sr::Status::resource_error, "memory is exhausted; --max-memory and --batch lower what a run needs");
  } catch (const std::filesystem::filesystem_error& e) {
    return report(sr::Status::bad_output, e.what());
  } catch (const std::exception& e) {
    // A thread that cannot be started, or fmt's word that a write to stdout failed: the latter is said below.
    if (!std::ferror(stdout)) return report(sr::Status::resource_error, e.what());
  }
  // A result that could not be printed is an error, as for any tool in a pipe.
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    return report(sr::Status::bad_output, "standard output could not be written");
  return 0;
}
