// What lets a user judge a result: data consistency, flips, the domain of the weights, seams, overlap, spectra,
// reports.
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <regex>

#include "engine/base/status.h"
#include "engine/domain.h"
#include "engine/images/consistency.h"
#include "engine/images/dft.h"
#include "engine/images/flips.h"
#include "engine/images/metrics.h"
#include "engine/images/overlap.h"
#include "engine/images/resample.h"
#include "engine/images/seams.h"
#include "engine/images/spectrum.h"
#include "engine/report/report_html.h"
#include "engine/report/svg_chart.h"
#include "tests/support/catch.h"
#include "tests/support/volume_check.h"

using namespace sr;

namespace {

Volume pattern(Size3 size, double seed) {  // asymmetric, positive
  Volume volume(size);
  for (size_t i = 0; i < volume.data.size(); ++i)
    volume.data[i] =
        static_cast<float>(3 + std::sin(seed * static_cast<double>(i)) + static_cast<double>(i * i % 23) / 11);
  return volume;
}

// DFT of the whole volume along i and j, slice by slice, by the sum that defines it.
std::vector<ComplexDouble> kspace_of_slice(const Volume& v, int z) {
  const auto [d, h, w] = v.size;
  std::vector<ComplexDouble> out;
  for (int q = 0; q < h; ++q)
    for (int p = 0; p < w; ++p) {
      ComplexDouble sum = 0;
      for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x)
          sum += static_cast<double>(v.at(z, y, x)) *
                 std::polar(1.0,
                            -2 * std::numbers::pi * (static_cast<double>(p) * x / w + static_cast<double>(q) * y / h));
      out.push_back(sum);
    }
  return out;
}

bool measured(int index, int n, int m) {  // |q| < m / 2
  const int q = index <= n / 2 ? index : index - n;
  return m == n || 2 * std::abs(q) < m;
}

}  // namespace

TEST_CASE("data consistency: the frequencies that were measured come back, the others stay the network's") {
  const auto [size, factors] =
      GENERATE(std::pair{Size3{2, 14, 12}, Factors{2, 2, 1}}, std::pair{Size3{2, 13, 11}, Factors{2, 2, 1}},
               std::pair{Size3{2, 15, 9}, Factors{1.5, 1, 1}}, std::pair{Size3{1, 10, 16}, Factors{2, 3, 1}});
  const Size3 low = low_grid(size, factors);
  const Volume input = pattern(size, 0.37), network = pattern(size, 0.71);
  const bool native = GENERATE(false, true);
  const double weight = GENERATE(1.0, 0.25);
  CAPTURE(size.h, size.w, native, weight);
  const Volume scan = native ? pattern(low, 0.53) : input;

  Volume result = network;
  DataConsistency(measured_part(scan, size, low), low, weight).apply(result);
  for (int z = 0; z < size.d; ++z) {
    const std::vector<ComplexDouble> before = kspace_of_slice(network, z), after = kspace_of_slice(result, z),
                                     truth = kspace_of_slice(scan, z);
    const double scale = native ? static_cast<double>(size.h * size.w) / (low.h * low.w) : 1;
    for (int q = 0; q < size.h; ++q)
      for (int p = 0; p < size.w; ++p) {
        const size_t at = static_cast<size_t>(q) * static_cast<size_t>(size.w) + static_cast<size_t>(p);
        ComplexDouble expected = before[at];
        if (measured(p, size.w, low.w) && measured(q, size.h, low.h)) {
          const int pl = p <= size.w / 2 ? p : p - size.w + scan.size.w,
                    ql = q <= size.h / 2 ? q : q - size.h + scan.size.h;
          const ComplexDouble of_scan =
              scale * truth[static_cast<size_t>(ql) * static_cast<size_t>(scan.size.w) + static_cast<size_t>(pl)];
          expected += weight * (of_scan - before[at]);
        }
        CHECK(std::abs(after[at] - expected) < 1e-5 * std::abs(after[0]));  // float32 voxels, a hundred of them summed
      }
  }
}

