// Several scans through one queue: the order in which they are told, what overlaps, what one bad scan costs.
#include "engine/scan_queue.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/support/catch.h"
#include "tests/support/scan_files.h"

using namespace sr;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const fs::path golden = fs::path(SR_TEST_DATA) / "golden";
const fs::path plain_scan = golden / "nifti" / "int16.nii", four_d = golden / "nifti" / "four_d.nii.gz";

Restorer restorer_with(int flips) {
  RestoreOptions options;
  options.backend.patch = {24, 24, 24};
  options.backend.threads = 2;
  options.flips = flips;
  return Restorer(load_weights(golden / "network" / "b1u1-k4.bin"), options);
}

ScanRequest request(const fs::path& input, const fs::path& output) {
  ScanRequest r;
  r.input = input;
  r.output = output;
  return r;
}

// Every scan is opened as it is asked for, and what becomes of it is kept: "" or a sentence.
struct Told {
  std::vector<size_t> order;
  std::vector<std::string> sentences;

  ScanCalls calls(const std::vector<ScanRequest>& requests) {
    ScanCalls calls;
    calls.open = [&](size_t i) { return OpenScan{requests[i], ScanReader(requests[i].input)}; };
    calls.progress = [](size_t) { return Progress(); };
    calls.done = [this](size_t i, std::future<RestoreReport> written) {
      order.push_back(i);
      sentences.emplace_back();
      try {
        written.get();
      } catch (const Error& e) {
        if (e.status == Status::interrupted) throw;
        sentences.back() = e.what();
      }
    };
    return calls;
  }
};

}  // namespace

TEST_CASE("scans and their volumes come out as each by itself would, with change and uncertainty") {
  const TemporaryFolder folder;
  std::vector<ScanRequest> requests;
  for (const fs::path& scan : {plain_scan, four_d, plain_scan, four_d, four_d}) {
    const std::string number = std::to_string(requests.size());
    ScanRequest& r = requests.emplace_back(request(scan, folder / (number + ".nii.gz")));
    r.change = folder / (number + "_change.nii");
    r.uncertainty = folder / (number + "_sd.nii");
  }
  Restorer restorer = restorer_with(2);
  Told told;
  restore_scans(restorer, requests.size(), told.calls(requests));
  CHECK(told.order == std::vector<size_t>{0, 1, 2, 3, 4});
  for (size_t i = 0; i < requests.size(); i++) {
    CAPTURE(i);
    CHECK(told.sentences[i].empty());
    ScanReader input(requests[i].input), output(requests[i].output), change(requests[i].change),
        sd(requests[i].uncertainty);
    REQUIRE(output.info().n_volumes == input.info().n_volumes);
    for (int64_t t = 0; t < input.info().n_volumes; t++) {
      const Volume volume = input.read(t);
      StageTimes seconds;
      const RestoredVolume expected = restorer.restore_volume(volume, {}, {}, seconds);
      CHECK(output.read(t).data == expected.result.mean.data);
      CHECK(sd.read(t).data == expected.result.sd.data);
      std::vector<float> difference = expected.result.mean.data;
      for (size_t v = 0; v < difference.size(); v++) difference[v] -= volume.data[v];
      CHECK(change.read(t).data == difference);
    }
  }
}

TEST_CASE("a scan that cannot be opened, read or written is told in its turn, and the others go on") {
  const TemporaryFolder folder;
  test::Bytes cut = test::read_bytes(four_d);  // found when its last volume is read
  cut.resize(cut.size() - 1);
  test::write_bytes(folder / "short.nii.gz", cut);
  const std::vector<ScanRequest> requests{request(folder / "missing.nii", folder / "0.nii"),
                                          request(plain_scan, folder / "1.nii"),
                                          request(plain_scan, folder / "nowhere" / "2.nii"),
                                          request(folder / "short.nii.gz", folder / "3.nii"),
                                          request(four_d, folder / "4.nii"),
                                          request(folder / "gone.nii", folder / "5.nii")};
  Restorer restorer = restorer_with(1);
  Told told;
  restore_scans(restorer, requests.size(), told.calls(requests));
  CHECK(told.order == std::vector<size_t>{0, 1, 2, 3, 4, 5});
  const std::vector<std::string> hints{"missing.nii does not exist", "", "2.nii cannot be written",
                                       "short.nii.gz is cut short",  "", "gone.nii does not exist"};
  for (size_t i = 0; i < hints.size(); i++) {
    CAPTURE(i, told.sentences[i]);
    CHECK(told.sentences[i].empty() == hints[i].empty());
    CHECK(told.sentences[i].find(hints[i]) != std::string::npos);
  }
  CHECK(folder.n_files() == 3);  // short.nii.gz and two results
}

TEST_CASE("while a scan is restored the next one is read, and no other") {
  const TemporaryFolder folder;
  std::vector<ScanRequest> requests;
  for (int i = 0; i < 4; i++) requests.push_back(request(plain_scan, folder / (std::to_string(i) + ".nii")));
  Restorer restorer = restorer_with(1);
  Told told;
  ScanCalls calls = told.calls(requests);
  std::atomic<size_t> n_open = 0;
  std::atomic<bool> as_wanted = true;
  calls.open = [&, open = calls.open](size_t i) {
    n_open++;
    return open(i);
  };
  calls.progress = [&](size_t i) -> Progress {
    return [&, i](int done, int total) {
      const size_t wanted = std::min(i + 2, requests.size());
      const auto start = std::chrono::steady_clock::now();
      while (n_open < wanted && std::chrono::steady_clock::now() - start < std::chrono::seconds(60))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (done == total && n_open != wanted) as_wanted = false;
      return true;
    };
  };
  restore_scans(restorer, requests.size(), calls);
  CHECK(as_wanted);
  CHECK(told.order == std::vector<size_t>{0, 1, 2, 3});
}

TEST_CASE("an interrupted queue tells what is done, and leaves nothing else behind") {
  const TemporaryFolder folder;
  std::vector<ScanRequest> requests;
  for (int i = 0; i < 3; i++) requests.push_back(request(four_d, folder / (std::to_string(i) + ".nii")));
  Restorer restorer = restorer_with(1);
  Told told;
  ScanCalls calls = told.calls(requests);
  calls.progress = [](size_t i) -> Progress { return [i](int, int) { return i == 0; }; };
  Status status = Status::ok;
  try {
    restore_scans(restorer, requests.size(), calls);
  } catch (const Error& e) {
    status = e.status;
  }
  CHECK(status == Status::interrupted);
  CHECK(told.order == std::vector<size_t>{0, 1});
  CHECK(told.sentences[0].empty());
  CHECK(folder.n_files() == 1);
}
