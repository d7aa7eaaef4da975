// SPDX-License-Identifier: BSD-3-Clause
// The steps of a group chunk by chunk: reading rows into packs, the kernels, and packs back into rows.
#pragma once

#include <cstdint>

#include "kelman/core/logarithm.hpp"
#include "kelman/linear/lanes/kernel.hpp"
#include "kelman/linear/lanes/source.hpp"
#include "kelman/linear/lanes/whiten.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear::lanes {

/// What is the same for all groups of a problem.
template <Real T>
struct Layout {
  bool own = false;          ///< coefficients differ between series
  bool dense = false;        ///< some R is not diagonal
  const T* rows = nullptr;   ///< H~ = L⁻¹ H (m×n), where R = L D L' is dense and the same for all series and steps
  const T* noise = nullptr;  ///< D (m)
  const T* mix = nullptr;    ///< L (m×m)
  Pattern A, H;              ///< of the sizes that are not unrolled
  Index steps = 0;           ///< length of a chunk, a divisor of `settling`
  bool past_caches = false;  ///< results are larger than the caches
};

/// Log-likelihoods are added up in double precision at multiples of these many steps, whatever the chunks are.
inline constexpr Index settling = 32;

template <Lanes V>
class Chunks {
 public:
  using T = scalar_of<V>;
  static constexpr int W = kelman::lanes<V>;
  static constexpr bool wide = W > register_lanes<T>;  ///< then without coefficients by lane

  [[gnu::cold, gnu::noinline]] Chunks(const FilterProblem<T>& problem, const FilterResult<T>& result,
                                      const Layout<T>& layout, Workspace& memory)
      : model_(problem.model),
        result_(result),
        layout_(layout),
        n_(model_.dims.n),
        m_(model_.dims.m),
        drive_(problem.model, problem.data, layout.steps, memory),
        y_(memory.take<V>(m_ * layout.steps)),
        f_(memory.take<V>(m_ * layout.steps)),
        v_(memory.take<V>(m_ * layout.steps)),
        x_(memory.take<V>(n_)),
        P_(memory.take<V>(triangle(static_cast<int>(n_)))) {
    const Index steps = layout.steps;
    shared_ = kernel_of<V, T>(n_);
    work_ = n_ > largest_n ? memory.take<V>(tiled_work(n_)) : nullptr;
    if constexpr (!wide) {
      if (layout.own || layout.dense) {
        own_ = kernel_of<V, V>(n_);
        A_ = Source<V>(model_.A, n_ * n_, steps, memory);
        Q_ = Source<V>(model_.Q, n_ * n_, steps, memory);
        H_ = Source<V>(model_.H, m_ * n_, steps, memory);
        R_ = Source<V>(model_.R, m_ * m_, steps, memory);
      }
    }
    if (layout.dense) {
      white_ = memory.take<V>(m_ * steps);
      factor_ = memory.take<V>(m_ * m_);
      rows_ = memory.take<V>(m_ * n_ * steps);
      noise_ = memory.take<V>(m_ * steps);
    }
    const auto kept = [&](const Field<T>& field, Index size) {
      return field && !field.constant() ? memory.take<V>(size * steps) : nullptr;
    };
    mean_ = kept(result.mean, n_);
    cov_ = kept(result.cov, n_ * n_);
    loglik_ = kept(result.loglik_obs, Index(1));
    predicted_mean_ = kept(result.predicted_mean, n_);
    predicted_cov_ = kept(result.predicted_cov, n_ * n_);
    innovation_ = kept(result.innovation, m_);
    innovation_cov_ = kept(result.innovation_cov, m_ * m_);
    product_ = result.innovation_cov ? memory.take<V>(n_) : nullptr;
    nowhere_ = memory.take<T>(std::max(n_ * n_, m_ * m_) * steps);
  }

  /// At the start of a group.
  void begin(const Series<V>& series) noexcept {
    drive_.begin(series);
    A_.begin(series);
    Q_.begin(series);
    H_.begin(series);
    R_.begin(series);
    evidence_ = Evidence<V>{};
    failed_ = V(T(0)) < V(T(0));
    std::fill_n(total_, W, 0.0);
  }

  /// Where the chunk of step k ends.
  [[nodiscard]] Index end_of(Index k) const noexcept { return (k / layout_.steps + 1) * layout_.steps; }

