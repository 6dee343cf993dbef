// Smooth random fields for the phantom: gradient noise on a lattice (Perlin 2002, "Improving Noise"). Only + - * /, so
// that a seed gives the same head everywhere; no generator of the standard library is involved.
#pragma once

#include <cmath>
#include <cstdint>

namespace sr {

struct Point {  // mm
  double x, y, z;
};

inline Point operator+(Point a, Point b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
inline Point operator-(Point a, Point b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
inline Point operator*(double s, Point a) {
  return {s * a.x, s * a.y, s * a.z};
}
inline double dot(Point a, Point b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
inline double length(Point a) {
  return std::sqrt(dot(a, a));
}

// A well mixed 64-bit number from a counter (SplitMix64; Steele, Lea, Flood 2014).
inline uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Uniform in [0, 1).
inline double uniform(uint64_t counter) {
  return static_cast<double>(mix_bits(counter) >> 11) * 0x1p-53;
}

// Mean 0, standard deviation 1: eight uniforms of 16 bits, summed (Irwin-Hall). Box-Muller would need a logarithm,
// whose last bit depends on the C library.
inline double normal(uint64_t counter) {
  const uint64_t bits[2] = {mix_bits(2 * counter), mix_bits(2 * counter + 1)};
  int sum = 0;
  for (const uint64_t word : bits)
    for (int shift = 0; shift < 64; shift += 16) sum += static_cast<int>(word >> shift & 0xffff);
  return (sum - 4 * 65535.0) / 53508.7;  // 65536 sqrt(8 / 12)
}

// Values within about -1 .. 1, zero on average; details of about `cell` mm.
class LatticeNoise {
 public:
  LatticeNoise(uint64_t seed, double cell) : seed_(mix_bits(seed)), frequency_(1 / cell) {}

  double at(Point p) const {
    Point unused;
    return at(p, unused);
  }

  // With the gradient, per mm.
  double at(Point p, Point& gradient) const {
    const double x = p.x * frequency_, y = p.y * frequency_, z = p.z * frequency_;
    const double fx = std::floor(x), fy = std::floor(y), fz = std::floor(z);
    const Weights u(x - fx), v(y - fy), w(z - fz);
    double value = 0;
    gradient = {0, 0, 0};
    for (int corner = 0; corner < 8; ++corner) {
      const int cx = corner & 1, cy = corner >> 1 & 1, cz = corner >> 2;
      const Point slope =
          corner_gradient(static_cast<int64_t>(fx) + cx, static_cast<int64_t>(fy) + cy, static_cast<int64_t>(fz) + cz);
      const double ramp = dot(slope, {u.t - cx, v.t - cy, w.t - cz});
      const double wx = u.value[cx], wy = v.value[cy], wz = w.value[cz];
      value += wx * wy * wz * ramp;
      gradient = gradient + wx * wy * wz * slope +
                 ramp * Point{u.slope[cx] * wy * wz, wx * v.slope[cy] * wz, wx * wy * w.slope[cz]};
    }
    gradient = frequency_ * gradient;
    return value;
  }

 private:
  struct Weights {  // the quintic that fades from one lattice point to the next
    explicit Weights(double fraction) : t(fraction) {
      const double fade = t * t * t * (t * (t * 6 - 15) + 10), fade_slope = 30 * t * t * (t * (t - 2) + 1);
      value[0] = 1 - fade;
      value[1] = fade;
      slope[0] = -fade_slope;
      slope[1] = fade_slope;
    }
    double t, value[2], slope[2];
  };

  // One of the twelve directions to the edges of a cube.
  Point corner_gradient(int64_t x, int64_t y, int64_t z) const {
    const uint64_t h = mix_bits(seed_ ^ (static_cast<uint64_t>(x) * 0x8da6b343u) ^
                                (static_cast<uint64_t>(y) * 0xd8163841u) ^ (static_cast<uint64_t>(z) * 0xcb1ab31fu));
    const double a = h & 1 ? 1 : -1, b = h & 2 ? 1 : -1;
    switch ((h >> 8) % 3) {
      case 0:
        return {a, b, 0};
      case 1:
        return {a, 0, b};
      default:
        return {0, a, b};
    }
  }

  uint64_t seed_;
  double frequency_;
};

}  // namespace sr
