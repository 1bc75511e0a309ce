// Writes pictures as Graphviz text.
#include "passes/draw.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "passes/picture.h"

namespace heed {

namespace {

constexpr std::size_t most_lines = 12, most_inside = 24;  // of one kind in a box; of a region in blocks

std::string escaped(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else
      result += c;
  }
  return result;
}

struct Colours {
  const char *fill, *border;
};
Colours colours_of(const Box& box) {
  if (!box.path.empty() && box.path[0] == "gradients") return {"#fdeee4", "#c98a5b"};
  if (!box.path.empty() && box.path[0] == "optimizer") return {"#eeeeee", "#8a8a8a"};
  return box.kind == Box::Kind::region ? Colours{"#e7f0fa", "#4a7ab0"} : Colours{"#ffffff", "#4a7ab0"};
}

void add_rows(std::string& table, const std::vector<std::string>& lines, std::string_view attributes, std::string_view before,
              std::size_t most = most_lines) {
  for (std::size_t k = 0; k < lines.size() && k < most; ++k)
    table += fmt::format("<tr><td align=\"left\" {}>{}{}</td></tr>", attributes, before, escaped(lines[k]));
  if (lines.size() > most) table += fmt::format("<tr><td align=\"left\" {}>… {} more</td></tr>", attributes, lines.size() - most);
}

// `kept`: titles of boxes far away whose values it reads.
std::string node_text(const Box& box, const std::string& title, const std::vector<std::string>& kept) {
  if (box.kind == Box::Kind::input)
    return fmt::format("[shape=ellipse, style=filled, fillcolor=\"#dff2df\", color=\"#5a9a5a\", label=<<b>{}</b>>]", escaped(title));
  if (box.kind == Box::Kind::result)
    return fmt::format("[shape=ellipse, style=filled, fillcolor=\"#d8e6ff\", color=\"#3f66a8\", peripheries=2, label=<<b>{}</b>>]",
                       escaped(title));
  Colours colours = colours_of(box);
  std::string table =
      fmt::format("<table border=\"1\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"3\" style=\"rounded\" color=\"{}\" bgcolor=\"{}\">",
                  colours.border, colours.fill);
  table += fmt::format("<tr><td><b>{}</b>{}</td></tr>", escaped(title), box.count > 1 ? fmt::format(" <i>x{}</i>", box.count) : "");
  if (!box.subtitle.empty()) table += fmt::format("<tr><td><i>{}</i></td></tr>", escaped(box.subtitle));
  add_rows(table, kept, "bgcolor=\"#f6e3d3\"", "reads ", 6);
  add_rows(table, box.lines, "", "", box.subtitle.empty() ? most_lines : most_inside);
  add_rows(table, box.parameters, "bgcolor=\"#fff6d6\"", "");
  add_rows(table, box.updates, "bgcolor=\"#fff6d6\"", "updates ");
  return fmt::format("[shape=plain, label=<{}</table>>]", table);
}

// Clusters as a tree: boxes and clusters in the order in which they first appear.
struct Cluster {
  std::vector<std::string> path;
  std::vector<int> boxes;
  std::vector<std::string> order;
  std::map<std::string, Cluster> inner;
  std::size_t size() const {
    std::size_t total = boxes.size();
    for (const auto& [name, cluster] : inner) total += cluster.size();
    return total;
  }
};

class Writer {
 public:
  explicit Writer(const Picture& picture) : picture_(picture) {
    for (int box = 0; box < static_cast<int>(picture.boxes.size()); ++box) {
      Cluster* at = &root_;
      for (const std::string& part : picture.boxes[box].path) {
        auto [entry, is_new] = at->inner.try_emplace(part);
        if (is_new) {
          at->order.push_back(part);
          entry->second.path = at->path;
          entry->second.path.push_back(part);
        }
        at = &entry->second;
      }
      at->boxes.push_back(box);
    }
  }

