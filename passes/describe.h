// Arrays and regions in words, for people: labels, places in the model file.
#pragma once
#include <string>

#include "ir/plan.h"
#include "passes/axis_names.h"

namespace heed {

// What an array does: what was called ("softmax"), or what its body is made of ("sum over the last axis", "exp, multiply").
std::string words_of(ArrayRef array);
// The same of what is inside of a region, where the call alone says too little: "softmax: max over K", "product of q and k over E".
std::string inside_words(ArrayRef array, const AxisNames& names);
// Called by a name, not written as an operator.
bool is_named(const std::string& what);
// What was called, in words: "softmax", "product" for `@`; like words_of where nothing is known.
std::string call_words(ArrayRef array);
// What a region does: "product 2048x1536x384, gelu", "softmax over the last axis", "sums over 2 axes".
std::string label_of(const Region& region);
// "h.3.attn (gpt.heed:14)"; the path or the line alone if there is no more; "" if nothing is known.
std::string source_of(ArrayRef array);
std::string source_of(const Region& region);  // of its first output

}  // namespace heed
