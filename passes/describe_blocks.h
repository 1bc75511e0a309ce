// Regions that run block by block, in words: what is normalised over what, and which keys a query sees.
#pragma once
#include <string>
#include <vector>

#include "ir/plan.h"

namespace heed {

// "softmax over keys, causal, one pass", "gradient of softmax over keys, window of 128, one pass". Queries and keys are told by the
// products: what is summed over together with the values are keys. Masks are told by what their conditions say of the two indices.
std::string label_of_blocks(const Region& region);

// Counted in blocks as wide as the narrowest one.
struct BlockCount {
  std::int64_t made = 0, skipped = 0;
  std::int64_t rows = 0, columns = 0;  // of one; 0 columns: all
};
BlockCount count_blocks(const Blocks& blocks);
// "184 blocks of 128 x 96, 72 skipped (28 %)"
std::string words_of(const BlockCount& count);

// What a mask says in words, each part once; `keep` is the condition under which a pair is seen. "causal", "window of 128", "the same doc".
std::vector<std::string> mask_words(Expr keep, AxisRef query, AxisRef key);

}  // namespace heed
