// SPDX-License-Identifier: BSD-3-Clause
// kelman.linear at the boundary: sums of smoothed moments.
#include <pybind11/pybind11.h>

#include "bindings/call.hpp"
#include "bindings/linear_problem.hpp"
#include "kelman/linear/moment_sums.hpp"

namespace kelman::bindings {

namespace {

py::dict moments_of(const py::object& arrays, const py::object& reference, int sets, bool summed, int threads) {
  ProblemReader reader(arrays);
  const auto problem = read_problem<double>(reader);
  const auto [n, m, p, T, N] = problem.model.dims;
  if (sets < 2 || sets > 3 + m) {
    throw py::value_error("sets: expected 2 to " + std::to_string(3 + m) + ", got " + std::to_string(sets));
  }
  if (threads < 1) {
    throw py::value_error("threads: expected at least 1, got " + std::to_string(threads));
  }
  linear::MomentSums result;
  result.sets = sets;
  result.reference = input<double>(reference, "reference", {N}, {n});
  const Index q = n + p + 1;
  py::array_t<double> sums = fresh<double>({summed ? std::min<Index>(N, 1) : N, sets, q, q});
  std::fill_n(sums.mutable_data(), sums.size(), 0.0);
  result.sums = {sums.mutable_data(), summed ? 0 : sets * q * q, 0};
  ResultWriter writer(py::none(), N, false);
  result.loglik = writer.per_series<double>("loglik", {});
  result.status = writer.per_series<std::int32_t>("status", {});
  result.failed_at = writer.per_series<std::int64_t>("failed_at", {});
  without_gil([&](Interrupt& stop) { linear::moment_sums(problem, result, threads, stop); });
  py::dict results = writer.finish();
  results["sums"] = sums;
  return results;
}

constexpr const char* moments_doc = R"(Sums over time of smoothed second moments of y = [x - reference; u; 1].

`problem` and `threads` are those of linear_filter; in double precision only. `reference` has the shape (N, n) or
(1, n). Returns a dictionary: loglik, status and failed_at of each series, and sums (N, sets, q, q), q = n + p + 1, or
(1, sets, q, q) if `summed`. Set 0: steps that a transition follows, with the input that drives it; 1: steps measured in
full; 2: steps measured in part; 3 + j: those of set 2 in which component j is measured.)";

}  // namespace

void register_linear_moments(py::module_& m) {
  m.def("linear_moments", &moments_of, py::arg("problem"), py::arg("reference"), py::arg("sets"), py::arg("summed"),
        py::arg("threads"), moments_doc);
}

}  // namespace kelman::bindings
