#include "tools/method_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "engine/report/report_html.h"
#include "engine/report/svg_chart.h"
#include "tools/results.h"

namespace sr {
namespace {

struct Quality {
  const char *name, *key;
  double ScanFigures::*figure;
  int digits;
};
constexpr Quality kQualities[] = {{"PSNR dB", "psnr", &ScanFigures::psnr, 3},
                                  {"SSIM", "ssim", &ScanFigures::ssim, 5},
                                  {"NRMSE", "nrmse", &ScanFigures::nrmse, 5}};

std::string size_text(Size3 s) {
  return fmt::format("{}x{}x{}", s.w, s.h, s.d);
}

bool has_quality(const MethodTable& table) {
  return std::any_of(table.rows.begin(), table.rows.end(), [](const TableRow& r) { return r.has_quality; });
}

bool knows_training(const MethodTable& table) {
  return std::any_of(table.rows.begin(), table.rows.end(), [](const TableRow& r) { return !r.training.empty(); });
}

using Cells = std::vector<std::string>;

// "-": not a network, or nothing to measure it against.
Cells cells_of(const MethodTable& table, const TableRow& row) {
  const auto of_network = [&](auto figure) { return row.network ? fmt::format("{}", figure(*row.network)) : "-"; };
  Cells cells{row.name,
              of_network([](const NetworkSize& n) { return n.model; }),
              of_network([](const NetworkSize& n) { return n.parameters; }),
              of_network([](const NetworkSize& n) { return n.multiply_adds; }),
              fmt::format("{:.1f}", row.ms_per_volume),
              fmt::format("{:.1f}", static_cast<double>(row.held_bytes) / 1e6)};
  if (knows_training(table)) cells.push_back(row.training.empty() ? "-" : row.training);
  for (const Quality& q : kQualities) {
    const MeanSd m = row.over_scans(q.figure);
    cells.push_back(!row.has_quality         ? "-"
                    : table.scans.size() < 2 ? fmt::format("{:.{}f}", m.mean, q.digits)
                                             : fmt::format("{:.{}f} ± {:.{}f}", m.mean, q.digits, m.sd, q.digits));
  }
  return cells;
}

std::vector<Cells> cells_of(const MethodTable& table) {
  std::vector<Cells> all{{"method", "network", "parameters", "madds / voxel", "ms / volume", "memory MB"}};
  if (knows_training(table)) all[0].push_back("trained");
  for (const Quality& q : kQualities) all[0].push_back(q.name);
  for (const TableRow& row : table.rows) all.push_back(cells_of(table, row));
  return all;
}

// What the figures are of, a line each.
std::vector<std::string> headings(const MethodTable& table) {
  const Factors& f = table.factors;
  const std::string cut = fmt::format("k-space cut {:g}x{:g}x{:g}", f[0], f[1], f[2]);
  std::vector<std::string> lines;
  if (table.scans.empty()) {
    lines.push_back(fmt::format("no scans; times for {}, {}", size_text(table.shape), cut));
  } else {
    std::set<std::string> sizes;
    for (const MethodTable::Scan& s : table.scans) sizes.insert(size_text(s.size));
    lines.push_back(fmt::format("{} scan{}, {}, {}, slices across {}", table.scans.size(),
                                table.scans.size() == 1 ? "" : "s", fmt::join(sizes, " "), cut,
                                "ijk"[Degradation{.factors = f}.plane()]));
  }
  std::set<std::string> devices;
  for (const TableRow& row : table.rows)
    if (row.network) devices.insert(row.device);
  for (const std::string& device : devices) lines.push_back("networks on " + device);
  return lines;
}

const TableRow* row_of(const std::vector<TableRow>& rows, const std::string& model) {
  const auto at =
      std::find_if(rows.begin(), rows.end(), [&](const TableRow& r) { return r.network && r.network->model == model; });
  return at == rows.end() ? nullptr : &*at;
}

constexpr const char* kAreaOfDots = "The area of a dot is the network's number of parameters.";

// PSNR against time: towards the upper left is better.
Chart pareto_chart(const MethodTable& table) {
  Chart chart;
  chart.title = "Quality against time";
  chart.x_label = "ms per volume";
  chart.y_label = "PSNR, dB";
  chart.log_x = true;
  double most = 0;
  for (const TableRow& row : table.rows)
    if (row.network && row.has_quality) most = std::max(most, static_cast<double>(row.network->parameters));
  for (const TableRow& row : table.rows)
    if (row.has_quality)
      chart.dots.push_back({row.label, row.ms_per_volume, row.over_scans(&ScanFigures::psnr).mean,
                            row.network ? static_cast<double>(row.network->parameters) / most : 0});
  Curve front{"no method is faster and better", {}, {}};
  std::vector<Dot> by_time = chart.dots;
  std::stable_sort(by_time.begin(), by_time.end(), [](const Dot& a, const Dot& b) { return a.x < b.x; });
  for (const Dot& dot : by_time)
    if (front.y.empty() || dot.y > front.y.back()) front.x.push_back(dot.x), front.y.push_back(dot.y);
  chart.curves.push_back(std::move(front));
  return chart;
}

nlohmann::json row_json(const MethodTable& table, const TableRow& row) {
  nlohmann::json json = {{"method", row.name}, {"ms_per_volume", row.ms_per_volume}, {"memory_bytes", row.held_bytes}};
  if (row.network) {
    json["model"] = row.network->model;
    json["parameters"] = row.network->parameters;
    json["multiply_adds_per_voxel"] = row.network->multiply_adds;
    json["device"] = row.device;
    if (!row.training.empty()) json["trained"] = row.training;
  }
  if (row.has_quality)
    for (const Quality& q : kQualities) {
      const MeanSd m = row.over_scans(q.figure);
      json[q.key] = {{"mean", m.mean}, {"sd", table.scans.size() > 1 ? nlohmann::json(m.sd) : nlohmann::json()}};
    }
  if (!row.scans.empty()) json["scans"] = nlohmann::json::array();
  for (const ScanFigures& scan : row.scans) {
    nlohmann::json figures = {{"ms", scan.ms}};
    if (row.has_quality)
      for (const Quality& q : kQualities) figures[q.key] = scan.*q.figure;
    json["scans"].push_back(figures);
  }
  return json;
}

}  // namespace

MeanSd TableRow::over_scans(double ScanFigures::*figure) const {
  std::vector<double> values;
  for (const ScanFigures& scan : scans) values.push_back(scan.*figure);
  return mean_sd(values);
}

std::string training_budget(const nlohmann::json& provenance) {
  if (!provenance.is_object()) return "";
  const auto number = [&](const char* key) -> int64_t {
    const auto at = provenance.find(key);
    return at != provenance.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
  };
  const int64_t steps = number("steps"), batch = number("batch"), patch = number("patch");
  return steps > 0 && batch > 0 && patch > 0 ? fmt::format("{} x {} x {}^3", steps, batch, patch) : "";
}

std::vector<std::string> speed_claims(const std::vector<TableRow>& rows) {
  std::vector<std::string> lines;
  if (const TableRow* b4u4 = row_of(rows, "b4u4")) {
    const TableRow* fastest = nullptr;  // of the others
    for (const TableRow& r : rows)
      if (r.network && r.network->model != "b4u4" && (!fastest || r.ms_per_volume < fastest->ms_per_volume))
        fastest = &r;
    if (fastest)
      lines.push_back(fmt::format("b4u4 is the fastest network: {} ({} takes {:.2f} times its time)",
                                  b4u4->ms_per_volume < fastest->ms_per_volume ? "yes" : "no", fastest->network->model,
                                  fastest->ms_per_volume / b4u4->ms_per_volume));
  }
  const auto compare_speed = [&](const char* network, const char* words, const char* other) {
    const TableRow *a = row_of(rows, network), *b = row_of(rows, other);
    if (a && b)
      lines.push_back(
          fmt::format("{} about {} {}: {:.2f}x", network, words, other, b->ms_per_volume / a->ms_per_volume));
  };
  compare_speed("b8u4", "4 times faster than", "srresnet");
  compare_speed("b6u4", "as fast as", "srdensenet");
  return lines;
}

std::string text_table(const MethodTable& table) {
  const std::vector<Cells> cells = cells_of(table);
  std::vector<size_t> widths(cells[0].size());
  const auto width_of = [](const std::string& text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  };
  for (const Cells& row : cells)
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], width_of(row[i]));
  std::string out;
  for (const std::string& line : headings(table)) out += line + "\n";
  for (const Cells& row : cells)
    for (size_t i = 0; i < row.size(); i++) {
      const std::string space(widths[i] - width_of(row[i]), ' ');
      out += (i == 0 ? row[i] + space : "  " + space + row[i]) + (i + 1 == row.size() ? "\n" : "");
    }
  const std::vector<std::string> claims = speed_claims(table.rows);
  if (!claims.empty()) out += "\nwhat the paper says of speed, and here\n";
  for (const std::string& claim : claims) out += claim + "\n";
  return out;
}

