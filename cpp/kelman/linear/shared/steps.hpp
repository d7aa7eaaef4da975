// SPDX-License-Identifier: BSD-3-Clause
// What all series of a batch have in common at the steps of one window: gains from the tape, and numbers made from it
// and from the model once, so that the recursion of the means multiplies and adds, and nothing else.
#pragma once

#include <algorithm>
#include <vector>

#include "kelman/linalg/vector.hpp"
#include "kelman/linear/problem.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear::shared {

/// The nonzero entries of a matrix, row by row.
template <Real Scalar>
struct SparseRows {
  std::vector<std::int32_t> begin;  ///< of row i: begin[i] to begin[i+1]
  std::vector<std::int32_t> column;
  std::vector<Scalar> value;

  /// Takes the matrix (rows×cols) if fewer than a third of its entries are nonzero.
  [[nodiscard]] bool take(Index rows, Index cols, const Scalar* A) {
    begin.assign(1, 0);
    column.clear();
    value.clear();
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) {
        if (A[i * cols + j] != Scalar(0)) {
          column.push_back(static_cast<std::int32_t>(j));
          value.push_back(A[i * cols + j]);
        }
      }
      begin.push_back(static_cast<std::int32_t>(column.size()));
    }
    return static_cast<Index>(column.size()) * 3 < rows * cols;
  }
};

/// Whether the noise of the transition into the first step has a mean: then that transition is made series by series,
/// before the lanes begin.
template <Real Scalar>
[[nodiscard]] bool arrives(const FilterProblem<Scalar>& problem) noexcept {
  if (!problem.start.before_first || problem.model.joint()) {
    return problem.start.before_first;
  }
  const Field<const Scalar>& w = problem.start.noise_mean;
  for (Index i = 0; w && i < (w.shared() ? Index(1) : problem.model.dims.N); ++i) {
    if (std::any_of(w.at(i), w.at(i) + problem.model.dims.n, [](Scalar value) { return value != Scalar(0); })) {
      return true;
    }
  }
  return false;
}

/// The same problem after the transition into the first step.
template <Real Scalar>
[[nodiscard]] FilterProblem<Scalar> arrived(FilterProblem<Scalar> problem) noexcept {
  problem.start.before_first = false;
  return problem;
}

/// The steps of one window. Rows of its arrays are steps, from `first` on.
template <Real Scalar>
class Steps {
 public:
  /// `tape` has room for `window` steps, and outlives this.
  [[gnu::noinline]] Steps(const FilterProblem<Scalar>& problem, const Tape<Scalar>& tape, Index window,
                          Workspace& memory)
      : problem_(problem),
        n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        tape_(tape),
        inverse_(memory.take<Scalar>(window * m_)),
        drive_(drives() && drive_shared() ? memory.take<Scalar>(window * n_) : nullptr),
        offset_(corrects() && offset_shared() ? memory.take<Scalar>(window * m_) : nullptr) {
    const Model<Scalar>& model = problem.model;
    sparse_ = n_ > 8 && model.A.constant() && !model.joint() && transition_.take(n_, n_, model.A.at(0, 0));
    if (n_ > 8 && model.H.constant() && !model.joint()) {
      for (Index j = 0; j < n_; ++j) {
        bool used = false;
        for (Index e = 0; e < m_; ++e) {
          used = used || model.H.at(0, 0)[e * n_ + j] != Scalar(0);
        }
        if (used) {
          seen_.push_back(static_cast<std::int32_t>(j));
        }
      }
    } else {
      for (Index j = 0; j < n_; ++j) {
        seen_.push_back(static_cast<std::int32_t>(j));
      }
    }
  }

  /// The slot of step k on the tape, to be filled before `prepare`.
  [[nodiscard]] Slot<Scalar> slot(Index k) const noexcept { return tape_.at(k - first_); }

  /// The number of that slot: steps that repeat one another share it.
  [[nodiscard]] Index number(Index k) const noexcept { return tape_.slot_of(k - first_); }

  /// Begins a window.
  void begin(Index first) noexcept { first_ = first; }

