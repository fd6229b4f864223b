// main() of the core's own tests: runs what the test file has registered, exits with 1 on a
// failure.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
