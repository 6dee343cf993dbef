// A T1-like digital head, drawn from formulas and a seed: what demos and tests degrade and restore.
#pragma once

#include <array>
#include <cstdint>

#include "engine/base/volume.h"

namespace sr {

// Values of the label volume.
enum class Tissue : uint8_t {
  air,
  skin,
  fat,
  muscle,
  bone,
  marrow,
  csf,
  grey_matter,
  white_matter,
  ventricle,
  thalamus,
  caudate,
  putamen,
  pallidum,
  cerebellum_grey,
  cerebellum_white,
  brainstem,
  eye,
  vessel,
};
constexpr int kNTissues = static_cast<int>(Tissue::vessel) + 1;

struct PhantomOptions {
  Size3 size{181, 217, 181};                // {d, h, w} = {nk, nj, ni}; i runs to the right, j forwards, k upwards
  std::array<double, 3> voxel_mm{1, 1, 1};  // along i, j, k
  uint64_t seed = 1;                        // another seed is another person
  double noise = 10;                        // standard deviation of the Rician noise; white matter is about 800
  bool bias_field = true;                   // the receive coil's smooth shading, +-15 %
};

struct Phantom {
  Volume image;   // whole numbers, as scanners give them: 0 .. about 1150
  Volume labels;  // Tissue of the larger part of each voxel, as whole numbers
};

// The head fills the field of view (size times voxel size): it is life-size at 181x217x181 mm and smaller in a smaller
// one. Edges carry partial volume: a voxel that a surface cuts gets the share on either side. Deterministic: the same
// voxels for any number of threads and on every machine with IEEE arithmetic. Throws Error{bad_usage} for sizes below 1
// or above 2048, voxel sizes outside 0.05 .. 50 mm and a negative noise.
Phantom make_phantom(const PhantomOptions& options);

}  // namespace sr