std::string table_page(const MethodTable& table) {
  std::string body;
  for (const std::string& line : headings(table)) body += "<p class=\"quiet\">" + escape_markup(line) + "</p>\n";
  body += "<table>";
  const char* cell = "th";
  for (const Cells& row : cells_of(table)) {
    body += "<tr>";
    for (const std::string& text : row) body += fmt::format("<{0}>{1}</{0}>", cell, escape_markup(text));
    body += "</tr>\n";
    cell = "td";
  }
  body += "</table>\n";
  if (has_quality(table))
    body += "<div class=\"charts\">" + draw_chart(pareto_chart(table)) + "</div>\n" +
            fmt::format("<p class=\"quiet\">{}</p>\n", kAreaOfDots);
  const std::vector<std::string> claims = speed_claims(table.rows);
  if (!claims.empty()) body += "<h2>What the paper says of speed, and here</h2>\n";
  for (const std::string& claim : claims) body += "<p>" + escape_markup(claim) + "</p>\n";
  if (!table.skipped.empty()) body += "<h2>Skipped</h2>\n";
  for (const Failure& s : table.skipped) body += "<p>" + escape_markup(s.sentence) + "</p>\n";
  return html_page("srengine: methods compared", body);
}

std::string table_plot(const MethodTable& table) {
  Chart chart = pareto_chart(table);
  chart.notes = headings(table);
  chart.notes.push_back(kAreaOfDots);
  return chart_document({chart});
}