  /// Reads steps [first, last).
  void read(const Series<V>& series, Index first, Index last) noexcept {
    first_ = first;
    steps_ = last - first;
    drive_.measurements(series, first, steps_, std::min(layout_.steps, model_.dims.T - last), y_);
    d_ = drive_.drive(series, first, steps_);
    by_lane_ = layout_.own || (layout_.dense && (layout_.rows == nullptr || partly_missing()));
    if (by_lane_) {
      // Q of the step before each step; that of the step before the first measurement is not used
      before_ = std::max<Index>(first - 1, 0);
      A_.read(series, first, steps_);
      Q_.read(series, before_, steps_);
      H_.read(series, first, steps_);
      R_.read(series, first, steps_);
    }
    if (layout_.dense) {
      whiten_all();
    }
  }

  /// Leads the state into the first step of the chunk.
  void predict() noexcept { call(0, 1, false, true); }

  /// Puts a series into lane s: moments predicted for the first step of the chunk.
  void set_state(int s, const T* x, const T* P) noexcept {
    for (Index l = 0; l < n_; ++l) {
      set_lane(x_[l], s, x[l]);
    }
    for (Index e = 0; e < triangle(static_cast<int>(n_)); ++e) {
      set_lane(P_[e], s, P[e]);
    }
    set_lane(evidence_.quadratic, s, T(0));
    set_lane(evidence_.mantissa, s, T(1));
    set_lane(evidence_.exponent, s, T(0));
    set_lane(evidence_.count, s, T(0));
    total_[s] = 0;
  }

  /// Takes the steps of the chunk; `fresh`: the state is that predicted for the first.
  void take(bool fresh) noexcept {
    if (!result_.predicted_mean) {
      call(0, steps_, fresh, false);
      return;
    }
    for (Index t = 0; t < steps_; ++t) {
      if (t > 0 || !fresh) {
        call(t, 1, false, true);
      }
      keep_prediction(t);
      call(t, 1, true, false);
    }
  }

  /// Writes what is kept of the chunk, for the lanes that are active.
  void write(const Series<V>& series, const bool* active) noexcept {
    for (Index t = 0; loglik_ != nullptr && t < steps_; ++t) {
      loglik_[t] = loglik_of(y_ + t * m_, f_ + t * m_, v_ + t * m_);
    }
    scatter(result_.mean, n_, mean_, series, active);
    scatter(result_.cov, n_ * n_, cov_, series, active);
    scatter(result_.loglik_obs, Index(1), loglik_, series, active);
    scatter(result_.predicted_mean, n_, predicted_mean_, series, active);
    scatter(result_.predicted_cov, n_ * n_, predicted_cov_, series, active);
    scatter(result_.innovation, m_, innovation_, series, active);
    scatter(result_.innovation_cov, m_ * m_, innovation_cov_, series, active);
  }

  /// Whether a pivot of some lane, or of lane s, was not positive since the last `settle`.
  [[nodiscard]] bool failed() const noexcept { return any(failed_); }
  [[nodiscard]] bool failed(int s) const noexcept { return lane(select(failed_, V(T(1)), V(T(0))), s) != T(0); }

  /// Log-likelihood of lane s so far.
  [[nodiscard]] double loglik(int s) const noexcept { return -0.5 * (total_[s] + deviance(evidence_, s)); }

  /// Mean (n) and covariance (n×n) of lane s after the chunk.
  void state(int s, T* x, T* P) const noexcept {
    for (Index i = 0; i < n_; ++i) {
      x[i] = lane(x_[i], s);
      for (Index j = 0; j < n_; ++j) {
        P[i * n_ + j] = lane(P_[entry(static_cast<int>(i), static_cast<int>(j))], s);
      }
    }
  }

  /// At the end of a chunk, before step `next`.
  void settle(Index next) noexcept {
    failed_ = V(T(0)) < V(T(0));
    if (next % settling != 0) {
      return;
    }
    const V part = without_mantissa(evidence_);
    for (int s = 0; s < W; ++s) {
      total_[s] += static_cast<double>(lane(part, s));
    }
    const V mantissa = evidence_.mantissa;
    evidence_ = Evidence<V>{};
    evidence_.mantissa = mantissa;
  }

