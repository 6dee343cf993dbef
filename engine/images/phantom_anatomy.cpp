#include "engine/images/phantom_anatomy.h"

#include <algorithm>
#include <cmath>

namespace sr {

double tissue_intensity(Tissue tissue) {
  switch (tissue) {
    case Tissue::air:
      return 0;
    case Tissue::skin:
      return 420;
    case Tissue::fat:
      return 1000;
    case Tissue::muscle:
      return 400;
    case Tissue::bone:
      return 60;
    case Tissue::marrow:
      return 560;
    case Tissue::csf:
      return 150;
    case Tissue::grey_matter:
      return 530;
    case Tissue::white_matter:
      return 800;
    case Tissue::ventricle:
      return 140;
    case Tissue::thalamus:
      return 660;
    case Tissue::caudate:
      return 560;
    case Tissue::putamen:
      return 590;
    case Tissue::pallidum:
      return 710;
    case Tissue::cerebellum_grey:
      return 520;
    case Tissue::cerebellum_white:
      return 780;
    case Tissue::brainstem:
      return 740;
    case Tissue::eye:
      return 130;
    case Tissue::vessel:
      return 1000;
  }
  return 0;
}

namespace {

// Distance to an ellipsoid to first order: f / |grad f| of f = |p / r| - 1, exact on the surface.
double ellipsoid(Point p, Point centre, Point radii) {
  const Point q = p - centre;
  const Point n{q.x / radii.x, q.y / radii.y, q.z / radii.z};
  const Point g{n.x / radii.x, n.y / radii.y, n.z / radii.z};
  const double f = length(n), slope = length(g);
  return slope < 1e-9 ? -std::min({radii.x, radii.y, radii.z}) : f * (f - 1) / slope;
}

// A tube that tapers from radius ra at a to rb at b.
double tube(Point p, Point a, Point b, double ra, double rb) {
  const Point along = b - a;
  const double t = std::clamp(dot(p - a, along) / dot(along, along), 0.0, 1.0);
  return length(p - a - t * along) - (ra + t * (rb - ra));
}

// Union and intersection with edges rounded over about k mm (Quilez's polynomial smooth minimum).
double smooth_union(double a, double b, double k) {
  const double h = std::max(k - std::abs(a - b), 0.0) / k;
  return std::min(a, b) - h * h * k / 4;
}
double smooth_intersection(double a, double b, double k) {
  return -smooth_union(-a, -b, k);
}

// Both sides of the head at once.
Point mirrored(Point p) {
  return {std::abs(p.x), p.y, p.z};
}

// Distance to a cleft: the sheet where `noise` is zero, running inwards from the hull to `reach` mm below it. `outside`
// is p carried outwards to the hull along `ray`, so that the sheet stands perpendicular to the hull; `closer` = how
// much nearer to each other neighbouring sheets are at p than at the hull.
double cleft(const LatticeNoise& noise, Point outside, Point ray, double closer, double depth, double reach) {
  Point gradient;
  const double value = noise.at(outside, gradient);
  const Point tangential = gradient - dot(gradient, ray) * ray;
  const double slope = closer * length(tangential) + 0.01;  // 0.01: no division by zero at saddles
  const double sideways = std::abs(value) / slope, below = std::max(depth - reach, 0.0);
  return std::sqrt(sideways * sideways + below * below);
}

}  // namespace

struct Head::Hulls {
  double cerebrum, cerebellum, brainstem;
  double case_inside;  // the space inside the skull
  double skull_outside;
  double skin;
};

Head::Head(uint64_t seed)
    : sulci_(8 * seed, 14),
      side_sulci_(8 * seed + 1, 9),
      folia_(8 * seed + 2, 6),
      broad_(8 * seed + 3, 34),
      texture_(8 * seed + 4, 4.5),
      swirl_(8 * seed + 7, 16),
      ventricle_size_(0.85 + 0.3 * uniform(8 * seed + 5)) {
  grow_vessels(8 * seed + 6);
}

Head::Hulls Head::hulls(Point p) const {
  const Point side = mirrored(p);
  Hulls h;
  h.cerebellum =
      smooth_union(ellipsoid(side, {22, -56, -42}, {28, 30, 22}), ellipsoid(p, {0, -54, -38}, {20, 26, 20}), 8);
  h.brainstem = smooth_union(
      smooth_union(tube(p, {0, -14, -8}, {0, -17, -30}, 15, 12), ellipsoid(p, {0, -13, -38}, {17, 13, 15}), 6),
      tube(p, {0, -20, -48}, {0, -30, -130}, 9, 6), 6);

  const double roof = ellipsoid(p, {0, -2, 14}, {66, 85, 58});
  const double above_base = smooth_intersection(roof, -25 - p.z - 0.03 * p.y, 8);
  const double temporal = ellipsoid(side, {42, 8, -22}, {23, 42, 22});
  h.cerebrum = smooth_union(above_base, temporal, 6) + 1.2 * broad_.at(p);
  h.cerebrum = smooth_intersection(h.cerebrum, 1.2 - h.cerebellum, 2);

  const double brain = smooth_union(smooth_union(h.cerebrum, h.cerebellum, 8), h.brainstem, 6);
  h.case_inside = brain - 3 - broad_.at(p + Point{71, 0, 0});
  h.skull_outside = h.case_inside - 6.5 - 1.5 * broad_.at(p + Point{0, 71, 0});
  const double scalp = h.skull_outside - 5.5 - 1.2 * broad_.at(p + Point{0, 0, 71});
  const double face =
      smooth_union(ellipsoid(p, {0, 50, -52}, {56, 42, 56}), ellipsoid(p, {0, 93, -44}, {10, 13, 17}), 9);
  const double neck = tube(p, {0, -18, -60}, {0, -26, -140}, 60, 54);
  h.skin = smooth_union(smooth_union(scalp, face, 14), neck, 20);
  return h;
}

void Head::paint(Point p, Paint& paint) const {
  if (ellipsoid(p, {0, 0, -30}, {100, 125, 150}) > 0) return;
  const Hulls h = hulls(p);
  if (h.skin > 3) return;
  if (h.case_inside > -3) {
    paint_face(p, h, paint);
    paint_skull(p, h, paint);
  }
  paint.over(h.case_inside, Tissue::csf);
  paint_cerebrum(p, h, paint);
  paint_cerebellum_and_brainstem(p, h, paint);
  const double texture = texture_.at(p), broad = broad_.at(p + Point{40, 40, 40});
  paint.intensity *= 1 + 0.025 * texture + 0.03 * broad;
}

void Head::paint_face(Point p, const Hulls& h, Paint& paint) const {
  const Point side = mirrored(p);
  const double mottled = texture_.at(0.45 * p) + 0.4 * texture_.at(p);
  paint.over(h.skin, Tissue::skin);
  paint.over(h.skin + 1.6, Tissue::fat);
  paint.over(std::max(h.skin + 6.5 + 1.5 * mottled, -1.6 - 4 * mottled), Tissue::muscle);
  paint.over(ellipsoid(side, {64, 22, -22}, {9, 28, 30}) + 2 * mottled, Tissue::muscle);  // temporalis

  const double palate = ellipsoid(p, {0, 62, -72}, {25, 26, 3.5});
  paint.over(palate, Tissue::bone);
  paint.over(palate + 1.5, Tissue::marrow);
  paint.over(ellipsoid(p, {0, 56, -92}, {23, 28, 15}), Tissue::muscle);  // tongue

  const double nose = std::max(ellipsoid(side, {6, 66, -50}, {5.5, 25, 19}) + 1.2 * mottled, 1 - side.x);
  const double maxillary = ellipsoid(side, {27, 60, -50}, {12, 14, 14});
  const double sphenoid = std::max(ellipsoid(side, {6, 30, -38}, {7, 11, 8}), 0.7 - side.x);
  const double pharynx = tube(p, {0, 36, -60}, {0, 8, -130}, 8, 8);
  const double cavity = std::min({nose, maxillary, sphenoid});
  paint.over(cavity - 1.3, Tissue::bone);
  paint.over(pharynx - 2.5, Tissue::muscle);
  paint.over(std::min(cavity, pharynx), Tissue::air);

  const double vertebra = ellipsoid(p, {0, -8, -90}, {20, 12, 15});
  paint.over(vertebra, Tissue::bone);
  paint.over(vertebra + 1.8 + 0.5 * mottled, Tissue::marrow);

  const double orbit = std::max(ellipsoid(side, {31, 62, -23}, {17, 27, 16}), h.skin + 1);
  const double globe = length(side - Point{31, 73, -23}) - 12;
  paint.over(orbit - 1.5, Tissue::bone);
  paint.over(orbit, Tissue::fat);
  for (const double x : {20.0, 42.0}) paint.over(tube(side, {x, 74, -23}, {14, 36, -20}, 2, 1.5), Tissue::muscle);
  for (const double z : {-12.0, -34.0}) paint.over(tube(side, {31, 74, z}, {14, 36, -20}, 2, 1.5), Tissue::muscle);
  paint.over(tube(side, {29, 66, -23}, {6, 24, -18}, 2, 2), Tissue::brainstem);  // optic nerve
  paint.over(globe, Tissue::skin);                                               // sclera
  paint.over(globe + 1.4, Tissue::eye);
  paint.over(ellipsoid(side, {31, 81.5, -23}, {4.5, 2, 4.5}), Tissue::skin);  // lens
}

void Head::paint_skull(Point p, const Hulls& h, Paint& paint) const {
  paint.over(h.skull_outside, Tissue::bone);
  const double marrow = std::max(h.skull_outside + 1.9, 1.9 - h.case_inside);
  paint.over(marrow + 0.8 * texture_.at(p + Point{0, 50, 0}), Tissue::marrow);
}

// Distance into the cortex from the nearest CSF: the hull, the sulci, and the two large fissures.
double Head::cortical_depth(Point p, const Hulls& h) const {
  // Longitudinal fissure: the midline down to the corpus callosum.
  const double callosum = -ellipsoid(p, {0, -4, 6}, {1000, 43, 24});
  const double wavy = p.x + 2.2 * broad_.at({30, p.y, p.z});
  const auto midline_above = [&](double margin) {
    const double below = std::max(callosum + margin, 0.0);
    return std::sqrt(wavy * wavy + below * below);
  };

  // Sylvian fissure: an oblique sheet from the side in to the insula.
  const double sheet = (p.z + 5 - 0.22 * (14 - p.y) + 3 * broad_.at(p)) * 0.97;
  const double inwards = std::max(37 - std::abs(p.x), 0.0);
  const double lengthwise = std::max(std::abs(p.y - 4) - 32, 0.0);
  const double sylvian = std::sqrt(sheet * sheet + inwards * inwards + lengthwise * lengthwise) - 0.9;

  // Sulci stand on the hull and, less deep and clear of the callosum, on the medial wall; so they are carried outwards
  // from the middle of the hemisphere rather than of the head. The swirl bends them.
  const double hull = -h.cerebrum, depth = std::max(std::min(hull, 1.6 * midline_above(9)), 0.0);
  const Point middle{p.x > 0 ? 14.0 : -14.0, -4, 4};
  const Point out = p - middle;
  const double r = std::max(length(out), 1.0), closer = (r + depth) / r;
  const Point ray = (1 / r) * out;
  Point swirl;
  swirl_.at(p, swirl);
  const Point outside = p + depth * ray + 55 * swirl;
  const double sulcus = cleft(sulci_, outside, ray, closer, depth, 17 + 11 * broad_.at(outside)) - 0.65;
  const double side_sulcus = cleft(side_sulci_, outside, ray, closer, depth, 4.5 + 4 * broad_.at(outside)) - 0.4;

  return std::min({hull, sulcus, side_sulcus, midline_above(0) - 0.7, sylvian});
}

void Head::paint_cerebrum(Point p, const Hulls& h, Paint& paint) const {
  if (h.cerebrum > 2) return;
  const double depth = cortical_depth(p, h);
  const double thickness = 2.7 + 0.6 * broad_.at(p);
  paint.over(-depth, Tissue::grey_matter);
  paint.over(thickness - depth, Tissue::white_matter);
  paint_deep_nuclei(p, paint);
  paint_ventricles(p, paint);
}

void Head::paint_deep_nuclei(Point p, Paint& paint) const {
  const Point side = mirrored(p);
  if (ellipsoid(side, {20, 0, 4}, {26, 48, 32}) > 0) return;
  const double wobble = 0.7 * texture_.at(p);
  // Claustrum: a thin grey sheet between putamen and insula.
  const double shell = std::abs(ellipsoid(side, {22, 3, 2}, {10.8, 24, 17})) - 0.55;
  paint.over(std::max(shell, 29.5 - side.x), Tissue::grey_matter);
  paint.over(ellipsoid(side, {25, 4, 2}, {5.5, 18, 11}) + wobble, Tissue::putamen);
  paint.over(ellipsoid(side, {19, 0, 0}, {5, 11, 7}) + wobble, Tissue::pallidum);
  paint.over(ellipsoid(side, {10, -15, 5}, {8, 14, 9}) + wobble, Tissue::thalamus);
  const double caudate_head = ellipsoid(side, {14, 21, 8}, {5, 11, 9});
  const double caudate_body = tube(side, {15, 18, 13}, {18, -18, 20}, 4, 2);
  paint.over(smooth_union(caudate_head, caudate_body, 4) + wobble, Tissue::caudate);
}

void Head::paint_ventricles(Point p, Paint& paint) const {
  const Point side = mirrored(p);
  const double s = ventricle_size_;
  const double frontal = tube(side, {6, 34, 8}, {8, 12, 16}, 3.5 * s, 5 * s);
  const double body = tube(side, {8, 12, 16}, {12, -20, 20}, 5 * s, 5 * s);
  const double atrium = tube(side, {12, -20, 20}, {25, -40, 6}, 5 * s, 7 * s);
  const double occipital = tube(side, {25, -40, 6}, {24, -64, 4}, 6 * s, 2 * s);
  const double temporal = tube(side, {25, -40, 6}, {33, -8, -20}, 5 * s, 2 * s);
  const double lateral =
      smooth_union(smooth_union(std::min(frontal, body), atrium, 3), std::min(occipital, temporal), 4);
  const double septum = 0.8 - side.x;
  paint.over(std::max(lateral + 0.6 * texture_.at(p), septum), Tissue::ventricle);
  paint.over(ellipsoid(p, {0, -8, 0}, {2.2 * s, 15, 11}), Tissue::ventricle);  // third
  // Choroid plexus in the atria, bright specks inside the CSF.
  paint.over(ellipsoid(side, {22, -36, 9}, {2.2, 6, 3}) + 1.2 * texture_.at(1.7 * p), Tissue::grey_matter);
}

void Head::paint_cerebellum_and_brainstem(Point p, const Hulls& h, Paint& paint) const {
  if (h.cerebellum < 2) {
    // Folia: clefts that run from side to side, so lengths along x count little.
    const Point out = p - Point{0.75 * p.x, -34, -38};
    const double r = std::max(length(out), 1.0), depth = -h.cerebellum, inside = std::max(depth, 0.0);
    const Point ray = (1 / r) * out;
    const Point outside = out + inside * ray;
    const double fissure = cleft(folia_, outside, ray, (r + inside) / r, depth, 15 + 8 * broad_.at(p)) - 0.35;
    const double folium = std::min(depth, fissure);
    paint.over(-folium, Tissue::cerebellum_grey);
    paint.over(1.5 - folium, Tissue::cerebellum_white);
  }
  if (h.brainstem < 2) {
    paint.over(h.brainstem, Tissue::brainstem);
    const double peduncle = tube(mirrored(p), {8, -20, -42}, {22, -40, -42}, 5, 4);
    paint.over(peduncle, Tissue::brainstem);
    paint.over(tube(p, {0, -22, -10}, {0, -28, -26}, 0.9, 1.2), Tissue::ventricle);  // aqueduct
  }
  paint.over(ellipsoid(p, {0, -32, -38}, {6.5, 4.5, 9}), Tissue::ventricle);  // fourth
}

// Arteries of the base, bright with inflow, and the dark fluid-filled spaces around perforating vessels, which wander
// outwards through the white matter.
void Head::grow_vessels(uint64_t seed) {
  uint64_t counter = mix_bits(seed);
  const auto chance = [&] { return 2 * uniform(++counter) - 1; };
  vessels_.push_back({{0, 2, -52}, {0, 3, -24}, 1.7, Tissue::vessel});  // basilar
  for (const double s : {-1.0, 1.0}) {
    const auto artery = [&](std::initializer_list<Point> path, double radius) {
      for (const Point* p = path.begin(); p + 1 != path.end(); ++p)
        vessels_.push_back({{s * p[0].x, p[0].y, p[0].z}, {s * p[1].x, p[1].y, p[1].z}, radius, Tissue::vessel});
    };
    artery({{16, 6, -70}, {14, 10, -40}, {9, 16, -24}, {10, 14, -17}}, 2.0);               // internal carotid
    artery({{10, 14, -17}, {22, 13, -15}, {34, 10, -10}, {42, 6, -6}, {50, -6, 2}}, 1.4);  // middle cerebral
    artery({{10, 14, -17}, {3, 24, -14}, {2, 38, 4}, {2, 32, 24}, {2, 6, 33}}, 1.1);       // anterior cerebral
    artery({{0, 3, -24}, {12, -4, -19}, {20, -24, -14}, {16, -50, -6}}, 1.2);              // posterior cerebral
    artery({{5, -6, -90}, {6, 0, -66}, {0, 2, -52}}, 1.4);                                 // vertebral
    for (int n = 0; n < 60; ++n) {
      Point at{s * (16 + 8 * chance()), 30 * chance(), 10 + 14 * chance()};
      Point step{s * (1 + 0.5 * chance()), chance(), 0.7 + 0.8 * chance()};
      step = (3 / length(step)) * step;
      for (int k = 0; k < 13; ++k) {
        step = step + 0.5 * Point{chance(), chance(), chance()};
        const Point next = at + step;
        if (std::abs(next.x) > 2) vessels_.push_back({at, next, 0.4, Tissue::csf});
        at = next;
      }
    }
  }
}

}  // namespace sr
