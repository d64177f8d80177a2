// Weights, biases and saved values in the order of the vectors, against plain loops.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "each_part.hpp"
#include "guarded.hpp"

namespace carrousel::test {
namespace {

constexpr int64_t units[] = {1, 7, 8, 9, 16, 17, 33, 65, 130};

// Iterates over the vectors of `rows` rows in their order, group by group.
template <class F>
struct Order {
  const Packing<F>& packing;
  int64_t H, lanes;

  int64_t blocks() const { return (H + lanes - 1) / lanes; }
  template <class Place>
  void each_group(Place place) const {
    for (int64_t first = 0; first < blocks(); first += packing.blocks_in_group)
      place(first, std::min<int64_t>(packing.blocks_in_group, blocks() - first));
  }
  // The line of a group: row by row, block by block, lane by lane.
  template <class Place>
  static void each_lane(int rows, int64_t first, int64_t count, int64_t lanes, Place place) {
    for (int row = 0; row < rows; ++row)
      for (int64_t unit = lanes * first; unit < (first + count) * lanes; ++unit) place(row, unit);
  }
};

TEST_CASE_TEMPLATE("weights are packed group by group, with zeros for units that do not exist", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    for (const Packing<F>& packing : parts.packings)
      for (const int64_t H : units)
        for (const int64_t K : {1, 3, 16, 35})
          for (const bool by_x : {true, false}) {
            const Order<F> order{packing, H, parts.lanes};
            const int rows = by_x ? packing.x_rows : packing.h_rows;
            const int* blocks = by_x ? packing.x_order : packing.h_order;
            const std::vector<F> M = integers<F>(rows * H * K);
            Guarded<F> out(order.blocks() * parts.lanes * rows * K);
            packing.matrix(out.data(), M.data(), K, by_x, H);
            std::vector<F> expected;
            order.each_group([&](int64_t first, int64_t some) {
              for (int64_t k = 0; k < K; ++k)
                order.each_lane(rows, first, some, parts.lanes,
                                [&](int row, int64_t unit) { expected.push_back(unit < H ? M[(blocks[row] * H + unit) * K + k] : F(0)); });
            });
            INFO(std::string(packing.cell), " H", H, " K", K);
            CHECK(out.values() == expected);
            CHECK(out.unharmed());
          }
  });
}

TEST_CASE_TEMPLATE("a bias is the sum of those that feed its row", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    for (const Packing<F>& packing : parts.packings)
      for (const int64_t H : units)
        for (int given = 0; given < 4; ++given) {  // b_x, b_h: neither, one, the other, both
          const Order<F> order{packing, H, parts.lanes};
          const std::vector<F> b_x = integers<F>(packing.x_rows * H), b_h = integers<F>(packing.h_rows * H);
          Guarded<F> out(order.blocks() * parts.lanes * packing.rows);
          packing.bias(out.data(), given & 1 ? b_x.data() : nullptr, given & 2 ? b_h.data() : nullptr, H);
          std::vector<F> expected;
          order.each_group([&](int64_t first, int64_t some) {
            order.each_lane(packing.rows, first, some, parts.lanes, [&](int row, int64_t unit) {
              const int x = row - packing.x_first, h = row - packing.h_first;
              F sum = 0;
              if (unit < H && given & 1 && x >= 0 && x < packing.x_rows) sum += b_x[packing.x_order[x] * H + unit];
              if (unit < H && given & 2 && h >= 0 && h < packing.h_rows) sum += b_h[packing.h_order[h] * H + unit];
              expected.push_back(sum);
            });
          });
          INFO(std::string(packing.cell), " H", H, " given ", given);
          CHECK(out.values() == expected);
          CHECK(out.unharmed());
        }
  });
}

TEST_CASE_TEMPLATE("columns of the weights are packed for the way back", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    for (const Packing<F>& packing : parts.packings)
      for (const int64_t H : {int64_t(1), int64_t(9), int64_t(17)})
        for (const int64_t columns : {int64_t(1), int64_t(7), int64_t(70)})
          for (const bool by_x : {true, false}) {
            const int rows = by_x ? packing.x_rows : packing.h_rows;
            const int* order = by_x ? packing.x_order : packing.h_order;
            const int64_t width = 2 * parts.lanes, padded = (H + parts.lanes - 1) / parts.lanes * parts.lanes;
            const int64_t ld = columns + H % 3;  // the columns beyond belong to another state
            const std::vector<F> M = integers<F>(rows * H * ld);
            for (int64_t first = 0; first < columns; first += width) {
              Guarded<F> out(rows * padded * width);
              packing.columns(out.data(), width, M.data(), ld, columns, by_x, H, padded, first);
              std::vector<F> expected;
              for (int row = 0; row < rows; ++row)
                for (int64_t unit = 0; unit < padded; ++unit)
                  for (int64_t c = first; c < first + width; ++c)
                    expected.push_back(unit < H && c < columns ? M[(order[row] * H + unit) * ld + c] : F(0));
              CHECK(out.values() == expected);
              CHECK(out.unharmed());
            }
          }
  });
}

TEST_CASE_TEMPLATE("rows are padded with zeros", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    const std::vector<F> in = integers<F>(3 * 5);
    Guarded<F> out(3 * 8);
    parts.pack_rows(out.data(), in.data(), 3, 5, 8);
    std::vector<F> expected;
    for (int row = 0; row < 3; ++row)
      for (int unit = 0; unit < 8; ++unit) expected.push_back(unit < 5 ? in[row * 5 + unit] : F(0));
    CHECK(out.values() == expected);
    CHECK(out.unharmed());
  });
}

TEST_CASE_TEMPLATE("every saved vector has a place of its own, and they fill a row", F, float, double) {
  with_all_parts<F>([](const Parts<F>& parts) {
    for (const Packing<F>& packing : parts.packings)
      for (const int64_t H : units) {
        const int64_t blocks = (H + parts.lanes - 1) / parts.lanes;
        std::vector<int> taken(packing.saved_size(H));
        CHECK(int64_t(taken.size()) == blocks * parts.lanes * packing.saved);
        for (int64_t block = 0; block < blocks; ++block)
          for (int k = 0; k < packing.saved; ++k)
            for (int lane = 0; lane < parts.lanes; ++lane) ++taken.at(packing.saved_place(H, block, k) + lane);
        CHECK(taken == std::vector<int>(taken.size(), 1));
      }
  });
}

}  // namespace
}  // namespace carrousel::test
