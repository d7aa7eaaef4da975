// SPDX-License-Identifier: BSD-3-Clause
// The one handle of the boundary: the filter online.
#include <pybind11/pybind11.h>

#include <memory>

#include "bindings/linear_problem.hpp"
#include "bindings/online.hpp"
#include "kelman/linear/online_filter.hpp"

namespace kelman::bindings {

namespace {

/// The handle in either precision.
template <class Scalar>
class StepperOf final : public OnlineHandle {
 public:
  explicit StepperOf(const py::object& problem) : problem_(problem), reader_(problem) {
    const auto whole = read_problem<Scalar>(reader_);
    dims_ = whole.model.dims;
    const bool shared = dims_.N > 1 ? shares_start(whole) : true;
    dims_.T = varies(whole.model) ? dims_.T : 0;
    work_ = linear::work_per_step(whole.model, false);
    lag_ = whole.model.input_lag;
    online_ = linear::make_online(whole, shared);
    if (lag_ && dims_.p > 0) {
      before_.resize(static_cast<std::size_t>(dims_.N * dims_.p));
      has_before_ = static_cast<bool>(whole.data.u_before);
      for (Index i = 0; has_before_ && i < dims_.N; ++i) {
        std::copy_n(whole.data.u_before.at(i), dims_.p, before_.data() + i * dims_.p);
      }
    }
  }

  [[nodiscard]] const Dims& dims() const noexcept override { return dims_; }
  [[nodiscard]] int type() const noexcept override { return type_number<Scalar>(); }
  [[nodiscard]] Index steps() const noexcept override { return online_->steps(); }

  [[nodiscard]] double work() const noexcept override { return work_ * static_cast<double>(dims_.N); }

  [[nodiscard]] bool acceptable(const void* z, const void* u) const noexcept override {
    const auto* const values = static_cast<const Scalar*>(z);
    const auto* const inputs = static_cast<const Scalar*>(u);
    bool infinite = false;
    for (Index j = 0; j < dims_.N * dims_.m; ++j) {
      infinite = infinite || std::isinf(values[j]);
    }
    for (Index j = 0; inputs != nullptr && j < dims_.N * dims_.p; ++j) {
      infinite = infinite || !std::isfinite(inputs[j]);
    }
    return !infinite;
  }

  Taken step(const void* z, const void* u, const unsigned char* measured, void* mean) override {
    const Turn turn(busy_);
    if (!turn.mine()) {
      return Taken::not_yet;
    }
    const Field<const Scalar> given{static_cast<const Scalar*>(u), dims_.p, 0};
    return take({static_cast<const Scalar*>(z), dims_.m, 0}, u == nullptr ? Field<const Scalar>{} : given, measured,
                static_cast<Scalar*>(mean), nullptr)
               ? Taken::trouble
               : Taken::well;
  }

  bool step_checked(const py::object& z, const py::object& u, const py::object& mean, const py::object& loglik,
                    const py::object& measured) override {
    const Turn turn(busy_);
    turn.require();
    if (dims_.T > 0 && online_->steps() >= dims_.T) {
      throw py::index_error("the model varies over " + std::to_string(dims_.T) + " steps, and all have been taken");
    }
    const auto values = input<Scalar>(z, "z", {dims_.N}, {dims_.m});
    const auto given = optional_input<Scalar>(u, "u", {dims_.N}, {dims_.p});
    const auto mask = optional_input<bool>(measured, "measured", {}, {dims_.N});
    const auto mean_out = mean.is_none() ? Field<Scalar>{} : output<Scalar>(mean, "mean", {dims_.N}, {dims_.n});
    const auto loglik_out = loglik.is_none() ? Field<Scalar>{} : output<Scalar>(loglik, "loglik", {dims_.N}, {});
    refuse_overlap(z, u, mean, loglik);
    return take(values, given, reinterpret_cast<const unsigned char*>(mask.data), mean_out.data, loglik_out.data);
  }

  [[nodiscard]] py::dict state() const override {
    const Turn turn(busy_);
    turn.require();
    const Index n = dims_.n;
    const Index columns = problem_columns();
    ResultWriter writer(py::none(), dims_.N, online_->shared() && dims_.N > 1);
    const auto mean = writer.per_series<Scalar>("state_mean", {n});
    const auto cov = writer.covariance<Scalar>("state_cov", {}, {n, n});
    const auto inf = writer.covariance<Scalar>("state_inf", {}, {n, columns});
    const auto rank = writer.covariance<std::int64_t>("state_rank", {}, {});
    const auto noise_mean = writer.per_series<Scalar>("state_noise_mean", {n});
    const auto noise_cov = writer.covariance<Scalar>("state_noise_cov", {}, {n, n});
    const auto noise_cross = writer.covariance<Scalar>("state_noise_cross", {}, {n, n});
    const auto status = writer.per_series<std::int32_t>("status", {});
    const auto failed_at = writer.per_series<std::int64_t>("failed_at", {});
    const auto loglik = writer.per_series<double>("loglik", {});
    if (has_before_) {
      std::copy_n(before_.data(), dims_.N * dims_.p, writer.per_series<Scalar>("last_u", {dims_.p}).data);
    }
    const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
    for (Index i = 0; i < dims_.N; ++i) {
      const auto& one = online_->state(i);
      const auto moments = online_->moments(i);
      std::copy_n(one.x, n, mean.at(i));
      std::fill_n(noise_mean.at(i), n, Scalar(0));
      if (joint_) {
        std::copy_n(one.x + n, n, noise_mean.at(i));
      }
      *status.at(i) = static_cast<std::int32_t>(one.outcome.status);
      *failed_at.at(i) = static_cast<std::int64_t>(one.outcome.at);
      *loglik.at(i) = one.loglik;
      linalg::copy_block(n, n, moments.cov, moments.cov_ld, cov.at(i), n);
      if (!online_->shared() && !one.outcome.usable()) {
        std::fill_n(cov.at(i), n * n, nan);
      }
      std::fill_n(inf.at(i), n * columns, Scalar(0));
      linalg::copy_block(n, moments.rank, moments.factor, moments.factor_ld, inf.at(i), columns);
      *rank.at(i) = static_cast<std::int64_t>(moments.rank);
      copy_or_zero(moments.noise_cov, moments.noise_cov_ld, noise_cov.at(i));
      copy_or_zero(moments.noise_cross, moments.noise_cross_ld, noise_cross.at(i));
    }
    return writer.finish();
  }

