#include "engine/training/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

namespace sr::train {
namespace {

// Weights of the voxels -r .. r, their sum 1. What lies further out than five standard deviations is left out: 2e-5 of
// the variance.
std::vector<double> gaussian_kernel(double sd) {
  const int radius = 2 + static_cast<int>(std::ceil(5 * sd));
  std::vector<double> weight;
  for (int i = -radius; i <= radius; i++) weight.push_back(std::cyl_bessel_i(std::abs(i), sd * sd));
  const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
  for (double& w : weight) w /= sum;
  return weight;
}

// A line of n voxels, `step` apart.
void convolve_line(float* line, int n, ptrdiff_t step, const std::vector<double>& weight, std::vector<float>& padded) {
  const int radius = static_cast<int>(weight.size() / 2);
  padded.resize(static_cast<size_t>(n + 2 * radius));
  for (int i = -radius; i < n + radius; i++) padded[i + radius] = line[std::clamp(i, 0, n - 1) * step];
  for (int i = 0; i < n; i++)
    line[i * step] = static_cast<float>(std::inner_product(weight.begin(), weight.end(), padded.begin() + i, 0.0));
}

}  // namespace

void blur(Volume& volume, double sd) {
  const std::vector<double> weight = gaussian_kernel(sd);
  const Size3 s = volume.size;
  const std::array<int, 3> n{s.w, s.h, s.d};
  const std::array<ptrdiff_t, 3> step{1, s.w, ptrdiff_t{s.w} * s.h};
  std::vector<float> padded;
  for (size_t axis = 0; axis < 3; axis++) {
    const size_t b = (axis + 1) % 3, c = (axis + 2) % 3;
    for (int i = 0; i < n[b]; i++)
      for (int j = 0; j < n[c]; j++)
        convolve_line(volume.data.data() + i * step[b] + j * step[c], n[axis], step[axis], weight, padded);
  }
}

void add_noise(Sample& sample, double sd, const Factors& factors, Random& random) {
  Volume noise(sample.input.size);
  for (float& v : noise.data) v = static_cast<float>(sd * random.normal());
  const Volume measured = measured_part(noise, noise.size, low_grid(noise.size, factors));
  for (size_t i = 0; i < noise.data.size(); i++) {
    sample.target.data[i] += noise.data[i];
    sample.input.data[i] += measured.data[i];
  }
}

}  // namespace sr::train
