// SPDX-License-Identifier: BSD-3-Clause
// The filter forward through one group of series, for a way back: what it needs is kept, segment by segment.
//
// Kept are x and P after each step and K, f, 1/f, v of each component, for one segment of time that fits the cache. Of
// a longer series only the state before each segment is kept, and the forward pass is done again, segment by segment
// from the last: memory grows with T / segment.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kelman/core/prefetch.hpp"
#include "kelman/core/status.hpp"
#include "kelman/core/transpose.hpp"
#include "kelman/linear/lanes/backward.hpp"
#include "kelman/linear/lanes/coefficients.hpp"
#include "kelman/linear/lanes/start.hpp"

namespace kelman::linear::lanes {

/// The lanes of a group, and which of them are series that go into the result.
template <Lanes V>
struct Members {
  Index series[kelman::lanes<V>];  ///< a series for every lane: the last group is filled up with copies
  int count = 0;                   ///< lanes that are written
  Index length[kelman::lanes<V>];
  Outcome outcome[kelman::lanes<V>];
};

/// z of steps [k, k + steps) of the members (steps×m), and a hint that as many behind them are next.
template <Lanes V>
[[gnu::noinline]] void read_rows(const Field<const scalar_of<V>>& z, const Members<V>& members, Index k, Index steps,
                                 Index T, Index m, V* out) noexcept {
  const scalar_of<V>* rows[kelman::lanes<V>];
  const Index next = std::min(steps, T - k - steps);
  for (int l = 0; l < kelman::lanes<V>; ++l) {
    rows[l] = z.at(members.series[l], k);
    if (next > 0) {
      prefetch(rows[l] + steps * z.time, next * m);
    }
  }
  const Index together = z.time == m ? steps : 1;  // steps whose numbers lie side by side
  for (Index t = 0; t < steps; t += together) {
    gather<V>(rows, t * z.time, together * m, out + t * m);
  }
}

/// The moments of series i predicted for its first measurement.
template <Real Scalar>
[[gnu::noinline]] void first_state(const FilterProblem<Scalar>& problem, Index i, Scalar* drive,
                                   const Entry<Scalar>& first) noexcept {
  const Index n = problem.model.dims.n;
  const Start<Scalar>& start = problem.start;
  std::copy_n(start.mean.at(i), n, first.x);
  for (Index row = 0; row < n; ++row) {
    std::copy_n(start.cov.at(i) + row * n, row + 1, first.P + row * (row + 1) / 2);
  }
  if (start.before_first && problem.data.length(i, problem.model.dims.T) > 0) {
    drive_entry(problem, i, Index(0), start.noise_mean ? start.noise_mean.at(i) : nullptr, drive);
    predict_entry(n, problem.model.A.at(i, 0), start.noise_cov ? start.noise_cov.at(i) : nullptr, drive, first);
  }
}

template <int n, Lanes V>
class Passage {
 public:
  using Scalar = scalar_of<V>;
  static constexpr int W = kelman::lanes<V>;
  static constexpr Index chunk = 2 * register_lanes<Scalar>;  // steps of z that are turned into packs at a time

  [[gnu::cold, gnu::noinline]] Passage(const FilterProblem<Scalar>& problem, bool mixed, Workspace& memory)
      : problem_(problem),
        dims_(problem.model.dims),
        m_(dims_.m),
        segment_(segment_length(dims_)),
        coefficients_(problem, mixed, memory),
        states_(memory.take<State<n, V>>(segment_, true)),
        gains_(memory.take<Used<n, V>>(segment_ * m_, true)),
        checkpoints_(memory.take<State<n, V>>((dims_.T + segment_ - 1) / segment_)),
        z_(memory.take<V>(chunk * m_)),
        y_(memory.take<V>(m_)),
        u_(memory.take<V>(dims_.p)),
        drive_(memory.take<Scalar>(n)),
        first_{0, 0, memory.take<Scalar>(n), memory.take<Scalar>(triangle(n)), memory.take<Scalar>(2 * n + 3 * n * n)} {
  }

  /// Takes series [first, first + count), at most W of them, and filters them. False if it was stopped.
  [[nodiscard, gnu::noinline]] bool forward(Index first, int count, Interrupt& stop) noexcept {
    gather(first, count);
    for (Index begin = 0; begin < longest_; begin += segment_) {
      if (stop.check()) {
        return false;
      }
      checkpoints_[begin / segment_] = state_;
      const Index end = std::min(begin + segment_, longest_);
      for (Index k = begin; k < end; ++k) {
        advance(k, end == longest_ ? k - begin : Index(0));
        report(k);
      }
    }
    return true;
  }

