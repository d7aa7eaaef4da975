// SPDX-License-Identifier: BSD-3-Clause
// A network online: one step of N series at a time, the numbers of a forward pass to the bit.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "kelman/rnn/sequence.hpp"

namespace kelman::rnn {

template <Real S>
class Stepper {
 public:
  /// Cell and readout must outlive it; state (N, state) is the start, row by row.
  Stepper(const Cell<S>& cell, const Readout<S>& readout, Index series, const S* h0, const S* c0)
      : cell_(cell),
        readout_(readout),
        cut_(series),
        block_(step_of<S>(cell.tape(), cut_.packs)),
        states_(memory_.take<S>(cut_.blocks * block_)),
        spare_(memory_.take<S>(block_)),
        x_(memory_.take<S>(step_of<S>(cell.inputs(), cut_.packs))),
        y_(memory_.take<S>(step_of<S>(readout.outputs(), cut_.packs))),
        single_(series == 1 ? cell.single() : nullptr),
        single_readout_(readout) {
    restart(h0, c0);
  }

  Index series() const { return cut_.series; }

  /// Begins again at h0 (N, h) and c0 (N, state - h), or zeros where c0 is null.
  void restart(const S* h0, const S* c0) {
    const Index h = cell_.hidden(), rest = cell_.state() - h;
    if (single_) {
      std::copy_n(h0, h, states_);
      std::fill_n(states_ + padded<S>(h), rest, S(0));
      if (c0 != nullptr) std::copy_n(c0, rest, states_ + padded<S>(h));
      return;
    }
    for (Index b = 0; b < cut_.blocks; ++b) {
      to_panel(h0, h, b, states_ + b * block_);
      S* const beyond = states_ + b * block_ + h * cut_.lanes;
      if (c0 == nullptr) {
        std::fill_n(beyond, rest * cut_.lanes, S(0));
      } else {
        to_panel(c0, rest, b, beyond);
      }
    }
  }

  /// Takes x (N, i); writes y (N, o) unless null. Whether all states are finite.
  bool step(const S* x, S* y) {
    using V = Register<S>;
    V sum(S(0));
    if (single_) {
      single_->forward(states_, x, spare_);
      std::swap(states_, spare_);
      if (y != nullptr) {
        single_readout_.forward(states_, x, y_);
        std::copy_n(y_, readout_.outputs(), y);
      }
      const Index numbers = cell_.state() / cell_.hidden() * padded<S>(cell_.hidden());
      for (Index k = 0; k < numbers; k += lanes<V>) sum = fused(V(S(0)), load<V>(states_ + k), sum);
      return all(sum == V(S(0)));
    }
    for (Index b = 0; b < cut_.blocks; ++b) {
      S* const state = states_ + b * block_;
      to_panel(x, cell_.inputs(), b, x_);
      cell_.forward(state, x_, spare_, cut_.packs);
      std::copy_n(spare_, cell_.state() * cut_.lanes, state);
      if (y != nullptr) {
        readout_.forward(state, x_, y_, cut_.packs);
        from_panel(y_, readout_.outputs(), b, y);
      }
      for (Index j = 0; j < cell_.state() * cut_.packs; ++j) sum = fused(V(S(0)), load<V>(state + j * lanes<V>), sum);
    }
    return all(sum == V(S(0)));
  }

  /// The states h (N, h), and c (N, state - h) unless null.
  void state(S* h, S* c) const {
    if (single_) {
      std::copy_n(states_, cell_.hidden(), h);
      if (c != nullptr) std::copy_n(states_ + padded<S>(cell_.hidden()), cell_.state() - cell_.hidden(), c);
      return;
    }
    for (Index b = 0; b < cut_.blocks; ++b) {
      from_panel(states_ + b * block_, cell_.hidden(), b, h);
      if (c != nullptr)
        from_panel(states_ + b * block_ + cell_.hidden() * cut_.lanes, cell_.state() - cell_.hidden(), b, c);
    }
  }

 private:
  void to_panel(const S* rows, Index cols, Index b, S* panel) const {
    for (Index l = 0; l < cut_.lanes; ++l) {
      const S* const row = rows + std::min(b * cut_.lanes + l, cut_.series - 1) * cols;
      for (Index j = 0; j < cols; ++j) panel[j * cut_.lanes + l] = row[j];
    }
  }
  void from_panel(const S* panel, Index cols, Index b, S* rows) const {
    const Index first = b * cut_.lanes, used = std::min(cut_.lanes, cut_.series - first);
    for (Index l = 0; l < used; ++l)
      for (Index j = 0; j < cols; ++j) rows[(first + l) * cols + j] = panel[j * cut_.lanes + l];
  }

  const Cell<S>& cell_;
  const Readout<S>& readout_;
  detail::Cut<S> cut_;
  Index block_;
  Workspace memory_;
  S *states_, *spare_, *x_, *y_;
  std::unique_ptr<const SingleStep<S>> single_;  // where there is one series
  typename Readout<S>::Single single_readout_;
};

}  // namespace kelman::rnn
