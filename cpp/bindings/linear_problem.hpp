// SPDX-License-Identifier: BSD-3-Clause
// A `Problem` of kelman.linear (named numpy arrays) <-> the views of linear/problem.hpp.
#pragma once

#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "bindings/array.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::bindings {

/// Reads the arrays of a problem by name, checks their memory, and remembers what they touch.
class ProblemReader {
 public:
  explicit ProblemReader(py::object problem) : problem_(std::move(problem)) {}

  /// Array `name` as a field; None is refused.
  template <class T>
  Field<const T> required(const char* name, Lengths lead, Lengths inner) {
    const py::object object = problem_.attr(name);
    const auto view = input<T>(object, name, lead, inner);
    extents_.emplace_back(object, name);
    return view;
  }

  /// Array `name` as a field, null for None.
  template <class T>
  Field<const T> optional(const char* name, Lengths lead, Lengths inner) {
    return problem_.attr(name).is_none() ? Field<const T>{} : required<T>(name, lead, inner);
  }

  /// Length of an axis of array `name`, which must have `rank` axes; `absent` for None.
  [[nodiscard]] Index length(const char* name, py::ssize_t rank, py::ssize_t axis, Index absent) const {
    const py::object object = problem_.attr(name);
    if (object.is_none()) {
      return absent;
    }
    const py::array array = as_array(object, name);
    if (array.ndim() != rank) {
      throw py::value_error(std::string(name) + ": expected " + std::to_string(rank) + " axes, got shape " +
                            shape_text(array.shape(), static_cast<std::size_t>(array.ndim())));
    }
    return array.shape(axis);
  }

  [[nodiscard]] py::object attribute(const char* name) const { return problem_.attr(name); }

  [[nodiscard]] const std::vector<Extent>& extents() const noexcept { return extents_; }

 private:
  py::object problem_;
  std::vector<Extent> extents_;
};

/// Refuses entries of an integer array outside [0, highest].
inline void check_range(const Field<const std::int64_t>& field, const char* name, Index count, Index highest) {
  for (Index i = 0; field && i < count; ++i) {
    if (*field.at(i) < 0 || *field.at(i) > highest) {
      throw py::value_error(std::string(name) + ": expected entries from 0 to " + std::to_string(highest) + ", got " +
                            std::to_string(*field.at(i)));
    }
  }
}

/// Sizes: (N, T, m) from z, n from A, p from B, D or u.
inline Dims read_dims(const ProblemReader& reader) {
  Dims dims;
  dims.N = reader.length("z", 3, 0, 0);
  dims.T = reader.length("z", 3, 1, 0);
  dims.m = reader.length("z", 3, 2, 0);
  dims.n = reader.length("A", 4, 3, 0);
  dims.p = reader.length("B", 4, 3, reader.length("D", 4, 3, reader.length("u", 3, 2, 0)));
  return dims;
}

/// The matrices; `T` is the length of their time axis.
template <class Scalar>
linear::Model<Scalar> read_model(ProblemReader& reader, const Dims& dims) {
  const auto [n, m, p, T, N] = dims;
  linear::Model<Scalar> model;
  model.dims = dims;
  model.A = reader.required<Scalar>("A", {N, T}, {n, n});
  model.H = reader.required<Scalar>("H", {N, T}, {m, n});
  model.Q = reader.required<Scalar>("Q", {N, T}, {n, n});
  model.R = reader.required<Scalar>("R", {N, T}, {m, m});
  model.B = reader.optional<Scalar>("B", {N, T}, {n, p});
  model.D = reader.optional<Scalar>("D", {N, T}, {m, p});
  model.b = reader.optional<Scalar>("b", {N, T}, {n});
  model.c = reader.optional<Scalar>("c", {N, T}, {m});
  model.S = reader.optional<Scalar>("S", {N, T}, {n, m});
  model.input_lag = py::cast<int>(reader.attribute("input_lag")) != 0;
  return model;
}

template <class Scalar>
linear::Start<Scalar> read_start(ProblemReader& reader, const Dims& dims) {
  const Index n = dims.n;
  const Index N = dims.N;
  linear::Start<Scalar> start;
  start.before_first = py::cast<int>(reader.attribute("start_kind")) != 0;
  start.columns = reader.length("inf", 3, 2, 0);
  start.mean = reader.required<Scalar>("mean", {N}, {n});
  start.cov = reader.required<Scalar>("cov", {N}, {n, n});
  if (start.columns > n) {
    throw py::value_error("inf: expected at most " + std::to_string(n) + " columns, got " +
                          std::to_string(start.columns));
  }
  if (start.columns > 0) {
    start.inf = reader.required<Scalar>("inf", {N}, {n, start.columns});
    start.rank = reader.required<std::int64_t>("rank", {N}, {});
    check_range(start.rank, "rank", N, start.columns);
  }
  if (start.before_first) {
    start.noise_mean = reader.optional<Scalar>("noise_mean", {N}, {n});
    start.noise_cov = reader.optional<Scalar>("noise_cov", {N}, {n, n});
    start.noise_cross = reader.optional<Scalar>("noise_cross", {N}, {n, n});
  }
  return start;
}

