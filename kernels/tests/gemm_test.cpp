// Tiles, products and transposition against plain loops, at sizes that are multiples of nothing.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "each_part.hpp"
#include "guarded.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

// A matrix whose rows lie at unrelated addresses, as those of a batch may.
template <class F>
struct Scattered {
  std::vector<std::vector<F>> rows;
  std::vector<const F*> pointers;

  Scattered(int64_t count, int64_t width) {
    for (int64_t i = 0; i < count; ++i) rows.push_back(integers<F>(width));
    for (const auto& row : rows) pointers.push_back(row.data());
  }
};

// A product and its expected result.
template <class F>
struct Trial {
  int64_t count, vectors, width, K, lead_K;
  Scattered<F> rows, lead_rows;
  std::vector<F> panel, lead_panel, start;
  Guarded<F> acc;

  Trial(int64_t count, int vectors, int lanes, int64_t K, int64_t lead_K)
      : count(count),
        vectors(vectors),
        width(vectors * lanes),
        K(K),
        lead_K(lead_K),
        rows(count, K),
        lead_rows(count, lead_K),
        panel(integers<F>(K * (width + 3))),
        lead_panel(integers<F>(lead_K * (width + 1))),
        start(integers<F>(count * (width + 2))),
        acc(count * (width + 5)) {}

  Product<F> product(int64_t ld_start) {
    return {int(vectors),
            acc.data(),
            width + 5,
            start.data(),
            ld_start,
            count,
            rows.pointers.data(),
            panel.data(),
            width + 3,
            K,
            lead_K ? lead_rows.pointers.data() : nullptr,
            lead_panel.data(),
            width + 1,
            lead_K};
  }

  F exact(int64_t i, int64_t column, int64_t ld_start) const {
    F sum = start[i * ld_start + column];
    for (int64_t k = 0; k < K; ++k) sum += rows.rows[i][k] * panel[k * (width + 3) + column];
    for (int64_t k = 0; k < lead_K; ++k) sum += lead_rows.rows[i][k] * lead_panel[k * (width + 1) + column];
    return sum;
  }

  void check(int64_t ld_start) const {
    const std::vector<F> got = acc.values();
    int64_t wrong = 0, harmed = 0;
    for (int64_t i = 0; i < count; ++i)
      for (int64_t column = 0; column < width + 5; ++column) {
        const F at = got[i * (width + 5) + column];
        if (column < width) wrong += at != exact(i, column, ld_start);
        if (column >= width) harmed += !untouched(at);
      }
    INFO("count ", count, ", vectors ", vectors, ", K ", K, ", lead ", lead_K, ", start's stride ", ld_start);
    CHECK(wrong == 0);
    CHECK(harmed == 0);
    CHECK(acc.unharmed());
  }
};

constexpr int64_t lead_terms[] = {0, 1, 5};

TEST_CASE_TEMPLATE("a tile is rows times panel", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    for (int count = 1; count <= parts.tile_rows; ++count)
      for (int vectors = 1; vectors <= 4; ++vectors)
        for (const int64_t K : {1, 2, 7, 33})
          for (const int64_t lead_K : lead_terms) {
            Trial<F> trial(count, vectors, parts.lanes, K, lead_K);
            for (const int64_t ld_start : {int64_t(0), trial.width + 2}) {
              parts.tile(trial.product(ld_start));
              trial.check(ld_start);
            }
          }
  });
}

TEST_CASE_TEMPLATE("the tile of one row is the row times the panel", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    for (int vectors = 1; vectors <= 4; ++vectors)
      for (const int64_t K : {1, 2, 7, 8, 9, 33})
        for (const int64_t lead_K : lead_terms) {
          Trial<F> trial(1, vectors, parts.lanes, K, lead_K);
          parts.one_row_tile(trial.product(0));
          trial.check(0);
        }
  });
}

TEST_CASE_TEMPLATE("a product takes any number of rows, vectors and terms", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    for (const int64_t count : {0, 1, 5, 6, 7, 8, 13})
      for (const int vectors : {1, 4, 5, 11})
        for (const int64_t K : {1, 31, 256, 257, 515})  // around the length of a block of terms, and over two
          for (const int64_t lead_K : lead_terms) {
            Trial<F> trial(count, vectors, parts.lanes, K, lead_K);
            parts.product(trial.product(trial.width + 2), false);
            trial.check(trial.width + 2);
          }
  });
}

TEST_CASE_TEMPLATE("a row's product is the same bits whatever rows stand beside it", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    std::mt19937 random(3);
    Trial<F> trial(13, 4, parts.lanes, 300, 5);
    for (auto* rows : {&trial.rows, &trial.lead_rows})
      for (auto& row : rows->rows)
        for (F& x : row) x *= F(random() / 4e9);  // not integers: the order of the terms shows in the last bits
    Product<F> p = trial.product(trial.width + 2);
    parts.product(p, false);
    const std::vector<F> together = trial.acc.values();
    for (int64_t first = 0; first < 13; ++first)
      for (int64_t count = 1; first + count <= 13; ++count) {
        Trial<F> some = trial;
        Product<F> q = p;
        q.acc = some.acc.data();
        q.start += first * (trial.width + 2);
        q.count = count;
        q.rows += first;
        q.lead_rows += first;
        parts.product(q, false);
        const std::vector<F> got = some.acc.values();
        for (int64_t i = 0; i < count; ++i) {
          const int64_t at = i * (trial.width + 5), where = (first + i) * (trial.width + 5);
          CHECK(same_bits(std::vector<F>(&got[at], &got[at + trial.width]),
                          std::vector<F>(&together[where], &together[where + trial.width])));
        }
      }
  });
}

TEST_CASE_TEMPLATE("a transpose has the rows as its columns", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    for (const int64_t count : {0, 1, 15, 16, 17, 35})
      for (const int64_t columns : {1, 6, 16, 19}) {
        const int64_t ld = count + 2;
        const Scattered<F> in(count, columns);
        Guarded<F> out(columns * ld);
        parts.transpose(out.data(), ld, in.pointers.data(), count, columns);
        const std::vector<F> got = out.values();
        int64_t wrong = 0;
        for (int64_t c = 0; c < columns; ++c)
          for (int64_t r = 0; r < ld; ++r) wrong += r < count ? got[c * ld + r] != in.rows[r][c] : !untouched(got[c * ld + r]);
        CHECK(wrong == 0);
        CHECK(out.unharmed());
      }
  });
}

}  // namespace
}  // namespace carrousel::test
