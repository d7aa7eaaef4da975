// SPDX-License-Identifier: BSD-3-Clause
// From the visible state to the output: y_k = sigma(V h_k + D x_k + c), the same for every cell; or the state itself.
//
// Backward, with g_k = dL/dy_k . sigma'(.):  dV += g_k h_k'   dc += g_k   dD += g_k x_k'   dL/dh_k += V' g_k
// Shapes: V (o,h), c (o), D (o,i) or absent. Weights in the order V, c, D.
#pragma once

#include "kelman/rnn/cell.hpp"

namespace kelman::rnn {

template <Real S>
class Readout {
 public:
  /// The state is the output.
  explicit Readout(Index hidden) : hidden_(hidden), outputs_(hidden) {}

  /// D may be null.
  Readout(Index outputs, Index hidden, Index inputs, const S* V, const S* c, const S* D, Activation activation)
      : there_(true),
        direct_(D != nullptr),
        hidden_(hidden),
        inputs_(inputs),
        outputs_(outputs),
        activation_(activation),
        c_(c),
        weights_V_(V),
        weights_D_(D),
        V_(Product<S>::plain(V, outputs, hidden)),
        V_back_(Product<S>::transposed(V, outputs, hidden)) {
    if (direct_) {
      D_ = Product<S>::plain(D, outputs, inputs);
      D_back_ = Product<S>::transposed(D, outputs, inputs);
    }
  }

  bool there() const { return there_; }
  bool direct() const { return direct_; }
  Index outputs() const { return outputs_; }
  Activation activation() const { return activation_; }
  Index weights() const { return there_ ? outputs_ * (hidden_ + 1 + (direct_ ? inputs_ : 0)) : 0; }

  /// y (o x L) <- sigma(V h + D x + c)
  void forward(const S* h, const S* x, S* y, Index packs) const {
    if (!there_) {
      std::copy_n(h, outputs_ * packs * register_lanes<S>, y);
      return;
    }
    affine<S>(y, outputs_, packs, {c_}, {{&V_, h}, {&D_, x}});
    activate(activation_, y, outputs_ * packs * register_lanes<S>);
  }

  /// The readout of one series: y has o numbers in whole registers.
  class Single {
   public:
    explicit Single(const Readout& readout)
        : there_(readout.there_),
          outputs_(readout.outputs_),
          activation_(readout.activation_),
          c_(padded_blocks(readout.c_, 1, readout.outputs_)),
          V_(readout.weights_V_, 1, readout.outputs_, readout.hidden_),
          D_(readout.weights_D_, 1, readout.outputs_, readout.inputs_) {}

    Index outputs() const { return outputs_; }

    void forward(const S* h, const S* x, S* y) const {
      if (!there_) {
        std::copy_n(h, outputs_, y);
        return;
      }
      affine_single<S>(y, padded<S>(outputs_), c_.data(), {{&V_, h}, {&D_, x}});
      activate(activation_, y, padded<S>(outputs_));
    }

   private:
    bool there_;
    Index outputs_;
    Activation activation_;
    std::vector<S> c_;
    Columns<S> V_, D_;
  };

  /// carried (first rows) += dL/dh_k; g is dL/dy . sigma'
  void backward(const S* g, S* carried, Index packs) const {
    if (there_) {
      affine<S>(carried, hidden_, packs, {nullptr, carried}, {{&V_back_, g}});
    } else {
      each_pack(
          hidden_ * packs * register_lanes<S>, [](const auto& a, const auto& b) { return a + b; }, carried,
          static_cast<const S*>(carried), g);
    }
  }

  /// what `backward` adds, as a term, if there is a readout
  Term<S> backward_term(const S* g) const { return {&V_back_, g}; }
  Term<S> no_term() const { return {&none_, nullptr}; }

  /// dx += D' g
  void add_input_gradient(const S* g, S* dx, Index packs) const {
    if (direct_) affine<S>(dx, inputs_, packs, {nullptr, dx}, {{&D_back_, g}});
  }

  /// adds the gradients of V, c, D over some steps; before the rows of h lies a row of ones
  void add_gradient(Rows<S> g, Rows<S> one_and_h, Rows<S> x, Index steps, Index packs, double* to) const {
    if (!there_) return;
    double *const c = to + outputs_ * hidden_, *const D = c + outputs_;
    outer(g, outputs_, one_and_h, steps, packs, {{1, c, 1}, {hidden_, to, hidden_}});
    if (direct_) outer(g, outputs_, x, steps, packs, {{inputs_, D, inputs_}});
  }

  /// y_dot along directions of h, x (or null) and the weights (or null)
  void tangent(const Readout* along, const S* h, const S* h_dot, const S* x, const S* x_dot, const S* y, S* y_dot,
               Index packs) const {
    const Index size = outputs_ * packs * register_lanes<S>;
    if (!there_) {
      std::copy_n(h_dot, size, y_dot);
      return;
    }
    affine<S>(y_dot, outputs_, packs, {along == nullptr ? nullptr : along->c_},
              {{&V_, h_dot},
               optional_term(D_, x_dot, none_),
               {along == nullptr ? &none_ : &along->V_, h},
               {along == nullptr ? &none_ : &along->D_, x}});
    times_slope<S>(activation_, y, y_dot, y_dot, size);
  }

 private:
  bool there_ = false, direct_ = false;
  Index hidden_, inputs_ = 0, outputs_;
  Activation activation_{0};
  const S *c_ = nullptr, *weights_V_ = nullptr, *weights_D_ = nullptr;
  Product<S> V_, V_back_, D_, D_back_, none_;
};

}  // namespace kelman::rnn
