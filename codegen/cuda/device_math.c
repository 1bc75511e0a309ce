// Functions of the C library for GPUs, which have none: f64, to a few units in the last place. Compiled to LLVM IR when heed is built and
// linked into the kernels that call them (device_math.h).
typedef unsigned long long Word;

static Word bits_of(double x) { return __builtin_bit_cast(Word, x); }
static double real_of(Word x) { return __builtin_bit_cast(double, x); }
static double magnitude(double x) { return __builtin_fabs(x); }
static double signed_as(double x, double sign) { return __builtin_copysign(x, sign); }
static double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
static int is_nan(double x) { return x != x; }

static const double infinity = __builtin_inf();
static const double pi = 3.14159265358979323846, half_pi = 1.57079632679489661923;
static const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;

static double power_of_two(int exponent) { return real_of((Word)(exponent + 1023) << 52); }

// exp(x + rest)
static double exp_of_sum(double x, double rest) {
  if (is_nan(x)) return x;
  if (x > 709.8) return infinity;
  if (x < -745.2) return 0;
  double n = __builtin_rint(x * 1.44269504088896340736);
  double r = fused(-n, ln2_low, fused(-n, ln2_high, x)) + rest;
  double sum = 1.0 / 6227020800;  // 1 / 13!
  const double inverse[] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
                            1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2,      1,           1};
#pragma unroll
  for (int k = 0; k < 13; ++k) sum = fused(sum, r, inverse[k]);
  int half = (int)n / 2;
  return sum * power_of_two(half) * power_of_two((int)n - half);
}

double exp(double x) { return exp_of_sum(x, 0); }

double expm1(double x) {
  if (magnitude(x) > 0.35) return exp(x) - 1;
  double sum = 1.0 / 1307674368000;  // 1 / 15!
  const double inverse[] = {1.0 / 87178291200, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                            1.0 / 5040,        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2};
#pragma unroll
  for (int k = 0; k < 13; ++k) sum = fused(sum, x, inverse[k]);
  return fused(sum * x, x, x);
}

// log(x) of a positive finite number as a sum of two.
static double log_of(double x, double* rest) {
  int exponent = 0;
  if (x < 0x1p-1022) x *= 0x1p54, exponent = -54;
  Word word = bits_of(x) - bits_of(0x1.6a09e667f3bcdp-1);
  int shift = (int)((long long)word >> 52);
  exponent += shift;
  double m = real_of(bits_of(x) - ((Word)(long long)shift << 52));  // in sqrt(1/2) … sqrt(2)
  double f = (m - 1) / (m + 1), s = f * f;
  double lost = fused(-f, m, (m - 1) - f) / (m + 1);  // f + lost is nearer to the quotient
  double sum = 1.0 / 23;
#pragma unroll
  for (int k = 21; k >= 3; k -= 2) sum = fused(sum, s, 1.0 / k);
  double high = exponent * ln2_high, low = fused(2 * f * s, sum, 2 * lost + exponent * ln2_low);
  double total = high + 2 * f;
  *rest = magnitude(high) > magnitude(2 * f) ? (high - total) + 2 * f + low : (2 * f - total) + high + low;
  return total;
}

double log(double x) {
  if (is_nan(x) || x == infinity) return x;
  if (x == 0) return -infinity;
  if (x < 0) return __builtin_nan("");
  double rest, total = log_of(x, &rest);
  return total + rest;
}

double log1p(double x) {
  double u = 1 + x;
  if (u == 1 || is_nan(x) || x == infinity) return x;
  if (u <= 0) return log(u);
  return log(u) * (x / (u - 1));
}

double tanh(double x) {
  double a = magnitude(x);
  if (is_nan(x)) return x;
  if (a > 22) return signed_as(1, x);
  double t = expm1(2 * a);
  return signed_as(t / (t + 2), x);
}

// x = quarters * pi / 2 + r; exact enough up to about 1e9.
static double reduced(double x, int* quarters) {
  double n = __builtin_rint(x * 0.63661977236758134308);
  double r = fused(-n, 1.57079632679489655800e+00, x);
  r = fused(-n, 6.12323399573676603587e-17, r);
  *quarters = (int)(long long)n & 3;
  return r;
}
static double sine_near_zero(double r) {
  double z = r * r, sum = 1.0 / 355687428096000;  // 1 / 17!
  const double inverse[] = {-1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6};
#pragma unroll
  for (int k = 0; k < 7; ++k) sum = fused(sum, z, inverse[k]);
  return fused(sum * z, r, r);
}
static double cosine_near_zero(double r) {
  double z = r * r, sum = -1.0 / 6402373705728000;  // 1 / 18!
  const double inverse[] = {1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -1.0 / 2};
#pragma unroll
  for (int k = 0; k < 8; ++k) sum = fused(sum, z, inverse[k]);
  return fused(sum, z, 1);
}
double sin(double x) {
  int quarters;
  double r = reduced(x, &quarters);
  double value = quarters & 1 ? cosine_near_zero(r) : sine_near_zero(r);
  return quarters & 2 ? -value : value;
}
double cos(double x) {
  int quarters;
  double r = reduced(x, &quarters);
  double value = quarters & 1 ? sine_near_zero(r) : cosine_near_zero(r);
  return (quarters + 1) & 2 ? -value : value;
}
double tan(double x) { return sin(x) / cos(x); }

