// What a subcommand of heed is: a name, a line of help, an example, its options and what it does.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace heed {

enum ExitStatus : int {
  success = 0,
  user_mistake = 1,  // of the model, the input, a file
  wrong_usage = 2,   // arguments missing
  own_fault = 70,
  interrupted = 130,
};

// Ends the command with a message that is already complete: "error: " is put before it.
struct UserError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Command {
  std::string name, purpose, example;
  // Declares options and returns what runs after they were parsed; the result is the exit status.
  std::function<std::function<int()>(CLI::App&)> declare;
};

Command check_command();
Command fmt_command();
Command opt_command();
Command dot_command();
Command explain_command();
Command run_command();
Command train_command();
Command eval_command();
Command gradcheck_command();
Command bench_command();
Command build_command();
Command devices_command();

}  // namespace heed
