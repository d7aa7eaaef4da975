// SPDX-License-Identifier: BSD-3-Clause
// kelman.linear at the boundary: log-likelihood and gradient.
#include <pybind11/pybind11.h>

#include "bindings/call.hpp"
#include "bindings/linear_problem.hpp"
#include "kelman/linear/gradient.hpp"

namespace kelman::bindings {

namespace {

/// The arrays of a gradient: one entry per series, or one for all; per time step where the model's field varies in
/// time.
class GradientArrays {
 public:
  GradientArrays(Index series, Index T) : series_(series), T_(T) {}

  /// A zeroed array (series, *inner), or (series, T, *inner); null if the model has no such field.
  template <class T>
  Field<T> make(const char* name, bool present, bool timed, std::vector<Index> inner) {
    if (!present) {
      return {};
    }
    const Index size = std::accumulate(inner.begin(), inner.end(), Index(1), std::multiplies<>());
    std::vector<Index> shape{series_};
    if (timed) {
      shape.push_back(T_);
    }
    shape.insert(shape.end(), inner.begin(), inner.end());
    py::array_t<T> array = fresh<T>(std::move(shape));
    std::fill_n(array.mutable_data(), array.size(), T(0));
    Field<T> field;
    field.data = array.mutable_data();
    field.time = timed ? size : 0;
    field.series = series_ > 1 ? size * (timed ? T_ : 1) : 0;
    results[name] = array;
    return field;
  }

  /// Makes all arrays zero again.
  void clear() {
    for (const auto& entry : results) {
      py::array array = py::cast<py::array>(entry.second);
      std::memset(array.mutable_data(), 0, static_cast<std::size_t>(array.nbytes()));
    }
  }

  py::dict results;

