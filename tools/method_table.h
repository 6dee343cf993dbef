// The table of `srengine table`: a row for each method, what of the paper's claims it can check, and how both are
// written: text, HTML, CSV, JSON.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/evaluation.h"
#include "tools/failures.h"
#include "tools/methods.h"

namespace sr {

struct TableRow {
  std::string name;                    // "sinc", "weights/b4u4.bin", "b8u4, random weights"
  std::string label;                   // of its dot: "sinc", "b4u4"
  std::optional<NetworkSize> network;  // none: an interpolation
  std::string training;                // training_budget; "" where nothing is known
  std::string device;                  // of a network
  double ms_per_volume = 0;            // median over scans
  int64_t held_bytes = 0;              // Method::held_bytes, of the scan where it is largest
  bool has_quality = false;
  std::vector<ScanFigures> scans;  // in the order of MethodTable::scans
  MeanSd over_scans(double ScanFigures::*figure) const;
};

struct MethodTable {
  Factors factors{2, 2, 1};
  struct Scan {
    std::filesystem::path file;
    Size3 size{};
  };
  std::vector<Scan> scans;
  Size3 shape{};  // that times are given for, without scans
  std::vector<TableRow> rows;
  std::vector<Failure> skipped;  // what the rows were not made of, and why
};

// "500 x 4 x 24^3": steps, patches a step and their size, as srtrain leaves them in the provenance of its weights, of
// the last run alone. "" where they are not there.
std::string training_budget(const nlohmann::json& provenance);

// "b8u4 about 4 times faster than srresnet: 3.9x": what the paper says about the speed of networks and what the rows
// say, as far as they hold the networks. Of several rows of one network the first counts.
std::vector<std::string> speed_claims(const std::vector<TableRow>& rows);

std::string text_table(const MethodTable& table);
std::string table_page(const MethodTable& table);  // with the plot of PSNR against time, where there is quality
std::string table_plot(const MethodTable& table);  // that plot as an SVG file; the table has quality
std::string csv_table(const MethodTable& table);
nlohmann::json table_json(const MethodTable& table);

}  // namespace sr