TEST_CASE("data consistency: a projection; linear interpolation by a whole factor is undone first") {
  const Volume v = pattern({6, 12, 10}, 0.41);
  const Size3 low = low_grid(v.size, {2, 3, 2});
  const Volume once = measured_part(v, v.size, low);
  test::check_close(measured_part(once, v.size, low), once, 1e-6);
  test::check_close(measured_part(v, v.size, v.size), v, 0);

  const Volume native = truncate_kspace(v, {2, 3, 2});
  CHECK(undo_linear(upsample(native, v.size, Interpolation::linear), low).data == native.data);
  CHECK_THROWS_AS(undo_linear(v, {6, 5, 10}), Error);
  CHECK_THROWS_AS(DataConsistency(once, low, 1.5), Error);
  CHECK_THROWS_AS(measured_part(v, {6, 12, 9}, low), Error);
}

TEST_CASE("flips: each is its own inverse, mean and deviation are those of the answers") {
  const Volume v = pattern({3, 4, 5}, 0.9);
  for (int axes = 0; axes < 8; ++axes) {
    const Volume f = flip(v, axes);
    CHECK(flip(f, axes).data == v.data);
    CHECK(f.at(axes & 4 ? 2 : 0, axes & 2 ? 3 : 0, axes & 1 ? 4 : 0) == v.at(0, 0, 0));
  }
  const MeanAndSd all = mean_and_sd(4, [](int which) {
    Volume answer({1, 1, 2});
    answer.data = {static_cast<float>(which * which), 7};
    return answer;
  });
  CHECK(all.mean.data[0] == Approx(3.5));  // of 0, 1, 4, 9
  CHECK(all.sd.data[0] == Approx(std::sqrt(49.0 / 3)));
  CHECK(all.mean.data[1] == 7);
  CHECK(all.sd.data[1] == 0);
  CHECK(mean_and_sd(1, [&](int) { return v; }).sd.data.empty());
}

TEST_CASE("the domain of the weights: what differs is named, once") {
  const nlohmann::json provenance{
      {"domain", {{"modality", "T1w"}, {"voxel_mm", {0.8, 1.1}}, {"foreground", {0.2, 0.7}}, {"peak", {1.1, 4}}}}};
  const Domain domain = domain_of(provenance).value();
  Volume head({4, 10, 10});
  for (size_t i = 0; i < head.data.size(); ++i) head.data[i] = i % 2 ? 100 + static_cast<float>(i % 50) : 0;
  CHECK(outside_domain(domain, head, {1, 1, 0.9}, "sub-01_T1w.nii.gz").empty());
  CHECK(outside_domain(domain, head, {1, 1, 1}, "scan.nii").empty());  // nothing is known of it
  const std::string other = outside_domain(domain, head, {1, 1, 2.5}, "sub-01_T2w.nii.gz");
  CHECK(other.find("T2w, not T1w") != std::string::npos);
  CHECK(other.find("2.5 mm, not 0.8 to 1.1") != std::string::npos);
  CHECK(other.find('\n') == std::string::npos);
  Volume speck({4, 10, 10});
  speck.data[7] = 1;
  CHECK(outside_domain(domain, speck, {1, 1, 1}, "scan.nii").find("% of its voxels") != std::string::npos);
  CHECK(outside_domain(domain, Volume({2, 2, 2}), {1, 1, 1}, "scan.nii").find("constant") != std::string::npos);
  CHECK(!domain_of(nlohmann::json::object()));
  CHECK(!domain_of({{"domain", "T1w"}}));
  CHECK(!domain_of({{"domain", {{"voxel_mm", "small"}}}})->voxel_mm);
}

TEST_CASE("overlap of labels") {
  Volume a({1, 2, 4}), b(a);
  a.data = {0, 1, 1, 1, 2, 2, 0, 5};
  b.data = {1, 1, 1, 0, 2, 0, 0, 0};
  const std::vector<LabelOverlap> all = label_overlap(a, b);
  REQUIRE(all.size() == 3);
  CHECK(all[0].label == 1);
  CHECK(all[0].dice() == Approx(4.0 / 6));
  CHECK(all[0].jaccard() == Approx(2.0 / 4));
  CHECK(all[1].dice() == Approx(2.0 / 3));
  CHECK(all[1].jaccard() == Approx(0.5));
  CHECK(all[2].label == 5);
  CHECK(all[2].dice() == 0);
  CHECK_THROWS_AS(label_overlap(a, Volume({1, 2, 3})), Error);
  CHECK_THROWS_AS(label_overlap(Volume(a.size), Volume(a.size)), Error);
  b.data[3] = 0.5f;
  CHECK_THROWS_AS(label_overlap(a, b), Error);
  b.data[3] = NAN;
  CHECK_THROWS_AS(label_overlap(a, b), Error);
}

