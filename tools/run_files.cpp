#include "tools/run_files.h"

#include <fmt/core.h>

#include <map>

#include "tools/degrade_sidecar.h"
#include "tools/results.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

// A name asked for is a folder if it is one, ends in a slash, or stands for the results of several scans.
bool is_folder(const fs::path& asked, size_t n_scans) {
  return !asked.empty() && (n_scans > 1 || fs::is_directory(asked) || !asked.has_filename());
}

// Names one result of each scan. By default that of dir/scan.nii is dir/scan_sr.nii.gz, for the ending "_sr.nii.gz".
void name_results(std::vector<ScanRequest>& requests, ScanName ScanRequest::*result, const ScanName& asked,
                  const char* ending) {
  const bool folder = is_folder(asked.path, requests.size());
  if (!asked.empty() && !folder) asked.checked();
  if (requests.size() > 1 && asked.is_scan() && !fs::is_directory(asked.path))
    throw Error(Status::bad_usage,
                fmt::format("{} is the name of one scan, but there are {}; give a folder for the results",
                            asked.string(), requests.size()));
  for (ScanRequest& request : requests) {
    const fs::path name = request.input.with(ending);
    request.*result = asked.empty() ? name : folder ? asked.path / name.filename() : asked;
  }
}

// No result may land on a file that is read, or on another result.
void refuse_overwriting(const RunFiles& files, const std::vector<ScanRequest>& requests) {
  std::map<fs::path, const ScanRequest*> written_for;  // where a result would land -> whose it is
  std::vector<fs::path> read = files.scans, results{files.json};
  read.push_back(files.weights);
  for (const ScanRequest& r : requests) {
    if (has_degradation(r.input)) read.push_back(sidecar_name(r.input));
    for (const ScanName* result : {&r.output, &r.change, &r.uncertainty}) {
      if (result->empty()) continue;
      results.push_back(result->path);
      const auto [other, fresh] = written_for.emplace(scan_identity(result->path), &r);
      if (!fresh && other->second != &r)
        throw Error(
            Status::bad_usage,
            fmt::format("{} and {} would both be written to {}; restore them in two calls, each with its own -o",
                        other->second->input.string(), r.input.string(), result->string()));
    }
  }
  for (const ScanRequest& r : requests)
    if (const auto at = written_for.find(scan_identity(r.input.path)); at != written_for.end())
      throw Error(Status::bad_usage,
                  fmt::format("{} would be overwritten by {}; -o takes another name", r.input.string(),
                              at->second->input.path == r.input.path ? "its own result"
                                                                     : "the result of " + at->second->input.string()));
  if (!files.json.empty()) refuse_scan_name("--json", files.json);
  refuse_collisions(read, results);
}

}  // namespace

std::vector<ScanRequest> requests_of(const RunFiles& files) {
  std::vector<ScanRequest> requests(files.scans.size());
  for (size_t i = 0; i < requests.size(); i++) requests[i].input = files.scans[i];
  name_results(requests, &ScanRequest::output, files.output, "_sr.nii.gz");
  if (!files.change.empty()) name_results(requests, &ScanRequest::change, files.change, "_change.nii.gz");
  if (!files.uncertainty.empty())
    name_results(requests, &ScanRequest::uncertainty, files.uncertainty, "_uncertainty.nii.gz");
  refuse_overwriting(files, requests);
  return requests;
}

void make_result_folders(const RunFiles& files) {
  for (const fs::path& asked : {files.output, files.change, files.uncertainty}) {
    if (!is_folder(asked, files.scans.size())) continue;
    std::error_code error;
    fs::create_directories(asked, error);
    if (!fs::is_directory(asked, error))
      throw Error(Status::bad_output, fmt::format("{}: the folder for the results cannot be made", asked.string()));
  }
}

}  // namespace sr
