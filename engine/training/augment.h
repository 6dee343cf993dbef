// How a patch is varied before a network sees it: what it should be and what is known of it, alike.
#pragma once

#include "engine/base/volume.h"
#include "engine/images/kspace.h"
#include "engine/training/random.h"

namespace sr::train {

// A patch on its way: the same place of two volumes, normalised.
struct Sample {
  Volume input, target;
};

// Under a Gaussian of standard deviation sd (voxels, 0 or more) along every axis; edge voxels repeated. The kernel is
// the Gaussian of the integers, e^-t I_n(t) with t = sd^2 (Lindeberg, "Scale-space for discrete signals", 1990): its
// variance is t however small. Samples of exp(-n^2 / 2t) lack a seventh of it at sd 0.5 and nearly all at 0.3; the
// Gaussian averaged over each voxel has 1/12 too much from 0.5 on and lacks two thirds at 0.2.
void blur(Volume& volume, double sd);

// Noise that a sharper scan would have had: all of it in the target, the measured part of it in the input. A network
// trained on it sees that the noise of the frequencies that were cut cannot be guessed from what was measured.
void add_noise(Sample& sample, double sd, const Factors& factors, Random& random);

}  // namespace sr::train
