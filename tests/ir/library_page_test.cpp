// docs/library.md is what the library's comments say; HEED_BLESS=1 writes it anew.
#include "ir/language/library_page.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace heed {
namespace {

TEST(LibraryPage, IsCurrent) {
  const std::string path = HEED_SOURCE_DIR "/docs/library.md";
  if (std::getenv("HEED_BLESS")) std::ofstream(path) << library_page();
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_TRUE(text.str() == library_page()) << "docs/library.md is not current: run the test with HEED_BLESS=1";
}

}  // namespace
}  // namespace heed
