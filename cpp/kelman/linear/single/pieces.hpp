// SPDX-License-Identifier: BSD-3-Clause
// Stretches of a series in which the covariances are constant and nothing is missing.
//
// A short stretch is filtered from step to step. A long one whose past is forgotten after w steps is cut into pieces of
// equal length, filtered side by side in the lanes of a pack, each after a run-up of w steps that starts from zero:
//
//   |          piece 0          |          piece 1          |          piece 2          |  rest, step by step
//                      |-run-up-|                  |-run-up-|
//
// The cuts depend on the length of the stretch and on w only, so that threads may share the pieces among them.
#pragma once

#include "kelman/core/parallel.hpp"
#include "kelman/core/transpose.hpp"
#include "kelman/linear/single/steady.hpp"

namespace kelman::linear::single {

/// What is written of a stretch; null where it is not kept. Entry t is `data + t * stride`.
template <Real T>
struct Written {
  T* mean = nullptr;  ///< (n) at each step
  Index mean_stride = 0;
  T* cov = nullptr;  ///< (n×n) at each step, contiguous
  T* loglik_obs = nullptr;
};

/// Rows to packs and back: once for all numbers of states.
template <class V>
[[gnu::noinline]] void turn(const scalar_of<V>* const* rows, Index count, V* out) noexcept {
  gather<V>(rows, Index(0), count, out);
}
template <class V>
[[gnu::noinline]] void turn_back(const V* in, Index count, scalar_of<V>* const* rows) noexcept {
  scatter(in, count, rows, Index(0));
}

/// Filters stretches of one series.
template <int n, Real T>
class Pieces {
 public:
  static constexpr int W = (n <= 2 ? 2 : 1) * register_lanes<T>;
  using V = Pack<T, W>;

  /// `threads` are those that may work on one series.
  [[gnu::cold, gnu::noinline]] Pieces(Index q, int threads, Workspace& memory) : threads_(std::max(threads, 1)), q_(q) {
    for (int worker = 0; worker < threads_; ++worker) {
      buffers_.push_back(
          {memory.take<T>(W * chunk * q), memory.take<V>(chunk * q), memory.take<V>(chunk * n), memory.take<V>(chunk)});
    }
  }

  /// Filters `steps` steps from x on; returns the sum of w'w. The log-likelihood of a step is constant - w'w / 2.
  double run(const Steady<n, T>& steady, const Sources<T>& from, Index steps, T (&x)[n], T constant,
             const Written<T>& to, Interrupt& stop) {
    const Index w = steady.memory_length();
    const Index piece = w == 0 ? 0 : std::max<Index>(shortest, 8 * w) | 1;  // odd: no two pieces in the same cache set
    large_ = steps * n * n * static_cast<Index>(sizeof(T)) > caches;
    double total = 0;
    Index done = 0;
    if (piece > 0 && steps >= W * piece) {
      const Index blocks = steps / (W * piece);
      const Index length = (steps / (blocks * W) - 1) | 1;
      done = blocks * W * length;
      T last[n];
      total += side_by_side(steady, from, blocks, length, x, last, constant, to, stop);
      std::copy_n(last, n, x);
    }
    total += one_by_one(steady, from, done, steps, x, constant, to);
    return total;
  }

 private:
  static constexpr Index chunk = 16;       // steps that are turned into packs at a time
  static constexpr Index shortest = 1024;  // a piece this long is worth its run-up and its share of the overhead
  static constexpr Index caches = Index(1) << 23;
  static constexpr Index line = 64 / static_cast<Index>(sizeof(T));

  struct Buffers {
    T* rows;  ///< (W×chunk×q), where s has more than one source
    V* s;     ///< (chunk×q)
    V* x;     ///< (chunk×n)
    V* quadratic;
  };

  /// s of one step.
  const T* gather(const Sources<T>& from, Index k, T* to) const noexcept {
    if (from.part[1].count == 0 && from.part[2].count == 0) {
      return from.part[0].data + k * from.part[0].stride;
    }
    T* at = to;
    for (const auto& part : from.part) {
      at = std::copy_n(part.data + k * part.stride, part.count, at);
    }
    return to;
  }

