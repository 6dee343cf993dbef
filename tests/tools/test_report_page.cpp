// The report of `srengine evaluate --html` in a browser: Chromium opens it without a console error and decodes every
// picture. Where there is no Chromium this is skipped, with a line that says so.
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <sstream>

#include "tests/tools/command_checks.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds kPatience{90};  // it takes two on an idle machine

std::optional<fs::path> find_chromium() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
      if (const fs::path file = fs::path(folder) / name; ::access(file.c_str(), X_OK) == 0) return file;
  return {};
}

// out: the document after it was loaded. err: Chromium's log, with what pages say on the console.
std::optional<Outcome> open_page(const TemporaryFolder& folder, const fs::path& chromium, const std::string& page) {
  Program browser(folder.path(),
                  {"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--enable-logging=stderr", "--v=0", "--user-data-dir=" + (folder / "profile").string(), "--dump-dom",
                   "file://" + (folder / page).string()},
                  {}, chromium.string());
  const auto end = std::chrono::steady_clock::now() + kPatience;
  if (browser.runs_until([&] { return std::chrono::steady_clock::now() > end; })) return {};
  return browser.wait();
}

// What the page said on the console; Chromium's own troubles (no D-Bus, no GPU) are not the page's.
std::vector<std::string> console_of(const Outcome& o) {
  std::vector<std::string> lines;
  std::istringstream log(o.err);
  for (std::string line; std::getline(log, line);)
    if (holds(line, ":CONSOLE")) lines.push_back(line);
  return lines;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) n++;
  return n;
}

}  // namespace

TEST_CASE("Chromium opens the report without a console error and decodes its pictures") {
  const std::optional<fs::path> chromium = find_chromium();
  if (!chromium) {
    WARN("there is no chromium, chromium-browser or google-chrome on PATH: not tested");
    return;
  }
  const TemporaryFolder folder;
  const Size3 size{12, 16, 14};
  const auto head = [](int z, int y, int x) { return 100 + 60 * std::sin(0.5 * x + 0.3 * y) * std::cos(0.4 * z); };
  write_scan(folder / "head.nii", filled(size, head));
  write_scan(folder / "test.nii", filled(size, [&](int z, int y, int x) { return head(z, y, x) + x % 3; }));
  write_scan(folder / "seg.nii", filled(size, [](int z, int, int) { return z % 3; }));
  done(folder, {"evaluate", "-r", "head.nii", "test.nii", "head.nii", "--labels", "seg.nii", "seg.nii", "seg.nii",
                "--html", "report.html"});

  // First a copy with a script that notes the size of every decoded picture and then fails: whether Chromium works at
  // all, and whether its errors reach us.
  std::string copy = read_text(folder / "report.html");
  const size_t end = copy.rfind("</body>");
  REQUIRE(end != std::string::npos);
  copy.insert(end,
              "<script>onload = () => { document.body.append('decoded:' + [...document.images].map(i => "
              "i.complete && i.naturalWidth == i.getAttribute('width') ? 'yes' : 'no')); throw Error('on "
              "purpose'); }</script>");
  write_bytes(folder / "copy.html", Bytes(copy.begin(), copy.end()));
  const std::optional<Outcome> probe = open_page(folder, *chromium, "copy.html");
  const std::string mark = "decoded:";
  const size_t at = probe ? probe->out.rfind(mark) : std::string::npos;
  if (!probe || probe->code != 0 || at == std::string::npos) {
    WARN(chromium->string() << " does not open pages from a temporary folder here: not tested");
    return;
  }
  const std::string decoded = probe->out.substr(at + mark.size(), probe->out.find('<', at) - at - mark.size());
  INFO(decoded);
  CHECK(count(decoded, "yes") == 24);  // two tests, four rows, three columns
  CHECK(count(decoded, "no") == 0);
  const std::vector<std::string> console = console_of(*probe);
  CHECK(!console.empty());  // what is said there reaches this test
  for (const std::string& line : console)
    if (!holds(line, "on purpose")) FAIL_CHECK(line);

  const std::optional<Outcome> page = open_page(folder, *chromium, "report.html");
  REQUIRE(page);
  CHECK(page->code == 0);
  for (const std::string& line : console_of(*page)) FAIL_CHECK(line);
  const std::string& dom = page->out;
  CHECK(count(dom, "<table>") == 3);  // the metrics, and the labels of each test
  CHECK(holds(dom, "<th>PSNR dB</th>"));
  CHECK(holds(dom, "<td>test.nii</td><td>head.nii</td>"));
  CHECK(count(dom, "<div class=\"mosaic\"") == 2);
  CHECK(count(dom, "<img width=") == 24);
  CHECK(count(dom, "<svg ") == 5);  // PSNR, SSIM, power, agreement, differences
}
