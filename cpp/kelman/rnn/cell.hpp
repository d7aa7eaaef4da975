// SPDX-License-Identifier: BSD-3-Clause
// What the sequence driver asks of a recurrent cell. All its steps work on panels (panel.hpp).
//
// The state carried from step to step has `state` rows, of which the first `hidden` are the visible state h. A step
// writes a tape panel of `tape` rows: the new state first, then whatever the way back needs (gates).
//
// A step is linear maps of the previous state and the input, to which functions are applied number by number. Weights
// enter through the linear maps only, as a sum with a *seed* of `seeds` rows (zero here): the error of a seed is what
// weight gradients are made of, and a direction of the weights is a direction of the seed. So a cell gives
//
//     forward         state_k                      of state_{k-1}, x_k
//     backward        dL/dseed, dL/dstate_{k-1}    of dL/dstate_k
//     input_gradient  dL/dx_k                      of dL/dseed
//     add_gradient    dL/dweights                  of dL/dseed at several steps
//     tangent         d state_k                    along directions of seed, state_{k-1} and x_k
//     seed_along      d seed                       along a direction of the weights
//     entries         the seed row that a weight moves, and by what
//     single          the step forward for one series alone (single.hpp)
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "kelman/rnn/activation.hpp"
#include "kelman/rnn/panel.hpp"
#include "kelman/rnn/single.hpp"

namespace kelman::rnn {

/// Rows of the panels of a cell.
struct Sizes {
  Index inputs, hidden, state, tape, seeds;
  Index weights;  // numbers of all weight arrays
};

/// What a gradient is made of: panels of some steps, in order of time. Before the rows of the previous state lie a row
/// of ones and, before it, those of the input.
template <class S>
struct Span {
  Rows<S> x;         // (inputs)
  Rows<S> one;       // (1)
  Rows<S> previous;  // (state)
  Rows<S> now;       // (tape)
  Rows<S> errors;    // (seeds)
  Index steps, packs;

  Index lanes() const { return packs * register_lanes<S>; }
};

/// d seed[row] / d weight = what `where` says: number `at` of the previous state, the input or the tape, or one (at 0).
struct Entry {
  enum class Where { previous, input, tape, one };
  Index row;
  Where where;
  Index at;
};

/// The entries of a matrix (rows x cols, by rows) that multiplies numbers at, at + 1, ... of `where`.
inline void append_matrix(std::vector<Entry>& to, Index first_row, Index rows, Index cols, Entry::Where where,
                          Index at = 0) {
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < cols; ++c) to.push_back({first_row + r, where, at + c});
}
/// The entries of a vector, entry r of which multiplies number at + r, or one.
inline void append_diagonal(std::vector<Entry>& to, Index first_row, Index rows, Entry::Where where, Index at = 0) {
  for (Index r = 0; r < rows; ++r) to.push_back({first_row + r, where, where == Entry::Where::one ? 0 : at + r});
}

template <Real S>
class Cell {
 public:
  explicit Cell(const Sizes& sizes) : sizes_(sizes) {}
  virtual ~Cell() = default;

  Index inputs() const { return sizes_.inputs; }
  Index hidden() const { return sizes_.hidden; }
  Index state() const { return sizes_.state; }
  Index tape() const { return sizes_.tape; }
  Index seeds() const { return sizes_.seeds; }
  Index weights() const { return sizes_.weights; }

  virtual void forward(const S* previous, const S* x, S* now, Index packs) const = 0;
  /// carried: in dL/dstate_k, out dL/dstate_{k-1}, of which the first rows get one term more
  virtual void backward(const S* previous, const S* now, S* carried, S* errors, Index packs, Term<S> more) const = 0;
  virtual void input_gradient(const S* errors, S* dx, Index packs) const = 0;
  /// adds to the weights' gradient, one array after another in the order of their names
  virtual void add_gradient(const Span<S>& span, double* to) const = 0;
  /// x_dot may be null: no direction of the input
  virtual void tangent(const S* seed, const S* previous, const S* previous_dot, const S* x_dot, const S* now,
                       S* now_dot, Index packs) const = 0;
  /// `direction` is a cell of the same kind whose weights are the direction
  virtual void seed_along(const Cell& direction, const S* previous, const S* x, const S* now, S* seed,
                          Index packs) const = 0;
  virtual std::vector<Entry> entries() const = 0;
  /// the step forward for one series
  virtual std::unique_ptr<const SingleStep<S>> single() const = 0;

 protected:
  Index lanes(Index packs) const { return packs * register_lanes<S>; }

 private:
  Sizes sizes_;
};

/// The term of a direction that may be absent.
template <class S>
Term<S> optional_term(const Product<S>& weights, const S* panel, const Product<S>& none) {
  return panel == nullptr ? Term<S>{&none, nullptr} : Term<S>{&weights, panel};
}

}  // namespace kelman::rnn