  /// Makes the numbers of steps [first, last) from the tape; `i` is any of the series.
  [[gnu::noinline]] void prepare(Index i, Index last) noexcept {
    mixed_ = false;
    for (Index k = first_; k < last; ++k) {
      const Slot<Scalar> slot = this->slot(k);
      mixed_ = mixed_ || slot.head->mixed;
      Scalar* const inverse = inverse_ + number(k) * m_;
      for (Index e = 0; number(k) == k - first_ && e < slot.head->count; ++e) {
        inverse[e] = slot.use[e] == Use::ordinary ? Scalar(1) / slot.variance[e] : Scalar(0);
      }
      if (drive_ != nullptr) {
        drive_of(i, k, drive_ + (k - first_) * n_);
      }
      if (offset_ != nullptr) {
        offset_of(i, k, offset_ + (k - first_) * m_);
      }
    }
  }

  /// b + B u of the transition into x_k.                                                (n) = (n) + (n×p)(p)
  void drive_of(Index i, Index k, Scalar* out) const noexcept {
    const Model<Scalar>& model = problem_.model;
    std::fill_n(out, n_, Scalar(0));
    if (model.b) {
      std::copy_n(model.b.at(i, k), n_, out);
    }
    const Scalar* const u = model.B ? problem_.data.driving_input(model.input_lag, i, k) : nullptr;
    for (Index row = 0; u != nullptr && row < n_; ++row) {
      out[row] += linalg::dot(model.dims.p, model.B.at(i, k) + row * model.dims.p, u);
    }
  }

  /// c + D u of z_k.                                                                     (m) = (m) + (m×p)(p)
  void offset_of(Index i, Index k, Scalar* out) const noexcept {
    const Model<Scalar>& model = problem_.model;
    std::fill_n(out, m_, Scalar(0));
    if (model.c) {
      std::copy_n(model.c.at(i, k), m_, out);
    }
    const Scalar* const u = model.D ? problem_.data.direct_input(i, k) : nullptr;
    for (Index row = 0; u != nullptr && row < m_; ++row) {
      out[row] += linalg::dot(model.dims.p, model.D.at(i, k) + row * model.dims.p, u);
    }
  }

  [[nodiscard]] const FilterProblem<Scalar>& problem() const noexcept { return problem_; }

  /// Whether a transition leads to x_k from what was known before.
  [[nodiscard]] bool moves(Index k) const noexcept { return k > 0 || problem_.start.before_first; }

  [[nodiscard]] const Scalar* A(Index k) const noexcept { return problem_.model.A.at(0, k); }        ///< (n×n)
  [[nodiscard]] const Scalar* inverse(Index k) const noexcept { return inverse_ + number(k) * m_; }  ///< 1/f or 0

  /// b + B u (n) where it is the same for all series, or null.
  [[nodiscard]] const Scalar* drive(Index k) const noexcept {
    return drive_ != nullptr ? drive_ + (k - first_) * n_ : nullptr;
  }

  /// c + D u (m) where it is the same for all series, or null.
  [[nodiscard]] const Scalar* offset(Index k) const noexcept {
    return offset_ != nullptr ? offset_ + (k - first_) * m_ : nullptr;
  }

  [[nodiscard]] bool mixed() const noexcept { return mixed_; }  ///< whether some slot has an L

  /// A by its nonzero entries, or null.
  [[nodiscard]] const SparseRows<Scalar>* sparse() const noexcept { return sparse_ ? &transition_ : nullptr; }

  /// Columns of H that are not zero.
  [[nodiscard]] const std::vector<std::int32_t>& seen() const noexcept { return seen_; }

  /// Whether there is a b or B u at all; and whether it differs between series.
  [[nodiscard]] bool drives() const noexcept { return problem_.model.b || (problem_.model.B && problem_.data.u); }
  [[nodiscard]] bool drive_shared() const noexcept {
    return problem_.model.b.shared() && problem_.model.B.shared() &&
           (!problem_.model.B || (problem_.data.u.shared() && problem_.data.u_before.shared()));
  }

  /// Whether there is a c or D u at all; and whether it differs between series.
  [[nodiscard]] bool corrects() const noexcept { return problem_.model.c || (problem_.model.D && problem_.data.u); }
  [[nodiscard]] bool offset_shared() const noexcept {
    return problem_.model.c.shared() && problem_.model.D.shared() && (!problem_.model.D || problem_.data.u.shared());
  }

 private:
  FilterProblem<Scalar> problem_;
  Index n_;
  Index m_;
  Index first_ = 0;
  const Tape<Scalar>& tape_;
  Scalar* inverse_;
  Scalar* drive_;
  Scalar* offset_;
  SparseRows<Scalar> transition_;
  std::vector<std::int32_t> seen_;
  bool sparse_ = false;
  bool mixed_ = false;
};

}  // namespace kelman::linear::shared