 private:
  Index series_;
  Index T_;
};

/// Whether every value of a problem is there, in series of one length.
bool complete(const linear::FilterProblem<double>& problem) {
  const Dims& dims = problem.model.dims;
  double nothing = 0;  // NaN if one of them is
  for (Index i = 0; i < dims.N; ++i) {
    for (Index k = 0; k < dims.T; ++k) {
      const double* const z = problem.data.z.at(i, k);
      for (Index j = 0; j < dims.m; ++j) {
        nothing += z[j] * 0.0;
      }
    }
  }
  return nothing == 0.0 && !problem.data.lengths;
}

py::dict gradient_of(const py::object& arrays, bool summed, int threads, const py::object& reference) {
  using Scalar = double;
  ProblemReader reader(arrays);
  const auto problem = read_problem<Scalar>(reader, false, true);
  const auto& model = problem.model;
  const auto [n, m, p, T, N] = model.dims;
  linear::GradientResult<Scalar> result;
  GradientArrays whole(N, T);
  result.loglik = whole.make<Scalar>("loglik", true, false, {});
  result.status = whole.make<std::int32_t>("status", true, false, {});
  result.failed_at = whole.make<std::int64_t>("failed_at", true, false, {});
  const auto timed = [](const Field<const Scalar>& field) { return !field.constant(); };
  GradientArrays own(summed ? std::min<Index>(N, 1) : N, T);
  result.A = own.make<Scalar>("A", true, timed(model.A), {n, n});
  result.H = own.make<Scalar>("H", true, timed(model.H), {m, n});
  result.Q = own.make<Scalar>("Q", true, timed(model.Q), {n, n});
  result.R = own.make<Scalar>("R", true, timed(model.R), {m, m});
  result.B = own.make<Scalar>("B", static_cast<bool>(model.B), timed(model.B), {n, p});
  result.D = own.make<Scalar>("D", static_cast<bool>(model.D), timed(model.D), {m, p});
  result.b = own.make<Scalar>("b", static_cast<bool>(model.b), timed(model.b), {n});
  result.c = own.make<Scalar>("c", static_cast<bool>(model.c), timed(model.c), {m});
  result.S = own.make<Scalar>("S", model.joint(), timed(model.S), {n, m});
  result.mean = whole.make<Scalar>("mean", true, false, {n});
  result.cov = own.make<Scalar>("cov", true, false, {n, n});
  result.inf = own.make<Scalar>("inf", problem.start.columns > 0, false, {n, problem.start.columns});
  const bool before = problem.start.before_first;
  result.noise_mean = own.make<Scalar>("noise_mean", before, false, {n});
  result.noise_cov = own.make<Scalar>("noise_cov", before, false, {n, n});
  const auto finish = [&](const std::string& method) {
    for (const auto& entry : whole.results) {
      own.results[entry.first] = entry.second;
    }
    own.results["method"] = method;
    return own.results;
  };
  const auto clear = [&] {
    own.clear();
    whole.clear();
  };
  if (problem.shared) {
    bool done = false;
    without_gil([&](Interrupt& stop) { done = linear::shared_gradient(problem, result, summed, threads, stop); });
    if (done) {
      return finish("shared");
    }
    clear();
  }
  linear::Method grouped;
  without_gil([&](Interrupt& stop) { grouped = linear::grouped_gradient(problem, result, summed, threads, stop); });
  if (!grouped.none()) {
    return finish(grouped.text());
  }
  if (N > 1 && problem.model.shares_covariances()) {
    clear();
  }
  auto* run = &linear::form_gradient<Scalar>;
  const char* method = "univariate";
  auto settled = problem;
  settled.start.rank = {};
  if (linear::gradient_supported(problem)) {
    if (!reference.is_none() && n <= linear::states_with_moments && complete(problem)) {
      result.reference = input<Scalar>(reference, "reference", {N}, {n});
      result.moments = whole.make<Scalar>("moments", true, false, {n * (n + 3)});
    }
    run = &linear::gradient<Scalar>;
    method = "lanes";
  } else if (linear::gradient_supported(settled)) {
    run = &linear::diffuse_gradient<Scalar>;
    method = "univariate+lanes";
  }
  without_gil([&](Interrupt& stop) { run(problem, result, summed, threads, stop); });
  return finish(method);
}

constexpr const char* gradient_doc = R"(Log-likelihood and its derivatives by the entries of model and start.

`problem` and `threads` are those of linear_filter; in double precision only. Returns a dictionary: loglik, status and
failed_at of each series; and the derivatives A, H, Q, R, B, D, b, c, S (those that the model has), mean, cov and inf
(of the start as it is posed), noise_mean and noise_cov (of the noise before the first measurement, if the start is
before it). A derivative has the shape (N, ...), or (N, T, ...) if the field varies in time; `summed` adds the series
up: (1, ...), (1, T, ...), but for the mean. Derivatives by symmetric matrices are symmetric: d loglik = sum_ij G_ij
dQ_ij. `method` is 'shared' if model, start and gaps are the same in all series, 'grouped' if
they are in large groups of series; else 'lanes', 'univariate' if the problem has S, a singular R, a dense R with partly
missing rows, or many states, or 'univariate+lanes' for a diffuse start. With a `reference` (N, n) and complete series in
'lanes' of up to six states, `moments` (N, n(n+3)) are kept: of all steps but the last, then of the last, the sums of
x - reference and of P + its square, row by row up to the diagonal, of smoothed states; NaN where that would lose
digits.)";

}  // namespace

void register_linear_gradient(py::module_& m) {
  m.def(
      "linear_gradient",
      [](const py::object& problem, bool summed, int threads, const py::object& reference) {
        if (threads < 1) {
          throw py::value_error("threads: expected at least 1, got " + std::to_string(threads));
        }
        return gradient_of(problem, summed, threads, reference);
      },
      py::arg("problem"), py::arg("summed"), py::arg("threads"), py::arg("reference") = py::none(), gradient_doc);
}

}  // namespace kelman::bindings
