// Walks over the bodies of scans.
#include "passes/scan_body.h"

#include <algorithm>

namespace heed {

std::vector<ArrayRef> roots_of(const Scan& scan) {
  std::vector<ArrayRef> roots = scan.yields;
  roots.insert(roots.end(), scan.next.begin(), scan.next.end());
  return roots;
}

std::vector<ArrayRef> stand_ins_of(const Scan& scan) {
  std::vector<ArrayRef> stand_ins = scan.element_inputs;
  stand_ins.insert(stand_ins.end(), scan.carried_inputs.begin(), scan.carried_inputs.end());
  return stand_ins;
}

std::vector<ArrayRef> dependents(const std::vector<ArrayRef>& roots, const std::vector<ArrayRef>& seeds) {
  std::unordered_set<ArrayRef> found(seeds.begin(), seeds.end());
  std::vector<ArrayRef> arrays;
  for (ArrayRef array : in_order(roots)) {
    if (!found.contains(array) && std::ranges::none_of(reads_of(array), [&](ArrayRef read) { return found.contains(read); })) continue;
    found.insert(array);
    arrays.push_back(array);
  }
  return arrays;
}

ScanActivity::ScanActivity(const Scan& scan, const IsActive& outside)
    : scan_(scan), outside_(outside), arrays_(dependents(roots_of(scan), stand_ins_of(scan))) {
  local_.insert(arrays_.begin(), arrays_.end());
  for (ArrayRef stand_in : stand_ins_of(scan)) local_.insert(stand_in);
  for (std::size_t k = 0; k < scan.elements.size(); ++k)
    if (outside(scan.elements[k])) active_.insert(scan.element_inputs[k]);
  for (std::size_t k = 0; k < scan.starts.size(); ++k)
    if (outside(scan.starts[k])) active_.insert(scan.carried_inputs[k]);
  for (bool grew = true; grew;) {
    spread();
    grew = false;
    for (std::size_t k = 0; k < scan.next.size(); ++k)
      if (is_floating(scan.next[k]->dtype) && is_active(scan.next[k])) grew = active_.insert(scan.carried_inputs[k]).second || grew;
  }
}

void ScanActivity::spread() {
  const IsActive known = [this](ArrayRef array) { return is_active(array); };
  for (ArrayRef array : arrays_) {
    if (active_.contains(array) || !is_floating(array->dtype)) continue;
    if (array->kind == Array::Kind::definition && has_active_read(array->body, known)) active_.insert(array);
    if (array->kind == Array::Kind::scanned && active_results(*array->scan, known).at(static_cast<std::size_t>(array->result)))
      active_.insert(array);
  }
}

std::vector<ArrayRef> ScanActivity::captured() const {
  std::vector<ArrayRef> found;
  auto take = [&](ArrayRef array) {
    const bool wanted = !is_local(array) && is_floating(array->dtype) && outside_(array);
    if (wanted && std::ranges::find(found, array) == found.end()) found.push_back(array);
  };
  for (ArrayRef array : arrays_)
    if (array->kind != Array::Kind::input)
      for (ArrayRef read : reads_of(array)) take(read);
  for (ArrayRef root : roots_of(scan_)) take(root);
  return found;
}

std::vector<bool> active_results(const Scan& scan, const IsActive& is_active) {
  const ScanActivity activity(scan, is_active);
  std::vector<bool> active;
  for (ArrayRef root : roots_of(scan)) active.push_back(is_floating(root->dtype) && activity.is_active(root));
  return active;
}

}  // namespace heed
