#include "engine/training/data.h"

#include <algorithm>

#include "engine/training/dataset.h"

namespace sr::train {

Data make_data(const DataOptions& options, Collective& collective) {
  SubjectList list = find_subjects(options.folder, options.patch);
  const Split split = split_subjects(list.usable, options.validation, options.test, options.seed, list.skipped);
  const auto those_in = [&](const std::vector<std::string>& names) {
    std::vector<Subject> subjects;
    for (const Subject& subject : list.usable)
      if (std::ranges::binary_search(names, subject.name)) subjects.push_back(subject);
    return subjects;
  };

  Data data;
  data.split = {{"train", split.train}, {"validation", split.validation}, {"test", split.test}};
  for (const SkippedScan& scan : list.skipped)
    data.skipped.push_back({{"path", scan.path.string()}, {"reason", scan.reason}});
  const auto source =
      std::make_shared<BatchSource>(those_in(split.train), options, collective.rank(), collective.size());
  data.batch = [source](int64_t step) { return source->batch(step); };

  // Whole scans, by the first of the factors; read anew for each validation, for they may not all fit into memory.
  const std::vector<Subject> held_out = those_in(split.validation);
  data.validation.count = held_out.size();
  data.validation.scan = [held_out, options](size_t i) {
    DataOptions first = options;
    first.factors.resize(1);
    first.axes = false;
    PreparedScan scan = prepare_scan(held_out[i], first);
    return ScanPair{held_out[i].name, std::move(scan.low[0].volume), std::move(scan.high)};
  };
  return data;
}

}  // namespace sr::train
