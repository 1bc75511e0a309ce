// Symbolic sizes: normal form, division, printing.
#include "ir/language/size.h"

#include <gtest/gtest.h>

namespace heed {
namespace {

const Size n = Size::symbol("N"), k = Size::symbol("K"), w = Size::symbol("width");

TEST(Size, ComparesAsAFormula) {
  EXPECT_EQ(n + k, k + n);
  EXPECT_EQ((n + k) * (n - k), n * n - k * k);
  EXPECT_EQ(n - n, Size(0));
  EXPECT_NE(n, Size(128));
}

TEST(Size, Prints) {
  EXPECT_EQ((Size(2) * w).text(), "2*width");
  EXPECT_EQ((n - k + Size(1)).text(), "N - K + 1");
  EXPECT_EQ((Size(1) - k + n * k).text(), "K*N - K + 1");
  EXPECT_EQ(Size(0).text(), "0");
  EXPECT_EQ(exact_quotient(n, Size(2)).text(), "N/2");
  EXPECT_EQ(exact_quotient(n * w, Size(2) * k).text(), "N*width/2/K");
  EXPECT_EQ(exact_quotient(Size(1), k).text(), "1/K");
  EXPECT_EQ(exact_quotient(n, k + Size(1)).text(), "N / (K + 1)");
}

TEST(Size, DividesExactly) {
  EXPECT_EQ(exact_quotient(Size(3) * w, Size(3)), w);
  EXPECT_EQ(exact_quotient(n * k, n), k);
  EXPECT_EQ(exact_quotient(n * n - k * k, n - k), n + k);
  EXPECT_EQ(exact_quotient(n * w, n * Size(2)) + exact_quotient(w, Size(2)), w);
  EXPECT_EQ(exact_quotient(n, k) * k, n);
  EXPECT_EQ(exact_quotient(n, k + w), exact_quotient(n, w + k));
  EXPECT_EQ(exact_quotient(n, Size(2)) * Size(2), n);
}

TEST(Size, DividesRoundingDown) {
  EXPECT_EQ(floored_quotient(Size(-3), Size(2)), Size(-2));
  EXPECT_EQ(floored_quotient(Size(4) * w, Size(2)), Size(2) * w);
  EXPECT_EQ(floored_quotient(n, Size(2)).text(), "N // 2");
}

}  // namespace
}  // namespace heed
