// SPDX-License-Identifier: BSD-3-Clause
// Sums of smoothed moments: blocks of series through the smoother, each added up while it is in the cache.
#include "kelman/linear/moment_sums.hpp"

#include <memory>
#include <vector>

#include "kelman/core/workspace.hpp"
#include "kelman/linalg/vector.hpp"
#include "kelman/linear/lanes/back_group.hpp"

namespace kelman::linear {

namespace {

using Problem = FilterProblem<double>;

/// The same field from series `first` on.
template <class T>
[[nodiscard]] Field<T> from(Field<T> field, Index first) noexcept {
  if (field) {
    field.data += first * field.series;
  }
  return field;
}

/// Series [first, first + count) as a problem of its own.
[[nodiscard]] Problem part(const Problem& problem, Index first, Index count) noexcept {
  Problem some = problem;
  Model<double>& model = some.model;
  model.dims.N = count;
  for (Field<const double>* field :
       {&model.A, &model.H, &model.Q, &model.R, &model.B, &model.D, &model.b, &model.c, &model.S, &some.start.mean,
        &some.start.cov, &some.start.inf, &some.start.noise_mean, &some.start.noise_cov, &some.start.noise_cross,
        &some.data.z, &some.data.u, &some.data.u_before}) {
    *field = from(*field, first);
  }
  some.start.rank = from(some.start.rank, first);
  some.data.lengths = from(some.data.lengths, first);
  return some;
}

/// Series of a block. Where each has its covariances they stay in the second cache; where all share them, the passes
/// of the covariances, once for each block, are spread over many.
[[nodiscard]] Index block_of(const Problem& problem) noexcept {
  constexpr Index width = lanes::group_width<double>;
  const Dims& dims = problem.model.dims;
  const Index step = (problem.shared ? dims.n : dims.n * (dims.n + 1)) * static_cast<Index>(sizeof(double));
  const Index series = std::max<Index>(step * dims.T, 1);
  const Index fit = (Index(1) << (problem.shared ? 25 : 20)) / series / width * width;
  return std::clamp<Index>(fit, width, problem.shared ? 512 : 8 * width);
}

/// Smooths blocks of series and adds up their moments; one object per thread.
class Summation {
 public:
  Summation(const Problem& problem, const MomentSums& result, Index block)
      : problem_(problem),
        result_(result),
        n_(problem.model.dims.n),
        p_(problem.model.dims.p),
        q_(n_ + p_ + 1),
        row_((q_ + register_lanes<double> - 1) / register_lanes<double> * register_lanes<double>),
        size_(q_ * row_ + n_ * n_),
        y_(memory_.take<double>(row_)),
        own_(memory_.take<double>((result.sets + 1) * size_)) {
    const Index T = problem.model.dims.T;
    moments_.mean = {memory_.take<double>(block * T * n_), T * n_, n_};
    const Index paths = problem.shared ? 1 : block;
    moments_.cov = {memory_.take<double>(paths * T * n_ * n_), problem.shared ? 0 : T * n_ * n_, n_ * n_};
  }

  /// Series [first, first + count). Their sum goes to `total` unless it is null.
  void run(Index first, Index count, double* total, Interrupt& stop) {
    const Problem some = part(problem_, first, count);
    SmootherResult<double> smoothed = moments_;
    smoothed.loglik = from(result_.loglik, first);
    smoothed.status = from(result_.status, first);
    smoothed.failed_at = from(result_.failed_at, first);
    smooth(some, smoothed, 1, stop);
    for (Index i = 0; i < count && !stop.requested(); ++i) {
      if (*smoothed.status.at(i) == static_cast<std::int32_t>(Status::ok)) {
        add(some, i, result_.reference.at(first + i));
        finish(total != nullptr ? total : result_.sums.at(first + i));
      }
    }
  }

 private:
  /// One set: the sum of yhat yhat' in rows of whole registers (q×row), then that of P (n×n).
  [[nodiscard]] double* set(Index s) const noexcept { return own_ + s * size_; }