  std::string run() {
    text_ = "digraph heed {\n";
    text_ += fmt::format(
        "  label=<<b>{}</b>>; labelloc=t; fontname=\"Helvetica\"; fontsize=16; rankdir=TB; nodesep=0.25; ranksep=0.35; compound=true;\n",
        escaped(picture_.title));
    text_ +=
        "  node [fontname=\"Helvetica\", fontsize=11]; edge [fontname=\"Helvetica\", fontsize=9, fontcolor=\"#666666\", color=\"#777777\", "
        "arrowsize=0.6];\n";
    write(root_, "  ", "");
    for (const Link& link : picture_.links)
      if (!is_kept(link)) text_ += fmt::format("  b{} -> b{} {};\n", link.from, link.to, style_of(link));
    return text_ + "}\n";
  }

 private:
  bool is_in(int box, std::string_view cluster) const {
    return !picture_.boxes[box].path.empty() && picture_.boxes[box].path[0] == cluster;
  }

  // What the way back reads of the way forward would cross the whole picture: it is said in the box that reads it.
  bool is_kept(const Link& link) const {
    return !link.to_next && is_in(link.to, "gradients") && !is_in(link.from, "gradients") && !picture_.boxes[link.from].path.empty();
  }

  std::vector<std::string> kept_by(int box) const {
    std::vector<std::string> titles;
    for (const Link& link : picture_.links) {
      bool is_number = link.shape.find('[') == std::string::npos;  // a rate, a count: of no interest
      if (link.to != box || !is_kept(link) || is_number) continue;
      std::string title;
      for (const std::string& part : picture_.boxes[link.from].path) title += part + ".";
      if (!title.empty()) title.back() = ':';
      title += " " + picture_.boxes[link.from].title;
      if (std::ranges::find(titles, title) == titles.end()) titles.push_back(title);
    }
    return titles;
  }

  // What the optimizer reads lies in the background.
  std::string style_of(const Link& link) const {
    if (link.to_next) return "[style=dashed, constraint=false]";
    if (is_in(link.to, "optimizer") && !is_in(link.from, "optimizer")) return "[style=dotted, color=\"#b8b8b8\"]";
    return fmt::format("[label=\"{}\"]", escaped(link.shape));
  }

  // A cluster with one box alone is said in the box's title.
  void write(const Cluster& cluster, const std::string& indent, const std::string& title_before) {
    for (int box : cluster.boxes)
      text_ +=
          fmt::format("{}b{} {};\n", indent, box, node_text(picture_.boxes[box], title_before + picture_.boxes[box].title, kept_by(box)));
    for (const std::string& name : cluster.order) {
      const Cluster& inner = cluster.inner.at(name);
      int count = 1;
      for (const Fold& fold : picture_.folds)
        if (fold.path == inner.path) count = fold.count;
      if (inner.size() == 1 && count == 1) {
        write(inner, indent, title_before + name + ": ");
        continue;
      }
      text_ += fmt::format("{}subgraph cluster_{} {{\n", indent, clusters_++);
      std::string label = title_before + name;
      if (count > 1) label = label.substr(0, label.rfind('.'));
      text_ +=
          fmt::format("{}  label=<<b>{}</b>{}>; labelloc=t; labeljust=l; fontsize=12; style=rounded; color=\"#b5b5b5\"; bgcolor=\"{}\";\n",
                      indent, escaped(label), count > 1 ? fmt::format(" <font color=\"#b03030\"><b>x{}</b></font>", count) : "",
                      inner.path.size() % 2 == 1 ? "#fafafa" : "#f3f3f3");
      write(inner, indent + "  ", "");
      text_ += indent + "}\n";
    }
  }

  const Picture& picture_;
  Cluster root_;
  std::string text_;
  int clusters_ = 0;
};

std::string written(const Picture& picture, const DrawOptions& options) { return Writer(options.fold ? folded(picture) : picture).run(); }

}  // namespace

std::string draw(const Graph& graph, const DrawOptions& options) { return written(picture_of(graph), options); }

std::string draw(const Plan& plan, const DrawOptions& options) { return written(picture_of(plan), options); }

}  // namespace heed
