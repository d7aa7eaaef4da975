// SPDX-License-Identifier: BSD-3-Clause
// kelman.linear at the boundary: filter, smoother and the online handle.
#include <pybind11/pybind11.h>

#include <string>

#include "bindings/call.hpp"
#include "bindings/linear_problem.hpp"

namespace kelman::bindings {

namespace {

/// What `store` keeps, as levels: each keeps all of those before it.
enum class Store { loglik, last, means, filtered, all };

Store parse_store(const std::string& word) {
  constexpr const char* words[] = {"loglik", "last", "means", "filtered", "all"};
  for (int level = 0; level < 5; ++level) {
    if (word == words[level]) {
      return static_cast<Store>(level);
    }
  }
  throw py::value_error("store: expected 'loglik', 'last', 'means', 'filtered' or 'all', got '" + word + "'");
}

/// Whether `form` asks for one series at a time.
bool parse_form(const std::string& word) {
  if (word != "auto" && word != "covariance" && word != "univariate") {
    throw py::value_error("form: expected 'auto', 'covariance' or 'univariate', got '" + word + "'");
  }
  return word == "univariate";
}

int parse_threads(int threads) {
  if (threads < 1) {
    throw py::value_error("threads: expected at least 1, got " + std::to_string(threads));
  }
  return threads;
}

/// Arrays for the moments that `store` keeps.
template <class Scalar>
void keep_moments(ResultWriter& writer, const Dims& dims, Store store, linear::FilterResult<Scalar>& result) {
  const auto [n, m, p, T, N] = dims;
  if (store == Store::last) {
    result.mean = writer.per_step<Scalar>("mean", {}, {n});
    result.cov = writer.covariance<Scalar>("cov", {}, {n, n});
  }
  if (store >= Store::means) {
    result.mean = writer.per_step<Scalar>("mean", {T}, {n});
  }
  if (store >= Store::filtered) {
    result.cov = writer.covariance<Scalar>("cov", {T}, {n, n});
    result.loglik_obs = writer.per_step<Scalar>("loglik_obs", {T}, {});
  }
  if (store >= Store::all) {
    result.predicted_mean = writer.per_step<Scalar>("predicted_mean", {T}, {n});
    result.predicted_cov = writer.covariance<Scalar>("predicted_cov", {T}, {n, n});
    result.innovation = writer.per_step<Scalar>("innovation", {T}, {m});
    result.innovation_cov = writer.covariance<Scalar>("innovation_cov", {T}, {m, m});
  }
}

/// Arrays for the end state. The pending noise of a model without S has mean zero and is uncorrelated with x.
template <class Scalar>
void keep_state(ResultWriter& writer, const linear::FilterProblem<Scalar>& problem,
                linear::FilterResult<Scalar>& result) {
  const Index n = problem.model.dims.n;
  result.state_mean = writer.per_series<Scalar>("state_mean", {n});
  result.state_cov = writer.covariance<Scalar>("state_cov", {}, {n, n});
  result.state_inf = writer.covariance<Scalar>("state_inf", {}, {n, problem.start.columns});
  result.state_rank = writer.covariance<std::int64_t>("state_rank", {}, {});
  result.state_noise_cov = writer.covariance<Scalar>("state_noise_cov", {}, {n, n});
  if (problem.model.joint()) {
    result.state_noise_mean = writer.per_series<Scalar>("state_noise_mean", {n});
    result.state_noise_cross = writer.covariance<Scalar>("state_noise_cross", {}, {n, n});
  } else {
    writer.zeros<Scalar>("state_noise_mean", {n});
    writer.zeros<Scalar>("state_noise_cross", {n, n});
  }
}

template <class Scalar>
py::dict solve_filter(const ProblemReader& reader, const linear::FilterProblem<Scalar>& problem, Store store,
                      int threads, const py::object& out, linear::Method& method) {
  ResultWriter writer(out, problem.model.dims.N, problem.shared);
  linear::FilterResult<Scalar> result;
  result.loglik = writer.per_series<Scalar>("loglik", {});
  result.status = writer.per_series<std::int32_t>("status", {});
  result.failed_at = writer.per_series<std::int64_t>("failed_at", {});
  keep_moments(writer, problem.model.dims, store, result);
  keep_state(writer, problem, result);
  writer.check(reader.extents());
  without_gil([&](Interrupt& stop) { method = linear::filter(problem, result, threads, stop); });
  return writer.finish();
}

template <class Scalar>
py::dict filter_as(const py::object& arrays, Store store, int threads, const py::object& out, bool careful,
                   bool steady) {
  ProblemReader reader(arrays);
  auto problem = read_problem<Scalar>(reader, careful, true);
  problem.steady = steady;
  linear::Method method;
  py::dict results = solve_filter(reader, problem, store, threads, out, method);
  if (method.none()) {  // the gaps differ after all
    problem.shared = false;
    results = solve_filter(reader, problem, store, threads, out, method);
  }
  results["method"] = method.text();
  return results;
}

template <class Scalar>
py::dict smooth_as(const py::object& arrays, int lag, bool filtered, int threads, bool careful, bool steady) {
  ProblemReader reader(arrays);
  auto problem = read_problem<Scalar>(reader, careful);
  problem.steady = steady;
  const auto [n, m, p, T, N] = problem.model.dims;
  ResultWriter writer(py::none(), N, problem.shared);
  linear::SmootherResult<Scalar> result;
  result.mean = writer.per_step<Scalar>("mean", {T}, {n});
  result.cov = writer.covariance<Scalar>("cov", {T}, {n, n});
  if (lag == 1) {
    result.lag_one_cov = writer.covariance<Scalar>("lag_one_cov", {T}, {n, n});
  }
  if (filtered) {
    result.filtered_mean = writer.per_step<Scalar>("filtered_mean", {T}, {n});
    result.filtered_cov = writer.covariance<Scalar>("filtered_cov", {T}, {n, n});
  }
  result.loglik = writer.per_series<Scalar>("loglik", {});
  result.status = writer.per_series<std::int32_t>("status", {});
  result.failed_at = writer.per_series<std::int64_t>("failed_at", {});
  linear::Method method;
  without_gil([&](Interrupt& stop) { method = linear::smooth(problem, result, threads, stop); });
  py::dict results = writer.finish();
  results["method"] = method.text();
  return results;
}

constexpr const char* filter_doc = R"(Filter every series of a problem.

`problem` has the attributes z, lengths, A, H, Q, R, B, D, b, c, S, u, u_before, input_lag, start_kind, mean, cov, inf,
rank, noise_mean, noise_cov, noise_cross and diffuse_constant, all arrays of one dtype (float64 or float32).
`store` is 'loglik', 'last', 'means', 'filtered' or 'all'; `threads` is at least 1; `out` is None or a dictionary of
arrays to write to; `form` is 'auto', 'covariance' (the same) or 'univariate' (one series at a time); `steady` lets
constant gains take over once the covariances of a series have settled. Returns a dictionary of arrays, and under 'method' what ran. Memory is checked, never converted.)";

constexpr const char* smooth_doc = R"(Smooth every series of a problem.

`problem`, `threads`, `form` and `steady` are those of linear_filter; `lag` 1 keeps Cov(x_k, x_{k-1} | all) too, 0 does
not; `filtered` keeps the filtered moments. Returns a dictionary of arrays: mean, cov, lag_one_cov, filtered_mean,
filtered_cov, loglik, status, failed_at; and under 'method' what ran.)";

}  // namespace

