// SPDX-License-Identifier: BSD-3-Clause
// The gated recurrent unit, gates stacked by rows in the order r, z, n (PyTorch's), . = entry by entry:
//
//     r = sig(W_r x + U_r h- + b_r)      z = sig(W_z x + U_z h- + b_z)       h = (1 - z) . n + z . h-
//     reset "after"   q = U_n h- + d     n = tanh(W_n x + b_n + r . q)       PyTorch, cuDNN
//     reset "before"  q = r . h-         n = tanh(W_n x + b_n + U_n q)       Cho et al.
//
// Backward, with c = dL/dh and e_g the error of a gate's pre-activation:
//     e_n = c . (1 - z) . (1 - n^2)      e_z = c . (h- - n) . z . (1 - z)    dL/dh- = c . z + ...
//     "after"   e_q = e_n . r     e_r = e_n . q . r . (1 - r)                ... + U_r' e_r + U_z' e_z + U_n' e_q
//     "before"  p = U_n' e_n      e_r = p . h- . r . (1 - r)                 ... + U_r' e_r + U_z' e_z + p . r
// Shapes: U (3h,h), W (3h,i), b (3h), d (h). Seeds: r, z, (q,) n. Tape: h, r, z, n, q.
// Reference: Cho et al., EMNLP 2014; Chung et al., arXiv 1412.3555.
#pragma once

#include "kelman/rnn/cell.hpp"

namespace kelman::rnn::cells {

template <Real S>
class Gru final : public Cell<S> {
 public:
  /// With d the reset gate acts after the product with U_n, without it before.
  struct Weights {
    Index hidden, inputs;
    const S *U, *W, *b, *d;

    Index size() const { return 3 * hidden * (hidden + inputs + 1) + (d ? hidden : 0); }
  };

  explicit Gru(const Weights& w)
      : Cell<S>({w.inputs, w.hidden, w.hidden, 5 * w.hidden, (w.d ? 4 : 3) * w.hidden, w.size()}),
        w_(w),
        after_(w.d != nullptr),
        b_(w.b),
        d_(w.d) {
    const Index h = w.hidden, i = w.inputs;
    const S *U_n = w.U + 2 * h * h, *W_n = w.W + 2 * h * i;
    U_rz_ = Product<S>::plain(w.U, 2 * h, h);
    W_rz_ = Product<S>::plain(w.W, 2 * h, i);
    U_n_ = Product<S>::plain(U_n, h, h);
    W_n_ = Product<S>::plain(W_n, h, i);
    U_back_ = Product<S>::transposed(w.U, (after_ ? 3 : 2) * h, h);
    if (!after_) U_n_back_ = Product<S>::transposed(U_n, h, h);
    W_rz_back_ = Product<S>::transposed(w.W, 2 * h, i);
    W_n_back_ = Product<S>::transposed(W_n, h, i);
  }

  void forward(const S* previous, const S* x, S* now, Index packs) const override {
    const Index h = this->hidden();
    step(
        after_, previous, now, h * this->lanes(packs),
        [&](S* rz) { affine<S>(rz, 2 * h, packs, {b_}, {{&U_rz_, previous}, {&W_rz_, x}}); },
        [&](S* q) { affine<S>(q, h, packs, {d_}, {{&U_n_, previous}}); },
        [&](S* n, const S* q) { affine<S>(n, h, packs, {b_ + 2 * h}, {optional_term(U_n_, q, none_), {&W_n_, x}}); });
  }

  void backward(const S* previous, const S* now, S* carried, S* errors, Index packs, Term<S> more) const override {
    using V = Register<S>;
    const Index h = this->hidden(), size = h * this->lanes(packs);
    const Tape<const S> at(now, size);
    S *e_r = errors, *e_z = errors + size, *e_q = errors + 2 * size, *e_n = after_ ? errors + 3 * size : e_q;
    const V one(S(1));
    for (Index k = 0; k < size; k += lanes<V>) {
      const V c = load<V>(carried + k), r = load<V>(at.r + k), z = load<V>(at.z + k), n = load<V>(at.n + k);
      const V error = c * (one - z) * (one - n * n);
      store(e_n + k, error);
      store(e_z + k, c * (load<V>(previous + k) - n) * z * (one - z));
      store(carried + k, c * z);
      if (after_) {
        store(e_q + k, error * r);
        store(e_r + k, error * load<V>(at.q + k) * r * (one - r));
      }
    }
    if (!after_) {
      affine<S>(e_r, h, packs, {}, {{&U_n_back_, e_n}});
      for (Index k = 0; k < size; k += lanes<V>) {
        const V p = load<V>(e_r + k), r = load<V>(at.r + k);
        store(carried + k, fused(p, r, load<V>(carried + k)));
        store(e_r + k, p * load<V>(previous + k) * r * (one - r));
      }
    }
    affine<S>(carried, h, packs, {nullptr, carried}, {{&U_back_, errors}, more});
  }

