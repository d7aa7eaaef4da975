// SPDX-License-Identifier: BSD-3-Clause
// Small dense algebra of the filters against Eigen's plain expressions.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <random>

#include "kelman/linalg/factor.hpp"
#include "kelman/linalg/ldl.hpp"
#include "kelman/linalg/product.hpp"

using kelman::Index;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

namespace {

Matrix random(Index rows, Index cols, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  return Matrix::NullaryExpr(rows, cols, [&] { return normal(generator); });
}

double distance(const Matrix& a, const Matrix& b) { return (a - b).cwiseAbs().maxCoeff(); }

}  // namespace

TEST_CASE("products equal the plain ones for sizes around every switch") {
  for (const Index n : {1, 3, 4, 7, 8, 31, 32, 63, 64, 65, 130}) {
    const Matrix A = random(n, n + 2, 1);
    const Matrix B = random(n + 2, n + 1, 2);
    Matrix C = random(n, n + 1, 3);
    const Matrix before = C;
    kelman::linalg::multiply<true>(n, n + 2, n + 1, A.data(), n + 2, B.data(), n + 1, C.data(), n + 1);
    CHECK(distance(C, before + A * B) < 1e-12 * static_cast<double>(n + 10));
    kelman::linalg::multiply(n, n + 2, n + 1, A.data(), n + 2, B.data(), n + 1, C.data(), n + 1);
    CHECK(distance(C, A * B) < 1e-12 * static_cast<double>(n + 10));
    const Matrix G = random(n, n, 4);
    const Matrix P = G * G.transpose();
    const Matrix T = random(n, n, 5);
    const Matrix right = P * T.transpose();
    Matrix S = Matrix::Zero(n, n);
    kelman::linalg::multiply_symmetric<double>(n, n, {T.data(), n, 1}, right.data(), n,
                                               {kelman::linalg::Into::add, S.data(), n});
    kelman::linalg::mirror(n, S.data(), n);
    CHECK(distance(S, T * right) < 1e-11 * static_cast<double>(n * n + 10));
    CHECK(S == S.transpose());
  }
}

TEST_CASE("symmetric updates read and write the lower triangle only") {
  const Index n = 9;
  const Index ld = 12;
  const Matrix G = random(n, n, 6);
  const Matrix P = G * G.transpose();
  Matrix stored = Matrix::Constant(n, ld, std::numeric_limits<double>::quiet_NaN());
  stored.leftCols(n).triangularView<Eigen::Lower>() = P;
  const Vector x = random(n, 1, 7);
  const Vector y = random(n, 1, 8);
  Vector product(n);
  kelman::linalg::symmetric_matvec(n, n, stored.data(), ld, x.data(), product.data());
  CHECK((product - P * x).cwiseAbs().maxCoeff() < 1e-12);
  kelman::linalg::symmetric_matvec(n, Index(4), stored.data(), ld, x.data(), product.data());
  CHECK((product - P.leftCols(4) * x.head(4)).cwiseAbs().maxCoeff() < 1e-12);
  kelman::linalg::add_column(n, Index(5), stored.data(), ld, product.data());
  CHECK((product - P.leftCols(4) * x.head(4) - P.col(5)).cwiseAbs().maxCoeff() < 1e-12);
  kelman::linalg::update_two(n, 0.7, x.data(), y.data(), stored.data(), ld);
  kelman::linalg::downdate(n, x.data(), x.data(), stored.data(), ld);
  kelman::linalg::mirror(n, stored.data(), ld);
  const Matrix expected = P + (0.7 - 1.0) * x * x.transpose() - x * y.transpose() - y * x.transpose();
  CHECK(distance(stored.leftCols(n), expected) < 1e-12);
}

TEST_CASE("LDL' gives back the matrix, with pivots that are exactly zero where it is singular") {
  for (const Index m : {1, 2, 3, 5, 8}) {
    for (Index rank = 0; rank <= m; ++rank) {
      const Matrix G = random(m, std::max<Index>(rank, 1), static_cast<unsigned>(10 * m + rank));
      const Matrix R = rank == 0 ? Matrix::Zero(m, m) : Matrix(G * G.transpose());
      Matrix L(m, m);
      Matrix scratch(m, m);
      Vector D(m);
      REQUIRE(kelman::linalg::ldl(m, R.data(), m, L.data(), m, D.data(), scratch.data()));
      CHECK(distance(L * D.asDiagonal() * L.transpose(), R) < 1e-10);
      CHECK((D.array() != 0.0).count() == rank);
      CHECK((D.array() >= 0.0).all());
      Matrix X = random(m, 3, 9);
      const Matrix right = L.triangularView<Eigen::UnitLower>() * X;
      Matrix solved = right;
      kelman::linalg::solve_unit_lower(m, Index(3), L.data(), m, solved.data(), Index(3));
      CHECK(distance(solved, X) < 1e-9);
    }
  }
  const Matrix indefinite = (Matrix(2, 2) << 1, 2, 2, 1).finished();
  Matrix L(2, 2);
  Matrix scratch(2, 2);
  Vector D(2);
  CHECK_FALSE(kelman::linalg::ldl(Index(2), indefinite.data(), Index(2), L.data(), Index(2), D.data(), scratch.data()));
}

TEST_CASE("a measured direction leaves the diffuse factor, and nothing else does") {
  const Index n = 5;
  const Index d = 3;
  Matrix V = random(n, d, 11);
  const Matrix before = V * V.transpose();
  const Vector h = random(n, 1, 12);
  Vector a = V.transpose() * h;
  const Vector K = V * a / a.squaredNorm();
  const double F = a.squaredNorm();
  Vector scale(n);
  kelman::linalg::remove_direction(n, d, a.data(), V.data(), d, scale.data());
  const Matrix rest = V.leftCols(d - 1);
  CHECK(distance(rest * rest.transpose(), before - F * K * K.transpose()) < 1e-12);
  CHECK((rest.transpose() * h).cwiseAbs().maxCoeff() < 1e-12);
}

TEST_CASE("compression finds the rank after a singular transition, also between states of very different size") {
  const Index n = 4;
  const Index d = 3;
  for (Index kept = 0; kept <= d; ++kept) {
    for (const double size : {1.0, 1e-9}) {
      // columns spanned by `kept` vectors; the last state is `size` times smaller than the others
      Matrix V = kept == 0 ? Matrix::Zero(n, d) : Matrix(random(n, kept, 13) * random(kept, d, 14));
      V.row(n - 1) *= size;
      const Matrix before = V;
      const Matrix product = V * V.transpose();
      Vector scale = V.rowwise().norm();
      Matrix trial(n + d, d);  // the rotation lies behind the n rows
      Vector u(d);
      const Index rank = kelman::linalg::compress(n, d, scale.data(), V.data(), d, trial.data(), u.data());
      CHECK(rank == kept);
      const Matrix rest = V.leftCols(rank);
      CHECK(distance(rest * rest.transpose(), product) < 1e-12);
      if (rank > 0 && rank < d) {
        CHECK(distance(before * trial.bottomRows(d).leftCols(rank), rest) < 1e-12);
      }
    }
  }
}