void register_linear(py::module_& m) {
  m.def(
      "linear_filter",
      [](const py::object& problem, const std::string& store, int threads, const py::object& out,
         const std::string& form, bool steady) {
        const Store kept = parse_store(store);
        const bool careful = parse_form(form);
        const int count = parse_threads(threads);
        return is_double(problem) ? filter_as<double>(problem, kept, count, out, careful, steady)
                                  : filter_as<float>(problem, kept, count, out, careful, steady);
      },
      py::arg("problem"), py::arg("store"), py::arg("threads"), py::arg("out") = py::none(), py::arg("form") = "auto",
      py::arg("steady") = true, filter_doc);
  m.def(
      "linear_smooth",
      [](const py::object& problem, int lag, int threads, const std::string& form, bool filtered, bool steady) {
        if (lag != 0 && lag != 1) {
          throw py::value_error("lag: expected 0 or 1, got " + std::to_string(lag));
        }
        const int count = parse_threads(threads);
        const bool careful = parse_form(form);
        return is_double(problem) ? smooth_as<double>(problem, lag, filtered, count, careful, steady)
                                  : smooth_as<float>(problem, lag, filtered, count, careful, steady);
      },
      py::arg("problem"), py::arg("lag"), py::arg("threads"), py::arg("form") = "auto", py::arg("filtered") = false,
      py::arg("steady") = true, smooth_doc);
}

}  // namespace kelman::bindings
