// SPDX-License-Identifier: BSD-3-Clause
// One group of series through time: W lanes, chunk after chunk.
//
// A chunk of steps is read (rows of z turned into packs), taken (kernel.hpp), and written (packs turned back into
// rows); its packs lie in the first levels of the cache. Chunks end at multiples of their length, at the entry of a
// series that comes late (start.hpp), and at the end of one: between these, nothing looks at single lanes. All lanes
// are at the same time, so that coefficients that all share are the same numbers.
#pragma once

#include <algorithm>
#include <cmath>

#include "kelman/linear/lanes/chunks.hpp"
#include "kelman/linear/lanes/start.hpp"

namespace kelman::linear::lanes {

/// Filters groups of series; one object per thread.
template <Lanes V>
class Group {
 public:
  using T = scalar_of<V>;
  static constexpr int W = kelman::lanes<V>;

  [[gnu::cold, gnu::noinline]] Group(const FilterProblem<T>& problem, const FilterResult<T>& result,
                                     const Layout<T>& layout, Workspace& memory)
      : problem_(problem),
        result_(result),
        n_(problem.model.dims.n),
        careful_(problem, result, Index(1), memory),
        chunks_(problem, result, layout, memory),
        x_(memory.take<T>(n_ * W)),
        P_(memory.take<T>(triangle(static_cast<int>(n_)) * W)),
        work_(memory.take<T>(entry_work(n_))) {}

  /// Filters the series index[0..count), 1 <= count <= W. Ways that were taken are added to `method`.
  [[gnu::cold, gnu::noinline]] void run(const Index* index, int count, Method& method, Interrupt& stop) {
    enter_all(index, count, method, stop);
    if (series_.count == 0) {
      return;
    }
    method |= Way::lanes;
    for (int s = series_.count; s < W; ++s) {
      series_.index[s] = series_.index[0];
      copy_lane(s, 0);
    }
    chunks_.begin(series_);
    march(stop);
    for (int s = 0; s < series_.count && !stop.requested(); ++s) {
      if (failed_[s]) {  // told apart and blanked by the form that reports troubles
        method |= Way::univariate;
        careful_.run(series_.index[s], series_.index[s] + 1, stop);
      }
    }
  }

 private:
  /// Takes the steps that are not for the lanes, and the series that have some left.
  [[gnu::cold, gnu::noinline]] void enter_all(const Index* index, int count, Method& method, Interrupt& stop) {
    series_.count = 0;
    for (int j = 0; j < count; ++j) {
      const Index i = index[j];
      const int s = series_.count;
      const Index length = problem_.data.length(i, problem_.model.dims.T);
      Entry<T> entry{0, 0, x_ + s * n_, P_ + s * triangle(static_cast<int>(n_)), work_};
      if (length == 0) {
        careful_.run(i, i + 1, stop);
        continue;
      }
      const bool left = enter(problem_, i, careful_, work_ + n_ * (n_ + 1), entry);
      if (!left || entry.begin > 0) {
        method |= Way::univariate;
      }
      if (left) {
        series_.index[s] = i;
        begin_[s] = entry.begin;
        end_[s] = length;
        loglik_[s] = entry.loglik;
        failed_[s] = false;
        ++series_.count;
      }
    }
  }

  void copy_lane(int to, int from) noexcept {
    begin_[to] = begin_[from];
    end_[to] = end_[from];
    const int size = triangle(static_cast<int>(n_));
    std::copy_n(x_ + from * n_, n_, x_ + to * n_);
    std::copy_n(P_ + from * size, size, P_ + to * size);
  }

