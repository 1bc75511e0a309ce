// What conditions around a read know of its indices.
#pragma once
#include <functional>
#include <span>
#include <unordered_set>
#include <vector>

#include "ir/graph.h"

namespace heed {

// Whether the conditions, or the intervals of what the index is made of, keep it in 0 … size - 1. False where that is not seen.
bool keeps_inside(std::span<const Expr> conditions, Expr index, std::int64_t size);

// Calls `visit` with each read in an expression and the index of each of its dimensions in which it is not seen to stay inside of its
// array, under the selections inside the expression. The conditions themselves are asked without any.
void for_each_leaving(Expr expression, const std::function<void(Expr read, std::size_t dimension)>& visit);

// Whether it reads at an index that is not seen to stay inside: what a condition around it may keep from being read at all.
bool may_leave(Expr expression);

// The nodes that are evaluated only where the condition of some selection around a reduction holds.
std::unordered_set<Expr> in_branches(Expr expression);

}  // namespace heed
