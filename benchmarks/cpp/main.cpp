// SPDX-License-Identifier: BSD-3-Clause
// Micro-benchmarks of the core, without Python: thread processor time of each row beside its goal, and the share of the
// multiply-add rate that this instruction set reaches on this machine.
//
//   kelman_benchmarks_avx2 [NAME...]        time the rows (all, or those whose name begins so)
//   kelman_benchmarks_avx2 --count NAME     run a row once, small, inside kelman_counted(): for callgrind's toggle
//   kelman_benchmarks_avx2 --list           names of the rows that are counted
//   kelman_benchmarks_avx2 --compiler       what compiled them
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "batch.hpp"
#include "kelman/core/transpose.hpp"

namespace {

using benchmarks::Batch;
using benchmarks::Kind;
using kelman::Index;

/// Nanoseconds for a series-step that were reached once on AVX-512 and AVX2; 0: none is set.
struct Goal {
  double avx512;
  double avx2;
};

struct Row {
  const char* name;
  Goal goal;
  Index n, m, N, T;
  Kind kind;
  void (Batch::*verb)();
};

// One core at 4.1 GHz or so; the smallest sizes that fill the caches as a large batch does.
constexpr Row rows[] = {
    {"loglik-n1m1-gaps", {0.7, 1.5}, 1, 1, 1024, 500, Kind::gaps, &Batch::loglik},
    {"loglik-n2m1-gaps", {1.3, 2.8}, 2, 1, 1024, 500, Kind::gaps, &Batch::loglik},
    {"loglik-n4m2-gaps", {4.5, 9}, 4, 2, 1024, 500, Kind::gaps, &Batch::loglik},
    {"loglik-n4m2-own", {0, 0}, 4, 2, 1024, 500, Kind::own, &Batch::loglik},
    {"loglik-n8m1-gaps", {25, 50}, 8, 1, 256, 500, Kind::gaps, &Batch::loglik},
    {"loglik-n16m4-gaps", {210, 400}, 16, 4, 64, 200, Kind::gaps, &Batch::loglik},
    {"loglik-n32m4-gaps", {1350, 2500}, 32, 4, 32, 100, Kind::gaps, &Batch::loglik},
    {"loglik-n4m2-shared", {1.2, 1.9}, 4, 2, 1024, 500, Kind::shared, &Batch::loglik},
    {"filter-n4m2-shared", {2.0, 2.4}, 4, 2, 4096, 500, Kind::shared, &Batch::filter},
    {"filter-n4m2-gaps", {7.5, 12}, 4, 2, 4096, 500, Kind::gaps, &Batch::filter},
    {"smooth-n4m2-shared", {4, 6}, 4, 2, 4096, 500, Kind::shared, &Batch::smooth},
    {"smooth-n4m2-gaps", {14, 28}, 4, 2, 2048, 500, Kind::gaps, &Batch::smooth},
    {"gradient-n4m2-shared", {3.5, 6.5}, 4, 2, 1024, 500, Kind::shared, &Batch::gradient},
    {"gradient-n4m2-gaps", {13.5, 29}, 4, 2, 256, 500, Kind::gaps, &Batch::gradient},
    {"gradient-n4m2-own", {13.5, 29}, 4, 2, 256, 500, Kind::own, &Batch::gradient},
    {"loglik-n4m2-long", {5.5, 6}, 4, 2, 1, 200000, Kind::shared, &Batch::loglik},
};

double now() {
#ifdef CLOCK_THREAD_CPUTIME_ID
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
#else
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#endif
}

/// The shortest of several runs, in seconds.
double shortest(const std::function<void()>& work, double budget) {
  work();
  double best = 1e300;
  double spent = 0.0;
  for (int run = 0; run < 3 || spent < budget; ++run) {
    const double before = now();
    work();
    const double taken = now() - before;
    best = std::min(best, taken);
    spent += taken;
  }
  return best;
}

/// Operations of one step of the covariance filter on one triangle (n n n for A P, half of it for A P A').
double flops(Index n_, Index m_) {
  const auto n = static_cast<double>(n_);
  const auto m = static_cast<double>(m_);
  return 3 * n * n * n + n * n + 2 * n * n + 2 * n * n * m + n * m * (m + 1) + 2 * n * m * m + n * (n + 1) * m +
         4 * n * m + m * m * m / 3;
}

/// GFLOP/s of x = a x + b in registers.
double fma_rate() {
  using V = kelman::Pack<double, 10 * kelman::register_lanes<double>>;
  constexpr int rounds = 20000;
  V x(0.0);
  volatile double a = 0.999;
  volatile double b = 1e-3;
  const V a_value(static_cast<double>(a));
  const V b_value(static_cast<double>(b));
  const double seconds = shortest(
      [&] {
        V y = x;
        for (int round = 0; round < rounds; ++round) y = kelman::fused(a_value, y, b_value);
        x = y;
      },
      0.2);
  a = kelman::lane(x, 0);
  return 2.0 * kelman::lanes<V> * rounds / seconds * 1e-9;
}

/// Rows of W series to packs and back, in nanoseconds for a number: what a kernel pays for the layout of its input.
double transposition() {
  using V = kelman::Pack<double, kelman::register_lanes<double>>;
  volatile Index size = 1000;  // not known to the compiler, as in the kernels
  const Index count = size;
  constexpr int W = kelman::lanes<V>;
  std::vector<double> in(static_cast<std::size_t>(W * count), 1.0);
  std::vector<double> out(in.size());
  std::array<const double*, W> from{};
  std::array<double*, W> to{};
  for (int l = 0; l < W; ++l) {
    from[static_cast<std::size_t>(l)] = in.data() + l * count;
    to[static_cast<std::size_t>(l)] = out.data() + l * count;
  }
  const auto block = std::make_unique<V[]>(static_cast<std::size_t>(count));
  const double seconds = shortest(
      [&] {
        kelman::gather(from.data(), Index(0), count, block.get());
        kelman::scatter(block.get(), count, to.data(), Index(0));
      },
      0.1);
  return seconds * 1e9 / static_cast<double>(W * count);
}

double goal_of(const Row& row) {
#if defined(__AVX512F__)
  return row.goal.avx512;
#elif defined(__AVX2__)
  return row.goal.avx2;
#else
  static_cast<void>(row);
  return 0.0;
#endif
}

void time_row(const Row& row, double rate) {
  Batch batch(row.n, row.m, row.N, row.T, row.kind);
  const double ns = shortest([&] { (batch.*row.verb)(); }, 0.4) * 1e9 / static_cast<double>(row.N * row.T);
  const double goal = goal_of(row);
  std::printf("%-24s %9.2f ns", row.name, ns);
  if (row.kind != Kind::shared && row.verb == &Batch::loglik) {
    std::printf("  %3.0f%% of %.0f GFLOP/s", 100 * flops(row.n, row.m) / ns / rate, rate);
  }
  if (goal > 0) {
    std::printf("  goal %g: %s", goal, ns <= goal ? "reached" : "missed");
  }
  std::printf("\n");
  std::fflush(stdout);
}

/// What callgrind counts: nothing outside.
extern "C" __attribute__((noinline, visibility("default"))) void kelman_counted(Batch* batch, void (Batch::*verb)()) {
  (batch->*verb)();
}

int count_row(const char* name) {
  for (const Row& row : rows) {
    if (std::strcmp(row.name, name) == 0) {
      const Index N = std::min<Index>(row.N, row.n > 8 ? 16 : 64);
      const Index T = row.N == 1 ? 4000 : (row.n > 8 ? 30 : 100);
      Batch batch(row.n, row.m, N, T, row.kind);
      kelman_counted(&batch, row.verb);
      return 0;
    }
  }
  std::fprintf(stderr, "no such row: %s\n", name);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && arguments[0] == "--list") {
    for (const Row& row : rows) std::printf("%s\n", row.name);
    return 0;
  }
  if (!arguments.empty() && arguments[0] == "--compiler") {
#ifdef __clang__
    std::printf("%s\n", __VERSION__);
#else
    std::printf("GCC %d.%d\n", __GNUC__, __GNUC_MINOR__);
#endif
    return 0;
  }
  if (arguments.size() == 2 && arguments[0] == "--count") {
    return count_row(arguments[1].c_str());
  }
  const double rate = fma_rate();
  std::printf("multiply-adds in registers: %.0f GFLOP/s\n", rate);
  std::printf("%-24s %9.3f ns for a number there and back\n", "transposition", transposition());
  for (const Row& row : rows) {
    const auto chosen = [&](const std::string& name) { return std::string(row.name).rfind(name, 0) == 0; };
    if (arguments.empty() || std::any_of(arguments.begin(), arguments.end(), chosen)) {
      time_row(row, rate);
    }
  }
  return 0;
}