std::string csv_table(const MethodTable& table) {
  std::string csv = "method,model,parameters,multiply_adds_per_voxel,ms_per_volume,memory_bytes,trained";
  for (const Quality& q : kQualities) csv += fmt::format(",{0}_mean,{0}_sd", q.key);
  csv += "\n";
  for (const TableRow& row : table.rows) {
    csv += csv_field(row.name);
    csv += row.network ? fmt::format(",{},{},{}", csv_field(row.network->model), row.network->parameters,
                                     row.network->multiply_adds)
                       : ",,,";
    csv += fmt::format(",{},{},{}", row.ms_per_volume, row.held_bytes, csv_field(row.training));
    for (const Quality& q : kQualities) {
      const MeanSd m = row.over_scans(q.figure);
      csv += row.has_quality ? fmt::format(",{},", m.mean) : ",,";
      if (row.has_quality && table.scans.size() > 1) csv += fmt::format("{}", m.sd);
    }
    csv += "\n";
  }
  return csv;
}

nlohmann::json table_json(const MethodTable& table) {
  nlohmann::json scans = nlohmann::json::array(), methods = nlohmann::json::array(), skipped = nlohmann::json::array();
  const auto voxels = [](Size3 s) { return nlohmann::json{s.w, s.h, s.d}; };
  for (const MethodTable::Scan& s : table.scans) scans.push_back({{"file", s.file.string()}, {"size", voxels(s.size)}});
  for (const TableRow& row : table.rows) methods.push_back(row_json(table, row));
  for (const Failure& s : table.skipped) skipped.push_back({{"file", s.file.string()}, {"error", s.sentence}});
  nlohmann::json json = {{"program", "srengine"},
                         {"version", SRENGINE_VERSION},
                         {"factor", table.factors},
                         {"plane", Degradation{.factors = table.factors}.plane()},
                         {"scans", scans},
                         {"methods", methods},
                         {"speed_claims", speed_claims(table.rows)},
                         {"skipped", skipped}};
  if (table.scans.empty()) json["shape"] = voxels(table.shape);
  return json;
}

}  // namespace sr
