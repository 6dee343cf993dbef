// srengine table: the paper's tables, for one's own scans and machine.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <filesystem>

#include "tools/commands.h"
#include "tools/common/device_option.h"
#include "tools/common/interrupt.h"
#include "tools/common/parse.h"
#include "tools/method_table.h"
#include "tools/results.h"
#include "tools/timing.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::vector<fs::path> scans, weights;
  std::vector<std::string> models;
  std::string factors = "2x2x1", shape = "320x320x256", patch = "70";
  RestoreOptions options;
  DeviceArguments device;
  int patches = 7;
  fs::path csv, json, html, plot;
};

struct Contender {
  std::string name, label;
  Weights weights;
  bool trained;
};

// Files as they are, folders as the files in them that are wanted, by name.
std::vector<fs::path> files_of(const std::vector<fs::path>& places, bool (*wanted)(const fs::path&), Status status,
                               const char* what) {
  std::vector<fs::path> files;
  std::error_code ignored;  // whoever opens it will say so
  for (const fs::path& place : places) {
    if (!fs::is_directory(place, ignored)) {
      files.push_back(place);
      continue;
    }
    std::vector<fs::path> inside;
    for (const fs::directory_entry& entry : fs::directory_iterator(place))
      if (!entry.is_directory() && wanted(entry.path())) inside.push_back(entry.path());
    if (inside.empty()) throw Error(status, fmt::format("{}: the folder holds no {}", place.string(), what));
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

bool is_weights_name(const fs::path& path) {
  return path.extension() == ".bin";
}

// Of a pair .hdr/.img the header stands for both.
bool is_scan_or_header(const fs::path& path) {
  const ScanName name = path;
  return name.is_scan() && !name.is_image();
}

// What cannot be used was left out; of several all are listed.
Error all_skipped(const std::vector<Failure>& skipped, Status status, const std::string& summary) {
  return end_of_many(skipped, skipped.size(), status, summary);
}

std::vector<Contender> load_networks(const Arguments& a, const std::vector<fs::path>& files,
                                     std::vector<Failure>& skipped) {
  std::vector<Contender> networks;
  for (const fs::path& file : files)
    attempt(skipped, file, [&] {
      networks.push_back({file.string(), file.stem().string(), load_weights(file), true});
    });
  for (const std::string& model : a.models)
    networks.push_back(
        {model + ", random weights", model, random_weights(parse_word(parse_model_name, model), 1), false});
  if (networks.empty() && !files.empty()) throw all_skipped(skipped, skipped[0].status, "no weights file can be used:");
  return networks;
}

// Time and memory, over the scans that the row holds the figures of; without scans for the shape that stands in.
void fill_row(TableRow& row, Method& method, const MethodTable& table, int repeats) {
  std::vector<double> ms;
  for (const ScanFigures& scan : row.scans) ms.push_back(scan.ms);
  const auto held = [&](Size3 size) { return method.held_bytes(low_grid(size, table.factors), size); };
  for (const MethodTable::Scan& scan : table.scans) row.held_bytes = std::max(row.held_bytes, held(scan.size));
  if (table.scans.empty()) {
    row.held_bytes = held(table.shape);
    ms.push_back(method.ms_per_volume(low_grid(table.shape, table.factors), table.shape, repeats));
  }
  row.ms_per_volume = median(ms);
  row.device = method.device();
}

// The first to see the scans: those that cannot be used are left out for all methods.
void add_interpolations(MethodTable& table, const std::vector<fs::path>& scans, int repeats) {
  std::vector<std::unique_ptr<Method>> methods;
  std::vector<Method*> all;
  std::vector<TableRow> rows;
  for (const Interpolation i :
       {Interpolation::nearest, Interpolation::linear, Interpolation::cubic, Interpolation::sinc}) {
    all.push_back(methods.emplace_back(interpolation_method(i)).get());
    TableRow& row = rows.emplace_back();
    row.name = row.label = to_string(i);
    row.has_quality = !scans.empty();
  }
  for (const fs::path& scan : scans)
    attempt(table.skipped, scan, [&] {
      const MeasuredScan done = measure_on_scan(scan, table.factors, all, true, "");
      table.scans.push_back({scan, done.size});
      for (size_t m = 0; m < all.size(); m++) rows[m].scans.push_back(done.figures[m]);
    });
  if (table.scans.empty() && !scans.empty())
    throw all_skipped(table.skipped, table.skipped.back().status, "no scan can be used:");
  for (size_t m = 0; m < all.size(); m++) fill_row(rows[m], *all[m], table, repeats);
  table.rows = std::move(rows);
}

TableRow measure_network(const Contender& network, const MethodTable& table, const Arguments& a) {
  TableRow row;
  row.name = network.name, row.label = network.label;
  row.network = size_of(network.weights);
  row.training = training_budget(network.weights.provenance);
  row.has_quality = network.trained && !table.scans.empty();
  const std::unique_ptr<Method> method = network_method(network.weights, a.options, table.factors);
  for (const MethodTable::Scan& scan : table.scans) {
    const std::string title = fmt::format("{} {}", network.label, scan.file.filename().string());
    row.scans.push_back(measure_on_scan(scan.file, table.factors, {method.get()}, row.has_quality, title).figures[0]);
  }
  fill_row(row, *method, table, a.patches);
  return row;
}

void run(Arguments& a) {
  if (a.scans.empty() && a.weights.empty() && a.models.empty())
    throw Error(Status::bad_usage,
                "table takes scans, weights files or models: --scans DIR, --weights DIR, --model b8u4");
  if (!a.plot.empty() && a.scans.empty())
    throw Error(Status::bad_usage, "--plot draws quality against time and needs scans to measure it on: --scans DIR");
  a.options.backend.patch = parse_patch(a.patch);
  apply(a.device, a.options.backend);
  MethodTable table;
  table.factors = parse_factors(a.factors);
  table.shape = parse_size(a.shape);
  const std::vector<fs::path> scans = files_of(a.scans, is_scan_or_header, Status::bad_input, "scan"),
                              weights =
                                  files_of(a.weights, is_weights_name, Status::bad_weights, "weights file (.bin)");
  std::vector<fs::path> read = scans;
  read.insert(read.end(), weights.begin(), weights.end());
  refuse_collisions(read, {a.csv, a.json, a.html, a.plot});
  const auto csv = open_result("--csv", a.csv), json = open_result("--json", a.json),
             html = open_result("--html", a.html), plot = open_result("--plot", a.plot);
  const std::vector<Contender> networks = load_networks(a, weights, table.skipped);

  if (a.options.backend.threads) omp_set_num_threads(a.options.backend.threads);  // of k-space and interpolation
  catch_interrupts();
  add_interpolations(table, scans, a.patches);
  for (const Contender& network : networks)
    attempt(table.skipped, network.name,
            [&] { table.rows.push_back(naming(network.name, [&] { return measure_network(network, table, a); })); });

  fmt::print("{}", text_table(table));
  if (csv) csv->fill(csv_table(table));
  if (json) json->fill(table_json(table));
  if (html) html->fill(table_page(table));
  if (plot) plot->fill(table_plot(table));
  for (const auto* file : {&csv, &json, &html, &plot})
    if (*file) (*file)->publish();
  if (!table.skipped.empty())
    throw all_skipped(table.skipped, Status::some_inputs_failed,
                      fmt::format("{} files were skipped:", table.skipped.size()));
}

}  // namespace

void add_table(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("table", "Size, speed and quality of every method on your scans and machine");
  c->add_option("--scans", a->scans, "high-resolution scans: a folder or a file; may be repeated")
      ->allow_extra_args(false);
  c->add_option("-w,--weights", a->weights, "weights files: a folder with .bin files or a file; may be repeated")
      ->allow_extra_args(false);
  c->add_option("--model", a->models, "a network with random weights, for its size and speed: b8u4; may be repeated")
      ->allow_extra_args(false);
  c->add_option("--factor", a->factors, "how the scans are degraded: reduction along i, j, k")->capture_default_str();
  c->add_option("--shape", a->shape, "without scans: the volume that times are given for")->capture_default_str();
  c->add_option("--patches", a->patches, "without scans: timed repeats, after one warm-up")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  c->add_option("--patch", a->patch, "patch size in voxels, N or IxJxK")->capture_default_str();
  c->add_option("--threads", a->options.backend.threads, "threads (default: one per processor)")
      ->check(CLI::Range(1, 1024));
  add_device_options(c, a->device);
  c->add_option("--html", a->html, "write a page with the table and a plot of quality against time to this file");
  c->add_option("--plot", a->plot, "with scans: write the plot of quality against time to this file (SVG)");
  c->add_option("--csv", a->csv, "write the table to this file");
  c->add_option("--json", a->json, "write all figures, scan by scan, to this file");
  c->callback([a] { run(*a); });
}

}  // namespace sr
