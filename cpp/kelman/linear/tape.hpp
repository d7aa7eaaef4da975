// SPDX-License-Identifier: BSD-3-Clause
// What the covariance recursion leaves for the means and for the way back: gains, variances and rows, step by step.
//
// Nothing on the tape depends on the data except through the pattern of missing components. So one tape serves all
// series that share a model, a start and a pattern; and it serves the backward pass of the smoother.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kelman/core/workspace.hpp"
#include "kelman/linear/model.hpp"

namespace kelman::linear {

/// How one component of a measurement was used.
enum class Use : unsigned char {
  ordinary,  ///< K = M / f
  diffuse,   ///< it determined one diffuse direction
  exact,     ///< the model predicts it without error: nothing to learn, only to compare
};

/// The numbers of one step of the tape.
template <Real Scalar>
struct SlotHead {
  Scalar constant = Scalar(0);  ///< part of the log-likelihood that does not depend on the data
  std::int32_t count = 0;       ///< components processed
  std::int32_t size = 0;        ///< length s of the vector carried: n, or 2n + count with S
  bool mixed = false;           ///< whether L is in use
  bool block = false;           ///< whether all components were used at once (block.hpp)
  bool exact = false;           ///< whether some component has no noise
};

/// One step of the tape. Arrays have one entry per processed component e < count.
template <Real Scalar>
struct Slot {
  SlotHead<Scalar>* head = nullptr;
  std::int32_t* component = nullptr;  ///< index in z
  Use* use = nullptr;                 ///< how it was used
  Scalar* rows = nullptr;             ///< H~ (count×n)
  Scalar* gains = nullptr;            ///< K (count×size of the model)
  Scalar* variance = nullptr;         ///< f, or F_inf of a diffuse component
  Scalar* tolerance = nullptr;        ///< standard deviation before the step, the yardstick of exact components
  Scalar* mix = nullptr;              ///< L (count×count)
  Scalar* coupling = nullptr;         ///< L' of block.hpp (count×count), for wide models
};

/// What the way back needs of one diffuse step.
template <Real Scalar>
struct DiffuseSlot {
  Index rank = 0;            ///< columns of V after the step
  Scalar* V = nullptr;       ///< V after the step (n×columns)
  Scalar* gains = nullptr;   ///< K₁ of each component (m×size)
  Scalar* finite = nullptr;  ///< F* of each component (m)
  Scalar* seen = nullptr;    ///< a = V'h of each diffuse component, for the V it met (m×columns)
  Scalar* lead = nullptr;    ///< Θ (led×columns) if the transition into the step made V of `led` columns narrower
  Index led = 0;             ///< 0: it did not
};

/// Takes a row q of the directions that a step began with to those before the transition into it: q <- q Θ'. The row
/// may be one of packs; `scratch` (columns).
template <class T, Real Scalar>
[[gnu::cold, gnu::noinline]] void lead_back(const DiffuseSlot<Scalar>& slot, Index began, Index columns, T* scratch,
                                            T* q) noexcept {
  std::copy_n(q, began, scratch);
  for (Index c = 0; c < slot.led; ++c) {
    q[c] = T(Scalar(0));
    for (Index l = 0; l < began; ++l) {
      q[c] = fused(slot.lead[c * columns + l], scratch[l], q[c]);
    }
  }
}

/// A fixed number of slots, taken before the time loop.
template <Real Scalar>
class Tape {
 public:
  /// `repeats`: whether steps may share a slot.
  Tape(const Model<Scalar>& model, Index steps, Workspace& memory, bool repeats = false)
      : n_(model.dims.n),
        m_(model.dims.m),
        s_(model.size()),
        slot_(repeats ? memory.take<Index>(steps) : nullptr),
        heads_(memory.take<SlotHead<Scalar>>(steps)),
        component_(memory.take<std::int32_t>(steps * m_)),
        use_(memory.take<Use>(steps * m_)),
        rows_(memory.take<Scalar>(steps * m_ * n_)),
        gains_(memory.take<Scalar>(steps * m_ * s_)),
        variance_(memory.take<Scalar>(steps * m_)),
        tolerance_(memory.take<Scalar>(steps * m_)),
        mix_(memory.take<Scalar>(steps * m_ * m_)),
        coupling_(model.wide() ? memory.take<Scalar>(steps * m_ * m_) : nullptr) {}

