// The stopping criterion of a trial. The window's mean is an integer sum, so that it does not depend on where blocks begin.
#pragma once
#include <algorithm>
#include <cmath>

#include "carrousel/lstm1997.hpp"

namespace carrousel::CARROUSEL_TARGET {

inline constexpr double fixed_point = double(int64_t(1) << 40);

inline int64_t fixed(float error) { return int64_t((error < 1024.0f ? double(error) : 1024.0) * fixed_point); }  // NaN counts as large

inline void count_in(const lstm1997::Stop& stop, lstm1997::Trial& trial, const lstm1997::Errors& e, int sign) {
  const float judged = stop.at_end ? e.at_end : e.largest;
  trial.above += sign * !(judged <= stop.bound);
  trial.sum += sign * fixed(stop.squared ? e.squared : e.absolute);
}

// Before a block: rebuilds the window of the blocks before it.
inline void open_window(const lstm1997::Stop& stop, lstm1997::Trial& trial) {
  trial.above = trial.sum = 0;
  for (int64_t i = std::max<int64_t>(0, trial.presented - stop.window); i < trial.presented && stop.window; ++i)
    count_in(stop, trial, trial.recent[i % trial.ring], 1);
}

// After the i-th sequence of the block, whose errors are known.
inline void judge(const lstm1997::Stop& stop, lstm1997::Trial& trial, int64_t i) {
  const int64_t leaves = trial.presented - stop.window;
  if (stop.window && leaves >= 0) count_in(stop, trial, trial.recent[leaves % trial.ring], -1);
  if (trial.ring) trial.recent[trial.presented % trial.ring] = trial.errors[i];
  ++trial.presented;
  if (!stop.window) return;
  count_in(stop, trial, trial.errors[i], 1);
  trial.stopped = trial.presented >= stop.window && trial.presented % stop.every == 0 && trial.above <= stop.allowed &&
                  double(trial.sum) < stop.mean * fixed_point * double(stop.window);
}

}  // namespace carrousel::CARROUSEL_TARGET
