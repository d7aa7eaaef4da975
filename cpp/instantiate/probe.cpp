// SPDX-License-Identifier: BSD-3-Clause
#include "kelman/core/probe.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <new>

#include "kelman/core/pack.hpp"

namespace kelman {

namespace {

using Clock = std::chrono::steady_clock;
using Wide = Pack<double, 4 * register_lanes<double>>;

double since(Clock::time_point before) { return std::chrono::duration<double>(Clock::now() - before).count(); }

/// The sum of a block, so that every cache line is read.
double read_all(const double* block, std::size_t count) {
  Wide sum(0.0);
  for (std::size_t i = 0; i < count; i += lanes<Wide>) sum += load<Wide>(block + i);
  double total = 0.0;
  for (int l = 0; l < lanes<Wide>; ++l) total += lane(sum, l);
  return total;
}

void write_all(double* block, std::size_t count, double value) {
  for (std::size_t i = 0; i < count; i += lanes<Wide>) store(block + i, Wide(value));
}

void stream_all(double* block, std::size_t count, double value) {
  for (std::size_t i = 0; i < count; i += lanes<Wide>) stream(block + i, Wide(value));
  stream_fence();
}

}  // namespace

double fma_rate(double seconds) {
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
    const double rate = 2.0 * static_cast<double>(chains) * rounds / since(before) * 1e-9;
    best = rate > best ? rate : best;
  } while (since(start) < seconds);
  double sum = 0.0;
  for (const double value : x) sum += value;
  a = sum;  // the work is used, so that it cannot be left out
  return best;
}

double memory_rate(Traffic kind, std::size_t megabytes, double seconds) {
  constexpr std::align_val_t line{64};
  const std::size_t count = megabytes * 1000000 / sizeof(double) / lanes<Wide> * lanes<Wide>;
  const auto release = [](double* block) { ::operator delete[](block, line); };
  const std::unique_ptr<double[], decltype(release)> block(new (line) double[count], release);
  write_all(block.get(), count, 1.0);
  volatile double used = 0.0;
  double best = 0.0;
  const auto start = Clock::now();
  do {
    const auto before = Clock::now();
    if (kind == Traffic::read) {
      used = read_all(block.get(), count);
    } else if (kind == Traffic::write) {
      write_all(block.get(), count, used);
    } else {
      stream_all(block.get(), count, used);
    }
    const double rate = static_cast<double>(count * sizeof(double)) / since(before) * 1e-9;
    best = rate > best ? rate : best;
  } while (since(start) < seconds);
  return best;
}

}  // namespace kelman
