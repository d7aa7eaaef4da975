// SPDX-License-Identifier: BSD-3-Clause
// A measure of the machine for the benchmarks: how many multiply-adds this variant's instruction set reaches.
#include <pybind11/pybind11.h>

#include <array>
#include <chrono>
#include <cstddef>

namespace py = pybind11;

namespace kelman::bindings {

namespace {

/// GFLOP/s of x = a x + b on enough independent chains to fill the pipeline, in registers; best of a few rounds.
double fma_rate(double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t chains = 80;
  constexpr int rounds = 20000;
  std::array<double, chains> x{};
  volatile double a = 0.999;
  volatile double b = 1e-3;
  const double a_value = a;
  const double b_value = b;
  double best = 0.0;
  const auto start = Clock::now();
  do {
    const auto before = Clock::now();
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < chains; ++i) x[i] = a_value * x[i] + b_value;
    }
    const double elapsed = std::chrono::duration<double>(Clock::now() - before).count();
    const double rate = 2.0 * static_cast<double>(chains) * rounds / elapsed * 1e-9;
    best = rate > best ? rate : best;
  } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  double sum = 0.0;
  for (const double value : x) sum += value;
  a = sum;  // the work is used, so that it cannot be left out
  return best;
}

}  // namespace

void register_probe(py::module_& m) {
  m.def(
      "fma_rate", [](double seconds) { return fma_rate(seconds); }, py::arg("seconds"),
      py::call_guard<py::gil_scoped_release>(),
      "GFLOP/s of float64 multiply-adds in registers on one thread, with this variant's instructions.");
}

}  // namespace kelman::bindings
