// SPDX-License-Identifier: BSD-3-Clause
// What the passes of the smoother leave for each other.
#pragma once

#include <vector>

#include "kelman/core/prefetch.hpp"
#include "kelman/linear/problem.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear {

/// The gains J of the steps that are smoothed by their kernel, in the order of the way back. Their number is not known
/// beforehand; memory is taken in blocks of doubling length.
template <Real Scalar>
class KernelTape {
 public:
  explicit KernelTape(Index n) : n_(n) {}

  void clear() noexcept { count_ = 0; }
  [[nodiscard]] Index count() const noexcept { return count_; }
  [[nodiscard]] Index step(Index at) const noexcept { return entries_[static_cast<std::size_t>(at)].step; }
  [[nodiscard]] const Scalar* gain(Index at) const noexcept { return entries_[static_cast<std::size_t>(at)].gain; }

  void append(Index step, const Scalar* gain) {
    if (count_ == static_cast<Index>(entries_.size())) {
      const Index more = std::max<Index>(16, count_);
      auto* const gains = memory_.take<Scalar>(more * n_ * n_);
      for (Index l = 0; l < more; ++l) {
        entries_.push_back({0, gains + l * n_ * n_});
      }
    }
    Entry& entry = entries_[static_cast<std::size_t>(count_++)];
    entry.step = step;
    std::copy_n(gain, n_ * n_, entry.gain);
  }

 private:
  struct Entry {
    Index step;
    Scalar* gain;
  };
  Index n_;
  Index count_ = 0;
  Workspace memory_;
  std::vector<Entry> entries_;
};

/// What the passes leave for each other, apart from the result arrays.
template <Real Scalar>
struct History {
  /// `keeps_cov` false: `cov` is set before each series, to where the covariances go in any case.
  History(const FilterProblem<Scalar>& problem, bool keeps_cov, Workspace& memory)
      : n(problem.model.dims.n),
        tape(problem.model, problem.model.dims.T, memory, true),
        diffuse(problem.model, problem.start.columns),
        kernels(n),
        cov(keeps_cov ? memory.take<Scalar>(problem.model.dims.T * n * n) : nullptr),
        cov_step(n * n),
        cross(problem.model.joint() ? memory.take<Scalar>(problem.model.dims.T * n * n) : nullptr),
        noise(problem.model.joint() ? memory.take<Scalar>(problem.model.dims.T * n * n) : nullptr) {}

  /// Step k of the diffuse phase, or null after it.
  [[nodiscard]] const DiffuseSlot<Scalar>* diffuse_at(Index k) const noexcept {
    return k < diffuse.count() ? &diffuse.at(k) : nullptr;
  }

  /// Cov(x_k | z_1..z_k), finite part.
  [[nodiscard]] Scalar* cov_at(Index k) const noexcept { return cov + tape.slot_of(k) * cov_step; }

  /// Whether the covariances of step k are those of the step before.
  [[nodiscard]] bool repeats(Index k) const noexcept { return k > 0 && tape.slot_of(k) == tape.slot_of(k - 1); }

  /// Asks for what the way back reads of step k.
  void prefetch_cov(Index k) const noexcept {
    if (k >= 0) {
      prefetch(cov_at(k), n * n);
    }
  }
  void prefetch_gains(Index k) const noexcept {
    if (k >= 0) {
      const Slot<Scalar> slot = tape.at(k);
      prefetch(slot.gains, slot.head->count * n);
      prefetch(slot.rows, slot.head->count * n);
    }
  }

  /// Cov(x_k, w_k | z_1..z_k), or null without S.
  [[nodiscard]] Scalar* cross_at(Index k) const noexcept { return cross == nullptr ? nullptr : cross + k * n * n; }

  /// Cov(w_k | z_1..z_k), or null without S.
  [[nodiscard]] Scalar* noise_at(Index k) const noexcept { return noise == nullptr ? nullptr : noise + k * n * n; }

  Index n;
  Tape<Scalar> tape;
  DiffuseTape<Scalar> diffuse;
  KernelTape<Scalar> kernels;
  Scalar* cov;
  Index cov_step;  ///< from one step to the next
  Scalar* cross;
  Scalar* noise;
};

}  // namespace kelman::linear