  void input_gradient(const S* errors, S* dx, Index packs) const override {
    const S* e_n = errors + (after_ ? 3 : 2) * this->hidden() * this->lanes(packs);
    affine<S>(dx, this->inputs(), packs, {}, {{&W_rz_back_, errors}, {&W_n_back_, e_n}});
  }

  void add_gradient(const Span<S>& span, double* to) const override {
    const Index h = this->hidden(), i = this->inputs(), L = span.lanes(), steps = span.steps, packs = span.packs;
    const Rows<S> e_n = span.errors.from((after_ ? 3 : 2) * h, L);
    double *const U = to, *const U_n = U + 2 * h * h, *const W = U_n + h * h, *const W_n = W + 2 * h * i;
    double *const b = W_n + h * i, *const b_n = b + 2 * h, *const d = b_n + h;
    outer(span.errors, 2 * h, span.x, steps, packs, {{i, W, i}, {1, b, 1}, {h, U, h}});
    outer(e_n, h, span.x, steps, packs, {{i, W_n, i}, {1, b_n, 1}});
    if (after_) {
      outer(span.errors.from(2 * h, L), h, span.one, steps, packs, {{1, d, 1}, {h, U_n, h}});
    } else {
      outer(e_n, h, span.now.from(4 * h, L), steps, packs, {{h, U_n, h}});
    }
  }

  void tangent(const S* seed, const S* previous, const S* previous_dot, const S* x_dot, const S* now, S* now_dot,
               Index packs) const override {
    using V = Register<S>;
    const Index h = this->hidden(), size = h * this->lanes(packs);
    const Tape<const S> at(now, size);
    const Tape<S> dot(now_dot, size);
    const V one(S(1));
    affine<S>(dot.r, 2 * h, packs, {nullptr, seed}, {{&U_rz_, previous_dot}, optional_term(W_rz_, x_dot, none_)});
    each_pack(2 * size, [&](const auto& d, const auto& y) { return d * y * (S(1) - y); }, dot.r, read(dot.r), at.r);
    if (after_) {
      affine<S>(dot.q, h, packs, {nullptr, seed + 2 * size}, {{&U_n_, previous_dot}});
      affine<S>(dot.n, h, packs, {nullptr, seed + 3 * size}, {optional_term(W_n_, x_dot, none_)});
      for (Index k = 0; k < size; k += lanes<V>)
        store(dot.n + k,
              load<V>(dot.n + k) + load<V>(dot.r + k) * load<V>(at.q + k) + load<V>(at.r + k) * load<V>(dot.q + k));
    } else {
      for (Index k = 0; k < size; k += lanes<V>)
        store(dot.q + k, load<V>(dot.r + k) * load<V>(previous + k) + load<V>(at.r + k) * load<V>(previous_dot + k));
      affine<S>(dot.n, h, packs, {nullptr, seed + 2 * size}, {{&U_n_, dot.q}, optional_term(W_n_, x_dot, none_)});
    }
    for (Index k = 0; k < size; k += lanes<V>) {
      const V n = load<V>(at.n + k), z = load<V>(at.z + k), n_dot = load<V>(dot.n + k) * (one - n * n);
      store(dot.n + k, n_dot);
      store(now_dot + k,
            n_dot * (one - z) + z * load<V>(previous_dot + k) + load<V>(dot.z + k) * (load<V>(previous + k) - n));
    }
  }