 private:
  /// Takes a step; tells whether a series got into trouble.
  bool take(const Field<const Scalar>& z, const Field<const Scalar>& u, const unsigned char* measured, Scalar* mean,
            Scalar* loglik) {
    const bool trouble = online_->step(z, u, driving(u), measured, mean, loglik);
    if (lag_ && u) {
      has_before_ = true;
      for (Index i = 0; i < dims_.N; ++i) {
        std::copy_n(u.at(i), dims_.p, before_.data() + i * dims_.p);
      }
    }
    return trouble;
  }

  static bool shares_start(const linear::FilterProblem<Scalar>& problem) {
    linear::Data<Scalar> nothing;  // only model and start count: the pattern of z is looked at in every step
    linear::Model<Scalar> model = problem.model;
    model.dims.T = 0;
    return linear::shares_covariances(model, problem.start, nothing, false);
  }

  static bool varies(const linear::Model<Scalar>& model) {
    return !(model.A.constant() && model.H.constant() && model.Q.constant() && model.R.constant() &&
             model.B.constant() && model.D.constant() && model.b.constant() && model.c.constant() &&
             model.S.constant());
  }

  [[nodiscard]] Index problem_columns() const { return reader_.length("inf", 3, 2, 0); }

  [[nodiscard]] Field<const Scalar> driving(const Field<const Scalar>& given) const {
    if (!lag_) {
      return given;
    }
    return has_before_ ? Field<const Scalar>{before_.data(), dims_.p, 0} : Field<const Scalar>{};
  }

  static void refuse_overlap(const py::object& z, const py::object& u, const py::object& mean,
                             const py::object& loglik) {
    const Extent inputs[] = {{z, "z"}, {u, "u"}};
    const Extent outputs[] = {{mean, "mean"}, {loglik, "loglik"}};
    for (const Extent& out : outputs) {
      for (const Extent& in : inputs) {
        if (out.overlaps(in)) {
          throw py::value_error(std::string(out.name) + ": output shares memory with input " + in.name);
        }
      }
    }
    if (outputs[0].overlaps(outputs[1])) {
      throw py::value_error("mean: output shares memory with output loglik");
    }
  }

  void copy_or_zero(const Scalar* from, Index ld, Scalar* to) const {
    if (from == nullptr) {
      std::fill_n(to, dims_.n * dims_.n, Scalar(0));
    } else {
      linalg::copy_block(dims_.n, dims_.n, from, ld, to, dims_.n);
    }
  }

  py::object problem_;  // keeps the arrays alive that the views look at
  ProblemReader reader_;
  Dims dims_;
  double work_ = 0;
  bool lag_ = false;
  bool joint_ = !problem_.attr("S").is_none();
  bool has_before_ = false;
  std::vector<Scalar> before_;
  std::unique_ptr<linear::OnlineFilter<Scalar>> online_;
  mutable std::atomic<bool> busy_{false};
};

}  // namespace

void register_linear_online(py::module_& m) {
  py::class_<OnlineHandle>(
      m, "LinearStepper", py::module_local(),
      "The filter online: one call per time step for N series. Of the problem, the values of z and u are "
      "not used, only their shapes; its arrays must not change while the stepper lives.")
      .def(py::init([](const py::object& problem) -> std::unique_ptr<OnlineHandle> {
             if (is_double(problem)) {
               return std::make_unique<StepperOf<double>>(problem);
             }
             return std::make_unique<StepperOf<float>>(problem);
           }),
           py::arg("problem"), "Starts before the first measurement of a problem as linear_filter takes it.")
      .def("step", &OnlineHandle::step_checked, py::arg("z"), py::arg("u") = py::none(), py::arg("mean") = py::none(),
           py::arg("loglik") = py::none(), py::arg("measured") = py::none(),
           "Takes z (N, m; NaN = missing) and u (N, p); where `measured` (N) is False, all of z is missing. Writes the "
           "filtered means to `mean` (N, n) and the contributions to the log-likelihood to `loglik` (N,), unless None. "
           "Tells whether a series got into trouble in this step.")
      .def("state", &OnlineHandle::state,
           "Where the stepper stands, under the names of linear_filter's end state, with loglik, status and failed_at.")
      .def_property_readonly("steps", &OnlineHandle::steps, "Number of steps taken.")
      .def_property_readonly("quick_call", &OnlineHandle::quick_call, "What `attach` calls.");
  register_online_call(m);
}

}  // namespace kelman::bindings
