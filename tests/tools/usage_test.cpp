// Exit status and messages of wrong usage.
#include <gtest/gtest.h>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

TEST(Usage, UnknownNamesGetTheNearestKnownOne) {
  Outcome option = run_heed({"devices", "--jsn"});
  EXPECT_EQ(option.status, 1);
  EXPECT_EQ(option.errors, "error: unknown option `--jsn` of `heed devices`; did you mean `--json`?\n");
  Outcome command = run_heed({"devcies"});
  EXPECT_EQ(command.status, 1);
  EXPECT_EQ(command.errors, "error: unknown command `devcies`; did you mean `devices`?\n");
}

TEST(Usage, AMissingArgumentIsWrongUsage) {
  EXPECT_EQ(run_heed({}).status, 2);
  Outcome outcome = run_heed({"check"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.errors.find("FILE"), std::string::npos) << outcome.errors;
}

TEST(Usage, HelpHasAnExample) {
  for (std::string command : {"check", "fmt", "opt", "dot", "explain", "run", "train", "eval", "gradcheck", "bench", "build", "devices"}) {
    Outcome outcome = run_heed({command, "--help"});
    EXPECT_EQ(outcome.status, 0) << command;
    EXPECT_NE(outcome.output.find("heed " + command), std::string::npos) << command;
    EXPECT_NE(outcome.output.find("Example"), std::string::npos) << command;
  }
}

TEST(Usage, VersionNamesHeed) { EXPECT_EQ(run_heed({"--version"}).output.substr(0, 5), "heed "); }

}  // namespace
}  // namespace heed
