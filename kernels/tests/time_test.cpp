// The order of time and the distribution of rows: every (step, row) pair once, for every layout and number of threads.
#include "sequence/time.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "reference.hpp"
#include "run.hpp"
#include "sequence/work_split.hpp"

namespace carrousel::test {
namespace {

using baseline::Member;
using baseline::Share;
using baseline::Steps;
using baseline::WorkSplit;

constexpr Size sizes[] = {{1, 1, 1, 1}, {5, 1, 1, 1}, {1, 6, 1, 1}, {5, 3, 1, 1}, {4, 7, 1, 1}, {9, 13, 1, 1}};

// The steps of a case, as in the kernels.
struct Located {
  Case c;
  Rows rows;
  std::vector<int64_t> offsets;
  Steps steps;

  Located(Size size, Way way) : c(all_cells()[0], size, way), rows(rows_of(c)), offsets(size.T), steps(rows) {
    steps.locate(offsets.data());
  }
};

template <class Run>
void with_every_layout(Run run) {
  for (const Size& size : sizes)
    for (const Way& way : ways) {
      const Located located(size, way);
      INFO(located.c.name());
      run(located.c, located.rows, located.steps);
    }
}

TEST_CASE("steps go through time in order, and every place in memory is visited once") {
  with_every_layout([](const Case& c, const Rows&, const Steps& steps) {
    REQUIRE(steps.count() == c.size.T);
    std::vector<int> visits(c.N());
    for (int64_t s = 0; s < steps.count(); ++s) {
      const int64_t t = c.way.reverse ? c.size.T - 1 - s : s;
      CHECK(steps.t(s) == t);
      REQUIRE(steps.active(s) == c.batch_sizes[t]);
      for (int64_t b = 0; b < steps.active(s); ++b) {
        CHECK(steps.at(s, b) == c.at(t, b));
        ++visits.at(steps.at(s, b));
      }
    }
    CHECK(visits == std::vector<int>(visits.size(), 1));
    CHECK(steps.active(-1) == 0);
    CHECK(steps.active(steps.count()) == 0);
  });
}

TEST_CASE("each row starts once and ends once, and takes every step between") {
  with_every_layout([](const Case& c, const Rows&, const Steps& steps) {
    for (int64_t b = 0; b < c.size.B; ++b) {
      std::vector<int64_t> taken, starts, ends;
      for (int64_t s = 0; s < steps.count(); ++s) {
        if (b >= steps.active(s)) continue;
        taken.push_back(s);
        if (steps.starts(s, b)) starts.push_back(s);
        if (steps.ends(s, b)) ends.push_back(s);
      }
      CHECK(starts == std::vector<int64_t>{taken.front()});
      CHECK(ends == std::vector<int64_t>{taken.back()});
      CHECK(taken.back() - taken.front() + 1 == int64_t(taken.size()));
    }
  });
}

void check_shares(const Rows& rows, const Steps& steps, int threads) {
  WorkSplit split;
  split.threads = threads;
  for (int64_t s = 0; s < steps.count(); ++s) {
    std::vector<int> visits(rows.B);
    for (int rank = 0; rank < threads; ++rank) {
      const Share share = split.share(Member{rank, threads, nullptr}, rows);
      const int64_t below = share.below(steps.active(s));
      for (int64_t i = 0; i < share.count; ++i) CHECK((share.row(i) < steps.active(s)) == (i < below));  // always the first ones
      for (int64_t i = 0; i < below; ++i) ++visits.at(share.row(i));
    }
    for (int64_t b = 0; b < rows.B; ++b) CHECK(visits[b] == (b < steps.active(s)));
  }
}

TEST_CASE("rows are dealt to threads, each to one") {
  with_every_layout([](const Case&, const Rows& rows, const Steps& steps) {
    for (int threads = 1; threads <= 5; ++threads) {
      CAPTURE(threads);
      check_shares(rows, steps, threads);
    }
  });
}

TEST_CASE("where units are split, every thread has all rows") {
  with_every_layout([](const Case& c, const Rows& rows, const Steps&) {
    WorkSplit split;
    split.by_units = true;
    for (int rank = 0; rank < 3; ++rank) {
      const Share share = split.share(Member{rank, 3, nullptr}, rows);
      REQUIRE(share.count == c.size.B);
      for (int64_t i = 0; i < share.count; ++i) CHECK(share.row(i) == i);
    }
  });
}

TEST_CASE("members cut a range into runs that join") {
  for (int members = 1; members <= 5; ++members)
    for (const int64_t n : {0, 1, 4, 5, 13}) {
      CHECK(Member{0, members, nullptr}.first(n) == 0);
      CHECK(Member{members - 1, members, nullptr}.last(n) == n);
      for (int rank = 1; rank < members; ++rank)
        CHECK(Member{rank, members, nullptr}.first(n) == Member{rank - 1, members, nullptr}.last(n));
    }
}

}  // namespace
}  // namespace carrousel::test
