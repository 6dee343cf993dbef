// Included before <hwy/...>: the instruction sets that kernels are built for. SSE4, AVX2, AVX-512 and NEON; SSSE3 has
// no machines left, and the kernels keep vectors in arrays, which the sizeless vectors of SVE do not allow (such
// machines run NEON).
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
