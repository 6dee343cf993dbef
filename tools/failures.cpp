#include "tools/failures.h"

#include <fmt/core.h>

#include <exception>
#include <new>

#include "weights/weights_error.h"

namespace sr {

bool attempt(std::vector<Failure>& failures, const std::filesystem::path& file, const std::function<void()>& work) {
  const auto failed = [&](Status status, const std::string& sentence) {
    failures.push_back({file, status, sentence});
    return false;
  };
  try {
    work();
    return true;
  } catch (const WeightsError& e) {
    return failed(Status::bad_weights, e.what());
  } catch (const Error& e) {
    if (e.status == Status::interrupted) throw;
    return failed(e.status, e.what());
  } catch (const std::bad_alloc&) {
    return failed(Status::resource_error, fmt::format("{}: the memory is exhausted", file.string()));
  } catch (const std::exception& e) {
    return failed(Status::bad_input, fmt::format("{}: {}", file.string(), e.what()));
  }
}

Error end_of_many(const std::vector<Failure>& failures, size_t n_files, Status status, const std::string& summary) {
  if (n_files == 1) return Error(status, failures[0].sentence);
  std::string list;
  for (const Failure& f : failures) list += fmt::format("\n  {}", f.sentence);
  return Error(status, summary + list);
}

}  // namespace sr
