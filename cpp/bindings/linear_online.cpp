// SPDX-License-Identifier: BSD-3-Clause
// The one handle of the boundary: the filter online.
#include <pybind11/pybind11.h>

#include <atomic>
#include <memory>

#include "bindings/linear_problem.hpp"
#include "kelman/linear/online.hpp"

namespace kelman::bindings {

namespace {

/// Refuses that two threads use one handle at the same time.
class Turn {
 public:
  explicit Turn(std::atomic<bool>& busy) : busy_(busy) {
    if (busy_.exchange(true, std::memory_order_acquire)) {
      throw std::runtime_error("this stepper is in use by another thread");
    }
  }
  ~Turn() { busy_.store(false, std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic<bool>& busy_;
};

/// The handle in either precision.
class Stepper {
 public:
  Stepper() = default;
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;
  virtual ~Stepper() = default;
  virtual void step(const py::object& z, const py::object& u, const py::object& mean, const py::object& loglik) = 0;
  [[nodiscard]] virtual py::dict state() const = 0;
  [[nodiscard]] virtual Index steps() const = 0;
};

template <class Scalar>
class StepperOf final : public Stepper {
 public:
  explicit StepperOf(const py::object& problem) : problem_(problem), reader_(problem) {
    const auto whole = read_problem<Scalar>(reader_);
    dims_ = whole.model.dims;
    const bool shared = dims_.N > 1 ? shares_start(whole) : true;
    model_steps_ = varies(whole.model) ? dims_.T : -1;
    lag_ = whole.model.input_lag;
    online_ = std::make_unique<linear::Online<linear::Univariate<Scalar>>>(whole.model, whole.start,
                                                                           whole.diffuse_constant, shared);
    if (lag_ && dims_.p > 0) {
      before_.resize(static_cast<std::size_t>(dims_.N * dims_.p));
      has_before_ = static_cast<bool>(whole.data.u_before);
      for (Index i = 0; has_before_ && i < dims_.N; ++i) {
        std::copy_n(whole.data.u_before.at(i), dims_.p, before_.data() + i * dims_.p);
      }
    }
  }

  void step(const py::object& z, const py::object& u, const py::object& mean, const py::object& loglik) override {
    const Turn turn(busy_);
    if (model_steps_ >= 0 && online_->steps() >= model_steps_) {
      throw py::index_error("the model varies over " + std::to_string(model_steps_) +
                            " steps, and all have been taken");
    }
    const auto measured = input<Scalar>(z, "z", {dims_.N}, {dims_.m});
    const auto given = optional_input<Scalar>(u, "u", {dims_.N}, {dims_.p});
    const auto mean_out = mean.is_none() ? Field<Scalar>{} : output<Scalar>(mean, "mean", {dims_.N}, {dims_.n});
    const auto loglik_out = loglik.is_none() ? Field<Scalar>{} : output<Scalar>(loglik, "loglik", {dims_.N}, {});
    refuse_overlap(z, u, mean, loglik);
    online_->step(measured, given, driving(given), loglik_out.data);
    if (lag_ && given) {
      has_before_ = true;
      for (Index i = 0; i < dims_.N; ++i) {
        std::copy_n(given.at(i), dims_.p, before_.data() + i * dims_.p);
      }
    }
    for (Index i = 0; mean_out && i < dims_.N; ++i) {
      std::copy_n(online_->state(i).x, dims_.n, mean_out.data + i * dims_.n);
    }
  }

  [[nodiscard]] py::dict state() const override {
    const Turn turn(busy_);
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

  [[nodiscard]] Index steps() const override { return online_->steps(); }

 private:
  static bool shares_start(const linear::FilterProblem<Scalar>& problem) {
    linear::Data<Scalar> nothing;  // only model and start count: the pattern of z is looked at in every step
    linear::Model<Scalar> model = problem.model;
    model.dims.T = 0;
    return linear::shares_covariances(model, problem.start, nothing);
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
  Index model_steps_ = -1;
  bool lag_ = false;
  bool joint_ = !problem_.attr("S").is_none();
  bool has_before_ = false;
  std::vector<Scalar> before_;
  std::unique_ptr<linear::Online<linear::Univariate<Scalar>>> online_;
  mutable std::atomic<bool> busy_{false};
};

}  // namespace

void register_linear_online(py::module_& m) {
  py::class_<Stepper>(
      m, "LinearStepper", py::module_local(),
      "The filter online: one call per time step for N series. Of the problem, the values of z and u are "
      "not used, only their shapes; its arrays must not change while the stepper lives.")
      .def(py::init([](const py::object& problem) -> std::unique_ptr<Stepper> {
             if (is_double(problem)) {
               return std::make_unique<StepperOf<double>>(problem);
             }
             return std::make_unique<StepperOf<float>>(problem);
           }),
           py::arg("problem"), "Starts before the first measurement of a problem as linear_filter takes it.")
      .def("step", &Stepper::step, py::arg("z"), py::arg("u") = py::none(), py::arg("mean") = py::none(),
           py::arg("loglik") = py::none(),
           "Takes z (N, m; NaN = missing) and u (N, p). Writes the filtered means to `mean` (N, n) and the "
           "contributions "
           "to the log-likelihood to `loglik` (N,), unless None.")
      .def("state", &Stepper::state,
           "Where the stepper stands, under the names of linear_filter's end state, with status and failed_at.")
      .def_property_readonly("steps", &Stepper::steps, "Number of steps taken.");
}

}  // namespace kelman::bindings
