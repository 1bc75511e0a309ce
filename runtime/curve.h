// The learning curve as a picture.
#pragma once
#include <string>
#include <vector>

namespace heed {

struct CurvePoint {
  double step, value;
};

struct Curve {
  std::string name;  // "loss", "test loss"
  std::vector<CurvePoint> points;
  bool dots = false;  // few points, each of which is marked
};

// An SVG with axes, ticks and a legend. Curves of many points are drawn as their means over stretches of steps.
std::string draw_curves(const std::string& title, const std::vector<Curve>& curves);

}  // namespace heed