/// `careful`: nothing is shared between series. `assume`: that gaps are the same in all series is not made sure of.
template <class Scalar>
linear::FilterProblem<Scalar> read_problem(ProblemReader& reader, bool careful = false, bool assume = false) {
  const Dims dims = read_dims(reader);
  linear::FilterProblem<Scalar> problem;
  problem.data.z = reader.required<Scalar>("z", {dims.N, dims.T}, {dims.m});
  problem.model = read_model<Scalar>(reader, dims);
  problem.start = read_start<Scalar>(reader, dims);
  problem.data.u = reader.optional<Scalar>("u", {dims.N, dims.T}, {dims.p});
  problem.data.u_before = reader.optional<Scalar>("u_before", {dims.N}, {dims.p});
  problem.data.lengths = reader.optional<std::int64_t>("lengths", {dims.N}, {});
  check_range(problem.data.lengths, "lengths", dims.N, dims.T);
  const std::string convention = py::cast<std::string>(reader.attribute("diffuse_constant"));
  if (convention != "kfas" && convention != "statsmodels") {
    throw py::value_error("diffuse_constant: expected 'kfas' or 'statsmodels', got '" + convention + "'");
  }
  problem.diffuse_constant =
      convention == "kfas" ? linear::DiffuseConstant::kfas : linear::DiffuseConstant::statsmodels;
  problem.careful = careful;
  problem.shared = !careful && linear::shares_covariances(problem.model, problem.start, problem.data, assume);
  return problem;
}

/// Whether the problem is in double precision; anything but float64 and float32 is refused.
inline bool is_double(const py::object& problem) {
  const py::array z = as_array(problem.attr("z"), "z");
  const int number = z.dtype().num();
  if (number != type_number<double>() && number != type_number<float>()) {
    const std::string got = py::str(z.dtype());
    throw py::type_error("z: expected dtype float64 or float32, got " + got);
  }
  return number == type_number<double>();
}

/// Makes the result arrays, or takes them from `out`, and fills the dictionary that goes back to Python.
class ResultWriter {
 public:
  /// `shared`: covariances are computed once and returned as read-only broadcast views over N series.
  ResultWriter(const py::object& out, Index N, bool shared) : N_(N), shared_(shared) {
    if (!out.is_none()) {
      out_ = py::cast<py::dict>(out);
    }
  }

  /// One entry per series: shape (N, *inner).
  template <class T>
  Field<T> per_series(const char* name, std::vector<Index> inner) {
    return make<T>(name, {}, std::move(inner), false);
  }

  /// One entry per series and step: shape (N, *steps, *inner); `steps` is {T}, or {} for the last step only.
  template <class T>
  Field<T> per_step(const char* name, const std::vector<Index>& steps, std::vector<Index> inner) {
    return make<T>(name, steps, std::move(inner), false);
  }

  /// As `per_step`, for what is computed once where covariances are shared.
  template <class T>
  Field<T> covariance(const char* name, const std::vector<Index>& steps, std::vector<Index> inner) {
    return make<T>(name, steps, std::move(inner), shared_);
  }

  /// A read-only array of zeros, shape (N, ...), that takes the memory of one entry.
  template <class T>
  void zeros(const char* name, std::vector<Index> rest) {
    rest.insert(rest.begin(), 1);
    py::array_t<T> array = fresh<T>(std::move(rest));
    std::fill_n(array.mutable_data(), array.size(), T(0));
    results_[name] = broadcast(array, N_);
  }

  /// Refuses given arrays that overlap the inputs or each other.
  void check(const std::vector<Extent>& inputs) const {
    if (!given_.empty()) {
      check_overlap(inputs, given_);
    }
  }

  /// The dictionary of results. Arrays given for shared covariances get their copies for every series here.
  py::dict finish() {
    for (const Copy& copy : copies_) {
      for (Index i = 1; i < N_; ++i) {
        std::memcpy(copy.data + i * copy.bytes, copy.data, static_cast<std::size_t>(copy.bytes));
      }
    }
    return results_;
  }

 private:
  struct Copy {
    std::byte* data;
    Index bytes;
  };

  template <class T>
  Field<T> make(const char* name, const std::vector<Index>& steps, std::vector<Index> inner, bool once) {
    Field<T> field;
    const Index step = std::accumulate(inner.begin(), inner.end(), Index(1), std::multiplies<>());
    const Index size = steps.empty() ? step : step * steps.front();
    std::vector<Index> shape{once ? 1 : N_};
    shape.insert(shape.end(), steps.begin(), steps.end());
    shape.insert(shape.end(), inner.begin(), inner.end());
    if (const std::optional<py::array> given = usable(name, once)) {
      shape[0] = given->shape(0) == 1 ? 1 : N_;
      field = checked_output<T>(*given, name, shape);
      given_.emplace_back(*given, name);
      const bool every = shape[0] == N_;
      results_[name] = every ? *given : broadcast(*given, N_);
      if (once && every) {
        copies_.push_back({reinterpret_cast<std::byte*>(field.data), size * static_cast<Index>(sizeof(T))});
      }
    } else {
      py::array_t<T> array = fresh<T>(std::move(shape));
      field.data = array.mutable_data();
      results_[name] = once ? broadcast(array, N_) : static_cast<py::array>(array);
    }
    field.series = once ? 0 : size;
    field.time = steps.empty() ? 0 : step;
    return field;
  }

  /// The array given under this name. One that holds shared covariances (first axis of length 1) is of no use for
  /// covariances that differ between series, and a new one is made.
  [[nodiscard]] std::optional<py::array> usable(const char* name, bool once) const {
    if (!out_ || !out_->contains(name)) {
      return std::nullopt;
    }
    const py::array given = as_array((*out_)[name], name);
    const bool single = given.ndim() > 0 && given.shape(0) == 1 && N_ != 1;
    return single && !once ? std::nullopt : std::optional<py::array>(given);
  }

  std::optional<py::dict> out_;
  py::dict results_;
  Index N_;
  bool shared_;
  std::vector<Extent> given_;
  std::vector<Copy> copies_;
};

}  // namespace kelman::bindings
