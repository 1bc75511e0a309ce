// heed fmt: writes the standard layout.
#include <fmt/format.h>

#include <cstdio>

#include "ir/language/format.h"
#include "runtime/files.h"
#include "tools/command.h"
#include "tools/options.h"

namespace heed {

Command fmt_command() {
  return {"fmt", "writes files in the standard layout", "heed fmt --check examples/*.heed", [](CLI::App& app) -> std::function<int()> {
            struct Options {
              std::vector<std::string> files;
              bool check = false;
            };
            auto options = std::make_shared<Options>();
            app.add_option("FILE", options->files, "files to write anew")->required();
            app.add_flag("--check", options->check,
                         "only names the files that are not in the standard layout; exit status 1 if there is one");
            return [options] {
              int status = success;
              for (const std::string& path : options->files) {
                SourceFile source{path, std::string(text_of(read_file(path)))};
                Diagnostics diagnostics;
                std::string text = format(source, diagnostics);
                fmt::print(stderr, "{}", diagnostics.text(standard_error_is_terminal()));
                if (diagnostics.has_errors()) {
                  status = user_mistake;
                } else if (text != source.text) {
                  fmt::print("{}\n", path);
                  if (options->check)
                    status = user_mistake;
                  else
                    replace_file(path, text);
                }
              }
              return status;
            };
          }};
}

}  // namespace heed
