#include "tests/c/test.h"
TEST(x) {}
