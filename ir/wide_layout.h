// Where the tiles of a program of groups (RegisterProgram::groups) lie in shared memory: as boxes of 64 elements along, one after the
// other, of lines of 128 bytes.
#pragma once
#include "ir/ring_layout.h"

namespace heed {

inline constexpr std::int64_t wide_line_bytes = 128, wide_line = 64;  // of a box; elements
inline constexpr std::int64_t wide_rows = 64;                         // of a group
inline constexpr int wide_stages = 2;                                 // of a tile of columns: while one is used the next one comes; 2

struct WideTile {
  std::int64_t lines, boxes;
  std::int64_t box_bytes() const { return lines * wide_line_bytes; }
  std::int64_t bytes() const { return boxes * box_bytes(); }
};
WideTile wide_tile(const RegisterProgram& program, int tile);

// What comes in stages of its own, since it is waited for and given back together: tiles of columns, values of columns, or both.
struct WideStream {
  std::vector<int> tiles;
  bool has_vectors = false;
  int makers() const { return (tiles.empty() ? 0 : 1) + (has_vectors ? 1 : 0); }  // of each stage
};

// Of a part over columns: its tiles, in the order of their first use, and values of columns.
struct WidePart {
  std::vector<int> rows, columns;
  std::vector<SideValue> vectors{};
  std::vector<WideStream> streams{};
  std::vector<SideValue> row_starts{};              // values of rows that scores start from
  std::int64_t bytes = 0;                           // with all stages
  std::vector<std::int64_t> places{};               // of `rows`, then of `columns`, their first stage; of all vectors; of row_starts
  std::int64_t tiles_bytes = 0, vectors_bytes = 0;  // of a stage, whose tiles lie side by side
  std::size_t barriers() const { return 1 + 2 * wide_stages * streams.size(); }
};
WidePart wide_part(const RegisterProgram& program, const RegisterProgram::Part& part);

// Whether the sums over columns of a block are made while the next block's scores are: else they are done within their block, which leaves
// registers to several scores.
bool sums_follow(const RegisterProgram::Part& part);

// A multiprocessor's 65536 registers, by thread: of warps that copy, and of those that multiply. `held`: for what lives from product to
// product; addresses, and what is made of a score, need the others.
struct WideRegisters {
  int copying, multiplying, held;
};
constexpr WideRegisters wide_registers(int groups) { return groups > 2 ? WideRegisters{32, 160, 128} : WideRegisters{40, 232, 208}; }

// In shared memory, of a value of rows that scores start from: a thread has two rows, of each two times the value, as sums of four have
// them. Threads of a quad have it together.
inline std::int64_t row_start_bytes(const RegisterProgram& program) { return program.rows / 2 * 16; }

// Registers that a thread holds besides sums of products, as seen in machine code: values of columns that no score starts from; the factors
// of products, where sums follow, and those that wait until these are read; else what conditions choose from.
std::int64_t wide_held(const RegisterProgram& program, const RegisterProgram::Part& part);
// Of the factor of a sum.
inline std::int64_t wide_words(const RegisterProgram& program) { return program.columns / 4; }

// Of all parts, which follow each other in the same memory. Barriers of each part come after it, and then a word that nobody reads.
inline constexpr std::int64_t wide_barrier_bytes = 8;
std::int64_t wide_tile_bytes(const RegisterProgram& program);
std::int64_t wide_bytes(const RegisterProgram& program);

}  // namespace heed
