// SPDX-License-Identifier: BSD-3-Clause
// The ground that the kernels stand on: fields, workspaces, the loop over series, statuses.
#include <doctest/doctest.h>

#include <atomic>
#include <cfenv>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "bindings/cpu.hpp"
#include "kelman/core/field.hpp"
#include "kelman/core/parallel.hpp"
#include "kelman/core/status.hpp"
#include "kelman/core/workspace.hpp"

using kelman::Field;
using kelman::Index;
using kelman::Interrupt;

TEST_CASE("a stride of zero means the same for all") {
  std::vector<double> values(24);
  std::iota(values.begin(), values.end(), 0.0);
  const Field<const double> constant{values.data(), 0, 0};
  const Field<const double> varying{values.data(), 0, 4};
  const Field<const double> both{values.data(), 12, 4};
  CHECK(*constant.at(7, 5) == 0.0);
  CHECK(*varying.at(7, 5) == 20.0);
  CHECK(*both.at(1, 2) == 20.0);
  CHECK(constant.shared());
  CHECK(constant.constant());
  CHECK(varying.shared());
  CHECK_FALSE(varying.constant());
  CHECK_FALSE(both.shared());
  CHECK_FALSE(static_cast<bool>(Field<double>{}));
}

TEST_CASE("scratch arrays are zeroed, aligned and apart") {
  kelman::Workspace workspace;
  for (const Index count : {Index{0}, Index{1}, Index{3}, Index{1000}}) {
    const auto* first = workspace.take<double>(count);
    const auto* second = workspace.take<float>(count);
    CHECK(reinterpret_cast<std::uintptr_t>(first) % kelman::Workspace::alignment == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(second) % kelman::Workspace::alignment == 0);
    CHECK(static_cast<const void*>(first) != static_cast<const void*>(second));
    for (Index i = 0; i < count; ++i) {
      CHECK(first[i] == 0.0);
      CHECK(second[i] == 0.0F);
    }
  }
}

TEST_CASE("every series is computed once, whatever the threads and the grain") {
  for (const int threads : {1, 2, 4, 7}) {
    for (const Index grain : {Index{0}, Index{1}, Index{3}, Index{100}}) {
      for (const Index count : {Index{0}, Index{1}, Index{17}, Index{64}}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        std::atomic<bool> worker_in_range{true};
        Interrupt stop;
        const Index workers = kelman::worker_count(count, grain, threads);
        kelman::parallel_chunks(count, grain, threads, stop, [&](Index begin, Index end, Index worker) {
          if (worker < 0 || worker >= workers) worker_in_range = false;
          for (Index i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
        CHECK(worker_in_range);
        for (const auto& visit : visits) CHECK(visit == 1);
      }
    }
  }
}

TEST_CASE("an exception in one thread reaches the caller") {
  for (const int threads : {1, 3}) {
    Interrupt stop;
    const auto body = [](Index begin, Index, Index) {
      if (begin == 5) throw std::runtime_error("out of memory");
    };
    CHECK_THROWS_AS(kelman::parallel_chunks(20, 1, threads, stop, body), std::runtime_error);
  }
}

TEST_CASE("calls at the same time and calls within calls share no helper") {
  std::atomic<int> done{0};
  const auto call = [&done] {
    for (int repeat = 0; repeat < 50; ++repeat) {
      Interrupt stop;
      kelman::parallel_chunks(4, 1, 3, stop, [&](Index, Index, Index) {
        Interrupt inner;
        kelman::parallel_chunks(6, 1, 3, inner,
                                [&](Index begin, Index end, Index) { done += static_cast<int>(end - begin); });
      });
    }
  };
  std::vector<std::thread> callers;
  for (int k = 0; k < 4; ++k) callers.emplace_back(call);
  for (std::thread& caller : callers) caller.join();
  CHECK(done == 4 * 50 * 4 * 6);
}

TEST_CASE("helpers compute with the caller's rounding") {
  const auto thirds = [](Index, Index, Index) {
    const volatile double one = 1.0, three = 3.0;
    return one / three;
  };
  for (const int mode : {FE_DOWNWARD, FE_UPWARD, FE_TONEAREST}) {
    std::fesetround(mode);
    std::atomic<int> other{0};
    const double expected = thirds(0, 0, 0);
    Interrupt stop;
    kelman::parallel_chunks(64, 1, 4, stop, [&](Index begin, Index end, Index worker) {
      if (thirds(begin, end, worker) != expected) ++other;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    });
    CHECK(other == 0);
  }
}

TEST_CASE("a worker makes its own things once, when it has work") {
  std::atomic<int> made{0};
  struct Own {
    explicit Own(std::atomic<int>& count) { ++count; }
    Index chunks = 0;
  };
  kelman::PerWorker<Own> workers(3);
  CHECK(made == 0);
  for (int k = 0; k < 4; ++k) ++workers.of(1, made).chunks;
  CHECK(made == 1);
  CHECK(workers.of(1, made).chunks == 4);
}

TEST_CASE("an interrupt is polled from its own thread and stops the work") {
  static int polls = 0;
  polls = 0;
  Interrupt stop([] { return ++polls > 0; });
  std::atomic<int> done{0};
  kelman::parallel_chunks(1'000'000, 1, 2, stop, [&](Index, Index, Index) {
    ++done;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  CHECK(stop.requested());
  CHECK(polls == 1);
  CHECK(done < 1000);
}

TEST_CASE("small work stays on the calling thread") {
  CHECK(kelman::useful_threads(8, 0.0) == 1);
  CHECK(kelman::useful_threads(8, 1e4) == 1);
  CHECK(kelman::useful_threads(8, 1e12) == 8);
  CHECK(kelman::useful_threads(1, 1e12) == 1);
}

TEST_CASE("the first trouble of a series is the one that is kept") {
  kelman::Outcome outcome;
  CHECK(outcome.usable());
  outcome.report(kelman::Status::impossible_observation, 3);
  CHECK(outcome.usable());
  outcome.report(kelman::Status::non_finite, 4);
  CHECK(outcome.status == kelman::Status::impossible_observation);
  CHECK(outcome.at == 3);
}

TEST_CASE("a better instruction set runs only where the plainer ones do") {
  bool before = true;
  for (const auto& level : kelman::cpu::levels) {
    const bool now = level.runs();
    CHECK((before || !now));
    before = now;
  }
}
