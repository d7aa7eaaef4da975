// SPDX-License-Identifier: BSD-3-Clause
// Sums of smoothed moments: blocks of series through the smoother, each added up while it is in the cache.
#include "kelman/linear/moment_sums.hpp"

#include <memory>
#include <vector>

#include "kelman/core/workspace.hpp"
#include "kelman/linalg/vector.hpp"
#include "kelman/linear/lanes/back_group.hpp"
#include "kelman/linear/lanes/rows.hpp"

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
        own_(memory_.take<double>((result.sets + 1) * size_)),
        chunks_((problem.model.dims.T + chunk - 1) / chunk),
        half_(n_ + n_ * (n_ + 1) / 2),
        packs_(memory_.take<V>(half_ + n_)),
        lanes_(memory_.take<double>(block * half_)),
        taken_(memory_.take<unsigned char>(block * chunks_)),
        again_(memory_.take<unsigned char>(block)) {
    const Index T = problem.model.dims.T;
    moments_.mean = {memory_.take<double>(block * T * n_), T * n_, n_};
    const Index paths = problem.shared ? 1 : block;
    moments_.cov = {memory_.take<double>(paths * T * n_ * n_), problem.shared ? 0 : T * n_ * n_, n_ * n_};
  }

  /// Series [first, first + count). Their sum goes to `total` unless it is null.
  void run(Index first, Index count, double* total, Interrupt& stop) {
    const Problem some = part(problem_, first, count);
    some_ = some;
    first_ = first;
    members_ = 0;
    std::fill_n(lanes_, count * half_, 0.0);
    std::fill_n(taken_, count * chunks_, static_cast<unsigned char>(0));
    std::fill_n(again_, count, static_cast<unsigned char>(0));
    const MomentSink sink{this, &take, &again};
    SmootherResult<double> smoothed = moments_;
    smoothed.sink = p_ == 0 ? &sink : nullptr;
    smoothed.loglik = from(result_.loglik, first);
    smoothed.status = from(result_.status, first);
    smoothed.failed_at = from(result_.failed_at, first);
    smooth(some, smoothed, 1, stop);
    flush();
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

  using V = Pack<double, static_cast<int>(lanes::group_width<double>)>;
  static constexpr Index width = lanes::group_width<double>;
  static constexpr Index chunk = lanes::Rows<V>::chunk;

  /// Adds up steps while they are in registers: those that are measured in full in every lane and not the last.
  static bool take(void* self, const Index* series, const Index* length, int count, Index k, Index steps,
                   const double* mean, const double* cov) {
    return static_cast<Summation*>(self)->take_steps(series, length, count, k, steps, mean, cov);
  }

  static void again(void* self, Index i) { static_cast<Summation*>(self)->again_[i] = 1; }

  bool take_steps(const Index* series, const Index* length, Index count, Index k, Index steps, const double* mean,
                  const double* cov) noexcept {
    for (Index l = 0; l < count; ++l) {
      if (length[l] <= k + steps || !complete(series[l], k, steps)) {
        return false;
      }
    }
    if (members_ == 0 || series_[0] != series[0]) {
      flush();
      members_ = count;
      std::copy_n(series, count, series_);
      for (Index e = 0; e < n_; ++e) {
        for (Index l = 0; l < width; ++l) {
          set_lane(packs_[half_ + e], static_cast<int>(l), result_.reference.at(first_ + series[l])[e]);
        }
      }
    }
    V* const far = packs_ + half_;
    for (Index t = 0; t < steps; ++t) {
      V* sum = packs_;
      for (Index row = 0; row < n_; ++row) {
        const V x = load<V>(mean + (t * n_ + row) * width) - far[row];
        *sum = *sum + x;
        ++sum;
        const double* const P = cov + (t * n_ + row) * n_ * width;
        for (Index col = 0; col < row; ++col, ++sum) {
          const V other = load<V>(mean + (t * n_ + col) * width) - far[col];
          *sum = *sum + fused(x, other, load<V>(P + col * width));
        }
        *sum = *sum + fused(x, x, load<V>(P + row * width));
        ++sum;
      }
    }
    for (Index l = 0; l < count; ++l) {
      taken_[series[l] * chunks_ + k / chunk] = 1;
    }
    return true;
  }

  [[nodiscard]] bool complete(Index i, Index k, Index steps) const noexcept {
    const Index m = some_.model.dims.m;
    double nothing = 0;  // NaN if one of them is
    for (Index t = k; t < k + steps; ++t) {
      const double* const z = some_.data.z.at(i, t);
      for (Index j = 0; j < m; ++j) {
        nothing = fused(z[j], 0.0, nothing);
      }
    }
    return nothing == nothing;
  }

  /// The sums of the group in registers, to its series.
  void flush() noexcept {
    for (Index e = 0; e < half_ && members_ > 0; ++e) {
      for (Index l = 0; l < members_; ++l) {
        lanes_[series_[l] * half_ + e] += lane(packs_[e], static_cast<int>(l));
      }
      packs_[e] = V(0.0);
    }
    members_ = 0;
  }

  /// What was added up in registers, to set 1.
  void begin(Index i) noexcept {
    double* const to = set(1);
    const double* sum = lanes_ + i * half_;
    for (Index row = 0; row < n_; ++row) {
      to[row * row_ + q_ - 1] = to[(q_ - 1) * row_ + row] = *sum++;
      for (Index col = 0; col <= row; ++col) {
        to[row * row_ + col] = to[col * row_ + row] = *sum++;
      }
    }
    for (Index at = 0; at < chunks_; ++at) {
      to[(q_ - 1) * row_ + q_ - 1] += taken_[i * chunks_ + at] != 0 ? static_cast<double>(chunk) : 0.0;
    }
  }

  /// The sums of series i of a block. Set `sets` takes the steps without any measurement.
  [[gnu::noinline]] void add(const Problem& some, Index i, const double* reference) noexcept {
    const Index m = some.model.dims.m;
    const Index length = some.data.length(i, some.model.dims.T);
    const Index sets = result_.sets;
    std::fill_n(own_, (sets + 1) * size_, 0.0);
    y_[q_ - 1] = 1;
    const bool some_taken = again_[i] == 0;
    if (some_taken) {
      begin(i);
    }
    for (Index k = 0; k < length; ++k) {
      if (some_taken && taken_[i * chunks_ + k / chunk] != 0) {
        k += chunk - 1;
        continue;
      }
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
  Index chunks_;
  Index half_;     // sums of a series while they are in registers: for each row x, and x x' + P up to the diagonal
  V* packs_;       // (half), and the reference (n)
  double* lanes_;  // (block×half)
  unsigned char* taken_;  // (block×chunks)
  unsigned char* again_;  // (block)
  Index series_[width] = {};
  Index members_ = 0;
  Index first_ = 0;
  Problem some_;
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
