// SPDX-License-Identifier: BSD-3-Clause
// Threads that are kept between calls: one that sleeps is sooner at work than a new one, which may also be put behind
// the thread that started it for a whole slice of time.
//
// A call takes helpers out of the crew and gives them back when their work is done, so that calls at the same time, and
// calls within calls, never wait for each other. At most as many as the machine has processors are kept; others end.
//   fork        the child has none of the parent's threads: it begins with an empty crew of its own
//   exit        the crew is never destroyed, and its threads sleep: nothing waits for them
//   signals     go to threads of the program; helpers block all but those that a fault of their own raises
//   arithmetic  rounding and the treatment of tiny numbers are those of the caller, as for a thread it starts
#pragma once

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "kelman/core/scalar.hpp"

#if defined(__unix__) || defined(__APPLE__)
#define KELMAN_POSIX_THREADS
#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): <csignal> has no masks
#endif

namespace kelman::detail {

/// While it lives, threads that are started get no signals but those of their own faults.
class SignalsElsewhere {
 public:
#ifdef KELMAN_POSIX_THREADS
  SignalsElsewhere() noexcept {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&blocked, fault);
    pthread_sigmask(SIG_SETMASK, &blocked, &before_);
  }
  ~SignalsElsewhere() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsElsewhere(const SignalsElsewhere&) = delete;
  SignalsElsewhere& operator=(const SignalsElsewhere&) = delete;

 private:
  sigset_t before_;
#endif
};

/// One thread that sleeps, works when it is told to, and sleeps again. It deletes itself at its end.
class Helper {
 public:
  using Work = void (*)(const void* context, Index worker);

  /// Throws std::system_error where the machine gives no more threads.
  Helper() {
    [[maybe_unused]] const SignalsElsewhere quiet;
    std::thread([this] { live(); }).detach();
  }

  /// Starts the work, which does not throw; `finish` follows.
  void begin(Work work, const void* context, Index worker) {
    std::fegetenv(&arithmetic_);
    work_ = work;
    context_ = context;
    worker_ = worker;
    tell(State::works);
  }

  /// Waits until the work is done: a moment awake, for workers end at nearly the same time.
  void finish() {
    constexpr int looks = 200;
    for (int k = 0; k < looks; ++k) {
      if (state_.load(std::memory_order_acquire) == State::sleeps) return;
      std::this_thread::yield();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return state_.load(std::memory_order_relaxed) == State::sleeps; });
  }

  /// Ends the thread; there is no helper afterwards.
  void end() { tell(State::ends); }

 private:
  enum class State { sleeps, works, ends };

  ~Helper() = default;

  void tell(State state) {
    const std::lock_guard<std::mutex> lock(mutex_);
    state_.store(state, std::memory_order_relaxed);
    wake_.notify_one();
  }

  void live() {
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return state_.load(std::memory_order_relaxed) != State::sleeps; });
      }
      if (state_.load(std::memory_order_relaxed) == State::ends) break;
      std::fesetenv(&arithmetic_);
      work_(context_, worker_);
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        state_.store(State::sleeps, std::memory_order_release);
      }
      done_.notify_one();
    }
    delete this;
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<State> state_{State::sleeps};
  std::fenv_t arithmetic_{};
  Work work_ = nullptr;
  const void* context_ = nullptr;
  Index worker_ = 0;
};

/// The helpers of this process that have nothing to do.
class Crew {
 public:
  static Crew& get() {
    Crew* crew = current_.load(std::memory_order_acquire);
    if (crew == nullptr) {
      auto* const made = new Crew;
      if (current_.compare_exchange_strong(crew, made, std::memory_order_acq_rel)) return *made;
      delete made;
    }
    return *crew;
  }

  /// A helper that sleeps, or null where the machine gives no more threads.
  Helper* take() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        Helper* const helper = idle_.back();
        idle_.pop_back();
        return helper;
      }
    }
    try {
      return new Helper;
    } catch (const std::system_error&) {
      return nullptr;
    }
  }

  void give_back(Helper* helper) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (idle_.size() < idle_.capacity()) {
        idle_.push_back(helper);
        return;
      }
    }
    helper->end();
  }

 private:
  Crew() {
    idle_.reserve(std::max<std::size_t>(1, std::thread::hardware_concurrency()));
#ifdef KELMAN_POSIX_THREADS
    // the mutex of the parent may be held by a thread that the child does not have
    pthread_atfork(nullptr, nullptr, [] { current_.store(nullptr, std::memory_order_relaxed); });
#endif
  }
  ~Crew() = default;

  inline static std::atomic<Crew*> current_{nullptr};
  std::mutex mutex_;
  std::vector<Helper*> idle_;
};

}  // namespace kelman::detail
