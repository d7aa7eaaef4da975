// SPDX-License-Identifier: BSD-3-Clause
// The Elman cell, with an optional linear way past the activation:
//
//     f_k = sigma(U h_{k-1} + W x_k + b)          h_k = f_k + A h_{k-1} + B x_k
//
// Backward, with c_k = dL/dh_k (readout and later steps) and s_k the pre-activation:
//     e_k = c_k . sigma'(s_k)      dU += e_k h_{k-1}'   dW += e_k x_k'   db += e_k   dA += c_k h_{k-1}'   dB += c_k
//     x_k' dL/dh_{k-1} = U' e_k + A' c_k
// Shapes: U, A (h,h), W, B (h,i), b (h). Seeds: the pre-activation, then (with A or B) h itself.
// Reference: Elman, Finding structure in time, Cognitive Science 14 (1990); Werbos, Proc. IEEE 78 (1990).
#pragma once

#include "kelman/rnn/cell.hpp"

namespace kelman::rnn::cells {

template <Real S>
class Elman final : public Cell<S> {
 public:
  /// A and B may be null.
  struct Weights {
    Index hidden, inputs;
    const S *U, *W, *b, *A, *B;

    Index size() const {
      return hidden * (hidden + inputs + 1) + (A ? hidden * hidden : 0) + (B ? hidden * inputs : 0);
    }
  };

  Elman(const Weights& w, Activation activation)
      : Cell<S>(sizes(w)),
        w_(w),
        linear_(w.A != nullptr || w.B != nullptr),
        has_A_(w.A != nullptr),
        has_B_(w.B != nullptr),
        activation_(activation),
        U_(Product<S>::plain(w.U, w.hidden, w.hidden)),
        W_(Product<S>::plain(w.W, w.hidden, w.inputs)),
        U_back_(Product<S>::transposed(w.U, w.hidden, w.hidden)),
        W_back_(Product<S>::transposed(w.W, w.hidden, w.inputs)) {
    if (has_A_) {
      A_ = Product<S>::plain(w.A, w.hidden, w.hidden);
      A_back_ = Product<S>::transposed(w.A, w.hidden, w.hidden);
    }
    if (has_B_) {
      B_ = Product<S>::plain(w.B, w.hidden, w.inputs);
      B_back_ = Product<S>::transposed(w.B, w.hidden, w.inputs);
    }
  }

  void forward(const S* previous, const S* x, S* now, Index packs) const override {
    const Index h = this->hidden(), size = h * this->lanes(packs);
    S* f = linear_ ? now + size : now;
    affine<S>(f, h, packs, {w_.b}, {{&U_, previous}, {&W_, x}});
    activate(activation_, f, size);
    if (linear_) affine<S>(now, h, packs, {nullptr, f}, {{&A_, previous}, {&B_, x}});
  }

  void backward(const S* /*previous*/, const S* now, S* carried, S* errors, Index packs, Term<S> more) const override {
    const Index h = this->hidden(), size = h * this->lanes(packs);
    if (linear_) std::copy_n(carried, size, errors + size);
    times_slope<S>(activation_, linear_ ? now + size : now, carried, errors, size);
    affine<S>(carried, h, packs, {}, {{&U_back_, errors}, {&A_back_, errors + size}, more});
  }

  void input_gradient(const S* errors, S* dx, Index packs) const override {
    const Index size = this->hidden() * this->lanes(packs);
    affine<S>(dx, this->inputs(), packs, {}, {{&W_back_, errors}, {&B_back_, errors + size}});
  }

  void add_gradient(const Span<S>& span, double* to) const override {
    const Index h = this->hidden(), i = this->inputs();
    const auto add = [&](Index first_row, Rows<S> columns, std::initializer_list<Sums> sums) {
      outer(span.errors.from(first_row, span.lanes()), h, columns, span.steps, span.packs, sums);
    };
    add(0, span.x, {{i, to + h * h, i}, {1, to + h * (h + i), 1}, {h, to, h}});
    to += h * (h + i + 1);
    if (has_A_) {
      add(h, span.previous, {{h, to, h}});
      to += h * h;
    }
    if (has_B_) add(h, span.x, {{i, to, i}});
  }