  /// Takes all steps.
  [[gnu::noinline]] void march(Interrupt& stop) noexcept {
    const int count = series_.count;
    Index k = *std::min_element(begin_, begin_ + count);
    const Index last = *std::max_element(end_, end_ + count);
    bool fresh = true;
    while (k < last && !stop.check()) {
      Index next = std::min(last, chunks_.end_of(k));
      for (int s = 0; s < count; ++s) {
        next = begin_[s] > k ? std::min(next, begin_[s]) : next;
        next = end_[s] > k ? std::min(next, end_[s]) : next;
      }
      const bool late = !fresh && std::any_of(begin_, begin_ + W, [k](Index begin) { return begin == k; });
      chunks_.read(series_, k, next);
      if (fresh || late) {
        if (late) {
          chunks_.predict();
        }
        for (int s = 0; s < W; ++s) {
          if (begin_[s] == k) {
            chunks_.set_state(s, x_ + s * n_, P_ + s * triangle(static_cast<int>(n_)));
          }
        }
      }
      chunks_.take(fresh || late);
      fresh = false;
      close(k, next);
      k = next;
    }
  }

  /// Writes the results of steps [k, next), and those of the series that end there.
  void close(Index k, Index next) noexcept {
    const int count = series_.count;
    bool active[W];
    for (int s = 0; s < W; ++s) {
      active[s] = s < count && begin_[s] <= k && k < end_[s];
    }
    chunks_.write(series_, active);
    const bool trouble = chunks_.failed();
    for (int s = 0; trouble && s < count; ++s) {
      failed_[s] = failed_[s] || (active[s] && chunks_.failed(s));
    }
    for (int s = 0; s < count; ++s) {
      if (active[s] && next == end_[s]) {
        loglik_[s] += chunks_.loglik(s);
        finish(s);
      }
    }
    chunks_.settle(next);
  }

  /// Log-likelihood, status and end state of the series in lane s; NaN after its end.
  [[gnu::cold, gnu::noinline]] void finish(int s) noexcept {
    const Index i = series_.index[s];
    const auto [n, m, p, T_, N] = problem_.model.dims;
    T* const x = work_;
    T* const P = work_ + n_;
    chunks_.state(s, x, P);
    T total(0);
    for (Index l = 0; l < n; ++l) {
      total += std::abs(x[l]) + std::abs(P[l * n + l]);
    }
    if (!std::isfinite(total) || !std::isfinite(loglik_[s])) {
      failed_[s] = true;
    }
    const Index length = end_[s];
    if (length < T_) {
      blank(result_.mean, i, length, T_, n, false);
      blank(result_.predicted_mean, i, length, T_, n, false);
      blank(result_.innovation, i, length, T_, m, false);
      blank(result_.loglik_obs, i, length, T_, Index(1), false);
      blank(result_.cov, i, length, T_, n * n, false);
      blank(result_.predicted_cov, i, length, T_, n * n, false);
      blank(result_.innovation_cov, i, length, T_, m * m, false);
    }
    if (result_.mean && result_.mean.constant()) {
      std::copy_n(x, n, result_.mean.at(i));
    }
    if (result_.cov && result_.cov.constant()) {
      std::copy_n(P, n * n, result_.cov.at(i));
    }
    *result_.loglik.at(i) = static_cast<T>(loglik_[s]);
    *result_.status.at(i) = static_cast<std::int32_t>(Status::ok);
    *result_.failed_at.at(i) = -1;
    if (result_.state_mean) {
      std::copy_n(x, n, result_.state_mean.at(i));
    }
    if (result_.state_cov) {
      std::copy_n(P, n * n, result_.state_cov.at(i));
      *result_.state_rank.at(i) = 0;
      std::fill_n(result_.state_inf.at(i), n * problem_.start.columns, T(0));
    }
    if (result_.state_noise_cov) {
      std::copy_n(problem_.model.Q.at(i, length - 1), n * n, result_.state_noise_cov.at(i));
    }
  }

  FilterProblem<T> problem_;
  FilterResult<T> result_;
  Index n_;
  Filter<Univariate<T>> careful_;
  Chunks<V> chunks_;
  Series<V> series_;
  T* x_;
  T* P_;
  T* work_;
  Index begin_[W] = {};
  Index end_[W] = {};
  double loglik_[W] = {};
  bool failed_[W] = {};
};

}  // namespace kelman::linear::lanes