  /// The sums of series i of a block. Set `sets` takes the steps without any measurement.
  [[gnu::noinline]] void add(const Problem& some, Index i, const double* reference) noexcept {
    const Index m = some.model.dims.m;
    const Index length = some.data.length(i, some.model.dims.T);
    const Index sets = result_.sets;
    std::fill_n(own_, (sets + 1) * size_, 0.0);
    y_[q_ - 1] = 1;
    for (Index k = 0; k < length; ++k) {
      const double* const x = moments_.mean.at(i, k);
      const double* const P = moments_.cov.at(i, k);
      for (Index l = 0; l < n_; ++l) {
        y_[l] = x[l] - reference[l];
      }
      if (p_ > 0 && k + 1 < length) {
        put(some.data.driving_input(some.model.input_lag, i, k + 1));
        add_step(P, set(0));
      }
      if (p_ == 0 && k + 1 == length) {  // every step so far is in one of the others
        gather();
      }
      put(some.data.direct_input(i, k));
      const double* const z = some.data.z.at(i, k);
      Index seen = 0;
      for (Index j = 0; j < m; ++j) {
        seen += z[j] == z[j] ? 1 : 0;
      }
      if (seen == m) {
        add_step(P, set(1));
      } else if (seen == 0 || sets <= 2) {
        add_step(P, set(sets));
      } else {
        add_step(P, set(2));
        for (Index j = 0; j < m && 3 + j < sets; ++j) {
          if (z[j] == z[j]) {
            add_step(P, set(3 + j));
          }
        }
      }
    }
  }

  /// Set 0 where it needs no inputs: the steps of the others so far.
  void gather() noexcept {
    for (Index e = 0; e < size_; ++e) {
      set(0)[e] = set(1)[e] + set(result_.sets)[e] + (result_.sets > 2 ? set(2)[e] : 0.0);
    }
  }

  void put(const double* u) noexcept {
    for (Index l = 0; l < p_; ++l) {
      y_[n_ + l] = u != nullptr ? u[l] : 0.0;
    }
  }

  /// Adds y y' and P (n×n) to a set.
  void add_step(const double* P, double* set) const noexcept {
    for (Index row = 0; row < q_; ++row) {
      linalg::axpy(row_, y_[row], y_, set + row * row_);
    }
    linalg::axpy(n_ * n_, 1.0, P, set + q_ * row_);
  }

  void finish(double* out) const noexcept {
    for (Index s = 0; s < result_.sets; ++s) {
      const double* const P = set(s) + q_ * row_;
      for (Index row = 0; row < q_; ++row) {
        for (Index col = 0; col < q_; ++col) {
          const double spread = row < n_ && col < n_ ? P[std::max(row, col) * n_ + std::min(row, col)] : 0.0;
          *out++ += set(s)[row * row_ + col] + spread;
        }
      }
    }
  }

  Problem problem_;
  MomentSums result_;
  Workspace memory_;
  Index n_;
  Index p_;
  Index q_;
  Index row_;
  Index size_;
  double* y_;
  double* own_;
  SmootherResult<double> moments_;
};

}  // namespace

void moment_sums(const FilterProblem<double>& problem, const MomentSums& result, int threads, Interrupt& stop) {
  const Dims& dims = problem.model.dims;
  const Index block = std::min(block_of(problem), std::max<Index>(dims.N, 1));
  const Index blocks = (dims.N + block - 1) / block;
  const double work = 3 * work_per_step(problem.model, problem.shared) * static_cast<double>(dims.N * dims.T);
  const int useful = useful_threads(threads, work);
  const Index q = dims.n + dims.p + 1;
  const Index size = result.sets * q * q;
  const bool summed = result.sums.shared();
  std::vector<double> totals(static_cast<std::size_t>(summed ? blocks * size : 0), 0.0);
  std::vector<std::unique_ptr<Summation>> workers;
  for (Index w = 0; w < worker_count(blocks, 1, useful); ++w) {
    workers.push_back(std::make_unique<Summation>(problem, result, block));
  }
  parallel_chunks(blocks, 1, useful, stop, [&](Index begin, Index /*end*/, Index w) {
    const Index first = begin * block;
    workers[static_cast<std::size_t>(w)]->run(first, std::min(block, dims.N - first),
                                              summed ? totals.data() + begin * size : nullptr, stop);
  });
  for (std::size_t e = 0; e < totals.size(); ++e) {
    result.sums.data[e % static_cast<std::size_t>(size)] += totals[e];
  }
}

}  // namespace kelman::linear
