// Ctrl-C as a flag: the first one asks for an end, the second one ends at once. So do a terminal that goes and a reader of our output
// that is there no longer; writing to it fails then, as often as it is tried.
#include "runtime/interrupt.h"

#include <csignal>

namespace heed {
namespace {

std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch nothing else");

}  // namespace

InterruptFlag::InterruptFlag() {
  flag = false;
  struct sigaction action{};
  action.sa_handler = [](int) { flag = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction usual{};
  if (sigaction(SIGHUP, nullptr, &usual) == 0 && usual.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup ignores it
  action.sa_flags = SA_RESTART;
  sigaction(SIGPIPE, &action, nullptr);
}

InterruptFlag::~InterruptFlag() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGPIPE, SIG_DFL);
}

const std::atomic<bool>& InterruptFlag::raised() const { return flag; }

}  // namespace heed
