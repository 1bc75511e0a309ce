// Mistakes and warnings of model files: collected, then printed with the source line, a caret under the operand and the mend.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace heed {

struct SourceFile {
  std::string name;  // as the user wrote it, or `nn` (standard library)
  std::string text;
};

struct Span {  // of one line
  const SourceFile* file = nullptr;
  int line = 0, column = 0, length = 1;  // from 1; columns in bytes
};

struct Diagnostic {
  enum class Severity { error, warning } severity;
  Span span;
  std::string message;  // lower case, no full stop, both offending values
  std::string help;     // the mend, where one is likely
};

class Diagnostics {
 public:
  void error(Span span, std::string message, std::string help = "");
  void warning(Span span, std::string message, std::string help = "");
  void add(const Diagnostics& others);
  void keep(std::shared_ptr<const void> owner) { owners_.push_back(std::move(owner)); }  // of the sources that spans point into
  bool has_errors() const;
  const std::vector<Diagnostic>& all() const { return all_; }  // by file and line, equal ones once
  std::string text(bool colour) const;

 private:
  std::vector<Diagnostic> all_;
  std::vector<std::shared_ptr<const void>> owners_;
};

}  // namespace heed
