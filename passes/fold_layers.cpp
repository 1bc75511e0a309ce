// Equal layers and equal parts of the optimizer are drawn once.
#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <tuple>

#include "passes/picture.h"

namespace heed {

namespace {

// "h" of "h.3"; nothing of a name without a number.
std::optional<std::string> numbered(const std::string& name) {
  std::size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot + 1 == name.size()) return {};
  bool digits = std::all_of(name.begin() + static_cast<std::ptrdiff_t>(dot) + 1, name.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? std::optional(name.substr(0, dot)) : std::nullopt;
}

using Path = std::vector<std::string>;

// What two layers must have in common to be drawn as one: their boxes in order, and the links among them.
struct Content {
  std::vector<std::tuple<Path, std::string, std::vector<std::string>, std::vector<std::string>>> boxes;
  std::vector<std::tuple<int, int, std::string>> links;
  auto operator<=>(const Content&) const = default;
};

Content content_of(const Picture& picture, const std::vector<int>& boxes, std::size_t depth) {
  Content content;
  std::map<int, int> number;
  for (int box : boxes) {
    const Box& each = picture.boxes[box];
    number[box] = static_cast<int>(number.size());
    content.boxes.emplace_back(Path(each.path.begin() + static_cast<std::ptrdiff_t>(depth), each.path.end()), each.title, each.lines,
                               each.parameters);
  }
  for (const Link& link : picture.links)
    if (number.contains(link.from) && number.contains(link.to)) content.links.emplace_back(number[link.from], number[link.to], link.shape);
  std::ranges::sort(content.links);
  return content;
}

// The picture with each box replaced by the one it is drawn as; boxes that none is drawn as are gone.
Picture redrawn(const Picture& picture, const std::vector<int>& drawn_as, const std::vector<int>& layer) {
  Picture result{.title = picture.title, .folds = picture.folds};
  std::vector<int> number(picture.boxes.size(), -1);
  for (std::size_t box = 0; box < picture.boxes.size(); ++box)
    if (drawn_as[box] == static_cast<int>(box)) {
      number[box] = static_cast<int>(result.boxes.size());
      result.boxes.push_back(picture.boxes[box]);
    }
  std::set<std::tuple<int, int, std::string, bool>> seen;
  for (Link link : picture.links) {
    link.to_next |= layer[link.from] >= 0 && layer[link.to] >= 0 && layer[link.from] != layer[link.to] &&
                    (drawn_as[link.from] != link.from || drawn_as[link.to] != link.to);
    link.from = number[drawn_as[link.from]], link.to = number[drawn_as[link.to]];
    if (seen.emplace(link.from, link.to, link.shape, link.to_next).second) result.links.push_back(link);
  }
  return result;
}

// Folds the layers of one name in one cluster, if there are equal ones. `prefix` is the cluster's path.
std::optional<Picture> fold_once(const Picture& picture) {
  std::map<std::pair<Path, std::string>, std::map<std::string, std::vector<int>>> families;  // by cluster and name: layers and their boxes
  for (std::size_t box = 0; box < picture.boxes.size(); ++box) {
    const Path& path = picture.boxes[box].path;
    for (std::size_t depth = 0; depth < path.size(); ++depth)
      if (auto name = numbered(path[depth]))
        families[{Path(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(depth)), *name}][path[depth]].push_back(
            static_cast<int>(box));
  }
  for (const auto& [family, layers] : families) {
    auto folded_already = [&](const std::string& layer) {
      return std::ranges::any_of(picture.folds, [&](const Fold& fold) {
        Path path = family.first;
        path.push_back(layer);
        return fold.path == path;
      });
    };
    std::map<Content, std::vector<std::string>> equal;
    for (const auto& [layer, boxes] : layers)
      if (!folded_already(layer)) equal[content_of(picture, boxes, family.first.size() + 1)].push_back(layer);
    for (auto& [content, names] : equal) {
      if (names.size() < 2) continue;
      std::ranges::sort(names, [](const std::string& a, const std::string& b) { return std::pair(a.size(), a) < std::pair(b.size(), b); });
      std::vector<int> drawn_as(picture.boxes.size()), layer(picture.boxes.size(), -1);
      std::iota(drawn_as.begin(), drawn_as.end(), 0);
      const std::vector<int>& first = layers.at(names[0]);
      for (std::size_t k = 0; k < names.size(); ++k) {
        const std::vector<int>& boxes = layers.at(names[k]);
        for (std::size_t box = 0; box < boxes.size(); ++box) drawn_as[boxes[box]] = first[box], layer[boxes[box]] = static_cast<int>(k);
      }
      Picture result = redrawn(picture, drawn_as, layer);
      Fold fold{family.first, static_cast<int>(names.size())};
      fold.path.push_back(names[0]);
      result.folds.push_back(std::move(fold));
      return result;
    }
  }
  return {};
}

Picture fold_optimizer(const Picture& picture) {
  std::vector<int> drawn_as(picture.boxes.size()), layer(picture.boxes.size(), -1);
  std::map<std::string, int> first;
  Picture changed = picture;
  for (std::size_t box = 0; box < picture.boxes.size(); ++box) {
    const Box& each = picture.boxes[box];
    drawn_as[box] = static_cast<int>(box);
    if (each.path != Path{"optimizer"}) continue;
    auto [entry, is_new] = first.try_emplace(each.title, static_cast<int>(box));
    if (is_new) continue;
    drawn_as[box] = entry->second;
    Box& kept = changed.boxes[entry->second];
    kept.count += each.count;
    kept.updates.insert(kept.updates.end(), each.updates.begin(), each.updates.end());
    kept.parameters.clear();
  }
  for (Link& link : changed.links)  // Of so many shapes none is worth saying.
    if (changed.boxes[link.to].path == Path{"optimizer"}) link.shape.clear();
  Picture result = redrawn(changed, drawn_as, layer);
  std::erase_if(result.links, [](const Link& link) { return link.from == link.to; });
  return result;
}

}  // namespace

Picture folded(const Picture& picture) {
  Picture current = picture;
  while (std::optional<Picture> next = fold_once(current)) current = std::move(*next);
  return fold_optimizer(current);
}

}  // namespace heed
