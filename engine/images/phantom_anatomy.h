// The phantom's anatomy: surfaces given by signed distances in mm, painted one over the other.
#pragma once

#include <vector>

#include "engine/base/lattice_noise.h"
#include "engine/images/phantom.h"

namespace sr {

// T1-weighted intensity of a tissue; white matter is 800.
double tissue_intensity(Tissue tissue);

// What a voxel shows while surfaces are painted over it, back to front.
class Paint {
 public:
  explicit Paint(double voxel_mm) : per_mm_(1 / voxel_mm) {}

  // `distance` to the surface of what is painted, negative inside. The share of the voxel that lies inside is the
  // coverage of a slab of a voxel's thickness.
  void over(double distance, Tissue tissue) {
    const double share = 0.5 - distance * per_mm_;
    if (share <= 0) return;
    if (share >= 0.5) label = tissue;
    intensity += (share < 1 ? share : 1) * (tissue_intensity(tissue) - intensity);
  }

  double intensity = 0;
  Tissue label = Tissue::air;

 private:
  double per_mm_;
};

// A piece of a blood vessel or of the fluid around one: a straight tube.
struct Tube {
  Point from, to;
  double radius;  // mm
  Tissue tissue;
};

class Head {
 public:
  explicit Head(uint64_t seed);

  // p in mm from the centre of a life-size head: x to the right, y forwards, z upwards.
  void paint(Point p, Paint& paint) const;

  const std::vector<Tube>& vessels() const { return vessels_; }

 private:
  struct Hulls;  // distances to the large surfaces
  Hulls hulls(Point p) const;
  void paint_face(Point p, const Hulls& h, Paint& paint) const;
  void paint_skull(Point p, const Hulls& h, Paint& paint) const;
  void paint_cerebrum(Point p, const Hulls& h, Paint& paint) const;
  void paint_deep_nuclei(Point p, Paint& paint) const;
  void paint_ventricles(Point p, Paint& paint) const;
  void paint_cerebellum_and_brainstem(Point p, const Hulls& h, Paint& paint) const;
  double cortical_depth(Point p, const Hulls& h) const;
  void grow_vessels(uint64_t seed);

  LatticeNoise sulci_, side_sulci_, folia_, broad_, texture_, swirl_;
  double ventricle_size_;  // 1 on average
  std::vector<Tube> vessels_;
};

}  // namespace sr
