// conv3d_forward_cpu: the work is cut into items (conv3d_plan.cpp), threads take them one by one, each item is computed
// by the code of the SIMD target in use.
#include <algorithm>
#include <cstring>

#include "kernels/conv3d_backward.h"
#include "kernels/conv3d_impl.h"
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv3d_cpu.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/conv1x1x1-inl.h"
#include "kernels/conv3d_direct-inl.h"
#include "kernels/conv3d_large_kernel-inl.h"
#include "kernels/conv3d_winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {

// sums: of this item alone, zeros at the start; one per output channel.
void run_item(const ConvJob& job, int item, ThreadScratch& scratch, PartialSums* sums) {
  if (job.conv->size == 1)
    Conv1x1x1Item(job, item, scratch.data(), sums).run();
  else if (job.conv->size == 5)
    LargeKernelItem<5>(job, item, scratch.data(), sums).run();
  else if (job.conv->size == 9)
    LargeKernelItem<9>(job, item, scratch.data(), sums).run();
  else if (job.conv->algorithm == ConvAlgorithm::direct)
    direct_item(job, item, scratch.data(), sums);
  else if (job.conv->algorithm == ConvAlgorithm::winograd2)
    WinogradItem<2>(job, item, scratch, sums).run();
  else
    WinogradItem<4>(job, item, scratch, sums).run();
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sr {

HWY_EXPORT(run_item);

void reserve(ConvScratch::Impl& scratch, ptrdiff_t n_floats) {
  for (ThreadScratch& thread : scratch.of_thread)
    if (thread.buffer.size() < static_cast<size_t>(n_floats)) thread.buffer = HugeBuffer(static_cast<size_t>(n_floats));
}

ConvScratch::ConvScratch(int n_threads) : impl_(std::make_unique<Impl>()) {
  impl_->n_threads = std::max(1, n_threads);
  impl_->of_thread.resize(static_cast<size_t>(impl_->n_threads));
}
ConvScratch::~ConvScratch() = default;
ConvScratch::ConvScratch(ConvScratch&&) noexcept = default;
int ConvScratch::n_threads() const {
  return impl_->n_threads;
}

namespace {

std::vector<float> voxel_mask(const Layout& layout, int n_rows) {
  float all_bits;
  std::memset(&all_bits, 0xff, sizeof all_bits);
  std::vector<float> mask(static_cast<size_t>(n_rows * layout.row), 0.0f);
  for (size_t i = 0; i < mask.size(); i++)
    if (static_cast<ptrdiff_t>(i) % layout.row < layout.size.w) std::memcpy(&mask[i], &all_bits, sizeof all_bits);
  return mask;
}

// job.id, plan and mask are filled in here. Returns the items' sums added up, one for each output channel.
std::vector<PartialSums> run_conv3d(ConvJob job, ConvScratch::Impl& s) {
  job.plan = plan_conv3d(job.f.layout, *job.conv);
  job.id = ++s.n_jobs;
  s.mask = voxel_mask(job.f.layout, job.plan.rows + 2);
  job.mask = s.mask.data();
  s.partial.assign(static_cast<size_t>(job.plan.n_items()) * job.y.count, {});
  reserve(s, job.plan.total);

  const auto run = HWY_DYNAMIC_DISPATCH(run_item);
  for_each_item(s, job.plan.n_items(), [&](int item, ThreadScratch& scratch) {
    run(job, item, scratch, s.partial.data() + ptrdiff_t{item} * job.y.count);
  });

  std::vector<PartialSums> sums(static_cast<size_t>(job.y.count));
  for (int item = 0; item < job.plan.n_items(); item++)
    for (size_t co = 0; co < sums.size(); co++) {
      const PartialSums& part = s.partial[static_cast<size_t>(item) * sums.size() + co];
      sums[co].first += part.first;
      sums[co].second += part.second;
      sums[co].third += part.third;
    }
  return sums;
}

}  // namespace

void conv3d_forward_cpu(Features<float> f, Channels x, Prologue<float> prologue, const PackedConv& conv, Channels y,
                        ChannelSums* sums, ConvScratch& scratch) {
  const std::vector<PartialSums> total = run_conv3d(
      {.id = 0, .f = f, .x = x, .y = y, .prologue = prologue, .conv = &conv.impl(), .plan = {}, .mask = nullptr},
      scratch.impl());
  if (sums)
    for (size_t c = 0; c < total.size(); c++) sums[c] = {total[c].first, total[c].second};
}

void conv3d_backward_data_cpu(Features<float> f, Features<float> g, Channels x, Prologue<float> prologue,
                              const PackedConv& transposed, Channels y, bool accumulate, GradientSums* sums,
                              ConvScratch& scratch) {
  const BackwardData backward = {f.data, prologue, accumulate};
  const std::vector<PartialSums> total = run_conv3d({.id = 0,
                                                     .f = g,
                                                     .x = y,
                                                     .y = x,
                                                     .prologue = {},
                                                     .conv = &transposed.impl(),
                                                     .plan = {},
                                                     .mask = nullptr,
                                                     .backward = &backward},
                                                    scratch.impl());
  if (sums)
    for (size_t c = 0; c < total.size(); c++) sums[c] = {total[c].first, total[c].second, total[c].third};
}

}  // namespace sr
#endif  // HWY_ONCE