TEST_CASE("seams: a step at the borders of patches shows, noise everywhere does not") {
  const Volume reference = pattern({9, 17, 18}, 0.3);
  Volume noisy = reference, stepped = reference;
  for (size_t i = 0; i < noisy.data.size(); ++i)
    noisy.data[i] += static_cast<float>(std::sin(1.7 * static_cast<double>(i * i % 1009)));
  for (int z = 0; z < 9; ++z)
    for (int y = 0; y < 17; ++y)
      for (int x = 0; x < 18; ++x)
        stepped.at(z, y, x) += static_cast<float>(0.01 * std::sin(x + 2 * y + 3 * z) + (x >= 8) + (x >= 16));
  CHECK(measure_seams(reference, noisy, 8, 0).ratio() == Approx(1).margin(0.15));
  CHECK(measure_seams(reference, stepped, 8, 0).ratio() > 10);
  CHECK_THROWS_AS(measure_seams(reference, noisy, 1, 0), Error);
  CHECK_THROWS_AS(measure_seams(reference, noisy, 64, 0), Error);
  CHECK_THROWS_AS(measure_seams(reference, noisy, 8, 1e9f), Error);
}

TEST_CASE("spectra: power of a wave lies in its ring, correlation tells kept detail from invented detail") {
  Volume wave({2, 32, 32}), other(wave.size);
  for (int z = 0; z < 2; ++z)
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x) {
        const double phase = 2 * std::numbers::pi * 6 * x / 32;  // 6 / 16 of Nyquist
        wave.at(z, y, x) = static_cast<float>(std::cos(phase));
        other.at(z, y, x) = static_cast<float>(2 * std::sin(phase));
      }
  const int n = 16;
  const RadialSpectrum own = radial_spectrum(wave, wave, 2, n), against = radial_spectrum(wave, other, 2, n);
  double total = 0;
  for (const double p : own.power) total += p;
  CHECK(own.power[6] == Approx(total).epsilon(1e-6));
  CHECK(own.correlation[6] == Approx(1));
  CHECK(against.power[6] == Approx(4 * own.power[6]).epsilon(1e-6));
  CHECK(std::abs(against.correlation[6]) < 1e-6);
  CHECK(radial_spectrum(wave, wave, 0, n).power.size() == 16);  // other planes, other sizes
}

TEST_CASE("metrics within a mask are those of its voxels") {
  Volume reference = pattern({3, 14, 15}, 0.5), test = reference, mask(reference.size);
  for (int y = 0; y < 14; ++y)
    for (int x = 0; x < 15; ++x) {
      test.at(1, y, x) += x < 7 ? 1.0f : 9.0f;
      mask.at(1, y, x) = x < 7 ? 1.0f : 0.0f;
    }
  const Metrics m = compare(reference, test, 2, &mask);
  CHECK(m.n_outside == 2);
  REQUIRE(m.slices.size() == 1);
  CHECK(m.psnr == Approx(20 * std::log10(m.data_range)).epsilon(1e-5));  // an error of 1 everywhere in it
  CHECK(compare(reference, test, 2).slices[1].psnr < m.psnr - 5);
  for (float& v : mask.data) v = 1;
  CHECK(compare(reference, test, 2, &mask).ssim == Approx(compare(reference, test, 2).ssim).epsilon(1e-12));
  const Volume empty(reference.size), other({3, 14, 14});
  CHECK_THROWS_AS(compare(reference, test, 2, &empty), Error);
  CHECK_THROWS_AS(compare(reference, test, 2, &other), Error);
}

