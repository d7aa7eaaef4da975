// SPDX-License-Identifier: BSD-3-Clause
// The online filter for double and float.
#include "kelman/linear/online.hpp"

#include <utility>

#include "kelman/linear/lanes/run.hpp"

namespace kelman::linear {

namespace {

/// More states are stepped by the functions of filter.hpp: beside their arithmetic the call counts for little.
constexpr int largest_stepped = 6;

template <int n, Real T>
T one_step(const StepInput<T>& input, T* x, T* P, bool& good) {
  lanes::State<n, T> state;
  std::copy_n(x, n, state.x);
  std::copy_n(P, lanes::triangle(n), state.P);
  if (input.A != nullptr) {
    lanes::predict_mean<n>(input.A, state.x);
    for (int l = 0; l < n && input.d != nullptr; ++l) {
      state.x[l] += input.d[l];
    }
    lanes::predict_covariance<n>(input.A, input.Q, state.P);
  }
  lanes::Evidence<T> evidence;
  bool failed = false;
  for (Index e = 0; e < input.count; ++e) {
    lanes::update<n>(input.rows + e * n, input.noise[e], input.y[e], state, evidence, failed);
  }
  std::copy_n(state.x, n, x);
  std::copy_n(state.P, lanes::triangle(n), P);
  good = good && !failed;
  return input.count == 0 ? T(0) : static_cast<T>(-0.5 * lanes::deviance(evidence, 0));
}

template <Real T, int... I>
OneStep<T> among(Index n, std::integer_sequence<int, I...>) noexcept {
  constexpr OneStep<T> table[] = {&one_step<I + 1, T>...};
  return n >= 1 && n <= largest_stepped ? table[n - 1] : nullptr;
}

}  // namespace

template <Real T>
OneStep<T> one_step_of(Index n) noexcept {
  return among<T>(n, std::make_integer_sequence<int, largest_stepped>{});
}

template <Real T>
bool takes_one_steps(const FilterProblem<T>& problem) {
  const Model<T>& model = problem.model;
  return model.dims.n <= largest_stepped && model.A.constant() && model.H.constant() && model.Q.constant() &&
         model.R.constant() && model.B.constant() && model.D.constant() && model.b.constant() && model.c.constant() &&
         lanes::serves(problem);
}

template <Real Scalar>
std::unique_ptr<OnlineFilter<Scalar>> make_online(const FilterProblem<Scalar>& problem, bool shared) {
  return std::make_unique<Online<Univariate<Scalar>>>(problem.model, problem.start, problem.diffuse_constant, shared,
                                                      takes_one_steps(problem));
}

template OneStep<double> one_step_of(Index) noexcept;
template OneStep<float> one_step_of(Index) noexcept;
template bool takes_one_steps(const FilterProblem<double>&);
template bool takes_one_steps(const FilterProblem<float>&);

template std::unique_ptr<OnlineFilter<double>> make_online(const FilterProblem<double>&, bool);
template std::unique_ptr<OnlineFilter<float>> make_online(const FilterProblem<float>&, bool);

}  // namespace kelman::linear