  /// Calls `back(k)` for all steps from the last to the first; `state(k)` and `gains(k)` are valid inside.
  template <class Back>
  void backward(Interrupt& stop, Back&& back) noexcept {
    if (longest_ == 0) {
      return;
    }
    for (begin_ = (longest_ - 1) / segment_ * segment_; begin_ >= 0 && !stop.check(); begin_ -= segment_) {
      const Index end = std::min(begin_ + segment_, longest_);
      if (end < longest_) {
        state_ = checkpoints_[begin_ / segment_];
        for (Index k = begin_; k < end; ++k) {
          advance(k, k - begin_);
        }
      }
      for (Index k = end; k-- > begin_;) {
        back(k);
      }
    }
  }

  [[nodiscard]] const Members<V>& members() const noexcept { return members_; }
  [[nodiscard]] Index longest() const noexcept { return longest_; }
  [[nodiscard]] Coefficients<V>& coefficients() noexcept { return coefficients_; }
  [[nodiscard]] const State<n, V>& state(Index k) const noexcept { return states_[k - begin_]; }
  [[nodiscard]] const Used<n, V>* gains(Index k) const noexcept { return gains_ + (k - begin_) * m_; }

  /// Log-likelihood, status and time of failure of the group's series, into fields of one entry per series.
  template <class Result>
  [[gnu::cold, gnu::noinline]] void write_outcome(const Result& result) const noexcept {
    for (int l = 0; l < members_.count; ++l) {
      const Index i = members_.series[l];
      const Outcome& outcome = members_.outcome[l];
      *result.loglik.at(i) = outcome.usable() ? static_cast<Scalar>(-0.5 * deviance(evidence_, l))
                                              : std::numeric_limits<Scalar>::quiet_NaN();
      *result.status.at(i) = static_cast<std::int32_t>(outcome.status);
      *result.failed_at.at(i) = outcome.at;
    }
  }

  /// u of step k: the one that is fed through, or the one that drives the transition into k (p).
  const V* inputs(Index k, bool direct) noexcept {
    for (int l = 0; l < W; ++l) {
      const Index i = members_.series[l];
      const Scalar* const u =
          direct ? problem_.data.direct_input(i, k) : problem_.data.driving_input(problem_.model.input_lag, i, k);
      for (Index e = 0; e < dims_.p; ++e) {
        set_lane(u_[e], l, u != nullptr ? u[e] : Scalar(0));
      }
    }
    return u_;
  }

 private:
  [[nodiscard]] static Index segment_length(const Dims& dims) noexcept {
    constexpr Index cache = Index(900) << 10;
    const Index step = static_cast<Index>(sizeof(State<n, V>)) + dims.m * static_cast<Index>(sizeof(Used<n, V>));
    const Index fits = std::max<Index>(cache / step, 16);
    return std::max<Index>(std::min(fits, dims.T), 1);
  }

  /// The series of the group, and their state at the first measurement.
  [[gnu::cold, gnu::noinline]] void gather(Index first, int count) noexcept {
    members_.count = count;
    longest_ = 0;
    shortest_ = dims_.T;
    for (int l = 0; l < W; ++l) {
      const Index i = problem_.series(first + std::min(l, count - 1));
      members_.series[l] = i;
      members_.outcome[l] = Outcome{};
      members_.length[l] = problem_.data.length(i, dims_.T);
      const Index length = problem_.data.length(i, dims_.T);
      longest_ = std::max(longest_, length);
      shortest_ = std::min(shortest_, length);
      set_lane(length_, l, static_cast<Scalar>(length));
      start(i, l);
    }
    coefficients_.load(members_.series);
    read_ = -chunk;
    failed_ = V(Scalar(0)) != V(Scalar(0));
    evidence_ = Evidence<V>();
  }

  void start(Index i, int l) noexcept {
    first_state(problem_, i, drive_, first_);
    for (int row = 0; row < n; ++row) {
      set_lane(state_.x[row], l, first_.x[row]);
      for (int col = 0; col <= row; ++col) {
        set_lane(state_.P[entry(row, col)], l, first_.P[entry(row, col)]);
      }
    }
  }