  void seed_along(const Cell<S>& direction, const S* previous, const S* x, const S* now, S* seed,
                  Index packs) const override {
    const auto& along = static_cast<const Gru&>(direction);
    const Index h = this->hidden(), size = h * this->lanes(packs);
    affine<S>(seed, 2 * h, packs, {along.b_}, {{&along.U_rz_, previous}, {&along.W_rz_, x}});
    if (after_) {
      affine<S>(seed + 2 * size, h, packs, {along.d_}, {{&along.U_n_, previous}});
      affine<S>(seed + 3 * size, h, packs, {along.b_ + 2 * h}, {{&along.W_n_, x}});
    } else {
      affine<S>(seed + 2 * size, h, packs, {along.b_ + 2 * h}, {{&along.U_n_, now + 4 * size}, {&along.W_n_, x}});
    }
  }

  std::vector<Entry> entries() const override {
    const Index h = this->hidden(), i = this->inputs(), n = (after_ ? 3 : 2) * h;
    std::vector<Entry> all;
    append_matrix(all, 0, 2 * h, h, Entry::Where::previous);
    append_matrix(all, 2 * h, h, h, after_ ? Entry::Where::previous : Entry::Where::tape, after_ ? 0 : 4 * h);
    append_matrix(all, 0, 2 * h, i, Entry::Where::input);
    append_matrix(all, n, h, i, Entry::Where::input);
    append_diagonal(all, 0, 2 * h, Entry::Where::one);
    append_diagonal(all, n, h, Entry::Where::one);
    if (after_) append_diagonal(all, 2 * h, h, Entry::Where::one);
    return all;
  }

  std::unique_ptr<const SingleStep<S>> single() const override { return std::make_unique<Single>(*this); }

 private:
  template <class T>
  struct Tape {
    T *r, *z, *n, *q;
    Tape(T* at, Index size) : r(at + size), z(at + 2 * size), n(at + 3 * size), q(at + 4 * size) {}
  };
  static const S* read(const S* p) { return p; }

  /// The step from its linear maps: gates(r and z), inner(q), new_state(n, q or null), each of which writes its sum.
  template <class Gates, class Inner, class New>
  static void step(bool after, const S* previous, S* now, Index size, Gates&& gates, Inner&& inner, New&& new_state) {
    const Tape<S> at(now, size);
    gates(at.r);
    activate(activation_of<Sigmoid>, at.r, 2 * size);
    if (after) {
      inner(at.q);
      new_state(at.n, nullptr);
      each_pack(
          size, [](const auto& n, const auto& r, const auto& q) { return fused(r, q, n); }, at.n, read(at.n),
          read(at.r), read(at.q));
    } else {
      each_pack(size, [](const auto& r, const auto& was) { return r * was; }, at.q, read(at.r), previous);
      new_state(at.n, at.q);
    }
    activate(activation_of<Tanh>, at.n, size);
    each_pack(
        size, [](const auto& n, const auto& z, const auto& was) { return fused(z, was - n, n); }, now, read(at.n),
        read(at.z), previous);
  }

  class Single final : public SingleStep<S> {
   public:
    explicit Single(const Gru& cell) : after_(cell.after_), size_(padded<S>(cell.w_.hidden)) {
      const auto& w = cell.w_;
      const Index h = w.hidden, i = w.inputs;
      b_ = padded_blocks(w.b, 3, h);
      d_ = padded_blocks(w.d, 1, h);
      U_rz_ = Columns<S>(w.U, 2, h, h);
      U_n_ = Columns<S>(w.U + 2 * h * h, 1, h, h);
      W_rz_ = Columns<S>(w.W, 2, h, i);
      W_n_ = Columns<S>(w.W + 2 * h * i, 1, h, i);
    }

    void forward(const S* previous, const S* x, S* now) const override {
      step(
          after_, previous, now, size_,
          [&](S* rz) { affine_single<S>(rz, 2 * size_, b_.data(), {{&U_rz_, previous}, {&W_rz_, x}}); },
          [&](S* q) { affine_single<S>(q, size_, d_.data(), {{&U_n_, previous}}); },
          [&](S* n, const S* q) {
            affine_single<S>(n, size_, b_.data() + 2 * size_, {{q == nullptr ? &none_ : &U_n_, q}, {&W_n_, x}});
          });
    }

   private:
    bool after_;
    Index size_;
    std::vector<S> b_, d_;
    Columns<S> U_rz_, U_n_, W_rz_, W_n_, none_;
  };

  Weights w_;
  bool after_;
  const S *b_, *d_;
  Product<S> U_rz_, W_rz_, U_n_, W_n_, U_back_, U_n_back_, W_rz_back_, W_n_back_, none_;
};

}  // namespace kelman::rnn::cells
