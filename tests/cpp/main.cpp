// SPDX-License-Identifier: BSD-3-Clause
// The program around every C++ test; a new test is a new file beside this one.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
