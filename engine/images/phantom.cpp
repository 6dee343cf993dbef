#include "engine/images/phantom.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"
#include "engine/images/phantom_anatomy.h"

namespace sr {
namespace {

constexpr Point kLifeSize{181, 217, 181};  // mm, the field of view that the anatomy is drawn for

void check(const PhantomOptions& o) {
  for (const int n : {o.size.w, o.size.h, o.size.d})
    if (n < 1 || n > 2048)
      throw Error(Status::bad_usage, fmt::format("a phantom of {}x{}x{} voxels: each number must lie in 1 .. 2048",
                                                 o.size.w, o.size.h, o.size.d));
  for (const double mm : o.voxel_mm)
    if (!(mm >= 0.05 && mm <= 50))
      throw Error(Status::bad_usage, fmt::format("a voxel size of {} mm: it must lie in 0.05 .. 50", mm));
  if (!(o.noise >= 0 && o.noise <= 1e6))
    throw Error(Status::bad_usage, fmt::format("noise of {}: it must lie in 0 .. 1e6", o.noise));
}

// From voxels to mm of the life-size head.
struct Geometry {
  explicit Geometry(const PhantomOptions& o) : size(o.size) {
    const Point fov{o.size.w * o.voxel_mm[0], o.size.h * o.voxel_mm[1], o.size.d * o.voxel_mm[2]};
    const double shrink = std::min({fov.x / kLifeSize.x, fov.y / kLifeSize.y, fov.z / kLifeSize.z});
    step = {o.voxel_mm[0] / shrink, o.voxel_mm[1] / shrink, o.voxel_mm[2] / shrink};
    // The edge of a cut voxel is as wide as the voxel; of a flat one, as wide as it is on average over directions.
    edge = (step.x + step.y + step.z) / 3;
  }
  Point centre(int z, int y, int x) const {
    return {(x - 0.5 * (size.w - 1)) * step.x, (y - 0.5 * (size.h - 1)) * step.y, (z - 0.5 * (size.d - 1)) * step.z};
  }
  Size3 size;
  Point step;
  double edge;
};

// Vessels fill a small part of the volume, so they are drawn into their bounding boxes instead of asked for at every
// voxel.
void draw_vessel(const Tube& tube, const Geometry& g, Phantom& phantom) {
  const Point origin = g.centre(0, 0, 0);
  const double margin = tube.radius + g.edge;
  const auto range = [margin](double a, double b, double first, double step, int n) {
    const double low = (std::min(a, b) - margin - first) / step, high = (std::max(a, b) + margin - first) / step;
    return std::pair{static_cast<int>(std::clamp(std::ceil(low), 0.0, static_cast<double>(n))),
                     static_cast<int>(std::clamp(std::floor(high) + 1, 0.0, static_cast<double>(n)))};
  };
  const auto [x0, x1] = range(tube.from.x, tube.to.x, origin.x, g.step.x, g.size.w);
  const auto [y0, y1] = range(tube.from.y, tube.to.y, origin.y, g.step.y, g.size.h);
  const auto [z0, z1] = range(tube.from.z, tube.to.z, origin.z, g.step.z, g.size.d);
  const Point along = tube.to - tube.from;
  // A tube thinner than a voxel never fills one; what counts is the share of its cross-section.
  const double thinness = std::min(1.0, 2 * tube.radius / g.edge);
  for (int z = z0; z < z1; ++z)
    for (int y = y0; y < y1; ++y)
      for (int x = x0; x < x1; ++x) {
        const Point p = g.centre(z, y, x) - tube.from;
        const double t = std::clamp(dot(p, along) / dot(along, along), 0.0, 1.0);
        const double distance = length(p - t * along) - tube.radius;
        const double share = std::clamp(0.5 - distance / g.edge, 0.0, 1.0) * thinness;
        if (share == 0) continue;
        float& voxel = phantom.image.at(z, y, x);
        voxel += static_cast<float>(share * (tissue_intensity(tube.tissue) - voxel));
        if (share >= 0.5) phantom.labels.at(z, y, x) = static_cast<float>(tube.tissue);
      }
}

// A smooth product of two parabolas and a slope, random in place and direction.
class BiasField {
 public:
  explicit BiasField(uint64_t seed) : seed_(mix_bits(seed ^ 0xb1a5)) {}
  double at(Point p) const {
    const Point u{p.x / 90, p.y / 108, p.z / 90};
    const Point slope{0.08 * signed_chance(0), 0.08 * signed_chance(1), 0.1 + 0.06 * signed_chance(2)};
    const Point off = u - Point{0.3 * signed_chance(3), 0.3 * signed_chance(4), 0.3 * signed_chance(5)};
    return (1 + dot(slope, u)) * (1.06 - 0.07 * dot(off, off));
  }

 private:
  double signed_chance(uint64_t n) const { return 2 * uniform(seed_ + n) - 1; }
  uint64_t seed_;
};

}  // namespace

Phantom make_phantom(const PhantomOptions& options) {
  check(options);
  const Size3 size = options.size;
  const Geometry geometry(options);
  const Head head(options.seed);
  Phantom phantom{Volume(size), Volume(size)};
#pragma omp parallel for schedule(dynamic)
  for (int z = 0; z < size.d; ++z)
    for (int y = 0; y < size.h; ++y)
      for (int x = 0; x < size.w; ++x) {
        Paint paint(geometry.edge);
        head.paint(geometry.centre(z, y, x), paint);
        phantom.image.at(z, y, x) = static_cast<float>(paint.intensity);
        phantom.labels.at(z, y, x) = static_cast<float>(paint.label);
      }
  for (const Tube& vessel : head.vessels()) draw_vessel(vessel, geometry, phantom);

  const BiasField bias(options.seed);
  const uint64_t noise_seed = mix_bits(options.seed ^ 0x401e);
#pragma omp parallel for schedule(static)
  for (int z = 0; z < size.d; ++z)
    for (int y = 0; y < size.h; ++y)
      for (int x = 0; x < size.w; ++x) {
        float& voxel = phantom.image.at(z, y, x);
        double signal = voxel;
        if (options.bias_field) signal *= bias.at(geometry.centre(z, y, x));
        // Magnitude of a complex signal with noise in both parts: Rician. Counted by voxel, not drawn in turn, so that
        // threads do not matter.
        const uint64_t n = noise_seed + 2 * static_cast<uint64_t>(&voxel - phantom.image.data.data());
        const double real = signal + options.noise * normal(n), imaginary = options.noise * normal(n + 1);
        voxel = static_cast<float>(std::floor(std::sqrt(real * real + imaginary * imaginary) + 0.5));
      }
  return phantom;
}

}  // namespace sr