  void tangent(const S* seed, const S* /*previous*/, const S* previous_dot, const S* x_dot, const S* now, S* now_dot,
               Index packs) const override {
    const Index h = this->hidden(), size = h * this->lanes(packs);
    S* f = linear_ ? now_dot + size : now_dot;
    affine<S>(f, h, packs, {nullptr, seed}, {{&U_, previous_dot}, optional_term(W_, x_dot, none_)});
    times_slope<S>(activation_, linear_ ? now + size : now, f, f, size);
    if (!linear_) return;
    affine<S>(now_dot, h, packs, {nullptr, seed + size}, {{&A_, previous_dot}, optional_term(B_, x_dot, none_)});
    each_pack(
        size, [](const auto& a, const auto& b) { return a + b; }, now_dot, static_cast<const S*>(now_dot),
        static_cast<const S*>(f));
  }

  void seed_along(const Cell<S>& direction, const S* previous, const S* x, const S* /*now*/, S* seed,
                  Index packs) const override {
    const auto& along = static_cast<const Elman&>(direction);
    const Index h = this->hidden(), size = h * this->lanes(packs);
    affine<S>(seed, h, packs, {along.w_.b}, {{&along.U_, previous}, {&along.W_, x}});
    if (linear_) affine<S>(seed + size, h, packs, {}, {{&along.A_, previous}, {&along.B_, x}});
  }

  std::vector<Entry> entries() const override {
    const Index h = this->hidden(), i = this->inputs();
    std::vector<Entry> all;
    append_matrix(all, 0, h, h, Entry::Where::previous);
    append_matrix(all, 0, h, i, Entry::Where::input);
    append_diagonal(all, 0, h, Entry::Where::one);
    if (has_A_) append_matrix(all, h, h, h, Entry::Where::previous);
    if (has_B_) append_matrix(all, h, h, i, Entry::Where::input);
    return all;
  }

  std::unique_ptr<const SingleStep<S>> single() const override { return std::make_unique<Single>(*this); }

 private:
  static Sizes sizes(const Weights& w) {
    const Index parts = w.A != nullptr || w.B != nullptr ? 2 : 1;
    return {w.inputs, w.hidden, w.hidden, parts * w.hidden, parts * w.hidden, w.size()};
  }

  class Single final : public SingleStep<S> {
   public:
    explicit Single(const Elman& cell)
        : linear_(cell.linear_),
          size_(padded<S>(cell.w_.hidden)),
          activation_(cell.activation_),
          b_(padded_blocks(cell.w_.b, 1, cell.w_.hidden)),
          U_(cell.w_.U, 1, cell.w_.hidden, cell.w_.hidden),
          W_(cell.w_.W, 1, cell.w_.hidden, cell.w_.inputs),
          A_(cell.w_.A, 1, cell.w_.hidden, cell.w_.hidden),
          B_(cell.w_.B, 1, cell.w_.hidden, cell.w_.inputs) {}

    void forward(const S* previous, const S* x, S* now) const override {
      S* f = linear_ ? now + size_ : now;
      affine_single<S>(f, size_, b_.data(), {{&U_, previous}, {&W_, x}});
      activate(activation_, f, size_);
      if (linear_) affine_single<S>(now, size_, f, {{&A_, previous}, {&B_, x}});
    }

   private:
    bool linear_;
    Index size_;
    Activation activation_;
    std::vector<S> b_;
    Columns<S> U_, W_, A_, B_;
  };

  Weights w_;
  bool linear_, has_A_, has_B_;
  Activation activation_;
  Product<S> U_, W_, U_back_, W_back_, A_, B_, A_back_, B_back_, none_;
};

}  // namespace kelman::rnn::cells