double atan(double x) {
  double a = magnitude(x), base = 0, sign = 1;
  if (a > 1) a = 1 / a, base = half_pi, sign = -1;
  double offset = 0, y = a;
  if (y > 0.41421356237309503) offset = half_pi / 2, y = (y - 1) / (y + 1);
  y = y / (1 + __builtin_sqrt(fused(y, y, 1)));  // half of the angle
  double z = y * y, sum = -1.0 / 27;
#pragma unroll
  for (int k = 25; k >= 3; k -= 2) sum = fused(sum, z, k % 4 == 1 ? 1.0 / k : -1.0 / k);
  double angle = 2 * fused(sum * z, y, y);
  return signed_as(base + sign * (offset + angle), x);
}
double asin(double x) { return magnitude(x) > 1 ? __builtin_nan("") : atan(x / __builtin_sqrt((1 - x) * (1 + x))); }
double acos(double x) { return magnitude(x) > 1 ? __builtin_nan("") : 2 * atan(__builtin_sqrt((1 - x) / (1 + x))); }
double atan2(double y, double x) {
  if (is_nan(x) || is_nan(y)) return x + y;
  int behind = (bits_of(x) >> 63) != 0;
  double angle;
  if (y == 0)
    angle = 0;
  else if (magnitude(x) == infinity && magnitude(y) == infinity)
    angle = half_pi / 2;
  else
    angle = atan(magnitude(y) / magnitude(x));
  return signed_as(behind ? pi - angle : angle, y);
}

double pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (is_nan(x) || is_nan(y)) return x + y;
  double a = magnitude(x);
  int is_whole = __builtin_trunc(y) == y, is_odd = is_whole && __builtin_trunc(y / 2) * 2 != y && magnitude(y) < 0x1p53;
  double sign = x < 0 || (x == 0 && bits_of(x) >> 63) ? (is_odd ? -1 : 1) : 1;
  if (magnitude(y) == infinity) return a == 1 ? 1 : (a > 1) == (y > 0) ? infinity : 0;
  if (a == 0) return y > 0 ? signed_as(0, sign) : signed_as(infinity, sign);
  if (a == infinity) return y > 0 ? signed_as(infinity, sign) : signed_as(0, sign);
  if (x < 0 && !is_whole) return __builtin_nan("");
  double rest, high = log_of(a, &rest);
  double product = y * high, lost = fused(y, high, -product) + y * rest;
  return sign * exp_of_sum(product, magnitude(product) < 800 ? lost : 0);
}

double erf(double x) {
  double a = magnitude(x);
  if (is_nan(x)) return x;
  if (a > 6) return signed_as(1, x);
  if (a < 2.5) {  // 2 / sqrt(pi) exp(-x²) times the sum of 2^n x^(2n+1) / (1 · 3 · … · (2n+1)), all positive
    double term = a, sum = a;
    for (int n = 1; n < 60; ++n) {
      term *= 2 * a * a / (2 * n + 1);
      sum += term;
    }
    return signed_as(1.12837916709551257390 * exp(-a * a) * sum, x);
  }
  double fraction = 0;  // of the complement, from its far end
  for (int n = 60; n >= 1; --n) fraction = n / 2.0 / (a + fraction);
  return signed_as(1 - exp(-a * a) * 0.56418958354775628695 / (a + fraction), x);
}

double fmod(double x, double y) {
  double a = magnitude(x), b = magnitude(y);
  if (is_nan(x) || is_nan(y) || a == infinity || b == 0) return __builtin_nan("");
  // Multiples of b by powers of two are taken away from the largest on: every difference is exact.
  while (a >= b) {
    int distance = (int)(bits_of(a) >> 52) - (int)(bits_of(b) >> 52);
    double multiple = b;
    if (bits_of(b) >> 52 == 0) {  // below the normal numbers: by doubling
      while (multiple * 2 <= a) multiple *= 2;
    } else if (distance > 0) {
      multiple = real_of(bits_of(b) + ((Word)distance << 52));
      if (multiple > a) multiple = real_of(bits_of(multiple) - ((Word)1 << 52));
    }
    a -= multiple;
  }
  return signed_as(a, x);
}
