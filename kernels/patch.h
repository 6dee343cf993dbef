// A patch's way in and out: gathered from the volume with its intensities normalised, merged back without its margin.
#pragma once

#include "kernels/features.h"

namespace sr {

// Where a patch's first voxel lies in the volume, in voxels; negative where the patch hangs over the edge.
struct Origin {
  int z, y, x;
};

// x' = (x - a) / b on the way in, x = x' b + a on the way out. b != 0.
struct Intensity {
  double a = 0, b = 1;
};

// What a patch holds where it hangs over the edge of the volume.
enum class Pad {
  zero,     // zero after normalisation
  reflect,  // the volume mirrored at its edge voxels (…2 1 0 1 2…), as often as needed
};

// image(z, y, x) = (volume(origin + (z, y, x)) - a) / b. volume is dense [z][y][x]; padding lanes of image become zero.
// T is float or double.
template <class T>
void gather_patch(const float* volume, Size3 size, Origin origin, Pad pad, Intensity intensity, Features<T> f,
                  int image);

// volume(origin + (z, y, x)) = result(z, y, x) b + a for the voxels at least `margin` away from the patch's faces that
// lie in the volume. No other voxel is touched.
template <class T>
void merge_patch(Features<T> f, int result, Origin origin, int margin, Intensity intensity, float* volume, Size3 size);

// y += x, voxel by voxel, padding lanes included.
template <class T>
void add_channel(Features<T> f, int x, int y);

}  // namespace sr
