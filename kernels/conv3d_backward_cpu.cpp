// conv3d_backward_weights_cpu: items of all patches leave sums of their own, which are added in one order. The way back
// to the data is conv3d_cpu.cpp's, with another epilogue.
#include <algorithm>

#include "kernels/conv3d_backward.h"
#include "kernels/conv3d_impl.h"
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv3d_backward_cpu.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/conv3d_backward_weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {

void run_gradient_item(const ConvJob& job, Features<float> g, int item, ThreadScratch& scratch, float* sums) {
  if (job.conv->size == 1)
    gradient_item_1x1x1(job, g, item, scratch.data(), sums);
  else if (job.conv->size == 5)
    LargeKernelBackwardWeightsItem<5>(job, g, item, scratch.data(), sums).run();
  else if (job.conv->size == 9)
    LargeKernelBackwardWeightsItem<9>(job, g, item, scratch.data(), sums).run();
  else if (job.conv->algorithm == ConvAlgorithm::direct)
    direct_gradient_item(job, g, item, scratch.data(), sums);
  else if (job.conv->algorithm == ConvAlgorithm::winograd2)
    WinogradGradientItem<2>(job, g, item, scratch, sums).run();
  else
    WinogradGradientItem<4>(job, g, item, scratch, sums).run();
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sr {

HWY_EXPORT(run_gradient_item);

namespace {

// total: the items' sums, added up in double; dweight += what they mean.
void add_weights(const PackedConv::Impl& conv, const std::vector<double>& total, double* dweight) {
  const int ci_count = conv.ci, co_count = conv.co;
  if (conv.size == 1) {
    for (size_t i = 0; i < total.size(); i++) dweight[i] += total[i];
    return;
  }
  const auto g = weight_transform(conv.algorithm);
  if (g.size() <= 1) {  // [ci][kz][ky][co][kx]
    const double* from = total.data();
    const int size = conv.size, n_rows = size * size;
    for (int ci = 0; ci < ci_count; ci++)
      for (int row = 0; row < n_rows; row++)
        for (int co = 0; co < co_count; co++)
          for (int kx = 0; kx < size; kx++)
            dweight[((int64_t{co} * ci_count + ci) * n_rows + row) * size + kx] += *from++;
    return;
  }
  const int n = static_cast<int>(g.size());
  for (int ci = 0; ci < ci_count; ci++)
    for (int co = 0; co < co_count; co++)
      for (int kx = 0; kx < 3; kx++) {
        const auto sum_of = [&](int point) {
          return total[((int64_t{point} * ci_count + ci) * co_count + co) * 3 + kx];
        };
        double along_z[3][6] = {};  // G^T from the left
        for (int pz = 0; pz < n; pz++)
          for (int py = 0; py < n; py++)
            for (int kz = 0; kz < 3; kz++) along_z[kz][py] += g[pz][kz] * sum_of(pz * n + py);
        for (int kz = 0; kz < 3; kz++)
          for (int ky = 0; ky < 3; ky++) {
            double sum = 0;
            for (int py = 0; py < n; py++) sum += along_z[kz][py] * g[py][ky];
            dweight[(int64_t{co} * ci_count + ci) * 27 + (kz * 3 + ky) * 3 + kx] += sum;
          }
      }
}

void add_biases(std::span<const TrainedPatch> patches, Channels y, double* dbias) {
  for (const TrainedPatch& patch : patches) {
    const Size3 size = patch.g.layout.size;
    for (int co = 0; co < y.count; co++)
      for (int z = 0; z < size.d; z++)
        for (int row = 0; row < size.h; row++) {
          const float* dy = patch.g.at(y.first + co, z, row);
          double sum = 0;
          for (int i = 0; i < size.w; i++) sum += double{dy[i]};
          dbias[co] += sum;
        }
  }
}

}  // namespace

void conv3d_backward_weights_cpu(std::span<const TrainedPatch> patches, Channels x, Prologue<float> prologue, int size,
                                 Channels y, ConvAlgorithm algorithm, double* dweight, double* dbias,
                                 ConvScratch& scratch) {
  PackedConv::Impl conv = {};
  conv.algorithm = algorithm_in_effect(size, x.count, y.count, algorithm);
  conv.size = size;
  conv.ci = x.count;
  conv.co = conv.co_padded = y.count;
  const auto n_1d = static_cast<int>(weight_transform(conv.algorithm).size());
  conv.n_points = n_1d * n_1d;
  conv.n_taps = conv.n_points > 1 ? 3 : size * size * size;

  const Layout& layout = patches.front().f.layout;
  ConvScratch::Impl& s = scratch.impl();
  const ConvPlan plan = plan_gradient(layout, conv);
  const int n_items = plan.n_items() * static_cast<int>(patches.size());
  const size_t n_sums = static_cast<size_t>(conv.n_points) * static_cast<size_t>(conv.n_taps) *
                        static_cast<size_t>(conv.ci) * static_cast<size_t>(conv.co);
  s.gradients.assign(n_sums * static_cast<size_t>(n_items), 0.0f);
  reserve(s, plan.total);
  // What a vector overhangs is multiplied by zero: it must be a number.
  for (ThreadScratch& thread : s.of_thread) std::fill_n(thread.data(), plan.total, 0.0f);

  const int64_t id = ++s.n_jobs;
  const auto run = HWY_DYNAMIC_DISPATCH(run_gradient_item);
  for_each_item(s, n_items, [&](int item, ThreadScratch& scratch_of_thread) {
    const TrainedPatch& patch = patches[item / plan.n_items()];
    const ConvJob job = {
        .id = id, .f = patch.f, .x = x, .y = y, .prologue = prologue, .conv = &conv, .plan = plan, .mask = nullptr};
    run(job, patch.g, item % plan.n_items(), scratch_of_thread,
        s.gradients.data() + n_sums * static_cast<size_t>(item));
  });

  std::vector<double> total(n_sums);
#pragma omp parallel for num_threads(s.n_threads) schedule(static)
  for (size_t i = 0; i < n_sums; i++)
    for (int item = 0; item < n_items; item++) total[i] += double{s.gradients[n_sums * static_cast<size_t>(item) + i]};
  add_weights(conv, total, dweight);
  if (dbias) add_biases(patches, y, dbias);
}

}  // namespace sr
#endif  // HWY_ONCE
