// SPDX-License-Identifier: BSD-3-Clause
// Prints the best instruction set of this machine; run by Isa.cmake while it configures.
#include <cstdio>

#include "bindings/cpu.hpp"

int main() {
  const char* best = "baseline";
  for (const auto& level : kelman::cpu::levels) {
    if (level.runs()) best = level.name;
  }
  std::puts(best);
}
