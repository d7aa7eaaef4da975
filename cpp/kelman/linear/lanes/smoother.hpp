// SPDX-License-Identifier: BSD-3-Clause
// The smoother of one group of series: the filter forward, r and N backward.
//
//   x_s = x + P r,   P_s = P - P N P                                         of the filtered state (n), (n×n)
//   Cov(x_k+1, x_k | all) = G - P⁺ N⁺ G,   G = A P,   P⁺ = G A' + Q          N⁺ before the transition (n×n)
//
// P - P N P loses digits where later measurements improve a state by orders of magnitude, as after a vague start. Where
// that happens in a lane, and the bound of its error says that it is worth it, that lane takes the step by the Markov
// kernel of kernel.hpp instead, as the form for every kind of model does (linear/smoother.hpp).
#pragma once

#include "kelman/linear/kernel.hpp"
#include "kelman/linear/lanes/back_group.hpp"
#include "kelman/linear/lanes/rows.hpp"
#include "kelman/linear/mean.hpp"
#include "kelman/linear/record.hpp"

namespace kelman::linear::lanes {

/// Largest diagonal entry of a triangle.
template <int n, Lanes V>
[[nodiscard]] KELMAN_INLINE V largest(const V (&S)[triangle(n)]) noexcept {
  V top = abs(S[0]);
  KELMAN_UNROLL
  for (int i = 1; i < n; ++i) {
    top = max(top, abs(S[entry(i, i)]));
  }
  return top;
}

template <int n, Lanes V>
class GroupSmoother final : public BackGroup<SmootherResult<scalar_of<V>>> {
 public:
  using Scalar = scalar_of<V>;
  static constexpr int W = kelman::lanes<V>;

  GroupSmoother(const FilterProblem<Scalar>& problem, bool mixed, const SmootherResult<Scalar>& result)
      : problem_(problem),
        passage_(problem, mixed, memory_),
        means_(problem.model, memory_),
        kernel_(Index(n), Index(0), memory_),
        mean_(result.mean, problem.model.dims, Index(n), memory_),
        cov_(result.cov, problem.model.dims, Index(n * n), memory_),
        lag_(result.lag_one_cov, problem.model.dims, Index(n * n), memory_) {}

  /// Series [first, first + count), at most W of them.
  void run(Index first, int count, const SmootherResult<Scalar>& result, Interrupt& stop) override {
    if (!passage_.forward(first, count, stop)) {
      return;
    }
    passage_.write_outcome(result);
    back_.clear();
    passage_.backward(stop, [&](Index k) { step(k); });
    if (lag_ && passage_.longest() > 0) {
      for (int l = 0; problem_.start.before_first && l < W; ++l) {
        before_first(l);
      }
      lag_.filled(passage_.members(), 0, passage_.longest());
    }
    stream_fence();
    finish(result);
  }

 private:
  void step(Index k) noexcept {
    const State<n, V>& filtered = passage_.state(k);
    const Index end = passage_.longest();
    const bool follows = k + 1 < end;
    if (follows) {
      const Step<V>& coefficients = passage_.coefficients().at(k + 1);
      if (lag_) {
        lag_one(coefficients, filtered, lag_.at(k + 1));
      }
      V NA[n * n];
      back_.transition(coefficients.A, NA);
    }
    State<n, V> smoothed;
    smoothed_mean<n>(filtered, back_.r, smoothed.x);
    smoothed_covariance<n>(filtered.P, back_.N, smoothed.P);
    // bound of the error in units of the machine epsilon: what P is, and the terms of P N P
    const V variance = largest<n>(filtered.P);
    V error = fused(variance * variance, largest<n>(back_.N), variance);
    const mask_of<V> lossy = lost(filtered, smoothed);
    if (follows && any(lossy)) [[unlikely]] {
      const V flags = select(lossy, V(Scalar(1)), V(Scalar(0)));
      for (int l = 0; l < W; ++l) {
        if (lane(flags, l) != Scalar(0)) {
          by_kernel(k, l, filtered, smoothed, error);
        }
      }
    }
    if (follows) {
      lag_.filled(passage_.members(), k + 1, end);
    }
    next_ = smoothed;
    error_ = error;
    keep(smoothed, mean_.at(k), cov_.at(k));
    mean_.filled(passage_.members(), k, end);
    cov_.filled(passage_.members(), k, end);
    const Step<V>& coefficients = passage_.coefficients().at(k);
    const Used<n, V>* const used = passage_.gains(k);
    for (Index j = problem_.model.dims.m; j-- > 0;) {
      V q[n];
      static_cast<void>(back_.component(coefficients.H + j * n, used[j], q));
    }
  }