TEST_CASE("a report is one document that loads nothing") {
  const double ras[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
  const Volume reference = pattern({20, 24, 22}, 0.2), test = pattern({20, 24, 22}, 0.3);
  Report report;
  report.title = "a <title> & more";
  report.cut = 0.5;
  report.tests.push_back({"sinc <1>", "head", &test, &reference, ras, compare(reference, test, 2), {{3, 10, 12, 9}}});
  report.tests.push_back({"same", "head", &reference, &reference, ras, compare(reference, reference, 2), {}});
  const std::string html = report_html(report);
  CHECK(html.find("<!DOCTYPE html>") == 0);
  CHECK(html.find("a &lt;title&gt; &amp; more") != std::string::npos);
  CHECK(html.find("sinc &lt;1&gt;") != std::string::npos);
  for (const char* loads : {"http:", "https:", "<script", "<link rel=\"stylesheet\"", "url("})
    CHECK(html.find(loads) == std::string::npos);
  for (const char* part :
       {"PSNR of each slice", "SSIM of each slice", "Radial k-space power", "FRC", "measured up to here",
        "Differences to the reference", "AXIAL, absolute difference", "DETAIL", "Dice", "class=\"frame\""})
    CHECK(html.find(part) != std::string::npos);
  size_t n_images = 0;
  std::string drawn = html;  // without the pictures
  for (size_t at = 0; (at = drawn.find("data:image/png;base64,iVBOR", at)) != std::string::npos; ++n_images)
    drawn.erase(at, drawn.find('"', at) - at);
  CHECK(n_images == 24);  // two tests, four rows, three columns
  size_t n_marks = 0;     // the cut, in both charts of frequencies and no other
  for (size_t at = 0; (at = drawn.find("class=\"mark\"", at)) != std::string::npos; ++at) ++n_marks;
  CHECK(n_marks == 2);
  CHECK(drawn.find("nan") == std::string::npos);
  CHECK(drawn.find("inf") == std::string::npos);
  CHECK_THROWS_AS(report_html({}), Error);
}

TEST_CASE("a chart with dots: areas by their shares, nothing where there is no number, labels apart") {
  Chart chart;
  chart.log_x = true;
  chart.dots.push_back({"largest", 1000, 31, 1});
  chart.dots.push_back({"a quarter", 10, 30, 0.25});
  chart.dots.push_back({"between", 100, 30});
  chart.dots.push_back({"infinite", 20, INFINITY});
  chart.dots.push_back({"zero", 0, 30});
  for (int i = 0; i < 40; i++) chart.dots.push_back({"close", 300 + 0.37 * i, 30 + 0.0013 * i});
  const std::string svg = draw_chart(chart);
  const std::regex circle("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\" r=\"([0-9.]+)\"");
  struct Box {
    double left, right, top, bottom;
  };
  std::vector<Box> boxes;                       // that no label may cover
  std::vector<std::pair<double, double>> dots;  // x, radius
  for (std::sregex_iterator at(svg.begin(), svg.end(), circle), end; at != end; ++at) {
    const double x = std::stod((*at)[1]), y = std::stod((*at)[2]), r = std::stod((*at)[3]);
    dots.emplace_back(x, r);
    boxes.push_back({x - r, x + r, y - r, y + r});
  }
  REQUIRE(dots.size() == 43);
  CHECK(dots[0].second == Approx(12));
  CHECK(dots[1].second == Approx(6));
  CHECK(dots[2].second == Approx(3));
  CHECK(dots[0].first - dots[2].first == Approx(dots[2].first - dots[1].first).margin(0.2));  // 10, 100, 1000
  // 5 letters of at most 6.6 pixels, 10 above and 2 below the line that they stand on.
  const std::regex label("<text x=\"([0-9.]+)\" y=\"([0-9.]+)\" text-anchor=\"(start|end)\">close<");
  size_t n_labels = 0;
  for (std::sregex_iterator at(svg.begin(), svg.end(), label), end; at != end; ++at, ++n_labels) {
    const double x = std::stod((*at)[1]), y = std::stod((*at)[2]);
    const Box box = (*at)[3] == "end" ? Box{x - 33, x, y - 10, y + 2} : Box{x, x + 33, y - 10, y + 2};
    CHECK(box.left >= 66);  // where the axes are
    CHECK(box.right <= 604);
    CHECK(box.top >= 34);
    CHECK(box.bottom <= 268);
    for (const Box& other : boxes)
      CHECK_FALSE((box.left + 0.2 < other.right && other.left + 0.2 < box.right && box.top + 0.2 < other.bottom &&
                   other.top + 0.2 < box.bottom));
    boxes.push_back(box);
  }
  CHECK(n_labels == 40);
}