  /// y = L⁻¹ (z - c - D u) of step k; NaN where missing
  void observe(Index k, const Step<V>& step) noexcept {
    if (k < read_ || k >= read_ + chunk) {
      read_ = k;
      read_rows(problem_.data.z, members_, k, std::min(chunk, dims_.T - k), dims_.T, m_, z_);
    }
    const V* const z = z_ + (k - read_) * m_;
    std::copy_n(z, m_, y_);
    if (k >= shortest_) {
      const mask_of<V> going = V(static_cast<Scalar>(k)) < length_;
      for (Index j = 0; j < m_; ++j) {
        y_[j] = select(going, y_[j], V(std::numeric_limits<Scalar>::quiet_NaN()));
      }
    }
    if (step.c != nullptr) {
      for (Index j = 0; j < m_; ++j) {
        y_[j] -= V(step.c[j]);
      }
    }
    if (step.D != nullptr && problem_.data.u) {
      inputs(k, true);
      for (Index j = 0; j < m_; ++j) {
        for (Index e = 0; e < dims_.p; ++e) {
          y_[j] = fused_minus(V(step.D[j * dims_.p + e]), u_[e], y_[j]);
        }
      }
    }
    for (Index j = 1; step.mix != nullptr && j < m_; ++j) {
      for (Index e = 0; e < j; ++e) {
        y_[j] = fused_minus(V(step.mix[j * m_ + e]), y_[e], y_[j]);
      }
    }
  }

  /// To the prediction of step k > 0; a lane that has ended stays where it is.
  KELMAN_INLINE void predict(Index k, const Step<V>& step) noexcept {
    if (k >= shortest_) {
      before_ = state_;
    }
    predict_mean<n>(step.A, state_.x);
    predict_covariance<n>(step.A, step.Q, state_.P);
    for (int row = 0; step.b != nullptr && row < n; ++row) {
      state_.x[row] += V(step.b[row]);
    }
    if (step.B != nullptr && problem_.data.u) {
      inputs(k, false);
      for (int row = 0; row < n; ++row) {
        for (Index e = 0; e < dims_.p; ++e) {
          state_.x[row] = fused(V(step.B[row * dims_.p + e]), u_[e], state_.x[row]);
        }
      }
    }
    if (k >= shortest_) {
      const mask_of<V> going = V(static_cast<Scalar>(k)) < length_;
      for (int row = 0; row < n; ++row) {
        state_.x[row] = select(going, state_.x[row], before_.x[row]);
      }
      for (int e = 0; e < triangle(n); ++e) {
        state_.P[e] = select(going, state_.P[e], before_.P[e]);
      }
    }
  }

  /// Predicts to and updates with step k; keeps what the way back needs in a slot.
  [[gnu::noinline]] void advance(Index k, Index slot) noexcept {
    const Step<V>& step = coefficients_.at(k);
    if (k > 0) {
      predict(k, step);
    }
    observe(k, step);
    Used<n, V>* const gains = gains_ + slot * m_;
    for (Index j = 0; j < m_; ++j) {
      const Gain<n, V> gain = update<n>(step.H + j * n, step.r[j], y_[j], state_, evidence_, failed_);
      KELMAN_UNROLL
      for (int i = 0; i < n; ++i) {
        gains[j].K[i] = gain.K[i];
      }
      gains[j].f = gain.f;
      gains[j].inverse = gain.inverse;
      gains[j].v = gain.v;
    }
    states_[slot] = state_;
  }

  /// Notes the step at which a lane first failed.
  KELMAN_INLINE void report(Index k) noexcept {
    V total = V(Scalar(0));
    for (int row = 0; row < n; ++row) {
      total += abs(state_.x[row]) + abs(state_.P[entry(row, row)]);
    }
    const mask_of<V> finite = total <= V(std::numeric_limits<Scalar>::max());
    if (any(failed_ | !finite)) [[unlikely]] {
      note(k, select(failed_, V(Scalar(1)), V(Scalar(0))), select(finite, V(Scalar(0)), V(Scalar(1))));
    }
  }

  [[gnu::cold, gnu::noinline]] void note(Index k, const V& pivot, const V& infinite) noexcept {
    for (int l = 0; l < W; ++l) {
      if (lane(infinite, l) != Scalar(0)) {
        members_.outcome[l].report(Status::non_finite, k);
      } else if (lane(pivot, l) != Scalar(0)) {
        members_.outcome[l].report(Status::not_positive_definite, k);
      }
    }
  }

  FilterProblem<Scalar> problem_;
  Dims dims_;
  Index m_;
  Index segment_;
  Coefficients<V> coefficients_;
  State<n, V>* states_;       // filtered, of one segment
  Used<n, V>* gains_;         // of one segment (segment×m)
  State<n, V>* checkpoints_;  // before each segment
  V* z_;                      // of a chunk of steps (chunk×m)
  V* y_;
  V* u_;
  Scalar* drive_;
  Entry<Scalar> first_;
  Members<V> members_;
  Index begin_ = 0;  // of the segment that is kept
  Index read_ = 0;   // first step of z_
  Index longest_ = 0;
  Index shortest_ = 0;
  V length_{};
  State<n, V> state_;
  State<n, V> before_;  // the one a step before, where some lane has ended
  Evidence<V> evidence_;
  mask_of<V> failed_;
};

}  // namespace kelman::linear::lanes
