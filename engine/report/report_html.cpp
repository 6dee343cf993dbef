#include "engine/report/report_html.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "engine/base/status.h"
#include "engine/images/spectrum.h"
#include "engine/report/png_image.h"
#include "engine/report/svg_chart.h"
#include "engine/report/view.h"

namespace sr {
namespace {

constexpr int kCellHeight = 300;  // pixels of the tallest slice
constexpr int kDetailZoom = 4;
constexpr int kNRings = 64, kNBins = 161;

constexpr const char* kStyle = R"(
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "Helvetica Neue", Arial, sans-serif; color: #1c2024; background: #fff;
       max-width: 1320px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .5rem; } p { max-width: 75ch; margin: .4rem 0; }
.quiet { color: #5b646e; }
table { border-collapse: collapse; margin: .6rem 0; } th, td { padding: .25rem .9rem .25rem 0; text-align: right; }
th { border-bottom: 1px solid #9aa4ae; font-weight: 600; } td:first-child, th:first-child { text-align: left; }
tr.mean td { border-top: 1px solid #d5dbe1; font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1rem; }
.charts .chart { width: 100%; height: auto; }
.mosaic { display: grid; gap: 6px; align-items: center; justify-items: center; background: #000; color: #cfd6dd;
          padding: 10px; border-radius: 4px; font-size: 13px; width: fit-content; max-width: 100%; }
.mosaic img { display: block; max-width: 100%; } .cell { position: relative; }
.frame { position: absolute; border: 1px solid #ffd54a; }
.bar { display: flex; gap: 8px; align-items: center; font-size: 13px; margin: .4rem 0; }
.bar i { width: 260px; height: 12px; display: inline-block; }
)";

// Black, violet, red, orange, white: brightness rises all the way, so that it reads in grey as well.
constexpr std::array<std::array<double, 3>, 5> kHot{
    {{0, 0, 0}, {70, 20, 120}, {200, 40, 60}, {250, 160, 40}, {255, 255, 235}}};

std::array<uint8_t, 3> heat(double share) {
  const double at = std::clamp(share, 0.0, 1.0) * (kHot.size() - 1);
  const size_t i = std::min(static_cast<size_t>(at), kHot.size() - 2);
  std::array<uint8_t, 3> colour{};
  for (size_t c = 0; c < 3; ++c)
    colour[c] =
        static_cast<uint8_t>(std::lround(kHot[i][c] + (at - static_cast<double>(i)) * (kHot[i + 1][c] - kHot[i][c])));
  return colour;
}

std::string heat_gradient() {
  std::string stops;
  for (const auto& c : kHot) stops += fmt::format(",rgb({:.0f} {:.0f} {:.0f})", c[0], c[1], c[2]);
  return "linear-gradient(90deg" + stops + ")";
}

std::string embed(const Image& image, const std::string& alt) {
  const std::vector<uint8_t> png = encode_png(image);
  std::string base64((png.size() + 2) / 3 * 4 + 1, '\0');
  const int n =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()), png.data(), static_cast<int>(png.size()));
  base64.resize(static_cast<size_t>(n));
  return fmt::format("<img width=\"{}\" height=\"{}\" alt=\"{}\" src=\"data:image/png;base64,{}\">", image.width,
                     image.height, escape_markup(alt), base64);
}

// A part of a view, drawn `zoom` times as large. Part and view in pixels of the cell.
struct Part {
  double x, y, w, h;
  int zoom;
};

Part whole(const View& view) {
  return {0, 0, static_cast<double>(view.pixels[0]), static_cast<double>(view.pixels[1]), 1};
}

template <class Pixel>
Image draw(const Part& part, int n_channels, Pixel pixel) {
  Image image(static_cast<int>(part.w * part.zoom), static_cast<int>(part.h * part.zoom), n_channels);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      pixel(part.x + (x + 0.5) / part.zoom - 0.5, part.y + (y + 0.5) / part.zoom - 0.5, image.at(x, y));
  return image;
}

Image draw_grey(const View& view, const Part& part, const Volume& volume, const Window& window) {
  return draw(part, 1, [&](double x, double y, uint8_t* to) { *to = window(view.sample(volume, x, y)); });
}

Image draw_difference(const View& view, const Part& part, const ReportedTest& t, double scale) {
  return draw(part, 3, [&](double x, double y, uint8_t* to) {
    const auto colour = heat(std::abs(view.sample(*t.test, x, y) - view.sample(*t.reference, x, y)) / scale);
    std::copy(colour.begin(), colour.end(), to);
  });
}

std::string cell(const std::string& image, const std::string& more = "") {
  return "<div class=\"cell\">" + image + more + "</div>";
}

// Where the detail lies in its view.
std::string frame(const View& view, const Part& part) {
  return fmt::format("<div class=\"frame\" style=\"left:{:.2f}%;top:{:.2f}%;width:{:.2f}%;height:{:.2f}%\"></div>",
                     100 * part.x / view.pixels[0], 100 * part.y / view.pixels[1], 100 * part.w / view.pixels[0],
                     100 * part.h / view.pixels[1]);
}

std::string mosaic(const ReportedTest& t, double scale) {
  const std::array<View, 3> views =
      make_views(t.reference->size, *reinterpret_cast<const double(*)[4][4]>(t.affine), kCellHeight);
  const Window window = window_of(*t.reference);
  const int column = std::max(views[0].pixels[0], views[2].pixels[0]);
  const Detail d = choose_detail(views[0], column / kDetailZoom, column * 3 / 4 / kDetailZoom);
  const Part detail{double(d.x), double(d.y), double(d.w), double(d.h), kDetailZoom};
  std::string html = fmt::format(
      "<div class=\"mosaic\" style=\"grid-template-columns:repeat(3,minmax(0,{}px))\"><div>reference</div><div>{}</div>"
      "<div>absolute difference</div>",
      column, escape_markup(t.name));
  const auto row = [&](const View& view, const Part& part, const std::string& name, const std::string& more) {
    html += cell(embed(draw_grey(view, part, *t.reference, window), name + ", reference"), more);
    html += cell(embed(draw_grey(view, part, *t.test, window), name + ", test"), more);
    html += cell(embed(draw_difference(view, part, t, scale), name + ", absolute difference"), more);
  };
  for (const View& view : views) row(view, whole(view), view.name, &view == &views[0] ? frame(view, detail) : "");
  row(views[0], detail, "DETAIL", "");
  return html + "</div>";
}

// What the colour scale of the difference ends at: all but two in a thousand voxels of the worst test lie below.
double difference_scale(std::span<const ReportedTest> tests) {
  double scale = 0;
  for (const ReportedTest& t : tests) {
    std::vector<float> differences(t.test->data.size());
    for (size_t i = 0; i < differences.size(); ++i) differences[i] = std::abs(t.test->data[i] - t.reference->data[i]);
    const auto nth = differences.begin() + static_cast<ptrdiff_t>(0.998 * static_cast<double>(differences.size() - 1));
    std::nth_element(differences.begin(), nth, differences.end());
    scale = std::max(scale, static_cast<double>(*nth));
  }
  return scale > 0 ? scale : 1;
}

Chart slice_chart(std::span<const ReportedTest> tests, int plane, const char* title, double SliceMetrics::*figure) {
  Chart chart;
  chart.title = title;
  chart.x_label = fmt::format("slice along {}", "ijk"[plane]);
  for (const ReportedTest& t : tests) {
    Curve curve{t.name, {}, {}};
    for (const SliceMetrics& s : t.metrics.slices) {
      curve.x.push_back(s.slice);
      curve.y.push_back(s.*figure);
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

Chart histogram(std::span<const ReportedTest> tests, double scale) {
  Chart chart;
  chart.title = "Differences to the reference";
  chart.x_label = "test minus reference, in the scan's units";
  chart.y_label = "voxels";
  chart.log_y = true;
  for (const ReportedTest& t : tests) {
    Curve curve{t.name, {}, std::vector<double>(kNBins, 0.0)};
    const double bin = 2 * scale / kNBins;
    for (int b = 0; b < kNBins; ++b) curve.x.push_back(-scale + (b + 0.5) * bin);
    for (size_t i = 0; i < t.test->data.size(); ++i) {
      const double at = (static_cast<double>(t.test->data[i]) - t.reference->data[i] + scale) / bin;
      if (at >= 0 && at < kNBins) curve.y[static_cast<size_t>(at)] += 1;
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

std::string spectra(std::span<const ReportedTest> tests, const Report& report) {
  Chart power, agreement;
  power.title = "Radial k-space power";
  power.y_label = "mean |F|²";
  power.log_y = true;
  agreement.title = "Agreement with the reference, ring by ring (FRC)";
  for (Chart* c : {&power, &agreement}) {
    c->x_label = "spatial frequency, share of Nyquist";
    if (report.cut > 0) c->x_mark = report.cut, c->x_mark_label = "measured up to here";
  }
  std::vector<double> frequency;
  for (int r = 0; r < kNRings; ++r) frequency.push_back((r + 0.5) / kNRings);
  for (const ReportedTest& t : tests) {
    RadialSpectrum s = radial_spectrum(*t.reference, *t.test, report.plane, kNRings);
    power.curves.push_back({t.name, frequency, std::move(s.power)});
    agreement.curves.push_back({t.name, frequency, std::move(s.correlation)});
  }
  const Volume& reference = *tests[0].reference;
  power.curves.push_back({"reference", frequency, radial_spectrum(reference, reference, report.plane, kNRings).power});
  return draw_chart(power) + draw_chart(agreement);
}

std::string overlap_table(const ReportedTest& t) {
  std::string html = "<h3>Labels: " + escape_markup(t.name) +
                     "</h3><table><tr><th>label</th><th>Dice</th><th>Jaccard</th><th>voxels, reference</th>"
                     "<th>voxels, test</th></tr>";
  double dice = 0, jaccard = 0;
  for (const LabelOverlap& o : t.overlaps) {
    html += fmt::format("<tr><td>{}</td><td>{:.4f}</td><td>{:.4f}</td><td>{}</td><td>{}</td></tr>", o.label, o.dice(),
                        o.jaccard(), o.n_reference, o.n_test);
    dice += o.dice();
    jaccard += o.jaccard();
  }
  const double n = static_cast<double>(t.overlaps.size());
  return html +
         fmt::format("<tr class=\"mean\"><td>mean</td><td>{:.4f}</td><td>{:.4f}</td><td></td><td></td></tr></table>",
                     dice / n, jaccard / n);
}

std::string subject(std::span<const ReportedTest> tests, const Report& report) {
  const double scale = difference_scale(tests);
  std::string html = "<h2>" + escape_markup(tests[0].reference_name) + "</h2><div class=\"charts\">";
  html += draw_chart(slice_chart(tests, report.plane, "PSNR of each slice, dB", &SliceMetrics::psnr));
  html += draw_chart(slice_chart(tests, report.plane, "SSIM of each slice", &SliceMetrics::ssim));
  html += spectra(tests, report);
  html += draw_chart(histogram(tests, scale));
  html +=
      "</div><p class=\"quiet\">Power beyond what was measured was added by the interpolation or the network; where "
      "the agreement is high it is the detail of the reference, where it falls towards 0 it is invented or noise."
      "</p>";
  for (const ReportedTest& t : tests) {
    html += "<h3>" + escape_markup(t.name) + "</h3>";
    html += fmt::format(
        "<div class=\"bar\"><span>difference 0</span><i style=\"background:{}\"></i><span>{:.4g} (the "
        "same scale for every test of this reference)</span></div>",
        heat_gradient(), scale);
    html += mosaic(t, scale);
    if (!t.overlaps.empty()) html += overlap_table(t);
  }
  return html;
}

}  // namespace

std::string html_page(const std::string& title, const std::string& body) {
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\"><title>" +
         escape_markup(title) + "</title><style>" + kStyle + chart_style + "</style></head><body>\n<h1>" +
         escape_markup(title) + "</h1>" + body + "</body></html>\n";
}

std::string report_html(const Report& report) {
  if (report.tests.empty()) throw Error(Status::bad_usage, "a report needs at least one test");
  std::string html = std::string("<p class=\"quiet\">srengine " SRENGINE_VERSION "; slices across ") +
                     "ijk"[report.plane] +
                     "; data range of the whole reference; the patient's right is on the left.</p>\n" + report.summary;
  const std::span<const ReportedTest> all(report.tests);
  for (size_t from = 0, to; from < all.size(); from = to) {
    for (to = from + 1; to < all.size() && all[to].reference == all[from].reference; ++to) {
    }
    html += subject(all.subspan(from, to - from), report) + "\n";
  }
  return html_page(report.title, html);
}

}  // namespace sr
