// CUDA's small vector types (vector_types.h, vector_functions.h): same names, members, sizes and alignments.
#pragma once

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// One scalar type at a time: name2, name3, name4 and make_name2... Alignment is that of two or four scalars, as on the
// device, where a float4 is one 16-byte load; three scalars are aligned as one.
#define SR_VECTOR_TYPES(scalar, name)                                         \
  struct alignas(2 * sizeof(scalar)) name##2 {                                \
    scalar x, y;                                                              \
  };                                                                          \
  struct name##3 {                                                            \
    scalar x, y, z;                                                           \
  };                                                                          \
  struct alignas(4 * sizeof(scalar) < 16 ? 4 * sizeof(scalar) : 16) name##4 { \
    scalar x, y, z, w;                                                        \
  };                                                                          \
  constexpr name##2 make_##name##2(scalar x, scalar y) {                      \
    return {x, y};                                                            \
  }                                                                           \
  constexpr name##3 make_##name##3(scalar x, scalar y, scalar z) {            \
    return {x, y, z};                                                         \
  }                                                                           \
  constexpr name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) {  \
    return {x, y, z, w};                                                      \
  }

// clang-format off
SR_VECTOR_TYPES(signed char, char)
SR_VECTOR_TYPES(unsigned char, uchar)
SR_VECTOR_TYPES(short, short)
SR_VECTOR_TYPES(unsigned short, ushort)
SR_VECTOR_TYPES(int, int)
SR_VECTOR_TYPES(unsigned int, uint)
SR_VECTOR_TYPES(long long, longlong)
SR_VECTOR_TYPES(unsigned long long, ulonglong)
SR_VECTOR_TYPES(float, float)
SR_VECTOR_TYPES(double, double)
// clang-format on
#undef SR_VECTOR_TYPES