 private:
  /// Log-likelihood of a step with measurement y (m) from the variances and innovations of its components.
  [[nodiscard]] V loglik_of(const V* y, const V* f, const V* v) const noexcept {
    Evidence<V> own;
    for (Index j = 0; j < m_; ++j) {
      const auto observed = y[j] == y[j];
      own.add(f[j], v[j], select(observed, V(T(1)) / f[j], V(T(0))), observed);
    }
    return V(T(-0.5)) * (log_mantissa(own.mantissa) + without_mantissa(own));
  }

  /// Whether some lane misses a part of a measurement, but not all of it.
  [[nodiscard]] bool partly_missing() const noexcept {
    for (Index t = 0; t < steps_; ++t) {
      const V* const y = y_ + t * m_;
      const auto missing = is_nan(y[0]);
      for (Index j = 1; j < m_; ++j) {
        const auto other = is_nan(y[j]);
        if (any((missing & !other) | (other & !missing))) {
          return true;
        }
      }
    }
    return false;
  }

  void whiten_all() noexcept {
    std::copy_n(y_, steps_ * m_, white_);
    for (Index t = 0; t < steps_; ++t) {
      V* const y = white_ + t * m_;
      if (by_lane_) {
        factor_noise(m_, n_, H_.at(t), R_.at(t), y, factor_, rows_ + t * m_ * n_, noise_ + t * m_);
        whiten(m_, factor_, y);
      } else {
        whiten(m_, layout_.mix, y);
      }
    }
  }

  /// Calls the kernel for `count` steps of the chunk from step t on. `only_predict`: without their measurements.
  void call(Index t, Index count, bool fresh, bool only_predict) noexcept {
    if constexpr (!wide) {
      if (by_lane_) {
        Chunk<V, V> chunk = steps_of<V>(t, count, fresh, only_predict);
        chunk.A = A_.at(t);
        chunk.A_time = A_.next();
        chunk.Q = Q_.at(first_ + t - (fresh ? 0 : 1) - before_);
        chunk.Q_time = Q_.next();
        chunk.H = layout_.dense ? rows_ + t * m_ * n_ : H_.at(t);
        chunk.H_time = layout_.dense ? m_ * n_ : H_.next();
        chunk.noise = layout_.dense ? noise_ + t * m_ : R_.at(t);
        chunk.noise_time = layout_.dense ? m_ : R_.next();
        chunk.noise_next = layout_.dense ? 1 : m_ + 1;
        own_(chunk);
        return;
      }
    }
    const Index k = first_ + t;
    Chunk<V, T> chunk = steps_of<T>(t, count, fresh, only_predict);
    chunk.A = model_.A.at(0, k);
    chunk.A_time = model_.A.time;
    chunk.Q = model_.Q.at(0, k - (fresh ? 0 : 1));
    chunk.Q_time = model_.Q.time;
    chunk.H = layout_.dense ? layout_.rows : model_.H.at(0, k);
    chunk.H_time = layout_.dense ? 0 : model_.H.time;
    chunk.noise = layout_.dense ? layout_.noise : model_.R.at(0, k);
    chunk.noise_time = layout_.dense ? 0 : model_.R.time;
    chunk.noise_next = layout_.dense ? 1 : m_ + 1;
    shared_(chunk);
  }

  /// All of a chunk but its coefficients.
  template <class C>
  [[nodiscard]] Chunk<V, C> steps_of(Index t, Index count, bool fresh, bool only_predict) noexcept {
    Chunk<V, C> chunk;
    chunk.steps = count;
    chunk.n = n_;
    chunk.A_pattern = layout_.A;
    chunk.H_pattern = layout_.H;
    chunk.work = work_;
    chunk.predict_first = !fresh;
    chunk.y = (layout_.dense ? white_ : y_) + t * m_;
    chunk.drive = d_ != nullptr ? d_ + t * n_ : nullptr;
    chunk.x = x_;
    chunk.P = P_;
    chunk.evidence = &evidence_;
    chunk.failed = &failed_;
    chunk.f = f_ + t * m_;
    chunk.v = v_ + t * m_;
    if (!only_predict) {
      chunk.m = m_;
      chunk.mean = mean_ != nullptr ? mean_ + t * n_ : nullptr;
      chunk.cov = cov_ != nullptr ? cov_ + t * n_ * n_ : nullptr;
    }
    return chunk;
  }

