#include "engine/images/overlap.h"

#include <fmt/core.h>

#include <cmath>
#include <map>

#include "engine/base/status.h"

namespace sr {
namespace {

constexpr float kLargestLabel = 16777216;  // 2^24
constexpr size_t kMostLabels = 65536;

int32_t label_at(const Volume& volume, size_t i, const char* name) {
  const float v = volume.data[i];
  if (!(std::abs(v) <= kLargestLabel) || v != std::nearbyint(v))
    throw Error(Status::bad_input, fmt::format("the {} labels hold {}, which is no whole number: they are no "
                                               "segmentation, or were interpolated other than nearest",
                                               name, v));
  return static_cast<int32_t>(v);
}

}  // namespace

std::vector<LabelOverlap> label_overlap(const Volume& reference, const Volume& test) {
  if (reference.size != test.size)
    throw Error(Status::bad_input,
                fmt::format("the reference labels have {}x{}x{} voxels and the test labels {}x{}x{}", reference.size.w,
                            reference.size.h, reference.size.d, test.size.w, test.size.h, test.size.d));
  std::map<int32_t, LabelOverlap> found;
  const auto of = [&](int32_t label) -> LabelOverlap& {
    const auto [at, fresh] = found.try_emplace(label, LabelOverlap{label, 0, 0, 0});
    if (found.size() > kMostLabels)
      throw Error(Status::bad_input,
                  fmt::format("there are more than {} labels; this is an image, no segmentation", kMostLabels));
    return at->second;
  };
  // Neighbours mostly carry the same label: the last two entries are kept at hand.
  LabelOverlap *r = &of(0), *t = r;
  for (size_t i = 0; i < reference.data.size(); i++) {
    const int32_t a = label_at(reference, i, "reference"), b = label_at(test, i, "test");
    if (r->label != a) r = &of(a);
    if (t->label != b) t = &of(b);
    r->n_reference++;
    t->n_test++;
    if (r == t) r->n_both++;
  }
  found.erase(0);
  if (found.empty()) throw Error(Status::bad_input, "neither segmentation holds a label other than 0");
  std::vector<LabelOverlap> all;
  for (const auto& [unused, overlap] : found) all.push_back(overlap);
  return all;
}

}  // namespace sr
