// Calls of the program under test, SR_PROGRAM, that must succeed or be refused.
#pragma once

#include <algorithm>

#include "tests/support/catch.h"
#include "tests/support/program.h"

namespace sr::test {

using Words = std::vector<std::string>;

inline bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline Words files_in(const std::filesystem::path& folder) {
  Words names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// Two lists of words, one behind the other.
inline Words joined(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

inline std::string in_one_line(const Words& words) {
  std::string line;
  for (const std::string& word : words) line += word + " ";
  return line;
}

inline Outcome done(const TemporaryFolder& folder, const Words& words, const Program::Streams& streams = {}) {
  const Outcome o = run_program(folder, words, streams);
  INFO(in_one_line(words) << "\n" << o.err);
  REQUIRE(o.code == 0);
  return o;
}

// The program ended with this code and one sentence that holds `hint`, behind notes if need be, and printed nothing.
inline void check_refused(const Outcome& o, int code, const std::string& hint) {
  INFO(o.err);
  CHECK(o.code == code);
  CHECK(o.out.empty());
  const size_t at = o.err.find(program_name() + ": ");
  REQUIRE(at != std::string::npos);
  CHECK(o.err.find(hint, at) != std::string::npos);
  CHECK(std::count(o.err.begin() + static_cast<ptrdiff_t>(at), o.err.end(), '\n') == 1);
}

// The call fails like that, and makes no file and leaves none behind. Notes in front of the sentence, two lines at
// most, are those of `run` on network and machine, if it comes that far, and of training on its scans.
inline void refused(const TemporaryFolder& folder, const Words& words, int code, const std::string& hint,
                    const Program::Streams& streams = {}) {
  INFO(in_one_line(words));
  const Words before = files_in(folder.path());
  const Outcome o = run_program(folder, words, streams);
  check_refused(o, code, hint);
  const bool may_note = program_name() == "srtrain" || (!words.empty() && words[0] == "run");
  CHECK((may_note || o.err.starts_with(program_name())));
  CHECK(std::count(o.err.begin(), o.err.end(), '\n') <= 3);
  CHECK(files_in(folder.path()) == before);
}

}  // namespace sr::test