  double one_by_one(const Steady<n, T>& steady, const Sources<T>& from, Index first, Index last, T (&x)[n], T constant,
                    const Written<T>& to) noexcept {
    using Unit = typename Steady<n, T>::Unit;
    typename Steady<n, T>::X state(T(0));
    for (int i = 0; i < n; ++i) {
      set_lane(state, i, x[i]);
    }
    double total = 0;
    Unit sum(T(0));
    for (Index k = first; k < last; ++k) {
      Unit quadratic(T(0));
      steady.advance(gather(from, k, buffers_[0].rows), state, quadratic);
      if (to.mean != nullptr) {
        for (int i = 0; i < n; ++i) {
          to.mean[k * to.mean_stride + i] = lane(state, i);
        }
      }
      if (to.loglik_obs != nullptr) {
        to.loglik_obs[k] = fused(T(-0.5), total_of(quadratic), constant);
      }
      sum += quadratic;
      if ((k & 255) == 255) {
        total += static_cast<double>(total_of(sum));
        sum = Unit(T(0));
      }
    }
    for (int i = 0; i < n; ++i) {
      x[i] = lane(state, i);
    }
    fill(steady, first, last, to.cov);
    return total + static_cast<double>(total_of(sum));
  }

  template <class Unit>
  [[nodiscard]] static T total_of(const Unit& values) noexcept {
    T total(0);
    for (int l = 0; l < kelman::lanes<Unit>; ++l) {
      total += lane(values, l);
    }
    return total;
  }

  double side_by_side(const Steady<n, T>& steady, const Sources<T>& from, Index blocks, Index length, const T (&x)[n],
                      T (&last)[n], T constant, const Written<T>& to, Interrupt& stop) {
    std::vector<double> sums(static_cast<std::size_t>(blocks), 0.0);
    const int workers = useful_threads(threads_, 40.0 * static_cast<double>(blocks * W * length));
    parallel_chunks(blocks, Index(1), workers, stop, [&](Index begin, Index end, Index worker) {
      for (Index b = begin; b < end; ++b) {
        sums[static_cast<std::size_t>(b)] = block(steady, from, b, length, x, b == blocks - 1 ? last : nullptr,
                                                  constant, to, buffers_[static_cast<std::size_t>(worker)]);
      }
    });
    double total = 0;
    for (const double sum : sums) {
      total += sum;
    }
    return total;
  }

  /// Block b: W pieces from their run-ups to their ends. `last` (n; may be null) gets the state after the last of them.
  [[gnu::noinline]] double block(const Steady<n, T>& steady, const Sources<T>& from, Index b, Index length,
                                 const T (&x)[n], T* last, T constant, const Written<T>& to,
                                 Buffers& own) const noexcept {
    V state[n];
    std::fill_n(state, n, V(T(0)));
    Index starts[W];
    for (int l = 0; l < W; ++l) {
      starts[l] = (b * W + l) * length;
    }
    run_up(steady, from, starts, state, own);
    for (int i = 0; b == 0 && i < n; ++i) {
      set_lane(state[i], 0, x[i]);
    }
    const double sum = pieces(steady, from, starts, length, state, constant, to, own);
    fill(steady, starts[0], starts[0] + W * length, to.cov);
    for (int i = 0; last != nullptr && i < n; ++i) {
      last[i] = lane(state[i], W - 1);
    }
    return sum;
  }

  /// Takes the steps of a chunk, of which `own.s` holds s; returns the sum of w'w. With `keep` x and w'w of each step
  /// stay in `own`.
  template <bool keep>
  [[gnu::noinline]] V take(const Steady<n, T>& steady, Index steps, V (&x)[n], Buffers& own) const noexcept {
    V state[n];
    std::copy_n(x, n, state);
    V sum = V(T(0));
    for (Index step = 0; step < steps; ++step) {
      const V quadratic = advance<n, V, T>(steady, own.s + step * q_, state);
      sum += quadratic;
      if constexpr (keep) {
        own.quadratic[step] = quadratic;
        KELMAN_UNROLL
        for (int i = 0; i < n; ++i) {
          own.x[step * n + i] = state[i];
        }
      }
    }
    std::copy_n(state, n, x);
    return sum;
  }

  /// The state before the pieces that begin at `starts`, up to what is forgotten.
  [[gnu::noinline]] void run_up(const Steady<n, T>& steady, const Sources<T>& from, const Index (&starts)[W], V (&x)[n],
                                Buffers& own) const noexcept {
    const Index w = steady.memory_length();
    for (Index t = 0; t < w; t += chunk) {
      const Index steps = std::min(chunk, w - t);
      Index at[W];
      for (int l = 0; l < W; ++l) {
        at[l] = std::max<Index>(starts[l] - w, 0) + t;  // the first piece has no run-up: its lane is set afterwards
      }
      read(from, at, steps, own);
      take<false>(steady, steps, x, own);
    }
  }