  [[nodiscard]] Slot<Scalar> at(Index k) const noexcept {
    const Index at = slot_of(k);
    const Index row = at * m_;
    return {heads_ + at,      component_ + row,  use_ + row,
            rows_ + row * n_, gains_ + row * s_, variance_ + row,
            tolerance_ + row, mix_ + row * m_,   coupling_ == nullptr ? nullptr : coupling_ + row * m_};
  }

  /// The step whose slot step k has: k, unless it repeats an earlier one.
  [[nodiscard]] Index slot_of(Index k) const noexcept { return slot_ == nullptr ? k : slot_[k]; }

  /// Gives step k a slot of its own, or that of step `like`. Only for a tape that repeats.
  void own(Index k) noexcept { slot_[k] = k; }
  void repeat(Index k, Index like) noexcept { slot_[k] = slot_[like]; }

  /// Bytes of one slot, for choosing how many to keep in the cache.
  [[nodiscard]] static Index slot_bytes(const Model<Scalar>& model) noexcept {
    const Index m = model.dims.m;
    const auto item = static_cast<Index>(sizeof(Scalar));
    return m * (model.dims.n + model.size() + (model.wide() ? 2 : 1) * m + 2) * item + 5 * m +
           static_cast<Index>(sizeof(SlotHead<Scalar>));
  }

 private:
  Index n_;
  Index m_;
  Index s_;
  Index* slot_;
  SlotHead<Scalar>* heads_;
  std::int32_t* component_;
  Use* use_;
  Scalar* rows_;
  Scalar* gains_;
  Scalar* variance_;
  Scalar* tolerance_;
  Scalar* mix_;
  Scalar* coupling_;
};

/// The diffuse steps, which come first. Their number is not known beforehand: memory is taken in blocks of doubling
/// length, so that only a long diffuse phase ever allocates, and a logarithmic number of times.
template <Real Scalar>
class DiffuseTape {
 public:
  DiffuseTape(const Model<Scalar>& model, Index columns) : model_(model), columns_(columns) {}

  /// Forgets the steps, keeps the memory.
  void clear() noexcept { count_ = 0; }

  /// Number of diffuse steps.
  [[nodiscard]] Index count() const noexcept { return count_; }

  [[nodiscard]] DiffuseSlot<Scalar>& append() {
    if (count_ == static_cast<Index>(slots_.size())) {
      grow(count_ == 0 ? 32 : count_);
    }
    return slots_[static_cast<std::size_t>(count_++)];
  }

  [[nodiscard]] const DiffuseSlot<Scalar>& at(Index k) const noexcept { return slots_[static_cast<std::size_t>(k)]; }

 private:
  void grow(Index steps) {
    const Index v = model_.dims.n * columns_;
    const Index g = model_.dims.m * model_.size();
    auto* const V = memory_.take<Scalar>(steps * v);
    auto* const gains = memory_.take<Scalar>(steps * g);
    const Index m = model_.dims.m;
    auto* const finite = memory_.take<Scalar>(steps * m);
    auto* const seen = memory_.take<Scalar>(steps * m * columns_);
    auto* const lead = memory_.take<Scalar>(steps * columns_ * columns_);
    for (Index k = 0; k < steps; ++k) {
      slots_.push_back(
          {0, V + k * v, gains + k * g, finite + k * m, seen + k * m * columns_, lead + k * columns_ * columns_, 0});
    }
  }

  Model<Scalar> model_;
  Index columns_;
  Index count_ = 0;
  Workspace memory_;
  std::vector<DiffuseSlot<Scalar>> slots_;
};

}  // namespace kelman::linear