  /// Lanes in which some variance fell by orders of magnitude, so that P - P N P lost digits.
  [[nodiscard]] KELMAN_INLINE static mask_of<V> lost(const State<n, V>& filtered,
                                                     const State<n, V>& smoothed) noexcept {
    const V much = V(Scalar(64));
    mask_of<V> found = !(smoothed.P[0] * much >= filtered.P[0]);
    KELMAN_UNROLL
    for (int i = 1; i < n; ++i) {
      found = found | !(smoothed.P[entry(i, i)] * much >= filtered.P[entry(i, i)]);
    }
    return found;
  }

  KELMAN_INLINE static void keep(const State<n, V>& smoothed, V* mean, V* cov) noexcept {
    KELMAN_UNROLL
    for (int i = 0; i < n; ++i) {
      mean[i] = smoothed.x[i];
      KELMAN_UNROLL
      for (int j = 0; j < n; ++j) {
        cov[i * n + j] = smoothed.P[entry(i, j)];
      }
    }
  }

  /// out = G - P⁺ N⁺ G                                                                                 (n×n)
  [[gnu::noinline]] void lag_one(const Step<V>& coefficients, const State<n, V>& filtered, V* out) const noexcept {
    const V* const A = coefficients.A;
    V G[n * n];
    V P[triangle(n)];
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) {
        V total = A[i * n] * filtered.P[entry(0, j)];
        for (int l = 1; l < n; ++l) {
          total = fused(A[i * n + l], filtered.P[entry(l, j)], total);
        }
        G[i * n + j] = total;
      }
      for (int j = 0; j <= i; ++j) {
        V total = coefficients.Q[i * n + j];
        for (int l = 0; l < n; ++l) {
          total = fused(G[i * n + l], A[j * n + l], total);
        }
        P[entry(i, j)] = total;
      }
    }
    for (int j = 0; j < n; ++j) {
      V NG[n];  // column j
      for (int i = 0; i < n; ++i) {
        V total = back_.N[entry(i, 0)] * G[j];
        for (int l = 1; l < n; ++l) {
          total = fused(back_.N[entry(i, l)], G[l * n + j], total);
        }
        NG[i] = total;
      }
      for (int i = 0; i < n; ++i) {
        V total = G[i * n + j];
        for (int l = 0; l < n; ++l) {
          total = fused_minus(P[entry(i, l)], NG[l], total);
        }
        out[i * n + j] = total;
      }
    }
  }

  /// Lane l of step k from step k + 1 by the Markov kernel, if its error is not much larger.
  [[gnu::cold, gnu::noinline]] void by_kernel(Index k, int l, const State<n, V>& filtered, State<n, V>& smoothed,
                                              V& error) noexcept {
    const Index i = passage_.members().series[l];
    if (k + 1 >= passage_.members().length[l] || !passage_.members().outcome[l].usable()) {
      return;
    }
    Scalar P[n * n];
    covariance(filtered.P, l, P);
    static_cast<void>(
        kernel_.condition(problem_.model.A.at(i, k + 1), {P, nullptr, problem_.model.Q.at(i, k), nullptr, 0}));
    const Scalar* const J = kernel_.gain();
    Scalar top(0);
    for (int e = 0; e < n; ++e) {
      top = std::max(top, P[e * n + e]);
    }
    // its own rounding, and that of the smoothed covariance of k + 1 times |J|²
    const Scalar other = top + linalg::dot(Index(n * n), J, J) * lane(error_, l);
    if (!(other < trusted * lane(error, l))) {
      return;
    }
    set_lane(error, l, other);
    Scalar x[n];
    Scalar predicted[n];
    for (int e = 0; e < n; ++e) {
      predicted[e] = x[e] = lane(filtered.x[e], l);
    }
    means_.predict(i, k + 1, problem_.data.driving_input(problem_.model.input_lag, i, k + 1), nullptr, predicted);
    for (int row = 0; row < n; ++row) {
      for (int e = 0; e < n; ++e) {
        x[row] = fused(J[row * n + e], lane(next_.x[e], l) - predicted[e], x[row]);
      }
    }
    kernel_step(l, P, lag_ ? lag_.at(k + 1) : nullptr);
    for (int row = 0; row < n; ++row) {
      set_lane(smoothed.x[row], l, x[row]);
      for (int col = 0; col <= row; ++col) {
        set_lane(smoothed.P[entry(row, col)], l, P[row * n + col]);
      }
    }
  }

  /// P (n×n) of one lane from that of step k + 1, with the kernel that was conditioned; and Cov(x_k+1, x_k | all).
  void kernel_step(int l, Scalar* P, V* lag_one_cov) noexcept {
    Scalar next[n * n];
    Scalar lag[n * n];
    covariance(next_.P, l, next);
    kernel_.smooth(next, P, lag);
    for (int e = 0; lag_one_cov != nullptr && e < n * n; ++e) {
      set_lane(lag_one_cov[e], l, lag[e]);
    }
  }

  /// Entry 0 of the lag-one covariances: Cov(x_1, x_0 | all).
  [[gnu::cold, gnu::noinline]] void before_first(int l) noexcept {
    const Index i = passage_.members().series[l];
    const Start<Scalar>& start = problem_.start;
    static_cast<void>(kernel_.condition(problem_.model.A.at(i, 0),
                                        {start.cov.at(i), start.noise_cross ? start.noise_cross.at(i) : nullptr,
                                         start.noise_cov ? start.noise_cov.at(i) : nullptr, nullptr, 0}));
    Scalar P[n * n];
    kernel_step(l, P, lag_.at(0));
  }

  static void covariance(const V (&triangle_of)[triangle(n)], int l, Scalar* out) noexcept {
    for (int row = 0; row < n; ++row) {
      for (int col = 0; col < n; ++col) {
        out[row * n + col] = lane(triangle_of[entry(row, col)], l);
      }
    }
  }

  /// NaN behind the end of each series, and in the first lag-one covariance where no state precedes.
  [[gnu::cold, gnu::noinline]] void finish(const SmootherResult<Scalar>& result) const noexcept {
    const Index T = problem_.model.dims.T;
    const Members<V>& members = passage_.members();
    for (int l = 0; l < members.count; ++l) {
      const Index i = members.series[l];
      blank(result.mean, i, members.length[l], T, Index(n), false);
      blank(result.cov, i, members.length[l], T, Index(n * n), false);
      blank(result.lag_one_cov, i, members.length[l], T, Index(n * n), false);
      if (!problem_.start.before_first) {
        blank(result.lag_one_cov, i, Index(0), std::min<Index>(T, 1), Index(n * n), false);
      }
    }
  }

  /// How much larger the kernel's bound may be (linear/smoother.hpp).
  static constexpr Scalar trusted = Scalar(1e6);

  FilterProblem<Scalar> problem_;
  Workspace memory_;
  Passage<n, V> passage_;
  Means<Scalar> means_;
  BackwardKernel<Scalar> kernel_;
  Rows<V> mean_;
  Rows<V> cov_;
  Rows<V> lag_;
  Backward<n, V> back_;
  State<n, V> next_;  // smoothed, of step k + 1
  V error_{};         // bound of the error of next_.P
};

}  // namespace kelman::linear::lanes
