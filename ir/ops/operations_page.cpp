// docs/operations.md, from the records.
#include <fmt/format.h>

#include <cctype>

#include "ir/ops/operation.h"

namespace heed {

std::string operations_page() {
  std::string page =
      "# Operations\n"
      "What the language has built in; everything else is in the [library](library.md), written in heed itself. Generated from the records "
      "in `ir/ops/`\n"
      "and `ir/function.cpp`; every example is a test. Operators and functions of one value also work at each position of index notation, "
      "and\n"
      "arrays broadcast to each other as in NumPy.\n";
  auto block = [&](std::string_view title, std::span<const Operation> records) {
    page += fmt::format("\n## {}\n| operation | does | example |\n|---|---|---|\n", title);
    for (const Operation& record : records) {
      std::string name = find_operation(record.name)->signature == "(a, b)" && !std::isalpha(static_cast<unsigned char>(record.name[0]))
                             ? fmt::format("a {} b", record.name)
                             : fmt::format("{}{}", record.name, record.signature);
      page += fmt::format("| `{}` | {} | `{}` |\n", name, record.summary, record.example);
    }
  };
  block("Values at one position", elementwise_operations());
  std::vector<Operation> functions;
  for (const Operation* operation : operations())
    if (operation->function) functions.push_back(*operation);
  block("Scalar functions", functions);
  block("Products", product_operations());
  block("Reductions", reduction_operations());
  block("Movement", movement_operations());
  block("Arrangement", arrangement_operations());
  block("Lookup", lookup_operations());
  block("Creation", creation_operations());
  block("Gradients", gradient_operations());
  return page;
}

}  // namespace heed
