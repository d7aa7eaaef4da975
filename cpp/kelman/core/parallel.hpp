// SPDX-License-Identifier: BSD-3-Clause
// Threads over series: those of the crew, inline when the work is small, stoppable.
//
// The series are cut into chunks that the workers take in turn from a counter. A series never depends on which worker
// computes it, nor on the chunk it is in, so that results are the same to the bit for any number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "kelman/core/crew.hpp"
#include "kelman/core/scalar.hpp"

namespace kelman {

/// Asks a long computation to stop. The calling thread polls `poll` (for example for Ctrl-C) at most every 50 ms;
/// the others read the flag. Kernels call `check()` every few time steps and return early when it is true.
class Interrupt {
 public:
  using Poll = bool (*)();

  /// Never stops.
  Interrupt() = default;

  /// Stops when `poll`, called from the constructing thread only, returns true.
  explicit Interrupt(Poll poll) noexcept : poll_(poll) {}

  /// Whether a stop was requested; safe from every thread.
  [[nodiscard]] bool requested() const noexcept { return flag_.load(std::memory_order_relaxed); }

  /// Polls if it is time to, and tells whether to stop; safe from every thread.
  [[nodiscard]] bool check() noexcept {
    if (poll_ != nullptr && std::this_thread::get_id() == owner_) {
      const auto now = Clock::now();
      if (now - last_ > std::chrono::milliseconds(50)) {
        last_ = now;
        if (poll_()) {
          flag_.store(true, std::memory_order_relaxed);
        }
      }
    }
    return requested();
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::atomic<bool> flag_{false};
  Poll poll_ = nullptr;
  std::thread::id owner_ = std::this_thread::get_id();
  Clock::time_point last_ = Clock::now();
};

/// How many of `threads` threads are worth starting for work of about `operations` floating-point operations:
/// waking one costs tens of microseconds, so that small work stays on the calling thread.
[[nodiscard]] inline int useful_threads(int threads, double operations) noexcept {
  constexpr double per_thread = 2e5;
  const double affordable = operations / per_thread;
  return affordable < 2 ? 1 : std::max(1, static_cast<int>(std::min(static_cast<double>(threads), affordable)));
}

/// Number of workers that `parallel_chunks` will use.
[[nodiscard]] inline Index worker_count(Index count, Index grain, int threads) noexcept {
  const Index chunks = (count + grain - 1) / std::max<Index>(grain, 1);
  return std::clamp<Index>(chunks, 1, std::max(threads, 1));
}

/// What `parallel_chunks` calls for a chunk; the body behind `context` is compiled once, whoever runs it.
using ChunkCall = void (*)(const void* context, Index begin, Index end, Index worker);

/// As `parallel_chunks`, for a body behind a pointer.
inline void parallel_calls(Index count, Index grain, int threads, Interrupt& stop, ChunkCall call,
                           const void* context) {
  grain = std::max<Index>(grain, 1);
  std::atomic<Index> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  const auto work = [&](Index worker) noexcept {
    while (!stop.check() && !failed.load(std::memory_order_relaxed)) {
      const Index begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) {
        return;
      }
      try {
        call(context, begin, std::min(begin + grain, count), worker);
      } catch (...) {
        if (!failed.exchange(true)) {
          failure = std::current_exception();
        }
      }
    }
  };
  const Index workers = worker_count(count, grain, threads);
  std::vector<detail::Helper*> helpers;
  helpers.reserve(static_cast<std::size_t>(workers - 1));
  for (Index worker = 1; worker < workers; ++worker) {
    detail::Helper* const helper = detail::Crew::get().take();
    if (helper == nullptr) {
      break;  // the machine gives no more threads: those that run take all chunks
    }
    helpers.push_back(helper);
    helper->begin([](const void* body, Index own) { (*static_cast<const decltype(work)*>(body))(own); }, &work, worker);
  }
  work(0);
  for (detail::Helper* const helper : helpers) {
    helper->finish();
    detail::Crew::get().give_back(helper);
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

/// Calls `body(begin, end, worker)` for chunks of at most `grain` that cover [0, count). An exception of the body (out
/// of memory: nothing else throws in a kernel) ends the work of all threads and is thrown here. `worker` is in [0,
/// worker_count(count, grain, threads)); the calling thread is worker 0.
template <class Body>
void parallel_chunks(Index count, Index grain, int threads, Interrupt& stop, const Body& body) {
  const ChunkCall call = [](const void* context, Index begin, Index end, Index worker) {
    (*static_cast<const Body*>(context))(begin, end, worker);
  };
  parallel_calls(count, grain, threads, stop, call, &body);
}

/// What each worker makes for itself when it takes its first chunk: memory that it is the first to touch.
template <class T>
class PerWorker {
 public:
  explicit PerWorker(Index workers) : own_(static_cast<std::size_t>(workers)) {}

  /// That of this worker, made from these arguments.
  template <class... Arguments>
  T& of(Index worker, Arguments&&... arguments) {
    std::optional<T>& own = own_[static_cast<std::size_t>(worker)];
    return own ? *own : own.emplace(std::forward<Arguments>(arguments)...);
  }

 private:
  std::vector<std::optional<T>> own_;
};

}  // namespace kelman
