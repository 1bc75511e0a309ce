// The heed command: a table of subcommands, and what every one of them shares: help, exit status, reports of mistakes and of own faults.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include "nearest_name.h"
#include "tools/command.h"
#include "tools/fault_report.h"
#include "tools/version.h"

namespace heed {
namespace {

using MakeCommand = Command (*)();
constexpr MakeCommand commands[] = {check_command, fmt_command,  opt_command,       dot_command,   explain_command, run_command,
                                    train_command, eval_command, gradcheck_command, bench_command, build_command,   devices_command};

// The options an application knows, as written: "--size", "-v".
std::vector<std::string> known_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

int report_unknown(const CLI::App& app) {
  const CLI::App* used = &app;
  if (!app.get_subcommands().empty()) used = app.get_subcommands().front();
  std::vector<std::string> extras = used->remaining();
  if (extras.empty()) extras = app.remaining();
  std::string argument = extras.empty() ? "" : extras.front().substr(0, extras.front().find('='));
  bool is_flag = argument.starts_with("-");
  std::vector<std::string> known;
  if (is_flag) known = known_options(*used);
  if (!is_flag && used == &app)
    for (const CLI::App* each : app.get_subcommands([](const CLI::App*) { return true; })) known.push_back(each->get_name());
  std::string what = is_flag ? "option" : used == &app ? "command" : "argument";
  fmt::print(stderr, "error: unknown {} `{}`{}{}\n", what, argument, used == &app ? "" : fmt::format(" of `heed {}`", used->get_name()),
             suggestion(argument, known));
  return user_mistake;
}

int run(int count, char** arguments) {
  CLI::App app("A compiler and runtime for attention networks", "heed");
  app.set_version_flag("--version", version_text());
  app.footer("`heed COMMAND --help` shows a command's options and an example.");
  app.require_subcommand(1);
  app.allow_extras();  // So that an unknown flag is reported with the nearest known one.
  int status = success;
  for (MakeCommand make : commands) {
    Command command = make();
    CLI::App* subcommand = app.add_subcommand(command.name, command.purpose);
    subcommand->footer("Example:\n  " + command.example);
    subcommand->allow_extras();
    auto action = command.declare(*subcommand);
    subcommand->final_callback([&status, subcommand, &app, action] {
      status = subcommand->remaining_size() || app.remaining_size() ? report_unknown(app) : action();
    });
  }
  try {
    app.parse(count, arguments);
  } catch (const CLI::RequiredError& error) {
    if (app.remaining_size()) return report_unknown(app);
    fmt::print(stderr, "error: {}\nhelp: heed --help\n", error.what());
    return wrong_usage;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    fmt::print(stderr, "error: {}\n", error.what());
    return wrong_usage;
  }
  return status;
}

}  // namespace
}  // namespace heed

int main(int count, char** arguments) {
  try {
    int status = heed::run(count, arguments);
    if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return status;
    fmt::print(stderr, "error: cannot write to standard output: {}\n", std::strerror(errno));
    return heed::user_mistake;
  } catch (const heed::UserError& error) {
    if (*error.what()) fmt::print(stderr, "error: {}\n", error.what());
    return heed::user_mistake;
  } catch (const std::logic_error& error) {
    return heed::report_own_fault(error.what(), count, arguments);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\nhelp: smaller sizes or a smaller batch\n");
    return heed::user_mistake;
  } catch (const std::exception& error) {  // Files, devices, inputs: the message names the thing.
    fmt::print(stderr, "error: {}\n", error.what());
    return heed::user_mistake;
  }
}