  [[gnu::noinline]] double pieces(const Steady<n, T>& steady, const Sources<T>& from, const Index (&starts)[W],
                                  Index length, V (&x)[n], T constant, const Written<T>& to,
                                  Buffers& own) const noexcept {
    const bool keep = to.mean != nullptr || to.loglik_obs != nullptr;
    double total = 0;
    V sum = V(T(0));
    for (Index t = 0; t < length; t += chunk) {
      const Index steps = std::min(chunk, length - t);
      Index at[W];
      for (int l = 0; l < W; ++l) {
        at[l] = starts[l] + t;
      }
      read(from, at, steps, own);
      sum += keep ? take<true>(steady, steps, x, own) : take<false>(steady, steps, x, own);
      for (Index step = 0; step < steps && to.loglik_obs != nullptr; ++step) {
        own.quadratic[step] = fused(T(-0.5), own.quadratic[step], V(constant));
      }
      if (sizeof(T) < 8 || t + chunk >= length) {
        for (int l = 0; l < W; ++l) {
          total += static_cast<double>(lane(sum, l));
        }
        sum = V(T(0));
      }
      write(to, at, steps, own);
    }
    return total;
  }

  void read(const Sources<T>& from, const Index (&at)[W], Index steps, Buffers& own) const noexcept {
    const T* rows[W];
    const auto& z = from.part[0];
    const bool plain = q_ == z.count && z.stride == q_;
    for (int l = 0; l < W; ++l) {
      if (plain) {
        rows[l] = z.data + at[l] * q_;
      } else {
        T* const row = own.rows + l * chunk * q_;
        for (Index step = 0; step < steps; ++step) {
          const T* const s = gather(from, at[l] + step, row + step * q_);
          if (s != row + step * q_) {
            std::copy_n(s, q_, row + step * q_);
          }
        }
        rows[l] = row;
      }
    }
    turn<V>(rows, steps * q_, own.s);
  }

  void write(const Written<T>& to, const Index (&at)[W], Index steps, const Buffers& own) const noexcept {
    T* rows[W];
    if (to.mean != nullptr && to.mean_stride > 0) {
      for (int l = 0; l < W; ++l) {
        rows[l] = to.mean + at[l] * to.mean_stride;
      }
      turn_back(own.x, steps * n, rows);
    }
    if (to.loglik_obs != nullptr) {
      for (int l = 0; l < W; ++l) {
        rows[l] = to.loglik_obs + at[l];
      }
      turn_back(own.quadratic, steps, rows);
    }
  }

  /// Writes the covariance after a measurement to entries [first, last); past the caches, if they are too many for
  /// them.
  void fill(const Steady<n, T>& steady, Index first, Index last, T* cov) const noexcept {
    if (cov == nullptr || first == last) {
      return;
    }
    constexpr Index size = Index(n) * n;
    T pattern[size + line];  // one period, and as much again as a line can reach over
    for (Index l = 0; l < size + line; ++l) {
      const Index entry = l % size;
      pattern[l] = steady.P_filt[lanes::entry(static_cast<int>(entry / n), static_cast<int>(entry % n))];
    }
    T* at = cov + first * size;
    T* const end = cov + last * size;
    Index phase = 0;
    for (; at < end && reinterpret_cast<std::uintptr_t>(at) % 64 != 0; ++at) {
      *at = pattern[phase];
      phase = phase + 1 == size ? 0 : phase + 1;
    }
    using Line = Pack<T, register_lanes<T>>;
    constexpr Index step = register_lanes<T>;
    for (; at + step <= end; at += step) {
      if (large_) {
        stream(at, load<Line>(pattern + phase));
      } else {
        store(at, load<Line>(pattern + phase));
      }
      phase = (phase + step) % size;
    }
    for (; at < end; ++at) {
      *at = pattern[phase];
      phase = phase + 1 == size ? 0 : phase + 1;
    }
    if (large_) {
      stream_fence();
    }
  }

  int threads_;
  Index q_;
  std::vector<Buffers> buffers_;
  bool large_ = false;  ///< whether the covariances are more than the caches hold
};

}  // namespace kelman::linear::single
