// Low-resolution images on NVIDIA GPUs: truncate_kspace of kspace.h through the table of kernels/cuda/api.h and cuFFT.
#pragma once

#include "engine/images/kspace.h"
#include "kernels/cuda/api.h"

namespace sr {

// As truncate_kspace, in float32: within 1e-5 of the largest voxel of the float64 reference. Where nothing is cut the
// device is not used at all.
//
// Device memory: where k is cut and other axes too, 2 / (f_i f_j) volumes and the result; where k alone is cut, the
// volume and the result; else neither. On top at most 32 bytes for each of slab_samples (2^22 of them: 130 MB; or of
// one slice or line, if that is more) and what cuFFT asks for to transform a slab. All of it is free again at the end.
//
// Throws Error{bad_usage} for factors as low_grid does, Error{resource_error} where cuFFT is missing, the volume does
// not fit into the device's memory, or the device fails.
Volume truncate_kspace_cuda(const cuda::Api& api, int device, const Volume& high, const Factors& factors,
                            int64_t slab_samples = int64_t{1} << 22);

}  // namespace sr
