// The program as a user starts it, for tests of the command line: arguments in, exit code and both streams out. Other
// programs too.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/scan_files.h"

extern char** environ;

namespace sr::test {

struct Outcome {
  int code;  // exit code; 128 + the signal's number where a signal ended it, as shells have it
  std::string out, err;
};

// The running SR_PROGRAM, or another program, in a folder of the caller's. Its streams go to files outside that folder.
class Program {
 public:
  // stdout_to, stderr_to: a device or file instead of being collected; "" closes the stream. nohup: HUP is off when the
  // program starts.
  struct Streams {
    std::string stdout_to = "collect", stderr_to = "collect";
    bool nohup = false;
  };

  Program(const std::filesystem::path& folder, const std::vector<std::string>& arguments, const Streams& streams,
          const std::string& executable = SR_PROGRAM)
      : streams_(streams) {
    if (streams_.stdout_to == "collect") streams_.stdout_to = (collected_ / "out").string();
    if (streams_.stderr_to == "collect") streams_.stderr_to = (collected_ / "err").string();
    std::vector<std::string> words{executable};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
    redirect(actions, STDOUT_FILENO, streams_.stdout_to);
    redirect(actions, STDERR_FILENO, streams_.stderr_to);
    // Signals that whoever started the tests has switched off would stay so in the program.
    sigset_t defaults;
    ::sigemptyset(&defaults);
    for (const int number : {SIGINT, SIGTERM}) ::sigaddset(&defaults, number);
    if (!streams_.nohup) ::sigaddset(&defaults, SIGHUP);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setsigdefault(&attributes, &defaults);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    const auto before = std::signal(SIGHUP, streams_.nohup ? SIG_IGN : SIG_DFL);
    const int failed = ::posix_spawn(&pid_, executable.c_str(), &actions, &attributes, argv.data(), environ);
    std::signal(SIGHUP, before);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed) throw std::runtime_error("cannot start " + executable);
  }
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) { ::kill(pid_, number); }

  // Waits until the condition holds; false where the program ends first.
  bool runs_until(const std::function<bool()>& condition) {
    while (!condition()) {
      siginfo_t ended = {};
      ::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT);
      if (ended.si_pid == pid_) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  Outcome wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    const auto text = [this](const char* name) {
      const std::filesystem::path file = collected_ / name;
      if (!std::filesystem::exists(file)) return std::string();
      const Bytes bytes = read_bytes(file);
      return std::string(bytes.begin(), bytes.end());
    };
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text("out"), text("err")};
  }

 private:
  static void redirect(posix_spawn_file_actions_t& actions, int stream, const std::string& to) {
    if (to.empty())
      ::posix_spawn_file_actions_addclose(&actions, stream);
    else
      ::posix_spawn_file_actions_addopen(&actions, stream, to.c_str(), O_WRONLY | O_CREAT | O_NOCTTY, 0600);
  }

  TemporaryFolder collected_;
  Streams streams_;
  pid_t pid_ = 0;
};

inline Outcome run_program(const TemporaryFolder& folder, const std::vector<std::string>& arguments,
                           const Program::Streams& streams = {}) {
  return Program(folder.path(), arguments, streams).wait();
}

// As the program calls itself.
inline std::string program_name() {
  return std::filesystem::path(SR_PROGRAM).filename();
}

}  // namespace sr::test