  /// Keeps the predictions of step t of the chunk, in the user's components of z.
  void keep_prediction(Index t) noexcept {
    std::copy_n(x_, n_, predicted_mean_ + t * n_);
    V* const P = predicted_cov_ + t * n_ * n_;
    for (Index i = 0; i < n_; ++i) {
      for (Index j = 0; j < n_; ++j) {
        P[i * n_ + j] = P_[entry(static_cast<int>(i), static_cast<int>(j))];
      }
    }
    if (by_lane_) {
      keep_innovation(t, H_.at(t), R_.at(t), P);
    } else {
      keep_innovation(t, model_.H.at(0, first_ + t), model_.R.at(0, first_ + t), P);
    }
  }

  /// z - c - D u - H x (m) and H P H' + R (m×m)
  template <class C>
  void keep_innovation(Index t, const C* H, const C* R, const V* P) noexcept {
    V* const v = innovation_ + t * m_;
    V* const F = innovation_cov_ + t * m_ * m_;
    for (Index j = 0; j < m_; ++j) {
      v[j] = y_[t * m_ + j] - dot(H + j * n_, x_);
      for (Index i = 0; i < n_; ++i) {
        product_[i] = dot(H + j * n_, P + i * n_);
      }
      for (Index l = 0; l <= j; ++l) {
        F[j * m_ + l] = dot(H + l * n_, product_) + V(R[j * m_ + l]);
        F[l * m_ + j] = F[j * m_ + l];
      }
    }
  }

  template <class C>
  [[nodiscard]] V dot(const C* a, const V* b) const noexcept {
    V total = V(a[0]) * b[0];
    for (Index l = 1; l < n_; ++l) {
      total = fused(a[l], b[l], total);
    }
    return total;
  }

  /// Writes packs of `size` values per step to the rows of the active lanes.
  void scatter(const Field<T>& field, Index size, const V* from, const Series<V>& series, const bool* active) noexcept {
    if (from == nullptr) {
      return;
    }
    T* rows[W];
    bool aligned = layout_.past_caches;
    for (int s = 0; s < W; ++s) {
      rows[s] = active[s] ? field.at(series.index[s], first_) : nowhere_;
      aligned = aligned && reinterpret_cast<std::uintptr_t>(rows[s]) % register_bytes == 0;
    }
    if (aligned) {
      kelman::scatter<true>(from, steps_ * size, rows, Index(0));
    } else {
      kelman::scatter(from, steps_ * size, rows, Index(0));
    }
  }

  Model<T> model_;
  FilterResult<T> result_;
  Layout<T> layout_;
  Index n_;
  Index m_;
  Drive<V> drive_;
  Kernel<V, T> shared_ = nullptr;
  Kernel<V, V> own_ = nullptr;
  Source<V> A_, Q_, H_, R_;
  // the chunk
  Index first_ = 0;
  Index steps_ = 0;
  Index before_ = 0;      ///< step of the first Q that is held
  bool by_lane_ = false;  ///< coefficients by lane
  V* y_;                  ///< z - c - D u (steps×m)
  V* f_;                  ///< variances of the innovations (steps×m)
  V* v_;                  ///< innovations (steps×m)
  V* white_ = nullptr;    ///< L⁻¹ y (steps×m)
  V* factor_ = nullptr;   ///< L of one step (m×m)
  V* rows_ = nullptr;     ///< H~ (steps×m×n)
  V* noise_ = nullptr;    ///< D (steps×m)
  const V* d_ = nullptr;  ///< b + B u (steps×n)
  // the state
  V* x_;
  V* P_;
  V* work_;
  Evidence<V> evidence_;
  mask_of<V> failed_;
  double total_[W] = {};
  // results
  V* mean_ = nullptr;
  V* cov_ = nullptr;
  V* loglik_ = nullptr;
  V* predicted_mean_ = nullptr;
  V* predicted_cov_ = nullptr;
  V* innovation_ = nullptr;
  V* innovation_cov_ = nullptr;
  V* product_ = nullptr;
  T* nowhere_;
};

}  // namespace kelman::linear::lanes
